//! One TCP connection to a named host, and what it takes to get there.

use bulkhead_hardware_ports::EthernetController;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet, SocketStorage};
use smoltcp::socket::dns::GetQueryResultError;
use smoltcp::socket::{dhcpv4, dns, tcp};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{
    DnsQueryType, EthernetAddress, HardwareAddress, IpAddress, IpCidr, Ipv4Address, Ipv4Cidr,
};

use crate::application::{ApplicationBuffers, ApplicationNetwork, ApplicationStorage};
use crate::ethernet::{Bearer, Frames};
use crate::network::{Network, RESOLVERS_MAX};
use crate::sorting::Side;

/// Two full segments in, one and a half out: what one fetch of 8 KiB needs to keep flowing.
const TCP_RECEIVE_LEN: usize = 2920;
const TCP_TRANSMIT_LEN: usize = 1536;
const SOCKETS: usize = 3;

/// Longest silence of the peer while data is unacknowledged, after which TCP gives up.
const TCP_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for an answer of DNS or for the TCP handshake, in milliseconds.
const OPEN_TIMEOUT_MS: u64 = 20_000;
/// First port of the range that connections go out from.
const LOCAL_PORT_FIRST: u16 = 49_152;
const LOCAL_PORT_COUNT: u16 = 16_384;
/// How often in one poll the two stacks take turns at the frames that came in.
const TURNS_MAX: usize = 16;
/// Frames that the hypervisor's stack may send in one turn: more than its buffers hold.
const FRAMES_MAX: usize = 64;

/// Byte buffers of the stack, all zeros at first: a static of them costs no flash.
pub struct Buffers {
    tcp_receive: [u8; TCP_RECEIVE_LEN],
    tcp_transmit: [u8; TCP_TRANSMIT_LEN],
    frames: Frames,
    application: ApplicationBuffers,
}

impl Buffers {
    /// Empty buffers.
    pub const fn new() -> Self {
        Self {
            tcp_receive: [0; TCP_RECEIVE_LEN],
            tcp_transmit: [0; TCP_TRANSMIT_LEN],
            frames: Frames::new(),
            application: ApplicationBuffers::new(),
        }
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self::new()
    }
}

/// State of the stack's sockets.
pub struct Sockets {
    sockets: [SocketStorage<'static>; SOCKETS],
    dns_queries: [Option<dns::DnsQuery>; 1],
    application: ApplicationStorage,
}

impl Sockets {
    /// No sockets.
    pub const fn new() -> Self {
        Self {
            sockets: [SocketStorage::EMPTY; SOCKETS],
            dns_queries: [const { None }; 1],
            application: ApplicationStorage::new(),
        }
    }
}

impl Default for Sockets {
    fn default() -> Self {
        Self::new()
    }
}

/// How far the connection is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Connection {
    /// No address from DHCP yet.
    NoAddress,
    /// Nothing was asked for, or it ended.
    Closed,
    /// Asking DNS, or waiting for the TCP handshake.
    Opening,
    /// Bytes can flow.
    Open,
}

enum Opening {
    Idle,
    Resolving { query: dns::QueryHandle, port: u16, since_ms: u64 },
    Connecting { since_ms: u64 },
}

/// The stack over one Ethernet controller.
pub struct NetworkStack<E> {
    bearer: Bearer<E>,
    interface: Interface,
    sockets: SocketSet<'static>,
    dhcp: SocketHandle,
    dns: SocketHandle,
    tcp: SocketHandle,
    opening: Opening,
    network: Network,
    next_local_port: u16,
    application: ApplicationNetwork,
}

