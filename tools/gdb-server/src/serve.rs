//! The loop between GDBs and the device.
//!
//! The first GDB that attaches has control: it stops the application and lets it run. Others that attach meanwhile look: they
//! read memory, also while the application runs, and are told that it stands still, so that they do not wait.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender};
use std::thread;
use std::time::Duration;

use bulkhead_debug_protocol::RefusalReason;

use crate::device::{Device, DeviceError};
use crate::elf::Elf;
use crate::load::Loader;
use crate::packet::{FromGdb, PACKET_LEN_MAX, Packets, frame};
use crate::reunion::Rejoined;
use crate::session::{Control, Reaction, Session};

/// How long the end of the client that has control may take to be seen, where another one is already there.
const HANDOVER: Duration = Duration::from_millis(100);

/// What the loop waits for.
#[derive(Debug)]
pub enum Arrived {
    /// A GDB connected.
    Client(TcpStream),
    /// Bytes from it; the number tells one connection from another.
    Gdb(u64, Vec<u8>),
    /// It is gone.
    GdbGone(u64),
    /// A message from the device.
    Device(Vec<u8>),
    /// The link is lost, and why; whoever carries messages tries to have it back.
    DeviceAway(String),
    /// It is back, in a new tunnel.
    DeviceBack,
    /// The session with the device is over, and why.
    DeviceGone(String),
    /// Whoever started this server wants it to end.
    Enough,
}

/// A GDB that is connected.
struct Client {
    stream: TcpStream,
    number: u64,
    control: Control,
    packets: Packets,
    acknowledges: bool,
    /// The application runs, and its stop is what GDB waits for.
    awaits_stop: bool,
}

impl Client {
    fn send(&mut self, data: &[u8]) {
        // A GDB that is gone is told by its reader.
        let _ = self.stream.write_all(&frame(data));
    }
}

/// All that the loop holds.
struct Server<'n> {
    session: Session,
    clients: Vec<Client>,
    count: u64,
    sender: Sender<Arrived>,
    note: &'n mut dyn FnMut(&str),
}

/// What a server is made of.
pub struct Serving<'e> {
    /// The device.
    pub device: Device,
    /// The two ends of one channel; whoever reads from the device sends there too.
    pub channel: (Sender<Arrived>, Receiver<Arrived>),
    /// The program that the device is believed to run.
    pub elf: Option<&'e Elf>,
    /// Who loads programs, if anybody may.
    pub loader: Option<Box<dyn Loader>>,
}

/// Serves GDB on `listener` until the session with the device ends; returns why it did. `note` is told what a person may
/// want to know.
///
/// # Errors
/// [`DeviceError`]: the session broke.
pub fn serve(
    listener: TcpListener,
    serving: Serving<'_>,
    note: &mut dyn FnMut(&str),
) -> Result<String, DeviceError> {
    let Serving { device, channel: (sender, arrived), elf, loader } = serving;
    let to_loop = sender.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if to_loop.send(Arrived::Client(stream)).is_err() {
                return;
            }
        }
    });
    let mut session = Session::new(device, arrived);
    if let Some(loader) = loader {
        session.set_loader(loader);
    }
    let mut server = Server { session, clients: Vec::new(), count: 0, sender, note };
    while let Some(next) = server.session.next() {
        if let Some(why) = server.heed(next, elf)? {
            return Ok(why);
        }
    }
    Ok("nobody is left".into())
}

