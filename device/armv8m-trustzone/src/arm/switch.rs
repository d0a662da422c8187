//! Who runs: the application or the worker, which is the hypervisor's own thread.
//!
//! The executor runs as PendSV_S. When it returns, the context it names goes on. Starting the application is the
//! same switch onto a hand-made frame; stopping it throws its context away, active interrupt handlers included. Who is
//! to go on is decided in [`super::worker`]; here is how.

use super::critical::Shared;
use super::exception::{
    CALLEE_BYTES, EXC_RETURN_SECURE_STACK, EXC_RETURN_THREAD, FRAME_BYTES, INTEGRITY_SIGNATURE, XPSR_THUMB,
};
use super::interrupts::{InterruptLine, set_priority};
use super::registers::{
    self as scs, CCR, CPACR, FPCCR, FPCCR_LSPENS, FPCCR_RESET, FPDSCR, ICSR, ICSR_PENDSTCLR, ICSR_PENDSTSET,
    ICSR_PENDSVCLR, ICSR_PENDSVSET, MPU_CTRL, MPU_RBAR, MPU_RLAR, MPU_RNR, MPU_TYPE, NON_SECURE_ALIAS,
    NVIC_IABR, NVIC_ICER, NVIC_ICPR, NVIC_ISER, NVIC_ISPR, SCR, SHCSR, SHPR1, SHPR2, SHPR3, SYST_CSR, VTOR,
};
use super::{debug, entrance, faults, hop, partition, worker};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

// Order and offsets are known to the assembly below.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Context {
    pub(super) r4_r11: [u32; 8],
    pub(super) exc_return: u32,
    psp: u32,
    psplim: u32,
    pub(super) basepri: u32,
}
// Known to the assembly of `worker` as well.
const _: () = assert!(core::mem::offset_of!(Context, exc_return) == 32);
const _: () = assert!(core::mem::offset_of!(Context, psp) == 36);
const _: () = assert!(core::mem::offset_of!(Context, psplim) == 40);

/// What the executor wants to happen when it returns.
#[repr(C)]
struct Next {
    context: *const Context,
    /// 0: resume `context`. Else: abandon the application; the new MSP of the unwinding chain.
    unwind_msp: u32,
}

