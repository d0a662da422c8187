//! The application's sockets: a stack of their own, reached by slot number.
//!
//! The invariant: nothing here touches the hypervisor's stack. What the two share is the controller, and the
//! application's frames are sorted out before either sees them. The first slots are streams, the others datagrams.

use bulkhead_hardware_ports::EthernetController;
use bulkhead_syscall_abi::{
    SOCKET_DATAGRAM_LEN_MAX, SOCKET_DATAGRAMS_MAX, SOCKET_RECEIVE_BUFFER_LEN, SOCKET_SEND_BUFFER_LEN,
    SOCKET_STREAMS_MAX, SOCKETS_MAX, SocketAddress, SocketKind, SocketReason, SocketState,
};
use smoltcp::iface::{
    Config, Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet, SocketStorage,
};
use smoltcp::socket::dns::{GetQueryResultError, StartQueryError};
use smoltcp::socket::{dns, tcp, udp};
use smoltcp::time::Instant;
use smoltcp::wire::{DnsQueryType, HardwareAddress, IpAddress, IpCidr, IpEndpoint, Ipv4Address, Ipv4Cidr};

use crate::ethernet::Bearer;
use crate::neighbours::Round;
use crate::network::{Network, RESOLVERS_MAX};
use crate::sorting::Side;

const STREAMS: usize = SOCKET_STREAMS_MAX as usize;
const DATAGRAMS: usize = SOCKET_DATAGRAMS_MAX as usize;
const SLOTS: usize = SOCKETS_MAX as usize;
const STREAM_RECEIVE_LEN: usize = SOCKET_RECEIVE_BUFFER_LEN as usize;
const STREAM_TRANSMIT_LEN: usize = SOCKET_SEND_BUFFER_LEN as usize;
const DATAGRAM_LEN: usize = SOCKET_DATAGRAM_LEN_MAX as usize;
/// Datagrams that may wait each way, if they are short.
pub const DATAGRAMS_WAITING_MAX: usize = 4;
/// Names that are looked up at a time.
const QUERIES_MAX: usize = 2;

/// Longest wait for a peer to accept, and for the name before that, in milliseconds.
pub const CONNECT_TIMEOUT_MS: u64 = 20_000;
/// Longest time in which a peer acknowledges nothing of what waits.
pub const SEND_TIMEOUT_MS: u64 = 30_000;
/// Longest time that a closed stream may take to send its rest.
pub const CLOSE_TIMEOUT_MS: u64 = 5_000;
/// Longest time that a datagram may wait for its neighbour to tell its address, which is asked for within a second.
pub const DATAGRAM_TIMEOUT_MS: u64 = 1_500;
/// How long a resolver is waited for; a failure before that was an answer.
pub const RESOLVER_TIMEOUT_MS: u64 = 10_000;
/// Local ports that are chosen for sockets.
const PORT_FIRST: u16 = 32_768;
const PORT_COUNT: u16 = 16_384;
/// Frames taken, and frames sent, in one poll.
const FRAMES_MAX: usize = 16;

/// Byte buffers, all zeros at first.
pub(crate) struct ApplicationBuffers {
    streams: [StreamBuffers; STREAMS],
    datagrams: [DatagramBuffers; DATAGRAMS],
}

struct StreamBuffers {
    receive: [u8; STREAM_RECEIVE_LEN],
    transmit: [u8; STREAM_TRANSMIT_LEN],
}

struct DatagramBuffers {
    receive: [u8; DATAGRAM_LEN],
    transmit: [u8; DATAGRAM_LEN],
}

impl ApplicationBuffers {
    pub(crate) const fn new() -> Self {
        Self {
            streams: [const { StreamBuffers { receive: [0; _], transmit: [0; _] } }; STREAMS],
            datagrams: [const { DatagramBuffers { receive: [0; _], transmit: [0; _] } }; DATAGRAMS],
        }
    }
}

