//! What the demo shows and the tests check, scene by scene.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bulkhead_cloud_api::{FaultKind, Timestamp};

use crate::crash::{CRIME_WITH_A_HISTORY, diary, gdb_on_core, holds_nothing_of, wait_crash};
use crate::debugger::Debugging;
use crate::device::Device;
use crate::flash::{Image, Memory};
use crate::fleet::{Fleet, UPDATED_WITHIN, runs};
use crate::owner::Bundle;
use crate::story::Story;

/// Crimes of the demo: what is typed, what the device must report, and what it is.
pub const CRIMES: &[(char, FaultKind, &str)] = &[
    ('a', FaultKind::SecureAccess, "reads the hypervisor's memory"),
    ('g', FaultKind::BadExecution, "jumps into the hypervisor's code"),
    ('i', FaultKind::StackOverflow, "overflows its stack"),
    ('n', FaultKind::InterruptsMasked, "masks all interrupts for ever"),
];

/// Longest time for a log line to travel from the application to `bulkhead logs -f`.
const LOG_WITHIN: Duration = Duration::from_secs(60);

/// Waits for a line of `bulkhead logs -f` that contains `text`.
///
/// # Errors
/// It did not come.
pub fn log_line(fleet: &Fleet, device: &Device, text: &str) -> Result<String> {
    let mut logs = fleet.tool.follow(&["logs", "-f", "-n", "20", &device.id])?;
    logs.wait_for(&format!("a log line with `{text}`"), LOG_WITHIN, |line| {
        line.contains(text).then(|| line.to_owned())
    })
}

/// What came of an update under power cuts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CutReport {
    /// Cuts that fell between the first and the last page.
    pub inside_apply: u32,
    /// Pages that the update has to write.
    pub pages: usize,
}

/// Cuts the power while `to` is written over `from`, each time a little later, and starts the device again. The
/// update must have been ordered.
///
/// # Errors
/// The apply did not begin.
pub fn cut_power_during_apply(
    fleet: &Fleet,
    device: &mut Device,
    from: &Image,
    to: &Image,
    cuts: u32,
    told: &mut dyn FnMut(usize, usize),
) -> Result<CutReport> {
    let pages = from.differing(to);
    let memory = Memory::open(&device.memory)?;
    let mut report = CutReport { inside_apply: 0, pages: pages.len() };
    let steps = usize::try_from(cuts)? + 1;
    for cut in 1..steps {
        let at_least = (pages.len() * cut / steps).max(1);
        let deadline = Instant::now() + UPDATED_WITHIN;
        // No pause here: the whole apply may take less than a tenth of a second.
        let written = loop {
            let written = memory.matching(to, &pages)?;
            if written >= at_least {
                break written;
            }
            if Instant::now() > deadline {
                device.still_runs()?;
                let seen = fleet.look(device)?;
                bail!(
                    "the update did not get to page {at_least} of {}: {}\nconsole:\n{}",
                    pages.len(),
                    crate::fleet::describe(&seen),
                    device.console_tail()
                );
            }
        };
        device.cut_power();
        let after = memory.matching(to, &pages)?;
        if after < pages.len() {
            report.inside_apply += 1;
        }
        told(written.max(after), pages.len());
        device.power_on()?;
    }
    Ok(report)
}

