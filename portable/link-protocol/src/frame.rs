//! From message to plaintext and back.

use bulkhead_keyed_cbor::{Malformed, Writer};

use crate::message::{DeviceMessage, ServerMessage};
use crate::{PLAINTEXT_LEN_MAX, message::Wire};

/// Lanes of the link; a lower number is sent first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Lane {
    /// Identity, state, commands, keepalive.
    Control = 0,
    /// Sealed debug frames.
    Debug = 1,
    /// Datagrams of the application.
    Application = 2,
    /// Manifests and pages of a bundle.
    Update = 3,
    /// Log records.
    Log = 4,
    /// Crash dumps.
    Crash = 5,
}

impl Lane {
    /// Number of lanes.
    pub const COUNT: usize = 6;

    /// The lane with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Control,
            1 => Self::Debug,
            2 => Self::Application,
            3 => Self::Update,
            4 => Self::Log,
            5 => Self::Crash,
            _ => return None,
        })
    }
}

/// A decoded frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame<M> {
    /// A message that this version knows.
    Known(M),
    /// A lane or kind of a newer version: to be skipped.
    Unknown {
        /// Lane byte as received.
        lane: u8,
        /// Kind byte as received.
        kind: u8,
    },
}

/// Why a plaintext is not a frame. Both are the peer's fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FrameError {
    /// Shorter than the two header bytes, or longer than [`PLAINTEXT_LEN_MAX`].
    Length(usize),
    /// The body of a known kind is not the CBOR that its clause prescribes.
    Body {
        /// Lane byte as received.
        lane: u8,
        /// Kind byte as received.
        kind: u8,
    },
    /// Our own message does not fit the buffer or the limit: a fault of the sender.
    DoesNotFit,
}

impl core::fmt::Display for FrameError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Length(len) => write!(f, "frame of {len} bytes is outside 2 to {PLAINTEXT_LEN_MAX}"),
            Self::Body { lane, kind } => write!(f, "body of frame {lane}/{kind} is malformed"),
            Self::DoesNotFit => write!(f, "message does not fit a frame"),
        }
    }
}

impl core::error::Error for FrameError {}

/// Writes `message` as a plaintext into `out` and returns its length in bytes.
///
/// # Errors
/// [`FrameError::DoesNotFit`]: `out` is too short or the message exceeds [`PLAINTEXT_LEN_MAX`].
pub fn encode<'b, M: Wire<'b>>(message: &M, out: &mut [u8]) -> Result<usize, FrameError> {
    let (lane, kind) = message.lane_and_kind();
    let limit = out.len().min(PLAINTEXT_LEN_MAX);
    let (header, body) =
        out.get_mut(..limit).and_then(|o| o.split_at_mut_checked(2)).ok_or(FrameError::DoesNotFit)?;
    header.copy_from_slice(&[lane as u8, kind]);
    let mut writer = Writer::new(body);
    message.encode_body(&mut writer);
    Ok(2 + writer.written().ok_or(FrameError::DoesNotFit)?)
}

/// Reads a plaintext as a message of the peer.
///
/// # Errors
/// [`FrameError::Length`] and [`FrameError::Body`]: the peer's fault; the link is to be closed.
pub fn decode<'b, M: Wire<'b>>(plaintext: &'b [u8]) -> Result<Frame<M>, FrameError> {
    if plaintext.len() > PLAINTEXT_LEN_MAX {
        return Err(FrameError::Length(plaintext.len()));
    }
    let [lane, kind, body @ ..] = plaintext else { return Err(FrameError::Length(plaintext.len())) };
    let (lane, kind) = (*lane, *kind);
    match M::decode_body(lane, kind, body) {
        Ok(Some(message)) => Ok(Frame::Known(message)),
        Ok(None) => Ok(Frame::Unknown { lane, kind }),
        Err(Malformed) => Err(FrameError::Body { lane, kind }),
    }
}

const _: () = {
    const fn is_wire<'b, M: Wire<'b>>() {}
    is_wire::<DeviceMessage<'_>>();
    is_wire::<ServerMessage<'_>>();
};
