//! Thumb-2 instructions and data words that hold addresses.
//!
//! # Source
//! Arm v8-M Architecture Reference Manual, DDI0553, the encodings T1 to T4 of B, BL, CBZ, LDR (literal), ADR, MOVW
//! and MOVT.

use crate::PatchIo;
use crate::copies::Origin;
use crate::header::{Header, InstructionSet};
use crate::image::{Memories, OldImage};

/// What a unit of a copy holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// A byte without meaning.
    Byte,
    /// An instruction of two bytes, or half a data word.
    Short,
    /// An instruction of four bytes without address.
    Long,
    /// BL.
    Call,
    /// B of four bytes without condition.
    Jump,
    /// LDR (literal) or ADR of two bytes.
    ShortLoad,
    /// B of two bytes, or CBZ.
    ShortJump,
    /// LDR (literal) of four bytes, and its siblings.
    LongLoad,
    /// MOVW or MOVT with its partner nearby.
    Move,
    /// A data word that points into the image.
    Pointer,
    /// A data word that points into RAM.
    RamPointer,
    /// B of four bytes with condition.
    ConditionalJump,
}

/// One unit of a copy as the source holds it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unit {
    pub(crate) kind: Kind,
    /// Bytes: 1, 2 or 4.
    pub(crate) len: u32,
    /// The source's bytes, little-endian.
    pub(crate) old: u32,
    /// What it points to: an offset in the old image; for RAM and moves the address itself.
    pub(crate) target: u32,
}

impl Unit {
    const fn plain(kind: Kind, len: u32, word: u32) -> Self {
        let old = match len {
            1 => word & 0xFF,
            2 => word & 0xFFFF,
            _ => word,
        };
        Self { kind, len, old, target: 0 }
    }
}

/// How far MOVW and MOVT may lie apart, in halfwords.
const PARTNER_DISTANCE_MAX: u32 = 6;

/// The lowest `bits` of `value` as a signed number.
const fn signed(value: u32, bits: u32) -> i32 {
    (value << (32 - bits)).cast_signed() >> (32 - bits)
}

/// Distance of a BL or B.W (encoding T4) from the instruction plus 4.
pub(crate) const fn branch_distance(word: u32) -> i32 {
    let (first, second) = (word & 0xFFFF, word >> 16);
    let sign = first >> 10 & 1;
    let i1 = !(second >> 13 ^ sign) & 1;
    let i2 = !(second >> 11 ^ sign) & 1;
    signed(sign << 24 | i1 << 23 | i2 << 22 | (first & 0x3FF) << 12 | (second & 0x7FF) << 1, 25)
}

/// A BL or B.W with this distance; the kind comes from `like`.
pub(crate) const fn with_branch_distance(like: u32, distance: i32) -> u32 {
    let distance = distance.cast_unsigned();
    let sign = distance >> 24 & 1;
    let j1 = !(distance >> 23 ^ sign) & 1;
    let j2 = !(distance >> 22 ^ sign) & 1;
    let first = 0xF000 | sign << 10 | (distance >> 12 & 0x3FF);
    let second = (like >> 16 & 0xD000) | j1 << 13 | j2 << 11 | (distance >> 1 & 0x7FF);
    first | second << 16
}

const fn conditional_distance(word: u32) -> i32 {
    let (first, second) = (word & 0xFFFF, word >> 16);
    let high = (first >> 10 & 1) << 20 | (second >> 11 & 1) << 19 | (second >> 13 & 1) << 18;
    signed(high | (first & 0x3F) << 12 | (second & 0x7FF) << 1, 21)
}

const fn with_conditional_distance(like: u32, distance: i32) -> u32 {
    let distance = distance.cast_unsigned();
    let first = (like & 0xFBC0) | (distance >> 20 & 1) << 10 | (distance >> 12 & 0x3F);
    let second = (like >> 16 & 0xD000)
        | (distance >> 19 & 1) << 11
        | (distance >> 18 & 1) << 13
        | (distance >> 1 & 0x7FF);
    first | second << 16
}

