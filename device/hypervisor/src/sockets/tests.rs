#![expect(clippy::indexing_slicing, reason = "tests: a panic is their failure")]

use super::*;
use crate::calls::witness::dispatch;
use crate::calls::{ApplicationMemory, MailboxAccess};
use crate::mailbox::Mailbox;
use bulkhead_syscall_abi::{NotificationKind, SOCKET_EVENT_SHIFT, slot};
use core::cell::RefCell;

/// 2 KiB of application memory at 0x1000.
struct World {
    memory: RefCell<[u8; 2048]>,
    mailbox: RefCell<Mailbox>,
}

const BASE: u32 = 0x1000;
/// Where calls write a handle or a length.
const WORD: u32 = BASE;
const BYTES: u32 = BASE + 64;
const WILD: u32 = 0x3800_0000;

impl World {
    fn new() -> Self {
        Self { memory: RefCell::new([0; 2048]), mailbox: RefCell::new(Mailbox::new()) }
    }

    fn range(address: u32, len: usize) -> Option<core::ops::Range<usize>> {
        let start = address.checked_sub(BASE)? as usize;
        (start + len <= 2048 && len > 0).then_some(start..start + len)
    }

    fn call(&self, slot: u32, arguments: [u32; 4]) -> Status {
        dispatch(slot, arguments, || 0, self, self)
    }

    fn word(&self) -> u32 {
        let mut bytes = [0; 4];
        assert!(self.copy_in(WORD, &mut bytes));
        u32::from_le_bytes(bytes)
    }

    fn open(&self, kind: SocketKind) -> u32 {
        assert_eq!(self.call(slot::SOCKET_OPEN, [kind as u32, WORD, 0, 0]), Status::Ok);
        self.word()
    }

    /// The executor found the socket in this state, with so much room.
    fn becomes(&self, handle: u32, state: SocketState, room: usize) {
        self.with(|m| {
            let (_, desk) = m.sockets.find(handle).unwrap();
            (desk.state, desk.room, desk.orders) = (state as u32, room, Orders::default());
        });
    }

    /// The executor brought these bytes.
    fn arrive(&self, handle: u32, bytes: &[u8]) {
        self.with(|m| {
            let (slot, _) = m.sockets.find(handle).unwrap();
            m.sockets.inbox(slot)[..bytes.len()].copy_from_slice(bytes);
            let (_, desk) = m.sockets.find(handle).unwrap();
            (desk.start, desk.end, desk.datagram) = (0, bytes.len(), true);
        });
    }

    fn connected(&self) -> u32 {
        let handle = self.open(SocketKind::Stream);
        self.becomes(handle, SocketState::Connected, 768);
        handle
    }
}

impl ApplicationMemory for World {
    fn copy_in(&self, address: u32, out: &mut [u8]) -> bool {
        Self::range(address, out.len()).is_some_and(|range| {
            out.copy_from_slice(&self.memory.borrow()[range]);
            true
        })
    }
    fn copy_out(&self, address: u32, bytes: &[u8]) -> bool {
        Self::range(address, bytes.len()).is_some_and(|range| {
            self.memory.borrow_mut()[range].copy_from_slice(bytes);
            true
        })
    }
    fn may_write(&self, address: u32, len: u32) -> bool {
        Self::range(address, len as usize).is_some()
    }
    fn owns_line(&self, _: u32) -> bool {
        false
    }
}

impl MailboxAccess for World {
    fn with<R>(&self, work: impl FnOnce(&mut Mailbox) -> R) -> R {
        work(&mut self.mailbox.borrow_mut())
    }
}

#[test]
fn so_many_sockets_of_each_kind_and_no_more() {
    let world = World::new();
    let mut handles = [0; SLOTS];
    for (index, handle) in handles.iter_mut().enumerate() {
        *handle = world.open(if index < STREAMS { SocketKind::Stream } else { SocketKind::Datagram });
    }
    let open = |kind: u32, at: u32| world.call(slot::SOCKET_OPEN, [kind, at, 0, 0]);
    assert_eq!((open(1, WORD), open(2, WORD)), (Status::LimitReached, Status::LimitReached));
    assert_eq!((open(0, WORD), open(3, WORD)), (Status::ArgumentRefused, Status::ArgumentRefused));
    assert!(handles.iter().all(|one| handles.iter().filter(|other| *other == one).count() == 1));
    assert!(handles.iter().all(|handle| *handle != 0 && *handle <= SOCKET_HANDLE_MASK));
    assert_eq!(world.call(slot::SOCKET_CLOSE, [handles[0], 0, 0, 0]), Status::Ok);
    assert_eq!(open(1, WORD), Status::LimitReached, "the network stack still has it");
}

