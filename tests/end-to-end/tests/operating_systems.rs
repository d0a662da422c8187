//! An application may be built on any operating system, be debugged there with a stock GDB, hear from the hypervisor by
//! interrupt, and be replaced by one that is built on another.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test: a panic is its failure")]

use std::path::Path;
use std::time::Duration;

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
    /// What it logs once the interrupt of the hypervisor's notifications has told it that the next one is staged.
    notified: Option<&'static str>,
}

enum Stop {
    Function(&'static str),
    Line(&'static str, &'static str),
}

impl System {
    const fn new(program: &'static str, line: &'static str) -> Self {
        Self { program, line, stop: None, notified: None }
    }

    const fn stops(mut self, at: Stop, named: &'static [&'static str]) -> Self {
        self.stop = Some((at, named));
        self
    }

    const fn and_notified(mut self, line: &'static str) -> Self {
        self.notified = Some(line);
        self
    }
}

/// What is installed one after the other.
const SYSTEMS: &[System] = &[
    System::new("hello-c-v1", "hello v1 second 2")
        .stops(Stop::Function("bh_text_append_number"), &["main ("])
        .and_notified("hello v1: update is staged"),
    System::new("freertos-c-v1", "blinks 30")
        .stops(Stop::Function("bh_text_append_number"), &["report ("])
        .and_notified("freertos v1: update is staged"),
    // Its tick stands still while it sleeps, with interrupts masked: that must not pass for being stuck.
    System::new("freertos-c-v2", "blinks 30")
        .stops(Stop::Function("bh_text_append_number"), &["report ("])
        .and_notified("freertos v2: update is staged"),
    System::new("hello-cpp", "hello-cpp second 2, smoothed")
        .stops(Stop::Function("bh_log_text"), &["main ("])
        .and_notified("hello-cpp: an update of"),
    System::new("hello-rust", "hello-rust second 2")
        .stops(Stop::Line("apps/hello-rust/src/main.rs", "hello-rust second {"), &["__cortex_m_rt_main ("])
        .and_notified("hello-rust: an update of"),
    System::new("embassy-rust", "embassy sample 12")
        .stops(
            Stop::Line("apps/embassy-rust/src/main.rs", "embassy sample {"),
            &["Executor::poll (", "__cortex_m_rt_main ("],
        )
        .and_notified("embassy: an update of"),
    System::new("rtic-rust", "rtic second 2")
        .stops(
            Stop::Line("apps/rtic-rust/src/main.rs", "rtic second {"),
            &["report", "signal handler called"],
        )
        .and_notified("rtic: an update of"),
    System::new("hello-zig", "hello-zig second 2")
        .stops(Stop::Function("tell_second"), &["run ("])
        .and_notified("hello-zig: update is staged"),
    // The SDK as it is installed: with a vendor's start-up code, found by CMake, found by pkg-config.
    System::new("package-c", "package-c prints, constructed yes"),
    System::new("package-cpp", "package-cpp runs, two are alive"),
    System::new("package-pkg-config", "package-pkg-config runs, two are alive"),
    System::new("hello-c-v2", "hello v2 second 2"),
];

#[test]
fn a_device_goes_from_one_operating_system_to_another_and_stock_gdb_stops_in_each() {
    let mut fleet = Fleet::start().unwrap();
    let mut device = fleet.new_device("chameleon").unwrap();
    let since = fleet.power_on(&mut device).unwrap().link.map(|link| link.since);
    let mut before: Option<&System> = None;
    for (version, system) in SYSTEMS.iter().enumerate() {
        let bundle = fleet.push_debuggable(system.program, "chameleon", &version.to_string()).unwrap();
        fleet.deploy(&device, &bundle).unwrap();
        if let Some(line) = before.and_then(|system| system.notified) {
            log_line(&fleet, &device, line).unwrap();
        }
        before = Some(system);
        log_line(&fleet, &device, system.line).unwrap();
        if let Some((stop, named)) = &system.stop {
            let text = backtrace(&fleet, &device.id, system.program, stop);
            assert!(text.contains("Breakpoint 1, "), "{}: GDB did not stop:\n{text}", system.program);
            let callers = callers(&text);
            for name in *named {
                assert!(
                    callers.contains(name),
                    "{}: no `{name}` among {callers} in:\n{text}",
                    system.program
                );
            }
        }
    }
    let seen = fleet.look(&device).unwrap();
    assert_eq!(seen.link.map(|link| link.since), since, "the device had to connect again");
    let fault = seen.reported.unwrap().fault;
    assert_eq!(fault, None, "an application was stopped; console:\n{}", device.console_tail());
}

/// The functions of a backtrace beyond the one that stopped, without the files that they are in.
fn callers(text: &str) -> String {
    let frames = text.lines().filter(|line| line.starts_with('#') && !line.starts_with("#0 "));
    frames.map(|line| line.split(" at ").next().unwrap_or_default()).collect::<Vec<_>>().join(", ")
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
    let commands = [&stop, "continue", "backtrace 12", "info registers pc", "delete", "detach"];
    let printed = debugging.gdb(&program, &commands).unwrap();
    let said = debugging.said();
    assert!(!said.contains("does not match"), "{program} is what runs, yet the tool says:\n{said}");
    printed
}

/// The line of a source file with these words, as GDB wants it.
fn line_of(path: &str, words: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join(path)).unwrap();
    let line = text.lines().position(|line| line.contains(words)).expect("the words stand in the source") + 1;
    format!("{path}:{line}")
}

/// QEMU takes SysTick's reload value one count of its clock after SysTick is started. A tickless kernel replaces the value in
/// the next instruction: here that lasts 256 ns, longer than a count, as it does on a chip.
const INSTRUCTION_SHIFT: u8 = 8;

#[test]
fn freertos_keeps_time_without_a_tick_while_the_hypervisor_wakes_it_now_and_then() {
    let mut fleet = Fleet::start().unwrap();
    let mut device = fleet.new_device("tickless").unwrap();
    device.count_instructions(INSTRUCTION_SHIFT);
    fleet.power_on(&mut device).unwrap();
    let bundle = fleet.push("freertos-c-v2", "tickless", "1").unwrap();
    fleet.deploy(&device, &bundle).unwrap();
    let mut logs = fleet.tool.follow(&["logs", "--json", "-f", "-n", "20", &device.id]).unwrap();
    // When it was said, and how often the first sensor was read until then: four times a second of the kernel's.
    let mut sample = |least: f64| {
        logs.wait_for("samples", Duration::from_secs(120), |line| {
            let record: serde_json::Value = serde_json::from_str(line).ok()?;
            let samples: f64 = record["text"]
                .as_str()?
                .strip_prefix("freertos: samples ")?
                .split(' ')
                .next()?
                .parse()
                .ok()?;
            (samples >= least).then_some((record["uptime_us"].as_f64()? / 1e6, samples / 4.0))
        })
        .unwrap()
    };
    let (began, began_by_the_kernel) = sample(1.0);
    let (ended, ended_by_the_kernel) = sample(120.0);
    let ratio = (ended_by_the_kernel - began_by_the_kernel) / (ended - began);
    // Each wake-up costs the kernel some counts, and a busy network wakes it more often. Half a tick each time would be 0.6.
    assert!((0.8..1.05).contains(&ratio), "{ratio} seconds of the kernel's for one of the device's");
}
