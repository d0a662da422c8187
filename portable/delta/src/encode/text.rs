//! What the encoder knows of the two images before it compares them.

use alloc::vec;
use alloc::vec::Vec;

use super::Slices;
use crate::copies::Origin;
use crate::header::{Header, InstructionSet};
use crate::image::{Memories, OldImage, little_endian};
use crate::instruction::{Kind, Unit, classify, find_partner};

/// Distance of two possible bases.
const BASE_STEP: u32 = 0x400;

/// The two images and what their units are.
#[derive(Debug)]
pub(super) struct Images<'a> {
    pub(super) old: &'a [u8],
    pub(super) new: &'a [u8],
    pub(super) header: Header,
    old_units: Units,
    new_units: Units,
}

/// The units of an image, read from its start to its end.
#[derive(Debug)]
struct Units {
    /// For each halfword: the unit there when it lies alike, modulo 4, in both images, and when it does not.
    at: Vec<[Unit; 2]>,
    /// Whether a unit starts at this halfword when the image is read from its start.
    starts: Vec<bool>,
}

impl Units {
    fn of(header: &Header, image: &[u8], from: Origin) -> Self {
        let len = u32::try_from(image.len()).unwrap_or(0);
        let (mut at, mut starts) = (Vec::new(), vec![false; image.len() / 2 + 1]);
        if header.instructions != InstructionSet::Thumb {
            return Self { at, starts };
        }
        let mut io = Slices { patch: &[], old: image, new: &[] };
        let mut window = OldImage::new(len);
        let mut next = 0;
        for source in (0..len).step_by(2) {
            let word = word(image, source);
            let read = |same: u32, window: &mut OldImage, io: &mut Slices<'_>| {
                let mut unit = classify(header, word, from, source, source + same, len - source);
                if unit.kind == Kind::Move {
                    match from {
                        Origin::Old => find_partner(window, &mut Memories::new(io), source, &mut unit),
                        Origin::New => unit.kind = Kind::Long,
                    }
                }
                unit
            };
            let units = [read(0, &mut window, &mut io), read(2, &mut window, &mut io)];
            if source == next {
                starts[source as usize / 2] = true;
                next += units[0].len.max(2);
            }
            at.push(units);
        }
        Self { at, starts }
    }
}

/// The four bytes at `at`; zeros behind the end.
fn word(image: &[u8], at: u32) -> u32 {
    little_endian(usize::try_from(at).ok().and_then(|at| image.get(at..)).unwrap_or(&[]), 4)
}

impl<'a> Images<'a> {
    pub(super) fn new(old: &'a [u8], new: &'a [u8], header: Header) -> Self {
        let old_units = Units::of(&header, old, Origin::Old);
        let new_units = Units::of(&header, new, Origin::New);
        Self { old, new, header, old_units, new_units }
    }

    pub(super) fn old_len(&self) -> u32 {
        u32::try_from(self.old.len()).unwrap_or(0)
    }

    pub(super) fn new_len(&self) -> u32 {
        u32::try_from(self.new.len()).unwrap_or(0)
    }

    pub(super) fn source(&self, from: Origin) -> &'a [u8] {
        match from {
            Origin::Old => self.old,
            Origin::New => self.new,
        }
    }

    /// The unit that starts at `source`, when copied to `at`; `None` inside a unit or between halfwords.
    pub(super) fn unit(&self, from: Origin, source: usize, at: usize) -> Option<Unit> {
        let units = match from {
            Origin::Old => &self.old_units,
            Origin::New => &self.new_units,
        };
        if (source | at) & 1 != 0 || !*units.starts.get(source / 2)? {
            return None;
        }
        units.at.get(source / 2).map(|units| units[usize::from((source ^ at) & 2 != 0 || source & 2 != 0)])
    }

    /// The new image's unit at `at` as it would be read from an old image.
    pub(super) fn new_kind(&self, at: usize) -> Option<Kind> {
        let position = u32::try_from(at).ok()?;
        let room = self.new_len().checked_sub(position)?;
        Some(classify(&self.header, word(self.new, position), Origin::Old, position, position, room).kind)
    }

    /// Both images, the old one first, with everything masked that moves when code moves.
    pub(super) fn normalized(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.old.len() + self.new.len());
        for image in [self.old, self.new] {
            let start = text.len();
            text.extend_from_slice(image);
            let units = Units::of(&self.header, image, Origin::Old);
            for (number, starts) in units.starts.iter().enumerate() {
                if let Some(units) = units.at.get(number).filter(|_| *starts) {
                    mask(&mut text[start + 2 * number..], &units[0]);
                }
            }
        }
        text
    }
}

