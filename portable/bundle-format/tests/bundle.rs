//! Claims about bundles: what is accepted, what is refused, and why.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(clippy::cast_possible_truncation, reason = "lengths of test images are small")]

use bulkhead_bundle_format::*;
use sha2::{Digest as _, Sha256};

const SECRET: [u8; 32] = [7; 32];
const DIE_PAGE: u32 = 8192;

fn image(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|i| (i as u8).wrapping_mul(31).wrapping_add((i >> 8) as u8) ^ seed).collect()
}

fn die(id: u32, base: u32, image: &[u8]) -> AreaImage<'_> {
    AreaImage {
        id,
        medium: Medium::Die,
        base,
        length: image.len() as u32,
        kind: AreaKind::Code,
        page_size: DIE_PAGE,
        image,
    }
}

fn external(id: u32, base: u32, image: &[u8]) -> AreaImage<'_> {
    AreaImage { medium: Medium::External, kind: AreaKind::Constant, page_size: 4096, ..die(id, base, image) }
}

fn fields<'a>(areas: &'a [AreaImage<'a>]) -> ManifestFields<'a> {
    ManifestFields {
        update_id: *b"0123456789abcdef",
        sequence: 42,
        security_counter: 3,
        device_class: "mps2-an505",
        board_revisions: Revisions { least: 1, greatest: 2 },
        abi: Revisions { least: 1, greatest: 1 },
        name: "hello",
        version: "1.2.3",
        areas,
        policy: Policy { postpone_max_s: Some(3600), ..Policy::default() },
    }
}

fn bundle(areas: &[AreaImage<'_>]) -> Vec<u8> {
    let payload = encode_manifest(&fields(areas)).unwrap();
    write_bundle(&payload, areas, &Signer::from_secret(&SECRET)).unwrap()
}

fn public() -> PublicKey {
    Signer::from_secret(&SECRET).public_key()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn a_bundle_comes_back_as_it_was_made() {
    let (code, constants) = (image(20_000, 1), image(5000, 2));
    let areas = [die(0, 0, &code), external(1, 4096, &constants)];
    let file = bundle(&areas);
    let read = BundleFile::verify(&file, &[[9; 32], public()]).unwrap();
    let m = &read.manifest;
    assert_eq!((m.sequence, m.security_counter, m.name, m.version), (42, 3, "hello", "1.2.3"));
    assert_eq!(m.policy.postpone_max_s, Some(3600));
    assert_eq!(m.areas().count(), 2);
    let area = m.area(0).unwrap();
    assert_eq!(
        (area.page_count(), area.page_len(2), area.page_len(3)),
        (3, Some(20_000 - 2 * DIE_PAGE), None)
    );
    assert_eq!(area.page_offset(2), Some(2 * DIE_PAGE));
    assert_eq!(area.page_digest(3), None);
    assert_eq!(read.image(0), Some(code.as_slice()));
    assert_eq!(read.image(1), Some(constants.as_slice()));
    let header = BundleHeader::parse(&file).unwrap();
    let start = usize::try_from(header.image_start(m, 1).unwrap()).unwrap();
    assert_eq!(&file[start..], constants.as_slice());
    assert_eq!(m.digest(), <[u8; 32]>::from(Sha256::digest(m.payload())));
}

#[test]
fn page_digest_ranges_point_into_the_envelope() {
    let (code, constants) = (image(20_000, 1), image(5000, 2));
    let file = bundle(&[die(0, 0, &code), external(1, 4096, &constants)]);
    let read = read_bundle(&file).unwrap();
    let manifest = verify(read.envelope, &[public()]).unwrap();
    for area in manifest.areas() {
        let range = area.page_digests_range();
        assert_eq!(range.len(), 32 * area.page_count() as usize);
        for page in 0..area.page_count() {
            let at = range.start + 32 * page as usize;
            assert_eq!(&read.envelope[at..at + 32], area.page_digest(page).unwrap());
        }
    }
    let mut padded = code[2 * DIE_PAGE as usize..].to_vec();
    padded.resize(DIE_PAGE as usize, 0xFF);
    let digest: [u8; 32] = Sha256::digest(&padded).into();
    assert_eq!(manifest.area(0).unwrap().page_digest(2), Some(&digest));
}

#[test]
fn every_changed_bit_of_an_envelope_is_refused() {
    let code = image(100, 1);
    let file = bundle(&[die(0, 0, &code)]);
    let envelope = read_bundle(&file).unwrap().envelope.to_vec();
    assert!(verify(&envelope, &[public()]).is_ok());
    for bit in 0..envelope.len() * 8 {
        let mut changed = envelope.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(verify(&changed, &[public()]).is_err(), "bit {bit} changed nothing");
    }
    for len in 0..envelope.len() {
        assert!(verify(&envelope[..len], &[public()]).is_err(), "accepted {len} bytes");
    }
    let mut longer = envelope.clone();
    longer.push(0);
    assert!(matches!(
        verify(&longer, &[public()]),
        Err(Refused::Envelope(CborError { fault: CborFault::TrailingBytes, .. }))
    ));
}

#[test]
fn streaming_verification_agrees_with_verify_strict() {
    let code = image(80_000, 1);
    let file = bundle(&[die(0, 0, &code)]);
    let envelope = read_bundle(&file).unwrap().envelope;
    let key = ed25519_dalek::VerifyingKey::from_bytes(&public()).unwrap();
    // Sig_structure built by hand, RFC 9052 section 4.4.
    let protected = &envelope[3..3 + 13];
    let payload = Envelope::parse(envelope).unwrap().payload();
    let mut joined = b"\x84\x6aSignature1\x4d".to_vec();
    joined.extend(protected);
    joined.push(0x53);
    joined.extend(b"bulkhead/manifest/1");
    joined.push(0x59);
    joined.extend((payload.len() as u16).to_be_bytes());
    joined.extend(payload);
    let signature: [u8; 64] = envelope[envelope.len() - 64..].try_into().unwrap();
    key.verify_strict(&joined, &ed25519_dalek::Signature::from_bytes(&signature)).unwrap();
    verify(envelope, &[public()]).unwrap();
}

#[test]
fn a_small_order_key_signs_nothing() {
    // The identity point as key, with R = identity and S = 0, fits every message under lax verification.
    let mut identity = [0; 32];
    identity[0] = 1;
    let code = image(100, 1);
    let file = bundle(&[die(0, 0, &code)]);
    let mut envelope = read_bundle(&file).unwrap().envelope.to_vec();
    let id_at = envelope.windows(8).position(|w| w == key_id(&public())).unwrap();
    envelope[id_at..id_at + 8].copy_from_slice(&key_id(&identity));
    let n = envelope.len();
    envelope[n - 64..].fill(0);
    envelope[n - 64] = 1;
    assert_eq!(verify(&envelope, &[identity]), Err(Refused::Signature));
}

#[test]
fn keys_that_are_not_listed_are_named() {
    let code = image(100, 1);
    let file = bundle(&[die(0, 0, &code)]);
    let refused = BundleFile::verify(&file, &[[9; 32]]).unwrap_err();
    assert_eq!(refused, Refused::UnknownKey(key_id(&public())));
    assert!(refused.to_string().contains(&hex(&key_id(&public()))), "{refused}");
    assert_eq!(BundleFile::verify(&file, &[]).unwrap_err(), Refused::UnknownKey(key_id(&public())));
}

#[test]
fn another_algorithm_is_refused_as_such() {
    let code = image(100, 1);
    let mut file = bundle(&[die(0, 0, &code)]);
    assert_eq!(&file[12..18], &[0xD2, 0x84, 0x4D, 0xA2, 0x01, 0x27]);
    file[17] = 0x26; // ES256.
    assert_eq!(BundleFile::verify(&file, &[public()]).unwrap_err(), Refused::Algorithm);
}

#[test]
fn damaged_files_are_refused_with_the_reason() {
    let (code, constants) = (image(20_000, 1), image(5000, 2));
    let file = bundle(&[die(0, 0, &code), external(1, 4096, &constants)]);
    let keys = [public()];
    let refused = |file: &[u8]| BundleFile::verify(file, &keys).unwrap_err();
    assert_eq!(refused(b""), Refused::File(FileFault::Magic));
    assert_eq!(refused(b"\x7fELF\x01\x01\x01\x00aaaaaaaa"), Refused::File(FileFault::Magic));
    for len in 1..file.len() {
        if len < 700 || len % 997 == 0 {
            assert!(matches!(refused(&file[..len]), Refused::File(FileFault::Truncated { .. })), "{len}");
        }
    }
    let mut longer = file.clone();
    longer.push(0);
    assert!(matches!(refused(&longer), Refused::File(FileFault::Oversized { .. })));
    let mut damaged = file.clone();
    let at = file.len() - 5000 - 20_000 + DIE_PAGE as usize + 3;
    damaged[at] ^= 1;
    assert_eq!(refused(&damaged), Refused::File(FileFault::PageDigest { area: 0, page: 1 }));
    let mut huge = file.clone();
    huge[8..12].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(refused(&huge), Refused::EnvelopeTooLong(u32::MAX.into()));
}

#[test]
fn contradictions_are_refused_with_the_area() {
    use ManifestFault as F;
    let code = image(10_000, 1);
    let table: [(&[AreaImage<'_>], F); 8] = [
        (&[], F::AreaCount(0)),
        (&[die(0, 4096, &code)], F::AreaMisaligned(0)),
        (&[die(0, 0, &code), die(1, 8192, &code)], F::AreasOverlap(0, 1)),
        (&[die(1, 0, &code), die(1, 16384, &code)], F::AreaOrder),
        (&[die(0, 0, &[])], F::AreaEmpty(0)),
        (&[die(0, 0xFFFF_E000, &code)], F::AreaWraps(0)),
        (&[AreaImage { page_size: 1000, ..die(0, 0, &code) }], F::PageSize(0)),
        (&[AreaImage { length: 20_000, ..die(0, 0, &code) }], F::DigestCount(0)),
    ];
    for (areas, fault) in table {
        assert_eq!(encode_manifest(&fields(areas)).unwrap_err(), Refused::Contradiction(fault));
    }
    let nine: Vec<_> = (0..9).map(|i| external(i, i * 16384, &code)).collect();
    assert_eq!(encode_manifest(&fields(&nine)).unwrap_err(), Refused::Contradiction(F::AreaCount(9)));
    // The last page may end exactly at 2^32; the same offsets in two memories do not overlap.
    assert!(encode_manifest(&fields(&[die(0, 0xFFFF_C000, &code), external(1, 0xFFFF_C000, &code)])).is_ok());
}

#[test]
fn an_envelope_beyond_the_limit_is_not_written() {
    let big = image(2_200_000, 1);
    let areas = [external(0, 0, &big)];
    let payload = encode_manifest(&fields(&areas)).unwrap();
    let refused = write_bundle(&payload, &areas, &Signer::from_secret(&SECRET)).unwrap_err();
    assert!(matches!(refused, Refused::EnvelopeTooLong(_)), "{refused}");
}

#[test]
fn other_spellings_of_a_manifest_are_refused() {
    let code = image(100, 1);
    let payload = encode_manifest(&fields(&[die(0, 0, &code)])).unwrap();
    assert!(Manifest::parse(&payload).is_ok());
    let fault = |bytes: &[u8]| match Manifest::parse(bytes) {
        Err(Refused::Manifest(e)) => e.fault,
        other => panic!("{other:?}"),
    };
    let mut trailing = payload.clone();
    trailing.push(0xF6);
    assert_eq!(fault(&trailing), CborFault::TrailingBytes);
    // Key 0 as a two-byte number.
    let mut long = payload.clone();
    long.splice(1..2, [0x18, 0x00]);
    assert_eq!(fault(&long), CborFault::NotCanonical);
    // Indefinite-length map.
    let mut indefinite = payload.clone();
    indefinite[0] = 0xBF;
    assert_eq!(fault(&indefinite), CborFault::NotCanonical);
    // A twelfth key.
    let mut more = payload.clone();
    more[0] = 0xAC;
    more.extend([0x0B, 0x00]);
    assert_eq!(fault(&more), CborFault::WrongKeys);
    let mut newer = payload.clone();
    newer[2] = 2;
    assert_eq!(Manifest::parse(&newer), Err(Refused::FormatVersion(2)));
}

#[test]
fn policies_of_later_versions_are_skipped_but_stay_canonical() {
    let code = image(100, 1);
    let areas = [die(0, 0, &code)];
    let payload = encode_manifest(&ManifestFields { policy: Policy::default(), ..fields(&areas) }).unwrap();
    let (head, tail) = payload.split_at(payload.len() - 1);
    assert_eq!(tail, [0xA0]);
    let with = |policy: &[u8]| Manifest::parse(&[head, policy].concat()).map(|m| m.policy.postpone_max_s);
    assert_eq!(with(&[0xA2, 0x01, 0x05, 0x09, 0x82, 0x41, 0xAA, 0xF5]), Ok(Some(5)));
    for (policy, fault) in [
        (&[0xA2, 0x09, 0x00, 0x01, 0x05][..], CborFault::KeyOrder),
        (&[0xA2, 0x01, 0x05, 0x01, 0x05], CborFault::KeyOrder),
        (&[0xA1, 0x09, 0x81, 0x81, 0x81, 0x81, 0x00], CborFault::TooDeep),
        (&[0xA1, 0x09, 0x9B, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], CborFault::Truncated),
        (&[0xA1, 0x09, 0xF9, 0x3C, 0x00], CborFault::UnexpectedType),
        (&[0xA1, 0x09, 0x61, 0xFF], CborFault::NotText),
    ] {
        assert!(
            matches!(with(policy), Err(Refused::Manifest(e)) if e.fault == fault),
            "{policy:02x?}: {:?}",
            with(policy)
        );
    }
}

#[test]
fn a_device_of_another_kind_is_told_what_does_not_fit() {
    let code = image(100, 1);
    let payload = encode_manifest(&fields(&[die(0, 0, &code)])).unwrap();
    let m = Manifest::parse(&payload).unwrap();
    assert_eq!(m.compatible("mps2-an505", 1, 1), Ok(()));
    assert_eq!(m.compatible("mps2-an50", 1, 1), Err(Mismatch::DeviceClass));
    assert_eq!(
        m.compatible("mps2-an505", 3, 1),
        Err(Mismatch::BoardRevision { device: 3, least: 1, greatest: 2 })
    );
    assert_eq!(m.compatible("mps2-an505", 2, 0), Err(Mismatch::Abi { device: 0, least: 1, greatest: 1 }));
}

#[test]
fn the_difference_is_the_pages_that_changed() {
    let old_code = image(40_000, 1);
    let mut new_code = old_code.clone();
    new_code[9000] ^= 1;
    new_code.extend(image(3000, 5));
    let constants = image(5000, 2);
    let old = encode_manifest(&fields(&[die(0, 0, &old_code), external(1, 0, &constants)])).unwrap();
    // The same constants under another id.
    let new = encode_manifest(&fields(&[die(0, 0, &new_code), external(7, 0, &constants)])).unwrap();
    let (old, new) = (Manifest::parse(&old).unwrap(), Manifest::parse(&new).unwrap());
    let pages = |old: Option<&Manifest<'_>>, new: &Manifest<'_>| -> Vec<(u32, u32)> {
        difference(old, new).map(|c| (c.area, c.page)).collect()
    };
    // Page 1 changed, page 4 (the last, 7,232 bytes) grew, page 5 is new.
    assert_eq!(pages(Some(&old), &new), [(0, 1), (0, 4), (0, 5)]);
    assert_eq!(pages(Some(&new), &new), []);
    assert_eq!(pages(None, &old), [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (1, 0), (1, 1)]);
    // A moved image differs everywhere; the shortened one loses no page.
    let shorter = encode_manifest(&fields(&[die(0, 0, &old_code[..16384])])).unwrap();
    assert_eq!(pages(Some(&old), &Manifest::parse(&shorter).unwrap()), []);
    let moved = encode_manifest(&fields(&[die(0, 8192, &old_code)])).unwrap();
    assert_eq!(pages(Some(&old), &Manifest::parse(&moved).unwrap()).len(), 5);
}

#[test]
fn staging_room_counts_all_pages_and_the_pieces_of_patches() {
    let old_code = image(40_000, 1);
    let mut new_code = old_code.clone();
    new_code[9000] ^= 1;
    let old = encode_manifest(&fields(&[die(0, 0, &old_code)])).unwrap();
    let new = encode_manifest(&fields(&[die(0, 0, &new_code), external(1, 0, &image(5000, 2))])).unwrap();
    let (old, new) = (Manifest::parse(&old).unwrap(), Manifest::parse(&new).unwrap());
    // Five pages of 8 KiB in 3 sectors each, two of 4 KiB in 2 each; 4,048 bytes of a patch fit one sector.
    let room = staging_room(Some(&old), &new, [4048, 4049], 4096);
    assert_eq!(room, StagingRoom { patches: 3, pages: 19, ring: 21, stays: true });
    assert_eq!((room.redo_and_undo(), room.redo(), room.in_place()), (41, 22, 25));
    assert_eq!(record_count(8192, 32, CRYPT_LEN), 0, "nothing fits such a sector");
}

#[test]
fn the_first_way_of_staging_that_fits_is_taken_and_the_most_frugal_one_named_if_none_does() {
    // 100 pages of 8 KiB in 300 sectors; a patch in 2; a ring of 32 pages in 96.
    let room = StagingRoom::new([(8192, 100)], [5000], 4096);
    let fit = |sectors: u32| room.fit(sectors * 4096 + 4095, 4096);
    assert_eq!(fit(602), (StagingFit::RedoAndUndo, 602 * 4096));
    assert_eq!(fit(601), (StagingFit::Redo, 302 * 4096));
    assert_eq!(fit(302), (StagingFit::Redo, 302 * 4096));
    assert_eq!(fit(301), (StagingFit::InPlace, 99 * 4096));
    assert_eq!(fit(99), (StagingFit::InPlace, 99 * 4096));
    assert_eq!(fit(98), (StagingFit::Nothing, 99 * 4096));
    assert_eq!(StagingRoom { stays: false, ..room }.fit(301 * 4096, 4096), (StagingFit::Nothing, 302 * 4096));
    assert_eq!(StagingRoom::new([], [], 4096).fit(0, 4096), (StagingFit::RedoAndUndo, 0));
    assert_eq!(StagingRoom::new([(8192, u32::MAX)], [u32::MAX], 0).fit(0, 0), (StagingFit::RedoAndUndo, 0));
}

#[test]
fn an_area_that_moved_cannot_be_updated_in_place() {
    let code = image(20_000, 1);
    let manifest = |base| encode_manifest(&fields(&[die(0, base, &code)])).unwrap();
    let (here, there) = (manifest(0), manifest(8192));
    let (here, there) = (Manifest::parse(&here).unwrap(), Manifest::parse(&there).unwrap());
    assert!(staging_room(Some(&here), &here, [], 4096).stays);
    assert!(!staging_room(Some(&here), &there, [], 4096).stays);
    assert!(staging_room(None, &there, [], 4096).stays);
}

#[test]
fn the_ring_reaches_back_over_a_segment_and_the_window() {
    for (page_size, window) in [(8192, 28 * 8192), (4096, 24 * 4096), (2048, 16 * 2048), (256, 128 * 256)] {
        assert_eq!(in_place_window(page_size), window);
        let ring = u32::try_from(StagingRoom::new([(page_size, 1000)], [], page_size + 32).ring).unwrap();
        assert!(window + IN_PLACE_SEGMENT_LEN <= ring * page_size);
    }
}

#[test]
fn an_application_owned_area_has_no_page_to_write() {
    let code = image(100, 1);
    let owned =
        AreaImage { kind: AreaKind::ApplicationOwned, length: 16384, image: &[], ..external(3, 65536, &[]) };
    let areas = [die(0, 0, &code), owned];
    let file = bundle(&areas);
    let read = BundleFile::verify(&file, &[public()]).unwrap();
    assert_eq!(read.manifest.area(3).unwrap().page_count(), 0);
    assert_eq!(read.image(3), Some(&[][..]));
    assert_eq!(difference(None, &read.manifest).count(), 1);
    // A digest of an image that is not there would be a second spelling.
    let mut payload = encode_manifest(&fields(&areas)).unwrap();
    let zeros = payload.windows(32).rposition(|w| w == [0; 32]).unwrap();
    payload[zeros] = 1;
    let fault = ManifestFault::DigestOfNothing(3);
    assert_eq!(Manifest::parse(&payload), Err(Refused::Contradiction(fault)));
}

#[test]
fn a_fill_area_is_erased_bytes_and_nothing_else() {
    let (erased, code) = (vec![0xFF; 5000], image(100, 1));
    let fill = |bytes| AreaImage { kind: AreaKind::Fill, ..external(2, 0, bytes) };
    let file = bundle(&[die(0, 0, &code), fill(&erased)]);
    assert!(BundleFile::verify(&file, &[public()]).is_ok());
    let mut bytes = erased.clone();
    bytes[4999] = 0;
    let areas = [die(0, 0, &code), AreaImage { kind: AreaKind::Fill, ..external(2, 0, &bytes) }];
    let payload = encode_manifest(&fields(&areas)).unwrap();
    let refused = write_bundle(&payload, &areas, &Signer::from_secret(&SECRET)).unwrap_err();
    assert_eq!(refused, Refused::File(FileFault::NotErased(2)));
}

#[test]
fn golden_bytes_of_version_1_never_change() {
    let code: Vec<u8> = (0..=255).collect();
    let file = bundle(&[die(0, 0, &code)]);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/bundle-1.hex");
    let golden = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(hex(&file), golden.split_whitespace().collect::<String>());
}

#[test]
fn policy_of_trials_comes_back_as_it_was_written() {
    let code = image(100, 1);
    let areas = [die(0, 0, &code)];
    let policies = [
        Policy::default(),
        Policy { confirm: Confirm::Application, ..Policy::default() },
        Policy {
            postpone_max_s: Some(60),
            confirm: Confirm::Application,
            trial_window_s: Some(5),
            trial_boots: Some(7),
            gives_up_owned: true,
            debug_keys: DebugKeys::new(&[[1; 32], [2; 32]]).unwrap(),
            crash_memory: CrashMemory::new(&[]),
            debug_halt: DebugHalt::LogpointsOnly,
            debug_silence_s: Some(600),
        },
        Policy {
            crash_memory: CrashMemory::new(&[
                CrashRange { address: 0x2820_0000, len: 0x1000 },
                CrashRange { address: 0x2828_0000 - 4, len: 4 },
            ]),
            ..Policy::default()
        },
        Policy { debug_halt: DebugHalt::Never, ..Policy::default() },
        Policy { gives_up_owned: true, ..Policy::default() },
    ];
    for policy in policies {
        let payload = encode_manifest(&ManifestFields { policy, ..fields(&areas) }).unwrap();
        assert_eq!(Manifest::parse(&payload).unwrap().policy, policy);
    }
    // A kind of confirmation that is not known yet asks for no less than the one that is.
    let head = encode_manifest(&ManifestFields { policy: Policy::default(), ..fields(&areas) }).unwrap();
    let later = [&head[..head.len() - 1], &[0xA1, 0x02, 0x09]].concat();
    assert_eq!(Manifest::parse(&later).unwrap().policy.confirm, Confirm::Application);
    // Ranges that no memory has, or of half words, are refused with the manifest.
    for range in [[0, 0, 0, 1, 0, 0, 0, 4], [0, 0, 0, 0, 0, 0, 0, 2], [0; 8], [0xFF; 8]] {
        let policy = [&[0xA1, 0x11, 0x48], &range[..]].concat();
        assert!(Manifest::parse(&[&head[..head.len() - 1], &policy].concat()).is_err(), "{range:?}");
    }
    // One that is not known yet lets nobody stop the application.
    let later = [&head[..head.len() - 1], &[0xA1, 0x12, 0x03]].concat();
    assert_eq!(Manifest::parse(&later).unwrap().policy.debug_halt, DebugHalt::Never);
    // Nor does a number that is not known yet give anything up.
    let later = [&head[..head.len() - 1], &[0xA1, 0x08, 0x02]].concat();
    assert!(!Manifest::parse(&later).unwrap().policy.gives_up_owned);
}
