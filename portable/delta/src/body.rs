//! The body: new bytes, and where the prediction of copied ones fails.

use crate::coder::Coder;
use crate::copies::{Copy, Origin};
use crate::header::{Header, InstructionSet};
use crate::image::{Earlier, OldImage};
use crate::instruction::{
    Kind, Unit, branch_distance, classify, find_partner, is_branch, retarget, with_branch_distance,
};
use crate::learned::{Learned, RecentShifts};
use crate::map::{AddressMap, Confidence};
use crate::mixer::{ByteModel, INPUTS, Weights, hash};
use crate::model::{Counters, stretch};
use crate::{PatchIo, Refused};

/// Counters of one input of the flag that says whether a prediction holds.
const FLAGS: usize = 128;

/// What each flag counter knows at first: failures are rare.
const FLAG_FIRST: u16 = 3000;

/// Uses that a flag counter remembers.
const FLAG_USES_MAX: u8 = 250;

const KINDS: usize = 12;

/// Lists of recent shifts: of targets in the image and in RAM; of bytes, halfwords and words.
const CLASSES: usize = 5;
const SAME_AS_OLD: usize = 0;
const SAME_KIND: usize = SAME_AS_OLD + KINDS;
const RECENT: usize = SAME_KIND + KINDS;
const NEAREST: usize = RECENT + KINDS;
const RECENT_INDEX: usize = NEAREST + 16;
const HALF_AS_EXPECTED: usize = RECENT_INDEX + 8 * CLASSES;
const HIGH_AS_EXPECTED: usize = HALF_AS_EXPECTED + 4 * KINDS;
const LOW_AS_EXPECTED: usize = HIGH_AS_EXPECTED + 8 * KINDS;
const DISTANCES: usize = LOW_AS_EXPECTED + 2 * KINDS;
const DISTANCE_LEN: usize = 66;
const COUNTERS: usize = DISTANCES + 4 * DISTANCE_LEN;

/// First set of weights for flags; the ones below are for bytes.
const FLAG_WEIGHTS: usize = 16;

/// Targets further from their source than this teach nothing.
const LEARNED_SHIFT_MAX: u32 = 1 << 20;

/// What surrounds the unit that is coded next.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) header: &'a Header,
    pub(crate) map: &'a AddressMap,
    pub(crate) old: &'a mut OldImage,
    pub(crate) earlier: Earlier<'a>,
    /// The entry of the copy list in use, and where it starts in the new image.
    pub(crate) copy: Copy,
    pub(crate) copy_at: u32,
    /// Position in the new image.
    pub(crate) at: u32,
    /// Where the segment ends.
    pub(crate) end: u32,
}

/// A few bytes of the new image.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Piece {
    pub(crate) value: u32,
    pub(crate) len: u32,
}

/// State of the body's coder; starts cold in every segment.
#[derive(Debug)]
pub(crate) struct Body {
    bytes: ByteModel,
    weights: Weights,
    flags: Counters<{ FLAGS * INPUTS }>,
    counters: Counters<COUNTERS>,
    code: Learned<192>,
    ram: Learned<64>,
    /// Recent shifts of targets in the image and in RAM.
    recent: [RecentShifts; CLASSES],
    numbers: Learned<192>,
    /// Of the last predictions, the latest in the lowest bit: 1 is a failure.
    pub(crate) history: u32,
    /// Units since the last failure.
    since: u32,
    /// The last four bytes, the latest lowest.
    last: u32,
}

/// Number of the kind, for tables.
const fn number(kind: Kind) -> usize {
    kind as usize
}

const fn number32(kind: Kind) -> u32 {
    kind as u32
}

/// Length of a number in bits, at most 15.
fn magnitude(value: u32) -> u32 {
    (32 - value.leading_zeros()).min(15)
}

