//! The interrupt line on which the hypervisor announces news, and the table that the hardware reads.

use core::sync::atomic::{AtomicBool, Ordering};

use bulkhead_sdk::notification;
use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;

/// First of the board's lines without hardware behind them.
const NEWS_LINE: u8 = 80;
/// Entries of the table: lines 0 to 80.
const LINES: usize = NEWS_LINE as usize + 1;

static NEWS: AtomicBool = AtomicBool::new(false);

#[derive(Clone, Copy)]
struct Line(u8);

// SAFETY: the board has lines 0 to 95, and the number below is one of them.
unsafe impl InterruptNumber for Line {
    fn number(self) -> u16 {
        u16::from(self.0)
    }
}

type Handler = unsafe extern "C" fn();

unsafe extern "C" {
    fn DefaultHandler();
}

#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [Handler; LINES] = {
    let mut table: [Handler; LINES] = [DefaultHandler; LINES];
    table[NEWS_LINE as usize] = news;
    table
};

extern "C" fn news() {
    NEWS.store(true, Ordering::Release);
}

/// Asks for notifications on our line.
pub(crate) fn start() {
    // The line is one of the board's, so it is not refused.
    let _ = notification::enable(NEWS_LINE);
    // SAFETY: the handler is in the table, and what it touches is made for interrupts.
    unsafe { NVIC::unmask(Line(NEWS_LINE)) };
}

/// Whether there is news since the last time. What comes after this look raises the line again.
pub(crate) fn there_is_news() -> bool {
    NEWS.swap(false, Ordering::Acquire)
}
