//! State machine of one link, both ends.
//!
//! Normative text: `docs/spec/link.md`. Bytes and `now` go in, bytes and events come out; no socket, clock or random
//! source is touched. A [`DeviceSession`] is one connection: when it closes, [`Reconnect`] says when to try again and
//! with which server key, and a new session is made. The invariant: nothing of a frame is looked at before its
//! authentication held, and no lane waits for a lane of lower priority for longer than one frame.
//!
//! The device's end allocates nothing and is built on `clatter`; the server's end is built on `snow`, so that two
//! independent implementations of Noise check each other.
//!
//! # Features
//! * `server`: [`server`], the gateway's end, with the standard library.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

#[cfg(feature = "server")]
extern crate std;

mod closed;
mod device;
mod handshake;
mod keepalive;
mod lane_queue;
mod reconnect;
#[cfg(feature = "server")]
pub mod server;

pub use closed::{Closed, REFUSAL_RETRY_MAX_S, RefusalReason};
pub use device::{DeviceSession, Event, SendError};
pub use handshake::{HandshakeDone, HandshakeJob, LinkKeys, Noise, key_pair};
pub use keepalive::Keepalive;
pub use reconnect::{Reconnect, ServerKey};

use bulkhead_link_protocol::{CIPHERTEXT_LEN_MAX, LENGTH_PREFIX_LEN};

/// Longest frame on the wire in bytes, length field included: 1,042.
pub const FRAME_LEN_MAX: usize = LENGTH_PREFIX_LEN + CIPHERTEXT_LEN_MAX;

/// Room for unsent control messages in bytes.
pub const CONTROL_QUEUE_LEN: usize = 1280;

/// Room for unsent debug messages in bytes: one of the greatest length.
pub const DEBUG_QUEUE_LEN: usize = 1026;

/// Room for unsent messages of the application and its configuration in bytes: one of the greatest length.
pub const APPLICATION_QUEUE_LEN: usize = 1026;

/// Room for unsent update messages in bytes.
pub const UPDATE_QUEUE_LEN: usize = 640;

/// Room for unsent log records in bytes.
pub const LOG_QUEUE_LEN: usize = 2048;

/// Room for unsent pieces of crash dumps in bytes: one of the greatest length.
pub const CRASH_QUEUE_LEN: usize = 1026;

/// Longest time from opening the connection to the end of the handshake.
pub const HANDSHAKE_TIMEOUT_MS: u64 = 30_000;

/// Longest time a server may take to answer a keepalive.
pub const PING_TIMEOUT_MS: u64 = 20_000;

/// Longest time from the first byte of a frame to its last: what stalls longer is dead.
pub const FRAME_TIMEOUT_MS: u64 = 60_000;
