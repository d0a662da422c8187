//! Messages on the link: what is sent, sent again, and taken in.

use bulkhead_hardware_ports::EthernetController;
use bulkhead_link_protocol::{
    DeviceMessage, MESSAGE_LEN_MAX, MessageDown, MessageStored, MessageUp, MessageWindow,
};
use bulkhead_syscall_abi::NotificationKind;

use super::{Hypervisor, Outside};
use crate::calls::MailboxAccess;
use crate::message_queue::{Head, MESSAGES_MAX, QUEUE_LEN};
use crate::messages::{Arrival, arrived, body};

/// What the executor knows of messages.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Courier {
    /// Tells this power session's messages from those of another.
    run: u32,
    /// Number of the last message sent on this link.
    sent: u32,
    window_told: bool,
}

impl Courier {
    pub(super) fn new(run: u32) -> Self {
        Self { run, ..Self::default() }
    }

    /// On another link all is sent again that the server has not said to have stored.
    pub(super) fn link_lost(&mut self) {
        *self = Self::new(self.run);
    }
}

/// Takes a message in; returns its number if it is new.
pub(super) fn message_arrived(
    message: &MessageDown<'_>,
    now_us: u64,
    mailbox: &impl MailboxAccess,
) -> Option<u32> {
    let now_s = u32::try_from(now_us / 1_000_000).unwrap_or(u32::MAX);
    match arrived(message, now_s, mailbox) {
        Arrival::New => Some(message.number),
        Arrival::Known | Arrival::NoRoom => None,
    }
}

impl<E: EthernetController> Hypervisor<'_, E> {
    /// The server has stored messages.
    pub(super) fn message_stored(
        &mut self,
        stored: MessageStored,
        now_us: u64,
        mailbox: &impl MailboxAccess,
        outside: &mut impl Outside,
    ) {
        if stored.run == self.courier.run && mailbox.with(|m| m.messages.stored(stored.number)) {
            self.notify(now_us, NotificationKind::MessageStored, stored.number, mailbox, outside);
        }
    }

    /// Tells and asks what the configuration needs.
    pub(super) fn send_configuration(&mut self) {
        if let Some(state) = self.configuration.state()
            && self.link.send(&DeviceMessage::ConfigState(state))
        {
            self.configuration.state_sent();
        }
        if let Some(fetch) = self.configuration.wanted()
            && self.link.send(&DeviceMessage::ConfigFetch(fetch))
        {
            self.configuration.fetch_sent();
        }
    }

    /// Sends what is due: what was finished, then one message.
    pub(super) fn send_messages(&mut self, now_ms: u64, mailbox: &impl MailboxAccess) {
        if !self.courier.window_told {
            let bytes = u32::try_from(QUEUE_LEN).unwrap_or_default();
            let messages = u32::try_from(MESSAGES_MAX).unwrap_or_default();
            let window = MessageWindow { bytes, messages };
            self.courier.window_told = self.link.send(&DeviceMessage::MessageWindow(window));
        }
        for _ in 0..MESSAGES_MAX {
            let Some(report) = mailbox.with(|m| m.messages.next_report()) else { break };
            if !self.link.send(&DeviceMessage::MessageFinished(report)) {
                return;
            }
            mailbox.with(|m| m.messages.reported());
        }
        if !self.link.has_room_for_application() {
            return;
        }
        let next = mailbox.with(|m| {
            let sent = self.courier.sent.max(m.messages.stored_number());
            m.messages.outgoing.after(sent)
        });
        if let Some(head) = next
            && self.send_message(head, now_ms, mailbox)
        {
            self.courier.sent = head.number;
        }
    }

    /// Out of line: a whole message lies on the stack.
    #[inline(never)]
    fn send_message(&mut self, head: Head, now_ms: u64, mailbox: &impl MailboxAccess) -> bool {
        let mut bytes = [0; MESSAGE_LEN_MAX];
        let room = usize::try_from(head.len).ok().and_then(|len| bytes.get_mut(..len));
        let Some(bytes) = room else { return false };
        if !body(head.number, bytes, mailbox) {
            return false;
        }
        let now_s = u32::try_from(now_ms / 1000).unwrap_or(u32::MAX);
        self.link.send(&DeviceMessage::Message(MessageUp {
            run: self.courier.run,
            number: head.number,
            topic: head.topic,
            age_s: now_s.saturating_sub(head.at_s),
            bytes: (&*bytes).into(),
        }))
    }
}
