//! How the server plans an update: patches where they are shorter than pages, the mode that fits.

use bulkhead_delta::decode_all;
use bulkhead_link_protocol::{Digest, FetchFrom, Plan, PlanRequest, StagingMode, UpdateStage};
use serde_json::json;

use crate::harness::*;

const SECTOR: u32 = 4096;

/// Pushes version `version`, deploys it and returns its digest and images.
fn deploy(
    server: &TestServer,
    id: &str,
    device: &mut FakeDevice,
    version: &'static str,
    sequence: u64,
) -> (Digest, Images) {
    let (file, images) = bundle(&Recipe { version, sequence, ..Recipe::default() });
    let pushed = server.ask_as(Some(&server.admin), "POST", "/api/v1/bundles", file).ok();
    let body = json!({ "bundle": pushed["manifest"] });
    server.ask("PUT", &format!("/api/v1/devices/{id}/target"), body).ok();
    (device.offer().manifest, images)
}

fn ask(device: &mut FakeDevice, request: PlanRequest) -> Option<Plan> {
    device.plan_request(request);
    match device.expect("plan", |said| matches!(said, Said::Plan(_) | Said::Unavailable)) {
        Said::Plan(plan) => Some(plan),
        _ => None,
    }
}

/// Fetches every patch of `plan` and decodes it from `old`.
fn follow(device: &mut FakeDevice, plan: &Plan, old: &Images, new: &Images) -> u32 {
    let mut sent = 0;
    for (area, image) in new {
        let len = plan.patches.len_of(*area).expect("every area of these bundles has a patch");
        let patch = device.fetch(plan.manifest, FetchFrom::Patch, *area, len).expect("there");
        let from = old.iter().find(|(id, _)| id == area).map(|(_, image)| image.clone()).unwrap_or_default();
        let made = decode_all(&from, &patch, u32::try_from(image.len()).expect("small")).expect("decodes");
        assert!(made == *image, "area {area} differs");
        sent += len;
    }
    sent
}

const REQUEST: PlanRequest = PlanRequest {
    manifest: [0; 32],
    base: None,
    staging_len: 0x80_0000,
    sector_len: SECTOR,
    patch_version: bulkhead_delta::PATCH_VERSION,
};

fn total(images: &Images) -> u32 {
    images.iter().map(|(_, image)| u32::try_from(image.len()).expect("small")).sum()
}

#[test]
fn device_that_asks_is_given_patches_that_lead_to_the_new_images() {
    let server = TestServer::start();
    let id = server.own(1);
    let mut device = server.connect(1);
    let (first, old) = deploy(&server, &id, &mut device, "1.0.0", 1);
    // Nothing runs yet: the images come compressed.
    let plan = ask(&mut device, PlanRequest { manifest: first, ..REQUEST }).expect("a plan");
    assert_eq!((plan.base, plan.mode), (None, StagingMode::RedoAndUndo));
    assert!(follow(&mut device, &plan, &Vec::new(), &old) < total(&old));
    device.progress(first, UpdateStage::Committed, 6, None);
    let (second, new) = deploy(&server, &id, &mut device, "1.0.1", 2);
    let plan =
        ask(&mut device, PlanRequest { manifest: second, base: Some(first), ..REQUEST }).expect("a plan");
    assert_eq!((plan.base, plan.mode), (Some(first), StagingMode::RedoAndUndo));
    let sent = follow(&mut device, &plan, &old, &new);
    device.progress(second, UpdateStage::Staging, 6, None);
    device.progress(second, UpdateStage::Committed, 6, None);
    let path = format!("/api/v1/devices/{id}");
    let seen = server.wait_for("commit", &path, |device| device["update"]["stage"] == "committed");
    assert_eq!(seen["update"]["bytes_sent"], json!(sent));
    assert_eq!(seen["update"]["image_bytes"], json!(total(&new)));
}

#[test]
fn patches_are_found_again_on_a_new_link_and_after_a_restart_of_the_server() {
    let mut server = TestServer::start();
    let id = server.own(1);
    let mut device = server.connect(1);
    let (first, images) = deploy(&server, &id, &mut device, "1.0.0", 1);
    let plan = ask(&mut device, PlanRequest { manifest: first, ..REQUEST }).expect("a plan");
    drop(device);
    server.restart();
    let mut device = server.connect(1);
    device.offer();
    follow(&mut device, &plan, &Vec::new(), &images);
}

#[test]
fn mode_is_the_best_that_the_staging_of_the_device_has_room_for() {
    let server = TestServer::start();
    let id = server.own(1);
    let mut device = server.connect(1);
    let (manifest, _) = deploy(&server, &id, &mut device, "1.0.0", 1);
    // Three pages of 8 KiB take three sectors each, three of 4 KiB two: 15 for new pages, and the patches.
    let mut mode = |sectors: u32| {
        let request = PlanRequest { manifest, staging_len: sectors * SECTOR, ..REQUEST };
        ask(&mut device, request).map(|plan| plan.mode)
    };
    assert_eq!(mode(40), Some(StagingMode::RedoAndUndo));
    assert_eq!(mode(22), Some(StagingMode::Redo));
    assert_eq!(mode(4), Some(StagingMode::Refused));
}

#[test]
fn device_is_not_given_a_plan_for_what_it_was_not_offered_nor_in_a_format_it_does_not_know() {
    let server = TestServer::start();
    let id = server.own(1);
    let mut device = server.connect(1);
    let (manifest, _) = deploy(&server, &id, &mut device, "1.0.0", 1);
    assert_eq!(ask(&mut device, PlanRequest { manifest: [7; 32], ..REQUEST }), None);
    assert_eq!(ask(&mut device, PlanRequest { manifest, patch_version: 0, ..REQUEST }), None);
    assert!(ask(&mut device, PlanRequest { manifest, ..REQUEST }).is_some());
}

#[test]
fn base_that_was_never_pushed_leads_to_patches_from_nothing() {
    let server = TestServer::start();
    let id = server.own(1);
    let mut device = server.connect(1);
    let (manifest, images) = deploy(&server, &id, &mut device, "1.0.0", 1);
    let plan = ask(&mut device, PlanRequest { manifest, base: Some([9; 32]), ..REQUEST }).expect("a plan");
    assert_eq!(plan.base, None);
    follow(&mut device, &plan, &Vec::new(), &images);
}
