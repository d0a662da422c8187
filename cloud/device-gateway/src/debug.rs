//! Debug sessions on their way through: bytes that are sealed between developer and device.
//!
//! The link's task knows one session at most, and of it the number alone. What it cannot hand on it does not keep: a
//! developer who does not read loses the session, never the device its link.

use bulkhead_cloud_api::DeviceId;
use bulkhead_link_protocol::{DebugClose, DebugClosed, DebugEnd, DebugFrame, ServerMessage};
use tokio::sync::mpsc;

use crate::Gateway;
use crate::inbox::Order;
use crate::link::Link;
use crate::outbox::ToDebug;

/// Messages from a device that may wait for the developer.
const EVENTS_MAX: usize = 64;

/// What comes from a device to a developer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum DebugEvent {
    /// A message of the handshake, or a sealed one.
    Frame(Vec<u8>),
    /// The session is over.
    Ended(DebugEnded),
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DebugEnded {
    /// The device says so.
    ByDevice(DebugEnd),
    /// Another session took its place.
    TakenOver,
    /// The developer's side did not read what the device sent.
    TooSlow,
    /// The developer's side sent more than the device took.
    TooFast,
}

/// What the API asks of a link's task.
pub(crate) enum DebugOrder {
    /// Begin a session, in place of one that is there.
    Open { session: u32, first: Vec<u8>, events: mpsc::Sender<DebugEvent> },
    /// Hand a sealed message on.
    Frame { session: u32, bytes: Vec<u8> },
    /// End a session.
    Close { session: u32 },
}

/// A session that a link carries. When the link ends, the sender is dropped, and that ends the session as well.
pub(crate) struct Relay {
    session: u32,
    events: mpsc::Sender<DebugEvent>,
}

/// Where the events of a session come from, and where its link's task takes them from.
pub fn debug_channel() -> (mpsc::Sender<DebugEvent>, mpsc::Receiver<DebugEvent>) {
    mpsc::channel(EVENTS_MAX)
}

impl Gateway {
    /// Begins a debug session with the first message of its handshake; `false`: the device is not connected.
    pub fn open_debug(
        &self,
        id: DeviceId,
        session: u32,
        first: Vec<u8>,
        events: mpsc::Sender<DebugEvent>,
    ) -> bool {
        let order = DebugOrder::Open { session, first, events };
        self.shared.directory.order(id, Order::Debug(order))
    }

    /// Hands a sealed message to the device; `false`: the device is not connected, and the session is over.
    pub fn send_debug(&self, id: DeviceId, session: u32, bytes: Vec<u8>) -> bool {
        self.shared.directory.order(id, Order::Debug(DebugOrder::Frame { session, bytes }))
    }

    /// Ends a debug session.
    pub fn close_debug(&self, id: DeviceId, session: u32) {
        self.shared.directory.order(id, Order::Debug(DebugOrder::Close { session }));
    }
}

impl Link {
    pub(crate) fn obey_debug(&mut self, order: DebugOrder) {
        match order {
            DebugOrder::Open { session, first, events } => {
                if let Some(older) = self.debug.replace(Relay { session, events }) {
                    let _ = older.events.try_send(DebugEvent::Ended(DebugEnded::TakenOver));
                }
                tracing::info!(device_id = %self.id, session, "debug session begins");
                self.outbox.open_debug(session, first);
            }
            DebugOrder::Frame { session, bytes } if self.carries(session) => {
                if self.outbox.push_debug(session, bytes).is_err() {
                    self.give_debug_up(DebugEnded::TooFast);
                }
            }
            DebugOrder::Close { session } if self.carries(session) => {
                self.debug = None;
                self.outbox.close_debug(session);
            }
            // Of a session that is over.
            DebugOrder::Frame { .. } | DebugOrder::Close { .. } => {}
        }
    }

    /// Ends the session, because one of its sides does not keep up with the other.
    fn give_debug_up(&mut self, why: DebugEnded) {
        let Some(Relay { session, events }) = self.debug.take() else { return };
        // Told when the developer reads on, if ever: the channel has room for it then.
        tokio::spawn(async move { events.send(DebugEvent::Ended(why)).await });
        self.outbox.close_debug(session);
    }

    fn carries(&self, session: u32) -> bool {
        self.debug.as_ref().is_some_and(|relay| relay.session == session)
    }

    pub(crate) fn debug_frame(&mut self, frame: &DebugFrame<'_>) {
        let Some(relay) = self.debug.as_ref().filter(|relay| relay.session == frame.session) else { return };
        if relay.events.try_send(DebugEvent::Frame(frame.bytes.to_vec())).is_err() {
            self.give_debug_up(DebugEnded::TooSlow);
        }
    }

    pub(crate) fn debug_closed(&mut self, closed: DebugClosed) {
        if let Some(relay) = self.debug.take_if(|relay| relay.session == closed.session) {
            let events = relay.events;
            tokio::spawn(
                async move { events.send(DebugEvent::Ended(DebugEnded::ByDevice(closed.end))).await },
            );
        }
    }
}

impl ToDebug {
    /// The message of the link.
    pub(crate) fn message(&self) -> ServerMessage<'_> {
        match self {
            Self::Open(session, first) => {
                ServerMessage::DebugOpen(DebugFrame { session: *session, bytes: first.as_slice().into() })
            }
            Self::Frame(session, bytes) => {
                ServerMessage::DebugFrame(DebugFrame { session: *session, bytes: bytes.as_slice().into() })
            }
            Self::Close(session) => ServerMessage::DebugClose(DebugClose { session: *session }),
        }
    }
}
