//! One number out of many ratios.

use crate::pairs::{Change, Processor};

/// Ours beside the best peer on one pair.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ratio {
    pub(crate) processor: Processor,
    pub(crate) change: Change,
    pub(crate) value: f64,
}

/// What the last line says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Score {
    /// Geometric mean over the Cortex-M pairs.
    pub(crate) geomean: f64,
    /// The same over those with large changes.
    pub(crate) large: f64,
    /// The worst of all pairs, controls included.
    pub(crate) worst: f64,
}

impl Score {
    pub(crate) fn of(ratios: &[Ratio]) -> Self {
        let cortex_m = ratios.iter().filter(|ratio| ratio.processor == Processor::CortexM);
        let large = cortex_m.clone().filter(|ratio| ratio.change == Change::Large);
        Self {
            geomean: geometric_mean(cortex_m.map(|ratio| ratio.value)),
            large: geometric_mean(large.map(|ratio| ratio.value)),
            worst: ratios.iter().map(|ratio| ratio.value).fold(0.0, f64::max),
        }
    }
}

/// NaN of nothing.
fn geometric_mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value.ln(), count + 1));
    (sum / f64::from(count)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_count_for_the_worst_alone() {
        let ratio = |processor, change, value| Ratio { processor, change, value };
        let score = Score::of(&[
            ratio(Processor::CortexM, Change::Small, 0.125),
            ratio(Processor::CortexM, Change::Large, 0.5),
            ratio(Processor::Control, Change::Large, 1.5),
        ]);
        assert!((score.geomean - 0.25).abs() < 1e-12, "the root of 0.125 * 0.5");
        assert!((score.large - 0.5).abs() < 1e-12);
        assert!((score.worst - 1.5).abs() < 1e-12);
    }
}
