//! What is claimed, by name. Each claim is explored by `tests/cuts.rs` and by `cargo xtask power-cut`.

use crate::claim::Claim;
use crate::deep;
use crate::device::{Device, Health, Interruption, Server, World};
use crate::frames::{
    begun, destroy, destroy_manifests, destroy_staging, half_way, impatient, new, offline, old, on_trial,
    other, patched, ready, real_new, real_old, small,
};
use crate::narrow;
use crate::worn;

type Made = Claim<'static>;

/// Claims that belong together.
#[derive(Clone, Debug)]
pub struct Group {
    /// What they are about.
    pub name: &'static str,
    /// The claims.
    pub claims: Vec<Made>,
}

/// Every claim on the small device.
pub fn groups() -> Vec<Group> {
    [
        ("staging", staging()),
        ("apply", applying()),
        ("losses", losses()),
        ("trial and revert", trials()),
        ("racing updates", races()),
        ("interruptions", interruptions()),
        ("rows of updates", rows()),
        ("nested", deep::all()),
        ("narrow staging", narrow::all()),
        ("worn and dead parts", worn::all()),
    ]
    .map(|(name, claims)| Group { name, claims })
    .into()
}

/// Every claim on the small device, one after the other.
pub fn all() -> Vec<Made> {
    groups().into_iter().flat_map(|group| group.claims).collect()
}

/// Claims on the device of real size, and on one whose ring turns.
pub fn real() -> Vec<Made> {
    let (old, new) = (real_old(), real_new());
    let anything = Some(vec![old.digest, new.digest]);
    let real = vec![
        Made { depth: 1, ..Claim::new("real-staging", Device::with(old), &[old, new]) },
        Made {
            offline_ends_in: anything,
            depth: 1,
            ..Claim::new("real-apply", ready(old, new), &[old, new])
        },
        Made { depth: 1, ..going_back("real-revert", on_trial(old, new), old, new) },
    ];
    [real, narrow::turning()].concat()
}

/// Claims for random walks: whatever comes in between, something whole runs after three whole power sessions.
pub fn random() -> Vec<Made> {
    let (old, new, other) = (old(), new(), other());
    let (real_old, real_new) = (real_old(), real_new());
    let row: &'static [_] = Box::leak(vec![new, other].into_boxed_slice());
    vec![
        lenient(Claim::new("random-update", Device::with(old), &[old, new])),
        lenient(Claim::new("random-first", Device::blank(), &[old, new])),
        lenient(Made { health: Health::Crashes, ..Claim::new("random-crash", ready(old, new), &[old, new]) }),
        lenient(Made {
            health: Health::Unconfirmed,
            ..Claim::new("random-unconfirmed", on_trial(old, new), &[old, new])
        }),
        lenient(Made {
            servers: alternating(new, other),
            ..Claim::new("random-race", ready(old, new), &[old, new, other])
        }),
        lenient(Made {
            servers: vec![Server::OffersInTurn(row)],
            ..Claim::new("random-row", Device::with(old), &[old, new, other])
        }),
        lenient(Claim::new("random-patches", Device::with(small(1)), &[small(1), patched()])),
        lenient(Claim::new("random-small", Device::with(small(1)), &[small(1), small(2)])),
        lenient(Claim::new("random-redo", Device::with(narrow::old()), &[narrow::old(), narrow::new()])),
        lenient(Claim::new(
            "random-in-place",
            Device::with(narrow::old()),
            &[narrow::old(), narrow::new_in_place(), narrow::other_in_place()],
        )),
        lenient(Claim::new("random-real", Device::with(real_old), &[real_old, real_new])),
    ]
}

/// The claim of that name.
pub fn named(name: &str) -> Option<Made> {
    let all = || all().into_iter().chain(real()).chain(random()).chain([narrow::random_turning()]);
    all().find(|claim| claim.name == name)
}

fn lenient(claim: Made) -> Made {
    let ends_in = claim.known.iter().map(|bundle| bundle.digest).collect();
    Made { ends_in, may_revert: true, sessions: 4, ..claim }
}

fn alternating(one: &'static crate::Bundle, two: &'static crate::Bundle) -> Vec<Server<'static>> {
    [one, two].repeat(8).into_iter().map(Server::Offers).collect()
}

