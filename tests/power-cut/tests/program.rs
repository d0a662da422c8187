//! The program behind `cargo xtask power-cut`, at a size that fits.

#![expect(clippy::expect_used, reason = "a test suite")]

use std::process::{Command, Output};

use bulkhead_power_cut::bugs;

fn power_cut(arguments: &[&str]) -> (Output, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_bulkhead-power-cut")).args(arguments).output().expect("it starts");
    let text = String::from_utf8(output.stdout.clone()).expect("it prints text");
    (output, text)
}

#[test]
fn the_last_line_counts_states_unsafe_starts_bricks_and_seeded_bugs() {
    let (output, text) = power_cut(&["--states", "4000", "--seed", "9"]);
    assert!(output.status.success(), "{text}");
    let last = text.lines().last().unwrap();
    let all = bugs::ALL.len();
    let counts = last.strip_prefix("power-cut: states=").unwrap();
    let (states, rest) = counts.split_once(' ').unwrap();
    assert!(states.parse::<u64>().unwrap() >= 4000, "{last}");
    assert!(rest.ends_with(&format!("unsafe=0 bricks=0 seeded={all}/{all}")), "{last}");
    // Each catch was replayed by the program itself; a sample is told to a person.
    for bug in bugs::ALL.into_iter().step_by(5) {
        let line =
            text.lines().find(|line| line.trim_start().starts_with(&format!("{}: ", bug.name))).unwrap();
        let id = line.split("replay id ").nth(1).unwrap();
        let (told, story) = power_cut(&["--replay", id, "--bug", bug.name]);
        assert!(!told.status.success() && story.contains("WRONG: "), "{id}: {story}");
        assert!(power_cut(&["--replay", id]).0.status.success(), "a sound engine survives {id}");
    }
}

#[test]
fn words_that_mean_nothing_are_refused_with_what_would() {
    for (arguments, says) in [
        (&["--states", "many"][..], "wants a number"),
        (&["--cuts", "3"], "usage: "),
        (&["--states"], "wants a value"),
        (&["--replay", "nothing:-"], "no claim is called `nothing`"),
        (&["--replay", "apply:-", "--bug", "none"], "no bug is called `none`"),
        (&["--replay", "apply:-^q"], "no replay id"),
    ] {
        let (output, _) = power_cut(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(says), "{arguments:?}: {error}");
    }
}
