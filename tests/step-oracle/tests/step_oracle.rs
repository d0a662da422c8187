//! The product steps as the processor does.

use bulkhead_step_oracle::run::{Extent, run};
use bulkhead_step_oracle::stack::Bed;

/// What fits into a minute. `cargo xtask step-oracle` does more.
const EXTENT: Extent = Extent { programs: 6, bench_programs: 40, seed: 1 };

#[test]
fn every_step_ends_where_the_processor_says_and_every_seeded_mistake_is_found() {
    let bed = Bed::start().unwrap();
    let tally = run(&bed, EXTENT, &mut |text| println!("{text}")).unwrap();
    println!("{}", tally.line());
    assert!(tally.differences.is_empty(), "{}", tally.differences.join("\n"));
    assert!(tally.steps > 5000, "{}", tally.line());
    assert_eq!(tally.seeded.0, tally.seeded.1, "a seeded mistake was not found: {}", tally.line());
}
