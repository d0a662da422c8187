//! The task of one link: reads, answers, writes, and notices when nobody is there any more.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bulkhead_cloud_api::{DeviceId, Timestamp};
use bulkhead_fleet_store::{Admission, ProgressReport, StoreError};
use bulkhead_link_protocol::{Command, CommandKind, GoAway, PLAINTEXT_LEN_MAX, Ping, ServerMessage};
use bulkhead_link_session::server::{ServerSession, SessionError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::Shared;
use crate::accept::read_to_end;
use crate::application::ApplicationLane;
use crate::debug::Relay;
use crate::directory::{Counters, Entered};
use crate::inbox::{Change, Farewell, Inbox, Order, ToLink};
use crate::limits::TokenBucket;
use crate::outbox::{Full, Outbox};
use crate::pipe::{Pipe, Received};
use crate::planner::Patches;
use crate::plans::Plans;

/// Longest wait before progress within a stage is written to the store.
pub(crate) const PROGRESS_PERIOD: Duration = Duration::from_millis(250);
/// Commands whose outcome is awaited at once.
const COMMANDS_MAX: usize = 16;
/// How long a device stays away that is only to connect anew.
const RETRY_AT_ONCE_S: u32 = 1;
/// Why a device that was barred is sent away.
pub(crate) const REVOKED: &str = "revoked";

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
    /// The key set that was offered on this link.
    pub(crate) key_set: Option<Vec<u8>>,
    /// Patches of the update that is under way.
    pub(crate) patches: Option<Patches>,
    pub(crate) plans: Plans,
    /// Bytes handed to the device for its update that are not yet written to the store.
    pub(crate) bytes_sent: u64,
    pub(crate) debug: Option<Relay>,
    pub(crate) application: ApplicationLane,
    /// The crash dump that the device is sending.
    pub(crate) crash: Option<crate::crash::Incoming>,
    commands: HashMap<u32, oneshot::Sender<bool>>,
    next_command: u32,
    ending: Option<Ending>,
    counters: Arc<Counters>,
    /// When the link began, which is when it came into the directory.
    since: Option<Timestamp>,
    /// Set once the link is in the directory.
    epoch: Option<u64>,
    inbox: Option<Inbox>,
    /// When state or progress that waits is to be written.
    store_at: Option<Instant>,
}

/// That the device is being sent away: from then on nothing is heard from it.
#[derive(Clone, Copy)]
struct Ending {
    reason: &'static str,
    /// When the connection is cut, whether or not the device has read why.
    cut_at: Instant,
}

/// What the task waits for next.
struct Turn {
    reading: bool,
    sending: bool,
    wake_at: Instant,
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
        key_set: None,
        patches: None,
        plans: Plans::default(),
        bytes_sent: 0,
        debug: None,
        application: ApplicationLane::default(),
        crash: None,
        commands: HashMap::new(),
        next_command: 1,
        ending: None,
        counters,
        since: None,
        epoch: None,
        inbox: None,
        store_at: None,
    };
    let end = link.drive(stream, session).await;
    let Some(epoch) = link.epoch else {
        tracing::info!(device_id = %id, reason = %end, "a link ended before its hello");
        return;
    };
    let ended_at = Timestamp::now();
    // As long as the link is in the directory, so that a newer one's word stands.
    if let Err(error) = link.flush(Due::Now).await {
        tracing::error!(device_id = %id, reason = %error, "state or progress could not be written");
    }
    let was_current = shared.directory.leave(id, epoch);
    link.farewell(&end, was_current, ended_at).await;
    shared.directory.left();
}

impl Link {
    async fn drive(&mut self, mut stream: TcpStream, session: ServerSession) -> End {
        let mut pipe = Pipe::new(session, &self.shared.limits, Instant::now());
        let (mut read, mut write) = stream.split();
        let mut inbox = None;
        loop {
            let turn = match self.turn(&mut pipe).await {
                Ok(turn) => turn,
                Err(end) => return end,
            };
            if let (Turn { sending: false, .. }, Some(ending)) = (&turn, self.ending) {
                let _ = write.shutdown().await;
                read_to_end(&mut read).await;
                return End::SentAway(ending.reason);
            }
            inbox = inbox.or_else(|| self.inbox.take());
            let (wire_in, wire_out) = pipe.buffers();
            tokio::select! {
                // A device that may not speak now is simply not read: TCP makes it wait.
                count = read.read_buf(wire_in), if turn.reading => match count {
                    Ok(0) | Err(_) => return End::Closed,
                    Ok(count) => pipe.heard(count, &self.counters),
                },
                count = write.write(wire_out), if turn.sending => match count {
                    Ok(0) | Err(_) => return End::Closed,
                    Ok(count) => pipe.wrote(count, &self.counters),
                },
                message = next_message(&mut inbox), if self.ending.is_none() => {
                    if let Err(end) = self.obey(message).await {
                        return end;
                    }
                }
                (manifest, planned) = self.plans.next(), if self.ending.is_none() => {
                    if let Err(end) = self.planned(manifest, planned) {
                        return end;
                    }
                }
                () = sleep_until(turn.wake_at) => {}
            }
        }
    }

