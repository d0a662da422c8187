//! The application's sockets as gateways and executor share them: a desk for each, and one way out for all.
//!
//! The invariant: bytes are copied once on their way between the application and here, and the executor takes one record
//! at a time, so that interrupts are masked for no longer than that takes. What is crossing is claimed; who finds it claimed is told
//! to come back. The sockets themselves are the network stack's, which only the executor touches.

use bulkhead_network_stack::Network;
use bulkhead_syscall_abi::{
    SOCKET_DATAGRAM_LEN_MAX, SOCKET_DATAGRAMS_MAX, SOCKET_HANDLE_MASK, SOCKET_HOST_LEN_MAX,
    SOCKET_LOCAL_PORT_FIRST, SOCKET_LOCAL_PORT_LAST, SOCKET_STREAMS_MAX, SOCKET_TRANSFER_LEN_MAX,
    SOCKETS_MAX, SocketAddress, SocketEvent, SocketKind, SocketState, SocketStatus, Status,
};

pub(crate) mod calls;
mod serving;

pub(crate) use serving::Rose;

pub(crate) const SLOTS: usize = SOCKETS_MAX as usize;
const STREAMS: usize = SOCKET_STREAMS_MAX as usize;
const DATAGRAMS: usize = SOCKET_DATAGRAMS_MAX as usize;
const STREAM_LEN: usize = SOCKET_TRANSFER_LEN_MAX as usize;
const DATAGRAM_LEN: usize = SOCKET_DATAGRAM_LEN_MAX as usize;
const HOST_LEN_MAX: usize = SOCKET_HOST_LEN_MAX as usize;
/// What all sockets together may hand over between two slices of the executor.
const OUT_LEN: usize = 1536;
/// Before the bytes of a record: slot, whether an address follows, length, address.
const RECORD_LEN: usize = 12;
/// Bits of a handle that are slot plus one.
const SLOT_BITS: u32 = 4;

/// What the executor is to do with a socket before anything else.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Orders {
    open: bool,
    shutdown: bool,
    close: bool,
    abort: bool,
}

/// One socket. All zeros when it is free.
#[derive(Clone, Copy, Debug)]
struct Desk {
    /// 0 when no application has it.
    handle: u32,
    /// The network stack may still have it when the application has not.
    used: bool,
    orders: Orders,
    /// A `SocketState`, 0 for none.
    state: u32,
    reason: u32,
    /// Bytes that may still be handed over.
    room: usize,
    /// The application said that it has sent all.
    shut: bool,
    /// The network stack has more than lies here.
    more: bool,
    local_port: u16,
    peer: SocketAddress,
    /// What lies here of a stream, or the datagram.
    start: usize,
    end: usize,
    datagram: bool,
    from: SocketAddress,
    /// A gateway is copying from here.
    reading: bool,
    /// Events that the application was told of and that did not fall since.
    told: u32,
}

impl Desk {
    const FREE: Self = Self {
        handle: 0,
        used: false,
        orders: Orders { open: false, shutdown: false, close: false, abort: false },
        state: 0,
        reason: 0,
        room: 0,
        shut: false,
        more: false,
        local_port: 0,
        peer: SocketAddress { address: [0; 4], port: 0, reserved: 0 },
        start: 0,
        end: 0,
        datagram: false,
        from: SocketAddress { address: [0; 4], port: 0, reserved: 0 },
        reading: false,
        told: 0,
    };

    fn is(&self, states: &[SocketState]) -> bool {
        states.iter().any(|state| self.state == *state as u32)
    }

    const fn fell(&mut self, event: SocketEvent) {
        self.told &= !(event as u32);
    }
}

/// A name on its way to the network stack; one at a time.
struct Name {
    /// Slot plus one, 0 for none.
    slot: usize,
    port: u16,
    len: usize,
    text: [u8; HOST_LEN_MAX],
}

/// What gateways and executor share.
pub(crate) struct Sockets {
    desks: [Desk; SLOTS],
    streams: [[u8; STREAM_LEN]; STREAMS],
    datagrams: [[u8; DATAGRAM_LEN]; DATAGRAMS],
    out: [u8; OUT_LEN],
    out_len: usize,
    /// What of it the network stack has.
    carried: usize,
    /// A gateway is writing behind `out_len`.
    writing: bool,
    name: Name,
    /// Sockets opened since power came on: no handle comes back soon.
    opened: u32,
    /// A gateway left something for the executor.
    waits: bool,
    pub(crate) network: Network,
    pub(crate) network_wanted: bool,
}

impl Sockets {
    pub(crate) const fn new() -> Self {
        Self {
            desks: [Desk::FREE; SLOTS],
            streams: [[0; STREAM_LEN]; STREAMS],
            datagrams: [[0; DATAGRAM_LEN]; DATAGRAMS],
            out: [0; OUT_LEN],
            out_len: 0,
            carried: 0,
            writing: false,
            name: Name { slot: 0, port: 0, len: 0, text: [0; HOST_LEN_MAX] },
            opened: 0,
            waits: false,
            network: Network::unknown(),
            network_wanted: false,
        }
    }