/// Whether a word is BL or B.W (encoding T4).
pub(crate) const fn is_branch(word: u32) -> bool {
    word & 0x9000_F800 == 0x9000_F000
}

const fn is_movw(word: u32) -> bool {
    word & 0x8000_FBF0 == 0x0000_F240
}

const fn is_movt(word: u32) -> bool {
    word & 0x8000_FBF0 == 0x0000_F2C0
}

const fn immediate(word: u32) -> u32 {
    let (first, second) = (word & 0xFFFF, word >> 16);
    (first & 15) << 12 | (first >> 10 & 1) << 11 | (second >> 12 & 7) << 8 | (second & 255)
}

const fn with_immediate(like: u32, value: u32) -> u32 {
    let first = (like & 0xFBF0) | (value >> 12 & 15) | (value >> 11 & 1) << 10;
    let second = (like >> 16 & 0x8F00) | (value >> 8 & 7) << 12 | (value & 255);
    first | second << 16
}

/// Distance of a two-byte branch, if `half` is one, from the instruction plus 4.
const fn short_distance(half: u32) -> Option<i32> {
    if half & 0xF000 == 0xD000 && half & 0xF00 < 0xE00 {
        Some(signed(half, 8) * 2)
    } else if half & 0xF800 == 0xE000 {
        Some(signed(half, 11) * 2)
    } else if half & 0xF500 == 0xB100 {
        Some(((half >> 9 & 1) << 6 | (half >> 3 & 31) << 1).cast_signed())
    } else {
        None
    }
}

/// The two-byte branch `like` with another distance, if it reaches.
const fn with_short_distance(like: u32, distance: i32) -> Option<u32> {
    let field = (distance >> 1).cast_unsigned();
    if distance & 1 != 0 {
        None
    } else if like & 0xF000 == 0xD000 {
        if distance >= -256 && distance < 256 { Some(like & 0xFF00 | field & 0xFF) } else { None }
    } else if like & 0xF800 == 0xE000 {
        if distance >= -2048 && distance < 2048 { Some(0xE000 | field & 0x7FF) } else { None }
    } else if distance >= 0 && distance < 128 {
        Some(like & 0xFD07 | (field >> 5 & 1) << 9 | (field & 31) << 3)
    } else {
        None
    }
}

/// Where the literal of an instruction at `at` is counted from.
const fn literal_base(at: u32) -> u32 {
    at.wrapping_add(4) & !3
}

/// What stands at `source`, as the start of a unit that goes to `at` and has at most `room` bytes.
///
/// `word` holds the next four bytes; those behind the end of the source are zero and beyond `room`.
pub(crate) fn classify(header: &Header, word: u32, from: Origin, source: u32, at: u32, room: u32) -> Unit {
    if header.instructions == InstructionSet::Bytes || (at | source) & 1 != 0 || room < 2 {
        return Unit::plain(Kind::Byte, 1, word);
    }
    let four = room >= 4;
    if header.instructions == InstructionSet::Words && four && (at | source) & 3 == 0 {
        return Unit::plain(Kind::Long, 4, word);
    }
    if header.instructions != InstructionSet::Thumb {
        return Unit::plain(Kind::Short, 2, word);
    }
    if four && (at | source) & 3 == 0 && from == Origin::Old {
        let offset = word.wrapping_sub(header.base);
        if offset >= header.pointer_min && offset < header.image_len {
            return Unit { kind: Kind::Pointer, len: 4, old: word, target: offset };
        }
        if word >> 20 == header.ram {
            return Unit { kind: Kind::RamPointer, len: 4, old: word, target: word };
        }
    }
    let half = word & 0xFFFF;
    if half >= 0xE800 {
        return if four { classify_long(word, source) } else { Unit::plain(Kind::Short, 2, word) };
    }
    let mut unit = Unit::plain(Kind::Short, 2, word);
    if half & 0xF800 == 0x4800 || half & 0xF800 == 0xA000 {
        unit.kind = Kind::ShortLoad;
        unit.target = literal_base(source).wrapping_add((half & 0xFF) * 4);
    } else if let Some(distance) = short_distance(half) {
        unit.kind = Kind::ShortJump;
        unit.target = source.wrapping_add(4).wrapping_add_signed(distance);
    }
    unit
}

