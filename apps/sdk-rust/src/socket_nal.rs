//! The sockets as a stack of `embedded-nal`, for clients that were written for it.

use core::net::{IpAddr, SocketAddr};

use embedded_nal::{AddrType, Dns, TcpClientStack, TcpError, TcpErrorKind, UdpClientStack, UdpFullStack, nb};

use crate::Error;
use crate::socket::{Datagrams, Reason, State, Stream};
use crate::text::Line;

/// The device's network. All that one of them has to itself is the name that it looks up, so any number of them is one.
#[derive(Debug, Default)]
pub struct Network {
    lookup: Option<Lookup>,
}

/// A name that is being looked up: a socket that connects to it.
#[derive(Debug)]
struct Lookup {
    name: Line,
    socket: Datagrams,
}

impl Lookup {
    fn begin(hostname: &str) -> nb::Result<Self, NetworkError> {
        /// Any port will do: nothing is sent to it.
        const PORT: u16 = 9;
        let mut name = Line::new();
        // Longer than any name.
        core::fmt::Write::write_str(&mut name, hostname).map_err(|_| later(Error::ArgumentRefused))?;
        let socket = Datagrams::open().map_err(later)?;
        socket.connect(hostname, PORT).map_err(later)?;
        Ok(Self { name, socket })
    }
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
            Err(Error::NotConnected) => match socket.status().map_err(later)?.state {
                // Nobody told it where to.
                State::Open => Err(later(Error::NotConnected)),
                // The address reached the network stack between the two calls: nothing was sent yet.
                State::Connected | State::PeerDone => socket.send(buffer).map_err(later),
                other => settled(other),
            },
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

    /// Asks for one name at a time: ask for it until it is answered. Another name gives the one before it up.
    fn get_host_by_name(&mut self, hostname: &str, kind: AddrType) -> nb::Result<IpAddr, NetworkError> {
        if kind == AddrType::IPv6 {
            return Err(nb::Error::Other(NetworkError::Unsupported));
        }
        let lookup = match self.lookup.take().filter(|lookup| lookup.name.as_str() == hostname) {
            Some(lookup) => lookup,
            None => Lookup::begin(hostname)?,
        };
        let status = lookup.socket.status().map_err(later)?;
        let outcome = settled(status.state).map(|()| status.peer.ip());
        if matches!(outcome, Err(nb::Error::WouldBlock)) {
            self.lookup = Some(lookup);
        }
        outcome
    }

    fn get_host_by_address(&mut self, _: IpAddr, _: &mut [u8]) -> nb::Result<usize, NetworkError> {
        Err(nb::Error::Other(NetworkError::Unsupported))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::cell::RefCell;
    use core::net::Ipv4Addr;
    use std::rc::Rc;
    use std::string::String;
    use std::vec::Vec;

    use super::*;
    use crate::{abi, scripted};

    /// A datagram socket that is not connected at the first call that sends, and in `state` when it is asked for that.
    fn send_once(state: u32) -> (nb::Result<(), NetworkError>, usize) {
        let sent = Rc::new(RefCell::new(0));
        let (counted, mut calls) = (Rc::clone(&sent), 0);
        scripted::answer(move |slot, arguments| match slot {
            abi::SLOT_BH_SOCKET_SEND if calls == 0 => {
                calls += 1;
                abi::BH_STATUS_NOT_CONNECTED
            }
            abi::SLOT_BH_SOCKET_SEND => {
                *counted.borrow_mut() += 1;
                abi::BH_STATUS_OK
            }
            abi::SLOT_BH_SOCKET_STATUS_READ => {
                scripted::write_words(arguments[1], &scripted::socket_status(state, 0, 1));
                abi::BH_STATUS_OK
            }
            _ => abi::BH_STATUS_OK,
        });
        let mut network = Network::default();
        let mut socket = UdpClientStack::socket(&mut network).unwrap();
        let outcome = UdpClientStack::send(&mut network, &mut socket, b"datagram");
        let sent = *sent.borrow();
        (outcome, sent)
    }

    #[test]
    fn a_datagram_is_said_to_be_sent_only_if_it_was() {
        assert_eq!(send_once(abi::BH_SOCKET_STATE_CONNECTED), (Ok(()), 1));
        assert_eq!(send_once(abi::BH_SOCKET_STATE_RESOLVING), (Err(nb::Error::WouldBlock), 0));
        let refused = NetworkError::Call(Error::NotConnected);
        assert_eq!(send_once(abi::BH_SOCKET_STATE_OPEN), (Err(nb::Error::Other(refused)), 0));
    }

    #[test]
    fn another_name_is_never_answered_with_the_address_of_the_one_before() {
        let names = Rc::new(RefCell::new(Vec::<String>::new()));
        let (asked, mut polls) = (Rc::clone(&names), 0);
        scripted::answer(move |slot, arguments| {
            if slot == abi::SLOT_BH_SOCKET_CONNECT {
                asked.borrow_mut().push(scripted::text(arguments[1], arguments[2]));
            }
            if slot == abi::SLOT_BH_SOCKET_STATUS_READ {
                polls += 1;
                // The first look finds it on its way, each further one at the peer whose name was asked for last.
                let state =
                    if polls == 1 { abi::BH_SOCKET_STATE_RESOLVING } else { abi::BH_SOCKET_STATE_CONNECTED };
                let peer = u8::try_from(asked.borrow().len()).unwrap();
                scripted::write_words(arguments[1], &scripted::socket_status(state, 0, peer));
            }
            abi::BH_STATUS_OK
        });
        let mut network = Network::default();
        assert_eq!(network.get_host_by_name("first.test", AddrType::IPv4), Err(nb::Error::WouldBlock));
        let second = network.get_host_by_name("second.test", AddrType::IPv4);
        assert_eq!(second, Ok(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2))));
        assert_eq!(*names.borrow(), ["first.test", "second.test"]);
    }

    #[test]
    fn a_name_is_asked_for_once_until_it_is_answered() {
        let mut polls = 0;
        let mut connects = 0;
        scripted::answer(move |slot, arguments| {
            connects += u32::from(slot == abi::SLOT_BH_SOCKET_CONNECT);
            if slot == abi::SLOT_BH_SOCKET_STATUS_READ {
                polls += 1;
                let state =
                    if polls < 3 { abi::BH_SOCKET_STATE_RESOLVING } else { abi::BH_SOCKET_STATE_CONNECTED };
                let peer = u8::try_from(connects).unwrap();
                scripted::write_words(arguments[1], &scripted::socket_status(state, 0, peer));
            }
            abi::BH_STATUS_OK
        });
        let mut network = Network::default();
        for _ in 0..2 {
            let asked = network.get_host_by_name("only.test", AddrType::IPv4);
            assert_eq!(asked, Err(nb::Error::WouldBlock));
        }
        let answered = network.get_host_by_name("only.test", AddrType::IPv4);
        assert_eq!(answered, Ok(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))));
    }
}
