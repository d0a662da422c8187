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
        let len = u16::try_from(text.len()).unwrap_or(0);
        let source = match source {
            LogSource::Application => 0,
            LogSource::Hypervisor => 1,
        };
        self.put(&[source, level]);
        self.put(&len.to_le_bytes());
        self.put(&uptime_us.to_le_bytes());
        self.put(&self.sequence.to_le_bytes());
        self.put(&self.lost.to_le_bytes());
        self.put(text);
        self.sequence = self.sequence.wrapping_add(1);
        self.lost = 0;
        true
    }

    /// Takes the oldest record.
    pub fn pop(&mut self) -> Option<LogRecord> {
        if self.used == 0 {
            return None;
        }
        let [source, level] = self.take();
        let len = usize::from(u16::from_le_bytes(self.take()));
        let uptime_us = u64::from_le_bytes(self.take());
        let sequence = u32::from_le_bytes(self.take());
        let lost = u32::from_le_bytes(self.take());
        let mut raw = [0u8; LOG_TEXT_LEN_MAX];
        for byte in raw.iter_mut().take(len) {
            let [b] = self.take();
            *byte = b;
        }
        let source = if source == 0 { LogSource::Application } else { LogSource::Hypervisor };
        let text = printable(raw.get(..len).unwrap_or(&[]));
        Some(LogRecord { source, level, uptime_us, sequence, lost, text })
    }

    fn put(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let at = (self.first + self.used) % RING_LEN;
            if let Some(to) = self.bytes.get_mut(at) {
                *to = *byte;
            }
            self.used += 1;
        }
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        for byte in &mut out {
            *byte = self.bytes.get(self.first).copied().unwrap_or(0);
            self.first = (self.first + 1) % RING_LEN;
            self.used = self.used.saturating_sub(1);
        }
        out
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
            let record = ring.pop().unwrap();
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
        let last = core::iter::from_fn(|| ring.pop()).last().unwrap();
        assert_eq!((last.lost, last.source), (2, LogSource::Hypervisor));
    }

    #[test]
    fn bytes_that_are_no_text_become_question_marks() {
        let mut ring = LogRing::new();
        ring.push(LogSource::Application, 2, 0, b"a\xFFb\xC3");
        assert_eq!(ring.pop().unwrap().text.as_str(), "a?b?");
    }
}
