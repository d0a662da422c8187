//! A network of two: the device's stack on one end of a wire, and on the other a host that is router, DHCP server,
//! resolver and peer at once. Time is counted, not waited for.

#![expect(unreachable_pub, reason = "each test is a crate of its own, which uses what it needs")]
#![allow(
    dead_code,
    unused_imports,
    clippy::allow_attributes,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "as above; what is unused differs from test to test"
)]

use std::boxed::Box;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::string::String;
use std::vec;
use std::vec::Vec;

use bulkhead_hardware_ports::{ETHERNET_FRAME_LEN_MAX, EthernetController};
use bulkhead_network_stack::{Buffers, Connection, NetworkStack, Sockets};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::{tcp, udp};
use smoltcp::time::Instant;
use smoltcp::wire::{
    DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress, HardwareAddress, IpAddress, IpCidr, Ipv4Address,
};

pub const ROUTER: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);
pub const RESOLVER: Ipv4Address = Ipv4Address::new(10, 0, 2, 3);
const OWN: Ipv4Address = Ipv4Address::new(10, 0, 2, 15);
const MASK: Ipv4Address = Ipv4Address::new(255, 255, 255, 0);
/// Ports on which the peer echoes.
pub const ECHO: u16 = 7;
pub const LINK: u16 = 7000;
const LISTENERS: usize = 8;
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const PEER_MAC: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 2]);

/// Frames on their way.
#[derive(Default)]
pub struct Wire {
    pub to_device: VecDeque<Vec<u8>>,
    to_peer: VecDeque<Vec<u8>>,
    /// Of so many frames in each direction one is lost; 0 for none.
    pub lose_one_of: usize,
    n_frames: usize,
    /// Everything the device ever sent.
    pub sent: Vec<Vec<u8>>,
    /// Everything that was ever sent to it.
    pub heard: Vec<Vec<u8>>,
}

impl Wire {
    fn carries(&mut self) -> bool {
        self.n_frames += 1;
        self.lose_one_of == 0 || !self.n_frames.is_multiple_of(self.lose_one_of)
    }
}

pub struct Ethernet(Rc<RefCell<Wire>>);

impl EthernetController for Ethernet {
    fn mac_address(&mut self) -> [u8; 6] {
        MAC
    }
    fn receive(&mut self, out: &mut [u8; ETHERNET_FRAME_LEN_MAX]) -> Option<usize> {
        let frame = self.0.borrow_mut().to_device.pop_front()?;
        out.get_mut(..frame.len())?.copy_from_slice(&frame);
        Some(frame.len())
    }
    fn can_transmit(&mut self) -> bool {
        true
    }
    fn transmit(&mut self, frame: &[u8]) -> bool {
        let mut wire = self.0.borrow_mut();
        wire.sent.push(frame.to_vec());
        if wire.carries() {
            wire.to_peer.push_back(frame.to_vec());
        }
        true
    }
    fn interrupt_acknowledge(&mut self) {}
}

struct PeerEnd(Rc<RefCell<Wire>>);
struct Taken(Vec<u8>);
struct Given(Rc<RefCell<Wire>>);

impl RxToken for Taken {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Given {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        let mut wire = self.0.borrow_mut();
        wire.heard.push(frame.clone());
        if wire.carries() {
            wire.to_device.push_back(frame);
        }
        result
    }
}

impl Device for PeerEnd {
    type RxToken<'a> = Taken;
    type TxToken<'a> = Given;
    fn receive(&mut self, _: Instant) -> Option<(Taken, Given)> {
        let frame = self.0.borrow_mut().to_peer.pop_front()?;
        Some((Taken(frame), Given(Rc::clone(&self.0))))
    }
    fn transmit(&mut self, _: Instant) -> Option<Given> {
        Some(Given(Rc::clone(&self.0)))
    }
    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = ETHERNET_FRAME_LEN_MAX;
        capabilities
    }
}

/// What a resolver sends back to a query, datagram by datagram.
pub type Resolver = Box<dyn FnMut(&[u8]) -> Vec<Vec<u8>>>;