impl<E: EthernetController> NetworkStack<E> {
    /// Starts the stack. The seeds make port and sequence numbers unpredictable; the second is the application's, who
    /// may see what comes of it and shall learn nothing of the first.
    pub fn new(
        mut controller: E,
        buffers: &'static mut Buffers,
        storage: &'static mut Sockets,
        [seed, application_seed]: [u64; 2],
        now_ms: u64,
    ) -> Self {
        let mac = controller.mac_address();
        let mut bearer = Bearer::new(controller, &mut buffers.frames);
        let address = HardwareAddress::Ethernet(EthernetAddress(mac));
        let mut config = Config::new(address);
        config.random_seed = seed;
        let interface = Interface::new(config, &mut bearer.port(Side::Hypervisor, 0), instant(now_ms));
        let application = ApplicationNetwork::new(
            address,
            &mut bearer,
            &mut buffers.application,
            &mut storage.application,
            application_seed,
            instant(now_ms),
        );
        let mut sockets = SocketSet::new(storage.sockets.as_mut_slice());
        let dhcp = sockets.add(dhcpv4::Socket::new());
        let dns = sockets.add(dns::Socket::new(&[], storage.dns_queries.as_mut_slice()));
        let mut socket = tcp::Socket::new(
            tcp::SocketBuffer::new(buffers.tcp_receive.as_mut_slice()),
            tcp::SocketBuffer::new(buffers.tcp_transmit.as_mut_slice()),
        );
        // Frames are small and written whole: waiting for more would only add a round trip.
        socket.set_nagle_enabled(false);
        let tcp = sockets.add(socket);
        let next_local_port = (seed.to_le_bytes().iter().fold(0u16, |a, b| a.rotate_left(3) ^ u16::from(*b)))
            % LOCAL_PORT_COUNT;
        Self {
            bearer,
            interface,
            sockets,
            dhcp,
            dns,
            tcp,
            opening: Opening::Idle,
            network: Network::unknown(),
            next_local_port,
            application,
        }
    }

    /// Moves frames and timers. Call when a frame arrived and when [`Self::poll_in_ms`] is over.
    pub fn poll(&mut self, now_ms: u64) {
        self.bearer.controller.interrupt_acknowledge();
        // smoltcp counts the timeout against an idle connection too; silence is the link's business, not TCP's.
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(self.tcp);
        let waits = socket.send_queue() > 0 || !socket.may_send();
        socket.set_timeout(waits.then_some(TCP_TIMEOUT));
        let now = instant(now_ms);
        // The hypervisor's stack goes first; a frame of the application's at the head is in its way for one turn.
        for _ in 0..TURNS_MAX {
            let mut port = self.bearer.port(Side::Hypervisor, FRAMES_MAX);
            let _ = self.interface.poll(now, &mut port, &mut self.sockets);
            if !self.application.take_frames(&mut self.bearer, now) {
                break;
            }
        }
        self.application.send_frames(&mut self.bearer, now_ms);
        self.poll_dhcp();
        self.poll_opening(now_ms);
    }

    /// Milliseconds until the stack wants to be polled without a frame; `None` for no wish.
    ///
    /// The application's sockets have no say: with any of them open, poll every few milliseconds.
    pub fn poll_in_ms(&mut self, now_ms: u64) -> Option<u64> {
        self.interface.poll_delay(instant(now_ms), &self.sockets).map(|d| d.total_millis())
    }

    /// How far the connection is.
    pub fn connection(&self) -> Connection {
        if !self.network.is_up() {
            return Connection::NoAddress;
        }
        let socket = self.sockets.get::<tcp::Socket<'_>>(self.tcp);
        match self.opening {
            Opening::Resolving { .. } | Opening::Connecting { .. } => Connection::Opening,
            Opening::Idle if socket.may_send() && socket.may_recv() || socket.can_recv() => Connection::Open,
            Opening::Idle => Connection::Closed,
        }
    }

    /// Opens a connection to `host`, an IPv4 address or a name. The old one is dropped. Returns `false` if it
    /// cannot even be tried: no address yet, a name that is none, or no DNS server.
    pub fn open(&mut self, host: &str, port: u16, now_ms: u64) -> bool {
        self.close();
        if !self.network.is_up() {
            return false;
        }
        if let Ok(address) = host.parse::<Ipv4Address>() {
            return self.connect(IpAddress::Ipv4(address), port, now_ms);
        }
        let socket = self.sockets.get_mut::<dns::Socket<'_>>(self.dns);
        match socket.start_query(self.interface.context(), host, DnsQueryType::A) {
            Ok(query) => {
                self.opening = Opening::Resolving { query, port, since_ms: now_ms };
                true
            }
            Err(_) => false,
        }
    }

    /// Drops the connection at once.
    pub fn close(&mut self) {
        if let Opening::Resolving { query, .. } = core::mem::replace(&mut self.opening, Opening::Idle) {
            self.sockets.get_mut::<dns::Socket<'_>>(self.dns).cancel_query(query);
        }
        self.sockets.get_mut::<tcp::Socket<'_>>(self.tcp).abort();
    }

    /// Bytes that [`Self::send`] would take now.
    pub fn send_room(&self) -> usize {
        let socket = self.sockets.get::<tcp::Socket<'_>>(self.tcp);
        if socket.may_send() { socket.send_capacity().saturating_sub(socket.send_queue()) } else { 0 }
    }

    /// Queues bytes; returns how many were taken.
    pub fn send(&mut self, bytes: &[u8]) -> usize {
        self.sockets.get_mut::<tcp::Socket<'_>>(self.tcp).send_slice(bytes).unwrap_or(0)
    }

