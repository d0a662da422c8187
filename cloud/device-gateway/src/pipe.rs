//! The bytes of one link on their way, and the clocks that say when something is overdue.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use bulkhead_cloud_api::Timestamp;
use bulkhead_link_protocol::{DeviceMessage, Frame, LENGTH_PREFIX_LEN, PLAINTEXT_LEN_MAX};
use bulkhead_link_session::server::{ServerSession, SessionError};
use tokio::time::Instant;

use crate::directory::Counters;
use crate::limits::{Limits, TokenBucket};
use crate::outbox::Outbox;

/// What may be done with what came.
pub(crate) enum Received {
    /// A whole frame lies in the buffer and may be opened.
    Whole(Range<usize>),
    /// More bytes are needed.
    Incomplete,
    /// The device speaks faster than it may; until this moment it is not read.
    Throttled(Instant),
}

/// Buffers, session and clocks of a link. An idle link holds no buffers.
pub(crate) struct Pipe {
    session: ServerSession,
    pub(crate) wire_in: Vec<u8>,
    wire_out: Vec<u8>,
    written: usize,
    frames: TokenBucket,
    throttled_until: Option<Instant>,
    pub(crate) started: Instant,
    pub(crate) heard: Instant,
    pub(crate) pinged: bool,
    write_began: Instant,
}

impl Pipe {
    pub(crate) fn new(session: ServerSession, limits: &Limits, now: Instant) -> Self {
        Self {
            session,
            wire_in: Vec::new(),
            wire_out: Vec::new(),
            written: 0,
            frames: TokenBucket::new(limits.frames_per_s, limits.frame_burst, now),
            throttled_until: None,
            started: now,
            heard: now,
            pinged: false,
            write_began: now,
        }
    }

    /// Looks whether a frame may be opened now.
    pub(crate) fn received(&mut self, counters: &Counters) -> Result<Received, SessionError> {
        if let Some(until) = self.throttled_until {
            if Instant::now() < until {
                return Ok(Received::Throttled(until));
            }
            self.throttled_until = None;
        }
        let Some(frame) = whole_frame(&self.wire_in)? else {
            if self.wire_in.is_empty() {
                self.wire_in = Vec::new();
            }
            return Ok(Received::Incomplete);
        };
        let now = Instant::now();
        if let Err(wait) = self.frames.take(now) {
            counters.frames_throttled.fetch_add(1, Ordering::Relaxed);
            let until = now + wait;
            self.throttled_until = Some(until);
            return Ok(Received::Throttled(until));
        }
        counters.frames_in.fetch_add(1, Ordering::Relaxed);
        Ok(Received::Whole(frame))
    }

    /// Opens the frame at `span`, which [`Self::received`] found, and takes it off the buffer.
    pub(crate) fn open<'p>(
        &mut self,
        span: Range<usize>,
        plaintext: &'p mut [u8; PLAINTEXT_LEN_MAX],
    ) -> Result<Frame<DeviceMessage<'p>>, SessionError> {
        let end = span.end;
        let opened = self.session.open(self.wire_in.get(span).unwrap_or_default(), plaintext)?;
        self.wire_in.drain(..end);
        Ok(opened)
    }

    /// Takes note of bytes that were read.
    pub(crate) fn heard(&mut self, count: usize, counters: &Counters) {
        (self.heard, self.pinged) = (Instant::now(), false);
        counters.last_heard_at.store(Timestamp::now().0, Ordering::Relaxed);
        add(&counters.bytes_in, count);
    }

    /// Seals the next message if everything before it is gone; `false` if there is none to send.
    pub(crate) fn fill(&mut self, outbox: &mut Outbox, counters: &Counters) -> Result<bool, SessionError> {
        if self.is_writing() {
            return Ok(true);
        }
        (self.wire_out, self.written) = (Vec::new(), 0);
        let (session, wire_out) = (&mut self.session, &mut self.wire_out);
        let Some(sealed) = outbox.pop(|message| session.seal(message, wire_out)) else { return Ok(false) };
        sealed?;
        self.write_began = Instant::now();
        counters.frames_out.fetch_add(1, Ordering::Relaxed);
        Ok(true)
    }

    pub(crate) fn is_writing(&self) -> bool {
        self.written < self.wire_out.len()
    }

    /// Where bytes are read to and written from, at once.
    pub(crate) fn buffers(&mut self) -> (&mut Vec<u8>, &[u8]) {
        (&mut self.wire_in, self.wire_out.get(self.written..).unwrap_or_default())
    }

    /// Takes note of bytes that were written.
    pub(crate) fn wrote(&mut self, count: usize, counters: &Counters) {
        self.written += count;
        self.write_began = Instant::now();
        add(&counters.bytes_out, count);
    }

    /// When the device has kept our bytes for too long; `None` while nothing waits.
    pub(crate) fn stuck_at(&self, limits: &Limits) -> Option<Instant> {
        self.is_writing().then(|| self.write_began + limits.write_timeout)
    }
}

/// Where the first ciphertext of `wire` lies; `None` while it is not whole.
fn whole_frame(wire: &[u8]) -> Result<Option<Range<usize>>, SessionError> {
    let Some(prefix) = wire.first_chunk::<LENGTH_PREFIX_LEN>() else { return Ok(None) };
    let end = LENGTH_PREFIX_LEN + ServerSession::ciphertext_len(*prefix)?;
    Ok((wire.len() >= end).then_some(LENGTH_PREFIX_LEN..end))
}

fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
}