// bulkhead_pendsv. lr: EXC_RETURN of the interrupted context. r4-r11 still belong to it.
// bulkhead_next is filled by Rust. r0: context, r1: EXC_RETURN, r2: PSP, r3: PSPLIM, r12: scratch.
//
// bulkhead_idle: where the application's end lands. It arrives with interrupts masked and with MSP somewhere in the
// unwinding chain, puts MSP back, and hands over to the executor, which goes on with the worker.
//
// bulkhead_unwind: where each frame of the chain returns to; lr holds the next EXC_RETURN.
core::arch::global_asm!(
    r#"
    .section .text.bulkhead_switch, "ax"
    .thumb_func
    .global bulkhead_pendsv
bulkhead_pendsv:
    ldr r1, =bulkhead_current
    ldr r1, [r1]
    mrs r2, psp
    mrs r3, psplim
    stmia r1!, {{r4-r11}}
    mov r0, lr
    stmia r1!, {{r0, r2, r3}}
    mrs r2, basepri                     @ A gateway masks the application's interrupts.
    str r2, [r1]
    ldr r0, =__stack_limit + {reserve}  @ The executor may use all of the stack.
    msr msplim, r0
    mov r0, lr
    bl bulkhead_execute
    cpsid i
    ldr r1, =bulkhead_next
    ldr r0, [r1]                        @ Context to go on with.
    ldr r12, [r1, #4]                   @ MSP of the chain, or 0.
    cmp r12, #0
    it ne
    msrne msp, r12
    ldmia r0!, {{r4-r11}}
    ldmia r0!, {{r1, r2, r3}}
    ldr r0, [r0]
    msr basepri, r0
    movs r0, #0
    msr psplim, r0                      @ So that the new PSP is never below the old limit.
    msr psp, r2
    msr psplim, r3
    cmp r12, #0
    bne 1f                              @ The chain ends in bulkhead_idle, which opens interrupts.
    ldr r0, =__stack_top - {share}
    msr msplim, r0
    cpsie i
1:  bx r1

    .thumb_func
    .global bulkhead_idle
bulkhead_idle:
    ldr r0, =__stack_top
    msr msp, r0
    ldr r0, =__stack_top - {share}
    msr msplim, r0
    ldr r0, ={icsr}
    mov r1, #{pendsvset}
    str r1, [r0]
    cpsie i
1:  wfi
    b 1b

    .thumb_func
    .global bulkhead_unwind
bulkhead_unwind:
    bx lr
    .pool
    "#,
    reserve = const super::start::FAULT_RESERVE_BYTES,
    share = const super::start::APPLICATION_SHARE_BYTES,
    icsr = const ICSR,
    pendsvset = const ICSR_PENDSVSET,
);

// EXC_RETURN: 1111...1 | S | DCRS | FType | Mode | SPSEL | 0 | ES (DDI 0553, B3.19).
// NS stack, thread, exception was Secure. SPSEL: gateways that the thread enters use PSP_S.
pub(super) const RETURN_TO_APPLICATION: u32 = 0xFFFF_FFBD;
const RETURN_TO_IDLE: u32 = 0xFFFF_FFFD; // Secure thread on PSP_S, exception was Secure.
// SPSEL goes to CONTROL of the exception's own state: the chain's first return sets CONTROL_S.SPSEL for the idle thread
// at its end, the returns from Non-secure exceptions clear CONTROL_NS.SPSEL.
const RETURN_TO_HANDLER: u32 = 0xFFFF_FFF5; // Secure handler on MSP_S, exception was Secure.
const RETURN_TO_HANDLER_FROM_NS: u32 = 0xFFFF_FFF0;
const RETURN_TO_IDLE_FROM_NS: u32 = 0xFFFF_FFF8; // Secure thread, exception was Non-secure.

/// Lies on top of an empty secure stack. It is neither a frame's integrity signature nor an address, so a return that
/// the application forged finds nothing to take (Arm, "Armv8-M secure stack sealing", 2020).
const STACK_SEAL: u32 = 0xFEF5_EDA5;
const STACK_SEAL_WORDS: usize = 2;

const FRAME_WORDS: usize = FRAME_BYTES as usize / 4;
const CALLEE_WORDS: usize = CALLEE_BYTES as usize / 4;

/// External interrupts of the application that may be active at once; more cannot nest, since each needs a priority
/// of its own and the board gives the application fewer lines than this.
const ACTIVE_MAX: usize = 16;
const CHAIN_WORDS: usize = ACTIVE_MAX * (FRAME_WORDS + CALLEE_WORDS);
const IDLE_STACK_WORDS: usize = 64;
const GATEWAY_STACK_WORDS: usize = 512;
/// Without the seal.
#[expect(clippy::cast_possible_truncation, reason = "a few thousand")]
pub(super) const GATEWAY_STACK_BYTES: u32 = 4 * (GATEWAY_STACK_WORDS - STACK_SEAL_WORDS) as u32;
/// Stack of the worker: the hypervisor's deepest calls, which took 12,536 bytes at most in the end-to-end tests.
const WORKER_STACK_WORDS: usize = 4096;

/// A static that only the executor (or code before the first exception) touches.
pub(super) struct ExecutorOnly<T>(UnsafeCell<T>);
// SAFETY: PendSV_S is never re-entered (invariant 2) and the initial thread ends before it first runs.
unsafe impl<T> Sync for ExecutorOnly<T> {}
impl<T> ExecutorOnly<T> {
    pub(super) const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }
    pub(super) const fn get(&self) -> *mut T {
        self.0.get()
    }
}

