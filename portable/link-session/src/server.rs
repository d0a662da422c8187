//! The server's end of a link, over `snow`.
//!
//! Reading is in two halves so that admission can be decided between them: [`ServerHandshake::read`] tells which device
//! wants in, then [`ServerHandshake::accept`] lets it in or [`refusal`] sends it away. Message 1 can be replayed by
//! anyone who saw it: a device is online only once [`ServerSession::is_confirmed`].

use std::vec::Vec;

use bulkhead_device_identity::{DeviceId, device_id};
use bulkhead_link_protocol::{
    CIPHERTEXT_LEN_MAX, DeviceMessage, Frame, FrameError, HANDSHAKE_1_LEN, HANDSHAKE_2_LEN,
    LENGTH_PREFIX_LEN, LINK_VERSION, NOISE_PROTOCOL, PLAINTEXT_LEN_MAX, PROLOGUE_PREFIX, REALM_ID_LEN,
    REFUSAL_LEN, REKEY_FRAMES, ServerMessage, TAG_LEN, decode, encode,
};
use snow::{Builder, HandshakeState, TransportState};

use crate::closed::RefusalReason;

/// Bytes that a device sends first: the version and message 1.
pub const FIRST_LEN: usize = 1 + HANDSHAKE_1_LEN;

/// Bytes of an accepting answer: a length and message 2.
pub const ANSWER_LEN: usize = LENGTH_PREFIX_LEN + HANDSHAKE_2_LEN;

/// The length field of an accepting answer.
const ANSWER_PREFIX: [u8; LENGTH_PREFIX_LEN] = [0, 48];

const _: () = assert!(HANDSHAKE_2_LEN == 48);

/// The server's private keys and realm.
#[derive(Clone)]
pub struct ServerKeys {
    /// Static X25519 private key that devices pin as current.
    pub current: [u8; 32],
    /// The one that they pin as next, if there is one yet.
    pub next: Option<[u8; 32]>,
    /// The realm.
    pub realm_id: [u8; REALM_ID_LEN],
}

/// Why a device's first bytes are refused; [`Self::reason`] is what to tell it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HandshakeError {
    /// It speaks another version of the link.
    Version(u8),
    /// Message 1 fits none of our keys in our realm.
    Message,
    /// `snow` failed in a way that bytes from outside cannot cause.
    Ourselves,
}

impl HandshakeError {
    /// The reason for [`refusal`].
    pub const fn reason(self) -> RefusalReason {
        match self {
            Self::Version(_) => RefusalReason::Version,
            Self::Message => RefusalReason::Handshake,
            Self::Ourselves => RefusalReason::Busy,
        }
    }
}

impl core::fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Version(v) => {
                write!(f, "the device speaks version {v} of the link, this server {LINK_VERSION}")
            }
            Self::Message => write!(f, "the device pins another server key or realm"),
            Self::Ourselves => write!(f, "the handshake failed on the server's side"),
        }
    }
}

impl core::error::Error for HandshakeError {}

/// The plaintext refusal that is sent instead of an answer; the connection is closed after it.
pub fn refusal(reason: RefusalReason, retry_in_s: u32) -> [u8; REFUSAL_LEN] {
    let [r0, r1] = reason.number().to_be_bytes();
    let [t0, t1, t2, t3] = retry_in_s.to_be_bytes();
    [0, 0, r0, r1, t0, t1, t2, t3]
}

/// A handshake whose first message fitted one of our keys.
#[derive(Debug)]
pub struct ServerHandshake {
    noise: HandshakeState,
    device_public_key: [u8; 32],
}

impl ServerHandshake {
    /// Reads a device's first bytes, trying the current key, then the next one.
    ///
    /// # Errors
    /// [`HandshakeError`]: answer with [`refusal`] and close.
    pub fn read(first: &[u8; FIRST_LEN], keys: &ServerKeys) -> Result<Self, HandshakeError> {
        let [version, message @ ..] = first;
        if *version != LINK_VERSION {
            return Err(HandshakeError::Version(*version));
        }
        for key in [Some(&keys.current), keys.next.as_ref()].into_iter().flatten() {
            let mut noise = responder(key, &keys.realm_id).map_err(|_| HandshakeError::Ourselves)?;
            if noise.read_message(message, &mut []) == Ok(0)
                && let Some(device_public_key) = noise.get_remote_static().and_then(|k| k.try_into().ok())
            {
                return Ok(Self { noise, device_public_key });
            }
        }
        Err(HandshakeError::Message)
    }

    /// The static key that the device proved to hold, or that someone replays; see [`ServerSession::is_confirmed`].
    pub fn device_public_key(&self) -> &[u8; 32] {
        &self.device_public_key
    }

    /// The id that follows from it.
    pub fn device_id(&self) -> DeviceId {
        device_id(&self.device_public_key)
    }

