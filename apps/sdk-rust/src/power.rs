//! Sleep.

use crate::gateway::{call_1, checked, read_u32};
use crate::{Error, abi};

/// What ended a sleep.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wake {
    /// The time was over.
    Deadline,
    /// A notification came.
    Notification,
    /// Another reason, of a later version.
    Unknown(u32),
}

/// Says that there is nothing to do for so many milliseconds. Returns at once: wait with `WFI`, and ask [`wake`]. 0 ends a
/// sleep before its time, when an interrupt gave the application something to do.
///
/// # Errors
/// [`Error::ArgumentRefused`]: more than a day.
pub fn sleep(milliseconds: u32) -> Result<(), Error> {
    checked(call_1(abi::SLOT_BH_POWER_SLEEP, milliseconds as usize))
}

/// What ended the sleep.
///
/// # Errors
/// [`Error::Busy`]: it goes on. [`Error::NothingPending`]: none was begun.
pub fn wake() -> Result<Wake, Error> {
    Ok(match read_u32(abi::SLOT_BH_POWER_WAKE_READ)? {
        abi::BH_WAKE_DEADLINE => Wake::Deadline,
        abi::BH_WAKE_NOTIFICATION => Wake::Notification,
        other => Wake::Unknown(other),
    })
}

/// Sleeps until a notification comes or the time is over; `idle` waits for an interrupt, as `cortex_m::asm::wfi` does.
///
/// # Errors
/// As [`sleep`]; [`Error::NothingPending`]: 0 milliseconds.
pub fn sleep_until_woken(milliseconds: u32, mut idle: impl FnMut()) -> Result<Wake, Error> {
    sleep(milliseconds)?;
    loop {
        match wake() {
            Err(Error::Busy) => idle(),
            other => return other,
        }
    }
}
