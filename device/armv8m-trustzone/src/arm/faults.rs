//! Faults of either world arrive here.
//!
//! A fault of the application is recorded, the executor is pended and the handler returns: the executor
//! (priority 0x40) runs before the application can go on. A fault of the hypervisor itself goes to the board,
//! which writes an epitaph and restarts.

use super::critical::Shared;
use super::exception::{EXC_RETURN_NO_FLOAT, EXC_RETURN_SECURE_STACK, EXC_RETURN_THREAD};
use super::registers::{self as scs, BFAR, CFSR, HFSR, MMFAR, NON_SECURE_ALIAS, SFAR, SFSR};
use super::{entrance, float, memory_check};
use crate::{FaultRegisters, Offence, classify};

// lr: EXC_RETURN. Nothing is passed by address: the application's stack may be gone. r3: whose limit of the main stack was
// in force. The handler's own lies lower: it is also called because the stack has run into its limit.
core::arch::global_asm!(
    r#"
    .section .text.bulkhead_fault_entry, "ax"
    .thumb_func
    .global bulkhead_fault_entry
bulkhead_fault_entry:
    mrs r3, msplim
    ldr r12, =__stack_limit
    msr msplim, r12
    mov r0, lr
    mrs r1, ipsr
    mrs r2, msp
    push {{r3, lr}}
    bl bulkhead_fault
    pop {{r3, lr}}
    msr msplim, r3
    bx r0                               @ Not always as it came, see bulkhead_fault.
    .pool
    "#
);

/// A fault of the application.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ApplicationFault {
    /// What it did.
    pub offence: Offence,
    /// Program counter, or 0 when its stack could not be read.
    pub program_counter: u32,
    /// Address that was touched, if the processor told.
    pub address: Option<u32>,
    /// The status registers behind it.
    pub registers: FaultRegisters,
}

/// A fault of the hypervisor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SecureFault {
    /// Exception number.
    pub exception: u32,
    /// Secure CFSR.
    pub cfsr: u32,
    /// Secure fault status.
    pub sfsr: u32,
    /// HardFault status.
    pub hfsr: u32,
    /// Program counter, 0 if unknown.
    pub program_counter: u32,
}

static PENDING: Shared<Option<ApplicationFault>> = Shared::new(None);
/// A breakpoint that waits for the worker while the application's interrupts are served.
static PUT_OFF: Shared<Option<ApplicationFault>> = Shared::new(None);
static MEMORY: Shared<(u32, u32)> = Shared::new((0, 0));

unsafe extern "Rust" {
    /// Board: write an epitaph and restart.
    safe fn bulkhead_secure_fault(fault: SecureFault) -> !;
}

/// Tells where the application's memory lies, for naming stack overflows.
pub fn set_application_memory(first: u32, end: u32) {
    MEMORY.with(|m| *m = (first, end));
}

/// Whether a fault waits for [`take`].
pub fn is_waiting() -> bool {
    PENDING.with(|p| p.is_some()) || PUT_OFF.with(|p| p.is_some())
}

/// Takes the fault that waits, if any. The first one wins; later ones are its consequences.
pub fn take() -> Option<ApplicationFault> {
    PENDING.with(Option::take).or_else(|| PUT_OFF.with(Option::take))
}

/// Puts the fault that waits off, if it is a breakpoint: its thread stands before the instruction and comes across it
/// again. Whether nothing else waits.
pub(super) fn put_off_breakpoint() -> bool {
    let breakpoint = PENDING.with(|p| p.take_if(|fault| fault.offence == Offence::Breakpoint));
    if breakpoint.is_none() {
        return PENDING.with(|p| p.is_none());
    }
    PUT_OFF.with(|p| *p = breakpoint);
    super::hop::look();
    true
}

/// Whether a breakpoint waits while the application's interrupts are served.
pub(super) fn is_put_off() -> bool {
    PUT_OFF.with(|p| p.is_some())
}

/// Forgets a breakpoint that came last, if it is one of those. Whether nothing else waits.
pub(super) fn forget_breakpoint(is_one: impl Fn(u32) -> bool) -> bool {
    PENDING.with(|p| {
        let _ = p.take_if(|fault| fault.offence == Offence::Breakpoint && is_one(fault.program_counter));
        p.is_none()
    })
}

