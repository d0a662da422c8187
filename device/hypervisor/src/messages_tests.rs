#![expect(clippy::indexing_slicing, reason = "tests: a panic is their failure")]

use super::*;
use crate::calls::witness::dispatch;
use crate::mailbox::Mailbox;
use bulkhead_syscall_abi::slot;
use core::cell::RefCell;
use std::vec::Vec;

extern crate std;

const BASE: u32 = 0x2000_0000;
const MEMORY_LEN: usize = 4096;
/// Where structs go.
const STRUCT: u32 = BASE;
/// Where bodies go.
const BODY: u32 = BASE + 1024;

/// Application memory.
struct Memory(RefCell<[u8; MEMORY_LEN]>);

impl Memory {
    fn range(address: u32, len: usize) -> Option<core::ops::Range<usize>> {
        let start = usize::try_from(address.checked_sub(BASE)?).ok()?;
        (start + len <= MEMORY_LEN).then_some(start..start + len)
    }
    fn put(&self, address: u32, bytes: &[u8]) {
        assert!(self.copy_out(address, bytes));
    }
    fn get(&self, address: u32, len: usize) -> Vec<u8> {
        let mut bytes = std::vec![0; len];
        assert!(self.copy_in(address, &mut bytes));
        bytes
    }
    fn word(&self, index: u32) -> u32 {
        u32::from_le_bytes(self.get(STRUCT + 4 * index, 4).try_into().unwrap())
    }
}

impl ApplicationMemory for Memory {
    fn copy_in(&self, address: u32, out: &mut [u8]) -> bool {
        let Some(range) = Self::range(address, out.len()) else { return false };
        out.copy_from_slice(&self.0.borrow()[range]);
        true
    }
    fn copy_out(&self, address: u32, bytes: &[u8]) -> bool {
        let Some(range) = Self::range(address, bytes.len()) else { return false };
        self.0.borrow_mut()[range].copy_from_slice(bytes);
        true
    }
    fn owns_line(&self, _: u32) -> bool {
        false
    }
}

#[derive(Clone)]
struct Access(std::rc::Rc<RefCell<Mailbox>>);

impl MailboxAccess for Access {
    fn with<R>(&self, work: impl FnOnce(&mut Mailbox) -> R) -> R {
        work(&mut self.0.borrow_mut())
    }
}

fn world() -> (Memory, Access) {
    let memory = Memory(RefCell::new([0; MEMORY_LEN]));
    (memory, Access(std::rc::Rc::new(RefCell::new(Mailbox::new()))))
}

fn call(slot: u32, arguments: [u32; 4], memory: &Memory, mailbox: &Access) -> Status {
    dispatch(slot, arguments, || 7_000_000, memory, mailbox)
}

fn arrive(number: u32, bytes: &[u8], mailbox: &Access) -> Arrival {
    arrived(&MessageDown { number, topic: 5, bytes: bytes.into() }, 1, mailbox)
}

