//! What probes printed, until it is sent.

use bulkhead_debug_protocol::{LOG_LEN_MAX, Log};

/// Bytes of all records that wait, heads included.
const ROOM: usize = 768;
/// Bytes before each text: address of its probe, records lost before it, its length.
const HEAD_LEN: usize = 10;

/// Records in the order in which they were printed. One that has no room is lost, and counted by the next.
#[derive(Debug)]
pub(crate) struct Records {
    bytes: [u8; ROOM],
    used: usize,
    lost: u32,
}

impl Records {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; ROOM], used: 0, lost: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.used == 0
    }

    pub(crate) fn clear(&mut self) {
        (self.used, self.lost) = (0, 0);
    }

    /// A record was not even printed.
    pub(crate) fn lose(&mut self) {
        self.lost = self.lost.saturating_add(1);
    }

    pub(crate) fn push(&mut self, address: u32, text: &[u8]) {
        let text = text.get(..LOG_LEN_MAX).unwrap_or(text);
        let len = u16::try_from(text.len()).unwrap_or_default();
        let end = self.used + HEAD_LEN + text.len();
        let Some(room) = self.bytes.get_mut(self.used..end) else {
            self.lose();
            return;
        };
        let head = address.to_le_bytes().into_iter().chain(self.lost.to_le_bytes()).chain(len.to_le_bytes());
        for (place, byte) in room.iter_mut().zip(head.chain(text.iter().copied())) {
            *place = byte;
        }
        (self.used, self.lost) = (end, 0);
    }

    /// The oldest record.
    pub(crate) fn first(&self) -> Option<Log<'_>> {
        let (head, rest) = self.bytes.get(..self.used)?.split_first_chunk::<HEAD_LEN>()?;
        let [a0, a1, a2, a3, l0, l1, l2, l3, low, high] = *head;
        let text = rest.get(..usize::from(u16::from_le_bytes([low, high])))?;
        let (address, lost) = (u32::from_le_bytes([a0, a1, a2, a3]), u32::from_le_bytes([l0, l1, l2, l3]));
        Some(Log { address, text, lost })
    }

    pub(crate) fn remove_first(&mut self) {
        let len = self.first().map_or(self.used, |log| HEAD_LEN + log.text.len());
        self.bytes.copy_within(len..self.used, 0);
        self.used -= len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_in_order_and_the_lost_are_counted_by_the_next() {
        let mut records = Records::new();
        records.push(2, b"first");
        for _ in 0..4 {
            records.push(4, &[b'x'; LOG_LEN_MAX]);
        }
        assert_eq!(records.first(), Some(Log { address: 2, text: b"first", lost: 0 }));
        records.remove_first();
        while records.first().is_some_and(|log| log.address == 4) {
            records.remove_first();
        }
        assert!(records.is_empty());
        records.push(6, b"behind");
        assert_eq!(records.first(), Some(Log { address: 6, text: b"behind", lost: 2 }));
    }
}
