//! TCP and UDP, never waiting.
//!
//! A socket is closed when its value is dropped. [`crate::notification::Event::SocketChanged`] says that something rose
//! on one; between two of them, send until [`Error::Busy`] and receive until [`Error::NothingPending`].

use core::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use crate::gateway::{call_1, call_2, call_4, checked};
use crate::{Error, abi};

#[cfg(feature = "async")]
pub use crate::socket_async::wake;

/// Longest datagram in bytes.
pub const DATAGRAM_LEN_MAX: usize = abi::BH_SOCKET_DATAGRAM_LEN_MAX as usize;

/// How far a socket is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// Opened; a stream waits to be told where to connect.
    Open,
    /// The name is being looked up.
    Resolving,
    /// The peer is being asked.
    Connecting,
    /// Bytes can flow.
    Connected,
    /// The peer has sent all.
    PeerDone,
    /// Over.
    Closed(Reason),
    /// A state of a later version.
    Unknown(u32),
}

/// Why a socket is closed, and whose fault it was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// Both sides have sent all.
    ClosedByPeer,
    /// Peer: nothing listens on that port.
    RefusedByPeer,
    /// Peer: it broke the connection off.
    ResetByPeer,
    /// Peer or network: no answer in time.
    TimedOut,
    /// Caller: there is no such name, or it has no IPv4 address.
    NameUnknown,
    /// Network: there is no resolver, or none answered.
    ResolverSilent,
    /// Network: there is no router.
    NoRoute,
    /// Caller: an address that is not the application's to reach.
    Forbidden,
    /// Network: the device has no address, or lost it.
    NetworkLost,
    /// A reason of a later version.
    Unknown(u32),
}

/// What rose on a socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Change {
    /// The socket's handle.
    pub handle: u32,
    events: u32,
}

impl Change {
    pub(crate) const fn from_value(value: u32) -> Self {
        let handle = value & abi::BH_SOCKET_HANDLE_MASK;
        Self { handle, events: value >> abi::BH_SOCKET_EVENT_SHIFT }
    }

    /// There is something to receive, or the peer has sent all.
    pub const fn is_readable(&self) -> bool {
        self.events & abi::BH_SOCKET_EVENT_READABLE != 0
    }

    /// There is room to send.
    pub const fn is_writable(&self) -> bool {
        self.events & abi::BH_SOCKET_EVENT_WRITABLE != 0
    }

    /// It is connected.
    pub const fn is_connected(&self) -> bool {
        self.events & abi::BH_SOCKET_EVENT_CONNECTED != 0
    }

    /// It is closed.
    pub const fn is_closed(&self) -> bool {
        self.events & abi::BH_SOCKET_EVENT_CLOSED != 0
    }
}

#[derive(Clone, Copy, Default)]
#[repr(C)]
struct RawAddress {
    address: [u8; 4],
    port: u16,
    reserved: u16,
}
const _: () = assert!(size_of::<RawAddress>() == abi::SIZE_BH_SOCKET_ADDRESS);

impl RawAddress {
    fn to_socket(self) -> SocketAddr {
        SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::from(self.address), self.port))
    }
}

#[derive(Default)]
#[repr(C)]
struct RawStatus {
    version: u32,
    state: u32,
    reason: u32,
    readable_bytes: u32,
    writable_bytes: u32,
    local_port: u32,
    peer: RawAddress,
}
const _: () = assert!(size_of::<RawStatus>() == abi::SIZE_BH_SOCKET_STATUS);

/// A socket as it is at this moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Status {
    /// How far it is.
    pub state: State,
    /// Bytes that one receive would bring now.
    pub readable_bytes: u32,
    /// Bytes that one send would take now.
    pub writable_bytes: u32,
    /// Local port; 0 as long as there is none.
    pub local_port: u16,
    /// Whom it is connected to, or will be.
    pub peer: SocketAddr,
}

/// What both kinds of socket are.
#[derive(Debug)]
struct Socket(u32);

impl Socket {
    fn open(kind: u32) -> Result<Self, Error> {
        let mut handle = 0u32;
        let at = (&raw mut handle).expose_provenance();
        checked(call_2(abi::SLOT_BH_SOCKET_OPEN, kind as usize, at))?;
        Ok(Self(handle))
    }

