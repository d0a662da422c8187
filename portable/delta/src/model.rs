//! Adaptive probabilities: counters, mixing of several counters, numbers.
//!
//! All integers, no tables: logarithms and their inverse are approximated by parabolas, so that a second
//! implementation makes the same bits.

use crate::PatchIo;
use crate::coder::{Coder, HALF, Wire};

/// Log odds of probability `p` (1 to 65535, in 1/65536), in 1/256 of a bit.
pub(crate) fn stretch(p: u32) -> i32 {
    log2(p) - log2(65536 - p.min(65535))
}

/// `256 * log2(x)` for `x` from 1 to 65535.
fn log2(x: u32) -> i32 {
    let exponent = x.max(1).ilog2();
    let mantissa = (x << (15 - exponent.min(15))) & 0x7FFF;
    let bulge = ((mantissa * (0x8000 - mantissa)) >> 15) * 11 / 32;
    (exponent * 256 + ((mantissa + bulge) >> 7)).cast_signed()
}

/// Probability in 1/65536 of log odds `x` in 1/256 of a bit: the inverse of [`stretch`].
pub(crate) fn squash(x: i32) -> u32 {
    let magnitude = x.unsigned_abs().min(4095);
    // 2 to the power of minus the fraction, as a parabola through 1, 0.7071 and 0.5, in 1/65536.
    let fraction = magnitude & 0xFF;
    let power = 65536 - ((fraction * (44014 - ((fraction * 11246) >> 8))) >> 8);
    let power = power >> (magnitude >> 8);
    let p = u32::MAX / (65536 + power);
    if x < 0 { 65536 - p } else { p.min(65535) }
}

/// Moves probability `p` after `bit` was seen for the `n`th time.
pub(crate) fn learn(p: u32, n: u32, bit: bool) -> u32 {
    let divisor = 5 * n + 8;
    let step = if bit { 65535 - p } else { p } * 5 / divisor;
    if bit { p + step } else { p - step }
}

/// Probability of a one in 1/65536, the lower byte first, and how often it was used.
type Cell = [u8; 3];

fn probability([low, high, _]: Cell) -> u32 {
    u32::from(u16::from_le_bytes([low, high]))
}

/// Counters: each with its probability and its uses.
///
/// Their code takes them as a slice, so that one copy of it serves all lengths.
#[derive(Debug)]
pub(crate) struct Counters<C: ?Sized = [Cell]>(C);

/// `N` counters.
pub(crate) type CounterArray<const N: usize> = Counters<[Cell; N]>;

impl<const N: usize> CounterArray<N> {
    pub(crate) const fn new() -> Self {
        Self([[0; 3]; N])
    }

    /// The counters without their number.
    pub(crate) const fn row(&mut self) -> &mut Counters {
        self
    }
}

impl Counters {
    pub(crate) fn reset(&mut self, probability: u16, uses: u8) {
        let [low, high] = probability.to_le_bytes();
        self.0.fill([low, high, uses]);
    }

    pub(crate) fn get(&self, index: usize) -> u32 {
        self.0.get(index).map_or(HALF, |cell| probability(*cell))
    }

    pub(crate) fn update(&mut self, index: usize, bit: bool, limit: u8) {
        if let Some(cell) = self.0.get_mut(index) {
            let [.., uses] = *cell;
            let [low, high, ..] = learn(probability(*cell), u32::from(uses), bit).to_le_bytes();
            *cell = [low, high, uses.saturating_add(1).min(limit)];
        }
    }

    /// Codes one decision with one counter.
    pub(crate) fn bit<C: Coder, I: PatchIo>(
        &mut self,
        wire: &mut Wire<'_, '_, C, I>,
        index: usize,
        bit: bool,
    ) -> bool {
        let bit = wire.bit(self.get(index), bit);
        self.update(index, bit, 40);
        bit
    }

    /// Codes a number of `bits` bits, the highest first, with `2 ** bits` counters from `base` on.
    pub(crate) fn tree<C: Coder, I: PatchIo>(
        &mut self,
        wire: &mut Wire<'_, '_, C, I>,
        base: usize,
        bits: u32,
        value: u32,
    ) -> u32 {
        let mut node = 1usize;
        for bit in (0..bits).rev() {
            let bit = self.bit(wire, base + node, value >> bit & 1 != 0);
            node = node << 1 | usize::from(bit);
        }
        u32::try_from(node).unwrap_or(0) & ((1 << bits) - 1)
    }

    /// Codes a number from 0 to 2^29 with the 64 counters from `base` on: its length, then its bits.
    pub(crate) fn number<C: Coder, I: PatchIo>(
        &mut self,
        wire: &mut Wire<'_, '_, C, I>,
        base: usize,
        value: u32,
    ) -> u32 {
        let value = value.saturating_add(1);
        let length = value.ilog2();
        let mut bits = 0;
        while bits < 29 && self.bit(wire, base + bits, usize::try_from(length).unwrap_or(0) > bits) {
            bits += 1;
        }
        let mut node = 1u32;
        for done in 0..bits {
            let bit = value >> (bits - 1 - done) & 1 != 0;
            // The two highest bits of a number are worth a counter each; the others are nearly even.
            let bit = match done {
                0 => self.bit(wire, base + 28 + bits.min(9) * 3, bit),
                1 => self.bit(wire, base + 29 + bits.min(9) * 3 + usize::from(node & 1 != 0), bit),
                // So are the two lowest: code is aligned.
                _ if done + 2 == bits => self.bit(wire, base + 59, bit),
                _ if done + 1 == bits => self.bit(wire, base + 60 + usize::from(node & 1 != 0), bit),
                _ => wire.bit(HALF, bit),
            };
            node = node << 1 | u32::from(bit);
        }
        node - 1
    }

    /// Codes a signed number with the 66 counters from `base` on.
    pub(crate) fn signed<C: Coder, I: PatchIo>(
        &mut self,
        wire: &mut Wire<'_, '_, C, I>,
        base: usize,
        value: i32,
    ) -> i32 {
        if !self.bit(wire, base, value != 0) {
            return 0;
        }
        let negative = self.bit(wire, base + 1, value < 0);
        let magnitude = self.number(wire, base + 2, value.unsigned_abs().saturating_sub(1));
        let magnitude = magnitude.saturating_add(1).cast_signed();
        if negative { -magnitude } else { magnitude }
    }
}
