//! Whether the device is online, and why.

use crate::{Error, abi, gateway};

/// State of the link to the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Status {
    /// No address yet.
    Offline,
    /// Connecting or waiting to retry.
    Connecting,
    /// The server has answered.
    Online,
    /// A state of a later version.
    Unknown(u32),
}

/// State of the link to the server.
///
/// # Errors
/// None that a sound application can cause.
pub fn status() -> Result<Status, Error> {
    Ok(match gateway::read_u32(abi::SLOT_BH_NETWORK_STATUS_READ)? {
        abi::BH_NETWORK_STATUS_OFFLINE => Status::Offline,
        abi::BH_NETWORK_STATUS_CONNECTING => Status::Connecting,
        abi::BH_NETWORK_STATUS_ONLINE => Status::Online,
        other => Status::Unknown(other),
    })
}

/// The `BH_NETWORK_REASON_` bits of [`crate::abi`].
///
/// # Errors
/// None that a sound application can cause.
pub fn reasons() -> Result<u32, Error> {
    gateway::read_u32(abi::SLOT_BH_NETWORK_REASONS_READ)
}
