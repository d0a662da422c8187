//! Debugs the application from the hypervisor: looks, changes, stops, steps.
//!
//! The [`Agent`] takes requests of `bulkhead-debug-protocol` and drives a [`DebugTarget`], which has no breakpoint
//! comparators: it puts `BKPT` in place of code and computes where each instruction leads. It never waits: each call
//! is one bounded slice. The invariant: whenever the application is not being run by the agent's order, no half-word
//! of its code is missing from what any reader sees, and `Agent::ended` leaves none behind.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::wildcard_enum_match_arm)]

mod accesses;
mod agent;
mod along;
mod conditions;
mod crc;
mod expression;
mod glance;
mod motion;
mod next;
mod pictures;
mod printing;
mod probes;
mod records;
mod target;
mod watches;

pub use accesses::{Access, Direction, access};
pub use agent::{Agent, Permission};
pub use expression::{Unanswered, command, evaluate};
pub use glance::Glance;
pub use next::{Masks, Next, PLACES_MAX, Place, condition_holds, is_wide, next};
pub use printing::Text;
pub use probes::{ACTIONS_PER_SECOND_MAX, PROBES_MAX};
pub use target::{AccessRefused, DebugTarget, GUARD_GRAIN, Hop, Interrupts, Memory, StopCause, Width};
pub use watches::WATCHES_MAX;
