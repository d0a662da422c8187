#![expect(clippy::indexing_slicing, reason = "tests: a panic is their failure")]

use super::witness::dispatch;
use super::*;
use crate::log_ring::StoredRecord;
use crate::storage::StorageArea;
use bulkhead_link_protocol::MessageDown;
use bulkhead_nor_flash::FlashAddress;
use bulkhead_syscall_abi::{NotificationKind, SYSTEM_CALLS};
use core::cell::RefCell;

/// 1 KiB of application memory at 0x2000_0000; the first 256 bytes are constants.
struct Memory(RefCell<[u8; 1024]>);

const BASE: u32 = 0x2000_0000;
const RAM: u32 = BASE + 256;

impl Memory {
    fn range(address: u32, len: usize, first: usize) -> Option<core::ops::Range<usize>> {
        let start = address.checked_sub(BASE)? as usize;
        let end = start.checked_add(len)?;
        (len > 0 && start >= first && end <= 1024).then_some(start..end)
    }
}

impl ApplicationMemory for Memory {
    fn copy_in(&self, address: u32, out: &mut [u8]) -> bool {
        let Some(range) = Self::range(address, out.len(), 0) else { return false };
        self.0.borrow().get(range).is_some_and(|from| {
            out.copy_from_slice(from);
            true
        })
    }
    fn copy_out(&self, address: u32, bytes: &[u8]) -> bool {
        let Some(range) = Self::range(address, bytes.len(), 256) else { return false };
        self.0.borrow_mut().get_mut(range).is_some_and(|to| {
            to.copy_from_slice(bytes);
            true
        })
    }
    fn may_write(&self, address: u32, len: u32) -> bool {
        Self::range(address, len as usize, 256).is_some()
    }
    fn owns_line(&self, line: u32) -> bool {
        (80..84).contains(&line)
    }
}

struct Access(RefCell<Mailbox>);

impl MailboxAccess for Access {
    fn with<R>(&self, work: impl FnOnce(&mut Mailbox) -> R) -> R {
        work(&mut self.0.borrow_mut())
    }
}

fn world() -> (Memory, Access) {
    (Memory(RefCell::new([0; 1024])), Access(RefCell::new(Mailbox::new())))
}

#[test]
fn wild_pointers_are_refused_by_every_call_that_takes_one() {
    let (memory, mailbox) = world();
    mailbox.with(|m| {
        m.wall_offset_us = Some(1);
        m.announce(0, NotificationKind::ClockSet, 0);
        assert_eq!(m.peek_notification(), None, "announced, and not seen before the state is");
        m.reveal();
        let own = StorageArea { id: 2, start: FlashAddress(0), length: 4096 };
        m.storage.open([own].into_iter(), 4096);
    });
    assert_eq!(storage::read(2, 0, 64, &mailbox), Status::Ok);
    mailbox.with(|m| {
        let (operation, bytes) = m.storage.waiting().unwrap();
        m.storage.done(operation, Status::Ok, &bytes);
    });
    let message = MessageDown { number: 1, topic: 0, bytes: (&[0_u8; 8][..]).into() };
    assert_eq!(messages::arrived(&message, 0, &mailbox), messages::Arrival::New);
    assert_eq!(dispatch(slot::POWER_SLEEP, [1, 0, 0, 0], || 5, &memory, &mailbox), Status::Ok);
    for call in SYSTEM_CALLS {
        for wild in [0, 4, BASE - 1, BASE + 1022, BASE, 0x3800_0000, u32::MAX, u32::MAX - 3] {
            let mut arguments = [64; 4];
            for (to, argument) in arguments.iter_mut().zip(call.arguments) {
                *to = if argument.c_type.ends_with('*') { wild } else { 2 };
            }
            if call.name == "bh_device_id_read" {
                arguments = [wild, 34, 64, 64];
            }
            if call.name == "bh_log_write" {
                arguments = [2, wild, 64, 64];
            }
            let takes_pointer = call.arguments.iter().any(|a| a.c_type.ends_with('*'));
            if ["bh_storage_result_read", "bh_random_read"].contains(&call.name) {
                arguments = [wild, 64, 64, 64];
            }
            if call.name == "bh_message_send" {
                arguments = [2, wild, 64, RAM];
            }
            if call.name == "bh_config_read" {
                arguments = [wild, 32, 0, 0];
            }
            if call.name == "bh_storage_write" {
                arguments = [2, 0, wild, 64];
            }
            if call.name == "bh_socket_connect" {
                arguments = [2, wild, 64, 80];
            }
            let reads = [
                "bh_log_write",
                "bh_storage_write",
                "bh_message_send",
                "bh_config_read",
                "bh_socket_connect",
                "bh_socket_send_to",
            ];
            let readable = wild == BASE && reads.contains(&call.name);
            if takes_pointer && !readable {
                let status = dispatch(call.slot, arguments, || 5, &memory, &mailbox);
                let versioned = call.arguments.iter().any(|a| a.c_type.starts_with("struct bh_"))
                    && !["bh_notification_next", "bh_socket_receive_from"].contains(&call.name);
                let version_zero = wild == BASE && versioned;
                let expected = if version_zero { Status::VersionUnknown } else { Status::PointerRefused };
                assert_eq!(status, expected, "{} at {wild:#x}", call.name);
            }
        }
    }
    assert!(memory.0.borrow().iter().all(|b| *b == 0), "nothing was written");
}

