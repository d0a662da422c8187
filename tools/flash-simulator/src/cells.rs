//! What a memory holds while power is off.

use std::collections::BTreeMap;
use std::ops::Range;

/// Bytes that tear together: the unit of die flash, and a fair grain for a serial NOR.
pub(crate) const GRAIN: usize = 16;

/// How the torn grains of one cut read from one power-on to the next.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Reading {
    /// As before the interrupted operation.
    Before,
    /// As if the operation had been completed.
    After,
    /// As erased.
    Erased,
    /// As an ECC double error; memories without ECC read as `Erased` instead.
    Unreadable,
    /// Each grain as one of the above or as a mixture of bits, drawn from this seed.
    Mixed(u32),
}

impl Reading {
    /// The readings that leave nothing to chance.
    pub const PLAIN: [Self; 4] = [Self::Before, Self::After, Self::Erased, Self::Unreadable];
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Torn {
    before: [u8; GRAIN],
    after: [u8; GRAIN],
    /// Which cut tore it.
    cut: u32,
}

/// The content of a memory, torn grains included. Equal cells behave equally from here on.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Cells {
    bytes: Vec<u8>,
    /// Grains programmed since their last erase.
    programmed: Vec<bool>,
    torn: BTreeMap<usize, Torn>,
}

/// What a torn grain reads as now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Now {
    Bytes([u8; GRAIN]),
    Unreadable,
}

impl Cells {
    pub(crate) fn erased(size: usize) -> Self {
        Self { bytes: vec![0xFF; size], programmed: vec![false; size / GRAIN], torn: BTreeMap::new() }
    }

    /// The bytes of `span` if no grain of it is torn.
    pub fn stable(&self, span: Range<usize>) -> Option<&[u8]> {
        let grains = span.start / GRAIN..span.end.div_ceil(GRAIN);
        if self.torn.range(grains).next().is_some() { None } else { self.bytes.get(span) }
    }

    /// Overwrites bytes as an attacker with a programmer could; the grains become stable.
    pub fn tamper(&mut self, at: usize, bytes: &[u8]) {
        for (n, byte) in bytes.iter().enumerate() {
            self.bytes[at + n] = *byte;
            self.programmed[(at + n) / GRAIN] = true;
            self.torn.remove(&((at + n) / GRAIN));
        }
    }

    /// Numbers of the cuts whose torn grains are still there, oldest first.
    pub fn cuts(&self) -> Vec<u32> {
        let mut cuts: Vec<u32> = self.torn.values().map(|torn| torn.cut).collect();
        cuts.sort_unstable();
        cuts.dedup();
        cuts
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn is_programmed(&self, grain: usize) -> bool {
        self.programmed[grain] || self.torn.contains_key(&grain)
    }

    pub(crate) fn read_torn(&self, reading: impl Fn(u32) -> Reading, ecc: bool) -> BTreeMap<usize, Now> {
        self.torn.iter().map(|(grain, torn)| (*grain, torn.read(*grain, reading(torn.cut), ecc))).collect()
    }

    fn grain(&self, grain: usize) -> [u8; GRAIN] {
        std::array::from_fn(|n| self.bytes[grain * GRAIN + n])
    }

    /// Programs whole or part grains; bits fall.
    pub(crate) fn program(&mut self, at: usize, bytes: &[u8]) {
        for (n, byte) in bytes.iter().enumerate() {
            self.bytes[at + n] &= byte;
            self.programmed[(at + n) / GRAIN] = true;
            if let Some(torn) = self.torn.get_mut(&((at + n) / GRAIN)) {
                // Programming over torn cells does not heal them.
                torn.after[(at + n) % GRAIN] &= byte;
            }
        }
    }

    pub(crate) fn erase(&mut self, block: Range<usize>) {
        let grains = block.start / GRAIN..block.end / GRAIN;
        self.bytes[block].fill(0xFF);
        self.programmed[grains.clone()].fill(false);
        for grain in grains {
            self.torn.remove(&grain);
        }
    }

    /// The grain that holds `at` tears on its way to `after`.
    pub(crate) fn tear(&mut self, grain: usize, after: [u8; GRAIN], cut: u32) {
        // Torn twice: what it might have become the first time can still come back.
        let before = match self.torn.get(&grain) {
            Some(torn) if torn.after != [0xFF; GRAIN] => torn.after,
            Some(torn) => torn.before,
            None => self.grain(grain),
        };
        self.torn.insert(grain, Torn { before, after, cut });
    }
}

impl Torn {
    fn read(&self, grain: usize, reading: Reading, ecc: bool) -> Now {
        match reading {
            Reading::Before => Now::Bytes(self.before),
            Reading::After => Now::Bytes(self.after),
            Reading::Erased => Now::Bytes([0xFF; GRAIN]),
            Reading::Unreadable if ecc => Now::Unreadable,
            Reading::Unreadable => Now::Bytes([0xFF; GRAIN]),
            Reading::Mixed(seed) => {
                let draw = scramble(u64::from(seed) << 32 | grain as u64);
                if let Some(plain) = Reading::PLAIN.get((draw % 8) as usize) {
                    return self.read(grain, *plain, ecc);
                }
                let mask = u128::from(scramble(draw)) << 64 | u128::from(scramble(draw ^ 1));
                let (before, after) = (u128::from_le_bytes(self.before), u128::from_le_bytes(self.after));
                Now::Bytes(((before & mask) | (after & !mask)).to_le_bytes())
            }
        }
    }
}

/// The finaliser of SplitMix64.
fn scramble(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
