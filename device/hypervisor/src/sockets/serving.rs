//! The executor's half: carries orders and bytes to the network stack, and what it brings back to the desks.

use core::iter::successors;

use bulkhead_network_stack::{ApplicationNetwork, Begun};
use bulkhead_syscall_abi::{SocketAddress, SocketEvent, SocketState};

use super::{Desk, RECORD_LEN, SLOTS, STREAMS, Sockets};

/// Events that rose on a socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Rose {
    pub(crate) handle: u32,
    pub(crate) events: u32,
}

/// What was handed over at once.
struct Record<'o> {
    slot: usize,
    /// Who a datagram is for, if it is not for the peer.
    to: Option<SocketAddress>,
    bytes: &'o [u8],
    /// Where the next record begins.
    next: usize,
}

impl Sockets {
    /// Whether any socket is open or on its way out.
    pub(crate) fn any(&self) -> bool {
        self.desks.iter().any(|desk| desk.used)
    }

    /// Carries orders to the network stack that come before what was handed over. Returns whether there is any of all this.
    pub(crate) fn carry_orders(&mut self, stack: &mut ApplicationNetwork, now_ms: u64) -> bool {
        let waited = core::mem::take(&mut self.waits);
        for (index, desk) in self.desks.iter_mut().enumerate() {
            if core::mem::take(&mut desk.orders.abort) {
                stack.abort(index);
            }
            if core::mem::take(&mut desk.orders.open) {
                stack.abort(index);
                stack.open(index, desk.local_port);
            }
        }
        self.connect_named(stack, now_ms);
        waited
    }

    /// Carries one record that was handed over. Returns whether another one waits: what is being written stays where it is,
    /// and the next slice takes it.
    pub(crate) fn carry_next(&mut self, stack: &mut ApplicationNetwork) -> bool {
        if !self.writing {
            self.carried = self.carry_record(self.carried, stack);
            if self.carried >= self.out_len {
                (self.out_len, self.carried) = (0, 0);
            }
        }
        !self.writing && self.carried < self.out_len
    }

    /// Carries orders that come behind what was handed over.
    pub(crate) fn carry_ends(&mut self, stack: &mut ApplicationNetwork, now_ms: u64) {
        let is_behind = self.writing || self.carried < self.out_len;
        for (index, desk) in self.desks.iter_mut().enumerate() {
            if is_behind {
                break; // What was sent before the end is carried before it.
            }
            if core::mem::take(&mut desk.orders.shutdown) {
                stack.shutdown(index);
            }
            if core::mem::take(&mut desk.orders.close) {
                stack.close(index, now_ms);
            }
        }
        self.waits |= is_behind;
    }

    fn connect_named(&mut self, stack: &mut ApplicationNetwork, now_ms: u64) {
        let Some(index) = self.name.slot.checked_sub(1) else { return };
        // Letters, digits and signs alone were let in.
        let host = self.name.text.get(..self.name.len).and_then(|text| core::str::from_utf8(text).ok());
        if stack.connect(index, host.unwrap_or_default(), self.name.port, now_ms) == Begun::Done {
            self.name.slot = 0;
        } else {
            self.waits = true;
        }
    }

    /// Hands one record to the stack; returns where the next one begins.
    fn carry_record(&self, at: usize, stack: &mut ApplicationNetwork) -> usize {
        let Some(record) = self.record(at) else { return self.out_len };
        if record.slot < STREAMS {
            // The room was counted before, so all of it is taken.
            stack.send(record.slot, record.bytes);
        } else {
            stack.send_to(record.slot, record.to, record.bytes);
        }
        record.next
    }

