//! TrustZone-M of the Cortex-M33: who may touch what, who runs, how a world is entered and left.
//!
//! All assembly of the project lives here. The board crate supplies six symbols that are called from here:
//! `bulkhead_main`, `bulkhead_build`, `bulkhead_tick`, `bulkhead_device_interrupt`, `bulkhead_poll` and
//! `bulkhead_gateway`.
//!
//! Invariants, held by [`switch`]:
//! 1. The application runs only while [`switch`] says so; a stopped application has no enabled interrupt, no
//!    active exception and the processor's base priority shuts out every priority it could have.
//! 2. The executor (PendSV, priority 0x40) is never re-entered and is the only place where worlds are switched.
//! 3. No non-secure code runs above the worker: see [`worker`].
//! 4. Nothing here waits for non-secure code.
//!
//! # Source
//! Arm v8-M Architecture Reference Manual (DDI 0553), chapters B3 (exceptions), B10 (SAU) and D1 (registers).
#![no_std]
#![deny(clippy::unwrap_used, clippy::expect_used)]

#[cfg(all(target_arch = "arm", target_os = "none"))]
mod arm {
    mod copy;
    pub mod critical;
    pub mod debug;
    mod entrance;
    mod exception;
    pub mod faults;
    pub mod float;
    pub mod gateways;
    pub mod guards;
    mod held_frame;
    mod homecoming;
    pub mod hop;
    pub mod interrupts;
    pub mod memory_check;
    pub mod partition;
    pub mod peek;
    mod registers;
    pub mod start;
    pub mod switch;
    pub mod tick;
    pub mod worker;
}
#[cfg(all(target_arch = "arm", target_os = "none"))]
pub use arm::*;

mod classify;
#[cfg(any(test, all(target_arch = "arm", target_os = "none")))]
mod share;
pub use classify::{FaultRegisters, Offence, classify};
