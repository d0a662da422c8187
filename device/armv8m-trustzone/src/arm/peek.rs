//! Single accesses to registers that may not answer: one that ends in a bus error fails, and nothing else.
//!
//! Which addresses may be touched the caller decides; none is looked at here.

// bulkhead_peek. r0: address, r1: width in bytes. Returns the value in r0, and in r1 whether it failed.
// bulkhead_poke. r0: address, r1: width in bytes, r2: value. Returns in r0 whether it failed.
// A fault between bulkhead_peek and bulkhead_peek_end goes on at bulkhead_peek_failed, see `faults`.
core::arch::global_asm!(
    r#"
    .section .text.bulkhead_peek, "ax"
    .thumb_func
    .global bulkhead_peek
bulkhead_peek:
    mov r2, r1
    movs r1, #0
    cmp r2, #2
    bhi 1f
    beq 2f
    ldrb r0, [r0]
    bx lr
2:  ldrh r0, [r0]
    bx lr
1:  ldr r0, [r0]
    bx lr

    .thumb_func
    .global bulkhead_poke
bulkhead_poke:
    cmp r1, #2
    bhi 1f
    beq 2f
    strb r2, [r0]
    b 3f
2:  strh r2, [r0]
    b 3f
1:  str r2, [r0]
3:  dsb                                 @ So that an error of the bus arrives here.
    movs r0, #0
    bx lr
    .global bulkhead_peek_end
bulkhead_peek_end:

    .thumb_func
    .global bulkhead_peek_failed
bulkhead_peek_failed:
    movs r0, #1
    movs r1, #1
    bx lr
    "#
);

unsafe extern "C" {
    fn bulkhead_peek(address: u32, width: u32) -> u64;
    fn bulkhead_poke(address: u32, width: u32, value: u32) -> u32;
    fn bulkhead_peek_end();
    fn bulkhead_peek_failed();
}

/// Reads a register of `width` bytes: 1, 2 or 4; `None` if it did not answer.
///
/// # Safety
/// 1. `address` is a register of a peripheral or of the processor, aligned to `width`; no Rust object lies there.
pub unsafe fn read(address: u32, width: u32) -> Option<u32> {
    // SAFETY: as promised; a fault ends in failure.
    let answer = unsafe { bulkhead_peek(address, width) };
    let value = u32::try_from(answer & 0xFFFF_FFFF).ok()?;
    (answer >> 32 == 0).then_some(value)
}

/// Writes a register of `width` bytes; `false` if it did not answer.
///
/// # Safety
/// 1. As `read`.
/// 2. What the register does cannot harm this image.
pub unsafe fn write(address: u32, width: u32, value: u32) -> bool {
    // SAFETY: as promised; a fault ends in failure.
    unsafe { bulkhead_poke(address, width, value) == 0 }
}

/// Where to go on after a fault at `program_counter`, if it was one of these accesses.
pub(super) fn fixup(program_counter: u32) -> Option<u32> {
    let first = bulkhead_peek as *const () as u32 & !1;
    let end = bulkhead_peek_end as *const () as u32 & !1;
    let failed = bulkhead_peek_failed as *const () as u32 & !1;
    (first..end).contains(&(program_counter & !1)).then_some(failed)
}
