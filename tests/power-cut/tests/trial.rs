//! Claims about trials: a new version that does not work is taken back, whatever power does meanwhile.

use bulkhead_flash_simulator::{Cut, Moment, Reading};
use bulkhead_link_protocol::UpdateStage;
use bulkhead_power_cut::{
    AreaOf, Bundle, Device, Health, Interruption, LAYOUT, Outcome, SECTOR, Server, World, bundle,
};
use bulkhead_update_engine::seeded_bugs::NaiveCounter;
use bulkhead_update_engine::{Cancelled, Rules, Sound, StartCause};

/// Starts that an unconfirmed trial of these tests survives.
const BOOTS: u32 = 3;

fn old() -> Bundle {
    bundle(1, &[AreaOf::code(&[1, 2, 3]), AreaOf::constants(&[4])], |_| ())
}

fn new() -> Bundle {
    let areas = [AreaOf::code(&[1, 12, 13, 14]), AreaOf::constants(&[15])];
    bundle(2, &areas, |fields| fields.policy.trial_boots = Some(BOOTS))
}

fn run(device: &Device<'_>, world: World) -> Outcome {
    let outcome = device.run::<Sound>(world, |_| Reading::Before);
    assert!(outcome.started.iter().all(|started| started.safe));
    assert!(!outcome.hung);
    assert_eq!(outcome.programs_twice, 0, "I5");
    outcome
}

/// A device on which `new` was applied over `old` and waits for somebody's word.
fn on_trial(old: &Bundle, new: &Bundle) -> World {
    let device =
        Device { server: Server::Offers(new), health: Health::Unconfirmed, ..Device::new(&[old, new]) };
    let outcome = run(&device, Device::with(old));
    assert_eq!((outcome.running, outcome.stage), (Some(new.digest), Some(UpdateStage::Trial)));
    outcome.world
}

/// Boots with a silent server until something else than `new` runs; returns the number of starts of `new`.
fn boots_until_taken_back<R: Rules>(mut world: World, old: &Bundle, new: &Bundle) -> Option<u32> {
    let device = Device { health: Health::Unconfirmed, ..Device::new(&[old, new]) };
    for boots in 0..3 * BOOTS {
        let outcome = device.run::<R>(world, |_| Reading::Before);
        if outcome.running == Some(old.digest) {
            assert!(outcome.world.holds(old));
            return Some(boots);
        }
        assert_eq!(outcome.running, Some(new.digest));
        world = outcome.world;
    }
    None
}

#[test]
fn i13_a_trial_that_nobody_confirms_is_taken_back_after_its_starts() {
    let (old, new) = (old(), new());
    // The session of the apply was the first.
    assert_eq!(boots_until_taken_back::<Sound>(on_trial(&old, &new), &old, &new), Some(BOOTS - 1));
}

#[test]
fn i13_an_engine_that_does_not_count_is_caught_by_the_same_claim() {
    let (old, new) = (old(), new());
    assert_eq!(boots_until_taken_back::<NaiveCounter>(on_trial(&old, &new), &old, &new), None);
}

#[test]
fn i13_a_power_cut_at_any_operation_of_a_boot_does_not_make_it_free() {
    let (old, new) = (old(), new());
    let device = Device { health: Health::Unconfirmed, ..Device::new(&[&old, &new]) };
    let operations = run(&device, on_trial(&old, &new)).operations;
    assert!(operations > 0, "a boot of a trial is written down");
    for operation in 0..operations {
        for moment in [Moment::Inside(0), Moment::Inside(1), Moment::After] {
            let cut = Some(Cut { operation, moment });
            let outcome = run(&Device { cut, ..device.clone() }, on_trial(&old, &new));
            let starts = u32::try_from(outcome.started.len()).unwrap();
            let more = boots_until_taken_back::<Sound>(outcome.world, &old, &new).unwrap();
            assert!(starts + more < BOOTS, "cut {operation}.{moment:?}: {starts} + {more} starts");
        }
    }
}

#[test]
fn a_version_that_crashes_is_taken_back_at_once_and_not_tried_again() {
    let (old, new) = (old(), new());
    let device =
        Device { server: Server::Offers(&new), health: Health::Crashes, ..Device::new(&[&old, &new]) };
    let outcome = run(&device, Device::with(&old));
    assert_eq!((outcome.running, outcome.stage), (Some(old.digest), Some(UpdateStage::Reverted)));
    assert_eq!(outcome.reason.as_deref(), Some("it crashes"));
    let causes: Vec<_> = outcome.started.iter().map(|started| started.cause).collect();
    assert_eq!(causes, [StartCause::Boot, StartCause::Trial, StartCause::Reverted]);
    assert_eq!(outcome.wanted_back, None);
}

