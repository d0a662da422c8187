//! Hostile patches: whatever the bytes are, the decoder stays inside its ranges and its work is bounded.

#![expect(clippy::cast_possible_truncation, reason = "the images of these tests are small")]
#![expect(clippy::unwrap_used, reason = "a test: a panic is its failure")]

use std::path::Path;

use bulkhead_delta::{Decoder, IMAGE_LEN_MAX, Limits, PatchIo, Progress, Refused, encode};

/// Most bytes that the decoder may read of patch, old image and output for each byte that it makes, on the whole.
const READS_PER_BYTE_MAX: u64 = 512;

/// The same for a patch of any length and an image of none.
const READS_ALWAYS: u64 = 64 * 1024;

/// Most calls of `prepare`, one entry each, for each byte of the new image.
const ENTRIES_PER_BYTE_MAX: u64 = 1;

/// Images in memory that refuse and count.
struct Guarded<'a> {
    patch: &'a [u8],
    old: &'a [u8],
    new: Vec<u8>,
    read: u64,
}

impl Guarded<'_> {
    fn take(from: &[u8], at: u32, out: &mut [u8]) -> u64 {
        assert!(out.len() <= 256, "a read of {} bytes", out.len());
        let end = at as usize + out.len();
        assert!(end <= from.len(), "a read of {at}..{end} in {} bytes", from.len());
        out.copy_from_slice(&from[at as usize..end]);
        out.len() as u64
    }
}

impl PatchIo for Guarded<'_> {
    type Error = ();

    fn patch(&mut self, at: u32, out: &mut [u8]) -> Result<(), ()> {
        self.read += Self::take(self.patch, at, out);
        Ok(())
    }

    fn old(&mut self, at: u32, out: &mut [u8]) -> Result<(), ()> {
        self.read += Self::take(self.old, at, out);
        Ok(())
    }

    fn output(&mut self, at: u32, out: &mut [u8]) -> Result<(), ()> {
        self.read += Self::take(&self.new, at, out);
        Ok(())
    }
}

/// Decodes in pieces; checks every bound on the way.
fn decoded(old: &[u8], patch: &[u8], new_len: u32) -> Result<Vec<u8>, Refused<()>> {
    let mut io = Guarded { patch, old, new: Vec::new(), read: 0 };
    let mut decoder = Decoder::new();
    let limits = Limits { patch_len: patch.len() as u32, old_len: old.len() as u32, new_len };
    let result = (|| {
        decoder.open(&mut io, limits)?;
        let mut entries = 0;
        while decoder.prepare(&mut io, 1)? == Progress::More {
            entries += 1;
            assert!(entries <= ENTRIES_PER_BYTE_MAX * u64::from(new_len) + 64, "an endless copy list");
        }
        while io.new.len() < new_len as usize {
            let mut piece = vec![0; 1000.min(new_len as usize - io.new.len())];
            decoder.decode(&mut io, &mut piece)?;
            io.new.extend(piece);
        }
        Ok(())
    })();
    let most = READS_ALWAYS + READS_PER_BYTE_MAX * u64::from(new_len);
    assert!(io.read <= most, "{} bytes read for an image of {new_len}", io.read);
    result.map(|()| io.new)
}

fn golden(name: &str) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let read = |kind| std::fs::read(folder.join(format!("{name}.{kind}"))).unwrap();
    (read("old"), read("new"), read("patch"))
}

#[test]
fn damaged_patches_end_in_wrong_bytes_or_a_refusal_never_outside_the_images() {
    for name in ["thumb", "words", "segments", "full"] {
        let (old, new, patch) = golden(name);
        let step = (patch.len() / 40).max(1);
        for at in (0..patch.len()).step_by(step) {
            for flip in [0x01, 0x80, 0xFF] {
                let mut damaged = patch.clone();
                damaged[at] ^= flip;
                let _ = decoded(&old, &damaged, new.len() as u32);
            }
        }
    }
}

#[test]
fn truncated_patches_are_refused_or_complete_with_zeros_only() {
    let (old, new, patch) = golden("thumb");
    for len in 0..patch.len() {
        if let Ok(bytes) = decoded(&old, &patch[..len], new.len() as u32) {
            assert!(bytes != new || patch[len..].iter().all(|byte| *byte == 0), "{len} bytes were enough");
        }
    }
    assert_eq!(decoded(&old, &[], new.len() as u32), Err(Refused::Truncated));
    // Half a patch lacks far more than what the coder reads ahead.
    assert_eq!(decoded(&old, &patch[..patch.len() / 2], new.len() as u32), Err(Refused::Truncated));
}

