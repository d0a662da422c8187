//! The copy list: which part of the new image comes from where.

use crate::coder::{Coder, Wire};
use crate::learned::RecentShifts;
use crate::map::AddressMap;
use crate::model::CounterArray;
use crate::{PatchIo, Refused};

/// Where the bytes of a copy come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Origin {
    /// The old image.
    Old,
    /// What is already decoded of the new one.
    New,
}

/// New bytes, then a copy.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Copy {
    /// Bytes that are not copied, in front of the copy.
    pub(crate) literals: u32,
    pub(crate) from: Origin,
    /// Where the copied bytes start in their image.
    pub(crate) source: u32,
    /// Bytes copied; 0 only in the last entry.
    pub(crate) len: u32,
}

impl Copy {
    /// Nothing at all.
    pub(crate) const EMPTY: Self = Self { literals: 0, from: Origin::Old, source: 0, len: 0 };

    /// Bytes of the new image that this entry makes.
    pub(crate) const fn span(&self) -> u32 {
        self.literals.saturating_add(self.len)
    }

    /// Notes in the map what an entry that starts at `at` of the new image says of the old one.
    pub(crate) fn note_in(&self, map: &mut AddressMap, at: u32) {
        if self.from == Origin::Old && self.len > 0 {
            let shift = at.saturating_add(self.literals).wrapping_sub(self.source).cast_signed();
            map.insert(self.source, self.source.saturating_add(self.len), shift);
        }
    }
}

const LITERALS: usize = 0;
const GAP: usize = 64;
const LEN: usize = 130;
const BACK: usize = 194;
const SAME_SHIFT: usize = 258;
const FROM_NEW: usize = 261;
const RECENT: usize = 262;
const RECENT_INDEX: usize = 264;
const COUNTERS: usize = 272;

/// State of a pass over the copy list.
#[derive(Debug)]
pub(crate) struct CopyList {
    counters: CounterArray<COUNTERS>,
    recent: RecentShifts,
    /// Shift of the last copy from the old image: position in the new one minus position in the old one.
    last_shift: i32,
    last_end: u32,
    last_from: Origin,
    /// Where the next entry starts in the new image.
    pub(crate) at: u32,
    /// Entries passed.
    pub(crate) count: u32,
}

impl CopyList {
    pub(crate) const fn new() -> Self {
        Self {
            counters: CounterArray::new(),
            recent: RecentShifts::new(),
            last_shift: 0,
            last_end: 0,
            last_from: Origin::Old,
            at: 0,
            count: 0,
        }
    }

    /// Back to the start of the list.
    pub(crate) fn reset(&mut self) {
        self.counters.row().reset(1 << 15, 0);
        self.recent = RecentShifts::new();
        (self.last_shift, self.last_end, self.last_from) = (0, 0, Origin::Old);
        (self.at, self.count) = (0, 0);
    }

    /// Codes the next entry. A bad one is refused, and nothing at all.
    pub(crate) fn next<C: Coder, I: PatchIo>(
        &mut self,
        wire: &mut Wire<'_, '_, C, I>,
        truth: Copy,
        old_len: u32,
        new_len: u32,
    ) -> Copy {
        // An honest list has copies of four bytes and more on the whole.
        self.count = self.count.saturating_add(1);
        if self.count > new_len / 4 + 64 {
            wire.memories.refuse(Refused::TooManyCopies);
            return Copy::EMPTY;
        }
        let literals = self.counters.row().number(wire, LITERALS, truth.literals);
        let at = self.at.saturating_add(literals);
        if at >= new_len {
            self.at = new_len;
            if at > new_len {
                wire.memories.refuse(Refused::CopyRange);
            }
            return Copy { literals, ..Copy::EMPTY };
        }
        let truth_shift = at.cast_signed().wrapping_sub(truth.source.cast_signed());
        let same = truth.from == Origin::Old && truth_shift == self.last_shift;
        let context = SAME_SHIFT + usize::from(literals > 0) + usize::from(self.last_from == Origin::New);
        let (from, shift) = if self.counters.row().bit(wire, context, same) {
            (Origin::Old, self.last_shift)
        } else if self.counters.row().bit(wire, FROM_NEW, truth.from == Origin::New) {
            let back = self.counters.row().number(wire, BACK, at.wrapping_sub(truth.source).wrapping_sub(1));
            (Origin::New, back.saturating_add(1).cast_signed())
        } else {
            (Origin::Old, self.other_shift(wire, at, truth_shift))
        };
        let source = at.wrapping_add_signed(shift.wrapping_neg());
        let len = self.counters.row().number(wire, LEN, truth.len.wrapping_sub(1)).saturating_add(1);
        let limit = if from == Origin::Old { old_len } else { new_len };
        let in_front = from == Origin::Old || source < at;
        if !in_front || source > limit || len > limit - source || len > new_len - at {
            wire.memories.refuse(Refused::CopyRange);
            return Copy::EMPTY;
        }
        if from == Origin::Old {
            (self.last_shift, self.last_end) = (shift, source.saturating_add(len));
            self.recent.touch(shift);
        }
        self.last_from = from;
        self.at = at.saturating_add(len);
        Copy { literals, from, source, len }
    }

    /// Codes a shift that differs from the last one: one of the recent ones, or a gap in the old image.
    fn other_shift<C: Coder, I: PatchIo>(
        &mut self,
        wire: &mut Wire<'_, '_, C, I>,
        at: u32,
        truth: i32,
    ) -> i32 {
        let known = self.recent.find(truth);
        if self.counters.row().bit(wire, RECENT, known.is_some()) {
            let index = u32::try_from(known.unwrap_or(0)).unwrap_or(0);
            let index = self.counters.row().tree(wire, RECENT_INDEX, 3, index);
            return self.recent.get(usize::try_from(index).unwrap_or(0));
        }
        let source = at.cast_signed().wrapping_sub(truth);
        let gap = source.wrapping_sub(self.last_end.cast_signed());
        let gap = self.counters.row().signed(wire, GAP, gap);
        at.cast_signed().wrapping_sub(self.last_end.cast_signed().wrapping_add(gap))
    }
}