#[test]
fn a_struct_is_not_filled_when_the_buffer_beside_it_is_refused() {
    let (memory, mailbox) = world();
    let message = MessageDown { number: 7, topic: 0, bytes: (&[5_u8; 8][..]).into() };
    assert_eq!(messages::arrived(&message, 0, &mailbox), messages::Arrival::New);
    assert!(memory.copy_out(RAM, &1u32.to_le_bytes()));
    let receive =
        |buffer, len| dispatch(slot::MESSAGE_RECEIVE, [RAM, buffer, len, 0], || 0, &memory, &mailbox);
    let id = || {
        let mut id = [0; 4];
        assert!(memory.copy_in(RAM + 4, &mut id));
        u32::from_le_bytes(id)
    };
    assert_eq!((receive(BASE, 8), id()), (Status::PointerRefused, 0), "nothing was done");
    assert_eq!((receive(BASE, 7), id()), (Status::BufferTooSmall, 7), "the struct alone");
    assert_eq!(receive(RAM + 64, 8), Status::Ok);
}

#[test]
fn a_log_text_arrives_and_a_full_queue_says_busy() {
    let (memory, mailbox) = world();
    assert!(memory.copy_out(RAM, b"hello"));
    assert_eq!(dispatch(slot::LOG_WRITE, [2, RAM, 5, 0], || 7, &memory, &mailbox), Status::Ok);
    let mut record = StoredRecord::new();
    assert!(mailbox.with(|m| m.take_log(&mut record)));
    let record = record.read();
    assert_eq!((record.text.as_str(), record.uptime_us), ("hello", 7));
    let mut last = Status::Ok;
    for _ in 0..1000 {
        last = dispatch(slot::LOG_WRITE, [2, RAM, 256, 0], || 7, &memory, &mailbox);
    }
    assert_eq!(last, Status::Busy);
    for bad in [[5, RAM, 5, 0], [2, RAM, 0, 0], [2, RAM, 257, 0], [2, RAM, u32::MAX, 0], [256, RAM, 5, 0]] {
        assert_eq!(dispatch(slot::LOG_WRITE, bad, || 7, &memory, &mailbox), Status::ArgumentRefused);
    }
}