#[repr(C, align(8))]
struct Words<const N: usize>([u32; N]);

const NO_CONTEXT: Context = Context { r4_r11: [0; 8], exc_return: 0, psp: 0, psplim: 0, basepri: 0 };

static IDLE: ExecutorOnly<Context> = ExecutorOnly::new(NO_CONTEXT);
#[unsafe(export_name = "bulkhead_application_context")]
static APPLICATION: ExecutorOnly<Context> = ExecutorOnly::new(NO_CONTEXT);
#[unsafe(export_name = "bulkhead_worker_context")]
static WORKER: ExecutorOnly<Context> = ExecutorOnly::new(NO_CONTEXT);
static IDLE_STACK: ExecutorOnly<Words<IDLE_STACK_WORDS>> = ExecutorOnly::new(Words([0; IDLE_STACK_WORDS]));
#[unsafe(export_name = "bulkhead_gateway_stack")]
static GATEWAY_STACK: ExecutorOnly<Words<GATEWAY_STACK_WORDS>> =
    ExecutorOnly::new(Words([0; GATEWAY_STACK_WORDS]));
static CHAIN: ExecutorOnly<Words<CHAIN_WORDS>> = ExecutorOnly::new(Words([0; CHAIN_WORDS]));

static WORKER_STACK: ExecutorOnly<Words<WORKER_STACK_WORDS>> =
    ExecutorOnly::new(Words([0; WORKER_STACK_WORDS]));

/// The application has a context: it runs, or goes on when the executor lets it.
static RUNNING: AtomicBool = AtomicBool::new(false);
/// What the worker wants the executor to do.
static ORDER: Shared<Order> = Shared::new(Order::Continue);

#[unsafe(no_mangle)]
static bulkhead_current: ExecutorOnly<*mut Context> = ExecutorOnly::new(WORKER.get());
#[unsafe(no_mangle)]
static bulkhead_next: ExecutorOnly<Next> =
    ExecutorOnly::new(Next { context: core::ptr::null(), unwind_msp: 0 });

/// What the application was doing when the executor came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Interrupted {
    /// It is not running.
    Stopped,
    /// Held for a debugger: see [`debug`].
    Held,
    /// In its thread, interrupts open; or asleep with nothing to wake it.
    Thread,
    /// In one of its interrupt handlers, or about to enter one.
    Handler {
        /// Where, or 0 if that cannot be told.
        program_counter: u32,
    },
    /// In its thread or a handler with interrupts masked.
    Masked {
        /// Where, or 0 if that cannot be told.
        program_counter: u32,
    },
}

/// What the worker asks of the executor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Order {
    /// Go on as before.
    Continue,
    /// Throw the application's context away.
    Stop,
    /// Start the application at this vector table. While it runs this only stops it: order again when stopped.
    Start {
        /// Address of its vector table, a multiple of 128.
        vector_table: u32,
        /// Initial stack pointer, checked by the caller to lie in its memory, a multiple of 8.
        stack_pointer: u32,
        /// First instruction, bit 0 clear.
        entry: u32,
    },
}

/// Makes the executor run as soon as no fault or device interrupt does.
pub fn pend_executor() {
    scs::write(ICSR, ICSR_PENDSVSET);
}

/// Hands an order to the executor, which has carried it out when this returns. For the worker alone.
pub(super) fn carry_out(order: Order) {
    if order != Order::Continue {
        ORDER.with(|o| *o = order);
        pend_executor();
        scs::barrier();
    }
}

/// Highest use of the worker's stack so far, in bytes; it was painted by [`become_worker`].
pub fn worker_stack_used_bytes() -> u32 {
    let base = WORKER_STACK.get() as u32;
    super::start::used_bytes(base, base.wrapping_add(u32::try_from(4 * WORKER_STACK_WORDS).unwrap_or(0)))
}

