//! Debugs the application from the hypervisor: looks, changes, stops, steps.
//!
//! The [`Agent`] takes requests of `bulkhead-debug-protocol` and drives a [`DebugTarget`], which has no breakpoint
//! comparators: it puts `BKPT` in place of code and computes where each instruction leads. It never waits: each call
//! is one bounded slice. The invariant: whenever the application is not being run by the agent's order, no half-word
//! of its code is missing from what any reader sees, and `Agent::ended` leaves none behind.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::wildcard_enum_match_arm)]

mod agent;
mod conditions;
mod crc;
mod expression;
mod motion;
mod next;
mod probes;
mod target;

pub use agent::Agent;
pub use expression::{Unanswered, evaluate};
pub use next::{Masks, Next, PLACES_MAX, Place, condition_holds, is_wide, next};
pub use probes::PROBES_MAX;
pub use target::{AccessRefused, DebugTarget, Interrupts, Memory, StopCause, Width};
