//! Devices whose staging is narrow: room for new pages alone, or for patches and a ring of old pages.

use std::sync::LazyLock;

use bulkhead_bundle_format::Medium;
use bulkhead_update_engine::{Layout, Part};

use crate::bundle::{AreaOf, Bundle, bundle};
use crate::claim::Claim;
use crate::device::{Device, Health, Interruption, Server, World};
use crate::frames::{begun, begun_from, on_trial, on_trial_from, ready};
use crate::shape::{LAYOUT, SECTOR, SMALL, Shape};

type Made = Claim<'static>;

/// As [`SMALL`], with 11 sectors of staging: new pages take 6 and old ones as many, a ring takes 2 for each place.
pub static NARROW: Shape = Shape {
    layout: Layout { external_staging: Part::new(2 * SECTOR, 11 * SECTOR), ..LAYOUT },
    external_size: 13 * SECTOR,
    ..SMALL
};

/// Ten pages of 8 KiB, and a ring of 6 behind a patch of one piece: it turns, but for one segment of 4 pages and 2 more.
pub static TURNING: Shape = Shape {
    layout: Layout {
        die_application: Part::new(0, 10 * 8192),
        die_journal: Part::new(10 * 8192, 3 * 8192),
        die_manifests: Part::new(13 * 8192, 2 * 8192),
        die_keys: Part::new(15 * 8192, 3 * 8192),
        external_application: Part::new(0, 4096),
        external_staging: Part::new(4096, 20 * 4096),
    },
    die_page: 8192,
    sector: 4096,
    die_size: 18 * 8192,
    external_size: 41 * 4096,
};

/// The same memories with room for the first installation.
static TURNING_AT_THE_FACTORY: Shape =
    Shape { layout: Layout { external_staging: Part::new(4096, 40 * 4096), ..TURNING.layout }, ..TURNING };

/// Bytes without pattern.
pub fn noise(len: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut draw = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..len).map(&mut draw).collect()
}

fn narrow(sequence: u64, code: Vec<u8>, constants: Vec<u8>) -> Bundle {
    let areas = [(Medium::Die, code), (Medium::External, constants)];
    let areas = areas.map(|(medium, image)| AreaOf::of_bytes(&NARROW, medium, image));
    bundle(sequence, &areas, |_| ()).patched()
}

/// Three pages of code and one of constants.
pub fn old() -> &'static Bundle {
    static IT: LazyLock<Bundle> = LazyLock::new(|| narrow(1, noise(700, 1), noise(500, 2)));
    &IT
}

fn newer() -> Bundle {
    let (mut code, mut constants) = (noise(700, 1), noise(500, 2));
    code.splice(300..300, [7; 100]);
    constants.splice(20..24, [9; 9]);
    narrow(2, code, constants)
}

/// 100 bytes were put into the second page of [`old`], and a few into its constants; staged as new pages.
pub fn new() -> &'static Bundle {
    static IT: LazyLock<Bundle> = LazyLock::new(newer);
    &IT
}

/// As [`new`], in place.
pub fn new_in_place() -> &'static Bundle {
    static IT: LazyLock<Bundle> = LazyLock::new(|| newer().in_place(None));
    &IT
}

/// Something else, in place.
pub fn other_in_place() -> &'static Bundle {
    static IT: LazyLock<Bundle> = LazyLock::new(|| {
        let mut code = noise(700, 1);
        code.splice(400..410, [5; 60]);
        narrow(3, code, noise(500, 2)).in_place(None)
    });
    &IT
}

/// Small enough to be sent whole.
pub fn plain_in_place() -> &'static Bundle {
    static IT: LazyLock<Bundle> = LazyLock::new(|| narrow(2, vec![8; 700], vec![6; 500]).in_place(None));
    &IT
}

/// Ten pages of code.
pub fn turning_old() -> &'static Bundle {
    static IT: LazyLock<Bundle> = LazyLock::new(|| turning_bundle(1, 0));
    &IT
}

/// Pages of [`turning_old`] behind so many other bytes, with a change here and there: so what a page is decoded to
/// depends on all old bytes of its segment.
fn turning_bundle(sequence: u64, in_front: usize) -> Bundle {
    let mut code = vec![0x5A; in_front];
    code.extend(noise(10 * 8192 - in_front, 3));
    if in_front > 0 {
        code.iter_mut().step_by(199).for_each(|byte| *byte ^= 0x11);
    }
    bundle(sequence, &[AreaOf::of_bytes(&TURNING, Medium::Die, code)], |_| ()).in_place(None)
}

/// Made from what lies less than two pages back.
pub fn turning_new() -> &'static Bundle {
    static IT: LazyLock<Bundle> = LazyLock::new(|| turning_bundle(2, 15_000));
    &IT
}

/// Made from what lies three pages back: further than the ring.
pub fn turning_too_far() -> &'static Bundle {
    static IT: LazyLock<Bundle> = LazyLock::new(|| turning_bundle(2, 3 * 8192));
    &IT
}

/// Pages 1, 2 and 8 differ from [`turning_old`]: the last takes the second one's place in the ring.
pub fn turning_gap() -> &'static Bundle {
    static IT: LazyLock<Bundle> = LazyLock::new(|| {
        let mut code = noise(10 * 8192, 3);
        code.copy_within(8192..2 * 8192 + 100, 8192 + 200);
        code[8 * 8192..9 * 8192].rotate_left(50);
        bundle(2, &[AreaOf::of_bytes(&TURNING, Medium::Die, code)], |_| ()).in_place(None)
    });
    &IT
}

