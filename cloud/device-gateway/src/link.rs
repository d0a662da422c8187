//! The task of one link: reads, answers, writes, and notices when nobody is there any more.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bulkhead_cloud_api::{DeviceId, Timestamp};
use bulkhead_fleet_store::{Admission, ProgressReport, StoreError};
use bulkhead_link_protocol::{Command, GoAway, LENGTH_PREFIX_LEN, PLAINTEXT_LEN_MAX, Ping, ServerMessage};
use bulkhead_link_session::server::{ServerSession, SessionError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Sleep};

use crate::Shared;
use crate::accept::read_to_end;
use crate::directory::{Counters, ToLink};
use crate::limits::TokenBucket;
use crate::outbox::{Full, Outbox};

/// Bytes read from the socket at once.
const READ_LEN: usize = 2048;
/// Longest wait before progress within a stage is written to the store.
pub(crate) const PROGRESS_PERIOD: Duration = Duration::from_millis(250);
/// How often the task looks at its clocks.
const TICK: Duration = Duration::from_millis(250);
/// Commands whose outcome is awaited at once.
const COMMANDS_MAX: usize = 16;

/// When something is to be written to the store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Due {
    /// At once, whatever the limits.
    Now,
    /// As soon as the device's limit allows; until then newer words replace older ones.
    IfAllowed,
}

/// Why a link ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The device closed it or the network broke.
    Closed,
    /// No byte for longer than allowed.
    Silent,
    /// The device does not read what it is sent.
    Stuck,
    /// Another link of the same device took over.
    Replaced,
    /// We sent it away.
    SentAway(&'static str),
    /// It broke the protocol.
    Protocol(&'static str),
    /// A frame is forged or malformed.
    Session(SessionError),
    /// Our own failure.
    Store(StoreError),
}

impl From<SessionError> for End {
    fn from(error: SessionError) -> Self {
        Self::Session(error)
    }
}

impl From<Full> for End {
    fn from(_: Full) -> Self {
        Self::Stuck
    }
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => f.write_str("connection closed"),
            Self::Silent => f.write_str("nothing heard for too long"),
            Self::Stuck => f.write_str("device does not read"),
            Self::Replaced => f.write_str("replaced by a newer connection"),
            Self::SentAway(why) => write!(f, "sent away: {why}"),
            Self::Protocol(what) => write!(f, "protocol broken: {what}"),
            Self::Session(error) => write!(f, "protocol broken: {error}"),
            Self::Store(error) => write!(f, "server failure: {error}"),
        }
    }
}

/// What the task knows of its device.
pub(crate) struct Link {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: DeviceId,
    pub(crate) device_key: [u8; 32],
    pub(crate) admission: Admission,
    /// Set by `Hello`; nothing else is understood before it.
    pub(crate) reported: Option<bulkhead_cloud_api::ReportedState>,
    pub(crate) outbox: Outbox,
    /// Progress that is not yet written to the store.
    pub(crate) progress: Option<ProgressReport>,
    /// Whether `reported` changed since it was last written to the store.
    pub(crate) state_changed: bool,
    /// Bounds what one device may make the store write.
    pub(crate) stored_changes: TokenBucket,
    pub(crate) progress_written_at: Instant,
    pub(crate) bundle: Option<([u8; 32], Arc<bulkhead_fleet_store::BundleObjects>)>,
    pub(crate) offered: Option<[u8; 32]>,
    commands: HashMap<u32, oneshot::Sender<bool>>,
    next_command: u32,
    ending: Option<&'static str>,
    counters: Arc<Counters>,
    /// Set once the link is in the directory.
    epoch: Option<u64>,
    inbox: Option<mpsc::Receiver<ToLink>>,
}

