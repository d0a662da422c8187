//! The device's handshake as pure jobs: each is a function of its own bytes and may be run twice.

use bulkhead_link_protocol::{HANDSHAKE_1_LEN, HANDSHAKE_2_LEN, PROLOGUE_PREFIX, REALM_ID_LEN};
use clatter::bytearray::ByteArray;
use clatter::cipherstate::CipherStates;
use clatter::crypto::cipher::ChaChaPoly;
use clatter::crypto::dh::X25519;
use clatter::crypto::hash::Sha256;
use clatter::handshakepattern::noise_ik;
use clatter::traits::{Dh, Handshaker};
use clatter::transportstate::TransportState;
use clatter::{KeyPair, NqHandshakeCore};
use rand_core::{CryptoRng, Error, RngCore};

/// A handshake of the one suite that devices speak, and whose ephemeral key has to be handed in.
pub type Noise = NqHandshakeCore<X25519, ChaChaPoly, Sha256, NoRandomness>;
type PrivateKey = <X25519 as Dh>::PrivateKey;

/// Keys of one link, seen from the device.
#[derive(Clone, Copy)]
pub struct LinkKeys {
    /// The device's static X25519 private key.
    pub device_private_key: [u8; 32],
    /// The server's static X25519 public key; [`crate::Reconnect::server_key`] says which of the two.
    pub server_public_key: [u8; 32],
    /// The server's realm.
    pub realm_id: [u8; REALM_ID_LEN],
}

/// Stands where `clatter` wants a random source. The ephemeral key is handed in, so none is ever drawn; that this is
/// so is checked after each first message.
#[derive(Clone, Default)]
pub struct NoRandomness;

impl RngCore for NoRandomness {
    fn next_u32(&mut self) -> u32 {
        0
    }
    fn next_u64(&mut self) -> u64 {
        0
    }
    fn fill_bytes(&mut self, out: &mut [u8]) {
        out.fill(0);
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Error> {
        out.fill(0);
        Ok(())
    }
}

impl CryptoRng for NoRandomness {}

/// A handshake between its two messages.
#[derive(Clone)]
pub(crate) struct Handshake(Noise);

/// An expensive step of the handshake, for a worker: two or three scalar multiplications.
///
/// [`Self::run`] depends on nothing else and changes nothing, so a job that was pre-empted may be run again elsewhere.
#[derive(Clone)]
pub struct HandshakeJob(pub(crate) Step);

#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "no allocator to box it; one exists at a time")]
pub(crate) enum Step {
    First { keys: LinkKeys, ephemeral: [u8; 32] },
    Second { handshake: Handshake, message: [u8; HANDSHAKE_2_LEN] },
}

/// What a [`HandshakeJob`] came to; give it to [`crate::DeviceSession::finish_handshake_job`].
pub struct HandshakeDone(pub(crate) Outcome);

#[expect(clippy::large_enum_variant, reason = "no allocator to box it; one exists at a time")]
pub(crate) enum Outcome {
    First { handshake: Handshake, message: [u8; HANDSHAKE_1_LEN] },
    Second(CipherStates<ChaChaPoly>),
    Failed,
}

impl HandshakeJob {
    /// Does the work.
    pub fn run(&self) -> HandshakeDone {
        let outcome = match &self.0 {
            Step::First { keys, ephemeral } => first(keys, ephemeral),
            Step::Second { handshake, message } => second(handshake, message),
        };
        HandshakeDone(outcome.unwrap_or(Outcome::Failed))
    }
}

/// The key pair of a private key, for [`Noise`].
pub fn key_pair(private: &[u8; 32]) -> KeyPair<[u8; 32], PrivateKey> {
    let secret = PrivateKey::from_slice(private);
    KeyPair::new(X25519::pubkey(&secret), secret)
}

fn first(keys: &LinkKeys, ephemeral: &[u8; 32]) -> Option<Outcome> {
    let mut prologue = [0; PROLOGUE_PREFIX.len() + REALM_ID_LEN];
    let (prefix, realm) = prologue.split_at_mut_checked(PROLOGUE_PREFIX.len())?;
    prefix.copy_from_slice(PROLOGUE_PREFIX);
    realm.copy_from_slice(&keys.realm_id);
    let ephemeral = key_pair(ephemeral);
    let ephemeral_public = ephemeral.public;
    let mut noise = Noise::new(
        noise_ik(),
        &prologue,
        true,
        Some(key_pair(&keys.device_private_key)),
        Some(ephemeral),
        Some(keys.server_public_key),
        None,
    )
    .ok()?;
    let mut message = [0; HANDSHAKE_1_LEN];
    let len = noise.write_message(&[], &mut message).ok()?;
    if len != HANDSHAKE_1_LEN || !message.starts_with(&ephemeral_public) {
        return None;
    }
    Some(Outcome::First { handshake: Handshake(noise), message })
}

fn second(handshake: &Handshake, message: &[u8; HANDSHAKE_2_LEN]) -> Option<Outcome> {
    let mut noise = handshake.0.clone();
    let payload_len = noise.read_message(message, &mut []).ok()?;
    if payload_len != 0 || !noise.is_finished() {
        return None;
    }
    Some(Outcome::Second(TransportState::new(noise).ok()?.take()))
}
