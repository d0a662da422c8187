//! The application's say in its own updates.

use crate::gateway::{call_0, call_1, checked};
use crate::{Error, abi};

/// Applies a staged update now; the application is stopped soon after this call returns.
///
/// # Errors
/// [`Error::NothingPending`]: none is staged.
pub fn apply_now() -> Result<(), Error> {
    checked(call_0(abi::SLOT_BH_UPDATE_APPLY_NOW))
}

/// Keeps a staged update waiting; the owner can override.
///
/// # Errors
/// [`Error::NothingPending`]: none is staged. [`Error::ArgumentRefused`], [`Error::LimitReached`]: too long.
pub fn postpone(seconds: u32) -> Result<(), Error> {
    checked(call_1(abi::SLOT_BH_UPDATE_POSTPONE, seconds as usize))
}

/// Says that this version works: it is kept.
///
/// # Errors
/// None that a sound application can cause.
pub fn confirm() -> Result<(), Error> {
    checked(call_0(abi::SLOT_BH_UPDATE_CONFIRM))
}
