//! The application's lane: messages between application and owner, and the application's configuration.

use bulkhead_keyed_cbor::{choice, record};
use minicbor::bytes::ByteSlice;

/// Longest body of a message in bytes.
pub const MESSAGE_LEN_MAX: usize = 960;

/// What a message takes of a device's window beside its body, in bytes.
pub const MESSAGE_HEADER_LEN: usize = 16;

/// Longest key of the configuration in bytes.
pub const CONFIG_KEY_LEN_MAX: usize = 32;

/// Longest value of the configuration in bytes.
pub const CONFIG_VALUE_LEN_MAX: usize = 512;

/// Keys that the configuration of one device can have.
pub const CONFIG_KEYS_MAX: usize = 24;

record! { Map
/// A message of the application, until the server acknowledged it; the same run and number again is the same message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MessageUp<'b> {
    /// Drawn at random when the hypervisor starts.
    #[n(0)]
    pub run: u32,
    /// Counts from 1 within a run.
    #[n(1)]
    pub number: u32,
    /// Chosen by the application.
    #[n(2)]
    pub topic: u32,
    /// Seconds since the application handed it over.
    #[n(3)]
    pub age_s: u32,
    /// 1 to [`MESSAGE_LEN_MAX`] bytes.
    #[n(4)]
    pub bytes: &'b ByteSlice,
}
}

record! { Map
/// The server has stored the messages of a run up to a number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MessageStored {
    /// As in [`MessageUp`].
    #[n(0)]
    pub run: u32,
    /// Highest number that is stored, as are all below it.
    #[n(1)]
    pub number: u32,
}
}

record! { Map
/// What the device has room for; before it, a server sends no message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MessageWindow {
    /// Bodies and [`MESSAGE_HEADER_LEN`] each of all messages that are not finished.
    #[n(0)]
    pub bytes: u32,
    /// Messages that are not finished.
    #[n(1)]
    pub messages: u32,
}
}

record! { Map
/// A message for the application.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MessageDown<'b> {
    /// Rises from message to message of a device; the same number again is the same message.
    #[n(0)]
    pub number: u32,
    /// Chosen by the sender.
    #[n(1)]
    pub topic: u32,
    /// 1 to [`MESSAGE_LEN_MAX`] bytes.
    #[n(2)]
    pub bytes: &'b ByteSlice,
}
}

choice! {
/// What the application did with a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MessageEnd {
    /// It took it.
    #[n(0)]
    Delivered,
    /// It refused it.
    #[n(1)]
    Refused,
}
}

record! { Map
/// The application is done with a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MessageFinished {
    /// The message's number.
    #[n(0)]
    pub number: u32,
    /// How it ended.
    #[n(1)]
    pub end: MessageEnd,
}
}

record! { Map
/// The configuration that the device shall have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ConfigOffer {
    /// Revision, another for each set; 0 means that none was ever set.
    #[n(0)]
    pub revision: u32,
    /// Entries, at most [`CONFIG_KEYS_MAX`].
    #[n(1)]
    pub entries: u32,
}
}

record! { Map
/// Asks for an entry of the configuration that was offered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ConfigFetch {
    /// The revision that was offered.
    #[n(0)]
    pub revision: u32,
    /// Which, from 0 in the order of keys.
    #[n(1)]
    pub index: u32,
    /// The revision that the device has: a value that was set no later may be left out. 0 asks for the value.
    #[n(2)]
    pub have: u32,
}
}

record! { Map
/// An entry of the configuration.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ConfigEntry<'b> {
    /// The revision that was asked for.
    #[n(0)]
    pub revision: u32,
    /// Which.
    #[n(1)]
    pub index: u32,
    /// 1 to [`CONFIG_KEY_LEN_MAX`] bytes of printable ASCII.
    #[n(2)]
    pub key: &'b str,
    /// Rises each time the owner sets this key.
    #[n(3)]
    pub version: u32,
    /// Whether it is a secret.
    #[n(4)]
    pub secret: bool,
    /// At most [`CONFIG_VALUE_LEN_MAX`] bytes; absent where the device's own is the same.
    #[n(5)]
    pub value: Option<&'b ByteSlice>,
}
}

choice! {
/// Why a device does not take a configuration.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ConfigRefused {
    /// It has no room for so many entries.
    #[n(0)]
    TooMany,
    /// A key or a value is too long or malformed, or keys are out of order.
    #[n(1)]
    Malformed,
    /// Its flash failed.
    #[n(2)]
    FlashFailed,
}
}

record! { Map
/// The configuration that the device has; after each `Welcome`, and when it changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ConfigState {
    /// Its revision; 0 for none.
    #[n(0)]
    pub revision: u32,
    /// Its entries.
    #[n(1)]
    pub entries: u32,
    /// The revision that was offered last and refused.
    #[n(2)]
    pub refused: Option<u32>,
    /// Why.
    #[n(3)]
    pub reason: Option<ConfigRefused>,
}
}
