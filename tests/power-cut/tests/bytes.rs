//! `docs/spec/update.md` against the flash that the engine leaves, by a reader that shares no code with it; and the
//! engine against flash that nobody wrote.

#![expect(clippy::expect_used, reason = "a test suite")]

use bulkhead_flash_simulator::{Cut, Moment, Reading};
use bulkhead_link_protocol::UpdateStage;
use bulkhead_power_cut::{AreaOf, Bundle, DIE_PAGE, Device, LAYOUT, SECTOR, Server, World, bundle};
use bulkhead_update_engine::{Part, Sound};
use chacha20poly1305::aead::{AeadInPlace, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use hkdf::Hkdf;
use sha2::{Digest as _, Sha256};

fn old() -> Bundle {
    bundle(1, &[AreaOf::code(&[1, 2, 3]), AreaOf::constants(&[4])], |m| m.security_counter = 7)
}

fn new() -> Bundle {
    bundle(2, &[AreaOf::code(&[1, 12, 13, 14]), AreaOf::constants(&[15])], |m| m.security_counter = 8)
}

fn ready(old: &Bundle, new: &Bundle) -> World {
    let device = Device { server: Server::Offers(new), allow_apply: false, ..Device::new(&[old, new]) };
    device.run::<Sound>(Device::with(old), |_| Reading::Before).world
}

/// Bit by bit, as the catalogue defines it.
fn crc(start: u32, bytes: &[u8]) -> u32 {
    let bits = bytes.iter().flat_map(|byte| (0..8).map(move |n| u32::from(byte >> n) & 1));
    !bits.fold(!start, |crc, bit| if (crc ^ bit) & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 })
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn slice(raw: &[u8], part: Part) -> &[u8] {
    &raw[part.start.0 as usize..][..part.length as usize]
}

#[test]
fn the_journal_holds_the_bytes_of_the_specification() {
    let (old, new) = (old(), new());
    let world = ready(&old, &new);
    let raw = world.die.raw();
    let pages = slice(&raw, LAYOUT.die_journal).chunks(DIE_PAGE as usize);
    let page = pages.filter(|page| page[0] != 0xFF).max_by_key(|page| word(page, 4)).expect("a record");
    assert_eq!((&page[..2], page[2], page[3]), (&b"BJ"[..], 1, 2), "magic, version 1, COMMITTED");
    assert_eq!((&page[8..40], &page[40..72]), (&old.digest[..], &[0; 32][..]));
    assert_eq!(u64::from_le_bytes(page[72..80].try_into().expect("eight")), 1, "sequence");
    assert_eq!(word(page, 80), 7, "security counter");
    assert_eq!(word(page, 92), crc(0, &page[..92]));
    assert_eq!(page[..96], page[96..192], "twice");
    let marks: Vec<_> = page[192..].chunks(16).filter(|unit| unit[0] != 0xFF).collect();
    for mark in &marks {
        assert_eq!((&mark[..4], word(mark, 12)), (&b"BJMK"[..], crc(word(page, 4), &mark[..12])));
    }
    // The last thing that was touched: the redo page of external page 0, in sectors 4 and 5.
    let newest = marks.last().map_or((word(page, 84), word(page, 88)), |mark| (word(mark, 4), word(mark, 8)));
    assert_eq!(newest, (4, 2));
}

#[test]
fn i10_the_security_counter_rises_with_the_commit_and_not_before() {
    let (old, new) = (old(), new());
    let counter_of_newest = |world: &World| {
        let raw = world.die.raw();
        let pages = slice(&raw, LAYOUT.die_journal).chunks(DIE_PAGE as usize);
        let page = pages.filter(|page| page[0] != 0xFF).max_by_key(|page| word(page, 4)).expect("a record");
        (page[3], word(page, 80))
    };
    let start = ready(&old, &new);
    let run = |cut| {
        let device = Device { server: Server::Offers(&new), cut, ..Device::new(&[&old, &new]) };
        device.run::<Sound>(start.clone(), |_| Reading::Before)
    };
    let whole = run(None);
    assert_eq!(counter_of_newest(&whole.world), (2, 8));
    let mut applying = 0;
    for operation in 0..whole.operations {
        let (state, counter) = counter_of_newest(&run(Some(Cut { operation, moment: Moment::After })).world);
        applying += u32::from(state == 3);
        assert!(counter == 7 || (state == 2 && operation + 8 > whole.operations), "operation {operation}");
    }
    assert!(applying > 10);
}

#[test]
fn the_journal_names_intent_and_place_in_the_middle_of_an_apply() {
    let (old, new) = (old(), new());
    let world = ready(&old, &new);
    // Session record 5, a page of intent 5, then mark, erase, program of page 1 and mark, erase of page 2.
    for operation in 0..40 {
        let cut = Some(Cut { operation, moment: Moment::After });
        let device = Device { server: Server::Offers(&new), cut, ..Device::new(&[&old, &new]) };
        let raw = device.run::<Sound>(world.clone(), |_| Reading::Before).world.die.raw();
        let pages = slice(&raw, LAYOUT.die_journal).chunks(DIE_PAGE as usize);
        let Some(page) = pages.filter(|page| page[0] != 0xFF).max_by_key(|page| word(page, 4)) else {
            continue;
        };
        if page[3] == 3 && page[208] != 0xFF {
            assert_eq!((&page[8..40], &page[40..72]), (&new.digest[..], &old.digest[..]));
            assert_eq!((word(page, 196), word(page, 200)), (1, 2), "page 1, which is block 1 of the die");
            assert_eq!((word(page, 212), word(page, 216)), (2, 3));
            return;
        }
    }
    unreachable!("no apply was seen");
}

#[test]
fn staging_opens_by_the_keys_nonces_and_headers_of_the_specification() {
    let (old, new) = (old(), new());
    let raw = ready(&old, &new).external.raw();
    let staging = slice(&raw, LAYOUT.external_staging);
    let mut key = [0; 32];
    let info = [new.digest, old.digest].concat();
    Hkdf::<Sha256>::new(Some(b"bulkhead/staging/1"), &[9; 32]).expand(&info, &mut key).expect("32 bytes");
    let cipher = ChaCha20Poly1305::new(&key.into());
    // Sector, direction, page, record, plaintext: 4 die pages take a sector each, the external page two; then undo.
    let expected: [(usize, u8, u32, u32, Vec<u8>); 9] = [
        (1, 1, 1, 0, vec![12; 256]),
        (2, 1, 2, 0, vec![13; 256]),
        (3, 1, 3, 0, vec![14; 256]),
        (4, 1, 4, 0, vec![15; 480]),
        (5, 1, 4, 1, vec![15; 32]),
        (7, 2, 1, 0, vec![2; 256]),
        (8, 2, 2, 0, vec![3; 256]),
        (10, 2, 4, 0, vec![4; 480]),
        (11, 2, 4, 1, vec![4; 32]),
    ];
    for (sector, direction, page, record, plain) in expected {
        let bytes = &staging[sector * SECTOR as usize..][..SECTOR as usize];
        let record_number = u8::try_from(record).expect("small");
        assert_eq!((&bytes[..4], bytes[4], bytes[5]), (&b"BHS1"[..], direction, record_number));
        assert_eq!(u16::from_le_bytes([bytes[6], bytes[7]]) as usize, plain.len());
        assert_eq!((word(bytes, 8), word(bytes, 12)), (page, crc(0, &bytes[..12])));
        let mut nonce = vec![direction, 0, 0, 0];
        nonce.extend(page.to_le_bytes());
        nonce.extend(record.to_le_bytes());
        let associated = [&new.digest[..], &bytes[..16]].concat();
        let mut body = bytes[16..16 + plain.len()].to_vec();
        let tag = &bytes[16 + plain.len()..][..16];
        cipher
            .decrypt_in_place_detached(Nonce::from_slice(&nonce), &associated, &mut body, tag.into())
            .expect("the tag fits");
        assert_eq!(body, plain, "sector {sector}");
    }
    let unused = &staging[..SECTOR as usize];
    assert!(!unused.starts_with(b"BHS1") || word(unused, 8) == 0, "page 0 does not differ");
}

#[test]
fn a_manifest_slot_holds_the_bytes_of_the_specification() {
    let (old, new) = (old(), new());
    let raw = ready(&old, &new).die.raw();
    let slots: Vec<_> = slice(&raw, LAYOUT.die_manifests).chunks(3 * DIE_PAGE as usize).collect();
    for bundle in [&old, &new] {
        let len = bundle.envelope.len();
        let slot = slots.iter().find(|slot| slot[16..16 + len] == bundle.envelope).expect("its slot");
        assert_eq!((&slot[..4], word(slot, 4) as usize, word(slot, 12)), (&b"BHM1"[..], len, 0));
        assert_eq!(word(slot, 8), crc(0, &slot[..8]));
        let padding = (16 + len).next_multiple_of(16);
        assert!(slot[16 + len..padding].iter().all(|byte| *byte == 0xFF));
    }
}

/// Runs with the server and without; whatever flash holds, nothing unsafe is started and the offer ends the trouble.
fn assert_survives(world: &World, known: &[&Bundle], offer: &Bundle, what: &str) {
    let silent = Device::new(known).run::<Sound>(world.clone(), |_| Reading::Before);
    let offered = Device { server: Server::Offers(offer), ..Device::new(known) }
        .run::<Sound>(world.clone(), |_| Reading::Before);
    for outcome in [&silent, &offered] {
        assert!(!outcome.hung, "{what}");
        assert!(outcome.started.iter().all(|started| started.safe), "{what}");
    }
    if offered.stage == Some(UpdateStage::Reverted) {
        let again = Device { server: Server::Offers(offer), ..Device::new(known) }
            .run::<Sound>(offered.world, |_| Reading::Before);
        assert_eq!(again.running, Some(offer.digest), "{what}: {:?}", again.reason);
    } else {
        assert_eq!(offered.running, Some(offer.digest), "{what}: {:?}", offered.reason);
    }
}

#[test]
fn any_changed_byte_of_journal_slots_or_staging_is_survived() {
    let (old, new) = (old(), new());
    let begun = {
        let cut = Some(Cut { operation: 14, moment: Moment::After });
        let device = Device { server: Server::Offers(&new), cut, ..Device::new(&[&old, &new]) };
        device.run::<Sound>(ready(&old, &new), |_| Reading::Before).world
    };
    for (name, world) in [("ready", ready(&old, &new)), ("begun", begun)] {
        for part in [LAYOUT.die_journal, LAYOUT.die_manifests] {
            for at in (part.start.0..part.start.0 + part.length).map(|at| at as usize) {
                let mut changed = world.clone();
                changed.die.tamper(at, &[world.die.raw()[at] ^ 0x01]);
                assert_survives(&changed, &[&old, &new], &new, &format!("{name}, die byte {at:#x}"));
            }
        }
        let part = LAYOUT.external_staging;
        for at in (part.start.0..part.start.0 + part.length).step_by(7).map(|at| at as usize) {
            let mut changed = world.clone();
            changed.external.tamper(at, &[world.external.raw()[at] ^ 0x80]);
            assert_survives(&changed, &[&old, &new], &new, &format!("{name}, external byte {at:#x}"));
        }
    }
}

#[test]
fn flash_full_of_noise_is_a_device_without_an_application_that_takes_an_offer() {
    let new = new();
    for seed in 0..50u32 {
        let mut state = u64::from(seed) + 1;
        let mut noise = |len: usize| -> Vec<u8> {
            let draw = |_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state.to_be_bytes()[0]
            };
            (0..len).map(draw).collect()
        };
        let mut world = Device::blank();
        let (die, external) = (noise(world.die.raw().len()), noise(world.external.raw().len()));
        world.die.tamper(0, &die);
        world.external.tamper(0, &external);
        assert_eq!(Device::new(&[&new]).run::<Sound>(world.clone(), |_| Reading::Before).running, None);
        assert_survives(&world, &[&new], &new, &format!("seed {seed}"));
    }
    assert_eq!(Sha256::digest([]).len(), 32);
}

