//! Why a link ended.

use core::fmt;

use bulkhead_link_protocol::FrameError;

/// Longest stay-away that a refusal can ask for, in seconds. A refusal is not authenticated, so whoever sits on the
/// wire can forge one: it must not silence a device for longer than that.
pub const REFUSAL_RETRY_MAX_S: u32 = 3600;

/// Why a server refused a handshake; the number on the wire.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RefusalReason {
    /// 1: too many devices connect at once.
    Busy,
    /// 2: the server does not know this device.
    UnknownDevice,
    /// 3: the owner revoked this device.
    Revoked,
    /// 4: the handshake does not fit any of the server's keys, or the realm.
    Handshake,
    /// 5: the server does not speak this version of the link.
    Version,
    /// A reason of a later version.
    Other(u16),
}

impl RefusalReason {
    /// The number on the wire.
    pub const fn number(self) -> u16 {
        match self {
            Self::Busy => 1,
            Self::UnknownDevice => 2,
            Self::Revoked => 3,
            Self::Handshake => 4,
            Self::Version => 5,
            Self::Other(number) => number,
        }
    }

    /// The reason with this number.
    pub const fn from_number(number: u16) -> Self {
        match number {
            1 => Self::Busy,
            2 => Self::UnknownDevice,
            3 => Self::Revoked,
            4 => Self::Handshake,
            5 => Self::Version,
            other => Self::Other(other),
        }
    }
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Closed {
    /// The server refused before the handshake ended. Not authenticated.
    Refused {
        /// Why.
        reason: RefusalReason,
        /// Seconds to stay away, as asked.
        retry_in_s: u32,
    },
    /// The server asked the device to leave.
    GoAway {
        /// Seconds to stay away, as asked.
        reconnect_in_s: u32,
    },
    /// The handshake did not end in time.
    HandshakeTimeout,
    /// The server's handshake message is wrong: another key, another realm, or changed on the way.
    HandshakeFailed,
    /// A frame is not authentic: changed, replayed, out of order or from another link.
    FrameForged,
    /// A frame's length field is impossible.
    FrameLength(u16),
    /// The server sent an authentic frame that is malformed.
    FrameMalformed(FrameError),
    /// The server did not answer a keepalive.
    Silent,
    /// The connection ended beneath the session.
    ConnectionLost {
        /// Whether the handshake had ended by then.
        established: bool,
    },
    /// More frames than a key may protect: never reached, since keys are renewed long before.
    Exhausted,
}

impl Closed {
    /// Whether the end suggests that the server's key is not the one that was used.
    pub const fn is_failed_handshake(&self) -> bool {
        matches!(
            self,
            Self::HandshakeTimeout
                | Self::HandshakeFailed
                | Self::Refused { reason: RefusalReason::Handshake, .. }
                | Self::ConnectionLost { established: false }
        )
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { reason, retry_in_s } => {
                let why = match reason {
                    RefusalReason::Busy => "it is busy",
                    RefusalReason::UnknownDevice => "it does not know this device",
                    RefusalReason::Revoked => "the owner revoked this device",
                    RefusalReason::Handshake => "the handshake does not fit its keys",
                    RefusalReason::Version => "it does not speak this version of the link",
                    RefusalReason::Other(_) => "of a reason unknown here",
                };
                write!(f, "the server refused because {why}; retry in {retry_in_s} s")
            }
            Self::GoAway { reconnect_in_s } => {
                write!(f, "the server asked to reconnect in {reconnect_in_s} s")
            }
            Self::HandshakeTimeout => write!(f, "the server did not finish the handshake in time"),
            Self::HandshakeFailed => write!(f, "the server's handshake does not fit the pinned key"),
            Self::FrameForged => write!(f, "a frame from the server is not authentic"),
            Self::FrameLength(len) => write!(f, "the server announced a frame of {len} bytes"),
            Self::FrameMalformed(error) => write!(f, "the server sent a malformed frame: {error}"),
            Self::Silent => write!(f, "the server did not answer a keepalive"),
            Self::ConnectionLost { .. } => write!(f, "the connection was lost"),
            Self::Exhausted => write!(f, "the session sent all frames that a key allows"),
        }
    }
}
