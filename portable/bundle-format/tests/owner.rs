//! Claims about key sets and permits. Golden lines are never edited, only added.
#![expect(clippy::unwrap_used, reason = "a test: a panic is its failure")]

use bulkhead_bundle_format::{
    BundleSigner, Envelope, KEY_SET_LEN_MAX, KeySetFields, KeySetRefused, Permit, PermitRefused, ROOTS_MAX,
    Refused, SIGNED_KEY_SET_LEN_MAX, SIGNERS_MAX, SignedKeySet, Signer, encode_key_set, key_id, majority,
    sign_key_set, sign_permit,
};

fn signer(n: u8) -> Signer {
    Signer::from_secret(&[n; 32])
}

fn fields<'a>(roots: &'a [[u8; 32]], signers: &'a [BundleSigner]) -> KeySetFields<'a> {
    KeySetFields { version: 2, made_at_s: 1_700_000_000, threshold: 2, roots, signers }
}

fn roots() -> Vec<[u8; 32]> {
    [3, 1, 2].map(|n| signer(n).public_key()).to_vec()
}

fn signers() -> Vec<BundleSigner> {
    let ends = BundleSigner { key: signer(11).public_key(), not_after_s: Some(1_800_000_000) };
    vec![BundleSigner { key: signer(10).public_key(), not_after_s: None }, ends]
}

fn example() -> Vec<u8> {
    let set = encode_key_set(&fields(&roots(), &signers())).unwrap();
    sign_key_set(&sign_key_set(&set, &signer(1)).unwrap(), &signer(2)).unwrap()
}

fn permit() -> Permit {
    Permit { device_id: [0xD1; 16], manifest: [0xAB; 32], number: 3 }
}

#[test]
fn golden_bytes_of_key_sets_and_permits_never_change() {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let lines = [
        format!("key-set {}", hex(&example())),
        format!("permit {}", hex(&sign_permit(&permit(), &signer(10)))),
    ];
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/owner-1.txt");
    let golden = std::fs::read_to_string(path).unwrap_or_default();
    for line in golden.lines() {
        assert!(lines.iter().any(|now| now == line), "changed or gone: {line}");
    }
    let is_new = |line: &&String| !golden.lines().any(|then| then == *line);
    let new: Vec<_> = lines.iter().filter(is_new).map(String::as_str).collect();
    assert!(new.is_empty(), "append to the golden file:\n{}", new.join("\n"));
}

#[test]
fn a_set_comes_back_as_it_was_made_whoever_signed_first() {
    let bytes = example();
    let read = SignedKeySet::parse(&bytes).unwrap();
    assert_eq!((read.set.version, read.set.made_at_s, read.set.threshold), (2, 1_700_000_000, 2));
    let mut sorted = roots();
    sorted.sort_unstable();
    assert_eq!(read.set.roots, sorted);
    assert_eq!(read.set.signers().count(), 2);
    assert!(read.set.signers().any(|signer| *signer == signers()[1]));
    let unsigned = encode_key_set(&fields(&roots(), &signers())).unwrap();
    let other_way = sign_key_set(&sign_key_set(&unsigned, &signer(2)).unwrap(), &signer(1)).unwrap();
    assert_eq!(other_way, bytes);
    assert_eq!(sign_key_set(&bytes, &signer(1)).unwrap(), bytes, "signing again adds nothing");
}

#[test]
fn each_root_counts_once_in_each_set_and_a_stranger_never() {
    let bytes = sign_key_set(&example(), &signer(99)).unwrap();
    let read = SignedKeySet::parse(&bytes).unwrap();
    let tally = read.count_all(&[signer(2).public_key(), signer(7).public_key()]).unwrap();
    assert_eq!((tally.present(), tally.new_roots()), (1, 2));
    // The same signature twice is still one root's.
    let one = sign_key_set(&encode_key_set(&fields(&roots(), &signers())).unwrap(), &signer(1)).unwrap();
    let at = one.len() - 82;
    let mut twice = one.clone();
    twice.extend_from_slice(&one[at..]);
    let count = twice.len() - 2 * 82 - 1;
    assert_eq!(twice[count], 0x81);
    twice[count] = 0x82;
    assert_eq!(SignedKeySet::parse(&twice).unwrap().count_all(&[]).unwrap().new_roots(), 1);
}

