//! `cargo xtask soak update --kills N`: SIGKILLs at random moments of an update, then looks what is left.
//!
//! The application is updated from version 1 to 2 and back for as long as there are kills left. Each kill comes at a
//! random page of the apply and a random time after it, sometimes while the device is still recovering from the kill
//! before. After each round the device has to be online with exactly version 1 or 2, whole.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a command-line tool: standard output is its result")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bulkhead_cloud_api::Timestamp;
use bulkhead_end_to_end::device::Device;
use bulkhead_end_to_end::flash::{Image, Memory};
use bulkhead_end_to_end::fleet::{Fleet, UPDATED_WITHIN, describe, runs};
use bulkhead_end_to_end::owner::Bundle;

/// Most kills before the device is left to recover.
const NESTED_MAX: u64 = 3;
/// Longest random delay behind a page, in microseconds: about the time of two pages.
const DELAY_US_MAX: u64 = 2_000;
/// Longest time of one apply, as seen from outside.
const APPLY_WITHIN: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
struct Outcome {
    kills: u32,
    inside_apply: u32,
    bricks: u32,
    offline: u32,
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
            println!("{} of {} kills fell into the apply", outcome.inside_apply, outcome.kills);
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
    let kills = option("--kills", 50)?;
    let seed = match std::env::args().any(|word| word == "--seed") {
        true => option("--seed", 1)?,
        false => u64::try_from(Timestamp::now().0).unwrap_or(1) | 1,
    };
    println!("soak: {kills} kills, --seed {seed}");
    let mut random = Random(seed);
    let mut fleet = Fleet::start()?;
    let mut device = fleet.new_device("soak")?;
    fleet.power_on(&mut device)?;
    let first = fleet.push("hello-c-v1", "hello", "1.0")?;
    fleet.order(&device, &first)?;
    fleet.wait_running(&device, &first)?;

    let images =
        [Image::read(&fleet.programs.app("hello-c-v1")?)?, Image::read(&fleet.programs.app("hello-c-v2")?)?];
    let pages = images.first().zip(images.last()).map(|(one, two)| one.differing(two)).unwrap_or_default();
    let memory = Memory::open(&device.memory)?;
    let mut outcome = Outcome::default();
    let mut previous = first;
    for round in 1_usize.. {
        if u64::from(outcome.kills) >= kills {
            break;
        }
        // Odd rounds go to version 2, even ones back to 1.
        let to = images.get(round % 2).context("there are two images")?;
        let app = if round % 2 == 1 { "hello-c-v2" } else { "hello-c-v1" };
        let next = fleet.push(app, "hello", &format!("1.{round}"))?;
        fleet.order(&device, &next)?;
        let nested = random.below(NESTED_MAX) + 1;
        for _ in 0..nested {
            if u64::from(outcome.kills) >= kills {
                break;
            }
            let wanted = usize::try_from(random.below(u64::try_from(pages.len())?))?;
            let delay_us = random.below(DELAY_US_MAX);
            await_page(&fleet, &mut device, &memory, to, &pages, wanted, &next)?;
            std::thread::sleep(Duration::from_micros(delay_us));
            device.cut_power();
            outcome.kills += 1;
            let written = memory.matching(to, &pages)?;
            outcome.inside_apply += u32::from(written > 0 && written < pages.len());
            println!("kill {:3}: round {round}, {written} of {} pages written", outcome.kills, pages.len());
            device.power_on()?;
        }
        judge(&fleet, &mut device, &previous, &next, &mut outcome)?;
        previous = next;
    }
    Ok(outcome)
}

/// Waits until the apply has written `wanted` pages, or is over.
fn await_page(
    fleet: &Fleet,
    device: &mut Device,
    memory: &Memory,
    to: &Image,
    pages: &[usize],
    wanted: usize,
    next: &Bundle,
) -> Result<()> {
    let deadline = Instant::now() + APPLY_WITHIN;
    let mut looks = 0_u32;
    while memory.matching(to, pages)? < wanted {
        looks += 1;
        if looks.is_multiple_of(10_000) && Instant::now() > deadline {
            device.still_runs()?;
            let seen = fleet.look(device)?;
            bail!(
                "the update to {} did not get to page {wanted}: {}\nconsole:\n{}",
                next.manifest,
                describe(&seen),
                device.console_tail()
            );
        }
    }
    Ok(())
}

/// After a round: online, with one whole version. A device that is neither counts, and ends the soak.
fn judge(
    fleet: &Fleet,
    device: &mut Device,
    previous: &Bundle,
    next: &Bundle,
    outcome: &mut Outcome,
) -> Result<()> {
    let whole = |seen: &bulkhead_cloud_api::Device| runs(seen, previous) || runs(seen, next);
    let seen = match fleet.wait(device, "the device to recover", UPDATED_WITHIN, whole) {
        Ok(seen) => seen,
        Err(error) => {
            let online = fleet.look(device).is_ok_and(|seen| seen.online);
            outcome.bricks += u32::from(online);
            outcome.offline += u32::from(!online);
            println!("{error:#}");
            bail!("after {} kills: bricks={} offline={}", outcome.kills, outcome.bricks, outcome.offline);
        }
    };
    // An update that was ordered has to arrive in the end, whatever happened to the power.
    if !runs(&seen, next) {
        fleet.wait_running(device, next).context("the update was lost over the power cuts")?;
    }
    Ok(())
}

fn option(name: &str, default: u64) -> Result<u64> {
    let words: Vec<String> = std::env::args().collect();
    let Some(at) = words.iter().position(|word| word == name) else { return Ok(default) };
    let text = words.get(at + 1).with_context(|| format!("{name} wants a number"))?;
    text.parse().with_context(|| format!("{name} wants a number, not `{text}`"))
}
