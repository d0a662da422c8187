//! Mixing of several predictions into one, for bytes and for flags.

use crate::model::squash;

/// Predictions that are mixed.
pub(crate) const INPUTS: usize = 6;

/// Sets of weights.
pub(crate) const WEIGHT_SETS: usize = 28;

/// A weight of one.
const ONE: i32 = 1 << 16;

/// Weights at first.
const FIRST_WEIGHT: i32 = ONE * 3 / 10;

/// Weights stay below this.
const WEIGHT_MAX: i32 = 8 * ONE;

/// Mixes `a` and `b` into one number.
///
/// Never inlined: a dozen callers would each take a copy.
#[inline(never)]
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

    /// Moves the weights towards the inputs that were right, after `p` was said and `bit` came.
    ///
    /// The higher `slowness`, the less; it is a power of two.
    pub(crate) fn update(
        &mut self,
        set: usize,
        inputs: &[i32; INPUTS],
        (p, bit): (u32, bool),
        slowness: u32,
    ) {
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
