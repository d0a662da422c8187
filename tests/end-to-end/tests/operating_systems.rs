//! An application may be built on any operating system, and be replaced by one that is built on another.

use bulkhead_end_to_end::fleet::Fleet;
use bulkhead_end_to_end::scenes::log_line;

/// What is installed one after the other, and a line that it logs when it has run for some seconds.
const SYSTEMS: &[(&str, &str)] = &[
    ("hello-c-v1", "hello v1 second 2"),
    ("freertos-c-v1", "blinks 30"),
    // Its tick stands still while it sleeps, with interrupts masked: that must not pass for being stuck.
    ("freertos-c-v2", "blinks 30"),
    ("hello-cpp", "hello-cpp second 2, smoothed"),
    ("hello-rust", "hello-rust second 2"),
    ("embassy-rust", "embassy sample 12"),
    ("rtic-rust", "rtic second 2"),
    ("hello-c-v2", "hello v2 second 2"),
];

#[test]
fn a_device_goes_from_one_operating_system_to_another_without_a_reset_of_its_own() {
    let mut fleet = Fleet::start().unwrap();
    let mut device = fleet.new_device("chameleon").unwrap();
    let since = fleet.power_on(&mut device).unwrap().link.map(|link| link.since);
    for (version, (program, line)) in SYSTEMS.iter().enumerate() {
        let bundle = fleet.push(program, "chameleon", &version.to_string()).unwrap();
        fleet.order(&device, &bundle).unwrap();
        fleet.wait_running(&device, &bundle).unwrap();
        log_line(&fleet, &device, line).unwrap();
    }
    let seen = fleet.look(&device).unwrap();
    assert_eq!(seen.link.map(|link| link.since), since, "the device had to connect again");
    let fault = seen.reported.unwrap().fault;
    assert_eq!(fault, None, "an application was stopped; console:\n{}", device.console_tail());
}
