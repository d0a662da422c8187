//! From a system call to a peer on a simulated wire, and back.

#![expect(clippy::indexing_slicing, reason = "tests: a panic is their failure")]
extern crate std;

#[path = "../../../network-stack/tests/simulated/mod.rs"]
mod simulated;

use core::cell::RefCell;
use std::boxed::Box;
use std::vec::Vec;

use bulkhead_syscall_abi::{
    NotificationKind, SOCKET_EVENT_SHIFT, SOCKET_HANDLE_MASK, SocketEvent, SocketKind, SocketState, Status,
    slot,
};

use super::{SLOTS, STREAMS};
use crate::calls::witness::dispatch;
use crate::calls::{ApplicationMemory, MailboxAccess};
use crate::mailbox::Mailbox;
use simulated::{ECHO, World, answer};

/// An application's memory at 0x1000, its mailbox, and the network around the device.
struct Device {
    memory: RefCell<[u8; 4096]>,
    mailbox: RefCell<Mailbox>,
    world: RefCell<World>,
}

const WORD: u32 = 0x1000;
const BYTES: u32 = 0x1100;

impl ApplicationMemory for Device {
    fn copy_in(&self, address: u32, out: &mut [u8]) -> bool {
        let start = address as usize - 0x1000;
        out.copy_from_slice(self.memory.borrow().get(start..start + out.len()).unwrap());
        true
    }
    fn copy_out(&self, address: u32, bytes: &[u8]) -> bool {
        let start = address as usize - 0x1000;
        self.memory.borrow_mut().get_mut(start..start + bytes.len()).unwrap().copy_from_slice(bytes);
        true
    }
    fn owns_line(&self, _: u32) -> bool {
        false
    }
}

impl MailboxAccess for Device {
    fn with<R>(&self, work: impl FnOnce(&mut Mailbox) -> R) -> R {
        work(&mut self.mailbox.borrow_mut())
    }
}

impl Device {
    fn new() -> Self {
        let world = World::new(Box::new(|query| std::vec![answer(query, 3, &[])]));
        Self {
            memory: RefCell::new([0; 4096]),
            mailbox: RefCell::new(Mailbox::new()),
            world: RefCell::new(world),
        }
    }

    /// One millisecond, as the worker spends it.
    fn step(&self) {
        self.step_between(&mut || {});
    }

    /// The same; the application runs in between, wherever interrupts are not masked.
    fn step_between(&self, between: &mut dyn FnMut()) {
        let world = &mut *self.world.borrow_mut();
        let now_ms = world.now_ms;
        self.with(|m| m.sockets.network = world.stack.network());
        let stack = world.stack.application();
        self.with(|m| m.sockets.carry_orders(stack, now_ms));
        between();
        while self.with(|m| m.sockets.carry_next(stack)) {
            between();
        }
        between();
        self.with(|m| m.sockets.carry_ends(stack, now_ms));
        for index in 0..SLOTS {
            between();
            self.with(|m| {
                if let Some(rose) = m.sockets.bring_in(index, stack) {
                    m.announce_socket(now_ms, rose);
                }
            });
        }
        self.with(|m| m.reveal());
        world.step();
    }

    fn call(&self, slot: u32, arguments: [u32; 4]) -> Status {
        dispatch(slot, arguments, || 0, self, self)
    }

