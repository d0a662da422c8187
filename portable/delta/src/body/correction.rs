//! What a unit of a copy is when the prediction failed.

use super::prediction::{Guess, magnitude};
use super::{Body, CLASSES};
use crate::PatchIo;
use crate::coder::{Coder, Wire};
use crate::header::Header;
use crate::instruction::{Kind, branch_distance, is_branch, with_branch_distance};
use crate::mixer::hash;

const KINDS: usize = 12;

// Where each question's counters start.
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

/// Counters of all questions.
pub(super) const COUNTERS: usize = DISTANCES + 4 * DISTANCE_LEN;

/// Half a unit that is coded anew.
#[derive(Clone, Copy)]
struct Half {
    kind: usize,
    /// 0: the first, 1: the second.
    place: usize,
    /// Whether everything in front of it in the unit was as expected.
    so_far_expected: bool,
    expected: u32,
    /// The bytes in front, the latest first.
    before: [u32; 2],
}

impl Body {
    /// Codes a unit whose prediction failed.
    pub(super) fn correct<C: Coder, I: PatchIo>(
        &mut self,
        wire: &mut Wire<'_, '_, C, I>,
        header: &Header,
        guess: &Guess,
        truth: u32,
    ) -> u32 {
        let (kind, old) = (guess.unit.kind, guess.unit.old);
        let number = kind as usize;
        if guess.expected != old && self.counters.row().bit(wire, SAME_AS_OLD + number, truth == old) {
            if matches!(kind, Kind::Short | Kind::Long) {
                self.numbers.table_mut().insert(old, 0);
            }
            return old;
        }
        match kind {
            Kind::Byte | Kind::Short | Kind::Long => return self.shifted(wire, guess, truth),
            Kind::Call | Kind::Jump | Kind::Pointer | Kind::RamPointer => {
                let same = match kind {
                    Kind::Pointer => truth.wrapping_sub(header.base) < 1 << 21,
                    Kind::RamPointer => truth >> 20 == header.ram,
                    _ => is_branch(truth) && (truth ^ old) & 0x4000_0000 == 0,
                };
                if self.counters.row().bit(wire, SAME_KIND + number, same) {
                    return self.other_target(wire, guess, truth);
                }
            }
            _ => {}
        }
        self.rewritten(wire, guess, truth)
    }

    /// Codes one of the recent shifts of a class, if `shift` is one.
    fn recent_shift<C: Coder, I: PatchIo>(
        &mut self,
        wire: &mut Wire<'_, '_, C, I>,
        kind: Kind,
        class: usize,
        shift: i32,
    ) -> Option<i32> {
        let recent = self.recent.get(class)?;
        let known = recent.find(shift);
        if !self.counters.row().bit(wire, RECENT + kind as usize, known.is_some()) {
            return None;
        }
        let index = u32::try_from(known.unwrap_or(0)).unwrap_or(0);
        let index = self.counters.row().tree(wire, RECENT_INDEX + 8 * class, 3, index);
        Some(recent.get(usize::try_from(index).unwrap_or(0)))
    }

