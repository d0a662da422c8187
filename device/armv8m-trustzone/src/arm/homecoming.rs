//! How a gateway ends: by an exception return onto the caller's own stack.
//!
//! A gateway that opened the application's interrupts and then went back with `BXNS` would be pre-empted in between, by
//! whatever interrupt had waited for its end. The handler might switch tasks, and the next task be caught in the same
//! place: then the first to go on would take the other's frame off the one secure stack. A handler that uses
//! floating-point registers would have those of the thread saved to a secure stack, which is forbidden. So the gateway
//! calls the supervisor, which outranks every interrupt of the application; a frame is written to the caller's stack, just
//! as if the caller had been interrupted behind its call; and the exception return opens the interrupts and leaves the
//! secure state in one.
//!
//! The usual case is decided in assembly, to be short: the caller's stack in the board's first writable memory, no
//! floating-point state. All else is decided in Rust. If the caller's stack cannot take a frame, the gateway returns as a
//! function does: the next interrupt would have found no room either.

use core::sync::atomic::{AtomicU32, Ordering};

use super::entrance;
use super::exception::{
    EXC_RETURN_NO_FLOAT, EXC_RETURN_SECURE_STACK, EXC_RETURN_THREAD, FLOAT_FRAME_BYTES, FRAME_BYTES,
    XPSR_ALIGNED, XPSR_EXCEPTION, XPSR_THUMB,
};
use super::memory_check::{self, MemoryRegion};
use super::registers::{
    self as scs, FPCAR, FPCCR, FPCCR_LSPACT, FPCCR_S, FPCCR_THREAD, FPCCR_USER, NON_SECURE_ALIAS,
};
use super::switch;

/// First address and last one at which a frame fits, of the memory in which stacks usually lie.
#[unsafe(no_mangle)]
static bulkhead_frames_fit: [AtomicU32; 2] = [AtomicU32::new(0), AtomicU32::new(0)];
/// What the first one is when nobody asked to [`look_again`].
#[unsafe(no_mangle)]
static bulkhead_frames_usual: AtomicU32 = AtomicU32::new(0);
/// A first address behind which no other comes: somebody did.
const NOWHERE: u32 = u32::MAX;

