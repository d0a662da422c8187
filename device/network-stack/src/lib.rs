//! DHCP, DNS and TCP over an Ethernet bearer.
//!
//! A thin shell around smoltcp that offers just what the link needs: one outgoing TCP connection to a host that is
//! named or numbered. It is polled, never waits and never allocates.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

mod ethernet;
mod stack;

pub use stack::{Buffers, Connection, NetworkStack, Sockets};
