//! Messages that wait: a ring of bytes, each message behind its header.
//!
//! A gateway copies a body once, out of the application's memory or into it, in the two pieces at most into which the end of the
//! ring cuts it. The invariant: a message is there when all of it is.

use bulkhead_link_protocol::MESSAGE_HEADER_LEN;

use crate::ring;

/// Messages that may wait, each way.
pub(crate) const MESSAGES_MAX: usize = 16;
/// Room of one queue in bytes.
pub(crate) const QUEUE_LEN: usize = 2048;

/// What stands before a body.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Head {
    pub(crate) number: u32,
    pub(crate) topic: u32,
    /// Seconds of monotonic time when it was put here.
    pub(crate) at_s: u32,
    pub(crate) len: u32,
}

/// The queue. All zeros when it is empty, so that it takes no room in flash.
pub(crate) struct MessageQueue {
    ring: [u8; QUEUE_LEN],
    first: usize,
    used: usize,
    waiting: usize,
}

/// Why a message does not wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NotQueued {
    /// There is no room for it, or it is empty.
    NoRoom,
    /// Its body cannot be had, or nobody be told of it.
    Refused,
}

impl MessageQueue {
    pub(crate) const fn new() -> Self {
        Self { ring: [0; QUEUE_LEN], first: 0, used: 0, waiting: 0 }
    }

    /// Messages that wait.
    pub(crate) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Longest body that there is room for.
    pub(crate) const fn free(&self) -> usize {
        if self.waiting >= MESSAGES_MAX {
            return 0;
        }
        (QUEUE_LEN - self.used).saturating_sub(MESSAGE_HEADER_LEN)
    }

    /// Adds a message whose body `fill` writes, in one piece or two. `tell` is the last step before it waits; `false` from
    /// either: it does not.
    pub(crate) fn push(
        &mut self,
        head: Head,
        fill: impl FnMut(&mut [u8]) -> bool,
        tell: impl FnOnce() -> bool,
    ) -> Result<(), NotQueued> {
        let len = usize::try_from(head.len).unwrap_or(usize::MAX);
        if len == 0 || len > self.free() {
            return Err(NotQueued::NoRoom);
        }
        let start = (self.first + self.used + MESSAGE_HEADER_LEN) % QUEUE_LEN;
        if !ring::fill(&mut self.ring, start, len, fill) || !tell() {
            return Err(NotQueued::Refused);
        }
        let words = [head.number, head.topic, head.at_s, head.len].map(u32::to_le_bytes);
        const { assert!(size_of_val(&[[0_u8; 4]; 4]) == MESSAGE_HEADER_LEN) };
        let place = (self.first + self.used) % QUEUE_LEN;
        ring::write(&mut self.ring, place, words.as_flattened());
        self.used += MESSAGE_HEADER_LEN + len;
        self.waiting += 1;
        Ok(())
    }

    /// The oldest message.
    pub(crate) fn front(&self) -> Option<Head> {
        self.heads().next().map(|(_, head)| head)
    }

    /// The newest message.
    pub(crate) fn newest(&self) -> Option<Head> {
        self.heads().last().map(|(_, head)| head)
    }

    /// The oldest message numbered above `number`.
    pub(crate) fn after(&self, number: u32) -> Option<Head> {
        self.heads().find(|(_, head)| head.number > number).map(|(_, head)| head)
    }

    /// Reads a piece of the body of message `number`; `false` if it is gone or shorter.
    pub(crate) fn read(&self, number: u32, offset: usize, out: &mut [u8]) -> bool {
        let Some((at, head)) = self.heads().find(|(_, head)| head.number == number) else { return false };
        let end = offset.checked_add(out.len()).and_then(|end| u32::try_from(end).ok());
        if end.is_none_or(|end| end > head.len) {
            return false;
        }
        self.copy(at + MESSAGE_HEADER_LEN + offset, out);
        true
    }

    /// Shows the body of message `number` to `take`, in one piece or two; `None`: it is gone, `false` from it ends that.
    pub(crate) fn show(&self, number: u32, mut take: impl FnMut(&[u8]) -> bool) -> Option<bool> {
        let (at, head) = self.heads().find(|(_, head)| head.number == number)?;
        let start = (self.first + at + MESSAGE_HEADER_LEN) % QUEUE_LEN;
        let (head, tail) = ring::span(&self.ring, start, usize::try_from(head.len).ok()?);
        Some((head.is_empty() || take(head)) && (tail.is_empty() || take(tail)))
    }