/// Makes the thread that started the chip the worker: it goes on in `main`, on a stack of its own, and the main stack
/// becomes the handlers'. Interrupts stay masked.
pub fn become_worker(main: extern "C" fn() -> !) -> ! {
    // SAFETY: called once from the start-up thread, before any exception used this.
    let words = unsafe { &mut (*WORKER_STACK.get()).0 };
    let seal_at = words.len().saturating_sub(STACK_SEAL_WORDS);
    words.fill(super::start::STACK_PAINT);
    for word in words.iter_mut().skip(seal_at) {
        *word = STACK_SEAL;
    }
    let psp = words.as_ptr().wrapping_add(seal_at) as u32;
    let psplim = words.as_ptr() as u32;
    let (_, msp) = super::start::stack_bounds();
    // SAFETY: the start-up code has nothing left on its stack; `main` never returns.
    unsafe {
        core::arch::asm!(
            "msr psp, {psp}",
            "msr psplim, {psplim}",
            "movs {psp}, #2",
            "msr control, {psp}",
            "isb",
            "msr msp, {msp}",
            "movs {psp}, #0x80",            // Nothing of the application's may run yet.
            "msr basepri, {psp}",
            "bx {main}",
            psp = in(reg) psp, psplim = in(reg) psplim, msp = in(reg) msp, main = in(reg) main,
            options(noreturn)
        )
    }
}

#[unsafe(no_mangle)]
extern "C" fn bulkhead_execute(exc_return: u32) {
    let before = current();
    let thread = exc_return & EXC_RETURN_THREAD != 0;
    if before == WORKER.get() && !(thread && exc_return & EXC_RETURN_SECURE_STACK != 0) {
        // An interrupt of the application has just pre-empted the worker and stands in the door: it goes through, and
        // what brought the executor here brings it again.
        go_on_with(before, 0);
        return;
    }
    worker::account(before == WORKER.get());
    worker::close_door();
    if hop::goes_on() || hop::begins() {
        go_on_with(APPLICATION.get(), 0);
        worker::stamp();
        return;
    }
    let unwind_msp = match ORDER.with(|o| core::mem::replace(o, Order::Continue)) {
        Order::Continue => 0,
        Order::Stop => abandon(is_running()),
        // Its handlers may still be active: the chain has to run first.
        Order::Start { .. } if is_running() => abandon(true),
        Order::Start { vector_table, stack_pointer, entry } => {
            abandon(false);
            prepare_application(vector_table, stack_pointer, entry);
            0
        }
    };
    if unwind_msp != 0 {
        go_on_with(IDLE.get(), unwind_msp);
    } else if worker::is_next() {
        // SAFETY: executor only.
        unsafe { (*WORKER.get()).basepri = worker::mask() };
        go_on_with(WORKER.get(), 0);
    } else {
        go_on_with(APPLICATION.get(), 0);
    }
    worker::stamp();
}

fn go_on_with(context: *mut Context, unwind_msp: u32) {
    // SAFETY: executor only.
    unsafe { *bulkhead_current.get() = context };
    // SAFETY: executor only.
    unsafe { *bulkhead_next.get() = Next { context, unwind_msp } };
}

/// Whether the application has a context.
pub(super) fn is_running() -> bool {
    RUNNING.load(Ordering::Relaxed)
}

/// Whether the application has the processor, or had it when the executor came.
pub(super) fn application_is_current() -> bool {
    current() == APPLICATION.get()
}

/// Whether the worker, and not the application, was interrupted last.
pub(super) fn worker_is_current() -> bool {
    current() == WORKER.get()
}

/// The application's context, as the executor found it when the worker took its place.
pub(super) fn application_context() -> Context {
    // SAFETY: the executor writes it while the application goes away or comes, and the worker, which reads it, runs
    // neither while nor between: it stands still for as long as the worker is masked.
    unsafe { *APPLICATION.get() }
}

/// Changes r4 to r11 of the application.
pub(super) fn set_application_registers(r4_r11: [u32; 8]) {
    // SAFETY: as in `application_context`; the assembly reads it when the application goes on.
    unsafe { (*APPLICATION.get()).r4_r11 = r4_r11 };
}

