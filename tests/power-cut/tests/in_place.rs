//! Claims about updates in a narrow staging: new pages alone, or in place.

use std::collections::HashMap;
use std::time::Instant;

use bulkhead_bundle_format::Medium;
use bulkhead_flash_simulator::{Cut, Moment, Reading, Wear};
use bulkhead_link_protocol::{FetchFrom, StagingMode, UpdateStage};
use bulkhead_power_cut::frames::begun_from;
use bulkhead_power_cut::narrow::{
    NARROW, TURNING, new, new_in_place, noise, old, random_turning, turning, turning_new, turning_old,
    turning_plain, turning_too_far, turning_world,
};
use bulkhead_power_cut::{
    AreaOf, Bundle, DIE_PAGE, Damage, Device, Health, Limits, Outcome, Server, World, bundle, explore, wander,
};
use bulkhead_update_engine::Sound;

fn run(device: &Device<'_>, world: World) -> Outcome {
    let outcome = device.run::<Sound>(world, |_| Reading::Before);
    assert!(outcome.started.iter().all(|started| started.safe));
    assert!(!outcome.hung);
    assert_eq!(outcome.programs_twice, 0, "I5");
    outcome
}

fn update<'b>(old: &'b Bundle, new: &'b Bundle) -> Device<'b> {
    Device { server: Server::Offers(new), ..Device::new(&[old, new]) }
}

fn assert_committed(outcome: &Outcome, new: &Bundle) {
    let ended = (outcome.running, outcome.stage);
    assert_eq!(ended, (Some(new.digest), Some(UpdateStage::Committed)), "{:?}", outcome.reason);
}

#[test]
fn an_update_in_place_fetches_patches_alone_and_erases_each_page_once() {
    let (old, new) = (old(), new_in_place());
    let outcome = run(&update(old, new), Device::with(old));
    assert_committed(&outcome, new);
    assert!(outcome.fetched.iter().all(|(from, ..)| *from != FetchFrom::Area), "{:?}", outcome.fetched);
    assert_eq!(outcome.page_erases, [0, 1, 1, 1, 1, 0]);
}

#[test]
fn an_update_whose_ring_turns_ends_in_the_new_application() {
    let (old, new) = (turning_old(), turning_new());
    let outcome = run(&update(old, new), turning_world());
    assert_committed(&outcome, new);
    assert_eq!(outcome.page_erases[..10], [1; 10]);
}

#[test]
fn a_patch_that_reaches_further_back_than_the_ring_is_found_out_before_anything_is_written() {
    let (old, far) = (turning_old(), turning_too_far());
    let outcome = run(&update(old, far), turning_world());
    assert_eq!((outcome.running, outcome.stage), (Some(old.digest), Some(UpdateStage::Failed)));
    assert!(outcome.reason.unwrap().contains("further back than the ring"));
    assert_eq!(outcome.page_erases[..10], [0; 10]);
}

#[test]
fn i19_patches_that_lead_elsewhere_are_found_out_before_anything_is_written() {
    let (old, new) = (turning_old(), turning_new());
    let outcome = run(&Device { lies: true, ..update(old, new) }, turning_world());
    assert_eq!((outcome.running, outcome.stage), (Some(old.digest), Some(UpdateStage::Failed)));
    assert_eq!(outcome.page_erases[..10], [0; 10]);
}

#[test]
fn pieces_of_another_patch_that_an_earlier_session_stored_are_fetched_anew() {
    let (old, new) = (turning_old(), turning_new());
    let lied = run(&Device { lies: true, ..update(old, new) }, turning_world());
    assert_committed(&run(&update(old, new), lied.world), new);
}

#[test]
fn an_update_that_fits_in_no_way_is_refused_with_what_it_needs_and_what_there_is() {
    let (old, mut new) = (turning_old(), turning_new().clone());
    // Without a plan 10 pages of 3 sectors are needed; the server may also say so itself.
    for (mode, is_patched) in [(StagingMode::InPlace, false), (StagingMode::RedoAndUndo, true)] {
        (new.mode, new.is_patched) = (mode, is_patched);
        let outcome = run(&update(old, &new), turning_world());
        assert_eq!(
            (outcome.running, outcome.stage),
            (Some(old.digest), Some(UpdateStage::Refused)),
            "{mode:?}"
        );
        assert!(outcome.reason.unwrap().starts_with("staging would take "));
    }
    (new.mode, new.is_patched) = (StagingMode::Refused, true);
    let outcome = run(&update(old, &new), turning_world());
    assert_eq!(outcome.stage, Some(UpdateStage::Refused));
}

#[test]
fn a_page_that_cannot_be_written_in_place_leaves_a_device_online_and_the_apply_to_be_carried_on() {
    let (old, new) = (turning_old(), turning_new());
    let damage = Some(Damage::Worn { medium: Medium::Die, at: 8 * 8192, how: Wear::RefusesPrograms });
    let outcome = run(&Device { damage, ..update(old, new) }, turning_world());
    assert_eq!((outcome.running, outcome.stage), (None, Some(UpdateStage::Failed)), "{:?}", outcome.reason);
    let again = Device { damage, ..Device::new(&[old, new]) };
    assert_eq!(run(&again, outcome.world.clone()).running, None);
    assert_eq!(
        run(&Device::new(&[old, new]), outcome.world).running,
        Some(new.digest),
        "it was a passing fault"
    );
}

