//! Keeps one link to the server alive: opens connections, runs sessions over them, waits between attempts.

use bulkhead_hardware_ports::{Entropy, EthernetController};
use bulkhead_link_protocol::DeviceMessage;
use bulkhead_link_session::{Closed, DeviceSession, Event, Keepalive, LinkKeys, Reconnect, ServerKey};
use bulkhead_network_stack::{Connection, NetworkStack};

use crate::configuration::ConfigurationStorage;

/// What the factory said about the server, and what the board adds.
#[derive(Clone, Copy)]
pub struct LinkSettings<'w> {
    /// The device's static X25519 private key.
    pub private_key: [u8; 32],
    /// The server's pinned public key.
    pub server_key: [u8; 32],
    /// The one that may follow it.
    pub server_key_next: Option<[u8; 32]>,
    /// The server's realm.
    pub realm_id: [u8; 16],
    /// IPv4 address or name of the server.
    pub host: &'w str,
    /// Its port.
    pub port: u16,
    /// Wait after power-up in milliseconds; see `Reconnect::power_up_delay_ms`.
    pub power_up_delay_ms: u64,
}

/// Memory of the link, placed by the board: large values never cross its stack.
pub struct LinkStorage<'w> {
    /// Room for the session, `None` at first.
    pub session: &'w mut Option<DeviceSession>,
    /// Room for what passes between the link and the configuration at rest.
    pub configuration: &'w mut ConfigurationStorage,
}

/// The link, up or on its way.
pub(crate) struct Link<'w> {
    settings: LinkSettings<'w>,
    session: &'w mut Option<DeviceSession>,
    reconnect: Reconnect,
    keepalive: Keepalive,
    opening: bool,
    next_attempt_ms: u64,
    /// The session has not taken all that arrived.
    bytes_wait: bool,
    has_address: bool,
}

impl<'w> Link<'w> {
    pub(crate) fn new(
        settings: LinkSettings<'w>,
        session: &'w mut Option<DeviceSession>,
        entropy: &mut impl Entropy,
    ) -> Self {
        let mut seed = [0; 8];
        entropy.fill(&mut seed);
        Self {
            settings,
            session,
            reconnect: Reconnect::new(u64::from_le_bytes(seed)),
            keepalive: Keepalive::default(),
            opening: false,
            next_attempt_ms: settings.power_up_delay_ms,
            bytes_wait: false,
            has_address: false,
        }
    }

    /// Opens a connection when it is time, makes a session on it, runs one step of its handshake.
    pub(crate) fn poll<E: EthernetController>(
        &mut self,
        network: &mut NetworkStack<E>,
        entropy: &mut impl Entropy,
        now_ms: u64,
    ) {
        let connection = network.connection();
        self.has_address = connection != Connection::NoAddress;
        match (self.session.as_mut(), connection) {
            (Some(session), Connection::Open) => {
                session.run_handshake_step(now_ms);
                session.handle_timeout(now_ms);
            }
            // What had arrived before the end is still to be read; `feed` reports the loss when nothing is left.
            (Some(_), _) => {}
            (None, Connection::Open) if self.opening => {
                self.start_session(entropy, now_ms);
            }
            (None, Connection::Open) => network.close(),
            (None, Connection::Opening) => {}
            (None, Connection::Closed | Connection::NoAddress) if self.opening => {
                self.opening = false;
                self.next_attempt_ms = now_ms.saturating_add(self.reconnect.unreachable());
            }
            (None, Connection::Closed) if now_ms >= self.next_attempt_ms => {
                self.opening = network.open(self.settings.host, self.settings.port, now_ms);
                if !self.opening {
                    self.next_attempt_ms = now_ms.saturating_add(self.reconnect.unreachable());
                }
            }
            (None, Connection::Closed | Connection::NoAddress) => {}
        }
    }

    /// Out of line: a session is large, and is built on the stack before it is moved to its place.
    #[inline(never)]
    fn start_session(&mut self, entropy: &mut impl Entropy, now_ms: u64) {
        self.opening = false;
        let mut ephemeral = [0; 32];
        entropy.fill(&mut ephemeral);
        let session = DeviceSession::new(self.keys(), ephemeral, self.keepalive, now_ms);
        *self.session = Some(session);
        self.bytes_wait = false;
    }