fn current() -> *mut Context {
    // SAFETY: a word-sized read; only the executor changes it.
    unsafe { *bulkhead_current.get() }
}

/// What the application was doing when its context was left with `exc_return`.
pub(super) fn interrupted(exc_return: u32) -> Interrupted {
    let (primask, basepri, faultmask): (u32, u32, u32);
    // SAFETY: reads the application's mask registers.
    unsafe {
        core::arch::asm!("mrs {0}, primask_ns", "mrs {1}, basepri_ns", "mrs {2}, faultmask_ns",
            out(reg) primask, out(reg) basepri, out(reg) faultmask, options(nomem, nostack, preserves_flags));
    }
    let masked = primask | faultmask | basepri != 0;
    if masked && faults::was_asleep(exc_return) && !handler_is_due() {
        Interrupted::Thread // It masks around its sleep, as tickless kernels do, and nothing wakes it.
    } else if masked {
        Interrupted::Masked { program_counter: faults::interrupted_at(exc_return) }
    } else if exc_return & EXC_RETURN_THREAD == 0 || handler_is_due() {
        Interrupted::Handler { program_counter: faults::interrupted_at(exc_return) }
    } else {
        Interrupted::Thread // In a gateway or not.
    }
}

/// Whether an interrupt of the application waits: with a flood, the executor may come between two handlers.
pub(super) fn handler_is_due() -> bool {
    let system = scs::read(ICSR + NON_SECURE_ALIAS) & (ICSR_PENDSTSET | ICSR_PENDSVSET) != 0;
    system
        || partition::words_of_lines().any(|(word, lines)| {
            scs::read(NVIC_ISPR + word * 4) & scs::read(NVIC_ISER + word * 4) & lines != 0
        })
}

/// Where r4 to r11 of the application lie.
pub(super) fn application_registers() -> *const [u32; 8] {
    // SAFETY: only the address is taken.
    unsafe { &raw const (*APPLICATION.get()).r4_r11 }
}

/// Silences the application for good; the idle thread is to go on. Returns the MSP of the unwinding chain, 0 if
/// none is needed.
fn abandon(running: bool) -> u32 {
    debug::forget();
    faults::forget_put_off();
    RUNNING.store(false, Ordering::Relaxed);
    let n_active = silence();
    if !running {
        return 0;
    }
    prepare_idle(n_active > 0);
    // Even without active handlers the secure main stack may hold frames of gateways that the application had
    // entered: with an MSP given, the idle thread puts it back.
    let end = CHAIN.get().wrapping_add(1) as u32;
    if n_active == 0 { end } else { build_chain() }
}

