//! Numbers, limits and structs of sockets. Normative text: `docs/spec/system-calls/sockets.md`.

use crate::record::{Field, put, record};
use crate::structs::numbers;

/// Stream sockets that may be open at a time.
pub const SOCKET_STREAMS_MAX: u32 = 4;
/// Datagram sockets that may be open at a time.
pub const SOCKET_DATAGRAMS_MAX: u32 = 2;
/// Sockets of both kinds.
pub const SOCKETS_MAX: u32 = SOCKET_STREAMS_MAX + SOCKET_DATAGRAMS_MAX;
/// Most bytes of a stream that one call sends or receives.
pub const SOCKET_TRANSFER_LEN_MAX: u32 = 512;
/// Longest datagram in bytes: what CoAP wants a path to carry.
pub const SOCKET_DATAGRAM_LEN_MAX: u32 = 1152;
/// Bytes of a stream that wait in the hypervisor until the peer has acknowledged them.
pub const SOCKET_SEND_BUFFER_LEN: u32 = 768;
/// Bytes of a stream that wait in the hypervisor for the application, beside what one call receives.
pub const SOCKET_RECEIVE_BUFFER_LEN: u32 = 1024;
/// Longest host name or address text in bytes.
pub const SOCKET_HOST_LEN_MAX: u32 = 253;
/// First local port that an application can choose.
pub const SOCKET_LOCAL_PORT_FIRST: u32 = 1024;
/// Last local port that an application can choose. Beyond lie the hypervisor's own.
pub const SOCKET_LOCAL_PORT_LAST: u32 = 32_767;
/// Bits of a notification's value, and of a handle, that are the handle.
pub const SOCKET_HANDLE_MASK: u32 = 0x00FF_FFFF;
/// By how many bits the events in a notification's value are shifted.
pub const SOCKET_EVENT_SHIFT: u32 = 24;

/// Version of [`SocketStatus`].
pub const SOCKET_STATUS_VERSION: u32 = 1;
/// Version of [`NetworkInfo`].
pub const NETWORK_INFO_VERSION: u32 = 1;

/// Limits as the header names them.
pub(crate) const CONSTANTS: &[(&str, u32, &str)] = &[
    ("BH_SOCKET_STREAMS_MAX", SOCKET_STREAMS_MAX, "Stream sockets that may be open at a time."),
    ("BH_SOCKET_DATAGRAMS_MAX", SOCKET_DATAGRAMS_MAX, "Datagram sockets that may be open at a time."),
    (
        "BH_SOCKET_TRANSFER_LEN_MAX",
        SOCKET_TRANSFER_LEN_MAX,
        "Most bytes of a stream that one call sends or receives.",
    ),
    ("BH_SOCKET_DATAGRAM_LEN_MAX", SOCKET_DATAGRAM_LEN_MAX, "Longest datagram in bytes."),
    ("BH_SOCKET_SEND_BUFFER_LEN", SOCKET_SEND_BUFFER_LEN, "Bytes of a stream that wait for the peer."),
    (
        "BH_SOCKET_RECEIVE_BUFFER_LEN",
        SOCKET_RECEIVE_BUFFER_LEN,
        "Bytes of a stream that wait for the application.",
    ),
    ("BH_SOCKET_HOST_LEN_MAX", SOCKET_HOST_LEN_MAX, "Longest host name or address text in bytes."),
    (
        "BH_SOCKET_LOCAL_PORT_FIRST",
        SOCKET_LOCAL_PORT_FIRST,
        "First local port that an application can choose.",
    ),
    ("BH_SOCKET_LOCAL_PORT_LAST", SOCKET_LOCAL_PORT_LAST, "Last local port that an application can choose."),
    ("BH_SOCKET_HANDLE_MASK", SOCKET_HANDLE_MASK, "Bits of a notification's value that are the handle."),
    ("BH_SOCKET_EVENT_SHIFT", SOCKET_EVENT_SHIFT, "Shift of the events in a notification's value."),
    (
        "BH_SOCKET_STATUS_VERSION",
        SOCKET_STATUS_VERSION,
        "Version of struct bh_socket_status that this header knows.",
    ),
    (
        "BH_NETWORK_INFO_VERSION",
        NETWORK_INFO_VERSION,
        "Version of struct bh_network_info that this header knows.",
    ),
];

