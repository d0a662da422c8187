//! Stock GDB at a device: watchpoints, registers for floating point, peripherals, probes that print; and what a policy says.

#![expect(clippy::unwrap_used, reason = "a test: a panic is its failure")]

use std::time::{Duration, Instant};

use bulkhead_debug_protocol::*;
use bulkhead_end_to_end::debugger::Debugging;
use bulkhead_end_to_end::developer::Developer;
use bulkhead_end_to_end::device::Device;
use bulkhead_end_to_end::fleet::Fleet;
use bulkhead_end_to_end::scenes::log_line;

const PROGRAM: &str = "debugged-c";
/// Exit code of the tool for what was typed and cannot be.
const FILE: i32 = 9;

/// A device that runs the program, whose developer is the fleet's own tool; `more` are further options of its bundle.
fn debugged(more: &[&str]) -> (Fleet, Device, String) {
    let (mut fleet, device) = Fleet::start_with_device("watched").unwrap();
    let bundle = fleet.push_debuggable_as(PROGRAM, "debugged", "1", more).unwrap();
    fleet.deploy(&device, &bundle).unwrap();
    let program = fleet.programs.app(PROGRAM).unwrap().to_string_lossy().into_owned();
    (fleet, device, program)
}

fn in_gdb(fleet: &Fleet, device: &Device, program: &str, commands: &[&str]) -> String {
    let debugging = Debugging::start(&fleet.tool, &device.id, &["--elf", program]).unwrap();
    debugging.gdb(program, commands).unwrap()
}

fn expect(text: &str, wanted: &[&str]) {
    let mut rest = text;
    for wanted in wanted {
        let at = rest.find(wanted);
        assert!(at.is_some(), "`{wanted}`, in this order, in:\n{text}");
        rest = rest.get(at.unwrap_or_default() + wanted.len()..).unwrap_or_default();
    }
}

#[test]
fn watchpoints_stop_where_memory_changes_and_nowhere_else() {
    let (fleet, device, program) = debugged(&[]);
    let text = in_gdb(
        &fleet,
        &device,
        &program,
        &[
            "break turn if number % 8 == 1",
            "continue",
            "delete",
            "watch values.watched",
            "continue",
            "print values.watched % 8",
            "print values.watched == values.before",
            "continue",
            "print values.watched % 8",
            // Each of these is a step through memory that is guarded.
            "stepi",
            "stepi",
            "next",
            "delete",
            "rwatch values.before",
            "continue",
            "delete",
            "break on_stack",
            "continue",
            "delete",
            "watch local",
            "continue",
            "continue",
            "backtrace",
            "monitor status",
            "detach",
        ],
    );
    expect(
        &text,
        &[
            "Hardware watchpoint 2: values.watched",
            "Hardware watchpoint 2: values.watched",
            "Old value = ",
            "New value = ",
            "$1 = 0",
            "$2 = 1",
            "Hardware watchpoint 2: values.watched",
            "$3 = 0",
            "Hardware read watchpoint 3: values.before",
            "Hardware read watchpoint 3: values.before",
            "Value = ",
            "Hardware watchpoint 5: local",
            "Hardware watchpoint 5: local",
            "New value = 7",
            "Hardware watchpoint 5: local",
            "Old value = 7",
            "#0 ",
            "on_stack",
            "main ()",
        ],
    );
    // What a device or its server prints, GDB writes elsewhere than its own words: once, for the one on the stack.
    assert_eq!(text.matches("every instruction is stepped").count(), 1, "watched by stepping, in:\n{text}");
    log_line(&fleet, &device, "the debugger is gone").unwrap();
}

#[test]
fn software_watchpoints_work_where_gdb_is_told_to_use_them() {
    let (fleet, device, program) = debugged(&[]);
    let started = Instant::now();
    let text = in_gdb(
        &fleet,
        &device,
        &program,
        &[
            "break turn",
            "continue",
            "delete",
            "set can-use-hw-watchpoints 0",
            "watch values.behind",
            "continue",
            "detach",
        ],
    );
    println!("took {:.1} s", started.elapsed().as_secs_f32());
    expect(&text, &["Watchpoint 2: values.behind", "Old value", "New value"]);
}

#[test]
fn registers_of_all_kinds_are_read_and_written() {
    let (fleet, device, program) = debugged(&[]);
    let text = in_gdb(
        &fleet,
        &device,
        &program,
        &[
            "break half",
            "continue",
            "print $s0",
            "print $d1",
            "print $s31",
            "info float",
            "set var $s0 = 4.25",
            "set var $d15 = 0.5",
            "stepi",
            "stepi",
            "maintenance flush register-cache",
            "print $s0 + $s31",
            "print $d15",
            "set var of = 9.0",
            "delete",
            "finish",
            "print/x $control",
            "set var $basepri = 0xC0",
            "stepi",
            "maintenance flush register-cache",
            "print/x $basepri",
            "set var $basepri = 0",
            // The application's vector table, the control register of its UART, and an interrupt of its own.
            "print/x *(unsigned *)0xE000ED08",
            "x/1wx 0x40201008",
            "set var *(unsigned *)0xE000E100 = 8",
            "print/x *(unsigned *)0xE000E100",
            "set var *(unsigned *)0xE000E180 = 8",
            // The debug registers, the same bank as the hypervisor reaches it, a comparator, a secure peripheral.
            "x/1wx 0xE000EDF0",
            "x/1wx 0xE002ED08",
            "x/1wx 0xE0002000",
            "x/1wx 0x50200000",
            "detach",
        ],
    );
    expect(
        &text,
        &[
            "$1 = 1.5",
            "$2 = 2.5",
            "$3 = -8",
            // 4.25 and the upper half of d15, which is 1.75 by itself.
            "$4 = 6",
            "$5 = 0.5",
            "Value returned is $6 = 4.5",
            "$7 = 0x",
            "$8 = 0xc0",
            "$9 = 0x800",
            "0x40201008:",
            "$10 = 0x8",
        ],
    );
    // GDB writes errors elsewhere than the rest.
    expect(
        &text,
        &[
            "Cannot access memory at address 0xe000edf0",
            "Cannot access memory at address 0xe002ed08",
            "Cannot access memory at address 0xe0002000",
            "Cannot access memory at address 0x50200000",
        ],
    );
    log_line(&fleet, &device, "the debugger is gone").unwrap();
}

