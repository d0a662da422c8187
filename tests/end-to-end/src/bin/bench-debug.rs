//! `cargo xtask bench debug`: what a session of stock GDB costs in round trips and seconds.
//!
//! The same 25 commands are given to a GDB behind `bulkhead debug`, with a delay between laptop and server, and to a GDB
//! at QEMU's own stub, where each of its packets is a round trip.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a command-line tool: standard output is its result")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bulkhead_end_to_end::debugger::{Debugging, gdb};
use bulkhead_end_to_end::device::Device;
use bulkhead_end_to_end::fleet::Fleet;
use bulkhead_end_to_end::recorder::Recorder;
use bulkhead_figures::{Row, publish, target_folder};

/// A session as a person has it: stop, look around, step, go on.
const SESSION: &[&str] = &[
    "break bh_text_append_number",
    "continue",
    "backtrace",
    "info args",
    "print ticks",
    "print/x table[5]",
    "info registers",
    "up",
    "info locals",
    "down",
    "stepi",
    "nexti",
    "next",
    "next",
    "step",
    "finish",
    "next",
    "x/8xw $sp",
    "x/4i $pc",
    "print table[100]",
    "set var ticks = ticks",
    "delete",
    "tbreak systick_handler",
    "continue",
    "backtrace",
];
/// Single commands, each between two looks at the count.
const SINGLE: &[&str] = &[
    "break bh_text_append_number",
    "continue",
    "delete",
    "monitor status",
    "stepi",
    "monitor status",
    "finish",
    "monitor status",
    "next",
    "monitor status",
    "break systick_handler if ticks % 1 == 0",
    "stepi",
    "monitor status",
    "continue",
    "monitor status",
    "delete",
    "break systick_handler if ticks % 50 == 7",
    "stepi",
    "monitor status",
    "continue",
    "monitor status",
    "detach",
];
const PROGRAM: &str = "hello-c-v1";
/// Added each way between laptop and server.
const DELAYS_MS: &[u64] = &[0, 100, 300];

fn main() -> Result<()> {
    let mut fleet = Fleet::start()?;
    let mut device = fleet.new_device("bench")?;
    fleet.power_on(&mut device)?;
    let bundle = fleet.push_debuggable(PROGRAM, "hello", "1")?;
    fleet.order(&device, &bundle)?;
    fleet.wait_running(&device, &bundle)?;
    let program = fleet.programs.app(PROGRAM)?.to_string_lossy().into_owned();

    let mut rows = Vec::new();
    let mut ours = 0;
    for delay_ms in DELAYS_MS {
        let (round_trips, took) =
            behind_bulkhead(&fleet, &device, &program, Duration::from_millis(*delay_ms))?;
        println!(
            "bulkhead debug, {delay_ms} ms each way: {round_trips} round trips, {:.1} s",
            took.as_secs_f32()
        );
        ours = round_trips;
    }
    // The last one was slow.
    fleet.tool.run(&["login", &fleet.server.url, "--token", &fleet.server.token])?;
    let [step, _, next, _, at_once, _, after_many] = singles(&fleet, &device, &program)?;
    let stub = at_stub(&fleet, &mut device, &program, &[])?;
    let none = at_stub(&fleet, &mut device, &program, &["set osabi none"])?;
    for (name, peer, peer_value) in [
        ("session of 25 commands", "GDB 13.1 at QEMU's own stub", stub),
        ("the same", "the same stub, `set osabi none`", none),
    ] {
        rows.push(Row::count(name, ours, "round trips", peer, Some(peer_value)));
    }
    device.cut_power();
    fleet.power_on(&mut device)?;
    fleet.wait_running(&device, &bundle)?;
    let read = read_speed(&fleet, &device, &program)?;
    rows.push(Row::count("memory read through GDB, no delay", read, "KiB/s", "", None));
    let steps = steps_per_second(&mut fleet, &device)?;
    rows.push(Row::count("steps on the device for a watchpoint on a stack", steps, "steps/s", "", None));
    let size = agent_size(&fleet.programs.image)?;
    rows.push(Row::count("code of the debug agent in the image", size, "B", "", None));
    print!("{}", publish(&target_folder(), "debug", &rows)?);
    println!(
        "bench debug: round_trips={ours} vs_stub={:.1} vs_osabi_none={:.1} next_over_call={next} \
         false_condition={} step={step}",
        ratio(stub, ours),
        ratio(none, ours),
        // Past dozens that do not hold, compared with one that holds at once.
        after_many.saturating_sub(at_once)
    );
    Ok(())
}

/// Seconds that GDB takes for `commands` behind the server, without those that any session takes.
fn seconds(fleet: &Fleet, device: &Device, program: &str, commands: &[&str]) -> Result<f64> {
    let debugging = Debugging::start(&fleet.tool, &device.id, &["--elf", program])?;
    let time = |commands: &[&str]| -> Result<f64> {
        let started = Instant::now();
        debugging.gdb(program, commands)?;
        Ok(started.elapsed().as_secs_f64())
    };
    let all = [commands, &["detach"]].concat();
    Ok((time(&all)? - time(&["detach"])?).max(0.001))
}

