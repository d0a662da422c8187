//! An application that measures itself: how late its interrupts come, and how much of the processor it is left.
//!
//! The application `deadline-c` runs on a device whose time counts instructions. It measures how late its timer's interrupt
//! comes, and how long the same piece of work takes. What it measures while the hypervisor does nothing, which is the
//! least of many samples, is its own share; the rest is the hypervisor's.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bulkhead_cloud_api::Timestamp;
use bulkhead_syscall_abi::Status;

use crate::debugger::{Debugging, Pause};
use crate::device::Device;
use crate::fleet::Fleet;
use crate::peers::Echo;

pub(crate) const APP: &str = "deadline-c-v1";
const APP_NEXT: &str = "deadline-c-v2";
/// Longest value of its configuration.
const CONFIG_VALUE_LEN: usize = 512;
/// Where it may write.
const OWN_FLASH: &str = "external:0x80000+64K";
/// Instructions for each count of the application's timers.
pub const INSTRUCTIONS_A_COUNT: u64 = 50;
/// Longest time for one measurement, on a machine that does other things as well.
const WINDOW_WITHIN: Duration = Duration::from_secs(120);
/// Windows of half a second for each activity that lasts as long as one likes.
pub const WINDOWS: usize = 5;
/// Orders given to a device whose application masks everything and spins.
pub const CHECK_INS: u64 = 20;
/// Stages of an update between the offer and its being ready, as the application sees them: checking, staging.
const STAGES_OF_WORK: [u64; 2] = [1, 3];
/// Ready to be applied: the application measures until then.
const STAGE_READY: u64 = 4;
/// Windows after which an update is taken to be stuck.
const WINDOWS_OF_STAGING_MAX: usize = 200;

/// Aim: what the product before promised for a few chosen interrupts, 20 us, is 3,200 instructions.
pub const LATE_BELOW: u64 = 2_000;
/// Aim: a call that asks for nothing.
pub const EMPTY_CALL_BELOW: u64 = 100;
/// Aims: percent of the processor that is left, idle and while an update is staged.
pub const LEFT_IDLE: f64 = 99.0;
/// See [`LEFT_IDLE`].
pub const LEFT_STAGING: f64 = 90.0;

/// What GDB is told for a logpoint that is come across some hundred times a second.
pub const LOGPOINT: &str = "dprintf deadline_probe,\"at %d\\n\", value";
/// The same for a breakpoint whose condition never holds.
pub const FALSE_CONDITION: &str = "break deadline_probe if never == 0";

/// One measurement of half a second.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Window {
    samples: u64,
    /// Least time to the interrupt, in counts.
    pub least: u64,
    p999: u64,
    worst: u64,
    chunks: u64,
    best: u64,
    total: u64,
    stages: (u64, u64),
    /// What the application asked for and got: bytes that came back from a peer, messages queued, writes to its flash,
    /// values of its configuration read.
    pub done: [u64; 4],
}

/// What one activity costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Interrupts that were measured.
    pub samples: u64,
    /// Most instructions by which one was late.
    pub worst: u64,
    /// The same for 99.9 % of them.
    pub p999: u64,
    /// Percent of the processor that was left to the application.
    pub cpu_left: f64,
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
        done: [of("echoed")?, of("messages")?, of("stored")?, of("read")?],
    })
}

/// What the application measures without the hypervisor's work: the best of `idle`, windows in which it had little to do.
///
/// # Errors
/// There is no window.
pub fn alone(idle: &[Window]) -> Result<Window> {
    let first = *idle.first().context("nothing was measured")?;
    Ok(idle.iter().fold(first, |best, window| Window {
        least: best.least.min(window.least),
        best: best.best.min(window.best),
        ..first
    }))
}

