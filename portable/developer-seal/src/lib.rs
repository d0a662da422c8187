//! End-to-end encryption between developer and device.
//!
//! Normative text: `docs/spec/debug-session.md`. Noise IK inside the device link: the developer knows the device's
//! static key, which its id certifies; the device knows the developer's from the policy of the bundle that runs. The
//! server carries the bytes and can neither read, change, replay nor begin a session. Both ends bind device, manifest
//! and session number, so that a handshake is worth nothing elsewhere.
//!
//! The device's end allocates nothing and is built on `clatter`; the developer's end is built on `snow`.
//!
//! # Features
//! * `developer`: [`developer`], the laptop's end, with the standard library.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

#[cfg(feature = "developer")]
extern crate std;

#[cfg(feature = "developer")]
pub mod developer;
mod device;

pub use device::{DeviceKeys, DeviceTunnel, Refused, answer};

/// Noise protocol name.
pub const NOISE_PROTOCOL: &str = "Noise_IK_25519_ChaChaPoly_SHA256";

/// Length of the developer's handshake message in bytes.
pub const FIRST_LEN: usize = 96;

/// Length of the device's answer in bytes.
pub const ANSWER_LEN: usize = 48;

/// Bytes that the seal adds to a message.
pub const SEAL_LEN: usize = 16;

/// Messages after which a direction is rekeyed.
pub const REKEY_MESSAGES: u64 = 1 << 20;

/// Start of the prologue.
const PROLOGUE_PREFIX: &[u8; 16] = b"bulkhead/debug/1";

/// What a session is bound to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Binding {
    /// The 16 bytes of the device's id.
    pub device: [u8; 16],
    /// Digest of the manifest that runs.
    pub manifest: [u8; 32],
    /// Number that the server gave the session.
    pub session: u32,
}

/// Length of the prologue in bytes.
const PROLOGUE_LEN: usize = 16 + 16 + 32 + 4;

impl Binding {
    fn prologue(&self) -> [u8; PROLOGUE_LEN] {
        let mut prologue = [0; PROLOGUE_LEN];
        let parts = PROLOGUE_PREFIX.iter().chain(&self.device).chain(&self.manifest);
        let session = self.session.to_be_bytes();
        for (place, byte) in prologue.iter_mut().zip(parts.chain(&session)) {
            *place = *byte;
        }
        prologue
    }
}
