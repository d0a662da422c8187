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

use super::SLOTS;
use crate::calls::{ApplicationMemory, MailboxAccess, dispatch};
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

    /// One millisecond, as the executor spends it.
    fn step(&self) {
        let world = &mut *self.world.borrow_mut();
        let now_ms = world.now_ms;
        self.with(|m| m.sockets.network = world.stack.network());
        let stack = world.stack.application();
        self.with(|m| m.sockets.carry_out(stack, now_ms));
        for index in 0..SLOTS {
            self.with(|m| {
                if let Some(rose) = m.sockets.bring_in(index, stack) {
                    m.notify_socket(now_ms, rose);
                }
            });
        }
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
        self.copy_out(BYTES, &1u32.to_le_bytes());
        assert_eq!(self.call(slot::SOCKET_STATUS_READ, [handle, BYTES, 0, 0]), Status::Ok);
        let mut state = [0; 4];
        self.copy_in(BYTES + 4, &mut state);
        u32::from_le_bytes(state)
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
