//! Who enters a gateway, when a task was caught at its entrance and another one runs.
//!
//! An interrupt of the application that comes between `SG` and the next instruction is served at once, and the caller's
//! registers lie on the one secure stack meanwhile. If the handler switches tasks, and the next one is caught in the same
//! place, the first to go on finds the other's registers on top and enters the gateway with them. It is told by its stack
//! pointer, which the processor does not keep with the registers and no task shares: whoever calls a gateway has it in r12
//! as well. If they differ, the registers that have the right one are looked for among those that lie here, and exchanged.
//!
//! A caller that does not keep the convention is taken for who it seems to be.
//!
//! If one of the two has floating-point registers in use and the other has not, their frames are not of one length: the
//! processor finds the wrong signature and reports a fault. Then a frame of the length that is asked for is
//! [brought up](bring_up), and the return is made once more.

use super::exception::{
    CALLEE_BYTES, FLOAT_FRAME_BYTES, FRAME_BYTES, INTEGRITY_SIGNATURE, INTEGRITY_SIGNATURE_FLOAT,
};
use super::gateways::GATEWAY_COUNT;
use super::{float, homecoming, switch};

/// What bulkhead_gateway_common keeps of the caller, lowest address first.
#[repr(C)]
struct Entering {
    r5_r11: [u32; 7],
    _scratch: u32,
    r0_r3: [u32; 4],
    slot: u32,
    r4: u32,
    r12: u32,
    lr: u32,
}

/// DDI 0553, B3.20: what a Non-secure exception leaves on a Secure stack, without floating-point registers behind it.
#[repr(C)]
struct Caught {
    signature: u32,
    _reserved: u32,
    r4: u32,
    r5_r11: [u32; 7],
    r0_r3: [u32; 4],
    r12: u32,
    lr: u32,
    pc: u32,
    _xpsr: u32,
}

const CAUGHT_BYTES: u32 = CALLEE_BYTES + FRAME_BYTES;
const _: () = assert!(size_of::<Caught>() == CAUGHT_BYTES as usize && size_of::<Entering>() == 64);

/// Room on the secure stack of the application's thread for tasks that are caught at the entrance at the same time: eight, or
/// four with floating-point registers. What is left is more than a gateway pushes before it lowers the limit.
pub(super) const ROOM_BYTES: u32 = 8 * CAUGHT_BYTES + 32;

/// Sees to it that the caller has its own registers. Returns 0 if that cannot be: the application is stopped.
///
/// # Safety
/// `entering` lies on the secure stack of the application's thread, and frames of tasks that were caught above it.
#[unsafe(no_mangle)]
unsafe extern "C" fn bulkhead_who_enters(entering: *mut Entering) -> u32 {
    let stack = homecoming::thread_stack();
    let mut at = entering.wrapping_add(1) as u32;
    // SAFETY: as promised.
    let own = unsafe { &mut *entering };
    while own.r12 != stack && at < switch::gateway_stack_top() {
        // SAFETY: between the pointer and the top of the stack lie frames, the processor has pushed them.
        let caught = unsafe { &mut *(at as *mut Caught) };
        // Else it was left there by who returned elsewhere.
        let Some(has_float) = caught.has_float() else { break };
        if caught.r12 == stack {
            // A longer frame does not fit in the place of a shorter one.
            let fits = has_float == homecoming::has_float();
            return u32::from(
                fits && exchange(own, caught) && (!has_float || float::exchange_beside_gateway(at)),
            );
        }
        at = at.wrapping_add(length(has_float));
    }
    1
}

/// A thread returns to the secure stack at `stack`, and finds a frame of the other kind on top: the nearest one of its kind
/// takes that place. `false`: there is none, or not all that lies there was caught at an entrance, and nothing was changed.
pub(super) fn bring_up(stack: u32, has_float: bool) -> bool {
    let top = switch::gateway_stack_top();
    // A save that is still due knows where its frame lies.
    if !(top.wrapping_sub(ROOM_BYTES)..top).contains(&stack) || float::is_due_in_secure() {
        return false;
    }
    let mut at = stack;
    while at < top {
        // SAFETY: as in `bulkhead_who_enters`; a frame that is none is told by its words.
        let caught = unsafe { &*(at as *const Caught) };
        let Some(is_float) = caught.has_float().filter(|_| caught.slot().is_some()) else { return false };
        let end = at.wrapping_add(length(is_float));
        if end > top {
            return false;
        }
        if is_float == has_float {
            // SAFETY: whole words between the pointer and the top, of which nobody holds a reference by now.
            let words = unsafe {
                core::slice::from_raw_parts_mut(stack as *mut u32, (end.wrapping_sub(stack) / 4) as usize)
            };
            words.rotate_right((length(is_float) / 4) as usize);
            return true;
        }
        at = end;
    }
    false
}

/// Bytes of what a Non-secure exception leaves on a Secure stack.
const fn length(has_float: bool) -> u32 {
    if has_float { CAUGHT_BYTES + FLOAT_FRAME_BYTES - FRAME_BYTES } else { CAUGHT_BYTES }
}

impl Caught {
    /// Whether floating-point registers lie behind it; `None` if it is no such frame.
    fn has_float(&self) -> Option<bool> {
        match self.signature {
            INTEGRITY_SIGNATURE => Some(false),
            INTEGRITY_SIGNATURE_FLOAT => Some(true),
            _ => None,
        }
    }

    /// The gateway behind whose `SG` it was caught, if it was.
    fn slot(&self) -> Option<u32> {
        let offset = self.pc.checked_sub(page().wrapping_add(4))?;
        let slot = offset / 8;
        (offset.is_multiple_of(8) && slot < GATEWAY_COUNT).then_some(slot)
    }
}

fn page() -> u32 {
    unsafe extern "C" {
        fn bulkhead_gateway_page();
    }
    bulkhead_gateway_page as *const () as u32 & !1
}

/// `false`: what was caught was not caught at an entrance.
fn exchange(own: &mut Entering, caught: &mut Caught) -> bool {
    let Some(slot) = caught.slot() else { return false };
    caught.pc = page().wrapping_add(8 * own.slot + 4);
    own.slot = slot;
    core::mem::swap(&mut own.r0_r3, &mut caught.r0_r3);
    core::mem::swap(&mut own.r4, &mut caught.r4);
    core::mem::swap(&mut own.r5_r11, &mut caught.r5_r11);
    core::mem::swap(&mut own.r12, &mut caught.r12);
    core::mem::swap(&mut own.lr, &mut caught.lr);
    true
}