pub(crate) async fn run(
    shared: Arc<Shared>,
    stream: TcpStream,
    session: ServerSession,
    address: SocketAddr,
    device_key: [u8; 32],
    admission: Admission,
) {
    let id = crate::device_id(&device_key);
    let counters = Arc::new(Counters::new(address.to_string(), Timestamp::now()));
    let now = Instant::now();
    let mut link = Link {
        shared: shared.clone(),
        id,
        device_key,
        admission,
        reported: None,
        outbox: Outbox::default(),
        progress: None,
        state_changed: false,
        stored_changes: TokenBucket::new(
            shared.limits.stored_changes_per_s,
            shared.limits.stored_change_burst,
            now,
        ),
        progress_written_at: now,
        bundle: None,
        offered: None,
        commands: HashMap::new(),
        next_command: 1,
        ending: None,
        counters,
        epoch: None,
        inbox: None,
    };
    let end = link.drive(stream, session).await;
    let was_current = link.epoch.is_some_and(|epoch| shared.directory.leave(id, epoch));
    link.farewell(&end, was_current).await;
}

impl Link {
    async fn drive(&mut self, mut stream: TcpStream, mut session: ServerSession) -> End {
        let counters = self.counters.clone();
        let mut inbox = None;
        let limits = self.shared.limits;
        let started = Instant::now();
        let mut bucket = TokenBucket::new(limits.frames_per_s, limits.frame_burst, started);
        let mut throttled_until: Option<Instant> = None;
        let (mut read, mut write) = stream.split();
        let (mut wire_in, mut wire_out) = (Vec::with_capacity(READ_LEN), Vec::with_capacity(READ_LEN));
        let (mut written, mut plaintext) = (0, [0; PLAINTEXT_LEN_MAX]);
        let (mut heard, mut pinged, mut write_began) = (started, false, started);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            // Everything whole that came is handled, as fast as its device may speak and we can answer.
            let held = loop {
                if throttled_until.is_some_and(|until| Instant::now() < until) {
                    break true;
                }
                if !self.outbox.has_room_for_span() {
                    break true;
                }
                let frame = match whole_frame(&wire_in) {
                    Ok(Some(frame)) => frame,
                    Ok(None) => break false,
                    Err(error) => return error.into(),
                };
                if let Err(wait) = bucket.take(Instant::now()) {
                    counters.frames_throttled.fetch_add(1, Ordering::Relaxed);
                    throttled_until = Some(Instant::now() + wait);
                    break true;
                }
                throttled_until = None;
                counters.frames_in.fetch_add(1, Ordering::Relaxed);
                let ciphertext = wire_in.get(frame.clone()).unwrap_or_default();
                let opened = session.open(ciphertext, &mut plaintext);
                let received = match opened {
                    Ok(frame) => self.receive(frame).await,
                    Err(error) => Err(error.into()),
                };
                if let Err(end) = received {
                    return end;
                }
                wire_in.drain(..frame.end);
                inbox = inbox.or_else(|| self.inbox.take());
            };
            if written == wire_out.len() {
                wire_out.clear();
                written = 0;
                if let Some(sealed) = self.outbox.pop(|message| session.seal(message, &mut wire_out)) {
                    if let Err(error) = sealed {
                        return error.into();
                    }
                    write_began = Instant::now();
                    counters.frames_out.fetch_add(1, Ordering::Relaxed);
                } else if let Some(why) = self.ending {
                    let _ = write.shutdown().await;
                    read_to_end(&mut read).await;
                    return End::SentAway(why);
                }
            }
            let wake: Sleep =
                tokio::time::sleep_until(throttled_until.unwrap_or(started + Duration::from_secs(1 << 30)));
            tokio::select! {
                // A device that may not speak now is simply not read: TCP makes it wait.
                count = read.read_buf(&mut wire_in), if !held => match count {
                    Ok(0) | Err(_) => return End::Closed,
                    Ok(count) => {
                        (heard, pinged) = (Instant::now(), false);
                        counters.last_heard_at.store(Timestamp::now().0, Ordering::Relaxed);
                        add(&counters.bytes_in, count);
                    }
                },
                count = write.write(wire_out.get(written..).unwrap_or_default()), if written < wire_out.len() => match count {
                    Ok(0) | Err(_) => return End::Closed,
                    Ok(count) => {
                        written += count;
                        write_began = Instant::now();
                        add(&counters.bytes_out, count);
                    }
                },
                message = next_message(&mut inbox) => {
                    let Some(message) = message else { return End::Replaced };
                    if let Err(end) = self.obey(message).await {
                        return end;
                    }
                }
                () = wake => {}
                _ = tick.tick() => {
                    if let Err(end) = self.flush(Due::IfAllowed).await {
                        return end;
                    }
                    let now = Instant::now();
                    if self.reported.is_none() && now > started + limits.handshake_timeout {
                        return End::Protocol("no hello in time");
                    }
                    if written < wire_out.len() && now > write_began + limits.write_timeout {
                        return End::Stuck;
                    }
                    let silence = now.saturating_duration_since(heard);
                    if !held && silence > limits.keepalive + limits.pong_timeout {
                        return End::Silent;
                    }
                    if !held && silence > limits.keepalive && !pinged {
                        pinged = true;
                        if let Err(full) = self.outbox.push_control(ServerMessage::Ping(Ping { token: 0 })) {
                            return full.into();
                        }
                    }
                }
            }
        }
    }

    /// Puts the link into the directory, where it replaces an older one of the same device.
    ///
    /// Only once a sealed frame was opened: the first handshake message can be replayed by anybody who saw it,
    /// and must not be able to end the device's true link.
    pub(crate) fn enter_directory(&mut self) {
        let (epoch, inbox) = self.shared.directory.enter(self.id, self.counters.clone(), &self.shared.limits);
        (self.epoch, self.inbox) = (Some(epoch), Some(inbox));
    }

    /// Does what the API asks.
    async fn obey(&mut self, message: ToLink) -> Result<(), End> {
        match message {
            ToLink::TargetChanged => self.offer_target().await,
            ToLink::Command { kind, reply } => {
                if self.commands.len() >= COMMANDS_MAX {
                    // Dropping `reply` tells the caller that no answer came.
                    return Ok(());
                }
                let id = self.next_command;
                self.next_command = self.next_command.wrapping_add(1);
                self.commands.insert(id, reply);
                self.outbox.push_control(ServerMessage::Command(Command { id, kind }))?;
                Ok(())
            }
            ToLink::GoAway { reconnect_in_s, reason } => {
                self.outbox.clear_spans();
                self.outbox.push_control(ServerMessage::GoAway(GoAway { reconnect_in_s }))?;
                self.ending = Some(reason);
                Ok(())
            }
            ToLink::Replaced => Err(End::Replaced),
        }
    }

    pub(crate) fn command_done(&mut self, id: u32, accepted: bool) {
        if let Some(reply) = self.commands.remove(&id) {
            let _ = reply.send(accepted);
        }
    }

    async fn farewell(&mut self, end: &End, was_current: bool) {
        let last_heard = Timestamp(self.counters.last_heard_at.load(Ordering::Relaxed));
        if let Err(error) = self.flush(Due::Now).await {
            tracing::error!(device_id = %self.id, reason = %error, "state or progress could not be written");
        }
        match end {
            End::Store(error) => {
                tracing::error!(%error, device_id = %self.id, "link ended by our own failure")
            }
            End::Protocol(_) | End::Session(_) => {
                tracing::warn!(device_id = %self.id, reason = %end, "link ended")
            }
            _ => tracing::info!(device_id = %self.id, reason = %end, "link ended"),
        }
        if self.reported.is_none() {
            return;
        }
        let store = &self.shared.store;
        let written = async {
            store.record_last_seen(self.id, last_heard).await?;
            // A replaced link is no absence.
            if was_current {
                let data = serde_json::json!({ "reason": end.to_string() });
                store.append_event("device-offline", Some(self.id), data, Timestamp::now()).await?;
            }
            Ok::<(), StoreError>(())
        };
        if let Err(error) = written.await {
            tracing::error!(%error, device_id = %self.id, "end of link could not be written");
        }
    }
}

/// The next message of the API; never, before the link is in the directory.
async fn next_message(inbox: &mut Option<mpsc::Receiver<ToLink>>) -> Option<ToLink> {
    match inbox {
        Some(inbox) => inbox.recv().await,
        None => std::future::pending().await,
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
