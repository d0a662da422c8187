//! The executor's half: carries orders and bytes to the network stack, and what it brings back to the desks.

use bulkhead_network_stack::{ApplicationNetwork, Begun};
use bulkhead_syscall_abi::{SocketAddress, SocketEvent, SocketState};

use super::{Desk, RECORD_LEN, SLOTS, STREAMS, Sockets};

/// Events that rose on a socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Rose {
    pub(crate) handle: u32,
    pub(crate) events: u32,
}

impl Sockets {
    /// Whether any socket is open or on its way out.
    pub(crate) fn any(&self) -> bool {
        self.desks.iter().any(|desk| desk.used)
    }

    /// Carries orders, then what was handed over, to the network stack. Returns whether there was any.
    pub(crate) fn carry_out(&mut self, stack: &mut ApplicationNetwork, now_ms: u64) -> bool {
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
        // What is being written stays where it is; the next slice takes it.
        if !self.writing {
            let mut at = 0;
            while at < self.out_len {
                at = self.carry_record(at, stack);
            }
            self.out_len = 0;
        }
        for (index, desk) in self.desks.iter_mut().enumerate() {
            if self.writing {
                break; // What was sent before the end is carried before it.
            }
            if core::mem::take(&mut desk.orders.shutdown) {
                stack.shutdown(index);
            }
            if core::mem::take(&mut desk.orders.close) {
                stack.close(index, now_ms);
            }
        }
        self.waits |= self.writing;
        waited
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
        let Some((head, rest)) = self.out.get(at..self.out_len).and_then(|out| out.split_first_chunk())
        else {
            return self.out_len;
        };
        let [slot, addressed, l0, l1, a, b, c, d, e, f, g, h]: [u8; RECORD_LEN] = *head;
        let (slot, len) = (usize::from(slot), usize::from(u16::from_le_bytes([l0, l1])));
        let bytes = rest.get(..len).unwrap_or_default();
        if slot < STREAMS {
            // The room was counted before, so all of it is taken.
            stack.send(slot, bytes);
        } else {
            let to = SocketAddress::from_bytes([a, b, c, d, e, f, g, h]).filter(|_| addressed != 0);
            stack.send_to(slot, to, bytes);
        }
        at + RECORD_LEN + len
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
        let named = self.name.slot == index + 1;
        let writing = self.writing;
        let desk = self.desks.get_mut(index)?;
        if let Some(state) = look.state.filter(|_| !named) {
            desk.state = state as u32;
            desk.reason = look.reason as u32;
        }
        // While something is being written, the room is what is left of what was promised.
        if !writing {
            desk.room = if desk.orders.shutdown || named { 0 } else { look.room };
        }
        desk.more = look.waiting > 0;
        desk.local_port = look.local_port;
        desk.peer = look.peer;
        let level = level(desk, index);
        let events = level & !desk.told;
        desk.told = level;
        (events != 0).then_some(Rose { handle: desk.handle, events })
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
