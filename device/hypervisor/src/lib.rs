//! Policy of the secure world: start the application, answer its calls, contain its faults, keep the link.
//!
//! Everything here is a state machine without I/O of its own: the board crate gives it time, flash, a network and
//! the facts about the application, and carries out its orders. Nothing of a chip or a board is named.
//!
//! Who holds what: [`Mailbox`] is shared with the gateways (short critical sections); all else belongs to the
//! executor alone.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

#[cfg(test)]
extern crate std;

mod application;
mod calls;
mod configuration;
mod courtesy;
mod crash;
mod debug;
mod downtime;
mod entropy;
mod hypervisor;
mod ledger;
mod lines;
mod link;
mod log_ring;
mod mailbox;
mod message_queue;
mod messages;
mod random;
mod ring;
mod sleep;
mod sockets;
mod storage;
mod trial_watch;
mod update_policy;
mod wear;

pub use application::{Application, Due, FaultStatus, Health, Offence, Start};
pub use bulkhead_link_session::DeviceSession;
pub use calls::{ApplicationMemory, MailboxAccess, dispatch};
pub use configuration::ConfigurationStorage;
pub use crash::CrashStorage;
pub use debug::DebugStorage;
pub use downtime::FlashSpeeds;
pub use entropy::{EntropyError, SeededEntropy};
pub use hypervisor::{Facts, Glance, Hypervisor, Moments, Order, Outside};
pub use link::{LinkSettings, LinkStorage};
pub use log_ring::{LogRecord, LogRing, NotLogged, StoredRecord};
pub use mailbox::{Mailbox, Requests};