/// State of the sockets.
pub(crate) struct ApplicationStorage {
    sockets: [SocketStorage<'static>; SLOTS + 1],
    queries: [Option<dns::DnsQuery>; QUERIES_MAX],
    headers: [[[udp::PacketMetadata; DATAGRAMS_WAITING_MAX]; 2]; DATAGRAMS],
}

impl ApplicationStorage {
    pub(crate) const fn new() -> Self {
        Self {
            sockets: [SocketStorage::EMPTY; SLOTS + 1],
            queries: [const { None }; QUERIES_MAX],
            headers: [[[udp::PacketMetadata::EMPTY; DATAGRAMS_WAITING_MAX]; 2]; DATAGRAMS],
        }
    }
}

enum Life {
    Free,
    /// Opened or bound.
    Open,
    Resolving {
        query: dns::QueryHandle,
        port: u16,
        since_ms: u64,
    },
    Connecting {
        since_ms: u64,
    },
    Up {
        /// Bytes that waited for the peer, and since when there are so many.
        queued: usize,
        moved_ms: u64,
        peer_done: bool,
        shut: bool,
    },
    Closing {
        since_ms: u64,
    },
    Ended(SocketReason),
}

struct Slot {
    handle: SocketHandle,
    kind: SocketKind,
    life: Life,
    peer: SocketAddress,
    local_port: u16,
    /// Whom what is sent last was for.
    sends_to: Ipv4Address,
    /// Since when a datagram waits to be sent, if one does.
    waits_since_ms: Option<u64>,
}

/// A socket as it is at this moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Look {
    /// `None` when the slot is free; a slot that sends its rest is not.
    pub state: Option<SocketState>,
    /// Why it is closed.
    pub reason: SocketReason,
    /// Bytes that a send would take.
    pub room: usize,
    /// Bytes, or whether a datagram, waits.
    pub waiting: usize,
    /// Local port, 0 for none.
    pub local_port: u16,
    /// The peer.
    pub peer: SocketAddress,
}

/// Whether a connect was begun.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Begun {
    /// It was, or it has failed: the state tells.
    Done,
    /// Other names are being looked up; ask again later.
    Later,
}

/// The application's stack.
pub struct ApplicationNetwork {
    interface: Interface,
    sockets: SocketSet<'static>,
    dns: SocketHandle,
    slots: [Slot; SLOTS],
    round: Round<SLOTS>,
    next_local_port: u16,
    pub(crate) network: Network,
}

impl ApplicationNetwork {
    #[inline(never)]
    pub(crate) fn new<E: EthernetController>(
        address: HardwareAddress,
        bearer: &mut Bearer<E>,
        buffers: &'static mut ApplicationBuffers,
        storage: &'static mut ApplicationStorage,
        seed: u64,
        now: Instant,
    ) -> Self {
        let mut config = Config::new(address);
        config.random_seed = seed;
        let interface = Interface::new(config, &mut bearer.port(Side::Application, 0), now);
        let mut sockets = SocketSet::new(storage.sockets.as_mut_slice());
        let dns = sockets.add(dns::Socket::new(&[], storage.queries.as_mut_slice()));
        let mut handles = [(dns, SocketKind::Stream); SLOTS];
        for (to, buffers) in handles.iter_mut().zip(&mut buffers.streams) {
            *to = (sockets.add(stream_socket(buffers)), SocketKind::Stream);
        }
        let datagrams = buffers.datagrams.iter_mut().zip(&mut storage.headers);
        for (to, (buffers, headers)) in handles.iter_mut().skip(STREAMS).zip(datagrams) {
            *to = (sockets.add(datagram_socket(buffers, headers)), SocketKind::Datagram);
        }
        let slots = handles.map(|(handle, kind)| Slot {
            handle,
            kind,
            life: Life::Free,
            peer: SocketAddress::default(),
            local_port: 0,
            sends_to: Ipv4Address::UNSPECIFIED,
            waits_since_ms: None,
        });
        let next_local_port = u16::try_from(seed >> 48).unwrap_or(0) % PORT_COUNT;
        Self {
            interface,
            sockets,
            dns,
            slots,
            round: Round::new(),
            next_local_port,
            network: Network::unknown(),
        }
    }

