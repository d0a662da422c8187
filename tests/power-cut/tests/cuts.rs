//! Every cut, nested two deep, of staging, apply, revert and repair.
//!
//! `CUTS=3` in the environment nests deeper. Each fault prints a replay id; `REPLAY=id` walks that one way only.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test suite, whose figures are worth reading"
)]

use std::time::Instant;

use bulkhead_flash_simulator::{Cut, Moment, Reading};
use bulkhead_link_protocol::Digest;
use bulkhead_power_cut::{
    AreaOf, Bundle, Claim, Device, Exploration, FaultsAre, Health, LAYOUT, Limits, SECTOR, Server, World,
    bundle, explore, replay,
};
use bulkhead_update_engine::seeded_bugs::{HeaderTrusted, NoJournal, SurvivingMarks, TornStagingTrusted};
use bulkhead_update_engine::{Rules, Sound};

const EXHAUSTIVE: Limits = Limits { cuts: 2, mixtures: 6, faults: 5, faults_are: FaultsAre::Everything };

fn old() -> Bundle {
    bundle(1, &[AreaOf::code(&[1, 2, 3]), AreaOf::constants(&[4])], |_| ())
}

fn new() -> Bundle {
    bundle(2, &[AreaOf::code(&[1, 12, 13, 14]), AreaOf::constants(&[15])], |_| ())
}

fn other() -> Bundle {
    bundle(3, &[AreaOf::code(&[1, 22, 13]), AreaOf::constants(&[25])], |_| ())
}

/// A device on which `new` is staged, verified and waiting.
fn ready(old: &Bundle, new: &Bundle) -> World {
    let device = Device { server: Server::Offers(new), allow_apply: false, ..Device::new(&[old, new]) };
    device.run::<Sound>(Device::with(old), |_| Reading::Before).world
}

/// The device right after the `n`th operation of the apply.
fn after_operations(world: World, n: u32, old: &Bundle, new: &Bundle) -> World {
    let cut = Some(Cut { operation: n, moment: Moment::After });
    let device = Device { server: Server::Offers(new), cut, ..Device::new(&[old, new]) };
    device.run::<Sound>(world, |_| Reading::Before).world
}

/// What runs after an offline boot.
fn offline(world: &World, known: &[&Bundle]) -> Option<Digest> {
    Device::new(known).run::<Sound>(world.clone(), |_| Reading::Before).running
}

/// The device right after the record of the apply was written for good.
fn begun(old: &Bundle, new: &Bundle) -> World {
    (0..100)
        .map(|n| after_operations(ready(old, new), n, old, new))
        .find(|world| offline(world, &[old, new]) == Some(new.digest))
        .expect("the apply begins some time")
}

/// Destroys sector `sector` of staging.
fn destroy(world: &mut World, sector: u32) {
    let start = LAYOUT.external_staging.start.0 + sector * SECTOR;
    world.external.tamper(start as usize + 20, &[0; 40]);
}

fn run<R: Rules>(claim: &Claim<'_>, limits: Limits) -> Exploration {
    let begun = Instant::now();
    let seen = explore::<R>(claim, limits);
    println!("{}: {seen} in {:.1} s", claim.name, begun.elapsed().as_secs_f32());
    for fault in &seen.faults {
        println!("  {fault}");
    }
    seen
}

fn assert_sound(claim: &Claim<'_>) {
    if let Some(id) = std::env::var("REPLAY").ok().filter(|id| id.starts_with(&format!("{}:", claim.name))) {
        assert_eq!(replay::<Sound>(claim, &id), Ok(None), "{id}");
        return;
    }
    let cuts = std::env::var("CUTS").ok().and_then(|n| n.parse().ok()).unwrap_or(EXHAUSTIVE.cuts);
    let seen = run::<Sound>(claim, Limits { cuts, ..EXHAUSTIVE });
    if let Some(fault) = seen.faults.first() {
        panic!("{fault}\nREPLAY='{}' cargo test -p bulkhead-power-cut --test cuts", fault.id);
    }
    assert!(seen.unsafe_starts == 0 && seen.states > 50);
}

fn update_claim<'b>(old: &'b Bundle, new: &'b Bundle) -> Claim<'b> {
    Claim {
        name: "update",
        start: Device::with(old),
        known: vec![old, new],
        servers: vec![Server::Offers(new)],
        ends_in: vec![new.digest],
        offline_ends_in: Some(vec![old.digest, new.digest]),
        may_revert: false,
        health: Health::Good,
    }
}

