//! What a unit of a copy is expected to become, and whether it does.

use super::{Body, FLAG_WEIGHTS, Piece, Scene};
use crate::PatchIo;
use crate::coder::{Coder, Wire};
use crate::copies::Origin;
use crate::instruction::{Kind, Unit, branch_distance, classify, find_partner, is_branch, retarget};
use crate::map::Confidence;
use crate::mixer::hash;
use crate::model::stretch;

/// Counters of one input of the flag that says whether a prediction fails.
pub(super) const FLAGS: usize = 128;

/// What each flag counter knows at first: failures are rare.
pub(super) const FLAG_FIRST: u16 = 3000;
pub(super) const FLAG_USES_FIRST: u8 = 2;

/// Uses that a flag counter remembers.
const FLAG_USES_MAX: u8 = 250;

/// How slowly the weights of flags learn; a power of two.
const FLAG_SLOWNESS: u32 = 15;

/// Targets further from their source than this teach nothing.
const LEARNED_SHIFT_MAX: u32 = 1 << 20;

/// The same in RAM.
const LEARNED_RAM_SHIFT_MAX: u32 = 1 << 18;

/// A unit of a copy, and what is expected in the new image.
#[derive(Debug)]
pub(super) struct Guess {
    pub(super) unit: Unit,
    /// Where the unit stands in its source, and where it goes in the new image.
    pub(super) source: u32,
    pub(super) at: u32,
    /// What is expected, and how surely.
    pub(super) expected: u32,
    confidence: Confidence,
    /// Bytes of the copy in front of the unit, and of the whole copy.
    done: u32,
    copy_len: u32,
}

/// Length of a number in bits, at most 15.
pub(super) fn magnitude(value: u32) -> u32 {
    (32 - value.leading_zeros()).min(15)
}

impl Body {
    /// A unit of a copy, `done` bytes behind its start.
    pub(super) fn copied<C: Coder, I: PatchIo>(
        &mut self,
        wire: &mut Wire<'_, '_, C, I>,
        scene: &mut Scene<'_>,
        done: u32,
    ) -> Piece {
        let copy = scene.copy;
        let source = copy.source.saturating_add(done);
        let unit = unit_at(wire, scene, done, source);
        let (expected, confidence) = self.predict(scene, &unit);
        let guess = Guess { unit, source, at: scene.at, expected, confidence, done, copy_len: copy.len };
        let truth = wire.coder.truth(scene.at) & (u32::MAX >> (32 - 8 * unit.len));
        let failed = self.fails(wire, &guess, truth != expected);
        let value = if failed { self.correct(wire, scene.header, &guess, truth) } else { expected };
        if copy.from == Origin::Old {
            self.learn(&unit, scene.at, value, failed);
        }
        Piece { value, len: unit.len }
    }

    /// What a unit becomes if everything moved as the map says.
    fn predict(&self, scene: &Scene<'_>, unit: &Unit) -> (u32, Confidence) {
        let certain = (unit.old, Confidence::Certain);
        let copy = scene.copy;
        let shift_here = scene.copy_at.saturating_add(copy.literals).wrapping_sub(copy.source).cast_signed();
        let own = unit.target.wrapping_sub(copy.source) < copy.len;
        if copy.from == Origin::New {
            if !matches!(unit.kind, Kind::Call | Kind::Jump) {
                return certain;
            }
            // Code repeats itself: calls go to the same place, jumps inside the copy move along.
            let target = unit.target.wrapping_add_signed(if own { shift_here } else { 0 });
            return (retarget(unit, scene.at, target).unwrap_or(unit.old), Confidence::Learned);
        }
        let header = scene.header;
        let (shift, confidence) = match unit.kind {
            Kind::Short | Kind::Long => {
                let (shift, confidence, _) = self.numbers.table().shift(unit.old);
                if confidence == Confidence::Learned && shift != 0 {
                    return (
                        unit.old.wrapping_add_signed(shift) & (u32::MAX >> (32 - 8 * unit.len)),
                        confidence,
                    );
                }
                return certain;
            }
            Kind::Byte => return certain,
            Kind::RamPointer => self.ram_shift(unit.target),
            Kind::Pointer => self.shift(unit.target),
            Kind::Move => {
                let offset = unit.target.wrapping_sub(header.base);
                if offset >= header.pointer_min && offset < header.image_len {
                    self.shift(offset)
                } else if unit.target >> 20 == header.ram {
                    self.ram_shift(unit.target)
                } else {
                    return certain;
                }
            }
            _ if own => (shift_here, Confidence::Certain),
            _ => self.shift(unit.target),
        };
        let from = if unit.kind == Kind::Pointer { unit.old } else { unit.target };
        match retarget(unit, scene.at, from.wrapping_add_signed(shift)) {
            Some(value) => (value, confidence),
            None => (unit.old, Confidence::Nearest),
        }
    }

