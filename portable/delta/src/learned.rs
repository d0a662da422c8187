//! Where single addresses went, learned from what the map predicted wrongly.

use crate::map::Confidence;

/// Most recent shifts of targets that are remembered.
const RECENT: usize = 8;

/// At most `N` addresses with their shifts, in order of address.
#[derive(Debug)]
pub(crate) struct Learned<const N: usize> {
    addresses: [u32; N],
    shifts: [i32; N],
    count: usize,
}

impl<const N: usize> Learned<N> {
    pub(crate) const fn new() -> Self {
        Self { addresses: [0; N], shifts: [0; N], count: 0 }
    }

    pub(crate) const fn reset(&mut self) {
        self.count = 0;
    }

    fn known(&self) -> Known<'_> {
        Known {
            addresses: self.addresses.get(..self.count).unwrap_or(&[]),
            shifts: self.shifts.get(..self.count).unwrap_or(&[]),
        }
    }

    /// Remembers that `address` moved by `shift`; when full, only what is already known is renewed.
    pub(crate) fn insert(&mut self, address: u32, shift: i32) {
        let index = match self.known().find(address) {
            Ok(index) => index,
            Err(_) if self.count == N => return,
            Err(index) => {
                if let Some(tail) = self.addresses.get_mut(index..=self.count) {
                    tail.rotate_right(1);
                }
                if let Some(tail) = self.shifts.get_mut(index..=self.count) {
                    tail.rotate_right(1);
                }
                self.count += 1;
                index
            }
        };
        if let (Some(a), Some(s)) = (self.addresses.get_mut(index), self.shifts.get_mut(index)) {
            (*a, *s) = (address, shift);
        }
    }

    /// See [`Known::shift`].
    pub(crate) fn shift(&self, address: u32) -> (i32, Confidence, u32) {
        self.known().shift(address)
    }
}

/// Learned addresses without their greatest number: one copy of the code serves all.
struct Known<'a> {
    addresses: &'a [u32],
    shifts: &'a [i32],
}

impl Known<'_> {
    fn find(&self, address: u32) -> Result<usize, usize> {
        self.addresses.binary_search(&address)
    }

    fn at(&self, index: usize) -> Option<(u32, i32)> {
        Some((*self.addresses.get(index)?, *self.shifts.get(index)?))
    }

    /// By how much `address` moved if it, or its neighbours, are known; and how far the nearest lies.
    fn shift(&self, address: u32) -> (i32, Confidence, u32) {
        let behind = match self.find(address) {
            Ok(index) => return (self.at(index).map_or(0, |(_, shift)| shift), Confidence::Learned, 0),
            Err(index) => index,
        };
        match (behind.checked_sub(1).and_then(|index| self.at(index)), self.at(behind)) {
            (None, None) => (0, Confidence::Nearest, u32::MAX),
            (Some((left, shift)), None) => (shift, Confidence::Nearest, address.saturating_sub(left)),
            (None, Some((right, shift))) => (shift, Confidence::Nearest, right.saturating_sub(address)),
            (Some((left, before)), Some((right, after))) => {
                let (back, ahead) = (address.saturating_sub(left), right.saturating_sub(address));
                let nearest = if back <= ahead { before } else { after };
                let alike = before == after;
                (nearest, if alike { Confidence::Between } else { Confidence::Nearest }, back.min(ahead))
            }
        }
    }
}

/// The last few shifts, the latest first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecentShifts([i32; RECENT]);

impl RecentShifts {
    pub(crate) const fn new() -> Self {
        Self([0; RECENT])
    }

    /// Where `shift` stands, if it is there.
    pub(crate) fn find(&self, shift: i32) -> Option<usize> {
        self.0.iter().position(|known| *known == shift)
    }

    pub(crate) fn get(&self, index: usize) -> i32 {
        self.0.get(index).copied().unwrap_or(0)
    }

    /// Puts `shift` first; the others step back.
    pub(crate) fn touch(&mut self, shift: i32) {
        let last = self.find(shift).unwrap_or(RECENT - 1);
        if let Some(part) = self.0.get_mut(..=last) {
            part.rotate_right(1);
        }
        if let Some(first) = self.0.first_mut() {
            *first = shift;
        }
    }
}