#[test]
fn the_device_prints_without_stopping_the_application() {
    let (fleet, device, program) = debugged(&[]);
    let text = in_gdb(
        &fleet,
        &device,
        &program,
        &[
            "set dprintf-style agent",
            "break turn if number % 8 == 1",
            "continue",
            "delete",
            "dprintf turn,\"turn %u, at 0x%08x\\n\", number, $pc",
            "break on_stack if number % 8 == 7",
            "continue",
            "monitor status",
            "detach",
        ],
    );
    expect(&text, &["Dprintf 2", "Breakpoint 3, on_stack"]);
    let printed = text.lines().filter(|line| line.starts_with("turn ") && line.contains(", at 0x8000"));
    // The first was passed before the logpoint was there.
    assert_eq!(printed.count(), 6, "{text}");
}

#[test]
fn a_thread_that_sleeps_masked_stays_masked_across_a_breakpoint_that_does_not_stop_it() {
    let (fleet, device, program) = debugged(&[]);
    let text = in_gdb(
        &fleet,
        &device,
        &program,
        &[
            "break *nap_is_over if turns == 0",
            "tbreak turn if number % 160 == 159",
            "continue",
            "tbreak turn if number % 160 == 158",
            "continue",
            "print unmasked",
        ],
    );
    expect(&text, &["Temporary breakpoint", "Temporary breakpoint", "$1 = 0"]);
}

#[test]
fn a_policy_of_logpoints_only_is_kept_by_the_device_and_a_fault_stays_the_applications_own() {
    let (fleet, device, program) = debugged(&["--debug-halt", "logpoints-only"]);
    let key = fleet.tool.home().join("keys").join("debug.key");
    let private = bulkhead_bundle_builder::load_debug_key(&key).unwrap();
    let mut developer = Developer::open(&fleet.api, &device.id, &private).unwrap();
    developer.ask(&[Operation::Hello(Hello { version: 1 })]).unwrap();
    let not_allowed =
        vec![format!("{:?}", Answer::Refused(Refused { index: 0, reason: RefusalReason::NotAllowed }))];
    let watch = Watch { address: 0x2820_0000, len: 4, kind: WatchKind::Write };
    let probe = SetProbe {
        address: 0x8000_0200,
        action: Action::Stop,
        condition: None,
        command: None,
        actions_max: None,
    };
    for operation in [
        Operation::Halt(Nothing {}),
        Operation::SetWatch(watch),
        Operation::SetProbe(probe),
        Operation::Reset(Reset { halt: true }),
    ] {
        assert_eq!(developer.ask(&[operation]).unwrap(), not_allowed, "{operation:?}");
    }
    let read = ReadMemory { address: 0x2820_0000, len: 4, width: None };
    assert!(developer.ask(&[Operation::ReadMemory(read)]).unwrap().remove(0).starts_with("Memory"));
    drop(developer);

    // What the policy lets through works without a GDB at the terminal.
    let log = "turn,\"turn %u\\n\",number";
    let more = ["--takeover", "--elf", &program, "--log", log, "--log-if", "number % 64 == 3"];
    let mut debugging = Debugging::start(&fleet.tool, &device.id, &more).unwrap();
    let turn = |line: &str| line.strip_prefix("turn ")?.trim().parse::<u32>().ok();
    let printed =
        debugging.running().wait_for("a turn to be printed", Duration::from_secs(30), turn).unwrap();
    assert_eq!(printed % 64, 3);
    drop(debugging);

    // What GDB does not take ends it at once, instead of printing nothing for ever.
    for wrong in ["nowhere.c:1,\"x\"", "turn", "turn,\"%u\\n\",nothing_of_that_name"] {
        let more = ["debug", &device.id, "--port", "0", "--takeover", "--elf", &program, "--log", wrong];
        let refused = fleet.tool.refused(&more).unwrap();
        assert!(
            refused.code == FILE && refused.text.contains("--log 'main.c:42"),
            "{wrong}: {}",
            refused.text
        );
    }
}

#[test]
fn a_developer_who_is_not_heard_of_does_not_hold_the_application_for_ever() {
    let (fleet, device, _) = debugged(&["--debug-silence", "10s"]);
    let key = fleet.tool.home().join("keys").join("debug.key");
    let private = bulkhead_bundle_builder::load_debug_key(&key).unwrap();
    let mut developer = Developer::open(&fleet.api, &device.id, &private).unwrap();
    developer.ask(&[Operation::Hello(Hello { version: 1 }), Operation::Halt(Nothing {})]).unwrap();
    assert_eq!(developer.stop().unwrap(), StopReason::Halted);
    // Longer than that in all, with a sign of life in between, now and then.
    for _ in 0..6 {
        std::thread::sleep(Duration::from_secs(2));
        assert_eq!(developer.ask(&[Operation::Alive(Nothing {})]).unwrap(), ["Done(Nothing)"]);
    }
    assert!(developer.ask(&[Operation::ReadRegisters(Nothing {})]).unwrap()[0].starts_with("Registers"));
    log_line(&fleet, &device, "the debugger is gone").unwrap();
    assert!(developer.end().is_some());
}
