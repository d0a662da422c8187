//! The decoder: all its state, and the order of calls.

use crate::body::{Body, Piece, Scene};
use crate::coder::{StreamPosition, StreamReader, Wire};
use crate::copies::{Copy, CopyList};
use crate::header::{Header, InstructionSet};
use crate::image::{Earlier, Memories, OldImage};
use crate::{IMAGE_LEN_MAX, PatchIo, Refused};

/// Most bytes of RAM that a [`Decoder`] takes.
pub(crate) const DECODER_LEN_MAX: usize = 24 * 1024;

const _: () = assert!(size_of::<Decoder>() <= DECODER_LEN_MAX, "the decoder outgrew its share of RAM");

/// Lengths that the caller knows from the manifests. In bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// The patch.
    pub patch_len: u32,
    /// The old image; 0: there is none.
    pub old_len: u32,
    /// The new image.
    pub new_len: u32,
}

/// How far [`Decoder::prepare`] came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress {
    /// Call again.
    More,
    /// The decoder is ready: at the start of the image.
    Done,
}

/// What the decoder may do next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// Nothing: no patch is open.
    Closed,
    /// Passes over the copy list.
    Preparing,
    /// Decodes.
    Ready,
}

/// Decodes one patch: [`Self::open`], [`Self::prepare`] until done, then [`Self::seek`] and [`Self::decode`].
///
/// After an error only `open` helps.
#[derive(Debug)]
pub struct Decoder {
    stage: Stage,
    limits: Limits,
    header: Header,
    old: OldImage,
    copies: CopyList,
    copies_reader: StreamReader,
    body: Body,
    body_reader: StreamReader,
    /// Where the body of the first segment starts: right behind the copy list, in the same stream.
    first_body: StreamPosition,
    copy: Copy,
    copy_at: u32,
    /// Decoded up to here.
    at: u32,
    /// Where the segment at `at` ends; a new one starts there.
    segment_end: u32,
    /// Decoded bytes that did not fit the caller's buffer: they lie in front of `at`.
    left: Piece,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder without a patch.
    pub const fn new() -> Self {
        let copies_reader = StreamReader::new();
        Self {
            stage: Stage::Closed,
            limits: Limits { patch_len: 0, old_len: 0, new_len: 0 },
            header: Header::EMPTY,
            old: OldImage::EMPTY,
            copies: CopyList::new(),
            first_body: copies_reader.position(),
            copies_reader,
            body: Body::new(),
            body_reader: StreamReader::new(),
            copy: Copy::EMPTY,
            copy_at: 0,
            at: 0,
            segment_end: 0,
            left: Piece { value: 0, len: 0 },
        }
    }

    /// Opens a patch: reads its header.
    ///
    /// # Errors
    /// The header is of another version or does not fit; an image is too long; the memory failed.
    pub fn open<I: PatchIo>(&mut self, io: &mut I, limits: Limits) -> Result<(), Refused<I::Error>> {
        self.stage = Stage::Closed;
        if limits.old_len > IMAGE_LEN_MAX || limits.new_len > IMAGE_LEN_MAX {
            return Err(Refused::TooLong);
        }
        self.limits = limits;
        let memories = &mut Memories::new(io);
        self.header = Header::read(memories, limits.patch_len, limits.old_len, limits.new_len);
        memories.check()?;
        self.old = OldImage::new(limits.old_len);
        self.body.map.clear();
        self.rewind(memories);
        memories.check()?;
        self.stage = Stage::Preparing;
        Ok(())
    }

    /// Back to the start of the copy list.
    fn rewind<I: PatchIo>(&mut self, memories: &mut Memories<'_, I>) {
        self.copies.reset();
        let Limits { patch_len, new_len, .. } = self.limits;
        let (start, end) = self.header.stream(memories, patch_len, new_len, 0);
        (self.copy, self.copy_at) = (Copy::EMPTY, 0);
        self.copies_reader.start(memories, start, end);
    }

    fn next_copy<I: PatchIo>(&mut self, memories: &mut Memories<'_, I>) -> Result<(), Refused<I::Error>> {
        self.copy_at = self.copies.at;
        let Limits { old_len, new_len, .. } = self.limits;
        let wire = &mut Wire { coder: &mut self.copies_reader, memories };
        self.copy = self.copies.next(wire, Copy::EMPTY, old_len, new_len);
        memories.check()
    }