    fn word(&self) -> u32 {
        let mut bytes = [0; 4];
        self.copy_in(WORD, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn open(&self, kind: SocketKind) -> u32 {
        assert_eq!(self.call(slot::SOCKET_OPEN, [kind as u32, WORD, 0, 0]), Status::Ok);
        self.word()
    }

    fn connect(&self, handle: u32) {
        self.copy_out(BYTES, b"10.0.2.2");
        assert_eq!(self.call(slot::SOCKET_CONNECT, [handle, BYTES, 8, ECHO.into()]), Status::Ok);
        for _ in 0..100 {
            self.step();
            if self.state(handle) == SocketState::Connected as u32 {
                return;
            }
        }
        panic!("not connected");
    }

    fn state(&self, handle: u32) -> u32 {
        self.status(handle, 4)
    }

    fn local_port(&self, handle: u32) -> u32 {
        self.status(handle, 20)
    }

    /// The field of the status that lies there.
    fn status(&self, handle: u32, offset: u32) -> u32 {
        self.copy_out(BYTES, &1u32.to_le_bytes());
        assert_eq!(self.call(slot::SOCKET_STATUS_READ, [handle, BYTES, 0, 0]), Status::Ok);
        let mut field = [0; 4];
        self.copy_in(BYTES + offset, &mut field);
        u32::from_le_bytes(field)
    }

    /// Does something once, at each of the moments of a slice in which the application runs.
    fn at_each_moment(mut work: impl FnMut(&Self, &mut dyn FnMut(&Self, &mut dyn FnMut()))) {
        for moment in 0..SLOTS {
            let device = Self::new();
            work(&device, &mut |device, once| {
                let mut turn = 0;
                device.step_between(&mut || {
                    if turn == moment {
                        once();
                    }
                    turn += 1;
                });
                device.step();
            });
        }
    }

    fn send(&self, handle: u32, bytes: &[u8]) -> Result<usize, Status> {
        self.copy_out(BYTES, bytes);
        let len = u32::try_from(bytes.len()).unwrap();
        match self.call(slot::SOCKET_SEND, [handle, BYTES, len, WORD]) {
            Status::Ok => Ok(self.word() as usize),
            other => Err(other),
        }
    }

    fn receive(&self, handle: u32) -> Result<Vec<u8>, Status> {
        match self.call(slot::SOCKET_RECEIVE, [handle, BYTES, 1200, WORD]) {
            Status::Ok => {
                let mut bytes = std::vec![0; self.word() as usize];
                if !bytes.is_empty() {
                    self.copy_in(BYTES, &mut bytes);
                }
                Ok(bytes)
            }
            other => Err(other),
        }
    }

    /// The events of a socket that were told since the last look.
    fn told(&self, handle: u32) -> Vec<u32> {
        let mut told = Vec::new();
        while let Some(one) = self.with(|m| m.peek_notification()) {
            self.with(|m| m.drop_notification());
            assert_eq!(one.kind, NotificationKind::SocketChanged as u32);
            if one.value & SOCKET_HANDLE_MASK == handle {
                told.push(one.value >> SOCKET_EVENT_SHIFT);
            }
        }
        told
    }
}

#[test]
fn bytes_of_four_streams_go_to_the_peer_and_come_back_in_order() {
    let device = Device::new();
    let handles = [(); 4].map(|()| device.open(SocketKind::Stream));
    for handle in handles {
        device.connect(handle);
    }
    let byte = |stream: usize, at: usize| u8::try_from((at * 7 + at / 256 + stream) % 256).unwrap();
    let (mut sent, mut received) = ([0; 4], [0; 4]);
    for _ in 0..5_000 {
        for (stream, handle) in handles.into_iter().enumerate() {
            let piece: Vec<u8> =
                (sent[stream]..6_000.min(sent[stream] + 700)).map(|at| byte(stream, at)).collect();
            if !piece.is_empty() {
                match device.send(handle, &piece) {
                    Ok(taken) => sent[stream] += taken,
                    Err(status) => assert_eq!(status, Status::Busy),
                }
            }
            match device.receive(handle) {
                Ok(bytes) => {
                    for got in bytes {
                        assert_eq!(got, byte(stream, received[stream]), "stream {stream}");
                        received[stream] += 1;
                    }
                }
                Err(status) => assert_eq!(status, Status::NothingPending),
            }
        }
        device.step();
    }
    assert_eq!(received, [6_000; 4]);
}

#[test]
fn what_rises_is_told_once_and_again_only_after_it_fell() {
    let device = Device::new();
    let handle = device.open(SocketKind::Stream);
    device.connect(handle);
    let (readable, writable) = (SocketEvent::Readable as u32, SocketEvent::Writable as u32);
    assert_eq!(device.told(handle), [SocketEvent::Connected as u32 | writable]);
    for _ in 0..50 {
        assert_eq!(device.send(handle, b"echo"), Ok(4));
        device.step();
    }
    assert_eq!(device.told(handle), [readable], "fifty echoes that nobody takes are told once");
    while device.receive(handle).is_ok() {}
    assert_eq!(device.send(handle, b"more"), Ok(4));
    for _ in 0..5 {
        device.step();
    }
    assert_eq!(device.told(handle), [readable]);
    // The peer's window closes, then ours: a send without room is told when there is room again, and not before.
    while device.receive(handle).is_ok() {}
    for _ in 0..200 {
        let _ = device.send(handle, &[1; 512]);
        device.step();
    }
    device.told(handle);
    assert_eq!(device.send(handle, &[1; 512]), Err(Status::Busy));
    for _ in 0..20 {
        device.step();
    }
    assert!(device.told(handle).iter().all(|events| events & writable == 0), "there is no room");
    for _ in 0..200 {
        while device.receive(handle).is_ok() {}
        device.step();
    }
    assert!(device.told(handle).iter().any(|events| events & writable != 0));
}

#[test]
fn a_closed_socket_delivers_what_it_was_given_and_then_is_free() {
    let device = Device::new();
    let handles = [(); 4].map(|()| device.open(SocketKind::Stream));
    for handle in handles {
        device.connect(handle);
    }
    assert_eq!(device.send(handles[0], b"last words"), Ok(10));
    assert_eq!(device.call(slot::SOCKET_CLOSE, [handles[0], 0, 0, 0]), Status::Ok);
    assert_eq!(device.call(slot::SOCKET_OPEN, [1, WORD, 0, 0]), Status::LimitReached);
    for _ in 0..50 {
        device.step();
    }
    let sent = device.world.borrow().wire.borrow().sent.clone();
    assert!(sent.iter().any(|frame| frame.ends_with(b"last words")));
    let next = device.open(SocketKind::Stream);
    assert!(!handles.contains(&next));
    device.connect(next);
}

#[test]
fn the_end_of_the_application_resets_its_streams_and_frees_every_slot() {
    let device = Device::new();
    let handle = device.open(SocketKind::Stream);
    device.connect(handle);
    device.open(SocketKind::Datagram);
    device.world.borrow().wire.borrow_mut().sent.clear();
    device.with(|m| m.application_ended());
    for _ in 0..5 {
        device.step();
    }
    let sent = device.world.borrow().wire.borrow().sent.clone();
    // TCP's flags are the byte 13 behind an IPv4 header of 20 behind an Ethernet header of 14.
    assert!(sent.iter().any(|frame| frame.get(47).is_some_and(|flags| flags & 4 != 0)), "no reset was sent");
    assert!(!device.with(|m| m.sockets.any()));
    for kind in [SocketKind::Stream, SocketKind::Stream, SocketKind::Datagram, SocketKind::Datagram] {
        device.open(kind);
    }
}

#[test]
fn a_datagram_goes_to_the_peer_and_its_answer_comes_back_whole() {
    let device = Device::new();
    let handle = device.open(SocketKind::Datagram);
    device.connect(handle);
    for len in [0, 1, 1152] {
        assert_eq!(device.send(handle, &std::vec![5; len]), Ok(len));
        assert_eq!(device.send(handle, b"x"), Err(Status::Busy), "one at a time");
        for _ in 0..5 {
            device.step();
        }
        assert_eq!(device.receive(handle), Ok(std::vec![5; len]));
        assert_eq!(device.receive(handle), Err(Status::NothingPending));
    }
}

#[test]
fn an_application_that_sends_at_any_moment_of_a_slice_loses_nothing() {
    const TOTAL: usize = 30_000;
    let device = Device::new();
    let handles: Vec<u32> = (0..STREAMS).map(|_| device.open(SocketKind::Stream)).collect();
    handles.iter().for_each(|handle| device.connect(*handle));
    let byte = |stream: usize, at: usize| (at + 77 * stream).wrapping_mul(2_654_435_761).to_le_bytes()[3];
    let mut sent = [0; STREAMS];
    let mut back: [Vec<u8>; STREAMS] = std::array::from_fn(|_| Vec::new());
    for _ in 0..20_000 {
        let mut turn = 0;
        device.step_between(&mut || {
            let stream = turn % STREAMS;
            turn += 1;
            let len = (TOTAL - sent[stream]).min(300 + 7 * turn);
            let piece: Vec<u8> = (0..len).map(|n| byte(stream, sent[stream] + n)).collect();
            if len > 0
                && let Ok(taken) = device.send(handles[stream], &piece)
            {
                sent[stream] += taken;
            }
        });
        for (handle, back) in handles.iter().zip(&mut back) {
            while let Ok(bytes) = device.receive(*handle) {
                back.extend(bytes);
            }
        }
        if back.iter().all(|back| back.len() >= TOTAL) {
            break;
        }
    }
    for (stream, back) in back.iter().enumerate() {
        assert_eq!((sent[stream], back.len()), (TOTAL, TOTAL), "stream {stream}");
        assert!(back.iter().enumerate().all(|(at, seen)| *seen == byte(stream, at)), "stream {stream}");
    }
}

#[test]
fn a_socket_keeps_the_port_that_it_was_bound_to_at_any_moment_of_a_slice() {
    Device::at_each_moment(|device, in_a_slice| {
        let handle = device.open(SocketKind::Datagram);
        device.step();
        in_a_slice(device, &mut || {
            assert_eq!(device.call(slot::SOCKET_BIND, [handle, 5683, 0, 0]), Status::Ok);
        });
        assert_eq!(device.local_port(handle), 5683);
        device.connect(handle);
        assert_eq!(device.send(handle, b"from"), Ok(4));
        for _ in 0..5 {
            device.step();
        }
        let sent = device.world.borrow().wire.borrow().sent.clone();
        // UDP's source port is the first thing behind an IPv4 header of 20 behind an Ethernet header of 14.
        let frame = sent.iter().rfind(|frame| frame.ends_with(b"from")).unwrap();
        assert_eq!(frame.get(34..36), Some(&5683_u16.to_be_bytes()[..]));
    });
}

#[test]
fn a_socket_that_is_opened_at_any_moment_of_a_slice_has_nothing_of_the_one_before() {
    Device::at_each_moment(|device, in_a_slice| {
        let before = device.open(SocketKind::Datagram);
        assert_eq!(device.call(slot::SOCKET_BIND, [before, 5683, 0, 0]), Status::Ok);
        device.step();
        assert_eq!(device.call(slot::SOCKET_CLOSE, [before, 0, 0, 0]), Status::Ok);
        device.step();
        let mut handle = 0;
        in_a_slice(device, &mut || handle = device.open(SocketKind::Datagram));
        let port = device.local_port(handle);
        assert!(port > 32_767, "{port} was chosen for nobody");
    });
}

#[test]
fn who_said_that_all_was_sent_is_not_told_to_try_again() {
    let device = Device::new();
    let handle = device.open(SocketKind::Stream);
    device.connect(handle);
    // The peer hears nothing from here on, so that its answer does not end the stream.
    device.world.borrow().wire.borrow_mut().lose_one_of = 1;
    assert_eq!(device.call(slot::SOCKET_SHUTDOWN, [handle, 0, 0, 0]), Status::Ok);
    for turn in 0..5 {
        assert_eq!(device.send(handle, b"more"), Err(Status::NotConnected), "turn {turn}");
        device.step();
    }
    assert_eq!(device.state(handle), SocketState::Connected as u32);
}
