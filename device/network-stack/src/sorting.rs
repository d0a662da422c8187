//! Whose a received frame is: the hypervisor's, the application's, or for both to see.
//!
//! The two have stacks of their own behind one address. Local ports tell them apart: those of
//! [`APPLICATION_PORTS`] are the application's, all others the hypervisor's.

use core::ops::RangeInclusive;

use smoltcp::wire::{
    ArpOperation, ArpPacket, EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Address, Ipv4Packet,
};

/// Local ports of the application, in TCP and UDP. The hypervisor's own lie below (DHCP) and above.
pub const APPLICATION_PORTS: RangeInclusive<u16> = 1024..=49_151;

/// Port of a resolver.
const DNS_PORT: u16 = 53;

/// One of the two.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    /// The hypervisor with its link.
    Hypervisor,
    /// The application with its sockets.
    Application,
}

/// Who has to see a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct For {
    /// The hypervisor has.
    pub hypervisor: bool,
    /// The application has.
    pub application: bool,
}

impl For {
    /// Everybody has seen it.
    pub const NOBODY: Self = Self { hypervisor: false, application: false };
    const HYPERVISOR: Self = Self { hypervisor: true, application: false };
    const APPLICATION: Self = Self { hypervisor: false, application: true };
    const BOTH: Self = Self { hypervisor: true, application: true };

    /// Who is left when `side` has seen it.
    pub const fn without(self, side: Side) -> Self {
        match side {
            Side::Hypervisor => Self { hypervisor: false, ..self },
            Side::Application => Self { application: false, ..self },
        }
    }
}

/// Whose this frame is. What is no frame at all is the hypervisor's, whose stack drops it.
///
/// Answers of a known resolver go to both: the port that a query leaves from is random, and each stack takes only
/// the answer to a query of its own. Answers of neighbours are the application's, who could fill the hypervisor's list of
/// them otherwise, but for the one that the hypervisor has `asked` for.
pub fn whose(frame: &[u8], resolvers: &[Ipv4Address], asked: Ipv4Address) -> For {
    let Ok(frame) = EthernetFrame::new_checked(frame) else { return For::HYPERVISOR };
    match frame.ethertype() {
        // Requests are answered once.
        EthernetProtocol::Arp => match ArpPacket::new_checked(frame.payload()) {
            Ok(packet) if packet.operation() == ArpOperation::Reply => {
                For { hypervisor: packet.source_protocol_addr() == asked.octets(), application: true }
            }
            Ok(_) | Err(_) => For::HYPERVISOR,
        },
        EthernetProtocol::Ipv4 => match Ipv4Packet::new_checked(frame.payload()) {
            Ok(packet) => whose_packet(&packet, resolvers),
            Err(_) => For::HYPERVISOR,
        },
        _ => For::HYPERVISOR,
    }
}

/// Whom a frame that is sent asks for, if it is a question for a neighbour.
pub(crate) fn asked_for(frame: &[u8]) -> Option<Ipv4Address> {
    let frame = EthernetFrame::new_checked(frame).ok().filter(|f| f.ethertype() == EthernetProtocol::Arp)?;
    let packet = ArpPacket::new_checked(frame.payload()).ok()?;
    let address: [u8; 4] = packet.target_protocol_addr().try_into().ok()?;
    (packet.operation() == ArpOperation::Request).then_some(address.into())
}

