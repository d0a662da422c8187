//! Stages, verifies and applies a bundle so that power may fail at any moment.
//!
//! Normative text: `docs/spec/update.md`. Content decides; the journal only states intent. Everything that will
//! be written is sealed in staging and verified while the application runs, so applying is an idempotent copy of
//! whole pages. [`Engine`] touches no clock, no socket and no random source: flash is lent to each call, bytes
//! from the server are passed in.
//!
//! The caller's loop:
//! 1. [`Engine::boot`] once, then [`Engine::step`] until it returns something other than [`Step::Working`].
//! 2. On [`Step::StartApplication`] start the application; on [`Step::ReadyToApply`] stop it and call
//!    [`Engine::allow_apply`].
//! 3. Hand over [`Engine::offer`], [`Engine::chunk`] and [`Engine::unavailable`] as the server sends them, send
//!    what [`Engine::wanted`] returns, call [`Engine::link_lost`] when the link went down; step again after each.
//!
//! 4. The owner's keys: [`Engine::offer_key_set`] as the server sends it, [`Engine::set_clock`] before each offer.
//!
//! Feature `seeded-bugs` adds engines with one deliberate mistake each, for the power-cut suite to catch.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

mod api;
mod application;
mod apply;
mod engine;
mod in_place;
mod journal;
mod keys;
mod layout;
mod manifest;
mod owner;
mod patch;
mod patch_io;
mod reason;
mod refusal;
mod rules;
mod stage;
mod staging;
mod trial;

pub use api::{
    Boot, Cancelled, Changes, Entry, Floors, KeySetStatus, OwnedArea, PageCount, StartCause, Status, Step,
    Trial,
};
pub use bulkhead_checksum::crc32;
pub use engine::{Engine, Workspace};
pub use keys::KEY_SLOTS;
pub use layout::{
    DeviceFacts, JOURNAL_PAGES_MAX, JOURNAL_PAGES_MIN, Layout, LayoutError, Memory, OWNER_KEYS_MAX,
    PAGE_LEN_MAX, Part, SECTOR_LEN_MAX,
};
#[cfg(feature = "seeded-bugs")]
pub use rules::seeded_bugs;
pub use rules::{Rules, Sound};
