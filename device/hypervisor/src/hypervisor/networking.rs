//! Where the application's sockets and the network stack meet.

use bulkhead_hardware_ports::EthernetController;

use super::{Hypervisor, Outside};
use crate::calls::MailboxAccess;
use crate::sockets::SLOTS;

impl<E: EthernetController> Hypervisor<'_, E> {
    /// Carries what the application's sockets were given, brings what they got, and tells what rose. Returns whether
    /// frames may wait to be sent.
    #[inline(never)]
    pub(super) fn serve_sockets(
        &mut self,
        now_us: u64,
        mailbox: &impl MailboxAccess,
        outside: &mut impl Outside,
    ) -> bool {
        let Some(network) = &mut self.network else { return false };
        let facts = network.network();
        if !mailbox.with(|m| {
            m.sockets.network = facts;
            m.sockets.any()
        }) {
            return false;
        }
        let stack = network.application();
        let carried = mailbox.with(|m| m.sockets.carry_out(stack, now_us / 1000));
        for index in 0..SLOTS {
            let line = mailbox.with(|m| {
                let rose = m.sockets.bring_in(index, stack)?;
                m.notify_socket(now_us, rose)
            });
            if let Some(line) = line {
                outside.pend(line);
            }
        }
        carried
    }
}
