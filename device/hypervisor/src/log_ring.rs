//! Log records on their way to the server: a ring of bytes that drops the newest when full and counts the loss.

use bulkhead_link_protocol::{LOG_TEXT_LEN_MAX, LogSource};

use crate::ring;

/// Bytes of the ring.
pub(crate) const RING_LEN: usize = 2560;

/// Fixed part of a stored record: source, level, two bytes of length, uptime, number, losses.
const HEADER_LEN: usize = 20;

/// One record, taken out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogRecord {
    /// Who wrote it.
    pub source: LogSource,
    /// 0 error to 4 trace.
    pub level: u8,
    /// Microseconds since power came on.
    pub uptime_us: u64,
    /// Running number.
    pub sequence: u32,
    /// Records lost just before it.
    pub lost: u32,
    /// The text; what was not UTF-8 became `?`.
    pub text: heapless::String<LOG_TEXT_LEN_MAX>,
}

/// Why there is no record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotLogged {
    /// The ring is full, or the text too long. The next record's `lost` will tell.
    NoRoom,
    /// The text cannot be read.
    NoText,
}

/// The ring.
pub struct LogRing {
    bytes: [u8; RING_LEN],
    first: usize,
    used: usize,
    sequence: u32,
    lost: u32,
}

impl LogRing {
    /// An empty ring.
    pub const fn new() -> Self {
        Self { bytes: [0; RING_LEN], first: 0, used: 0, sequence: 0, lost: 0 }
    }

    /// Whether there is nothing to send.
    pub const fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Adds a record; `false` when there is no room, which the next record's `lost` will tell.
    pub fn push(&mut self, source: LogSource, level: u8, uptime_us: u64, text: &[u8]) -> bool {
        let text = text.get(..LOG_TEXT_LEN_MAX).unwrap_or(text);
        let pushed = self.push_from(source, level, uptime_us, text.len(), ring::from_slice(text));
        pushed.is_ok()
    }

    /// Adds a record whose `len` bytes of text `fill` writes, in one piece or two; `false` from it: they cannot be had, and
    /// there is no record. So an application's text is copied once, while its interrupts wait.
    ///
    /// # Errors
    /// See [`NotLogged`].
    pub fn push_from(
        &mut self,
        source: LogSource,
        level: u8,
        uptime_us: u64,
        len: usize,
        fill: impl FnMut(&mut [u8]) -> bool,
    ) -> Result<(), NotLogged> {
        if len > LOG_TEXT_LEN_MAX || self.used + HEADER_LEN + len > RING_LEN {
            self.lost = self.lost.saturating_add(1);
            return Err(NotLogged::NoRoom);
        }
        let at = wrapped(self.first + self.used);
        if !ring::fill(&mut self.bytes, wrapped(at + HEADER_LEN), len, fill) {
            return Err(NotLogged::NoText);
        }
        let [l0, l1] = u16::try_from(len).unwrap_or(0).to_le_bytes();
        let source = match source {
            LogSource::Application => 0,
            LogSource::Hypervisor => 1,
        };
        let [u0, u1, u2, u3, u4, u5, u6, u7] = uptime_us.to_le_bytes();
        let header = [
            [source, level, l0, l1],
            [u0, u1, u2, u3],
            [u4, u5, u6, u7],
            self.sequence.to_le_bytes(),
            self.lost.to_le_bytes(),
        ];
        const { assert!(size_of_val(&[[0_u8; 4]; 5]) == HEADER_LEN) };
        ring::write(&mut self.bytes, at, header.as_flattened());
        self.used += HEADER_LEN + len;
        self.sequence = self.sequence.wrapping_add(1);
        self.lost = 0;
        Ok(())
    }

    /// Takes the oldest record, as it lies in the ring; `false` if there is none. Nothing but its own bytes is copied:
    /// interrupts are masked meanwhile.
    pub fn pop(&mut self, into: &mut StoredRecord) -> bool {
        if self.used == 0 {
            return false;
        }
        let (header, text) = into.bytes.split_at_mut(HEADER_LEN);
        self.take(header);
        let len = match header {
            [_, _, l0, l1, ..] => usize::from(u16::from_le_bytes([*l0, *l1])),
            _ => 0,
        };
        into.len = 0;
        if let Some(text) = text.get_mut(..len) {
            self.take(text);
            into.len = len;
        }
        true
    }

    /// Copies at most two pieces: interrupts are masked meanwhile.
    fn take(&mut self, out: &mut [u8]) {
        ring::read(&self.bytes, self.first, out);
        let len = out.len();
        self.first = wrapped(self.first.saturating_add(len));
        self.used = self.used.saturating_sub(len);
    }
}

/// A place in the ring; `at` is less than twice around.
fn wrapped(at: usize) -> usize {
    at.checked_sub(RING_LEN).unwrap_or(at)
}

/// Most bytes of a stored record.
const RECORD_LEN_MAX: usize = HEADER_LEN + LOG_TEXT_LEN_MAX;

/// A record as it lay in the ring. Reading it takes its time, and need not be done with interrupts masked.
#[derive(Clone, Debug)]
pub struct StoredRecord {
    bytes: [u8; RECORD_LEN_MAX],
    len: usize,
}

impl StoredRecord {
    /// Room for one.
    pub const fn new() -> Self {
        Self { bytes: [0; RECORD_LEN_MAX], len: 0 }
    }

