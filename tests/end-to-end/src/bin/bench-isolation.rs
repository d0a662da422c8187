//! `cargo xtask bench isolation`: what the hypervisor's work costs the application, in instructions.
//!
//! The application `deadline-c` measures itself on a device whose time counts instructions: how late its timer's interrupt
//! comes, and how long the same piece of work takes. What it measures while the hypervisor does nothing, which is the
//! least of many samples, is its own share; the rest is the hypervisor's.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "the result of a bench")]

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bulkhead_cloud_api::Timestamp;
use bulkhead_end_to_end::debugger::Debugging;
use bulkhead_end_to_end::device::Device;
use bulkhead_end_to_end::fleet::Fleet;
use bulkhead_end_to_end::owner::Bundle;
use bulkhead_figures::{Row, publish, target_folder};

const APP: &str = "deadline-c-v1";
const APP_NEXT: &str = "deadline-c-v2";
/// Instructions for each count of the application's timers.
const INSTRUCTIONS_A_COUNT: u64 = 50;
/// Longest time for one measurement, on a machine that does other things as well.
const WINDOW_WITHIN: Duration = Duration::from_secs(120);
/// Windows of half a second for each activity that lasts as long as one likes.
const WINDOWS: usize = 5;
/// Orders given to a device whose application masks everything and spins.
const CHECK_INS: u64 = 20;
/// Stages of an update between the offer and its being ready, as the application sees them: checking, staging.
const STAGES_OF_WORK: [u64; 2] = [1, 3];

/// One measurement of half a second.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Window {
    samples: u64,
    least: u64,
    p999: u64,
    worst: u64,
    chunks: u64,
    best: u64,
    total: u64,
    stages: (u64, u64),
}

/// What one activity costs.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Cost {
    samples: u64,
    worst: u64,
    p999: u64,
    cpu_left: f64,
}

fn number(line: &str, name: &str) -> Result<u64> {
    let mut words = line.split_whitespace().skip_while(|word| *word != name);
    let text = words.nth(1).with_context(|| format!("no `{name}` in: {line}"))?;
    Ok(text.parse()?)
}

fn window(line: &str) -> Result<Window> {
    let of = |name: &str| number(line, name);
    Ok(Window {
        samples: of("n")?,
        least: of("least")?,
        p999: of("p999")?,
        worst: of("worst")?,
        chunks: of("chunks")?,
        best: of("best")?,
        total: of("total")?,
        stages: (of("before")?, of("after")?),
    })
}

