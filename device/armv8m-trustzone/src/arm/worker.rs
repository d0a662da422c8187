//! The worker: the one thread in which the hypervisor does its work, and the rules by which it gets the processor.
//!
//! The executor gives it slices of the application's time. Three rules keep both sides whole:
//!
//! 1. *The application keeps its deadlines.* While the worker runs, the application's vector table is a table of ours
//!    whose every entry is the [door](bulkhead_interrupt): an interrupt of the application pre-empts the worker, and
//!    before its first own instruction the door has put the application back in the worker's place. The handler finds
//!    the stack, the registers and the EXC_RETURN that it would have found had it interrupted the application, so an
//!    operating system may switch tasks in it; and no code of the application ever runs above the worker.
//! 2. *The worker does not starve.* It gets all the time in which the application sleeps, a share of the rest, and, with
//!    the application's interrupts held back, one whole tick whenever it got less than half a percent for long. Spinning
//!    in a handler or masking everything costs the offender latency and nobody else.
//! 3. *A held or faulted application stands still.* Then the worker has the processor, and the door is shut.

use super::exception::{EXC_RETURN_SECURE_STACK, EXC_RETURN_THREAD};
use super::partition::NON_SECURE_PRIORITY;
use super::registers::{
    self as scs, ICSR, NON_SECURE_ALIAS, NVIC_ISPR, SAU_RLAR, SAU_RNR, SHCSR, SYST_CVR, VTOR,
};
use super::switch::{
    ExecutorOnly, Interrupted, Order, application_context, carry_out, interrupted, is_running, pend_executor,
    worker_is_current,
};
use super::{debug, faults, homecoming, memory_check, switch, tick};
use crate::share::{Moment, Share, Slice, Wants};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// What the assembly of the door knows.
#[repr(C)]
struct Door {
    /// 0: shut.
    is_open: u32,
    /// The application's own vector table.
    vector_table: u32,
    /// The SAU's region of the application's RAM, and its RLAR without our vector table behind it.
    region: u32,
    rlar: u32,
    /// SYST_CVR when the door was last gone through, or [`UNUSED`].
    used_at: u32,
    /// 0: the application's masks are its own. Else it sleeps with interrupts masked, as tickless kernels do, and its
    /// masks were lifted for an interrupt to find the door: it wakes, masked as before, with the interrupt pending.
    sleeps_masked: u32,
    primask: u32,
    basepri: u32,
    faultmask: u32,
    /// Where the application's r4 to r11 are.
    registers: *const [u32; 8],
}
const _: () = assert!(core::mem::offset_of!(Door, registers) == 36);

const UNUSED: u32 = u32::MAX;

#[unsafe(no_mangle)]
static bulkhead_door: ExecutorOnly<Door> = ExecutorOnly::new(Door {
    is_open: 0,
    vector_table: 0,
    region: 0,
    rlar: 0,
    used_at: UNUSED,
    sleeps_masked: 0,
    primask: 0,
    basepri: 0,
    faultmask: 0,
    registers: core::ptr::null(),
});

