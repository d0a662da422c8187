//! Messages between the application and its owner's server: what gateways and executor share of them.
//!
//! The invariant: a message leaves its queue only when the other side has said that it has it. What goes to the server
//! stays until it is stored there; what comes stays until the application has finished it. So a link that drops loses
//! nothing, and what is sent again is known by its number.

use bulkhead_link_protocol::{MessageDown, MessageEnd, MessageFinished};
use bulkhead_syscall_abi::{
    MESSAGE_LEN_MAX, MESSAGE_QUEUE_VERSION, MESSAGE_VERSION, Message, MessageOutcome,
    MessageQueue as QueueState, Status,
};

use crate::calls::{ApplicationMemory, MailboxAccess, from_memory, version_of};
use crate::message_queue::{Head, MESSAGES_MAX, MessageQueue, NotQueued};
use crate::ring;

/// Bytes that the executor copies under one lock.
const PIECE_LEN: usize = 64;

/// What gateways and executor share.
pub(crate) struct Messages {
    pub(crate) outgoing: MessageQueue,
    pub(crate) incoming: MessageQueue,
    /// Number of the newest message to the server.
    last_number: u32,
    /// Number up to which the server has stored messages.
    stored: u32,
    /// Number of the newest message that the application finished.
    finished: u32,
    /// The newest of those, in a ring; number 0 where there is none.
    recent: [MessageFinished; MESSAGES_MAX],
    recent_next: usize,
    /// Number of the oldest message that found no room on this link.
    turned_away: Option<u32>,
    /// What the server is to be told.
    reports: heapless::Deque<MessageFinished, MESSAGES_MAX>,
    /// Whether a gateway added something since the executor looked.
    pub(crate) fresh: bool,
}

/// What became of a message that arrived.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Arrival {
    /// It waits for the application.
    New,
    /// It is here already, or was finished, which the server will hear again.
    Known,
    /// There is no room, or there was none for one before it: the server did not heed the window.
    NoRoom,
}

impl Messages {
    pub(crate) const fn new() -> Self {
        Self {
            outgoing: MessageQueue::new(),
            incoming: MessageQueue::new(),
            last_number: 0,
            stored: 0,
            finished: 0,
            recent: [MessageFinished { number: 0, end: MessageEnd::Delivered }; MESSAGES_MAX],
            recent_next: 0,
            turned_away: None,
            reports: heapless::Deque::new(),
            fresh: false,
        }
    }

    /// Adds a message to the server, as [`MessageQueue::push`] does.
    fn send(
        &mut self,
        (topic, len, at_s): (u32, u32, u32),
        fill: impl FnMut(&mut [u8]) -> bool,
        tell: impl FnOnce(u32) -> bool,
    ) -> Result<(), NotQueued> {
        let number = self.last_number.checked_add(1).ok_or(NotQueued::NoRoom)?;
        self.outgoing.push(Head { number, topic, at_s, len }, fill, || tell(number))?;
        self.last_number = number;
        self.fresh = true;
        Ok(())
    }

    /// The server has stored what is numbered up to `number`; returns whether that is news.
    pub(crate) fn stored(&mut self, number: u32) -> bool {
        let number = number.min(self.last_number);
        if number <= self.stored {
            return false;
        }
        self.stored = number;
        while self.outgoing.front().is_some_and(|head| head.number <= number) {
            self.outgoing.pop();
        }
        true
    }

    /// Number up to which the server has stored messages.
    pub(crate) const fn stored_number(&self) -> u32 {
        self.stored
    }

    fn finish(&mut self, number: u32, end: MessageEnd) -> bool {
        if self.incoming.front().is_none_or(|head| head.number != number) {
            return false;
        }
        self.incoming.pop();
        self.finished = number;
        let finished = MessageFinished { number, end };
        if let Some(place) = self.recent.get_mut(self.recent_next) {
            *place = finished;
        }
        self.recent_next = (self.recent_next + 1) % MESSAGES_MAX;
        self.report(finished);
        self.fresh = true;
        true
    }

    fn report(&mut self, finished: MessageFinished) {
        if !self.reports.iter().any(|report| report.number == finished.number) {
            // With no room the server sends the message once more, and hears of it then.
            let _ = self.reports.push_back(finished);
        }
    }

    /// What the server is to be told next.
    pub(crate) fn next_report(&self) -> Option<MessageFinished> {
        self.reports.front().copied()
    }

    /// It was told.
    pub(crate) fn reported(&mut self) {
        self.reports.pop_front();
    }

