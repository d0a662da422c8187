//! The network as the device was told of it, and where an application may send.

use bulkhead_syscall_abi::{NETWORK_INFO_VERSION, NetworkInfo, SocketAddress, SocketKind};
use smoltcp::wire::{ArpOperation, ArpRepr, EthernetAddress, HardwareAddress, Ipv4Address, Ipv4Cidr};

/// Resolvers that are remembered.
pub(crate) const RESOLVERS_MAX: usize = 2;

/// Ports of DHCP, by which a network is told who owns which address.
const DHCP_PORTS: [u16; 2] = [67, 68];

/// The network as the device was told of it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Network {
    address: Option<Ipv4Cidr>,
    router: Option<Ipv4Address>,
    resolvers: [Option<Ipv4Address>; RESOLVERS_MAX],
    /// Where the hypervisor's own link goes.
    link_peer: Option<(Ipv4Address, u16)>,
}

impl Network {
    /// Nothing is known.
    pub const fn unknown() -> Self {
        Self { address: None, router: None, resolvers: [None; RESOLVERS_MAX], link_peer: None }
    }

    pub(crate) fn configured(
        self,
        address: Ipv4Cidr,
        router: Option<Ipv4Address>,
        resolvers: [Option<Ipv4Address>; RESOLVERS_MAX],
    ) -> Self {
        Self { address: Some(address), router, resolvers, ..self }
    }

    pub(crate) const fn linked_to(self, peer: Ipv4Address, port: u16) -> Self {
        Self { link_peer: Some((peer, port)), ..self }
    }

    /// Whether the device has an address.
    pub const fn is_up(&self) -> bool {
        self.address.is_some()
    }

    pub(crate) const fn router(&self) -> Option<Ipv4Address> {
        self.router
    }

    pub(crate) fn resolvers(&self) -> impl Iterator<Item = Ipv4Address> {
        self.resolvers.into_iter().flatten()
    }

    /// Whether an application may send there. It may not reach the device itself, nor all of a network at once, nor
    /// speak to whom the hypervisor's link speaks, nor about addresses.
    pub fn permits(&self, kind: SocketKind, to: SocketAddress) -> bool {
        let address = Ipv4Address::from(to.address);
        let [first, ..] = to.address;
        // 0/8 is this network, 127/8 this host, 224/4 and above are no single host.
        let single = first != 0 && first != 127 && first < 224;
        let own = self.address.is_some_and(|own| {
            let whole = own.network().address() == address && own.prefix_len() < 31;
            own.address() == address || own.broadcast() == Some(address) || whole
        });
        let forbidden = match kind {
            SocketKind::Stream => self.link_peer == Some((address, to.port)),
            SocketKind::Datagram => DHCP_PORTS.contains(&to.port),
        };
        single && !own && !forbidden && to.port != 0
    }

    /// The neighbour that frames for `address` go to; `None` when there is no way to it.
    pub(crate) fn next_hop(&self, address: Ipv4Address) -> Option<Ipv4Address> {
        if self.address?.contains_addr(&address) { Some(address) } else { self.router }
    }

    /// The question who of the network has `address`, from the host with this hardware address.
    pub(crate) fn question(&self, hardware: HardwareAddress, address: Ipv4Address) -> Option<ArpRepr> {
        let HardwareAddress::Ethernet(source_hardware_addr) = hardware;
        Some(ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Request,
            source_hardware_addr,
            source_protocol_addr: self.address?.address(),
            target_hardware_addr: EthernetAddress::BROADCAST,
            target_protocol_addr: address,
        })
    }

    /// The struct for an application; `None` without an address.
    pub fn info(&self) -> Option<NetworkInfo> {
        let own = self.address?;
        let octets = |address: Option<Ipv4Address>| address.unwrap_or(Ipv4Address::UNSPECIFIED).octets();
        Some(NetworkInfo {
            version: NETWORK_INFO_VERSION,
            address: own.address().octets(),
            prefix_len: own.prefix_len().into(),
            router: octets(self.router),
            resolvers: self.resolvers.map(octets),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: SocketKind = SocketKind::Stream;
    const DATAGRAM: SocketKind = SocketKind::Datagram;

    #[test]
    fn an_application_reaches_hosts_and_neither_the_device_nor_its_server_nor_everybody() {
        let own = Ipv4Cidr::new(Ipv4Address::new(10, 0, 2, 15), 24);
        let network = Network::unknown()
            .configured(own, None, [None; RESOLVERS_MAX])
            .linked_to(Ipv4Address::new(10, 0, 2, 2), 7000);
        for (kind, address, port, permitted) in [
            (STREAM, [10, 0, 2, 2], 80, true),
            (STREAM, [10, 0, 2, 2], 7000, false),
            (STREAM, [10, 0, 2, 3], 7000, true),
            (DATAGRAM, [10, 0, 2, 2], 7000, true),
            (STREAM, [10, 0, 2, 15], 80, false),
            (DATAGRAM, [10, 0, 2, 255], 5683, false),
            (DATAGRAM, [10, 0, 2, 0], 5683, false),
            (DATAGRAM, [255, 255, 255, 255], 5683, false),
            (DATAGRAM, [224, 0, 1, 187], 5683, false),
            (DATAGRAM, [127, 0, 0, 1], 53, false),
            (STREAM, [0, 0, 0, 0], 80, false),
            (DATAGRAM, [0, 1, 2, 3], 80, false),
            (DATAGRAM, [10, 0, 2, 2], 67, false),
            (DATAGRAM, [10, 0, 2, 2], 68, false),
            (DATAGRAM, [10, 0, 2, 3], 53, true),
            (STREAM, [10, 0, 2, 2], 0, false),
            (STREAM, [93, 184, 216, 34], 443, true),
        ] {
            let to = SocketAddress { address, port, reserved: 0 };
            assert_eq!(network.permits(kind, to), permitted, "{kind:?} {address:?}:{port}");
        }
    }
}
