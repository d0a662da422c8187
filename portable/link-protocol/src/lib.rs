//! Frames between device and server: bytes, versions, limits.
//!
//! Normative text: `docs/spec/link.md`. A frame's plaintext is `lane:u8 | kind:u8 | body`, where the body is a
//! deterministic CBOR map with small integer keys. Unknown kinds and unknown keys are skipped, so a fleet of
//! several generations keeps working.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::wildcard_enum_match_arm)]

mod application;
mod crash;
mod debug;
mod frame;
mod limits;
mod message;
mod plan;
mod reason_code;
mod wear;

pub use application::*;
pub use crash::{
    CRASH_LEN_MAX, CRASH_PIECE_LEN_MAX, CrashDone, CrashId, CrashOffer, CrashPiece, CrashWanted,
};
pub use debug::{DEBUG_BYTES_MAX, DebugClose, DebugClosed, DebugEnd, DebugFrame};
pub use frame::{Frame, FrameError, Lane, decode, encode};
pub use limits::*;
pub use message::*;
pub use plan::{PATCHES_MAX, PatchOffer, PatchOffers, Plan, PlanRequest, StagingMode};
pub use reason_code::ReasonCode;
pub use wear::{TrialState, Wear};