    /// Drops the oldest message.
    pub(crate) fn pop(&mut self) {
        let Some(head) = self.front() else { return };
        let len = MESSAGE_HEADER_LEN + usize::try_from(head.len).unwrap_or(QUEUE_LEN);
        let len = len.min(self.used);
        self.first = (self.first + len) % QUEUE_LEN;
        self.used -= len;
        self.waiting -= 1;
    }

    /// Headers in order, each with its offset from the first byte.
    fn heads(&self) -> impl Iterator<Item = (usize, Head)> {
        let mut at = 0;
        (0..self.waiting).map(move |_| {
            let mut bytes = [0; MESSAGE_HEADER_LEN];
            self.copy(at, &mut bytes);
            let mut words = bytes
                .chunks_exact(4)
                .map(|word| word.first_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes)));
            let mut word = || words.next().unwrap_or_default();
            let head = Head { number: word(), topic: word(), at_s: word(), len: word() };
            let here = at;
            at += MESSAGE_HEADER_LEN + usize::try_from(head.len).unwrap_or(QUEUE_LEN);
            (here, head)
        })
    }

    fn copy(&self, offset: usize, out: &mut [u8]) {
        ring::read(&self.ring, (self.first + offset) % QUEUE_LEN, out);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    fn push(queue: &mut MessageQueue, number: u32, body: &[u8]) -> bool {
        let head = Head { number, topic: 2, at_s: 3, len: u32::try_from(body.len()).unwrap() };
        let mut left = body;
        let fill = |room: &mut [u8]| {
            let piece = left.split_off(..room.len()).unwrap();
            room.copy_from_slice(piece);
            true
        };
        let pushed = queue.push(head, fill, || true);
        assert!(pushed.is_err() || left.is_empty());
        pushed.is_ok()
    }

    #[test]
    fn messages_come_out_whole_and_in_order_across_the_end_of_the_ring() {
        let mut queue = MessageQueue::new();
        for number in 1..500_u32 {
            let body: Vec<u8> = (0..number % 400 + 1).map(|n| (n * 7 + number).to_le_bytes()[0]).collect();
            assert!(push(&mut queue, 2 * number, &body) && push(&mut queue, 2 * number + 1, &body));
            for wanted in [2 * number, 2 * number + 1] {
                let head = queue.front().unwrap();
                assert_eq!((head.number, head.topic, head.at_s), (wanted, 2, 3));
                assert_eq!(queue.after(wanted - 1), Some(head));
                let mut back = std::vec![0; body.len()];
                for (index, piece) in back.chunks_mut(64).enumerate() {
                    assert!(queue.read(wanted, 64 * index, piece));
                }
                assert_eq!(back, body);
                back.clear();
                let shown = queue.show(wanted, |piece| {
                    back.extend_from_slice(piece);
                    true
                });
                assert_eq!((shown, &back), (Some(true), &body));
                assert_eq!(queue.show(wanted, |_| false), Some(false));
                assert_eq!(queue.show(1, |_| true), None);
                assert!(!queue.read(wanted, body.len(), &mut [0]), "nothing behind the body");
                queue.pop();
            }
            assert_eq!((queue.waiting(), queue.front()), (0, None));
        }
    }

    #[test]
    fn a_full_queue_and_an_empty_body_are_refused() {
        let mut queue = MessageQueue::new();
        assert!(!push(&mut queue, 1, &[]));
        assert!(!push(&mut queue, 1, &[0; QUEUE_LEN - MESSAGE_HEADER_LEN + 1]));
        assert!(push(&mut queue, 1, &[0; QUEUE_LEN - MESSAGE_HEADER_LEN]));
        assert!(queue.free() == 0 && !push(&mut queue, 2, &[0]));
        queue.pop();
        for number in 0..u32::try_from(MESSAGES_MAX).unwrap() {
            assert!(push(&mut queue, number, &[1]));
        }
        assert!(!push(&mut queue, 99, &[1]), "so many wait at most");
        assert_eq!(queue.newest().map(|head| head.number), Some(15));
    }

    #[test]
    fn a_body_that_cannot_be_had_and_a_message_that_nobody_is_told_of_leave_nothing() {
        let mut queue = MessageQueue::new();
        assert!(push(&mut queue, 1, &[7; 900]));
        let head = Head { number: 2, len: 900, ..Head::default() };
        for (fills, tells) in [(false, true), (true, false)] {
            let refused = queue.push(head, |room| room.len() == 900 && fills, || tells);
            assert_eq!(refused, Err(NotQueued::Refused));
            assert_eq!(queue.newest().map(|head| head.number), Some(1));
        }
        assert!(push(&mut queue, 2, &[8; 900]), "its room is free");
    }
}
