//! Bare-metal Rust: `cortex-m-rt` starts it, SysTick counts, the `log` crate speaks through the hypervisor.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU32, Ordering};

use bulkhead_sdk::notification::{self, Event};
use bulkhead_sdk::update;
use cortex_m::peripheral::Peripherals;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::{entry, exception};
use log::LevelFilter;

/// What `boards/mps2-an505` is clocked with, in ticks of a hundredth of a second.
const CYCLES_PER_TICK: u32 = 20_000_000 / TICKS_PER_SECOND;
const TICKS_PER_SECOND: u32 = 100;

static TICKS: AtomicU32 = AtomicU32::new(0);

#[exception]
fn SysTick() {
    TICKS.fetch_add(1, Ordering::Relaxed);
}

#[entry]
fn main() -> ! {
    // A second logger cannot be there yet.
    let _ = bulkhead_sdk::logger::start(LevelFilter::Debug);
    log::info!("hello-rust starts, wake reason {:?}", bulkhead_sdk::wake_reason());
    if let Some(mut peripherals) = Peripherals::take() {
        peripherals.SYST.set_clock_source(SystClkSource::Core);
        peripherals.SYST.set_reload(CYCLES_PER_TICK - 1);
        peripherals.SYST.clear_current();
        peripherals.SYST.enable_counter();
        peripherals.SYST.enable_interrupt();
    }
    let mut seconds = 0;
    loop {
        cortex_m::asm::wfi();
        if TICKS.load(Ordering::Relaxed) / TICKS_PER_SECOND > seconds {
            seconds += 1;
            log::info!("hello-rust second {seconds}");
        }
        while let Some(notification) = notification::next() {
            if let Event::UpdateReady(pages) = notification.event {
                log::info!("hello-rust: an update of {pages} pages is staged, applying it now");
                // Between the notification and now the owner may have withdrawn it.
                let _ = update::apply_now();
            }
        }
    }
}
