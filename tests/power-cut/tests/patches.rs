//! Claims about updates by patches.

use bulkhead_bundle_format::PATCH_CRYPT_LEN;
use bulkhead_flash_simulator::{Cut, Moment, Reading};
use bulkhead_link_protocol::{FetchFrom, UpdateStage};
use bulkhead_power_cut::{
    AreaOf, Bundle, Claim, Device, LAYOUT, Limits, Outcome, SECTOR, Server, World, bundle, explore,
};
use bulkhead_update_engine::Sound;

fn old() -> Bundle {
    bundle(1, &[AreaOf::code(&[1, 2, 3]), AreaOf::constants(&[4])], |_| ())
}

fn new() -> Bundle {
    bundle(2, &[AreaOf::code(&[1, 12, 13, 14]), AreaOf::constants(&[15])], |_| ()).patched()
}

/// As `new`, with images that no patch makes small.
fn noisy() -> Bundle {
    let mut state = 1u32;
    let mut noise = |area: &mut AreaOf| {
        for byte in &mut area.image {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = state.to_be_bytes()[0];
        }
    };
    let mut areas = [AreaOf::code(&[1, 2, 3]), AreaOf::constants(&[4])];
    areas.iter_mut().for_each(&mut noise);
    bundle(2, &areas, |_| ()).patched()
}

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

/// Kinds of what was fetched, in order.
fn fetched(outcome: &Outcome) -> Vec<FetchFrom> {
    outcome.fetched.iter().map(|(from, ..)| *from).collect()
}

#[test]
fn an_update_by_patches_fetches_patches_and_nothing_else() {
    let (old, new) = (old(), new());
    let outcome = run(&update(&old, &new), Device::with(&old));
    assert_eq!((outcome.running, outcome.stage), (Some(new.digest), Some(UpdateStage::Committed)));
    assert!(fetched(&outcome).iter().all(|from| *from != FetchFrom::Area), "{:?}", fetched(&outcome));
    assert_eq!(fetched(&outcome).iter().filter(|from| **from == FetchFrom::Patch).count(), 2);
    assert_eq!(outcome.page_erases, [0, 1, 1, 1, 1, 0]);
}

#[test]
fn a_blank_device_is_installed_from_compressed_images() {
    let new = new();
    let outcome = run(&update(&new, &new), Device::blank());
    assert_eq!(outcome.running, Some(new.digest));
    assert!(fetched(&outcome).iter().all(|from| *from != FetchFrom::Area));
}

#[test]
fn i19_patches_that_lead_elsewhere_cost_their_bytes_and_pages_are_fetched_as_they_are() {
    let (old, new) = (old(), new());
    let device = Device { lies: true, ..update(&old, &new) };
    let outcome = run(&device, Device::with(&old));
    // This server lies about pages too, so the update fails; but it came to them.
    assert_eq!((outcome.running, outcome.stage), (Some(old.digest), Some(UpdateStage::Failed)));
    assert!(fetched(&outcome).contains(&FetchFrom::Area), "{:?}", fetched(&outcome));
}

#[test]
fn i16_after_a_cut_no_piece_that_was_stored_is_fetched_again() {
    let (old, new) = (old(), noisy());
    let whole = run(&update(&old, &new), Device::with(&old));
    let pieces = |outcome: &Outcome| -> Vec<_> {
        outcome.fetched.iter().filter(|(from, ..)| *from == FetchFrom::Patch).copied().collect()
    };
    let payload = SECTOR - PATCH_CRYPT_LEN;
    assert!(pieces(&whole).len() > 2, "several pieces of {payload} bytes");
    for operation in 0..whole.operations {
        let cut = Some(Cut { operation, moment: Moment::Inside(1) });
        let first = run(&Device { cut, ..update(&old, &new) }, Device::with(&old));
        let second = run(&update(&old, &new), first.world.clone());
        assert_eq!(second.running, Some(new.digest), "cut in operation {operation}");
        let both = pieces(&first).len() + pieces(&second).len();
        assert!(both <= pieces(&whole).len() + 1, "cut in operation {operation}: {both} pieces");
    }
}

#[test]
fn i8_staging_holds_no_plaintext_of_a_patch() {
    let (old, new) = (old(), noisy());
    let device = Device { allow_apply: false, ..update(&old, &new) };
    let staged = run(&device, Device::with(&old)).world;
    let patch = new.patch(Some(&old), 1).unwrap();
    let raw = staged.external.raw();
    let staging = &raw[LAYOUT.external_staging.start.0 as usize..];
    assert!(!staging.windows(16).any(|window| window == &patch[..16]));
}

#[test]
fn i1_no_cut_of_an_update_by_patches_leads_to_an_unsafe_start() {
    let (old, new) = (old(), new());
    let claim = Claim {
        offline_ends_in: Some(vec![old.digest, new.digest]),
        ..Claim::new("patches", Device::with(&old), &[&old, &new])
    };
    let limits = Limits { mixtures: 2, ..Limits::TWO_CUTS };
    let seen = explore::<Sound>(&claim, limits);
    assert!(seen.faults.is_empty() && seen.boots > 1000, "{:#?}", seen.faults);
}
