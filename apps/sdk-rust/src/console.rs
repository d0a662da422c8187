//! UART 1 of the virtual board, the application's own console. It is for one context at a time.

use core::fmt;

const UART: *mut u32 = core::ptr::without_provenance_mut(0x4020_1000);
const DATA: usize = 0;
const STATE: usize = 1;
const CONTROL: usize = 2;
const INTERRUPT: usize = 3;
const DIVIDER: usize = 4;

const TRANSMIT_FULL: u32 = 1;
const RECEIVE_FULL: u32 = 2;
/// Both ways on.
const BOTH_WAYS: u32 = 3;
/// In the control register: what is received raises the interrupt line.
const INTERRUPT_ON_RECEIVE: u32 = 8;
/// In the interrupt register: something was received; written back, it is forgotten.
const RECEIVED: u32 = 2;
/// 115,200 baud at 20 MHz.
const DIVIDER_VALUE: u32 = 174;

fn read_register(register: usize) -> u32 {
    // SAFETY: a register of the UART that the board gives to the application.
    unsafe { UART.wrapping_add(register).read_volatile() }
}

fn write_register(register: usize, value: u32) {
    // SAFETY: as in `read_register`.
    unsafe { UART.wrapping_add(register).write_volatile(value) }
}

/// Switches it on.
pub fn start() {
    write_register(DIVIDER, DIVIDER_VALUE);
    write_register(CONTROL, BOTH_WAYS);
}

/// As [`start`]; what is typed also raises line 34, whose handler calls [`read`] until there is nothing more.
pub fn start_with_interrupt() {
    write_register(DIVIDER, DIVIDER_VALUE);
    write_register(CONTROL, BOTH_WAYS | INTERRUPT_ON_RECEIVE);
}

/// The next byte that was typed.
pub fn read() -> Option<u8> {
    // Before the look, so that a byte that comes after it raises the line again.
    write_register(INTERRUPT, RECEIVED);
    if read_register(STATE) & RECEIVE_FULL == 0 {
        return None;
    }
    u8::try_from(read_register(DATA) & 0xFF).ok()
}

/// Writes texts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            while read_register(STATE) & TRANSMIT_FULL != 0 {}
            write_register(DATA, byte.into());
        }
        Ok(())
    }
}

/// Writes one line.
pub fn line(text: fmt::Arguments<'_>) {
    // The console takes everything.
    let _ = fmt::Write::write_fmt(&mut Console, format_args!("{text}\n"));
}

/// A line that is being typed; what is longer than `LEN` is cut.
#[derive(Clone, Copy, Debug)]
pub struct Typed<const LEN: usize> {
    bytes: [u8; LEN],
    len: usize,
}

impl<const LEN: usize> Typed<LEN> {
    /// Nothing was typed yet.
    pub const fn new() -> Self {
        Self { bytes: [0; LEN], len: 0 }
    }

    /// Takes what was typed. True: the line is whole; look at it, then [`Self::clear`] it.
    pub fn take(&mut self) -> bool {
        while let Some(byte) = read() {
            if byte == b'\n' {
                return true;
            }
            if let Some(to) = self.bytes.get_mut(self.len) {
                *to = byte;
                self.len += 1;
            }
        }
        false
    }

    /// What was typed so far; nothing if it is no UTF-8.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.bytes.get(..self.len).unwrap_or_default()).unwrap_or_default()
    }

    /// Begins the next line.
    pub fn clear(&mut self) {
        self.len = 0;
    }
}

impl<const LEN: usize> Default for Typed<LEN> {
    fn default() -> Self {
        Self::new()
    }
}
