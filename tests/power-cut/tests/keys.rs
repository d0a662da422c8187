//! Claims about the owner's keys: no power cut loses the set that counts, and none makes half a set count.
#![expect(clippy::unwrap_used, reason = "a test: a panic is its failure")]

use std::collections::HashSet;

use bulkhead_bundle_format::{
    BundleSigner, KeySetFields, Permit, PublicKey, Signer, encode_key_set, sign_key_set, sign_permit,
};
use bulkhead_flash_simulator::{Cells, Cut, Moment, Power, Reading, SimulatedFlash, Wear};
use bulkhead_link_protocol::{FetchFrom, ReasonCode, UpdateStage};
use bulkhead_nor_flash::FlashAddress;
use bulkhead_power_cut::{AreaOf, Bundle, Device, LAYOUT, OWNER, SMALL, bundle};
use bulkhead_update_engine::seeded_bugs::KeysOverwritten;
use bulkhead_update_engine::{DeviceFacts, Engine, Memory, Rules, Sound, Step, Workspace};

const STEPS_MAX: u32 = 5_000;
const DEVICE: [u8; 16] = [0xD1; 16];
const MADE_AT_S: u64 = 1_000;

fn signer(n: u8) -> Signer {
    Signer::from_secret(&[n; 32])
}

fn owner() -> Signer {
    Signer::from_secret(&OWNER)
}

fn public(n: u8) -> PublicKey {
    signer(n).public_key()
}

fn set(version: u32, roots: &[u8], threshold: u32, signers: &[(u8, Option<u64>)], by: &[&Signer]) -> Vec<u8> {
    let roots: Vec<_> = roots.iter().map(|n| public(*n)).collect();
    let signers: Vec<_> = signers
        .iter()
        .map(|(n, not_after_s)| BundleSigner { key: public(*n), not_after_s: *not_after_s })
        .collect();
    let fields = KeySetFields { version, made_at_s: MADE_AT_S, threshold, roots: &roots, signers: &signers };
    by.iter().fold(encode_key_set(&fields).unwrap(), |set, by| sign_key_set(&set, by).unwrap())
}

/// The first set, signed by the key that the device was provisioned with, and by its own root.
fn first() -> Vec<u8> {
    set(1, &[1], 1, &[(10, None)], &[&owner(), &signer(1)])
}

fn second() -> Vec<u8> {
    set(2, &[2], 1, &[(20, None)], &[&signer(1), &signer(2)])
}

fn third() -> Vec<u8> {
    set(3, &[2], 1, &[(30, None)], &[&signer(2)])
}

fn resigned(bundle: &Bundle, by: u8) -> Bundle {
    let payload = bulkhead_bundle_format::Envelope::parse(&bundle.envelope).unwrap().payload().to_vec();
    Bundle { envelope: signer(by).sign(&payload), ..bundle.clone() }
}

#[derive(Clone)]
struct World {
    die: Cells,
    external: Cells,
}

impl World {
    fn of(world: bulkhead_power_cut::World) -> Self {
        Self { die: world.die, external: world.external }
    }

    fn fingerprint(&self) -> (u64, u64) {
        (self.die.fingerprint(), self.external.fingerprint())
    }
}

/// What the server does in one power session, in order.
#[derive(Clone, Copy)]
enum Server<'a> {
    Keys(&'a [u8]),
    Offers(&'a Bundle, Option<&'a [u8]>),
}

/// What one power session led to.
struct Outcome {
    world: World,
    at_boot: Option<u32>,
    version: Option<u32>,
    keys_refused: Option<String>,
    permits: u32,
    floor: u64,
    running: Option<[u8; 32]>,
    stage: Option<UpdateStage>,
    reason: Option<String>,
    code: Option<ReasonCode>,
    /// Version that was followed after so many operations, whenever it changed.
    followed: Vec<(u32, Option<u32>)>,
    recorded: Vec<bulkhead_flash_simulator::Recorded>,
    operations: u32,
    programs_twice: u32,
}

struct Session<'a> {
    servers: &'a [Server<'a>],
    now_s: Option<u64>,
    cut: Option<Cut>,
    worn_die: Option<(u32, Wear)>,
    label: u32,
    /// A key set that comes in between, and before which step.
    keys_at: Option<(u32, &'a [u8])>,
}

