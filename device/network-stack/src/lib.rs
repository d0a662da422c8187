//! DHCP, DNS, TCP and UDP over an Ethernet bearer.
//!
//! A thin shell around smoltcp. The hypervisor has one outgoing TCP connection to a host that is named or numbered.
//! The application has sockets of its own ([`ApplicationNetwork`]) in a second stack behind the same address, so that
//! neither its floods nor its traffic's random numbers nor its neighbours reach the first. All of it is polled, never
//! waits and never allocates.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

mod application;
mod ethernet;
mod neighbours;
mod network;
pub mod sorting;
mod stack;

pub use application::{
    ApplicationNetwork, Begun, CLOSE_TIMEOUT_MS, CONNECT_TIMEOUT_MS, DATAGRAM_TIMEOUT_MS,
    DATAGRAMS_WAITING_MAX, Look, RESOLVER_TIMEOUT_MS, SEND_TIMEOUT_MS,
};
pub use network::Network;
pub use stack::{Buffers, Connection, NetworkStack, Sockets};
