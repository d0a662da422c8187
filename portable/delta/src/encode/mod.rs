//! Making patches.

mod matches;
mod parse;
mod suffixes;
mod text;
mod writer;

use alloc::vec;
use alloc::vec::Vec;
use core::convert::Infallible;

use crate::copies::Copy;
use crate::header::InstructionSet;
use crate::map::AddressMap;
use crate::{Decoder, Limits, PatchIo, Progress, Refused};

use matches::{Match, find_matches};
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
    /// One guess of what copies cost.
    Quick,
    /// Searches for better guesses, within a bound that hardly grows with the images.
    #[default]
    Full,
}

/// What the encoder is told.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct EncodeOptions {
    /// Where the image lies in the device's address space; a multiple of 256. `None`: it is guessed.
    pub base: Option<u32>,
    /// For updates in place: how far behind the write position, in bytes, the old image is still there. Copies from the
    /// new image reach no further either, for the device tries a patch out before it writes anything.
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
    let mut shortest = Shortest::default();
    let plain = Format::plain(match options.segment_len {
        SegmentLen::Kib32 => 15,
        SegmentLen::Kib64 => 16,
    });
    let base = options.base.unwrap_or_else(|| text::guess_base(old, new));
    let ram = text::guess_ram(if old.is_empty() { new } else { old });
    let pointer_shift = if base == 0 { POINTER_SHIFT_AT_ZERO } else { POINTER_SHIFT };
    let thumb = Format { instructions: InstructionSet::Thumb, base, ram, pointer_shift, ..plain };
    for (format, others) in [
        (thumb, POINTER_SHIFTS.map(|pointer_shift| Format { pointer_shift, ..thumb })),
        (plain, NUMBERS.map(|instructions| Format { instructions, ..plain })),
    ] {
        let images = Images::new(old, new, format.header(limits));
        let found = find_matches(&images, options.old_window_len);
        let (len, copies) = tune(&images, &format, &found, options.effort, &mut shortest);
        // Without an old image nothing is taken for a pointer.
        let alike = format == thumb && old.is_empty();
        if alike || far_behind(len, &shortest) {
            continue;
        }
        for other in others.into_iter().filter(|other| *other != format) {
            let images = Images::new(old, new, other.header(limits));
            shortest.offer(write_patch(&images, &copies, &other));
        }
    }
    if far_behind(new.len() / 2, &shortest) {
        return shortest.0.unwrap_or_default();
    }
    // Always possible, but what is not copied rarely shrinks to half.
    let images = Images::new(old, new, plain.header(limits));
    shortest.offer(write_patch(&images, &[Copy { literals: limits.new_len, ..Copy::EMPTY }], &plain));
    shortest.0.unwrap_or_default()
}

/// Offsets below 2 to the power of this are hardly pointers.
const POINTER_SHIFT: u8 = 6;

/// The same for images at address 0, where small numbers look like pointers.
const POINTER_SHIFT_AT_ZERO: u8 = 14;

/// Other bounds that are tried.
const POINTER_SHIFTS: [u8; 3] = [6, 10, 14];

/// Meanings of foreign code that are tried besides bytes.
const NUMBERS: [InstructionSet; 3] = [InstructionSet::Halves, InstructionSet::Words, InstructionSet::Bytes];

/// The shortest patch so far.
#[derive(Debug, Default)]
struct Shortest(Option<Vec<u8>>);

impl Shortest {
    /// Takes `patch` if it is the shortest; says how long it is.
    fn offer(&mut self, patch: Option<Vec<u8>>) -> usize {
        let Some(patch) = patch else { return usize::MAX };
        let len = patch.len();
        if self.0.as_ref().is_none_or(|shortest| len < shortest.len()) {
            self.0 = Some(patch);
        }
        len
    }

    fn len(&self) -> usize {
        self.0.as_ref().map_or(usize::MAX, Vec::len)
    }
}

/// Bytes of new images that the search for better costs may code in one call of [`tune`].
///
/// A count of bytes and not a time, so that the same input makes the same patch everywhere. An image of 64 KiB has 32
/// attempts, one of 1 MiB two.
const SEARCH_BYTES_MAX: usize = 2 << 20;

/// Searches for the copy list that makes the shortest patch: the address map follows from the copy list, what a copy
/// costs from the map, and the best copy list from the costs, so this goes round a few times.
fn tune(
    images: &Images<'_>,
    format: &Format,
    found: &[Match],
    effort: Effort,
    shortest: &mut Shortest,
) -> (usize, Vec<Copy>) {
    let mut costs = Costs::FIRST;
    let mut best = (usize::MAX, Vec::new());
    let mut map = None;
    let mut attempts_left = SEARCH_BYTES_MAX / images.new.len().max(1);
    for round in 0..if effort == Effort::Full { 4 } else { 2 } {
        let mut attempt = |costs: Costs, best: &mut (usize, Vec<Copy>)| {
            let copies = parse(images, found, map.as_ref(), costs);
            if copies == best.1 {
                return false;
            }
            let len = shortest.offer(write_patch(images, &copies, format));
            let better = len < best.0;
            if better {
                *best = (len, copies);
            }
            better
        };
        attempt(costs, &mut best);
        if round >= 2 {
            for way in 0..Costs::CHANGES {
                while attempts_left > 0 {
                    attempts_left -= 1;
                    if !attempt(costs.changed(way), &mut best) {
                        break;
                    }
                    costs = costs.changed(way);
                }
            }
        }
        if far_behind(best.0, shortest) {
            break;
        }
        map = Some(map_of(&best.1));
    }
    best
}

/// Whether a way that has come to `len` will not come first any more.
fn far_behind(len: usize, shortest: &Shortest) -> bool {
    len / 4 * 3 > shortest.len()
}

/// The address map that follows from a copy list.
fn map_of(copies: &[Copy]) -> AddressMap {
    let mut map = AddressMap::new();
    let mut at: u32 = 0;
    for copy in copies {
        copy.note_in(&mut map, at);
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

    fn output(&mut self, at: u32, out: &mut [u8]) -> Result<(), Infallible> {
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