    /// Whether a gateway left something for the executor.
    pub(crate) const fn wait(&self) -> bool {
        self.waits
    }

    /// The application ended: all of its sockets are broken off.
    pub(crate) fn forget(&mut self) {
        for desk in self.desks.iter_mut().filter(|desk| desk.used) {
            *desk = Desk { used: true, orders: Orders { abort: true, ..Orders::default() }, ..Desk::FREE };
            self.waits = true;
        }
        (self.out_len, self.carried) = (0, 0);
        self.writing = false;
        self.name.slot = 0;
        self.network_wanted = false;
    }

    /// What waits in a desk.
    fn inbox(&mut self, index: usize) -> &mut [u8] {
        match index.checked_sub(STREAMS) {
            None => self.streams.get_mut(index).map_or(&mut [], |inbox| inbox.as_mut_slice()),
            Some(index) => self.datagrams.get_mut(index).map_or(&mut [], |inbox| inbox.as_mut_slice()),
        }
    }

    /// The slot and desk of a handle.
    fn find(&mut self, handle: u32) -> Result<(usize, &mut Desk), Status> {
        self.desks
            .iter_mut()
            .enumerate()
            .find(|(_, desk)| handle != 0 && desk.handle == handle)
            .ok_or(Status::HandleUnknown)
    }

    fn open(&mut self, kind: SocketKind) -> Result<u32, Status> {
        let slots = match kind {
            SocketKind::Stream => 0..STREAMS,
            SocketKind::Datagram => STREAMS..SLOTS,
        };
        let first = slots.start;
        let desks = self.desks.get_mut(slots).unwrap_or_default();
        let free = desks.iter_mut().enumerate().find(|(_, desk)| !desk.used);
        let (index, desk) = free.ok_or(Status::LimitReached)?;
        self.opened = self.opened.wrapping_add(1);
        let slot = u32::try_from(first + index + 1).unwrap_or_default();
        let handle = (self.opened << SLOT_BITS | slot) & SOCKET_HANDLE_MASK;
        let orders = Orders { open: true, ..Orders::default() };
        *desk = Desk { handle, used: true, orders, state: SocketState::Open as u32, ..Desk::FREE };
        self.waits = true;
        Ok(handle)
    }

    fn connect(&mut self, handle: u32, host: &[u8], port: u16) -> Result<(), Status> {
        let busy = self.name.slot != 0;
        let (index, desk) = self.find(handle)?;
        if !desk.is(&[SocketState::Open]) {
            return Err(Status::ArgumentRefused);
        }
        if busy {
            return Err(Status::Busy);
        }
        desk.state = SocketState::Resolving as u32;
        desk.room = 0;
        let text = self.name.text.get_mut(..host.len()).ok_or(Status::ArgumentRefused)?;
        text.copy_from_slice(host);
        (self.name.slot, self.name.port, self.name.len) = (index + 1, port, host.len());
        self.waits = true;
        Ok(())
    }

    fn bind(&mut self, handle: u32, port: u32) -> Result<(), Status> {
        let (SOCKET_LOCAL_PORT_FIRST..=SOCKET_LOCAL_PORT_LAST, Ok(port)) = (port, u16::try_from(port)) else {
            return Err(Status::ArgumentRefused);
        };
        let taken = self.desks.iter().any(|desk| desk.local_port == port);
        let (index, desk) = self.find(handle)?;
        if index < STREAMS || taken || !desk.is(&[SocketState::Open]) {
            return Err(Status::ArgumentRefused);
        }
        desk.local_port = port;
        desk.orders.open = true;
        self.waits = true;
        Ok(())
    }

    fn shutdown(&mut self, handle: u32) -> Result<(), Status> {
        let (index, desk) = self.find(handle)?;
        if index >= STREAMS {
            return Err(Status::ArgumentRefused);
        }
        if !desk.is(&[SocketState::Connected, SocketState::PeerDone]) {
            return Err(Status::NotConnected);
        }
        desk.orders.shutdown = true;
        desk.shut = true;
        desk.room = 0;
        self.waits = true;
        Ok(())
    }

    fn close(&mut self, handle: u32) -> Result<(), Status> {
        let (index, desk) = self.find(handle)?;
        let orders = Orders { close: true, ..desk.orders };
        *desk = Desk { used: true, orders, local_port: desk.local_port, ..Desk::FREE };
        if self.name.slot == index + 1 {
            self.name.slot = 0;
        }
        self.waits = true;
        Ok(())
    }

    fn status(&mut self, handle: u32) -> Result<SocketStatus, Status> {
        let (_, desk) = self.find(handle)?;
        let count = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        Ok(SocketStatus {
            version: bulkhead_syscall_abi::SOCKET_STATUS_VERSION,
            state: desk.state,
            reason: desk.reason,
            readable_bytes: count(desk.end.saturating_sub(desk.start)),
            writable_bytes: count(desk.room),
            local_port: desk.local_port.into(),
            peer: desk.peer,
        })
    }
}

/// A claimed span of the way out.
#[derive(Clone, Copy, Debug)]
struct Claim {
    slot: usize,
    at: usize,
    len: usize,
}