#[test]
fn a_healthy_version_stays_on_trial_for_as_long_as_the_device_is_offline() {
    let (old, new) = (old(), new());
    let mut world = run(&Device::new(&[&old, &new]), on_trial(&old, &new)).world;
    for _ in 0..3 * BOOTS {
        let outcome = run(&Device::new(&[&old, &new]), world);
        assert_eq!((outcome.running, outcome.operations), (Some(new.digest), 0));
        assert!(outcome.trial.is_some_and(|trial| trial.healthy));
        world = outcome.world;
    }
    let online = run(&Device { server: Server::Offers(&new), ..Device::new(&[&old, &new]) }, world);
    assert_eq!((online.running, online.trial), (Some(new.digest), None));
}

#[test]
fn i10_floors_do_not_rise_before_a_trial_is_kept() {
    let old = old();
    let raised = bundle(2, &[AreaOf::code(&[5])], |fields| fields.security_counter = 9);
    let world = on_trial(&old, &raised);
    // The old version, whose counter is lower, may come back.
    let health = Health::Unconfirmed;
    let device = Device { server: Server::Offers(&old), health, ..Device::new(&[&old, &raised]) };
    assert_eq!(run(&device, world.clone()).running, Some(old.digest));
    // Once it was kept, it may not.
    let kept = run(&Device { server: Server::Offers(&raised), ..Device::new(&[&old, &raised]) }, world);
    assert_eq!(kept.trial, None);
    let refused = run(&device, kept.world);
    assert_eq!((refused.running, refused.stage), (Some(raised.digest), Some(UpdateStage::Refused)));
}

#[test]
fn i18_an_offer_of_something_else_ends_a_trial_and_is_installed() {
    let (old, new) = (old(), new());
    let other = bundle(3, &[AreaOf::code(&[1, 22, 13]), AreaOf::constants(&[25])], |_| ());
    let device = Device { server: Server::Offers(&other), ..Device::new(&[&old, &new, &other]) };
    let outcome = run(&device, on_trial(&old, &new));
    assert_eq!((outcome.running, outcome.trial), (Some(other.digest), None));
}

#[test]
fn offering_again_what_is_on_trial_changes_nothing_at_any_step_of_a_boot() {
    let (old, new) = (old(), new());
    let health = Health::Unconfirmed;
    let plain = Device { health, ..Device::new(&[&old, &new]) };
    let steps = run(&plain, on_trial(&old, &new)).steps;
    for at in 0..=steps {
        let interruption = Some((at, Interruption::Offer(&new)));
        let outcome = run(&Device { interruption, ..plain.clone() }, on_trial(&old, &new));
        let trial = outcome.trial.map(|trial| (trial.boots, trial.healthy));
        assert_eq!((outcome.running, trial), (Some(new.digest), Some((2, false))), "step {at}");
    }
}

#[test]
fn i18_a_cancel_during_a_trial_goes_back() {
    let (old, new) = (old(), new());
    let steps =
        run(&Device { health: Health::Unconfirmed, ..Device::new(&[&old, &new]) }, on_trial(&old, &new))
            .steps;
    let device = Device {
        health: Health::Unconfirmed,
        interruption: Some((steps, Interruption::Cancel)),
        ..Device::new(&[&old, &new])
    };
    let outcome = run(&device, on_trial(&old, &new));
    assert_eq!((outcome.running, outcome.cancelled), (Some(old.digest), Some(Cancelled::Done)));
}

/// As `on_trial`, but nothing of the old version can be put back any more.
fn on_trial_without_old_pages(old: &Bundle, new: &Bundle) -> World {
    let mut world = on_trial(old, new);
    for sector in 0..LAYOUT.external_staging.length / SECTOR {
        let start = LAYOUT.external_staging.start.0 + sector * SECTOR;
        world.external.tamper(start as usize + 20, &[0; 40]);
    }
    world
}

#[test]
fn a_failed_trial_whose_old_pages_are_lost_goes_on_until_the_old_version_is_fetched() {
    let (old, new) = (old(), new());
    let device = Device { health: Health::Crashes, ..Device::new(&[&old, &new]) };
    let outcome = run(&device, on_trial_without_old_pages(&old, &new));
    assert_eq!((outcome.running, outcome.wanted_back), (Some(new.digest), Some(old.digest)));
    let back = Device { server: Server::Offers(&old), ..Device::new(&[&old, &new]) };
    assert_eq!(run(&back, outcome.world).running, Some(old.digest));
}

#[test]
fn what_a_failed_trial_wanted_back_is_not_wanted_during_the_next_update() {
    let (old, new) = (old(), new());
    let next = bundle(3, &[AreaOf::code(&[1, 22, 13]), AreaOf::constants(&[25])], |_| ());
    let failed = Device { health: Health::Crashes, ..Device::new(&[&old, &new, &next]) };
    let steps = run(&failed, on_trial_without_old_pages(&old, &new)).steps;
    // It fails too, but its old pages are there.
    let interruption = Some((steps, Interruption::Offer(&next)));
    let outcome = run(&Device { interruption, ..failed }, on_trial_without_old_pages(&old, &new));
    assert_eq!((outcome.running, outcome.stage), (Some(new.digest), Some(UpdateStage::Reverted)));
    assert_eq!(outcome.wanted_back, None);
}
