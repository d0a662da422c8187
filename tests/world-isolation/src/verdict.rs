//! Whether a crime was contained: a pure function of the transcript.

use std::fmt;
use std::time::Duration;

use bulkhead_link_protocol::ApplicationState;

use crate::crime::{Containment, Crime};
use crate::transcript::{Event, Witness};

/// How long things may take. Generous for a loaded machine, far below what a person would call stuck.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the crime to the application's end, or to the refusal. The hypervisor watches a stuck one for 2 s.
    pub stop: Duration,
    /// From the end of the announced back-off to the application's first words.
    pub restart: Duration,
    /// Most signs of life that were asked for in a row and did not come; the server asks four times a second. They are
    /// counted, so that a machine that stands still for a while, and the server with it, makes no device silent.
    pub unanswered: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { stop: Duration::from_secs(6), restart: Duration::from_secs(6), unanswered: 12 }
    }
}

/// Why a crime does not count as contained.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Failure {
    /// The application never said that it commits it: nothing was tested.
    NotCommitted,
    /// The application says that it came back from the crime.
    Escaped,
    /// The hypervisor's console does not name a stop in time.
    NotStopped,
    /// It was stopped more than once for one crime.
    StoppedAgain(String),
    /// Stopped, but for another reason.
    OtherReason(String),
    /// It was stopped although the crime should only have been refused.
    StoppedNeedlessly(String),
    /// No `refused` in time.
    NotRefused,
    /// The server was not told, or something else.
    NotReported,
    /// It was not started again in time.
    NotRestarted,
    /// It was started again before the back-off was over.
    RestartedEarly(Duration),
    /// The line that names the stop does not say when it restarts.
    NoBackOff(String),
    /// The link went down or came up anew.
    LinkLost(String),
    /// The hypervisor itself started anew.
    HypervisorRestarted(String),
    /// The device did not answer, so often in a row.
    Silent(usize),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotCommitted => write!(f, "the application never announced the crime"),
            Self::Escaped => write!(f, "the application got away with it"),
            Self::NotStopped => write!(f, "the application was not stopped in time"),
            Self::StoppedAgain(line) => write!(f, "the application was stopped twice: {line}"),
            Self::OtherReason(line) => write!(f, "stopped for another reason: {line}"),
            Self::StoppedNeedlessly(line) => write!(f, "stopped instead of refused: {line}"),
            Self::NotRefused => write!(f, "the application did not report a refusal in time"),
            Self::NotReported => write!(f, "the server was not told of the fault"),
            Self::NotRestarted => write!(f, "the application was not started again in time"),
            Self::RestartedEarly(by) => write!(f, "restarted {} ms before its time", by.as_millis()),
            Self::NoBackOff(line) => write!(f, "the stop names no time of restart: {line}"),
            Self::LinkLost(what) => write!(f, "the link was lost: {what}"),
            Self::HypervisorRestarted(line) => write!(f, "the hypervisor started anew: {line}"),
            Self::Silent(times) => write!(f, "the device did not answer {times} times in a row"),
        }
    }
}

/// What the application says when it starts.
pub(crate) const READY: &str = "hostile ready";
/// How the hypervisor names the end of the application.
const STOPPED: &str = "application stopped: ";
/// How it names its start.
const STARTS: &str = "application starts ";
/// First words of the hypervisor after power came on.
const BANNER: &str = "bulkhead ";
/// A restart may seem so much early: the stop is told a moment after it.
const EARLY_MAX: Duration = Duration::from_millis(100);

/// Whether `events`, taken from just before `crime` was asked for, show its end, so that it can be judged.
pub fn is_over(crime: &Crime, events: &[Event]) -> bool {
    match crime.containment {
        Containment::Refused => application(events).any(|(_, line)| line == "refused" || line == "ESCAPED"),
        Containment::Stopped(_) | Containment::StoppedSomehow => {
            // One console may be looked at a while before the other.
            let restarted = restarted_at(events).is_some();
            restarted && application(events).any(|(_, line)| line == READY) && link_outlived_restart(events)
        }
    }
}

/// Whether the server was told of the stop, then of the restart, and then got one answer more. All three are the server's
/// to see, so that their order is true; when something else was seen on a console is a matter of who looked first.
fn link_outlived_restart(events: &[Event]) -> bool {
    let state = |wanted| move |event: &Event| is_state(&event.seen, wanted);
    let Some(stopped) = events.iter().rposition(state(ApplicationState::BackingOff)) else { return false };
    let mut since = events.iter().skip(stopped);
    since.any(state(ApplicationState::Running)) && since.any(|event| event.seen == Witness::Pong)
}

/// Judges the `events` since just before `crime` was asked for.
///
/// # Errors
/// [`Failure`]: it was not contained, or nothing can be said.
pub fn judge(crime: &Crime, events: &[Event], limits: &Limits) -> Result<(), Failure> {
    link_was_up(events)?;
    let announced = format!("crime {}", crime.letter);
    let committed = application(events).find(|(_, line)| *line == announced);
    let (committed_at, _) = committed.ok_or(Failure::NotCommitted)?;
    if application(events).any(|(_, line)| line == "ESCAPED") {
        return Err(Failure::Escaped);
    }
    match crime.containment {
        Containment::Refused => was_refused(events, committed_at, limits)?,
        Containment::Stopped(kind) => was_stopped(events, committed_at, Some(format!("{kind:?}")), limits)?,
        Containment::StoppedSomehow => was_stopped(events, committed_at, None, limits)?,
    }
    device_answered(events, limits)
}

