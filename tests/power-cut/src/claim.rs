//! What is claimed of a device whose power fails, and what refutes it.

use std::fmt;

use bulkhead_flash_simulator::{Cut, Reading};
use bulkhead_link_protocol::Digest;
use bulkhead_update_engine::{Rules, StartCause};

use crate::bundle::Bundle;
use crate::damage::Damage;
use crate::device::{Device, Health, Interruption, Outcome, Server, World};
use crate::replay::format_id;

/// What is explored.
#[derive(Clone, Debug)]
pub struct Claim<'b> {
    /// Starts every replay id.
    pub name: &'static str,
    /// The device before the first power session.
    pub start: World,
    /// Bundles that may be on it.
    pub known: Vec<&'b Bundle>,
    /// The server in each session; the last one goes on for ever.
    pub servers: Vec<Server<'b>>,
    /// What runs at the end of a session without a cut, one of these.
    pub ends_in: Vec<Digest>,
    /// What runs at the end of a session in which the server is silent; `None` leaves that unchecked.
    pub offline_ends_in: Option<Vec<Digest>>,
    /// Whether going back to the old application is right; otherwise it is a fault, for nothing was lost.
    pub may_revert: bool,
    /// How a new version fares.
    pub health: Health,
    /// What comes in between in the first session, tried before each of its steps.
    pub interruption: Option<Interruption<'b>>,
    /// What is broken from the first session on: each of these is tried by itself. None: nothing is.
    pub damages: Vec<Damage>,
    /// Whether it is right to end online without an application.
    pub may_be_without: bool,
    /// Whether the hypervisor lets a ready update be applied.
    pub allow_apply: bool,
    /// Whole power sessions after which `ends_in` must hold; usually 1.
    pub sessions: u32,
    /// Power cuts in a row that are tried exhaustively.
    pub depth: u32,
}

impl<'b> Claim<'b> {
    /// From `start` on the server offers the last of `known`, and that is what runs in the end; offline any of them.
    pub fn new(name: &'static str, start: World, known: &[&'b Bundle]) -> Self {
        let last = known.last().copied();
        Self {
            name,
            start,
            known: known.to_vec(),
            servers: vec![last.map_or(Server::Silent, Server::Offers)],
            ends_in: last.map(|bundle| bundle.digest).into_iter().collect(),
            offline_ends_in: None,
            may_revert: false,
            health: Health::Good,
            interruption: None,
            damages: Vec::new(),
            may_be_without: false,
            allow_apply: true,
            sessions: 1,
            depth: 2,
        }
    }

    pub(crate) fn server(&self, session: u32) -> Server<'b> {
        let session = self.servers.get(session as usize).or(self.servers.last());
        session.copied().unwrap_or(Server::Silent)
    }

    /// The device in its `session`th power session.
    pub(crate) fn device(&self, session: u32, damage: Option<Damage>) -> Device<'b> {
        Device {
            server: self.server(session),
            session,
            damage,
            health: self.health,
            allow_apply: self.allow_apply,
            ..Device::new(&self.known)
        }
    }

    /// Carries on after a session that was not cut until something of `ends_in` runs, or sessions are used up.
    pub(crate) fn settle<R: Rules>(
        &self,
        session: u32,
        damage: Option<Damage>,
        mut outcome: Outcome,
    ) -> Outcome {
        for more in 1..self.sessions {
            let settled = outcome.running.is_some_and(|running| self.ends_in.contains(&running));
            if settled || outcome.cut || !outcome.started.iter().all(|started| started.safe) {
                break;
            }
            let device = self.device(session + more, damage);
            outcome = device.run::<R>(outcome.world, |_| Reading::Before);
        }
        outcome
    }
}

/// What an exploration looks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FaultsAre {
    /// Every violation.
    Everything,
    /// Starts of an application that is not whole, and nothing milder.
    UnsafeStarts,
    /// Going back from an apply although nothing was lost, and nothing else.
    NeedlessReverts,
}

/// How far to go.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Power cuts in a row.
    pub cuts: u32,
    /// Seeded mixtures of torn cells tried besides the plain readings.
    pub mixtures: u32,
    /// Faults after which to stop.
    pub faults: usize,
    /// What counts as a fault.
    pub faults_are: FaultsAre,
    /// Recovered states after which to stop.
    pub boots: u64,
}

impl Limits {
    /// Every cut of every operation, two in a row.
    pub const TWO_CUTS: Self =
        Self { cuts: 2, mixtures: 6, faults: 5, faults_are: FaultsAre::Everything, boots: u64::MAX };
}

/// One violated claim.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Feed this to [`crate::replay`].
    pub id: String,
    /// What was wrong.
    pub what: String,
    /// Recovered states that had been seen when it was found.
    pub after: u64,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (replay id {})", self.what, self.id)
    }
}