/// Takes all interrupts from the application, and leaves its registers as the next one finds them after a reset.
/// Returns how many of its external handlers are active.
fn silence() -> u32 {
    for (word, lines) in partition::words_of_lines() {
        scs::write(NVIC_ICER + word * 4, lines);
        scs::write(NVIC_ICPR + word * 4, lines);
        for number in (word * 32..).take(32).filter(|number| lines & (1 << (number % 32)) != 0) {
            if let Some(line) = u8::try_from(number).ok().and_then(InterruptLine::new) {
                set_priority(line, 0);
            }
        }
    }
    for address in [SHPR1, SHPR2, SHPR3, MPU_CTRL, CPACR, SCR, FPDSCR] {
        scs::write(address + NON_SECURE_ALIAS, 0);
    }
    let n_regions = scs::read(MPU_TYPE + NON_SECURE_ALIAS) >> 8 & 0xFF;
    for region in 0..n_regions {
        scs::write(MPU_RNR + NON_SECURE_ALIAS, region);
        scs::write(MPU_RBAR + NON_SECURE_ALIAS, 0);
        scs::write(MPU_RLAR + NON_SECURE_ALIAS, 0);
    }
    scs::write(MPU_RNR + NON_SECURE_ALIAS, 0);
    // The active bits of SVCall, PendSV, SysTick, MemManage and UsageFault of the Non-secure bank are writable.
    scs::write(SHCSR + NON_SECURE_ALIAS, 0);
    scs::write(CCR + NON_SECURE_ALIAS, CCR_RESET);
    scs::write(ICSR + NON_SECURE_ALIAS, ICSR_PENDSVCLR | ICSR_PENDSTCLR);
    // A lazy save of floating-point state that is still due would be written into the next application's stack, or would be
    // refused, if it is due on a secure stack: its first floating-point instruction would fault.
    scs::write(FPCCR + NON_SECURE_ALIAS, FPCCR_RESET);
    scs::write(FPCCR, FPCCR_RESET | FPCCR_LSPENS);
    // SAFETY: resets the application's banked registers; none is used by this image.
    unsafe {
        core::arch::asm!(
            "msr primask_ns, {z}", "msr basepri_ns, {z}", "msr faultmask_ns, {z}", "msr control_ns, {z}",
            "msr msplim_ns, {z}", "msr psplim_ns, {z}", "msr psp_ns, {z}", "msr msp_ns, {z}",
            z = in(reg) 0, options(nomem, nostack, preserves_flags)
        );
    }
    scs::barrier();
    let mut n_active = 0;
    for_each_active(|_| n_active += 1);
    n_active
}

// DDI 0553, CCR: STKALIGN reads as one.
const CCR_RESET: u32 = 1 << 9;

fn for_each_active(mut visit: impl FnMut(u32)) {
    for word in 0..8u32 {
        let mut active = scs::read(NVIC_IABR + word * 4) & partition::application_lines(word);
        while active != 0 {
            visit(16 + word * 32 + active.trailing_zeros());
            active &= active - 1;
        }
    }
}

/// Writes one frame per active handler: each return deactivates one and lands in `bulkhead_unwind`, whose `bx lr` is
/// the next return; the last lands in the idle thread.
fn build_chain() -> u32 {
    unsafe extern "C" {
        fn bulkhead_unwind();
    }
    // SAFETY: executor only, and the chain is not in use while the executor runs.
    let words = unsafe { &mut (*CHAIN.get()).0 };
    let unwind = (bulkhead_unwind as *const () as u32) & !1;
    let mut left = 0u32;
    for_each_active(|_| left += 1);
    let mut at = 0;
    let mut first = true;
    for_each_active(|exception| {
        left -= 1;
        if at + FRAME_WORDS + CALLEE_WORDS > CHAIN_WORDS {
            return;
        }
        if !first {
            if let Some(signature) = words.get_mut(at) {
                *signature = INTEGRITY_SIGNATURE;
            }
            at += CALLEE_WORDS;
        }
        first = false;
        let next = if left == 0 { RETURN_TO_IDLE_FROM_NS } else { RETURN_TO_HANDLER_FROM_NS };
        let frame = [0, 0, 0, 0, 0, next, unwind, XPSR_THUMB | exception];
        for (to, from) in words.iter_mut().skip(at).zip(frame) {
            *to = from;
        }
        at += FRAME_WORDS;
    });
    CHAIN.get() as u32
}

