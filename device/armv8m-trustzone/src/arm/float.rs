//! The application's floating-point registers, while it is held.
//!
//! The hypervisor is built without floating point. To read what the application left in the unit it opens the unit for
//! itself for a moment, with automatic preservation switched off, so that its own access makes no new context (DDI 0553,
//! `ExecuteFPCheck`). A save of the application's that is still due happens with the first access, to where the processor
//! noted: that is looked at first, since the application can write there.

use super::exception::{CALLEE_BYTES, FLOAT_FRAME_BYTES, FRAME_BYTES, INTEGRITY_SIGNATURE_FLOAT};
use super::memory_check::{Intent, allowed};
use super::registers::{self as scs, CPACR, FPCAR, FPCCR, FPCCR_LSPACT, FPCCR_S, MVFR0, NON_SECURE_ALIAS};

/// s0 to s31, fpscr.
pub const FLOAT_REGISTERS: usize = 33;

// r0: 33 words, s0 to s31 and FPSCR. r1: scratch. Written as numbers, because this image is built for a core without the unit:
// `vstmia r0, {s0-s31}`, `vmrs r1, fpscr`; `vldmia r0, {s0-s31}`, `vmsr fpscr, r1`.
core::arch::global_asm!(
    r#"
    .section .text.bulkhead_float, "ax"
    .thumb_func
    .global bulkhead_float_read
bulkhead_float_read:
    .inst.w 0xec800a20
    .inst.w 0xeef11a10
    str r1, [r0, #128]
    bx lr

    .thumb_func
    .global bulkhead_float_write
bulkhead_float_write:
    ldr r1, [r0, #128]
    .inst.w 0xec900a20
    .inst.w 0xeee11a10
    bx lr
    "#
);

unsafe extern "C" {
    fn bulkhead_float_read(words: *mut [u32; FLOAT_REGISTERS]);
    fn bulkhead_float_write(words: *const [u32; FLOAT_REGISTERS]);
}

// DDI 0553, FPCCR and CPACR.
const AUTOMATIC_AND_LAZY: u32 = 0b11 << 30;
const OPEN: u32 = 0b11 << 20;
/// s0 to s15: the callee saves the others.
const SAVED_REGISTERS: usize = 16;
/// s0 to s15, fpscr and a reserved word, where a frame keeps them.
const SAVED_BYTES: u32 = FLOAT_FRAME_BYTES - FRAME_BYTES;

/// Whether this processor has the unit.
pub fn exists() -> bool {
    scs::read(MVFR0) != 0
}

/// Does `work` with the unit open; `None` if there is none, or a save that is due would go astray.
fn opened<R>(work: impl FnOnce() -> R) -> Option<R> {
    let due = scs::read(FPCCR + NON_SECURE_ALIAS) & FPCCR_LSPACT != 0;
    let save_at = scs::read(FPCAR + NON_SECURE_ALIAS) & !7;
    let control = scs::read(FPCCR);
    // An interrupt that pre-empts a gateway makes a save due on a secure stack. The application can leave it due, return
    // elsewhere, and wait for us to write what it has in the unit over whatever lies there by now: our own frames.
    let due_in_secure = is_due_in_secure();
    // The processor makes a save that is due with the application's own right to the unit, which it may have given up
    // since: then our access would fault.
    let may_save =
        scs::read(CPACR + NON_SECURE_ALIAS) & OPEN == OPEN && allowed(save_at, SAVED_BYTES, Intent::Write);
    if !exists() || due_in_secure || due && !may_save {
        return None;
    }
    // As it was, with the unit the application's: bit 2 would say that what is in it is secret.
    Some(opened_quietly(control, work))
}

/// What is in the unit. Afterwards no save is due: what a frame has room for is in the frame.
pub(super) fn read() -> Option<[u32; FLOAT_REGISTERS]> {
    let mut words = [0; FLOAT_REGISTERS];
    // SAFETY: the unit is open, and the function writes the array and nothing else.
    opened(|| unsafe { bulkhead_float_read(&raw mut words) })?;
    Some(words)
}

/// Changes what is in the unit.
pub(super) fn write(words: &[u32; FLOAT_REGISTERS]) -> bool {
    // SAFETY: the unit is open; no other code of this image uses its registers.
    opened(|| unsafe { bulkhead_float_write(&raw const *words) }).is_some()
}

/// Whether a save is due on a secure stack.
pub(super) fn is_due_in_secure() -> bool {
    scs::read(FPCCR) & FPCCR_LSPACT != 0
}

/// Makes a save that is due on a secure stack, if it is that of the frame at `frame`: then the application's interrupt came
/// between a gateway's `SG` and the next instruction, and the processor may not make the save itself. For the fault that it
/// reports instead.
///
/// Where else a save may be due, the application has left it due and returned elsewhere, to have us write what it has in the
/// unit over whatever lies there by now.
pub(super) fn save_beside_gateway(frame: u32) -> bool {
    let Some(place) = place_in(frame) else { return false };
    let control = scs::read(FPCCR);
    if control & FPCCR_LSPACT == 0 || scs::read(FPCAR) & !7 != place {
        return false;
    }
    let mut words = in_unit(control & !FPCCR_LSPACT);
    for (at, word) in kept(place, &mut words) {
        // SAFETY: the room that the frame has for them.
        unsafe { core::ptr::write_volatile(at, *word) };
    }
    true
}

/// The other half of [`save_beside_gateway`]: a thread goes back to the entrance of a gateway, and the processor may not take
/// its registers off the secure stack. They are put into the unit, and the save is due again, so that they stay there.
pub(super) fn restore_beside_gateway(frame: u32) -> bool {
    let Some(place) = place_in(frame) else { return false };
    let control = scs::read(FPCCR);
    // Those that are not in the frame are in the unit.
    let mut words = in_unit(control & !FPCCR_LSPACT);
    for (at, word) in kept(place, &mut words) {
        // SAFETY: the room that the frame has for them.
        *word = unsafe { core::ptr::read_volatile(at) };
    }
    put_into_unit(control & !FPCCR_LSPACT, &words);
    scs::write(FPCAR, place);
    scs::write(FPCCR, control | FPCCR_LSPACT | FPCCR_S);
    scs::barrier();
    true
}

/// Exchanges what is in the unit with what the frame at `frame` keeps. `false`: it keeps nothing, or a save is still due.
pub(super) fn exchange_beside_gateway(frame: u32) -> bool {
    let Some(place) = place_in(frame) else { return false };
    let control = scs::read(FPCCR);
    if control & FPCCR_LSPACT != 0 {
        return false;
    }
    let mut words = in_unit(control);
    for (at, word) in kept(place, &mut words) {
        // SAFETY: the room that the frame has for them.
        let theirs = unsafe { core::ptr::read_volatile(at) };
        // SAFETY: as above.
        unsafe { core::ptr::write_volatile(at, core::mem::replace(word, theirs)) };
    }
    put_into_unit(control, &words);
    true
}

/// Where floating-point registers have room in what a Non-secure exception left at `frame` on a secure stack.
fn place_in(frame: u32) -> Option<u32> {
    // SAFETY: the caller says that it lies in our own stacks.
    let signature = unsafe { core::ptr::read_volatile(frame as *const u32) };
    (signature == INTEGRITY_SIGNATURE_FLOAT).then(|| frame.wrapping_add(FRAME_BYTES + CALLEE_BYTES))
}

/// Of `words`, which are all of the unit, those that a frame keeps from `place` on, and where.
fn kept(place: u32, words: &mut [u32; FLOAT_REGISTERS]) -> impl Iterator<Item = (*mut u32, &mut u32)> {
    let [registers @ .., status] = words;
    let places = (0u32..).map(move |index| place.wrapping_add(4 * index) as *mut u32);
    places.zip(registers.iter_mut().take(SAVED_REGISTERS).chain([status]))
}

fn in_unit(control: u32) -> [u32; FLOAT_REGISTERS] {
    let mut words = [0; FLOAT_REGISTERS];
    // SAFETY: the unit is open, and the function writes the array and nothing else.
    opened_quietly(control, || unsafe { bulkhead_float_read(&raw mut words) });
    words
}

fn put_into_unit(control: u32, words: &[u32; FLOAT_REGISTERS]) {
    // SAFETY: the unit is open; no other code of this image uses its registers.
    opened_quietly(control, || unsafe { bulkhead_float_write(&raw const *words) });
}

/// Does `work` with the unit open and no save made; FPCCR is `control` afterwards.
fn opened_quietly<R>(control: u32, work: impl FnOnce() -> R) -> R {
    let access = scs::read(CPACR);
    scs::write(CPACR, access | OPEN);
    scs::write(FPCCR, control & !AUTOMATIC_AND_LAZY);
    scs::barrier();
    let result = work();
    scs::write(FPCCR, control);
    scs::write(CPACR, access);
    scs::barrier();
    result
}
