//! The model of bytes that nothing predicts: what followed the same surroundings before.
//!
//! Two kinds of memory serve it. A *history* counts which bits followed in a context that is met often; each bit of a
//! byte has its own. A *run* names the one byte that followed in a context that is met rarely. Both are found by a
//! hash, among cells that the caller lends.

use crate::PatchIo;
use crate::coder::{Coder, Wire};
use crate::mixer::{INPUTS, Weights, hash};
use crate::model::stretch;

/// Contexts that have histories: the first ones. The others have runs.
const HISTORIES: usize = 2;
const RUNS: usize = INPUTS - HISTORIES;

/// One cell in this many is a run's.
const RUN_SHARE: usize = 4;

/// Most zeros and ones that a history counts.
const COUNT_MAX: u8 = 15;

/// So many of the bits that were not seen now are kept; of more than these, half.
const KEPT: u8 = 2;

/// Most repetitions that a run counts.
const REPEATS_MAX: u16 = 7;

/// How slowly the odds of histories and runs follow what happens: powers of two.
const HISTORY_SLOWNESS: u32 = 7;
const RUN_SLOWNESS: u32 = 6;

/// The same for the weights.
const WEIGHT_SLOWNESS: u32 = 14;

/// Keeps the hashes of runs apart.
const RUN_SALT: u32 = 77;

/// Zeros and ones that followed a context, and the context's tag.
#[derive(Clone, Copy)]
struct History(u16);

impl History {
    const fn new(tag: u16) -> Self {
        Self(tag << 8)
    }

    const fn tag(self) -> u16 {
        self.0 >> 8
    }

    const fn counts(self) -> usize {
        (self.0 & 0xFF) as usize
    }

    const fn uses(self) -> u16 {
        (self.0 >> 4 & 15) + (self.0 & 15)
    }

    /// What becomes of it when `bit` follows.
    fn followed(self, bit: bool) -> Self {
        let [counts, tag] = self.0.to_le_bytes();
        let (zeros, ones) = (counts >> 4, counts & 15);
        let (seen, other) = if bit { (ones, zeros) } else { (zeros, ones) };
        let seen = (seen + 1).min(COUNT_MAX);
        let other = if other > KEPT { (other + KEPT) / 2 } else { other };
        Self(u16::from_le_bytes([if bit { other << 4 | seen } else { seen << 4 | other }, tag]))
    }
}

/// The byte that followed a context last, how often in a row, and the context's tag.
#[derive(Clone, Copy)]
struct Run(u16);

impl Run {
    const fn new(tag: u16, repeats: u16, byte: u16) -> Self {
        Self(tag << 11 | repeats << 8 | byte)
    }

    const fn tag(self) -> u16 {
        self.0 >> 11
    }

    const fn repeats(self) -> u16 {
        self.0 >> 8 & 7
    }

    const fn byte(self) -> u16 {
        self.0 & 0xFF
    }

    /// The bit that it expects at `place`, while `node`, the bits in front, are as it expects.
    fn expects(self, node: u32, place: u32) -> Option<bool> {
        let path = u32::from(self.byte()) | 0x100;
        (self.repeats() > 0 && path >> (place + 1) == node).then_some(path >> place & 1 != 0)
    }

    fn followed(self, byte: u16) -> Self {
        match self.repeats() {
            0 => Self::new(self.tag(), 1, byte),
            repeats if byte == self.byte() => Self::new(self.tag(), (repeats + 1).min(REPEATS_MAX), byte),
            repeats if repeats > 2 => Self::new(self.tag(), repeats / 2, self.byte()),
            _ => Self::new(self.tag(), 1, byte),
        }
    }
}

/// Moves odds towards what happened.
fn drift(odds: Option<&mut u16>, happened: bool, slowness: u32) {
    if let Some(odds) = odds {
        *odds = if happened { *odds + (!*odds >> slowness) } else { *odds - (*odds >> slowness) };
    }
}

/// Log odds of a probability that was looked up.
fn log_odds(odds: Option<&u16>) -> i32 {
    stretch(u32::from(odds.copied().unwrap_or(0)).max(1))
}

/// Index of the first of the two cells that `key` may use.
fn pair(cells: &[u16], key: u32) -> usize {
    let pairs = u32::try_from(cells.len() / 2).unwrap_or(0);
    2 * usize::try_from(((key >> 16) * pairs) >> 16).unwrap_or(0)
}

