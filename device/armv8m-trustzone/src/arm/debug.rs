//! The application as a debugger sees it: held by the executor, its registers gathered from where they lie.
//!
//! Held means that the executor goes on with the worker and not with the application: the frame that the processor
//! pushed when it came stays on the application's stack, and every interrupt of the application waits beneath the
//! worker's priority. All functions are for the worker alone, while [`may_hold`] is true and the application stands
//! still, be it by [`hold`] or by [`super::worker::freeze`].

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::exception::{
    EXC_RETURN_NO_FLOAT, EXC_RETURN_SECURE_STACK, EXC_RETURN_THREAD, FLOAT_FRAME_BYTES, FRAME_BYTES,
    XPSR_ALIGNED, XPSR_EXCEPTION, XPSR_THUMB,
};
use super::faults::application_stack;
use super::float::{self, FLOAT_REGISTERS};
use super::held_frame;
use super::memory_check::{Intent, allowed, copy_in, is_secure as attributed_secure};
use super::registers::{self as scs, NON_SECURE_ALIAS, VTOR};
use super::switch::{application_context, is_running};
use super::worker;

/// r0 to r12, sp, lr, pc, xpsr.
pub const CORE_REGISTERS: usize = 17;
/// msp, psp, primask, basepri, faultmask, control, msplim, psplim.
pub const SYSTEM_REGISTERS: usize = 8;

const CONTROL_PROCESS_STACK: u32 = 1 << 1;
const CONTROL_UNPRIVILEGED: u32 = 1 << 0;

/// Place of the frame's first word of floating-point state, and of its xPSR.
const FLOAT_IN_FRAME: usize = 8;
const XPSR_IN_FRAME: usize = 7;
/// What of xPSR the processor wants back as it was: the exception's number, the alignment, and Thumb state.
const XPSR_KEPT: u32 = XPSR_EXCEPTION | XPSR_ALIGNED | XPSR_THUMB;

macro_rules! write_banked {
    ($name:literal, $value:expr) => {{
        let value: u32 = $value;
        // SAFETY: writes a banked register of the application; none is used by this image.
        unsafe {
            core::arch::asm!(concat!("msr ", $name, ", {0}"), in(reg) value, options(nomem, nostack))
        };
    }};
}

/// Stands in [`MASK_TO_RESTORE`] for "nothing".
const NOTHING: u32 = u32::MAX;

static HELD: AtomicBool = AtomicBool::new(false);
/// The application's own PRIMASK while it runs with its interrupts held back.
static MASK_TO_RESTORE: AtomicU32 = AtomicU32::new(NOTHING);

/// Registers of the application.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Registers {
    /// r0 to r12, sp, lr, pc, xpsr.
    pub core: [u32; CORE_REGISTERS],
    /// msp, psp, primask, basepri, faultmask, control, msplim, psplim.
    pub system: [u32; SYSTEM_REGISTERS],
}

/// Where a register was not written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RegisterRefused {
    /// There is none of that number, or it must not be written.
    Unknown,
    /// A stack pointer outside the application's memory.
    OutsideMemory,
}

/// Whether the application can be held now: it runs, and is not inside a gateway.
pub fn may_hold() -> bool {
    is_running() && exc_return() & EXC_RETURN_SECURE_STACK == 0
}

/// Keeps the application where it stands.
pub fn hold() {
    if !HELD.swap(true, Ordering::Relaxed) {
        worker::reconsider();
        if exc_return() & EXC_RETURN_NO_FLOAT == 0 {
            // A save that is due is made, so that what the frame has room for is in the frame.
            let _ = float::read();
        }
        held_frame::keep(frame_address(), frame_bytes());
    }
    restore_mask();
}

fn restore_mask() {
    let mask = MASK_TO_RESTORE.swap(NOTHING, Ordering::Relaxed);
    if mask != NOTHING {
        write_primask(mask);
    }
}

/// Lets it go on when the worker's slice of work ends. `interrupts_held`: its interrupts wait until the next [`hold`].
pub fn release(interrupts_held: bool) {
    worker::stand_still();
    HELD.store(false, Ordering::Relaxed);
    held_frame::put_back(frame_address());
    // It may be let go in the middle of a step: its developer is gone.
    restore_mask();
    if interrupts_held {
        MASK_TO_RESTORE.store(primask(), Ordering::Relaxed);
        write_primask(1);
    }
}