pub(crate) fn offline_claim(name: &'static str, start: World, known: &[&'static crate::Bundle]) -> Made {
    Made { servers: vec![Server::Silent], ..Claim::new(name, start, known) }
}

/// On trial, `new` crashes: `old` is put back without a server.
pub(crate) fn going_back(
    name: &'static str,
    start: World,
    old: &'static crate::Bundle,
    new: &'static crate::Bundle,
) -> Made {
    Made {
        ends_in: vec![old.digest],
        may_revert: true,
        health: Health::Crashes,
        ..offline_claim(name, start, &[old, new])
    }
}

fn staging() -> Vec<Made> {
    let (old, new, other) = (old(), new(), other());
    let either = Some(vec![old.digest, new.digest]);
    vec![
        // I1, I2: staging, apply, trial and commit, in one.
        Made { offline_ends_in: either.clone(), ..Claim::new("update", Device::with(old), &[old, new]) },
        Claim::new("first", Device::blank(), &[new]),
        // The same by patches, which is how most updates go.
        Made {
            offline_ends_in: Some(vec![small(1).digest, patched().digest]),
            ..Claim::new("patches", Device::with(small(1)), &[small(1), patched()])
        },
        Claim::new("patches-first", Device::blank(), &[patched()]),
        // The hypervisor postpones: nothing of the application is ever touched.
        Made {
            allow_apply: false,
            ends_in: vec![old.digest],
            ..Claim::new("postponed", Device::with(old), &[old, new])
        },
        // I18: the owner changes their mind while another update is staged.
        Made {
            offline_ends_in: Some(vec![old.digest, other.digest]),
            ..Claim::new("overtake", ready(old, new), &[old, new, other])
        },
    ]
}

fn applying() -> Vec<Made> {
    let (old, new) = (old(), new());
    let either = Some(vec![old.digest, new.digest]);
    let mut rotten = Device::with(old);
    rotten.die.tamper(10, &[0; 4]);
    rotten.external.tamper(10, &[0; 4]);
    let mut rotten_later = ready(old, new);
    rotten_later.die.tamper(10, &[0; 4]);
    rotten_later.external.tamper(10, &[0; 4]);
    vec![
        Made { offline_ends_in: either, ..Claim::new("apply", ready(old, new), &[old, new]) },
        // I3: an apply that was begun is never lost, even offline.
        offline_claim("begun", begun(old, new), &[old, new]),
        // Pages rot; staging still holds what was installed, so nobody has to be asked.
        offline_claim("mend", rotten, &[old]),
        // Pages rot, and staging holds something else: the manifest that runs is applied over itself.
        Claim::new("again", rotten_later, &[new, old]),
    ]
}

/// Staging or manifests are lost half way.
fn losses() -> Vec<Made> {
    let (old, new) = (old(), new());
    let mut made = Vec::new();
    for (name, operation, sector) in [("revert-early", 6, 2), ("revert-late", 10, 3)] {
        let mut start = half_way(old, new, operation);
        destroy(&mut start, sector);
        assert_eq!(offline(&start, &[old, new]), Some(old.digest), "{name}: it must go back");
        let claim = offline_claim(name, start, &[old, new]);
        made.push(Made { ends_in: vec![old.digest], may_revert: true, ..claim });
    }
    let mut lost = half_way(old, new, 9);
    destroy_staging(&mut lost);
    assert_eq!(offline(&lost, &[old, new]), None);
    // Redo and undo are both gone: no application, but online, and the next offer repairs the device.
    made.push(Claim::new("repair", lost, &[old, new]));
    for (name, operation) in [("lost-erase", 6), ("lost-program", 7), ("lost-external", 16)] {
        // Nobody knows which pages there are; but the journal knows what may be torn.
        let mut start = half_way(old, new, operation);
        destroy_manifests(&mut start);
        assert_eq!(offline(&start, &[old, new]), None);
        made.push(Claim::new(name, start, &[old, new]));
    }
    made
}