#[test]
fn while_the_ring_holds_all_old_pages_a_page_that_cannot_be_written_is_no_end() {
    let code = |sequence, image| {
        bundle(sequence, &[AreaOf::of_bytes(&NARROW, Medium::Die, image)], |_| ()).in_place(None)
    };
    let (old, mut image) = (code(1, noise(700, 1)), noise(700, 1));
    image.splice(300..300, [7; 100]);
    let new = code(2, image);
    let damage = Some(Damage::Worn { medium: Medium::Die, at: 3 * DIE_PAGE, how: Wear::RefusesPrograms });
    let outcome = run(&Device { damage, ..update(&old, &new) }, Device::with(&old));
    assert_eq!((outcome.running, outcome.stage), (Some(old.digest), Some(UpdateStage::Reverted)));
    assert_eq!(outcome.page_erases[1..3], [2, 2]);
}

#[test]
fn a_device_that_lost_its_staging_in_place_is_online_and_the_next_offer_repairs_it() {
    let (old, new, plain) = (turning_old(), turning_new(), turning_plain());
    let cut = Some(Cut { operation: 60, moment: Moment::Inside(1) });
    let begun = begun_from(&turning_world(), old, new);
    let mut world = run(&Device { cut, ..Device::new(&[old, new]) }, begun).world;
    let staging = TURNING.layout.external_staging;
    world.external.tamper(staging.start.0 as usize, &vec![0; staging.length as usize]);
    let silent = run(&Device::new(&[old, new]), world.clone());
    assert_eq!(silent.running, None);
    assert!(silent.reason.unwrap().contains("the next offer repairs"));
    let device = Device { server: Server::Offers(plain), ..Device::new(&[old, new, plain]) };
    assert_committed(&run(&device, world), plain);
}

#[test]
fn a_failed_trial_goes_back_from_the_ring_unless_it_turned() {
    let (old, new) = (old(), new_in_place());
    let crash = |old, new, start| run(&Device { health: Health::Crashes, ..update(old, new) }, start);
    let outcome = crash(old, new, Device::with(old));
    assert_eq!((outcome.running, outcome.stage), (Some(old.digest), Some(UpdateStage::Reverted)));
    let (old, new) = (turning_old(), turning_new());
    let outcome = crash(old, new, turning_world());
    assert_eq!((outcome.running, outcome.wanted_back), (Some(new.digest), Some(old.digest)));
}

#[test]
fn a_failed_trial_without_old_pages_says_what_it_wants_back_and_gets_it() {
    let (old, new) = (old(), new());
    let outcome = run(&Device { health: Health::Crashes, ..update(old, new) }, Device::with(old));
    assert_eq!((outcome.running, outcome.wanted_back), (Some(new.digest), Some(old.digest)));
    assert_eq!(outcome.stage, Some(UpdateStage::Failed));
    assert_committed(&run(&update(new, old), outcome.world), old);
}

#[test]
fn i7_in_place_a_page_is_erased_at_most_once_and_once_more_for_each_cut() {
    let (old, new) = (old(), new_in_place());
    let start = Device::with(old);
    for operation in 0..run(&update(old, new), start.clone()).operations {
        let cut = Some(Cut { operation, moment: Moment::Inside(1) });
        let first = run(&Device { cut, ..update(old, new) }, start.clone());
        let second = run(&update(old, new), first.world);
        assert_eq!(second.running, Some(new.digest));
        let erases = first.page_erases.iter().zip(&second.page_erases).map(|(a, b)| a + b);
        assert!(erases.max() <= Some(2), "cut {operation}: {:?} {:?}", first.page_erases, second.page_erases);
    }
}

/// A header names direction, page and record, so header and manifests stand for the nonce and the key; a piece's key
/// comes from its content.
#[test]
fn i9_in_place_no_two_plaintexts_are_sealed_under_one_nonce() {
    let (old, new) = (old(), new_in_place());
    let start = Device::with(old);
    let mut sealed: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
    for operation in 0..run(&update(old, new), start.clone()).operations {
        let cut = Some(Cut { operation, moment: Moment::After });
        let raw = run(&Device { cut, ..update(old, new) }, start.clone()).world.external.raw();
        for sector in raw[NARROW.layout.external_staging.start.0 as usize..].chunks(NARROW.sector as usize) {
            let first_install = start.external.raw().windows(sector.len()).any(|old| old == sector);
            // What an erase or a program of the whole sector left.
            let end = 32 + usize::from(u16::from_le_bytes([sector[6], sector[7]]));
            if !first_install && sector.starts_with(b"BHS1") && sector[4] != 3 {
                let known = sealed.entry(sector[..16].to_vec()).or_insert_with(|| sector[..end].to_vec());
                assert_eq!(known[..], sector[..end], "cut {operation}: the same header, other bytes");
            }
        }
    }
    let directions: Vec<_> = sealed.keys().map(|header| header[4]).collect();
    assert!(directions.contains(&1) && directions.contains(&2), "both were seen: {directions:?}");
}

#[test]
fn i1_no_cut_while_the_ring_turns_leads_to_an_unsafe_start_or_a_brick() {
    for claim in turning() {
        let begun = Instant::now();
        let limits = Limits { cuts: claim.depth, mixtures: 0, ..Limits::TWO_CUTS };
        let seen = explore::<Sound>(&claim, limits);
        println!("{}: {seen}, {:.1} s", claim.name, begun.elapsed().as_secs_f32());
        assert!(seen.faults.is_empty(), "{}: {}", claim.name, seen.faults[0]);
        assert_eq!((seen.unsafe_starts, seen.bricks), (0, 0), "{}", claim.name);
        assert!(seen.boots > 10, "{}: nothing was explored", claim.name);
    }
}

#[test]
fn i1_no_random_walk_while_the_ring_turns_leads_to_an_unsafe_start_or_a_brick() {
    let seen = wander::<Sound>(&random_turning(), Limits { boots: 250, ..Limits::TWO_CUTS }, 11);
    println!("{seen}");
    assert!(seen.faults.is_empty(), "{}", seen.faults[0]);
    assert_eq!((seen.unsafe_starts, seen.bricks), (0, 0));
}