pub(crate) fn link_was_up(events: &[Event]) -> Result<(), Failure> {
    for event in events {
        match &event.seen {
            Witness::Console(line) if message(line).starts_with("link ") => {
                return Err(Failure::LinkLost(line.clone()));
            }
            Witness::Console(line) if message(line).starts_with(BANNER) => {
                return Err(Failure::HypervisorRestarted(line.clone()));
            }
            Witness::Closed(why) => return Err(Failure::LinkLost(why.clone())),
            Witness::Connected | Witness::Hello { .. } => {
                return Err(Failure::LinkLost("the device connected anew".into()));
            }
            Witness::Console(_)
            | Witness::Application(_)
            | Witness::State { .. }
            | Witness::Ping
            | Witness::Pong
            | Witness::Log(_)
            | Witness::Progress(..) => {}
        }
    }
    Ok(())
}

fn was_refused(events: &[Event], committed_at: Duration, limits: &Limits) -> Result<(), Failure> {
    if let Some(stop) = stops(events).next() {
        return Err(Failure::StoppedNeedlessly(stop.line.to_owned()));
    }
    let refused = application(events).find(|(_, line)| *line == "refused");
    match refused {
        Some((at, _)) if at <= committed_at + limits.stop => Ok(()),
        _ => Err(Failure::NotRefused),
    }
}

fn was_stopped(
    events: &[Event],
    committed_at: Duration,
    kind: Option<String>,
    limits: &Limits,
) -> Result<(), Failure> {
    let mut stops = stops(events);
    let stop = stops.next().filter(|stop| stop.seen_at <= committed_at + limits.stop);
    let Stop { line, told_at, .. } = stop.ok_or(Failure::NotStopped)?;
    if let Some(again) = stops.next() {
        return Err(Failure::StoppedAgain(again.line.to_owned()));
    }
    let named = line.strip_prefix(STOPPED).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    if kind.is_some_and(|kind| kind != named) {
        return Err(Failure::OtherReason(line.to_owned()));
    }
    let reported = |seen: &Witness| match seen {
        Witness::State { application, fault: Some(fault) } => {
            *application == ApplicationState::BackingOff && format!("{:?}", fault.kind) == named
        }
        _ => false,
    };
    if !events.iter().any(|event| reported(&event.seen)) {
        return Err(Failure::NotReported);
    }
    let back_off = back_off(line).ok_or_else(|| Failure::NoBackOff(line.to_owned()))?;
    if !application(events).any(|(_, line)| line == READY) {
        return Err(Failure::NotRestarted);
    }
    let waited = restarted_at(events).and_then(|at| at.checked_sub(told_at?)).ok_or(Failure::NotRestarted)?;
    if waited + EARLY_MAX < back_off {
        return Err(Failure::RestartedEarly(back_off - waited));
    }
    if waited > back_off + limits.restart {
        return Err(Failure::NotRestarted);
    }
    Ok(())
}

/// Seconds in `..., restart in 4 s`.
fn back_off(line: &str) -> Option<Duration> {
    let (_, rest) = line.split_once("restart in ")?;
    rest.strip_suffix(" s")?.parse().ok().map(Duration::from_secs)
}

fn device_answered(events: &[Event], limits: &Limits) -> Result<(), Failure> {
    let mut unanswered = 0;
    for event in events {
        match event.seen {
            Witness::Ping => unanswered += 1,
            Witness::Pong => unanswered = 0,
            _ => {}
        }
        if unanswered > limits.unanswered {
            return Err(Failure::Silent(unanswered));
        }
    }
    Ok(())
}

/// A line of the hypervisor without its time, `[    0.129] `.
fn message(line: &str) -> &str {
    line.strip_prefix('[').and_then(|rest| rest.split_once("] ")).map_or(line, |(_, message)| message)
}

/// The time of a line of the hypervisor, by its own clock: whoever reads the line may be late.
fn time(line: &str) -> Option<Duration> {
    let (seconds, _) = line.strip_prefix('[')?.split_once(']')?;
    Duration::try_from_secs_f64(seconds.trim().parse().ok()?).ok()
}

/// The hypervisor's word on the end of the application.
struct Stop<'e> {
    /// Without its time.
    line: &'e str,
    /// By the hypervisor's clock.
    told_at: Option<Duration>,
    /// When the console was looked at.
    seen_at: Duration,
}

fn stops(events: &[Event]) -> impl Iterator<Item = Stop<'_>> {
    events.iter().filter_map(|event| match &event.seen {
        Witness::Console(line) if message(line).starts_with(STOPPED) => {
            Some(Stop { line: message(line), told_at: time(line), seen_at: event.at })
        }
        _ => None,
    })
}

/// When the application was started again after its end, by the hypervisor's clock.
fn restarted_at(events: &[Event]) -> Option<Duration> {
    let mut lines = events.iter().filter_map(|event| match &event.seen {
        Witness::Console(line) => Some(line),
        _ => None,
    });
    lines.find(|line| message(line).starts_with(STOPPED))?;
    lines.find(|line| message(line).starts_with(STARTS)).and_then(|line| time(line))
}

fn application(events: &[Event]) -> impl Iterator<Item = (Duration, &str)> {
    events.iter().filter_map(|event| match &event.seen {
        Witness::Application(line) => Some((event.at, line.as_str())),
        _ => None,
    })
}

fn is_state(seen: &Witness, wanted: ApplicationState) -> bool {
    matches!(seen, Witness::State { application, .. } if *application == wanted)
}
