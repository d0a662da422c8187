//! What an application left behind when it crashed, sealed for its developers.
//!
//! Normative text: `docs/spec/crash-dump.md`. A dump is a header that anybody may read, a content key sealed for each
//! developer whom the running bundle names, and blocks of a fixed length under that key. The device writes it in one
//! pass and keeps one block in memory; whoever carries it can neither read nor change it. A dump that ends early is
//! still read as far as it goes, and never mistaken for a whole one.
//!
//! The device's end allocates nothing and is built on `clatter`; the developer's end is built on `snow`.
//!
//! # Features
//! * `developer`: [`developer`], which opens dumps, with the standard library.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

#[cfg(feature = "developer")]
extern crate std;

mod block;
#[cfg(feature = "developer")]
pub mod developer;
mod header;
mod record;
mod seal;

pub use block::{BLOCK_LEN, Block, PLAIN_LEN, Place};
pub use header::{FIXED_LEN, HEADER_LEN_MAX, Header, HeaderFault, MAGIC, RECIPIENTS_MAX, header_len};
pub use record::{CodeMark, EndMark, Record, Writer};
pub use seal::{ENTRY_LEN, Recipient, SealedFor, key_name, seal_for};

/// Noise protocol name of the messages that carry the content key.
pub const NOISE_PROTOCOL: &str = "Noise_X_25519_ChaChaPoly_SHA256";

/// `reason` of a dump that was ordered instead of caused by a fault.
pub const REASON_ORDERED: u8 = 255;

/// CRC-32 (IEEE 802.3, reflected) of code, continued from `crc`; 0 begins.
pub fn code_crc(crc: u32, bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!crc, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| {
                if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 }
            },
        )
    })
}
