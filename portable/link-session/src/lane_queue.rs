//! A bounded queue of plaintexts in a ring of bytes.

/// Bytes before each plaintext.
const PREFIX_LEN: usize = 2;

/// Plaintexts in order, each behind its length. Holds `N` bytes, prefixes included.
pub(crate) struct LaneQueue<const N: usize> {
    ring: [u8; N],
    first: usize,
    used: usize,
}

impl<const N: usize> LaneQueue<N> {
    pub(crate) const fn new() -> Self {
        Self { ring: [0; N], first: 0, used: 0 }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Appends a plaintext; `false`, and nothing is appended, if there is no room.
    pub(crate) fn push(&mut self, plaintext: &[u8]) -> bool {
        let Ok(len) = u16::try_from(plaintext.len()) else { return false };
        if PREFIX_LEN + plaintext.len() > N - self.used {
            return false;
        }
        for byte in len.to_be_bytes().iter().chain(plaintext) {
            let at = (self.first + self.used) % N;
            if let Some(slot) = self.ring.get_mut(at) {
                *slot = *byte;
            }
            self.used += 1;
        }
        true
    }

    /// Moves the oldest plaintext to the start of `out` and returns its length; `None` if there is none. A plaintext
    /// longer than `out` is dropped: what is pushed is bounded by the caller.
    pub(crate) fn pop(&mut self, out: &mut [u8]) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        let len = usize::from(u16::from_be_bytes([self.take(), self.take()]));
        for at in 0..len {
            let byte = self.take();
            if let Some(slot) = out.get_mut(at) {
                *slot = byte;
            }
        }
        (len <= out.len()).then_some(len)
    }

    fn take(&mut self) -> u8 {
        let byte = self.ring.get(self.first).copied().unwrap_or_default();
        self.first = (self.first + 1) % N;
        self.used = self.used.saturating_sub(1);
        byte
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plaintexts_come_out_in_order_across_the_end_of_the_ring() {
        let mut queue = LaneQueue::<64>::new();
        let mut out = [0; 64];
        for round in 0..100_u8 {
            assert!(queue.push(&[round; 23]));
            assert!(queue.push(&[round ^ 0x80; 11]));
            assert_eq!(queue.pop(&mut out), Some(23));
            assert_eq!(out[..23], [round; 23]);
            assert_eq!(queue.pop(&mut out), Some(11));
            assert_eq!(out[..11], [round ^ 0x80; 11]);
            assert_eq!(queue.pop(&mut out), None);
        }
    }

    #[test]
    fn a_full_queue_refuses_whole_plaintexts() {
        let mut queue = LaneQueue::<32>::new();
        let mut out = [0; 32];
        assert!(!queue.push(&[0; 31]));
        assert!(queue.push(&[1; 20]));
        assert!(!queue.push(&[2; 9]));
        assert!(queue.push(&[3; 8]));
        assert!(!queue.push(&[]));
        assert_eq!(queue.pop(&mut out), Some(20));
        assert_eq!(queue.pop(&mut out), Some(8));
        assert_eq!(out[..8], [3; 8]);
        assert!(queue.push(&[4; 30]));
    }
}