#[test]
fn garbage_of_any_length_keeps_every_bound() {
    let mut seed = 1u64;
    for round in 0..300u32 {
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize
        };
        let mut patch: Vec<u8> = (0..next() % 200).map(|_| next() as u8).collect();
        if let Some(first) = patch.first_mut() {
            *first = 0x10 | (round % 8) as u8;
        }
        let old: Vec<u8> = (0..next() % 3000).map(|_| next() as u8).collect();
        let _ = decoded(&old, &patch, (next() % 100_000) as u32);
    }
}

#[test]
fn bombs_are_refused_before_they_burst() {
    // A few bytes that claim the longest image: the copy list has to account for every byte of it first.
    let (old, _, patch) = golden("same");
    for new_len in [12, 1000, 1 << 20, IMAGE_LEN_MAX] {
        assert!(decoded_start(&old, &patch, new_len).is_err(), "{new_len}");
    }
    assert_eq!(decoded_start(&old, &patch, IMAGE_LEN_MAX + 1), Err(Refused::TooLong));
}

/// Opens and prepares only.
fn decoded_start(old: &[u8], patch: &[u8], new_len: u32) -> Result<(), Refused<()>> {
    let mut io = Guarded { patch, old, new: Vec::new(), read: 0 };
    let mut decoder = Decoder::new();
    decoder.open(&mut io, Limits { patch_len: patch.len() as u32, old_len: old.len() as u32, new_len })?;
    while decoder.prepare(&mut io, 1000)? == Progress::More {}
    let mut bytes = [0; 4096];
    while io.new.len() < 1 << 16 && io.new.len() < new_len as usize {
        let len = bytes.len().min(new_len as usize - io.new.len());
        decoder.decode(&mut io, &mut bytes[..len])?;
        io.new.extend(&bytes[..len]);
    }
    Ok(())
}

#[test]
fn copies_from_beyond_the_old_image_are_refused() {
    let (old, new, patch) = golden("thumb");
    for short in [0, 1, 4, old.len() / 2] {
        let refused = decoded(&old[..short], &patch, new.len() as u32);
        assert!(
            refused.as_ref().is_err_and(|why| matches!(why, Refused::CopyRange | Refused::Truncated)),
            "{short}"
        );
    }
}

#[test]
fn an_index_that_lies_is_refused() {
    let (old, new, patch) = golden("segments");
    // Byte 0 is the kind; the numbers of the index follow.
    for lie in [[0xFF, 0x7F], [0xFF, 0xFF], [0x00, 0x00]] {
        let mut lying = patch.clone();
        lying[1..3].copy_from_slice(&lie);
        let bytes = decoded(&old, &lying, new.len() as u32);
        assert!(bytes.map_or(true, |bytes| bytes != new), "{lie:x?}");
    }
    let mut overlapping = patch.clone();
    overlapping[1..3].copy_from_slice(&[0xFF, 0x7F]);
    assert_eq!(decoded(&old, &overlapping, new.len() as u32), Err(Refused::Header));
}

#[test]
fn patches_of_other_versions_are_refused() {
    let (old, new, mut patch) = golden("same");
    for version in (0..16).filter(|version| *version != 1) {
        patch[0] = patch[0] & 0x0F | version << 4;
        assert_eq!(decoded(&old, &patch, new.len() as u32), Err(Refused::Version));
    }
}

#[test]
fn a_list_of_tiny_copies_costs_bounded_work() {
    // The most entries that an honest encoder makes: every fourth byte differs.
    let old: Vec<u8> = (0..4000u32).flat_map(|n| n.wrapping_mul(0x9E37_79B1).to_le_bytes()).collect();
    let new: Vec<u8> = old.iter().enumerate().map(|(at, byte)| byte ^ u8::from(at % 4 == 0)).collect();
    let patch = encode(&old, &new, &bulkhead_delta::EncodeOptions::default());
    assert!(decoded(&old, &patch, new.len() as u32).unwrap() == new);
}
