//! Which matches become copies: the cheapest way through the new image.

use alloc::vec;
use alloc::vec::Vec;

use super::matches::Match;
use super::text::Images;
use crate::copies::{Copy, Origin};
use crate::instruction::{Kind, Unit, branch_distance, retarget};
use crate::map::AddressMap;

/// What things are thought to cost, in 1/32 of a bit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Costs {
    /// A copy with a new shift.
    switch: u32,
    /// A copy with the shift of the one before.
    back: u32,
    /// A new byte.
    literal: u32,
    /// A wrong byte in a copy.
    wrong: u32,
}

impl Costs {
    /// A first guess.
    pub(super) const FIRST: Self = Self { switch: 26 * 32, back: 10 * 32, literal: 176, wrong: 8 * 32 };

    /// Ways to change a guess.
    pub(super) const CHANGES: u32 = 8;

    /// The guess, changed in one way.
    pub(super) const fn changed(mut self, way: u32) -> Self {
        let cost = match way / 2 {
            0 => &mut self.switch,
            1 => &mut self.wrong,
            2 => &mut self.literal,
            _ => &mut self.back,
        };
        *cost = if way.is_multiple_of(2) { *cost * 5 / 4 } else { *cost * 4 / 5 };
        self
    }
}

/// Most shifts followed at once.
const TRACKS_MAX: usize = 64;

/// What ends a copy in favour of new bytes, in 1/32 of a bit.
const LITERALS_START: u32 = 5 * 32;

/// Discount for a copy right behind new bytes.
const BEHIND_LITERALS: u32 = 3 * 32;

const INFINITE: u32 = u32::MAX / 2;

/// One step of the way: from here on, new bytes or a copy.
#[derive(Clone, Copy, Debug)]
struct Step {
    at: u32,
    track: Option<(Origin, i32)>,
    before: u32,
}

/// A shift that can be followed now.
#[derive(Clone, Copy, Debug)]
struct Track {
    from: Origin,
    shift: i32,
    end: u32,
    cost: u32,
    step: u32,
    /// Bytes of the current unit that are already paid for.
    paid: u32,
}

struct Parser<'a> {
    images: &'a Images<'a>,
    map: Option<&'a AddressMap>,
    costs: Costs,
    steps: Vec<Step>,
    tracks: Vec<Track>,
    /// Cheapest way that is in new bytes now, and its last step.
    literal: (u32, u32),
}

/// The copy list that seems cheapest.
pub(super) fn parse(
    images: &Images<'_>,
    found: &[Match],
    map: Option<&AddressMap>,
    costs: Costs,
) -> Vec<Copy> {
    let start = Step { at: 0, track: None, before: u32::MAX };
    let mut parser = Parser { images, map, costs, steps: vec![start], tracks: Vec::new(), literal: (0, 0) };
    let mut found = found.iter().peekable();
    for at in 0..images.new_len() {
        while let Some(found) = found.next_if(|found| found.start <= at) {
            parser.open(found);
        }
        parser.advance(at);
    }
    parser.finish()
}