/// I1, I2: staging, apply and commit, in one.
#[test]
fn no_cut_of_staging_or_apply_ever_leads_to_an_unsafe_start() {
    let (old, new) = (old(), new());
    assert_sound(&update_claim(&old, &new));
}

fn apply_claim<'b>(old: &'b Bundle, new: &'b Bundle) -> Claim<'b> {
    Claim {
        name: "apply",
        start: ready(old, new),
        known: vec![old, new],
        servers: vec![Server::Offers(new)],
        ends_in: vec![new.digest],
        offline_ends_in: Some(vec![old.digest, new.digest]),
        may_revert: false,
        health: Health::Good,
    }
}

#[test]
fn no_cut_of_an_apply_ever_leads_to_an_unsafe_start() {
    let (old, new) = (old(), new());
    assert_sound(&apply_claim(&old, &new));
}

/// I3.
#[test]
fn an_apply_that_was_begun_is_never_lost_even_offline() {
    let (old, new) = (old(), new());
    assert_sound(&Claim {
        name: "begun",
        start: begun(&old, &new),
        known: vec![&old, &new],
        servers: vec![Server::Silent],
        ends_in: vec![new.digest],
        offline_ends_in: None,
        may_revert: false,
        health: Health::Good,
    });
}

#[test]
fn no_cut_of_a_first_installation_leads_to_an_unsafe_start() {
    let new = new();
    assert_sound(&Claim {
        name: "first",
        start: Device::blank(),
        known: vec![&new],
        servers: vec![Server::Offers(&new)],
        ends_in: vec![new.digest],
        offline_ends_in: None,
        may_revert: false,
        health: Health::Good,
    });
}

/// An apply whose staged page is lost half way goes back; no cut of that does harm.
#[test]
fn no_cut_of_a_revert_ever_leads_to_an_unsafe_start() {
    let (old, new) = (old(), new());
    for (name, operations, sector) in [("revert-early", 1, 2), ("revert-late", 5, 3)] {
        let mut start = begun(&old, &new);
        let cut = Some(Cut { operation: 5 + operations, moment: Moment::Inside(0) });
        start = Device { cut, ..Device::new(&[&old, &new]) }.run::<Sound>(start, |_| Reading::Before).world;
        destroy(&mut start, sector);
        assert_eq!(offline(&start, &[&old, &new]), Some(old.digest), "{name}: it must go back");
        assert_sound(&Claim {
            name,
            start,
            known: vec![&old, &new],
            servers: vec![Server::Silent],
            ends_in: vec![old.digest],
            offline_ends_in: None,
            may_revert: true,
            health: Health::Good,
        });
    }
}

/// Redo and undo are both gone half way: no application, but online, and the next offer repairs the device.
#[test]
fn no_cut_of_a_repair_after_total_loss_of_staging_leads_to_an_unsafe_start() {
    let (old, new) = (old(), new());
    let cut = Some(Cut { operation: 9, moment: Moment::Inside(0) });
    let device = Device { cut, ..Device::new(&[&old, &new]) };
    let mut start = device.run::<Sound>(begun(&old, &new), |_| Reading::Before).world;
    (0..16).for_each(|sector| destroy(&mut start, sector));
    assert_eq!(offline(&start, &[&old, &new]), None);
    assert_sound(&Claim {
        name: "repair",
        start,
        known: vec![&old, &new],
        servers: vec![Server::Offers(&new)],
        ends_in: vec![new.digest],
        offline_ends_in: None,
        may_revert: false,
        health: Health::Good,
    });
}

/// Pages rot; staging still holds what was installed, so nobody has to be asked.
#[test]
fn no_cut_while_a_device_mends_itself_leads_to_an_unsafe_start() {
    let old = old();
    let mut start = Device::with(&old);
    start.die.tamper(10, &[0; 4]);
    start.external.tamper(10, &[0; 4]);
    assert_sound(&Claim {
        name: "mend",
        start,
        known: vec![&old],
        servers: vec![Server::Silent],
        ends_in: vec![old.digest],
        offline_ends_in: None,
        may_revert: false,
        health: Health::Good,
    });
}

/// Pages rot, and staging holds something else: the manifest that runs is applied over itself.
#[test]
fn no_cut_of_a_repair_by_the_same_manifest_leads_to_an_unsafe_start() {
    let (old, new) = (old(), new());
    let mut start = ready(&old, &new);
    start.die.tamper(10, &[0; 4]);
    start.external.tamper(10, &[0; 4]);
    assert_eq!(offline(&start, &[&old, &new]), None);
    assert_sound(&Claim {
        name: "again",
        start,
        known: vec![&old, &new],
        servers: vec![Server::Offers(&old)],
        ends_in: vec![old.digest],
        offline_ends_in: None,
        may_revert: false,
        health: Health::Good,
    });
}