    /// Moves frames: takes those that are next and the application's. Returns whether there was one.
    #[inline(never)]
    pub(crate) fn take_frames<E: EthernetController>(
        &mut self,
        bearer: &mut Bearer<E>,
        now: Instant,
    ) -> bool {
        let mut any = false;
        let mut port = bearer.port(Side::Application, FRAMES_MAX);
        for _ in 0..FRAMES_MAX {
            match self.interface.poll_ingress_single(now, &mut port, &mut self.sockets) {
                PollIngressSingleResult::None => break,
                PollIngressSingleResult::PacketProcessed | PollIngressSingleResult::SocketStateChanged => {
                    any = true
                }
            }
        }
        any
    }

    /// Sends what the sockets have, a bounded number of frames, and lets the sockets' lives go on.
    #[inline(never)]
    pub(crate) fn send_frames<E: EthernetController>(&mut self, bearer: &mut Bearer<E>, now_ms: u64) {
        let now = crate::stack::instant(now_ms);
        let mut port = bearer.port(Side::Application, FRAMES_MAX);
        for _ in 0..FRAMES_MAX {
            if self.interface.poll_egress(now, &mut port, &mut self.sockets) == PollResult::None {
                break;
            }
        }
        if port.withheld_any() {
            self.round.begin();
        }
        let (slots, sockets, network) = (&self.slots, &self.sockets, &self.network);
        let asked_for = self.round.turn(now_ms, |index| needed_hop(index, slots, sockets, network));
        let hardware = self.interface.hardware_addr();
        if let Some(question) = asked_for.and_then(|hop| network.question(hardware, hop)) {
            port.ask(&question, now);
        }
        for index in 0..SLOTS {
            self.live(index, now_ms);
        }
    }

    /// The device was told of a network, or lost it: then all sockets end.
    pub(crate) fn set_network(&mut self, network: Network, address: Option<Ipv4Cidr>) {
        self.network = network;
        self.interface.update_ip_addrs(|addresses| {
            addresses.clear();
            if let Some(address) = address {
                // Just cleared, so there is room for one.
                let _ = addresses.push(IpCidr::Ipv4(address));
            }
        });
        match network.router() {
            // The table holds at least one route and this is the only one.
            Some(router) => drop(self.interface.routes_mut().add_default_ipv4_route(router)),
            None => drop(self.interface.routes_mut().remove_default_ipv4_route()),
        }
        let mut servers = [IpAddress::Ipv4(Ipv4Address::UNSPECIFIED); RESOLVERS_MAX];
        let mut n_servers = 0;
        for (to, from) in servers.iter_mut().zip(network.resolvers()) {
            *to = IpAddress::Ipv4(from);
            n_servers += 1;
        }
        let servers = servers.get(..n_servers).unwrap_or(&[]);
        self.sockets.get_mut::<dns::Socket<'_>>(self.dns).update_servers(servers);
        if address.is_none() {
            for index in 0..SLOTS {
                if self.look(index).state.is_some() {
                    self.end(index, SocketReason::NetworkLost);
                }
            }
        }
    }

    /// Opens a free slot. A datagram socket gets `local_port`, or one that is chosen when that is 0.
    pub fn open(&mut self, index: usize, local_port: u16) {
        let chosen = if local_port == 0 { self.choose_port() } else { local_port };
        self.forget_neighbour(index);
        let Some(slot) = self.slots.get_mut(index) else { return };
        slot.peer = SocketAddress::default();
        slot.local_port = 0;
        slot.waits_since_ms = None;
        slot.life = Life::Open;
        if slot.kind == SocketKind::Datagram {
            let socket = self.sockets.get_mut::<udp::Socket<'_>>(slot.handle);
            socket.close();
            // A closed socket takes any port but 0, and 0 is never chosen.
            let _ = socket.bind(chosen);
            slot.local_port = chosen;
        }
    }

