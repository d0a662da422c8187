//! `cargo xtask step-oracle`: steps programs twice and compares.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a command-line tool: standard output is its result")]

use anyhow::{Context, Result, bail};
use bulkhead_step_oracle::run::{Extent, run};
use bulkhead_step_oracle::stack::Bed;

const USAGE: &str = "\
cargo xtask step-oracle [--programs N] [--bench N] [--seed S]
  --programs N   generated programs through the whole product, each without and with interrupts (20)
  --bench N      generated programs with the agent alone in front of the processor (200)
  --seed S       seed of the first program (1)";

fn main() -> Result<()> {
    let extent = read(&std::env::args().skip(1).collect::<Vec<_>>())?;
    let bed = Bed::start()?;
    let tally = run(&bed, extent, &mut |text| println!("{text}"))?;
    for difference in &tally.differences {
        println!("\n{difference}");
    }
    println!("{}", tally.line());
    if !tally.differences.is_empty() || tally.seeded.0 < tally.seeded.1 {
        bail!("the product does not step as the processor does, or the oracle missed a mistake");
    }
    Ok(())
}

fn read(arguments: &[String]) -> Result<Extent> {
    let mut extent = Extent { programs: 20, bench_programs: 200, seed: 1 };
    for pair in arguments.chunks(2) {
        let [name, number] = pair else { bail!("an option takes a number\n{USAGE}") };
        let number = number.parse().with_context(|| format!("`{number}` is no number\n{USAGE}"))?;
        match name.as_str() {
            "--programs" => extent.programs = number,
            "--bench" => extent.bench_programs = number,
            "--seed" => extent.seed = number,
            other => bail!("no such option: `{other}`\n{USAGE}"),
        }
    }
    // Asked for one kind alone, the other is left out.
    let named = |name: &str| arguments.iter().any(|argument| argument == name);
    match (named("--programs"), named("--bench")) {
        (true, false) => extent.bench_programs = 0,
        (false, true) => extent.programs = 0,
        _ => {}
    }
    Ok(extent)
}
