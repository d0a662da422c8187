//! A TCP relay that can be cut and mended, as a cable can.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};

#[derive(Debug, Default)]
struct State {
    is_cut: bool,
    connections: Vec<TcpStream>,
}

/// The relay; it ends with the process.
#[derive(Clone, Debug)]
pub struct Cable {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Cable {
    /// Listens on a port that the system chooses and relays to `server`.
    ///
    /// # Errors
    /// No port to be had.
    pub fn lay(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("failed to listen for the cable")?;
        let cable = Self { address: listener.local_addr()?, state: Arc::default() };
        let state = Arc::clone(&cable.state);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                if state.is_cut {
                    continue;
                }
                let Ok(far) = TcpStream::connect(server) else { continue };
                let ends = [near.try_clone(), far.try_clone(), near.try_clone(), far.try_clone()];
                let [Ok(near_too), Ok(far_too), Ok(first), Ok(second)] = ends else { continue };
                state.connections.extend([first, second]);
                thread::spawn(move || carry(near, far_too));
                thread::spawn(move || carry(far, near_too));
            }
        });
        Ok(cable)
    }

    /// Where to connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends every connection, and lets none in.
    pub fn cut(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_cut = true;
        for connection in state.connections.drain(..) {
            // It may have ended by itself.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Lets connections in again.
    pub fn mend(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).is_cut = false;
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    // Small messages are to leave at once; where that cannot be set they merely leave later.
    let _ = to.set_nodelay(true);
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(buffer.get(..count).unwrap_or_default()).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_cable_carries_nothing_until_it_is_mended() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let cable = Cable::lay(server.local_addr().unwrap()).unwrap();
        let mut near = TcpStream::connect(cable.address()).unwrap();
        let (mut far, _) = server.accept().unwrap();
        near.write_all(b"a").unwrap();
        let mut one = [0; 1];
        far.read_exact(&mut one).unwrap();
        cable.cut();
        assert_eq!(far.read(&mut one).unwrap_or_default(), 0);
        let mut refused = TcpStream::connect(cable.address()).unwrap();
        assert_eq!(refused.read(&mut one).unwrap_or_default(), 0);
        cable.mend();
        let _again = TcpStream::connect(cable.address()).unwrap();
        server.accept().unwrap();
    }
}
