//! Reset, the exception vectors, restart, and what survives it.

use super::registers::{self as scs, AIRCR, AIRCR_KEY, AIRCR_SYSRESETREQ, AIRCR_SYSRESETREQS};

// On entry after reset: r0-r12 undefined, MSP from vector 0, Secure, privileged.
// r0, r1: source and destination; r2: end; r3: word.
core::arch::global_asm!(
    r#"
    .section .vectors, "a"
    .global bulkhead_vectors
bulkhead_vectors:
    .word __stack_top
    .word bulkhead_reset
    .word bulkhead_fault_entry @ NMI
    .word bulkhead_fault_entry @ HardFault
    .word bulkhead_fault_entry @ MemManage
    .word bulkhead_fault_entry @ BusFault
    .word bulkhead_fault_entry @ UsageFault
    .word bulkhead_fault_entry @ SecureFault
    .word 0
    .word 0
    .word 0
    .word bulkhead_homecoming
    .word bulkhead_fault_entry @ DebugMonitor
    .word 0
    .word bulkhead_pendsv
    .word bulkhead_systick_entry
    .rept 112
    .word bulkhead_device_entry
    .endr

    .section .text.bulkhead_reset, "ax"
    .thumb_func
    .global bulkhead_reset
bulkhead_reset:
    cpsid i                             @ Until the worker opens them.
    ldr r0, =__stack_limit + {reserve}  @ A stack that runs over faults instead of eating data.
    msr msplim, r0
    ldr r0, =__data_load
    ldr r1, =__data_start
    ldr r2, =__data_end
1:  cmp r1, r2
    bhs 2f
    ldr r3, [r0], #4
    str r3, [r1], #4
    b 1b
2:  ldr r1, =__bss_start
    ldr r2, =__bss_end
    movs r3, #0
3:  cmp r1, r2
    bhs 4f
    str r3, [r1], #4
    b 3b
4:  ldr r0, =__stack_top                @ Sealed: no frame for who returns without one, see gateways.rs.
    ldr r1, =0xFEF5EDA5
    strd r1, r1, [r0]
    movs r0, #0
    mov lr, r0
    bl bulkhead_main
    udf #0                              @ bulkhead_main does not return.
    .pool

    @ While the application runs, MSPLIM keeps it to its share of the main stack. The hypervisor's handlers go deeper.
    @ r0: the limit that is put back; r1: scratch.
    .macro handler name, body
    .thumb_func
\name:
    mrs r0, msplim
    ldr r1, =__stack_limit + {reserve}
    msr msplim, r1
    push {{r0, lr}}
    bl \body
    pop {{r0, lr}}
    msr msplim, r0
    bx lr
    .endm
    handler bulkhead_systick_entry, bulkhead_systick
    handler bulkhead_device_entry, bulkhead_device_interrupt
    .pool
    "#,
    reserve = const FAULT_RESERVE_BYTES,
);

/// Lowest part of the main stack, for the handler of the fault that tells of an overflow.
pub(super) const FAULT_RESERVE_BYTES: u32 = 512;
/// Highest part of the main stack, for gateways that handlers of the application enter and frames of the exceptions
/// that pre-empt them: `MSPLIM` keeps the application from the rest.
pub(super) const APPLICATION_SHARE_BYTES: u32 = 2048;

/// `MSPLIM` while the application runs.
pub(super) fn application_limit() -> u32 {
    stack_bounds().1.wrapping_sub(APPLICATION_SHARE_BYTES)
}

unsafe extern "C" {
    fn bulkhead_tick();
}

/// SysTick_S: counts, then lets the board decide whether the executor has work.
#[unsafe(no_mangle)]
extern "C" fn bulkhead_systick() {
    super::tick::count();
    if super::worker::wants_ticks() {
        super::switch::pend_executor();
    }
    // SAFETY: the board crate defines it; it takes nothing and upholds the rules of an interrupt handler.
    unsafe { bulkhead_tick() }
}

/// Restarts the whole chip. The application cannot cause or prevent this.
pub fn restart() -> ! {
    let keep = scs::read(AIRCR) & 0xFFFF & !AIRCR_SYSRESETREQS;
    scs::barrier();
    scs::write(AIRCR, AIRCR_KEY | keep | AIRCR_SYSRESETREQ);
    loop {
        scs::barrier();
    }
}

/// Lets only the hypervisor restart the chip: the application's own request is ignored.
#[inline(never)]
pub fn refuse_application_reset() {
    let keep = scs::read(AIRCR) & 0xFFFF;
    scs::write(AIRCR, AIRCR_KEY | keep | AIRCR_SYSRESETREQS);
    scs::barrier();
}

/// Highest use of the handlers' stack so far, in bytes; it is painted by [`paint_stack`].
pub fn stack_used_bytes() -> u32 {
    let (limit, top) = stack_bounds();
    used_bytes(limit, top)
}

/// How much of the painted stack from `limit` to `top` was ever used, in bytes.
pub(super) fn used_bytes(limit: u32, top: u32) -> u32 {
    let mut at = limit;
    // SAFETY: the range is a stack of this image, aligned to words; it is only read.
    while at < top && unsafe { core::ptr::read_volatile(at as *const u32) } == STACK_PAINT {
        at = at.wrapping_add(4);
    }
    top.wrapping_sub(at)
}

pub(super) const STACK_PAINT: u32 = 0xB01C_4EAD;

/// Fills the unused part of the stack, so that its highest use can be told later. Call once, early.
pub fn paint_stack() {
    let (limit, _) = stack_bounds();
    let now: u32;
    // SAFETY: reads the stack pointer.
    unsafe { core::arch::asm!("mov {0}, sp", out(reg) now, options(nomem, nostack, preserves_flags)) };
    let mut at = limit;
    while at < now.wrapping_sub(64) {
        // SAFETY: below the stack pointer and above the limit nothing lives; interrupts are still off.
        unsafe { core::ptr::write_volatile(at as *mut u32, STACK_PAINT) };
        at = at.wrapping_add(4);
    }
}

/// Lowest and one past the highest address of the main stack.
pub(super) fn stack_bounds() -> (u32, u32) {
    unsafe extern "C" {
        static __stack_limit: u8;
        static __stack_top: u8;
    }
    ((&raw const __stack_limit) as u32, (&raw const __stack_top) as u32)
}

/// Lowest and one past the highest address of the hypervisor's memory, all of its stacks included.
pub(super) fn memory_bounds() -> (u32, u32) {
    unsafe extern "C" {
        static __stack_limit: u8;
        static __bss_end: u8;
    }
    ((&raw const __stack_limit) as u32, (&raw const __bss_end) as u32)
}
