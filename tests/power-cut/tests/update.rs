//! What an update does when power holds, what it refuses, and what cannot disturb it.

use std::collections::HashMap;

use bulkhead_bundle_format::{AreaKind, Medium, Revisions, Signer};
use bulkhead_flash_simulator::{Cut, Moment, Reading, Wear};
use bulkhead_link_protocol::{FetchFrom, UpdateStage};
use bulkhead_power_cut::{
    AreaOf, Bundle, DIE_PAGE, Damage, Device, Interruption, LAYOUT, OWNER, Outcome, SECTOR, SMALL, Server,
    World, bundle,
};
use bulkhead_update_engine::{Cancelled, Sound, StartCause};

fn old() -> Bundle {
    bundle(1, &[AreaOf::code(&[1, 2, 3]), AreaOf::constants(&[4])], |_| ())
}

fn new() -> Bundle {
    bundle(2, &[AreaOf::code(&[1, 12, 13, 14]), AreaOf::constants(&[15])], |_| ())
}

fn run(device: &Device<'_>, world: World) -> Outcome {
    let outcome = device.run::<Sound>(world, |_| Reading::Before);
    assert!(outcome.started.iter().all(|started| started.safe));
    assert!(!outcome.hung);
    assert_eq!(outcome.programs_twice, 0, "I5");
    outcome
}

fn update(world: World, known: &[&Bundle], offer: &Bundle) -> Outcome {
    run(&Device { server: Server::Offers(offer), ..Device::new(known) }, world)
}

/// Spans of areas that were fetched.
fn fetched_pages(outcome: &Outcome) -> Vec<(u32, u32)> {
    let pages = outcome.fetched.iter().filter(|(from, ..)| *from == FetchFrom::Area);
    pages.map(|(_, area, offset)| (*area, *offset)).collect()
}

#[test]
fn a_blank_device_installs_what_it_is_offered_and_starts_it_at_every_boot() {
    let old = old();
    let world = Device::with(&old);
    assert!(world.holds(&old));
    let again = run(&Device::new(&[&old]), world);
    assert_eq!(again.running, Some(old.digest));
    assert_eq!(again.operations, 0, "a boot with nothing to do writes nothing");
    assert!(matches!(again.started[..], [one] if one.cause == StartCause::Boot));
}

#[test]
fn an_update_fetches_only_pages_that_differ_and_erases_each_once() {
    let (old, new) = (old(), new());
    let outcome = update(Device::with(&old), &[&old, &new], &new);
    assert_eq!((outcome.running, outcome.stage), (Some(new.digest), Some(UpdateStage::Committed)));
    assert!(outcome.world.holds(&new));
    assert_eq!(fetched_pages(&outcome), [(1, 256), (1, 512), (1, 768), (2, 0)]);
    assert_eq!(outcome.page_erases, [0, 1, 1, 1, 1, 0]);
}

#[test]
fn i7_a_page_is_erased_at_most_once_and_once_more_for_each_cut() {
    let (old, new) = (old(), new());
    let start = Device::with(&old);
    let total = update(start.clone(), &[&old, &new], &new).operations;
    for operation in 0..total {
        let cut = Some(Cut { operation, moment: Moment::Inside(0) });
        let device = Device { server: Server::Offers(&new), cut, ..Device::new(&[&old, &new]) };
        let first = run(&device, start.clone());
        let second = update(first.world, &[&old, &new], &new);
        let erases = first.page_erases.iter().zip(&second.page_erases).map(|(a, b)| a + b);
        assert!(erases.max() <= Some(2), "cut {operation}: {:?} {:?}", first.page_erases, second.page_erases);
        assert_eq!(second.running, Some(new.digest));
    }
}

#[test]
fn i6_a_supply_that_never_lasts_longer_than_one_page_still_gets_the_update_applied() {
    let (old, new) = (old(), new());
    let staged = Device { server: Server::Offers(&new), allow_apply: false, ..Device::new(&[&old, &new]) };
    let mut world = run(&staged, Device::with(&old)).world;
    // The record of the session takes 5 operations and a page 3; a full journal page costs 5 more.
    for (session, operation) in (0..12).map(|session| (session, 13)) {
        let cut = Some(Cut { operation, moment: Moment::Inside(1) });
        let server = Server::Offers(&new);
        let outcome = run(&Device { server, cut, session, ..Device::new(&[&old, &new]) }, world);
        if outcome.running == Some(new.digest) {
            return;
        }
        world = outcome.world;
    }
    unreachable!("five pages were not written in twelve sessions");
}

