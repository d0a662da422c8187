//! One instruction of the application's thread, run although a breakpoint stands in its place.
//!
//! A thread at a breakpoint comes across it again whatever happens meanwhile, so its interrupts are served while the worker
//! [looks](sight) at it and makes up its mind. If the thread is to pass, they need to wait no longer than this takes: the
//! executor puts the instruction back, lets the thread run it with its interrupts masked, and puts the breakpoint in its
//! place again. Nobody else can come past it in the meantime.

use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use super::critical::Shared;
use super::debug::{self, CORE_REGISTERS, Registers};
use super::faults;
use super::memory_check::{Intent, allowed};
use super::registers as scs;
use super::switch::{self, ExecutorOnly, Interrupted};
use super::worker;

/// Half-words that one hop replaces at most.
pub const HALVES_MAX: usize = 5;
/// How often the executor may come between before the thread is let go with its interrupts: a gateway counts as one
/// instruction and can take longer than others.
const LOOKS_MAX: u8 = 2;

/// A half-word of the application's code.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct HalfWord {
    /// Where it stands.
    pub address: u32,
    /// What it is while the instruction runs.
    pub during: u16,
    /// What it is afterwards.
    pub after: u16,
}

struct Hop {
    core: [u32; CORE_REGISTERS],
    /// PRIMASK of the thread, which may be masked: behind a sleep, its registers do not tell.
    mask: u32,
    halves: [HalfWord; HALVES_MAX],
    count: usize,
    looks: u8,
}

const RESTS: u8 = 0;
const ASKED: u8 = 1;
const UNDER_WAY: u8 = 2;

static STATE: AtomicU8 = AtomicU8::new(RESTS);
static DONE: AtomicBool = AtomicBool::new(false);
static HOP: ExecutorOnly<Hop> = ExecutorOnly::new(Hop {
    core: [0; CORE_REGISTERS],
    mask: 0,
    halves: [HalfWord { address: 0, during: 0, after: 0 }; HALVES_MAX],
    count: 0,
    looks: 0,
});
/// Of the breakpoint that is put off.
static SIGHT: Shared<Option<Registers>> = Shared::new(None);

/// With what registers the application's thread stands at a breakpoint while its interrupts are served. For the worker
/// alone.
pub fn sight() -> Option<Registers> {
    SIGHT.with(|sight| sight.filter(|_| faults::is_put_off()))
}

/// Lets the thread that was seen come across what is in its place by now. For the worker alone.
pub fn let_go() {
    faults::forget_put_off();
}

/// A breakpoint was put off: its thread is looked at while it stands there.
pub(super) fn look() {
    let registers = debug::registers();
    SIGHT.with(|sight| *sight = Some(registers));
}

/// Lets the thread that was seen with `core` run one instruction, the first half-word of which is the first of `halves`; the
/// others are where it leads. `false`: it stands there no longer, and nothing was changed. For the worker alone.
pub fn hop(core: [u32; CORE_REGISTERS], halves: &[HalfWord]) -> bool {
    // SAFETY: the executor looks at it only after it was asked to, below.
    let hop = unsafe { &mut *HOP.get() };
    let Some(room) = hop.halves.get_mut(..halves.len()) else { return false };
    if !halves.iter().all(|half| allowed(half.address, 2, Intent::Read)) {
        return false;
    }
    room.copy_from_slice(halves);
    (hop.core, hop.count, hop.looks) = (core, halves.len(), 0);
    DONE.store(false, Ordering::Relaxed);
    STATE.store(ASKED, Ordering::Relaxed);
    worker::reconsider();
    DONE.load(Ordering::Relaxed)
}

/// Whether a hop that the worker asked for begins now. For the executor.
pub(super) fn begins() -> bool {
    if STATE.load(Ordering::Relaxed) != ASKED {
        return false;
    }
    STATE.store(RESTS, Ordering::Relaxed);
    // SAFETY: executor only, from here on.
    let hop = unsafe { &mut *HOP.get() };
    let stands = switch::is_running()
        && faults::is_put_off()
        && SIGHT.with(|sight| sight.is_some_and(|sight| sight.core == hop.core))
        && switch::interrupted(switch::application_context().exc_return) == Interrupted::Thread;
    if stands {
        faults::forget_put_off();
        set_halves(hop, |half| half.during);
        hop.mask = debug::primask();
        debug::write_primask(1);
        STATE.store(UNDER_WAY, Ordering::Relaxed);
    }
    stands
}

/// Whether the application goes on with a hop in the middle of which the executor came. For the executor.
pub(super) fn goes_on() -> bool {
    if STATE.load(Ordering::Relaxed) != UNDER_WAY {
        return false;
    }
    // SAFETY: executor only.
    let hop = unsafe { &mut *HOP.get() };
    if !faults::is_waiting() && hop.looks < LOOKS_MAX {
        hop.looks += 1;
        return true;
    }
    set_halves(hop, |half| half.after);
    debug::write_primask(hop.mask);
    let ends = hop.halves.get(1..hop.count).unwrap_or_default();
    let _ = faults::forget_breakpoint(|at| ends.iter().any(|half| half.address == at));
    STATE.store(RESTS, Ordering::Relaxed);
    DONE.store(true, Ordering::Relaxed);
    false
}

fn set_halves(hop: &Hop, what: impl Fn(&HalfWord) -> u16) {
    for half in hop.halves.iter().take(hop.count) {
        // SAFETY: memory that the application can reach, as was checked when the worker asked: no Rust object lies there.
        unsafe { core::ptr::write_volatile(half.address as *mut u16, what(half)) };
    }
    scs::barrier();
}
