//! A TCP relay between device and server that counts what passes.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::{Context, Result};

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
        let listener = TcpListener::bind("127.0.0.1:0").context("failed to listen for the relay")?;
        let address = listener.local_addr()?;
        let counters = Arc::new(Counters::default());
        let shared = Arc::clone(&counters);
        thread::spawn(move || {
            for device in listener.incoming().flatten() {
                shared.connections.fetch_add(1, Ordering::Relaxed);
                let Ok(upstream) = TcpStream::connect(server) else { continue };
                let (Ok(device_too), Ok(upstream_too)) = (device.try_clone(), upstream.try_clone()) else {
                    continue;
                };
                let (up, down) = (Arc::clone(&shared), Arc::clone(&shared));
                thread::spawn(move || pump(device, upstream_too, &up.up, &up.cut_at));
                thread::spawn(move || pump(upstream, device_too, &down.down, &AtomicU64::new(0)));
            }
        });
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

/// Carries bytes until one side ends, then ends the other.
fn pump(mut from: TcpStream, mut to: TcpStream, counter: &AtomicU64, cut_at: &AtomicU64) {
    let mut buffer = [0; 4096];
    while let Ok(count) = from.read(&mut buffer) {
        let Some(bytes) = buffer.get(..count) else { break };
        // Counted before it is passed on, so that whoever saw the bytes sees them counted.
        let before = counter.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
        let at = cut_at.load(Ordering::Relaxed);
        if at != 0 && before >= at {
            cut_at.store(0, Ordering::Relaxed);
            break;
        }
        if bytes.is_empty() || to.write_all(bytes).is_err() {
            break;
        }
    }
    // Either side may be gone already.
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
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
