//! The application's say in its own updates.

use crate::gateway::{call_0, call_1, checked, fill};
use crate::{Error, abi};

/// Where an update stands.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct Status {
    version: u32,
    /// A `BH_UPDATE_STAGE_` of [`crate::abi`].
    pub stage: u32,
    /// Pages done in this stage.
    pub pages_done: u32,
    /// Pages of this stage.
    pub pages_total: u32,
    /// Pages that applying will write, once it is ready.
    pub pages_to_write: u32,
    /// Estimate of how long the application will stand still, in milliseconds, once it is ready.
    pub downtime_ms: u32,
    /// Seconds until it is applied unless it is postponed further; `u32::MAX` unless it is ready.
    pub apply_in_s: u32,
    /// Seconds from now beyond which it cannot be postponed, once it is ready.
    pub postpone_left_s: u32,
}
const _: () = assert!(size_of::<Status>() == abi::SIZE_BH_UPDATE_STATUS);

/// Where the update stands.
///
/// # Errors
/// [`Error::VersionUnknown`]: the hypervisor is older than ABI 2.
pub fn status() -> Result<Status, Error> {
    let mut status = Status { version: abi::BH_UPDATE_STATUS_VERSION, ..Status::default() };
    fill(abi::SLOT_BH_UPDATE_STATUS_READ, &mut status)?;
    Ok(status)
}

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