/// The cell of a key: one of a pair. `is_its` recognises it; if both belong to others, the one whose `worth` is less
/// becomes `fresh`.
fn find(
    cells: &mut [u16],
    key: u32,
    fresh: u16,
    is_its: impl Fn(u16) -> bool,
    worth: impl Fn(u16) -> u16,
) -> usize {
    let first = pair(cells, key);
    let Some([a, b]) = cells.get_mut(first..first + 2) else { return first };
    if is_its(*a) {
        first
    } else if is_its(*b) {
        first + 1
    } else if worth(*b) < worth(*a) {
        *b = fresh;
        first + 1
    } else {
        *a = fresh;
        first
    }
}

fn find_history(cells: &mut [u16], key: u32) -> usize {
    let [tag, ..] = key.to_le_bytes();
    let tag = u16::from(tag).max(1);
    find(cells, key, History::new(tag).0, |cell| History(cell).tag() == tag, |cell| History(cell).uses())
}

fn find_run(cells: &mut [u16], key: u32) -> usize {
    let [tag, ..] = key.to_le_bytes();
    let tag = u16::from(tag & 31);
    find(cells, key, Run::new(tag, 0, 0).0, |cell| Run(cell).tag() == tag, |cell| Run(cell).repeats())
}

/// Odds that all histories, and all runs of a context, have in common.
#[derive(Debug)]
pub(crate) struct ByteModel {
    /// Of a one, by the history's counts.
    histories: [u16; 256],
    /// That a run goes on, by its repetitions.
    runs: [[u16; 8]; RUNS],
}

impl ByteModel {
    pub(crate) const fn new() -> Self {
        Self { histories: [0; 256], runs: [[0; 8]; RUNS] }
    }

    /// Forgets everything, in `cells` too.
    pub(crate) fn reset(&mut self, cells: &mut [u16]) {
        cells.fill(0);
        for (counts, odds) in (0u32..).zip(&mut self.histories) {
            let (zeros, ones) = (counts >> 4, counts & 15);
            *odds = u16::try_from((3 * ones + 1) * 65535 / (3 * (zeros + ones) + 2)).unwrap_or(0);
        }
        for runs in &mut self.runs {
            for (repeats, odds) in (0u32..).zip(runs) {
                *odds = u16::try_from((4 * repeats + 1) * 65535 / (4 * repeats + 2)).unwrap_or(0);
            }
        }
    }

    /// Codes a byte, the highest bit first, in several contexts at once.
    pub(crate) fn byte<C: Coder, I: PatchIo>(
        &mut self,
        cells: &mut [u16],
        (weights, set): (&mut Weights, usize),
        wire: &mut Wire<'_, '_, C, I>,
        contexts: &[u32; INPUTS],
        truth: u32,
    ) -> u32 {
        let (run_cells, history_cells) = cells.split_at_mut((cells.len() / RUN_SHARE) & !1);
        let mut run_places = [0; RUNS];
        for ((place, context), salt) in
            run_places.iter_mut().zip(contexts.iter().skip(HISTORIES)).zip(RUN_SALT..)
        {
            *place = find_run(run_cells, hash(*context, salt));
        }
        let runs = run_places.map(|place| Run(run_cells.get(place).copied().unwrap_or(0)));
        let mut node = 1;
        for place in (0..8).rev() {
            let mut inputs = [0; INPUTS];
            let mut places = [0; HISTORIES];
            for ((input, place), context) in inputs.iter_mut().zip(&mut places).zip(contexts) {
                *place = find_history(history_cells, hash(*context, node));
                let counts = History(history_cells.get(*place).copied().unwrap_or(0)).counts();
                *input = if counts == 0 { 0 } else { log_odds(self.histories.get(counts)) };
            }
            for ((input, run), odds) in inputs.iter_mut().skip(HISTORIES).zip(runs).zip(&self.runs) {
                if let Some(expected) = run.expects(node, place) {
                    let surety = log_odds(odds.get(usize::from(run.repeats())));
                    *input = if expected { surety } else { -surety };
                }
            }
            let p = weights.mix(set, &inputs);
            let bit = wire.bit(p, truth >> place & 1 != 0);
            weights.update(set, &inputs, (p, bit), WEIGHT_SLOWNESS);
            for place in places {
                if let Some(cell) = history_cells.get_mut(place) {
                    drift(self.histories.get_mut(History(*cell).counts()), bit, HISTORY_SLOWNESS);
                    *cell = History(*cell).followed(bit).0;
                }
            }
            for (run, odds) in runs.iter().zip(&mut self.runs) {
                if let Some(expected) = run.expects(node, place) {
                    drift(odds.get_mut(usize::from(run.repeats())), expected == bit, RUN_SLOWNESS);
                }
            }
            node = node << 1 | u32::from(bit);
        }
        let [byte, ..] = node.to_le_bytes();
        for place in run_places {
            if let Some(cell) = run_cells.get_mut(place) {
                *cell = Run(*cell).followed(u16::from(byte)).0;
            }
        }
        u32::from(byte)
    }
}
