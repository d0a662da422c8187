//! Mixing of several predictions into one, for bytes and for flags.

use crate::coder::Coder;
use crate::model::{learn, squash, stretch};
use crate::{PatchIo, Refused};

/// Predictions that are mixed.
pub(crate) const INPUTS: usize = 6;

/// Counters for bytes, in pairs.
const SLOTS: usize = 3840;

/// Sets of weights.
pub(crate) const WEIGHT_SETS: usize = 28;

/// A weight of one.
const ONE: i32 = 1 << 16;

/// Weights at first.
const FIRST_WEIGHT: i32 = ONE * 3 / 10;

/// Weights stay below this.
const WEIGHT_MAX: i32 = 8 * ONE;

/// A byte counter that knows nothing: even odds, never used.
const SLOT_UNUSED: u16 = 1 << 15;

/// Uses that a byte counter remembers.
const SLOT_USES_MAX: u16 = 15;

/// Sixteenths of a byte counter's opinion that count, by its uses.
const TRUST: [i32; 8] = [0, 10, 13, 14, 15, 16, 16, 17];

/// Mixes `a` and `b` into one number.
pub(crate) const fn hash(a: u32, b: u32) -> u32 {
    let mixed = a.wrapping_mul(0x9E37_79B1) ^ b.wrapping_mul(0x85EB_CA6B);
    let mixed = mixed ^ mixed >> 15;
    let mixed = mixed.wrapping_mul(0xC2B2_AE35);
    mixed ^ mixed >> 13
}

/// Weights of predictions, by the kind of what is predicted.
#[derive(Debug)]
pub(crate) struct Weights([[i32; INPUTS]; WEIGHT_SETS]);

impl Weights {
    pub(crate) const fn new() -> Self {
        Self([[0; INPUTS]; WEIGHT_SETS])
    }

    pub(crate) fn reset(&mut self) {
        self.0.fill([FIRST_WEIGHT; INPUTS]);
    }

    /// Probability in 1/65536 that follows from the log odds in `inputs`.
    pub(crate) fn mix(&self, set: usize, inputs: &[i32; INPUTS]) -> u32 {
        let weights = self.0.get(set).unwrap_or(&[0; INPUTS]);
        let sum: i32 = weights.iter().zip(inputs).map(|(weight, input)| (weight >> 4) * input).sum();
        squash(sum >> 12)
    }

    /// Moves the weights towards the inputs that were right. `slowness` is a power of two.
    pub(crate) fn update(&mut self, set: usize, inputs: &[i32; INPUTS], p: u32, bit: bool, slowness: u32) {
        let wanted = if bit { 65535 } else { 0 };
        let error = wanted - p.cast_signed();
        if let Some(weights) = self.0.get_mut(set) {
            for (weight, input) in weights.iter_mut().zip(inputs) {
                let step = (error * input + (1 << (slowness - 1))) >> slowness;
                *weight = (*weight + step).clamp(-WEIGHT_MAX, WEIGHT_MAX);
            }
        }
    }
}

/// Counters for bytes, found by a hash of what came before.
#[derive(Debug)]
pub(crate) struct ByteModel {
    slots: [u16; SLOTS],
    tags: [u8; SLOTS],
}

impl ByteModel {
    pub(crate) const fn new() -> Self {
        Self { slots: [0; SLOTS], tags: [0; SLOTS] }
    }

    pub(crate) fn reset(&mut self) {
        self.tags.fill(0);
        self.slots.fill(SLOT_UNUSED);
    }

    /// The slot of a key: one of a pair. Where both belong to others, the one used less gives way.
    fn find(&mut self, key: u32) -> usize {
        let place = ((key >> 16) * u32::try_from(SLOTS / 2).unwrap_or(0)) >> 16;
        let first = 2 * usize::try_from(place).unwrap_or(0);
        let [tag, ..] = key.to_le_bytes();
        let tags = self.tags.get(first..first + 2);
        if let Some(found) = tags.and_then(|tags| tags.iter().position(|there| *there == tag)) {
            return first + found;
        }
        let uses = |index: usize| self.slots.get(index).map_or(0, |slot| slot & 15);
        let index = first + usize::from(uses(first + 1) < uses(first));
        if let (Some(slot), Some(there)) = (self.slots.get_mut(index), self.tags.get_mut(index)) {
            (*slot, *there) = (SLOT_UNUSED, tag);
        }
        index
    }

    /// Codes a byte, the highest bit first, in five contexts at once.
    pub(crate) fn byte<C: Coder, I: PatchIo>(
        &mut self,
        weights: &mut Weights,
        coder: &mut C,
        io: &mut I,
        contexts: &[u32; INPUTS],
        set: usize,
        truth: u32,
    ) -> Result<u32, Refused<I::Error>> {
        let mut node = 1u32;
        for place in (0..8).rev() {
            let mut inputs = [0; INPUTS];
            let mut places = [0usize; INPUTS];
            for ((input, index), context) in inputs.iter_mut().zip(&mut places).zip(contexts) {
                let key = hash(*context, node);
                *index = self.find(key);
                let slot = self.slots.get(*index).copied().unwrap_or(SLOT_UNUSED);
                let trust = TRUST.get(usize::from(slot & 15).min(7)).copied().unwrap_or(0);
                *input = (stretch(u32::from(slot & 0xFFF0 | 8)) * trust) >> 4;
            }
            let p = weights.mix(set, &inputs);
            let bit = coder.bit(io, p, truth >> place & 1 != 0)?;
            weights.update(set, &inputs, p, bit, 14);
            for index in places {
                if let Some(slot) = self.slots.get_mut(index) {
                    let uses = *slot & 15;
                    let p = learn(u32::from(*slot & 0xFFF0 | 8), u32::from(uses), bit);
                    *slot = u16::try_from(p).unwrap_or(0) & 0xFFF0 | (uses + 1).min(SLOT_USES_MAX);
                }
            }
            node = node << 1 | u32::from(bit);
        }
        Ok(node & 0xFF)
    }
}
