//! What carries crash dumps to the server. Their content is sealed for developers.

use bulkhead_keyed_cbor::record;
use minicbor::bytes::ByteSlice;

/// Longest piece of a dump in one frame, in bytes.
pub const CRASH_PIECE_LEN_MAX: usize = 960;

/// Longest dump that a server takes, in bytes.
pub const CRASH_LEN_MAX: u32 = 1 << 20;

/// Names a dump: random, chosen by the device.
pub type CrashId = [u8; 16];

record! { Map
/// The device holds a dump for the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CrashOffer {
    /// The dump.
    #[n(0)]
    pub crash: CrashId,
    /// Its length in bytes, at most [`CRASH_LEN_MAX`].
    #[n(1)]
    pub len: u32,
}
}

record! { Map
/// A piece of the dump that the server wants.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CrashPiece<'b> {
    /// The dump.
    #[n(0)]
    pub crash: CrashId,
    /// Offset of the first byte.
    #[n(1)]
    pub offset: u32,
    /// At most [`CRASH_PIECE_LEN_MAX`] bytes.
    #[n(2)]
    pub bytes: &'b ByteSlice,
}
}

record! { Map
/// The server wants a dump, from where it has it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CrashWanted {
    /// The dump.
    #[n(0)]
    pub crash: CrashId,
    /// Bytes that the server has already.
    #[n(1)]
    pub offset: u32,
}
}

record! { Map
/// The server is done with a dump.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CrashDone {
    /// The dump.
    #[n(0)]
    pub crash: CrashId,
    /// Whether it is kept, and the device may forget it; else the device offers nothing more on this link.
    #[n(1)]
    pub kept: bool,
}
}
