//! Carries the bytes of a connection to another, both ways, on threads of their own.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use anyhow::{Context, Result};

/// Whether bytes are still to be passed on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Pass,
    Cut,
}

/// Listens on a port that the system chooses, and gives each connection to `accept`; both end with the process.
pub(crate) fn listen(mut accept: impl FnMut(TcpStream) + Send + 'static) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("failed to listen for a relay")?;
    let address = listener.local_addr()?;
    thread::spawn(move || listener.incoming().flatten().for_each(&mut accept));
    Ok(address)
}

/// Joins `near` to `far`. What goes from `near` to `far` is shown to `up` before it is passed on, what comes back to `down`.
pub(crate) fn join(
    near: TcpStream,
    far: TcpStream,
    up: impl FnMut(&[u8]) -> Verdict + Send + 'static,
    down: impl FnMut(&[u8]) -> Verdict + Send + 'static,
) -> std::io::Result<()> {
    let (near_too, far_too) = (near.try_clone()?, far.try_clone()?);
    thread::spawn(move || carry(near, far_too, up));
    thread::spawn(move || carry(far, near_too, down));
    Ok(())
}

/// Carries bytes until one side ends or `look` says so, then ends both.
fn carry(mut from: TcpStream, mut to: TcpStream, mut look: impl FnMut(&[u8]) -> Verdict) {
    // Small messages are to leave at once; where that cannot be set they merely leave later.
    let _ = to.set_nodelay(true);
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let bytes = buffer.get(..count).unwrap_or_default();
        if look(bytes) == Verdict::Cut || to.write_all(bytes).is_err() {
            break;
        }
    }
    // Either side may be gone already.
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
