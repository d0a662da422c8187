//! `cargo xtask soak update --kills N`: SIGKILLs at random moments of updates, then looks what is left.
//!
//! The application is updated from version 1 to 2 and back for as long as there are kills left. A round aims its kills
//! at one moment: staging, the apply, the trial, or the way back from a trial that its owner ended. A kill comes at a
//! random page or time in it, sometimes while the device still recovers from the kill before. After each the device has
//! to come online by itself, and after each round it has to run exactly the version that is right, whole.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a command-line tool: standard output is its result")]

use std::fmt;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bulkhead_cloud_api::{Device as Seen, Timestamp, UpdateStage};
use bulkhead_end_to_end::device::Device;
use bulkhead_end_to_end::flash::{Image, Memory};
use bulkhead_end_to_end::fleet::{Fleet, UPDATED_WITHIN, describe, runs};
use bulkhead_end_to_end::owner::Bundle;

/// Most kills of one round; a trial survives so many power sessions without being confirmed.
const KILLS_PER_ROUND_MAX: u64 = 2;
/// Of so many kills one is followed by another before the device is back online.
const NESTED_ONE_IN: u64 = 4;
/// Longest time from power to a nested kill, in milliseconds: about the time to boot and connect.
const NESTED_WITHIN_MS: u64 = 400;
/// Longest random delay behind a page, in microseconds: about the time of two pages.
const PAGE_DELAY_US_MAX: u64 = 2_000;
/// Longest time from the order to a kill that is aimed at staging, in milliseconds.
const STAGING_WITHIN_MS: u64 = 800;
/// Window of the trials at which kills are aimed, in seconds.
const TRIAL_WINDOW_S: u64 = 3;
/// Window of the trials that their owner ends, in seconds: none ends by itself.
const ENDLESS_S: u64 = 600;
/// Longest time of one apply, as seen from outside.
const APPLY_WITHIN: Duration = Duration::from_secs(90);

/// Starts in which a trial has to be confirmed.
const TRIAL_STARTS: u32 = 3;

/// What a round's kills are aimed at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Moment {
    Staging,
    Apply,
    Trial,
    Revert,
}

impl Moment {
    const ALL: [Self; 4] = [Self::Staging, Self::Apply, Self::Trial, Self::Revert];
}

/// Kills, by where they were found to have hit.
#[derive(Debug, Default)]
struct Outcome {
    kills: u32,
    before_pages: u32,
    inside_pages: u32,
    after_pages: u32,
    aimed: [u32; 4],
    bricks: u32,
    offline: u32,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (moment, count) in Moment::ALL.iter().zip(self.aimed) {
            write!(f, "{moment:?} {count}, ")?;
        }
        write!(
            f,
            "{} before the first page was written, {} between pages, {} after the last",
            self.before_pages, self.inside_pages, self.after_pages
        )
    }
}

