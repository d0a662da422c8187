//! Patches that were made once and must be read for ever: `golden/NAME.old`, `.new` and `.patch`.
//!
//! Files are only ever added. An encoder that has become better takes its pairs out of `MADE_TODAY` and adds new ones;
//! the old patches stay, for the decoders in the field.

#![expect(clippy::cast_possible_truncation, reason = "the images of these tests are small")]
#![expect(clippy::unwrap_used, reason = "a test: a panic is its failure")]

use std::path::{Path, PathBuf};

use bulkhead_delta::{Effort, EncodeOptions, SegmentLen, decode_all, encode};

const ALL: [&str; 5] = ["thumb", "full", "words", "segments", "same"];

/// Pairs for which today's encoder makes the very same patch.
const MADE_TODAY: [&str; 5] = ALL;

fn file(name: &str, kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.{kind}"))
}

fn pair(name: &str) -> (Vec<u8>, Vec<u8>) {
    (std::fs::read(file(name, "old")).unwrap(), std::fs::read(file(name, "new")).unwrap())
}

fn options(name: &str) -> EncodeOptions {
    let (segment_len, effort) = match name {
        "segments" => (SegmentLen::Kib32, Effort::Quick),
        _ => (SegmentLen::Kib64, Effort::Full),
    };
    EncodeOptions { segment_len, effort, ..EncodeOptions::default() }
}

#[test]
fn golden_patches_decode_to_their_new_images() {
    for name in ALL {
        let (old, new) = pair(name);
        let patch = std::fs::read(file(name, "patch")).unwrap();
        assert!(decode_all(&old, &patch, new.len() as u32).unwrap() == new, "{name}");
    }
}

#[test]
fn todays_encoder_makes_the_golden_patches_to_the_byte() {
    for name in MADE_TODAY {
        let (old, new) = pair(name);
        let made = encode(&old, &new, &options(name));
        let patch = std::fs::read(file(name, "patch")).unwrap();
        assert!(patch == made, "{name}: the encoder makes another patch now");
    }
}