#[test]
fn an_update_is_postponed_only_when_ready_and_only_so_long() {
    let (memory, mailbox) = world();
    let call = |slot, a| dispatch(slot, [a, 0, 0, 0], || 0, &memory, &mailbox);
    assert_eq!(call(slot::UPDATE_POSTPONE, 60), Status::NothingPending);
    assert_eq!(call(slot::UPDATE_APPLY_NOW, 0), Status::NothingPending);
    mailbox.with(|m| {
        m.update = UpdateStatus { stage: UpdateStageNumber::Ready as u32, ..UpdateStatus::default() };
    });
    assert_eq!(call(slot::UPDATE_POSTPONE, 60), Status::NothingPending, "it was not told yet");
    mailbox.with(|m| m.postpone_latest_ms = Some(5_000_000));
    assert_eq!(call(slot::UPDATE_POSTPONE, 3601), Status::ArgumentRefused);
    assert_eq!(call(slot::UPDATE_POSTPONE, 3600), Status::Ok);
    assert_eq!(call(slot::UPDATE_POSTPONE, 60), Status::Ok, "a shorter one changes nothing");
    let late = dispatch(slot::UPDATE_POSTPONE, [3600, 0, 0, 0], || 1_400_001_000, &memory, &mailbox);
    assert_eq!(late, Status::LimitReached);
    assert_eq!(call(slot::UPDATE_APPLY_NOW, 0), Status::Ok);
    let requests = mailbox.with(|m| m.take_requests());
    assert!(requests.apply_now && requests.postpone_until_ms == Some(3_600_000));
}

#[test]
fn the_struct_of_an_update_is_filled_in_the_version_that_was_asked_for() {
    let (memory, mailbox) = world();
    mailbox.with(|m| m.update = UpdateStatus { stage: 4, downtime_ms: 350, postpone_left_s: 7, ..m.update });
    for (version, len) in [(1u32, 16), (2, 32)] {
        assert!(memory.copy_out(RAM, &[0xAA; 64]) && memory.copy_out(RAM, &version.to_le_bytes()));
        assert_eq!(dispatch(slot::UPDATE_STATUS_READ, [RAM, 0, 0, 0], || 0, &memory, &mailbox), Status::Ok);
        let mut back = [0; 64];
        assert!(memory.copy_in(RAM, &mut back));
        assert_eq!((back[0], back[4]), (version.to_le_bytes()[0], 4));
        let (filled, kept) = back.split_at(len);
        assert!(filled.last() == Some(&0) && kept.iter().all(|byte| *byte == 0xAA), "{len} bytes of it");
    }
    assert!(memory.copy_out(RAM, &3u32.to_le_bytes()));
    let later = dispatch(slot::UPDATE_STATUS_READ, [RAM, 0, 0, 0], || 0, &memory, &mailbox);
    assert_eq!(later, Status::VersionUnknown);
}

#[test]
fn notifications_are_pulled_in_order_and_pend_an_owned_line_only() {
    let (memory, mailbox) = world();
    let call = |slot, a| dispatch(slot, [a, 0, 0, 0], || 0, &memory, &mailbox);
    assert_eq!(call(slot::NOTIFICATION_ENABLE, 48), Status::ArgumentRefused);
    assert_eq!(call(slot::NOTIFICATION_ENABLE, 81), Status::Ok);
    mailbox.with(|m| m.announce(9, NotificationKind::NetworkChanged, 1));
    assert_eq!(mailbox.with(|m| m.reveal()), Some(81));
    assert_eq!(mailbox.with(|m| m.reveal()), None, "once");
    assert_eq!(call(slot::NOTIFICATION_NEXT, BASE), Status::PointerRefused);
    assert_eq!(call(slot::NOTIFICATION_NEXT, RAM), Status::Ok, "a refused pointer loses nothing");
    assert_eq!(call(slot::NOTIFICATION_NEXT, RAM), Status::NothingPending);
    assert_eq!(call(slot::NOTIFICATION_ENABLE, u32::MAX), Status::Ok);
    mailbox.with(|m| m.announce(9, NotificationKind::NetworkChanged, 0));
    assert_eq!(mailbox.with(|m| m.reveal()), None);
}

#[test]
fn slots_beyond_the_table_say_so() {
    let (memory, mailbox) = world();
    for number in [63, 64, 255, u32::MAX] {
        assert_eq!(dispatch(number, [0; 4], || 0, &memory, &mailbox), Status::CallUnknown);
    }
}

