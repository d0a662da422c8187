//! Configuration and secrets: set here, sealed there, read without a network.

#![expect(clippy::unwrap_used, reason = "a test: a panic is its failure")]

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use bulkhead_board_description::{Board, MPS2_AN505};
use bulkhead_cloud_api::{ConfigScope, DeviceConfiguration, SetConfig, to_base64};
use bulkhead_end_to_end::device::Device;
use bulkhead_end_to_end::fleet::Fleet;
use bulkhead_end_to_end::waiting::{Seen, until};

const SOON: Duration = Duration::from_secs(60);

fn courier() -> (Fleet, Device) {
    let (mut fleet, device) = Fleet::start_with_device("courier").unwrap();
    let bundle = fleet.push("courier-c", "courier", "1").unwrap();
    fleet.deploy(&device, &bundle).unwrap();
    (fleet, device)
}

fn wait_said(device: &Device, after: usize, text: &str) -> String {
    until(&format!("the application to say `{text}`"), SOON, || {
        let said = device.application_console().get(after..).unwrap_or_default().to_owned();
        let so = said.contains(text);
        Ok(if so { Seen::Answer(said) } else { Seen::NotYet(format!("{said}\n{}", device.console_tail())) })
    })
    .unwrap()
}

fn wait_in_sync(fleet: &Fleet, device: &Device) -> DeviceConfiguration {
    until("the device to have its configuration", SOON, || {
        let configuration = fleet.api.configuration(&device.id).unwrap();
        let so = configuration.in_sync && configuration.revision > 0;
        let text = format!("{configuration:?}\n{}", device.console_tail());
        Ok(if so { Seen::Answer(configuration) } else { Seen::NotYet(text) })
    })
    .unwrap()
}

/// The sealed configuration, as it lies in the device's memory.
struct AtRest {
    memory: File,
    offset: u64,
    len: usize,
}

impl AtRest {
    fn of(device: &Device) -> Self {
        let part = Board::parse(MPS2_AN505).unwrap().non_volatile.external.configuration;
        let memory = File::open(&device.memory).unwrap();
        Self { memory, offset: part.offset.into(), len: part.length as usize }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len];
        self.memory.read_exact_at(&mut bytes, self.offset).unwrap();
        bytes
    }
}

#[test]
fn values_reach_the_application_and_are_there_after_power_on_without_a_server() {
    let (mut fleet, mut device) = courier();
    let secret = "correct horse battery staple";
    let set = |arguments: &[&str]| fleet.tool.run(&[&["config", "set"], arguments].concat()).unwrap();
    set(&["--all", "period", "60"]);
    set(&["-d", &device.id, "name", "pump 7"]);
    set(&["-d", &device.id, "wifi/key", secret, "--secret"]);
    let configuration = wait_in_sync(&fleet, &device);
    let sum: u32 = secret.bytes().map(u32::from).sum();
    let wanted = format!("secret wifi/key length {} sum {sum}", secret.len());
    let said = wait_said(&device, 0, &wanted);
    assert!(said.contains("config name=pump 7") && said.contains("config period=60"), "{said}");

    let keys: Vec<_> = configuration.items.iter().map(|item| (item.key.as_str(), item.scope)).collect();
    let (own, all) = (ConfigScope::Device, ConfigScope::Fleet);
    assert_eq!(keys, [("name", own), ("period", all), ("wifi/key", own)]);
    assert!(configuration.items[2].secret && configuration.items[2].value.is_none(), "never told");
    let listed = fleet.tool.run(&["config", "ls", "-d", &device.id]).unwrap();
    assert!(listed.contains("(secret of 28 bytes)") && !listed.contains(secret), "{listed}");
    assert!(listed.contains("the device has revision"), "{listed}");
    assert_eq!(fleet.tool.run(&["config", "get", "-d", &device.id, "name"]).unwrap(), "pump 7");
    let hidden = fleet.tool.refused(&["config", "get", "-d", &device.id, "wifi/key"]).unwrap();
    assert!(hidden.text.contains("is a secret"), "{}", hidden.text);
    let raw = AtRest::of(&device).bytes();
    assert!(!raw.windows(7).any(|bytes| bytes == b"correct" || bytes == b"wifi/ke"), "sealed at rest");

    // Neither server nor network: the device starts alone.
    fleet.cut_power(&mut device).unwrap();
    fleet.server.stop();
    let before = device.application_console().len();
    device.power_on().unwrap();
    let said = wait_said(&device, before, "configuration revision");
    assert!(said.contains(&wanted) && said.contains("config name=pump 7"), "{said}");
}

#[test]
fn a_change_is_noticed_and_what_is_removed_falls_back() {
    let (fleet, device) = courier();
    let run = |arguments: &[&str]| fleet.tool.run(&[&["config"], arguments].concat()).unwrap();
    run(&["set", "--all", "period", "60"]);
    run(&["set", "-d", &device.id, "period", "5"]);
    let first = wait_in_sync(&fleet, &device);
    wait_said(&device, 0, "config period=5\n");
    let before = device.application_console().len();
    run(&["rm", "-d", &device.id, "period"]);
    wait_said(&device, before, "config period=60\n");
    let second = wait_in_sync(&fleet, &device);
    assert!(second.revision > first.revision && second.items.len() == 1);
    let before = device.application_console().len();
    run(&["rm", "--all", "period"]);
    let said = wait_said(&device, before, "configuration revision");
    assert!(!said.contains("period"), "{said}");
    let gone = fleet.tool.refused(&["config", "rm", "--all", "period"]).unwrap();
    assert!(gone.text.contains("is not set here"), "{}", gone.text);
}