record! {
    /// The network as the device was told of it.
    NetworkInfo "bh_network_info" 24 {
        version, "in: BH_NETWORK_INFO_VERSION";
        address: [u8; 4], "the device's own";
        prefix_len, "in bits";
        router: [u8; 4], "0.0.0.0: none";
        resolvers: [[u8; 4]; 2], "0.0.0.0: none";
    }
}

record! {
    /// An address and a port.
    SocketAddress "bh_socket_address" 8 {
        address: [u8; 4], "in the order in which it is written";
        port: u16, "of TCP or UDP";
        reserved: u16, "0";
    }
}

impl SocketAddress {
    /// What an application wrote; `None` if the reserved bytes are not zero.
    pub fn from_bytes([a, b, c, d, e, f, g, h]: [u8; 8]) -> Option<Self> {
        let port = u16::from_le_bytes([e, f]);
        ([g, h] == [0, 0]).then_some(Self { address: [a, b, c, d], port, reserved: 0 })
    }
}

impl Field for SocketAddress {
    const C_TYPE: &'static str = "struct bh_socket_address";

    #[inline]
    fn put(self, room: &mut [u8]) -> &mut [u8] {
        put(&self.to_bytes(), room)
    }
}

record! {
    /// How a socket is.
    SocketStatus "bh_socket_status" 32 {
        version, "in: BH_SOCKET_STATUS_VERSION";
        state, "a BH_SOCKET_STATE_ value";
        reason, "a BH_SOCKET_REASON_ value: why it is closed";
        readable_bytes, "what bh_socket_receive would bring now";
        writable_bytes, "what bh_socket_send would take now";
        local_port, "0: none yet";
        peer: SocketAddress, "whom it is connected to, or will be";
    }
}

numbers! {
    /// Kinds of socket.
    SocketKind "BH_SOCKET_KIND_" {
        Stream = 1, "STREAM", "TCP.";
        Datagram = 2, "DATAGRAM", "UDP.";
    }
}

numbers! {
    /// How far a socket is.
    SocketState "BH_SOCKET_STATE_" {
        Open = 1, "OPEN", "Opened; a stream waits to be told where to connect, a datagram socket works.";
        Resolving = 2, "RESOLVING", "The name is being looked up.";
        Connecting = 3, "CONNECTING", "The peer is being asked.";
        Connected = 4, "CONNECTED", "Bytes can flow.";
        PeerDone = 5, "PEER_DONE", "The peer has sent all; what it sent can be received, and it can still be sent to.";
        Closed = 6, "CLOSED", "Over; the reason says why. What had arrived can still be received.";
    }
}

numbers! {
    /// Why a socket is closed.
    SocketReason "BH_SOCKET_REASON_" {
        None = 0, "NONE", "It is not closed.";
        ClosedByPeer = 1, "CLOSED_BY_PEER", "Both sides have sent all.";
        RefusedByPeer = 2, "REFUSED_BY_PEER", "Peer: nothing listens on that port.";
        ResetByPeer = 3, "RESET_BY_PEER", "Peer: it broke the connection off.";
        TimedOut = 4, "TIMED_OUT", "Peer or network: no answer within 20 s to a connect, or within 30 s to what was sent.";
        NameUnknown = 5, "NAME_UNKNOWN", "Caller: there is no such name, or it has no IPv4 address.";
        ResolverSilent = 6, "RESOLVER_SILENT", "Network: there is no resolver, or none answered.";
        NoRoute = 7, "NO_ROUTE", "Network: the address is in another network and there is no router.";
        Forbidden = 8, "FORBIDDEN", "Caller: an address that is not the application's to reach; see the sockets page.";
        NetworkLost = 9, "NETWORK_LOST", "Network: the device has no address, or lost it.";
    }
}

numbers! {
    /// Bits that say what rose on a socket.
    SocketEvent "BH_SOCKET_EVENT_" {
        Readable = 1, "READABLE", "There is something to receive, or the peer has sent all.";
        Writable = 2, "WRITABLE", "There is room to send.";
        Connected = 4, "CONNECTED", "It is connected.";
        Closed = 8, "CLOSED", "It is closed; its status says why.";
    }
}
