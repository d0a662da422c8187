//! Copies, moves, compares and fills memory: what the compiler calls for it, in place of what its own library has.
//!
//! The application's interrupts wait while a gateway copies, and while the worker takes something out of the mailbox. The
//! library's functions need five instructions for each word, and eight where source and destination are not aligned to each
//! other; these need two of eight words, and nine of those. Loads of single words need not be aligned (DDI 0553, B6.5;
//! CCR.UNALIGN_TRP of the Secure state stays 0), those of many registers do.

use core::ffi::c_void;

// memcpy. r0: destination, kept; r1: source; r2: bytes; r3: scratch; r12: where it is.
// memmove. The same; upwards it is memcpy, which reads each block before it writes it.
// memcmp. r0, r1: where it is; r2: bytes; r3, r12: what is there.
// memset. r0: destination, kept; r1: the byte; r2: bytes; r3: scratch; r12: where it is.
core::arch::global_asm!(
    r#"
    .section .text.bulkhead_copy, "ax"
    .global memmove
    .global __aeabi_memmove
    .global __aeabi_memmove4
    .global __aeabi_memmove8
    .thumb_func
__aeabi_memmove:
    .thumb_func
__aeabi_memmove4:
    .thumb_func
__aeabi_memmove8:
    .thumb_func
memmove:
    subs r3, r0, r1
    cmp r3, r2
    bhs memcpy                          @ It ends before the source begins, or begins before it does.
    add r1, r2
    add r12, r0, r2
1:  subs r2, #32
    blo 2f
    .rept 8
    ldr r3, [r1, #-4]!
    str r3, [r12, #-4]!
    .endr
    b 1b
2:  adds r2, #32
    beq 4f
3:  ldrb r3, [r1, #-1]!
    strb r3, [r12, #-1]!
    subs r2, #1
    bne 3b
4:  bx lr

    .global memcpy
    .global __aeabi_memcpy
    .global __aeabi_memcpy4
    .global __aeabi_memcpy8
    .thumb_func
__aeabi_memcpy:
    .thumb_func
__aeabi_memcpy4:
    .thumb_func
__aeabi_memcpy8:
    .thumb_func
memcpy:
    mov r12, r0
    cmp r2, #36                         @ With three bytes less it is a block still.
    bhs 4f
1:  subs r2, #4
    blo 2f
    ldr r3, [r1], #4
    str r3, [r12], #4
    b 1b
2:  adds r2, #4
    beq 3f
7:  ldrb r3, [r1], #1
    strb r3, [r12], #1
    subs r2, #1
    bne 7b
3:  bx lr
4:  lsls r3, r12, #30
    beq 5f
    ldrb r3, [r1], #1                   @ Until the destination is aligned.
    strb r3, [r12], #1
    subs r2, #1
    b 4b
5:  push {{r4-r10}}
    subs r2, #32
    lsls r3, r1, #30
    bne 6f
8:  ldmia r1!, {{r3-r10}}
    stmia r12!, {{r3-r10}}
    subs r2, #32
    bhs 8b
    b 9f
6:  ldr r3, [r1]
    ldr r4, [r1, #4]
    ldr r5, [r1, #8]
    ldr r6, [r1, #12]
    ldr r7, [r1, #16]
    ldr r8, [r1, #20]
    ldr r9, [r1, #24]
    ldr r10, [r1, #28]
    adds r1, #32
    stmia r12!, {{r3-r10}}
    subs r2, #32
    bhs 6b
9:  pop {{r4-r10}}
    adds r2, #32
    b 1b

    .global memcmp
    .global bcmp
    .thumb_func
bcmp:
    .thumb_func
memcmp:
1:  subs r2, #4
    blo 2f
    ldr r3, [r0], #4
    ldr r12, [r1], #4
    cmp r3, r12
    beq 1b
    rev r3, r3                          @ The first byte decides.
    rev r12, r12
    cmp r3, r12
    ite hi
    movhi r0, #1
    movls r0, #-1
    bx lr
2:  adds r2, #4
    beq 4f
3:  ldrb r3, [r0], #1
    ldrb r12, [r1], #1
    subs r3, r3, r12
    bne 5f
    subs r2, #1
    bne 3b
4:  movs r3, #0
5:  mov r0, r3
    bx lr

    .global __aeabi_memclr
    .global __aeabi_memclr4
    .global __aeabi_memclr8
    .thumb_func
__aeabi_memclr:
    .thumb_func
__aeabi_memclr4:
    .thumb_func
__aeabi_memclr8:
    mov r2, r1
    movs r1, #0
    b memset

    .global __aeabi_memset
    .global __aeabi_memset4
    .global __aeabi_memset8
    .thumb_func
__aeabi_memset:
    .thumb_func
__aeabi_memset4:
    .thumb_func
__aeabi_memset8:
    mov r3, r1
    mov r1, r2
    mov r2, r3

    .global memset
    .thumb_func
memset:
    mov r12, r0
    uxtb r1, r1
    orr r1, r1, r1, lsl #8
    orr r1, r1, r1, lsl #16
    cmp r2, #16
    blo 2f
1:  lsls r3, r12, #30
    beq 5f
    strb r1, [r12], #1                  @ Until it is aligned.
    subs r2, #1
    b 1b
5:  push {{r4, r5}}
    mov r3, r1
    mov r4, r1
    mov r5, r1
    subs r2, #32
    blo 7f
6:  stmia r12!, {{r1, r3-r5}}
    stmia r12!, {{r1, r3-r5}}
    subs r2, #32
    bhs 6b
7:  pop {{r4, r5}}
    adds r2, #32
8:  subs r2, #4
    blo 9f
    str r1, [r12], #4
    b 8b
9:  adds r2, #4
2:  cbz r2, 4f
3:  strb r1, [r12], #1
    subs r2, #1
    bne 3b
4:  bx lr
    "#
);

unsafe extern "C" {
    fn memcpy(to: *mut c_void, from: *const c_void, len: usize) -> *mut c_void;
}

/// Copies out of or into the application's memory, which is never borrowed: it may change at any time. Each byte is read
/// and written once.
///
/// # Safety
/// Both ranges are memory that can be read, or written, and do not overlap.
pub(super) unsafe fn copy(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: as the caller says. The compiler cannot look into it, as it cannot look into the application.
    unsafe { memcpy(to.cast(), from.cast(), len) };
}
