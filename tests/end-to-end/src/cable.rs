//! A TCP relay that can be cut and mended, as a cable can.

use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;

use crate::relay::{self, Verdict};

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
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        let address = relay::listen(move |near| {
            let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
            if state.is_cut {
                return;
            }
            let Ok(far) = TcpStream::connect(server) else { return };
            let (Ok(first), Ok(second)) = (near.try_clone(), far.try_clone()) else { return };
            // A connection that cannot be joined ends at once, which its ends see.
            if relay::join(near, far, |_| Verdict::Pass, |_| Verdict::Pass).is_ok() {
                state.connections.extend([first, second]);
            }
        })?;
        Ok(Self { address, state })
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

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