fn whose_packet(packet: &Ipv4Packet<&[u8]>, resolvers: &[Ipv4Address]) -> For {
    let protocol = packet.next_header();
    if !matches!(protocol, IpProtocol::Tcp | IpProtocol::Udp) || packet.frag_offset() != 0 {
        return For::HYPERVISOR;
    }
    // Both protocols begin with the two ports.
    let Some([a, b, c, d]) = packet.payload().first_chunk::<4>() else { return For::HYPERVISOR };
    let (from, to) = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
    if protocol == IpProtocol::Udp && from == DNS_PORT && resolvers.contains(&packet.src_addr()) {
        return For::BOTH;
    }
    if APPLICATION_PORTS.contains(&to) { For::APPLICATION } else { For::HYPERVISOR }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::indexing_slicing, reason = "tests: a panic is their failure")]

    use super::*;

    const NOBODY: Ipv4Address = Ipv4Address::UNSPECIFIED;
    const RESOLVER: Ipv4Address = Ipv4Address::new(10, 0, 2, 3);

    /// A frame to us: Ethernet, IPv4 without options, ports, four bytes.
    fn frame(protocol: u8, from: [u8; 4], source: u16, target: u16) -> [u8; 42] {
        let mut frame = [0; 42];
        frame[12..14].copy_from_slice(&[8, 0]);
        frame[14] = 0x45;
        frame[16..18].copy_from_slice(&28u16.to_be_bytes());
        frame[23] = protocol;
        frame[26..30].copy_from_slice(&from);
        frame[34..36].copy_from_slice(&source.to_be_bytes());
        frame[36..38].copy_from_slice(&target.to_be_bytes());
        frame
    }

    #[test]
    fn local_ports_tell_the_two_apart_and_a_resolvers_answer_is_for_both() {
        let (tcp, udp, icmp, peer) = (6, 17, 1, [10, 0, 2, 2]);
        for (frame, expected) in [
            (frame(tcp, peer, 80, 1024), For::APPLICATION),
            (frame(tcp, peer, 80, 49_151), For::APPLICATION),
            (frame(tcp, peer, 80, 49_152), For::HYPERVISOR),
            (frame(tcp, peer, 53, 40_000), For::APPLICATION),
            (frame(udp, peer, 53, 40_000), For::APPLICATION),
            (frame(udp, peer, 53, 65_000), For::HYPERVISOR),
            (frame(udp, RESOLVER.octets(), 53, 40_000), For::BOTH),
            (frame(udp, RESOLVER.octets(), 53, 65_000), For::BOTH),
            (frame(udp, RESOLVER.octets(), 54, 40_000), For::APPLICATION),
            (frame(tcp, RESOLVER.octets(), 53, 65_000), For::HYPERVISOR),
            (frame(udp, peer, 67, 68), For::HYPERVISOR),
            (frame(icmp, peer, 0, 40_000), For::HYPERVISOR),
        ] {
            assert_eq!(whose(&frame, &[RESOLVER], NOBODY), expected, "{frame:?}");
        }
    }

    #[test]
    fn a_later_fragment_and_what_is_cut_anywhere_are_not_the_applications() {
        let mut later = frame(6, [10, 0, 2, 2], 80, 40_000);
        later[21] = 1;
        assert_eq!(whose(&later, &[], NOBODY), For::HYPERVISOR);
        let whole = frame(6, [10, 0, 2, 2], 80, 40_000);
        for len in 0..whole.len() {
            assert_eq!(whose(&whole[..len], &[], NOBODY), For::HYPERVISOR, "{len} bytes");
        }
    }

    #[test]
    fn arp_requests_are_for_the_one_that_answers_and_answers_for_whom_they_help() {
        let mut arp = [0; 42];
        arp[12..14].copy_from_slice(&[8, 6]);
        arp[14..22].copy_from_slice(&[0, 1, 8, 0, 6, 4, 0, 1]);
        arp[28..32].copy_from_slice(&RESOLVER.octets());
        arp[38..42].copy_from_slice(&[10, 0, 2, 2]);
        assert_eq!(whose(&arp, &[], RESOLVER), For::HYPERVISOR);
        assert_eq!(asked_for(&arp), Some(Ipv4Address::new(10, 0, 2, 2)));
        arp[21] = 2;
        assert_eq!(whose(&arp, &[], RESOLVER), For::BOTH, "the hypervisor asked for it");
        assert_eq!(whose(&arp, &[], NOBODY), For::APPLICATION);
        assert_eq!(asked_for(&arp), None);
        for len in 0..arp.len() {
            assert_eq!((whose(&arp[..len], &[], NOBODY), asked_for(&arp[..len])), (For::HYPERVISOR, None));
        }
    }
}
