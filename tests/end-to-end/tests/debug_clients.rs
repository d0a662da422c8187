//! Several debuggers at one device, `monitor`, `load`, and what a developer is told when something is wrong.

use std::thread;
use std::time::Duration;

use bulkhead_end_to_end::debugger::{Debugging, Pause, debuggable};
use bulkhead_end_to_end::scenes::log_line;

/// Exit codes of the tool.
const SERVER_REFUSED: i32 = 5;
const DEVICE_REFUSED: i32 = 7;
const FILE: i32 = 9;

#[test]
fn a_second_debugger_watches_while_the_application_runs_and_has_no_say() {
    let bench = debuggable("hello-c-v1", |fleet| Ok(fleet.server.devices)).unwrap();
    let mut debugging =
        Debugging::start(&bench.fleet.tool, &bench.device.id, &["--elf", &bench.program]).unwrap();
    let folder = bench.fleet.folder.path();
    let (stands, runs) = (Pause::new(folder, "stands"), Pause::new(folder, "runs"));
    let wait = stands.command();
    // Half a minute after the start: long enough for the second debugger.
    let first = ["break systick_handler if ticks == 3000", &wait, "continue", "print ticks", "detach"];
    let pause = runs.command();
    let second = [
        "print ticks",
        "shell sleep 1",
        // A live watch reads anew.
        "maintenance flush dcache",
        "print ticks",
        "continue",
        "monitor reset halt",
        "monitor status",
        &pause,
        "detach",
    ];
    let (first, second) = thread::scope(|scope| {
        let first = scope.spawn(|| debugging.gdb(&bench.program, &first));
        stands.when_reached(|| Ok(())).unwrap();
        thread::sleep(Duration::from_secs(1));
        let second = scope.spawn(|| debugging.gdb(&bench.program, &second));
        runs.when_reached(|| Ok(())).unwrap();
        (first.join().unwrap().unwrap(), second.join().unwrap().unwrap())
    });
    println!("first:\n{first}\nsecond:\n{second}");
    let value = |name: &str| -> u32 {
        let line = second.lines().find_map(|line| line.strip_prefix(&format!("{name} = ")));
        line.unwrap_or_else(|| panic!("no {name} in {second}")).trim().parse().unwrap()
    };
    assert!(value("$2") > value("$1") + 50, "a second is a hundred ticks: {second}");
    assert!(second.contains("has control"), "{second}");
    assert!(second.contains("round trips"), "{second}");
    assert!(first.contains("$1 = 3000"), "the first was stopped by its own breakpoint alone: {first}");
    debugging
        .running()
        .wait_for("a note", Duration::from_secs(5), |line| line.contains("it only looks").then_some(()))
        .unwrap();
}

#[test]
fn monitor_commands_do_what_they_say_and_help_lists_them() {
    let bench = debuggable("hello-c-v1", |fleet| Ok(fleet.server.devices)).unwrap();
    let debugging =
        Debugging::start(&bench.fleet.tool, &bench.device.id, &["--elf", &bench.program]).unwrap();
    let text = debugging
        .gdb(
            &bench.program,
            &[
                "monitor help",
                "monitor nonsense",
                "monitor reset halt",
                "maintenance flush register-cache",
                "print $pc == ((unsigned)&reset_handler & ~1)",
                "monitor fault",
                "monitor step-irq on",
                "monitor step-irq",
                "monitor vcatch bogus on",
                "monitor vcatch usage on",
                "monitor vcatch usage off",
                "monitor halt",
                "monitor reset",
                "monitor halt",
                "maintenance flush register-cache",
                "detach",
            ],
        )
        .unwrap();
    for wanted in [
        "monitor reset halt",
        "no command `nonsense`",
        "stands before its first instruction",
        "$1 = 1",
        "did not stop by a fault",
        "interrupts are let in",
        "no exception `bogus`; there are nmi",
        "caught: usage at 0x",
        "nothing is caught",
        "is restarted, and runs",
    ] {
        assert!(text.contains(wanted), "no `{wanted}` in:\n{text}");
    }
    log_line(&bench.fleet, &bench.device, "hello v1 second").unwrap();
}

