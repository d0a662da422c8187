//! Who may sign is the owner's to decide, on the device, through power cuts; and so is going back.

#![expect(clippy::unwrap_used, reason = "a test: a panic is its failure")]

use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bulkhead_board_description::{Board, MPS2_AN505};
use bulkhead_cloud_api::{Device as Seen, Timestamp};
use bulkhead_end_to_end::device::Device;
use bulkhead_end_to_end::fleet::Fleet;
use bulkhead_end_to_end::owner::Bundle;

/// Exit code of the tool when the device refused.
const DEVICE_REFUSED: i32 = 7;
/// Exit code of the tool when the server refused.
const SERVER_REFUSED: i32 = 5;
const SOON: Duration = Duration::from_secs(60);

/// A fleet and what its owner keeps offline.
struct Owned {
    fleet: Fleet,
    device: Device,
}

impl Owned {
    /// A device that runs version 1, signed by the key that it was provisioned with.
    fn start(name: &str) -> (Self, Bundle) {
        let (fleet, device) = Fleet::start_with_device(name).unwrap();
        let owned = Self { fleet, device };
        let v1 = owned.bundle("hello-c-v1", "1", 1, None);
        owned.fleet.deploy(&owned.device, &v1).unwrap();
        (owned, v1)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.fleet.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_string_lossy().into_owned()
    }

    fn key(&self, name: &str) {
        self.fleet.tool.run(&["key", "generate", "--output", &self.text(name)]).unwrap();
    }

    /// Signs and pushes `app`; equal arguments give the same manifest, whoever signs.
    fn bundle(&self, app: &str, version: &str, sequence: u64, key: Option<&str>) -> Bundle {
        let program = self.fleet.programs.app(app).unwrap();
        let path = self.path(&format!("{app}-{sequence}.bundle"));
        let (program, output, sequence) =
            (program.to_string_lossy(), path.to_string_lossy().into_owned(), sequence.to_string());
        let mut all = vec!["app", "bundle", &program, "--output", &output, "--name", "hello"];
        all.extend(["--version", version, "--sequence", &sequence, "--trial-window", "1"]);
        let key = key.map(|name| self.text(name));
        if let Some(key) = &key {
            all.extend(["--key", key]);
        }
        let made = self.fleet.tool.json(&all).unwrap();
        self.fleet.tool.run(&["app", "push", &output]).unwrap();
        Bundle { path, manifest: made["manifest"].as_str().unwrap().to_owned() }
    }

    /// Makes set `version` with one root and one signer, signed by `by`, and pushes it.
    fn push_set(&self, version: u32, root: &str, signer: &str, by: &[&str]) {
        let (file, number) = (self.text(&format!("{version}.keyset")), version.to_string());
        let (root, signer) = (self.text(root), self.text(signer));
        let mut new = vec!["key", "set", "new", "--version", &number, "--threshold", "1"];
        new.extend(["--root", &root, "--signer", &signer, "--output", &file]);
        self.fleet.tool.run(&new).unwrap();
        for key in by {
            self.fleet.tool.run(&["key", "set", "sign", &file, "--key", &self.text(key)]).unwrap();
        }
        self.fleet.tool.run(&["key", "set", "push", &file]).unwrap();
    }

    fn wait_for_set(&self, version: u32) -> Seen {
        let follows = |seen: &Seen| {
            seen.reported.as_ref().is_some_and(|reported| reported.key_set_version == Some(version))
        };
        self.fleet.wait(&self.device, "the device to follow the key set", SOON, follows).unwrap()
    }

    /// Where the tool keeps the key that devices are provisioned with, as a name for [`Self::text`].
    fn provisioned(&self) -> String {
        let key = self.fleet.tool.home().join("keys").join("signing.key");
        key.strip_prefix(self.fleet.folder.path()).unwrap().to_string_lossy().into_owned()
    }
}