#[test]
fn every_limit_that_is_told_is_one_that_is_kept() {
    let (memory, mailbox) = world();
    assert!(memory.copy_out(RAM, &LIMITS_VERSION.to_le_bytes()));
    assert_eq!(dispatch(slot::LIMITS_READ, [RAM, 0, 0, 0], || 0, &memory, &mailbox), Status::Ok);
    let mut bytes = [0; size_of::<Limits>()];
    assert!(memory.copy_in(RAM, &mut bytes));
    let words: std::vec::Vec<u32> =
        bytes.chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect();
    let told = |field: &str| {
        let place = Limits::IN_C.1.iter().position(|(_, name, _, _)| *name == field).unwrap();
        words[place]
    };
    let reserved = LIMITS_1_LEN / 4 - 1;
    let open: std::vec::Vec<_> = (0..words.len()).filter(|place| words[*place] == 0).collect();
    assert_eq!(open, [reserved], "nothing is left open: {words:?}");
    let call = |slot, arguments| dispatch(slot, arguments, || 0, &memory, &mailbox);
    let longest = told("message_len_max");
    assert_eq!(call(slot::MESSAGE_SEND, [1, BASE, longest + 1, 0]), Status::ArgumentRefused);
    assert_eq!(call(slot::MESSAGE_SEND, [1, BASE, longest, 0]), Status::Ok);
    let sleep = told("sleep_max_ms");
    assert_eq!(call(slot::POWER_SLEEP, [sleep + 1, 0, 0, 0]), Status::ArgumentRefused);
    assert_eq!(call(slot::POWER_SLEEP, [sleep, 0, 0, 0]), Status::Ok);
    let text = told("log_text_len_max");
    assert_eq!(call(slot::LOG_WRITE, [1, BASE, text + 1, 0]), Status::ArgumentRefused);
    let postpone = told("postpone_call_max_s");
    assert_eq!(call(slot::UPDATE_POSTPONE, [postpone + 1, 0, 0, 0]), Status::ArgumentRefused);
    let key = told("config_key_len_max");
    assert_eq!(call(slot::CONFIG_READ, [BASE, key + 1, 0, 0]), Status::ArgumentRefused);
    let notifications = told("notifications_max");
    for value in 0..notifications + 3 {
        mailbox.with(|m| m.announce(0, NotificationKind::ClockSet, value));
    }
    mailbox.with(|m| m.reveal());
    let oldest = mailbox.with(|m| m.peek_notification()).unwrap();
    assert_eq!(oldest.value, 3, "as many wait as was told");
}

#[test]
fn a_caller_of_the_first_version_of_the_limits_gets_what_it_had() {
    let (memory, mailbox) = world();
    for (version, len) in [(1u32, LIMITS_1_LEN), (2, size_of::<Limits>())] {
        assert!(memory.copy_out(RAM, &[0xAA; 256]) && memory.copy_out(RAM, &version.to_le_bytes()));
        assert_eq!(dispatch(slot::LIMITS_READ, [RAM, 0, 0, 0], || 0, &memory, &mailbox), Status::Ok);
        let mut back = [0; 256];
        assert!(memory.copy_in(RAM, &mut back));
        assert_eq!(back[..4], version.to_le_bytes());
        assert_ne!(back[len - 4..len], [0xAA; 4], "filled to its end");
        assert!(back[len..].iter().all(|byte| *byte == 0xAA), "and not beyond");
    }
    assert!(memory.copy_out(RAM, &3u32.to_le_bytes()));
    let later = dispatch(slot::LIMITS_READ, [RAM, 0, 0, 0], || 0, &memory, &mailbox);
    assert_eq!(later, Status::VersionUnknown);
}

#[test]
fn a_sleep_is_not_ended_by_a_notification_that_cannot_be_fetched_yet() {
    let (memory, mailbox) = world();
    let call = |slot, a| dispatch(slot, [a, 0, 0, 0], || 0, &memory, &mailbox);
    assert_eq!(call(slot::POWER_SLEEP, 10), Status::Ok);
    mailbox.with(|m| m.announce(0, NotificationKind::NetworkChanged, 1));
    assert_eq!(call(slot::POWER_WAKE_READ, RAM), Status::Busy);
    assert_eq!(call(slot::POWER_SLEEP, 10), Status::Ok, "nor slept over by whoever sleeps once more");
    mailbox.with(|m| m.reveal());
    assert_eq!(call(slot::POWER_WAKE_READ, RAM), Status::Ok);
    assert_eq!(call(slot::NOTIFICATION_NEXT, RAM), Status::Ok);
}