/// The application went on, or is no more: what it came across may not be where it is now.
pub(super) fn forget_put_off() {
    PUT_OFF.with(|p| *p = None);
}

/// Number of the exception. One that was escalated is another: it hit the hypervisor with interrupts masked.
const USAGE_FAULT: u32 = 6;
const SECURE_FAULT: u32 = 7;
const EXC_RETURN_PROCESS_STACK: u32 = 1 << 2;

/// `WFI` and `WFE`. Their 32-bit forms are not used by any compiler.
const WAIT_FOR_INTERRUPT: u16 = 0xBF30;
const WAIT_FOR_EVENT: u16 = 0xBF20;

#[unsafe(no_mangle)]
extern "C" fn bulkhead_fault(exc_return: u32, exception: u32, msp: u32, main_limit: u32) -> u32 {
    let registers = take_status();
    if exception & 0x1FF == USAGE_FAULT && registers.is_refused_float() && moves_float(exc_return, msp) {
        return exc_return;
    }
    if exception & 0x1FF == SECURE_FAULT && registers.is_other_frame() && finds_frame(exc_return) {
        return exc_return;
    }
    // Its frames fill a secure stack: nothing of the hypervisor's was running, and nothing is left half done.
    let left_frames = exception & 0x1FF == USAGE_FAULT
        && registers.is_secure_overflow()
        && main_limit == super::start::application_limit()
        && super::switch::application_is_current();
    if exc_return & EXC_RETURN_SECURE_STACK != 0 && !registers.is_forged_return() && !left_frames {
        let stack = if exc_return & EXC_RETURN_PROCESS_STACK != 0 { process_stack() } else { msp };
        if in_secure_memory(stack) && goes_on(stack) {
            return exc_return;
        }
        let program_counter = if in_secure_memory(stack) {
            // SAFETY: the hardware has just pushed a frame to this stack. If that had failed, the stack limit would
            // have led here with a pointer that cannot be trusted, hence the check above.
            unsafe { core::ptr::read_volatile(stack.wrapping_add(24) as *const u32) }
        } else {
            0
        };
        bulkhead_secure_fault(SecureFault {
            exception: exception & 0x1FF,
            cfsr: registers.cfsr_secure,
            sfsr: registers.sfsr,
            hfsr: scs::read(HFSR),
            program_counter,
        });
    }
    let (program_counter, registers) = with_frame(exc_return, registers);
    let (offence, address) = classify(&registers);
    PENDING.with(|p| {
        p.get_or_insert(ApplicationFault { offence, program_counter, address, registers });
    });
    super::worker::wake();
    // A refused EXC_RETURN is handed on to the handler of its refusal, reserved bits included. Returned with once more,
    // it would be refused again, above every priority and for ever. The executor comes before anything is unstacked.
    if registers.is_forged_return() { super::switch::RETURN_TO_APPLICATION } else { exc_return }
}

/// Whether floating-point registers had to be moved that belong to a thread which is caught at the entrance of a gateway:
/// saved, for a handler to use the unit, or put back, for the thread to go on. The processor may do neither on a secure stack.
fn moves_float(exc_return: u32, msp: u32) -> bool {
    let goes_back = exc_return & EXC_RETURN_SECURE_STACK != 0;
    if !goes_back {
        let stacks = [process_stack(), msp];
        return stacks.into_iter().any(|stack| in_secure_memory(stack) && float::save_beside_gateway(stack));
    }
    let stack = if exc_return & EXC_RETURN_THREAD != 0 { process_stack() } else { msp };
    exc_return & EXC_RETURN_NO_FLOAT == 0 && in_secure_memory(stack) && float::restore_beside_gateway(stack)
}

/// Whether a thread that goes back to the entrance of a gateway found the frame of another, longer or shorter than its own,
/// and finds one of its kind now.
fn finds_frame(exc_return: u32) -> bool {
    let is_thread = exc_return & (EXC_RETURN_SECURE_STACK | EXC_RETURN_THREAD)
        == EXC_RETURN_SECURE_STACK | EXC_RETURN_THREAD;
    is_thread && entrance::bring_up(process_stack(), exc_return & EXC_RETURN_NO_FLOAT == 0)
}