/// Receives into [`BODY`]; returns id and body.
fn receive_one(memory: &Memory, mailbox: &Access) -> Option<(u32, Vec<u8>)> {
    memory.put(STRUCT, &1u32.to_le_bytes());
    match call(slot::MESSAGE_RECEIVE, [STRUCT, BODY, 960, 0], memory, mailbox) {
        Status::Ok => Some((memory.word(1), memory.get(BODY, usize::try_from(memory.word(3)).unwrap()))),
        Status::NothingPending => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_waits_until_the_server_has_stored_it() {
    let (memory, mailbox) = world();
    let long: Vec<u8> = (0..960_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    memory.put(BODY, &long);
    assert_eq!(call(slot::MESSAGE_SEND, [9, BODY, 960, STRUCT], &memory, &mailbox), Status::Ok);
    assert_eq!(memory.word(0), 1);
    assert_eq!(call(slot::MESSAGE_SEND, [9, BODY, 5, 0], &memory, &mailbox), Status::Ok);
    let head = mailbox.with(|m| m.messages.outgoing.after(0)).unwrap();
    assert_eq!((head.number, head.topic, head.len, head.at_s), (1, 9, 960, 7));
    let mut back = [0; 960];
    assert!(body(1, &mut back, &mailbox));
    assert_eq!(&back[..], long);
    assert_eq!(mailbox.with(|m| m.messages.outgoing.after(1)).map(|head| head.number), Some(2));
    assert!(mailbox.with(|m| m.messages.stored(1)) && !mailbox.with(|m| m.messages.stored(1)));
    assert_eq!(mailbox.with(|m| m.messages.outgoing.front()).map(|head| head.number), Some(2));
    assert!(
        mailbox.with(|m| m.messages.stored(u32::MAX)),
        "a server that claims too much frees what there is"
    );
    assert_eq!(mailbox.with(|m| (m.messages.outgoing.waiting(), m.messages.stored_number())), (0, 2));
}

#[test]
fn a_full_queue_says_busy_and_a_wild_pointer_leaves_nothing_behind() {
    let (memory, mailbox) = world();
    for wild in [0, BASE - 1, BASE + 4096 - 100, u32::MAX - 4] {
        assert_eq!(call(slot::MESSAGE_SEND, [9, wild, 200, 0], &memory, &mailbox), Status::PointerRefused);
        assert_eq!(
            call(slot::MESSAGE_SEND, [9, BODY, 8, wild.max(4) | 1 << 31], &memory, &mailbox),
            Status::PointerRefused
        );
    }
    for len in [0, 961, u32::MAX] {
        assert_eq!(call(slot::MESSAGE_SEND, [9, BODY, len, 0], &memory, &mailbox), Status::ArgumentRefused);
    }
    assert_eq!(mailbox.with(|m| m.messages.outgoing.waiting()), 0);
    let taken = (0..100)
        .take_while(|_| call(slot::MESSAGE_SEND, [9, BODY, 100, STRUCT], &memory, &mailbox) == Status::Ok)
        .count();
    assert_eq!((taken, memory.word(0)), (16, 16), "ids have no gaps");
    assert_eq!(call(slot::MESSAGE_SEND, [9, BODY, 100, 0], &memory, &mailbox), Status::Busy);
}

#[test]
fn a_message_stays_until_it_is_finished_and_comes_back_to_the_next_instance() {
    let (memory, mailbox) = world();
    assert_eq!(receive_one(&memory, &mailbox), None);
    assert_eq!(arrive(11, &[0x42; 300], &mailbox), Arrival::New);
    assert_eq!(arrive(12, b"second", &mailbox), Arrival::New);
    assert_eq!(receive_one(&memory, &mailbox), Some((11, std::vec![0x42; 300])));
    mailbox.with(|m| m.application_ended());
    assert_eq!(receive_one(&memory, &mailbox), Some((11, std::vec![0x42; 300])), "again");
    memory.put(STRUCT, &1u32.to_le_bytes());
    let short = call(slot::MESSAGE_RECEIVE, [STRUCT, BODY, 299, 0], &memory, &mailbox);
    assert_eq!((short, memory.word(3)), (Status::BufferTooSmall, 300), "the struct tells how much it needs");
    assert_eq!(
        call(slot::MESSAGE_FINISH, [12, 0, 0, 0], &memory, &mailbox),
        Status::NotFound,
        "not the oldest"
    );
    assert_eq!(call(slot::MESSAGE_FINISH, [11, 2, 0, 0], &memory, &mailbox), Status::ArgumentRefused);
    assert_eq!(call(slot::MESSAGE_FINISH, [11, 0, 0, 0], &memory, &mailbox), Status::Ok);
    assert_eq!(receive_one(&memory, &mailbox), Some((12, b"second".to_vec())));
    assert_eq!(call(slot::MESSAGE_FINISH, [12, 1, 0, 0], &memory, &mailbox), Status::Ok);
    let mut reports = Vec::new();
    while let Some(report) = mailbox.with(|m| m.messages.next_report()) {
        mailbox.with(|m| m.messages.reported());
        reports.push((report.number, report.end));
    }
    assert_eq!(reports, [(11, MessageEnd::Delivered), (12, MessageEnd::Refused)]);
}

#[test]
fn what_is_sent_again_after_a_link_drop_is_recognised() {
    let (memory, mailbox) = world();
    assert_eq!(arrive(11, b"a", &mailbox), Arrival::New);
    assert_eq!(arrive(11, b"a", &mailbox), Arrival::Known, "it still waits");
    assert_eq!(call(slot::MESSAGE_FINISH, [11, 1, 0, 0], &memory, &mailbox), Status::Ok);
    mailbox.with(|m| m.messages.reported());
    assert_eq!(arrive(11, b"a", &mailbox), Arrival::Known, "it was finished");
    assert_eq!(receive_one(&memory, &mailbox), None);
    let report = mailbox.with(|m| m.messages.next_report()).unwrap();
    assert_eq!((report.number, report.end), (11, MessageEnd::Refused), "and how is told again");
    arrive(11, b"a", &mailbox);
    mailbox.with(|m| m.messages.reported());
    assert_eq!(mailbox.with(|m| m.messages.next_report()), None, "but once");
}

#[test]
fn a_server_that_does_not_heed_the_window_loses_what_does_not_fit() {
    let (_, mailbox) = world();
    for number in 1..3 {
        assert_eq!(arrive(number, &[0; 960], &mailbox), Arrival::New);
    }
    assert_eq!(arrive(3, &[0; 960], &mailbox), Arrival::NoRoom);
    assert_eq!(arrive(4, &[], &mailbox), Arrival::NoRoom, "no message is empty");
    assert_eq!(mailbox.with(|m| m.messages.incoming.waiting()), 2);
}

#[test]
fn what_found_no_room_is_not_passed_and_not_told_as_delivered() {
    let (memory, mailbox) = world();
    let finish = |number: u32| {
        let accepted = MessageOutcome::Accepted as u32;
        assert_eq!(call(slot::MESSAGE_FINISH, [number, accepted, 0, 0], &memory, &mailbox), Status::Ok);
    };
    let reports = || {
        let mut numbers = Vec::new();
        while let Some(report) = mailbox.with(|m| m.messages.next_report()) {
            mailbox.with(|m| m.messages.reported());
            numbers.push(report.number);
        }
        numbers
    };
    // Of an earlier link; the server does not count them any more and sends a window full.
    for number in 1..=10 {
        assert_eq!(arrive(number, b"old", &mailbox), Arrival::New);
    }
    mailbox.with(|m| m.messages.link_lost());
    for number in 11..=26 {
        let expected = if number <= 16 { Arrival::New } else { Arrival::NoRoom };
        assert_eq!(arrive(number, b"new", &mailbox), expected, "{number}");
    }
    for number in 1..=16 {
        finish(number);
    }
    assert_eq!(reports(), (1..=16).collect::<Vec<_>>());
    for number in 27..=32 {
        assert_eq!(arrive(number, b"newer", &mailbox), Arrival::NoRoom, "{number} would pass 17");
    }
    // On the next link the server sends again what was not finished, and what was turned away arrives.
    mailbox.with(|m| m.messages.link_lost());
    for number in 17..=32 {
        assert_eq!(arrive(number, b"again", &mailbox), Arrival::New, "{number}");
        assert_eq!(reports(), [], "{number} was not seen by the application");
    }
    for number in 17..=32 {
        assert_eq!(receive_one(&memory, &mailbox), Some((number, b"again".to_vec())));
        finish(number);
    }
}

#[test]
fn one_that_was_turned_away_and_comes_again_on_the_same_link_opens_the_way() {
    let (memory, mailbox) = world();
    for number in [1, 2] {
        assert_eq!(arrive(number, &[0; 960], &mailbox), Arrival::New);
    }
    assert_eq!(arrive(3, &[3; 960], &mailbox), Arrival::NoRoom);
    assert_eq!(arrive(4, b"4", &mailbox), Arrival::NoRoom, "it has room and would pass 3");
    assert_eq!(call(slot::MESSAGE_FINISH, [1, 0, 0, 0], &memory, &mailbox), Status::Ok);
    assert_eq!(arrive(3, &[3; 960], &mailbox), Arrival::New);
    assert_eq!(arrive(4, b"4", &mailbox), Arrival::New);
}
