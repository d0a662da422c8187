//! Reads `board.toml`, the one description of who owns what on a board, and generates what follows from it.
//!
//! Hypervisor image, application linker script and command-line tool all start from the same file, so that
//! no address is written down twice.
#![forbid(unsafe_code)]

mod description;
mod generate;

pub use description::*;
pub use generate::*;

/// The virtual board's description, as committed.
pub const MPS2_AN505: &str = include_str!("../../../boards/mps2-an505/board.toml");