#[test]
fn every_changed_bit_is_refused_or_takes_signatures_away() {
    let good = example();
    let whole = SignedKeySet::parse(&good).unwrap().count_all(&[]).unwrap();
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << bit;
            let Ok(read) = SignedKeySet::parse(&bytes) else { continue };
            let told = read.count_all(&[]);
            assert!(told.is_err() || told.unwrap().new_roots() < whole.new_roots(), "byte {at}, bit {bit}");
        }
        assert!(SignedKeySet::parse(&good[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn the_largest_set_fits_and_a_larger_one_is_refused() {
    let roots: Vec<_> = (1..=8).map(|n| signer(n).public_key()).collect();
    let signers: Vec<_> = (11..=18)
        .map(|n| BundleSigner { key: signer(n).public_key(), not_after_s: Some(u64::MAX) })
        .collect();
    let most = KeySetFields {
        version: u32::MAX,
        made_at_s: u64::MAX,
        threshold: 8,
        roots: &roots,
        signers: &signers,
    };
    assert_eq!((roots.len(), signers.len()), (ROOTS_MAX, SIGNERS_MAX));
    let mut set = encode_key_set(&most).unwrap();
    assert!(SignedKeySet::parse(&set).unwrap().payload().len() <= KEY_SET_LEN_MAX);
    for n in (1..=8).chain(21..=28) {
        set = sign_key_set(&set, &signer(n)).unwrap();
    }
    assert!(set.len() <= SIGNED_KEY_SET_LEN_MAX, "{}", set.len());
    assert!(sign_key_set(&set, &signer(29)).is_err(), "no room for another signature");
}

#[test]
fn sets_that_contradict_themselves_are_not_made() {
    let (roots, signers) = (roots(), signers());
    let twice = [roots[0], roots[0]];
    let nine: Vec<_> = (1..=9).map(|n| signer(n).public_key()).collect();
    let good = fields(&roots, &signers);
    let cases = [
        (KeySetFields { threshold: 0, ..good }, KeySetRefused::Threshold),
        (KeySetFields { threshold: 4, ..good }, KeySetRefused::Threshold),
        (KeySetFields { version: 0, ..good }, KeySetRefused::Version),
        (KeySetFields { roots: &[], ..good }, KeySetRefused::Keys),
        (KeySetFields { roots: &twice, ..good }, KeySetRefused::Keys),
        (KeySetFields { roots: &nine, ..good }, KeySetRefused::Keys),
        (KeySetFields { signers: &[], ..good }, KeySetRefused::Keys),
    ];
    for (fields, refused) in cases {
        assert_eq!(encode_key_set(&fields), Err(refused));
    }
}

#[test]
fn more_than_half_of_the_provisioned_keys_sign_the_first_set() {
    let keys = [[0; 32]; 4];
    let needed: Vec<_> = (1..=4).map(|n| majority(&keys[..n])).collect();
    assert_eq!(needed, [1, 2, 2, 3]);
}

#[test]
fn a_permit_is_good_under_its_own_context_and_the_right_key_alone() {
    let signed = sign_permit(&permit(), &signer(10));
    let keys = [signer(10).public_key()];
    assert_eq!(Permit::verify(&signed, &keys), Ok(permit()));
    assert_eq!(Permit::read_unverified(&signed), Ok(permit()));
    let stranger = Permit::verify(&signed, &[signer(11).public_key()]);
    let id = key_id(&signer(10).public_key());
    assert_eq!(stranger, Err(PermitRefused::Envelope(Refused::UnknownKey(id))));
    // The same payload signed as a manifest would be, and a permit read as a manifest.
    let payload = Envelope::parse(&signed).unwrap().payload();
    let as_manifest = signer(10).sign(payload);
    assert_eq!(Permit::verify(&as_manifest, &keys), Err(PermitRefused::Envelope(Refused::Signature)));
    assert_eq!(Envelope::parse(&signed).unwrap().verify(&keys), Err(Refused::Signature));
    for at in 0..signed.len() {
        let mut bytes = signed.clone();
        bytes[at] ^= 1;
        assert!(Permit::verify(&bytes, &keys).is_err(), "byte {at}");
        assert!(Permit::verify(&signed[..at], &keys).is_err(), "cut at {at}");
    }
}