    /// Passes over the copy list, at most `work_max` entries a call.
    ///
    /// # Errors
    /// The copy list is bad; the patch is truncated; the memory failed; no patch is open.
    pub fn prepare<I: PatchIo>(&mut self, io: &mut I, work_max: u32) -> Result<Progress, Refused<I::Error>> {
        if self.stage != Stage::Preparing {
            return if self.stage == Stage::Ready { Ok(Progress::Done) } else { Err(Refused::OutOfOrder) };
        }
        self.stage = Stage::Closed;
        let memories = &mut Memories::new(io);
        for _ in 0..work_max {
            if self.copies.at >= self.limits.new_len {
                break;
            }
            self.next_copy(memories)?;
            if self.header.instructions == InstructionSet::Thumb {
                self.copy.note_in(&mut self.body.map, self.copy_at);
            }
        }
        if self.copies.at < self.limits.new_len {
            self.stage = Stage::Preparing;
            return Ok(Progress::More);
        }
        self.first_body = self.copies_reader.position();
        self.go_to_segment(memories, 0);
        memories.check()?;
        self.stage = Stage::Ready;
        Ok(Progress::Done)
    }

    /// Goes to the start of the segment that holds `new_offset`, and says where that is.
    ///
    /// Needs nothing but the patch; [`PatchIo::output`] must know what lies in front when decoding goes on.
    ///
    /// # Errors
    /// The decoder is not ready; the memory failed; the patch is bad.
    pub fn seek<I: PatchIo>(&mut self, io: &mut I, new_offset: u32) -> Result<u32, Refused<I::Error>> {
        if self.stage != Stage::Ready || (new_offset >= self.limits.new_len && new_offset > 0) {
            return Err(Refused::OutOfOrder);
        }
        self.stage = Stage::Closed;
        let memories = &mut Memories::new(io);
        self.go_to_segment(memories, new_offset >> self.header.segment_shift);
        memories.check()?;
        self.stage = Stage::Ready;
        Ok(self.at)
    }

    fn go_to_segment<I: PatchIo>(&mut self, memories: &mut Memories<'_, I>, segment: u32) {
        self.rewind(memories);
        self.at = segment << self.header.segment_shift;
        self.left.len = 0;
        self.start_segment(memories, segment);
    }

    fn start_segment<I: PatchIo>(&mut self, memories: &mut Memories<'_, I>, segment: u32) {
        self.segment_end = ((segment + 1) << self.header.segment_shift).min(self.limits.new_len);
        self.body.reset();
        if segment == 0 {
            self.body_reader.resume(self.first_body);
            return;
        }
        let Limits { patch_len, new_len, .. } = self.limits;
        let (start, end) = self.header.stream(memories, patch_len, new_len, segment);
        self.body_reader.start(memories, start, end);
    }

    /// Decodes the next bytes: as many as `out` holds.
    ///
    /// # Errors
    /// The decoder is not ready, or `out` reaches beyond the image; the patch is bad; the memory failed.
    pub fn decode<I: PatchIo>(&mut self, io: &mut I, out: &mut [u8]) -> Result<(), Refused<I::Error>> {
        if self.stage != Stage::Ready {
            return Err(Refused::OutOfOrder);
        }
        self.stage = Stage::Closed;
        let memories = &mut Memories::new(io);
        let from = self.at.saturating_sub(self.left.len);
        let mut filled = self.hand_out(out, 0);
        while filled < out.len() {
            if self.at >= self.limits.new_len {
                return Err(Refused::OutOfOrder);
            }
            if self.at >= self.segment_end {
                self.start_segment(memories, self.at >> self.header.segment_shift);
            }
            while self.copy_at.saturating_add(self.copy.span()) <= self.at {
                self.next_copy(memories)?;
            }
            let mut scene = Scene {
                header: &self.header,
                old: &mut self.old,
                earlier: Earlier { from, bytes: out.get(..filled).unwrap_or(&[]) },
                copy: self.copy,
                copy_at: self.copy_at,
                at: self.at,
                end: self.segment_end,
            };
            let wire = &mut Wire { coder: &mut self.body_reader, memories };
            self.left = self.body.piece(wire, &mut scene);
            memories.check()?;
            self.at = self.at.saturating_add(self.left.len);
            filled = self.hand_out(out, filled);
        }
        self.stage = Stage::Ready;
        Ok(())
    }

    /// Puts what is decoded into `out` from `filled` on; says how far `out` is filled then.
    fn hand_out(&mut self, out: &mut [u8], mut filled: usize) -> usize {
        while self.left.len > 0
            && let Some(byte) = out.get_mut(filled)
        {
            [*byte, ..] = self.left.value.to_le_bytes();
            self.left.value >>= 8;
            self.left.len -= 1;
            filled += 1;
        }
        filled
    }
}
