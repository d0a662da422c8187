//! The developer's end.

use std::boxed::Box;
use std::vec::Vec;

use snow::{Builder, HandshakeState, TransportState};

use crate::{ANSWER_LEN, Binding, FIRST_LEN, NOISE_PROTOCOL, REKEY_MESSAGES, SEAL_LEN};

/// A message was not authentic: changed, replayed, out of order, or of another session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Forged;

impl core::fmt::Display for Forged {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("a message of the debug session is not authentic; somebody between here and the device changed it")
    }
}

impl std::error::Error for Forged {}

/// A session that waits for the device's answer.
pub struct Opening(Box<HandshakeState>);

/// Begins a session: the first message, and what waits for its answer.
///
/// # Errors
/// [`Forged`]: a key is not one.
pub fn open(
    private: &[u8; 32],
    device_public: &[u8; 32],
    binding: &Binding,
) -> Result<([u8; FIRST_LEN], Opening), Forged> {
    let begin = || -> Result<_, snow::Error> {
        let prologue = binding.prologue();
        let builder = Builder::new(NOISE_PROTOCOL.parse()?).prologue(&prologue)?;
        let mut noise =
            builder.local_private_key(private)?.remote_public_key(device_public)?.build_initiator()?;
        let mut first = [0; FIRST_LEN];
        noise.write_message(&[], &mut first)?;
        Ok((first, Opening(Box::new(noise))))
    };
    begin().map_err(|_| Forged)
}

impl Opening {
    /// Reads the device's answer.
    ///
    /// # Errors
    /// [`Forged`]: it is not that of the device which was called.
    pub fn finish(mut self, answer: &[u8; ANSWER_LEN]) -> Result<Tunnel, Forged> {
        if self.0.read_message(answer, &mut []) != Ok(0) {
            return Err(Forged);
        }
        let noise = self.0.into_transport_mode().map_err(|_| Forged)?;
        Ok(Tunnel { noise, sent: 0, received: 0 })
    }
}

/// An open session.
#[derive(Debug)]
pub struct Tunnel {
    noise: TransportState,
    sent: u64,
    received: u64,
}

impl Tunnel {
    /// Seals a message.
    ///
    /// # Errors
    /// [`Forged`]: the session sent all messages that a key allows.
    pub fn seal(&mut self, message: &[u8]) -> Result<Vec<u8>, Forged> {
        let mut sealed = std::vec![0; message.len() + SEAL_LEN];
        let len = self.noise.write_message(message, &mut sealed).map_err(|_| Forged)?;
        sealed.truncate(len);
        self.sent += 1;
        if self.sent.is_multiple_of(REKEY_MESSAGES) {
            self.noise.rekey_outgoing();
        }
        Ok(sealed)
    }

    /// Opens a sealed message.
    ///
    /// # Errors
    /// [`Forged`]: the session is over.
    pub fn open(&mut self, sealed: &[u8]) -> Result<Vec<u8>, Forged> {
        let mut message = std::vec![0; sealed.len()];
        let len = self.noise.read_message(sealed, &mut message).map_err(|_| Forged)?;
        message.truncate(len);
        self.received += 1;
        if self.received.is_multiple_of(REKEY_MESSAGES) {
            self.noise.rekey_incoming();
        }
        Ok(message)
    }
}
