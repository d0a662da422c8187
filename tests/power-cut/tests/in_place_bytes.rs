//! What an update in place writes is what `docs/spec/update.md` says, byte for byte.

#![expect(clippy::expect_used, reason = "a test suite")]

use bulkhead_power_cut::frames::{begun, half_way};
use bulkhead_power_cut::narrow::{NARROW, new_in_place, old};
use bulkhead_power_cut::{DIE_PAGE, SECTOR, World};
use bulkhead_update_engine::Part;
use chacha20poly1305::aead::{AeadInPlace, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use hkdf::Hkdf;
use sha2::{Digest as _, Sha256};

const LABEL: &[u8] = b"bulkhead/staging/1";
const STORAGE_ROOT: [u8; 32] = [9; 32];
/// Eleven sectors: a ring of 4 places of 2 sectors, two pieces, the record of the plan.
const PLACE_OF_PAGE_1: usize = 2;
const FIRST_PIECE: usize = 8;
const PLAN: usize = 10;

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn slice(raw: &[u8], part: Part) -> Vec<u8> {
    raw[part.start.0 as usize..][..part.length as usize].to_vec()
}

fn sector(world: &World, n: usize) -> Vec<u8> {
    slice(&world.external.raw(), NARROW.layout.external_staging)[n * SECTOR as usize..][..SECTOR as usize]
        .to_vec()
}

/// The plaintext of a piece.
fn opened_piece(sector: &[u8], number: u32) -> Vec<u8> {
    let (old, new) = (old(), new_in_place());
    let len = usize::from(u16::from_le_bytes([sector[6], sector[7]]));
    assert_eq!((&sector[..4], sector[4], sector[5]), (&b"BHS1"[..], 3, 0));
    assert_eq!(word(sector, 8), number);
    let (mut secret, mut key) = ([0; 32], [0; 32]);
    let info = [&new.digest[..], &old.digest, b"pieces"].concat();
    Hkdf::<Sha256>::new(Some(LABEL), &STORAGE_ROOT).expand(&info, &mut secret).expect("32 bytes");
    Hkdf::<Sha256>::from_prk(&secret).expect("32 bytes").expand(&sector[16..32], &mut key).expect("32 bytes");
    let associated = [&new.digest[..], &sector[..32]].concat();
    let mut body = sector[32..32 + len].to_vec();
    ChaCha20Poly1305::new(&key.into())
        .decrypt_in_place_detached(&Nonce::default(), &associated, &mut body, sector[32 + len..][..16].into())
        .expect("the tag fits");
    assert_eq!(sector[16..32], Sha256::digest(&body)[..16], "its name");
    body
}

#[test]
fn pieces_and_the_record_of_the_plan_hold_the_bytes_of_the_specification() {
    let (old, new) = (old(), new_in_place());
    let world = begun(old, new);
    let patches = [1, 2].map(|area| new.patch(Some(old), area).expect("there is a patch"));
    for (n, patch) in patches.iter().enumerate() {
        let number = u32::try_from(n).expect("small");
        assert_eq!(opened_piece(&sector(&world, FIRST_PIECE + n), number), *patch);
    }
    let mut plan = Vec::new();
    let lens = patches.map(|patch| u32::try_from(patch.len()).expect("small"));
    for number in [1, 2, 1, lens[0], 2, lens[1]] {
        plan.extend(u32::to_le_bytes(number));
    }
    plan.resize(72, 0);
    assert_eq!(opened_piece(&sector(&world, PLAN), u32::MAX), plan);
}

#[test]
fn the_journal_says_in_place_and_the_ring_holds_the_old_page_before_it_is_touched() {
    let (old, new) = (old(), new_in_place());
    // From the record of the session on: the mark, two sectors' worth of one record, the mark of the page, its erase.
    let world = (1..20).map(|operation| half_way(old, new, operation)).find(|world| {
        let raw = slice(&world.die.raw(), NARROW.layout.die_application);
        raw[DIE_PAGE as usize..2 * DIE_PAGE as usize]
            != old.areas[0].image[DIE_PAGE as usize..2 * DIE_PAGE as usize]
    });
    let world = world.expect("page 1 is touched some time");
    let journal = slice(&world.die.raw(), NARROW.layout.die_journal);
    let pages = journal.chunks(DIE_PAGE as usize).filter(|page| page[0] != 0xFF);
    let page = pages.max_by_key(|page| word(page, 4)).expect("a record");
    assert_eq!((page[2], page[3]), (1, 0x83), "version 1, APPLY in place");
    let marks: Vec<_> = page[192..].chunks(16).filter(|unit| unit[0] != 0xFF).collect();
    let marks: Vec<_> = marks.iter().map(|mark| (word(mark, 4), word(mark, 8))).collect();
    assert_eq!(
        marks,
        [(1, 0), (1, 2)],
        "all before page 1 is whole; page 1, which is block 1 of the die, may be torn"
    );

    let (header, mut key) = (sector(&world, PLACE_OF_PAGE_1), [0; 32]);
    let info = [new.digest, old.digest].concat();
    Hkdf::<Sha256>::new(Some(LABEL), &STORAGE_ROOT).expand(&info, &mut key).expect("32 bytes");
    assert_eq!((&header[..4], header[4], header[5]), (&b"BHS1"[..], 2, 0));
    assert_eq!((word(&header, 8), u16::from_le_bytes([header[6], header[7]])), (1, 256));
    let nonce = [2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
    let associated = [&new.digest[..], &header[..16]].concat();
    let mut body = header[16..16 + 256].to_vec();
    ChaCha20Poly1305::new(&key.into())
        .decrypt_in_place_detached(
            &Nonce::from(nonce),
            &associated,
            &mut body,
            header[16 + 256..][..16].into(),
        )
        .expect("the tag fits");
    assert_eq!(body, old.areas[0].image[256..512]);
}