impl Parser<'_> {
    fn open(&mut self, found: &Match) {
        let same = |track: &&mut Track| track.shift == found.shift && track.from == found.from;
        if let Some(track) = self.tracks.iter_mut().find(same) {
            track.end = track.end.max(found.end);
            return;
        }
        if self.tracks.len() >= TRACKS_MAX {
            // The worst gives way, if it is worse.
            let value = |track: &Track| i64::from(track.cost) - i64::from(track.end) / 3;
            let worst = (0..self.tracks.len()).max_by_key(|number| value(&self.tracks[*number]));
            let Some(worst) = worst else { return };
            let track = self.tracks[worst];
            if track.end >= found.end && track.cost <= self.literal.0.saturating_add(30 * 32) {
                return;
            }
            self.tracks.swap_remove(worst);
        }
        let Match { from, shift, end, .. } = *found;
        self.tracks.push(Track { from, shift, end, cost: INFINITE, step: 0, paid: 0 });
    }

    fn step(&mut self, at: u32, track: Option<(Origin, i32)>, before: u32) -> u32 {
        self.steps.push(Step { at, track, before });
        u32::try_from(self.steps.len() - 1).unwrap_or(u32::MAX)
    }

    /// The shift of the last copy on the way that ends with `step`.
    fn last_shift(&self, step: u32) -> i32 {
        let step = &self.steps[step as usize];
        let track = match step.track {
            None => self.steps.get(step.before as usize).and_then(|step| step.track),
            track => track,
        };
        track.map_or(0, |(_, shift)| shift)
    }

    fn advance(&mut self, at: u32) {
        let (mut cost, mut step) = self.literal;
        for track in &self.tracks {
            if track.cost < cost {
                (cost, step) = (track.cost, track.step);
            }
        }
        let in_literals = self.steps[step as usize].track.is_none();
        let last_shift = self.last_shift(step);
        if cost + LITERALS_START < self.literal.0 {
            self.literal = (cost + LITERALS_START, self.step(at, None, step));
        }
        for number in 0..self.tracks.len() {
            let mut track = self.tracks[number];
            let gap = track.shift.abs_diff(last_shift);
            let mut switch =
                if gap == 0 { self.costs.back } else { self.costs.switch + 22 * (32 - gap.leading_zeros()) };
            if in_literals {
                switch = switch.saturating_sub(BEHIND_LITERALS);
            }
            if cost + switch < track.cost {
                track.cost = cost + switch;
                track.step = self.step(at, Some((track.from, track.shift)), step);
                track.paid = 0;
            }
            if track.paid > 0 {
                track.paid -= 1;
            } else {
                track.cost = track.cost.saturating_add(self.price(at, &mut track)).min(INFINITE);
            }
            self.tracks[number] = track;
        }
        self.literal.0 += self.costs.literal;
        self.tracks.retain(|track| track.end > at + 1);
    }

    /// What the next bytes cost on `track`: one byte, or a unit, which is then paid for.
    fn price(&self, at: u32, track: &mut Track) -> u32 {
        let source = at.wrapping_add_signed(track.shift.wrapping_neg());
        let (source, position) = (source as usize, at as usize);
        let other = self.images.source(track.from);
        if let Some(unit) = self.images.unit(track.from, source, position)
            && !matches!(unit.kind, Kind::Byte | Kind::Short | Kind::Long)
            && let Some(price) = self.unit_price(&unit, at, track.from)
        {
            track.paid = unit.len - 1;
            return price;
        }
        if other.get(source) == self.images.new.get(position) { 1 } else { self.costs.wrong }
    }

    /// What a unit with an address costs; `None`: as its bytes.
    fn unit_price(&self, unit: &Unit, at: u32, from: Origin) -> Option<u32> {
        let new = self.images.new.get(at as usize..)?.get(..unit.len as usize)?;
        let new = crate::image::little_endian(new, 4);
        let rough = self.map.is_none();
        match (from, self.map) {
            (Origin::New, _) => {
                let call = matches!(unit.kind, Kind::Call | Kind::Jump);
                let target = at.wrapping_add(4).wrapping_add_signed(branch_distance(new));
                if call && target == unit.target {
                    return Some(3);
                }
            }
            (Origin::Old, Some(map)) => {
                if predicted(&self.images.header, map, unit, at) == new {
                    return Some(1);
                }
                if unit.old == new {
                    return Some(4 * 32);
                }
            }
            (Origin::Old, None) => {
                if unit.old == new {
                    return Some(10);
                }
            }
        }
        (self.images.new_kind(at as usize) == Some(unit.kind)).then_some(match unit.kind {
            Kind::Call | Kind::Jump if rough => 2 * 32,
            Kind::Call | Kind::Jump => 14 * 32,
            Kind::Pointer if rough => 48,
            Kind::RamPointer => 2 * 32,
            Kind::ShortLoad | Kind::ShortJump => 7 * 32,
            _ if rough => 3 * 32,
            _ => 10 * 32,
        })
    }

    fn finish(self) -> Vec<Copy> {
        let (mut cost, mut step) = self.literal;
        for track in &self.tracks {
            if track.cost < cost {
                (cost, step) = (track.cost, track.step);
            }
        }
        let mut path = Vec::new();
        while let Some(found) = self.steps.get(step as usize) {
            path.push(*found);
            step = found.before;
        }
        path.reverse();
        copies_of(&path, self.images.new_len())
    }
}

/// What a unit becomes by the map alone.
fn predicted(header: &crate::header::Header, map: &AddressMap, unit: &Unit, at: u32) -> u32 {
    let target = match unit.kind {
        Kind::RamPointer => unit.old,
        Kind::Pointer => unit.old.wrapping_add_signed(map.shift(unit.target).0),
        Kind::Move => {
            let offset = unit.target.wrapping_sub(header.base);
            let points = offset >= header.pointer_min && offset < header.image_len;
            unit.target.wrapping_add_signed(if points { map.shift(offset).0 } else { 0 })
        }
        _ => unit.target.wrapping_add_signed(map.shift(unit.target).0),
    };
    retarget(unit, at, target).unwrap_or(unit.old)
}

fn copies_of(path: &[Step], new_len: u32) -> Vec<Copy> {
    let mut copies: Vec<Copy> = Vec::new();
    let mut literals = 0;
    for (number, step) in path.iter().enumerate() {
        let end = path.get(number + 1).map_or(new_len, |next| next.at);
        let len = end - step.at;
        if len == 0 {
            continue;
        }
        let Some((from, shift)) = step.track else {
            literals += len;
            continue;
        };
        let source = step.at.wrapping_add_signed(shift.wrapping_neg());
        match copies.last_mut() {
            Some(last) if literals == 0 && last.from == from && last.source + last.len == source => {
                last.len += len
            }
            _ => {
                copies.push(Copy { literals, from, source, len });
                literals = 0;
            }
        }
    }
    if literals > 0 {
        copies.push(Copy { literals, ..Copy::EMPTY });
    }
    copies
}
