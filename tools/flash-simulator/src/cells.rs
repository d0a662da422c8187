//! What a memory holds while power is off.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// Bytes that tear together: the unit of die flash, and a fair grain for a serial NOR.
pub(crate) const GRAIN: usize = 16;

/// Label of grains that no cut tore: their cells are worn, and they are unreadable from then on.
const LOST_CHARGE: u32 = u32::MAX;

type Grain = [u8; GRAIN];
const ERASED: Grain = [0xFF; GRAIN];

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
    before: Grain,
    after: Grain,
    /// Which cut tore it.
    cut: u32,
}

/// One erase block. Blocks are shared between the states that an exploration remembers.
#[derive(Debug, Default)]
struct Block {
    bytes: Vec<u8>,
    /// Grains programmed since their last erase.
    programmed: Vec<bool>,
    torn: BTreeMap<usize, Torn>,
    fingerprint: OnceLock<u64>,
}

impl Clone for Block {
    fn clone(&self) -> Self {
        // The copy is made to be changed, so the fingerprint is not taken along.
        let Self { bytes, programmed, torn, .. } = self;
        Self {
            bytes: bytes.clone(),
            programmed: programmed.clone(),
            torn: torn.clone(),
            fingerprint: OnceLock::new(),
        }
    }
}

impl Block {
    fn fingerprint(&self) -> u64 {
        *self.fingerprint.get_or_init(|| {
            let mut hasher = DefaultHasher::new();
            (&self.bytes, &self.programmed, &self.torn).hash(&mut hasher);
            hasher.finish()
        })
    }
}

/// The content of a memory, torn grains included. Equal cells behave equally from here on. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Cells {
    block_len: usize,
    blocks: Vec<Arc<Block>>,
}

impl PartialEq for Cells {
    fn eq(&self, other: &Self) -> bool {
        let same = |(a, b): (&Arc<Block>, &Arc<Block>)| {
            Arc::ptr_eq(a, b) || (&a.bytes, &a.programmed, &a.torn) == (&b.bytes, &b.programmed, &b.torn)
        };
        self.blocks.len() == other.blocks.len() && self.blocks.iter().zip(&other.blocks).all(same)
    }
}

/// What a torn grain reads as now.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Now {
    Bytes(Grain),
    Unreadable,
}

impl Cells {
    pub(crate) fn erased(size: usize, block_len: usize) -> Self {
        let block = Arc::new(Block {
            bytes: vec![0xFF; block_len],
            programmed: vec![false; block_len / GRAIN],
            ..Block::default()
        });
        Self { block_len, blocks: vec![block; size / block_len] }
    }

    /// The bytes of `span` if no grain of it is torn.
    pub fn stable(&self, span: Range<usize>) -> Option<Vec<u8>> {
        let mut at = span.start;
        while at < span.end {
            let (start, offset) = (at / self.block_len * self.block_len, at % self.block_len);
            let end = span.end.min(start + self.block_len);
            let grains = offset / GRAIN..(end - start).div_ceil(GRAIN);
            if self.block(at).torn.range(grains).next().is_some() {
                return None;
            }
            at = end;
        }
        let mut bytes = vec![0; span.len()];
        self.read(span.start, &mut bytes);
        Some(bytes)
    }

    /// Runs of torn bytes, and which cut tore each.
    pub fn torn(&self) -> Vec<(Range<usize>, u32)> {
        let mut runs: Vec<(Range<usize>, u32)> = Vec::new();
        for (n, block) in self.blocks.iter().enumerate() {
            for (grain, torn) in &block.torn {
                let start = n * self.block_len + grain * GRAIN;
                match runs.last_mut() {
                    Some((run, cut)) if run.end == start && *cut == torn.cut => run.end += GRAIN,
                    _ => runs.push((start..start + GRAIN, torn.cut)),
                }
            }
        }
        runs
    }

    /// Overwrites bytes as an attacker with a programmer could; the grains become stable.
    pub fn tamper(&mut self, at: usize, bytes: &[u8]) {
        for (at, byte) in (at..).zip(bytes) {
            let offset = at % self.block_len;
            let block = self.block_mut(at);
            block.bytes[offset] = *byte;
            block.programmed[offset / GRAIN] = true;
            block.torn.remove(&(offset / GRAIN));
        }
    }

    /// The unit that holds `at` loses its charge: unreadable under ECC at every boot until its block is erased.
    pub fn lose(&mut self, at: usize) {
        let mut held = ERASED;
        self.read(at / GRAIN * GRAIN, &mut held);
        self.tear(at / GRAIN, held, LOST_CHARGE);
    }

    /// The bytes as they were before whatever tore them, for searching and for tampering.
    pub fn raw(&self) -> Vec<u8> {
        self.blocks.iter().flat_map(|block| block.bytes.iter().copied()).collect()
    }