#[test]
fn a_handle_that_is_not_open_is_refused_by_every_call_on_a_socket() {
    let world = World::new();
    let handle = world.connected();
    assert_eq!(world.call(slot::SOCKET_CLOSE, [handle, 0, 0, 0]), Status::Ok);
    assert!(world.copy_out(BYTES, &1u32.to_le_bytes()));
    for stale in [0, handle, handle + 1, handle | 0xFF00_0000, u32::MAX] {
        for (number, arguments) in [
            (slot::SOCKET_CONNECT, [stale, BYTES + 8, 4, 80]),
            (slot::SOCKET_BIND, [stale, 5683, 0, 0]),
            (slot::SOCKET_SEND, [stale, BYTES, 4, WORD]),
            (slot::SOCKET_RECEIVE, [stale, BYTES, 4, WORD]),
            (slot::SOCKET_SEND_TO, [stale, BYTES + 16, BYTES, 4]),
            (slot::SOCKET_RECEIVE_FROM, [stale, BYTES + 16, BYTES, WORD]),
            (slot::SOCKET_SHUTDOWN, [stale, 0, 0, 0]),
            (slot::SOCKET_CLOSE, [stale, 0, 0, 0]),
            (slot::SOCKET_STATUS_READ, [stale, BYTES, 0, 0]),
        ] {
            assert!(world.copy_out(BYTES + 8, b"host"));
            assert_eq!(world.call(number, arguments), Status::HandleUnknown, "call {number}, {stale:#x}");
        }
    }
}

#[test]
fn a_stream_takes_what_there_is_room_for_and_then_says_busy() {
    let world = World::new();
    let handle = world.connected();
    let send = |len: u32| world.call(slot::SOCKET_SEND, [handle, BYTES, len, WORD]);
    assert_eq!((send(1000), world.word()), (Status::Ok, 512));
    assert_eq!((send(1000), world.word()), (Status::Ok, 256));
    assert_eq!(send(1), Status::Busy);
    assert_eq!(send(0), Status::ArgumentRefused);
    world.becomes(handle, SocketState::Closed, 0);
    assert_eq!(send(1), Status::NotConnected);
    world.with(|m| assert_eq!(m.sockets.out_len, 768 + 2 * RECORD_LEN));
}

#[test]
fn the_way_out_has_an_end_and_nobody_is_told_that_more_was_taken() {
    let world = World::new();
    let mut taken = 0;
    for handle in [(); STREAMS].map(|()| world.connected()) {
        while world.call(slot::SOCKET_SEND, [handle, BYTES, 512, WORD]) == Status::Ok {
            taken += world.word() as usize;
        }
    }
    let (out_len, records) = world.with(|m| {
        let (mut at, mut records) = (0, 0);
        while at < m.sockets.out_len {
            let len = u16::from_le_bytes([m.sockets.out[at + 2], m.sockets.out[at + 3]]);
            at += RECORD_LEN + usize::from(len);
            records += 1;
        }
        (m.sockets.out_len, records)
    });
    assert_eq!(out_len, taken + records * RECORD_LEN);
    assert!(out_len <= OUT_LEN && out_len > OUT_LEN - RECORD_LEN - 1);
}

#[test]
fn a_pointer_that_is_refused_takes_nothing_and_loses_nothing() {
    let world = World::new();
    let handle = world.connected();
    let end = BASE + 2048;
    for arguments in [
        [handle, WILD, 16, WORD],
        [handle, BYTES, 16, WILD],
        [handle, end - 200, 300, WORD],
        [handle, u32::MAX - 8, 300, WORD],
    ] {
        assert_eq!(world.call(slot::SOCKET_SEND, arguments), Status::PointerRefused, "{arguments:?}");
        world.arrive(handle, &[7; 400]);
        let mut before = [0; 2048];
        assert!(world.copy_in(BASE, &mut before));
        assert_eq!(world.call(slot::SOCKET_RECEIVE, arguments), Status::PointerRefused, "{arguments:?}");
        let mut after = [0; 2048];
        assert!(world.copy_in(BASE, &mut after));
        assert!(before == after, "something was written");
    }
    world.with(|m| assert!(m.sockets.out_len == 0 && !m.sockets.writing));
    assert_eq!(world.call(slot::SOCKET_RECEIVE, [handle, BYTES, 512, WORD]), Status::Ok);
    assert_eq!(world.word(), 400, "all of it still waits");
}

