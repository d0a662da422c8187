//! Whom an application talks to: a message of the server's always waits for it, its own are stored, it has a
//! configuration, and what it sends to the ports that this names comes back.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use anyhow::{Context, Result};
use bulkhead_link_protocol::{
    ConfigEntry, ConfigOffer, DeviceMessage, MessageDown, MessageStored, ServerMessage,
};
use bulkhead_link_session::server::ServerSession;

/// Its configuration's revision, and its keys in their order.
const REVISION: u32 = 1;
const KEYS: [&str; 2] = ["peer", "secret"];
/// What a device is sent, as long as the buffer of the rows of the matrix.
const BODY: [u8; 64] = [b'm'; 64];

/// Ports that send back what they are sent, and the server's part of messages and configuration.
#[derive(Debug)]
pub struct Peer {
    /// Both ports as the value of a key: UDP, TCP, little-endian.
    ports: [u8; 4],
    /// Messages that the device has finished.
    n_finished: AtomicU32,
}

impl Peer {
    /// Opens the ports, which go on until the program ends.
    ///
    /// # Errors
    /// No port is free.
    pub fn open() -> Result<Self> {
        let datagrams = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
        let streams = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
        let [udp, tcp] = [datagrams.local_addr()?.port(), streams.local_addr()?.port()].map(u16::to_le_bytes);
        thread::spawn(move || return_datagrams(&datagrams));
        thread::spawn(move || {
            for stream in streams.incoming().flatten() {
                thread::spawn(move || return_bytes(stream));
            }
        });
        Ok(Self { ports: [udp[0], udp[1], tcp[0], tcp[1]], n_finished: AtomicU32::new(0) })
    }

    /// A link begins: the message that was not finished is sent again.
    ///
    /// # Errors
    /// It cannot be sealed.
    pub(crate) fn welcome(&self, session: &mut ServerSession, out: &mut Vec<u8>) -> Result<()> {
        let number = self.n_finished.load(Ordering::Relaxed) + 1;
        let message = MessageDown { number, topic: 1, bytes: BODY.as_slice().into() };
        Ok(session.seal(&ServerMessage::Message(message), out)?)
    }

    /// Answers what belongs to messages and configuration.
    ///
    /// # Errors
    /// It cannot be sealed.
    pub(crate) fn answer(
        &self,
        message: &DeviceMessage<'_>,
        session: &mut ServerSession,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        match message {
            DeviceMessage::Message(up) => {
                let stored = MessageStored { run: up.run, number: up.number };
                session.seal(&ServerMessage::MessageStored(stored), out)?;
            }
            DeviceMessage::MessageFinished(finished) => {
                self.n_finished.fetch_max(finished.number, Ordering::Relaxed);
                self.welcome(session, out)?;
            }
            DeviceMessage::ConfigState(state) if state.revision != REVISION => {
                let offer = ConfigOffer { revision: REVISION, entries: u32::try_from(KEYS.len())? };
                session.seal(&ServerMessage::ConfigOffer(offer), out)?;
            }
            DeviceMessage::ConfigFetch(fetch) => {
                let Some(key) = KEYS.get(usize::try_from(fetch.index)?) else { return Ok(()) };
                let (revision, index, value) =
                    (fetch.revision, fetch.index, Some(self.ports.as_slice().into()));
                let entry = ConfigEntry { revision, index, key, version: 1, secret: index > 0, value };
                session.seal(&ServerMessage::ConfigEntry(entry), out)?;
            }
            _ => {}
        }
        Ok(())
    }
}

fn return_datagrams(socket: &UdpSocket) {
    let mut datagram = [0; 2048];
    while let Ok((len, from)) = socket.recv_from(&mut datagram) {
        let _ = socket.send_to(datagram.get(..len).unwrap_or_default(), from);
    }
}

fn return_bytes(mut stream: TcpStream) {
    let mut bytes = [0; 2048];
    while let Ok(len @ 1..) = stream.read(&mut bytes) {
        if stream.write_all(bytes.get(..len).unwrap_or_default()).is_err() {
            return;
        }
    }
}
