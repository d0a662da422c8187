//! Several debuggers at one device, `monitor`, `load`, and what a developer is told when something is wrong.

use std::thread;
use std::time::Duration;

use bulkhead_end_to_end::child::Running;
use bulkhead_end_to_end::debugger::{Debugging, Pause, debuggable};
use bulkhead_end_to_end::peers::port_for_a_program;
use bulkhead_end_to_end::scenes::log_line;
use bulkhead_end_to_end::waiting::{Seen, until};

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
    let logs = bench.fleet.tool.follow(&["logs", "-f", "-n", "0", &bench.device.id]).unwrap();
    let (first, second) = thread::scope(|scope| {
        let first = scope.spawn(|| debugging.gdb(&bench.program, &first));
        stands.when_reached(|| Ok(())).unwrap();
        goes_on(&logs).unwrap();
        let second = scope.spawn(|| debugging.gdb(&bench.program, &second));
        runs.when_reached(|| Ok(())).unwrap();
        (first.join().unwrap().unwrap(), second.join().unwrap().unwrap())
    });
    println!("first:\n{first}\nsecond:\n{second}");
    let value = |name: &str| -> u32 {
        let line = second.lines().find_map(|line| line.strip_prefix(&format!("{name} = ")));
        line.unwrap_or_else(|| panic!("no {name} in {second}")).trim().parse().unwrap()
    };
    assert!(value("$2") > value("$1"), "the application runs while it is watched: {second}");
    assert!(second.contains("has control"), "{second}");
    assert!(second.contains("round trips"), "{second}");
    assert!(first.contains("$1 = 3000"), "the first was stopped by its own breakpoint alone: {first}");
    debugging
        .running()
        .wait_for("a note", Duration::from_secs(5), |line| line.contains("it only looks").then_some(()))
        .unwrap();
}

/// Each way in which a GDB without control could do something.
const NOT_ALLOWED: &[&str] = &[
    "set var *(unsigned *)&table[0] = 0xDEADBEEF",
    "set var ticks = 7",
    "set var $r0 = 7",
    "break systick_handler",
    "continue",
    "stepi",
    "delete",
    "watch ticks",
    "continue",
    "delete",
    "load",
    "monitor halt",
    "monitor reset",
    "monitor vcatch bus on",
    "monitor step-irq on",
    "kill",
    "print 1",
];

/// What its user reads of that, and how often.
const SAID: &[(&str, usize)] = &[
    (
        "warning: Remote failure reply: E.another debugger has control and this one only looks; attach again",
        1,
    ),
    ("Cannot access memory at address", 2),
    ("Could not write register \"r0\"; remote failure reply 'E.another debugger has control", 1),
    ("nothing was continued, and breakpoints are not set; attach again once the other has left", 3),
    ("\nanother debugger has control and this one only looks; attach again once the other has left", 4),
];

#[test]
fn a_second_debugger_that_writes_is_refused_in_words_and_does_not_disturb_the_first() {
    let bench = debuggable("hello-c-v1", |fleet| Ok(fleet.server.devices)).unwrap();
    let debugging =
        Debugging::start(&bench.fleet.tool, &bench.device.id, &["--elf", &bench.program]).unwrap();
    let pause = Pause::new(bench.fleet.folder.path(), "second");
    let wait = pause.command();
    let first = [
        "break systick_handler",
        "continue",
        "set $at = $pc",
        "set $r = $r0",
        "set $before = ticks",
        &wait,
        "maintenance flush dcache",
        "maintenance flush register-cache",
        "print $pc == $at && $r0 == $r && ticks == $before",
        "info breakpoints",
        "continue",
        "print 1000 + ticks - $before",
        "detach",
    ];
    let (first, said) = thread::scope(|scope| {
        let first = scope.spawn(|| debugging.gdb(&bench.program, &first));
        let mut said = Vec::new();
        pause
            .when_reached(|| {
                said.push(debugging.gdb(&bench.program, NOT_ALLOWED)?);
                said.push(debugging.gdb(&bench.program, &["print ticks == ticks", "detach"])?);
                Ok(())
            })
            .unwrap();
        (first.join().unwrap().unwrap(), said)
    });
    println!("first:\n{first}\nsecond:\n{}\n{}", said[0], debugging.said());
    for (wanted, times) in SAID {
        let found = said[0].matches(wanted).count();
        assert_eq!(found, *times, "`{wanted}` in:\n{}", said[0]);
    }
    assert!(said[0].contains("Error") || said[0].contains("failed"), "load: {}", said[0]);
    assert!(said[1].contains("$1 = 1"), "it was let in again: {}", said[1]);
    assert!(first.contains("$1 = 1"), "nothing has moved: {first}");
    assert!(first.contains("breakpoint already hit 1 time"), "{first}");
    assert!(first.contains("$2 = 1001"), "the very next tick: {first}");
    log_line(&bench.fleet, &bench.device, "hello v1 second").unwrap();
}