/// The whole demo. The device is left running `hello-c` version 2.
///
/// # Errors
/// The claim that failed.
pub fn play(story: &mut Story) -> Result<(Fleet, Device)> {
    story.scene("A server and a device");
    let mut fleet = story.claim("a server starts without configuration, the tool logs in", Fleet::start)?;
    story.note(&format!("API at {}, devices at {}", fleet.server.url, fleet.server.devices));
    let mut device = story.claim("a device is provisioned and claimed", || fleet.new_device("demo"))?;
    story.note(&format!("device {}", device.id));
    story.claim("it boots in QEMU and comes online", || fleet.power_on(&mut device))?;

    story.scene("Version 1, over the air");
    let v1 = fleet.push("hello-c-v1", "hello", "1")?;
    let v2 = fleet.push("hello-c-v2", "hello", "2")?;
    story.claim("the empty device is given version 1 and runs it", || {
        fleet.tool.run(&["deploy", "--device", "demo", "hello@1"])?;
        fleet.wait_running(&device, &v1)
    })?;
    let line = story.claim("its log arrives live", || log_line(&fleet, &device, "hello v1 second"))?;
    story.note(&line);

    story.scene("Version 2, with the power failing in the middle of it");
    update_under_cuts(story, &mut fleet, &mut device, v2)?;
    let line = story
        .claim("version 2 logs, all of its pages whole", || log_line(&fleet, &device, "hello v2 second"))?;
    story.note(&line);

    story.scene("A hostile application");
    crimes(story, &mut fleet, &mut device)?;

    story.scene("Still reachable");
    story.claim("the device is given version 2 back over the same link", || {
        let v2_again = fleet.push_debuggable("hello-c-v2", "hello", "2.1")?;
        let link = fleet.look(&device)?.link.map(|link| link.since);
        let seen = fleet.deploy(&device, &v2_again)?;
        if seen.link.map(|now| now.since) != link {
            bail!("the device had to connect again");
        }
        Ok(())
    })?;
    story.scene("A debugger");
    debug(story, &fleet, &device)?;
    Ok((fleet, device))
}

/// Stock GDB stops the application in a function, looks around, steps, and lets go.
fn debug(story: &mut Story, fleet: &Fleet, device: &Device) -> Result<()> {
    let program = fleet.programs.app("hello-c-v2")?.to_string_lossy().into_owned();
    let debugging = story
        .claim("`bulkhead debug` shakes hands with the device, through the server", || {
            Debugging::start(&fleet.tool, &device.id, &["--elf", &program])
        })?;
    let commands = ["break bh_text_append_number", "continue", "backtrace", "print ticks", "next", "detach"];
    let text = story.claim("gdb-multiarch stops in a function, shows a variable and steps", || {
        let text = debugging.gdb(&program, &commands)?;
        for wanted in ["Breakpoint 1, bh_text_append_number", "in main ()", "$1 = "] {
            if !text.contains(wanted) {
                bail!("GDB did not say `{wanted}`:\n{text}");
            }
        }
        Ok(text)
    })?;
    for line in text.lines().filter(|line| line.starts_with(['#', '$'])) {
        story.note(line);
    }
    story.claim("the application runs on, and the device was never away", || {
        log_line(fleet, device, "the debugger is gone").map(drop)
    })
}

/// Kills of QEMU during one update.
const CUTS: u32 = 3;
/// Updates of which one has to be hit: on a busy machine a whole apply may pass before the kill.
const UPDATES_MAX: u32 = 3;

/// An update that was under way when the power was cut.
struct Hit {
    bundle: Bundle,
    ordered: Timestamp,
    report: CutReport,
    notes: Vec<String>,
}

fn hit_an_update(fleet: &mut Fleet, device: &mut Device, v2: Bundle) -> Result<Hit> {
    let from = Image::read(&fleet.programs.app("hello-c-v1")?)?;
    let to = Image::read(&fleet.programs.app("hello-c-v2")?)?;
    let mut bundle = v2;
    for update in 1..=UPDATES_MAX {
        fleet.order(device, &bundle)?;
        let ordered = Timestamp::now();
        let mut notes = Vec::new();
        let mut told = |written: usize, pages: usize| {
            notes.push(format!("killed with {written} of {pages} pages written"))
        };
        let report = cut_power_during_apply(fleet, device, &from, &to, CUTS, &mut told)?;
        if report.inside_apply > 0 {
            return Ok(Hit { bundle, ordered, report, notes });
        }
        // Back to version 1, for another.
        fleet.wait_running(device, &bundle)?;
        let v1 = fleet.push("hello-c-v1", "hello", &format!("1.0.{update}"))?;
        fleet.deploy(device, &v1)?;
        bundle = fleet.push("hello-c-v2", "hello", &format!("2.0.{update}"))?;
    }
    bail!("no kill hit the apply in any of {UPDATES_MAX} updates")
}