fn trials() -> Vec<Made> {
    let (old, new, other) = (old(), new(), other());
    let mut lost = on_trial(old, new);
    destroy_staging(&mut lost);
    let resetting = Made {
        ends_in: vec![small(0).digest],
        may_revert: true,
        health: Health::Resets,
        sessions: 6,
        ..offline_claim("trial-resets", begun(small(0), impatient()), &[small(0), impatient()])
    };
    vec![
        Made {
            offline_ends_in: Some(vec![new.digest]),
            ..Claim::new("trial-kept", on_trial(old, new), &[old, new])
        },
        // REVERT, from undo pages.
        going_back("trial-crash", on_trial(old, new), old, new),
        // I13: nobody confirms, and each start ends in a reset.
        resetting,
        // The old pages are lost: the server sends the old version.
        Made {
            may_revert: true,
            health: Health::Unconfirmed,
            ..Claim::new("trial-fetch-back", lost, &[new, old])
        },
        // The owner orders back what ran before.
        Made {
            may_revert: true,
            health: Health::Unconfirmed,
            ..Claim::new("trial-back", on_trial(old, new), &[new, old])
        },
        Made {
            offline_ends_in: Some(vec![new.digest, other.digest]),
            ..Claim::new("trial-overtaken", on_trial(old, new), &[old, new, other])
        },
    ]
}

/// A second update races the first in every phase.
fn races() -> Vec<Made> {
    let (old, new, other) = (old(), new(), other());
    let any = Some(vec![old.digest, new.digest, other.digest]);
    let mut reverting = half_way(old, new, 10);
    destroy(&mut reverting, 3);
    vec![
        Made {
            offline_ends_in: any.clone(),
            ..Claim::new("race-apply", half_way(old, new, 9), &[old, new, other])
        },
        Made { may_revert: true, ..Claim::new("race-revert", reverting, &[old, new, other]) },
        Made {
            offline_ends_in: Some(vec![small(1).digest, small(2).digest, small(3).digest]),
            interruption: Some(Interruption::Offer(small(3))),
            servers: vec![Server::Offers(small(2)), Server::Offers(small(3))],
            ends_in: vec![small(2).digest, small(3).digest],
            depth: 1,
            ..Claim::new("race-anywhere", Device::with(small(1)), &[small(1), small(2), small(3)])
        },
    ]
}

/// Something comes in between, before each step of the first session in turn.
fn interruptions() -> Vec<Made> {
    let (one, two) = (small(1), small(2));
    let (old, new) = (old(), new());
    vec![
        // I18.
        Made {
            interruption: Some(Interruption::Cancel),
            ends_in: vec![one.digest, two.digest],
            may_revert: true,
            depth: 1,
            ..Claim::new("cancel", Device::with(one), &[one, two])
        },
        Made {
            interruption: Some(Interruption::LoseLink),
            depth: 1,
            ..Claim::new("link-lost", Device::with(one), &[one, two])
        },
        // I14: a page that both versions share, and one that differs, are overwritten while the update is staged.
        Made {
            interruption: Some(Interruption::WritePage(0)),
            depth: 1,
            ..Claim::new("debugger-shared", Device::with(old), &[old, new])
        },
        Made {
            interruption: Some(Interruption::WritePage(1)),
            depth: 1,
            ..Claim::new("debugger-changed", Device::with(old), &[old, new])
        },
    ]
}

/// Several updates, so that the journal goes round several times.
fn rows() -> Vec<Made> {
    let (one, two, three) = (small(1), small(2), small(3));
    let row: &'static [_] = Box::leak(vec![two, three, small(4), small(5)].into_boxed_slice());
    let all = [one, two, three, small(4), small(5)];
    vec![
        // The owner cannot decide; no torn page is taken for a staged one.
        Made {
            servers: vec![Server::Offers(two), Server::Offers(three), Server::Offers(two)],
            ends_in: vec![two.digest, three.digest],
            offline_ends_in: Some(vec![one.digest, two.digest, three.digest]),
            ..Claim::new("alternate", Device::with(one), &[one, two, three])
        },
        Made {
            servers: vec![Server::OffersInTurn(row)],
            ends_in: vec![small(5).digest],
            depth: 1,
            ..Claim::new("row", Device::with(one), &all)
        },
    ]
}