#[test]
fn i8_staging_holds_no_plaintext() {
    let (old, new) = (old(), new());
    let device = Device { server: Server::Offers(&new), allow_apply: false, ..Device::new(&[&old, &new]) };
    let raw = run(&device, Device::with(&old)).world.external.raw();
    let staging = &raw[LAYOUT.external_staging.start.0 as usize..];
    for fill in [1, 2, 3, 4, 12, 13, 14, 15] {
        assert!(!staging.windows(8).any(|window| window == [fill; 8]), "a run of {fill} lies in staging");
    }
}

#[test]
fn i8_any_changed_or_swapped_record_is_found_before_the_apply() {
    let (old, new) = (old(), new());
    let device = Device { server: Server::Offers(&new), allow_apply: false, ..Device::new(&[&old, &new]) };
    let ready = run(&device, Device::with(&old)).world;
    let staging = LAYOUT.external_staging.start.0 as usize;
    let raw = ready.external.raw();
    let sector = |n: usize| staging + n * SECTOR as usize;
    // Redo pages are records 1 to 5 (a sector page takes two records).
    for n in 1..6 {
        for byte in [0, 6, 9, 13, 16, 40, 60] {
            let mut world = ready.clone();
            world.external.tamper(sector(n) + byte, &[raw[sector(n) + byte] ^ 0x10]);
            let outcome = update(world, &[&old, &new], &new);
            assert_eq!(outcome.running, Some(new.digest), "record {n}, byte {byte}");
            assert_eq!(fetched_pages(&outcome).len(), 1, "record {n}, byte {byte}: fetched again, once");
        }
        let mut world = ready.clone();
        let other = if n == 5 { 4 } else { n + 1 };
        world.external.tamper(sector(n), &raw[sector(other)..sector(other + 1)]);
        let outcome = update(world, &[&old, &new], &new);
        assert_eq!((outcome.running, fetched_pages(&outcome).len()), (Some(new.digest), 1), "swapped {n}");
    }
}

/// Each header names direction, page and record, so header and manifests stand for the nonce and the key.
#[test]
fn i9_no_two_plaintexts_are_sealed_under_one_nonce() {
    let (old, new) = (old(), new());
    let start = Device::with(&old);
    let total = update(start.clone(), &[&old, &new], &new).operations;
    let mut sealed: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
    for operation in (0..total).step_by(2) {
        let cut = Some(Cut { operation, moment: Moment::After });
        let device = Device { server: Server::Offers(&new), cut, ..Device::new(&[&old, &new]) };
        let cut_short = run(&device, start.clone()).world;
        for world in [cut_short.clone(), update(cut_short, &[&old, &new], &new).world] {
            let raw = world.external.raw();
            for sector in raw[LAYOUT.external_staging.start.0 as usize..].chunks(SECTOR as usize) {
                // What the first installation left is sealed under another key.
                let first_install = start.external.raw().windows(sector.len()).any(|old| old == sector);
                if !first_install && sector.starts_with(b"BHS1") {
                    let known = sealed.entry(sector[..16].to_vec()).or_insert_with(|| sector.to_vec());
                    assert_eq!(known, sector, "cut {operation}: the same header, other bytes");
                }
            }
        }
    }
    assert!(sealed.len() >= 9, "{} records seen", sealed.len());
}

#[test]
fn i9_another_update_seals_the_same_page_differently() {
    let (old, new) = (old(), new());
    let twin = bundle(3, &[AreaOf::code(&[1, 12, 13, 14]), AreaOf::constants(&[15])], |_| ());
    let staged = |bundle: &Bundle| {
        let device =
            Device { server: Server::Offers(bundle), allow_apply: false, ..Device::new(&[&old, bundle]) };
        run(&device, Device::with(&old)).world.external.raw()
    };
    let (one, two) = (staged(&new), staged(&twin));
    let at = LAYOUT.external_staging.start.0 as usize + SECTOR as usize;
    assert_eq!(one[at..at + 16], two[at..at + 16], "the same page in the same place");
    let same = one[at + 16..at + 272].iter().zip(&two[at + 16..at + 272]).filter(|(a, b)| a == b).count();
    assert!(same < 16, "{same} of 256 bytes are equal");
}