/// What an exploration saw.
#[derive(Clone, Debug, Default)]
pub struct Exploration {
    /// Recovered states: power sessions that were run to their end.
    pub boots: u64,
    /// Distinct contents of flash that were booted from.
    pub states: u64,
    /// Starts of an application.
    pub starts: u64,
    /// Starts of an application that was not whole.
    pub unsafe_starts: u64,
    /// Recovered states in which the device hung, or had no application although one was due.
    pub bricks: u64,
    /// Whether it stopped before everything was tried.
    pub stopped: bool,
    /// The first faults.
    pub faults: Vec<Fault>,
}

impl Exploration {
    /// Adds what another one saw.
    pub fn add(&mut self, other: Self) {
        self.boots += other.boots;
        self.states += other.states;
        self.starts += other.starts;
        self.unsafe_starts += other.unsafe_starts;
        self.bricks += other.bricks;
        self.stopped |= other.stopped;
        self.faults.extend(other.faults);
    }
}

impl fmt::Display for Exploration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { boots, states, starts, unsafe_starts, bricks, faults, .. } = self;
        let faults = faults.len();
        write!(
            f,
            "states={boots} distinct={states} starts={starts} unsafe={unsafe_starts} bricks={bricks} faults={faults}"
        )
    }
}

/// One power session on the way to a state.
#[derive(Clone, Debug)]
pub(crate) struct PathStep<'b> {
    pub(crate) damage: Option<Damage>,
    pub(crate) readings: Readings,
    pub(crate) interruption: Option<(u32, Interruption<'b>)>,
    /// `None` in the last session, which is not cut.
    pub(crate) cut: Option<Cut>,
}

/// One way to read all torn cells of a world: one reading for each cut, oldest first.
pub(crate) type Readings = Vec<Reading>;

pub(crate) const NEEDLESS_REVERT: &str = "gave up an apply that was begun";

/// What is wrong with an outcome, if anything is.
pub(crate) fn verdict(claim: &Claim<'_>, outcome: &Outcome, ends_in: &[Digest]) -> Option<String> {
    if let Some(started) = outcome.started.iter().find(|started| !started.safe) {
        return Some(format!("started an application that is not whole ({:?})", started.cause));
    }
    if outcome.hung {
        return Some("the engine does not come to rest".into());
    }
    if outcome.programs_twice > 0 {
        return Some("programmed a unit twice".into());
    }
    let reverted = outcome.started.iter().any(|started| started.cause == StartCause::Reverted);
    if reverted && !claim.may_revert {
        return Some(format!("{NEEDLESS_REVERT} ({:?})", outcome.reason));
    }
    match outcome.running {
        Some(running) if ends_in.contains(&running) => None,
        None if claim.may_be_without => None,
        Some(_) => Some(format!("ended with the wrong application ({:?})", outcome.reason)),
        None => Some(format!("ended without an application ({:?})", outcome.reason)),
    }
}

/// Counts outcomes of one claim; shared by all threads of a search.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    seen: std::sync::Mutex<Exploration>,
}

impl Judge {
    pub(crate) fn judge(
        &self,
        claim: &Claim<'_>,
        faults: (usize, FaultsAre),
        path: &[PathStep<'_>],
        outcome: &Outcome,
        offline: bool,
    ) {
        let unsafe_starts = outcome.started.iter().filter(|started| !started.safe).count();
        let ends_in = match (&claim.offline_ends_in, offline) {
            (Some(ends_in), true) => ends_in,
            _ => &claim.ends_in,
        };
        let what = verdict(claim, outcome, ends_in);
        let mut seen = self.seen.lock().expect("no thread died");
        seen.boots += 1;
        seen.starts += outcome.started.len() as u64;
        seen.unsafe_starts += unsafe_starts as u64;
        let Some(what) = what else { return };
        seen.bricks += u64::from(outcome.hung || outcome.running.is_none() && !outcome.cut);
        let counts = match faults.1 {
            FaultsAre::Everything => true,
            FaultsAre::UnsafeStarts => unsafe_starts > 0,
            FaultsAre::NeedlessReverts => what.starts_with(NEEDLESS_REVERT),
        };
        if counts && seen.faults.len() < faults.0 {
            let when = if offline { "offline: " } else { "" };
            let after = seen.boots;
            seen.faults.push(Fault { id: format_id(claim, path), what: format!("{when}{what}"), after });
        }
    }

    pub(crate) fn is_done(&self, limits: &Limits) -> bool {
        let mut seen = self.seen.lock().expect("no thread died");
        let over = seen.boots >= limits.boots;
        seen.stopped |= over;
        over || seen.faults.len() >= limits.faults
    }

    pub(crate) fn finish(self, states: u64) -> Exploration {
        Exploration { states, ..self.seen.into_inner().expect("no thread died") }
    }
}
