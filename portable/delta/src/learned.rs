//! Where single addresses went, learned from what the map predicted wrongly.

use crate::map::Confidence;

/// Most recent shifts of targets that are remembered.
const RECENT: usize = 8;

/// An address and its shift.
type Point = (u32, i32);

/// Addresses with their shifts, in order of address.
///
/// Their code takes them as a slice, so that one copy of it serves all lengths.
#[derive(Debug)]
pub(crate) struct Learned<P: ?Sized = [Point]> {
    count: usize,
    points: P,
}

/// At most `N` learned addresses.
pub(crate) type LearnedArray<const N: usize> = Learned<[Point; N]>;

impl<const N: usize> LearnedArray<N> {
    pub(crate) const fn new() -> Self {
        Self { count: 0, points: [(0, 0); N] }
    }

    pub(crate) const fn reset(&mut self) {
        self.count = 0;
    }

    /// The table without its greatest number.
    pub(crate) const fn table(&self) -> &Learned {
        self
    }

    pub(crate) const fn table_mut(&mut self) -> &mut Learned {
        self
    }
}

impl Learned {
    fn find(&self, address: u32) -> Result<usize, usize> {
        let known = self.points.get(..self.count).unwrap_or(&[]);
        known.binary_search_by_key(&address, |(known, _)| *known)
    }

    fn at(&self, index: usize) -> Option<Point> {
        self.points.get(index).filter(|_| index < self.count).copied()
    }

    /// Remembers that `address` moved by `shift`; when full, only what is already known is renewed.
    pub(crate) fn insert(&mut self, address: u32, shift: i32) {
        let mut carried = (address, shift);
        match self.find(address) {
            Ok(index) => {
                if let Some(point) = self.points.get_mut(index) {
                    *point = carried;
                }
            }
            // One point gives its place to the one in front; none when the table is full.
            Err(index) => {
                if let Some(tail) = self.points.get_mut(index..=self.count) {
                    for point in tail {
                        core::mem::swap(point, &mut carried);
                    }
                    self.count += 1;
                }
            }
        }
    }

    /// By how much `address` moved if it, or its neighbours, are known; and how far the nearest lies.
    pub(crate) fn shift(&self, address: u32) -> (i32, Confidence, u32) {
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
        let mut carried = shift;
        for known in &mut self.0 {
            let stood_here = core::mem::replace(known, carried);
            if stood_here == shift {
                break;
            }
            carried = stood_here;
        }
    }
}