/// Offers to a device that runs sequence 5 with security counter 3.
fn assert_refused(offer: &Bundle, reason: &str) {
    let old = old();
    let fifth = bundle(5, &old.areas, |m| m.security_counter = 3);
    let world = update(Device::with(&old), &[&old, &fifth], &fifth).world;
    let outcome = update(world, &[&fifth], offer);
    assert_eq!(outcome.stage, Some(UpdateStage::Refused), "{:?}", outcome.reason);
    let said = outcome.reason.unwrap_or_default();
    assert!(said.contains(reason), "said `{said}`, expected `{reason}`");
    assert_eq!(outcome.operations, 0, "a refusal writes nothing");
    assert!(
        outcome.fetched.iter().all(|(from, ..)| *from == FetchFrom::Envelope),
        "nothing of it was downloaded"
    );
    assert!(outcome.running.is_some(), "the old application goes on");
}

#[test]
fn i11_an_older_sequence_or_a_lower_counter_is_refused() {
    let areas = new().areas;
    assert_refused(&bundle(4, &areas, |m| m.security_counter = 3), "sequence 4 is older than 5");
    assert_refused(&bundle(6, &areas, |m| m.security_counter = 2), "security counter 2 is below 3");
}

#[test]
fn i11_offering_again_what_runs_changes_nothing() {
    let old = old();
    let outcome = update(Device::with(&old), &[&old], &old);
    assert_eq!((outcome.running, outcome.stage), (Some(old.digest), Some(UpdateStage::Idle)));
    assert_eq!((outcome.operations, outcome.fetched.len()), (0, 0));
}

#[test]
fn i12_what_is_made_for_another_device_is_refused_before_download() {
    let areas = new().areas;
    let later = Revisions { least: 3, greatest: 9 };
    assert_refused(
        &bundle(9, &areas, |m| {
            m.device_class = "other";
            m.security_counter = 3
        }),
        "another device class",
    );
    assert_refused(
        &bundle(9, &areas, |m| {
            m.board_revisions = later;
            m.security_counter = 3
        }),
        "board revision 1",
    );
    assert_refused(
        &bundle(9, &areas, |m| {
            m.abi = later;
            m.security_counter = 3
        }),
        "offers ABI 1",
    );
}

#[test]
fn a_manifest_that_nobody_trusted_signed_is_refused() {
    let mut forged = bundle(9, &new().areas, |m| m.security_counter = 3);
    let last = forged.envelope.len() - 1;
    forged.envelope[last] ^= 1;
    assert_refused(&forged, "signature is wrong");
    let mut stranger = bundle(9, &new().areas, |m| m.security_counter = 3);
    let payload_len = stranger.envelope.len();
    stranger.envelope = Signer::from_secret(&[1; 32]).sign(&payload_of(&stranger));
    assert_eq!(stranger.envelope.len(), payload_len);
    assert_refused(&stranger, "has not listed");
    assert_ne!(OWNER, [1; 32]);
}

fn payload_of(bundle: &Bundle) -> Vec<u8> {
    bulkhead_bundle_format::Envelope::parse(&bundle.envelope)
        .map(|e| e.payload().to_vec())
        .unwrap_or_default()
}

#[test]
fn i19_an_envelope_that_is_truncated_oversized_or_of_another_bundle_is_refused() {
    let whole = bundle(9, &new().areas, |m| m.security_counter = 3);
    let mut truncated = whole.clone();
    truncated.envelope.truncate(100);
    assert_refused(&truncated, "envelope is malformed");
    let mut oversized = whole.clone();
    oversized.envelope.resize(2000, 0);
    assert_refused(&oversized, "the envelope of 2000 bytes is outside the 1 to 752");
    let mut empty = whole.clone();
    empty.envelope.clear();
    assert_refused(&empty, "the envelope of 0 bytes");
    let mut other = whole;
    other.envelope = bundle(10, &new().areas, |m| m.security_counter = 3).envelope;
    assert_refused(&other, "another manifest than it offered");
}

#[test]
fn i18_an_update_that_does_not_fit_is_refused() {
    let five = AreaOf::code(&[1; 5]);
    assert_refused(
        &bundle(9, &[five], |m| m.security_counter = 3),
        "area 1 ends at byte 1280, its memory has 1024",
    );
    let constants = AreaOf::constants(&[1]);
    assert_refused(&bundle(9, &[constants], |m| m.security_counter = 3), "no area holds code on the die");
    let large = [AreaOf::code(&[1, 2, 3, 4]), AreaOf::constants(&[5, 6])];
    let fits = bundle(9, &large, |m| m.security_counter = 3);
    let old = old();
    assert_eq!(
        update(Device::with(&old), &[&old, &fits], &fits).running,
        Some(fits.digest),
        "16 sectors fit in 16"
    );
}

