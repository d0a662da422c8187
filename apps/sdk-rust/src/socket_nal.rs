//! The sockets as a stack of `embedded-nal`, for clients that were written for it.

use core::net::{IpAddr, SocketAddr};

use embedded_nal::{AddrType, Dns, TcpClientStack, TcpError, TcpErrorKind, UdpClientStack, UdpFullStack, nb};

use crate::Error;
use crate::socket::{Datagrams, Reason, State, Stream};
use crate::text::Line;

/// The device's network. It has no state of its own, so any number of them is one.
#[derive(Debug, Default)]
pub struct Network {
    lookup: Option<Datagrams>,
}

/// What ends a call on [`Network`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NetworkError {
    /// The hypervisor refused the call.
    Call(Error),
    /// The socket is closed.
    Closed(Reason),
    /// There is no IPv6, and no way from an address to a name.
    Unsupported,
}

impl From<Error> for NetworkError {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

impl TcpError for NetworkError {
    fn kind(&self) -> TcpErrorKind {
        match self {
            Self::Call(Error::NotConnected) | Self::Closed(_) => TcpErrorKind::PipeClosed,
            Self::Call(_) | Self::Unsupported => TcpErrorKind::Other,
        }
    }
}

fn later(error: Error) -> nb::Error<NetworkError> {
    match error {
        Error::Busy | Error::NothingPending => nb::Error::WouldBlock,
        other => nb::Error::Other(other.into()),
    }
}

fn text_of(address: IpAddr) -> Result<Line, NetworkError> {
    let IpAddr::V4(address) = address else { return Err(NetworkError::Unsupported) };
    let mut text = Line::new();
    // Fifteen characters at most.
    let _ = core::fmt::Write::write_fmt(&mut text, format_args!("{address}"));
    Ok(text)
}

/// Whether a state is the end of connecting.
fn settled(state: State) -> nb::Result<(), NetworkError> {
    match state {
        State::Connected | State::PeerDone => Ok(()),
        State::Closed(reason) => Err(nb::Error::Other(NetworkError::Closed(reason))),
        State::Open | State::Resolving | State::Connecting | State::Unknown(_) => Err(nb::Error::WouldBlock),
    }
}

impl TcpClientStack for Network {
    type TcpSocket = Stream;
    type Error = NetworkError;

    fn socket(&mut self) -> Result<Stream, NetworkError> {
        Ok(Stream::open()?)
    }

    fn connect(&mut self, socket: &mut Stream, remote: SocketAddr) -> nb::Result<(), NetworkError> {
        let state = socket.status().map_err(later)?.state;
        if state == State::Open {
            socket.connect(text_of(remote.ip())?.as_str(), remote.port()).map_err(later)?;
        }
        settled(state)
    }

    fn send(&mut self, socket: &mut Stream, buffer: &[u8]) -> nb::Result<usize, NetworkError> {
        socket.send(buffer).map_err(later)
    }

    fn receive(&mut self, socket: &mut Stream, buffer: &mut [u8]) -> nb::Result<usize, NetworkError> {
        socket.receive(buffer).map_err(later)
    }

    fn close(&mut self, socket: Stream) -> Result<(), NetworkError> {
        drop(socket);
        Ok(())
    }
}

impl UdpClientStack for Network {
    type UdpSocket = Datagrams;
    type Error = NetworkError;

    fn socket(&mut self) -> Result<Datagrams, NetworkError> {
        Ok(Datagrams::open()?)
    }

    fn connect(&mut self, socket: &mut Datagrams, remote: SocketAddr) -> Result<(), NetworkError> {
        Ok(socket.connect(text_of(remote.ip())?.as_str(), remote.port())?)
    }

    fn send(&mut self, socket: &mut Datagrams, buffer: &[u8]) -> nb::Result<(), NetworkError> {
        match socket.send(buffer) {
            // The address is on its way to the network stack.
            Err(Error::NotConnected) => settled(socket.status().map_err(later)?.state),
            other => other.map_err(later),
        }
    }

    fn receive(
        &mut self,
        socket: &mut Datagrams,
        buffer: &mut [u8],
    ) -> nb::Result<(usize, SocketAddr), NetworkError> {
        socket.receive_from(buffer).map_err(later)
    }

    fn close(&mut self, socket: Datagrams) -> Result<(), NetworkError> {
        drop(socket);
        Ok(())
    }
}

impl UdpFullStack for Network {
    fn bind(&mut self, socket: &mut Datagrams, local_port: u16) -> Result<(), NetworkError> {
        Ok(socket.bind(local_port)?)
    }

    fn send_to(
        &mut self,
        socket: &mut Datagrams,
        remote: SocketAddr,
        buffer: &[u8],
    ) -> nb::Result<(), NetworkError> {
        socket.send_to(remote, buffer).map_err(later)
    }
}

impl Dns for Network {
    type Error = NetworkError;

    /// Asks for one name at a time: ask for it until it is answered.
    fn get_host_by_name(&mut self, hostname: &str, kind: AddrType) -> nb::Result<IpAddr, NetworkError> {
        /// Any port will do: nothing is sent to it.
        const PORT: u16 = 9;
        if kind == AddrType::IPv6 {
            return Err(nb::Error::Other(NetworkError::Unsupported));
        }
        let socket = match self.lookup.take() {
            Some(socket) => socket,
            None => {
                let socket = Datagrams::open().map_err(later)?;
                socket.connect(hostname, PORT).map_err(later)?;
                socket
            }
        };
        let status = socket.status().map_err(later)?;
        let outcome = settled(status.state).map(|()| status.peer.ip());
        if matches!(outcome, Err(nb::Error::WouldBlock)) {
            self.lookup = Some(socket);
        }
        outcome
    }

    fn get_host_by_address(&mut self, _: IpAddr, _: &mut [u8]) -> nb::Result<usize, NetworkError> {
        Err(nb::Error::Other(NetworkError::Unsupported))
    }
}
