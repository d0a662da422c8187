//! A TCP relay that keeps what passes, and can make the way longer.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::relay;

type Kept = Arc<Mutex<Vec<u8>>>;

/// The relay; it ends with the process.
#[derive(Clone, Debug)]
pub struct Recorder {
    address: SocketAddr,
    up: Kept,
    down: Kept,
}

impl Recorder {
    /// Listens on a port that the system chooses and relays to the server at `url`.
    ///
    /// # Errors
    /// No port to be had, or `url` is no address.
    pub fn start(url: &str) -> Result<Self> {
        Self::start_delayed(url, Duration::ZERO)
    }

    /// As [`Self::start`]; every byte takes `delay` longer, each way.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_delayed(url: &str, delay: Duration) -> Result<Self> {
        let server: SocketAddr = url.trim_start_matches("http://").parse().context("not an address")?;
        let (up, down) = (Kept::default(), Kept::default());
        let (kept_up, kept_down) = (Arc::clone(&up), Arc::clone(&down));
        let address = relay::listen(move |client| {
            let Ok(upstream) = TcpStream::connect(server) else { return };
            let (Ok(client_too), Ok(upstream_too)) = (client.try_clone(), upstream.try_clone()) else {
                return;
            };
            for stream in [&client, &upstream] {
                // Small messages are to leave at once; where that cannot be set they merely leave later.
                let _ = stream.set_nodelay(true);
            }
            pump(client, upstream_too, &kept_up, delay);
            pump(upstream, client_too, &kept_down, delay);
        })?;
        Ok(Self { address, up, down })
    }

    /// Where the tool shall log in.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The port of this machine.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// All that passed towards the server.
    pub fn sent(&self) -> Vec<u8> {
        self.up.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All that passed, both ways.
    pub fn bytes(&self) -> Vec<u8> {
        let down = self.down.lock().unwrap_or_else(PoisonError::into_inner).clone();
        [self.sent(), down].concat()
    }
}

/// Carries bytes from one side to the other in threads of their own.
fn pump(mut from: TcpStream, to: TcpStream, kept: &Kept, delay: Duration) {
    let (sender, arrived) = mpsc::channel();
    let kept = Arc::clone(kept);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let bytes = buffer.get(..count).unwrap_or_default();
            kept.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            if sender.send((Instant::now() + delay, bytes.to_vec())).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || deliver(to, &arrived));
}

/// Hands bytes on when their time has come; the end of one side is the end of the other.
fn deliver(mut to: TcpStream, arrived: &Receiver<(Instant, Vec<u8>)>) {
    for (due, bytes) in arrived {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    // Either side may be gone already.
    let _ = to.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn what_passes_is_kept_and_takes_its_time() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", server.local_addr().unwrap());
        let delay = Duration::from_millis(20);
        let relay = Recorder::start_delayed(&url, delay).unwrap();
        let mut client = TcpStream::connect(relay.address).unwrap();
        let started = Instant::now();
        client.write_all(b"ask").unwrap();
        let (mut peer, _) = server.accept().unwrap();
        let mut three = [0; 3];
        peer.read_exact(&mut three).unwrap();
        assert!(started.elapsed() >= delay);
        peer.write_all(b"say").unwrap();
        client.read_exact(&mut three).unwrap();
        assert_eq!((relay.sent(), relay.bytes()), (b"ask".to_vec(), b"asksay".to_vec()));
    }
}
