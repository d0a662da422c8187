//! The header of a patch.

use crate::image::Memories;
use crate::{IMAGE_LEN_MAX, PATCH_VERSION, PatchIo, Refused};

/// How the old image's words are understood.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum InstructionSet {
    /// Bytes without meaning.
    Bytes,
    /// Thumb-2.
    Thumb,
    /// Numbers of two bytes.
    Halves,
    /// Numbers of four bytes.
    Words,
}

/// What a patch says about itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Header {
    pub(crate) instructions: InstructionSet,
    /// Each segment of the new image has this many bytes, the last may be shorter: 2^15 or 2^16.
    pub(crate) segment_shift: u32,
    /// Offsets in the old image below this are taken for numbers when a data word may be either.
    pub(crate) pointer_min: u32,
    /// Where the image lies in the device's address space.
    pub(crate) base: u32,
    /// Words with these upper 12 bits are addresses in RAM.
    pub(crate) ram: u32,
    /// Addresses from `base` on and below `base + image_len` point into the old image.
    pub(crate) image_len: u32,
    /// Where the copy list starts.
    pub(crate) copies_at: u32,
    /// Where the streams of the second and later segments start.
    pub(crate) index_at: u32,
}

/// Bits of the first byte: the instruction set.
pub(crate) const INSTRUCTIONS_MASK: u8 = 3;

/// Bit of the first byte: segments are 64 KiB instead of 32 KiB long.
pub(crate) const FLAG_LONG_SEGMENTS: u8 = 4;

/// The base is a multiple of this power of two.
pub(crate) const BASE_SHIFT: u32 = 8;

/// Pointers may point this far behind the end of the old image.
const POINTER_BEHIND_END: u32 = 16;

/// Greatest exponent of two of a bound below which words are no pointers.
const POINTER_SHIFT_MAX: u8 = 28;

/// Longest number in a header in bytes.
const NUMBER_LEN_MAX: u32 = 4;

/// Reads a header; `at` advances.
struct Fields<'a, 'm, I: PatchIo> {
    memories: &'a mut Memories<'m, I>,
    at: u32,
    end: u32,
}

impl<I: PatchIo> Fields<'_, '_, I> {
    fn byte(&mut self) -> u8 {
        if self.at >= self.end {
            self.memories.refuse(Refused::Truncated);
            return 0;
        }
        let mut byte = [0];
        self.memories.patch(self.at, &mut byte);
        self.at = self.at.saturating_add(1);
        let [byte] = byte;
        byte
    }

    /// Seven bits a byte, the lowest first; the highest bit says that another follows.
    fn number(&mut self) -> u32 {
        let mut value = 0;
        for place in 0..NUMBER_LEN_MAX {
            let byte = u32::from(self.byte());
            value |= (byte & 0x7F) << (7 * place);
            if byte < 0x80 {
                return value;
            }
        }
        self.memories.refuse(Refused::Header);
        0
    }
}

impl Header {
    /// An empty one, before any patch is opened.
    pub(crate) const EMPTY: Self = Self {
        instructions: InstructionSet::Bytes,
        segment_shift: 0,
        pointer_min: 0,
        base: 0,
        ram: 0,
        image_len: 0,
        copies_at: 0,
        index_at: 0,
    };

    /// Segments of a new image of `new_len` bytes.
    pub(crate) const fn segments(&self, new_len: u32) -> u32 {
        new_len.div_ceil(1 << self.segment_shift)
    }

    /// Reads the header of a patch of `patch_len` bytes.
    pub(crate) fn read<I: PatchIo>(
        memories: &mut Memories<'_, I>,
        patch_len: u32,
        old_len: u32,
        new_len: u32,
    ) -> Self {
        let mut fields = Fields { memories, at: 0, end: patch_len };
        let first = fields.byte();
        if u32::from(first >> 4) != PATCH_VERSION {
            fields.memories.refuse(Refused::Version);
        }
        if first & 0x0F & !(INSTRUCTIONS_MASK | FLAG_LONG_SEGMENTS) != 0 {
            fields.memories.refuse(Refused::Header);
        }
        let mut header = Self::EMPTY;
        header.segment_shift = if first & FLAG_LONG_SEGMENTS != 0 { 16 } else { 15 };
        header.instructions = match first & INSTRUCTIONS_MASK {
            0 => InstructionSet::Bytes,
            1 => InstructionSet::Thumb,
            2 => InstructionSet::Halves,
            _ => InstructionSet::Words,
        };
        if header.instructions == InstructionSet::Thumb {
            let pointer = fields.byte();
            header.pointer_min = 1 << pointer.min(POINTER_SHIFT_MAX);
            header.image_len = old_len.saturating_add(POINTER_BEHIND_END);
            header.ram = fields.number();
            header.base = fields.number() << BASE_SHIFT;
            if pointer > POINTER_SHIFT_MAX || header.ram > 0xFFF {
                fields.memories.refuse(Refused::Header);
            }
        }
        header.index_at = fields.at;
        let mut streams: u32 = 0;
        for _ in 1..header.segments(new_len) {
            let len = fields.number();
            streams = streams.saturating_add(len);
        }
        header.copies_at = fields.at;
        if header.copies_at.saturating_add(streams) > patch_len || new_len > IMAGE_LEN_MAX {
            memories.refuse(Refused::Header);
        }
        header
    }

    /// Where the stream of `segment` lies in the patch. The first one starts with the copy list.
    pub(crate) fn stream<I: PatchIo>(
        &self,
        memories: &mut Memories<'_, I>,
        patch_len: u32,
        new_len: u32,
        segment: u32,
    ) -> (u32, u32) {
        // The streams lie back to back and the last one ends with the patch, so the rest behind each says all.
        let mut fields = Fields { memories, at: self.index_at, end: patch_len };
        let (mut from_wanted, mut behind_wanted) = (0u32, 0u32);
        for number in 1..self.segments(new_len) {
            let len = fields.number();
            if number >= segment {
                from_wanted = from_wanted.saturating_add(len);
            }
            if number > segment {
                behind_wanted = behind_wanted.saturating_add(len);
            }
        }
        let start = if segment == 0 { self.copies_at } else { patch_len.saturating_sub(from_wanted) };
        (start, patch_len.saturating_sub(behind_wanted))
    }
}