    /// Begins to connect an open slot.
    #[inline(never)]
    pub fn connect(&mut self, index: usize, host: &str, port: u16, now_ms: u64) -> Begun {
        if !self.network.is_up() {
            self.end(index, SocketReason::NetworkLost);
            return Begun::Done;
        }
        if let Ok(address) = host.parse::<Ipv4Address>() {
            self.reach(index, address, port, now_ms);
            return Begun::Done;
        }
        if self.network.resolvers().next().is_none() {
            self.end(index, SocketReason::ResolverSilent);
            return Begun::Done;
        }
        let socket = self.sockets.get_mut::<dns::Socket<'_>>(self.dns);
        match socket.start_query(self.interface.context(), host, DnsQueryType::A) {
            Ok(query) => self.set_life(index, Life::Resolving { query, port, since_ms: now_ms }),
            Err(StartQueryError::NoFreeSlot) => return Begun::Later,
            Err(StartQueryError::InvalidName | StartQueryError::NameTooLong) => {
                self.end(index, SocketReason::NameUnknown);
            }
        }
        Begun::Done
    }

    /// Says that all was sent.
    pub fn shutdown(&mut self, index: usize) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        if let (SocketKind::Stream, Life::Up { shut, .. }) = (slot.kind, &mut slot.life) {
            *shut = true;
            self.sockets.get_mut::<tcp::Socket<'_>>(slot.handle).close();
        }
    }

    /// Frees a slot; a stream that is up sends its rest first.
    pub fn close(&mut self, index: usize, now_ms: u64) {
        let Some(slot) = self.slots.get(index) else { return };
        if let (SocketKind::Stream, Life::Up { .. }) = (slot.kind, &slot.life) {
            self.sockets.get_mut::<tcp::Socket<'_>>(slot.handle).close();
            self.set_life(index, Life::Closing { since_ms: now_ms });
        } else {
            self.abort(index);
        }
    }

    /// Frees a slot at once; a stream's peer is told that it broke off.
    pub fn abort(&mut self, index: usize) {
        self.halt(index);
        self.set_life(index, Life::Free);
        // What had arrived goes with it: the buffer outlives the connection.
        if let Some(Slot { kind: SocketKind::Stream, handle, .. }) = self.slots.get(index) {
            let socket = self.sockets.get_mut::<tcp::Socket<'_>>(*handle);
            while socket.recv(|bytes| (bytes.len(), bytes.len())).is_ok_and(|taken| taken > 0) {}
        }
    }

    /// Queues bytes of a stream; returns how many were taken.
    pub fn send(&mut self, index: usize, bytes: &[u8]) -> usize {
        match self.slots.get(index) {
            Some(Slot { kind: SocketKind::Stream, life: Life::Up { .. }, handle, .. }) => {
                self.sockets.get_mut::<tcp::Socket<'_>>(*handle).send_slice(bytes).unwrap_or(0)
            }
            _ => 0,
        }
    }

    /// Takes bytes of a stream; returns how many.
    pub fn receive(&mut self, index: usize, out: &mut [u8]) -> usize {
        match self.slots.get(index) {
            Some(Slot {
                kind: SocketKind::Stream, life: Life::Up { .. } | Life::Ended(_), handle, ..
            }) => self.sockets.get_mut::<tcp::Socket<'_>>(*handle).recv_slice(out).unwrap_or(0),
            _ => 0,
        }
    }

    /// Queues a datagram; to nobody in particular means to the peer. It is lost if there is no room or no way.
    pub fn send_to(&mut self, index: usize, to: Option<SocketAddress>, bytes: &[u8]) {
        let room = self.look(index).room;
        let slot = self.slots.get_mut(index).filter(|slot| slot.kind == SocketKind::Datagram && room > 0);
        let Some(slot) = slot else { return };
        let to = to.unwrap_or(slot.peer);
        if !self.network.permits(SocketKind::Datagram, to) {
            return;
        }
        slot.sends_to = Ipv4Address::from(to.address);
        let to = IpEndpoint::new(IpAddress::Ipv4(slot.sends_to), to.port);
        // One that is longer than any may be is lost; the caller looked before.
        let _ = self.sockets.get_mut::<udp::Socket<'_>>(slot.handle).send_slice(bytes, to);
    }

    /// Takes a datagram; `None` when there is none. One that is not from the peer, if there is one, is dropped.
    pub fn receive_from(&mut self, index: usize, out: &mut [u8]) -> Option<(usize, SocketAddress)> {
        let slot = self.slots.get(index).filter(|slot| slot.kind == SocketKind::Datagram)?;
        let socket = self.sockets.get_mut::<udp::Socket<'_>>(slot.handle);
        for _ in 0..DATAGRAMS_WAITING_MAX {
            let (bytes, meta) = socket.recv().ok()?;
            let IpAddress::Ipv4(address) = meta.endpoint.addr;
            let from = SocketAddress { address: address.octets(), port: meta.endpoint.port, reserved: 0 };
            let wanted = slot.peer.port == 0 || slot.peer == from;
            if let Some(out) = out.get_mut(..bytes.len()).filter(|_| wanted) {
                out.copy_from_slice(bytes);
                return Some((bytes.len(), from));
            }
        }
        None
    }

    /// A slot as it is.
    pub fn look(&self, index: usize) -> Look {
        let mut look = Look {
            state: None,
            reason: SocketReason::None,
            room: 0,
            waiting: 0,
            local_port: 0,
            peer: SocketAddress::default(),
        };
        let Some(slot) = self.slots.get(index) else { return look };
        look.local_port = slot.local_port;
        look.peer = slot.peer;
        look.state = match slot.life {
            Life::Free | Life::Closing { .. } => None,
            Life::Open => Some(SocketState::Open),
            Life::Resolving { .. } => Some(SocketState::Resolving),
            Life::Connecting { .. } => Some(SocketState::Connecting),
            Life::Up { peer_done: true, .. } => Some(SocketState::PeerDone),
            Life::Up { .. } => Some(SocketState::Connected),
            Life::Ended(reason) => {
                look.reason = reason;
                Some(SocketState::Closed)
            }
        };
        match slot.kind {
            SocketKind::Stream => {
                let socket = self.sockets.get::<tcp::Socket<'_>>(slot.handle);
                look.waiting = if socket.can_recv() { socket.recv_queue() } else { 0 };
                if let Life::Up { shut: false, .. } = slot.life {
                    look.room = socket.send_capacity().saturating_sub(socket.send_queue());
                }
            }
            SocketKind::Datagram => {
                let socket = self.sockets.get::<udp::Socket<'_>>(slot.handle);
                look.waiting = usize::from(socket.can_recv());
                // One of any length fits when none waits.
                let ready = matches!(slot.life, Life::Open | Life::Up { .. }) && socket.send_queue() == 0;
                look.room = if ready { DATAGRAM_LEN } else { 0 };
            }
        }
        look
    }

    /// Whether a slot can be opened.
    pub fn is_free(&self, index: usize) -> bool {
        self.slots.get(index).is_some_and(|slot| matches!(slot.life, Life::Free))
    }

    fn set_life(&mut self, index: usize, life: Life) {
        if let Some(slot) = self.slots.get_mut(index) {
            slot.life = life;
        }
    }

    fn end(&mut self, index: usize, reason: SocketReason) {
        self.halt(index);
        self.set_life(index, Life::Ended(reason));
    }

    /// Stops whatever a slot does.
    fn halt(&mut self, index: usize) {
        let Some(slot) = self.slots.get(index) else { return };
        if let Life::Resolving { query, .. } = slot.life {
            self.sockets.get_mut::<dns::Socket<'_>>(self.dns).cancel_query(query);
        }
        match slot.kind {
            SocketKind::Stream => self.sockets.get_mut::<tcp::Socket<'_>>(slot.handle).abort(),
            SocketKind::Datagram => self.sockets.get_mut::<udp::Socket<'_>>(slot.handle).close(),
        }
    }

    /// The address is known: asks the peer.
    fn reach(&mut self, index: usize, address: Ipv4Address, port: u16, now_ms: u64) {
        let local_port = self.choose_port();
        let Some(slot) = self.slots.get_mut(index) else { return };
        let peer = SocketAddress { address: address.octets(), port, reserved: 0 };
        slot.peer = peer;
        slot.sends_to = address;
        let refused = if !self.network.permits(slot.kind, peer) {
            Some(SocketReason::Forbidden)
        } else if self.network.next_hop(address).is_none() {
            Some(SocketReason::NoRoute)
        } else {
            None
        };
        if let Some(reason) = refused {
            return self.end(index, reason);
        }
        match slot.kind {
            SocketKind::Datagram => {
                slot.life = Life::Up { queued: 0, moved_ms: now_ms, peer_done: false, shut: false };
            }
            SocketKind::Stream => {
                slot.local_port = local_port;
                slot.life = Life::Connecting { since_ms: now_ms };
                let socket = self.sockets.get_mut::<tcp::Socket<'_>>(slot.handle);
                socket.abort();
                let to = IpEndpoint::new(IpAddress::Ipv4(address), port);
                if socket.connect(self.interface.context(), to, local_port).is_err() {
                    self.end(index, SocketReason::NoRoute);
                }
            }
        }
    }

    /// The next thing that a slot sends does not wait for whom the last one was for.
    fn forget_neighbour(&mut self, index: usize) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        // The set remembers that beside the socket, and forgets it with the socket's place alone.
        let socket = self.sockets.remove(slot.handle);
        slot.handle = self.sockets.add(socket);
    }

    /// The next local port that no slot has.
    fn choose_port(&mut self) -> u16 {
        // More ports than slots, so one of so many is free.
        for _ in 0..=SLOTS {
            self.next_local_port = self.next_local_port.wrapping_add(1) % PORT_COUNT;
            let port = PORT_FIRST.saturating_add(self.next_local_port);
            if self.slots.iter().all(|slot| slot.local_port != port) {
                return port;
            }
        }
        PORT_FIRST
    }

    fn live(&mut self, index: usize, now_ms: u64) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let late = |since_ms: u64, limit_ms: u64| now_ms.saturating_sub(since_ms) > limit_ms;
        match slot.life {
            Life::Open | Life::Up { .. } if slot.kind == SocketKind::Datagram => {
                let socket = self.sockets.get_mut::<udp::Socket<'_>>(slot.handle);
                if socket.send_queue() == 0 {
                    slot.waits_since_ms = None;
                    return;
                }
                let since_ms = *slot.waits_since_ms.get_or_insert(now_ms);
                // What has arrived is lost with it: whoever takes it gets time for that.
                let at_most_ms =
                    if socket.can_recv() { 2 * DATAGRAM_TIMEOUT_MS } else { DATAGRAM_TIMEOUT_MS };
                if late(since_ms, at_most_ms) {
                    // Nobody answers for its address, and it would keep all others waiting behind it.
                    socket.close();
                    // A closed socket takes the port that it had.
                    let _ = socket.bind(slot.local_port);
                    slot.waits_since_ms = None;
                    self.forget_neighbour(index);
                }
            }
            Life::Free | Life::Open | Life::Ended(_) => {}
            Life::Resolving { query, port, since_ms } => self.resolve(index, query, port, since_ms, now_ms),
            Life::Connecting { since_ms } => {
                let socket = self.sockets.get::<tcp::Socket<'_>>(slot.handle);
                if socket.may_send() || socket.may_recv() {
                    slot.life = Life::Up { queued: 0, moved_ms: now_ms, peer_done: false, shut: false };
                    self.live(index, now_ms);
                } else if !socket.is_active() {
                    slot.life = Life::Ended(SocketReason::RefusedByPeer);
                } else if late(since_ms, CONNECT_TIMEOUT_MS) {
                    self.end(index, SocketReason::TimedOut);
                }
            }
            Life::Up { ref mut queued, ref mut moved_ms, ref mut peer_done, shut } => {
                let socket = self.sockets.get::<tcp::Socket<'_>>(slot.handle);
                let state = socket.state();
                use tcp::State::{CloseWait, Closed, Closing, FinWait1, LastAck, TimeWait};
                let now_queued = socket.send_queue();
                // The end of the stream is acknowledged as bytes are, and is in no queue.
                let waits = now_queued > 0 || matches!(state, FinWait1 | Closing | LastAck);
                if !waits || now_queued != *queued {
                    (*queued, *moved_ms) = (now_queued, now_ms);
                }
                *peer_done |= matches!(state, CloseWait | LastAck | Closing | TimeWait);
                if matches!(state, Closed | TimeWait) {
                    let whole = *peer_done && shut;
                    let reason = if whole { SocketReason::ClosedByPeer } else { SocketReason::ResetByPeer };
                    slot.life = Life::Ended(reason);
                } else if late(*moved_ms, SEND_TIMEOUT_MS) {
                    self.end(index, SocketReason::TimedOut);
                }
            }
            Life::Closing { since_ms } => {
                let socket = self.sockets.get::<tcp::Socket<'_>>(slot.handle);
                if !socket.is_active() || late(since_ms, CLOSE_TIMEOUT_MS) {
                    self.abort(index);
                }
            }
        }
    }

    fn resolve(&mut self, index: usize, query: dns::QueryHandle, port: u16, since_ms: u64, now_ms: u64) {
        let waited_ms = now_ms.saturating_sub(since_ms);
        let socket = self.sockets.get_mut::<dns::Socket<'_>>(self.dns);
        match socket.get_query_result(query) {
            Ok(addresses) => {
                self.set_life(index, Life::Open);
                match addresses.first() {
                    Some(IpAddress::Ipv4(address)) => self.reach(index, *address, port, now_ms),
                    None => self.end(index, SocketReason::NameUnknown),
                }
            }
            Err(GetQueryResultError::Pending) if waited_ms <= CONNECT_TIMEOUT_MS => {}
            Err(GetQueryResultError::Pending) => self.end(index, SocketReason::ResolverSilent),
            Err(GetQueryResultError::Failed) => {
                self.set_life(index, Life::Open);
                let silent = waited_ms >= RESOLVER_TIMEOUT_MS;
                let reason = if silent { SocketReason::ResolverSilent } else { SocketReason::NameUnknown };
                self.end(index, reason);
            }
        }
    }
}

