//! What must not run is refused, with the reason where people look, and before a byte of it was fetched.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test: a panic is its failure")]

use std::path::Path;
use std::time::Duration;

use bulkhead_end_to_end::device::Device;
use bulkhead_end_to_end::fleet::Fleet;
use bulkhead_end_to_end::meter::Meter;
use bulkhead_end_to_end::owner::{Bundle, Owner};
use bulkhead_end_to_end::scenes::log_line;
use bulkhead_end_to_end::tool::Tool;

/// Exit code of the tool when the device refused.
const DEVICE_REFUSED: i32 = 7;
/// Exit code of the tool when the server refused.
const SERVER_REFUSED: i32 = 5;
/// More than an envelope and the frames around it, far less than the areas, which have 99 KiB.
const ENVELOPE_BYTES_MAX: u64 = 8 * 1024;

/// A fleet with one device, all of whose bytes are counted; it has no power yet.
fn fleet() -> (Fleet, Device, Meter) {
    let fleet = Fleet::start().unwrap();
    let meter = Meter::start(fleet.server.devices).unwrap();
    let device = fleet.new_device_behind("refuser", meter.address()).unwrap();
    (fleet, device, meter)
}

fn hello(fleet: &mut Fleet, version: &str, more: &[&str]) -> Bundle {
    let program = fleet.programs.app("hello-c-v1").unwrap();
    fleet.owner.sign(&program, "hello", version, more).unwrap()
}

/// A description of the board with another class.
fn other_class(folder: &Path) -> String {
    let board = bulkhead_board_description::MPS2_AN505
        .replace("device_class = \"mps2-an505\"", "device_class = \"another-class\"");
    let path = folder.join("other-board.toml");
    std::fs::write(&path, board).unwrap();
    path.to_string_lossy().into_owned()
}

/// Waits until the device refused; returns the reason that the API tells.
fn refusal(fleet: &Fleet, device: &Device) -> String {
    let seen = fleet
        .wait(device, "the device to refuse", Duration::from_secs(60), |seen| {
            seen.update.as_ref().is_some_and(|update| update.stage.is_final())
        })
        .unwrap();
    let update = seen.update.unwrap();
    assert_eq!(update.stage.as_str(), "refused", "{update:?}");
    assert!(seen.online, "the device stays online");
    assert_eq!(seen.reported.unwrap().running, None, "nothing was installed");
    update.reason.expect("a refusal has a reason")
}

#[test]
fn a_bundle_of_a_stranger_is_refused_by_the_device_before_its_areas_are_fetched() {
    let (fleet, mut device, meter) = fleet();
    fleet.power_on(&mut device).unwrap();
    let stranger = Tool::new(&fleet.programs.tool, &fleet.folder.path().join("stranger"));
    let mut stranger = Owner::new(stranger, fleet.folder.path()).unwrap();
    let program = fleet.programs.app("hello-c-v1").unwrap();
    let bundle = stranger.sign(&program, "hello", "stranger", &[]).unwrap();

    let before = meter.passed().down_bytes;
    let refused =
        fleet.tool.refused(&["deploy", "--device", &device.id, &bundle.path.to_string_lossy()]).unwrap();
    let fetched = meter.passed().down_bytes - before;

    assert_eq!(refused.code, DEVICE_REFUSED, "{}", refused.text);
    let reason = refusal(&fleet, &device);
    assert!(refused.text.contains(&reason), "the tool tells `{reason}`: {}", refused.text);
    assert!(fetched < ENVELOPE_BYTES_MAX, "{fetched} bytes were fetched");
    log_line(&fleet, &device, &reason).unwrap();
}

#[test]
fn wrong_class_and_wrong_abi_are_refused_by_the_server_which_knows_the_device() {
    let (mut fleet, mut device, _) = fleet();
    fleet.power_on(&mut device).unwrap();
    let board = other_class(fleet.folder.path());
    let cases = [
        (hello(&mut fleet, "class", &["--board", &board]), "another-class"),
        (hello(&mut fleet, "abi", &["--abi", "900"]), "900"),
    ];
    for (bundle, word) in cases {
        let deploy = ["deploy", "--device", &device.id, &bundle.path.to_string_lossy()];
        let refused = fleet.tool.refused(&deploy).unwrap();
        assert_eq!(refused.code, SERVER_REFUSED, "{}", refused.text);
        assert!(refused.text.contains(word), "{}", refused.text);
    }
    assert!(fleet.look(&device).unwrap().online);
}

/// Ordered before the device was ever seen, so that the server cannot know better.
fn refused_by_device(more: impl Fn(&Path) -> Vec<String>, version: &str, word: &str) {
    let (mut fleet, mut device, meter) = fleet();
    let more = more(fleet.folder.path());
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    let bundle = hello(&mut fleet, version, &more);
    fleet.tool.run(&["app", "push", &bundle.path.to_string_lossy()]).unwrap();
    fleet.order(&device, &bundle).unwrap();
    fleet.power_on(&mut device).unwrap();
    let reason = refusal(&fleet, &device);
    assert!(reason.to_lowercase().contains(word), "{reason}");
    let status = fleet.tool.run(&["update", "status", &device.id]).unwrap();
    assert!(status.contains(&reason), "the tool tells `{reason}`: {status}");
    let fetched = meter.passed().down_bytes;
    assert!(fetched < ENVELOPE_BYTES_MAX, "{fetched} bytes were fetched");
}

#[test]
fn wrong_class_is_refused_by_a_device_that_the_server_does_not_know_yet() {
    refused_by_device(|folder| vec!["--board".into(), other_class(folder)], "class", "class");
}

#[test]
fn wrong_abi_is_refused_by_a_device_that_the_server_does_not_know_yet() {
    refused_by_device(|_| vec!["--abi".into(), "900".into()], "abi", "abi");
}

#[test]
fn truncated_oversized_and_altered_files_are_refused_when_they_are_pushed() {
    let mut fleet = Fleet::start().unwrap();
    let good = std::fs::read(hello(&mut fleet, "1", &[]).path).unwrap();
    let half = good[..good.len() / 2].to_vec();
    let longer = [good.as_slice(), &[0; 1000]].concat();
    let mut altered = good.clone();
    *altered.last_mut().unwrap() ^= 1;
    let huge = vec![0; 17 << 20];
    for (name, bytes) in [("half", half), ("longer", longer), ("altered", altered), ("huge", huge)] {
        let path = fleet.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let refused = fleet.tool.refused(&["app", "push", &path.to_string_lossy()]).unwrap();
        assert!(refused.text.contains("next: "), "{name}: the tool says what to do: {}", refused.text);
        assert!(
            refused.code == SERVER_REFUSED || refused.code == 9,
            "{name}: {} {}",
            refused.code,
            refused.text
        );
    }
    assert_eq!(
        fleet.tool.json(&["app", "ls"]).unwrap().as_array().map(Vec::len),
        Some(0),
        "nothing was kept"
    );
}

#[test]
fn orders_that_come_at_once_are_each_answered() {
    let (fleet, device) = Fleet::start_with_device("obedient").unwrap();
    std::thread::scope(|scope| {
        let order = || fleet.tool.refused(&["update", "apply", &device.id]).unwrap();
        let orders: Vec<_> = (0..8).map(|_| scope.spawn(order)).collect();
        for order in orders {
            let said = order.join().unwrap();
            assert_eq!(said.code, DEVICE_REFUSED, "{}", said.text);
            assert!(said.text.contains("nothing to apply"), "{}", said.text);
        }
    });
}
