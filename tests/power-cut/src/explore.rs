//! All power cuts, nested, with all ways their torn cells can read.

use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bulkhead_flash_simulator::{Cut, Reading};
use bulkhead_link_protocol::Digest;
use bulkhead_update_engine::{Rules, StartCause};

use crate::bundle::Bundle;
use crate::device::{Device, Health, Outcome, Server, World};

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
}

impl<'b> Claim<'b> {
    fn server(&self, session: u32) -> Server<'b> {
        let session = self.servers.get(session as usize).or(self.servers.last());
        session.copied().unwrap_or(Server::Silent)
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
}

/// One violated claim.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Feed this to [`replay`].
    pub id: String,
    /// What was wrong.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (replay id {})", self.what, self.id)
    }
}

/// What an exploration saw.
#[derive(Clone, Debug, Default)]
pub struct Exploration {
    /// Power sessions that were run to their end.
    pub boots: u64,
    /// Distinct contents of flash that were booted from.
    pub states: u64,
    /// Starts of an application.
    pub starts: u64,
    /// Starts of an application that was not whole.
    pub unsafe_starts: u64,
    /// The first faults.
    pub faults: Vec<Fault>,
}

impl fmt::Display for Exploration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { boots, states, starts, unsafe_starts, faults } = self;
        write!(
            f,
            "boots={boots} states={states} starts={starts} unsafe={unsafe_starts} faults={}",
            faults.len()
        )
    }
}

/// One way to read all torn cells of a world: one reading for each cut, oldest first.
type Readings = Vec<Reading>;

/// How a state was reached: what each session read, and where it was cut.
type Path = Vec<(Readings, Cut)>;

struct State {
    world: World,
    path: Path,
}

struct Search<'c, 'b, R> {
    claim: &'c Claim<'b>,
    limits: Limits,
    seen: Mutex<HashSet<u128>>,
    faults: Mutex<Vec<Fault>>,
    boots: AtomicU64,
    starts: AtomicU64,
    unsafe_starts: AtomicU64,
    rules: PhantomData<fn() -> R>,
}

/// Explores `claim` with an engine that keeps the rules `R`.
pub fn explore<R: Rules>(claim: &Claim<'_>, limits: Limits) -> Exploration {
    let search = Search::<R> {
        claim,
        limits,
        seen: Mutex::new(HashSet::from([claim.start.fingerprint()])),
        faults: Mutex::new(Vec::new()),
        boots: AtomicU64::new(0),
        starts: AtomicU64::new(0),
        unsafe_starts: AtomicU64::new(0),
        rules: PhantomData,
    };
    let mut level = vec![State { world: claim.start.clone(), path: Vec::new() }];
    for _ in 0..limits.cuts {
        level = search.level(&level);
    }
    let faults = search.faults.into_inner().expect("no thread died");
    Exploration {
        boots: search.boots.into_inner(),
        states: search.seen.into_inner().expect("no thread died").len() as u64,
        starts: search.starts.into_inner(),
        unsafe_starts: search.unsafe_starts.into_inner(),
        faults,
    }
}