/// The next hop that a slot may need, and behind the slots a resolver that is being asked.
fn needed_hop(
    index: usize,
    slots: &[Slot; SLOTS],
    sockets: &SocketSet<'_>,
    network: &Network,
) -> Option<Ipv4Address> {
    let Some(slot) = slots.get(index) else {
        let resolving = slots.iter().any(|slot| matches!(slot.life, Life::Resolving { .. }));
        let resolver = network.resolvers().nth(index.checked_sub(SLOTS)?)?;
        return network.next_hop(resolver).filter(|_| resolving);
    };
    let sends = match slot.kind {
        // One that is up sends whenever the peer does.
        SocketKind::Stream => sockets.get::<tcp::Socket<'_>>(slot.handle).is_active(),
        SocketKind::Datagram => sockets.get::<udp::Socket<'_>>(slot.handle).send_queue() > 0,
    };
    network.next_hop(slot.sends_to).filter(|_| sends)
}

fn stream_socket(buffers: &'static mut StreamBuffers) -> tcp::Socket<'static> {
    let mut socket = tcp::Socket::new(
        tcp::SocketBuffer::new(buffers.receive.as_mut_slice()),
        tcp::SocketBuffer::new(buffers.transmit.as_mut_slice()),
    );
    // What an application hands over whole is sent whole; waiting for more would only add a round trip.
    socket.set_nagle_enabled(false);
    socket
}

fn datagram_socket(
    buffers: &'static mut DatagramBuffers,
    [receive, transmit]: &'static mut [[udp::PacketMetadata; DATAGRAMS_WAITING_MAX]; 2],
) -> udp::Socket<'static> {
    udp::Socket::new(
        udp::PacketBuffer::new(receive.as_mut_slice(), buffers.receive.as_mut_slice()),
        udp::PacketBuffer::new(transmit.as_mut_slice(), buffers.transmit.as_mut_slice()),
    )
}