#[test]
fn i14_what_a_debugger_writes_during_staging_cannot_change_what_is_applied() {
    let (old, new) = (old(), new());
    let device =
        |interruption| Device { server: Server::Offers(&new), interruption, ..Device::new(&[&old, &new]) };
    let steps = run(&device(None), Device::with(&old)).steps;
    let (mut fetched_more, mut written) = (0, 0);
    for at in 0..steps {
        for page in 0..4 {
            let outcome = run(&device(Some((at, Interruption::WritePage(page)))), Device::with(&old));
            assert_eq!(outcome.running, Some(new.digest), "step {at}, page {page}: {:?}", outcome.reason);
            assert!(outcome.world.holds(&new));
            written += u32::from(outcome.page_erases[..4].iter().sum::<u32>() > 3);
            fetched_more += u32::from(fetched_pages(&outcome).len() > 4);
        }
    }
    assert!(written > 20 && fetched_more > 10, "{written} writes, {fetched_more} sent back for a page");
}

#[test]
fn i15_areas_of_the_application_are_the_same_after_any_update() {
    let owned = AreaOf {
        id: 3,
        medium: Medium::Die,
        base: 3 * DIE_PAGE,
        kind: AreaKind::ApplicationOwned,
        image: vec![0; DIE_PAGE as usize],
        shape: &SMALL,
    };
    let with_owned = |sequence, fill| bundle(sequence, &[AreaOf::code(&[fill, fill]), owned.clone()], |_| ());
    let (one, two) = (with_owned(1, 1), with_owned(2, 2));
    let mut world = Device::with(&one);
    let at = 3 * DIE_PAGE as usize;
    world.die.tamper(at, &[0x77; 100]);
    let outcome = update(world, &[&one, &two], &two);
    assert_eq!(outcome.running, Some(two.digest));
    assert_eq!(outcome.world.die.stable(at..at + 100), Some(vec![0x77; 100]));
    assert_eq!(outcome.page_erases[3], 0);
}

#[test]
fn i16_at_most_one_object_is_fetched_twice_after_an_interruption() {
    let (old, new) = (old(), new());
    let start = Device::with(&old);
    let total = update(start.clone(), &[&old, &new], &new).operations;
    for operation in 0..total {
        for moment in [Moment::Inside(0), Moment::Inside(3), Moment::After] {
            for reading in [Reading::Before, Reading::After, Reading::Erased, Reading::Unreadable] {
                let cut = Some(Cut { operation, moment });
                let device = Device { server: Server::Offers(&new), cut, ..Device::new(&[&old, &new]) };
                let first = run(&device, start.clone());
                let device = Device { cut: None, session: 1, ..device };
                let second = device.run::<Sound>(first.world, |_| reading);
                let again = second.fetched.iter().filter(|span| first.fetched.contains(span)).count();
                assert!(again <= 1, "cut {operation} {moment:?} read as {reading:?}: {again} objects twice");
                assert_eq!(second.running, Some(new.digest));
            }
        }
    }
}

#[test]
fn a_link_that_drops_at_any_step_costs_nothing_but_the_span_that_was_asked_for() {
    let (old, new) = (old(), new());
    let device = |at| Device {
        server: Server::Offers(&new),
        interruption: Some((at, Interruption::LoseLink)),
        ..Device::new(&[&old, &new])
    };
    for at in 0..run(&device(u32::MAX), Device::with(&old)).steps {
        let outcome = run(&device(at), Device::with(&old));
        assert_eq!(outcome.running, Some(new.digest));
        assert!(outcome.fetched.len() <= 6, "step {at}");
    }
}

#[test]
fn i17_a_device_whose_external_flash_is_dead_stays_on_the_old_application() {
    let old = bundle(1, &[AreaOf::code(&[1, 2, 3])], |_| ());
    let new = bundle(2, &[AreaOf::code(&[1, 12, 3])], |_| ());
    let device = Device {
        server: Server::Offers(&new),
        damage: Some(Damage::DeadExternal),
        ..Device::new(&[&old, &new])
    };
    let outcome = run(&device, Device::with(&old));
    assert_eq!((outcome.running, outcome.stage), (Some(old.digest), Some(UpdateStage::Failed)));
    assert_eq!(outcome.reason.as_deref(), Some("external flash does not keep what is written to it"));
    assert_eq!(outcome.page_erases[..4], [0; 4]);
}

