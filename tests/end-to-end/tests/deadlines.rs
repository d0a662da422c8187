//! The application keeps its deadlines while the hypervisor works. Time counts instructions here: the figures are those of the
//! device, whatever else this machine does.

use bulkhead_end_to_end::deadline::{Bench, alone, cost};

/// What the product before promised for a few chosen interrupts, 20 us, is 3,200 instructions.
const LATE_AT_MOST: u64 = 2_000;

#[test]
fn no_interrupt_is_late_by_two_thousand_instructions_while_an_update_is_staged() {
    let mut bench = Bench::start().unwrap();
    let alone = alone(&bench.windows('i', 1).unwrap()).unwrap();
    let staging = cost(&bench.staging().unwrap(), alone);
    println!("{staging:?}");
    assert!(staging.samples > 1_000, "{staging:?}");
    assert!(staging.worst < LATE_AT_MOST, "{staging:?}");
    assert!(staging.cpu_left > 90.0 && staging.cpu_left <= 100.0, "{staging:?}");
}
