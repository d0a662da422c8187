//! The Secure SysTick: time that the application cannot stop.

use super::registers::{self as scs, ICSR, ICSR_PENDSTSET, SYST_CSR, SYST_CVR, SYST_RVR};
use core::sync::atomic::{AtomicU32, Ordering};

static TICKS_LOW: AtomicU32 = AtomicU32::new(0);
static TICKS_HIGH: AtomicU32 = AtomicU32::new(0);
static CYCLES_PER_TICK: AtomicU32 = AtomicU32::new(1);

/// Length of a tick in microseconds.
pub const TICK_US: u32 = 1000;

/// Starts the tick. `clock_hz` is the processor's clock.
pub fn start(clock_hz: u32) {
    let cycles = (clock_hz / 1_000_000).saturating_mul(TICK_US).max(1);
    CYCLES_PER_TICK.store(cycles, Ordering::Relaxed);
    scs::write(SYST_RVR, cycles.saturating_sub(1));
    scs::write(SYST_CVR, 0);
    scs::write(SYST_CSR, 0b111); // Processor clock, interrupt, on.
}

/// Counts one tick; called by the SysTick handler alone.
pub(super) fn count() {
    let low = TICKS_LOW.load(Ordering::Relaxed).wrapping_add(1);
    TICKS_LOW.store(low, Ordering::Relaxed);
    if low == 0 {
        TICKS_HIGH.store(TICKS_HIGH.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }
}

/// Ticks since [`start`]. Wraps after 49 days; for differences.
pub fn ticks() -> u32 {
    TICKS_LOW.load(Ordering::Relaxed)
}

/// Microseconds since [`start`]; never goes back.
pub fn now_us() -> u64 {
    loop {
        let high = TICKS_HIGH.load(Ordering::Relaxed);
        let low = TICKS_LOW.load(Ordering::Relaxed);
        let left = scs::read(SYST_CVR);
        let pending = scs::read(ICSR) & ICSR_PENDSTSET != 0;
        // Read again when the tick was counted in between; a tick that is due but not yet counted (we run at
        // or above its priority) is added by hand.
        if high != TICKS_HIGH.load(Ordering::Relaxed) || low != TICKS_LOW.load(Ordering::Relaxed) {
            continue;
        }
        let cycles = CYCLES_PER_TICK.load(Ordering::Relaxed);
        let left = if pending { scs::read(SYST_CVR) } else { left };
        let within = cycles.saturating_sub(1).saturating_sub(left).saturating_mul(TICK_US) / cycles;
        let whole = ((u64::from(high) << 32) | u64::from(low)).wrapping_add(u64::from(pending));
        return whole.wrapping_mul(u64::from(TICK_US)).wrapping_add(u64::from(within));
    }
}
