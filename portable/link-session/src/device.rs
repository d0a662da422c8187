//! The device's end of one link.

use bulkhead_link_protocol::{
    DeviceMessage, Frame, FrameError, HANDSHAKE_1_LEN, HANDSHAKE_2_LEN, LENGTH_PREFIX_LEN, LINK_VERSION,
    Lane, PLAINTEXT_LEN_MAX, Ping, REFUSAL_LEN, REKEY_FRAMES, ServerMessage, TAG_LEN, Wire, decode, encode,
};
use clatter::cipherstate::{CipherState, CipherStates};
use clatter::crypto::cipher::ChaChaPoly;

use crate::closed::{Closed, RefusalReason};
use crate::handshake::{Handshake, HandshakeDone, HandshakeJob, LinkKeys, Outcome, Step};
use crate::keepalive::Keepalive;
use crate::lane_queue::LaneQueue;
use crate::{
    APPLICATION_QUEUE_LEN, CONTROL_QUEUE_LEN, CRASH_QUEUE_LEN, DEBUG_QUEUE_LEN, FRAME_LEN_MAX,
    FRAME_TIMEOUT_MS, HANDSHAKE_TIMEOUT_MS, LOG_QUEUE_LEN, PING_TIMEOUT_MS, UPDATE_QUEUE_LEN,
};

/// Shortest ciphertext of a frame: lane, kind and tag.
const CIPHERTEXT_LEN_MIN: usize = 2 + TAG_LEN;

/// What a session has to tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// The handshake ended: the server holds the pinned key. Send `Hello` now.
    Established,
    /// The server said something. Keepalives are answered by the session and not shown.
    Message(ServerMessage<'a>),
    /// The session is over: close the connection and ask [`crate::Reconnect`]. Told once.
    Closed(Closed),
}

/// Why a message was not queued. Nothing of it was kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SendError {
    /// There is no link at this moment.
    NotEstablished,
    /// The message's lane is full; try again after [`DeviceSession::poll_transmit`].
    LaneFull,
    /// The message is too long for a frame: the caller's mistake.
    TooLong,
}

enum State {
    /// The first step of the handshake waits to be run.
    FirstJob { keys: LinkKeys, ephemeral: [u8; 32] },
    /// A job is out.
    JobOut,
    /// The first message is out; the second one is awaited.
    AwaitSecond(Handshake),
    /// The second message is in; its step waits to be run.
    SecondJob { handshake: Handshake, message: [u8; HANDSHAKE_2_LEN] },
    /// Frames flow.
    Established { send: CipherState<ChaChaPoly>, receive: CipherState<ChaChaPoly> },
    /// Over.
    Closed,
}

/// One connection of a device, without the socket.
///
/// Order of calls, in any loop: run the handshake job when there is one; hand received bytes to [`Self::receive`] and
/// drain [`Self::poll_event`] until it has nothing; send what [`Self::poll_transmit`] writes; call
/// [`Self::handle_timeout`] when [`Self::poll_timeout`] has come. All times are milliseconds of one steady clock.
pub struct DeviceSession {
    state: State,
    receiving: Receiving,
    sending: Sending,
    control: LaneQueue<CONTROL_QUEUE_LEN>,
    debug: LaneQueue<DEBUG_QUEUE_LEN>,
    application: LaneQueue<APPLICATION_QUEUE_LEN>,
    update: LaneQueue<UPDATE_QUEUE_LEN>,
    log: LaneQueue<LOG_QUEUE_LEN>,
    crash: LaneQueue<CRASH_QUEUE_LEN>,
    keepalive: Keepalive,
    established: Told,
    closed: Option<Closed>,
    deadline_ms: u64,
    last_received_ms: u64,
    frame_began_ms: u64,
    ping: Option<PingOut>,
    ping_token: u32,
    frames_sent: u64,
    frames_received: u64,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Told {
    NotYet,
    Due,
    Done,
}

struct PingOut {
    token: u32,
    sent_ms: u64,
}

/// One incoming frame, from its length field on.
struct Receiving {
    bytes: [u8; FRAME_LEN_MAX],
    have: usize,
}

/// One outgoing frame and how much of it is gone.
struct Sending {
    bytes: [u8; FRAME_LEN_MAX],
    len: usize,
    gone: usize,
}

impl DeviceSession {
    /// A session over a connection that was just opened. Cheap: the work is in the handshake jobs.
    ///
    /// `ephemeral` is 32 fresh random bytes, used for this session alone.
    pub fn new(keys: LinkKeys, ephemeral: [u8; 32], keepalive: Keepalive, now_ms: u64) -> Self {
        Self {
            state: State::FirstJob { keys, ephemeral },
            receiving: Receiving { bytes: [0; FRAME_LEN_MAX], have: 0 },
            sending: Sending { bytes: [0; FRAME_LEN_MAX], len: 0, gone: 0 },
            control: LaneQueue::new(),
            debug: LaneQueue::new(),
            application: LaneQueue::new(),
            update: LaneQueue::new(),
            log: LaneQueue::new(),
            crash: LaneQueue::new(),
            keepalive,
            established: Told::NotYet,
            closed: None,
            deadline_ms: now_ms.saturating_add(HANDSHAKE_TIMEOUT_MS),
            last_received_ms: now_ms,
            frame_began_ms: now_ms,
            ping: None,
            ping_token: 0,
            frames_sent: 0,
            frames_received: 0,
        }
    }