    /// Handles all that came, fills what is to go, looks at the clocks; says what to wait for.
    async fn turn(&mut self, pipe: &mut Pipe) -> Result<Turn, End> {
        if let Some(ending) = self.ending {
            return self.last_turn(pipe, ending);
        }
        let mut wake = None;
        let reading = loop {
            // Spans that wait to be sent are memory; a device gets no more of it by asking on.
            if !self.outbox.has_room_for_span() {
                break false;
            }
            match pipe.received(&self.counters)? {
                Received::Incomplete => break true,
                Received::Throttled(until) => {
                    wake = Some(until);
                    break false;
                }
                Received::Whole(span) => {
                    let mut plaintext = [0; PLAINTEXT_LEN_MAX];
                    let frame = pipe.open(span, &mut plaintext)?;
                    self.receive(frame).await?;
                }
            }
        };
        self.write_what_is_due().await?;
        if self.messages_withheld_until().is_some_and(|until| until <= Instant::now()) {
            // The device sends them again on the next connection.
            let ending = self.send_away(RETRY_AT_ONCE_S, "what was not stored may come now");
            return self.last_turn(pipe, ending);
        }
        let deadline = self.check_clocks(pipe, reading)?;
        let sending = pipe.fill(&mut self.outbox, &self.counters)?;
        let stuck_at = pipe.stuck_at(&self.shared.limits);
        let times = [wake, stuck_at, self.store_at, self.messages_withheld_until()].into_iter().flatten();
        Ok(Turn { reading, sending, wake_at: times.fold(deadline, Instant::min) })
    }

    /// Of a device that is being sent away: nothing but our last word is on its way.
    fn last_turn(&mut self, pipe: &mut Pipe, ending: Ending) -> Result<Turn, End> {
        if ending.cut_at <= Instant::now() {
            return Err(End::SentAway(ending.reason));
        }
        let sending = pipe.fill(&mut self.outbox, &self.counters)?;
        Ok(Turn { reading: false, sending, wake_at: ending.cut_at })
    }

    /// Writes state and progress that waited long enough.
    async fn write_what_is_due(&mut self) -> Result<(), End> {
        if !self.state_changed && self.progress.is_none() && !self.has_configuration_to_write() {
            self.store_at = None;
            return Ok(());
        }
        let now = Instant::now();
        if *self.store_at.get_or_insert(now + PROGRESS_PERIOD) <= now {
            self.flush(Due::IfAllowed).await?;
            self.store_at = Some(now + PROGRESS_PERIOD);
        }
        Ok(())
    }

    /// Pings or gives up a device that is silent for too long; returns when to look again.
    fn check_clocks(&mut self, pipe: &mut Pipe, reading: bool) -> Result<Instant, End> {
        let (now, limits) = (Instant::now(), self.shared.limits);
        if pipe.stuck_at(&limits).is_some_and(|at| at <= now) {
            return Err(End::Stuck);
        }
        if self.reported.is_none() {
            let hello_by = pipe.started + limits.handshake_timeout;
            return if hello_by <= now { Err(End::Protocol("no hello in time")) } else { Ok(hello_by) };
        }
        if !reading {
            // Silence is our own doing.
            pipe.heard = now;
        }
        let ping_at = pipe.heard + limits.keepalive;
        if now < ping_at {
            return Ok(ping_at);
        }
        let silent_at = ping_at + limits.pong_timeout;
        if silent_at <= now {
            return Err(End::Silent);
        }
        if !pipe.pinged {
            pipe.pinged = true;
            self.outbox.push_control(ServerMessage::Ping(Ping { token: 0 }))?;
        }
        Ok(silent_at)
    }

    /// Puts the link into the directory, where it replaces an older one of the same device.
    ///
    /// Only once a sealed frame was opened: the first handshake message can be replayed by anybody who saw it,
    /// and must not be able to end the device's true link.
    pub(crate) fn enter_directory(&mut self) {
        let Entered { epoch, inbox, since } =
            self.shared.directory.enter(self.id, self.counters.clone(), &self.shared.limits);
        (self.epoch, self.inbox, self.since) = (Some(epoch), Some(inbox), Some(since));
    }

