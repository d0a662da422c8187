//! A whole run: compiled functions, generated programs, seeded mistakes.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::bench::Bench;
use crate::compare::{Subject, follow, trace};
use crate::direct::Direct;
use crate::job::Job;
use crate::machine::{Machine, Program};
use crate::mistakes::Mistake;
use crate::stack::{Bed, Stack};

/// Programs that a mistake has to be found in.
const PROGRAMS_FOR_A_MISTAKE: u64 = 60;
/// Arguments of each compiled function.
const ARGUMENTS: &[u32] = &[3, 0x1234_5679];

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Generated programs on the whole stack.
    pub programs: u64,
    /// Generated programs on the bench.
    pub bench_programs: u64,
    /// Seed of the first; each further one has the next.
    pub seed: u64,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Jobs.
    pub programs: usize,
    /// Instructions whose registers were equal.
    pub steps: usize,
    /// Where they were not.
    pub differences: Vec<String>,
    /// Mistakes that were found, of how many.
    pub seeded: (usize, usize),
}

impl Tally {
    /// The line that ends a run.
    pub fn line(&self) -> String {
        format!(
            "step-oracle: programs={} steps={} differences={} seeded={}/{}",
            self.programs,
            self.steps,
            self.differences.len(),
            self.seeded.0,
            self.seeded.1
        )
    }

    fn add(
        &mut self,
        subject: &mut dyn Subject,
        machine: &mut Machine,
        job: &Job,
        replay: &str,
    ) -> Result<()> {
        let expected = trace(machine, job)?;
        let outcome = follow(subject, job, &expected)?;
        self.programs += 1;
        self.steps += outcome.steps;
        if let Some(difference) = outcome.difference {
            let text = format!("{difference}replay: {replay}");
            // At once: who waits for the end of a long run may be waiting for long.
            eprintln!("{text}");
            self.differences.push(text);
        }
        Ok(())
    }
}

fn replay(seed: u64, place: &str) -> String {
    format!("cargo xtask step-oracle --{place} 1 --seed {seed}")
}

fn jobs(program: &Program) -> Result<Vec<Job>> {
    let mut jobs = Vec::new();
    for name in program.workloads() {
        for argument in ARGUMENTS {
            jobs.push(Job::compiled(&name, *argument, program)?);
        }
    }
    if jobs.is_empty() {
        bail!("the application has no workloads");
    }
    Ok(jobs)
}

/// A machine on a copy of a device's memory, made anew at each call.
fn starter(bed: &Bed, name: &str) -> Box<dyn Fn() -> Result<Machine>> {
    let (image, memory): (PathBuf, PathBuf) = (bed.image().into(), bed.copy("memory"));
    let (copy, program) = (bed.copy(name), bed.program.clone());
    Box::new(move || Machine::start(&image, &memory, &copy, &program))
}

/// Runs everything, saying `say` what is under way.
///
/// # Errors
/// Something did not start or does not answer. Differences are no error: they are in the tally.
pub fn run(bed: &Bed, extent: Extent, say: &mut dyn FnMut(&str)) -> Result<Tally> {
    // Taken at once: the device goes on writing to its own.
    snapshot(&bed.device.memory, &bed.copy("memory"))?;
    let mut machine = starter(bed, "reference")()?;
    let mut tally = Tally::default();
    let seeds = |count: u64| extent.seed..extent.seed.saturating_add(count);

    let started = Instant::now();
    let mut bench = Bench::new(starter(bed, "bench"), &bed.program)?;
    for job in jobs(&bed.program)? {
        tally.add(&mut bench, &mut machine, &job, "cargo xtask step-oracle")?;
    }
    for seed in seeds(extent.bench_programs) {
        let job = Job::generated(seed, false, &bed.program)?;
        tally.add(&mut bench, &mut machine, &job, &replay(seed, "bench"))?;
    }
    say(&format!("bench: {} steps, {:.1} s", tally.steps, started.elapsed().as_secs_f32()));
    if tally.differences.is_empty() {
        mistakes(&mut bench, &mut machine, bed, extent.seed, &mut tally, say)?;
    }
    drop(bench);

    let (started, before) = (Instant::now(), tally.steps);
    let mut stack = Stack::attach(bed).context("attaching through the product")?;
    for job in jobs(&bed.program)? {
        tally.add(&mut stack, &mut machine, &job, "cargo xtask step-oracle")?;
    }
    for seed in seeds(extent.programs) {
        let job = Job::generated(seed, false, &bed.program)?;
        tally.add(&mut stack, &mut machine, &job, &replay(seed, "programs"))?;
    }
    let took = started.elapsed().as_secs_f32();
    say(&format!("through GDB's protocol: {} steps, {took:.1} s", tally.steps - before));
    drop(stack);

    let (started, before) = (Instant::now(), tally.steps);
    let mut direct = Direct::open(bed).context("opening a session with interrupts")?;
    for seed in seeds(extent.programs) {
        let job = Job::generated(seed, true, &bed.program)?;
        tally.add(&mut direct, &mut machine, &job, &replay(seed, "programs"))?;
    }
    let took = started.elapsed().as_secs_f32();
    say(&format!("with interrupts: {} steps, {took:.1} s", tally.steps - before));
    Ok(tally)
}

fn mistakes(
    bench: &mut Bench,
    machine: &mut Machine,
    bed: &Bed,
    seed: u64,
    tally: &mut Tally,
    say: &mut dyn FnMut(&str),
) -> Result<()> {
    for mistake in Mistake::ALL {
        bench.seed(Some(*mistake));
        tally.seeded.1 += 1;
        let mut found = None;
        for seed in seed..seed.saturating_add(PROGRAMS_FOR_A_MISTAKE) {
            let job = Job::generated(seed, false, &bed.program)?;
            let expected = trace(machine, &job)?;
            if let Some(difference) = follow(bench, &job, &expected)?.difference {
                found = Some(difference);
                break;
            }
        }
        match found {
            Some(difference) => {
                tally.seeded.0 += 1;
                let text = difference.to_string();
                say(&format!("{mistake:?} was found: {}", text.lines().next().unwrap_or_default()));
            }
            None => say(&format!("{mistake:?} WAS NOT FOUND in {PROGRAMS_FOR_A_MISTAKE} programs")),
        }
    }
    bench.seed(None);
    Ok(())
}

/// A copy of a device's memory while the device runs: the application's part of it stands still.
fn snapshot(memory: &Path, copy: &Path) -> Result<()> {
    std::fs::copy(memory, copy).map(drop).context("failed to copy a device's memory")
}