    /// What it says.
    pub fn read(&self) -> LogRecord {
        let mut rest = self.bytes.as_slice();
        let [source, level, _, _] = first(&mut rest);
        let uptime_us = u64::from_le_bytes(first(&mut rest));
        let sequence = u32::from_le_bytes(first(&mut rest));
        let lost = u32::from_le_bytes(first(&mut rest));
        let source = if source == 0 { LogSource::Application } else { LogSource::Hypervisor };
        LogRecord {
            source,
            level,
            uptime_us,
            sequence,
            lost,
            text: printable(rest.get(..self.len).unwrap_or(&[])),
        }
    }
}

/// Lets those records pass that the server wants to have. What was lost before one that it does not want is told with the
/// next that it does.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Sieve {
    lost: u32,
}

impl Sieve {
    /// The record, if it is of `level_max` or graver.
    pub(crate) fn sift(&mut self, mut record: LogRecord, level_max: u8) -> Option<LogRecord> {
        record.lost = record.lost.saturating_add(self.lost);
        let passes = record.level <= level_max;
        self.lost = if passes { 0 } else { record.lost };
        passes.then_some(record)
    }
}

/// Splits so many bytes off.
fn first<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    match rest.split_first_chunk() {
        Some((chunk, behind)) => {
            *rest = behind;
            *chunk
        }
        None => [0; N],
    }
}

impl Default for StoredRecord {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for LogRing {
    fn default() -> Self {
        Self::new()
    }
}

/// The text with every byte that is not UTF-8 replaced by `?`; never longer than the bytes.
fn printable(mut bytes: &[u8]) -> heapless::String<LOG_TEXT_LEN_MAX> {
    let mut out = heapless::String::new();
    loop {
        match core::str::from_utf8(bytes) {
            Ok(text) => {
                let _ = out.push_str(text);
                return out;
            }
            Err(error) => {
                let (good, rest) = bytes.split_at(error.valid_up_to());
                let _ = out.push_str(core::str::from_utf8(good).unwrap_or(""));
                let _ = out.push('?');
                let skip = error.error_len().unwrap_or(rest.len());
                bytes = rest.get(skip..).unwrap_or(&[]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pop(ring: &mut LogRing) -> Option<LogRecord> {
        let mut record = StoredRecord::new();
        ring.pop(&mut record).then(|| record.read())
    }

    #[test]
    fn records_come_out_in_order_across_the_wrap() {
        let mut ring = LogRing::new();
        for round in 0..100u32 {
            assert!(ring.push(LogSource::Application, 2, u64::from(round), b"a text of some length"));
            let record = pop(&mut ring).unwrap();
            assert_eq!((record.sequence, record.text.as_str()), (round, "a text of some length"));
        }
        assert!(ring.is_empty() && pop(&mut ring).is_none());
    }

    #[test]
    fn a_full_ring_refuses_and_the_next_record_tells_the_loss() {
        let mut ring = LogRing::new();
        let text = [b'x'; 256];
        let mut taken = 0;
        while ring.push(LogSource::Application, 2, 0, &text) {
            taken += 1;
        }
        assert_eq!(taken, RING_LEN / (HEADER_LEN + 256));
        assert!(!ring.push(LogSource::Application, 2, 0, &text));
        pop(&mut ring).unwrap();
        assert!(ring.push(LogSource::Hypervisor, 0, 0, b"after"));
        let last = core::iter::from_fn(|| pop(&mut ring)).last().unwrap();
        assert_eq!((last.lost, last.source), (2, LogSource::Hypervisor));
    }

    #[test]
    fn a_text_that_cannot_be_read_leaves_no_record_wherever_it_lies_in_the_ring() {
        for before in 0..RING_LEN / 30 {
            let mut ring = LogRing::new();
            for _ in 0..before {
                assert!(ring.push(LogSource::Application, 2, 0, b"ten bytes!"));
                pop(&mut ring).unwrap();
            }
            let mut pieces = 0;
            let pushed = ring.push_from(LogSource::Application, 2, 0, 100, |to| {
                pieces += to.len();
                pieces < 100
            });
            assert_eq!((pushed, pieces), (Err(NotLogged::NoText), 100));
            assert!(ring.is_empty());
            assert!(ring.push(LogSource::Application, 1, 7, b"after"));
            let record = pop(&mut ring).unwrap();
            assert_eq!(
                (record.text.as_str(), record.level, record.uptime_us, record.lost),
                ("after", 1, 7, 0)
            );
        }
    }

    #[test]
    fn what_was_lost_before_a_record_that_nobody_wants_is_told_with_the_next() {
        let mut sieve = Sieve::default();
        let record = |level, lost| {
            let (source, text) = (LogSource::Application, heapless::String::new());
            LogRecord { source, level, uptime_us: 0, sequence: 0, lost, text }
        };
        assert_eq!(sieve.sift(record(4, 3), 2), None);
        assert_eq!(sieve.sift(record(3, 2), 2), None);
        assert_eq!(sieve.sift(record(2, 1), 2).map(|record| record.lost), Some(6));
        assert_eq!(sieve.sift(record(0, 0), 2).map(|record| record.lost), Some(0), "told once");
    }

    #[test]
    fn bytes_that_are_no_text_become_question_marks() {
        let mut ring = LogRing::new();
        ring.push(LogSource::Application, 2, 0, b"a\xFFb\xC3");
        assert_eq!(pop(&mut ring).unwrap().text.as_str(), "a?b?");
    }
}