    /// Labels of the power sessions whose cuts tore what is still torn, in rising order.
    pub fn cuts(&self) -> Vec<u32> {
        let mut cuts: Vec<u32> =
            self.blocks.iter().flat_map(|b| b.torn.values().map(|torn| torn.cut)).collect();
        cuts.retain(|cut| *cut != LOST_CHARGE);
        cuts.sort_unstable();
        cuts.dedup();
        cuts
    }

    /// A number that is the same for equal cells and, in practice, for no others.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for block in &self.blocks {
            hasher.write_u64(block.fingerprint());
        }
        hasher.finish()
    }

    /// A number that is the same for readings that code cannot tell from each other. `ecc` says whether torn
    /// grains can be unreadable.
    pub fn appearance(&self, reading: impl Fn(u32) -> Reading, ecc: bool) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.read_torn(reading, ecc).hash(&mut hasher);
        hasher.finish()
    }

    fn block(&self, at: usize) -> &Block {
        &self.blocks[at / self.block_len]
    }

    fn block_mut(&mut self, at: usize) -> &mut Block {
        let block = Arc::make_mut(&mut self.blocks[at / self.block_len]);
        block.fingerprint = OnceLock::new();
        block
    }

    pub(crate) fn read(&self, at: usize, out: &mut [u8]) {
        let mut done = 0;
        while done < out.len() {
            let offset = (at + done) % self.block_len;
            let len = (self.block_len - offset).min(out.len() - done);
            out[done..done + len].copy_from_slice(&self.block(at + done).bytes[offset..offset + len]);
            done += len;
        }
    }

    /// Whether the grain, counted from the start of the memory, was programmed or torn since its last erase.
    pub(crate) fn is_programmed(&self, grain: usize) -> bool {
        let block = self.block(grain * GRAIN);
        let grain = grain % (self.block_len / GRAIN);
        block.programmed[grain] || block.torn.contains_key(&grain)
    }

    pub(crate) fn read_torn(&self, reading: impl Fn(u32) -> Reading, ecc: bool) -> BTreeMap<usize, Now> {
        let mut now = BTreeMap::new();
        for (n, block) in self.blocks.iter().enumerate() {
            for (grain, torn) in &block.torn {
                let grain = n * (self.block_len / GRAIN) + grain;
                let reading = if torn.cut == LOST_CHARGE { Reading::Unreadable } else { reading(torn.cut) };
                now.insert(grain, torn.read(grain, reading, ecc));
            }
        }
        now
    }

    /// Programs whole or part grains; bits fall.
    pub(crate) fn program(&mut self, at: usize, bytes: &[u8]) {
        let (mut at, mut left) = (at, bytes);
        while !left.is_empty() {
            let start = at % self.block_len;
            let (here, rest) = left.split_at(left.len().min(self.block_len - start));
            let block = self.block_mut(at);
            for (offset, byte) in (start..).zip(here) {
                block.bytes[offset] &= byte;
                block.programmed[offset / GRAIN] = true;
                if let Some(torn) = block.torn.get_mut(&(offset / GRAIN)) {
                    // Programming over torn cells does not heal them.
                    torn.after[offset % GRAIN] &= byte;
                }
            }
            (at, left) = (at + here.len(), rest);
        }
    }

    /// The first programmed byte of the block that holds `at` loses its charge: unreadable under ECC, else a bit rises.
    pub(crate) fn forget(&mut self, at: usize, ecc: bool) {
        let start = at / self.block_len * self.block_len;
        let Some(grain) = (start / GRAIN..(start + self.block_len) / GRAIN).find(|g| self.is_programmed(*g))
        else {
            return;
        };
        if ecc {
            self.lose(grain * GRAIN);
            return;
        }
        let in_block = grain * GRAIN % self.block_len;
        if let Some(byte) = self.block_mut(start).bytes.get_mut(in_block) {
            *byte |= byte.wrapping_add(1);
        }
    }

    pub(crate) fn erase(&mut self, at: usize) {
        let block = self.block_mut(at);
        block.bytes.fill(0xFF);
        block.programmed.fill(false);
        block.torn.clear();
    }

    /// The grain, counted from the start of the memory, tears on its way to `after`.
    pub(crate) fn tear(&mut self, grain: usize, after: Grain, cut: u32) {
        let mut held = ERASED;
        self.read(grain * GRAIN, &mut held);
        let in_block = grain % (self.block_len / GRAIN);
        let block = self.block_mut(grain * GRAIN);
        // Torn twice: what it might have become the first time can still come back.
        let before = match block.torn.get(&in_block) {
            Some(torn) if torn.after != ERASED => torn.after,
            Some(torn) => torn.before,
            None => held,
        };
        block.torn.insert(in_block, Torn { before, after, cut });
    }
}

impl Torn {
    fn read(&self, grain: usize, reading: Reading, ecc: bool) -> Now {
        match reading {
            Reading::Before => Now::Bytes(self.before),
            Reading::After => Now::Bytes(self.after),
            Reading::Erased => Now::Bytes(ERASED),
            Reading::Unreadable if ecc => Now::Unreadable,
            Reading::Unreadable => Now::Bytes(ERASED),
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
