//! Bare-metal Rust: `cortex-m-rt` starts it, SysTick counts, the `log` crate speaks through the hypervisor, an interrupt
//! tells of its notifications, and lines that are typed into its console lead to peers.
#![no_std]
#![no_main]

mod interrupts;
mod mqtt;
mod talk;

use core::sync::atomic::{AtomicU32, Ordering};

use bulkhead_sdk::console::{self, Typed};
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
    interrupts::start();
    console::start();
    let mut seconds = 0;
    let mut typed = Typed::<320>::new();
    loop {
        work(&mut seconds);
        if typed.take() {
            talk::obey(typed.as_str(), &mut || work(&mut seconds));
            typed.clear();
        }
    }
}

/// Sleeps until something happens, and sees to what the application does besides talking.
fn work(seconds: &mut u32) {
    cortex_m::asm::wfi();
    if TICKS.load(Ordering::Relaxed) / TICKS_PER_SECOND > *seconds {
        *seconds += 1;
        log::info!("hello-rust second {seconds}");
    }
    if !interrupts::there_is_news() {
        return;
    }
    while let Some(notification) = notification::next() {
        if let Event::UpdateReady(pages) = notification.event {
            log::info!("hello-rust: an update of {pages} pages is staged, applying it now");
            // Between the notification and now the owner may have withdrawn it.
            let _ = update::apply_now();
        }
    }
}
