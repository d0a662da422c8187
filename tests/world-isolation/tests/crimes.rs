//! Claims about the isolation of the worlds, each against the real hypervisor in QEMU.
//!
//! They need `cargo xtask image mps2-an505` and `cargo xtask apps`, and fail with that command if it was not run.

use anyhow::{Result, bail};
use bulkhead_world_isolation::{Containment, Crime, Scene};

const HOSTILE: &str = "hostile-c";
const READY: &str = "hostile ready";

/// Commits a group of crimes; each is judged, all failures are told.
fn contained(crimes: &[Crime]) -> Result<()> {
    let mut scene = Scene::install(HOSTILE, READY)?;
    let mut failures = Vec::new();
    for crime in crimes {
        match scene.commit(crime) {
            Ok(()) => eprintln!("contained: {} ({})", crime.letter, crime.name),
            Err(failure) => {
                failures.push(format!("{failure:#}"));
                scene = Scene::install(HOSTILE, READY)?;
            }
        }
    }
    if failures.is_empty() { Ok(()) } else { bail!("{}", failures.join("\n\n")) }
}

#[test]
fn touching_the_secure_world_ends_the_application_alone() -> Result<()> {
    contained(Crime::SECURE_ACCESS)
}

#[test]
fn executing_where_no_code_is_ends_the_application_alone() -> Result<()> {
    contained(Crime::BAD_EXECUTION)
}

#[test]
fn a_forged_return_finds_no_secure_frame() -> Result<()> {
    contained(Crime::FORGED_RETURNS)
}

#[test]
fn a_ruined_stack_ends_the_application_alone() -> Result<()> {
    contained(Crime::STACK)
}

#[test]
fn handlers_cannot_keep_the_processor() -> Result<()> {
    contained(Crime::HANDLERS)
}

#[test]
fn masks_cannot_keep_the_processor() -> Result<()> {
    contained(Crime::MASKS)
}

#[test]
fn confusing_the_processor_ends_the_application_alone() -> Result<()> {
    contained(Crime::CONFUSION)
}

#[test]
fn no_interrupt_of_the_application_finds_the_hypervisors_thread() -> Result<()> {
    contained(Crime::DOOR)
}

#[test]
fn what_is_not_the_applications_to_ask_is_refused() -> Result<()> {
    contained(Crime::REFUSED)
}

/// In the middle of a crime that lasts, so that the application can neither hear of the update nor agree to it.
#[test]
fn the_owner_can_replace_an_application_that_does_not_let_go() -> Result<()> {
    let mut scene = Scene::install(HOSTILE, READY)?;
    scene.type_to_application('k')?;
    scene.replace("hello-c-v1", 2, |line| line.starts_with("hello v1 starts"))?;
    Ok(())
}

#[test]
fn an_application_that_ruined_its_own_flash_is_fetched_again() -> Result<()> {
    let mut scene = Scene::install(HOSTILE, READY)?;
    scene.ruin_application()
}

/// The suite must be able to fail, with everything real: a crime that does nothing is not contained.
#[test]
fn a_crime_that_was_not_contained_is_noticed() -> Result<()> {
    let mut scene = Scene::install(HOSTILE, READY)?;
    for containment in [Containment::StoppedSomehow, Containment::Refused] {
        let nothing = Crime { letter: '?', name: "nothing at all", containment };
        match scene.commit(&nothing) {
            Ok(()) => bail!("an application that did nothing counts as contained ({containment:?})"),
            Err(failure) => {
                let text = format!("{failure:#}");
                if !text.contains("was not stopped") && !text.contains("did not report a refusal") {
                    bail!("noticed for another reason: {text}");
                }
            }
        }
    }
    Ok(())
}
