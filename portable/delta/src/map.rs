//! Where addresses of the old image went: the address map, made from the copy list alone.

/// Most ranges that the map holds; the shortest give way.
pub(crate) const RANGES_MAX: usize = 512;

/// Cells of memory; what the map does not take serves the model of bytes.
const CELLS: usize = 7424;

/// Cells that a range takes.
const RANGE_CELLS: usize = 6;

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
///
/// An image that moved in few pieces needs few ranges. They lie in front in the memory; see [`Self::spare`].
#[derive(Debug)]
pub(crate) struct AddressMap {
    cells: [u16; CELLS],
    count: usize,
}

impl AddressMap {
    pub(crate) const fn new() -> Self {
        Self { cells: [0; CELLS], count: 0 }
    }

    pub(crate) const fn clear(&mut self) {
        self.count = 0;
    }

    /// The memory behind the ranges. Its content is lost when a range is added.
    pub(crate) fn spare(&mut self) -> &mut [u16] {
        self.cells.get_mut(self.count * RANGE_CELLS..).unwrap_or_default()
    }

    fn get(&self, index: usize) -> Option<Range> {
        let at = index * RANGE_CELLS;
        match self.cells.get(at..at + RANGE_CELLS) {
            Some([a, b, c, d, e, f]) if index < self.count => {
                let number = |low: &u16, high: &u16| u32::from(*low) | u32::from(*high) << 16;
                Some(Range { start: number(a, b), end: number(c, d), shift: number(e, f).cast_signed() })
            }
            _ => None,
        }
    }

    fn set(&mut self, index: usize, range: Range) {
        let at = index * RANGE_CELLS;
        if let Some(cells) = self.cells.get_mut(at..at + RANGE_CELLS) {
            let numbers = [range.start, range.end, range.shift.cast_unsigned()];
            for (pair, number) in cells.chunks_exact_mut(2).zip(numbers) {
                let [a, b, c, d] = number.to_le_bytes();
                pair.copy_from_slice(&[u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])]);
            }
        }
    }

    /// The first index whose range does not meet `before`, which ranges meet up to some point.
    fn first_not(&self, before: impl Fn(Range) -> bool) -> usize {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.get(middle).is_some_and(&before) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Notes that `start..end` of the old image moved by `shift`. Where ranges overlap, the longer one wins.
    pub(crate) fn insert(&mut self, start: u32, end: u32, shift: i32) {
        let mut new = Range { start, end, shift };
        let mut index = self.first_not(|range| range.end <= start);
        while new.len() >= RANGE_LEN_MIN
            && let Some(there) = self.get(index)
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
        let Some(mut range) = self.get(index) else { return 1 };
        if range.start < winner.start {
            range.end = winner.start;
        } else {
            range.start = winner.end.min(range.end);
        }
        self.set(index, range);
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
        if let Some(behind) = self.get(index)
            && near(new, behind)
        {
            new.end = behind.end;
            self.remove(index);
        }
        if let Some(before) = index.checked_sub(1)
            && let Some(front) = self.get(before)
            && near(front, new)
        {
            new.start = front.start;
            self.remove(before);
            index = before;
        }
        if self.count == RANGES_MAX {
            let lens = (0..self.count).map(|at| (at, self.get(at).map_or(0, Range::len)));
            match lens.min_by_key(|(_, len)| *len) {
                Some((at, len)) if len < new.len() => {
                    self.remove(at);
                    index -= usize::from(at < index);
                }
                _ => return,
            }
        }
        // The free range behind the last one comes to the front, each other one steps back.
        let tail = self.cells.get_mut(index * RANGE_CELLS..(self.count + 1) * RANGE_CELLS);
        let mut carried = [0; RANGE_CELLS];
        for range in tail.unwrap_or_default().chunks_exact_mut(RANGE_CELLS) {
            range.swap_with_slice(&mut carried);
        }
        self.set(index, new);
        self.count += 1;
    }

    fn remove(&mut self, index: usize) {
        let tail = self.cells.get_mut(index * RANGE_CELLS..self.count * RANGE_CELLS).unwrap_or_default();
        if !tail.is_empty() {
            let mut carried = [0; RANGE_CELLS];
            for range in tail.chunks_exact_mut(RANGE_CELLS).rev() {
                range.swap_with_slice(&mut carried);
            }
            self.count -= 1;
        }
    }

    /// By how much `address` moved, how sure that is, and how far the nearest range lies.
    pub(crate) fn shift(&self, address: u32) -> (i32, Confidence, u32) {
        let behind = self.first_not(|range| range.start <= address);
        let front = behind.checked_sub(1).and_then(|index| self.get(index));
        match (front, self.get(behind)) {
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
