//! What a factory writes into a device: keys, identity, where its server is.
//!
//! Normative text: `docs/spec/identity.md`. One record in the identity page of die flash, written once:
//! `magic "BHID" | version:u16 | length:u16 | CBOR | CRC-32`, numbers big-endian, the CRC over all before it. A record
//! either parses completely or the device has no identity. Nothing here panics, whatever the flash holds.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::wildcard_enum_match_arm)]

mod device_id;
mod record;

pub use device_id::{DeviceId, DeviceIdError, device_id, public_key};
pub use record::{Identity, IdentityError, ServerKeys, is_host};

/// First bytes of a record.
pub const IDENTITY_MAGIC: &[u8; 4] = b"BHID";

/// The only version of the record that this code knows.
pub const IDENTITY_VERSION: u16 = 1;

/// Longest record in bytes, header and CRC included.
pub const IDENTITY_LEN_MAX: usize = 1024;

/// Longest name of a server in bytes: the longest DNS name.
pub const HOST_LEN_MAX: usize = 253;

/// Most of the owner's manifest-signing keys in a record.
pub const SIGNING_KEYS_MAX: usize = 4;
