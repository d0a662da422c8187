//! Frames from the network, in the middle of a conversation: the device has its address, a stream and a datagram socket.
//!
//! The input is frames with two bytes of length before each.
#![no_main]

#[path = "../../../device/network-stack/tests/simulated/mod.rs"]
#[allow(dead_code, unreachable_pub)]
mod simulated;

use bulkhead_network_stack::{Buffers, Sockets};
use libfuzzer_sys::fuzz_target;
use simulated::{ECHO, World, answer};

const DATAGRAMS: usize = 4;

fuzz_target!(|input: &[u8]| {
    // A stack wants its memory for ever, and a run here is over in a moment: what is lent is taken back behind its end.
    let buffers = Box::into_raw(Box::new(Buffers::new()));
    let sockets = Box::into_raw(Box::new(Sockets::new()));
    // SAFETY: both were just allocated, and nobody but this world has them until it is gone.
    converse(unsafe { (&mut *buffers, &mut *sockets) }, input);
    // SAFETY: the world that had it is gone, and the pointer is that of a box.
    drop(unsafe { Box::from_raw(buffers) });
    // SAFETY: as above.
    drop(unsafe { Box::from_raw(sockets) });
});

fn converse(memory: (&'static mut Buffers, &'static mut Sockets), input: &[u8]) {
    let mut world = World::new_in(memory, Box::new(|query| vec![answer(query, 3, &[])]));
    let now_ms = world.now_ms;
    let sockets = world.stack.application();
    sockets.open(0, 0);
    sockets.connect(0, "10.0.2.2", ECHO, now_ms);
    sockets.open(1, 0);
    sockets.connect(1, "name.example", ECHO, now_ms);
    sockets.open(DATAGRAMS, 5683);
    world.run(5);
    let mut rest = input;
    let mut buffer = [0; 1152];
    while let Some((len, bytes)) = rest.split_first_chunk::<2>() {
        let len = usize::from(u16::from_be_bytes(*len)).min(bytes.len()).min(1514);
        let (frame, after) = bytes.split_at(len);
        rest = after;
        world.wire.borrow_mut().to_device.push_back(frame.to_vec());
        world.step();
        for index in 0..DATAGRAMS {
            world.stack.application().receive(index, &mut buffer);
        }
        world.stack.application().receive_from(DATAGRAMS, &mut buffer);
    }
}