impl<R: Rules> Search<'_, '_, R> {
    /// Boots from every state of `level` and returns the states that their cuts leave. Those of the last level are
    /// booted from at once and forgotten, for they are too many to keep.
    fn level(&self, level: &[State]) -> Vec<State> {
        let (next, children) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
                scope.spawn(|| {
                    while let Some(state) = level.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if self.is_done() {
                            return;
                        }
                        let found = self.boot(state, true);
                        if state.path.len() + 1 < self.limits.cuts as usize {
                            children.lock().expect("no thread died").extend(found);
                        } else {
                            for last in found {
                                self.boot(&last, false);
                            }
                        }
                    }
                });
            }
        });
        children.into_inner().expect("no thread died")
    }

    fn is_done(&self) -> bool {
        self.faults.lock().expect("no thread died").len() >= self.limits.faults
    }

    /// Boots from `state` with each reading; returns the new states that cuts would leave, if asked.
    fn boot(&self, state: &State, record: bool) -> Vec<State> {
        let mut found = Vec::new();
        let claim = self.claim;
        let session = u32::try_from(state.path.len()).expect("few cuts");
        for readings in readings(&state.world, self.limits.mixtures) {
            let cuts = state.world.cuts();
            let device = Device {
                server: claim.server(session),
                session,
                record,
                health: claim.health,
                ..Device::new(&claim.known)
            };
            let outcome = device.run::<R>(state.world.clone(), |cut| reading_of(&cuts, &readings, cut));
            self.judge(state, &readings, &outcome, &claim.ends_in, "");
            if let Some(ends_in) = &claim.offline_ends_in {
                let device = Device { session, health: claim.health, ..Device::new(&claim.known) };
                let outcome = device.run::<R>(state.world.clone(), |cut| reading_of(&cuts, &readings, cut));
                self.judge(state, &readings, &outcome, ends_in, "offline: ");
            }
            let mut world = state.world.clone();
            for recorded in outcome.recorded {
                let left = match recorded.memory {
                    0 => World { die: recorded.cells, external: world.external.clone() },
                    _ => World { die: world.die.clone(), external: recorded.cells },
                };
                if recorded.cut.moment == bulkhead_flash_simulator::Moment::After {
                    world = left.clone();
                }
                if self.seen.lock().expect("no thread died").insert(self.key(&left, session + 1)) {
                    let mut path = state.path.clone();
                    path.push((readings.clone(), recorded.cut));
                    found.push(State { world: left, path });
                }
            }
        }
        found
    }

    /// What makes a state worth exploring once: the same cells before the same server.
    fn key(&self, world: &World, session: u32) -> u128 {
        let server = (session as usize).min(self.claim.servers.len().saturating_sub(1));
        world.fingerprint().wrapping_add(server as u128)
    }

    fn judge(&self, state: &State, readings: &[Reading], outcome: &Outcome, ends_in: &[Digest], when: &str) {
        self.boots.fetch_add(1, Ordering::Relaxed);
        self.starts.fetch_add(outcome.started.len() as u64, Ordering::Relaxed);
        let bad = outcome.started.iter().filter(|started| !started.safe).count();
        self.unsafe_starts.fetch_add(bad as u64, Ordering::Relaxed);
        let Some(what) = verdict(outcome, ends_in, self.claim.may_revert) else { return };
        let counts = match self.limits.faults_are {
            FaultsAre::Everything => true,
            FaultsAre::UnsafeStarts => bad > 0,
            FaultsAre::NeedlessReverts => what.starts_with(NEEDLESS_REVERT),
        };
        if !counts {
            return;
        }
        let mut faults = self.faults.lock().expect("no thread died");
        if faults.len() < self.limits.faults {
            faults.push(Fault {
                id: format_id(self.claim.name, &state.path, readings),
                what: format!("{when}{what}"),
            });
        }
    }
}

const NEEDLESS_REVERT: &str = "gave up an apply that was begun";

/// What is wrong with an outcome, if anything is.
fn verdict(outcome: &Outcome, ends_in: &[Digest], may_revert: bool) -> Option<String> {
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
    if reverted && !may_revert {
        return Some(format!("{NEEDLESS_REVERT} ({:?})", outcome.reason));
    }
    match outcome.running {
        Some(running) if ends_in.contains(&running) => None,
        Some(_) => Some(format!("ended with the wrong application ({:?})", outcome.reason)),
        None => Some(format!("ended without an application ({:?})", outcome.reason)),
    }
}

/// Every combination of plain readings, then the mixtures; those that look alike only once.
fn readings(world: &World, mixtures: u32) -> Vec<Readings> {
    let cuts = world.cuts();
    let mut all: Vec<Readings> = vec![Vec::new()];
    for _ in &cuts {
        all = all
            .iter()
            .flat_map(|start| Reading::PLAIN.map(|reading| [start.clone(), vec![reading]].concat()))
            .collect();
    }
    if !cuts.is_empty() {
        all.extend((0..mixtures).map(|seed| vec![Reading::Mixed(seed); cuts.len()]));
    }
    let mut seen = HashSet::new();
    all.retain(|readings| {
        let reading = |cut| reading_of(&cuts, readings, cut);
        seen.insert((world.die.appearance(reading, true), world.external.appearance(reading, false)))
    });
    all
}

