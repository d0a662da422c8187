//! Whether the device is online, and why; the application's wish for the network; what the device was told of it.

use core::net::Ipv4Addr;

use crate::gateway::{call_0, checked};
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

/// Says that the application wants the network, until [`release`] or its end.
///
/// # Errors
/// None that a sound application can cause.
pub fn request() -> Result<(), Error> {
    checked(call_0(abi::SLOT_BH_NETWORK_REQUEST))
}

/// Takes [`request`] back.
///
/// # Errors
/// [`Error::NothingPending`]: nothing was requested.
pub fn release() -> Result<(), Error> {
    checked(call_0(abi::SLOT_BH_NETWORK_RELEASE))
}

/// The network as the device was told of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Info {
    /// The device's own address.
    pub address: Ipv4Addr,
    /// How many bits of it are the network's.
    pub prefix_len: u32,
    /// The router, if there is one.
    pub router: Option<Ipv4Addr>,
    /// Those that look names up; there may be none.
    pub resolvers: [Option<Ipv4Addr>; 2],
}

#[derive(Default)]
#[repr(C)]
struct RawInfo {
    version: u32,
    address: [u8; 4],
    prefix_len: u32,
    router: [u8; 4],
    resolvers: [[u8; 4]; 2],
}
const _: () = assert!(size_of::<RawInfo>() == abi::SIZE_BH_NETWORK_INFO);

/// The network as the device was told of it.
///
/// # Errors
/// [`Error::NotYetKnown`]: the device has no address.
pub fn info() -> Result<Info, Error> {
    let mut raw = RawInfo { version: abi::BH_NETWORK_INFO_VERSION, ..RawInfo::default() };
    gateway::fill(abi::SLOT_BH_NETWORK_INFO_READ, &mut raw)?;
    let named = |address: [u8; 4]| Some(Ipv4Addr::from(address)).filter(|address| !address.is_unspecified());
    Ok(Info {
        address: raw.address.into(),
        prefix_len: raw.prefix_len,
        router: named(raw.router),
        resolvers: raw.resolvers.map(named),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted;

    #[test]
    fn what_is_not_there_is_none() {
        scripted::answer(|_, arguments| {
            let [own, router] = [[10, 0, 2, 15], [10, 0, 2, 2]].map(u32::from_le_bytes);
            scripted::write_words(arguments[0], &[abi::BH_NETWORK_INFO_VERSION, own, 24, router, router, 0]);
            abi::BH_STATUS_OK
        });
        let router = Some(Ipv4Addr::new(10, 0, 2, 2));
        let expected =
            Info { address: Ipv4Addr::new(10, 0, 2, 15), prefix_len: 24, router, resolvers: [router, None] };
        assert_eq!(info(), Ok(expected));
    }
}
