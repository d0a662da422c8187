//! A TCP relay between device and server that counts what passes.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;

use crate::relay::{self, Verdict};

/// Payload bytes of TCP, counted since the start.
#[derive(Debug, Default)]
struct Counters {
    up: AtomicU64,
    down: AtomicU64,
    connections: AtomicU64,
    /// Bytes up at which the connection is cut; 0 for never.
    cut_at: AtomicU64,
}

/// The relay; it ends with the process.
#[derive(Clone, Debug)]
pub struct Meter {
    address: SocketAddr,
    counters: Arc<Counters>,
}

/// What passed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Passed {
    /// Bytes from device to server.
    pub up_bytes: u64,
    /// Bytes from server to device.
    pub down_bytes: u64,
    /// Connections that the device made.
    pub connections: u64,
}

impl Meter {
    /// Listens on a port that the system chooses and relays to `server`.
    ///
    /// # Errors
    /// No port to be had.
    pub fn start(server: SocketAddr) -> Result<Self> {
        let counters = Arc::new(Counters::default());
        let shared = Arc::clone(&counters);
        let address = relay::listen(move |device| {
            shared.connections.fetch_add(1, Ordering::Relaxed);
            let Ok(upstream) = TcpStream::connect(server) else { return };
            let (up, down) = (Arc::clone(&shared), Arc::clone(&shared));
            // A connection that cannot be joined ends at once, which the device sees.
            let _ = relay::join(
                device,
                upstream,
                move |bytes| up.goes_up(bytes),
                move |bytes| {
                    count(&down.down, bytes);
                    Verdict::Pass
                },
            );
        })?;
        Ok(Self { address, counters })
    }

    /// Where the device shall connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts the connection once `more` further bytes went up. The next connection is relayed again.
    pub fn cut_after(&self, more: u64) {
        self.counters.cut_at.store(self.passed().up_bytes + more, Ordering::Relaxed);
    }

    /// Whether the cut that was ordered is still to come.
    pub fn cut_is_due(&self) -> bool {
        self.counters.cut_at.load(Ordering::Relaxed) != 0
    }

    /// What passed since the start.
    pub fn passed(&self) -> Passed {
        Passed {
            up_bytes: self.counters.up.load(Ordering::Relaxed),
            down_bytes: self.counters.down.load(Ordering::Relaxed),
            connections: self.counters.connections.load(Ordering::Relaxed),
        }
    }
}

/// Counts `bytes` before they are passed on, so that whoever saw them sees them counted; returns what was counted before.
fn count(counter: &AtomicU64, bytes: &[u8]) -> u64 {
    counter.fetch_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX), Ordering::Relaxed)
}

impl Counters {
    fn goes_up(&self, bytes: &[u8]) -> Verdict {
        let before = count(&self.up, bytes);
        let at = self.cut_at.load(Ordering::Relaxed);
        if at == 0 || before < at {
            return Verdict::Pass;
        }
        self.cut_at.store(0, Ordering::Relaxed);
        Verdict::Cut
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn what_passes_is_counted_both_ways() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let meter = Meter::start(server.local_addr().unwrap()).unwrap();
        let mut device = TcpStream::connect(meter.address()).unwrap();
        let (mut peer, _) = server.accept().unwrap();
        device.write_all(b"hello").unwrap();
        let mut five = [0; 5];
        peer.read_exact(&mut five).unwrap();
        peer.write_all(b"hi").unwrap();
        device.read_exact(&mut five[..2]).unwrap();
        let passed = meter.passed();
        assert_eq!((passed.connections, passed.up_bytes), (1, 5));
        assert_eq!(passed.down_bytes, 2);
    }
}
