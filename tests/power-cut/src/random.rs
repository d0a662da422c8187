//! Random walks: more cuts in a row than can be tried exhaustively, with everything that can come in between.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bulkhead_flash_simulator::{Cut, Moment, Reading};
use bulkhead_update_engine::Rules;

use crate::claim::{Claim, Exploration, Judge, Limits, PathStep, Readings};
use crate::device::{Device, Interruption, World};
use crate::explore::run;

/// Most cuts in a row.
const CUTS_MAX: u32 = 24;

/// A sequence of numbers that its seed determines: SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `end`, which is not zero.
    fn below(&mut self, end: u32) -> u32 {
        u32::try_from(self.roll() % u64::from(end)).expect("below a u32")
    }
}

/// Walks from `claim`'s start until `limits.boots` states were recovered. The same seed walks the same ways.
pub fn wander<R: Rules>(claim: &Claim<'_>, limits: Limits, seed: u64) -> Exploration {
    let (walks, judge) = (AtomicU64::new(0), Judge::default());
    let seen = Mutex::new(HashSet::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while !judge.is_done(&limits) {
                    let walk = walks.fetch_add(1, Ordering::Relaxed);
                    let mut dice = Dice(seed ^ walk.wrapping_mul(0xA076_1D64_78BD_642F));
                    walk_once::<R>(claim, &limits, &judge, &seen, &mut dice);
                }
            });
        }
    });
    let states = seen.into_inner().expect("no thread died").len() as u64;
    judge.finish(states)
}

fn walk_once<R: Rules>(
    claim: &Claim<'_>,
    limits: &Limits,
    judge: &Judge,
    seen: &Mutex<HashSet<u128>>,
    dice: &mut Dice,
) {
    let (mut world, mut path) = (claim.start.clone(), Vec::new());
    // Operations and steps of the last whole session say where a cut or an interruption makes sense.
    let (mut operations, mut steps) = (64, 64);
    for session in 0..=dice.below(CUTS_MAX) {
        let readings = draw_readings(&world, dice);
        // Most cuts come early in the session, where it resumes; some anywhere.
        let range = if dice.below(3) == 0 { 8 } else { operations + 1 };
        let moment = match dice.below(6) {
            0 => Moment::Before,
            1 => Moment::After,
            n => Moment::Inside(u8::try_from(n - 2).expect("small")),
        };
        let cut = Some(Cut { operation: dice.below(range), moment });
        let interruption = draw_interruption(claim, steps, dice);
        path.push(PathStep { damage: None, readings: readings.clone(), interruption, cut });
        let device = Device { cut, interruption, ..claim.device(session, None) };
        let outcome = run::<R>(&device, &world, &readings);
        if !outcome.cut {
            // It came to its end before the cut: a recovered state like any other.
            path.last_mut().expect("one was pushed").cut = None;
            let outcome = claim.settle::<R>(session, None, outcome);
            return judge.judge(claim, (limits.faults, limits.faults_are), &path, &outcome, false);
        }
        world = outcome.world;
        seen.lock().expect("no thread died").insert(world.fingerprint());
        let readings = draw_readings(&world, dice);
        let recovered = run::<R>(&claim.device(session + 1, None), &world, &readings);
        (operations, steps) = (recovered.operations.max(4), recovered.steps.max(4));
        let recovered = claim.settle::<R>(session + 1, None, recovered);
        path.push(PathStep { damage: None, readings, interruption: None, cut: None });
        judge.judge(claim, (limits.faults, limits.faults_are), &path, &recovered, false);
        path.pop();
    }
}

fn draw_readings(world: &World, dice: &mut Dice) -> Readings {
    let draw = |_: &u32| match dice.below(6) {
        n @ 0..4 => Reading::PLAIN[n as usize],
        _ => Reading::Mixed(dice.below(1000)),
    };
    world.cuts().iter().map(draw).collect()
}

fn draw_interruption<'b>(claim: &Claim<'b>, steps: u32, dice: &mut Dice) -> Option<(u32, Interruption<'b>)> {
    let at = dice.below(steps);
    let bundle = claim.known.get(dice.below(u32::try_from(claim.known.len()).ok()?) as usize)?;
    let pages = world_pages(claim);
    let what = match dice.below(16) {
        0 => Interruption::Cancel,
        1 => Interruption::LoseLink,
        2 => Interruption::Offer(bundle),
        3 => Interruption::Force(bundle),
        4 => Interruption::WritePage(dice.below(pages)),
        5 => Interruption::LoseExternal,
        _ => return None,
    };
    Some((at, what))
}

/// Pages of code that a debugger may overwrite.
fn world_pages(claim: &Claim<'_>) -> u32 {
    let shape = claim.start.shape;
    (shape.layout.die_application.length / shape.die_page).min(4)
}
