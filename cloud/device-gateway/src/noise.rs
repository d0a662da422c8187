//! The server's end of the handshake and of the sealed frames.

use bulkhead_link_protocol::{
    HANDSHAKE_2_LEN, LENGTH_PREFIX_LEN, NOISE_PROTOCOL, PLAINTEXT_LEN_MAX, PROLOGUE_PREFIX, REALM_ID_LEN,
    REKEY_FRAMES, TAG_LEN,
};
use snow::{Builder, HandshakeState, TransportState};

/// The peer's bytes are not what its end of the link should send, or our own state is spent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Broken;

impl From<snow::Error> for Broken {
    fn from(_: snow::Error) -> Self {
        Self
    }
}

/// A handshake after the device's message: the device's key is known, nothing was answered.
pub(crate) struct Asked {
    state: HandshakeState,
    pub(crate) device_key: [u8; 32],
}

impl Asked {
    /// Reads message 1 with one of the server's private keys.
    pub(crate) fn read(key: &[u8; 32], realm: &[u8; REALM_ID_LEN], message: &[u8]) -> Result<Self, Broken> {
        let mut prologue = PROLOGUE_PREFIX.to_vec();
        prologue.extend_from_slice(realm);
        let params = NOISE_PROTOCOL.parse().map_err(|_| Broken)?;
        let builder = Builder::new(params).local_private_key(key)?.prologue(&prologue)?;
        let mut state = builder.build_responder()?;
        let mut payload = [0; 256];
        if state.read_message(message, &mut payload)? != 0 {
            return Err(Broken);
        }
        let device_key = state.get_remote_static().and_then(|key| key.try_into().ok()).ok_or(Broken)?;
        Ok(Self { state, device_key })
    }

    /// Writes message 2.
    pub(crate) fn answer(mut self) -> Result<(Vec<u8>, Session), Broken> {
        let mut message = vec![0; HANDSHAKE_2_LEN];
        let len = self.state.write_message(&[], &mut message)?;
        message.truncate(len);
        Ok((message, Session { transport: self.state.into_transport_mode()?, sealed: 0, opened: 0 }))
    }
}

/// An established link: seals and opens frames, in order.
pub(crate) struct Session {
    transport: TransportState,
    sealed: u64,
    opened: u64,
}

impl Session {
    /// Appends `plaintext` to `wire`, sealed and behind its length.
    pub(crate) fn seal(&mut self, plaintext: &[u8], wire: &mut Vec<u8>) -> Result<(), Broken> {
        let len = plaintext.len() + TAG_LEN;
        let prefix = u16::try_from(len).map_err(|_| Broken)?;
        wire.extend_from_slice(&prefix.to_be_bytes());
        let start = wire.len();
        wire.resize(start + len, 0);
        self.transport.write_message(plaintext, wire.get_mut(start..).ok_or(Broken)?)?;
        self.sealed += 1;
        if self.sealed.is_multiple_of(REKEY_FRAMES) {
            self.transport.rekey_outgoing();
        }
        Ok(())
    }

    /// Takes the first whole frame off `wire` and opens it; `None` while it is not whole.
    pub(crate) fn open(&mut self, wire: &mut Vec<u8>) -> Result<Option<Vec<u8>>, Broken> {
        let Some(prefix) = wire.first_chunk::<LENGTH_PREFIX_LEN>() else { return Ok(None) };
        let len = usize::from(u16::from_be_bytes(*prefix));
        if !(TAG_LEN..=PLAINTEXT_LEN_MAX + TAG_LEN).contains(&len) {
            return Err(Broken);
        }
        let Some(ciphertext) = wire.get(LENGTH_PREFIX_LEN..LENGTH_PREFIX_LEN + len) else { return Ok(None) };
        let mut plaintext = vec![0; len];
        let plaintext_len = self.transport.read_message(ciphertext, &mut plaintext)?;
        plaintext.truncate(plaintext_len);
        wire.drain(..LENGTH_PREFIX_LEN + len);
        self.opened += 1;
        if self.opened.is_multiple_of(REKEY_FRAMES) {
            self.transport.rekey_incoming();
        }
        Ok(Some(plaintext))
    }
}
