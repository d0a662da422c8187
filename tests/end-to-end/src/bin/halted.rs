//! `cargo xtask halted`: holds an application for ten minutes and looks what goes on.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a command-line tool: standard output is its result")]

use anyhow::{Context, Result};
use bulkhead_end_to_end::halted::hold;

fn main() -> Result<()> {
    let seconds = match std::env::args().nth(1) {
        None => 600,
        Some(text) => text.parse().with_context(|| format!("`{text}` is no number of seconds"))?,
    };
    let held = hold(seconds)?;
    println!(
        "halted: held_s={} ticks={} check_ins={} next_tick_us={} link=same update=staged",
        held.held.as_secs(),
        held.ticks,
        held.check_ins,
        held.next_tick_us
    );
    Ok(())
}
