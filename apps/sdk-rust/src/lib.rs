//! What an application in Rust may ask of the hypervisor, safely.
//!
//! Every call returns at once and may be made from an interrupt handler. Strings and buffers are borrowed for the
//! length of one call; the hypervisor keeps no pointer. The meaning of each call is normative in
//! `docs/spec/system-calls/`; numbers come from the same source as the C header.
//!
//! The linker script must define `_bulkhead_gateways`, the address of the first gateway: the `memory.x` that
//! `cargo xtask apps` generates from the board's description does.
//!
//! # Features
//! * `async`: [`socket::Stream`] is an `embedded-io-async` reader and writer, woken by [`socket::wake`].
//! * `console`: [`console`] is the virtual board's UART 1.
//! * `nal`: [`socket_nal::Network`] is a stack for `embedded-nal`.
//! * `log`: [`logger::start`] sends the records of the `log` crate to the device's log.
//! * `panic-handler`: a panic is logged with its place, then the application asks to be restarted.
#![no_std]
#![deny(unsafe_op_in_unsafe_fn)]

pub mod abi;
pub mod clock;
pub mod config;
#[cfg(feature = "console")]
pub mod console;
mod gateway;
mod limits;
#[cfg(feature = "log")]
pub mod logger;
pub mod message;
pub mod network;
pub mod notification;
#[cfg(feature = "panic-handler")]
mod panic;
pub mod power;
pub mod random;
#[cfg(test)]
mod scripted;
pub mod socket;
#[cfg(feature = "async")]
mod socket_async;
#[cfg(feature = "nal")]
pub mod socket_nal;
pub mod storage;
pub mod text;
pub mod update;

pub use limits::{Limits, limits};

use gateway::{call_0, call_1, call_2, call_3, checked};

/// Why a call was not carried out. The documentation says whose fault it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Error {
    /// Caller: memory outside the application's own.
    PointerRefused,
    /// Caller: an argument outside its range.
    ArgumentRefused,
    /// Caller: a buffer shorter than the answer.
    BufferTooSmall,
    /// Caller: a struct of a version that this hypervisor does not know.
    VersionUnknown,
    /// Caller: this hypervisor is older than the call.
    CallUnknown,
    /// Hypervisor: not yet; try again later, or read first what an earlier call began.
    Busy,
    /// State: there is nothing to fetch or to act on.
    NothingPending,
    /// State: not known yet.
    NotYetKnown,
    /// Caller: the allowed total is used up.
    LimitReached,
    /// Hardware: flash did not do or keep what was asked of it.
    HardwareFailed,
    /// Caller: bits would have to rise; erase the sector first.
    NotErased,
    /// State: not while an update is being applied.
    NotNow,
    /// State: there is nothing of that key or number.
    NotFound,
    /// Caller: no open socket has this handle.
    HandleUnknown,
    /// State: the socket is not connected yet, or not any more.
    NotConnected,
    /// Hypervisor: a status of a later version.
    Unknown(u32),
}

/// Length of a device id in characters.
pub const DEVICE_ID_LEN: usize = abi::BH_DEVICE_ID_LEN as usize;

/// Severity of a log record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum Level {
    /// Something failed.
    Error = 0,
    /// Something is odd.
    Warning = 1,
    /// Something happened.
    Information = 2,
    /// For whoever looks for a mistake.
    Debug = 3,
    /// Everything.
    Trace = 4,
}

/// Why the application runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WakeReason {
    /// Power came on.
    PowerOn,
    /// An update was applied.
    Updated,
    /// A fault stopped it and its back-off is over.
    Faulted,
    /// It asked for a restart.
    Requested,
    /// The owner asked for a restart.
    Commanded,
    /// An update was undone.
    Reverted,
    /// The owner had the whole device restarted.
    DeviceRestarted,
    /// The hypervisor restarted itself after a fault of its own.
    HypervisorFault,
    /// A reason of a later version.
    Unknown(u32),
}

/// Version of the system calls that this hypervisor offers.
///
/// # Errors
/// None that a sound application can cause.
pub fn abi_version() -> Result<u32, Error> {
    gateway::read_u32(abi::SLOT_BH_ABI_VERSION_READ)
}

/// The device's id, ASCII.
///
/// # Errors
/// None that a sound application can cause.
pub fn device_id() -> Result<[u8; DEVICE_ID_LEN], Error> {
    let mut id = [0u8; DEVICE_ID_LEN];
    checked(call_2(abi::SLOT_BH_DEVICE_ID_READ, id.as_mut_ptr().expose_provenance(), id.len()))?;
    Ok(id)
}