struct Peer {
    end: PeerEnd,
    interface: Interface,
    sockets: SocketSet<'static>,
    dhcp: SocketHandle,
    dns: SocketHandle,
    udp_echo: SocketHandle,
    listeners: Vec<(SocketHandle, u16)>,
    resolver: Resolver,
    lease_s: u32,
    serves_addresses: bool,
}

fn udp_socket(port: u16) -> udp::Socket<'static> {
    let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 16], vec![0; 8192]);
    let mut socket = udp::Socket::new(buffer(), buffer());
    socket.bind(port).unwrap();
    socket
}

impl Peer {
    fn new(wire: &Rc<RefCell<Wire>>, resolver: Resolver) -> Self {
        let mut end = PeerEnd(Rc::clone(wire));
        let mut config = Config::new(HardwareAddress::Ethernet(PEER_MAC));
        config.random_seed = 7;
        let mut interface = Interface::new(config, &mut end, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            for address in [ROUTER, RESOLVER] {
                addresses.push(IpCidr::new(IpAddress::Ipv4(address), 24)).unwrap();
            }
        });
        let mut sockets = SocketSet::new(Vec::new());
        let dhcp = sockets.add(udp_socket(67));
        let dns = sockets.add(udp_socket(53));
        let udp_echo = sockets.add(udp_socket(ECHO));
        let listeners = [ECHO; LISTENERS].into_iter().chain([LINK; 2]).map(|port| {
            let buffer = || tcp::SocketBuffer::new(vec![0; 4096]);
            let mut socket = tcp::Socket::new(buffer(), buffer());
            socket.listen(port).unwrap();
            (sockets.add(socket), port)
        });
        let listeners = listeners.collect();
        Self {
            end,
            interface,
            sockets,
            dhcp,
            dns,
            udp_echo,
            listeners,
            resolver,
            lease_s: 86_400,
            serves_addresses: true,
        }
    }

    fn poll(&mut self, now: Instant) {
        self.interface.poll(now, &mut self.end, &mut self.sockets);
        self.lease();
        self.resolve();
        let echo = self.sockets.get_mut::<udp::Socket<'_>>(self.udp_echo);
        while let Ok((bytes, meta)) = echo.recv().map(|(bytes, meta)| (bytes.to_vec(), meta)) {
            let _ = echo.send_slice(&bytes, meta.endpoint);
        }
        for (handle, port) in &self.listeners {
            let socket = self.sockets.get_mut::<tcp::Socket<'_>>(*handle);
            let room = socket.send_capacity() - socket.send_queue();
            let mut bytes = vec![0; room];
            if socket.can_recv() && socket.may_send() {
                let len = socket.recv_slice(&mut bytes).unwrap_or(0);
                let _ = socket.send_slice(&bytes[..len]);
            }
            if socket.state() == tcp::State::CloseWait && !socket.can_recv() {
                socket.close();
            }
            if !socket.is_open() || socket.state() == tcp::State::TimeWait {
                socket.abort();
                socket.listen(*port).unwrap();
            }
        }
        self.interface.poll(now, &mut self.end, &mut self.sockets);
    }

    fn lease(&mut self) {
        let socket = self.sockets.get_mut::<udp::Socket<'_>>(self.dhcp);
        while let Ok((bytes, _)) = socket.recv().map(|(bytes, meta)| (bytes.to_vec(), meta)) {
            let packet = DhcpPacket::new_checked(&bytes).unwrap();
            let asked = DhcpRepr::parse(&packet).unwrap();
            let message_type = match asked.message_type {
                DhcpMessageType::Discover => DhcpMessageType::Offer,
                DhcpMessageType::Request => DhcpMessageType::Ack,
                other => panic!("the device sent {other:?}"),
            };
            if !self.serves_addresses {
                continue;
            }
            let answer = DhcpRepr {
                message_type,
                your_ip: OWN,
                server_ip: ROUTER,
                router: Some(ROUTER),
                subnet_mask: Some(MASK),
                server_identifier: Some(ROUTER),
                lease_duration: Some(self.lease_s),
                dns_servers: Some([RESOLVER].into_iter().collect()),
                broadcast: true,
                requested_ip: None,
                client_identifier: None,
                parameter_request_list: None,
                max_size: None,
                ..asked
            };
            let mut out = vec![0; answer.buffer_len()];
            answer.emit(&mut DhcpPacket::new_unchecked(&mut out)).unwrap();
            socket.send_slice(&out, (IpAddress::Ipv4(Ipv4Address::BROADCAST), 68)).unwrap();
        }
    }

    fn resolve(&mut self) {
        let socket = self.sockets.get_mut::<udp::Socket<'_>>(self.dns);
        while let Ok((bytes, meta)) = socket.recv().map(|(bytes, meta)| (bytes.to_vec(), meta)) {
            for answer in (self.resolver)(&bytes) {
                let to = udp::UdpMetadata {
                    endpoint: meta.endpoint,
                    local_address: Some(IpAddress::Ipv4(RESOLVER)),
                    meta: meta.meta,
                };
                // Too many at once are lost.
                let _ = socket.send_slice(&answer, to);
            }
        }
    }
}

