//! Where the gateways arrive: checked copies, then the hypervisor's dispatcher.

use bulkhead_armv8m_trustzone::critical::Shared;
use bulkhead_armv8m_trustzone::memory_check::Intent;
use bulkhead_armv8m_trustzone::{memory_check, tick};
use bulkhead_hypervisor::{ApplicationMemory, Mailbox, MailboxAccess, dispatch};

use crate::{partition, work};

static MAILBOX: Shared<Mailbox> = Shared::new(Mailbox::new());

/// The mailbox between gateways and executor.
pub(crate) struct TheMailbox;

impl MailboxAccess for TheMailbox {
    fn with<R>(&self, work: impl FnOnce(&mut Mailbox) -> R) -> R {
        MAILBOX.with(work)
    }
}

struct Memory;

impl ApplicationMemory for Memory {
    fn copy_in(&self, address: u32, out: &mut [u8]) -> bool {
        memory_check::copy_in(address, out)
    }

    fn copy_out(&self, address: u32, bytes: &[u8]) -> bool {
        memory_check::copy_out(address, bytes)
    }

    fn may_write(&self, address: u32, len: u32) -> bool {
        memory_check::allowed(address, len, Intent::Write)
    }

    fn may_read(&self, address: u32, len: u32) -> bool {
        memory_check::allowed(address, len, Intent::Read)
    }

    fn owns_line(&self, line: u32) -> bool {
        partition::owns_line(line)
    }
}

/// The mailbox as gateways see it: what one leaves in it wakes the worker. Calls that do not look into it pay nothing.
struct Gateways;

impl MailboxAccess for Gateways {
    fn with<R>(&self, work: impl FnOnce(&mut Mailbox) -> R) -> R {
        TheMailbox.with(|mailbox| {
            let result = work(mailbox);
            wake_if_left(mailbox);
            result
        })
    }
}

/// Once, and not in each of the many places where a gateway has looked into the mailbox.
#[inline(never)]
fn wake_if_left(mailbox: &Mailbox) {
    if mailbox.waits() {
        work::wake();
    }
}

/// Called by every gateway with the application's registers. Runs on the caller's level, never waits.
#[unsafe(no_mangle)]
extern "C" fn bulkhead_gateway(a: u32, b: u32, c: u32, d: u32, slot: u32) -> u32 {
    dispatch(slot, [a, b, c, d], tick::now_us, &Memory, &Gateways) as u32
}