/// What the server has for the device now.
#[derive(Default)]
struct Served<'a> {
    keys: Option<&'a [u8]>,
    offer: Option<(&'a Bundle, Option<&'a [u8]>)>,
}

impl<'a> Session<'a> {
    fn with(servers: &'a [Server<'a>]) -> Self {
        Self { servers, now_s: None, cut: None, worn_die: None, label: 0, keys_at: None }
    }

    fn run<R: Rules>(&self, world: World, record: bool, reading: impl Fn(u32) -> Reading) -> Outcome {
        let power = Power::new();
        let mut die = SimulatedFlash::die(SMALL.die_size, SMALL.die_page, &power);
        let mut external = SimulatedFlash::external(SMALL.external_size, SMALL.sector, &power);
        if let Some((at, how)) = self.worn_die {
            die.wear(FlashAddress(at), how);
        }
        die.power_on(world.die, &reading);
        external.power_on(world.external, &reading);
        power.on(self.label, self.cut);
        if record {
            power.record();
        }
        let mut work = Workspace::new();
        let pinned = [owner().public_key()];
        let facts = DeviceFacts {
            device_class: "tiny",
            board_revision: 1,
            abi: 1,
            device_id: DEVICE,
            owner_keys: &pinned,
            storage_root: [9; 32],
        };
        let mut engine = Engine::<R>::with_rules(SMALL.layout, facts, &mut work);
        let mut mem = Memory { die: &mut die, external: &mut external };
        engine.boot(&mut mem).unwrap();
        let at_boot = engine.key_set().version;
        let mut followed = vec![(0, at_boot)];
        if let Some(now_s) = self.now_s {
            engine.set_clock(now_s);
        }
        let mut servers = self.servers.iter();
        let mut now = Served::default();
        for n in 0.. {
            assert!(n < STEPS_MAX, "no rest");
            if let Some((_, set)) = self.keys_at.filter(|(at, _)| *at == n) {
                offer_keys(&mut engine, &mut now, set);
            }
            let step = engine.step(&mut mem);
            if !power.is_on() {
                break;
            }
            let version = engine.key_set().version;
            if followed.last().is_some_and(|(_, last)| *last != version) {
                followed.push((power.operations(), version));
            }
            match step {
                Step::Working => {}
                Step::ReadyToApply | Step::ReadyToRevert => engine.allow_apply(),
                Step::StartApplication(..) => engine.commit_trial(),
                Step::Idle | Step::NoApplication => {
                    if !serve(&mut engine, &mut now, &mut servers) {
                        break;
                    }
                }
            }
        }
        let status = engine.status();
        Outcome {
            at_boot,
            version: engine.key_set().version,
            keys_refused: engine.key_set().refused.map(str::to_owned),
            permits: engine.floors().permits,
            floor: engine.floors().sequence,
            running: engine.running(),
            stage: status.map(|status| status.stage),
            reason: status.and_then(|status| status.reason).map(str::to_owned),
            code: status.and_then(|status| status.code),
            followed,
            recorded: power.recorded(),
            operations: power.operations(),
            programs_twice: die.programs_twice(),
            world: World { die: die.cells().clone(), external: external.cells().clone() },
        }
    }
}

fn len(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap()
}

fn offer_keys<'a, R: Rules>(engine: &mut Engine<'_, R>, now: &mut Served<'a>, set: &'a [u8]) {
    let version = bulkhead_bundle_format::SignedKeySet::parse(set).unwrap().set.version;
    engine.offer_key_set(version, len(set));
    now.keys = Some(set);
}

fn serve<'a, R: Rules>(
    engine: &mut Engine<'_, R>,
    now: &mut Served<'a>,
    servers: &mut impl Iterator<Item = &'a Server<'a>>,
) -> bool {
    if let (Some((bundle, _)), Some(_)) = (now.offer, engine.wanted_plan()) {
        engine.unavailable(bundle.digest);
        return true;
    }
    if let Some(fetch) = engine.wanted() {
        let bytes: &[u8] = match (fetch.from, now.keys, now.offer) {
            (FetchFrom::KeySet, Some(set), _) => set,
            (FetchFrom::Permit, _, Some((_, Some(permit)))) => permit,
            (FetchFrom::Envelope, _, Some((bundle, _))) => &bundle.envelope,
            (FetchFrom::Area, _, Some((bundle, _))) => {
                &bundle.areas.iter().find(|area| area.id == fetch.area).unwrap().image
            }
            _ => panic!("nobody offered {fetch:?}"),
        };
        let span = fetch.offset as usize..(fetch.offset + fetch.len) as usize;
        engine.chunk(fetch.from, fetch.area, fetch.offset, &bytes[span]);
        return true;
    }
    match servers.next() {
        None => return false,
        Some(Server::Keys(set)) => offer_keys(engine, now, set),
        Some(Server::Offers(bundle, permit)) => {
            now.offer = Some((bundle, *permit));
            engine.offer_with_permit(bundle.digest, len(&bundle.envelope), true, permit.map(len));
        }
    }
    true
}

