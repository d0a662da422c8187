//! Watches every system call that a test makes: its answer is one that the table of calls states, and it takes each byte of
//! the application's memory once and gives each once. What is looked at a second time may have changed since it was checked.

#![expect(clippy::panic, reason = "tests: a panic is their failure")]

extern crate std;
use core::cell::RefCell;
use std::vec::Vec;

use bulkhead_syscall_abi::{SYSTEM_CALLS, Status};

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
    match SYSTEM_CALLS.iter().find(|call| call.slot == number) {
        Some(call) => assert!(call.may_answer(status as u32), "{} does not state {status:?}", call.name),
        None => assert_eq!(status, Status::CallUnknown, "{number}"),
    }
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
    fn add(&self, address: u32, len: usize) {
        let Some(last) = u32::try_from(len).ok().and_then(|len| len.checked_sub(1)) else { return };
        let last = address.saturating_add(last);
        let mut spans = self.0.borrow_mut();
        if let Some((first, end)) = spans.iter().find(|(first, end)| *first <= last && address <= *end) {
            panic!("{address:#x} to {last:#x} was copied before, as a part of {first:#x} to {end:#x}");
        }
        spans.push((address, last));
    }
}

impl<M: ApplicationMemory> ApplicationMemory for Once<'_, M> {
    fn copy_in(&self, address: u32, out: &mut [u8]) -> bool {
        self.taken.add(address, out.len());
        self.memory.copy_in(address, out)
    }
    fn copy_out(&self, address: u32, bytes: &[u8]) -> bool {
        self.given.add(address, bytes.len());
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
#[should_panic(expected = "was copied before")]
fn a_byte_that_is_looked_at_twice_is_noticed() {
    let spans = Spans::default();
    spans.add(0x1000, 16);
    spans.add(0x1010, 4);
    spans.add(0x1004, 0);
    spans.add(0x100F, 1);
}