/// Sums up windows; `alone` is what the application measures without the hypervisor's work.
pub fn cost(windows: &[Window], alone: Window) -> Cost {
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

/// `part` of `whole`.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
pub fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// The application, running on a device.
pub(crate) struct Measuring {
    device: Device,
    /// How much of the application's console was read.
    read: usize,
}

impl Measuring {
    /// The application on `device`, once it says that it is ready.
    pub(crate) fn ready(device: Device) -> Result<Self> {
        let mut app = Self { device, read: 0 };
        app.line("deadline ready")?;
        Ok(app)
    }

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

    fn begin(&self, mode: char, count: usize) -> Result<()> {
        (0..count).try_for_each(|_| self.device.type_to_application(mode))
    }

    fn finish(&mut self, mode: char, count: usize) -> Result<Vec<Window>> {
        let prefix = format!("measured {mode} ");
        (0..count).map(|_| window(&self.line(&prefix)?)).collect()
    }

    /// Measures `count` windows of an activity: `i` idle, `l` flooding the log.
    ///
    /// # Errors
    /// The application did not answer.
    pub(crate) fn windows(&mut self, mode: char, count: usize) -> Result<Vec<Window>> {
        self.begin(mode, count)?;
        self.finish(mode, count)
    }
}

/// The application on a device whose time counts instructions.
pub struct Bench {
    fleet: Fleet,
    app: Measuring,
}

impl Bench {
    /// Starts server and device, and gives it the application.
    ///
    /// # Errors
    /// Something did not start.
    pub fn start() -> Result<Self> {
        let mut fleet = Fleet::start()?;
        let mut device = fleet.new_device("deadline")?;
        device.count_instructions(0);
        fleet.power_on(&mut device)?;
        let bundle = fleet.push_as(APP, "deadline", "1", &["--owned", OWN_FLASH])?;
        fleet.deploy(&device, &bundle)?;
        Ok(Self { fleet, app: Measuring::ready(device)? })
    }

    /// As [`Measuring::windows`].
    ///
    /// # Errors
    /// The application did not answer.
    pub fn windows(&mut self, mode: char, count: usize) -> Result<Vec<Window>> {
        self.app.windows(mode, count)
    }

    fn connect(&mut self, peer: &Echo) -> Result<()> {
        self.app.device.type_line(&format!("p{}\n", peer.tcp))?;
        self.app.line("connected").map(drop)
    }

    /// Measures while the application's own connection carries what it can both ways.
    ///
    /// # Errors
    /// The peer was not reached, nothing came back, or the application did not answer.
    pub fn connected(&mut self) -> Result<Vec<Window>> {
        let peer = Echo::start()?;
        self.connect(&peer)?;
        let windows = self.windows('t', WINDOWS)?;
        if windows.iter().any(|window| window.done[0] == 0) {
            bail!("nothing came back from the peer: {windows:?}");
        }
        Ok(windows)
    }

    fn set_value(&self) -> Result<()> {
        let value = "x".repeat(CONFIG_VALUE_LEN);
        self.fleet.tool.run(&["config", "set", "-d", &self.app.device.id, "blob", &value])?;
        Ok(())
    }

    /// Measures while the application queues messages, writes to its flash and reads its configuration: `a`, or `m` with its
    /// own memory protection on.
    ///
    /// # Errors
    /// Nothing of it was done, or the application did not answer.
    pub fn asking(&mut self, mode: char) -> Result<Vec<Window>> {
        self.set_value()?;
        // Until it has arrived the application measures without it.
        for _ in 0..WINDOWS_OF_STAGING_MAX {
            if self.windows(mode, 1)?.iter().any(|window| window.done[3] != 0) {
                break;
            }
        }
        let windows = self.windows(mode, WINDOWS)?;
        if windows.iter().any(|window| window.done[1..].contains(&0)) {
            bail!("nothing was done: {windows:?}");
        }
        Ok(windows)
    }

    /// Measures while the link is lost and made anew, twice.
    ///
    /// # Errors
    /// The device did not come back, or the application did not answer.
    pub fn handshaking(&mut self) -> Result<Vec<Window>> {
        self.app.begin('h', WINDOWS)?;
        for _ in 0..2 {
            let before = Timestamp::now();
            self.fleet.restart_server()?;
            self.fleet.wait_online(&self.app.device, before)?;
        }
        self.app.finish('h', WINDOWS)
    }

    /// Microseconds in which the hypervisor writes sixty times to the application's flash, while the application does little
    /// but call it.
    ///
    /// # Errors
    /// The application did not answer.
    pub fn written_amid_calls(&mut self) -> Result<u64> {
        self.app.begin('g', 1)?;
        number(&self.app.line("written amid calls")?, "us")
    }

    /// Measures while an update is staged.
    ///
    /// # Errors
    /// The update did not come, or the application did not answer.
    pub fn staging(&mut self) -> Result<Vec<Window>> {
        let next = self.fleet.push_as(APP_NEXT, "deadline", "2", &["--owned", OWN_FLASH])?;
        self.app.begin('u', 1)?;
        self.fleet.order(&self.app.device, &next)?;
        let mut windows = Vec::new();
        for _ in 0..WINDOWS_OF_STAGING_MAX {
            let window = self.app.finish('u', 1)?.into_iter().next().context("no window")?;
            if STAGES_OF_WORK.contains(&window.stages.0) || STAGES_OF_WORK.contains(&window.stages.1) {
                windows.push(window);
            }
            if window.stages.1 == STAGE_READY {
                break;
            }
        }
        self.fleet.wait_running(&self.app.device, &next)?;
        self.app.line("deadline ready")?;
        Ok(windows)
    }

    /// Measures while a probe is come across some hundred times a second: a breakpoint whose condition never holds, or a
    /// logpoint. It never stops the application.
    ///
    /// # Errors
    /// GDB could not attach, or the application did not answer.
    pub fn debugged(&mut self, version: &str, probe: &str) -> Result<Vec<Window>> {
        let bundle = self.fleet.push_debuggable_as(APP, "deadline", version, &["--owned", OWN_FLASH])?;
        self.fleet.deploy(&self.app.device, &bundle)?;
        self.app.line("deadline ready")?;
        let program = self.fleet.programs.app(APP)?.to_string_lossy().into_owned();
        let debugging = Debugging::start(&self.fleet.tool, &self.app.device.id, &["--elf", &program])?;
        let port = debugging.port;
        let (probe, pause) = (probe.to_owned(), Pause::new(self.fleet.folder.path(), version));
        let wait = pause.command();
        let gdb = thread::spawn(move || {
            let target = format!("target remote :{port}");
            let commands = [&target, "set dprintf-style agent", &probe, &wait, "continue"];
            // It never stops, and ends when the tool is gone.
            crate::debugger::gdb(&program, &commands)
        });
        // The application stands until GDB goes on, so that it measures nothing before.
        pause.when_reached(|| Ok(()))?;
        let windows = self.windows('d', WINDOWS);
        drop(debugging);
        // How GDB takes the loss of its target says nothing here.
        let _ = gdb.join();
        windows
    }

    /// Of [`CHECK_INS`] orders to a device whose application masks everything and spins, how many were answered.
    ///
    /// # Errors
    /// The link was lost.
    pub fn check_ins(&mut self) -> Result<u64> {
        self.app.begin('s', 1)?;
        self.app.line("spins")?;
        let before = self.fleet.look(&self.app.device)?;
        let mut kept = 0;
        for _ in 0..CHECK_INS {
            // The restart ends one spin and begins the next; the answer comes from the device.
            let answered = self.fleet.tool.run(&["device", "restart", &self.app.device.id]);
            kept += u64::from(answered.is_ok());
            self.app.line("spins")?;
        }
        let after = self.fleet.look(&self.app.device)?;
        if before.link.map(|link| link.since) != after.link.map(|link| link.since) {
            bail!("the link was lost while the application span");
        }
        Ok(kept)
    }

    /// Instructions of each system call, those of a function that makes none taken off.
    ///
    /// # Errors
    /// The application did not answer.
    pub fn calls(&mut self) -> Result<Vec<(String, u64)>> {
        self.set_value()?;
        let id = &self.app.device.id;
        self.fleet.tool.run(&["message", "send", id, &"x".repeat(CONFIG_VALUE_LEN)])?;
        let peer = Echo::start()?;
        self.connect(&peer)?;
        self.app.device.type_line(&format!("c{}\n", peer.udp))?;
        let mut calls = Vec::new();
        let mut empty = 0;
        loop {
            let line = self.app.line("call")?;
            if line == "calls end" {
                return Ok(calls);
            }
            let name = line.split_whitespace().nth(1).context("a call without a name")?.to_owned();
            let cost = number(&line, "counts")? * INSTRUCTIONS_A_COUNT / number(&line, "calls")?;
            if name.starts_with("function") {
                empty = cost;
            } else {
                let status = number(&line, "status")?;
                let answer = Status::ALL.iter().find(|(known, ..)| u64::from(*known as u32) == status);
                let name = match answer {
                    Some((Status::Ok, ..)) | None => name,
                    Some((_, refusal, _)) => format!("{name}: {refusal}"),
                };
                calls.push((name, cost.saturating_sub(empty)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "measured i n 10 least 2 p999 9 worst 42 chunks 100 best 990 total 100000 before 0 after 0 \
         echoed 3 messages 2 stored 1 read 0";

    #[test]
    fn what_is_lost_is_what_the_same_work_takes_longer_than_alone() {
        let alone = window(LINE).unwrap();
        let cost = cost(&[alone, alone], alone);
        assert_eq!((cost.samples, cost.worst, cost.p999), (20, 2_000, 350));
        assert!((cost.cpu_left - 99.0).abs() < 1e-9);
        assert!(window("measured i n 10").is_err());
    }
}