    /// Takes the handshake step that waits to be run, if one does. Give its result to
    /// [`Self::finish_handshake_job`].
    pub fn take_handshake_job(&mut self) -> Option<HandshakeJob> {
        match core::mem::replace(&mut self.state, State::JobOut) {
            State::FirstJob { keys, ephemeral } => Some(HandshakeJob(Step::First { keys, ephemeral })),
            State::SecondJob { handshake, message } => {
                Some(HandshakeJob(Step::Second { handshake, message }))
            }
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Takes the result of a job in. Ignored if the session closed meanwhile.
    pub fn finish_handshake_job(&mut self, done: HandshakeDone, now_ms: u64) {
        if !matches!(self.state, State::JobOut) {
            return;
        }
        match done.0 {
            Outcome::First { handshake, message } => {
                self.sending.start_handshake(&message);
                self.state = State::AwaitSecond(handshake);
            }
            Outcome::Second(CipherStates { initiator_to_responder, responder_to_initiator }) => {
                self.state =
                    State::Established { send: initiator_to_responder, receive: responder_to_initiator };
                self.established = Told::Due;
                self.last_received_ms = now_ms;
            }
            Outcome::Failed => self.close(Closed::HandshakeFailed),
        }
    }

    /// Runs the waiting handshake step here and now; `false` if there is none.
    pub fn run_handshake_step(&mut self, now_ms: u64) -> bool {
        let Some(job) = self.take_handshake_job() else { return false };
        self.finish_handshake_job(job.run(), now_ms);
        true
    }

    /// Takes received bytes in and returns how many: those up to the end of one frame. The rest is to be offered
    /// again after [`Self::poll_event`]; 0 while a frame or a handshake job still waits to be dealt with.
    pub fn receive(&mut self, bytes: &[u8], now_ms: u64) -> usize {
        if matches!(self.state, State::Closed) {
            return bytes.len();
        }
        let mut taken = 0;
        for byte in bytes {
            // A frame of impossible length never completes; it closes the session in `poll_event`.
            if self.receiving.is_complete(self.is_established()) {
                break;
            }
            if self.receiving.have == 0 {
                self.frame_began_ms = now_ms;
            }
            self.receiving.push(*byte);
            taken += 1;
        }
        taken
    }

    /// The next thing to tell; `None` when all received bytes are dealt with.
    pub fn poll_event(&mut self, now_ms: u64) -> Option<Event<'_>> {
        // The first pass decides without borrowing, so that frames which tell nothing can be stepped over.
        loop {
            if self.established == Told::Due {
                self.established = Told::Done;
                return Some(Event::Established);
            }
            if let Some(closed) = self.closed.take() {
                return Some(Event::Closed(closed));
            }
            if !self.receiving.is_complete(self.is_established()) {
                return None;
            }
            match &self.state {
                State::Established { .. } => {}
                State::AwaitSecond(_) => {
                    self.take_handshake_answer();
                    continue;
                }
                // Bytes that come before their time wait for the job; those after the end are dropped.
                State::FirstJob { .. } | State::JobOut | State::SecondJob { .. } => return None,
                State::Closed => {
                    self.receiving.have = 0;
                    return None;
                }
            }
            let Some(len) = self.open_frame() else { continue };
            // Only what is authentic counts as a sign of life: bytes that drip in forever do not hold a device.
            self.last_received_ms = now_ms;
            if self.is_shown(len) {
                // Decoded once more, now to be lent out: the borrow checker cannot follow the loop otherwise.
                let plaintext = self.receiving.plaintext(len);
                return match decode::<ServerMessage<'_>>(plaintext) {
                    Ok(Frame::Known(message)) => Some(Event::Message(message)),
                    Ok(Frame::Unknown { .. }) | Err(_) => None,
                };
            }
        }
    }

