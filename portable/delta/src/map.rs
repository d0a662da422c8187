//! Where addresses of the old image went: the address map, made from the copy list alone.

/// Most ranges that the map holds; the shortest give way.
pub(crate) const RANGES_MAX: usize = 256;

/// Shorter ranges say too little.
const RANGE_LEN_MIN: u32 = 8;

/// Ranges with the same shift become one across gaps shorter than this.
const GAP_MAX: u32 = 64;

/// Old addresses from `start` on and below `end` moved by `shift`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Range {
    start: u32,
    end: u32,
    shift: i32,
}

impl Range {
    const fn len(self) -> u32 {
        self.end.saturating_sub(self.start)
    }
}

/// How sure a prediction is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Confidence {
    /// Taken from the nearest range or point.
    Nearest,
    /// Between two that moved alike, or from a learned point nearby.
    Between,
    /// A learned point.
    Learned,
    /// Inside a copied range, or not an address at all.
    Certain,
}

/// Ranges of the old image that were copied, without overlaps, in order.
#[derive(Debug)]
pub(crate) struct AddressMap {
    ranges: [Range; RANGES_MAX],
    count: usize,
}

impl AddressMap {
    pub(crate) const fn new() -> Self {
        Self { ranges: [Range { start: 0, end: 0, shift: 0 }; RANGES_MAX], count: 0 }
    }

    pub(crate) const fn clear(&mut self) {
        self.count = 0;
    }

    fn ranges(&self) -> &[Range] {
        self.ranges.get(..self.count).unwrap_or(&[])
    }

    /// Notes that `start..end` of the old image moved by `shift`. Where ranges overlap, the longer one wins.
    pub(crate) fn insert(&mut self, start: u32, end: u32, shift: i32) {
        let mut new = Range { start, end, shift };
        let mut index = self.ranges().partition_point(|range| range.end <= start);
        while new.len() >= RANGE_LEN_MIN
            && let Some(there) = self.ranges().get(index).copied()
            && there.start < new.end
        {
            if there.shift == new.shift {
                new.start = new.start.min(there.start);
                new.end = new.end.max(there.end);
                self.remove(index);
            } else if there.len() >= new.len() {
                let left = there.start.saturating_sub(new.start);
                let right = new.end.saturating_sub(there.end);
                if left >= right {
                    new.end = new.start.saturating_add(left);
                } else {
                    new.start = there.end;
                    index += 1;
                }
            } else {
                index += self.trim(index, new);
            }
        }
        if new.len() >= RANGE_LEN_MIN {
            self.join(index, new);
        }
    }

    /// Takes `winner` out of the shorter range at `index`; says by how much the index advances.
    fn trim(&mut self, index: usize, winner: Range) -> usize {
        let Some(range) = self.ranges.get_mut(index) else { return 1 };
        if range.start < winner.start {
            range.end = winner.start;
        } else {
            range.start = winner.end.min(range.end);
        }
        let (len, in_front) = (range.len(), range.end <= winner.start);
        if len < RANGE_LEN_MIN {
            self.remove(index);
            return 0;
        }
        // A rest behind the winner ends the caller's loop by itself.
        usize::from(in_front)
    }

    /// Puts `new` in at `index`, where nothing overlaps it, joining neighbours that moved alike.
    fn join(&mut self, mut index: usize, mut new: Range) {
        let near = |a: Range, b: Range| a.shift == b.shift && b.start.saturating_sub(a.end) < GAP_MAX;
        if let Some(behind) = self.ranges().get(index).copied()
            && near(new, behind)
        {
            new.end = behind.end;
            self.remove(index);
        }
        if let Some(before) = index.checked_sub(1)
            && let Some(front) = self.ranges().get(before).copied()
            && near(front, new)
        {
            new.start = front.start;
            self.remove(before);
            index = before;
        }
        if self.count == RANGES_MAX {
            let shortest = self.ranges().iter().enumerate().min_by_key(|(_, range)| range.len());
            match shortest.map(|(at, range)| (at, range.len())) {
                Some((at, len)) if len < new.len() => {
                    self.remove(at);
                    index -= usize::from(at < index);
                }
                _ => return,
            }
        }
        if let Some(tail) = self.ranges.get_mut(index..=self.count) {
            tail.rotate_right(1);
            if let Some(first) = tail.first_mut() {
                *first = new;
            }
            self.count += 1;
        }
    }

    fn remove(&mut self, index: usize) {
        if let Some(tail) = self.ranges.get_mut(index..self.count)
            && !tail.is_empty()
        {
            tail.rotate_left(1);
            self.count -= 1;
        }
    }

    /// By how much `address` moved, how sure that is, and how far the nearest range lies.
    pub(crate) fn shift(&self, address: u32) -> (i32, Confidence, u32) {
        let behind = self.ranges().partition_point(|range| range.start <= address);
        let front = behind.checked_sub(1).and_then(|index| self.ranges().get(index));
        match (front, self.ranges().get(behind)) {
            (None, None) => (0, Confidence::Nearest, u32::MAX),
            (None, Some(right)) => (right.shift, Confidence::Nearest, right.start.saturating_sub(address)),
            (Some(left), _) if address < left.end => (left.shift, Confidence::Certain, 0),
            (Some(left), None) => (left.shift, Confidence::Nearest, address.saturating_sub(left.end)),
            (Some(left), Some(right)) => {
                let (back, ahead) = (address.saturating_sub(left.end), right.start.saturating_sub(address));
                let nearest = if back < ahead { left.shift } else { right.shift };
                let alike = left.shift == right.shift;
                (nearest, if alike { Confidence::Between } else { Confidence::Nearest }, back.min(ahead))
            }
        }
    }
}
