//! `cargo xtask power-cut`: recovers states until there are enough, and catches every seeded bug.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a command-line tool: standard output is its result")]

use std::process::ExitCode;
use std::time::Instant;

use bulkhead_power_cut::bugs::{self, SeededBug};
use bulkhead_power_cut::{
    Claim, DIE_PAGE, Exploration, FaultsAre, Limits, claims, explain, explore, narrow, wander,
};
use bulkhead_update_engine::Sound;

const USAGE: &str = "usage: power-cut [--states N] [--seed S], or power-cut --replay ID [--bug NAME]";
const STATES: u64 = 1_000_000;
const SEED: u64 = 1;
/// Mixtures of torn cells that are tried besides the plain readings, for each state.
const MIXTURES: u32 = 4;
/// Recovered states that one claim of the random walks takes in a turn.
const TURN: u64 = 20_000;

struct Arguments {
    states: u64,
    seed: u64,
    replay: Option<String>,
    bug: Option<String>,
}

fn parse() -> Result<Arguments, String> {
    let mut parsed = Arguments { states: STATES, seed: SEED, replay: None, bug: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} wants a value; {USAGE}"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{word} wants a number, not `{value}`"));
        match word.as_str() {
            "--states" => parsed.states = number()?,
            "--seed" => parsed.seed = number()?,
            "--replay" => parsed.replay = Some(value),
            "--bug" => parsed.bug = Some(value),
            _ => return Err(format!("no such option: `{word}`; {USAGE}")),
        }
    }
    Ok(parsed)
}

fn main() -> ExitCode {
    let done = parse().and_then(|arguments| match &arguments.replay {
        Some(id) => tell(id, arguments.bug.as_deref()),
        None => Ok(prove(arguments.states, arguments.seed)),
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Explains one run; true if nothing is wrong with it.
fn tell(id: &str, bug: Option<&str>) -> Result<bool, String> {
    let name = id.split(':').next().unwrap_or_default();
    let claim = claims::named(name).ok_or_else(|| format!("no claim is called `{name}`"))?;
    let story = match bug {
        None => explain::<Sound>(&claim, id)?,
        Some(bug) => seeded(bug)?.explain(&claim, id)?,
    };
    for line in &story {
        println!("{line}");
    }
    Ok(!story.last().is_some_and(|line| line.starts_with("WRONG")))
}

fn seeded(name: &str) -> Result<SeededBug, String> {
    let found = bugs::ALL.into_iter().find(|bug| bug.name == name);
    found.ok_or_else(|| {
        let names: Vec<_> = bugs::ALL.iter().map(|bug| bug.name).collect();
        format!("no bug is called `{name}`: there are {}", names.join(", "))
    })
}

fn prove(states: u64, seed: u64) -> bool {
    let begun = Instant::now();
    let caught = catch_all();
    let mut total = Exploration::default();
    let small = claims::all();
    // A small run leaves a part for the real geometry and for random walks; a large one needs no such limit.
    let share = (states / 2 / small.len() as u64).max(states.saturating_sub(states / 4) / 8);
    println!("\nsmall geometry, exhaustively:");
    for claim in &small {
        let boots = share.min(states.saturating_sub(total.boots));
        run(&mut total, claim, |limits| explore::<Sound>(claim, limits), boots);
    }
    println!("\nreal geometry, each distinct state:");
    for claim in &claims::real() {
        let boots = (states / 20).min(states.saturating_sub(total.boots));
        run(&mut total, claim, |limits| explore::<Sound>(claim, limits), boots);
    }
    println!("\nrandom walks, seed {seed}:");
    let random = [claims::random(), vec![narrow::random_turning()]].concat();
    for turn in 0.. {
        if total.boots >= states {
            break;
        }
        for claim in &random {
            // Pages of real size are slow: they get one turn in ten.
            let slow = claim.start.shape.die_page > DIE_PAGE;
            let boots = if slow { TURN / 10 } else { TURN }.min(states.saturating_sub(total.boots));
            run(&mut total, claim, |limits| wander::<Sound>(claim, limits, seed ^ turn << 32), boots);
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("\n{:.0} s, {:.0} states a second", seconds, (total.boots as f64) / seconds);
    let Exploration { boots, states, unsafe_starts, bricks, faults, .. } = &total;
    for fault in faults {
        println!("FAULT: {fault}");
    }
    let all = bugs::ALL.len();
    println!(
        "power-cut: states={boots} distinct={states} unsafe={unsafe_starts} bricks={bricks} seeded={caught}/{all}"
    );
    *unsafe_starts == 0 && *bricks == 0 && faults.is_empty() && caught == all
}

fn catch_all() -> usize {
    println!("seeded bugs:");
    let mut caught = 0;
    for bug in bugs::ALL {
        match bug.catch(Limits::TWO_CUTS) {
            Ok(found) => {
                caught += 1;
                println!(
                    "  {}: {} after {} states, replay id {}",
                    bug.name, found.what, found.states, found.id
                );
            }
            Err(error) => println!("  {}: MISSED: {error}", bug.name),
        }
    }
    caught
}

fn run(total: &mut Exploration, claim: &Claim<'_>, work: impl FnOnce(Limits) -> Exploration, boots: u64) {
    if boots == 0 {
        return;
    }
    let begun = Instant::now();
    let (cuts, faults_are) = (claim.depth, FaultsAre::Everything);
    let seen = work(Limits { cuts, mixtures: MIXTURES, faults: 5, faults_are, boots });
    let how = if seen.stopped { "up to its share" } else { "all" };
    println!("  {}: {how}, {cuts} cuts, {seen}, {:.1} s", claim.name, begun.elapsed().as_secs_f32());
    for fault in &seen.faults {
        println!("    {fault}");
    }
    total.add(seen);
}
