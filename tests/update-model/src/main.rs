//! Searches the model: `cargo run --release -p bulkhead-update-model [CUTS]`.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a command-line tool: standard output is its result")]

use std::process::ExitCode;

use bulkhead_update_model::{Rules, Search, search};

const CUTS: u32 = 4;

fn main() -> ExitCode {
    let cuts = match std::env::args().nth(1).map(|word| word.parse::<u32>()) {
        None => CUTS,
        Some(Ok(cuts)) => cuts,
        Some(Err(_)) => {
            eprintln!("error: expected the number of power cuts in a row or nothing");
            return ExitCode::FAILURE;
        }
    };
    let mut all_well = true;
    for rule in 1..=8 {
        let found = search(Search { rules: Rules::without(rule), cuts, rot: rule == 6 });
        println!("without R{rule}: {found}");
    }
    for (name, rot) in [("all rules", false), ("all rules, and pages that rot", true)] {
        let found = search(Search { rules: Rules::SOUND, cuts: if rot { cuts.min(2) } else { cuts }, rot });
        for level in &found.levels {
            println!(
                "  after {} cuts: {} states, {} power sessions",
                level.cuts, level.states, level.sessions
            );
        }
        println!("{name}: {found}");
        all_well &= found.fault.is_none();
    }
    if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
