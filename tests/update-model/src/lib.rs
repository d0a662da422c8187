//! The rules of the update journal, checked state by state.
//!
//! `tests/power-cut` cuts the power of the real engine. This is the protocol of `docs/spec/update.md` alone, so small
//! that many cuts in a row can be tried, and with a switch for each of the rules R1 to R8: with all of them no cut leads
//! to an unsafe start or loses an apply; without one of them, as far as [`Found`] says, some cuts do.
//!
//! What it leaves out: manifest slots, signatures, patches, and that a page takes several records of staging. A torn
//! page reads as what it was to hold or as garbage; a torn copy of a record also as erased, for that makes a
//! difference. The model keeps one mark a page, so that the journal wraps in every update.
#![forbid(unsafe_code)]

mod check;
mod flash;
mod protocol;

pub use check::{Found, Level, Search, search};
pub use flash::{Cell, Flash, Record, State};
pub use protocol::Rules;
