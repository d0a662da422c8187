//! The application's side of an update: it chooses the moment, and what is its own stays its own.

#![expect(clippy::unwrap_used, reason = "a test: a panic is its failure")]

use std::time::Duration;

use bulkhead_board_description::{Board, MPS2_AN505};
use bulkhead_cloud_api::{Device as Seen, UpdateStage};
use bulkhead_end_to_end::device::Device;
use bulkhead_end_to_end::fleet::{Fleet, UPDATED_WITHIN};
use bulkhead_end_to_end::owner::Bundle;
use bulkhead_end_to_end::scenes::log_line;

const SOON: Duration = Duration::from_secs(60);
const OWN: &str = "external:0x80000+64K";

/// Signs and pushes a version of the keeper.
fn push(fleet: &mut Fleet, program: &str, version: &str, more: &[&str]) -> Bundle {
    let program = fleet.programs.app(program).unwrap();
    let options = [&["--owned", OWN, "--trial-window", "1"], more].concat();
    let bundle = fleet.owner.sign(&program, "keeper", version, &options).unwrap();
    fleet.tool.run(&["app", "push", &bundle.path.to_string_lossy()]).unwrap();
    bundle
}

/// A device that runs the keeper, version 1.
fn fleet(more: &[&str]) -> (Fleet, Device) {
    let (mut fleet, device) = Fleet::start_with_device("keeper").unwrap();
    let first = push(&mut fleet, "keeper-c-v1", "1", more);
    fleet.deploy(&device, &first).unwrap();
    (fleet, device)
}

fn stage(seen: &Seen) -> Option<UpdateStage> {
    seen.update.as_ref().map(|update| update.stage)
}

/// The application's own area, as it lies in the device's memory.
fn own_area(device: &Device) -> Vec<u8> {
    let board = Board::parse(MPS2_AN505).unwrap();
    let start = board.non_volatile.external.application.offset as usize + 0x8_0000;
    std::fs::read(&device.memory).unwrap()[start..start + 0x1_0000].to_vec()
}

#[test]
fn the_application_chooses_the_moment_and_keeps_what_is_its_own() {
    let (mut fleet, device) = fleet(&["--polite-max", "2h"]);
    log_line(&fleet, &device, "keeper v1 remembers 1 starts").unwrap();
    let before = own_area(&device);
    assert!(before.starts_with(b"start 1 v1\0") && before[16..].iter().all(|byte| *byte == 0xFF));

    let second = push(&mut fleet, "keeper-c-v2", "2", &["--fill", "external:0x20000+8K"]);
    fleet.order(&device, &second).unwrap();
    let seen = fleet
        .wait(&device, "a postponed update", SOON, |seen| {
            seen.update.as_ref().is_some_and(|update| {
                let until = update.details.apply_at.map_or(0, |at| at.0 - update.updated_at.0);
                update.stage == UpdateStage::Ready && until > 500_000_000
            })
        })
        .unwrap();
    let update = seen.update.unwrap();
    let downtime_ms = update.details.downtime_ms.unwrap();
    assert!(update.image_bytes.is_some_and(|bytes| bytes > 30_000) && downtime_ms > 0, "{update:?}");
    let told = device.application_console();
    assert!(told.contains("update enters stage 3") && told.contains("postponed with status 0"), "{told}");
    assert!(told.contains(&format!("downtime {downtime_ms} ms, can wait for 7")), "{told}");
    let status = fleet.tool.run(&["update", "status", &device.id]).unwrap();
    for word in ["ready", "stands still for about", "unless the application postpones", "flash: erases"] {
        assert!(status.contains(word), "{word} in {status}");
    }

    device.type_to_application('u').unwrap();
    fleet
        .wait(&device, "the commit", UPDATED_WITHIN, |seen| stage(seen) == Some(UpdateStage::Committed))
        .unwrap();
    log_line(&fleet, &device, "keeper v2 remembers 2 starts").unwrap();
    eprintln!("estimated {downtime_ms} ms; {}", log_line(&fleet, &device, "stood still for").unwrap());
    let after = own_area(&device);
    assert_eq!(after[..16], before[..16], "byte for byte");
    assert!(after[16..].starts_with(b"start 2 v2\0"));
    let wear = fleet
        .wait(&device, "the wear", SOON, |seen| {
            let wear = seen.reported.as_ref().and_then(|reported| reported.wear);
            wear.is_some_and(|wear| wear.application_page_max >= 2)
        })
        .unwrap();
    let wear = wear.reported.unwrap().wear.unwrap();
    assert!(wear.application > 8 && wear.staging > 8 && wear.journal > 2 && wear.manifests >= 2, "{wear:?}");
    let shown = fleet.tool.run(&["device", "show", &device.id]).unwrap();
    assert!(shown.contains("erases: application"), "{shown}");
}

#[test]
fn the_owner_overrides_an_application_that_postpones() {
    let (mut fleet, device) = fleet(&[]);
    let second = push(&mut fleet, "keeper-c-v2", "2", &[]);
    fleet.order(&device, &second).unwrap();
    fleet
        .wait(&device, "the update to be ready", SOON, |seen| stage(seen) == Some(UpdateStage::Ready))
        .unwrap();
    fleet.tool.run(&["update", "apply", &device.id]).unwrap();
    fleet.wait_running(&device, &second).unwrap();
}

#[test]
fn an_update_that_takes_the_applications_area_is_refused_unless_it_is_signed_away() {
    let (mut fleet, device) = fleet(&["--immediate"]);
    let program = fleet.programs.app("keeper-c-v2").unwrap();
    let sign = |fleet: &mut Fleet, version: &str, options: &[&str]| {
        let bundle = fleet.owner.sign(&program, "keeper", version, options).unwrap();
        fleet.tool.run(&["app", "push", &bundle.path.to_string_lossy()]).unwrap();
        fleet.order(&device, &bundle).unwrap();
        bundle
    };
    sign(&mut fleet, "2", &["--owned", "external:0x90000+64K"]);
    let seen =
        fleet.wait(&device, "the refusal", SOON, |seen| stage(seen) == Some(UpdateStage::Refused)).unwrap();
    let reason = seen.update.unwrap().reason.unwrap_or_default();
    assert!(reason.contains("area 3 belongs to the running application"), "{reason}");
    let options = ["--owned", "external:0x90000+64K", "--give-up-owned", "--trial-window", "1"];
    let third = sign(&mut fleet, "3", &options);
    fleet.wait_running(&device, &third).unwrap();
    log_line(&fleet, &device, "keeper v2 remembers 1 starts").unwrap();
}
