//! Self-hosted debugging on Armv8-M silicon: breakpoint comparators (FPB), data watchpoints (DWT), DebugMonitor.
//!
//! **This has never run on silicon.** It is written from the architecture's pseudocode and tested against a model of its
//! registers (`tests/model`), which obeys the facts that the code relies on; what the model does not know, nobody has
//! tried. The emulated board has none of these registers: there breakpoints are instructions, see the chip's crate.
//!
//! [`MonitorTarget`] wraps the `DebugTarget` of a board: breakpoints in flash become comparators, and where those do not
//! suffice the processor steps until one of the further places is reached. [`DebugUnit`] holds the registers. Its
//! invariant: what the comparators hold is what the shadow says, written anew before the application runs, for the
//! application may write to them as well.
//!
//! # Source
//! Armv8-M Architecture Reference Manual (DDI 0553): chapters B11 (debug), B12 (DWT), B13 (FPB) and D1 (registers).
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

mod boundary;
mod monitor;
pub mod registers;
mod target;
mod unit;

pub use boundary::begins_instruction;
pub use monitor::{Entry, Owner, Reason, Verdict};
pub use target::MonitorTarget;
pub use unit::{BREAKPOINTS_MAX, DebugUnit, NoWatch, Unusable, WATCHES_MAX};

/// The registers of the debug units, reached from the secure world.
///
/// # Laws
/// 1. `read` and `write` are one access of 32 bits each, in program order.
/// 2. After `mask_until_exception_return` no exception but NMI and HardFault is taken until the next return from an
///    exception, which ends the mask by itself: what FAULTMASK of the secure world does.
pub trait DebugRegisters {
    /// Reads a register.
    fn read(&mut self, address: u32) -> u32;
    /// Writes a register.
    fn write(&mut self, address: u32, value: u32);
    /// Holds DebugMonitor back until the current exception returns.
    fn mask_until_exception_return(&mut self);
}
