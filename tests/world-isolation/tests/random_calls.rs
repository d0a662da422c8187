//! Random calls of every gateway do no harm and find no secret.

use std::time::Duration;

use anyhow::{Result, bail};
use bulkhead_syscall_abi::Status;
use bulkhead_virtual_device::find_image;
use bulkhead_world_isolation::fuzz;
use bulkhead_world_isolation::matrix::{Image, SEEDS};

/// How long calls are made in CI.
const TIME: Duration = Duration::from_secs(10);
/// Names the seed of a run that failed, and how many seconds to go on.
const SEED_VARIABLE: &str = "BULKHEAD_FUZZ_SEED";
const SECONDS_VARIABLE: &str = "BULKHEAD_FUZZ_SECONDS";

fn variable(name: &str) -> Option<u32> {
    let text = std::env::var(name).ok()?;
    match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

#[test]
fn no_random_call_harms_the_hypervisor_or_finds_a_secret() -> Result<()> {
    let seed = variable(SEED_VARIABLE).unwrap_or_else(std::process::id);
    let time = variable(SECONDS_VARIABLE).map_or(TIME, |s| Duration::from_secs(s.into()));
    println!("seed {seed:#x}");
    let fuzzed = fuzz(seed, time, None)?;
    println!(
        "random calls: {} from the thread, {} from interrupts, {} different answers, states {:?}",
        fuzzed.n_calls,
        fuzzed.n_interrupts,
        fuzzed.answers.len(),
        fuzzed.states
    );
    let was_answered = |status: Status| fuzzed.answers.iter().any(|(_, seen)| *seen == status as u32);
    if !was_answered(Status::Ok) || !was_answered(Status::PointerRefused) {
        bail!(
            "calls were never answered, or never refused: the table of calls is not as the application has it"
        );
    }
    if fuzzed.states.contains(&0) {
        bail!("not everything was waiting for the application at some time: {:?}", fuzzed.states);
    }
    Ok(())
}

/// The suite must be able to fail.
#[test]
fn a_hypervisor_that_checks_no_pointers_does_not_survive_random_calls() -> Result<()> {
    let mut image = Image::new(std::fs::read(find_image(None)?)?);
    let Some(seed) = SEEDS.iter().find(|seed| seed.name == "no check of pointers") else {
        bail!("the hole is not known any more");
    };
    (seed.drill)(&mut image)?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("hypervisor.elf");
    std::fs::write(&path, image.into_bytes())?;
    match fuzz(7, Duration::from_secs(20), Some(&path)) {
        Ok(_) => bail!("nothing was noticed"),
        Err(noticed) => {
            println!("noticed: {noticed:#}");
            Ok(())
        }
    }
}
