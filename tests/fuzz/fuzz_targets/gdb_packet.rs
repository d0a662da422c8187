//! Whatever a GDB sends is answered or refused, and nothing of it panics.
#![no_main]

use std::sync::mpsc;

use bulkhead_gdb_server::{Device, FromGdb, Packets, SendError, Session, ToDevice, frame};

/// A device that is gone: packets that need it end the session.
struct Gone;

impl ToDevice for Gone {
    fn send(&mut self, _: &[u8]) -> Result<(), SendError> {
        Err(SendError("gone".into()))
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (_sender, arrived) = mpsc::channel();
    let mut session = Session::new(Device::new(Box::new(Gone)), arrived);
    // Once as raw bytes, once as the content of a packet that is whole.
    let mut packets = Packets::default();
    for byte in bytes.iter().chain(&frame(bytes)) {
        if let Some(FromGdb::Packet(packet)) = packets.push(*byte) {
            let _ = session.answer(&packet);
        }
    }
});