/// KiB a second of RAM that is read for the first time.
fn read_speed(fleet: &Fleet, device: &Device, program: &str) -> Result<u64> {
    const KIB: f64 = 128.0;
    let took = seconds(fleet, device, program, &["dump binary memory /dev/null 0x28240000 0x28260000"])?;
    println!("128 KiB read in {took:.2} s");
    Ok(per_second(KIB, took))
}

/// Steps a second while a place on the stack is watched that does not change.
fn steps_per_second(fleet: &mut Fleet, device: &Device) -> Result<u64> {
    /// The loop between two turns of the program, six instructions each time.
    const STEPS: f64 = 6.0 * 2_000.0;
    let bundle = fleet.push_debuggable("debugged-c", "hello", "2")?;
    fleet.order(device, &bundle)?;
    fleet.wait_running(device, &bundle)?;
    let program = fleet.programs.app("debugged-c")?.to_string_lossy().into_owned();
    let to_the_loop = ["break on_stack", "continue", "finish", "delete", "watch -l *(int *)($sp - 200)"];
    let whole = [&to_the_loop[..], &["tbreak turn", "continue"]].concat();
    let took = seconds(fleet, device, &program, &whole)?;
    println!("stepped for {took:.2} s");
    Ok(per_second(STEPS, took))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive, and a few million at most"
)]
fn per_second(count: f64, seconds: f64) -> u64 {
    (count / seconds) as u64
}

/// Bytes of functions whose names are the agent's and the protocol's; what is inlined elsewhere is not counted.
fn agent_size(image: &Path) -> Result<u64> {
    let output = Command::new("arm-none-eabi-nm").args(["-S", "--defined-only"]).arg(image).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let agents = text.lines().filter(|line| line.contains("debug_agent") || line.contains("debug_protocol"));
    let functions = agents.filter(|line| line.contains(" t ") || line.contains(" T "));
    Ok(functions.filter_map(|line| u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok()).sum())
}

#[expect(clippy::cast_precision_loss, reason = "a few thousand at most")]
fn ratio(theirs: u64, ours: u64) -> f64 {
    theirs as f64 / ours.max(1) as f64
}

/// Round trips and duration of the session behind a server that is `delay` away.
fn behind_bulkhead(
    fleet: &Fleet,
    device: &Device,
    program: &str,
    delay: Duration,
) -> Result<(u64, Duration)> {
    let relay = Recorder::start_delayed(&fleet.server.url, delay)?;
    fleet.tool.run(&["login", &relay.url(), "--token", &fleet.server.token])?;
    let debugging = Debugging::start(&fleet.tool, &device.id, &["--elf", program])?;
    let started = Instant::now();
    let commands: Vec<&str> = SESSION.iter().copied().chain(["monitor status", "detach"]).collect();
    let text = debugging.gdb(program, &commands)?;
    let took = started.elapsed();
    let count = counts(&text).first().copied();
    Ok((count.with_context(|| format!("no count in:\n{text}"))?, took))
}

/// The counts that `monitor status` told.
fn counts(text: &str) -> Vec<u64> {
    let lines = text.lines().filter(|line| line.contains(" round trips"));
    lines.filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect()
}

/// Round trips of a step, a `finish`, a `next` over a call, a step, a run to a condition that holds at once, a step, and a
/// run past dozens that do not hold.
fn singles(fleet: &Fleet, device: &Device, program: &str) -> Result<[u64; 7]> {
    let debugging = Debugging::start(&fleet.tool, &device.id, &["--elf", program])?;
    let text = debugging.gdb(program, SINGLE)?;
    let counts = counts(&text);
    let costs: Vec<u64> = counts.iter().zip(counts.iter().skip(1)).map(|(a, b)| b - a).collect();
    costs.try_into().map_err(|costs| anyhow::anyhow!("{costs:?} in:\n{text}"))
}

/// Packets that GDB sends to QEMU's own stub for the session.
fn at_stub(fleet: &Fleet, device: &mut Device, program: &str, first: &[&str]) -> Result<u64> {
    device.cut_power();
    let port = device.power_on_with_stub()?;
    fleet.wait(device, "the device to be online", Duration::from_secs(60), |seen| seen.online)?;
    let relay = Recorder::start(&format!("http://127.0.0.1:{port}"))?;
    let mut commands: Vec<&str> = first.to_vec();
    let target = format!("target remote :{}", relay.port());
    commands.push(&target);
    commands.extend(SESSION);
    commands.push("detach");
    gdb(program, &commands)?;
    // What GDB sends begins with a `$`; what it is answered is counted apart.
    Ok(u64::try_from(relay.sent().iter().filter(|byte| **byte == b'$').count())?)
}
