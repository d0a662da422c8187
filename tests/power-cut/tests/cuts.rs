//! Every claim of [`bulkhead_power_cut::claims`], explored to its depth. `program.rs` sees that seeded bugs are caught.
//!
//! `cargo xtask power-cut` goes further. Each fault prints a replay id; `cargo xtask power-cut --replay ID` tells the
//! story of that run.

use std::time::Instant;

use bulkhead_power_cut::{Limits, claims, explore, replay, wander};
use bulkhead_update_engine::Sound;

/// Recovered states of one claim in this suite; the whole of each takes `cargo xtask power-cut`.
const BOOTS: u64 = 3_500;

#[test]
fn i1_no_cut_in_any_claim_leads_to_an_unsafe_start_or_a_brick() {
    let mut recovered = 0;
    for claim in claims::all() {
        let begun = Instant::now();
        let limits = Limits { cuts: claim.depth, mixtures: 2, boots: BOOTS, ..Limits::TWO_CUTS };
        let seen = explore::<Sound>(&claim, limits);
        println!("{}: {seen}, {:.1} s", claim.name, begun.elapsed().as_secs_f32());
        assert!(seen.faults.is_empty(), "{}: {}", claim.name, seen.faults[0]);
        assert!(seen.boots > 10, "{}: nothing was explored", claim.name);
        assert_eq!((seen.unsafe_starts, seen.bricks), (0, 0), "{}", claim.name);
        recovered += seen.boots;
    }
    assert!(recovered > 100_000, "{recovered}");
}

#[test]
fn i1_no_random_walk_leads_to_an_unsafe_start_or_a_brick() {
    for claim in claims::random() {
        let limits = Limits { boots: 1_500, ..Limits::TWO_CUTS };
        let seen = wander::<Sound>(&claim, limits, 7);
        println!("{}: {seen}", claim.name);
        assert!(seen.faults.is_empty(), "{}: {}", claim.name, seen.faults[0]);
        assert!(seen.boots >= limits.boots);
    }
}

/// Each cut tears the first unit of a second copy, which proves the record at one boot and not at the next. Found by
/// `tests/update-model`.
#[test]
fn i3_as_many_cuts_in_a_row_as_the_journal_has_pages_do_not_lose_an_apply() {
    let claim = claims::named("begun").expect("there is such a claim");
    for id in ["begun:-.2i0/u.2i0/uu.2i0/uuu.2i0/eeee", "begun:-.2i0/u.2i0/uu.2i0/uu.2i0/eee"] {
        assert_eq!(replay::<Sound>(&claim, id), Ok(None), "{id}");
    }
}

#[test]
fn a_replay_id_that_does_not_belong_to_the_claim_is_an_error() {
    let claim = claims::named("apply").expect("there is such a claim");
    for id in ["apply", "other:-", "apply:x", "apply:-.5q/-", ""] {
        assert!(replay::<Sound>(&claim, id).is_err(), "{id}");
    }
}
