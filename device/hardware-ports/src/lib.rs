//! Traits that the hypervisor needs from chip and board, each with numbered laws.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

/// Longest Ethernet frame without checksum, in bytes.
pub const ETHERNET_FRAME_LEN_MAX: usize = 1514;

/// An Ethernet controller that is asked, never waited for.
///
/// # Laws
/// 1. `receive` returns whole frames without checksum, in order of arrival; a frame longer than `out` is dropped.
/// 2. `transmit` either queues the whole frame or refuses; it never blocks.
/// 3. After `interrupt_acknowledge` the controller asks for an interrupt again when a frame arrives.
pub trait EthernetController {
    /// The controller's address.
    fn mac_address(&mut self) -> [u8; 6];
    /// Copies the oldest frame to `out` and returns its length in bytes.
    fn receive(&mut self, out: &mut [u8; ETHERNET_FRAME_LEN_MAX]) -> Option<usize>;
    /// Whether `transmit` would take a frame of the greatest length.
    fn can_transmit(&mut self) -> bool;
    /// Sends a frame; `false` if there is no room.
    fn transmit(&mut self, frame: &[u8]) -> bool;
    /// Clears the reason of the last interrupt.
    fn interrupt_acknowledge(&mut self);
}

/// Random bytes for keys.
///
/// # Laws
/// 1. No two calls, also across restarts and power cuts, return the same stream.
/// 2. What is returned cannot be told from random without the device's secret seed.
pub trait Entropy {
    /// Fills `out`.
    fn fill(&mut self, out: &mut [u8]);
}

/// Where the hypervisor writes what a person at the bench may read. Never secrets.
pub trait Console {
    /// Writes text; may drop it, never waits long.
    fn write(&mut self, text: &str);
}