    /// Lets the device in: the bytes to answer and the session.
    ///
    /// # Errors
    /// [`HandshakeError::Ourselves`].
    pub fn accept(mut self) -> Result<([u8; ANSWER_LEN], ServerSession), HandshakeError> {
        let mut answer = [0; ANSWER_LEN];
        let (prefix, message) = answer.split_at_mut(LENGTH_PREFIX_LEN);
        prefix.copy_from_slice(&ANSWER_PREFIX);
        if self.noise.write_message(&[], message) != Ok(HANDSHAKE_2_LEN) {
            return Err(HandshakeError::Ourselves);
        }
        let noise = self.noise.into_transport_mode().map_err(|_| HandshakeError::Ourselves)?;
        Ok((answer, ServerSession { noise, frames_sent: 0, frames_received: 0 }))
    }
}

fn responder(key: &[u8; 32], realm_id: &[u8; REALM_ID_LEN]) -> Result<HandshakeState, snow::Error> {
    let prologue = [PROLOGUE_PREFIX, realm_id].concat();
    Builder::new(NOISE_PROTOCOL.parse()?).prologue(&prologue)?.local_private_key(key)?.build_responder()
}

/// Why a session is over; all but `TooLong` are the device's fault, or of who sits between.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SessionError {
    /// A length field is outside what a frame can have.
    FrameLength(u16),
    /// A frame is not authentic.
    FrameForged,
    /// An authentic frame is malformed.
    FrameMalformed(FrameError),
    /// Our own message does not fit a frame. The session goes on.
    TooLong,
    /// All frames that a key allows were sent.
    Exhausted,
}

impl core::fmt::Display for SessionError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::FrameLength(len) => write!(f, "the device announced a frame of {len} bytes"),
            Self::FrameForged => write!(f, "a frame from the device is not authentic"),
            Self::FrameMalformed(e) => write!(f, "the device sent a malformed frame: {e}"),
            Self::TooLong => write!(f, "the message is too long for a frame"),
            Self::Exhausted => write!(f, "the session sent all frames that a key allows"),
        }
    }
}

impl core::error::Error for SessionError {}

/// An accepted link.
#[derive(Debug)]
pub struct ServerSession {
    noise: TransportState,
    frames_sent: u64,
    frames_received: u64,
}

impl ServerSession {
    /// Whether the device proved, by an authentic frame, that it is no replay.
    pub fn is_confirmed(&self) -> bool {
        self.frames_received > 0
    }

    /// The length of the ciphertext that follows a length field.
    ///
    /// # Errors
    /// [`SessionError::FrameLength`]: close the connection.
    pub fn ciphertext_len(prefix: [u8; LENGTH_PREFIX_LEN]) -> Result<usize, SessionError> {
        let announced = u16::from_be_bytes(prefix);
        let len = usize::from(announced);
        if (2 + TAG_LEN..=CIPHERTEXT_LEN_MAX).contains(&len) {
            Ok(len)
        } else {
            Err(SessionError::FrameLength(announced))
        }
    }

    /// Seals a message and appends its frame, length field included, to `out`.
    ///
    /// # Errors
    /// [`SessionError::TooLong`], [`SessionError::Exhausted`]; `out` is unchanged.
    pub fn seal(&mut self, message: &ServerMessage<'_>, out: &mut Vec<u8>) -> Result<(), SessionError> {
        let mut plaintext = [0; PLAINTEXT_LEN_MAX];
        let len = encode(message, &mut plaintext).map_err(|_| SessionError::TooLong)?;
        let plaintext = plaintext.get(..len).ok_or(SessionError::TooLong)?;
        let mut ciphertext = [0; CIPHERTEXT_LEN_MAX];
        let len =
            self.noise.write_message(plaintext, &mut ciphertext).map_err(|_| SessionError::Exhausted)?;
        let announced = u16::try_from(len).map_err(|_| SessionError::TooLong)?;
        out.extend(announced.to_be_bytes());
        out.extend(ciphertext.iter().take(len));
        self.frames_sent += 1;
        if self.frames_sent.is_multiple_of(REKEY_FRAMES) {
            self.noise.rekey_outgoing();
        }
        Ok(())
    }

    /// Opens a ciphertext into `plaintext` and reads the message in it.
    ///
    /// # Errors
    /// [`SessionError`]: close the connection.
    pub fn open<'p>(
        &mut self,
        ciphertext: &[u8],
        plaintext: &'p mut [u8; PLAINTEXT_LEN_MAX],
    ) -> Result<Frame<DeviceMessage<'p>>, SessionError> {
        if ciphertext.len() > CIPHERTEXT_LEN_MAX {
            return Err(SessionError::FrameLength(u16::try_from(ciphertext.len()).unwrap_or(u16::MAX)));
        }
        let opened = self.noise.read_message(ciphertext, plaintext);
        let len = opened.map_err(|_| SessionError::FrameForged)?;
        self.frames_received += 1;
        if self.frames_received.is_multiple_of(REKEY_FRAMES) {
            self.noise.rekey_incoming();
        }
        decode(plaintext.get(..len).unwrap_or_default()).map_err(SessionError::FrameMalformed)
    }
}
