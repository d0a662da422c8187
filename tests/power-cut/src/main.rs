//! `cargo xtask power-cut`: recovers states until there are enough, and catches every seeded bug.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a command-line tool: standard output is its result")]

use std::process::ExitCode;
use std::time::Instant;

use bulkhead_power_cut::bugs::{self, SeededBug};
use bulkhead_power_cut::claims::Group;
use bulkhead_power_cut::{
    Claim, DIE_PAGE, Exploration, FaultsAre, Limits, claims, explain, explore, narrow, wander,
};
use bulkhead_update_engine::Sound;

const USAGE: &str = "usage: power-cut [--states N] [--seed S], or power-cut --replay ID [--bug NAME]";
/// States of a full run; with fewer it is a sample.
const STATES: u64 = 1_000_000;
const SEED: u64 = 1;
/// Mixtures of torn cells that are tried besides the plain readings, for each state.
const MIXTURES: u32 = 4;
/// Recovered states that one claim of the random walks takes in a turn.
const TURN: u64 = 20_000;

/// Most cuts in a row that a claim explores exhaustively.
const CUTS_MAX: usize = 3;

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

/// What was explored of one group of claims, by the cuts in a row.
#[derive(Default)]
struct Coverage {
    all: [u32; CUTS_MAX],
    stopped: Vec<&'static str>,
    states: u64,
}

fn prove(states: u64, seed: u64) -> bool {
    let begun = Instant::now();
    let caught = catch_all();
    let mut total = Exploration::default();
    // A full run explores every claim to its end. A sample takes half its states there, a quarter on real sizes.
    let full = states >= STATES;
    let share = |of: u64, claims: usize| if full { u64::MAX } else { states / of / claims as u64 };
    let groups = claims::groups();
    let claims = groups.iter().map(|group| group.claims.len()).sum();
    let real = Group { name: "real geometry", claims: claims::real() };
    let mut table = Vec::new();
    for group in groups.iter().chain([&real]) {
        let boots = if group.name == real.name { share(4, real.claims.len()) } else { share(2, claims) };
        table.push((group.name, explore_group(&mut total, group, boots)));
    }
    println!("\nrandom walks, seed {seed}:");
    let until = states.max(total.boots + states / 4);
    wander_all(&mut total, until, seed);
    tell_coverage(&table);
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

fn explore_group(total: &mut Exploration, group: &Group, boots: u64) -> Coverage {
    println!("\n{}, each distinct state:", group.name);
    let mut coverage = Coverage::default();
    for claim in &group.claims {
        let before = total.boots;
        let stopped = run(total, claim, |limits| explore::<Sound>(claim, limits), boots);
        coverage.states += total.boots - before;
        match coverage.all.get_mut((claim.depth as usize).saturating_sub(1)) {
            Some(all) if !stopped => *all += 1,
            _ => coverage.stopped.push(claim.name),
        }
    }
    coverage
}

fn wander_all(total: &mut Exploration, states: u64, seed: u64) {
    let random = [claims::random(), vec![narrow::random_turning()]].concat();
    for turn in 0.. {
        if total.boots >= states {
            return;
        }
        for claim in &random {
            // Pages of real size are slow: they get one turn in ten.
            let slow = claim.start.shape.die_page > DIE_PAGE;
            let boots = if slow { TURN / 10 } else { TURN }.min(states.saturating_sub(total.boots));
            run(total, claim, |limits| wander::<Sound>(claim, limits, seed ^ turn << 32), boots);
        }
    }
}

/// Claims whose every state was booted from, by the cuts in a row; and those that were sampled.
fn tell_coverage(table: &[(&str, Coverage)]) {
    println!("\ncoverage: claims explored to the last state, by the number of cuts in a row");
    println!("{:<20} {:>8} {:>8} {:>8} {:>12}  up to its share", "", "1 cut", "2 cuts", "3 cuts", "states");
    for (name, Coverage { all: [one, two, three], stopped, states }) in table {
        let stopped = if stopped.is_empty() { "-".to_owned() } else { stopped.join(", ") };
        println!("{name:<20} {one:>8} {two:>8} {three:>8} {states:>12}  {stopped}");
    }
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

/// Whether it stopped before everything was tried.
fn run(
    total: &mut Exploration,
    claim: &Claim<'_>,
    work: impl FnOnce(Limits) -> Exploration,
    boots: u64,
) -> bool {
    if boots == 0 {
        return true;
    }
    let begun = Instant::now();
    let (cuts, faults_are) = (claim.depth, FaultsAre::Everything);
    let seen = work(Limits { cuts, mixtures: MIXTURES, faults: 5, faults_are, boots });
    let how = match (claim.name.starts_with("random"), seen.stopped) {
        (true, _) => "random depth".to_owned(),
        (false, true) => format!("{cuts} cuts, up to its share"),
        (false, false) => format!("{cuts} cuts, all"),
    };
    println!("  {}: {how}, {seen}, {:.1} s", claim.name, begun.elapsed().as_secs_f32());
    for fault in &seen.faults {
        println!("    {fault}");
    }
    let stopped = seen.stopped;
    total.add(seen);
    stopped
}
