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

/// Exit code of the tool when the device declines.
const DECLINED: i32 = 7;

#[test]
fn an_order_to_apply_waits_for_an_update_that_is_on_its_way_and_is_declined_without_one() {
    let (mut fleet, mut device) = fleet(&[]);
    let nothing = |fleet: &Fleet, device: &Device| {
        let refused = fleet.tool.refused(&["update", "apply", &device.id]).unwrap();
        assert_eq!(refused.code, DECLINED, "{}", refused.text);
        assert!(refused.text.contains("nothing to apply: no update is under way"), "{}", refused.text);
    };
    nothing(&fleet, &device);
    log_line(&fleet, &device, "command refused: there is no update to apply").unwrap();
    let second = push(&mut fleet, "keeper-c-v2", "2", &[]);
    fleet.cut_power(&mut device).unwrap();
    fleet.order(&device, &second).unwrap();
    let kept = fleet.tool.run(&["update", "apply", &device.id]).unwrap();
    assert!(kept.starts_with("kept: "), "{kept}");
    // The application would postpone it by ten minutes.
    fleet.power_on(&mut device).unwrap();
    fleet.wait_running(&device, &second).unwrap();
    let ended = |seen: &Seen| stage(seen) == Some(UpdateStage::Committed);
    fleet.wait(&device, "the commit", SOON, ended).unwrap();
    nothing(&fleet, &device);
}

#[test]
fn an_update_that_waits_is_cancelled_once_and_then_there_is_nothing_to_cancel() {
    let (mut fleet, device) = fleet(&[]);
    let nothing = |fleet: &Fleet| {
        let refused = fleet.tool.refused(&["update", "cancel", &device.id]).unwrap();
        assert_eq!(refused.code, DECLINED, "{}", refused.text);
        assert!(refused.text.contains("nothing to cancel"), "{}", refused.text);
    };
    nothing(&fleet);
    let second = push(&mut fleet, "keeper-c-v2", "2", &[]);
    fleet.order(&device, &second).unwrap();
    fleet
        .wait(&device, "the update to be ready", SOON, |seen| stage(seen) == Some(UpdateStage::Ready))
        .unwrap();
    assert_eq!(fleet.tool.run(&["update", "cancel", &device.id]).unwrap().trim(), "done");
    fleet
        .wait(&device, "the end of the update", SOON, |seen| stage(seen) == Some(UpdateStage::Cancelled))
        .unwrap();
    nothing(&fleet);
    log_line(&fleet, &device, "command refused: there is no update").unwrap();
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
    // Moved, cut, and forgotten.
    for options in [&["--owned", "external:0x90000+64K"][..], &["--owned", "external:0x80000+4K"], &[]] {
        let bundle = fleet.owner.sign(&program, "keeper", "2", options).unwrap();
        let refused =
            fleet.tool.refused(&["deploy", "-d", &device.id, &bundle.path.to_string_lossy()]).unwrap();
        assert_eq!(refused.code, DECLINED, "{}", refused.text);
        for words in [
            "area 3 belongs to the running application",
            "keep it with --owned external:0x80000+0x10000, or lose what is in it with --give-up-owned",
            "\nnext: bundle it again as the reason says",
        ] {
            assert!(refused.text.contains(words), "{options:?}: {}", refused.text);
        }
    }
    let options = ["--owned", "external:0x90000+64K", "--give-up-owned", "--trial-window", "1"];
    let third = sign(&mut fleet, "3", &options);
    fleet.wait_running(&device, &third).unwrap();
    log_line(&fleet, &device, "keeper v2 remembers 1 starts").unwrap();
}
