//! What carries a debug session between developer and device. Its content is sealed between the two.

use minicbor::bytes::ByteSlice;
use minicbor::{Decode, Encode};

/// Longest piece of a debug session in one frame, in bytes.
pub const DEBUG_BYTES_MAX: usize = 1008;

/// A piece of a debug session: a message of its handshake, or one sealed message.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(map)]
pub struct DebugFrame<'b> {
    /// Chosen by the server, another for each session of a device.
    #[n(0)]
    pub session: u32,
    /// At most [`DEBUG_BYTES_MAX`] bytes.
    #[b(1)]
    pub bytes: &'b ByteSlice,
}

/// The server ends a debug session: its developer left, or another takes over.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(map)]
pub struct DebugClose {
    /// The session.
    #[n(0)]
    pub session: u32,
}

/// Why a device ended a debug session, or did not begin it.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(index_only)]
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

/// The device ended a debug session.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
#[cbor(map)]
pub struct DebugClosed {
    /// The session.
    #[n(0)]
    pub session: u32,
    /// Why.
    #[n(1)]
    pub end: DebugEnd,
}
