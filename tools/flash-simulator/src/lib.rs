//! Flash with the laws of the real parts, and power that fails anywhere.
//!
//! A [`SimulatedFlash`] keeps laws 1 to 9 of [`bulkhead_nor_flash::NorFlash`] to the letter. Several memories
//! share one [`Power`]: it counts every erase and program, and fails before, inside or after the one it is told.
//! From then on every access fails, so code under test cannot do anything more, whatever it tries.
//!
//! What a cut leaves behind is *torn*: at each power-on the torn units of one cut are read anew, as they were
//! before, as they should have become, as erased, as unreadable, or as a seeded mixture ([`Reading`]). A torn unit
//! heals only by a whole erase. Parts also wear: see [`Wear`]. A [`Cut`] and the readings after it print as a replay id and parse back from it.
#![forbid(unsafe_code)]

mod cells;
mod flash;
mod power;

pub use cells::{Cells, Reading};
pub use flash::{SimulatedFlash, Wear};
pub use power::{Cut, Moment, Power, Recorded, Traced, TracedKind};
