//! What the fuzz targets share: a flash in memory and an update on it.
//!
//! A target takes bytes from outside and states what must hold whatever they are; libFuzzer looks for bytes for which
//! it does not. `cargo xtask fuzz` runs all of them.

mod debug;
mod delta;
mod flash;
mod manifest;
mod update;

pub use debug::{Application, Debugged};
pub use delta::check_patch;
pub use flash::RamFlash;
pub use manifest::check_manifest;
pub use update::{DIE_PAGE, Served, World, boot, snapshots};
