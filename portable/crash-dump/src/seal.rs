//! The content key, sealed for one developer.

use bulkhead_link_session::{Noise, key_pair};
use clatter::handshakepattern::noise_x;
use clatter::traits::Handshaker;
use sha2::{Digest as _, Sha256};

use crate::header::FIXED_LEN;

/// Start of the prologue; the fixed part of the header follows it.
pub(crate) const PROLOGUE_PREFIX: &[u8; 16] = b"bulkhead/crash/1";
pub(crate) const PROLOGUE_LEN: usize = 16 + FIXED_LEN;

/// Length of the Noise message that carries the content key: two public keys, the key, two tags.
pub(crate) const MESSAGE_LEN: usize = 32 + 48 + 48;
/// First bytes of SHA-256 of a public key, by which its owner finds the entry.
pub(crate) const NAME_LEN: usize = 8;

/// Length of what the header holds for one developer, in bytes.
pub const ENTRY_LEN: usize = NAME_LEN + MESSAGE_LEN;

/// What the header holds for one developer.
pub type SealedFor = [u8; ENTRY_LEN];

/// For whom a content key is sealed, and by whom.
#[derive(Clone, Copy)]
pub struct Recipient<'a> {
    /// The developer's X25519 public key.
    pub public: &'a [u8; 32],
    /// The device's static X25519 private key.
    pub device_private: &'a [u8; 32],
    /// 32 fresh random bytes, used for this entry alone.
    pub ephemeral: &'a [u8; 32],
}

/// By what an owner of `public` finds the entry that is sealed for it.
pub fn key_name(public: &[u8; 32]) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(Sha256::digest(public));
    [a, b, c, d, e, f, g, h]
}

pub(crate) fn prologue(fixed: &[u8; FIXED_LEN]) -> [u8; PROLOGUE_LEN] {
    let mut prologue = [0; PROLOGUE_LEN];
    for (place, byte) in prologue.iter_mut().zip(PROLOGUE_PREFIX.iter().chain(fixed)) {
        *place = *byte;
    }
    prologue
}

/// Seals the content key of the dump with this fixed header. `None` if the developer's key is not one.
///
/// Expensive: four scalar multiplications.
#[inline(never)]
pub fn seal_for(
    recipient: &Recipient<'_>,
    fixed: &[u8; FIXED_LEN],
    content_key: &[u8; 32],
) -> Option<SealedFor> {
    let mut noise = Noise::new(
        noise_x(),
        &prologue(fixed),
        true,
        Some(key_pair(recipient.device_private)),
        Some(key_pair(recipient.ephemeral)),
        Some(*recipient.public),
        None,
    )
    .ok()?;
    let mut entry = [0; ENTRY_LEN];
    let (name, message) = entry.split_at_mut_checked(NAME_LEN)?;
    name.copy_from_slice(&key_name(recipient.public));
    let len = noise.write_message(content_key, message).ok()?;
    // A public key of low order makes every shared secret zero: then nothing would be secret.
    (len == MESSAGE_LEN && *recipient.public != [0; 32]).then_some(entry)
}