/// Whether a step runs with the application's interrupts held back.
pub(super) fn holds_interrupts() -> bool {
    MASK_TO_RESTORE.load(Ordering::Relaxed) != NOTHING
}

/// Whether the application is to stay where it is.
pub(super) fn is_held() -> bool {
    HELD.load(Ordering::Relaxed) && may_hold()
}

/// The application's context was thrown away.
pub(super) fn forget() {
    super::guards::forget();
    held_frame::forget();
    HELD.store(false, Ordering::Relaxed);
    MASK_TO_RESTORE.store(NOTHING, Ordering::Relaxed);
}

/// The application's registers; those in a frame that cannot be read are 0.
pub fn registers() -> Registers {
    let context = application_context();
    let frame_at = frame_address();
    let frame = frame(frame_at);
    let [r0, r1, r2, r3, r12, lr, pc, xpsr] = frame;
    let [r4, r5, r6, r7, r8, r9, r10, r11] = context.r4_r11;
    let sp = unstacked(frame_at, xpsr);
    let mut system = system_registers();
    if let Some(running) = system.get_mut(usize::from(on_process_stack())) {
        *running = sp;
    }
    let mask = MASK_TO_RESTORE.load(Ordering::Relaxed);
    if mask != NOTHING {
        system[2] = mask;
    }
    let core = [r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10, r11, r12, sp, lr, pc & !1, xpsr & !XPSR_ALIGNED];
    Registers { core, system }
}

/// Writes core register `number` (0 to 15, 16 for xpsr).
///
/// # Errors
/// [`RegisterRefused`]; nothing was written.
pub fn write_core(number: usize, value: u32) -> Result<(), RegisterRefused> {
    let in_frame = match number {
        0..=3 => number,
        4..=11 => {
            let mut context = application_context();
            if let Some(place) = context.r4_r11.get_mut(number - 4) {
                *place = value;
            }
            super::switch::set_application_registers(context.r4_r11);
            return Ok(());
        }
        12 => 4,
        13 => return move_frame(value),
        14 => 5,
        15 => 6,
        16 => 7,
        _ => return Err(RegisterRefused::Unknown),
    };
    let value = match in_frame {
        6 => value & !1,
        XPSR_IN_FRAME => value & !XPSR_KEPT | frame(frame_address())[XPSR_IN_FRAME] & XPSR_KEPT,
        _ => value,
    };
    if held_frame::set_word(in_frame, value) { Ok(()) } else { Err(RegisterRefused::OutsideMemory) }
}

/// Writes system register `number`, counted as in [`Registers::system`].
///
/// # Errors
/// [`RegisterRefused`]; nothing was written.
pub fn write_system(number: usize, value: u32) -> Result<(), RegisterRefused> {
    if number == usize::from(on_process_stack()) {
        return move_frame(value);
    }
    match number {
        0 => write_banked!("msp_ns", value & !3),
        1 => write_banked!("psp_ns", value & !3),
        2 => write_primask(value & 1),
        3 => write_banked!("basepri_ns", value & 0xFF),
        4 => write_banked!("faultmask_ns", value & 1),
        // Privilege alone: where the frame lies, and whether it holds floating-point state, is not to be changed now.
        5 => {
            let control = system_registers()[5];
            write_banked!("control_ns", control & !CONTROL_UNPRIVILEGED | value & CONTROL_UNPRIVILEGED);
        }
        6 => write_banked!("msplim_ns", value & !7),
        7 => write_banked!("psplim_ns", value & !7),
        _ => return Err(RegisterRefused::Unknown),
    }
    Ok(())
}

/// Where a frame that has floating-point state keeps a register of it: s0 to s15 and fpscr.
fn float_in_frame(number: usize) -> Option<usize> {
    match number {
        0..=15 => Some(FLOAT_IN_FRAME + number),
        32 => Some(FLOAT_IN_FRAME + 16),
        _ => None,
    }
}

/// s0 to s31 and fpscr; `None` without the unit, or where they cannot be had.
pub fn float_registers() -> Option<[u32; FLOAT_REGISTERS]> {
    let mut words = float::read()?;
    for (number, word) in words.iter_mut().enumerate() {
        if let Some(saved) = float_in_frame(number).and_then(held_frame::word) {
            *word = saved;
        }
    }
    Some(words)
}