#[test]
fn a_sleep_goes_on_until_its_deadline_or_a_notification() {
    let (memory, mailbox) = world();
    let at = |slot, a, now_us| dispatch(slot, [a, 0, 0, 0], || now_us, &memory, &mailbox);
    assert_eq!(at(slot::POWER_WAKE_READ, RAM, 0), Status::NothingPending);
    assert_eq!(at(slot::POWER_SLEEP, 86_400_001, 0), Status::ArgumentRefused);
    assert_eq!(at(slot::POWER_SLEEP, 10, 1_000), Status::Ok);
    assert_eq!(at(slot::POWER_WAKE_READ, RAM, 10_999), Status::Busy);
    assert_eq!(at(slot::POWER_WAKE_READ, RAM, 11_000), Status::Ok);
    assert_eq!(at(slot::POWER_WAKE_READ, RAM, 11_000), Status::NothingPending, "told once");
    assert_eq!(at(slot::POWER_SLEEP, 10, 1_000), Status::Ok);
    mailbox.with(|m| {
        m.announce(0, NotificationKind::ClockSet, 0);
        m.reveal();
    });
    assert_eq!(at(slot::POWER_WAKE_READ, RAM, 1_001), Status::Ok);
    let mut wake = [0; 4];
    assert!(memory.copy_in(RAM, &mut wake) && wake == [1, 0, 0, 0]);
    assert_eq!(at(slot::POWER_SLEEP, 10, 1_000), Status::Ok);
    assert_eq!(at(slot::POWER_WAKE_READ, RAM, 1_001), Status::Ok, "one that waits is not slept over");
    assert_eq!(at(slot::NOTIFICATION_NEXT, RAM, 1_001), Status::Ok);
    assert_eq!(at(slot::POWER_SLEEP, 0, 0), Status::Ok, "there is none to end");
    assert_eq!(at(slot::POWER_SLEEP, 10, 1_000), Status::Ok);
    assert!(mailbox.with(|m| m.is_asleep()));
    assert_eq!(at(slot::POWER_SLEEP, 0, 1_001), Status::Ok);
    assert!(
        !mailbox.with(|m| m.is_asleep() || m.sleep.is_over(u64::MAX)),
        "an interrupt gave it something to do"
    );
    assert_eq!(at(slot::POWER_WAKE_READ, RAM, 1_001), Status::NothingPending);
}

#[test]
fn a_sleep_ends_when_a_notification_is_to_be_seen_whenever_it_was_announced() {
    let (memory, mailbox) = world();
    let call = |slot, a| dispatch(slot, [a, 0, 0, 0], || 1_000, &memory, &mailbox);
    mailbox.with(|m| m.announce(0, NotificationKind::MessageArrived, 1));
    assert_eq!(call(slot::NOTIFICATION_NEXT, RAM), Status::NothingPending);
    assert_eq!(call(slot::POWER_SLEEP, 60_000), Status::Ok);
    mailbox.with(|m| m.reveal());
    assert_eq!(call(slot::POWER_WAKE_READ, RAM), Status::Ok, "announced before the sleep, seen in it");
    assert_eq!(call(slot::NOTIFICATION_NEXT, RAM), Status::Ok);
    assert_eq!(call(slot::POWER_SLEEP, 60_000), Status::Ok);
    mailbox.with(|m| m.announce(0, NotificationKind::MessageArrived, 2));
    assert_eq!(call(slot::POWER_WAKE_READ, RAM), Status::Busy, "what woke it could not be seen yet");
    mailbox.with(|m| m.reveal());
    assert_eq!(call(slot::POWER_WAKE_READ, RAM), Status::Ok);
}

extern crate std;
