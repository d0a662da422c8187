//! The application's floating-point registers, while it is held.
//!
//! The hypervisor is built without floating point. To read what the application left in the unit it opens the unit for
//! itself for a moment, with automatic preservation switched off, so that its own access makes no new context (DDI 0553,
//! `ExecuteFPCheck`). A save of the application's that is still due happens with the first access, to where the processor
//! noted: that is looked at first, since the application can write there.

use super::memory_check::{Intent, allowed};
use super::registers::{self as scs, CPACR, FPCAR, FPCCR, MVFR0, NON_SECURE_ALIAS};

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
const LAZY_SAVE_DUE: u32 = 1 << 0;
const AUTOMATIC_AND_LAZY: u32 = 0b11 << 30;
const OPEN: u32 = 0b11 << 20;
/// s0 to s15, fpscr and a reserved word, where a frame keeps them.
const SAVED_BYTES: u32 = 72;

/// Whether this processor has the unit.
pub fn exists() -> bool {
    scs::read(MVFR0) != 0
}

/// Does `work` with the unit open; `None` if there is none, or a save that is due would go astray.
fn opened<R>(work: impl FnOnce() -> R) -> Option<R> {
    let due = scs::read(FPCCR + NON_SECURE_ALIAS) & LAZY_SAVE_DUE != 0;
    let save_at = scs::read(FPCAR + NON_SECURE_ALIAS) & !7;
    let (access, control) = (scs::read(CPACR), scs::read(FPCCR));
    // An interrupt that pre-empts a gateway makes a save due on a secure stack. The application can leave it due, return
    // elsewhere, and wait for us to write what it has in the unit over whatever lies there by now: our own frames.
    let due_in_secure = control & LAZY_SAVE_DUE != 0;
    // The processor makes a save that is due with the application's own right to the unit, which it may have given up
    // since: then our access would fault.
    let may_save =
        scs::read(CPACR + NON_SECURE_ALIAS) & OPEN == OPEN && allowed(save_at, SAVED_BYTES, Intent::Write);
    if !exists() || due_in_secure || due && !may_save {
        return None;
    }
    scs::write(CPACR, access | OPEN);
    scs::write(FPCCR, control & !AUTOMATIC_AND_LAZY);
    scs::barrier();
    let result = work();
    // As it was, with the unit the application's: bit 2 would say that what is in it is secret.
    scs::write(FPCCR, control);
    scs::write(CPACR, access);
    scs::barrier();
    Some(result)
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
