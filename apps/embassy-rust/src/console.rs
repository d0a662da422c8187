//! The board's UART 1, the application's own console.

use core::fmt;

use embassy_time::{Duration, Timer};

const UART: *mut u32 = core::ptr::without_provenance_mut(0x4020_1000);
const DATA: usize = 0;
const STATE: usize = 1;
const CONTROL: usize = 2;
const DIVIDER: usize = 4;
const TRANSMIT_FULL: u32 = 1;
const RECEIVE_FULL: u32 = 2;
/// 115,200 baud at 20 MHz.
const DIVIDER_VALUE: u32 = 174;

fn read(register: usize) -> u32 {
    // SAFETY: a register of the UART that the board gives to the application.
    unsafe { UART.wrapping_add(register).read_volatile() }
}

fn write(register: usize, value: u32) {
    // SAFETY: as in `read`.
    unsafe { UART.wrapping_add(register).write_volatile(value) }
}

/// Switches it on.
pub(crate) fn start() {
    write(DIVIDER, DIVIDER_VALUE);
    write(CONTROL, 3);
}

/// Writes texts.
pub(crate) struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            while read(STATE) & TRANSMIT_FULL != 0 {}
            write(DATA, byte.into());
        }
        Ok(())
    }
}

/// Writes one line.
pub(crate) fn line(text: fmt::Arguments<'_>) {
    // The console takes everything.
    let _ = fmt::Write::write_fmt(&mut Console, format_args!("{text}\n"));
}

/// Waits for a line; what is longer than the buffer is cut.
pub(crate) async fn read_line(buffer: &mut [u8]) -> &str {
    let mut len = 0;
    loop {
        if read(STATE) & RECEIVE_FULL == 0 {
            Timer::after(Duration::from_millis(10)).await;
            continue;
        }
        match u8::try_from(read(DATA) & 0xFF) {
            Ok(b'\n') | Err(_) => break,
            Ok(byte) => {
                if let Some(to) = buffer.get_mut(len) {
                    *to = byte;
                    len += 1;
                }
            }
        }
    }
    core::str::from_utf8(buffer.get(..len).unwrap_or_default()).unwrap_or_default()
}