/// Clears the fields of a unit that depend on where code lies.
fn mask(bytes: &mut [u8], unit: &Unit) {
    let kept: u32 = match unit.kind {
        Kind::Byte | Kind::Short | Kind::Long | Kind::ShortJump => return,
        Kind::Call | Kind::Jump | Kind::ConditionalJump => 0xD000_F800,
        Kind::ShortLoad => 0xFF00,
        Kind::LongLoad => 0xF000_FF7F,
        Kind::Move => 0x8F00_FBF0,
        Kind::Pointer | Kind::RamPointer => 0xFFFF_0000,
    };
    for (byte, kept) in bytes.iter_mut().zip(kept.to_le_bytes()).take(unit.len as usize) {
        *byte &= kept;
    }
}

fn words(image: &[u8]) -> impl Iterator<Item = u32> {
    image.chunks_exact(4).map(|bytes| little_endian(bytes, 4))
}

/// The upper 12 bits of RAM addresses: the most frequent ones of all words in the address space's RAM.
pub(super) fn guess_ram(image: &[u8]) -> u32 {
    let mut counts = vec![0u32; 0x200];
    for word in words(image).filter(|word| (0x2000_0000..0x4000_0000).contains(word)) {
        counts[(word as usize >> 20) & 0x1FF] += 1;
    }
    let most = counts.iter().enumerate().rev().max_by_key(|(_, count)| **count).map_or(0, |(at, _)| at);
    0x200 + u32::try_from(most).unwrap_or(0)
}

/// Where an image seems to lie: where most words that may point to code point to the start of a function.
pub(super) fn guess_base(old: &[u8], new: &[u8]) -> u32 {
    let image = if old.is_empty() { new } else { old };
    let len = u32::try_from(image.len()).unwrap_or(0);
    let mut pointers: Vec<u32> = words(image).filter(|word| word & 1 == 1 && *word < 0x2000_0000).collect();
    pointers.sort_unstable();
    pointers.dedup();
    let (stack, reset) = (word(image, 0), word(image, 4));
    let vectors = stack >> 29 == 1 && reset & 1 == 1 && reset < 0x2000_0000;
    let score = |base: u32| -> i64 {
        let first = pointers.partition_point(|pointer| *pointer <= base);
        let last = pointers.partition_point(|pointer| *pointer < base.saturating_add(len));
        pointers[first.min(last)..last]
            .iter()
            .map(|pointer| {
                let half = word(image, pointer - 1 - base) & 0xFFFF;
                if half & 0xFF00 == 0xB500 || half == 0xE92D { 20 } else { -1 }
            })
            .sum()
    };
    let ranges: &[(u32, u32)] = if vectors {
        &[(reset.saturating_sub(len), reset)]
    } else {
        &[(0, 0x20_0000), (0x0800_0000, 0x0820_0000), (0x0C00_0000, 0x0C20_0000), (0x1000_0000, 0x1020_0000)]
    };
    let mut best = (i64::MIN, 0);
    for (from, to) in ranges {
        let mut base = from.next_multiple_of(BASE_STEP);
        while base <= *to {
            let score = score(base);
            if score > best.0 {
                best = (score, base);
            }
            base += BASE_STEP;
        }
    }
    best.1
}
