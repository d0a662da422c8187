//! Embassy's time on SysTick: a tick each millisecond.

use core::cell::RefCell;
use core::sync::atomic::{AtomicU32, Ordering};
use core::task::Waker;

use cortex_m::peripheral::Peripherals;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::exception;
use critical_section::Mutex;
use embassy_time_driver::{Driver, TICK_HZ};
use embassy_time_queue_utils::Queue;

/// What `boards/mps2-an505` is clocked with.
const CLOCK_HZ: u64 = 20_000_000;

struct SysTickDriver {
    /// Milliseconds; 49 days until it wraps, which the demo does not live to see.
    ticks: AtomicU32,
    queue: Mutex<RefCell<Queue>>,
}

embassy_time_driver::time_driver_impl!(static DRIVER: SysTickDriver = SysTickDriver {
    ticks: AtomicU32::new(0),
    queue: Mutex::new(RefCell::new(Queue::new())),
});

impl Driver for SysTickDriver {
    fn now(&self) -> u64 {
        u64::from(self.ticks.load(Ordering::Relaxed))
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        // Each tick looks into the queue, so nothing has to be set.
        critical_section::with(|cs| self.queue.borrow(cs).borrow_mut().schedule_wake(at, waker));
    }
}

#[exception]
fn SysTick() {
    let now = DRIVER.ticks.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
    critical_section::with(|cs| {
        DRIVER.queue.borrow(cs).borrow_mut().next_expiration(u64::from(now));
    });
}

/// Starts the tick.
pub(crate) fn start() {
    let Some(mut peripherals) = Peripherals::take() else { return };
    let reload = u32::try_from(CLOCK_HZ / TICK_HZ - 1).unwrap_or(u32::MAX);
    peripherals.SYST.set_clock_source(SystClkSource::Core);
    peripherals.SYST.set_reload(reload);
    peripherals.SYST.clear_current();
    peripherals.SYST.enable_counter();
    peripherals.SYST.enable_interrupt();
}