    /// Queues a message behind those of its lane.
    ///
    /// # Errors
    /// [`SendError`] says why nothing was queued.
    pub fn send(&mut self, message: &DeviceMessage<'_>) -> Result<(), SendError> {
        if !self.is_established() {
            return Err(SendError::NotEstablished);
        }
        let mut plaintext = [0; PLAINTEXT_LEN_MAX];
        let len = encode(message, &mut plaintext).map_err(|_: FrameError| SendError::TooLong)?;
        let plaintext = plaintext.get(..len).ok_or(SendError::TooLong)?;
        let (lane, _) = message.lane_and_kind();
        let queued = match lane {
            Lane::Control => self.control.push(plaintext),
            Lane::Debug => self.debug.push(plaintext),
            Lane::Application => self.application.push(plaintext),
            Lane::Update => self.update.push(plaintext),
            Lane::Log => self.log.push(plaintext),
            Lane::Crash => self.crash.push(plaintext),
        };
        if queued { Ok(()) } else { Err(SendError::LaneFull) }
    }

    /// Writes what is to be sent into `out`, of any length, and returns how many bytes: 0 when there is nothing.
    /// Lower lanes first, whole frames; a frame that does not fit goes on in the next call.
    pub fn poll_transmit(&mut self, out: &mut [u8]) -> usize {
        let mut written = 0;
        while let Some(rest) = out.get_mut(written..).filter(|rest| !rest.is_empty()) {
            if self.sending.is_empty() && !self.seal_next() {
                break;
            }
            written += self.sending.drain(rest);
        }
        written
    }

    /// Whether [`Self::poll_transmit`] would write something.
    pub fn wants_to_transmit(&self) -> bool {
        let above = self.control.is_empty() && self.debug.is_empty() && self.application.is_empty();
        let queued = !(above && self.update.is_empty() && self.log.is_empty() && self.crash.is_empty());
        !self.sending.is_empty() || (self.is_established() && queued)
    }

    /// When [`Self::handle_timeout`] is to be called; `None` after the end.
    pub fn poll_timeout(&self) -> Option<u64> {
        match &self.state {
            State::Closed => None,
            State::Established { .. } => {
                let keepalive = match &self.ping {
                    Some(ping) => ping.sent_ms.saturating_add(PING_TIMEOUT_MS),
                    None => self.last_received_ms.saturating_add(self.keepalive.interval_ms()),
                };
                Some(keepalive.min(self.frame_due_ms().unwrap_or(u64::MAX)))
            }
            State::FirstJob { .. } | State::JobOut | State::AwaitSecond(_) | State::SecondJob { .. } => {
                Some(self.deadline_ms)
            }
        }
    }

