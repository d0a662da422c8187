//! A held application stands still, and everything else goes on.

use std::time::Duration;

use bulkhead_end_to_end::halted::hold;

/// What fits here. `cargo xtask halted` holds it for ten minutes.
const SECONDS: u64 = 20;

#[test]
fn a_held_application_takes_no_tick_and_its_device_stays_online_and_stages_an_update() {
    let held = hold(SECONDS).unwrap();
    println!("{held:?}");
    assert_eq!(held.ticks, 0);
    // The emulated clock lags behind on a busy machine.
    assert!(held.held >= Duration::from_secs(SECONDS / 2), "{held:?}");
}