    /// The record that begins at `at`, if there is one.
    fn record(&self, at: usize) -> Option<Record<'_>> {
        let (head, rest) = self.out.get(at..self.out_len)?.split_first_chunk()?;
        let [slot, addressed, l0, l1, a, b, c, d, e, f, g, h]: [u8; RECORD_LEN] = *head;
        let len = usize::from(u16::from_le_bytes([l0, l1]));
        Some(Record {
            slot: usize::from(slot),
            to: SocketAddress::from_bytes([a, b, c, d, e, f, g, h]).filter(|_| addressed != 0),
            bytes: rest.get(..len).unwrap_or_default(),
            next: at + RECORD_LEN + len,
        })
    }

    /// Brings one socket up to date. Returns what rose.
    pub(crate) fn bring_in(&mut self, index: usize, stack: &mut ApplicationNetwork) -> Option<Rose> {
        let desk = *self.desks.get(index)?;
        if !desk.used {
            return None;
        }
        if desk.handle == 0 {
            let idle = desk.orders == super::Orders::default();
            if idle
                && stack.is_free(index)
                && let Some(desk) = self.desks.get_mut(index)
            {
                *desk = Desk::FREE;
            }
            return None;
        }
        self.fill(index, stack);
        let look = stack.look(index);
        let handed_over = self.handed_over(index);
        let named = self.name.slot == index + 1;
        let writing = self.writing;
        let desk = self.desks.get_mut(index)?;
        if let Some(state) = look.state.filter(|_| !named) {
            desk.state = state as u32;
            desk.reason = look.reason as u32;
        }
        // While something is being written, the room is what is left of what was promised.
        if !writing {
            let room = if desk.shut || named { 0 } else { look.room };
            // A datagram takes all the room that there is.
            let taken =
                if index < STREAMS { handed_over.unwrap_or(0) } else { handed_over.map_or(0, |_| room) };
            desk.room = room.saturating_sub(taken);
        }
        desk.more = look.waiting > 0;
        // What is yet to be opened, or opened anew, is not what the stack has.
        if !desk.orders.open {
            desk.local_port = look.local_port;
            desk.peer = look.peer;
        }
        let level = level(desk, index);
        let events = level & !desk.told;
        desk.told = level;
        (events != 0).then_some(Rose { handle: desk.handle, events })
    }

    /// Bytes that a socket was given since the records were carried, if there are any records: the application runs between
    /// that and this.
    fn handed_over(&self, index: usize) -> Option<usize> {
        let records = successors(self.record(self.carried), |record| self.record(record.next));
        let of_socket = records.filter(|record| record.slot == index);
        of_socket.map(|record| record.bytes.len()).reduce(|total, len| total + len)
    }

    /// Fills a desk from the stack, unless it is being read.
    fn fill(&mut self, index: usize, stack: &mut ApplicationNetwork) {
        let Some(desk) = self.desks.get(index).copied().filter(|desk| !desk.reading) else { return };
        let (start, end) = (desk.start, desk.end);
        let mut now = desk;
        if index < STREAMS {
            let inbox = self.inbox(index);
            if end <= inbox.len() && start <= end {
                inbox.copy_within(start..end, 0);
            }
            let kept = end.saturating_sub(start);
            let taken = inbox.get_mut(kept..).map_or(0, |room| stack.receive(index, room));
            (now.start, now.end) = (0, kept + taken);
        } else if !desk.datagram
            && let Some((len, from)) = stack.receive_from(index, self.inbox(index))
        {
            (now.start, now.end, now.datagram, now.from) = (0, len, true, from);
        }
        if let Some(desk) = self.desks.get_mut(index) {
            *desk = now;
        }
    }
}

/// The events that hold now.
fn level(desk: &Desk, index: usize) -> u32 {
    use SocketState::{Closed, Connected, Open, PeerDone};
    let stream = index < STREAMS;
    let mut level = 0;
    let mut holds = |condition: bool, event: SocketEvent| {
        if condition {
            level |= event as u32;
        }
    };
    let arrived = if stream { desk.end > desk.start } else { desk.datagram };
    holds(arrived || desk.is(&[PeerDone]), SocketEvent::Readable);
    let open = if stream { desk.is(&[Connected, PeerDone]) } else { desk.is(&[Open, Connected]) };
    holds(open && desk.room > 0, SocketEvent::Writable);
    holds(desk.is(&[Connected, PeerDone]), SocketEvent::Connected);
    holds(desk.is(&[Closed]), SocketEvent::Closed);
    level
}

#[cfg(test)]
#[path = "serving_tests.rs"]
mod tests;

const _: () = assert!(SLOTS < 1 << super::SLOT_BITS, "a handle has no bits for so many slots");