#[test]
fn i18_a_cancel_at_any_step_leaves_the_old_or_the_new_application_and_the_next_offer_works() {
    let (old, new) = (old(), new());
    let device = |at| Device {
        server: Server::Offers(&new),
        interruption: Some((at, Interruption::Cancel)),
        ..Device::new(&[&old, &new])
    };
    let (mut accepted, mut nothing, mut too_late) = (0, 0, 0);
    for at in 0..run(&device(u32::MAX), Device::with(&old)).steps {
        let outcome = run(&device(at), Device::with(&old));
        match outcome.cancelled {
            Some(Cancelled::Done) => {
                assert_eq!(outcome.running, Some(old.digest), "step {at}");
                // An order to apply is for what does not run yet; a new version on trial runs, and is taken back.
                let was_on_trial = outcome.started.iter().any(|started| started.manifest == new.digest);
                assert_eq!(outcome.was_ahead, !was_on_trial, "step {at}");
                accepted += 1;
            }
            Some(Cancelled::Nothing) => {
                assert!(!outcome.was_ahead, "step {at}: there is something to apply and nothing to cancel");
                nothing += 1;
            }
            Some(Cancelled::TooLate) | None => too_late += 1,
        }
        assert!(outcome.running.is_some(), "step {at}: {:?}", outcome.reason);
        let after = update(outcome.world, &[&old, &new], &new);
        assert_eq!(after.running, Some(new.digest), "step {at}");
    }
    assert!(accepted > 10 && too_late > 3, "accepted {accepted}, nothing {nothing}, too late {too_late}");
    // Once the new version is kept.
    assert!(nothing > 0, "at no step was there nothing to cancel");
}

#[test]
fn i18_another_offer_at_any_step_wins_in_the_end() {
    let (old, new) = (old(), new());
    let other = bundle(3, &[AreaOf::code(&[1, 22, 13]), AreaOf::constants(&[25])], |_| ());
    let device = |at| Device {
        server: Server::Offers(&new),
        interruption: Some((at, Interruption::Offer(&other))),
        ..Device::new(&[&old, &new, &other])
    };
    for at in 0..run(&device(u32::MAX), Device::with(&old)).steps {
        let outcome = run(&device(at), Device::with(&old));
        assert_eq!(outcome.running, Some(other.digest), "step {at}: {:?}", outcome.reason);
    }
}

#[test]
fn i19_a_server_that_sends_wrong_pages_without_end_is_given_up() {
    let (old, new) = (old(), new());
    let device = Device { server: Server::Offers(&new), lies: true, ..Device::new(&[&old, &new]) };
    let outcome = run(&device, Device::with(&old));
    assert_eq!((outcome.running, outcome.stage), (Some(old.digest), Some(UpdateStage::Failed)));
    assert_eq!(fetched_pages(&outcome).len(), 3);
    assert!(outcome.reason.is_some_and(|reason| reason.contains("not the one that the manifest names")));
}

#[test]
fn a_damaged_page_is_mended_from_staging_without_the_server() {
    let old = old();
    let mut world = Device::with(&old);
    world.die.tamper(300, &[0; 4]);
    let outcome = run(&Device::new(&[&old]), world);
    assert_eq!(outcome.running, Some(old.digest));
    assert_eq!(outcome.page_erases, [0, 1, 0, 0, 0, 0]);
}

#[test]
fn a_damaged_page_that_staging_no_longer_holds_is_repaired_by_the_next_offer() {
    let (old, new) = (old(), new());
    let device = Device { server: Server::Offers(&new), allow_apply: false, ..Device::new(&[&old, &new]) };
    let mut world = run(&device, Device::with(&old)).world;
    world.die.tamper(300, &[0; 4]);
    let alone = run(&Device::new(&[&old]), world.clone());
    assert_eq!((alone.running, alone.started.len()), (None, 0));
    assert!(alone.reason.is_some_and(|reason| reason.contains("the next offer repairs them")));
    let outcome = update(world, &[&old], &old);
    assert_eq!(outcome.running, Some(old.digest));
    assert_eq!(fetched_pages(&outcome), [(1, 256)]);
}

