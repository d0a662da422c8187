//! CBOR maps with small integer keys: what the link and debug sessions speak, in as little code as a device can have.
//!
//! A struct becomes a table of its members, which one reader and one writer walk; code derived for each struct took three
//! times the flash. See `docs/decisions/footprint.md`.
//!
//! Written is the shortest form of everything, keys in order, absent members left out. Read is any length of a number,
//! any order of keys and maps of indefinite length; unknown keys are skipped, the last of a repeated key counts.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::wildcard_enum_match_arm)]

mod declare;
mod reader;
mod values;
mod writer;

pub use reader::{Member, Reader, Slot};
pub use values::{Decode, Encode};
pub use writer::Writer;

/// Bytes are not what the specification prescribes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Malformed;

/// How a struct travels.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shape {
    /// Each member behind its number.
    Map,
    /// The members in the order of their numbers, from 0.
    Array,
}

/// Kinds of items, as the upper three bits of their first byte (RFC 8949, 3.1).
pub(crate) mod major {
    pub(crate) const NUMBER: u8 = 0;
    pub(crate) const NEGATIVE: u8 = 1;
    pub(crate) const BYTES: u8 = 2;
    pub(crate) const TEXT: u8 = 3;
    pub(crate) const ARRAY: u8 = 4;
    pub(crate) const MAP: u8 = 5;
    pub(crate) const TAG: u8 = 6;
}

pub(crate) const FALSE: u8 = 0xF4;
pub(crate) const TRUE: u8 = 0xF5;
pub(crate) const NULL: u8 = 0xF6;
pub(crate) const BREAK: u8 = 0xFF;