/// The manifests are gone half way, so nobody knows which pages there are; but the journal knows what may be torn.
#[test]
fn no_cut_of_a_repair_after_the_loss_of_the_manifests_leads_to_an_unsafe_start() {
    let (old, new) = (old(), new());
    for (name, operation) in [("lost-erase", 6), ("lost-program", 7), ("lost-external", 16)] {
        let cut = Some(Cut { operation, moment: Moment::Inside(3) });
        let device = Device { cut, ..Device::new(&[&old, &new]) };
        let mut start = device.run::<Sound>(begun(&old, &new), |_| Reading::Before).world;
        for slot in 0..2 {
            start.die.tamper(
                (LAYOUT.die_manifests.start.0 + slot * LAYOUT.die_manifests.length / 2) as usize,
                &[0],
            );
        }
        assert_eq!(offline(&start, &[&old, &new]), None);
        assert_sound(&Claim {
            name,
            start,
            known: vec![&old, &new],
            servers: vec![Server::Offers(&new)],
            ends_in: vec![new.digest],
            offline_ends_in: None,
            may_revert: false,
            health: Health::Good,
        });
    }
}

/// I18: the owner changes their mind while another update is staged.
#[test]
fn no_cut_of_an_update_that_overtakes_another_leads_to_an_unsafe_start() {
    let (old, new, other) = (old(), new(), other());
    assert_sound(&Claim {
        name: "overtake",
        start: ready(&old, &new),
        known: vec![&old, &new, &other],
        servers: vec![Server::Offers(&other)],
        ends_in: vec![other.digest],
        offline_ends_in: Some(vec![old.digest, other.digest]),
        may_revert: false,
        health: Health::Good,
    });
}

/// The owner cannot decide, and each time power fails twice; no torn page is taken for a staged one.
#[test]
fn no_cut_while_offers_alternate_leads_to_an_unsafe_start_or_a_lost_apply() {
    let page = |sequence, fill| bundle(sequence, &[AreaOf::code(&[fill])], |_| ());
    let (old, new, other) = (page(1, 1), page(2, 2), page(2, 3));
    let claim = Claim {
        name: "alternate",
        start: Device::with(&old),
        known: vec![&old, &new, &other],
        servers: vec![Server::Offers(&new), Server::Offers(&other), Server::Offers(&new)],
        ends_in: vec![new.digest, other.digest],
        offline_ends_in: Some(vec![old.digest, new.digest, other.digest]),
        may_revert: false,
        health: Health::Good,
    };
    let seen = run::<Sound>(&claim, Limits { cuts: 3, mixtures: 1, ..EXHAUSTIVE });
    assert!(seen.faults.is_empty(), "{}", seen.faults[0]);
}

fn assert_caught<R: Rules>(faults_are: FaultsAre, claim: &Claim<'_>) {
    let seen = run::<R>(claim, Limits { faults: 1, faults_are, ..EXHAUSTIVE });
    let fault = seen.faults.first().expect("the suite must catch this engine");
    assert!(replay::<R>(claim, &fault.id).is_ok_and(|what| what.is_some()), "the id leads back to the fault");
    assert_eq!(replay::<Sound>(claim, &fault.id), Ok(None), "the sound engine survives the same cuts");
}

fn assert_caught_by_an_unsafe_start<R: Rules>() {
    let (old, new) = (old(), new());
    assert_caught::<R>(FaultsAre::UnsafeStarts, &apply_claim(&old, &new));
}

#[test]
fn an_engine_without_a_journal_is_caught() {
    assert_caught_by_an_unsafe_start::<NoJournal>();
}

#[test]
fn an_engine_whose_progress_marks_survive_a_session_is_caught() {
    assert_caught_by_an_unsafe_start::<SurvivingMarks>();
}

#[test]
fn an_engine_that_trusts_headers_is_caught() {
    assert_caught_by_an_unsafe_start::<HeaderTrusted>();
}

#[test]
fn an_engine_that_trusts_torn_staging_is_caught() {
    let (old, new) = (old(), new());
    assert_caught::<TornStagingTrusted>(FaultsAre::NeedlessReverts, &update_claim(&old, &new));
}

#[test]
fn a_replay_id_that_does_not_belong_to_the_claim_is_an_error() {
    let (old, new) = (old(), new());
    for id in ["apply", "other:-", "apply:x", "apply:-.5q/-", ""] {
        assert!(replay::<Sound>(&apply_claim(&old, &new), id).is_err(), "{id}");
    }
}