#[test]
fn gdb_loads_a_program_through_a_bundle_and_only_with_a_key_to_sign() {
    let bench = debuggable("hello-c-v1", |fleet| Ok(fleet.server.devices)).unwrap();
    let other = bench.fleet.programs.app("hello-c-v2").unwrap().to_string_lossy().into_owned();
    let without = Debugging::start(&bench.fleet.tool, &bench.device.id, &[]).unwrap();
    let text = without.gdb(&other, &["load", "detach"]).unwrap();
    assert!(text.contains("Load failed") || text.contains("failed"), "{text}");
    drop(without);

    let key = bench.fleet.tool.home().join("keys").join("signing.key");
    let options = ["--signing-key", &key.to_string_lossy()];
    let debugging = Debugging::start(&bench.fleet.tool, &bench.device.id, &options).unwrap();
    let commands = [
        "load",
        "maintenance flush register-cache",
        "break systick_handler",
        "continue",
        "print/x table[1]",
        "detach",
    ];
    let text = debugging.gdb(&other, &commands).unwrap();
    println!("{text}\n{}", debugging.said());
    assert!(text.contains("Transfer rate"), "{text}");
    assert!(text.contains("Breakpoint 1, systick_handler"), "{text}");
    assert!(text.contains("$1 = 0x9e3779b3"), "a constant of version 2: {text}");
    log_line(&bench.fleet, &bench.device, "hello v2 second").unwrap();
}

#[test]
fn each_reason_to_refuse_says_what_to_do_next() {
    let mut bench = debuggable("hello-c-v1", |fleet| Ok(fleet.server.devices)).unwrap();
    let other = bench.fleet.programs.app("hello-c-v2").unwrap().to_string_lossy().into_owned();

    // A file that is no program, and one that the device does not run.
    let refused = bench.fleet.tool.refused(&["debug", &bench.device.id, "--elf", "/etc/hostname"]).unwrap();
    assert_eq!(refused.code, FILE, "{}", refused.text);
    assert!(refused.text.contains("ELF file that the bundle was made from"), "{}", refused.text);
    let debugging = Debugging::start(&bench.fleet.tool, &bench.device.id, &["--elf", &other]).unwrap();
    debugging.gdb(&other, &["detach"]).unwrap();
    assert!(debugging.said().contains("the ELF file does not match"), "{}", debugging.said());

    // Held by another.
    let held = bench.fleet.tool.refused(&["debug", &bench.device.id, "--port", "0"]).unwrap();
    assert_eq!(held.code, SERVER_REFUSED, "{}", held.text);
    assert!(held.text.contains("is debugging") && held.text.contains("--takeover"), "{}", held.text);
    drop(debugging);

    // A port that is taken.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let refused = bench.fleet.tool.refused(&["debug", &bench.device.id, "--port", &port]).unwrap();
    assert!(refused.text.contains("choose another with --port"), "{}", refused.text);

    // Offline.
    bench.fleet.cut_power(&mut bench.device).unwrap();
    let offline = bench.fleet.tool.refused(&["debug", &bench.device.id, "--port", "0"]).unwrap();
    assert_eq!(offline.code, SERVER_REFUSED, "{}", offline.text);
    assert!(
        offline.text.contains("is not connected") && offline.text.contains("device show"),
        "{}",
        offline.text
    );

    // Without a key in the bundle.
    bench.fleet.power_on(&mut bench.device).unwrap();
    let closed = bench.fleet.push("hello-c-v2", "debugged", "2").unwrap();
    bench.fleet.deploy(&bench.device, &closed).unwrap();
    let refused = bench.fleet.tool.refused(&["debug", &bench.device.id, "--port", "0"]).unwrap();
    assert_eq!(refused.code, DEVICE_REFUSED, "{}", refused.text);
    assert!(
        refused.text.contains("names no developer") && refused.text.contains("--debug-key"),
        "{}",
        refused.text
    );
}
