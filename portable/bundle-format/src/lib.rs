//! Bundle: manifest, areas, digests, signature, difference of two.
//!
//! Normative text: `docs/spec/bundle.md`. A bundle is what an owner signs and a device runs: an envelope
//! (COSE_Sign1, Ed25519) around a manifest, then the images of the areas. Nothing here allocates, keeps state or
//! panics, whatever the bytes are. The invariant: a [`Manifest`] in hand is canonical, its areas neither overlap
//! nor wrap, and each has exactly one digest a page. Only [`verify`] and [`Envelope::verify`] say who signed it.
//!
//! # Features
//! * `encode`: writing and signing, with an allocator. For the host.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::wildcard_enum_match_arm)]

#[cfg(feature = "encode")]
extern crate alloc;

mod cbor;
mod cose;
mod crash_memory;
mod debug_keys;
mod difference;
#[cfg(feature = "encode")]
mod encode;
#[cfg(feature = "encode")]
mod encode_owner;
mod envelope;
mod file;
mod key_set;
mod manifest;
mod permit;
mod refused;
mod room;

pub use cbor::{CborError, CborFault};
pub use cose::{KEY_ID_LEN, KeyId, PublicKey, key_id};
pub use crash_memory::{CRASH_RANGES_MAX, CrashMemory, CrashRange};
pub use debug_keys::{DEBUG_KEYS_MAX, DebugKeys};
pub use difference::{Difference, PageChange, difference, differing_len};
#[cfg(feature = "encode")]
pub use encode::{AreaImage, ManifestFields, Signer, encode_manifest, write_bundle};
#[cfg(feature = "encode")]
pub use encode_owner::{KeySetFields, encode_key_set, sign_key_set, sign_permit};
pub use envelope::{Envelope, verify};
pub use file::{BUNDLE_HEADER_LEN, BUNDLE_MAGIC, BundleFile, BundleHeader, read_bundle};
pub use key_set::{
    BundleSigner, KEY_SET_CONTEXT, KEY_SET_LEN_MAX, KeySet, KeySetRefused, ROOTS_MAX, SET_SIGNATURES_MAX,
    SIGNED_KEY_SET_LEN_MAX, SIGNERS_MAX, SignedKeySet, Tally, majority,
};
pub use manifest::{
    Area, AreaKind, Confirm, DebugHalt, Digest, Manifest, Medium, Policy, Revisions, page_digest,
};
pub use permit::{PERMIT_CONTEXT, PERMIT_LEN_MAX, Permit, PermitRefused};
pub use refused::{FileFault, ManifestFault, Mismatch, Refused};
pub use room::{
    CRYPT_LEN, IN_PLACE_SEGMENT_LEN, PATCH_CRYPT_LEN, RING_PAGES, StagingFit, StagingRoom, in_place_window,
    record_count, staging_room,
};

/// Longest envelope in bytes, signature included; a device reserves as much for each of two slots.
pub const ENVELOPE_LEN_MAX: usize = 16 * 1024;

/// Most areas in a manifest.
pub const AREAS_MAX: usize = 8;

/// The only manifest format that this version knows.
pub const FORMAT_VERSION: u64 = 1;

/// Context string that keeps a manifest's signature from being used for anything else.
pub const SIGNATURE_CONTEXT: &[u8; 19] = b"bulkhead/manifest/1";

/// Longest device class in bytes.
pub const DEVICE_CLASS_LEN_MAX: usize = 32;

/// Longest name of an application in bytes.
pub const NAME_LEN_MAX: usize = 64;

/// Longest version text in bytes.
pub const VERSION_LEN_MAX: usize = 32;

/// Smallest and largest page of an area in bytes; always a power of two.
pub const PAGE_SIZES: core::ops::RangeInclusive<u32> = 64..=65536;

/// Largest sequence number: one that every database stores as a signed 64-bit number.
pub const SEQUENCE_MAX: u64 = i64::MAX as u64;

/// Length of an update id in bytes.
pub const UPDATE_ID_LEN: usize = 16;