#[test]
fn a_stream_is_received_in_order_and_its_end_is_told_after_the_last_byte() {
    let world = World::new();
    let handle = world.connected();
    let receive = |len: u32| world.call(slot::SOCKET_RECEIVE, [handle, BYTES, len, WORD]);
    assert_eq!(receive(8), Status::NothingPending);
    world.arrive(handle, b"one two");
    assert_eq!((receive(4), world.word()), (Status::Ok, 4));
    world.becomes(handle, SocketState::PeerDone, 768);
    assert_eq!((receive(99), world.word()), (Status::Ok, 3));
    let mut text = [0; 3];
    assert!(world.copy_in(BYTES, &mut text));
    assert_eq!(&text, b"two");
    assert_eq!(receive(99), Status::NotConnected);
}

#[test]
fn a_datagram_is_whole_or_waits_and_says_who_sent_it() {
    let world = World::new();
    let handle = world.open(SocketKind::Datagram);
    let from = SocketAddress { address: [10, 0, 2, 2], port: 5683, reserved: 0 };
    world.arrive(handle, &[9; 100]);
    world.with(|m| m.sockets.find(handle).unwrap().1.from = from);
    let receive = |len: u32| {
        assert!(world.copy_out(WORD, &len.to_le_bytes()));
        world.call(slot::SOCKET_RECEIVE_FROM, [handle, BASE + 16, BYTES, WORD])
    };
    assert_eq!(receive(99), Status::BufferTooSmall);
    assert_eq!((receive(100), world.word()), (Status::Ok, 100));
    let mut address = [0; 8];
    assert!(world.copy_in(BASE + 16, &mut address));
    assert_eq!(SocketAddress::from_bytes(address), Some(from));
    assert_eq!(receive(100), Status::NothingPending);
}

#[test]
fn a_datagram_goes_to_hosts_alone_and_never_without_a_network() {
    let world = World::new();
    let handle = world.open(SocketKind::Datagram);
    world.becomes(handle, SocketState::Open, DATAGRAM_LEN);
    let send = |address: [u8; 4], port: u16, len: u32| {
        assert!(world.copy_out(BASE + 16, &SocketAddress { address, port, reserved: 0 }.to_bytes()));
        world.call(slot::SOCKET_SEND_TO, [handle, BASE + 16, BYTES, len])
    };
    assert_eq!(send([127, 0, 0, 1], 53, 4), Status::NotConnected, "no network yet");
    assert_eq!(send([10, 0, 2, 2], 5683, 1153), Status::ArgumentRefused);
    assert_eq!(send([10, 0, 2, 2], 5683, 1152), Status::Ok);
    assert_eq!(send([10, 0, 2, 2], 5683, 1), Status::Busy);
    assert_eq!(world.call(slot::SOCKET_SEND, [handle, BYTES, 4, WORD]), Status::NotConnected);
}

#[test]
fn names_are_printable_and_one_goes_at_a_time() {
    let world = World::new();
    let (first, second) = (world.open(SocketKind::Stream), world.open(SocketKind::Stream));
    let connect = |handle: u32, host: &[u8], port: u32| {
        assert!(world.copy_out(BYTES, host));
        world.call(slot::SOCKET_CONNECT, [handle, BYTES, u32::try_from(host.len()).unwrap(), port])
    };
    for (host, port) in [(&b"a b"[..], 80), (b"a\0", 80), (b"\xFF", 80), (b"a", 0), (b"a", 65_536)] {
        assert_eq!(connect(first, host, port), Status::ArgumentRefused, "{host:?} {port}");
    }
    assert_eq!(connect(first, &[b'a'; 254], 80), Status::ArgumentRefused);
    assert_eq!(connect(first, &[b'a'; 253], 65_535), Status::Ok);
    assert_eq!(connect(first, b"again", 80), Status::ArgumentRefused, "it is on its way");
    assert_eq!(connect(second, b"other", 80), Status::Busy);
    assert_eq!(world.call(slot::SOCKET_CLOSE, [first, 0, 0, 0]), Status::Ok);
    assert_eq!(connect(second, b"other", 80), Status::Ok, "the first gave its turn up");
}

