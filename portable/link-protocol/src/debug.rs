//! What carries a debug session between developer and device. Its content is sealed between the two.

use bulkhead_keyed_cbor::{choice, record};
use minicbor::bytes::ByteSlice;

/// Longest piece of a debug session in one frame, in bytes.
pub const DEBUG_BYTES_MAX: usize = 1008;

record! { Map
/// A piece of a debug session: a message of its handshake, or one sealed message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DebugFrame<'b> {
    /// Chosen by the server, another for each session of a device.
    #[n(0)]
    pub session: u32,
    /// At most [`DEBUG_BYTES_MAX`] bytes.
    #[n(1)]
    pub bytes: &'b ByteSlice,
}
}

record! { Map
/// The server ends a debug session: its developer left, or another takes over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DebugClose {
    /// The session.
    #[n(0)]
    pub session: u32,
}
}

choice! {
/// Why a device ended a debug session, or did not begin it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DebugEnd {
    /// The running bundle names no key of a developer.
    #[n(0)]
    NoKey,
    /// It names others than this one.
    #[n(1)]
    OtherKey,
    /// The handshake was meant for another device, manifest or session.
    #[n(2)]
    Handshake,
    /// A message was not authentic, or broke the protocol.
    #[n(3)]
    Broken,
    /// The application that the session was for is no longer the one that runs.
    #[n(4)]
    OtherManifest,
}
}

record! { Map
/// The device ended a debug session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DebugClosed {
    /// The session.
    #[n(0)]
    pub session: u32,
    /// Why.
    #[n(1)]
    pub end: DebugEnd,
}
}
