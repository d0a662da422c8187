//! Log records on their way to the server: a ring of bytes that drops the newest when full and counts the loss.

use bulkhead_link_protocol::{LOG_TEXT_LEN_MAX, LogSource};

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
        if self.used + HEADER_LEN + text.len() > RING_LEN {
            self.lost = self.lost.saturating_add(1);
            return false;
        }
        let mut header = [0; HEADER_LEN];
        let [l0, l1] = u16::try_from(text.len()).unwrap_or(0).to_le_bytes();
        let source = match source {
            LogSource::Application => 0,
            LogSource::Hypervisor => 1,
        };
        let fixed = [source, level, l0, l1].into_iter().chain(uptime_us.to_le_bytes());
        let counts = self.sequence.to_le_bytes().into_iter().chain(self.lost.to_le_bytes());
        for (to, from) in header.iter_mut().zip(fixed.chain(counts)) {
            *to = from;
        }
        self.put(&header);
        self.put(text);
        self.sequence = self.sequence.wrapping_add(1);
        self.lost = 0;
        true
    }

    /// Takes the oldest record, as it lies in the ring.
    pub fn pop(&mut self) -> Option<StoredRecord> {
        if self.used == 0 {
            return None;
        }
        let mut record = StoredRecord { bytes: [0; RECORD_LEN_MAX], len: 0 };
        let (header, text) = record.bytes.split_at_mut_checked(HEADER_LEN)?;
        self.take(header);
        let len = match header {
            [_, _, l0, l1, ..] => usize::from(u16::from_le_bytes([*l0, *l1])),
            _ => 0,
        };
        if let Some(text) = text.get_mut(..len) {
            self.take(text);
            record.len = len;
        }
        Some(record)
    }

    /// Copies at most two pieces: interrupts are masked meanwhile.
    fn put(&mut self, bytes: &[u8]) {
        let at = wrapped(self.first.saturating_add(self.used));
        let (head, tail) = bytes.split_at(bytes.len().min(RING_LEN.saturating_sub(at)));
        for (at, piece) in [(at, head), (0, tail)] {
            if let Some(to) = self.bytes.get_mut(at..).and_then(|rest| rest.get_mut(..piece.len())) {
                to.copy_from_slice(piece);
            }
        }
        self.used = self.used.saturating_add(bytes.len());
    }

    fn take(&mut self, out: &mut [u8]) {
        let len = out.len();
        let (head, tail) = out.split_at_mut(len.min(RING_LEN.saturating_sub(self.first)));
        for (at, piece) in [(self.first, head), (0, tail)] {
            if let Some(from) = self.bytes.get(at..).and_then(|rest| rest.get(..piece.len())) {
                piece.copy_from_slice(from);
            }
        }
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

    #[test]
    fn records_come_out_in_order_across_the_wrap() {
        let mut ring = LogRing::new();
        for round in 0..100u32 {
            assert!(ring.push(LogSource::Application, 2, u64::from(round), b"a text of some length"));
            let record = ring.pop().unwrap().read();
            assert_eq!((record.sequence, record.text.as_str()), (round, "a text of some length"));
        }
        assert!(ring.is_empty() && ring.pop().is_none());
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
        ring.pop().unwrap();
        assert!(ring.push(LogSource::Hypervisor, 0, 0, b"after"));
        let last = core::iter::from_fn(|| ring.pop()).last().unwrap().read();
        assert_eq!((last.lost, last.source), (2, LogSource::Hypervisor));
    }

    #[test]
    fn bytes_that_are_no_text_become_question_marks() {
        let mut ring = LogRing::new();
        ring.push(LogSource::Application, 2, 0, b"a\xFFb\xC3");
        assert_eq!(ring.pop().unwrap().read().text.as_str(), "a?b?");
    }
}
