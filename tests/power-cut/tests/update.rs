//! What an update does when power holds, and what it refuses.

use bulkhead_flash_simulator::Reading;
use bulkhead_link_protocol::UpdateStage;
use bulkhead_power_cut::{AreaOf, Bundle, Device, Outcome, Server, World, bundle};
use bulkhead_update_engine::{Sound, StartCause};

fn old() -> Bundle {
    bundle(1, &[AreaOf::code(&[1, 2, 3]), AreaOf::constants(&[4])], |_| ())
}

fn new() -> Bundle {
    bundle(2, &[AreaOf::code(&[1, 12, 13, 14]), AreaOf::constants(&[15])], |_| ())
}

fn update(world: World, known: &[&Bundle], offer: &Bundle) -> Outcome {
    let device = Device { server: Server::Offers(offer), ..Device::new(known) };
    device.run::<Sound>(world, |_| Reading::Before)
}

#[test]
fn a_blank_device_installs_what_it_is_offered_and_starts_it_at_every_boot() {
    let old = old();
    let world = Device::with(&old);
    assert!(world.holds(&old));
    let again = Device::new(&[&old]).run::<Sound>(world, |_| Reading::Before);
    assert_eq!(again.running, Some(old.digest));
    assert_eq!(again.operations, 0, "a boot with nothing to do writes nothing");
    assert!(matches!(again.started[..], [one] if one.safe && one.cause == StartCause::Boot));
}

#[test]
fn an_update_fetches_only_pages_that_differ_and_erases_each_once() {
    let (old, new) = (old(), new());
    let outcome = update(Device::with(&old), &[&old, &new], &new);
    assert_eq!((outcome.running, outcome.stage), (Some(new.digest), Some(UpdateStage::Committed)));
    assert!(outcome.started.iter().all(|started| started.safe));
    assert!(outcome.world.holds(&new));
    let areas: Vec<_> =
        outcome.fetched.iter().filter(|(_, area, _)| *area > 0).map(|(_, a, o)| (*a, *o)).collect();
    assert_eq!(areas, [(1, 256), (1, 512), (1, 768), (2, 0)]);
    assert_eq!(outcome.page_erases, [0, 1, 1, 1, 1, 0]);
    assert_eq!(outcome.programs_twice, 0);
}
