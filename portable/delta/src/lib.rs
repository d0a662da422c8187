//! Firmware deltas: a small streaming decoder for the device, an encoder for the host.
//!
//! Normative text: `docs/spec/delta.md`. A patch is a header, the *copy list* (what to copy from the old image and
//! from what is already decoded) and the *body* (what the copies do not say). The decoder predicts every copied
//! instruction that holds an address, because the copy list says where everything moved; the body then says, one
//! adaptive decision at a time, where the prediction fails.
//!
//! Nothing here allocates, panics or runs without bound, whatever the patch says: work per output byte, ranges of
//! copies and the number of copies are bounded. A hostile patch can at worst make wrong bytes; their digest is
//! checked by the caller. All state is in [`Decoder`].
//!
//! # Features
//! * `encode`: making patches, with an allocator. For the host.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

#[cfg(feature = "encode")]
extern crate alloc;

mod body;
mod bytes;
mod coder;
mod copies;
mod decoder;
#[cfg(feature = "encode")]
#[expect(
    clippy::indexing_slicing,
    reason = "the encoder indexes tables of its own making; it parses nothing"
)]
mod encode;
mod header;
mod image;
mod instruction;
mod learned;
mod map;
mod mixer;
mod model;
mod refused;

pub use decoder::{Decoder, Limits, Progress};
#[cfg(feature = "encode")]
pub use encode::{Effort, EncodeOptions, SegmentLen, decode_all, encode};
pub use image::PatchIo;
pub use refused::Refused;

/// The only format of a patch that this version reads and makes.
pub const PATCH_VERSION: u32 = 1;

/// Longest image that a patch may make or start from, in bytes.
pub const IMAGE_LEN_MAX: u32 = 1 << 28;
