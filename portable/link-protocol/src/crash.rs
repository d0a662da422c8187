//! What carries crash dumps to the server. Their content is sealed for developers.

use minicbor::bytes::ByteSlice;
use minicbor::{Decode, Encode};

/// Longest piece of a dump in one frame, in bytes.
pub const CRASH_PIECE_LEN_MAX: usize = 960;

/// Longest dump that a server takes, in bytes.
pub const CRASH_LEN_MAX: u32 = 1 << 20;

/// Names a dump: random, chosen by the device.
pub type CrashId = [u8; 16];

/// The device holds a dump for the server.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(map)]
pub struct CrashOffer {
    /// The dump.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub crash: CrashId,
    /// Its length in bytes, at most [`CRASH_LEN_MAX`].
    #[n(1)]
    pub len: u32,
}

/// A piece of the dump that the server wants.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(map)]
pub struct CrashPiece<'b> {
    /// The dump.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub crash: CrashId,
    /// Offset of the first byte.
    #[n(1)]
    pub offset: u32,
    /// At most [`CRASH_PIECE_LEN_MAX`] bytes.
    #[b(2)]
    pub bytes: &'b ByteSlice,
}

/// The server wants a dump, from where it has it.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(map)]
pub struct CrashWanted {
    /// The dump.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub crash: CrashId,
    /// Bytes that the server has already.
    #[n(1)]
    pub offset: u32,
}

/// The server is done with a dump.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(map)]
pub struct CrashDone {
    /// The dump.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub crash: CrashId,
    /// Whether it is kept, and the device may forget it; else the device offers nothing more on this link.
    #[n(1)]
    pub kept: bool,
}
