//! What the hypervisor has to tell.

use crate::gateway::{call_1, checked};
use crate::{Error, abi, gateway};

/// What happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Event {
    /// The link came up.
    Online,
    /// The link went down.
    Offline,
    /// The update entered a `BH_UPDATE_STAGE_` of [`crate::abi`].
    UpdateProgress(u32),
    /// An update is staged: apply or postpone it. The value is the number of pages to be written.
    UpdateReady(u32),
    /// The wall clock became known or was corrected.
    ClockSet,
    /// What was begun on the application's own storage has ended: see [`crate::storage`].
    StorageDone,
    /// A message has come; its id. See [`crate::message`].
    MessageArrived(u32),
    /// The server has stored the messages up to this id.
    MessageStored(u32),
    /// Another configuration counts now; its revision. See [`crate::config`].
    ConfigChanged(u32),
    /// What [`crate::config::begin`] began has ended.
    ConfigDone,
    /// The deadline of a sleep has come.
    SleepEnded,
    /// Something rose on a socket: see [`crate::socket`].
    SocketChanged(crate::socket::Change),
    /// A kind of a later version, and its value.
    Unknown(u32, u32),
}

/// An event and when it happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Notification {
    /// Microseconds since power came on.
    pub at_us: u64,
    /// What happened.
    pub event: Event,
}

#[derive(Default)]
#[repr(C)]
struct Raw {
    at_us: u64,
    kind: u32,
    value: u32,
}
const _: () = assert!(size_of::<Raw>() == abi::SIZE_BH_NOTIFICATION);

/// Chooses the interrupt line, one of the application's own, that is pended when a notification arrives.
///
/// # Errors
/// [`Error::ArgumentRefused`]: not a line of the application's.
pub fn enable(interrupt: u8) -> Result<(), Error> {
    checked(call_1(abi::SLOT_BH_NOTIFICATION_ENABLE, usize::from(interrupt)))
}

/// Has no line pended from now on; [`next`] goes on as before.
///
/// # Errors
/// None that a sound application can cause.
pub fn disable() -> Result<(), Error> {
    /// No line.
    const NONE: usize = 0xFFFF_FFFF;
    checked(call_1(abi::SLOT_BH_NOTIFICATION_ENABLE, NONE))
}

/// Takes the oldest notification, if there is one.
pub fn next() -> Option<Notification> {
    let mut raw = Raw::default();
    gateway::fill(abi::SLOT_BH_NOTIFICATION_NEXT, &mut raw).ok()?;
    let event = match (raw.kind, raw.value) {
        (abi::BH_NOTIFICATION_NETWORK_CHANGED, 0) => Event::Offline,
        (abi::BH_NOTIFICATION_NETWORK_CHANGED, _) => Event::Online,
        (abi::BH_NOTIFICATION_UPDATE_PROGRESS, stage) => Event::UpdateProgress(stage),
        (abi::BH_NOTIFICATION_UPDATE_READY, pages) => Event::UpdateReady(pages),
        (abi::BH_NOTIFICATION_CLOCK_SET, _) => Event::ClockSet,
        (abi::BH_NOTIFICATION_STORAGE_DONE, _) => Event::StorageDone,
        (abi::BH_NOTIFICATION_MESSAGE_ARRIVED, id) => Event::MessageArrived(id),
        (abi::BH_NOTIFICATION_MESSAGE_STORED, id) => Event::MessageStored(id),
        (abi::BH_NOTIFICATION_CONFIG_CHANGED, revision) => Event::ConfigChanged(revision),
        (abi::BH_NOTIFICATION_CONFIG_DONE, _) => Event::ConfigDone,
        (abi::BH_NOTIFICATION_SLEEP_ENDED, _) => Event::SleepEnded,
        (abi::BH_NOTIFICATION_SOCKET_CHANGED, value) => {
            Event::SocketChanged(crate::socket::Change::from_value(value))
        }
        (kind, value) => Event::Unknown(kind, value),
    };
    Some(Notification { at_us: raw.at_us, event })
}