impl Body {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: ByteModel::new(),
            weights: Weights::new(),
            flags: Counters::new(),
            counters: Counters::new(),
            code: Learned::new(),
            ram: Learned::new(),
            recent: [RecentShifts::new(); CLASSES],
            numbers: Learned::new(),
            history: 0,
            since: 0,
            last: 0,
        }
    }

    /// Forgets everything: a segment starts.
    pub(crate) fn reset(&mut self) {
        self.bytes.reset();
        self.weights.reset();
        self.flags.reset(FLAG_FIRST, 2);
        self.counters.reset(1 << 15, 0);
        self.code.reset();
        self.ram.reset();
        self.recent = [RecentShifts::new(); CLASSES];
        self.numbers.reset();
        (self.history, self.since, self.last) = (0, 0, 0);
    }

    /// Codes the next piece of the new image.
    pub(crate) fn piece<C: Coder, I: PatchIo>(
        &mut self,
        coder: &mut C,
        io: &mut I,
        scene: &mut Scene<'_>,
    ) -> Result<Piece, Refused<I::Error>> {
        let copy_starts = scene.copy_at.saturating_add(scene.copy.literals);
        let piece = if scene.at < copy_starts {
            let room = copy_starts.min(scene.end).saturating_sub(scene.at);
            self.literal(coder, io, scene, room)?
        } else {
            self.copied(coder, io, scene, scene.at.saturating_sub(copy_starts))?
        };
        self.last = match piece.len {
            1 => self.last << 8 | piece.value & 0xFF,
            2 => self.last << 16 | (piece.value.swap_bytes() >> 16),
            _ => piece.value.swap_bytes(),
        };
        Ok(piece)
    }

    fn byte<C: Coder, I: PatchIo>(
        &mut self,
        coder: &mut C,
        io: &mut I,
        contexts: [u32; INPUTS],
        set: usize,
        truth: u32,
    ) -> Result<u32, Refused<I::Error>> {
        self.bytes.byte(&mut self.weights, coder, io, &contexts, set, truth & 0xFF)
    }

    /// New bytes: halfwords, high byte first, or single bytes.
    fn literal<C: Coder, I: PatchIo>(
        &mut self,
        coder: &mut C,
        io: &mut I,
        scene: &mut Scene<'_>,
        room: u32,
    ) -> Result<Piece, Refused<I::Error>> {
        let truth = coder.truth(scene.at);
        // What would stand here if the copy behind reached further ahead.
        let ahead = scene.copy_at.saturating_add(scene.copy.literals).saturating_sub(scene.at);
        let alike = match (scene.copy.from, scene.copy.source.checked_sub(ahead)) {
            (Origin::Old, Some(source)) => scene.old.read(io, source, 2)?,
            _ => 0,
        };
        let (b1, b2, b3, b4) =
            (self.last & 0xFF, self.last >> 8 & 0xFF, self.last >> 16 & 0xFF, self.last >> 24);
        if scene.header.instructions == InstructionSet::Thumb && scene.at & 1 == 0 && room >= 2 {
            let place = scene.at & 2;
            let contexts = [
                1 << 24,
                2 << 24 | b1,
                3 << 24 | b1 << 8 | b2,
                4 << 24 | b1 << 16 | b3 << 8,
                5 << 24 | b4 << 9 | place << 7 | b3,
                16 << 24 | alike,
            ];
            let high = self.byte(coder, io, contexts, 0, truth >> 8)?;
            let contexts = [
                6 << 24 | b2,
                7 << 24 | high,
                hash(8 << 24 | high << 16 | b1 << 8 | b2, 1),
                9 << 24 | high << 8 | b2,
                10 << 24 | high << 16 | b4 << 8 | place,
                hash(17 << 24 | high << 16 | alike, 1),
            ];
            let low = self.byte(coder, io, contexts, 1, truth)?;
            return Ok(Piece { value: high << 8 | low, len: 2 });
        }
        let contexts = [
            11 << 24,
            12 << 24 | b1,
            13 << 24 | b1 << 8 | b2,
            14 << 24 | b1 << 16 | b2 << 8 | b3,
            15 << 24 | b4 << 8 | b2,
            16 << 24 | b1 << 8 | alike & 0xFF,
        ];
        let value = self.byte(coder, io, contexts, 2, truth)?;
        Ok(Piece { value, len: 1 })
    }

    /// A unit of a copy, `done` bytes behind its start.
    fn copied<C: Coder, I: PatchIo>(
        &mut self,
        coder: &mut C,
        io: &mut I,
        scene: &mut Scene<'_>,
        done: u32,
    ) -> Result<Piece, Refused<I::Error>> {
        let copy = scene.copy;
        let source = copy.source.saturating_add(done);
        let room = copy.len.saturating_sub(done).min(scene.end.saturating_sub(scene.at));
        let word = match copy.from {
            Origin::Old => scene.old.read(io, source, 4)?,
            Origin::New => scene.earlier.read(io, source, 4, scene.at)?,
        };
        // A unit never reaches behind what is known of its source.
        let known = if copy.from == Origin::Old { scene.old.len() } else { scene.at };
        let room = room.min(known.saturating_sub(source));
        let mut unit = classify(scene.header, word, copy.from, source, scene.at, room);
        if unit.kind == Kind::Move {
            if copy.from == Origin::Old {
                find_partner(scene.old, io, source, &mut unit)?;
            } else {
                unit.kind = Kind::Long;
            }
        }
        let (predicted, confidence) = self.predict(scene, &unit);
        let truth = coder.truth(scene.at);
        let mask = u32::MAX >> (32 - 8 * unit.len);
        let truth = truth & mask;
        let missed =
            self.flag(coder, io, &unit, predicted, confidence, done, copy.len, truth != predicted)?;
        let value =
            if missed { self.missed(coder, io, scene, &unit, source, predicted, truth)? } else { predicted };
        if copy.from == Origin::Old {
            self.learn(&unit, scene.at, value, missed);
        }
        Ok(Piece { value, len: unit.len })
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
                let (shift, confidence, _) = self.numbers.shift(unit.old);
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
            Kind::Pointer => self.shift(scene.map, unit.target),
            Kind::Move => {
                let offset = unit.target.wrapping_sub(header.base);
                if offset >= header.pointer_min && offset < header.image_len {
                    self.shift(scene.map, offset)
                } else if unit.target >> 20 == header.ram {
                    self.ram_shift(unit.target)
                } else {
                    return certain;
                }
            }
            _ if own => (shift_here, Confidence::Certain),
            _ => self.shift(scene.map, unit.target),
        };
        let from = if unit.kind == Kind::Pointer { unit.old } else { unit.target };
        match retarget(unit, scene.at, from.wrapping_add_signed(shift)) {
            Some(value) => (value, confidence),
            None => (unit.old, Confidence::Nearest),
        }
    }

    /// By how much an offset in the old image moved.
    fn shift(&self, map: &AddressMap, target: u32) -> (i32, Confidence) {
        let (learned, certainty, point) = self.code.shift(target & !1);
        if certainty == Confidence::Learned {
            return (learned, Confidence::Learned);
        }
        let (shift, confidence, range) = map.shift(target);
        if confidence == Confidence::Nearest && point < range {
            return (learned, Confidence::Between);
        }
        (shift, confidence)
    }

    fn ram_shift(&self, target: u32) -> (i32, Confidence) {
        let (shift, confidence, _) = self.ram.shift(target);
        (shift, confidence)
    }

    /// Codes whether the prediction fails.
    #[expect(clippy::too_many_arguments, reason = "each is an input of the model")]
    fn flag<C: Coder, I: PatchIo>(
        &mut self,
        coder: &mut C,
        io: &mut I,
        unit: &Unit,
        predicted: u32,
        confidence: Confidence,
        done: u32,
        copy_len: u32,
        truth: bool,
    ) -> Result<bool, Refused<I::Error>> {
        let kind = number32(unit.kind);
        let unmoved = u32::from(predicted == unit.old);
        let recent_failures = (self.history & 0xFF).count_ones();
        let keys = [
            kind * 16 + (confidence as u32) * 4 + unmoved * 2 + (self.history & 1),
            hash(kind << 6 | (self.history & 31) << 1 | unmoved, 3),
            hash(unit.old, kind),
            hash(magnitude(self.since) << 6 | magnitude(done) << 2 | kind.min(2), 5),
            hash(magnitude(copy_len) << 5 | recent_failures << 1 | unmoved, 9),
            hash(self.last & 0xFFFF, kind),
        ];
        let mut inputs = [0; INPUTS];
        let mut places = [0; INPUTS];
        for (number, ((input, place), key)) in inputs.iter_mut().zip(&mut places).zip(keys).enumerate() {
            *place = number * FLAGS + usize::try_from(key).unwrap_or(0) % FLAGS;
            *input = stretch(self.flags.get(*place).max(1));
        }
        let set = FLAG_WEIGHTS + number(unit.kind);
        let p = self.weights.mix(set, &inputs);
        let missed = coder.bit(io, p, truth)?;
        self.weights.update(set, &inputs, p, missed, 15);
        for place in places {
            self.flags.update(place, missed, FLAG_USES_MAX);
        }
        self.history = self.history << 1 | u32::from(missed);
        self.since = if missed { 0 } else { self.since.saturating_add(1) };
        Ok(missed)
    }

    /// Codes a unit whose prediction failed.
    #[expect(clippy::too_many_arguments, reason = "each is an input of the model")]
    fn missed<C: Coder, I: PatchIo>(
        &mut self,
        coder: &mut C,
        io: &mut I,
        scene: &Scene<'_>,
        unit: &Unit,
        source: u32,
        predicted: u32,
        truth: u32,
    ) -> Result<u32, Refused<I::Error>> {
        let kind = number(unit.kind);
        let expected = predicted;
        if predicted != unit.old && self.counters.bit(coder, io, SAME_AS_OLD + kind, truth == unit.old)? {
            if matches!(unit.kind, Kind::Short | Kind::Long) {
                self.numbers.insert(unit.old, 0);
            }
            return Ok(unit.old);
        }
        if matches!(unit.kind, Kind::Call | Kind::Jump | Kind::Pointer | Kind::RamPointer) {
            let same = match unit.kind {
                Kind::Pointer => truth.wrapping_sub(scene.header.base) < 1 << 21,
                Kind::RamPointer => truth >> 20 == scene.header.ram,
                _ => is_branch(truth) && (truth ^ unit.old) & 0x4000_0000 == 0,
            };
            if self.counters.bit(coder, io, SAME_KIND + kind, same)? {
                return self.other_target(coder, io, scene.at, unit, source, predicted, truth);
            }
        }
        if matches!(unit.kind, Kind::Byte | Kind::Short | Kind::Long) {
            return self.shifted(coder, io, unit, expected, truth);
        }
        self.rewritten(coder, io, unit, expected, truth)
    }

    /// Codes a number that may have moved as others before.
    fn shifted<C: Coder, I: PatchIo>(
        &mut self,
        coder: &mut C,
        io: &mut I,
        unit: &Unit,
        expected: u32,
        truth: u32,
    ) -> Result<u32, Refused<I::Error>> {
        let class = 2 + number(unit.kind);
        let bits = 32 - 8 * unit.len;
        let mask = u32::MAX >> bits;
        let difference = |value: u32| ((value.wrapping_sub(unit.old) << bits).cast_signed()) >> bits;
        let (near, _, distance) = self.numbers.shift(unit.old);
        let near_value = unit.old.wrapping_add_signed(near) & mask;
        let value = 'found: {
            if unit.kind == Kind::Short && near != 0 && near_value != expected {
                let flag = NEAREST + usize::try_from(magnitude(distance)).unwrap_or(0);
                if self.counters.bit(coder, io, flag, truth == near_value)? {
                    break 'found near_value;
                }
            }
            let recent = self.recent.get(class).copied().unwrap_or(RecentShifts::new());
            let known = recent.find(difference(truth));
            if self.counters.bit(coder, io, RECENT + number(unit.kind), known.is_some())? {
                let index = u32::try_from(known.unwrap_or(0)).unwrap_or(0);
                let index = self.counters.tree(coder, io, RECENT_INDEX + 8 * class, 3, index)?;
                let shift = recent.get(usize::try_from(index).unwrap_or(0));
                break 'found unit.old.wrapping_add_signed(shift) & mask;
            }
            self.rewritten(coder, io, unit, expected, truth)?
        };
        if let Some(recent) = self.recent.get_mut(class) {
            recent.touch(difference(value));
        }
        if matches!(unit.kind, Kind::Short | Kind::Long) {
            self.numbers.insert(unit.old, difference(value));
        }
        Ok(value)
    }

    /// Codes the target of a unit that kept its kind.
    #[expect(clippy::too_many_arguments, reason = "each is an input of the model")]
    fn other_target<C: Coder, I: PatchIo>(
        &mut self,
        coder: &mut C,
        io: &mut I,
        at: u32,
        unit: &Unit,
        source: u32,
        predicted: u32,
        truth: u32,
    ) -> Result<u32, Refused<I::Error>> {
        let branch = matches!(unit.kind, Kind::Call | Kind::Jump);
        let target = |word: u32, at: u32| {
            if branch { at.wrapping_add(4).wrapping_add_signed(branch_distance(word)) } else { word }
        };
        let (old, wanted, predicted) = (target(unit.old, source), target(truth, at), target(predicted, at));
        let class = usize::from(unit.kind == Kind::RamPointer);
        let recent = self.recent.get(class).copied().unwrap_or(RecentShifts::new());
        let known = recent.find(wanted.wrapping_sub(old).cast_signed());
        let chosen = if self.counters.bit(coder, io, RECENT + number(unit.kind), known.is_some())? {
            let index = u32::try_from(known.unwrap_or(0)).unwrap_or(0);
            let index = self.counters.tree(coder, io, RECENT_INDEX + 8 * class, 3, index)?;
            old.wrapping_add_signed(recent.get(usize::try_from(index).unwrap_or(0)))
        } else {
            let model = match unit.kind {
                Kind::Call => 0,
                Kind::Jump => 1,
                Kind::Pointer => 2,
                _ => 3,
            };
            let scale = u32::from(branch);
            let difference = wanted.wrapping_sub(predicted).cast_signed() >> scale;
            let difference = self.counters.signed(coder, io, DISTANCES + DISTANCE_LEN * model, difference)?;
            predicted.wrapping_add_signed(difference << scale)
        };
        if let Some(recent) = self.recent.get_mut(class) {
            recent.touch(chosen.wrapping_sub(old).cast_signed());
        }
        Ok(if branch {
            with_branch_distance(unit.old, chosen.wrapping_sub(at.wrapping_add(4)).cast_signed())
        } else {
            chosen
        })
    }

    /// Codes a unit anew, byte by byte, given what was expected.
    fn rewritten<C: Coder, I: PatchIo>(
        &mut self,
        coder: &mut C,
        io: &mut I,
        unit: &Unit,
        expected: u32,
        truth: u32,
    ) -> Result<u32, Refused<I::Error>> {
        let (mut b1, mut b2) = (self.last & 0xFF, self.last >> 8 & 0xFF);
        if unit.len == 1 {
            let contexts = [
                20 << 24 | expected,
                12 << 24 | b1,
                21 << 24 | b1 << 8 | expected,
                13 << 24 | b1 << 8 | b2,
                22 << 24 | (self.history & 7),
                19 << 24 | b1 << 16 | b2 << 8 | expected,
            ];
            return self.byte(coder, io, contexts, 3, truth);
        }
        let kind = number(unit.kind);
        let mut value = 0;
        let mut as_expected = true;
        let halves = unit.len / 2;
        for (place, half) in (0..halves).zip([0usize, 1]) {
            let truth = truth >> (16 * place) & 0xFFFF;
            let expected = expected >> (16 * place) & 0xFFFF;
            let last = place + 1 == halves;
            // The second half differs for certain when the first did not.
            let certain = unit.len == 2 || (last && as_expected);
            let flag = HALF_AS_EXPECTED + kind * 4 + half * 2 + usize::from(as_expected);
            let coded = if !certain && self.counters.bit(coder, io, flag, truth == expected)? {
                expected
            } else {
                let coded = self.half(coder, io, kind, half, as_expected, [b1, b2], expected, truth)?;
                as_expected = false;
                coded
            };
            value |= coded << (16 * place);
            (b1, b2) = (coded >> 8, coded & 0xFF);
        }
        Ok(value)
    }

    /// Codes half a unit, high byte first.
    #[expect(clippy::too_many_arguments, reason = "each is an input of the model")]
    fn half<C: Coder, I: PatchIo>(
        &mut self,
        coder: &mut C,
        io: &mut I,
        kind: usize,
        half: usize,
        as_expected: bool,
        [b1, b2]: [u32; 2],
        expected: u32,
        truth: u32,
    ) -> Result<u32, Refused<I::Error>> {
        let set = 4 + kind.saturating_sub(1).min(2) * 4 + half * 2;
        let tag = u32::try_from(kind * 2 + half).unwrap_or(0);
        let (expected_high, expected_low) = (expected >> 8, expected & 0xFF);
        let failures = usize::try_from(self.history >> 1 & 1).unwrap_or(0);
        let flag = HIGH_AS_EXPECTED + kind * 8 + half * 4 + usize::from(as_expected) * 2 + failures;
        let high_fits = self.counters.bit(coder, io, flag, truth >> 8 == expected_high)?;
        let high = if high_fits {
            expected_high
        } else {
            let contexts = [
                23 << 24 | expected_high,
                2 << 24 | b1,
                hash(24 << 24 | expected, 3),
                3 << 24 | b1 << 8 | b2,
                26 << 24 | expected_high << 8 | b1,
                30 << 24 | expected_low,
            ];
            self.byte(coder, io, contexts, set, truth >> 8)?
        };
        let low_fits = !high_fits
            && self.counters.bit(
                coder,
                io,
                LOW_AS_EXPECTED + kind * 2 + half,
                truth & 0xFF == expected_low,
            )?;
        let low = if low_fits {
            expected_low
        } else {
            let contexts = [
                27 << 24 | tag << 11 | u32::from(high_fits) << 9 | expected_low,
                7 << 24 | high,
                hash(28 << 24 | expected << 8 | high, tag),
                hash(8 << 24 | high << 16 | b1 << 8 | b2, 1),
                29 << 24 | high << 8 | expected_low,
                31 << 24 | b1 << 8 | expected_low,
            ];
            self.byte(coder, io, contexts, set + 1, truth)?
        };
        Ok(high << 8 | low)
    }

    /// Remembers where a target went.
    fn learn(&mut self, unit: &Unit, at: u32, value: u32, missed: bool) {
        let (shift, limit) = match unit.kind {
            Kind::Call | Kind::Jump
                if missed && is_branch(value) && (value ^ unit.old) & 0x4000_0000 == 0 =>
            {
                let target = at.wrapping_add(4).wrapping_add_signed(branch_distance(value));
                (target.wrapping_sub(unit.target).cast_signed(), LEARNED_SHIFT_MAX)
            }
            Kind::Pointer if missed => (value.wrapping_sub(unit.old).cast_signed(), LEARNED_SHIFT_MAX),
            Kind::RamPointer => (value.wrapping_sub(unit.old).cast_signed(), LEARNED_SHIFT_MAX >> 2),
            _ => return,
        };
        if shift.unsigned_abs() >= limit {
            return;
        }
        if unit.kind == Kind::RamPointer {
            self.ram.insert(unit.target, shift);
        } else {
            self.code.insert(unit.target & !1, shift);
        }
    }
}