    /// Hands received bytes to the session; `false` when there are none.
    pub(crate) fn feed<E: EthernetController>(&mut self, network: &mut NetworkStack<E>, now_ms: u64) -> bool {
        let Some(session) = self.session.as_mut() else { return false };
        let mut shown = 0;
        // The session takes them from where they arrived; what it leaves waits there.
        let taken = network.receive(|bytes| {
            shown = bytes.len();
            session.receive(bytes, now_ms)
        });
        if shown == 0 && network.connection() != Connection::Open {
            session.connection_lost();
        }
        self.bytes_wait = taken < shown;
        taken > 0
    }

    /// The next event of the session.
    pub(crate) fn poll_event(&mut self, now_ms: u64) -> Option<Event<'_>> {
        self.session.as_mut()?.poll_event(now_ms)
    }

    /// The session works: the server answered.
    pub(crate) fn established(&mut self) {
        self.reconnect.established();
    }

    /// The session said that it is over.
    pub(crate) fn closed<E: EthernetController>(
        &mut self,
        closed: Closed,
        network: Option<&mut NetworkStack<E>>,
        now_ms: u64,
    ) {
        // Forgotten where it lies: taken out it would be 10 KiB of stack.
        if let Some(session) = self.session.as_ref() {
            self.keepalive = session.keepalive();
            *self.session = None;
        }
        if let Some(network) = network {
            network.close();
        }
        self.next_attempt_ms = now_ms.saturating_add(self.reconnect.closed(&closed));
    }

    /// Queues a message; `false` if there is no link or no room.
    pub(crate) fn send(&mut self, message: &DeviceMessage<'_>) -> bool {
        self.session.as_mut().is_some_and(|session| session.send(message).is_ok())
    }

    /// Whether a debug message of any length can be queued.
    pub(crate) fn has_room_for_debug(&self) -> bool {
        self.session.as_ref().is_some_and(DeviceSession::has_room_for_debug)
    }

    /// Whether a piece of a crash dump can be queued.
    pub(crate) fn has_room_for_crash(&self) -> bool {
        self.session.as_ref().is_some_and(DeviceSession::has_room_for_crash)
    }

    /// Whether a message of the application of any length can be queued.
    pub(crate) fn has_room_for_application(&self) -> bool {
        self.session.as_ref().is_some_and(DeviceSession::has_room_for_application)
    }

    /// Moves sealed frames to the network as far as it has room. Returns whether it did.
    pub(crate) fn flush<E: EthernetController>(&mut self, network: &mut NetworkStack<E>) -> bool {
        let Some(session) = self.session.as_mut() else { return false };
        let mut moved = false;
        let mut buffer = [0; 512];
        while session.wants_to_transmit() {
            let room = network.send_room().min(buffer.len());
            let Some(out) = buffer.get_mut(..room).filter(|out| !out.is_empty()) else { break };
            let len = session.poll_transmit(out);
            let Some(bytes) = out.get(..len).filter(|bytes| !bytes.is_empty()) else { break };
            // `send_room` promised that all of it is taken.
            network.send(bytes);
            moved = true;
        }
        moved
    }

    /// Whether bytes wait that the session has not taken.
    pub(crate) const fn is_busy(&self) -> bool {
        self.bytes_wait
    }

    pub(crate) const fn has_address(&self) -> bool {
        self.has_address
    }

    /// Whether the device waits before its next attempt.
    pub(crate) const fn is_backing_off(&self) -> bool {
        self.session.is_none() && !self.opening
    }

    fn keys(&self) -> LinkKeys {
        let server_public_key = match (self.reconnect.server_key(), self.settings.server_key_next) {
            (ServerKey::Next, Some(next)) => next,
            (ServerKey::Next | ServerKey::Current, _) => self.settings.server_key,
        };
        LinkKeys {
            device_private_key: self.settings.private_key,
            server_public_key,
            realm_id: self.settings.realm_id,
        }
    }
}