fn classify_long(word: u32, source: u32) -> Unit {
    let mut unit = Unit::plain(Kind::Long, 4, word);
    let behind = source.wrapping_add(4);
    if is_branch(word) {
        unit.kind = if word >> 30 & 1 != 0 { Kind::Call } else { Kind::Jump };
        unit.target = behind.wrapping_add_signed(branch_distance(word));
    } else if word & 0xD000_F800 == 0x8000_F000 && word & 0x380 != 0x380 {
        unit.kind = Kind::ConditionalJump;
        unit.target = behind.wrapping_add_signed(conditional_distance(word));
    } else if word & 0xFE1F == 0xF81F {
        let distance = word >> 16 & 0xFFF;
        let base = literal_base(source);
        unit.kind = Kind::LongLoad;
        unit.target =
            if word & 0x80 != 0 { base.wrapping_add(distance) } else { base.wrapping_sub(distance) };
    } else if is_movw(word) || is_movt(word) {
        // Only with a partner; `find_partner` looks for it.
        unit.kind = Kind::Move;
    }
    unit
}

/// Completes a MOVW or MOVT with the other half of its value, or makes it a plain instruction.
pub(crate) fn find_partner<I: PatchIo>(
    old: &mut OldImage,
    memories: &mut Memories<'_, I>,
    source: u32,
    unit: &mut Unit,
) {
    let low_half = is_movw(unit.old);
    for distance in 1..=PARTNER_DISTANCE_MAX {
        let away = 2 + 2 * distance;
        // In front of the image it wraps to far behind it.
        let at = if low_half { source.wrapping_add(away) } else { source.wrapping_sub(away) };
        if at.saturating_add(4) > old.len() {
            break;
        }
        let other = old.read(memories, at);
        let fits = if low_half { is_movt(other) } else { is_movw(other) };
        // The same register.
        if fits && (other ^ unit.old) & 0x0F00_0000 == 0 {
            let (low, high) = if low_half { (unit.old, other) } else { (other, unit.old) };
            unit.target = immediate(high) << 16 | immediate(low);
            return;
        }
    }
    unit.kind = Kind::Long;
}

/// The unit as it would stand at `at` if its target moved to `target`; `None` when that cannot be said.
pub(crate) fn retarget(unit: &Unit, at: u32, target: u32) -> Option<u32> {
    let distance = target.wrapping_sub(at.wrapping_add(4)).cast_signed();
    let from_literal_base = target.wrapping_sub(literal_base(at)).cast_signed();
    match unit.kind {
        Kind::Byte | Kind::Short | Kind::Long => None,
        Kind::Call | Kind::Jump => Some(with_branch_distance(unit.old, distance)),
        Kind::ConditionalJump => {
            (distance.unsigned_abs() < 1 << 20).then(|| with_conditional_distance(unit.old, distance))
        }
        Kind::ShortJump => with_short_distance(unit.old, distance),
        Kind::ShortLoad => ((0..1024).contains(&from_literal_base) && from_literal_base & 3 == 0)
            .then(|| unit.old & 0xFF00 | from_literal_base.cast_unsigned() >> 2),
        Kind::LongLoad => {
            let magnitude = from_literal_base.unsigned_abs();
            let sign = if from_literal_base >= 0 { 0x80 } else { 0 };
            (magnitude < 4096).then_some(unit.old & 0xF000_FF7F | sign | magnitude << 16)
        }
        Kind::Move => {
            Some(with_immediate(unit.old, if is_movw(unit.old) { target & 0xFFFF } else { target >> 16 }))
        }
        Kind::Pointer | Kind::RamPointer => Some(target),
    }
}