#[test]
fn a_page_of_fill_is_written_without_asking_the_server() {
    let old = old();
    let fill = AreaOf { id: 4, base: 2 * DIE_PAGE, kind: AreaKind::Fill, ..AreaOf::code(&[0xFF]) };
    let new = bundle(2, &[AreaOf::code(&[1, 2]), fill], |_| ());
    let outcome = update(Device::with(&old), &[&old, &new], &new);
    assert_eq!((outcome.running, fetched_pages(&outcome)), (Some(new.digest), vec![]));
}

/// The cell holds the old application's bytes (2 is 0b10) but not the new one's (12 is 0b1100).
#[test]
fn a_page_that_cannot_hold_the_new_application_is_put_back_and_the_update_is_not_tried_again() {
    let (old, new) = (old(), new());
    let start = Device::with(&old);
    let device = Device {
        server: Server::Offers(&new),
        damage: Some(Damage::Worn { medium: Medium::Die, at: DIE_PAGE + 7, how: Wear::Holds(4) }),
        ..Device::new(&[&old, &new])
    };
    let outcome = run(&device, start.clone());
    assert_eq!((outcome.running, outcome.stage), (Some(old.digest), Some(UpdateStage::Reverted)));
    assert_eq!(outcome.reason.as_deref(), Some("page 1 could not be written"));
    assert!(matches!(outcome.started[..], [boot, back] if boot.cause == StartCause::Boot
        && back.cause == StartCause::Reverted));
    assert!(outcome.world.holds(&old));
    assert_eq!(outcome.page_erases, [0, 4, 0, 0, 0, 0], "three attempts, then the old page");
    let at_rest = outcome.steps;
    let again = Device { interruption: Some((at_rest, Interruption::Offer(&new))), ..device };
    let outcome = run(&again, start.clone());
    assert_eq!((outcome.stage, outcome.page_erases[1]), (Some(UpdateStage::Reverted), 4));
    let insist = Device { interruption: Some((at_rest, Interruption::Force(&new))), ..again };
    let outcome = run(&insist, Device::with(&old));
    assert_eq!((outcome.stage, outcome.page_erases[1]), (Some(UpdateStage::Reverted), 8), "tried again");
}

#[test]
fn a_page_that_holds_neither_application_leaves_the_device_online_without_one() {
    let (old, new) = (old(), new());
    let start = Device::with(&old);
    let known = [&old, &new];
    // The cell fails while the update is applied: old 2 and new 12 both need one of these bits.
    let device = Device {
        server: Server::Offers(&new),
        damage: Some(Damage::Worn { medium: Medium::Die, at: DIE_PAGE + 7, how: Wear::HoldsFrom(1, 0x0E) }),
        ..Device::new(&known)
    };
    let outcome = device.run::<Sound>(start, |_| Reading::Before);
    assert_eq!((outcome.running, outcome.hung), (None, false));
    assert!(matches!(outcome.started[..], [boot] if boot.cause == StartCause::Boot && boot.safe));
    // The same content of flash with cells that hold: the old pages are still sealed, and are put back.
    let repaired = update(outcome.world, &known, &new);
    assert_eq!(repaired.running, Some(old.digest));
    assert!(repaired.world.holds(&old));
}

#[test]
fn a_worn_page_of_the_journal_is_passed_over() {
    let (old, new) = (old(), new());
    for page in 0..4 {
        let start = LAYOUT.die_journal.start.0 + page * DIE_PAGE;
        let lies = [0, 4, 95, 96, 190].map(|byte| (start + byte, Wear::Holds(0xFF)));
        for (at, how) in
            lies.into_iter().chain([(start, Wear::RefusesPrograms), (start, Wear::RefusesErases)])
        {
            let damage = Some(Damage::Worn { medium: Medium::Die, at, how });
            let device = Device { server: Server::Offers(&new), damage, ..Device::new(&[&old, &new]) };
            let outcome = device.run::<Sound>(Device::with(&old), |_| Reading::Before);
            assert_eq!(outcome.running, Some(new.digest), "byte {at:#x} {how:?}: {:?}", outcome.reason);
            assert!(outcome.started.iter().all(|started| started.safe));
            let again = Device { damage, ..Device::new(&[&old, &new]) };
            let outcome = again.run::<Sound>(outcome.world, |_| Reading::Before);
            assert_eq!(outcome.running, Some(new.digest), "byte {at:#x} {how:?}, next boot");
        }
    }
}
