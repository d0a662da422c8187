//! Areas that belong to the application: what an update may not take, and what it announces.

#![expect(clippy::expect_used, reason = "a test suite")]

use bulkhead_bundle_format::{AreaKind, Medium};
use bulkhead_flash_simulator::Reading;
use bulkhead_link_protocol::UpdateStage;
use bulkhead_power_cut::{AreaOf, Bundle, Device, LAYOUT, Outcome, SECTOR, SMALL, Server, World, bundle};
use bulkhead_update_engine::{PageCount, Sound};

/// An area of `sectors` sectors from sector `first` of external flash.
fn external(id: u32, kind: AreaKind, first: u32, sectors: u32) -> AreaOf {
    let image = vec![0xFF; (sectors * SECTOR) as usize];
    AreaOf { id, medium: Medium::External, base: first * SECTOR, kind, image, shape: &SMALL }
}

fn owned(id: u32, first: u32, sectors: u32) -> AreaOf {
    external(id, AreaKind::ApplicationOwned, first, sectors)
}

fn running() -> Bundle {
    bundle(1, &[AreaOf::code(&[1, 2, 3]), owned(3, 1, 1)], |_| ())
}

/// The running bundle with something of the application's in its area.
fn world(running: &Bundle) -> World {
    let mut world = Device::with(running);
    world.external.tamper(SECTOR as usize, b"seven lamps");
    world
}

fn update(start: &World, running: &Bundle, new: &Bundle) -> Outcome {
    let device = Device { server: Server::Offers(new), ..Device::new(&[running, new]) };
    device.run::<Sound>(start.clone(), |_| Reading::Before)
}

/// What lies in external flash from the start of the application's area on.
fn kept(world: &World) -> Vec<u8> {
    let at = (LAYOUT.external_application.start.0 + SECTOR) as usize;
    world.external.raw().get(at..at + SECTOR as usize).expect("the sector is there").to_vec()
}

/// I15.
#[test]
fn i15_what_the_application_owns_is_the_same_byte_for_byte_after_an_update() {
    let running = running();
    let start = world(&running);
    let grown = [AreaOf::code(&[1, 9, 9, 9]), owned(7, 0, 2)];
    for areas in [&[AreaOf::code(&[1, 12, 13]), owned(3, 1, 1)][..], &grown[..]] {
        let new = bundle(2, areas, |_| ());
        let outcome = update(&start, &running, &new);
        assert_eq!(outcome.running, Some(new.digest), "{:?}", outcome.reason);
        assert_eq!(kept(&outcome.world), kept(&start), "not a byte of it changed");
        assert_eq!(outcome.page_erases.last(), Some(&0));
    }
}

#[test]
fn an_update_that_takes_an_area_from_the_application_is_refused_before_anything_is_fetched() {
    let running = running();
    let start = world(&running);
    let dropped = [AreaOf::code(&[1, 12])];
    let moved = [AreaOf::code(&[1, 12]), owned(3, 0, 1)];
    let covered = [AreaOf::code(&[1, 12]), external(3, AreaKind::Fill, 1, 1)];
    for areas in [&dropped[..], &moved[..], &covered[..]] {
        let new = bundle(2, areas, |_| ());
        let outcome = update(&start, &running, &new);
        assert_eq!((outcome.running, outcome.stage), (Some(running.digest), Some(UpdateStage::Refused)));
        assert!(outcome.reason.as_deref().is_some_and(|why| why.contains("area 3")), "{:?}", outcome.reason);
        assert!(
            outcome.fetched.iter().all(|(from, ..)| *from == bulkhead_link_protocol::FetchFrom::Envelope)
        );
        assert_eq!(kept(&outcome.world), kept(&start));
    }
}

#[test]
fn what_the_owner_signed_away_is_given_up() {
    let running = running();
    let covered = [AreaOf::code(&[1, 12]), external(3, AreaKind::Fill, 1, 1)];
    let new = bundle(2, &covered, |manifest| manifest.policy.gives_up_owned = true);
    let outcome = update(&world(&running), &running, &new);
    assert_eq!(outcome.running, Some(new.digest), "{:?}", outcome.reason);
    assert!(kept(&outcome.world).iter().all(|byte| *byte == 0xFF), "a fill area is erased");
}

/// Otherwise a version that took an area into its possession could never be left.
#[test]
fn going_back_to_what_ran_before_is_never_refused_for_an_area() {
    let before = bundle(1, &[AreaOf::code(&[1, 2, 3])], |_| ());
    let after = bundle(1, &[AreaOf::code(&[1, 12, 3]), owned(3, 0, 2)], |_| ());
    let outcome = update(&Device::with(&before), &before, &after);
    assert_eq!(outcome.running, Some(after.digest), "{:?}", outcome.reason);
    let back = update(&outcome.world, &after, &before);
    assert_eq!(back.running, Some(before.digest), "{:?}", back.reason);
}

#[test]
fn a_ready_update_says_how_many_pages_it_will_write() {
    let running = running();
    let new = bundle(2, &[AreaOf::code(&[1, 12, 3, 14]), owned(3, 1, 1)], |_| ());
    let device =
        Device { server: Server::Offers(&new), allow_apply: false, ..Device::new(&[&running, &new]) };
    let outcome = device.run::<Sound>(world(&running), |_| Reading::Before);
    let changes = outcome.changes.expect("it is ready");
    assert_eq!(changes.die, PageCount { all: 4, changing: 2 });
    assert_eq!(changes.external, PageCount::default());
}