#[test]
fn what_is_written_for_vs_code_starts_the_server_and_attaches() {
    let bench = debuggable("hello-c-v1", |fleet| Ok(fleet.server.devices)).unwrap();
    let folder = bench.fleet.folder.path().join("workspace");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(&bench.program, folder.join("hello.elf")).unwrap();
    let tool = bench.fleet.tool.working_in(&folder);
    let port = port_for_a_program().unwrap().to_string();
    let write = ["debug", &bench.device.id, "--elf", "hello.elf", "--port", &port, "--vscode"];
    tool.run(&write).unwrap();
    let read = |name: &str| -> serde_json::Value {
        serde_json::from_str(&std::fs::read_to_string(folder.join(".vscode").join(name)).unwrap()).unwrap()
    };
    let here = folder.to_string_lossy();
    let text = |value: &serde_json::Value| value.as_str().unwrap().replace("${workspaceFolder}", &here);
    let (launch, tasks) = (read("launch.json"), read("tasks.json"));
    let (launch, task) = (&launch["configurations"][0], &tasks["tasks"][0]);
    let fixed = ["type", "request", "servertype", "gdbPath"].map(|key| launch[key].as_str().unwrap());
    assert_eq!(fixed, ["cortex-debug", "attach", "external", "gdb-multiarch"]);
    assert_eq!(launch["preLaunchTask"], task["label"]);
    assert_eq!((&task["type"], &task["command"]), (&"process".into(), &"bulkhead".into()));

    // As the editor does: the task, until its pattern for the end of the beginning; then GDB.
    let arguments: Vec<String> = task["args"].as_array().unwrap().iter().map(text).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut server = tool.follow(&arguments).unwrap();
    let ready = task["problemMatcher"]["background"]["endsPattern"].as_str().unwrap();
    let ready = ready.trim_start_matches('^').trim_end_matches(".*").to_owned();
    server
        .wait_for("the server", Duration::from_secs(60), |line| line.starts_with(&ready).then_some(()))
        .unwrap();
    let attach = format!("target extended-remote {}", text(&launch["gdbTarget"]));
    let mut commands = vec![attach];
    commands.push("break main".into());
    commands.extend(launch["overrideRestartCommands"].as_array().unwrap().iter().map(text));
    commands.extend(["continue", "backtrace", "detach"].map(String::from));
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    let said = bulkhead_end_to_end::debugger::gdb(&text(&launch["executable"]), &commands).unwrap();
    println!("{said}");
    assert!(said.contains("stands before its first instruction"), "{said}");
    assert!(said.contains("Breakpoint 1, main ()"), "{said}");

    let again = tool.refused(&write).unwrap();
    assert_eq!(again.code, FILE, "{}", again.text);
    assert!(
        again.text.contains("launch.json is there already") && again.text.contains("gdbTarget"),
        "{}",
        again.text
    );
    let any =
        tool.refused(&["debug", &bench.device.id, "--elf", "hello.elf", "--port", "0", "--vscode"]).unwrap();
    assert!(any.text.contains("has to know the port"), "{}", any.text);
}

