//! Every cut, nested two deep, of staging, apply and revert.

use std::time::Instant;

use bulkhead_flash_simulator::Reading;
use bulkhead_power_cut::{
    AreaOf, Bundle, Claim, Device, Exploration, Limits, Server, World, bundle, explore, replay,
};
use bulkhead_update_engine::seeded_bugs::{HeaderTrusted, NoJournal, SurvivingMarks};
use bulkhead_update_engine::{Rules, Sound};

fn old() -> Bundle {
    bundle(1, &[AreaOf::code(&[1, 2, 3]), AreaOf::constants(&[4])], |_| ())
}

fn new() -> Bundle {
    bundle(2, &[AreaOf::code(&[1, 12, 13, 14]), AreaOf::constants(&[15])], |_| ())
}

/// A device on which `new` is staged, verified and waiting.
fn ready(old: &Bundle, new: &Bundle) -> World {
    let device = Device { server: Server::Offers(new), allow_apply: false, ..Device::new(&[old, new]) };
    device.run::<Sound>(Device::with(old), |_| Reading::Before).world
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

const EXHAUSTIVE: Limits = Limits { cuts: 2, mixtures: 3, faults: 5 };

fn assert_sound(claim: &Claim<'_>) {
    let cuts = std::env::var("CUTS").ok().and_then(|n| n.parse().ok()).unwrap_or(EXHAUSTIVE.cuts);
    let seen = run::<Sound>(claim, Limits { cuts, ..EXHAUSTIVE });
    assert!(seen.faults.is_empty(), "{}", seen.faults[0]);
    assert!(seen.unsafe_starts == 0 && seen.states > 50);
}

#[test]
fn no_cut_of_staging_or_apply_ever_leads_to_an_unsafe_start() {
    let (old, new) = (old(), new());
    assert_sound(&Claim {
        name: "update",
        start: Device::with(&old),
        known: vec![&old, &new],
        server: Server::Offers(&new),
        ends_in: vec![new.digest],
        offline_ends_in: Some(vec![old.digest, new.digest]),
    });
}

fn apply_claim<'b>(old: &'b Bundle, new: &'b Bundle) -> Claim<'b> {
    Claim {
        name: "apply",
        start: ready(old, new),
        known: vec![old, new],
        server: Server::Offers(new),
        ends_in: vec![new.digest],
        offline_ends_in: Some(vec![old.digest, new.digest]),
    }
}

#[test]
fn no_cut_of_an_apply_ever_leads_to_an_unsafe_start() {
    let (old, new) = (old(), new());
    assert_sound(&apply_claim(&old, &new));
}

fn assert_caught<R: Rules>() {
    let (old, new) = (old(), new());
    let claim = apply_claim(&old, &new);
    let seen = run::<R>(&claim, Limits { faults: 1, ..EXHAUSTIVE });
    let fault = seen.faults.first().expect("the suite must catch this engine");
    assert_eq!(
        replay::<R>(&claim, &fault.id),
        Ok(Some(fault.what.clone())),
        "the replay id leads to the fault"
    );
    assert_eq!(replay::<Sound>(&claim, &fault.id), Ok(None), "the sound engine survives the same cuts");
}

#[test]
fn an_engine_without_a_journal_is_caught() {
    assert_caught::<NoJournal>();
}

#[test]
fn an_engine_whose_progress_marks_survive_a_session_is_caught() {
    assert_caught::<SurvivingMarks>();
}

#[test]
fn an_engine_that_trusts_headers_is_caught() {
    assert_caught::<HeaderTrusted>();
}
