//! The arithmetic coder: one binary decision at a time.

use crate::image::Memories;
use crate::{PatchIo, Refused};

/// A decision that is as likely as its opposite.
pub(crate) const HALF: u32 = 1 << 15;

/// Probabilities stay this far from certainty, in 1/65536.
const PROBABILITY_MARGIN: u32 = 2;

/// Implied zero bytes behind the end of a stream: what the coder reads ahead, and what the encoder may leave out.
const BEHIND_END_MAX: u8 = 8;

/// Bytes of the patch that a reader holds: each refill may open a sealed record.
const BUFFER_LEN: usize = 128;

/// Codes decisions: the decoder reads them from a patch, the encoder writes them.
///
/// One description of the format serves both: what is decoded, and what is to be encoded, take the same path.
pub(crate) trait Coder {
    /// Codes one decision. `probability` of `true` in 1/65536. A decoder ignores `bit`.
    fn bit<I: PatchIo>(&mut self, memories: &mut Memories<'_, I>, probability: u32, bit: bool) -> bool;

    /// What the new image holds at `at`, four bytes little-endian. A decoder does not know and says 0.
    fn truth(&self, at: u32) -> u32;
}

/// A coder, and the memories that are read meanwhile.
///
/// Nothing that is coded with it fails at once: who made the wire asks [`Memories::check`] after each piece and each
/// entry of the copy list. What is decoded in between is worthless but bounded, since a stream that failed goes on in
/// zeros and every loop of the models has its own bound.
pub(crate) struct Wire<'a, 'm, C, I: PatchIo> {
    pub(crate) coder: &'a mut C,
    pub(crate) memories: &'a mut Memories<'m, I>,
}

impl<C: Coder, I: PatchIo> Wire<'_, '_, C, I> {
    /// Codes one decision; see [`Coder::bit`].
    pub(crate) fn bit(&mut self, probability: u32, bit: bool) -> bool {
        self.coder.bit(self.memories, probability, bit)
    }
}

/// Where the first of the two intervals ends.
pub(crate) fn split(low: u32, high: u32, probability: u32) -> u32 {
    let probability = probability.clamp(PROBABILITY_MARGIN, 65536 - PROBABILITY_MARGIN);
    let range = high.wrapping_sub(low);
    low.wrapping_add((range >> 16) * probability).wrapping_add(((range & 0xFFFF) * probability) >> 16)
}

/// Position in one stream of the patch, without its buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamPosition {
    low: u32,
    high: u32,
    code: u32,
    at: u32,
    end: u32,
    behind_end: u8,
}

/// Reads one stream of the patch through a small buffer.
#[derive(Debug)]
pub(crate) struct StreamReader {
    position: StreamPosition,
    buffered_from: u32,
    buffered: u32,
    buffer: [u8; BUFFER_LEN],
}

impl StreamReader {
    pub(crate) const fn new() -> Self {
        let position = StreamPosition { low: 0, high: 0, code: 0, at: 0, end: 0, behind_end: 0 };
        Self { position, buffered_from: 0, buffered: 0, buffer: [0; BUFFER_LEN] }
    }

    pub(crate) const fn position(&self) -> StreamPosition {
        self.position
    }

    /// Goes on where another reader stood.
    pub(crate) const fn resume(&mut self, position: StreamPosition) {
        self.position = position;
        self.buffered = 0;
    }

    /// Starts reading the stream that lies in `at..end` of the patch.
    pub(crate) fn start<I: PatchIo>(&mut self, memories: &mut Memories<'_, I>, at: u32, end: u32) {
        self.resume(StreamPosition { low: 0, high: u32::MAX, code: 0, at, end, behind_end: 0 });
        for _ in 0..4 {
            self.shift(memories);
        }
    }

    fn shift<I: PatchIo>(&mut self, memories: &mut Memories<'_, I>) {
        self.position.code = self.position.code << 8 | u32::from(self.byte(memories));
    }

    /// The next byte of the stream; zeros behind its end, which are refused when they are too many.
    fn byte<I: PatchIo>(&mut self, memories: &mut Memories<'_, I>) -> u8 {
        let at = self.position.at;
        if at >= self.position.end {
            self.position.behind_end = self.position.behind_end.saturating_add(1);
            if self.position.behind_end > BEHIND_END_MAX {
                memories.refuse(Refused::Truncated);
            }
            return 0;
        }
        if at.wrapping_sub(self.buffered_from) >= self.buffered {
            let room = usize::try_from(self.position.end.saturating_sub(at)).unwrap_or(usize::MAX);
            let part = self.buffer.get_mut(..room.min(BUFFER_LEN)).unwrap_or(&mut []);
            memories.patch(at, part);
            self.buffered = u32::try_from(part.len()).unwrap_or(0);
            self.buffered_from = at;
        }
        self.position.at = at.saturating_add(1);
        let offset = usize::try_from(at.wrapping_sub(self.buffered_from)).unwrap_or(usize::MAX);
        self.buffer.get(offset).copied().unwrap_or(0)
    }
}

impl Coder for StreamReader {
    fn bit<I: PatchIo>(&mut self, memories: &mut Memories<'_, I>, probability: u32, _bit: bool) -> bool {
        let middle = split(self.position.low, self.position.high, probability);
        let bit = self.position.code <= middle;
        if bit {
            self.position.high = middle;
        } else {
            self.position.low = middle.wrapping_add(1);
        }
        while (self.position.low ^ self.position.high) >> 24 == 0 {
            self.position.low <<= 8;
            self.position.high = self.position.high << 8 | 0xFF;
            self.shift(memories);
        }
        bit
    }

    fn truth(&self, _at: u32) -> u32 {
        0
    }
}
