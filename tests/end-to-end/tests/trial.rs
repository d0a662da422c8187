//! A new version that does not work is taken back by the device itself.

#![expect(clippy::unwrap_used, reason = "a test: a panic is its failure")]

use std::time::Duration;

use bulkhead_cloud_api::{Device as Seen, UpdateStage};
use bulkhead_end_to_end::device::Device;
use bulkhead_end_to_end::fleet::Fleet;

const SOON: Duration = Duration::from_secs(60);

/// A fleet with one device that runs version 1.
fn fleet() -> (Fleet, Device) {
    let (mut fleet, device) = Fleet::start_with_device("trial").unwrap();
    let v1 = fleet.push("hello-c-v1", "hello", "1").unwrap();
    fleet.deploy(&device, &v1).unwrap();
    (fleet, device)
}

fn stage(seen: &Seen) -> Option<UpdateStage> {
    seen.update.as_ref().map(|update| update.stage)
}

/// Deploys `program` with a trial that does not end by itself, and waits until it is on trial.
fn try_out(fleet: &mut Fleet, device: &Device, program: &str) {
    let program = fleet.programs.app(program).unwrap();
    let bundle = fleet.owner.sign(&program, "hello", "new", &["--trial-window", "600"]).unwrap();
    fleet.tool.run(&["app", "push", &bundle.path.to_string_lossy()]).unwrap();
    fleet.order(device, &bundle).unwrap();
    fleet.wait(device, "the trial", SOON, |seen| stage(seen) == Some(UpdateStage::Trial)).unwrap();
}

fn assert_version_1_is_back(fleet: &Fleet, device: &Device, reason: &str) {
    let seen = fleet
        .wait(device, "the old version", SOON, |seen| stage(seen) == Some(UpdateStage::Reverted))
        .unwrap();
    let told = seen.update.unwrap().reason.unwrap_or_default();
    assert!(told.contains(reason), "{told}");
    bulkhead_end_to_end::scenes::log_line(fleet, device, "hello v1 starts, wake reason 5").unwrap();
}

#[test]
fn a_new_version_that_faults_is_taken_back_and_the_owner_learns_why() {
    let (mut fleet, device) = fleet();
    try_out(&mut fleet, &device, "hostile-c");
    device.type_to_application('a').unwrap();
    assert_version_1_is_back(&fleet, &device, "SecureAccess");
}

#[test]
fn the_owner_can_take_a_new_version_back_during_its_trial_and_power_cuts_do_not_matter() {
    let (mut fleet, mut device) = fleet();
    try_out(&mut fleet, &device, "hello-c-v2");
    device.cut_power();
    fleet.power_on(&mut device).unwrap();
    let seen = fleet.look(&device).unwrap();
    assert!(
        seen.reported.as_ref().is_some_and(|reported| reported.on_trial),
        "the trial goes on after a power cut: {seen:?}; console:\n{}",
        device.console_tail()
    );
    fleet.tool.run(&["update", "revert", &device.id]).unwrap();
    assert_version_1_is_back(&fleet, &device, "owner");
}