/// Whether the fault was an access that may fail: then its frame leads to where that is told.
fn goes_on(stack: u32) -> bool {
    let place = stack.wrapping_add(24) as *mut u32;
    // SAFETY: the frame that the hardware has just pushed, as below.
    let program_counter = unsafe { core::ptr::read_volatile(place) };
    let Some(failed) = super::peek::fixup(program_counter) else { return false };
    // SAFETY: as above; the interrupted function ends with the failure and touches no more.
    unsafe { core::ptr::write_volatile(place, failed) };
    true
}

fn in_secure_memory(stack: u32) -> bool {
    let (first, end) = super::start::memory_bounds();
    stack >= first && stack < end && stack & 3 == 0
}

fn process_stack() -> u32 {
    let psp;
    // SAFETY: reads PSP_S.
    unsafe { core::arch::asm!("mrs {0}, psp", out(reg) psp, options(nomem, nostack, preserves_flags)) };
    psp
}

fn take_status() -> FaultRegisters {
    let cfsr_secure = scs::read(CFSR);
    let cfsr_non_secure = scs::read(CFSR + NON_SECURE_ALIAS);
    let registers = FaultRegisters {
        cfsr_secure,
        cfsr_non_secure,
        sfsr: scs::read(SFSR),
        sfar: scs::read(SFAR),
        bfar: scs::read(BFAR),
        mmfar: scs::read(MMFAR + NON_SECURE_ALIAS),
        ..FaultRegisters::default()
    };
    // All are write-one-to-clear.
    scs::write(CFSR, cfsr_secure);
    scs::write(CFSR + NON_SECURE_ALIAS, cfsr_non_secure);
    scs::write(SFSR, registers.sfsr);
    scs::write(HFSR, scs::read(HFSR));
    registers
}

/// Program counter of the application where it was interrupted, 0 if it was in a gateway or its stack cannot be read.
pub(super) fn interrupted_at(exc_return: u32) -> u32 {
    if exc_return & EXC_RETURN_SECURE_STACK != 0 {
        return 0;
    }
    stacked_program_counter(application_stack(exc_return))
}

/// Whether the application's thread was taken out of a `WFI` or `WFE`.
pub(super) fn was_asleep(exc_return: u32) -> bool {
    if exc_return & EXC_RETURN_THREAD == 0 {
        return false;
    }
    // DDI 0553, WFI: the return address may be that of the instruction itself or of the next one.
    let next = interrupted_at(exc_return);
    let sleeps = |at| {
        let half = memory_check::one::<u16>(at);
        half.is_some_and(|half| matches!(half, WAIT_FOR_INTERRUPT | WAIT_FOR_EVENT))
    };
    sleeps(next.wrapping_sub(2)) || sleeps(next)
}

/// Stack pointer of the application, behind the frame that the exception pushed.
pub(super) fn application_stack(exc_return: u32) -> u32 {
    let (msp_ns, psp_ns, control_ns): (u32, u32, u32);
    // SAFETY: reads the non-secure stack pointers.
    unsafe {
        core::arch::asm!("mrs {0}, msp_ns", "mrs {1}, psp_ns", "mrs {2}, control_ns",
            out(reg) msp_ns, out(reg) psp_ns, out(reg) control_ns, options(nomem, nostack, preserves_flags));
    }
    // DDI 0553: EXC_RETURN.SPSEL belongs to the Secure state; for a frame of the Non-secure thread CONTROL_NS tells.
    let on_process_stack = exc_return & EXC_RETURN_THREAD != 0 && control_ns & 2 != 0;
    if on_process_stack { psp_ns } else { msp_ns }
}

fn stacked_program_counter(stack: u32) -> u32 {
    memory_check::one(stack.wrapping_add(24)).unwrap_or(0)
}

/// Adds what the stacked frame tells, if the application's stack is still in its memory.
fn with_frame(exc_return: u32, mut registers: FaultRegisters) -> (u32, FaultRegisters) {
    registers.stack_pointer = application_stack(exc_return);
    registers.memory = MEMORY.with(|m| *m);
    let program_counter = stacked_program_counter(registers.stack_pointer);
    let mut half = [0; 2];
    if memory_check::copy_in(program_counter & !1, &mut half) {
        registers.instruction = Some(u16::from_le_bytes(half));
    }
    (program_counter, registers)
}