/// xorshift64*: reproducible from the printed seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % limit.max(1)
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(outcome) => {
            println!("kills aimed at: {outcome}");
            println!("soak: kills={} bricks={} offline={}", outcome.kills, outcome.bricks, outcome.offline);
            let sound = outcome.bricks == 0 && outcome.offline == 0;
            if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            println!("soak: failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<Outcome> {
    let kills = u32::try_from(option("--kills", 50)?)?;
    let seed = match std::env::args().any(|word| word == "--seed") {
        true => option("--seed", 1)?,
        false => u64::try_from(Timestamp::now().0).unwrap_or(1) | 1,
    };
    println!("soak: {kills} kills, --seed {seed}");
    let mut soak = Soak::start(seed)?;
    for round in 1_u32.. {
        if soak.outcome.kills >= kills {
            break;
        }
        if let Err(error) = soak.round(round, kills) {
            println!("{}", soak.device.console_tail());
            let Outcome { kills, bricks, offline, .. } = soak.outcome;
            return Err(error.context(format!("after {kills} kills: bricks={bricks} offline={offline}")));
        }
    }
    Ok(soak.outcome)
}

struct Soak {
    random: Random,
    fleet: Fleet,
    device: Device,
    memory: Memory,
    /// Versions 1 and 2 of the application.
    images: [Image; 2],
    /// Pages in which they differ.
    pages: Vec<usize>,
    /// What the device ran when the round began, and which of the images that is.
    previous: Bundle,
    is_second: bool,
    outcome: Outcome,
}

impl Soak {
    fn start(seed: u64) -> Result<Self> {
        let (mut fleet, device) = Fleet::start_with_device("soak")?;
        let previous = fleet.push("hello-c-v1", "hello", "1.0")?;
        fleet.deploy(&device, &previous)?;
        let image = |name: &str| Image::read(&fleet.programs.app(name)?);
        let images = [image("hello-c-v1")?, image("hello-c-v2")?];
        let [first, second] = &images;
        let pages = first.differing(second);
        let memory = Memory::open(&device.memory)?;
        let (random, outcome) = (Random(seed), Outcome::default());
        Ok(Self { random, fleet, device, memory, images, pages, previous, is_second: false, outcome })
    }

    /// One update, with kills aimed at one moment of it.
    fn round(&mut self, round: u32, kills: u32) -> Result<()> {
        let moment = Moment::ALL[usize::try_from(self.random.below(4))?];
        let (app, window) = (if self.is_second { "hello-c-v1" } else { "hello-c-v2" }, window_s(moment));
        let program = self.fleet.programs.app(app)?;
        let window = ["--trial-window", &window.to_string()];
        let next = self.fleet.owner.sign(&program, "hello", &format!("1.{round}"), &window)?;
        self.fleet.tool.run(&["app", "push", &next.path.to_string_lossy()])?;
        self.fleet.order(&self.device, &next)?;
        if moment == Moment::Revert {
            self.wait_for_trial(&next)?;
            self.fleet.tool.run(&["update", "revert", &self.device.id])?;
        }
        let late_before = self.outcome.after_pages;
        for _ in 0..=self.random.below(KILLS_PER_ROUND_MAX) {
            if self.outcome.kills >= kills {
                break;
            }
            self.aim(moment, &next)?;
            self.kill(round, moment)?;
        }
        if moment == Moment::Revert {
            self.order_back_again(&next)?;
        }
        let n_late = self.outcome.after_pages.saturating_sub(late_before);
        self.judge(moment, n_late, next)
    }

    /// An order to go back that power cut short before the journal had it is lost: the trial goes on, as the server
    /// shows, and the owner orders again.
    fn order_back_again(&self, next: &Bundle) -> Result<()> {
        let goes_on = |seen: &Seen| seen.online && seen.reported.as_ref().is_some_and(|told| told.on_trial);
        let seen = self.fleet.wait(&self.device, "the trial or its end", UPDATED_WITHIN, |seen| {
            goes_on(seen) || stage_of(seen, next) == Some(UpdateStage::Reverted)
        })?;
        if goes_on(&seen) {
            self.fleet.tool.run(&["update", "revert", &self.device.id])?;
        }
        Ok(())
    }

    /// Waits for the moment of a kill.
    fn aim(&mut self, moment: Moment, next: &Bundle) -> Result<()> {
        let delay = match moment {
            Moment::Staging => Duration::from_millis(self.random.below(STAGING_WITHIN_MS)),
            Moment::Trial => {
                self.wait_for_trial(next)?;
                Duration::from_millis(self.random.below(TRIAL_WINDOW_S * 1000))
            }
            Moment::Apply | Moment::Revert => {
                let wanted = usize::try_from(self.random.below(u64::try_from(self.pages.len())?))?;
                // A revert writes the old pages over the new ones.
                self.await_page(wanted, self.is_second != (moment == Moment::Apply), next)?;
                Duration::from_micros(self.random.below(PAGE_DELAY_US_MAX))
            }
        };
        std::thread::sleep(delay);
        Ok(())
    }

    /// Kills, counts what was hit, and waits until the device is online again.
    fn kill(&mut self, round: u32, moment: Moment) -> Result<()> {
        loop {
            let started = Timestamp::now();
            self.device.cut_power();
            self.count(round, moment)?;
            self.device.power_on()?;
            if self.random.below(NESTED_ONE_IN) == 0 {
                std::thread::sleep(Duration::from_millis(self.random.below(NESTED_WITHIN_MS)));
                continue;
            }
            if let Err(error) = self.fleet.wait_online(&self.device, started) {
                self.outcome.offline += 1;
                return Err(error);
            }
            return Ok(());
        }
    }

    fn count(&mut self, round: u32, moment: Moment) -> Result<()> {
        let [first, second] = &self.images;
        let target = if self.is_second { first } else { second };
        let written = self.memory.matching(target, &self.pages)?;
        let outcome = &mut self.outcome;
        outcome.kills += 1;
        outcome.aimed[moment as usize] += 1;
        let hit = match written {
            0 => &mut outcome.before_pages,
            _ if written < self.pages.len() => &mut outcome.inside_pages,
            _ => &mut outcome.after_pages,
        };
        *hit += 1;
        let (kills, pages) = (outcome.kills, self.pages.len());
        println!("kill {kills:3}: round {round}, aimed at {moment:?}, {written} of {pages} new pages there");
        Ok(())
    }

    /// Waits until `wanted` pages of the second or first version are there, or all that will be.
    fn await_page(&mut self, wanted: usize, second: bool, next: &Bundle) -> Result<()> {
        let [first_image, second_image] = &self.images;
        let image = if second { second_image } else { first_image };
        let deadline = Instant::now() + APPLY_WITHIN;
        let mut looks = 0_u32;
        while self.memory.matching(image, &self.pages)? < wanted {
            looks += 1;
            if looks.is_multiple_of(10_000) && Instant::now() > deadline {
                self.device.still_runs()?;
                let seen = self.fleet.look(&self.device)?;
                bail!("the update to {} did not get to page {wanted}: {}", next.manifest, describe(&seen));
            }
        }
        Ok(())
    }

    /// Waits until the update is on trial, or is past that.
    fn wait_for_trial(&self, next: &Bundle) -> Result<()> {
        self.fleet.wait(&self.device, "the trial", UPDATED_WITHIN, |seen| {
            stage_of(seen, next).is_some_and(|stage| stage == UpdateStage::Trial || stage.is_final())
        })?;
        Ok(())
    }

    /// After a round: online, with the one version that is right, whole. Anything else ends the soak. `n_late` kills came
    /// when all new pages were there.
    fn judge(&mut self, moment: Moment, n_late: u32, next: Bundle) -> Result<()> {
        let may_revert = match moment {
            Moment::Staging => false,
            // What was aimed at a page may have hit the trial.
            Moment::Apply => n_late >= TRIAL_STARTS,
            Moment::Trial | Moment::Revert => true,
        };
        let ended = |seen: &Seen| match stage_of(seen, &next) {
            // Nobody but its owner takes this version back.
            Some(UpdateStage::Committed) => moment != Moment::Revert && runs(seen, &next),
            // A trial that loses its power too often is taken back, and rightly so.
            Some(UpdateStage::Reverted) => may_revert && runs(seen, &self.previous),
            _ => false,
        };
        let seen = match self.fleet.wait(&self.device, "the end of the update", UPDATED_WITHIN, ended) {
            Ok(seen) => seen,
            Err(error) => {
                let online = self.fleet.look(&self.device).is_ok_and(|seen| seen.online);
                self.outcome.bricks += u32::from(online);
                self.outcome.offline += u32::from(!online);
                return Err(error);
            }
        };
        if runs(&seen, &next) {
            (self.previous, self.is_second) = (next, !self.is_second);
        }
        let [first, second] = &self.images;
        let image = if self.is_second { second } else { first };
        let there = self.memory.matching(image, &self.pages)?;
        if there != self.pages.len() {
            self.outcome.bricks += 1;
            bail!("{there} of {} pages are those of the version that runs", self.pages.len());
        }
        Ok(())
    }
}

fn window_s(moment: Moment) -> u64 {
    match moment {
        Moment::Staging | Moment::Apply => 1,
        Moment::Trial => TRIAL_WINDOW_S,
        Moment::Revert => ENDLESS_S,
    }
}

fn stage_of(seen: &Seen, bundle: &Bundle) -> Option<UpdateStage> {
    let update = seen.update.as_ref().filter(|update| update.manifest.to_string() == bundle.manifest)?;
    Some(update.stage)
}

fn option(name: &str, default: u64) -> Result<u64> {
    let words: Vec<String> = std::env::args().collect();
    let Some(at) = words.iter().position(|word| word == name) else { return Ok(default) };
    let text = words.get(at + 1).with_context(|| format!("{name} wants a number"))?;
    text.parse().with_context(|| format!("{name} wants a number, not `{text}`"))
}
