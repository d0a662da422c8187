//! The loop between one GDB at a time and the device.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender};
use std::thread;

use crate::device::{Device, DeviceError};
use crate::elf::Elf;
use crate::packet::{FromGdb, PACKET_LEN_MAX, Packets, frame};
use crate::session::{Reaction, Session};

/// What the loop waits for.
#[derive(Debug)]
pub enum Arrived {
    /// A GDB connected.
    Client(TcpStream),
    /// Bytes from it; the number tells one connection from the one before.
    Gdb(u64, Vec<u8>),
    /// It is gone.
    GdbGone(u64),
    /// A message from the device.
    Device(Vec<u8>),
    /// The session with the device is over, and why.
    DeviceGone(String),
}

/// The GDB that is connected.
struct Client {
    stream: TcpStream,
    number: u64,
    packets: Packets,
    acknowledges: bool,
    last: Vec<u8>,
    /// The application runs, and its stop is what GDB waits for.
    awaits_stop: bool,
}

impl Client {
    fn send(&mut self, data: &[u8]) {
        self.last = frame(data);
        // A GDB that is gone is told by its reader.
        let _ = self.stream.write_all(&self.last);
    }
}

/// Serves GDB on `listener` until the session with the device ends; returns why it did.
///
/// `sender` and `arrived` are the two ends of one channel; whoever reads from the device sends there too. `note` is
/// told what a person may want to know.
///
/// # Errors
/// [`DeviceError`]: the session broke.
pub fn serve(
    listener: TcpListener,
    device: Device,
    (sender, arrived): (Sender<Arrived>, Receiver<Arrived>),
    elf: Option<&Elf>,
    note: &mut dyn FnMut(&str),
) -> Result<String, DeviceError> {
    let to_loop = sender.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if to_loop.send(Arrived::Client(stream)).is_err() {
                return;
            }
        }
    });
    let mut session = Session::new(device, arrived);
    let mut client: Option<Client> = None;
    let mut number = 0;
    while let Some(next) = session.next() {
        match next {
            Arrived::Client(stream) if client.is_some() => {
                note("a second debugger was turned away: one at a time");
                let _ = stream.shutdown(Shutdown::Both);
            }
            Arrived::Client(stream) => {
                number += 1;
                let Ok(reading) = stream.try_clone() else { continue };
                let _ = stream.set_nodelay(true);
                if session.attach(elf)? == Some(false) {
                    note("the ELF file does not match what the device runs: names and lines will be wrong");
                }
                note("a debugger is connected, and the application stands still");
                read_from(reading, number, sender.clone());
                client = Some(Client {
                    stream,
                    number,
                    packets: Packets::default(),
                    acknowledges: true,
                    last: Vec::new(),
                    awaits_stop: false,
                });
            }
            Arrived::Gdb(from, bytes) => {
                let Some(current) = client.as_mut().filter(|client| client.number == from) else { continue };
                if heed(&mut session, current, &bytes)? == Heeded::Left {
                    client = None;
                    note("the debugger left, and the application runs");
                }
            }
            Arrived::GdbGone(from) => {
                if client.take_if(|client| client.number == from).is_some() {
                    session.detach()?;
                    note("the debugger is gone, and the application runs");
                }
            }
            Arrived::Device(message) => {
                session.hear(&message)?;
                let Some(current) = client.as_mut().filter(|client| client.awaits_stop) else { continue };
                tell_stop(&mut session, current);
            }
            Arrived::DeviceGone(why) => return Ok(why),
        }
    }
    Ok("nobody is left".into())
}

/// Hands what GDB sends to the loop, for as long as it sends.
fn read_from(mut stream: TcpStream, number: u64, to_loop: Sender<Arrived>) {
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(len @ 1..) = stream.read(&mut buffer) {
            let bytes = buffer.get(..len).unwrap_or_default().to_vec();
            if to_loop.send(Arrived::Gdb(number, bytes)).is_err() {
                return;
            }
        }
        let _ = to_loop.send(Arrived::GdbGone(number));
    });
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Heeded {
    Stays,
    Left,
}

fn heed(session: &mut Session, client: &mut Client, bytes: &[u8]) -> Result<Heeded, DeviceError> {
    for byte in bytes {
        match client.packets.push(*byte) {
            None => {}
            Some(FromGdb::Interrupt) => {
                session.interrupt()?;
                if client.awaits_stop {
                    tell_stop(session, client);
                }
            }
            Some(FromGdb::Again) => {
                let _ = client.stream.write_all(&client.last);
            }
            Some(FromGdb::Damaged) => {
                let _ = client.stream.write_all(b"-");
            }
            Some(FromGdb::Packet(packet)) => {
                if client.acknowledges {
                    let _ = client.stream.write_all(b"+");
                }
                match session.answer(&packet)? {
                    Reaction::Answer(answer) => client.send(&answer),
                    Reaction::Runs => {
                        client.awaits_stop = true;
                        // A short run may be over already.
                        session.settle()?;
                        tell_stop(session, client);
                    }
                    Reaction::Leaves(answer) => {
                        client.send(&answer);
                        return Ok(Heeded::Left);
                    }
                }
                client.acknowledges &= packet != b"QStartNoAckMode";
            }
        }
    }
    Ok(Heeded::Stays)
}

/// Has GDB print what there is to print. It listens to that only while the application runs.
fn tell_console(session: &mut Session, client: &mut Client) {
    for part in session.take_console().chunks(PACKET_LEN_MAX / 4) {
        client.send(format!("O{}", crate::transfer::hex(part)).as_bytes());
    }
}

/// Tells GDB of a stop, if there is one.
fn tell_stop(session: &mut Session, client: &mut Client) {
    tell_console(session, client);
    let words = session.stop_words();
    if let Some(packet) = session.stop_packet() {
        if let Some(words) = words {
            client.send(format!("O{}", crate::transfer::hex(words.as_bytes())).as_bytes());
        }
        client.send(&packet);
        client.awaits_stop = false;
    }
}
