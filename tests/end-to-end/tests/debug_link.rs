//! A debug session outlives its links: the device's, the developer's, and the device's power.

#![expect(clippy::unwrap_used, reason = "a test: a panic is its failure")]

use std::thread;
use std::time::Duration;

use bulkhead_end_to_end::cable::Cable;
use bulkhead_end_to_end::debugger::{Debuggable, Debugging, Pause, debuggable};
use bulkhead_end_to_end::scenes::log_line;

/// How long a cable stays cut: longer than either side needs to see it.
const CUT: Duration = Duration::from_secs(3);

/// Stops at a tick, is cut off while the application stands still, and goes on to the very next tick.
fn stands_through(debugging: &Debugging, bench: &Debuggable, cut: impl Fn(), mend: impl Fn()) -> String {
    let pause = Pause::new(bench.fleet.folder.path(), "cut");
    let wait = pause.command();
    let commands = [
        "break systick_handler",
        "continue",
        "set $before = ticks",
        &wait,
        "print 1000 + ticks - $before",
        "continue",
        "print 2000 + ticks - $before",
        "detach",
    ];
    let program = bench.program.as_str();
    thread::scope(|scope| {
        let gdb = scope.spawn(|| debugging.gdb(program, &commands));
        pause
            .when_reached(|| {
                cut();
                thread::sleep(CUT);
                mend();
                bench.fleet.wait(
                    &bench.device,
                    "the device to be back",
                    Duration::from_secs(60),
                    |seen| seen.online,
                )?;
                Ok(())
            })
            .unwrap();
        gdb.join().unwrap().unwrap()
    })
}

fn kept(text: &str, debugging: &Debugging) {
    let said = debugging.said();
    assert!(text.contains("$1 = 1000"), "memory is read again: {text}\n{said}");
    assert!(
        text.contains("$2 = 2001"),
        "it stood still, and the breakpoint is hit at the next tick: {text}\n{said}"
    );
    assert!(said.contains("lost") || said.contains("broke") || said.contains("not connected"), "{said}");
    assert!(said.contains("the session goes on"), "{said}");
}

#[test]
fn a_device_that_loses_its_link_keeps_breakpoints_and_the_stand() {
    let mut cable = None;
    let bench = debuggable("hello-c-v1", |fleet| {
        let laid = Cable::lay(fleet.server.devices)?;
        Ok(cable.insert(laid).address())
    })
    .unwrap();
    let cable = cable.unwrap();
    let debugging =
        Debugging::start(&bench.fleet.tool, &bench.device.id, &["--elf", &bench.program]).unwrap();
    let text = stands_through(&debugging, &bench, || cable.cut(), || cable.mend());
    kept(&text, &debugging);
    log_line(&bench.fleet, &bench.device, "hello v1 second").unwrap();
}

#[test]
fn a_developer_who_loses_the_connection_keeps_breakpoints_and_the_stand() {
    let bench = debuggable("hello-c-v1", |fleet| Ok(fleet.server.devices)).unwrap();
    let server = bench.fleet.server.url.trim_start_matches("http://").parse().unwrap();
    let cable = Cable::lay(server).unwrap();
    let url = format!("http://{}", cable.address());
    bench.fleet.tool.run(&["login", &url, "--token", &bench.fleet.server.token]).unwrap();
    let debugging =
        Debugging::start(&bench.fleet.tool, &bench.device.id, &["--elf", &bench.program]).unwrap();
    let text = stands_through(&debugging, &bench, || cable.cut(), || cable.mend());
    kept(&text, &debugging);
}

#[test]
fn a_device_that_loses_its_power_has_its_breakpoints_again() {
    let Debuggable { fleet, mut device, program } =
        debuggable("hello-c-v1", |fleet| Ok(fleet.server.devices)).unwrap();
    let debugging = Debugging::start(&fleet.tool, &device.id, &["--elf", &program]).unwrap();
    let pause = Pause::new(fleet.folder.path(), "power");
    let wait = pause.command();
    let commands = [
        // Half a minute after a start.
        "break systick_handler if ticks == 3000",
        "set var ticks = 0",
        &wait,
        "continue",
        "print ticks",
        "detach",
    ];
    let text = thread::scope(|scope| {
        let gdb = scope.spawn(|| debugging.gdb(&program, &commands));
        pause.when_reached(|| Ok(())).unwrap();
        thread::sleep(Duration::from_secs(1));
        fleet.cut_power(&mut device).unwrap();
        fleet.power_on(&mut device).unwrap();
        gdb.join().unwrap().unwrap()
    });
    assert!(text.contains("$1 = 3000"), "{text}\n{}", debugging.said());
    assert!(debugging.said().contains("breakpoints are in place again"), "{}", debugging.said());
}