#[test]
fn signers_are_rotated_and_a_permit_leads_back_once() {
    let (owned, v1) = Owned::start("rotated");
    let (fleet, device) = (&owned.fleet, &owned.device);
    owned.key("root.key");
    owned.key("ci.key");
    owned.push_set(1, "root.key", "ci.key", &[&owned.provisioned(), "root.key"]);
    let seen = owned.wait_for_set(1);
    assert_eq!(seen.reported.unwrap().running.unwrap().to_string(), v1.manifest, "what runs goes on");
    let shown = fleet.tool.run(&["device", "show", &device.id]).unwrap();
    assert!(shown.contains("key set 1"), "{shown}");

    let old_signer = owned.bundle("hello-c-v2", "2", 2, None);
    let refused = fleet.tool.refused(&["deploy", "--device", &device.id, &old_signer.manifest]).unwrap();
    assert_eq!(refused.code, DEVICE_REFUSED, "{}", refused.text);
    assert!(refused.text.contains("key set 1 does not list"), "{}", refused.text);

    let v2 = owned.bundle("hello-c-v2", "2", 2, Some("ci.key"));
    assert_eq!(v2.manifest, old_signer.manifest);
    fleet.tool.run(&["deploy", "--device", &device.id, "--manifest", &v2.manifest]).unwrap();
    fleet.wait_running(device, &v2).unwrap();

    let v1 = owned.bundle("hello-c-v1", "1", 1, Some("ci.key"));
    let back = ["deploy", "--device", &device.id, "--manifest", &v1.manifest];
    let refused = fleet.tool.refused(&back).unwrap();
    assert_eq!(refused.code, SERVER_REFUSED, "{}", refused.text);
    assert!(refused.text.contains("key permit"), "{}", refused.text);
    let (permit, key) = (owned.text("back.permit"), owned.text("ci.key"));
    let make = ["key", "permit", "--device", &device.id, "--manifest", &v1.manifest, "--key", &key];
    fleet.tool.run(&[&make[..], &["--output", &permit]].concat()).unwrap();
    fleet.tool.run(&[&back[..], &["--permit", &permit]].concat()).unwrap();
    let seen = fleet.wait_running(device, &v1).unwrap();
    let floors = seen.reported.unwrap().floors.unwrap();
    assert_eq!((floors.sequence, floors.permits), (2, 1), "the floor stays, the permit is used up");

    fleet.tool.run(&["deploy", "--device", &device.id, "--manifest", &v2.manifest]).unwrap();
    let again = fleet.tool.refused(&[&back[..], &["--permit", &permit]].concat()).unwrap();
    assert_eq!(again.code, SERVER_REFUSED, "{}", again.text);
    assert!(again.text.contains("takes number 1"), "{}", again.text);
}

#[test]
fn power_cuts_while_key_sets_are_stored_lose_neither_the_set_nor_the_application() {
    let (mut owned, v1) = Owned::start("cut");
    for version in 0..4 {
        owned.key(&format!("root-{version}.key"));
    }
    let mut by = owned.provisioned();
    let board = Board::parse(MPS2_AN505).unwrap();
    let keys = board.non_volatile.die.keys;
    for version in 1..=3 {
        let root = format!("root-{version}.key");
        let file = std::fs::File::open(&owned.device.memory).unwrap();
        let slots = || {
            let mut bytes = vec![0; usize::try_from(keys.length).unwrap()];
            file.read_exact_at(&mut bytes, keys.offset.into()).unwrap();
            bytes
        };
        let before = slots();
        owned.push_set(version, &root, &root, &[&by, &root]);
        let deadline = Instant::now() + SOON;
        while slots() == before {
            assert!(Instant::now() < deadline, "the set was not stored: {}", owned.device.console_tail());
        }
        let cut_at = Timestamp::now();
        owned.device.cut_power();
        owned.device.power_on().unwrap();
        owned.fleet.wait_online(&owned.device, cut_at).unwrap();
        owned.wait_for_set(version);
        by = root;
    }
    owned.fleet.wait_running(&owned.device, &v1).unwrap();
}

#[test]
fn a_device_without_application_is_given_the_factory_bundle_of_its_class() {
    let mut fleet = Fleet::start().unwrap();
    let v1 = fleet.push("hello-c-v1", "hello", "1").unwrap();
    let v2 = fleet.push("hello-c-v2", "hello", "2").unwrap();
    fleet.tool.run(&["app", "factory", &v2.manifest]).unwrap();
    let mut device = fleet.new_device("fresh").unwrap();
    fleet.power_on(&mut device).unwrap();
    fleet.wait_running(&device, &v2).unwrap();
    fleet.tool.run(&["app", "factory", &v1.manifest]).unwrap();
    let older = fleet.tool.refused(&["update", "factory", &device.id]).unwrap();
    assert_eq!(older.code, SERVER_REFUSED, "{}", older.text);
    assert!(older.text.contains("--permit"), "{}", older.text);
    let permit = fleet.folder.path().join("factory.permit").to_string_lossy().into_owned();
    let make = ["key", "permit", "--device", &device.id, "--manifest", &v1.manifest, "--output", &permit];
    fleet.tool.run(&make).unwrap();
    fleet.tool.run(&["update", "factory", &device.id, "--permit", &permit]).unwrap();
    fleet.wait_running(&device, &v1).unwrap();
}
