//! Requests and replies of a remote debug session, batched and versioned.
//!
//! Normative text: `docs/spec/debug-protocol.md`. A message is a CBOR sequence: its type, its number, then pairs of a
//! small integer and a map. Several operations travel in one request and are answered together, so that a stop of the
//! application costs one round trip. Unknown numbers and unknown keys are skipped.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::wildcard_enum_match_arm)]

mod bodies;
mod limits;
mod message;
mod registers;

pub use bodies::*;
pub use limits::*;
pub use message::{
    Answer, Event, MessageType, MoreFollows, Operation, Pairs, Reply, Request, Unreadable, Wire, Writer,
    encode_event, fuzz_message, message_type, parse_event, parse_events, parse_reply, parse_request,
};
pub use registers::{Core, Float, Register, RegisterFile, System, Words};
