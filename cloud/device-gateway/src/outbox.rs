//! What waits to be sent on one link: bounded, and the lower lane first.
//!
//! Messages wait here unsealed, because a sealed frame has its place in the order of nonces. A span that a
//! device asked for is cut into chunks only when its turn comes.

use std::collections::VecDeque;

use bulkhead_link_protocol::{CHUNK_LEN_MAX, Chunk, Fetch, ServerMessage};
use minicbor::bytes::ByteSlice;

use crate::application::ToApplication;

/// Control frames that may wait. More means that the device does not read; the link is closed.
const CONTROL_MAX: usize = 64;
/// Spans that may wait. The gateway reads nothing more from the device while so many do.
pub(crate) const SPANS_MAX: usize = 4;

/// The control lane is full.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Full;

struct Span {
    fetch: Fetch,
    bytes: Vec<u8>,
    sent: usize,
}

/// What goes to a device of a debug session.
pub(crate) enum ToDebug {
    /// The session begins.
    Open(u32, Vec<u8>),
    /// A sealed message.
    Frame(u32, Vec<u8>),
    /// The session is over.
    Close(u32),
}

/// Frames and spans of one link.
#[derive(Default)]
pub(crate) struct Outbox {
    control: VecDeque<ServerMessage<'static>>,
    debug: VecDeque<ToDebug>,
    application: VecDeque<ToApplication>,
    update: VecDeque<ServerMessage<'static>>,
    spans: VecDeque<Span>,
}

impl Outbox {
    /// Puts a control message last in its lane.
    pub(crate) fn push_control(&mut self, message: ServerMessage<'static>) -> Result<(), Full> {
        Self::push(&mut self.control, message)
    }

    /// Puts an offer or a refusal last in the update lane, before all waiting chunks.
    pub(crate) fn push_update(&mut self, message: ServerMessage<'static>) -> Result<(), Full> {
        Self::push(&mut self.update, message)
    }

    /// Begins a debug session. It takes the place of any before it, so nothing of those need be sent any more.
    pub(crate) fn open_debug(&mut self, session: u32, first: Vec<u8>) {
        self.debug.clear();
        self.debug.push_back(ToDebug::Open(session, first));
    }

    /// Puts a sealed message of the debug session last in its lane.
    pub(crate) fn push_debug(&mut self, session: u32, bytes: Vec<u8>) -> Result<(), Full> {
        if self.debug.len() >= CONTROL_MAX {
            return Err(Full);
        }
        self.debug.push_back(ToDebug::Frame(session, bytes));
        Ok(())
    }

    /// Ends a debug session. Its messages that wait still go, unless there are too many.
    pub(crate) fn close_debug(&mut self, session: u32) {
        if self.debug.len() >= CONTROL_MAX {
            // The device has to hear of the session that is closed, or it would keep the one before.
            self.debug.retain(|message| matches!(message, ToDebug::Open(..)));
        }
        self.debug.push_back(ToDebug::Close(session));
    }

    /// Puts something for the application last in its lane.
    pub(crate) fn push_application(&mut self, message: ToApplication) -> Result<(), Full> {
        if self.application.len() >= CONTROL_MAX {
            return Err(Full);
        }
        self.application.push_back(message);
        Ok(())
    }

    fn push(
        lane: &mut VecDeque<ServerMessage<'static>>,
        message: ServerMessage<'static>,
    ) -> Result<(), Full> {
        if lane.len() >= CONTROL_MAX {
            return Err(Full);
        }
        lane.push_back(message);
        Ok(())
    }

    /// Answers a fetch with `bytes`, which are exactly the span it asked for.
    pub(crate) fn push_span(&mut self, fetch: Fetch, bytes: Vec<u8>) {
        self.spans.push_back(Span { fetch, bytes, sent: 0 });
    }

    /// Forgets all that waits but for a last word.
    pub(crate) fn say_last(&mut self, message: ServerMessage<'static>) {
        *self = Self::default();
        self.control.push_back(message);
    }

    /// Forgets all chunks of `manifest`: the device asked for another bundle or was offered one.
    pub(crate) fn clear_spans(&mut self) {
        self.spans.clear();
    }

    /// Whether another span may be read from the store.
    pub(crate) fn has_room_for_span(&self) -> bool {
        self.spans.len() < SPANS_MAX
    }

