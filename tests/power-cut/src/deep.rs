//! Claims about devices so small that three cuts in a row can be tried.

use crate::claim::Claim;
use crate::claims::{going_back, offline_claim};
use crate::device::{Device, Health, Server};
use crate::frames::{begun, destroy, half_way, impatient, on_trial, patched_code, ready, small};

type Made = Claim<'static>;

/// Staging, apply, trial, revert, a race, and a journal that wraps, each with every three cuts in a row.
pub(crate) fn all() -> Vec<Made> {
    [one_page(), two_pages(), racing()].concat().into_iter().map(|claim| Made { depth: 3, ..claim }).collect()
}

/// From one page of code to a page of code and one of constants.
fn one_page() -> Vec<Made> {
    let (page, one) = (small(0), small(1));
    vec![
        offline_claim("deep-begun", begun(page, one), &[page, one]),
        Claim::new("deep-apply", ready(page, one), &[page, one]),
        going_back("deep-revert", on_trial(page, one), page, one),
        Claim::new("deep-trial", on_trial(page, one), &[page, one]),
        Claim::new("deep-first", Device::blank(), &[page]),
    ]
}

/// Both pages differ.
fn two_pages() -> Vec<Made> {
    let (one, two) = (small(1), small(2));
    let either = Some(vec![one.digest, two.digest]);
    let mut lost = half_way(one, two, 9);
    destroy(&mut lost, 1);
    vec![
        Made {
            allow_apply: false,
            ends_in: vec![one.digest],
            ..Claim::new("deep-staging", Device::with(one), &[one, two])
        },
        Made {
            allow_apply: false,
            ends_in: vec![small(0).digest],
            ..Claim::new("deep-patches", Device::with(small(0)), &[small(0), patched_code()])
        },
        Made { offline_ends_in: either, ..Claim::new("deep-update", ready(one, two), &[one, two]) },
        going_back("deep-back", on_trial(one, two), one, two),
        Made { ends_in: vec![one.digest], may_revert: true, ..offline_claim("deep-turn", lost, &[one, two]) },
        Made {
            ends_in: vec![small(0).digest],
            may_revert: true,
            health: Health::Resets,
            sessions: 6,
            ..offline_claim("deep-resets", on_trial(small(0), impatient()), &[small(0), impatient()])
        },
    ]
}

/// Another update overtakes the first, or follows it.
fn racing() -> Vec<Made> {
    let (one, two, three) = (small(1), small(2), small(3));
    let row: &'static [_] = Box::leak(vec![two, three].into_boxed_slice());
    let known = [one, two, three];
    let any = Some(vec![one.digest, two.digest, three.digest]);
    vec![
        Made { offline_ends_in: any.clone(), ..Claim::new("deep-overtake", ready(one, two), &known) },
        Made { offline_ends_in: any, ..Claim::new("deep-race", half_way(one, two, 9), &known) },
        Claim::new("deep-overtaken-trial", on_trial(one, two), &known),
        // Two updates write more records than the journal has pages: it wraps.
        Made { servers: vec![Server::OffersInTurn(row)], ..Claim::new("deep-row", ready(one, two), &known) },
    ]
}