    fn connect(&self, host: &str, port: u16) -> Result<(), Error> {
        let host_at = host.as_ptr().expose_provenance();
        let arguments = [self.0 as usize, host_at, host.len(), usize::from(port)];
        checked(call_4(abi::SLOT_BH_SOCKET_CONNECT, arguments))
    }

    fn send(&self, bytes: &[u8]) -> Result<usize, Error> {
        let mut sent = 0u32;
        let (at, sent_at) = (bytes.as_ptr().expose_provenance(), (&raw mut sent).expose_provenance());
        checked(call_4(abi::SLOT_BH_SOCKET_SEND, [self.0 as usize, at, bytes.len(), sent_at]))?;
        Ok(sent as usize)
    }

    fn receive(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        let mut received = 0u32;
        let at = buffer.as_mut_ptr().expose_provenance();
        let received_at = (&raw mut received).expose_provenance();
        checked(call_4(abi::SLOT_BH_SOCKET_RECEIVE, [self.0 as usize, at, buffer.len(), received_at]))?;
        Ok(received as usize)
    }

    fn status(&self) -> Result<Status, Error> {
        let mut raw = RawStatus { version: abi::BH_SOCKET_STATUS_VERSION, ..RawStatus::default() };
        let at = (&raw mut raw).expose_provenance();
        checked(call_2(abi::SLOT_BH_SOCKET_STATUS_READ, self.0 as usize, at))?;
        let state = match raw.state {
            abi::BH_SOCKET_STATE_OPEN => State::Open,
            abi::BH_SOCKET_STATE_RESOLVING => State::Resolving,
            abi::BH_SOCKET_STATE_CONNECTING => State::Connecting,
            abi::BH_SOCKET_STATE_CONNECTED => State::Connected,
            abi::BH_SOCKET_STATE_PEER_DONE => State::PeerDone,
            abi::BH_SOCKET_STATE_CLOSED => State::Closed(reason(raw.reason)),
            other => State::Unknown(other),
        };
        Ok(Status {
            state,
            readable_bytes: raw.readable_bytes,
            writable_bytes: raw.writable_bytes,
            local_port: u16::try_from(raw.local_port).unwrap_or(0),
            peer: raw.peer.to_socket(),
        })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The handle is ours, so it is known.
        let _ = call_1(abi::SLOT_BH_SOCKET_CLOSE, self.0 as usize);
    }
}

const fn reason(raw: u32) -> Reason {
    match raw {
        abi::BH_SOCKET_REASON_CLOSED_BY_PEER => Reason::ClosedByPeer,
        abi::BH_SOCKET_REASON_REFUSED_BY_PEER => Reason::RefusedByPeer,
        abi::BH_SOCKET_REASON_RESET_BY_PEER => Reason::ResetByPeer,
        abi::BH_SOCKET_REASON_TIMED_OUT => Reason::TimedOut,
        abi::BH_SOCKET_REASON_NAME_UNKNOWN => Reason::NameUnknown,
        abi::BH_SOCKET_REASON_RESOLVER_SILENT => Reason::ResolverSilent,
        abi::BH_SOCKET_REASON_NO_ROUTE => Reason::NoRoute,
        abi::BH_SOCKET_REASON_FORBIDDEN => Reason::Forbidden,
        abi::BH_SOCKET_REASON_NETWORK_LOST => Reason::NetworkLost,
        other => Reason::Unknown(other),
    }
}

/// A TCP connection to a peer.
#[derive(Debug)]
pub struct Stream(Socket);

impl Stream {
    /// Opens one that is not connected.
    ///
    /// # Errors
    /// [`Error::LimitReached`]: all streams are in use.
    pub fn open() -> Result<Self, Error> {
        Socket::open(abi::BH_SOCKET_KIND_STREAM).map(Self)
    }

    /// Its handle, as notifications name it.
    pub const fn handle(&self) -> u32 {
        self.0.0
    }

    /// Begins to connect to a name or an IPv4 address.
    ///
    /// # Errors
    /// [`Error::Busy`]: another name waits for its turn. [`Error::ArgumentRefused`]: no name, port 0, or it was connected
    /// before.
    pub fn connect(&self, host: &str, port: u16) -> Result<(), Error> {
        self.0.connect(host, port)
    }

