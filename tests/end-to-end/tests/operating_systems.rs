//! An application may be built on any operating system, be debugged there with a stock GDB, and be replaced by one that is
//! built on another.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test: a panic is its failure")]

use std::path::Path;

use bulkhead_end_to_end::debugger::Debugging;
use bulkhead_end_to_end::fleet::Fleet;
use bulkhead_end_to_end::scenes::log_line;

/// An application that is built on something.
struct System {
    /// Its program.
    program: &'static str,
    /// A line that it logs when it has run for some seconds.
    line: &'static str,
    /// Where GDB is to stop it: a function, or a source file and words of the line; and what the backtrace must name.
    stop: Option<(Stop, &'static [&'static str])>,
}

enum Stop {
    Function(&'static str),
    Line(&'static str, &'static str),
}

const fn system(
    program: &'static str,
    line: &'static str,
    stop: Option<(Stop, &'static [&'static str])>,
) -> System {
    System { program, line, stop }
}

/// What is installed one after the other.
const SYSTEMS: &[System] = &[
    system("hello-c-v1", "hello v1 second 2", Some((Stop::Function("bh_text_append_number"), &["main ("]))),
    system("freertos-c-v1", "blinks 30", Some((Stop::Function("bh_text_append_number"), &["report ("]))),
    // Its tick stands still while it sleeps, with interrupts masked: that must not pass for being stuck.
    system("freertos-c-v2", "blinks 30", None),
    system("hello-cpp", "hello-cpp second 2, smoothed", Some((Stop::Function("bh_log_text"), &["main ("]))),
    system(
        "hello-rust",
        "hello-rust second 2",
        Some((Stop::Line("apps/hello-rust/src/main.rs", "hello-rust second {"), &["main"])),
    ),
    system(
        "embassy-rust",
        "embassy sample 12",
        Some((Stop::Line("apps/embassy-rust/src/main.rs", "embassy sample {"), &["main"])),
    ),
    system(
        "rtic-rust",
        "rtic second 2",
        Some((
            Stop::Line("apps/rtic-rust/src/main.rs", "rtic second {"),
            &["report", "signal handler called"],
        )),
    ),
    system("hello-zig", "hello-zig second 2", Some((Stop::Function("tell_second"), &["run ("]))),
    system("hello-c-v2", "hello v2 second 2", None),
];

#[test]
fn a_device_goes_from_one_operating_system_to_another_and_stock_gdb_stops_in_each() {
    let mut fleet = Fleet::start().unwrap();
    let mut device = fleet.new_device("chameleon").unwrap();
    let since = fleet.power_on(&mut device).unwrap().link.map(|link| link.since);
    for (version, system) in SYSTEMS.iter().enumerate() {
        let bundle = fleet.push_debuggable(system.program, "chameleon", &version.to_string()).unwrap();
        fleet.deploy(&device, &bundle).unwrap();
        log_line(&fleet, &device, system.line).unwrap();
        if let Some((stop, named)) = &system.stop {
            let text = backtrace(&fleet, &device.id, system.program, stop);
            assert!(text.contains("Breakpoint 1, "), "{}: GDB did not stop:\n{text}", system.program);
            for name in *named {
                assert!(text.contains(name), "{}: no `{name}` in the backtrace:\n{text}", system.program);
            }
        }
    }
    let seen = fleet.look(&device).unwrap();
    assert_eq!(seen.link.map(|link| link.since), since, "the device had to connect again");
    let fault = seen.reported.unwrap().fault;
    assert_eq!(fault, None, "an application was stopped; console:\n{}", device.console_tail());
}

/// What GDB says when it stops the application there; it is let go afterwards.
fn backtrace(fleet: &Fleet, device: &str, program: &str, stop: &Stop) -> String {
    let program = fleet.programs.app(program).unwrap().to_string_lossy().into_owned();
    let place = match stop {
        Stop::Function(name) => (*name).to_owned(),
        Stop::Line(path, words) => line_of(path, words),
    };
    let debugging = Debugging::start(&fleet.tool, device, &["--elf", &program]).unwrap();
    let stop = format!("break {place}");
    debugging
        .gdb(&program, &[&stop, "continue", "backtrace 12", "info registers pc", "delete", "detach"])
        .unwrap()
}

/// The line of a source file with these words, as GDB wants it.
fn line_of(path: &str, words: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join(path)).unwrap();
    let line = text.lines().position(|line| line.contains(words)).expect("the words stand in the source") + 1;
    format!("{path}:{line}")
}