#[test]
fn local_ports_are_the_applications_own_and_each_has_one_socket() {
    let world = World::new();
    let (stream, first, second) =
        (world.open(SocketKind::Stream), world.open(SocketKind::Datagram), world.open(SocketKind::Datagram));
    let bind = |handle: u32, port: u32| world.call(slot::SOCKET_BIND, [handle, port, 0, 0]);
    for port in [0, 53, 68, 1023, 32_768, 49_152, 65_535, 65_536, u32::MAX] {
        assert_eq!(bind(first, port), Status::ArgumentRefused, "{port}");
    }
    assert_eq!(bind(stream, 5683), Status::ArgumentRefused);
    assert_eq!((bind(first, 5683), bind(second, 5683)), (Status::Ok, Status::ArgumentRefused));
    assert_eq!(bind(second, 5684), Status::Ok);
}

#[test]
fn the_end_of_the_application_takes_its_sockets_and_what_it_had_not_sent() {
    let world = World::new();
    let handle = world.connected();
    assert_eq!(world.call(slot::SOCKET_SEND, [handle, BYTES, 16, WORD]), Status::Ok);
    assert_eq!(world.call(slot::NETWORK_REQUEST, [0; 4]), Status::Ok);
    world.with(|m| m.application_ended());
    assert_eq!(world.call(slot::SOCKET_STATUS_READ, [handle, BYTES, 0, 0]), Status::VersionUnknown);
    assert!(world.copy_out(BYTES, &1u32.to_le_bytes()));
    assert_eq!(world.call(slot::SOCKET_STATUS_READ, [handle, BYTES, 0, 0]), Status::HandleUnknown);
    world.with(|m| assert!(m.sockets.out_len == 0 && m.sockets.desks[0].orders.abort && m.sockets.wait()));
    assert_eq!(world.call(slot::NETWORK_RELEASE, [0; 4]), Status::NothingPending);
    assert_ne!(world.open(SocketKind::Stream), handle);
}

#[test]
fn events_of_one_socket_share_a_notification() {
    let world = World::new();
    world.with(|m| {
        for events in [1, 2, 8] {
            m.announce_socket(5, Rose { handle: 0x11, events });
        }
        m.announce_socket(6, Rose { handle: 0x22, events: 4 });
        m.reveal();
    });
    let take = || {
        let taken = world.with(|m| m.peek_notification()).unwrap();
        world.with(|m| m.drop_notification());
        taken.value
    };
    assert_eq!(take(), 0x11 | 11 << SOCKET_EVENT_SHIFT);
    assert_eq!(take(), 0x22 | 4 << SOCKET_EVENT_SHIFT);
    assert_eq!(world.with(|m| m.peek_notification()), None);
}

/// Whoever is told of a change reads the state that it led to.
#[test]
fn an_event_of_a_socket_shows_nothing_that_was_announced_before_it() {
    let world = World::new();
    let peek = || world.with(|m| m.peek_notification().map(|seen| (seen.kind, seen.value)));
    world.with(|m| {
        m.set_notification_line(Some(5));
        m.announce(5, NotificationKind::NetworkChanged, 0);
        m.announce_socket(5, Rose { handle: 0x11, events: 1 });
    });
    assert_eq!(peek(), None);
    assert_eq!(world.with(|m| m.reveal()), Some(5));
    assert_eq!(peek(), Some((NotificationKind::NetworkChanged as u32, 0)));
    world.with(|m| m.drop_notification());
    world.with(|m| m.announce_socket(6, Rose { handle: 0x11, events: 8 }));
    assert_eq!(peek().map(|(_, value)| value), Some(0x11 | 9 << SOCKET_EVENT_SHIFT));
    let lines = [(); 2].map(|()| world.with(|m| m.reveal()));
    assert_eq!(lines, [Some(5), None], "told with one that waits, and pended all the same");
}