impl Sockets {
    /// Claims room for a send. A stream takes what fits, a datagram all or nothing.
    fn claim_out(&mut self, handle: u32, to: Option<SocketAddress>, len: usize) -> Result<Claim, Status> {
        use SocketState::{Connected, Open, PeerDone};
        let (writing, out_len, network) = (self.writing, self.out_len, self.network);
        let (slot, desk) = self.find(handle)?;
        let stream = slot < STREAMS;
        let len_max = if stream { usize::MAX } else { DATAGRAM_LEN };
        if len > len_max || len == 0 && stream || to.is_some() && stream {
            return Err(Status::ArgumentRefused);
        }
        if to.is_some_and(|to| !network.permits(SocketKind::Datagram, to)) {
            return Err(if network.is_up() { Status::ArgumentRefused } else { Status::NotConnected });
        }
        let ready = match (stream, to) {
            (true, _) => desk.is(&[Connected, PeerDone]) && !desk.shut,
            (false, Some(_)) => desk.is(&[Open, Connected]),
            (false, None) => desk.is(&[Connected]),
        };
        if !ready {
            return Err(Status::NotConnected);
        }
        let way = OUT_LEN.saturating_sub(out_len).saturating_sub(RECORD_LEN);
        let room = desk.room.min(way);
        let len = if stream { len.min(room).min(STREAM_LEN) } else { len };
        if writing || len > room || len == 0 && stream {
            desk.fell(SocketEvent::Writable);
            return Err(Status::Busy);
        }
        self.writing = true;
        Ok(Claim { slot, at: out_len + RECORD_LEN, len })
    }

    /// The room that was claimed.
    fn room(&mut self, claim: Claim) -> Option<&mut [u8]> {
        self.out.get_mut(claim.at..).and_then(|out| out.get_mut(..claim.len))
    }

    /// Ends a claim: what was put is sent, or forgotten.
    fn end_out(&mut self, handle: u32, claim: Claim, to: Option<SocketAddress>, outcome: Outcome) {
        self.writing = false;
        // An interrupt handler of the application may have closed the socket meanwhile.
        let Ok((slot, desk)) = self.find(handle) else { return };
        if outcome == Outcome::Dropped || slot != claim.slot {
            return;
        }
        desk.room = if slot < STREAMS { desk.room.saturating_sub(claim.len) } else { 0 };
        if desk.room == 0 {
            desk.fell(SocketEvent::Writable);
        }
        let [l0, l1] = u16::try_from(claim.len).unwrap_or(0).to_le_bytes();
        let [a, b, c, d, e, f, g, h] = to.unwrap_or_default().to_bytes();
        let head = [u8::try_from(slot).unwrap_or(0), to.is_some().into(), l0, l1, a, b, c, d, e, f, g, h];
        let Some(at) = claim.at.checked_sub(RECORD_LEN) else { return };
        if let Some(to) = self.out.get_mut(at..claim.at) {
            to.copy_from_slice(&head);
            self.out_len = claim.at + claim.len;
        }
        self.waits = true;
    }

    /// Claims what has arrived: its length and who sent it.
    fn claim_in(&mut self, handle: u32, len: usize) -> Result<(usize, usize, SocketAddress), Status> {
        use SocketState::{Connected, Open};
        let (slot, desk) = self.find(handle)?;
        if desk.reading {
            return Err(Status::Busy);
        }
        let waiting = desk.end.saturating_sub(desk.start);
        let something = if slot < STREAMS { waiting > 0 } else { desk.datagram };
        if !something {
            let may_come = if slot < STREAMS { desk.is(&[Connected]) } else { desk.is(&[Open, Connected]) };
            if !may_come && !desk.more {
                return Err(Status::NotConnected);
            }
            desk.fell(SocketEvent::Readable);
            return Err(Status::NothingPending);
        }
        if slot >= STREAMS && waiting > len {
            return Err(Status::BufferTooSmall);
        }
        if slot < STREAMS && len == 0 {
            return Err(Status::ArgumentRefused);
        }
        desk.reading = true;
        Ok((slot, waiting.min(len), desk.from))
    }

    /// What was claimed.
    fn arrived(&mut self, slot: usize, len: usize) -> Option<&[u8]> {
        let start = self.desks.get(slot).map_or(0, |desk| desk.start);
        self.inbox(slot).get(start..).and_then(|inbox| inbox.get(..len))
    }

    /// Ends a claim: what was read is gone, or stays.
    fn end_in(&mut self, handle: u32, len: usize, outcome: Outcome) {
        let Ok((_, desk)) = self.find(handle) else { return };
        desk.reading = false;
        if outcome == Outcome::Dropped {
            return;
        }
        desk.start += len;
        if desk.start >= desk.end {
            (desk.start, desk.end, desk.datagram) = (0, 0, false);
            desk.fell(SocketEvent::Readable);
            self.waits = true;
        }
    }
}

/// How a claim ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    Done,
    Dropped,
}

#[cfg(test)]
#[path = "sockets/tests.rs"]
mod tests;
