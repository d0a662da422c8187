//! An [`EthernetController`] as smoltcp wants to see it, once for each of the two that share it.

use bulkhead_hardware_ports::{ETHERNET_FRAME_LEN_MAX, EthernetController};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, Ipv4Address};

use crate::network::RESOLVERS_MAX;
use crate::sorting::{For, Side, asked_for, whose};

/// One frame in each direction.
pub(crate) struct Frames {
    received: [u8; ETHERNET_FRAME_LEN_MAX],
    transmitted: [u8; ETHERNET_FRAME_LEN_MAX],
}

impl Frames {
    pub(crate) const fn new() -> Self {
        Self { received: [0; ETHERNET_FRAME_LEN_MAX], transmitted: [0; ETHERNET_FRAME_LEN_MAX] }
    }
}

/// The received frame, until everybody whom it is for has seen it.
#[derive(Clone, Copy)]
struct Waiting {
    len: usize,
    wanted: For,
}

/// The controller with its frame buffers.
pub(crate) struct Bearer<E> {
    pub(crate) controller: E,
    pub(crate) resolvers: [Ipv4Address; RESOLVERS_MAX],
    /// The neighbour that the hypervisor asked for last.
    asked: Ipv4Address,
    frames: &'static mut Frames,
    waiting: Option<Waiting>,
}

impl<E: EthernetController> Bearer<E> {
    pub(crate) fn new(controller: E, frames: &'static mut Frames) -> Self {
        let nobody = Ipv4Address::UNSPECIFIED;
        Self { controller, frames, waiting: None, resolvers: [nobody; RESOLVERS_MAX], asked: nobody }
    }

    /// The controller as `side` sees it; it may send so many frames.
    pub(crate) const fn port(&mut self, side: Side, frames_max: usize) -> Port<'_, E> {
        Port { bearer: self, side, frames_left: frames_max, withheld: 0 }
    }

    /// The length of the next frame for `side`, which then counts as seen by it.
    fn next_for(&mut self, side: Side) -> Option<usize> {
        let waiting = match self.waiting.take() {
            Some(waiting) => waiting,
            None => {
                let len = self.controller.receive(&mut self.frames.received)?;
                let frame = self.frames.received.get(..len)?;
                Waiting { len, wanted: whose(frame, &self.resolvers, self.asked) }
            }
        };
        let rest = waiting.wanted.without(side);
        if rest != For::NOBODY {
            self.waiting = Some(Waiting { wanted: rest, ..waiting });
        }
        (rest != waiting.wanted).then_some(waiting.len)
    }
}

/// The controller as one of the two sees it: the other's frames are not there.
pub(crate) struct Port<'b, E> {
    bearer: &'b mut Bearer<E>,
    side: Side,
    frames_left: usize,
    /// Places for a frame that smoltcp asked for and did not use.
    withheld: usize,
}

impl<E: EthernetController> Port<'_, E> {
    /// Whether a socket had a frame to send, and it stayed: its neighbour is not known, and another was asked for last.
    pub(crate) const fn withheld_any(&self) -> bool {
        self.withheld > 0
    }

    /// Sends a question of ARP to all of the network; as any frame, it may be lost.
    pub(crate) fn ask(&mut self, question: &ArpRepr, now: Instant) {
        let Some(place) = self.transmit(now) else { return };
        place.consume(EthernetFrame::<&[u8]>::buffer_len(question.buffer_len()), |frame| {
            let ArpRepr::EthernetIpv4 { source_hardware_addr, .. } = question else { return };
            let mut frame = EthernetFrame::new_unchecked(frame);
            frame.set_src_addr(*source_hardware_addr);
            frame.set_dst_addr(EthernetAddress::BROADCAST);
            frame.set_ethertype(EthernetProtocol::Arp);
            question.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
        });
    }
}

pub(crate) struct Received<'a>(&'a [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

pub(crate) struct Transmit<'a, E> {
    controller: &'a mut E,
    buffer: &'a mut [u8; ETHERNET_FRAME_LEN_MAX],
    withheld: &'a mut usize,
    /// Whom the hypervisor asked for last; `None` for frames of the application.
    asked: Option<&'a mut Ipv4Address>,
}

impl<E: EthernetController> TxToken for Transmit<'_, E> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        // smoltcp keeps to `max_transmission_unit`; a longer frame would be its bug, and is cut rather than written.
        let len = len.min(self.buffer.len());
        *self.withheld = self.withheld.saturating_sub(1);
        let (frame, _) = self.buffer.split_at_mut(len);
        let result = f(frame);
        if let Some(asked) = self.asked
            && let Some(neighbour) = asked_for(frame)
        {
            *asked = neighbour;
        }
        // A refused frame is lost, as frames are; TCP sends it again.
        let _ = self.controller.transmit(frame);
        result
    }
}

impl<E: EthernetController> Device for Port<'_, E> {
    type RxToken<'a>
        = Received<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = Transmit<'a, E>
    where
        Self: 'a;

    fn receive(&mut self, _now: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        // Without room for an answer the frame stays where it is.
        if !self.bearer.controller.can_transmit() {
            return None;
        }
        let len = self.bearer.next_for(self.side)?;
        let frame = self.bearer.frames.received.get(..len)?;
        self.withheld += 1;
        let transmit = Transmit {
            controller: &mut self.bearer.controller,
            buffer: &mut self.bearer.frames.transmitted,
            withheld: &mut self.withheld,
            asked: (self.side == Side::Hypervisor).then_some(&mut self.bearer.asked),
        };
        Some((Received(frame), transmit))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Self::TxToken<'_>> {
        if self.frames_left == 0 || !self.bearer.controller.can_transmit() {
            return None;
        }
        self.frames_left -= 1;
        self.withheld += 1;
        Some(Transmit {
            controller: &mut self.bearer.controller,
            buffer: &mut self.bearer.frames.transmitted,
            withheld: &mut self.withheld,
            asked: (self.side == Side::Hypervisor).then_some(&mut self.bearer.asked),
        })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = ETHERNET_FRAME_LEN_MAX;
        capabilities.max_burst_size = Some(1);
        capabilities
    }
}
