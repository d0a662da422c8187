//! Where the application's sockets and the network stack meet.

use bulkhead_hardware_ports::EthernetController;

use super::Hypervisor;
use crate::calls::MailboxAccess;
use crate::sockets::SLOTS;

impl<E: EthernetController> Hypervisor<'_, E> {
    /// Carries what the application's sockets were given, brings what they got, and announces what rose. Returns whether
    /// frames may wait to be sent.
    #[inline(never)]
    pub(super) fn serve_sockets(&mut self, now_us: u64, mailbox: &impl MailboxAccess) -> bool {
        let Some(network) = &mut self.network else { return false };
        let facts = network.network();
        if !mailbox.with(|m| {
            m.sockets.network = facts;
            m.sockets.any()
        }) {
            return false;
        }
        let stack = network.application();
        let now_ms = now_us / 1000;
        let carried = mailbox.with(|m| m.sockets.carry_orders(stack, now_ms));
        while mailbox.with(|m| m.sockets.carry_next(stack)) {}
        mailbox.with(|m| m.sockets.carry_ends(stack, now_ms));
        for index in 0..SLOTS {
            mailbox.with(|m| {
                if let Some(rose) = m.sockets.bring_in(index, stack) {
                    m.announce_socket(now_us, rose);
                }
            });
        }
        carried
    }
}