    /// Does what is due: a keepalive, or the end. Calling it early does nothing.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        if self.poll_timeout().is_none_or(|due| now_ms < due) {
            return;
        }
        if !self.is_established() {
            self.close(Closed::HandshakeTimeout);
        } else if self.frame_due_ms().is_some_and(|due| due <= now_ms) {
            self.close(Closed::Silent);
        } else if self.ping.is_none() {
            self.ping_token = self.ping_token.wrapping_add(1);
            let token = self.ping_token;
            self.ping = Some(PingOut { token, sent_ms: now_ms });
            // A full lane is as good: what waits there has to be answered by TCP.
            let _ = self.send(&DeviceMessage::Ping(Ping { token }));
        } else {
            self.keepalive.died();
            self.close(Closed::Silent);
        }
    }

    /// The connection beneath ended or failed.
    pub fn connection_lost(&mut self) {
        self.close(Closed::ConnectionLost { established: self.is_established() });
    }

    /// Whether the debug lane is free for a message of any length.
    pub fn has_room_for_debug(&self) -> bool {
        self.is_established() && self.debug.is_empty()
    }

    /// Whether the crash lane is free for a piece of any length.
    pub fn has_room_for_crash(&self) -> bool {
        self.is_established() && self.crash.is_empty()
    }

    /// Whether the application's lane is free for a message of any length.
    pub fn has_room_for_application(&self) -> bool {
        self.is_established() && self.application.is_empty()
    }

    /// Whether frames flow.
    pub fn is_established(&self) -> bool {
        matches!(self.state, State::Established { .. })
    }

    /// The keepalive as learned so far; hand it to the next session on the same network.
    pub fn keepalive(&self) -> Keepalive {
        self.keepalive
    }

    /// When the frame that has begun to arrive has to be whole.
    fn frame_due_ms(&self) -> Option<u64> {
        let begun = self.receiving.have > 0 && !self.receiving.is_complete(true);
        begun.then(|| self.frame_began_ms.saturating_add(FRAME_TIMEOUT_MS))
    }

    fn close(&mut self, closed: Closed) {
        if !matches!(self.state, State::Closed) {
            self.state = State::Closed;
            self.closed = Some(closed);
            self.established = Told::Done;
            self.sending.len = 0;
            self.sending.gone = 0;
        }
    }

    fn take_handshake_answer(&mut self) {
        let received = self.receiving.take();
        match *received {
            [0, 0, r0, r1, t0, t1, t2, t3] => self.close(Closed::Refused {
                reason: RefusalReason::from_number(u16::from_be_bytes([r0, r1])),
                retry_in_s: u32::from_be_bytes([t0, t1, t2, t3]),
            }),
            [_, _, ref message @ ..] => match <[u8; HANDSHAKE_2_LEN]>::try_from(message) {
                Ok(message) => {
                    if let State::AwaitSecond(handshake) = core::mem::replace(&mut self.state, State::JobOut)
                    {
                        self.state = State::SecondJob { handshake, message };
                    }
                }
                Err(_) => self.close(Closed::HandshakeFailed),
            },
            _ => self.close(Closed::HandshakeFailed),
        }
    }

    /// Opens the complete frame in place and returns its plaintext's length; closes the session if it is not
    /// authentic.
    fn open_frame(&mut self) -> Option<usize> {
        let State::Established { receive, .. } = &mut self.state else { return None };
        let announced = self.receiving.announced().unwrap_or_default();
        let len = usize::from(announced);
        let frame = self.receiving.take();
        let Some(ciphertext) =
            frame.get_mut(LENGTH_PREFIX_LEN..).filter(|c| c.len() == len && len >= CIPHERTEXT_LEN_MIN)
        else {
            self.close(Closed::FrameLength(announced));
            return None;
        };
        let Ok(plaintext_len) = receive.decrypt_with_ad_in_place(&[], ciphertext, len) else {
            self.close(Closed::FrameForged);
            return None;
        };
        self.frames_received += 1;
        if self.frames_received.is_multiple_of(REKEY_FRAMES) && receive.rekey().is_err() {
            self.close(Closed::Exhausted);
            return None;
        }
        Some(plaintext_len)
    }

    /// Deals with what the session answers itself; whether the plaintext in the buffer is to be shown.
    fn is_shown(&mut self, len: usize) -> bool {
        let message = match decode::<ServerMessage<'_>>(self.receiving.plaintext(len)) {
            Ok(Frame::Known(message)) => message,
            Ok(Frame::Unknown { .. }) => {
                self.ping = None;
                return false;
            }
            Err(error) => {
                self.close(Closed::FrameMalformed(error));
                return false;
            }
        };
        if !matches!(message, ServerMessage::Pong(_)) {
            // Whatever was authentic shows that the server lives; only the answer itself lets the interval grow.
            self.ping = None;
        }
        match message {
            ServerMessage::Ping(ping) => {
                // A full lane means that the server pings faster than it reads: its own doing.
                let _ = self.send(&DeviceMessage::Pong(ping));
                false
            }
            ServerMessage::Pong(pong) => {
                if self.ping.take_if(|ping| ping.token == pong.token).is_some() {
                    self.keepalive.answered();
                }
                false
            }
            ServerMessage::GoAway(go_away) => {
                self.close(Closed::GoAway { reconnect_in_s: go_away.reconnect_in_s });
                false
            }
            ServerMessage::Welcome(welcome) => {
                self.keepalive.limit(welcome.keepalive_max_s);
                true
            }
            ServerMessage::Command(_)
            | ServerMessage::Offer(_)
            | ServerMessage::Chunk(_)
            | ServerMessage::Unavailable(_)
            | ServerMessage::Plan(_)
            | ServerMessage::KeySetOffer(_)
            | ServerMessage::DebugOpen(_)
            | ServerMessage::DebugFrame(_)
            | ServerMessage::DebugClose(_)
            | ServerMessage::Message(_)
            | ServerMessage::MessageStored(_)
            | ServerMessage::ConfigOffer(_)
            | ServerMessage::ConfigEntry(_)
            | ServerMessage::CrashWanted(_)
            | ServerMessage::CrashDone(_)
            | ServerMessage::Acknowledge(_) => true,
        }
    }

    /// Seals the next plaintext, lowest lane first; `false` if there is none.
    fn seal_next(&mut self) -> bool {
        let State::Established { send, .. } = &mut self.state else { return false };
        let Some(room) = self.sending.bytes.get_mut(LENGTH_PREFIX_LEN..) else { return false };
        let plaintext = room.get_mut(..PLAINTEXT_LEN_MAX).unwrap_or_default();
        let popped = self.control.pop(plaintext).or_else(|| self.debug.pop(plaintext));
        let popped = popped.or_else(|| self.application.pop(plaintext));
        let popped = popped.or_else(|| self.update.pop(plaintext));
        let popped = popped.or_else(|| self.log.pop(plaintext));
        let Some(len) = popped.or_else(|| self.crash.pop(plaintext)) else { return false };
        let sealed = send.encrypt_with_ad_in_place(&[], room, len);
        self.frames_sent += 1;
        let rekeyed = !self.frames_sent.is_multiple_of(REKEY_FRAMES) || send.rekey().is_ok();
        match sealed {
            Ok(len) if rekeyed => self.sending.start_frame(len),
            Ok(_) | Err(_) => {
                self.close(Closed::Exhausted);
                false
            }
        }
    }
}

