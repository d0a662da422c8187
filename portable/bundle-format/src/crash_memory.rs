//! Which memory a crash dump holds.

/// Most ranges in one policy.
pub const CRASH_RANGES_MAX: usize = 4;

/// Bytes of a range in a manifest: first address, length.
const RANGE_LEN: usize = 8;

/// A range of the application's addresses.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct CrashRange {
    /// First address, a multiple of 4.
    pub address: u32,
    /// Length in bytes, a multiple of 4, at least 4.
    pub len: u32,
}

/// Memory that a crash dump holds beside the stack: at most [`CRASH_RANGES_MAX`] ranges.
///
/// Without any range it holds registers alone, and no memory, not even the stack.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct CrashMemory {
    ranges: [CrashRange; CRASH_RANGES_MAX],
    count: usize,
}

impl CrashMemory {
    /// These ranges; `None` if there are too many, or one is not made of words.
    pub fn new(ranges: &[CrashRange]) -> Option<Self> {
        let mut memory = Self::default();
        memory.ranges.get_mut(..ranges.len())?.copy_from_slice(ranges);
        memory.count = ranges.len();
        let in_words = |range: &CrashRange| {
            (range.address | range.len) & 3 == 0
                && range.len > 0
                && range.address.checked_add(range.len).is_some()
        };
        ranges.iter().all(in_words).then_some(memory)
    }

    /// Ranges one after the other, as a manifest holds them.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (pairs, []) = bytes.as_chunks::<RANGE_LEN>() else { return None };
        let mut ranges = [CrashRange::default(); CRASH_RANGES_MAX];
        let taken = ranges.get_mut(..pairs.len())?;
        for (range, [a, b, c, d, e, f, g, h]) in taken.iter_mut().zip(pairs) {
            let (address, len) = (u32::from_be_bytes([*a, *b, *c, *d]), u32::from_be_bytes([*e, *f, *g, *h]));
            *range = CrashRange { address, len };
        }
        Self::new(taken)
    }

    /// The ranges.
    pub fn as_slice(&self) -> &[CrashRange] {
        self.ranges.get(..self.count).unwrap_or_default()
    }
}