    /// Shows received bytes to `take`, if there are any, which returns how many it took; the others are shown again.
    pub fn receive(&mut self, take: impl FnOnce(&[u8]) -> usize) -> usize {
        let taken = self.sockets.get_mut::<tcp::Socket<'_>>(self.tcp).recv(|bytes| {
            let n = take(bytes).min(bytes.len());
            (n, n)
        });
        taken.unwrap_or(0)
    }

    /// The network as the device was told of it.
    pub const fn network(&self) -> Network {
        self.network
    }

    /// The application's sockets.
    pub const fn application(&mut self) -> &mut ApplicationNetwork {
        &mut self.application
    }

    fn poll_dhcp(&mut self) {
        match self.sockets.get_mut::<dhcpv4::Socket<'_>>(self.dhcp).poll() {
            None => {}
            Some(dhcpv4::Event::Configured(config)) => {
                let (address, router) = (config.address, config.router);
                let mut servers = [IpAddress::Ipv4(Ipv4Address::UNSPECIFIED); RESOLVERS_MAX];
                let mut resolvers = [None; RESOLVERS_MAX];
                let mut n_servers = 0;
                for ((to, known), from) in
                    servers.iter_mut().zip(&mut resolvers).zip(config.dns_servers.iter())
                {
                    *to = IpAddress::Ipv4(*from);
                    *known = Some(*from);
                    n_servers += 1;
                }
                let servers = servers.get(..n_servers).unwrap_or(&[]);
                self.sockets.get_mut::<dns::Socket<'_>>(self.dns).update_servers(servers);
                let network = self.network.configured(address, router, resolvers);
                self.bearer.resolvers = resolvers.map(|one| one.unwrap_or(Ipv4Address::UNSPECIFIED));
                self.set_network(network, Some(address));
            }
            Some(dhcpv4::Event::Deconfigured) => {
                self.close();
                self.set_network(Network::unknown(), None);
            }
        }
    }

    fn set_network(&mut self, network: Network, address: Option<Ipv4Cidr>) {
        self.network = network;
        self.interface.update_ip_addrs(|addresses| {
            addresses.clear();
            if let Some(address) = address {
                // Just cleared, so there is room for one.
                let _ = addresses.push(IpCidr::Ipv4(address));
            }
        });
        let routes = self.interface.routes_mut();
        match network.router() {
            // The table holds at least one route and this is the only one.
            Some(router) => drop(routes.add_default_ipv4_route(router)),
            None => drop(routes.remove_default_ipv4_route()),
        }
        self.application.set_network(network, address);
    }

    fn poll_opening(&mut self, now_ms: u64) {
        match self.opening {
            Opening::Idle => {}
            Opening::Resolving { query, port, since_ms } => {
                let socket = self.sockets.get_mut::<dns::Socket<'_>>(self.dns);
                match socket.get_query_result(query) {
                    Ok(addresses) => {
                        let first = addresses.first().copied();
                        self.opening = Opening::Idle;
                        if let Some(address) = first {
                            self.connect(address, port, now_ms);
                        }
                    }
                    Err(GetQueryResultError::Pending) => {
                        if now_ms.saturating_sub(since_ms) > OPEN_TIMEOUT_MS {
                            self.close();
                        }
                    }
                    Err(GetQueryResultError::Failed) => self.opening = Opening::Idle,
                }
            }
            Opening::Connecting { since_ms } => {
                let socket = self.sockets.get::<tcp::Socket<'_>>(self.tcp);
                if socket.may_send() || !socket.is_active() {
                    self.opening = Opening::Idle;
                } else if now_ms.saturating_sub(since_ms) > OPEN_TIMEOUT_MS {
                    self.close();
                }
            }
        }
    }

    fn connect(&mut self, address: IpAddress, port: u16, now_ms: u64) -> bool {
        self.next_local_port = (self.next_local_port + 1) % LOCAL_PORT_COUNT;
        let local_port = LOCAL_PORT_FIRST + self.next_local_port;
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(self.tcp);
        let started = socket.connect(self.interface.context(), (address, port), local_port).is_ok();
        let IpAddress::Ipv4(peer) = address;
        self.network = self.network.linked_to(peer, port);
        self.application.network = self.network;
        if started {
            self.opening = Opening::Connecting { since_ms: now_ms };
        }
        started
    }
}

pub(crate) fn instant(now_ms: u64) -> Instant {
    Instant::from_millis(i64::try_from(now_ms).unwrap_or(i64::MAX))
}