    /// Takes a message in.
    fn admit(&mut self, message: &MessageDown<'_>, at_s: u32) -> Arrival {
        let (number, topic) = (message.number, message.topic);
        let len = u32::try_from(message.bytes.len()).unwrap_or(u32::MAX);
        if number <= self.finished {
            let ended = self.recent.iter().find(|finished| finished.number == number).copied();
            self.report(ended.unwrap_or(MessageFinished { number, end: MessageEnd::Delivered }));
            return Arrival::Known;
        }
        if self.incoming.newest().is_some_and(|head| number <= head.number) {
            return Arrival::Known;
        }
        // Whatever is numbered below one that is here counts as known: nothing may pass one that was turned away.
        let passes = self.turned_away.is_some_and(|first| number > first);
        let head = Head { number, topic, at_s, len };
        if passes || self.incoming.push(head, ring::from_slice(message.bytes), || true).is_err() {
            self.turned_away.get_or_insert(number);
            return Arrival::NoRoom;
        }
        if self.turned_away == Some(number) {
            self.turned_away = None;
        }
        Arrival::New
    }

    /// The link is gone: on the next one the server sends again what was turned away, in order.
    pub(crate) const fn link_lost(&mut self) {
        self.turned_away = None;
    }
}

/// Takes a message of the server's in.
#[inline(never)]
pub(crate) fn arrived(message: &MessageDown<'_>, now_s: u32, mailbox: &impl MailboxAccess) -> Arrival {
    mailbox.with(|m| m.messages.admit(message, now_s))
}

/// Copies the body of an outgoing message; `false` if it is gone.
pub(crate) fn body(number: u32, out: &mut [u8], mailbox: &impl MailboxAccess) -> bool {
    out.chunks_mut(PIECE_LEN)
        .enumerate()
        .all(|(index, piece)| mailbox.with(|m| m.messages.outgoing.read(number, PIECE_LEN * index, piece)))
}

pub(crate) fn send(
    [topic, address, len, id]: [u32; 4],
    now_us: u64,
    memory: &impl ApplicationMemory,
    mailbox: &impl MailboxAccess,
) -> Status {
    if !(1..=MESSAGE_LEN_MAX).contains(&len) {
        return Status::ArgumentRefused;
    }
    let at_s = u32::try_from(now_us / 1_000_000).unwrap_or(u32::MAX);
    let tell = |number: u32| id == 0 || memory.copy_out(id, &number.to_le_bytes());
    match mailbox.with(|m| m.messages.send((topic, len, at_s), from_memory(address, memory), tell)) {
        Ok(()) => Status::Ok,
        Err(NotQueued::NoRoom) => Status::Busy,
        Err(NotQueued::Refused) => Status::PointerRefused,
    }
}

pub(crate) fn receive(
    [address, buffer, len]: [u32; 3],
    memory: &impl ApplicationMemory,
    mailbox: &impl MailboxAccess,
) -> Status {
    if let Err(status) = version_of(address, MESSAGE_VERSION, memory) {
        return status;
    }
    let Some(head) = mailbox.with(|m| m.messages.incoming.front()) else { return Status::NothingPending };
    let message =
        Message { version: MESSAGE_VERSION, id: head.number, topic: head.topic, length_bytes: head.len };
    let fits = len >= head.len;
    if fits && !memory.may_write(buffer, head.len) || !memory.copy_out(address, &message.to_bytes()) {
        return Status::PointerRefused;
    }
    if !fits {
        return Status::BufferTooSmall;
    }
    let mut at = buffer;
    let copied = mailbox.with(|m| {
        m.messages.incoming.show(head.number, |piece| {
            let done = memory.copy_out(at, piece);
            at = at.wrapping_add(u32::try_from(piece.len()).unwrap_or_default());
            done
        })
    });
    match copied {
        Some(true) => Status::Ok,
        Some(false) => Status::PointerRefused,
        None => Status::NothingPending,
    }
}

pub(crate) fn finish(id: u32, outcome: u32, mailbox: &impl MailboxAccess) -> Status {
    let end = match outcome {
        outcome if outcome == MessageOutcome::Accepted as u32 => MessageEnd::Delivered,
        outcome if outcome == MessageOutcome::Refused as u32 => MessageEnd::Refused,
        _ => return Status::ArgumentRefused,
    };
    if mailbox.with(|m| m.messages.finish(id, end)) { Status::Ok } else { Status::NotFound }
}

pub(crate) fn queue_read(
    address: u32,
    memory: &impl ApplicationMemory,
    mailbox: &impl MailboxAccess,
) -> Status {
    if let Err(status) = version_of(address, MESSAGE_QUEUE_VERSION, memory) {
        return status;
    }
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let state = mailbox.with(|m| {
        let messages = &m.messages;
        QueueState {
            version: MESSAGE_QUEUE_VERSION,
            outgoing: count(messages.outgoing.waiting()),
            outgoing_free_bytes: count(messages.outgoing.free()).min(MESSAGE_LEN_MAX),
            outgoing_stored_id: messages.stored,
            incoming: count(messages.incoming.waiting()),
            incoming_free_bytes: count(messages.incoming.free()).min(MESSAGE_LEN_MAX),
        }
    });
    if memory.copy_out(address, &state.to_bytes()) { Status::Ok } else { Status::PointerRefused }
}

#[cfg(test)]
#[path = "messages_tests.rs"]
mod tests;
