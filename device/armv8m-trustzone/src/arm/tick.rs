//! The Secure SysTick: time that the application cannot stop.
//!
//! Ticks are not evenly spaced: each lasts a pseudo-random 0.75 to 1.25 of [`TICK_US`]. The application's timers run
//! from the same clock, so an even tick could fall into the same handler of the application every time, and an honest
//! application would look as if it never left that handler.

use super::registers::{self as scs, ICSR, ICSR_PENDSTSET, SYST_CSR, SYST_CVR, SYST_RVR};
use core::sync::atomic::{AtomicU32, Ordering};

static TICKS: AtomicU32 = AtomicU32::new(0);
/// Cycles of all ticks that are over, low and high word.
static CYCLES_LOW: AtomicU32 = AtomicU32::new(0);
static CYCLES_HIGH: AtomicU32 = AtomicU32::new(0);
/// Length of the running tick, and of the one after it, which the counter reloads by itself.
static RUNNING: AtomicU32 = AtomicU32::new(1);
static NEXT: AtomicU32 = AtomicU32::new(1);
static MEAN: AtomicU32 = AtomicU32::new(1);
static CYCLES_PER_US: AtomicU32 = AtomicU32::new(1);
static RANDOM: AtomicU32 = AtomicU32::new(0x2545_F491);

/// Mean length of a tick in microseconds.
pub const TICK_US: u32 = 1000;

/// Starts the tick. `clock_hz` is the processor's clock, at least 1 MHz and at most 4 GHz.
pub fn start(clock_hz: u32) {
    let cycles_per_us = (clock_hz / 1_000_000).max(1);
    let cycles = cycles_per_us.saturating_mul(TICK_US);
    CYCLES_PER_US.store(cycles_per_us, Ordering::Relaxed);
    MEAN.store(cycles, Ordering::Relaxed);
    RUNNING.store(cycles, Ordering::Relaxed);
    NEXT.store(cycles, Ordering::Relaxed);
    scs::write(SYST_RVR, cycles.saturating_sub(1));
    scs::write(SYST_CVR, 0);
    scs::write(SYST_CSR, 0b111); // Processor clock, interrupt, on.
}

/// Counts one tick and chooses the length of the one after next; called by the SysTick handler alone.
pub(super) fn count() {
    TICKS.store(TICKS.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    let (low, wrapped) = CYCLES_LOW.load(Ordering::Relaxed).overflowing_add(RUNNING.load(Ordering::Relaxed));
    let high = CYCLES_HIGH.load(Ordering::Relaxed).wrapping_add(u32::from(wrapped));
    CYCLES_LOW.store(low, Ordering::Relaxed);
    CYCLES_HIGH.store(high, Ordering::Relaxed);
    RUNNING.store(NEXT.load(Ordering::Relaxed), Ordering::Relaxed);
    let next = dithered();
    NEXT.store(next, Ordering::Relaxed);
    scs::write(SYST_RVR, next.saturating_sub(1));
}

/// 0.75 to 1.25 of the mean. Xorshift (Marsaglia 2003); it spreads samples, no secret depends on it.
fn dithered() -> u32 {
    let mut random = RANDOM.load(Ordering::Relaxed);
    random ^= random << 13;
    random ^= random >> 17;
    random ^= random << 5;
    RANDOM.store(random, Ordering::Relaxed);
    let mean = MEAN.load(Ordering::Relaxed);
    let spread = (mean / 2).max(1);
    mean.saturating_sub(mean / 4).saturating_add(random % spread).max(2)
}

/// Mean length of a tick in cycles.
pub(super) fn mean_cycles() -> u32 {
    MEAN.load(Ordering::Relaxed)
}

/// Cycles since [`start`], wrapping.
#[expect(clippy::cast_possible_truncation, reason = "it wraps")]
pub(super) fn cycles() -> u32 {
    all_cycles() as u32
}

/// Cycles of a tick of `length` that have passed when the counter, which runs down, reads `left`.
fn passed(length: u32, left: u32) -> u32 {
    length.saturating_sub(1).saturating_sub(left)
}

/// As [`passed`], for the tick that follows one that is over but not counted. The counter stays at zero for a cycle before
/// it runs through the next tick: then nothing of that has passed.
fn begun(length: u32, left: u32) -> u32 {
    if left == 0 { 0 } else { passed(length, left) }
}

/// Ticks since [`start`]. Wraps after 49 days; for differences.
pub fn ticks() -> u32 {
    TICKS.load(Ordering::Relaxed)
}

/// Microseconds since [`start`]; never goes back.
pub fn now_us() -> u64 {
    all_cycles() / u64::from(CYCLES_PER_US.load(Ordering::Relaxed))
}

/// Cycles since [`start`]. No more than one tick may come that is not counted.
fn all_cycles() -> u64 {
    loop {
        let before = ticks();
        let (low, high) = (CYCLES_LOW.load(Ordering::Relaxed), CYCLES_HIGH.load(Ordering::Relaxed));
        let (running, next) = (RUNNING.load(Ordering::Relaxed), NEXT.load(Ordering::Relaxed));
        let left = scs::read(SYST_CVR);
        // A tick that is over but not counted (we run at or above its priority) is added by hand; the counter then
        // runs through the next one.
        let pending = scs::read(ICSR) & ICSR_PENDSTSET != 0;
        let since = if pending {
            running.wrapping_add(begun(next, scs::read(SYST_CVR)))
        } else {
            passed(running, left)
        };
        if ticks() == before {
            let whole = (u64::from(high) << 32) | u64::from(low);
            return whole.wrapping_add(u64::from(since));
        }
    }
}
