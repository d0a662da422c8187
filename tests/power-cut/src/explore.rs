//! All power cuts, nested, with all ways their torn cells can read.

use std::collections::HashSet;
use std::marker::PhantomData;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bulkhead_flash_simulator::{Moment, Reading};
use bulkhead_update_engine::Rules;

use crate::claim::{Claim, Exploration, Judge, Limits, PathStep, Readings};
use crate::damage::Damage;
use crate::device::{Device, Interruption, Outcome, Server, World};

struct State<'b> {
    world: World,
    damage: Option<Damage>,
    path: Vec<PathStep<'b>>,
}

/// What makes a state worth exploring once: the same cells of the same hardware before the same server.
type Key = (u128, usize, Option<Damage>);

struct Search<'c, 'b, R> {
    claim: &'c Claim<'b>,
    limits: Limits,
    seen: Mutex<HashSet<Key>>,
    judge: Judge,
    rules: PhantomData<fn() -> R>,
}

/// Explores `claim` with an engine that keeps the rules `R`.
pub fn explore<R: Rules>(claim: &Claim<'_>, limits: Limits) -> Exploration {
    let search = Search::<R> {
        claim,
        limits,
        seen: Mutex::new(HashSet::new()),
        judge: Judge::default(),
        rules: PhantomData,
    };
    let start = |damage| State { world: claim.start.clone(), damage, path: Vec::new() };
    let mut level = match claim.damages.as_slice() {
        [] => vec![start(None)],
        damages => damages.iter().copied().map(Some).map(start).collect(),
    };
    search.seen.lock().expect("no thread died").extend(level.iter().map(|state| search.key(state, 0)));
    for _ in 0..limits.cuts {
        level = search.level(&level);
    }
    search.judge.finish(search.seen.into_inner().expect("no thread died").len() as u64)
}

impl<'b, R: Rules> Search<'_, 'b, R> {
    /// Boots from every state of `level` and returns the states that their cuts leave. Those of the last level are
    /// booted from at once and forgotten, for they are too many to keep.
    fn level(&self, level: &[State<'b>]) -> Vec<State<'b>> {
        let (next, children) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
                scope.spawn(|| {
                    while let Some(state) = level.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if self.judge.is_done(&self.limits) {
                            return;
                        }
                        let is_last = state.path.len() + 1 >= self.limits.cuts as usize;
                        for found in self.boot(state, true) {
                            if is_last {
                                self.boot(&found, false);
                            } else {
                                children.lock().expect("no thread died").push(found);
                            }
                        }
                    }
                });
            }
        });
        children.into_inner().expect("no thread died")
    }

    /// Boots from `state` with each reading; returns the new states that cuts would leave, if asked.
    fn boot(&self, state: &State<'b>, record: bool) -> Vec<State<'b>> {
        let mut found = Vec::new();
        for readings in readings(&state.world, self.limits.mixtures) {
            let steps = self.session(state, &readings, None, record, &mut found);
            let Some(interruption) = self.claim.interruption.filter(|_| state.path.is_empty()) else {
                continue;
            };
            for at in 0..steps {
                if !self.judge.is_done(&self.limits) {
                    self.session(state, &readings, Some((at, interruption)), record, &mut found);
                }
            }
        }
        found
    }

    /// Runs one power session; returns its steps.
    fn session(
        &self,
        state: &State<'b>,
        readings: &Readings,
        interruption: Option<(u32, Interruption<'b>)>,
        record: bool,
        found: &mut Vec<State<'b>>,
    ) -> u32 {
        let (claim, session) = (self.claim, u32::try_from(state.path.len()).expect("few cuts"));
        let mut path = state.path.clone();
        path.push(PathStep { damage: state.damage, readings: readings.clone(), interruption, cut: None });
        let device = Device { record, interruption, ..claim.device(session, state.damage) };
        let (mut outcome, steps) = {
            let outcome = run::<R>(&device, &state.world, readings);
            let steps = outcome.steps;
            (outcome, steps)
        };
        let recorded = std::mem::take(&mut outcome.recorded);
        let outcome = claim.settle::<R>(session, state.damage, outcome);
        self.judge(&path, &outcome, false);
        if claim.offline_ends_in.is_some() {
            let device = Device { server: Server::Silent, record: false, ..device };
            self.judge(&path, &run::<R>(&device, &state.world, readings), true);
        }
        let mut world = state.world.clone();
        for recorded in recorded {
            let (die, external) = match recorded.memory {
                0 => (recorded.cells, world.external.clone()),
                _ => (world.die.clone(), recorded.cells),
            };
            let left = World { shape: world.shape, die, external };
            if recorded.cut.moment == Moment::After {
                world = left.clone();
            }
            let mut left = State { world: left, damage: state.damage, path: Vec::new() };
            if self.seen.lock().expect("no thread died").insert(self.key(&left, session + 1)) {
                left.path.clone_from(&path);
                left.path.last_mut().expect("one was pushed").cut = Some(recorded.cut);
                found.push(left);
            }
        }
        steps
    }

    fn judge(&self, path: &[PathStep<'b>], outcome: &Outcome, offline: bool) {
        let faults = (self.limits.faults, self.limits.faults_are);
        self.judge.judge(self.claim, faults, path, outcome, offline);
    }

    fn key(&self, state: &State<'_>, session: u32) -> Key {
        let server = (session as usize).min(self.claim.servers.len().saturating_sub(1));
        (state.world.fingerprint(), server, state.damage)
    }
}

pub(crate) fn run<R: Rules>(device: &Device<'_>, world: &World, readings: &[Reading]) -> Outcome {
    let cuts = world.cuts();
    device.run::<R>(world.clone(), |cut| reading_of(&cuts, readings, cut))
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

pub(crate) fn reading_of(cuts: &[u32], readings: &[Reading], cut: u32) -> Reading {
    let index = cuts.iter().position(|label| *label == cut);
    index.and_then(|index| readings.get(index)).copied().unwrap_or(Reading::Before)
}