impl Server<'_> {
    /// `Some`: it is over, and why.
    fn heed(&mut self, next: Arrived, elf: Option<&Elf>) -> Result<Option<String>, DeviceError> {
        match next {
            Arrived::Client(stream) => self.welcome(stream, elf)?,
            Arrived::Gdb(from, bytes) => self.bytes(from, &bytes)?,
            Arrived::GdbGone(from) => self.part(from, "is gone")?,
            Arrived::Device(message) => {
                self.session.hear(&message)?;
                self.tell_stop()?;
            }
            Arrived::DeviceAway(why) => {
                self.session.lost();
                (self.note)(&format!("{why}; trying for a minute to have it back"));
            }
            Arrived::DeviceBack if self.clients.is_empty() => {
                self.session.back();
                (self.note)("the device is back");
            }
            Arrived::DeviceBack => {
                match self.session.rejoin() {
                    Ok(rejoined) => self.session.rejoined = Some(rejoined),
                    Err(DeviceError::Away) => {}
                    Err(error) => return Err(error),
                }
                self.tell_rejoined();
                self.tell_stop()?;
            }
            Arrived::DeviceGone(why) => return Ok(Some(why)),
            Arrived::Enough => {
                // Without it the device would wait a minute for us to come back.
                if !self.clients.is_empty() {
                    self.session.detach()?;
                }
                return Ok(Some("it was ended here".into()));
            }
        }
        Ok(None)
    }

    /// Tells a person that the link is back, whoever noticed.
    fn tell_rejoined(&mut self) {
        match self.session.rejoined.take() {
            Some(Rejoined::Same) => (self.note)("the device is back, and the session goes on"),
            Some(Rejoined::Restarted) => (self.note)(
                "the device is back and its application was restarted; breakpoints are in place again",
            ),
            None => {}
        }
    }

    fn has_master(&self) -> bool {
        self.clients.iter().any(|client| client.control == Control::Full)
    }

    fn welcome(&mut self, stream: TcpStream, elf: Option<&Elf>) -> Result<(), DeviceError> {
        let Ok(reading) = stream.try_clone() else { return Ok(()) };
        if let Some(master) = self.clients.iter().find(|client| client.control == Control::Full) {
            // The one that has control may be gone, and its end on its way.
            if self.session.ends_within(master.number, HANDOVER) {
                let number = master.number;
                self.part(number, "is gone")?;
            }
        }
        let _ = stream.set_nodelay(true);
        self.count += 1;
        let control = if self.has_master() { Control::Looks } else { Control::Full };
        match control {
            Control::Full => match self.session.attach(elf) {
                Ok(Some(false)) => {
                    (self.note)(
                        "the ELF file does not match what the device runs: names and lines will be wrong",
                    );
                }
                Ok(_) => {}
                Err(error @ (DeviceError::Away | DeviceError::Refused(_))) => {
                    (self.note)(&format!("a debugger was turned away: {error}"));
                    return Ok(());
                }
                Err(error) => return Err(error),
            },
            Control::Looks => {}
        }
        (self.note)(match control {
            Control::Full => "a debugger is connected, and the application stands still",
            Control::Looks => "another debugger is connected; it only looks",
        });
        read_from(reading, self.count, self.sender.clone());
        self.clients.push(Client {
            stream,
            number: self.count,
            control,
            packets: Packets::default(),
            acknowledges: true,
            awaits_stop: false,
        });
        Ok(())
    }

    /// A client leaves.
    fn part(&mut self, number: u64, how: &str) -> Result<(), DeviceError> {
        let Some(at) = self.clients.iter().position(|client| client.number == number) else { return Ok(()) };
        let client = self.clients.remove(at);
        if client.control == Control::Looks {
            (self.note)(&format!("a debugger that only looked {how}"));
            return Ok(());
        }
        match self.session.detach() {
            // The device lets the application go by itself when nobody comes back, or has done so.
            Ok(()) | Err(DeviceError::Away | DeviceError::Refused(RefusalReason::NoSession)) => {}
            Err(error) => return Err(error),
        }
        if !self.clients.is_empty() {
            self.session.look()?;
        }
        (self.note)(&format!("the debugger {how}, and the application runs"));
        Ok(())
    }

    fn bytes(&mut self, from: u64, bytes: &[u8]) -> Result<(), DeviceError> {
        for (at, byte) in bytes.iter().enumerate() {
            let Some(client) = self.clients.iter_mut().find(|client| client.number == from) else {
                return Ok(());
            };
            match client.packets.push(*byte) {
                None => {}
                Some(FromGdb::Interrupt) if client.control == Control::Looks => {}
                Some(FromGdb::Interrupt) => match self.session.interrupt() {
                    // Who cannot be stopped is shown standing at once.
                    Ok(()) => self.tell_stop()?,
                    Err(DeviceError::Away) => {}
                    Err(error) => return Err(error),
                },
                Some(FromGdb::Damaged) => {
                    let _ = client.stream.write_all(b"-");
                }
                Some(FromGdb::Packet(packet)) => {
                    self.packet(from, &packet, bytes.get(at + 1..).unwrap_or_default())?;
                }
            }
        }
        Ok(())
    }

    /// `behind`: what came with it.
    fn packet(&mut self, from: u64, packet: &[u8], behind: &[u8]) -> Result<(), DeviceError> {
        let Some(client) = self.clients.iter_mut().find(|client| client.number == from) else {
            return Ok(());
        };
        if client.acknowledges {
            let _ = client.stream.write_all(b"+");
        }
        let reaction = self.session.answer(packet, client.control)?;
        client.acknowledges &= packet != b"QStartNoAckMode";
        self.tell_rejoined();
        let Some(client) = self.clients.iter_mut().find(|client| client.number == from) else {
            return Ok(());
        };
        // GDB asks one thing after the other. If it has asked the next, it has given up waiting for this answer (after
        // some seconds, `set remotetimeout`), and would take it for the answer to that.
        let is_awaited = !begins_packet(behind) && !self.session.has_asked_again(from);
        match reaction {
            Reaction::Answer(_) | Reaction::Told(..) if !is_awaited => Ok(()),
            Reaction::Answer(answer) => {
                client.send(&answer);
                // Whatever made it stop, a command of another client for example, GDB may wait for it.
                self.tell_stop()
            }
            Reaction::Runs => {
                client.awaits_stop = true;
                // A short run may be over already.
                self.session.settle()?;
                self.tell_stop()
            }
            Reaction::Told(words, answer) => {
                client.send(format!("O{}", crate::transfer::hex(words.as_bytes())).as_bytes());
                client.send(&answer);
                Ok(())
            }
            Reaction::Leaves(answer) => {
                client.send(&answer);
                self.part(from, "left")
            }
        }
    }

    /// Tells GDB of a stop, if there is one and it waits.
    fn tell_stop(&mut self) -> Result<(), DeviceError> {
        let Some(client) = self.clients.iter_mut().find(|client| client.awaits_stop) else { return Ok(()) };
        // GDB listens to what it is to print only while the application runs.
        for part in self.session.take_console().chunks(PACKET_LEN_MAX / 4) {
            client.send(format!("O{}", crate::transfer::hex(part)).as_bytes());
        }
        let words = self.session.stop_words();
        if let Some(packet) = self.session.stop_packet()? {
            if let Some(words) = words {
                client.send(format!("O{}", crate::transfer::hex(words.as_bytes())).as_bytes());
            }
            client.send(&packet);
            client.awaits_stop = false;
        }
        Ok(())
    }
}

/// Whether a packet begins in `bytes`, which follow one.
pub(crate) fn begins_packet(bytes: &[u8]) -> bool {
    bytes.contains(&b'$')
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
