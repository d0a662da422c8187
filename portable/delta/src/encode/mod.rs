//! Making patches.

mod matches;
mod parse;
mod suffixes;
mod text;
mod writer;

use alloc::vec;
use alloc::vec::Vec;
use core::convert::Infallible;

use crate::copies::{Copy, From};
use crate::header::InstructionSet;
use crate::map::AddressMap;
use crate::{Decoder, Limits, PatchIo, Progress, Refused};

use matches::find_matches;
use parse::{Costs, parse};
use text::Images;
use writer::{Format, write_patch};

/// Length of a segment: decoding can start at each one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SegmentLen {
    /// 32 KiB.
    Kib32,
    /// 64 KiB.
    #[default]
    Kib64,
}

/// How much time the encoder takes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Effort {
    /// About a second per MiB.
    Quick,
    /// A few seconds per MiB.
    #[default]
    Full,
}

/// What the encoder is told.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct EncodeOptions {
    /// Where the image lies in the device's address space; a multiple of 256. `None`: it is guessed.
    pub base: Option<u32>,
    /// For updates in place: how far behind the write position, in bytes, the old image is still there.
    pub old_window_len: Option<u32>,
    /// Length of a segment.
    pub segment_len: SegmentLen,
    /// Time against size.
    pub effort: Effort,
}

/// Makes the patch that turns `old` into `new`. The same input makes the same patch, everywhere.
///
/// With an empty `old` the patch is the compressed new image. Images longer than [`crate::IMAGE_LEN_MAX`] give an
/// empty patch, which no decoder accepts.
pub fn encode(old: &[u8], new: &[u8], options: &EncodeOptions) -> Vec<u8> {
    let Some(limits) = limits(old, &[], new.len()) else { return Vec::new() };
    let mut best = Vec::new();
    let mut better = |patch: Vec<u8>| {
        if best.is_empty() || patch.len() < best.len() {
            best = patch;
            return true;
        }
        false
    };
    let base = options.base.unwrap_or_else(|| text::guess_base(old, new));
    let segment_shift = match options.segment_len {
        SegmentLen::Kib32 => 15,
        SegmentLen::Kib64 => 16,
    };
    let sets: &[InstructionSet] = &[InstructionSet::Thumb, InstructionSet::None];
    for instructions in sets {
        let format = Format {
            instructions: *instructions,
            segment_shift,
            base,
            ram: text::guess_ram(old),
            pointer_shift: if base == 0 { 14 } else { 6 },
        };
        let header = format.header(limits);
        let images = Images::new(old, new, header);
        let found = find_matches(&images, options.old_window_len);
        let mut map = None;
        let rounds = if options.effort == Effort::Full { 3 } else { 2 };
        for _ in 0..rounds {
            let mut kept = None;
            for costs in Costs::GRID {
                let copies = parse(&images, &found, map.as_ref(), *costs);
                let patch = write_patch(&images, &copies, &format);
                if better(patch) || kept.is_none() {
                    kept = Some(copies);
                }
                if options.effort == Effort::Quick || map.is_none() {
                    break;
                }
            }
            map = kept.map(|copies| map_of(&copies));
        }
    }
    better(write_patch(
        &Images::new(old, new, Format::plain(segment_shift).header(limits)),
        &[Copy { literals: limits.new_len, ..Copy::EMPTY }],
        &Format::plain(segment_shift),
    ));
    best
}

/// The address map that follows from a copy list.
fn map_of(copies: &[Copy]) -> AddressMap {
    let mut map = AddressMap::new();
    let mut at: u32 = 0;
    for copy in copies {
        let start = at.saturating_add(copy.literals);
        if copy.from == From::Old && copy.len > 0 {
            let shift = start.wrapping_sub(copy.source).cast_signed();
            map.insert(copy.source, copy.source.saturating_add(copy.len), shift);
        }
        at = at.saturating_add(copy.span());
    }
    map
}

fn limits(old: &[u8], patch: &[u8], new_len: usize) -> Option<Limits> {
    let len = |len: usize| u32::try_from(len).ok().filter(|len| *len <= crate::IMAGE_LEN_MAX);
    Some(Limits { patch_len: len(patch.len())?, old_len: len(old.len())?, new_len: len(new_len)? })
}

/// Images in memory.
struct Slices<'a> {
    patch: &'a [u8],
    old: &'a [u8],
    new: &'a [u8],
}

fn read(from: &[u8], at: u32, out: &mut [u8]) {
    let start = usize::try_from(at).unwrap_or(usize::MAX);
    for (byte, source) in out.iter_mut().zip(from.get(start..).unwrap_or(&[])) {
        *byte = *source;
    }
}

impl PatchIo for Slices<'_> {
    type Error = Infallible;

    fn patch(&mut self, at: u32, out: &mut [u8]) -> Result<(), Infallible> {
        read(self.patch, at, out);
        Ok(())
    }

    fn old(&mut self, at: u32, out: &mut [u8]) -> Result<(), Infallible> {
        read(self.old, at, out);
        Ok(())
    }

    fn new(&mut self, at: u32, out: &mut [u8]) -> Result<(), Infallible> {
        read(self.new, at, out);
        Ok(())
    }
}

/// Decodes a whole patch in memory.
///
/// # Errors
/// The patch is bad.
pub fn decode_all(old: &[u8], patch: &[u8], new_len: u32) -> Result<Vec<u8>, Refused<Infallible>> {
    let len = usize::try_from(new_len).map_err(|_| Refused::TooLong)?;
    let limits = limits(old, patch, len).ok_or(Refused::TooLong)?;
    let mut decoder = Decoder::new();
    let mut io = Slices { patch, old, new: &[] };
    decoder.open(&mut io, limits)?;
    while decoder.prepare(&mut io, u32::MAX)? == Progress::More {}
    let mut new = vec![0; len];
    decoder.decode(&mut io, &mut new)?;
    Ok(new)
}
