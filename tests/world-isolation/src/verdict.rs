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
    /// Longest silence of the device; the server asks four times a second.
    pub silence: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            stop: Duration::from_secs(6),
            restart: Duration::from_secs(6),
            silence: Duration::from_secs(3),
        }
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
    /// The device did not answer for so long.
    Silent(Duration),
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
            Self::Silent(how_long) => {
                write!(f, "the device did not answer for {:.1} s", how_long.as_secs_f32())
            }
        }
    }
}

/// What the application says when it starts.
pub(crate) const READY: &str = "hostile ready";
/// How the hypervisor names the end of the application.
const STOPPED: &str = "application stopped: ";
/// First words of the hypervisor after power came on.
const BANNER: &str = "bulkhead ";
/// A restart may be seen so much early: consoles are looked at now and then.
const EARLY_MAX: Duration = Duration::from_millis(100);

/// Whether `events`, taken from just before `crime` was asked for, show its end, so that it can be judged.
pub fn is_over(crime: &Crime, events: &[Event]) -> bool {
    match crime.containment {
        Containment::Refused => application(events).any(|(_, line)| line == "refused" || line == "ESCAPED"),
        Containment::Stopped(_) | Containment::StoppedSomehow => {
            let restarted = application(events).find(|(_, line)| *line == READY);
            // One answer after the restart, so that the link is seen to have outlived it.
            restarted.is_some_and(|(at, _)| {
                events.iter().any(|event| event.seen == Witness::Pong && event.at > at)
                    && events.iter().any(|e| e.at > at && is_state(&e.seen, ApplicationState::Running))
            })
        }
    }
}

/// Judges the `events` from just before `crime` was asked for at `from` until `to`.
///
/// # Errors
/// [`Failure`]: it was not contained, or nothing can be said.
pub fn judge(
    crime: &Crime,
    events: &[Event],
    from: Duration,
    to: Duration,
    limits: &Limits,
) -> Result<(), Failure> {
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
    device_answered(events, from, to, limits)
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
            | Witness::Pong
            | Witness::Log(_)
            | Witness::Progress(..) => {}
        }
    }
    Ok(())
}

fn was_refused(events: &[Event], committed_at: Duration, limits: &Limits) -> Result<(), Failure> {
    if let Some((_, line)) = stops(events).next() {
        return Err(Failure::StoppedNeedlessly(line.to_owned()));
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
    let (stopped_at, line) =
        stops.next().filter(|(at, _)| *at <= committed_at + limits.stop).ok_or(Failure::NotStopped)?;
    if let Some((_, again)) = stops.next() {
        return Err(Failure::StoppedAgain(again.to_owned()));
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
    let restarted = application(events).find(|(at, line)| *line == READY && *at >= stopped_at);
    let (restarted_at, _) = restarted.ok_or(Failure::NotRestarted)?;
    let waited = restarted_at - stopped_at;
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

fn device_answered(events: &[Event], from: Duration, to: Duration, limits: &Limits) -> Result<(), Failure> {
    let pongs = events.iter().filter(|event| event.seen == Witness::Pong).map(|event| event.at);
    let mut last = from;
    for at in pongs.chain([to]) {
        let silence = at.saturating_sub(last);
        if silence > limits.silence {
            return Err(Failure::Silent(silence));
        }
        last = at;
    }
    if last == from { Err(Failure::Silent(to.saturating_sub(from))) } else { Ok(()) }
}

/// A line of the hypervisor without its time, `[    0.129] `.
fn message(line: &str) -> &str {
    line.strip_prefix('[').and_then(|rest| rest.split_once("] ")).map_or(line, |(_, message)| message)
}

fn stops(events: &[Event]) -> impl Iterator<Item = (Duration, &str)> {
    events.iter().filter_map(|event| match &event.seen {
        Witness::Console(line) if message(line).starts_with(STOPPED) => Some((event.at, message(line))),
        _ => None,
    })
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
