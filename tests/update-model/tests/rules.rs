//! The rules R1 to R8 of `docs/spec/update.md`, together and with one missing.

use bulkhead_update_model::{Found, Rules, Search, search};

/// Power cuts in a row; `cargo run --release -p bulkhead-update-model 3` goes further.
const CUTS: u32 = 2;

fn found(rules: Rules, rot: bool) -> Found {
    search(Search { rules, cuts: CUTS, rot })
}

#[test]
fn with_all_rules_no_cut_leads_to_an_unsafe_start_or_loses_an_apply() {
    for rot in [false, true] {
        let found = found(Rules::SOUND, rot);
        println!("{found}");
        assert!(found.fault.is_none(), "{found}");
        let states: usize = found.levels.iter().map(|level| level.states).sum();
        assert!(states > 10_000, "{found}");
    }
}

/// Without R4 it takes four cuts, which is minutes; what R5 adds to R4 was not seen: `docs/spec/update.md`.
#[test]
fn without_any_one_of_six_rules_some_cut_does() {
    for rule in [1, 2, 3, 6, 7, 8] {
        let found = found(Rules::without(rule), rule == 6);
        println!("without R{rule}: {found}");
        assert!(found.fault.is_some(), "without R{rule}: {found}");
    }
}