    /// By how much an offset in the old image moved.
    fn shift(&self, target: u32) -> (i32, Confidence) {
        let (learned, certainty, point) = self.code.table().shift(target & !1);
        if certainty == Confidence::Learned {
            return (learned, Confidence::Learned);
        }
        let (shift, confidence, range) = self.map.shift(target);
        if confidence == Confidence::Nearest && point < range {
            return (learned, Confidence::Between);
        }
        (shift, confidence)
    }

    fn ram_shift(&self, target: u32) -> (i32, Confidence) {
        let (shift, confidence, _) = self.ram.table().shift(target);
        (shift, confidence)
    }

    /// Codes whether the prediction fails.
    fn fails<C: Coder, I: PatchIo>(
        &mut self,
        wire: &mut Wire<'_, '_, C, I>,
        guess: &Guess,
        truth: bool,
    ) -> bool {
        let kind = guess.unit.kind as u32;
        let unmoved = u32::from(guess.expected == guess.unit.old);
        let recent_failures = (self.history & 0xFF).count_ones();
        let keys = [
            kind * 16 + (guess.confidence as u32) * 4 + unmoved * 2 + (self.history & 1),
            hash(kind << 6 | (self.history & 31) << 1 | unmoved, 3),
            hash(guess.unit.old, kind),
            hash(magnitude(self.since) << 6 | magnitude(guess.done) << 2 | kind.min(2), 5),
            hash(magnitude(guess.copy_len) << 5 | recent_failures << 1 | unmoved, 9),
            hash(self.last & 0xFFFF, kind),
        ];
        let flags = self.flags.row();
        let mut first = 0;
        let places = keys.map(|key| {
            let place = first + usize::try_from(key).unwrap_or(0) % FLAGS;
            first += FLAGS;
            place
        });
        let inputs = places.map(|place| stretch(flags.get(place).max(1)));
        let set = FLAG_WEIGHTS + guess.unit.kind as usize;
        let p = self.weights.mix(set, &inputs);
        let failed = wire.bit(p, truth);
        self.weights.update(set, &inputs, (p, failed), FLAG_SLOWNESS);
        for place in places {
            flags.update(place, failed, FLAG_USES_MAX);
        }
        self.history = self.history << 1 | u32::from(failed);
        self.since = if failed { 0 } else { self.since.saturating_add(1) };
        failed
    }

    /// Remembers where a target went.
    fn learn(&mut self, unit: &Unit, at: u32, value: u32, failed: bool) {
        let (shift, limit) = match unit.kind {
            Kind::Call | Kind::Jump
                if failed && is_branch(value) && (value ^ unit.old) & 0x4000_0000 == 0 =>
            {
                let target = at.wrapping_add(4).wrapping_add_signed(branch_distance(value));
                (target.wrapping_sub(unit.target).cast_signed(), LEARNED_SHIFT_MAX)
            }
            Kind::Pointer if failed => (value.wrapping_sub(unit.old).cast_signed(), LEARNED_SHIFT_MAX),
            Kind::RamPointer => (value.wrapping_sub(unit.old).cast_signed(), LEARNED_RAM_SHIFT_MAX),
            _ => return,
        };
        if shift.unsigned_abs() >= limit {
            return;
        }
        if unit.kind == Kind::RamPointer {
            self.ram.table_mut().insert(unit.target, shift);
        } else {
            self.code.table_mut().insert(unit.target & !1, shift);
        }
    }
}

/// The unit at `source`, `done` bytes behind the start of the copy.
fn unit_at<C: Coder, I: PatchIo>(
    wire: &mut Wire<'_, '_, C, I>,
    scene: &mut Scene<'_>,
    done: u32,
    source: u32,
) -> Unit {
    let from = scene.copy.from;
    let (word, known) = match from {
        Origin::Old => (scene.old.read(wire.memories, source), scene.old.len()),
        Origin::New => (scene.earlier.read(wire.memories, source, scene.at), scene.at),
    };
    let room = scene.copy.len.saturating_sub(done).min(scene.end.saturating_sub(scene.at));
    // A unit never reaches behind what is known of its source.
    let room = room.min(known.saturating_sub(source));
    let mut unit = classify(scene.header, word, from, source, scene.at, room);
    if unit.kind == Kind::Move {
        match from {
            Origin::Old => find_partner(scene.old, wire.memories, source, &mut unit),
            Origin::New => unit.kind = Kind::Long,
        }
    }
    unit
}
