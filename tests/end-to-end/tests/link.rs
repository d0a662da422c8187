//! The link stays up by itself.

use std::thread::sleep;
use std::time::Duration;

use bulkhead_end_to_end::fleet::Fleet;

/// Longer than every timeout beneath the keepalive, which comes after minutes.
const SILENCE: Duration = Duration::from_secs(75);

#[test]
fn a_link_on_which_nobody_speaks_outlives_a_minute() {
    let fleet = Fleet::start().unwrap();
    let mut device = fleet.new_device("quiet").unwrap();
    let since = fleet.power_on(&mut device).unwrap().link.map(|link| link.since);
    sleep(SILENCE);
    let seen = fleet.look(&device).unwrap();
    assert!(seen.online, "the device went offline; its console:\n{}", device.console_tail());
    let now = seen.link.map(|link| link.since);
    assert_eq!(now, since, "the device had to connect again; its console:\n{}", device.console_tail());
}

#[test]
fn a_device_comes_back_by_itself_when_the_server_was_gone() {
    let (mut fleet, mut device) = Fleet::start_with_device("patient").unwrap();
    fleet.restart_server().unwrap();
    let seen =
        fleet.wait(&device, "the device to be back", Duration::from_secs(90), |seen| seen.online).unwrap();
    assert_eq!(seen.reported.unwrap().boot_reason, bulkhead_cloud_api::BootReason::PowerOn);
    device.still_runs().unwrap();
}