/// The device and the network around it.
pub struct World {
    pub stack: NetworkStack<Ethernet>,
    pub wire: Rc<RefCell<Wire>>,
    peer: Peer,
    pub now_ms: u64,
}

impl World {
    /// A device that has its address.
    pub fn new(resolver: Resolver) -> Self {
        let memory = (Box::leak(Box::new(Buffers::new())), Box::leak(Box::new(Sockets::new())));
        Self::new_in(memory, resolver)
    }

    /// As [`Self::new`], in memory that somebody sets aside, as a board does.
    pub fn new_in(
        (buffers, sockets): (&'static mut Buffers, &'static mut Sockets),
        resolver: Resolver,
    ) -> Self {
        let wire = Rc::default();
        let stack = NetworkStack::new(
            Ethernet(Rc::clone(&wire)),
            buffers,
            sockets,
            [0x1234_5678_9ABC_DEF0, 0x0FED_CBA9_8765_4321],
            0,
        );
        let peer = Peer::new(&wire, resolver);
        let mut world = Self { stack, wire, peer, now_ms: 0 };
        world.until(20_000, |world| world.stack.network().is_up());
        world
    }

    /// One millisecond.
    pub fn step(&mut self) {
        self.now_ms += 1;
        self.stack.poll(self.now_ms);
        self.peer.poll(Instant::from_millis(i64::try_from(self.now_ms).unwrap()));
    }

    pub fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.step();
        }
    }

    /// Steps until `condition` holds; returns the milliseconds that it took.
    pub fn until(&mut self, at_most_ms: u64, mut condition: impl FnMut(&mut Self) -> bool) -> u64 {
        for ms in 0..at_most_ms {
            if condition(self) {
                return ms;
            }
            self.step();
        }
        panic!("not within {at_most_ms} ms");
    }

    /// Opens the hypervisor's own connection.
    pub fn link(&mut self, host: &str) -> Connection {
        let now_ms = self.now_ms;
        assert!(self.stack.open(host, LINK, now_ms));
        let mut connection = Connection::Opening;
        self.until(60_000, |world| {
            connection = world.stack.connection();
            connection != Connection::Opening
        });
        connection
    }

    /// The network stops to give the device its address.
    pub fn take_address_away(&mut self) {
        self.peer.serves_addresses = false;
    }

    pub fn short_lease(&mut self) {
        self.peer.lease_s = 60;
    }
}

/// A resolver's answer: the query's question with these addresses.
pub fn answer(query: &[u8], rcode: u8, addresses: &[[u8; 4]]) -> Vec<u8> {
    let mut out = query.to_vec();
    out[2] = 0x81;
    out[3] = 0x80 | rcode;
    out[6..8].copy_from_slice(&u16::try_from(addresses.len()).unwrap().to_be_bytes());
    for address in addresses {
        out.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        out.extend(address);
    }
    out
}

/// The name that a query asks for.
pub fn name(query: &[u8]) -> String {
    let (mut at, mut labels) = (12, Vec::new());
    while let Some(len) = query.get(at).map(|len| usize::from(*len)).filter(|len| *len > 0) {
        labels.push(String::from_utf8_lossy(&query[at + 1..at + 1 + len]).into_owned());
        at += 1 + len;
    }
    labels.join(".")
}