/// Queues one log record; `text` beyond 256 bytes is cut off.
///
/// # Errors
/// [`Error::Busy`]: the queue is full; the record is counted as lost. [`Error::ArgumentRefused`]: the text is empty.
pub fn log(level: Level, text: &str) -> Result<(), Error> {
    let len = text.floor_char_boundary(text::LINE_LEN_MAX);
    checked(call_3(abi::SLOT_BH_LOG_WRITE, level as usize, text.as_ptr().expose_provenance(), len))
}

/// Asks to be restarted soon after this call returns.
///
/// # Errors
/// None that a sound application can cause.
pub fn restart() -> Result<(), Error> {
    checked(call_0(abi::SLOT_BH_APPLICATION_RESTART))
}

/// Why the application runs.
///
/// # Errors
/// None that a sound application can cause.
pub fn wake_reason() -> Result<WakeReason, Error> {
    Ok(match gateway::read_u32(abi::SLOT_BH_WAKE_REASON_READ)? {
        abi::BH_WAKE_REASON_POWER_ON => WakeReason::PowerOn,
        abi::BH_WAKE_REASON_UPDATED => WakeReason::Updated,
        abi::BH_WAKE_REASON_FAULTED => WakeReason::Faulted,
        abi::BH_WAKE_REASON_REQUESTED => WakeReason::Requested,
        abi::BH_WAKE_REASON_COMMANDED => WakeReason::Commanded,
        abi::BH_WAKE_REASON_REVERTED => WakeReason::Reverted,
        abi::BH_WAKE_REASON_DEVICE_RESTARTED => WakeReason::DeviceRestarted,
        abi::BH_WAKE_REASON_HYPERVISOR_FAULT => WakeReason::HypervisorFault,
        other => WakeReason::Unknown(other),
    })
}

/// Whether a developer is attached, and how long the application was held since it started.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(C)]
pub struct DebugState {
    version: u32,
    /// A `BH_DEBUG_` value of [`abi`].
    pub state: u32,
    /// Times that it was held.
    pub halts: u32,
    /// How long it was held in all.
    pub held_ms: u32,
}
const _: () = assert!(size_of::<DebugState>() == abi::SIZE_BH_DEBUG_STATE);

/// Whether a developer is attached, and how long the application was held since it started.
///
/// # Errors
/// None that a sound application can cause.
pub fn debug_state() -> Result<DebugState, Error> {
    let mut state = DebugState { version: abi::BH_DEBUG_STATE_VERSION, ..DebugState::default() };
    gateway::fill(abi::SLOT_BH_DEBUG_STATE_READ, &mut state)?;
    Ok(state)
}

/// Why the device itself started: a `BH_BOOT_REASON_` value of [`abi`].
///
/// # Errors
/// None that a sound application can cause.
pub fn boot_reason() -> Result<u32, Error> {
    gateway::read_u32(abi::SLOT_BH_BOOT_REASON_READ)
}

/// Does nothing: what a call costs.
///
/// # Errors
/// None that a sound application can cause.
pub fn nop() -> Result<(), Error> {
    checked(call_1(abi::SLOT_BH_NOP, 0))
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::path::Path;
    use std::string::String;
    use std::vec::Vec;

    /// What is written in this crate beside the generated numbers.
    fn sources() -> String {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut paths: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.file_name().is_some_and(|name| name != "abi.rs" && name != "lib.rs"));
        let library = include_str!("lib.rs").split("#[cfg(test)]\nmod tests").next().unwrap();
        paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).chain([library.into()]).collect()
    }

    /// The generated names that begin so.
    fn generated(prefix: &str) -> impl Iterator<Item = &'static str> {
        let names = include_str!("abi.rs").lines().filter_map(|line| line.strip_prefix("pub const "));
        names.filter_map(|line| line.split(':').next()).filter(move |name| name.starts_with(prefix))
    }

    fn is_used(name: &str, sources: &str) -> bool {
        // Not only as the beginning of another name.
        let mut found = sources.match_indices(name);
        found.any(|(at, _)| {
            let next = sources.as_bytes().get(at + name.len());
            !next.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        })
    }

    #[test]
    fn every_call_status_and_notification_is_offered() {
        let sources = sources();
        for prefix in ["SLOT_", "BH_STATUS_", "BH_NOTIFICATION_"] {
            let missing: Vec<_> = generated(prefix).filter(|name| !is_used(name, &sources)).collect();
            assert!(missing.is_empty(), "nothing in this crate uses {missing:?}");
            assert!(generated(prefix).count() > 0, "{prefix}");
        }
        assert!(!is_used("SLOT_BH_NO_SUCH_CALL", &sources));
    }
}
