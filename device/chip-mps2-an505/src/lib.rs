//! Drivers of QEMU's mps2-an505.
//!
//! # Source
//! Arm AN505 (SSE-200 subsystem for MPS2+), Arm CoreLink SSE-200 TRM, SMSC LAN9118 data sheet.
#![no_std]
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

mod breakpoints;
mod lan9118;
mod nvm;
mod protection;
mod register;
mod uart;

pub use breakpoints::Breakpoints;
pub use lan9118::Lan9118;
pub use nvm::{DIE_TIMES, EXTERNAL_TIMES, NvmFlash, NvmKind};
pub use protection::{Sram3Share, assign_peripheral, assign_sram3};
pub use uart::Uart;
