//! Watches every system call that a test makes: its answer is one that the table of calls states, and it takes each byte of
//! the application's memory once and gives each once. What is looked at a second time may have changed since it was checked.

extern crate std;
use core::cell::RefCell;
use std::vec::Vec;

use bulkhead_syscall_abi::{Status, unstated};

use super::{ApplicationMemory, MailboxAccess};

/// [`super::dispatch`], watched.
pub(crate) fn dispatch(
    number: u32,
    arguments: [u32; 4],
    now_us: impl FnOnce() -> u64,
    memory: &impl ApplicationMemory,
    mailbox: &impl MailboxAccess,
) -> Status {
    let memory = Once { memory, taken: Spans::default(), given: Spans::default() };
    let status = super::dispatch(number, arguments, now_us, &memory, mailbox);
    assert_eq!(unstated(number, status as u32), None, "slot {number} does not state {status:?}");
    status
}

struct Once<'a, M> {
    memory: &'a M,
    taken: Spans,
    given: Spans,
}

/// First and last addresses.
#[derive(Default)]
struct Spans(RefCell<Vec<(u32, u32)>>);

impl Spans {
    /// Adds one; returns that to which a byte of it belongs already.
    fn add(&self, address: u32, len: usize) -> Option<(u32, u32)> {
        let last = address.saturating_add(u32::try_from(len).ok()?.checked_sub(1)?);
        let mut spans = self.0.borrow_mut();
        let known = spans.iter().find(|(first, end)| *first <= last && address <= *end).copied();
        spans.push((address, last));
        known
    }
}

impl<M: ApplicationMemory> ApplicationMemory for Once<'_, M> {
    fn copy_in(&self, address: u32, out: &mut [u8]) -> bool {
        assert_eq!(self.taken.add(address, out.len()), None, "{address:#x} is looked at once more");
        self.memory.copy_in(address, out)
    }
    fn copy_out(&self, address: u32, bytes: &[u8]) -> bool {
        assert_eq!(self.given.add(address, bytes.len()), None, "{address:#x} is written once more");
        self.memory.copy_out(address, bytes)
    }
    fn may_write(&self, address: u32, len: u32) -> bool {
        self.memory.may_write(address, len)
    }
    fn may_read(&self, address: u32, len: u32) -> bool {
        self.memory.may_read(address, len)
    }
    fn owns_line(&self, line: u32) -> bool {
        self.memory.owns_line(line)
    }
}

#[test]
fn a_byte_that_is_looked_at_twice_is_noticed() {
    let spans = Spans::default();
    assert_eq!(spans.add(0x1000, 16), None);
    assert_eq!(spans.add(0x1010, 4), None);
    assert_eq!(spans.add(0x1004, 0), None);
    assert_eq!(spans.add(0x100F, 1), Some((0x1000, 0x100F)));
}
