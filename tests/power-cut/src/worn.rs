//! Claims about hardware that is broken: each block of each part, worn in each way, and external flash that is dead.

use bulkhead_bundle_format::Medium;

use crate::claim::Claim;
use crate::claims::going_back;
use crate::damage::Damage;
use crate::device::{Device, Interruption};
use crate::frames::{begun, destroy, half_way, on_trial, ready, small};
use crate::shape::{DIE_PAGE, LAYOUT, SECTOR};

type Made = Claim<'static>;

/// Nothing unsafe is started and the device comes to rest online, whatever is broken and wherever power fails.
pub(crate) fn all() -> Vec<Made> {
    let (page, one, two, three) = (small(0), small(1), small(2), small(3));
    let known = [one, two];
    let mut turning = half_way(one, two, 9);
    destroy(&mut turning, 1);
    vec![
        anywhere(Claim::new("worn-update", Device::with(one), &known)),
        anywhere(Claim::new("worn-first", Device::blank(), &known)),
        anywhere(Claim::new("worn-apply", begun(one, two), &known)),
        anywhere(Claim::new("worn-turn", turning, &known)),
        anywhere(going_back("worn-revert", on_trial(one, two), one, two)),
        anywhere(Claim::new("worn-race", half_way(one, two, 9), &[one, two, three])),
        // One page of the journal or one sector of staging is spare: the device is never without an application.
        spare(Claim::new("spare-update", Device::with(one), &known)),
        spare(Claim::new("spare-apply", begun(one, two), &known)),
        // Code on the die does not need what is outside.
        Made {
            damages: vec![Damage::DeadExternal],
            ends_in: vec![page.digest],
            ..Claim::new("dead-external", Device::with(page), &[page, one])
        },
        Made {
            damages: vec![Damage::DeadExternal],
            ends_in: vec![page.digest, one.digest],
            may_be_without: true,
            ..Claim::new("dead-half-way", half_way(page, one, 6), &[page, one])
        },
        // It comes back with the next power-on.
        Made {
            interruption: Some(Interruption::LoseExternal),
            ends_in: vec![one.digest, two.digest],
            may_revert: true,
            sessions: 2,
            depth: 1,
            ..Claim::new("external-lost", ready(one, two), &known)
        },
    ]
}

fn damaged(claim: Made, mut damages: Vec<Damage>) -> Made {
    damages.sort_by_key(Damage::lot);
    let ends_in = claim.known.iter().map(|bundle| bundle.digest).collect();
    Made { damages, ends_in, may_revert: true, depth: 1, ..claim }
}

fn anywhere(claim: Made) -> Made {
    let die = [LAYOUT.die_application, LAYOUT.die_journal, LAYOUT.die_manifests, LAYOUT.die_keys];
    let external = [LAYOUT.external_application, LAYOUT.external_staging];
    let mut damages: Vec<_> =
        die.into_iter().flat_map(|part| Damage::of_part(Medium::Die, part, DIE_PAGE)).collect();
    damages.extend(external.into_iter().flat_map(|part| Damage::of_part(Medium::External, part, SECTOR)));
    Made { may_be_without: true, ..damaged(claim, damages) }
}

fn spare(claim: Made) -> Made {
    let mut damages = Damage::of_part(Medium::Die, LAYOUT.die_journal, DIE_PAGE);
    damages.extend(Damage::of_part(Medium::External, LAYOUT.external_staging, SECTOR));
    damaged(claim, damages)
}