/// Writes floating-point register `number`: 0 to 31 for s0 to s31, 32 for fpscr.
///
/// # Errors
/// [`RegisterRefused`]; nothing was written.
pub fn write_float(number: usize, value: u32) -> Result<(), RegisterRefused> {
    let mut words = float::read().ok_or(RegisterRefused::Unknown)?;
    let in_frame = float_in_frame(number).is_some_and(|place| held_frame::set_word(place, value));
    if !in_frame {
        *words.get_mut(number).ok_or(RegisterRefused::Unknown)? = value;
        if !float::write(&words) {
            return Err(RegisterRefused::OutsideMemory);
        }
    }
    Ok(())
}

/// Whether a branch to `address` leaves the application's world.
pub fn is_secure(address: u32) -> bool {
    attributed_secure(address)
}

/// Address of the application's vector table.
pub fn vector_table() -> u32 {
    scs::read(VTOR + NON_SECURE_ALIAS)
}

/// Makes sure that code which was written is what is executed next.
pub fn code_changed() {
    scs::barrier();
}

fn exc_return() -> u32 {
    application_context().exc_return
}

fn frame_address() -> u32 {
    application_stack(exc_return())
}

fn frame_bytes() -> usize {
    (if exc_return() & EXC_RETURN_NO_FLOAT == 0 { FLOAT_FRAME_BYTES } else { FRAME_BYTES }) as usize
}

/// r0 to r3, r12, lr, pc, xpsr, of the frame that is kept or else of the one at `at`.
fn frame(at: u32) -> [u32; 8] {
    let mut bytes = [0; FRAME_BYTES as usize];
    let mut words = [0; 8];
    if held_frame::is_kept() {
        for (index, word) in words.iter_mut().enumerate() {
            *word = held_frame::word(index).unwrap_or_default();
        }
    } else if copy_in(at, &mut bytes) {
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*bytes);
        }
    }
    words
}

/// The stack pointer behind a frame.
fn unstacked(frame_at: u32, xpsr: u32) -> u32 {
    let padding = if xpsr & XPSR_ALIGNED == 0 { 0 } else { 4 };
    frame_at.wrapping_add(u32::try_from(frame_bytes()).unwrap_or_default()).wrapping_add(padding)
}

fn on_process_stack() -> bool {
    exc_return() & EXC_RETURN_THREAD != 0 && system_registers()[5] & CONTROL_PROCESS_STACK != 0
}

/// Moves the frame's place so that the stack pointer behind it becomes `sp`.
fn move_frame(sp: u32) -> Result<(), RegisterRefused> {
    let len = u32::try_from(frame_bytes()).unwrap_or_default();
    let padding = sp & 4;
    let to = (sp & !3).wrapping_sub(padding).wrapping_sub(len);
    let system = system_registers();
    let limit = if on_process_stack() { system[7] } else { system[6] };
    let xpsr = held_frame::word(XPSR_IN_FRAME).filter(|_| to >= limit && allowed(to, len, Intent::Write));
    let Some(xpsr) = xpsr else { return Err(RegisterRefused::OutsideMemory) };
    held_frame::set_word(XPSR_IN_FRAME, xpsr & !XPSR_ALIGNED | if padding == 0 { 0 } else { XPSR_ALIGNED });
    if on_process_stack() {
        write_banked!("psp_ns", to);
    } else {
        write_banked!("msp_ns", to);
    }
    Ok(())
}

fn system_registers() -> [u32; SYSTEM_REGISTERS] {
    let (msp, psp, primask, basepri, faultmask, control, msplim, psplim);
    // SAFETY: reads the application's banked registers.
    unsafe {
        core::arch::asm!("mrs {0}, msp_ns", "mrs {1}, psp_ns", "mrs {2}, primask_ns", "mrs {3}, basepri_ns",
            out(reg) msp, out(reg) psp, out(reg) primask, out(reg) basepri,
            options(nomem, nostack, preserves_flags));
    }
    // SAFETY: as above.
    unsafe {
        core::arch::asm!("mrs {0}, faultmask_ns", "mrs {1}, control_ns", "mrs {2}, msplim_ns", "mrs {3}, psplim_ns",
            out(reg) faultmask, out(reg) control, out(reg) msplim, out(reg) psplim,
            options(nomem, nostack, preserves_flags));
    }
    [msp, psp, primask, basepri, faultmask, control, msplim, psplim]
}

pub(super) fn primask() -> u32 {
    let [_, _, primask, ..] = system_registers();
    primask
}

pub(super) fn write_primask(value: u32) {
    write_banked!("primask_ns", value);
}