fn run(servers: &[Server<'_>], world: World) -> Outcome {
    let outcome = Session::with(servers).run::<Sound>(world, false, |_| Reading::Before);
    assert_eq!(outcome.programs_twice, 0, "I5");
    outcome
}

fn v1() -> Bundle {
    bundle(1, &[AreaOf::code(&[1, 2])], |_| ())
}

fn v2() -> Bundle {
    bundle(2, &[AreaOf::code(&[3, 4])], |_| ())
}

/// A device that runs `v1`, signed by the key it was provisioned with.
fn installed() -> World {
    World::of(Device::with(&v1()))
}

fn permit(bundle: &Bundle, number: u32) -> Permit {
    Permit { device_id: DEVICE, manifest: bundle.digest, number }
}

#[test]
fn a_set_is_followed_once_enough_roots_of_both_sets_signed_it() {
    let world = run(&[Server::Keys(&first())], installed()).world;
    let second = set(2, &[2, 3, 4], 2, &[(20, None)], &[&signer(1), &signer(2), &signer(4)]);
    let outcome = run(&[Server::Keys(&second)], world);
    assert_eq!((outcome.at_boot, outcome.version), (Some(1), Some(2)), "{:?}", outcome.keys_refused);
    assert_eq!(run(&[], outcome.world).at_boot, Some(2));
}

#[test]
fn sets_that_too_few_signed_old_ones_and_altered_ones_are_refused() {
    let world = run(&[Server::Keys(&first()), Server::Keys(&second())], installed()).world;
    let roots = [&signer(2), &signer(3)];
    let mut altered = set(3, &[3], 1, &[(30, None)], &roots);
    let at = altered.len() - 1;
    altered[at] ^= 1;
    let mut other_context = set(3, &[3], 1, &[(30, None)], &roots);
    let at = other_context.windows(5).position(|bytes| bytes == [0x01, 0x03, 0x02, 0x19, 0x03]).unwrap();
    other_context[at + 1] = 4;
    let cases = [
        (set(3, &[3], 1, &[(30, None)], &[&signer(3)]), "0 of the 1 present roots"),
        (set(3, &[3], 1, &[(30, None)], &[&signer(2)]), "0 of the 1 new ones"),
        (set(3, &[2, 3], 2, &[(30, None)], &[&signer(2)]), "1 of the 2 new ones"),
        // The roots of an older set, and bundle signers, are strangers here.
        (set(3, &[3], 1, &[(30, None)], &[&signer(1), &signer(20), &signer(3)]), "0 of the 1 present roots"),
        (first(), "not newer"),
        (second(), "not newer"),
        (altered, "is wrong"),
        (other_context, "is wrong"),
    ];
    for (set, reason) in cases {
        let outcome = run(&[Server::Keys(&set)], world.clone());
        let told = outcome.keys_refused.unwrap_or_default();
        assert!(told.contains(reason), "`{told}` instead of `{reason}`");
        assert_eq!((outcome.version, outcome.operations), (Some(2), 0), "{reason}");
    }
}

#[test]
fn after_a_rotation_the_old_signer_is_refused_the_new_one_accepted_and_what_runs_goes_on() {
    let (v1, v2) = (v1(), v2());
    let rotated = run(&[Server::Keys(&first())], installed());
    assert_eq!(rotated.running, Some(v1.digest));
    let refused = run(&[Server::Offers(&v2, None)], rotated.world);
    assert_eq!((refused.running, refused.stage), (Some(v1.digest), Some(UpdateStage::Refused)));
    assert!(refused.reason.unwrap().contains("key set 1 does not list"));
    assert_eq!(refused.code, Some(ReasonCode::BadSignature));
    let accepted = run(&[Server::Offers(&resigned(&v2, 10), None)], refused.world);
    assert_eq!(accepted.running, Some(v2.digest), "{:?}", accepted.reason);
}

#[test]
fn a_key_set_comes_before_whatever_is_not_being_applied_yet_in_every_step() {
    let (v1, v2) = (v1(), v2());
    let first = first();
    let servers = [Server::Offers(&v2, None)];
    let (mut refused, mut applied) = (0, 0);
    for at in 0..STEPS_MAX {
        let session = Session { keys_at: Some((at, &first)), ..Session::with(&servers) };
        let outcome = session.run::<Sound>(installed(), false, |_| Reading::Before);
        if outcome.version.is_none() {
            // The session was over before.
            break;
        }
        match outcome.running {
            Some(running) if running == v1.digest => {
                assert_eq!(outcome.code, Some(ReasonCode::BadSignature), "step {at}");
                refused += 1;
            }
            Some(running) if running == v2.digest => applied += 1,
            other => panic!("step {at}: {other:?} runs"),
        }
        assert_eq!((outcome.version, outcome.programs_twice), (Some(1), 0), "step {at}");
    }
    assert!(refused > 5 && applied > 5, "{refused} refused, {applied} applied");
}

#[test]
fn a_signer_that_ended_is_refused_once_time_is_known_but_never_what_ran_here_before() {
    let (v1, v2) = (v1(), v2());
    let ends = set(1, &[1], 1, &[(10, Some(2_000))], &[&owner(), &signer(1)]);
    let world = run(&[Server::Keys(&ends)], installed()).world;
    let (old, new) = (resigned(&v1, 10), resigned(&v2, 10));
    let at = |now_s: Option<u64>, bundle: &Bundle, world: World| {
        let servers = [Server::Offers(bundle, None)];
        Session { now_s, ..Session::with(&servers) }.run::<Sound>(world, false, |_| Reading::Before)
    };
    assert_eq!(at(Some(2_000), &new, world.clone()).running, Some(v2.digest));
    assert_eq!(at(None, &new, world.clone()).running, Some(v2.digest), "time is not known");
    let late = at(Some(2_001), &new, world.clone());
    assert_eq!(late.running, Some(v1.digest));
    assert!(late.reason.unwrap().contains("ended 2000 s after 1970"));
    // A device whose application is damaged gets it back.
    let mut damaged = world;
    damaged.die.tamper(LAYOUT.die_application.start.0 as usize, &[0x77; 16]);
    assert_eq!(at(Some(9_999), &old, damaged).running, Some(v1.digest));
    // A clock that was set back does not go behind the making of the set.
    let over = set(1, &[1], 1, &[(10, Some(MADE_AT_S - 1))], &[&owner(), &signer(1)]);
    let world = run(&[Server::Keys(&over)], installed()).world;
    assert_eq!(at(Some(0), &new, world).running, Some(v1.digest));
}

#[test]
fn a_permit_leads_back_once_and_only_this_device_to_this_manifest() {
    let (v1, v2) = (v1(), v2());
    let world = run(&[Server::Offers(&v2, None)], installed()).world;
    let plain = run(&[Server::Offers(&v1, None)], world.clone());
    assert!(plain.reason.unwrap().contains("sequence 1 is older than 2"));
    assert_eq!(plain.code, Some(ReasonCode::OlderSequence));
    let stranger = Permit { device_id: [0; 16], ..permit(&v1, 0) };
    let cases = [
        (sign_permit(&stranger, &owner()), "another device"),
        (sign_permit(&permit(&v2, 0), &owner()), "another manifest"),
        (sign_permit(&permit(&v1, 1), &owner()), "number 1, this device takes number 0"),
        (sign_permit(&permit(&v1, 0), &signer(1)), "has not listed"),
        (owner().sign(b"\xa0"), "wrong"),
    ];
    for (permit, reason) in cases {
        let outcome = run(&[Server::Offers(&v1, Some(&permit))], world.clone());
        let told = outcome.reason.unwrap();
        assert!(told.contains(reason), "`{told}` instead of `{reason}`");
        assert_eq!((outcome.running, outcome.permits), (Some(v2.digest), 0));
        assert_eq!(outcome.code, Some(ReasonCode::BadPermit), "{reason}");
    }
    let good = sign_permit(&permit(&v1, 0), &owner());
    let back = run(&[Server::Offers(&v1, Some(&good))], world);
    assert_eq!((back.running, back.permits, back.floor), (Some(v1.digest), 1, 2), "{:?}", back.reason);
    let again = run(&[Server::Offers(&v2, None), Server::Offers(&v1, Some(&good))], back.world);
    assert_eq!(again.running, Some(v2.digest));
    assert!(again.reason.unwrap().contains("number 0, this device takes number 1"));
}

#[test]
fn a_permit_never_lowers_the_security_counter() {
    let (v1, v2) = (v1(), bundle(2, &[AreaOf::code(&[3, 4])], |fields| fields.security_counter = 7));
    let world = run(&[Server::Offers(&v2, None)], installed()).world;
    let permit = sign_permit(&permit(&v1, 0), &owner());
    let outcome = run(&[Server::Offers(&v1, Some(&permit))], world);
    assert_eq!((outcome.running, outcome.permits), (Some(v2.digest), 0));
    assert!(outcome.reason.unwrap().contains("security counter 1 is below 7"));
    assert_eq!(outcome.code, Some(ReasonCode::LowerCounter));
}

#[test]
fn a_device_that_went_back_by_a_permit_can_be_mended_without_another() {
    let (v1, v2) = (v1(), v2());
    let permit = sign_permit(&permit(&v1, 0), &owner());
    let servers = [Server::Offers(&v2, None), Server::Offers(&v1, Some(&permit))];
    let mut world = run(&servers, installed()).world;
    world.die.tamper(LAYOUT.die_application.start.0 as usize, &[0x77; 16]);
    world.external.tamper(LAYOUT.external_staging.start.0 as usize, &[0; 0x1000]);
    let outcome = run(&[Server::Offers(&v1, None)], world);
    assert_eq!((outcome.running, outcome.permits), (Some(v1.digest), 1), "{:?}", outcome.reason);
}

#[test]
fn power_cuts_on_the_way_back_use_a_permit_up_at_most_once_and_end_in_one_of_both() {
    let (v1, v2) = (v1(), v2());
    let permit = sign_permit(&permit(&v1, 0), &owner());
    let world = run(&[Server::Offers(&v2, None)], installed()).world;
    let servers = [Server::Offers(&v1, Some(&permit))];
    let whole = Session::with(&servers).run::<Sound>(world.clone(), true, |_| Reading::Before);
    assert!(whole.operations > 20);
    let mut now = world;
    for recorded in whole.recorded {
        let left = match recorded.memory {
            0 => World { die: recorded.cells, ..now.clone() },
            _ => World { external: recorded.cells, ..now.clone() },
        };
        for reading in Reading::PLAIN {
            let after = Session { label: 1, ..Session::with(&servers) };
            let after = after.run::<Sound>(left.clone(), false, |_| reading);
            // Between the permit's end and the apply's beginning it is lost: then the device stays where it is.
            let is_one_of_both = after.running == Some(v1.digest) || after.running == Some(v2.digest);
            assert!(is_one_of_both && after.permits == 1, "{} {reading:?}", recorded.cut);
        }
        if recorded.cut.moment == Moment::After {
            now = left;
        }
    }
}

/// Boots from every state that cuts of storing sets leave. Returns what refutes the claims.
fn explore<R: Rules>(start: World, depth: u32, mixtures: u32) -> (usize, Vec<String>) {
    let (second, third) = (second(), third());
    let servers = [Server::Keys(&second), Server::Keys(&third)];
    let mut seen = HashSet::new();
    let mut faults = Vec::new();
    let mut boots = 0;
    // A state, the version that must not be lost any more, and how it came about.
    let mut level = vec![(start, 1, String::new())];
    for label in 0..depth {
        let mut next = Vec::new();
        for (world, least, path) in level {
            for readings in readings(&world.die, mixtures) {
                boots += 1;
                let cuts = world.die.cuts();
                let reading = |cut: u32| {
                    let index = cuts.iter().position(|known| *known == cut);
                    index.and_then(|index| readings.get(index)).copied().unwrap_or(Reading::Before)
                };
                let session = Session { label, ..Session::with(&servers) };
                let outcome = session.run::<R>(world.clone(), label + 1 < depth, reading);
                let at_boot = outcome.at_boot.unwrap_or(0);
                if at_boot < least || outcome.version != Some(3) || outcome.programs_twice > 0 {
                    faults.push(format!(
                        "{path} {readings:?}: boots with {at_boot}, had {least}; ends with {:?}, {:?}",
                        outcome.version, outcome.keys_refused
                    ));
                }
                for recorded in outcome.recorded {
                    let before = outcome.followed.iter().rev().find(|(at, _)| *at <= recorded.cut.operation);
                    // What was read at a boot may have been read from torn cells: it counts once it was written whole.
                    let written = before.filter(|(at, _)| *at > 0).and_then(|(_, version)| *version);
                    let left = World { die: recorded.cells, external: world.external.clone() };
                    let least = written.unwrap_or(0).max(least);
                    if seen.insert((left.fingerprint(), least)) {
                        next.push((left, least, format!("{path} {}", recorded.cut)));
                    }
                }
            }
        }
        level = next;
    }
    (boots, faults)
}

fn readings(die: &Cells, mixtures: u32) -> Vec<Vec<Reading>> {
    let cuts = die.cuts();
    let mut all: Vec<Vec<Reading>> = vec![Vec::new()];
    for _ in &cuts {
        let longer =
            |start: &Vec<Reading>| Reading::PLAIN.map(|reading| [start.clone(), vec![reading]].concat());
        all = all.iter().flat_map(longer).collect();
    }
    if !cuts.is_empty() {
        all.extend((0..mixtures).map(|seed| vec![Reading::Mixed(seed); cuts.len()]));
    }
    let mut seen = HashSet::new();
    all.retain(|readings| {
        let reading = |cut| {
            let index = cuts.iter().position(|known| *known == cut);
            index.and_then(|index| readings.get(index)).copied().unwrap_or(Reading::Before)
        };
        seen.insert(die.appearance(reading, true))
    });
    all
}

#[test]
fn no_four_power_cuts_lose_a_key_set_that_was_stored_or_leave_half_of_one() {
    let start = run(&[Server::Keys(&first())], World::of(Device::blank())).world;
    let (boots, faults) = explore::<Sound>(start, 5, 2);
    assert!(boots > 1_000, "{boots}");
    assert!(faults.is_empty(), "{} faults, such as {}", faults.len(), faults[0]);
}

#[test]
fn an_engine_that_overwrites_the_set_that_counts_is_caught_by_the_same_claim() {
    let start = run(&[Server::Keys(&first())], World::of(Device::blank())).world;
    let (_, faults) = explore::<KeysOverwritten>(start, 2, 0);
    assert!(!faults.is_empty());
}

#[test]
fn a_worn_slot_costs_no_key_set_and_the_next_one_is_used() {
    let start = run(&[Server::Keys(&first())], World::of(Device::blank())).world;
    // Slot 0 holds the first set: a worn one cannot hold it, but may refuse what comes.
    for slot in 0..3 {
        let at = LAYOUT.die_keys.start.0 + slot * LAYOUT.die_keys.length / 3 + 40;
        let wears = [Wear::RefusesPrograms, Wear::RefusesErases, Wear::Holds(0xFF)];
        for wear in wears.into_iter().take(if slot == 0 { 2 } else { 3 }) {
            let second = second();
            let servers = [Server::Keys(&second), Server::Keys(&second)];
            let session = Session { worn_die: Some((at, wear)), ..Session::with(&servers) };
            let outcome = session.run::<Sound>(start.clone(), false, |_| Reading::Before);
            assert_eq!(outcome.version, Some(2), "{slot} {wear:?}: {:?}", outcome.keys_refused);
        }
    }
}

#[test]
fn a_cut_inside_every_operation_of_the_first_set_leaves_the_provisioned_keys_or_the_set() {
    let first = first();
    let servers = [Server::Keys(&first)];
    let operations = run(&servers, World::of(Device::blank())).operations;
    for operation in 0..operations {
        for moment in [Moment::Before, Moment::Inside(0), Moment::Inside(3), Moment::After] {
            for reading in Reading::PLAIN {
                let cut = Some(Cut { operation, moment });
                let session = Session { cut, ..Session::with(&servers) };
                let left = session.run::<Sound>(World::of(Device::blank()), false, |_| Reading::Before).world;
                let after =
                    Session { label: 1, ..Session::with(&servers) }.run::<Sound>(left, false, |_| reading);
                assert!([None, Some(1)].contains(&after.at_boot));
                assert_eq!(after.version, Some(1), "{operation} {moment:?} {reading:?}");
            }
        }
    }
}