/// How long after the first byte of a new configuration the power fails, in milliseconds: a cut each.
const CUTS_MS: [u64; 8] = [0, 1, 2, 3, 5, 8, 12, 20];
/// Further cuts, at once, if all of those came too late.
const CUTS_MORE: usize = 8;
/// As much of a value as the application says.
const SAID_LEN: usize = 80;

/// Gives each key of a device one value.
fn set_all(fleet: &Fleet, device: &Device, value: &str) {
    let set = SetConfig { text: Some(value.to_owned()), ..SetConfig::default() };
    for key in ["a", "b", "c"] {
        fleet.api.set_config(Some(&device.id), key, &set).unwrap();
    }
}

/// What a device that starts without a server says of its configuration: with nobody there it can only read what it has.
fn kept_alone(fleet: &mut Fleet, device: &mut Device) -> Vec<String> {
    fleet.server.stop();
    let heard = device.application_console().len();
    device.power_on().unwrap();
    let told = until("the application to say what it has", SOON, || {
        let said = device.application_console();
        // Before its start stands what was still in the pipe when the power failed.
        let told = said.get(heard..).and_then(|said| said.rsplit_once("courier starts"));
        let whole = told.filter(|(_, told)| told.contains("configuration revision"));
        Ok(whole.map_or_else(|| Seen::NotYet(said.clone()), |(_, told)| Seen::Answer(told.to_owned())))
    })
    .unwrap();
    device.cut_power();
    fleet.restart_server().unwrap();
    let values = told.lines().filter_map(|line| line.strip_prefix("config ")?.split_once('='));
    values.map(|(_, value)| value.to_owned()).collect()
}

/// A cut that comes too late, as on a busy machine, finds the new one stored: it costs a round, since each round has a value
/// of its own.
#[test]
fn power_that_fails_while_a_configuration_is_stored_leaves_the_old_one_or_the_new_one() {
    let (mut fleet, mut device) = courier();
    let mut committed = "old".to_owned();
    set_all(&fleet, &device, &committed);
    wait_in_sync(&fleet, &device);
    fleet.cut_power(&mut device).unwrap();
    let at_rest = AtRest::of(&device);
    let (mut next, mut left_old) = (String::new(), 0);
    for (round, pause_ms) in CUTS_MS.into_iter().chain([0; CUTS_MORE]).enumerate() {
        if round >= CUTS_MS.len() && left_old > 0 {
            break;
        }
        next = format!("{round:02}").repeat(250);
        set_all(&fleet, &device, &next);
        let before = at_rest.bytes();
        device.power_on().unwrap();
        // No pause here: the whole of it is written within some tens of milliseconds.
        let deadline = Instant::now() + SOON;
        while at_rest.bytes() == before {
            assert!(Instant::now() < deadline, "nothing is written:\n{}", device.console_tail());
        }
        std::thread::sleep(Duration::from_millis(pause_ms));
        device.cut_power();
        let values = kept_alone(&mut fleet, &mut device);
        let whole = |value: &str| values == [value.get(..SAID_LEN).unwrap_or(value); 3];
        assert!(whole(&committed) || whole(&next), "a mixture: {values:?}");
        if whole(&committed) {
            left_old += 1;
        } else {
            committed.clone_from(&next);
        }
        eprintln!("cut {round}, {pause_ms} ms into the writing: {left_old} left the old one");
    }
    assert!(left_old > 0, "no cut fell into the writing");
    fleet.power_on(&mut device).unwrap();
    assert_eq!(wait_in_sync(&fleet, &device).items[0].text.as_deref(), Some(&*next));
}

#[test]
fn what_is_no_key_or_value_is_refused_with_a_next_step() {
    let fleet = Fleet::start().unwrap();
    let device = fleet.new_device("silent").unwrap();
    let (long_key, long_value) = ("k".repeat(33), "v".repeat(513));
    let cases: &[(&[&str], &str)] = &[
        (&["config", "set", "--all", &long_key, "x"], "1 to 32 printable"),
        (&["config", "set", "--all", "a b", "x"], "1 to 32 printable"),
        (&["config", "set", "--all", "naïve", "x"], "1 to 32 printable"),
        (&["config", "set", "--all", "a", &long_value], "keep it within 512 bytes"),
        (&["config", "set", "-d", "nobody", "a", "x"], "bulkhead device ls"),
        (&["config", "get", "--all", "nothing"], "config ls"),
    ];
    for (arguments, word) in cases {
        let refusal = fleet.tool.refused(arguments).unwrap();
        assert!(refusal.text.contains(word), "{arguments:?}: {}", refusal.text);
    }
    let set = |device: Option<&str>, key: &str| {
        let value = SetConfig { value: Some(to_base64(&[0, 255])), ..SetConfig::default() };
        fleet.api.set_config(device, key, &value)
    };
    for n in 0..20 {
        set(None, &format!("all-{n}")).unwrap();
    }
    for n in 0..4 {
        set(Some(&device.id), &format!("own-{n}")).unwrap();
    }
    set(Some(&device.id), "all-3").unwrap();
    assert!(set(Some(&device.id), "one-more").is_err() && set(None, "one-more").is_err(), "a device has 24");
    let both = SetConfig { value: Some("AA==".into()), text: Some("x".into()), secret: false };
    assert!(fleet.api.set_config(None, "all-1", &both).is_err());
}