// bulkhead_homecoming. SVCall_S. lr: EXC_RETURN of the gateway. Nothing of the hypervisor's is in r4-r11.
// r0: the gateway's frame, r12: frame of the caller, r1: whether its stack was not aligned; r2, r3: scratch.
core::arch::global_asm!(
    r#"
    .macro leave secure
    msr \secure, r0
    ldr r0, =bulkhead_gateway_stack + {top} - {beside}
    msr psplim, r0                      @ Room for whoever is caught at the entrance.
    movs r0, #0
    msr basepri, r0
    bic lr, lr, #{secure_stack}
    bx lr
    .endm

    @ Once for each kind of caller, with the names of its stack pointers and the question that has its privilege: to choose
    @ between them takes longer.
    .macro home secure, pointer, limit, ask, in_handler
    mrs r12, \pointer
    mrs r2, \limit
    sub r12, #{frame}
    ubfx r1, r12, #2, #1
    bic r12, #4
    cmp r12, r2
    blo 5f
    ldr r3, =bulkhead_frames_fit
    ldrd r2, r3, [r3]
    cmp r12, r2
    blo 5f
    cmp r12, r3
    bhi 5f
    \ask r2, r12                        @ One answer for all of the frame: it may write there, and so may we.
    add r3, r12, #{frame} - 1
    \ask r3, r3
    cmp r2, r3
    bne 5f
    and r2, #{asked}
    cmp r2, #{may_write}
    bne 5f

    ldr r2, [r0]
    movs r3, #0
    strd r2, r3, [r12]
    strd r3, r3, [r12, #8]
    strd r3, r3, [r12, #16]
    ldr r2, [r0, #20]                   @ Where it called from.
    lsls r3, r1, #{aligned_bit}
    .if \in_handler
    ldr r1, [r0, #28]
    ubfx r1, r1, #0, #9
    orrs r3, r1
    .endif
    orr r3, r3, #{thumb}
    strd r2, r3, [r12, #24]
    msr \pointer, r12
    adds r0, #{frame}
    leave \secure
    .endm

    .section .text.bulkhead_homecoming, "ax"
    .thumb_func
    .global bulkhead_homecoming
bulkhead_homecoming:
    tst lr, #{thread}
    beq 2f
    mrs r0, psp                         @ A thread's gateways have a stack of their own,
    tst lr, #{no_float}
    beq 5f
    mrs r1, control_ns
    lsls r1, r1, #31                    @ C: SPSEL, N: nPRIV.
    bmi 3f
    bcc 1f
    home psp, psp_ns, psplim_ns, tta, 0
1:  home psp, msp_ns, msplim_ns, tta, 0
3:  bcc 4f
    home psp, psp_ns, psplim_ns, ttat, 0
4:  home psp, msp_ns, msplim_ns, ttat, 0
2:  mrs r0, msp                         @ a handler's the main one.
    tst lr, #{no_float}
    beq 5f
    home msp, msp_ns, msplim_ns, tta, 1

5:  ldr r3, =bulkhead_frames_fit
    ldr r1, [r3]
    adds r1, #1
    bne 8f
    ldr r1, =bulkhead_frames_usual      @ The executor had nowhere to come to: it comes when this ends.
    ldr r1, [r1]
    str r1, [r3]
    ldr r3, ={icsr}
    mov r1, #{pend_executor}
    str r1, [r3]
    b bulkhead_homecoming

8:  mrs r2, msplim
    ldr r3, =__stack_limit + {reserve}
    msr msplim, r3
    push {{r2, lr}}
    mov r1, lr
    bl bulkhead_write_frame
    pop {{r2, lr}}
    msr msplim, r2
    cmp r0, #0
    beq 7f
    tst lr, #{thread}
    beq 6f
    leave psp
6:  leave msp
7:  bx lr                               @ Back into the gateway, which knows what to do.
    .pool
    "#,
    thread = const EXC_RETURN_THREAD,
    no_float = const EXC_RETURN_NO_FLOAT,
    secure_stack = const EXC_RETURN_SECURE_STACK,
    frame = const FRAME_BYTES,
    asked = const memory_check::SECURE | memory_check::NON_SECURE_READ_WRITE,
    may_write = const memory_check::NON_SECURE_READ_WRITE,
    thumb = const XPSR_THUMB,
    aligned_bit = const XPSR_ALIGNED.trailing_zeros(),
    icsr = const scs::ICSR,
    pend_executor = const scs::ICSR_PENDSVSET,
    reserve = const super::start::FAULT_RESERVE_BYTES,
    top = const switch::GATEWAY_STACK_BYTES,
    beside = const entrance::ROOM_BYTES,
);

/// Writes the caller's frame where assembly alone does not decide. Returns the address behind the gateway's own frame; 0 if
/// the caller's stack has no room.
///
/// # Safety
/// `frame` is the frame of the gateway that called the supervisor.
#[unsafe(no_mangle)]
unsafe extern "C" fn bulkhead_write_frame(frame: *const [u32; 8], exc_return: u32) -> u32 {
    // SAFETY: as promised.
    let [status, _, _, _, _, return_address, _, xpsr] = unsafe { *frame };
    let is_thread = exc_return & EXC_RETURN_THREAD != 0;
    let has_float = exc_return & EXC_RETURN_NO_FLOAT == 0;
    let caller = Caller::read(is_thread);
    let length = if has_float { FLOAT_FRAME_BYTES } else { FRAME_BYTES };
    let padding = if caller.stack & 4 == 0 { 0 } else { XPSR_ALIGNED };
    let xpsr = XPSR_THUMB | xpsr & XPSR_EXCEPTION | padding;
    let words = [status, 0, 0, 0, 0, 0, return_address, xpsr];
    let Some(at) = caller.stack.checked_sub(length).map(|at| at & !7).filter(|at| *at >= caller.limit) else {
        return 0;
    };
    if !memory_check::write_frame(at, length, &words, caller.is_unprivileged) {
        return 0;
    }
    if has_float {
        leave_float_registers(at.wrapping_add(FRAME_BYTES), &caller);
    }
    caller.set_stack(at);
    (frame as u32).wrapping_add(length)
}

/// Who called the gateway.
struct Caller {
    stack: u32,
    limit: u32,
    is_thread: bool,
    on_process_stack: bool,
    is_unprivileged: bool,
}

impl Caller {
    fn read(is_thread: bool) -> Self {
        let (control, msp, psp, msplim, psplim): (u32, u32, u32, u32, u32);
        // SAFETY: reads registers of the Non-secure state.
        unsafe {
            core::arch::asm!("mrs {0}, control_ns", "mrs {1}, msp_ns", "mrs {2}, psp_ns", "mrs {3}, msplim_ns",
                "mrs {4}, psplim_ns", out(reg) control, out(reg) msp, out(reg) psp, out(reg) msplim,
                out(reg) psplim, options(nomem, nostack, preserves_flags));
        }
        let on_process_stack = is_thread && control & 2 != 0;
        let (stack, limit) = if on_process_stack { (psp, psplim) } else { (msp, msplim) };
        Self { stack, limit, is_thread, on_process_stack, is_unprivileged: is_thread && control & 1 != 0 }
    }

    fn set_stack(&self, to: u32) {
        if self.on_process_stack {
            // SAFETY: a stack pointer of the Non-secure state, at or above its limit; the frame below was just written.
            unsafe {
                core::arch::asm!("msr psp_ns, {0}", in(reg) to, options(nomem, nostack, preserves_flags))
            };
        } else {
            // SAFETY: as above.
            unsafe {
                core::arch::asm!("msr msp_ns, {0}", in(reg) to, options(nomem, nostack, preserves_flags))
            };
        }
    }
}

/// The caller's floating-point registers are in the unit still: the processor has only noted where on the gateway's stack they
/// would go. Now they would go to the caller's frame, at `place`, as if the caller had been interrupted.
fn leave_float_registers(place: u32, caller: &Caller) {
    scs::write(FPCCR, scs::read(FPCCR) & !(FPCCR_LSPACT | FPCCR_S));
    scs::write(FPCAR + NON_SECURE_ALIAS, place);
    let user = if caller.is_unprivileged { FPCCR_USER } else { 0 };
    let thread = if caller.is_thread { FPCCR_THREAD } else { 0 };
    let others = scs::read(FPCCR + NON_SECURE_ALIAS) & !(FPCCR_USER | FPCCR_THREAD);
    scs::write(FPCCR + NON_SECURE_ALIAS, others | FPCCR_LSPACT | user | thread);
    scs::barrier();
}

/// Says where stacks usually lie.
pub(super) fn set_stacks((base, length, _): MemoryRegion) {
    let [first, last] = &bulkhead_frames_fit;
    bulkhead_frames_usual.store(base, Ordering::Relaxed);
    last.store(base.wrapping_add(length).wrapping_sub(FRAME_BYTES), Ordering::Relaxed);
    first.store(base, Ordering::Relaxed);
}

/// The executor comes again when the gateway that it came across ends. Meanwhile no frame fits as usual, so that a gateway
/// which ends undisturbed has nothing more to look at. For the executor.
pub(super) fn look_again() {
    let [first, _] = &bulkhead_frames_fit;
    first.store(NOWHERE, Ordering::Relaxed);
}

/// The stack pointer of the application's thread.
pub(super) fn thread_stack() -> u32 {
    Caller::read(true).stack
}

/// Whether the thread that entered the gateway has floating-point registers in use.
pub(super) fn has_float() -> bool {
    let control: u32;
    // SAFETY: reads CONTROL; FPCA is not banked.
    unsafe {
        core::arch::asm!("mrs {0}, control", out(reg) control, options(nomem, nostack, preserves_flags))
    };
    control & 4 != 0
}