/// Waits until a program ends, which has to be without an error.
fn ends_well(running: &mut Running) {
    let ended = running.wait_for("nothing more", Duration::from_secs(60), |_| None::<()>);
    let ended = ended.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(ended.contains("ended with exit status: 0"), "{ended}");
}

/// Waits until the application, which GDB has halted and said to continue, runs. One line of its log may still be on its
/// way from before it was halted.
fn goes_on(logs: &Running) -> anyhow::Result<()> {
    let count = |logs: &Running| logs.lines().iter().filter(|line| line.contains("hello v1 second")).count();
    let before = count(logs);
    until("two more lines of the log", Duration::from_secs(60), || {
        let lines = count(logs) - before;
        Ok(if lines >= 2 { Seen::Answer(()) } else { Seen::NotYet(format!("{lines} came")) })
    })
}

#[test]
fn ctrl_c_stops_the_application_for_gdb_and_lets_it_go_where_there_is_no_gdb() {
    let bench = debuggable("hello-c-v1", |fleet| Ok(fleet.server.devices)).unwrap();
    let (tool, id) = (&bench.fleet.tool, bench.device.id.as_str());
    let script = bench.fleet.folder.path().join("script");
    std::fs::write(&script, "continue\nprint 40 + 2\nbacktrace\ndetach\nquit\n").unwrap();
    let input = std::fs::File::open(&script).unwrap();
    let debug = ["debug", id, "--port", "0", "--elf", &bench.program];
    let logs = tool.follow(&["logs", "-f", "-n", "0", id]).unwrap();
    let mut with_gdb = tool.follow_as_job(&[&debug[..], &["--gdb"]].concat(), input.into()).unwrap();
    let soon = Duration::from_secs(60);
    with_gdb.wait_for("GDB", soon, |line| line.contains("Continuing").then_some(())).unwrap();
    goes_on(&logs).unwrap();
    with_gdb.interrupt_group().unwrap();
    with_gdb.wait_for("the script to go on", soon, |line| line.contains("$1 = 42").then_some(())).unwrap();
    with_gdb.wait_for("the stop", soon, |line| line.contains("SIGINT").then_some(())).unwrap();
    with_gdb.wait_for("the end", soon, |line| line.contains("the debugger left").then_some(())).unwrap();
    ends_well(&mut with_gdb);

    // Without GDB of its own, and with one attached: the application is let go before the tool ends.
    let mut alone = tool.follow_as_job(&debug, std::process::Stdio::null()).unwrap();
    let port: u16 = alone
        .wait_for("the port", soon, |line| {
            line.split_once("target remote :")?.1.trim_matches('`').parse().ok()
        })
        .unwrap();
    let pause = Pause::new(bench.fleet.folder.path(), "held");
    let wait = pause.command();
    let attach = format!("target remote :{port}");
    thread::scope(|scope| {
        let gdb = scope.spawn(|| bulkhead_end_to_end::debugger::gdb(&bench.program, &[&attach, &wait]));
        pause.when_reached(|| alone.interrupt_group()).unwrap();
        // It finds nobody there any more.
        drop(gdb.join().unwrap());
    });
    log_line(&bench.fleet, &bench.device, "the debugger is gone").unwrap();
    ends_well(&mut alone);
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
                "monitor fault now",
                "monitor halt now",
                "monitor reset now",
                "monitor status now",
                "monitor step-irq maybe",
                "monitor step-irq on",
                "monitor step-irq",
                "monitor step-irq off",
                "monitor vcatch",
                "monitor vcatch usage",
                "monitor vcatch usage maybe",
                "monitor status",
                "monitor",
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
        "no command `fault now`",
        "no command `halt now`",
        "no command `reset now`",
        "no command `status now`",
        "no command `step-irq maybe`",
        "interrupts are let in",
        "interrupts are held back",
        "say which and whether: NAME on|off",
        "round trips",
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
