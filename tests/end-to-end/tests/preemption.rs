//! Tasks that call the hypervisor all the time and are switched at any moment: a call belongs to the task that made it.

#![expect(clippy::unwrap_used, reason = "a test: a panic is its failure")]

use std::time::Duration;

use bulkhead_end_to_end::device::Device;
use bulkhead_end_to_end::fleet::Fleet;
use bulkhead_end_to_end::waiting::{Seen, until};

/// What `tasks-c` says of itself every second.
#[derive(Clone, Copy, Debug)]
struct Report {
    calls: u64,
    switches: u64,
    wrong: u64,
}

fn last_report(device: &Device, name: &str) -> Option<Report> {
    let said = device.application_console();
    let whole = said.rsplit_once('\n').map(|(whole, _)| whole)?;
    let line = whole.lines().rev().find(|line| line.starts_with(name))?;
    let number = |name: &str| {
        let (_, behind) = line.split_once(name)?;
        behind.split_whitespace().next()?.parse().ok()
    };
    let wrong = number("refused ")? + number("late ")? + number("lost ")?;
    Some(Report { calls: number("calls ")?, switches: number("switches ")?, wrong })
}

/// Waits until so many switches were made, and nothing was wrong until then.
fn wait_for_switches(device: &Device, name: &str, switches: u64) -> Report {
    until("the tasks to be switched", Duration::from_secs(120), || {
        Ok(match last_report(device, name) {
            Some(report) if report.wrong > 0 || report.switches >= switches => Seen::Answer(report),
            report => Seen::NotYet(format!("{report:?}\n{}", device.console_tail())),
        })
    })
    .unwrap()
}

/// Starts the tasks of `kind` and lets them be switched a hundred thousand times.
fn run(kind: char, name: &str) {
    let (mut fleet, device) = Fleet::start_with_device("tasks").unwrap();
    let bundle = fleet.push("tasks-c", "tasks", "1").unwrap();
    fleet.deploy(&device, &bundle).unwrap();
    device.type_to_application(kind).unwrap();
    let report = wait_for_switches(&device, name, 100_000);
    assert_eq!(report.wrong, 0, "{}", device.application_console());
    assert!(report.calls > 50_000, "{report:?}");
    let seen = fleet.look(&device).unwrap();
    assert_eq!(seen.reported.unwrap().fault, None, "{}", device.console_tail());
}

#[test]
fn tasks_that_are_switched_at_any_moment_get_their_own_calls_back() {
    run('p', "tasks:");
}

#[test]
fn tasks_without_privileges_get_their_own_calls_back() {
    run('u', "unprivileged tasks:");
}

#[test]
fn tasks_with_floating_point_registers_keep_them_across_calls() {
    run('f', "float tasks:");
}

#[test]
fn tasks_of_which_one_has_floating_point_registers_are_told_apart() {
    run('m', "mixed tasks:");
}