    /// Hands the message that is next to `seal`; `None` if nothing waits.
    pub(crate) fn pop<T>(&mut self, seal: impl FnOnce(&ServerMessage<'_>) -> T) -> Option<T> {
        if let Some(message) = self.control.pop_front() {
            return Some(seal(&message));
        }
        if let Some(message) = self.debug.pop_front() {
            return Some(seal(&message.message()));
        }
        while let Some(message) = self.application.pop_front() {
            if let Some(message) = message.message() {
                return Some(seal(&message));
            }
        }
        if let Some(message) = self.update.pop_front() {
            return Some(seal(&message));
        }
        let span = self.spans.front_mut()?;
        let rest = span.bytes.get(span.sent..).unwrap_or_default();
        let piece = rest.get(..CHUNK_LEN_MAX).unwrap_or(rest);
        let sealed = seal(&ServerMessage::Chunk(Chunk {
            from: span.fetch.from,
            area: span.fetch.area,
            offset: span.fetch.offset.saturating_add(u32::try_from(span.sent).unwrap_or(u32::MAX)),
            bytes: <&ByteSlice>::from(piece),
        }));
        span.sent += piece.len();
        if span.sent >= span.bytes.len() {
            self.spans.pop_front();
        }
        Some(sealed)
    }
}

#[cfg(test)]
mod tests {
    use bulkhead_link_protocol::{FETCH_LEN_MAX, FetchFrom, PLAINTEXT_LEN_MAX, Ping, encode};

    use super::*;

    fn fetch(len: u32) -> Fetch {
        Fetch { manifest: [1; 32], from: FetchFrom::Area, area: 2, offset: 4096, len }
    }

    #[test]
    fn span_leaves_as_chunks_in_order_that_join_to_the_same_bytes() {
        let bytes: Vec<u8> = (0..FETCH_LEN_MAX).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
        let mut outbox = Outbox::default();
        outbox.push_span(fetch(FETCH_LEN_MAX), bytes.clone());
        let mut joined = Vec::new();
        let mut take = |message: &ServerMessage<'_>| {
            let ServerMessage::Chunk(chunk) = message else { panic!("a chunk, not {message:?}") };
            assert_eq!(usize::try_from(chunk.offset).expect("small"), 4096 + joined.len());
            assert!(encode(message, &mut [0; PLAINTEXT_LEN_MAX]).is_ok(), "fits a frame");
            joined.extend_from_slice(chunk.bytes);
        };
        while outbox.pop(&mut take).is_some() {}
        assert_eq!(joined, bytes);
    }

    #[test]
    fn control_overtakes_chunks_that_wait() {
        let mut outbox = Outbox::default();
        outbox.push_span(fetch(2000), vec![0; 2000]);
        let is_chunk = |message: &ServerMessage<'_>| matches!(message, ServerMessage::Chunk(_));
        assert_eq!(outbox.pop(is_chunk), Some(true));
        outbox.push_control(ServerMessage::Ping(Ping { token: 7 })).expect("room");
        assert_eq!(outbox.pop(is_chunk), Some(false));
        assert_eq!(outbox.pop(is_chunk), Some(true));
    }

    #[test]
    fn stop_order_of_a_developer_overtakes_chunks_and_offers_that_wait() {
        let mut outbox = Outbox::default();
        outbox.push_span(fetch(FETCH_LEN_MAX), vec![0; 8192]);
        while outbox.push_update(ServerMessage::Ping(Ping { token: 1 })).is_ok() {}
        outbox.push_debug(5, vec![9; 40]).expect("room");
        outbox.push_control(ServerMessage::Ping(Ping { token: 7 })).expect("room");
        let order = |message: &ServerMessage<'_>| match message {
            ServerMessage::Ping(ping) => format!("ping {}", ping.token),
            ServerMessage::DebugFrame(frame) => format!("debug {}", frame.bytes.len()),
            _ => "other".into(),
        };
        let first: Vec<_> = (0..3).filter_map(|_| outbox.pop(order)).collect();
        assert_eq!(first, ["ping 7", "debug 40", "ping 1"]);
    }

    #[test]
    fn debug_session_that_is_closed_on_a_full_lane_is_closed_all_the_same() {
        let name = |message: &ServerMessage<'_>| match message {
            ServerMessage::DebugOpen(frame) => format!("open {}", frame.session),
            ServerMessage::DebugFrame(_) => "frame".into(),
            ServerMessage::DebugClose(close) => format!("close {}", close.session),
            _ => "other".into(),
        };
        let mut outbox = Outbox::default();
        for session in 1..1000 {
            outbox.open_debug(session, vec![1; 96]);
            while outbox.push_debug(session, vec![2; 40]).is_ok() {}
            outbox.close_debug(session);
        }
        let sent: Vec<_> = std::iter::from_fn(|| outbox.pop(name)).collect();
        assert_eq!(sent, ["open 999", "close 999"]);
        outbox.push_debug(7, vec![2; 40]).expect("room");
        outbox.close_debug(7);
        let sent: Vec<_> = std::iter::from_fn(|| outbox.pop(name)).collect();
        assert_eq!(sent, ["frame", "close 7"]);
    }

    #[test]
    fn device_that_does_not_read_fills_no_memory() {
        let mut outbox = Outbox::default();
        let pushed = (0..1000)
            .take_while(|_| outbox.push_control(ServerMessage::Ping(Ping { token: 0 })).is_ok())
            .count();
        assert_eq!(pushed, CONTROL_MAX);
    }
}