    /// Codes a number that may have moved as others before.
    fn shifted<C: Coder, I: PatchIo>(
        &mut self,
        wire: &mut Wire<'_, '_, C, I>,
        guess: &Guess,
        truth: u32,
    ) -> u32 {
        let (kind, old) = (guess.unit.kind, guess.unit.old);
        let class = 2 + kind as usize;
        let bits = 32 - 8 * guess.unit.len;
        let moved = |shift: i32| old.wrapping_add_signed(shift) & (u32::MAX >> bits);
        let shift_to = |value: u32| ((value.wrapping_sub(old) << bits).cast_signed()) >> bits;
        let (near, _, distance) = self.numbers.table().shift(old);
        let value = 'found: {
            if kind == Kind::Short && near != 0 && moved(near) != guess.expected {
                let flag = NEAREST + usize::try_from(magnitude(distance)).unwrap_or(0);
                if self.counters.row().bit(wire, flag, truth == moved(near)) {
                    break 'found moved(near);
                }
            }
            match self.recent_shift(wire, kind, class, shift_to(truth)) {
                Some(shift) => moved(shift),
                None => self.rewritten(wire, guess, truth),
            }
        };
        if let Some(recent) = self.recent.get_mut(class) {
            recent.touch(shift_to(value));
        }
        if matches!(kind, Kind::Short | Kind::Long) {
            self.numbers.table_mut().insert(old, shift_to(value));
        }
        value
    }

    /// Codes the target of a unit that kept its kind.
    fn other_target<C: Coder, I: PatchIo>(
        &mut self,
        wire: &mut Wire<'_, '_, C, I>,
        guess: &Guess,
        truth: u32,
    ) -> u32 {
        let Guess { unit, at, .. } = guess;
        let branch = matches!(unit.kind, Kind::Call | Kind::Jump);
        let target = |word: u32, at: u32| {
            if branch { at.wrapping_add(4).wrapping_add_signed(branch_distance(word)) } else { word }
        };
        let (old, wanted) = (target(unit.old, guess.source), target(truth, *at));
        let class = usize::from(unit.kind == Kind::RamPointer);
        let shift = wanted.wrapping_sub(old).cast_signed();
        let chosen = match self.recent_shift(wire, unit.kind, class, shift) {
            Some(shift) => old.wrapping_add_signed(shift),
            None => {
                let model = match unit.kind {
                    Kind::Call => 0,
                    Kind::Jump => 1,
                    Kind::Pointer => 2,
                    _ => 3,
                };
                let scale = u32::from(branch);
                let expected = target(guess.expected, *at);
                let error = wanted.wrapping_sub(expected).cast_signed() >> scale;
                let error = self.counters.row().signed(wire, DISTANCES + DISTANCE_LEN * model, error);
                expected.wrapping_add_signed(error << scale)
            }
        };
        if let Some(recent) = self.recent.get_mut(class) {
            recent.touch(chosen.wrapping_sub(old).cast_signed());
        }
        if branch {
            with_branch_distance(unit.old, chosen.wrapping_sub(at.wrapping_add(4)).cast_signed())
        } else {
            chosen
        }
    }

    /// Codes a unit anew, byte by byte, given what was expected.
    fn rewritten<C: Coder, I: PatchIo>(
        &mut self,
        wire: &mut Wire<'_, '_, C, I>,
        guess: &Guess,
        truth: u32,
    ) -> u32 {
        let mut before = [self.last & 0xFF, self.last >> 8 & 0xFF];
        let (len, kind) = (guess.unit.len, guess.unit.kind as usize);
        if len == 1 {
            let ([b1, b2], expected) = (before, guess.expected);
            let contexts = [
                20 << 24 | expected,
                12 << 24 | b1,
                21 << 24 | b1 << 8 | expected,
                13 << 24 | b1 << 8 | b2,
                22 << 24 | (self.history & 7),
                19 << 24 | b1 << 16 | b2 << 8 | expected,
            ];
            return self.byte(wire, contexts, 3, truth);
        }
        let mut value = 0;
        let mut so_far_expected = true;
        for place in 0..usize::from(len == 4) + 1 {
            let shift = 16 * u32::from(place == 1);
            let (expected, truth) = (guess.expected >> shift & 0xFFFF, truth >> shift & 0xFFFF);
            // The last half differs for certain when the others did not.
            let certain = len == 2 || (place == 1 && so_far_expected);
            let flag = HALF_AS_EXPECTED + kind * 4 + place * 2 + usize::from(so_far_expected);
            let coded = if !certain && self.counters.row().bit(wire, flag, truth == expected) {
                expected
            } else {
                let half = Half { kind, place, so_far_expected, expected, before };
                so_far_expected = false;
                self.half(wire, half, truth)
            };
            value |= coded << shift;
            before = [coded >> 8, coded & 0xFF];
        }
        value
    }

    /// Codes half a unit, high byte first.
    fn half<C: Coder, I: PatchIo>(&mut self, wire: &mut Wire<'_, '_, C, I>, half: Half, truth: u32) -> u32 {
        let Half { kind, place, so_far_expected, expected, before: [b1, b2] } = half;
        let set = 4 + kind.saturating_sub(1).min(2) * 4 + place * 2;
        let number = kind * 2 + place;
        let (expected_high, expected_low) = (expected >> 8, expected & 0xFF);
        let failed_before = usize::from(self.history >> 1 & 1 != 0);
        let flag = HIGH_AS_EXPECTED + number * 4 + usize::from(so_far_expected) * 2 + failed_before;
        let high_fits = self.counters.row().bit(wire, flag, truth >> 8 == expected_high);
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
            self.byte(wire, contexts, set, truth >> 8)
        };
        if !high_fits && self.counters.row().bit(wire, LOW_AS_EXPECTED + number, truth & 0xFF == expected_low)
        {
            return high << 8 | expected_low;
        }
        let number = u32::try_from(number).unwrap_or(0);
        let contexts = [
            27 << 24 | number << 11 | u32::from(high_fits) << 9 | expected_low,
            7 << 24 | high,
            hash(28 << 24 | expected << 8 | high, number),
            hash(8 << 24 | high << 16 | b1 << 8 | b2, 1),
            29 << 24 | high << 8 | expected_low,
            31 << 24 | b1 << 8 | expected_low,
        ];
        let low = self.byte(wire, contexts, set + 1, truth);
        high << 8 | low
    }
}
