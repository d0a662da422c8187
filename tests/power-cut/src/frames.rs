//! Bundles and devices that many claims begin with.

use std::sync::LazyLock;

use bulkhead_flash_simulator::{Cut, Moment, Reading};
use bulkhead_link_protocol::{Digest, UpdateStage};
use bulkhead_update_engine::Sound;

use crate::bundle::{AreaOf, Bundle, bundle};
use crate::device::{Device, Health, Server, World};
use crate::shape::{LAYOUT, SECTOR};

/// Three pages of code and one of constants.
pub fn old() -> &'static Bundle {
    static IT: LazyLock<Bundle> =
        LazyLock::new(|| bundle(1, &[AreaOf::code(&[1, 2, 3]), AreaOf::constants(&[4])], |_| ()));
    &IT
}

/// A page more than [`old`]; the first is the same, the others differ.
pub fn new() -> &'static Bundle {
    static IT: LazyLock<Bundle> =
        LazyLock::new(|| bundle(2, &[AreaOf::code(&[1, 12, 13, 14]), AreaOf::constants(&[15])], |_| ()));
    &IT
}

/// What the owner wants instead of [`new`].
pub fn other() -> &'static Bundle {
    static IT: LazyLock<Bundle> =
        LazyLock::new(|| bundle(3, &[AreaOf::code(&[1, 22, 13]), AreaOf::constants(&[25])], |_| ()));
    &IT
}

/// Bundles of one page of code and, but for the first, one of constants: `small(n)` for n below 6.
pub fn small(n: u8) -> &'static Bundle {
    static ALL: LazyLock<Vec<Bundle>> = LazyLock::new(|| {
        let areas = |n| match n {
            0 => vec![AreaOf::code(&[1])],
            n => vec![AreaOf::code(&[n * 16]), AreaOf::constants(&[n * 16 + 1])],
        };
        (0..6).map(|n| bundle(1 + u64::from(n), &areas(n), |_| ())).collect()
    });
    &ALL[usize::from(n)]
}

/// As [`small`]`(2)`, with patches that lead to it.
pub fn patched() -> &'static Bundle {
    static IT: LazyLock<Bundle> = LazyLock::new(|| small(2).clone().patched());
    &IT
}

/// One page of code, with patches that lead to it.
pub fn patched_code() -> &'static Bundle {
    static IT: LazyLock<Bundle> = LazyLock::new(|| bundle(2, &[AreaOf::code(&[0x90])], |_| ()).patched());
    &IT
}

/// As [`small`]`(1)`, but two unconfirmed starts end its trial.
pub fn impatient() -> &'static Bundle {
    static IT: LazyLock<Bundle> = LazyLock::new(|| {
        let areas = [AreaOf::code(&[16]), AreaOf::constants(&[17])];
        bundle(2, &areas, |fields| fields.policy.trial_boots = Some(2))
    });
    &IT
}

/// For the device of real size: three pages of 8 KiB and two sectors of 4 KiB.
pub fn real_old() -> &'static Bundle {
    static IT: LazyLock<Bundle> = LazyLock::new(|| bundle(1, &AreaOf::real(&[1, 2, 3], &[4, 5]), |_| ()));
    &IT
}

/// Two of the pages of [`real_old`] differ, one is new, and one of the sectors differs.
pub fn real_new() -> &'static Bundle {
    static IT: LazyLock<Bundle> =
        LazyLock::new(|| bundle(2, &AreaOf::real(&[1, 12, 13, 14], &[15, 5]), |_| ()));
    &IT
}

/// A device on which `new` is staged, verified and waiting.
pub fn ready(old: &Bundle, new: &Bundle) -> World {
    ready_from(&Device::with(old), old, new)
}

/// As [`ready`], on a device that `old` was installed on.
pub fn ready_from(start: &World, old: &Bundle, new: &Bundle) -> World {
    let device = Device { server: Server::Offers(new), allow_apply: false, ..Device::new(&[old, new]) };
    let outcome = device.run::<Sound>(start.clone(), |_| Reading::Before);
    assert_eq!(outcome.stage, Some(UpdateStage::Ready), "{:?}", outcome.reason);
    outcome.world
}

/// What runs after an offline boot.
pub fn offline(world: &World, known: &[&Bundle]) -> Option<Digest> {
    Device::new(known).run::<Sound>(world.clone(), |_| Reading::Before).running
}

/// The device right after the record of the apply was written for good.
pub fn begun(old: &Bundle, new: &Bundle) -> World {
    begun_from(&Device::with(old), old, new)
}

/// As [`begun`], on a device that `old` was installed on.
pub fn begun_from(start: &World, old: &Bundle, new: &Bundle) -> World {
    let ready = ready_from(start, old, new);
    let after = |operation| {
        let cut = Some(Cut { operation, moment: Moment::After });
        let device = Device { server: Server::Offers(new), cut, ..Device::new(&[old, new]) };
        device.run::<Sound>(ready.clone(), |_| Reading::Before).world
    };
    let begun = |world: &World| offline(world, &[old, new]) == Some(new.digest);
    (0..400).map(after).find(begun).expect("the apply begins some time")
}

/// The device when an apply was cut in the last unit of its `operation`th operation after [`begun`].
pub fn half_way(old: &Bundle, new: &Bundle, operation: u32) -> World {
    let cut = Some(Cut { operation, moment: Moment::Inside(3) });
    Device { cut, ..Device::new(&[old, new]) }.run::<Sound>(begun(old, new), |_| Reading::Before).world
}

/// A device on which `new` was applied over `old` and waits for somebody's word.
pub fn on_trial(old: &Bundle, new: &Bundle) -> World {
    on_trial_from(&Device::with(old), old, new)
}

/// As [`on_trial`], on a device that `old` was installed on.
pub fn on_trial_from(start: &World, old: &Bundle, new: &Bundle) -> World {
    let (server, health) = (Server::Offers(new), Health::Unconfirmed);
    let device = Device { server, health, ..Device::new(&[old, new]) };
    let outcome = device.run::<Sound>(start.clone(), |_| Reading::Before);
    assert_eq!((outcome.running, outcome.stage), (Some(new.digest), Some(UpdateStage::Trial)));
    outcome.world
}

/// Destroys sector `sector` of staging.
pub fn destroy(world: &mut World, sector: u32) {
    let start = LAYOUT.external_staging.start.0 + sector * SECTOR;
    world.external.tamper(start as usize + 20, &[0; 40]);
}

/// Destroys all of staging.
pub fn destroy_staging(world: &mut World) {
    (0..LAYOUT.external_staging.length / SECTOR).for_each(|sector| destroy(world, sector));
}

/// Destroys the headers of both manifest slots.
pub fn destroy_manifests(world: &mut World) {
    let part = LAYOUT.die_manifests;
    for slot in 0..2 {
        world.die.tamper((part.start.0 + slot * part.length / 2) as usize, &[0]);
    }
}