// bulkhead_interrupt_door: each entry of our vector table. The application can reach it as it can reach every gateway,
// but finds it shut: it is open only while the worker runs.
//
// bulkhead_interrupt. Secure state, handler mode of the application's exception. lr: its EXC_RETURN, ES = 0; whoever was
// interrupted has all registers on its stack.
// r0: bulkhead_door, r3: context of the application; r1, r2, r12: scratch.
// On exit: r4-r11 and lr as if the application had been interrupted, the rest zero.
core::arch::global_asm!(
    r#"
    .section .door, "ax"
    .global bulkhead_interrupt_door
    .thumb_func
bulkhead_interrupt_door:
    sg
    b.w bulkhead_interrupt

    .section .text.bulkhead_interrupt, "ax"
    .thumb_func
bulkhead_interrupt:
    cpsid i                             @ From here on nothing comes between.
    ldr r0, =bulkhead_door
    ldr r1, [r0]
    cmp r1, #0
    beq 4f
    tst lr, #8                          @ EXC_RETURN.Mode: was a thread interrupted?
    beq 1f

    ldr r3, =bulkhead_worker_context    @ It was the worker: all of it lies on its stack.
    mvn r1, #0x22                       @ 0xFFFFFFDD: S, no DCRS, FType, Mode, SPSEL, ES.
    mrs r2, psp
    strd r1, r2, [r3, #32]
    movs r1, #0
    str r1, [r0]                        @ The door is shut.
    ldr r2, ={cvr}
    ldr r2, [r2]
    str r2, [r0, #16]
    ldr r12, ={rnr}                     @ Our vector table is no longer the application's to read.
    ldr r3, [r12]
    ldrd r1, r2, [r0, #8]
    str r1, [r12]
    str r2, [r12, #8]
    str r3, [r12]
    ldr r2, [r0, #4]                    @ Its own is in force again.
    ldr r12, ={vtor_ns}
    str r2, [r12]
    dsb
    isb
    mrs r1, ipsr
    ldr r2, [r2, r1, lsl #2]            @ Checked to be its memory when the door was opened.
    bic r2, r2, #1                      @ BXNS: to the Non-secure state.

    ldr r3, =bulkhead_application_context
    ldr r12, =bulkhead_current
    str r3, [r12]
    movs r1, #0
    msr psplim, r1
    ldrd r1, r12, [r3, #36]
    msr psp, r1
    msr psplim, r12
    and r12, lr, #4                     @ SPSEL of CONTROL_NS, which this exception has cleared.
    ldr lr, [r3, #32]
    bic lr, lr, #5                      @ ES = 0: the exception is Non-secure.
    orr lr, lr, #0x20                   @ DCRS = 1, as in each EXC_RETURN that it sees.
    orr lr, lr, r12
    ldr r1, [r0, #36]
    ldmia r1, {{r4-r11}}                @ Its own.
    ldr r1, [r0, #20]
    cmp r1, #0
    bne 5f
    movs r0, #0
    mov r1, r0
    mov r3, r0
    mov r12, r0
    msr apsr_nzcvq, r0
    cpsie i
    bxns r2

1:  mrs r2, ipsr                        @ Another interrupt stood in the door: this one waits until it is through.
    subs r2, r2, #16
    blo 2f
    lsrs r3, r2, #5
    and r2, r2, #31
    movs r1, #1
    lsls r1, r2
    ldr r0, ={ispr}
    str r1, [r0, r3, lsl #2]
    bx lr
2:  ldr r0, ={icsr_ns}
    mov r1, #{pendstset}
    adds r2, r2, #1                     @ 15: SysTick.
    beq 3f
    mov r1, #{pendsvset}
    adds r2, r2, #1                     @ 14: PendSV.
    beq 3f
    ldr r0, ={shcsr_ns}                 @ 11: SVCall. No other can be pending.
    ldr r1, [r0]
    orr r1, r1, #{svcallpended}
3:  str r1, [r0]
    dsb
    bx lr

5:  movs r1, #0                        @ The application wakes from its sleep, masked; lr takes it there.
    str r1, [r0, #20]
    ldrd r1, r2, [r0, #24]
    msr primask_ns, r1
    msr basepri_ns, r2
    ldr r1, [r0, #32]
    msr faultmask_ns, r1
    cpsie i
    b 1b

4:  cpsie i
    mov lr, #0xF0000000                 @ Never executable: the application faults, in its own world.
    movs r0, #0
    mov r1, r0
    mov r2, r0
    mov r3, r0
    mov r12, r0
    msr apsr_nzcvq, r0
    bxns lr
    .pool
    "#,
    cvr = const SYST_CVR,
    rnr = const SAU_RNR,
    vtor_ns = const VTOR + NON_SECURE_ALIAS,
    ispr = const NVIC_ISPR,
    icsr_ns = const ICSR + NON_SECURE_ALIAS,
    pendstset = const scs::ICSR_PENDSTSET,
    pendsvset = const scs::ICSR_PENDSVSET,
    shcsr_ns = const SHCSR + NON_SECURE_ALIAS,
    svcallpended = const 1 << 15,
);
const _: () = assert!(SAU_RLAR - SAU_RNR == 8);

/// Entries of a vector table: 16 of the processor's own, and one for each line.
const VECTORS: u32 = 16 + 240;
const VECTORS_BYTES: u32 = VECTORS * 4;

static OPEN_RLAR: AtomicU32 = AtomicU32::new(0);
static OUR_VECTORS: AtomicU32 = AtomicU32::new(0);

/// Where the door's vector table lies, and how it is shown and hidden.
#[derive(Clone, Copy, Debug)]
pub struct DoorPlace {
    /// Number of the SAU's region that covers the application's RAM.
    pub region: u32,
    /// One past the last address of that RAM: the table begins here, on a multiple of 1024.
    pub table: u32,
    /// Bytes from there on that are Non-secure for the bus, and the application's by no other region.
    pub length: u32,
}

/// Writes the door's vector table. Until then the worker runs with the application's interrupts held back.
///
/// The SAU must be on. `false`: the place has no room for a table.
pub fn build_door(place: DoorPlace) -> bool {
    unsafe extern "C" {
        fn bulkhead_interrupt_door();
    }
    if place.length < VECTORS_BYTES || !place.table.is_multiple_of(VECTORS_BYTES) {
        return false;
    }
    let rlar = |end: u32| (end.wrapping_sub(1) & !0x1F) | 1;
    let open = rlar(place.table.wrapping_add(place.length));
    let shut = rlar(place.table);
    set_rlar(place.region, open);
    for index in 0..VECTORS {
        let at = place.table.wrapping_add(index * 4) as *mut u32;
        let door = bulkhead_interrupt_door as *const () as u32 | 1;
        // SAFETY: the board gave this memory to nothing else, and the region above made it reachable.
        unsafe { core::ptr::write_volatile(at, door) };
    }
    set_rlar(place.region, shut);
    // SAFETY: called before interrupts are open.
    let door = unsafe { &mut *bulkhead_door.get() };
    (door.region, door.rlar) = (place.region, shut);
    OPEN_RLAR.store(open, Ordering::Relaxed);
    OUR_VECTORS.store(place.table, Ordering::Relaxed);
    true
}

/// Moves the end of a region. SAU_RNR is put back: the worker may have been interrupted between it and what follows.
fn set_rlar(region: u32, rlar: u32) {
    let before = scs::read(SAU_RNR);
    scs::write(SAU_RNR, region);
    scs::write(SAU_RLAR, rlar);
    scs::write(SAU_RNR, before);
    scs::barrier();
}

/// Lets the application's interrupts pre-empt the worker, if they can be given to it properly. `is_asleep`: it waits for
/// one.
fn open_door(is_asleep: bool) -> bool {
    let ours = OUR_VECTORS.load(Ordering::Relaxed);
    let vector_table = scs::read(VTOR + NON_SECURE_ALIAS);
    if ours == 0 || !memory_check::is_readable(vector_table, VECTORS_BYTES) {
        return false;
    }
    // SAFETY: executor only, and the door is shut.
    let door = unsafe { &mut *bulkhead_door.get() };
    door.registers = switch::application_registers();
    door.vector_table = vector_table;
    set_rlar(door.region, OPEN_RLAR.load(Ordering::Relaxed));
    scs::write(VTOR + NON_SECURE_ALIAS, ours);
    if is_asleep {
        lift_masks(door);
    }
    scs::barrier();
    door.is_open = 1;
    true
}

fn lift_masks(door: &mut Door) {
    // SAFETY: reads the application's masks.
    unsafe {
        core::arch::asm!("mrs {0}, primask_ns", "mrs {1}, basepri_ns", "mrs {2}, faultmask_ns",
            out(reg) door.primask, out(reg) door.basepri, out(reg) door.faultmask,
            options(nomem, nostack, preserves_flags));
    }
    if door.primask | door.basepri | door.faultmask != 0 {
        door.sleeps_masked = 1;
        set_masks(0, 0, 0);
    }
}

fn set_masks(primask: u32, basepri: u32, faultmask: u32) {
    // SAFETY: writes the application's masks; none is used by this image.
    unsafe {
        core::arch::asm!("msr primask_ns, {0}", "msr basepri_ns, {1}", "msr faultmask_ns, {2}",
            in(reg) primask, in(reg) basepri, in(reg) faultmask, options(nomem, nostack, preserves_flags));
    }
}

/// The executor is at work: what it reads of the application's is the application's own.
pub(super) fn close_door() {
    // SAFETY: executor only; no interrupt of the application is served meanwhile.
    let door = unsafe { &mut *bulkhead_door.get() };
    if door.is_open != 0 {
        door.is_open = 0;
        scs::write(VTOR + NON_SECURE_ALIAS, door.vector_table);
        set_rlar(door.region, door.rlar);
        if core::mem::replace(&mut door.sleeps_masked, 0) != 0 {
            set_masks(door.primask, door.basepri, door.faultmask);
        }
    }
}

/// Cycles of the secure tick's clock.
struct Account {
    share: Share,
    /// When the slice began, as a count and as SYST_CVR.
    since: u32,
    since_cvr: u32,
}

static ACCOUNT: ExecutorOnly<Account> =
    ExecutorOnly::new(Account { share: Share::new(0, 1), since: 0, since_cvr: 0 });

/// The worker has been asked for.
static DUE: AtomicBool = AtomicBool::new(true);
/// It has nothing to do until it is.
static RESTING: AtomicBool = AtomicBool::new(false);
/// It judges what the application did: the application stands still.
static FROZEN: AtomicBool = AtomicBool::new(false);
/// What the application was found doing, and whether it was found sound since the worker last asked.
static FOUND: ExecutorOnly<Interrupted> = ExecutorOnly::new(Interrupted::Stopped);
static FOUND_SOUND: AtomicBool = AtomicBool::new(false);
/// What the worker was given last.
static SLICE: ExecutorOnly<Slice> = ExecutorOnly::new(Slice::Alone);

/// Most of the application's time that the worker uses while the application does not sleep, in percent. Call once, when
/// the tick runs and before interrupts are open.
pub fn set_share(percent: u32) {
    // SAFETY: the executor does not run yet.
    let account = unsafe { &mut *ACCOUNT.get() };
    account.share = Share::new(percent.min(100), tick::mean_cycles());
}

/// Asks for the worker.
pub fn wake() {
    DUE.store(true, Ordering::Relaxed);
    pend_executor();
}

/// Whether the executor should look at each tick: the worker runs, or would like to.
pub(super) fn wants_ticks() -> bool {
    wants_to_run() || worker_is_current()
}

fn wants_to_run() -> bool {
    DUE.load(Ordering::Relaxed) || !RESTING.load(Ordering::Relaxed)
}

/// Settles what was used since the last look. `was_worker`: the worker was interrupted.
pub(super) fn account(was_worker: bool) {
    // SAFETY: executor only.
    let account = unsafe { &mut *ACCOUNT.get() };
    // SAFETY: executor only.
    let door = unsafe { &mut *bulkhead_door.get() };
    let elapsed = tick::cycles().wrapping_sub(account.since);
    let used_at = core::mem::replace(&mut door.used_at, UNUSED);
    if used_at != UNUSED {
        faults::forget_put_off();
    }
    let used = match (was_worker, used_at) {
        (true, _) => elapsed,
        (false, UNUSED) => 0,
        // The counter runs down, and no tick passes without the executor while the worker runs.
        (false, at) => account.since_cvr.checked_sub(at).unwrap_or(elapsed).min(elapsed),
    };
    account.share.settle(elapsed, used, if wants_to_run() { Wants::ToRun } else { Wants::Nothing });
}

/// A new slice begins.
pub(super) fn stamp() {
    // SAFETY: executor only.
    let account = unsafe { &mut *ACCOUNT.get() };
    account.since = tick::cycles();
    account.since_cvr = scs::read(SYST_CVR);
}

/// Whether the worker goes on now, and not the application.
pub(super) fn is_next() -> bool {
    if !is_running() {
        // SAFETY: executor only.
        unsafe { *SLICE.get() = Slice::Alone };
        return true;
    }
    let exc_return = application_context().exc_return;
    let found = interrupted(exc_return);
    // SAFETY: executor only; the worker reads it with interrupts masked.
    unsafe { *FOUND.get() = found };
    if found == Interrupted::Thread {
        FOUND_SOUND.store(true, Ordering::Relaxed);
    }
    let slice = choose(exc_return, found);
    // SAFETY: executor only.
    unsafe { *SLICE.get() = slice };
    slice != Slice::Nothing
}

fn choose(exc_return: u32, found: Interrupted) -> Slice {
    if debug::is_held() || FROZEN.load(Ordering::Relaxed) {
        return Slice::Alone;
    }
    let in_thread = exc_return & EXC_RETURN_THREAD != 0 && exc_return & EXC_RETURN_SECURE_STACK == 0;
    let moment = if faults::is_waiting() {
        // Its interrupts need not wait if its thread is at a breakpoint: it comes there again.
        match found {
            Interrupted::Thread if in_thread && faults::put_off_breakpoint() => Moment::Asleep,
            Interrupted::Handler { .. } if in_thread && faults::forget_breakpoint(|_| true) => {
                faults::forget_put_off();
                Moment::Hurrying
            }
            Interrupted::Thread
            | Interrupted::Handler { .. }
            | Interrupted::Masked { .. }
            | Interrupted::Held
            | Interrupted::Stopped => return Slice::Alone,
        }
    } else if !wants_to_run() {
        return Slice::Nothing;
    } else {
        // A gateway ends soon, and is not pre-empted: then the executor looks again, or it would hardly ever find an
        // application that does little but call outside of one. A handler and what is masked is the application's hurry, and so is the one
        // instruction of a step, for which its interrupts are held back.
        let in_gateway = exc_return & (EXC_RETURN_THREAD | EXC_RETURN_SECURE_STACK);
        if in_gateway == EXC_RETURN_THREAD | EXC_RETURN_SECURE_STACK {
            homecoming::look_again();
        }
        let steps = debug::holds_interrupts();
        let in_thread = in_thread && (found == Interrupted::Thread || steps);
        match (in_thread, in_thread && faults::was_asleep(exc_return)) {
            (_, true) => Moment::Asleep,
            (true, false) if !steps => Moment::Computing,
            (_, false) => Moment::Hurrying,
        }
    };
    // SAFETY: executor only.
    let account = unsafe { &mut *ACCOUNT.get() };
    account.share.takes(moment)
}

/// BASEPRI of the worker's next slice; opens the door if the application's interrupts may pre-empt it.
pub(super) fn mask() -> u32 {
    // SAFETY: executor only.
    let slice = unsafe { *SLICE.get() };
    let is_open = match slice {
        Slice::Sleep => is_running() && open_door(true),
        Slice::Shared => is_running() && open_door(false),
        Slice::Alone | Slice::Nothing => false,
    };
    if is_open { 0 } else { u32::from(NON_SECURE_PRIORITY) }
}

/// Makes the application stand still until the end of the worker's slice of work. For the worker alone.
///
/// Its context is what it is from here on. Returns what it has been found doing since the slice began.
pub fn freeze() -> Interrupted {
    stand_still();
    take_found()
}

/// As [`freeze`], for what is held until now as well.
pub(super) fn stand_still() {
    if !FROZEN.swap(true, Ordering::Relaxed) {
        reconsider();
    }
}

/// The executor looks anew at who may run, before this returns. For the worker alone.
pub(super) fn reconsider() {
    pend_executor();
    scs::barrier();
}

/// Whether the application stands still: by [`freeze`], or held.
pub fn is_frozen() -> bool {
    FROZEN.load(Ordering::Relaxed) || debug::is_held()
}

/// What follows a slice of work.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pace {
    /// Another, as soon as the worker may run.
    Again,
    /// None before the worker is woken.
    Rest,
}

unsafe extern "Rust" {
    /// Board: builds the hypervisor, interrupts masked.
    safe fn bulkhead_build();
    /// Board: one slice of the hypervisor's work.
    safe fn bulkhead_poll(interrupted: Interrupted) -> (Order, Pace);
}

/// Ends the start-up: from here on there are the worker, the application and what interrupts them.
pub fn start() -> ! {
    switch::become_worker(work)
}

extern "C" fn work() -> ! {
    bulkhead_build();
    open_interrupts();
    loop {
        DUE.store(false, Ordering::Relaxed);
        let (order, pace) = bulkhead_poll(take_found());
        carry_out(order);
        thaw();
        while pace == Pace::Rest && !DUE.load(Ordering::Relaxed) {
            rest();
        }
    }
}

/// Ends what [`freeze`] began, before the slice of work ends. For the worker alone.
pub fn thaw() {
    if FROZEN.swap(false, Ordering::Relaxed) {
        reconsider(); // The application may be able to go on.
    }
}

fn take_found() -> Interrupted {
    if !is_running() {
        return Interrupted::Stopped;
    }
    if debug::is_held() {
        return Interrupted::Held;
    }
    if FOUND_SOUND.swap(false, Ordering::Relaxed) {
        return Interrupted::Thread;
    }
    mask_interrupts();
    // SAFETY: the executor does not run while interrupts are masked.
    let found = unsafe { *FOUND.get() };
    open_interrupts();
    found
}

/// Gives the processor away until the worker is woken; sleeps if there is no application to give it to.
fn rest() {
    RESTING.store(true, Ordering::Relaxed);
    reconsider();
    mask_interrupts();
    // What is pending wakes the processor, masked or not.
    if !DUE.load(Ordering::Relaxed) {
        // SAFETY: waits; the tick wakes it at the latest.
        unsafe { core::arch::asm!("wfi", options(nomem, nostack, preserves_flags)) };
    }
    open_interrupts();
    RESTING.store(false, Ordering::Relaxed);
}

fn mask_interrupts() {
    // SAFETY: masks interrupts; the worker opens them again within a few instructions.
    unsafe { core::arch::asm!("cpsid i") };
}

fn open_interrupts() {
    // SAFETY: the worker holds no value that is shared with an interrupt.
    unsafe { core::arch::asm!("cpsie i", "isb") };
}