fn update_under_cuts(story: &mut Story, fleet: &mut Fleet, device: &mut Device, v2: Bundle) -> Result<()> {
    let claim = format!("QEMU is killed {CUTS} times while pages are written");
    let Hit { bundle, ordered, report, notes } = story.claim(&claim, || hit_an_update(fleet, device, v2))?;
    for note in &notes {
        story.note(note);
    }
    story.note(&format!("{} of {CUTS} kills left the application half written", report.inside_apply));
    let seen = story.claim("version 2 comes up, and the device is online", || {
        fleet.wait_online(device, ordered)?;
        fleet.wait_running(device, &bundle)
    })?;
    let (sent, images) = story.claim("what was sent is a patch, not the image", || {
        let update = seen.update.context("the server knows of no update")?;
        let images = update.image_bytes.context("the server does not know the images' length")?;
        if update.bytes_sent == 0 || update.bytes_sent.saturating_mul(2) > images {
            bail!("{} bytes were sent for images of {images}", update.bytes_sent);
        }
        Ok((update.bytes_sent, images))
    })?;
    story.note(&format!(
        "{sent} bytes sent, manifest and its signature included, for images of {images} bytes"
    ));
    Ok(())
}

/// A crash leaves a dump that the developer opens, and nobody else.
fn crash(story: &mut Story, fleet: &Fleet, device: &mut Device) -> Result<()> {
    let program = fleet.programs.app("hostile-c")?;
    let elf = program.to_string_lossy().into_owned();
    let crash = story.claim("it crashes, and a sealed dump of it uploads by itself", || {
        fleet.commit_crime(device, CRIME_WITH_A_HISTORY, FaultKind::SecureAccess)?;
        wait_crash(fleet, device, 0)
    })?;
    let id = crash.id.to_string();
    let core = fleet.folder.path().join("core");
    story.claim("nothing of its memory can be read at the server", || {
        holds_nothing_of(fleet.server.data(), &diary()).map(drop)
    })?;
    let text = story.claim("the developer's key opens it: gdb-multiarch shows calls and locals", || {
        fleet.tool.run(&["crash", "pull", &id, "--elf", &elf, "-o", &core.to_string_lossy()])?;
        let commands = ["backtrace", "frame function post", "info locals"];
        let text = gdb_on_core(&program, &core, &commands)?;
        for wanted in ["weigh (", "in post (", "main ()", "pages = 41"] {
            if !text.contains(wanted) {
                bail!("GDB did not say `{wanted}`:\n{text}");
            }
        }
        Ok(text)
    })?;
    for line in text.lines().filter(|line| line.starts_with('#') || line.starts_with("parcel")) {
        story.note(line);
    }
    let shown = story.claim("`bulkhead crash show` tells the same without GDB", || {
        let shown = fleet.tool.run(&["crash", "show", &id, "--elf", &elf])?;
        if !shown.contains("in weigh at") {
            bail!("no backtrace:\n{shown}");
        }
        Ok(shown)
    })?;
    for line in shown.lines().filter(|line| line.starts_with('#') || line.starts_with("because")) {
        story.note(line);
    }
    Ok(())
}

fn crimes(story: &mut Story, fleet: &mut Fleet, device: &mut Device) -> Result<()> {
    let hostile = fleet.push_debuggable("hostile-c", "hostile", "1")?;
    story.claim("it is deployed and runs", || fleet.deploy(device, &hostile))?;
    crash(story, fleet, device)?;
    for (crime, kind, text) in CRIMES {
        let seen = story.claim(&format!("it {text}: contained, the link stays up"), || {
            fleet.commit_crime(device, *crime, *kind)
        })?;
        if let Some(fault) = seen.reported.and_then(|reported| reported.fault) {
            story.note(&format!(
                "reported: {:?} at {:#010x}, started again in {} s",
                fault.kind,
                fault.program_counter,
                fault.restart_in_s.unwrap_or(0)
            ));
        }
    }
    story.claim("the server still sees the device online, running what it was given", || {
        fleet.wait(device, "the hostile application to be up again", Duration::from_secs(90), |seen| {
            runs(seen, &hostile)
        })
    })?;
    Ok(())
}
