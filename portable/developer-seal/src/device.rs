//! The device's end.

use bulkhead_link_session::{Noise, key_pair};
use clatter::cipherstate::{CipherState, CipherStates};
use clatter::crypto::cipher::ChaChaPoly;
use clatter::handshakepattern::noise_ik;
use clatter::traits::Handshaker;
use clatter::transportstate::TransportState;

use crate::{ANSWER_LEN, Binding, FIRST_LEN, REKEY_MESSAGES, SEAL_LEN};

/// Keys of one session, seen from the device.
#[derive(Clone, Copy)]
pub struct DeviceKeys {
    /// The device's static X25519 private key.
    pub private: [u8; 32],
    /// 32 fresh random bytes, used for this session alone.
    pub ephemeral: [u8; 32],
}

/// Why a session was not begun.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refused {
    /// The message was not made for this device, manifest and session.
    Handshake,
    /// The developer's key is none that the running bundle names.
    OtherKey,
}

/// Answers a developer's first message.
///
/// That message can be replayed by whoever saw it, so the session has no effect until the first sealed message opened.
///
/// # Errors
/// [`Refused`]: nothing is to be answered but the reason.
pub fn answer(
    keys: &DeviceKeys,
    binding: &Binding,
    first: &[u8; FIRST_LEN],
    is_named: impl FnOnce(&[u8; 32]) -> bool,
) -> Result<([u8; ANSWER_LEN], DeviceTunnel), Refused> {
    let begun = Noise::new(
        noise_ik(),
        &binding.prologue(),
        false,
        Some(key_pair(&keys.private)),
        Some(key_pair(&keys.ephemeral)),
        None,
        None,
    );
    let mut noise = begun.map_err(|_| Refused::Handshake)?;
    if !matches!(noise.read_message(first, &mut []), Ok(0)) {
        return Err(Refused::Handshake);
    }
    if !noise.get_remote_static().is_some_and(|developer| is_named(&developer)) {
        return Err(Refused::OtherKey);
    }
    let mut answer = [0; ANSWER_LEN];
    let written = noise.write_message(&[], &mut answer).map_err(|_| Refused::Handshake)?;
    if written != ANSWER_LEN || !noise.is_finished() {
        return Err(Refused::Handshake);
    }
    let states = TransportState::new(noise).map_err(|_| Refused::Handshake)?.take();
    let CipherStates { initiator_to_responder, responder_to_initiator } = states;
    let tunnel =
        DeviceTunnel { receive: initiator_to_responder, send: responder_to_initiator, received: 0, sent: 0 };
    Ok((answer, tunnel))
}

/// A session that was answered.
pub struct DeviceTunnel {
    receive: CipherState<ChaChaPoly>,
    send: CipherState<ChaChaPoly>,
    received: u64,
    sent: u64,
}

impl DeviceTunnel {
    /// Opens a sealed message in place and returns the length of what was in it; `None` if it is not authentic, and
    /// then the session is over.
    pub fn open(&mut self, sealed: &mut [u8]) -> Option<usize> {
        let len = self.receive.decrypt_with_ad_in_place(&[], sealed, sealed.len()).ok()?;
        self.received += 1;
        if self.received.is_multiple_of(REKEY_MESSAGES) {
            self.receive.rekey().ok()?;
        }
        Some(len)
    }

    /// Whether the developer has proved, by a sealed message, to be no replay.
    pub fn is_proven(&self) -> bool {
        self.received > 0
    }

    /// Seals the first `len` bytes of `message`, which has room for [`SEAL_LEN`] more, in place. Returns the length of
    /// the sealed message; `None` where there is no room.
    pub fn seal(&mut self, message: &mut [u8], len: usize) -> Option<usize> {
        let sealed = message.get_mut(..len.checked_add(SEAL_LEN)?)?;
        let len = self.send.encrypt_with_ad_in_place(&[], sealed, len).ok()?;
        self.sent += 1;
        if self.sent.is_multiple_of(REKEY_MESSAGES) {
            self.send.rekey().ok()?;
        }
        Some(len)
    }
}
