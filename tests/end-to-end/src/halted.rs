//! An application that is held for long: what stands still, and what must not.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bulkhead_cloud_api::UpdateStage;
use bulkhead_debug_protocol::{Action, Hello, Nothing, Operation, Resume, Run, SetProbe, StopReason};
use object::{Object as _, ObjectSymbol as _};

use crate::developer::Developer;
use crate::fleet::Fleet;

/// How often the server is looked at meanwhile.
const LOOK: Duration = Duration::from_secs(1);
/// Shortest hold in which the device has to check in by itself.
const CHECKS_IN_WITHIN: Duration = Duration::from_secs(300);
/// The application, and what it is to be updated to.
const PROGRAMS: [&str; 2] = ["hello-c-v1", "hello-c-v2"];

/// What was seen.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// How long the application was held, by the device's clock.
    pub held: Duration,
    /// Ticks that it took in that time.
    pub ticks: u32,
    /// Frames by which the device checked in, unasked.
    pub check_ins: u64,
    /// Time from the tick that was pending to the next, in microseconds.
    pub next_tick_us: u64,
}

/// Holds an application for `seconds`, in which an update is staged, and lets it go again.
///
/// # Errors
/// Something that must stand still moved, or something that must go on did not; the text says what.
pub fn hold(seconds: u64) -> Result<Held> {
    let (mut fleet, mut device) = Fleet::start_with_device("held")?;
    fleet.tool.run(&["key", "generate", "--debug"])?;
    let key = fleet.tool.home().join("keys").join("debug.key");
    // Nobody says a word meanwhile: what the device sends it sends by itself.
    let named = key.to_string_lossy().into_owned();
    let policy: [&str; 4] = ["--debug-key", &named, "--debug-silence", "2h"];
    let bundle = fleet.owner.sign(&fleet.programs.app(PROGRAMS[0])?, "hello", "1", &policy)?;
    fleet.tool.run(&["app", "push", &bundle.path.to_string_lossy()])?;
    let newer = fleet.push_debuggable(PROGRAMS[1], "hello", "2")?;
    fleet.deploy(&device, &bundle)?;
    let elf = std::fs::read(fleet.programs.app(PROGRAMS[0])?)?;
    let (ticks, handler) = (symbol(&elf, "ticks")?, symbol(&elf, "systick_handler")? & !1);
    let key = bulkhead_bundle_builder::load_debug_key(&key)?;
    let before = fleet.look(&device)?.link.context("no link")?;

    let mut developer = Developer::open(&fleet.api, &device.id, &key)?;
    developer.ask(&[Operation::Hello(Hello { version: 1 }), Operation::Halt(Nothing {})])?;
    let stood = developer.stopped()?;
    ensure!(stood.reason == StopReason::Halted, "{stood:?}");
    let ticks_before = developer.word(ticks)?;
    let started = Instant::now();

    // An update is fetched and staged while nothing of the application runs; applied it is not.
    fleet.order(&device, &newer)?;
    let staged = fleet.wait(&device, "the update to be staged", Duration::from_secs(120), |seen| {
        seen.update.as_ref().is_some_and(|update| update.stage == UpdateStage::Ready)
    })?;
    let heard = staged.link.context("no link")?.frames_in;
    let wanted = Duration::from_secs(seconds);
    while started.elapsed() < wanted {
        std::thread::sleep(LOOK.min(wanted.saturating_sub(started.elapsed())));
        device.still_runs()?;
        let seen = fleet.look(&device)?;
        let since = seen.link.as_ref().map(|link| link.since);
        ensure!(seen.online && since == Some(before.since), "the device was away: {seen:?}");
        let stage = seen.update.map(|update| update.stage);
        ensure!(stage == Some(UpdateStage::Ready), "what nobody could answer was not waited for: {stage:?}");
    }
    let check_ins = fleet.look(&device)?.link.context("no link")?.frames_in.saturating_sub(heard);
    ensure!(check_ins > 0 || wanted < CHECKS_IN_WITHIN, "the device did not check in");
    let ticks_after = developer.word(ticks)?;
    ensure!(ticks_after == ticks_before, "the application took ticks while it was held");

    // One tick was pending; the next comes a period later and no sooner.
    let probe = SetProbe {
        address: handler,
        action: Action::Stop,
        condition: None,
        command: None,
        actions_max: None,
    };
    let resume = Resume { run: Run::Continue, low: None, high: None, steps_max: None, interrupts: None };
    developer.ask(&[Operation::SetProbe(probe), Operation::Resume(resume)])?;
    let first = developer.stopped()?;
    ensure!(first.reason == StopReason::Breakpoint && first.pc == handler, "{first:?}");
    ensure!(developer.word(ticks)? == ticks_before, "more than one tick was pending");
    developer.ask(&[Operation::Resume(resume)])?;
    let second = developer.stopped()?;
    ensure!(second.pc == handler, "{second:?}");
    ensure!(developer.word(ticks)? == ticks_before + 1, "{second:?}");
    Ok(Held {
        held: Duration::from_micros(first.time_us.saturating_sub(stood.time_us)),
        ticks: ticks_after.wrapping_sub(ticks_before),
        check_ins,
        next_tick_us: second.time_us.saturating_sub(first.time_us),
    })
}

fn symbol(elf: &[u8], name: &str) -> Result<u32> {
    let file = object::File::parse(elf).context("not an ELF file")?;
    let found = file.symbols().find(|symbol| symbol.name() == Ok(name));
    Ok(u32::try_from(found.with_context(|| format!("the application has no `{name}`"))?.address())?)
}