/// Sums up windows; `alone` is what the application measures without the hypervisor's work.
fn cost(windows: &[Window], alone: Window) -> Cost {
    let latency = |counts: u64| counts.saturating_sub(alone.least) * INSTRUCTIONS_A_COUNT;
    let most = |of: fn(&Window) -> u64| windows.iter().map(of).max().unwrap_or_default();
    let chunks: u64 = windows.iter().map(|window| window.chunks).sum();
    let total: u64 = windows.iter().map(|window| window.total).sum();
    Cost {
        samples: windows.iter().map(|window| window.samples).sum(),
        worst: latency(most(|window| window.worst)),
        p999: latency(most(|window| window.p999)),
        cpu_left: ratio(chunks * alone.best, total) * 100.0,
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// A device, and how far its application's console was read.
struct Bench {
    fleet: Fleet,
    device: Device,
    read: usize,
}

impl Bench {
    /// The next line of the application's console that begins with `prefix`.
    fn line(&mut self, prefix: &str) -> Result<String> {
        let deadline = Instant::now() + WINDOW_WITHIN;
        loop {
            let text = self.device.application_console();
            let rest = text.get(self.read..).unwrap_or_default();
            let mut at = 0;
            for line in rest.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
                at += line.len();
                if line.starts_with(prefix) {
                    self.read += at;
                    return Ok(line.trim().to_owned());
                }
            }
            if Instant::now() > deadline {
                self.device.still_runs()?;
                bail!("the application did not say `{prefix}`; console:\n{}", self.device.console_tail());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn start(&self, mode: char, count: usize) -> Result<()> {
        (0..count).try_for_each(|_| self.device.type_to_application(mode))
    }

    fn finish(&mut self, mode: char, count: usize) -> Result<Vec<Window>> {
        let prefix = format!("measured {mode} ");
        (0..count).map(|_| window(&self.line(&prefix)?)).collect()
    }

    fn windows(&mut self, mode: char, count: usize) -> Result<Vec<Window>> {
        self.start(mode, count)?;
        self.finish(mode, count)
    }

    /// Measures while the link is lost and made anew, twice.
    fn handshaking(&mut self) -> Result<Vec<Window>> {
        self.start('h', WINDOWS)?;
        for _ in 0..2 {
            let before = Timestamp::now();
            self.fleet.restart_server()?;
            self.fleet.wait_online(&self.device, before)?;
        }
        self.finish('h', WINDOWS)
    }

    /// Measures while an update is staged.
    fn staging(&mut self) -> Result<Vec<Window>> {
        let next = self.fleet.push(APP_NEXT, "deadline", "2")?;
        let before = self.read;
        self.start('u', 1)?;
        self.fleet.order(&self.device, &next)?;
        let mut windows = Vec::new();
        let mut was_seen = false;
        loop {
            let window = self.finish('u', 1)?.into_iter().next().context("no window")?;
            let works = |stage: u64| STAGES_OF_WORK.contains(&stage);
            let at_work = works(window.stages.0) || works(window.stages.1);
            if at_work {
                windows.push(window);
            }
            if was_seen && !at_work {
                break;
            }
            was_seen |= at_work;
            self.start('u', 1)?;
        }
        self.fleet.wait_running(&self.device, &next)?;
        // The last window may be one of the new version, which has said that before.
        let after = std::mem::replace(&mut self.read, before);
        self.line("deadline ready")?;
        self.read = self.read.max(after);
        Ok(windows)
    }

    /// Measures while a breakpoint whose condition never holds is come across again and again.
    fn debugged(&mut self, bundle: &Bundle) -> Result<Vec<Window>> {
        self.fleet.order(&self.device, bundle)?;
        self.fleet.wait_running(&self.device, bundle)?;
        self.line("deadline ready")?;
        let program = self.fleet.programs.app(APP)?.to_string_lossy().into_owned();
        let debugging = Debugging::start(&self.fleet.tool, &self.device.id, &["--elf", &program])?;
        let port = debugging.port;
        let gdb = thread::spawn(move || {
            let target = format!("target remote :{port}");
            let commands = [&target, "break deadline_probe if never == 0", "continue"];
            // It never stops, and ends when the tool is gone.
            bulkhead_end_to_end::debugger::gdb(&program, &commands)
        });
        // Let GDB attach and go on.
        thread::sleep(Duration::from_secs(8));
        let windows = self.windows('d', WINDOWS);
        drop(debugging);
        // How GDB takes the loss of its target says nothing here.
        let _ = gdb.join();
        windows
    }

    /// Of so many orders to a device whose application masks everything and spins, how many were answered.
    fn check_ins(&mut self) -> Result<u64> {
        self.start('s', 1)?;
        self.line("spins")?;
        let before = self.fleet.look(&self.device)?;
        let mut kept = 0;
        for _ in 0..CHECK_INS {
            // The restart ends one spin and begins the next; the answer comes from the device.
            let answered = self.fleet.tool.run(&["device", "restart", &self.device.id]);
            kept += u64::from(answered.is_ok());
            self.line("spins")?;
        }
        let after = self.fleet.look(&self.device)?;
        if before.link.map(|link| link.since) != after.link.map(|link| link.since) {
            bail!("the link was lost while the application span");
        }
        Ok(kept)
    }

    /// Instructions of each system call, the empty function's loop taken off.
    fn calls(&mut self) -> Result<Vec<(String, u64)>> {
        self.start('c', 1)?;
        let mut calls = Vec::new();
        let mut empty = 0;
        loop {
            let line = self.line("call")?;
            if line == "calls end" {
                return Ok(calls);
            }
            let name = line.split_whitespace().nth(1).context("a call without a name")?.to_owned();
            let cost = number(&line, "counts")? * INSTRUCTIONS_A_COUNT / number(&line, "calls")?;
            if name == "function" {
                empty = cost;
            } else {
                calls.push((name, cost.saturating_sub(empty)));
            }
        }
    }
}

fn main() -> Result<()> {
    let mut fleet = Fleet::start()?;
    let mut device = fleet.new_device("bench")?;
    device.count_instructions();
    fleet.power_on(&mut device)?;
    let bundle = fleet.push(APP, "deadline", "1")?;
    fleet.order(&device, &bundle)?;
    fleet.wait_running(&device, &bundle)?;
    let mut bench = Bench { fleet, device, read: 0 };
    bench.line("deadline ready")?;

    let calls = bench.calls()?;
    let idle = bench.windows('i', WINDOWS)?;
    let least = idle.iter().map(|window| window.least).min().context("nothing was measured")?;
    let best = idle.iter().map(|window| window.best).min().context("nothing was measured")?;
    let first = *idle.first().context("nothing was measured")?;
    let alone = Window { least, best, ..first };
    println!("alone: an interrupt after {} instructions", least * INSTRUCTIONS_A_COUNT);
    let mut costs = vec![("idle, online", cost(&idle, alone))];
    let mut told = |name: &'static str, windows: Vec<Window>| {
        let cost = cost(&windows, alone);
        println!("{name}: {cost:?}");
        costs.push((name, cost));
        cost
    };
    told("handshaking", bench.handshaking()?);
    told("flooding logs", bench.windows('l', WINDOWS)?);
    let staging = told("staging an update", bench.staging()?);
    let bundle = bench.fleet.push_debuggable(APP, "deadline", "3")?;
    told("debugged, a condition that never holds", bench.debugged(&bundle)?);
    let kept = bench.check_ins()?;
    report(&costs, &staging, &calls, kept)
}

fn report(costs: &[(&str, Cost)], staging: &Cost, calls: &[(String, u64)], kept: u64) -> Result<()> {
    const NONE: &str = "none published";
    let mut rows = Vec::new();
    for (name, cost) in costs {
        let row = |what: &str, value| {
            Row::count(format!("{name}: {what}"), value, "instructions", "aim", Some(2_000))
        };
        rows.push(row("worst added latency", cost.worst));
        rows.push(row("99.9 % added latency", cost.p999));
        rows.push(Row {
            name: format!("{name}: processor left to the application"),
            value: cost.cpu_left,
            unit: "%",
            peer: "the same work alone".into(),
            peer_value: Some(100.0),
        });
    }
    for (name, cost) in calls {
        rows.push(Row::count(format!("system call {name}"), *cost, "instructions", NONE, None));
    }
    let check_ins = ratio(kept, CHECK_INS) * 100.0;
    rows.push(Row {
        name: "check-ins kept while the application masks everything and spins".into(),
        value: check_ins,
        unit: "%",
        peer: "aim".into(),
        peer_value: Some(100.0),
    });
    print!("{}", publish(&target_folder(), "isolation", &rows)?);
    let worst = costs.iter().map(|(_, cost)| cost.worst).max().unwrap_or_default();
    let idle = costs.first().context("nothing was measured")?.1;
    let empty = calls.iter().find(|(name, _)| name == "nop").context("the empty call was not measured")?.1;
    println!(
        "bench isolation: worst_added_latency={worst} cpu_left_idle={:.2} cpu_left_staging={:.2} empty_call={empty} \
         checkins={check_ins:.0}",
        idle.cpu_left, staging.cpu_left
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        "measured i n 10 least 2 p999 9 worst 42 chunks 100 best 990 total 100000 before 0 after 0";

    #[test]
    fn what_is_lost_is_what_the_same_work_takes_longer_than_alone() {
        let alone = window(LINE).unwrap();
        let cost = cost(&[alone, alone], alone);
        assert_eq!((cost.samples, cost.worst, cost.p999), (20, 2_000, 350));
        assert!((cost.cpu_left - 99.0).abs() < 1e-9);
        assert!(window("measured i n 10").is_err());
    }
}
