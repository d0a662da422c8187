//! An [`EthernetController`] as smoltcp wants to see it.

use bulkhead_hardware_ports::{ETHERNET_FRAME_LEN_MAX, EthernetController};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

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

/// The controller with its frame buffers.
pub(crate) struct Bearer<E> {
    pub(crate) controller: E,
    pub(crate) frames: &'static mut Frames,
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
}

impl<E: EthernetController> TxToken for Transmit<'_, E> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        // smoltcp keeps to `max_transmission_unit`; a longer frame would be its bug, and is cut rather than written.
        let len = len.min(self.buffer.len());
        let (frame, _) = self.buffer.split_at_mut(len);
        let result = f(frame);
        // A refused frame is lost, as frames are; TCP sends it again.
        let _ = self.controller.transmit(frame);
        result
    }
}

impl<E: EthernetController> Device for Bearer<E> {
    type RxToken<'a>
        = Received<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = Transmit<'a, E>
    where
        Self: 'a;

    fn receive(&mut self, _now: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        // Without room for an answer the frame stays in the controller.
        if !self.controller.can_transmit() {
            return None;
        }
        let len = self.controller.receive(&mut self.frames.received)?;
        let frame = self.frames.received.get(..len)?;
        Some((
            Received(frame),
            Transmit { controller: &mut self.controller, buffer: &mut self.frames.transmitted },
        ))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Self::TxToken<'_>> {
        self.controller
            .can_transmit()
            .then_some(Transmit { controller: &mut self.controller, buffer: &mut self.frames.transmitted })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = ETHERNET_FRAME_LEN_MAX;
        capabilities.max_burst_size = Some(1);
        capabilities
    }
}
