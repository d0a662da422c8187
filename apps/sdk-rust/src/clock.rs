//! Time. All values are microseconds.

use crate::{Error, abi, gateway};

/// Microseconds since power came on; never goes back.
///
/// # Errors
/// None that a sound application can cause.
pub fn monotonic_us() -> Result<u64, Error> {
    gateway::read_u64(abi::SLOT_BH_CLOCK_MONOTONIC_READ_US)
}

/// Microseconds since 1970-01-01 UTC. May jump when the server corrects it.
///
/// # Errors
/// [`Error::NotYetKnown`] until the server told the time.
pub fn wall_us() -> Result<u64, Error> {
    gateway::read_u64(abi::SLOT_BH_CLOCK_WALL_READ_US)
}