    /// When the device said what was just read: never before its link began, though the clock be set back. Whoever
    /// shows a device tells by it whether it has spoken over the present link.
    pub(crate) fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        self.since.map_or(now, |since| now.max(since))
    }

    /// Writes an event, unless the device caused too many today.
    pub(crate) async fn event(
        &self,
        kind: &str,
        data: serde_json::Value,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let max = self.shared.limits.events_per_day;
        match self.shared.directory.book_event(self.id, at.day(), max) {
            Ok(()) => self.shared.store.append_event(kind, Some(self.id), data, at).await,
            Err(dropped) => {
                if dropped == 1 {
                    tracing::warn!(device_id = %self.id, events_per_day = max,
                        "a device causes more events than a day allows; the rest is dropped");
                }
                Ok(())
            }
        }
    }

    /// Asked by the store when it writes what the device said.
    pub(crate) fn newest(&self) -> impl FnOnce() -> bool + use<> {
        let (shared, id, epoch) = (self.shared.clone(), self.id, self.epoch);
        move || shared.directory.is_newest(id, epoch)
    }

    /// Does what the API asks.
    async fn obey(&mut self, message: ToLink) -> Result<(), End> {
        match message {
            ToLink::Farewell(Farewell::Replaced) => Err(End::Replaced),
            ToLink::Farewell(Farewell::GoAway { reconnect_in_s, reason }) => {
                self.send_away(reconnect_in_s, reason);
                Ok(())
            }
            ToLink::Changed(Change::Target) => self.offer_target().await,
            ToLink::Changed(Change::KeySets) => self.offer_key_set().await,
            ToLink::Changed(Change::Messages) => self.send_messages().await,
            ToLink::Changed(Change::Configuration) => self.offer_configuration().await,
            ToLink::Order(Order::Command { kind, reply }) => self.command(kind, reply),
            ToLink::Order(Order::Debug(order)) => {
                self.obey_debug(order);
                Ok(())
            }
        }
    }

    /// Says farewell; the link ends once that is sent, or soon.
    fn send_away(&mut self, reconnect_in_s: u32, reason: &'static str) -> Ending {
        self.outbox.say_last(ServerMessage::GoAway(GoAway { reconnect_in_s }));
        let ending = Ending { reason, cut_at: Instant::now() + self.shared.limits.farewell_timeout };
        self.ending = Some(ending);
        ending
    }

    fn command(&mut self, kind: CommandKind, reply: oneshot::Sender<bool>) -> Result<(), End> {
        // What nobody waits for any more takes no place: a device need not answer.
        self.commands.retain(|_, reply| !reply.is_closed());
        if self.commands.len() >= COMMANDS_MAX {
            // Dropping `reply` tells the caller that no answer came.
            return Ok(());
        }
        let id = self.order(kind)?;
        self.commands.insert(id, reply);
        Ok(())
    }

    /// Sends a command; its number.
    pub(crate) fn order(&mut self, kind: CommandKind) -> Result<u32, End> {
        let id = self.next_command;
        self.next_command = self.next_command.wrapping_add(1);
        self.outbox.push_control(ServerMessage::Command(Command { id, kind }))?;
        Ok(id)
    }

    pub(crate) fn command_done(&mut self, id: u32, accepted: bool) {
        if let Some(reply) = self.commands.remove(&id) {
            let _ = reply.send(accepted);
        }
    }

    async fn farewell(&mut self, end: &End, was_current: bool, ended_at: Timestamp) {
        let last_heard = Timestamp(self.counters.last_heard_at.load(Ordering::Relaxed));
        // Of a link that was replaced, the newer one has queued everything again.
        if was_current && let Err(error) = self.requeue_messages(ended_at).await {
            tracing::error!(device_id = %self.id, reason = %error, "messages could not be queued again");
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
        let store = &self.shared.store;
        let written = async {
            store.record_last_seen(self.id, last_heard).await?;
            // A replaced link is no absence, and one that was sent away at its hello was never here.
            if was_current && self.reported.is_some() {
                let data = serde_json::json!({ "reason": end.to_string() });
                self.event("device-offline", data, Timestamp::now()).await?;
            }
            Ok::<(), StoreError>(())
        };
        if let Err(error) = written.await {
            tracing::error!(%error, device_id = %self.id, "end of link could not be written");
        }
    }
}

/// The next message of the API; never, before the link is in the directory.
async fn next_message(inbox: &mut Option<Inbox>) -> ToLink {
    match inbox {
        Some(inbox) => inbox.next().await,
        None => std::future::pending().await,
    }
}