/// Ten pages that take next to nothing to send.
pub fn turning_plain() -> &'static Bundle {
    static IT: LazyLock<Bundle> = LazyLock::new(|| {
        let code = (0..10).flat_map(|page| [page; 8192]).collect();
        bundle(3, &[AreaOf::of_bytes(&TURNING, Medium::Die, code)], |_| ()).in_place(Some(2 * 8192))
    });
    &IT
}

/// Ten pages that repeat themselves, behind so many other bytes: short enough to be sent whole.
fn repeating(sequence: u64, in_front: usize) -> Bundle {
    let mut code = vec![0x5A; in_front];
    code.extend((0..10).flat_map(|page| noise(1024, page).repeat(8)));
    code.truncate(10 * 8192);
    bundle(sequence, &[AreaOf::of_bytes(&TURNING, Medium::Die, code)], |_| ()).in_place(Some(2 * 8192))
}

/// A device with [`turning_old`].
pub fn turning_world() -> World {
    turning_with(turning_old())
}

fn turning_with(old: &Bundle) -> World {
    let mut old = old.clone();
    (old.is_patched, old.areas[0].shape) = (false, &TURNING_AT_THE_FACTORY);
    World { shape: &TURNING, ..Device::with(&old) }
}

/// Every claim on the small device; see [`turning`] for those that take longer.
pub fn all() -> Vec<Made> {
    [redo(), in_place()].concat()
}

/// From now on offline.
fn offline(name: &'static str, start: World, known: &[&'static Bundle]) -> Made {
    Made { servers: vec![Server::Silent], ..Claim::new(name, start, known) }
}

/// There is no room for old pages: going back means fetching.
fn redo() -> Vec<Made> {
    let (old, new) = (old(), new());
    let either = Some(vec![old.digest, new.digest]);
    vec![
        Made { offline_ends_in: either.clone(), ..Claim::new("redo", Device::with(old), &[old, new]) },
        Made { offline_ends_in: either, ..Claim::new("redo-apply", ready(old, new), &[old, new]) },
        offline("redo-begun", begun(old, new), &[old, new]),
        // Nobody can put the old version back: the new one goes on, and says what it wants.
        Made { health: Health::Crashes, ..offline("redo-crash", on_trial(old, new), &[old, new]) },
        Made {
            may_revert: true,
            health: Health::Unconfirmed,
            ..Claim::new("redo-fetch-back", on_trial(old, new), &[new, old])
        },
    ]
}

/// There is room for patches and a ring.
fn in_place() -> Vec<Made> {
    let (old, new, other) = (old(), new_in_place(), other_in_place());
    let either = Some(vec![old.digest, new.digest]);
    let mut lost = on_trial(old, new);
    let staging = NARROW.layout.external_staging;
    lost.external.tamper(staging.start.0 as usize, &vec![0; staging.length as usize]);
    vec![
        Made { offline_ends_in: either.clone(), ..Claim::new("in-place", Device::with(old), &[old, new]) },
        Claim::new("in-place-first", Device::blank_of(&NARROW), &[plain_in_place()]),
        Made { offline_ends_in: either, ..Claim::new("in-place-apply", ready(old, new), &[old, new]) },
        // I3: nothing but the patches and the ring is needed.
        offline("in-place-begun", begun(old, new), &[old, new]),
        // The ring did not turn under anything that changed, so the way back is there.
        Made {
            ends_in: vec![old.digest],
            may_revert: true,
            health: Health::Crashes,
            ..offline("in-place-crash", on_trial(old, new), &[old, new])
        },
        Made {
            may_revert: true,
            health: Health::Unconfirmed,
            ..Claim::new("in-place-fetch-back", lost, &[new, old])
        },
        Made {
            offline_ends_in: Some(vec![old.digest, new.digest, other.digest]),
            ..Claim::new("in-place-race", ready(old, new), &[old, new, other])
        },
        // I14: what the patches start from is overwritten while they are tried out.
        Made {
            interruption: Some(Interruption::WritePage(1)),
            depth: 1,
            ..Claim::new("in-place-debugger", Device::with(old), &[old, new])
        },
        Made {
            interruption: Some(Interruption::Cancel),
            ends_in: vec![old.digest, new.digest],
            may_revert: true,
            depth: 1,
            ..Claim::new("in-place-cancel", Device::with(old), &[old, new])
        },
    ]
}

/// Claims on a device whose ring turns; each power session decodes segments again.
pub fn turning() -> Vec<Made> {
    let (old, new, far, gap) = (turning_old(), turning_new(), turning_too_far(), turning_gap());
    vec![
        Made { depth: 1, ..offline("turning-begun", begun_turning(new), &[old, new]) },
        // It is found out before anything is written.
        Made {
            ends_in: vec![old.digest, far.digest],
            offline_ends_in: Some(vec![old.digest, far.digest]),
            depth: 1,
            ..Claim::new("turning-too-far", turning_world(), &[old, far])
        },
        Made { depth: 1, ..offline("turning-gap", begun_turning(gap), &[old, gap]) },
        // The old pages are gone: the new version goes on until the old one is sent.
        Made {
            health: Health::Crashes,
            depth: 1,
            ..offline("turning-crash", on_trial_from(&turning_world(), old, new), &[old, new])
        },
    ]
}

/// For random walks on that device: whatever comes in between, something whole runs after three whole power sessions.
pub fn random_turning() -> Made {
    static BOTH: LazyLock<[Bundle; 2]> = LazyLock::new(|| [repeating(1, 0), repeating(2, 15_000)]);
    let [old, new] = &*BOTH;
    Made {
        ends_in: vec![old.digest, new.digest],
        may_revert: true,
        sessions: 4,
        ..Claim::new("random-turning", turning_with(old), &[old, new])
    }
}

fn begun_turning(new: &'static Bundle) -> World {
    begun_from(&turning_world(), turning_old(), new)
}