    /// Sends as many bytes as there is room for, at least one.
    ///
    /// # Errors
    /// [`Error::Busy`]: no room. [`Error::NotConnected`]: the status says why.
    pub fn send(&self, bytes: &[u8]) -> Result<usize, Error> {
        self.0.send(bytes)
    }

    /// Receives what has arrived, at least one byte.
    ///
    /// # Errors
    /// [`Error::NothingPending`]: nothing has. [`Error::NotConnected`]: nothing more will.
    pub fn receive(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.0.receive(buffer)
    }

    /// Says that all was sent; receiving goes on.
    ///
    /// # Errors
    /// [`Error::NotConnected`].
    pub fn shutdown(&self) -> Result<(), Error> {
        checked(call_1(abi::SLOT_BH_SOCKET_SHUTDOWN, self.0.0 as usize))
    }

    /// How it is.
    ///
    /// # Errors
    /// None that a sound application can cause.
    pub fn status(&self) -> Result<Status, Error> {
        self.0.status()
    }
}

/// A UDP socket.
#[derive(Debug)]
pub struct Datagrams(Socket);

impl Datagrams {
    /// Opens one with a local port that is chosen for it.
    ///
    /// # Errors
    /// [`Error::LimitReached`]: all datagram sockets are in use.
    pub fn open() -> Result<Self, Error> {
        Socket::open(abi::BH_SOCKET_KIND_DATAGRAM).map(Self)
    }

    /// Its handle, as notifications name it.
    pub const fn handle(&self) -> u32 {
        self.0.0
    }

    /// Takes a local port instead, from 1,024 to 32,767.
    ///
    /// # Errors
    /// [`Error::ArgumentRefused`]: another one, or the socket was used.
    pub fn bind(&self, port: u16) -> Result<(), Error> {
        checked(call_2(abi::SLOT_BH_SOCKET_BIND, self.0.0 as usize, usize::from(port)))
    }

    /// Sends to and hears this peer alone from now on.
    ///
    /// # Errors
    /// As [`Stream::connect`].
    pub fn connect(&self, host: &str, port: u16) -> Result<(), Error> {
        self.0.connect(host, port)
    }

    /// Sends one datagram to the peer.
    ///
    /// # Errors
    /// [`Error::Busy`]: no room. [`Error::NotConnected`]: there is no peer. [`Error::ArgumentRefused`]: too long.
    pub fn send(&self, bytes: &[u8]) -> Result<(), Error> {
        self.0.send(bytes).map(drop)
    }

    /// Sends one datagram to an address.
    ///
    /// # Errors
    /// As [`Self::send`]; [`Error::ArgumentRefused`] also for IPv6 and for what is not the application's to reach.
    pub fn send_to(&self, to: SocketAddr, bytes: &[u8]) -> Result<(), Error> {
        let IpAddr::V4(address) = to.ip() else { return Err(Error::ArgumentRefused) };
        let to = RawAddress { address: address.octets(), port: to.port(), reserved: 0 };
        let (to_at, at) = ((&raw const to).expose_provenance(), bytes.as_ptr().expose_provenance());
        checked(call_4(abi::SLOT_BH_SOCKET_SEND_TO, [self.0.0 as usize, to_at, at, bytes.len()]))
    }

    /// Receives one datagram, and who sent it.
    ///
    /// # Errors
    /// [`Error::NothingPending`]: none waits. [`Error::BufferTooSmall`]: it is longer, and goes on waiting.
    pub fn receive_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        let mut from = RawAddress::default();
        let mut len = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        let from_at = (&raw mut from).expose_provenance();
        let (at, len_at) = (buffer.as_mut_ptr().expose_provenance(), (&raw mut len).expose_provenance());
        checked(call_4(abi::SLOT_BH_SOCKET_RECEIVE_FROM, [self.0.0 as usize, from_at, at, len_at]))?;
        Ok((len as usize, from.to_socket()))
    }

    /// How it is.
    ///
    /// # Errors
    /// None that a sound application can cause.
    pub fn status(&self) -> Result<Status, Error> {
        self.0.status()
    }
}