fn reading_of(cuts: &[u32], readings: &[Reading], cut: u32) -> Reading {
    let index = cuts.iter().position(|label| *label == cut);
    index.and_then(|index| readings.get(index)).copied().unwrap_or(Reading::Before)
}

fn format_readings(readings: &[Reading]) -> String {
    let letter = |reading: &Reading| match reading {
        Reading::Before => "b".to_owned(),
        Reading::After => "a".to_owned(),
        Reading::Erased => "e".to_owned(),
        Reading::Unreadable => "u".to_owned(),
        Reading::Mixed(seed) => format!("m{seed}"),
    };
    if readings.is_empty() { "-".to_owned() } else { readings.iter().map(letter).collect() }
}

fn format_id(name: &str, path: &Path, last: &[Reading]) -> String {
    let steps = path.iter().map(|(readings, cut)| format!("{}.{cut}/", format_readings(readings)));
    format!("{name}:{}{}", steps.collect::<String>(), format_readings(last))
}

fn parse_readings(text: &str) -> Option<Readings> {
    let mut readings = Vec::new();
    let mut rest = text.strip_prefix('-').unwrap_or(text);
    while let Some(letter) = rest.chars().next() {
        rest = &rest[1..];
        readings.push(match letter {
            'b' => Reading::Before,
            'a' => Reading::After,
            'e' => Reading::Erased,
            'u' => Reading::Unreadable,
            'm' => {
                let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                let (seed, after) = rest.split_at(end);
                rest = after;
                Reading::Mixed(seed.parse().ok()?)
            }
            _ => return None,
        });
    }
    Some(readings)
}

/// Goes the way that a replay id describes, with real cuts, and says what is wrong at its end, if anything is.
///
/// # Errors
/// The id is not one of `claim`.
pub fn replay<R: Rules>(claim: &Claim<'_>, id: &str) -> Result<Option<String>, String> {
    let wrong = || format!("`{id}` is no replay id of `{}`", claim.name);
    let path = id.strip_prefix(claim.name).and_then(|rest| rest.strip_prefix(':')).ok_or_else(wrong)?;
    let mut world = claim.start.clone();
    let mut steps = path.split('/').collect::<Vec<_>>();
    let last = parse_readings(steps.pop().ok_or_else(wrong)?).ok_or_else(wrong)?;
    for (session, step) in (0..).zip(&steps) {
        let (readings, cut) = step.split_once('.').ok_or_else(wrong)?;
        let (readings, cut) = (parse_readings(readings).ok_or_else(wrong)?, cut.parse()?);
        let cuts = world.cuts();
        let device = Device {
            server: claim.server(session),
            session,
            cut: Some(cut),
            health: claim.health,
            ..Device::new(&claim.known)
        };
        world = device.run::<R>(world, |cut| reading_of(&cuts, &readings, cut)).world;
    }
    let cuts = world.cuts();
    let session = u32::try_from(steps.len()).map_err(|_| wrong())?;
    let device =
        Device { server: claim.server(session), session, health: claim.health, ..Device::new(&claim.known) };
    let outcome = device.run::<R>(world.clone(), |cut| reading_of(&cuts, &last, cut));
    if let Some(what) = verdict(&outcome, &claim.ends_in, claim.may_revert) {
        return Ok(Some(what));
    }
    let Some(ends_in) = &claim.offline_ends_in else { return Ok(None) };
    let device = Device { session, health: claim.health, ..Device::new(&claim.known) };
    let outcome = device.run::<R>(world, |cut| reading_of(&cuts, &last, cut));
    Ok(verdict(&outcome, ends_in, claim.may_revert).map(|what| format!("offline: {what}")))
}
