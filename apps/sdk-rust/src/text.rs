//! Log lines made without an allocator.

use core::fmt;

use crate::{Level, abi, log};

/// Longest text of one log record in bytes.
pub const LINE_LEN_MAX: usize = abi::BH_LOG_TEXT_LEN_MAX as usize;

/// A line being written; what does not fit is cut off.
pub struct Line {
    bytes: [u8; LINE_LEN_MAX],
    len: usize,
}

impl Line {
    /// An empty line.
    pub const fn new() -> Self {
        Self { bytes: [0; LINE_LEN_MAX], len: 0 }
    }

    /// The text so far.
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.len).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl Default for Line {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.len..).unwrap_or_default();
        let fits = text.floor_char_boundary(room.len());
        for (to, from) in room.iter_mut().zip(text.bytes().take(fits)) {
            *to = from;
        }
        self.len += fits;
        if fits == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// Formats and logs; a line that the full queue does not take is lost, and counted by the hypervisor.
pub fn log_args(level: Level, arguments: fmt::Arguments<'_>) {
    let mut line = Line::new();
    // A line that is too long is cut off; a queue that is full counts what it lost. Neither is ours to mend.
    let _ = fmt::Write::write_fmt(&mut line, arguments);
    let _ = log(level, line.as_str());
}

/// Logs with `format!`'s syntax: `bulkhead_sdk::log!(Level::Information, "{n} samples")`.
#[macro_export]
macro_rules! log {
    ($level:expr, $($argument:tt)*) => { $crate::text::log_args($level, format_args!($($argument)*)) };
}
