//! UART 0: what a person at the bench may read. Never secrets.

use core::fmt::{Arguments, Write};

use bulkhead_armv8m_trustzone::critical::Shared;
use bulkhead_chip_mps2_an505::Uart;
use bulkhead_hardware_ports::Console;

use crate::board;

/// Longest line in bytes; the rest is cut.
const LINE_LEN_MAX: usize = 320;

static UART: Shared<Option<Uart>> = Shared::new(None);

/// Switches the console on.
pub(crate) fn start() {
    // SAFETY: UART 0 belongs to the secure world by `board.toml`, and this is its only owner.
    let uart = unsafe { Uart::new(board::UART0_BASE) };
    UART.with(|u| *u = Some(uart));
}

/// Writes one line.
pub(crate) fn line(text: Arguments<'_>) {
    let mut line = heapless::String::<LINE_LEN_MAX>::new();
    // A line that is too long is cut.
    let _ = line.write_fmt(text);
    UART.with(|u| {
        if let Some(uart) = u {
            uart.write(&line);
            uart.write("\n");
        }
    });
}
