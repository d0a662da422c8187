//! The attack matrix: every way into what is not the application's, through everything it has.
//!
//! Rows are made from the board's description, the chip's map and the table of system calls, so that nothing new is
//! forgotten. Many are committed in one run of the device: an application that was stopped is started again by the
//! server's command, which proves each time that the link works and that commands are obeyed.

mod calls;
mod registers;
mod row;
mod rows;
mod run;
mod seeds;
mod spans;
mod verdict;

pub use calls::{ArgumentKind, kind};

#[cfg(test)]
pub(crate) use row::number;
pub use row::{Back, Class, Expected, Place, Row};
pub use rows::rows;
pub use run::{Report, run};
pub use seeds::{Found, Image, SEEDS, Seed, finds};
pub use spans::{Foreign, foreign};
pub use verdict::{Escape, judge_row, row_is_over, went_unheard};