/// Makes a fresh idle thread. `unwinding`: it is reached from a Non-secure exception, by way of the chain.
fn prepare_idle(unwinding: bool) {
    unsafe extern "C" {
        fn bulkhead_idle();
    }
    // SAFETY: executor only (or start-up); the idle thread is not running while its stack is rewritten.
    let stack = unsafe { &mut (*IDLE_STACK.get()).0 };
    let entry = (bulkhead_idle as *const () as u32) & !1;
    let frame = [0, 0, 0, 0, 0, 0xFFFF_FFFF, entry, XPSR_THUMB];
    let frame_at = IDLE_STACK_WORDS - FRAME_WORDS;
    for (to, from) in stack.iter_mut().skip(frame_at).zip(frame) {
        *to = from;
    }
    let mut at = frame_at;
    if unwinding {
        at -= CALLEE_WORDS;
        if let Some(signature) = stack.get_mut(at) {
            *signature = INTEGRITY_SIGNATURE;
        }
    }
    let base = IDLE_STACK.get() as u32;
    let context = Context {
        r4_r11: [0; 8],
        exc_return: if unwinding { RETURN_TO_HANDLER } else { RETURN_TO_IDLE },
        psp: stack.as_ptr().wrapping_add(at) as u32,
        psplim: base,
        basepri: u32::from(partition::NON_SECURE_PRIORITY),
    };
    // SAFETY: executor only.
    unsafe { *IDLE.get() = context };
}

/// The first instructions of every start, in the application's own memory, interrupts masked. They switch off the
/// Non-secure SysTick and forget its request, which no secure code can do on every chip (`docs/errata.md`, E1): the
/// application before may have left it running, and its tick must not meet an application that knows of none.
///
/// `str r1, [r0]` (SYST_CSR), `str.w r3, [r0, #0xCF4]` (ICSR), `cpsie i`, `bx r2`, `nop`.
const START_STUB: [u32; 3] = [0xF8C0_6001, 0xB662_3CF4, 0xBF00_4710];
const START_STUB_BYTES: u32 = 16;
const _: () = assert!(ICSR - SYST_CSR == 0xCF4);

/// Where the secure stack of the application's thread begins: above it lies the seal.
pub(super) fn gateway_stack_top() -> u32 {
    (GATEWAY_STACK.get() as u32).wrapping_add(GATEWAY_STACK_BYTES)
}

/// Builds the application's first frame and makes it current.
fn prepare_application(vector_table: u32, stack_pointer: u32, entry: u32) {
    let frame_at = stack_pointer.wrapping_sub(FRAME_BYTES);
    let stub_at = frame_at.wrapping_sub(START_STUB_BYTES);
    // lr = 0xFFFFFFFF: debuggers end the unwind there.
    let frame = [SYST_CSR, 0, entry | 1, ICSR_PENDSTCLR, 0, 0xFFFF_FFFF, stub_at, XPSR_THUMB];
    let words = (0u32..).zip(START_STUB).map(|(index, word)| (stub_at.wrapping_add(index * 4), word));
    let frame = (0u32..).zip(frame).map(|(index, word)| (frame_at.wrapping_add(index * 4), word));
    for (address, word) in words.chain(frame) {
        // SAFETY: the caller has checked that the stack below its pointer lies in the application's memory.
        unsafe { core::ptr::write_volatile(address as *mut u32, word) };
    }
    scs::write(VTOR + NON_SECURE_ALIAS, vector_table);
    // SAFETY: sets the application's main stack pointer, and masks its interrupts until the stub opens them.
    unsafe {
        core::arch::asm!("msr msp_ns, {0}", "msr primask_ns, {1}", in(reg) frame_at, in(reg) 1,
            options(nomem, nostack, preserves_flags));
    }
    scs::barrier();
    // SAFETY: executor only, and the application that used the stack is gone.
    let stack = unsafe { &mut (*GATEWAY_STACK.get()).0 };
    let seal_at = stack.len().saturating_sub(STACK_SEAL_WORDS);
    for word in stack.iter_mut().skip(seal_at) {
        *word = STACK_SEAL;
    }
    let psp = stack.as_ptr().wrapping_add(seal_at) as u32;
    let psplim = gateway_stack_top().wrapping_sub(entrance::ROOM_BYTES);
    let context = Context { r4_r11: [0; 8], exc_return: RETURN_TO_APPLICATION, psp, psplim, basepri: 0 };
    // SAFETY: executor only.
    unsafe {
        *APPLICATION.get() = context;
    }
    RUNNING.store(true, Ordering::Relaxed);
}
