//! Invariants that show in every run, each with an engine that breaks it. `docs/spec/update.md` lists where each of
//! them is tested.

#![expect(clippy::expect_used, reason = "a test suite")]

use bulkhead_bundle_format::Medium;
use bulkhead_flash_simulator::{Cut, Moment, Reading};
use bulkhead_link_protocol::Digest;
use bulkhead_power_cut::frames::{begun, new, old, ready, small};
use bulkhead_power_cut::{
    Bundle, Claim, Damage, Device, Exploration, LAYOUT, Limits, Outcome, SMALL, Server, World, claims,
    explore,
};
use bulkhead_update_engine::seeded_bugs::{HeaderTrusted, NoErase, NoJournal, RetryLimit, SurvivingMarks};
use bulkhead_update_engine::{Part, Rules, Sound};

const READINGS: [Reading; 6] = [
    Reading::Before,
    Reading::After,
    Reading::Erased,
    Reading::Unreadable,
    Reading::Mixed(1),
    Reading::Mixed(2),
];

/// Whether what runs is one whole bundle: each area of it, read from raw cells, and no page of another.
fn is_mix(outcome: &Outcome, known: &[&Bundle]) -> bool {
    let Some(running) = outcome.running else { return false };
    let bundle = known.iter().find(|bundle| bundle.digest == running).expect("a known bundle");
    let (die, external) = (outcome.world.die.raw(), outcome.world.external.raw());
    bundle.areas.iter().any(|area| {
        let (raw, part) = match area.medium {
            Medium::Die => (&die, LAYOUT.die_application),
            Medium::External => (&external, LAYOUT.external_application),
        };
        let holds =
            |(offset, page): (u32, Vec<u8>)| raw[(part.start.0 + offset) as usize..].starts_with(&page);
        !area.pages().all(holds)
    })
}

/// Cuts everywhere in an apply over two memories, and writes single pages of the new version over the old one as
/// nobody should; then boots offline with each reading; counts mixed applications.
fn mixes<R: Rules>() -> usize {
    let known = [old(), new()];
    let start = ready(old(), new());
    let device = Device { server: Server::Offers(new()), ..Device::new(&known) };
    let operations = device.run::<R>(start.clone(), |_| Reading::Before).operations;
    let mut left = Vec::new();
    for operation in 0..operations {
        for moment in [Moment::Inside(0), Moment::Inside(3), Moment::After] {
            let cut = Some(Cut { operation, moment });
            left.push(Device { cut, ..device.clone() }.run::<R>(start.clone(), |_| Reading::Before).world);
        }
    }
    for area in &new().areas {
        for (offset, page) in area.pages() {
            let mut world = start.clone();
            match area.medium {
                Medium::Die => world.die.tamper((LAYOUT.die_application.start.0 + offset) as usize, &page),
                Medium::External => {
                    world.external.tamper((LAYOUT.external_application.start.0 + offset) as usize, &page);
                }
            }
            left.push(world);
        }
    }
    let boot = Device { session: 1, ..Device::new(&known) };
    let boots =
        left.iter().flat_map(|world| READINGS.map(|reading| boot.run::<R>(world.clone(), |_| reading)));
    boots.filter(|outcome| is_mix(outcome, &known)).count()
}

#[test]
fn i2_what_is_started_is_never_a_mix_of_two_versions_across_areas() {
    assert_eq!(mixes::<Sound>(), 0);
    assert!(mixes::<HeaderTrusted>() > 0, "this test can fail");
}

fn explored<R: Rules>(claim: &str, cuts: u32) -> Exploration {
    let claim: Claim<'_> = claims::named(claim).expect("there is such a claim");
    explore::<R>(&claim, Limits { cuts, mixtures: 2, ..Limits::TWO_CUTS })
}

fn faults(seen: &Exploration) -> String {
    seen.faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn i3_an_apply_that_was_begun_ends_in_the_new_application_even_offline() {
    for claim in ["begun", "deep-begun"] {
        let seen = explored::<Sound>(claim, 2);
        assert!(seen.faults.is_empty() && !seen.stopped && seen.boots > 5_000, "{}", faults(&seen));
    }
    assert!(faults(&explored::<RetryLimit>("begun", 2)).contains("gave up an apply"), "this test can fail");
    assert!(!explored::<NoJournal>("apply", 2).faults.is_empty(), "this test can fail");
}

/// Every unit of the die in turn is an ECC double error for good, whatever the engine is doing: it comes to rest,
/// starts nothing unsafe, and takes the next offer.
#[test]
fn i4_an_ecc_double_error_in_any_unit_of_the_die_is_survived() {
    let known = [old(), new()];
    let rest = |what: &str, device: &Device<'_>, world: World| -> Outcome {
        let outcome = device.run::<Sound>(world, |_| Reading::Before);
        assert!(!outcome.hung && !outcome.cut, "{what}: {:?}", outcome.reason);
        assert!(outcome.started.iter().all(|started| started.safe), "{what}");
        outcome
    };
    let (mut unreadable, mut without) = (0, 0);
    for (name, world) in
        [("old", Device::with(old())), ("ready", ready(old(), new())), ("begun", begun(old(), new()))]
    {
        for at in (0..SMALL.die_size as usize).step_by(16) {
            let mut world = world.clone();
            world.die.lose(at);
            let what = format!("{name}, die byte {at:#x}");
            unreadable += u32::from(world.die.stable(at..at + 16).is_none());
            let alone = rest(&what, &Device::new(&known), world);
            without += u32::from(alone.running.is_none());
            let offered = Device { server: Server::Offers(new()), ..Device::new(&known) };
            let healed = rest(&what, &offered, alone.world);
            assert!(healed.running.is_some(), "{what}: {:?}", healed.reason);
        }
    }
    assert_eq!(unreadable, 3 * SMALL.die_size / 16, "each unit was unreadable once in each state");
    assert!(without > 10, "an engine that does not look would start: {without}");
}

#[test]
fn i5_no_unit_is_programmed_twice_between_erases() {
    for claim in ["update", "trial-crash", "race-apply"] {
        let claim = claims::named(claim).unwrap();
        let seen = explore::<Sound>(&claim, Limits { mixtures: 1, boots: 6_000, ..Limits::TWO_CUTS });
        assert!(seen.faults.is_empty() && seen.boots > 5_000, "{}: {}", claim.name, faults(&seen));
    }
    for seen in [explored::<NoErase>("apply", 2), explored::<SurvivingMarks>("apply", 2)] {
        assert!(faults(&seen).contains("programmed a unit twice"), "this test can fail: {}", faults(&seen));
    }
}

/// I17 for one block instead of all of external flash: whatever of it is worn, the old application goes on.
#[test]
fn i17_a_sector_of_staging_that_is_worn_never_costs_the_old_application() {
    let (one, two) = (small(1), small(2));
    let part: Part = LAYOUT.external_staging;
    for damage in Damage::of_part(Medium::External, part, bulkhead_power_cut::SECTOR) {
        let device = Device { server: Server::Offers(two), damage: Some(damage), ..Device::new(&[one, two]) };
        let outcome = device.run::<Sound>(Device::with(one), |_| Reading::Before);
        let runs: Option<Digest> = outcome.running;
        assert!(runs == Some(one.digest) || runs == Some(two.digest), "{damage:?}: {:?}", outcome.reason);
        assert!(outcome.started.iter().all(|started| started.safe), "{damage:?}");
    }
}