/// Magic, versions and checksums right, content absurd: as an attacker could who writes die flash, or a bug of ours.
#[test]
fn a_well_formed_record_with_absurd_content_is_survived() {
    let (old, new) = (old(), new());
    let world = ready(&old, &new);
    let absurd = [0, 1, 2, 5, 17, 0x7FFF_FFFF, 0x8000_0000, 0x8000_0002, u32::MAX - 1, u32::MAX];
    for state in [0u8, 1, 2, 3, 4, 5, 255] {
        for (first, second) in absurd.into_iter().flat_map(|first| absurd.map(|second| (first, second))) {
            for (to, from) in [(&new, &old), (&old, &new), (&old, &old)] {
                let mut record = vec![b'B', b'J', 1, state];
                record.extend(1000u32.to_le_bytes());
                record.extend(to.digest);
                record.extend(from.digest);
                record.extend(1u64.to_le_bytes());
                record.extend(7u32.to_le_bytes());
                record.extend(first.to_le_bytes());
                record.extend(second.to_le_bytes());
                record.extend(crc(0, &record).to_le_bytes());
                let mut changed = world.clone();
                changed.die.tamper(LAYOUT.die_journal.start.0 as usize, &[record.clone(), record].concat());
                let device = Device { server: Server::Offers(&new), ..Device::new(&[&old, &new]) };
                let outcome = device.run::<Sound>(changed, |_| Reading::Before);
                let what = format!("state {state}, first {first}, second {second}: {:?}", outcome.reason);
                assert!(!outcome.hung, "{what}");
                assert!(outcome.started.iter().all(|started| started.safe), "{what}");
            }
        }
    }
}
