//! The demo, as a test: every claim of it is checked by the same code that tells it.

use bulkhead_end_to_end::scenes;
use bulkhead_end_to_end::story::Story;

#[test]
fn the_whole_loop_holds_isolation_updates_power_cuts_and_crimes() {
    let mut story = Story::default();
    let played = scenes::play(&mut story);
    assert!(played.is_ok(), "{:#}", played.err().unwrap());
    assert!(story.claims() >= 14, "only {} claims were checked", story.claims());
}