impl Receiving {
    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(self.have) {
            *slot = byte;
            self.have += 1;
        }
    }

    fn announced(&self) -> Option<u16> {
        let [high, low, ..] = self.bytes;
        (self.have >= LENGTH_PREFIX_LEN).then(|| u16::from_be_bytes([high, low]))
    }

    /// Whether a whole frame, handshake answer or impossible length is here.
    fn is_complete(&self, established: bool) -> bool {
        let Some(announced) = self.announced() else { return false };
        let announced = usize::from(announced);
        let wanted = match (established, announced) {
            (false, 0) => REFUSAL_LEN,
            (false, HANDSHAKE_2_LEN) => LENGTH_PREFIX_LEN + HANDSHAKE_2_LEN,
            (true, CIPHERTEXT_LEN_MIN..) if announced + LENGTH_PREFIX_LEN <= FRAME_LEN_MAX => {
                LENGTH_PREFIX_LEN + announced
            }
            _ => LENGTH_PREFIX_LEN,
        };
        self.have >= wanted
    }

    /// The bytes of what is complete; the buffer is free for the next frame once they are dealt with.
    fn take(&mut self) -> &mut [u8] {
        let have = core::mem::take(&mut self.have);
        self.bytes.get_mut(..have).unwrap_or_default()
    }

    fn plaintext(&self, len: usize) -> &[u8] {
        self.bytes.get(LENGTH_PREFIX_LEN..LENGTH_PREFIX_LEN + len).unwrap_or_default()
    }
}

impl Sending {
    fn is_empty(&self) -> bool {
        self.gone == self.len
    }

    fn start_handshake(&mut self, message: &[u8; HANDSHAKE_1_LEN]) {
        let (version, rest) = self.bytes.split_at_mut(1);
        version.copy_from_slice(&[LINK_VERSION]);
        if let Some(room) = rest.get_mut(..HANDSHAKE_1_LEN) {
            room.copy_from_slice(message);
        }
        self.gone = 0;
        self.len = 1 + HANDSHAKE_1_LEN;
    }

    /// Puts the length field before `len` bytes of ciphertext.
    fn start_frame(&mut self, len: usize) -> bool {
        let Ok(announced) = u16::try_from(len) else { return false };
        let (prefix, _) = self.bytes.split_at_mut(LENGTH_PREFIX_LEN);
        prefix.copy_from_slice(&announced.to_be_bytes());
        self.gone = 0;
        self.len = LENGTH_PREFIX_LEN + len;
        true
    }

    /// Moves as much as fits.
    fn drain(&mut self, out: &mut [u8]) -> usize {
        let waiting = self.bytes.get(self.gone..self.len).unwrap_or_default();
        let len = waiting.len().min(out.len());
        if let (Some(to), Some(from)) = (out.get_mut(..len), waiting.get(..len)) {
            to.copy_from_slice(from);
        }
        self.gone += len;
        len
    }
}
