//! Whatever a GDB sends is answered or refused, with the true agent behind the server, and nothing of it panics.
#![no_main]

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc::{self, Sender};

use bulkhead_fuzz::Debugged;
use bulkhead_gdb_server::{
    Arrived, Control, Device, FromGdb, Packets, Reaction, SendError, Session, ToDevice, frame,
};

/// A device in this process. Its application stops as soon as it runs.
struct InProcess {
    debugged: Rc<RefCell<Debugged>>,
    to_loop: Sender<Arrived>,
    stop: u8,
}

impl ToDevice for InProcess {
    fn send(&mut self, message: &[u8]) -> Result<(), SendError> {
        let mut debugged = self.debugged.borrow_mut();
        let mut said = debugged.ask(message);
        for _ in 0..4 {
            self.stop = self.stop.wrapping_add(2);
            let stop = self.stop;
            said.extend(debugged.stop(stop));
        }
        for message in said {
            let _ = self.to_loop.send(Arrived::Device(message));
        }
        // Where the application still runs nothing more comes: a server that waits is told at once.
        if debugged.application.running {
            let _ = self.to_loop.send(Arrived::DeviceGone("it runs".into()));
        }
        Ok(())
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (to_loop, arrived) = mpsc::channel();
    let debugged = Rc::new(RefCell::new(Debugged::new(bytes)));
    let device = InProcess { debugged: Rc::clone(&debugged), to_loop, stop: bytes.len() as u8 };
    let mut session = Session::new(Device::new(Box::new(device)), arrived);
    if session.attach(None).is_err() {
        return;
    }
    // Once as raw bytes, once as the content of packets that are whole, one a line.
    let whole: Vec<u8> = bytes.split(|byte| *byte == b'\n').flat_map(frame).collect();
    let mut packets = Packets::default();
    for byte in bytes.iter().chain(&whole) {
        if let Some(FromGdb::Packet(packet)) = packets.push(*byte) {
            // Some of it comes from a client that only looks.
            let control = if packet.len() % 5 == 4 { Control::Looks } else { Control::Full };
            match session.answer(&packet, control) {
                Ok(Reaction::Answer(_) | Reaction::Told(..)) => {}
                Ok(Reaction::Runs) => {
                    if session.settle().is_err() {
                        return;
                    }
                }
                Ok(Reaction::Leaves(_)) | Err(_) => return,
            }
        }
    }
});
