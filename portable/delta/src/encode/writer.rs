//! From a copy list to the bytes of a patch.

use alloc::vec::Vec;
use core::convert::Infallible;

use super::Slices;
use super::text::Images;
use crate::body::{Body, Scene};
use crate::coder::{Coder, Wire, split};
use crate::copies::{Copy, CopyList};
use crate::header::{BASE_SHIFT, FLAG_LONG_SEGMENTS, Header, InstructionSet};
use crate::image::{Earlier, Memories, OldImage, little_endian};
use crate::{Limits, PATCH_VERSION, PatchIo, Refused};

/// Zero bytes at the end of a stream that need not be written.
const IMPLIED_ZEROS_MAX: usize = 4;

/// What the header will say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Format {
    pub(super) instructions: InstructionSet,
    pub(super) segment_shift: u32,
    pub(super) base: u32,
    pub(super) ram: u32,
    pub(super) pointer_shift: u8,
}

impl Format {
    /// Bytes without meaning.
    pub(super) const fn plain(segment_shift: u32) -> Self {
        Self { instructions: InstructionSet::Bytes, segment_shift, base: 0, ram: 0, pointer_shift: 0 }
    }

    /// Writes the header; `streams` are the lengths of the second and later segments' streams.
    fn write(&self, streams: &[usize]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let long = if self.segment_shift == 16 { FLAG_LONG_SEGMENTS } else { 0 };
        bytes.push((PATCH_VERSION << 4).to_le_bytes()[0] | long | self.instructions as u8);
        if self.instructions == InstructionSet::Thumb {
            bytes.push(self.pointer_shift);
            put_number(&mut bytes, self.ram);
            put_number(&mut bytes, self.base >> BASE_SHIFT);
        }
        for len in streams {
            put_number(&mut bytes, u32::try_from(*len).unwrap_or(u32::MAX));
        }
        bytes
    }

    /// The header as a decoder reads it, without the places of the streams.
    pub(super) fn header(&self, limits: Limits) -> Header {
        // The index does not matter here: with a new image of one segment there is none.
        let patch = self.write(&[]);
        let patch_len = u32::try_from(patch.len()).unwrap_or(0);
        let mut io = Slices { patch: &patch, old: &[], new: &[] };
        Header::read(&mut Memories::new(&mut io), patch_len, limits.old_len, 1)
    }
}

fn put_number(bytes: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
}

/// Writes one stream.
struct StreamWriter<'a> {
    low: u32,
    high: u32,
    bytes: Vec<u8>,
    new: &'a [u8],
}

impl<'a> StreamWriter<'a> {
    fn new(new: &'a [u8]) -> Self {
        Self { low: 0, high: u32::MAX, bytes: Vec::new(), new }
    }

    /// The shortest bytes that name the interval, when zeros follow.
    fn finish(mut self) -> Vec<u8> {
        for len in 0..=4u32 {
            let rest = u32::MAX.checked_shr(8 * len).unwrap_or(0);
            let value = self.low.checked_add(rest).map(|value| value & !rest);
            if let Some(value) = value.filter(|value| *value <= self.high) {
                let count = usize::try_from(len).unwrap_or(0);
                self.bytes.extend(value.to_be_bytes().iter().take(count));
                break;
            }
        }
        for _ in 0..IMPLIED_ZEROS_MAX {
            if self.bytes.last() == Some(&0) {
                self.bytes.pop();
            }
        }
        self.bytes
    }
}

impl Coder for StreamWriter<'_> {
    fn bit<I: PatchIo>(&mut self, _: &mut Memories<'_, I>, probability: u32, bit: bool) -> bool {
        let middle = split(self.low, self.high, probability);
        if bit {
            self.high = middle;
        } else {
            self.low = middle.wrapping_add(1);
        }
        while (self.low ^ self.high) >> 24 == 0 {
            self.bytes.push(self.low.to_be_bytes()[0]);
            self.low <<= 8;
            self.high = self.high << 8 | 0xFF;
        }
        bit
    }

    fn truth(&self, at: u32) -> u32 {
        little_endian(usize::try_from(at).ok().and_then(|at| self.new.get(at..)).unwrap_or(&[]), 4)
    }
}

/// The patch that makes the new image by `copies`; `None` when the list breaks a rule of the format.
pub(super) fn write_patch(images: &Images<'_>, copies: &[Copy], format: &Format) -> Option<Vec<u8>> {
    write(images, copies, format).ok()
}

fn write(images: &Images<'_>, copies: &[Copy], format: &Format) -> Result<Vec<u8>, Refused<Infallible>> {
    let (old_len, new_len) = (images.old_len(), images.new_len());
    let mut io = Slices { patch: &[], old: images.old, new: images.new };
    let memories = &mut Memories::new(&mut io);
    let mut coder = StreamWriter::new(images.new);
    let mut list = CopyList::new();
    list.reset();
    for copy in copies {
        list.next(&mut Wire { coder: &mut coder, memories }, *copy, old_len, new_len);
        memories.check()?;
    }
    if list.at != new_len {
        return Err(Refused::CopyRange);
    }
    let header = images.header;
    let mut old = OldImage::new(old_len);
    let mut body = Body::new();
    if format.instructions == InstructionSet::Thumb {
        body.map = super::map_of(copies);
    }
    let mut streams = Vec::new();
    let mut entries = copies.iter().copied();
    let (mut copy, mut copy_at, mut at) = (Copy::EMPTY, 0u32, 0u32);
    for segment in 0..header.segments(new_len) {
        let end = ((segment + 1) << header.segment_shift).min(new_len);
        body.reset();
        while at < end {
            while copy_at.saturating_add(copy.span()) <= at {
                copy_at = copy_at.saturating_add(copy.span());
                copy = entries.next().ok_or(Refused::CopyRange)?;
            }
            let earlier = Earlier { from: u32::MAX, bytes: &[] };
            let mut scene = Scene { header: &header, old: &mut old, earlier, copy, copy_at, at, end };
            let piece = body.piece(&mut Wire { coder: &mut coder, memories }, &mut scene);
            at += piece.len;
        }
        streams.push(core::mem::replace(&mut coder, StreamWriter::new(images.new)).finish());
    }
    memories.check()?;
    if streams.is_empty() {
        streams.push(coder.finish());
    }
    let lens: Vec<usize> = streams.iter().skip(1).map(Vec::len).collect();
    let mut patch = format.write(&lens);
    for stream in streams {
        patch.extend(stream);
    }
    Ok(patch)
}
