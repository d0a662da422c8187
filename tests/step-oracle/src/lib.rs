//! The step oracle: programs are stepped twice, by QEMU's own debugger and by the product, and after every instruction
//! the registers must be equal.
//!
//! Differences that are allowed, each because an instruction cannot be stepped as such on a processor without help for
//! debuggers: a sequence from an exclusive load to its store is one step; a call through a gateway is one; `WFI` and
//! `WFE` count as done; a `BKPT` of the application's own is gone past. For the last two the reference executes `NOP`, so
//! that what they do to an IT block is compared as well.
//!
//! ```text
//! generate (seed) -> Job -> trace by Machine (QEMU's stub)  = follow by Stack (bridge, server, link, agent)
//!                                                           = follow by Direct (the same, interrupts let in)
//!                                                           = follow by Bench (the agent here, the processor in QEMU)
//! ```
#![forbid(unsafe_code)]

mod assembler;
pub mod bench;
pub mod compare;
pub mod direct;
pub mod generate;
pub mod job;
mod jumps;
pub mod machine;
pub mod mistakes;
mod plain;
mod random;
pub mod remote;
pub mod run;
pub mod stack;

pub use assembler::{CODE, Code};
