//! A developer's debug session: its tunnel, its agent, and what the rest of the hypervisor has to know of it.
//!
//! A session needs two: the server, which opens it over its own authenticated link, and a developer whose key the
//! running bundle names. The first handshake message can be replayed, so nothing happens to the application before the
//! first sealed message was opened.

use bulkhead_bundle_format::{DebugHalt, Policy};
use bulkhead_debug_agent::{Agent, DebugTarget, Permission, StopCause};
use bulkhead_debug_protocol::{Faults, MESSAGE_LEN_MAX};
use bulkhead_developer_seal::{
    ANSWER_LEN, Binding, DeviceKeys, DeviceTunnel, FIRST_LEN, Refused, SEAL_LEN, answer,
};
use bulkhead_device_identity::{device_id, public_key};
use bulkhead_link_protocol::{DebugClosed, DebugEnd, DebugFrame, DeviceMessage, FaultKind};
use bulkhead_syscall_abi::{DebugAttachment, DebugState};

use crate::application::Offence;
use crate::link::Link;

/// Room for the longest sealed message.
const SEALED_LEN_MAX: usize = MESSAGE_LEN_MAX + SEAL_LEN;

/// How long the application stands still for a developer who is not heard of, if the policy does not say.
const SILENCE_S: u32 = 60;
/// In a policy: until they come back.
const FOR_EVER: u32 = u32::MAX;

struct Session {
    number: u32,
    manifest: [u8; 32],
    developer: [u8; 32],
    /// A sealed message was opened: its sender is who they say, and now.
    proved: bool,
    tunnel: DeviceTunnel,
    /// The answer of the handshake, until it is sent.
    answer: Option<[u8; ANSWER_LEN]>,
}

/// A session that waits for its handshake.
#[derive(Clone, Copy)]
struct Opening {
    number: u32,
    first: [u8; FIRST_LEN],
    ephemeral: [u8; 32],
}

/// A developer whose link was lost.
#[derive(Clone, Copy)]
struct Absent {
    developer: [u8; 32],
    manifest: [u8; 32],
    until_us: u64,
}

/// What became of a session, for the device's log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Change {
    /// A developer proved to be one whom the running bundle names.
    Attached,
    /// The session is over, and the application runs.
    Detached,
    /// A session was not begun.
    Refused(DebugEnd),
}

impl core::fmt::Display for Change {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Attached => write!(f, "a debugger is attached"),
            Self::Detached => write!(f, "the debugger is gone"),
            Self::Refused(end) => write!(f, "a debugger was refused: {end:?}"),
        }
    }
}

/// Memory of debug sessions, placed by the board: large values never cross its stack.
pub struct DebugStorage {
    agent: Agent,
    session: Option<Session>,
    opening: Option<Opening>,
    absent: Option<Absent>,
}

impl DebugStorage {
    /// No session.
    pub const fn new() -> Self {
        Self { agent: Agent::new(), session: None, opening: None, absent: None }
    }
}

impl Default for DebugStorage {
    fn default() -> Self {
        Self::new()
    }
}

/// The session, if there is one, and the agent.
pub(crate) struct Debug<'w> {
    private: [u8; 32],
    device: [u8; 16],
    storage: &'w mut DebugStorage,
    closed: Option<DebugClosed>,
    attached: bool,
    /// A developer was heard of since the last look.
    heard: bool,
    heard_ms: u64,
    /// The longest silence that a halted application waits through.
    silence_s: u32,
    refused: Option<DebugEnd>,
    watched: Watched,
}

/// What the application may know of the session.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Watched {
    halts: u32,
    held_ms: u32,
    /// When it was last seen held.
    held_at_ms: Option<u64>,
}

impl<'w> Debug<'w> {
    /// `private` is the device's static key.
    pub(crate) fn new(private: [u8; 32], storage: &'w mut DebugStorage) -> Self {
        Self {
            private,
            device: *device_id(&public_key(&private)).as_bytes(),
            storage,
            closed: None,
            attached: false,
            heard: false,
            heard_ms: 0,
            silence_s: SILENCE_S,
            refused: None,
            watched: Watched::default(),
        }
    }

    /// Counts how often and how long the application is held.
    pub(crate) fn watch(&mut self, now_ms: u64) {
        let watched = &mut self.watched;
        if !self.storage.agent.is_moving_it() {
            watched.held_at_ms = None;
            return;
        }
        match watched.held_at_ms.replace(now_ms) {
            None => watched.halts = watched.halts.saturating_add(1),
            Some(before) => {
                let more = u32::try_from(now_ms.saturating_sub(before)).unwrap_or(u32::MAX);
                watched.held_ms = watched.held_ms.saturating_add(more);
            }
        }
    }

    /// What the application may know of the session.
    pub(crate) fn attachment(&self) -> DebugState {
        let state = match (self.is_attached(), self.watched.halts) {
            (false, _) => DebugAttachment::None,
            (_, 0) => DebugAttachment::Attached,
            (_, _) => DebugAttachment::HaltedLast,
        };
        DebugState {
            version: 0,
            state: state as u32,
            halts: self.watched.halts,
            held_ms: self.watched.held_ms,
        }
    }

    /// The 16 bytes of the device's id.
    pub(crate) const fn device(&self) -> [u8; 16] {
        self.device
    }

    /// Whether the next slice should follow soon.
    pub(crate) fn is_busy(&self) -> bool {
        self.storage.session.is_some() || self.storage.opening.is_some() || self.closed.is_some()
    }

    /// Whether a developer is attached, or one who was is expected back.
    pub(crate) fn is_attached(&self) -> bool {
        self.storage.agent.is_attached()
    }

    /// Looks at an application whose thread stands at a breakpoint while its interrupts are served.
    pub(crate) fn glance(&mut self, target: &mut impl DebugTarget) -> bulkhead_debug_agent::Glance {
        self.storage.agent.glance(target)
    }

    /// Whether what the application did is the developer's to see, or the agent's own doing.
    pub(crate) fn takes(&self, offence: &Offence, target: &mut impl DebugTarget) -> bool {
        self.storage.agent.takes(cause(offence), target)
    }

    /// Counts how long nobody was heard of; a halted application does not wait for ever. Probes that did too much for one
    /// second come back in the next.
    pub(crate) fn tick(&mut self, now_ms: u64, target: &mut impl DebugTarget) {
        self.storage.agent.tick(target);
        if core::mem::take(&mut self.heard) || !self.storage.agent.is_moving_it() {
            self.heard_ms = now_ms;
        }
        let silence_ms = now_ms.saturating_sub(self.heard_ms);
        if self.silence_s != FOR_EVER && silence_ms / 1000 > u64::from(self.silence_s) {
            self.end(DebugEnd::Broken, target);
            self.forget(target);
        }
    }

    /// Whether the application stands still, or moves by steps, by a developer's order.
    pub(crate) fn is_moving_it(&self) -> bool {
        self.storage.agent.is_moving_it()
    }

    /// Whether it stands still until the developer lets it go on.
    pub(crate) fn is_halted(&self) -> bool {
        self.storage.agent.is_halted()
    }

    pub(crate) fn wants_halt(&self) -> bool {
        self.storage.agent.wants_halt()
    }

    /// The server opens a session, in place of one that is there. `ephemeral` is 32 fresh random bytes.
    pub(crate) fn open(
        &mut self,
        frame: &DebugFrame<'_>,
        ephemeral: [u8; 32],
        target: &mut impl DebugTarget,
    ) {
        self.part(target);
        match <[u8; FIRST_LEN]>::try_from(&**frame.bytes) {
            Ok(first) => self.storage.opening = Some(Opening { number: frame.session, first, ephemeral }),
            Err(_) => self.refuse(frame.session, DebugEnd::Handshake),
        }
    }

    /// Whether somebody waits for [`Self::shake_hands`].
    pub(crate) fn is_opening(&self) -> bool {
        self.storage.opening.is_some()
    }

    /// Shakes hands with who waits. Out of line and not where a frame arrives: a handshake takes much stack.
    #[inline(never)]
    pub(crate) fn shake_hands(
        &mut self,
        running: Option<([u8; 32], &Policy)>,
        target: &mut impl DebugTarget,
    ) {
        let Some(opening) = self.storage.opening.take() else { return };
        match self.answer(&opening, running) {
            Ok(session) => {
                let is_back = |absent: &Absent| {
                    absent.developer == session.developer && absent.manifest == session.manifest
                };
                if !self.storage.absent.as_ref().is_some_and(is_back) {
                    self.forget(target);
                    // A repeated handshake does not make the application wait any longer.
                    self.heard = true;
                }
                let policy = running.map(|(_, policy)| *policy).unwrap_or_default();
                self.silence_s = policy.debug_silence_s.unwrap_or(SILENCE_S);
                self.storage.agent.permit(match policy.debug_halt {
                    DebugHalt::Allow => Permission::Everything,
                    DebugHalt::LogpointsOnly => Permission::LogpointsOnly,
                    DebugHalt::Never => Permission::Memory,
                });
                self.storage.session = Some(session);
            }
            Err(end) => self.refuse(opening.number, end),
        }
    }

    fn refuse(&mut self, session: u32, end: DebugEnd) {
        self.refused = Some(end);
        self.closed = Some(DebugClosed { session, end });
    }

    fn answer(&self, opening: &Opening, running: Option<([u8; 32], &Policy)>) -> Result<Session, DebugEnd> {
        let named = running.map(|(manifest, policy)| (manifest, &policy.debug_keys));
        let Some((manifest, named)) = named.filter(|(_, named)| !named.is_empty()) else {
            return Err(DebugEnd::NoKey);
        };
        let keys = DeviceKeys { private: self.private, ephemeral: opening.ephemeral };
        let binding = Binding { device: self.device, manifest, session: opening.number };
        let mut developer = [0; 32];
        let is_named = |key: &[u8; 32]| {
            developer = *key;
            named.names(key)
        };
        match answer(&keys, &binding, &opening.first, is_named) {
            Ok((answer, tunnel)) => {
                let number = opening.number;
                Ok(Session { number, manifest, developer, proved: false, tunnel, answer: Some(answer) })
            }
            Err(Refused::Handshake) => Err(DebugEnd::Handshake),
            Err(Refused::OtherKey) => Err(DebugEnd::OtherKey),
        }
    }

    /// A sealed message came.
    pub(crate) fn frame(&mut self, frame: &DebugFrame<'_>, target: &mut impl DebugTarget) {
        let Some(session) = self.storage.session.as_mut().filter(|session| session.number == frame.session)
        else {
            return;
        };
        let mut bytes = [0; SEALED_LEN_MAX];
        let opened = bytes.get_mut(..frame.bytes.len()).and_then(|room| {
            room.copy_from_slice(frame.bytes);
            session.tunnel.open(room)
        });
        let request = opened.and_then(|len| bytes.get(..len));
        if request.is_some() {
            session.proved = true;
            self.heard = true;
            self.storage.absent = None;
        }
        if !request.is_some_and(|request| self.storage.agent.request(request)) {
            self.end(DebugEnd::Broken, target);
        }
    }

    /// The server ends a session: its developer's connection is lost, or they are to leave.
    pub(crate) fn close(&mut self, number: u32, target: &mut impl DebugTarget) {
        let opening = self.storage.opening.is_some_and(|opening| opening.number == number);
        if opening || self.storage.session.as_ref().is_some_and(|session| session.number == number) {
            self.part(target);
        }
    }

    /// The link is gone, and with it, for a while, who looked.
    pub(crate) fn link_lost(&mut self, target: &mut impl DebugTarget) {
        self.closed = None;
        self.part(target);
    }

    /// The tunnel is gone. What its developer set is kept until they come back, or do not.
    fn part(&mut self, target: &mut impl DebugTarget) {
        self.storage.opening = None;
        let Some(session) = self.storage.session.take() else { return };
        if session.proved && self.storage.agent.is_attached() && self.silence_s > 0 {
            let Session { developer, manifest, .. } = session;
            let until_us = match self.silence_s {
                FOR_EVER => u64::MAX,
                seconds => target.now_us().saturating_add(u64::from(seconds).saturating_mul(1_000_000)),
            };
            self.storage.absent = Some(Absent { developer, manifest, until_us });
            self.storage.agent.interrupted();
        } else if self.storage.absent.is_none() {
            self.storage.agent.detach(target);
        }
    }

    /// Nobody comes back: everything is taken away and the application runs.
    fn forget(&mut self, target: &mut impl DebugTarget) {
        self.storage.absent = None;
        self.storage.agent.detach(target);
    }

    /// Gives a developer up who stayed away too long, and with them a session in which nothing was said since.
    fn expire(&mut self, target: &mut impl DebugTarget) {
        let now_us = target.now_us();
        if self.storage.absent.is_some_and(|absent| now_us >= absent.until_us) {
            self.storage.session = None;
            self.forget(target);
        }
    }

    fn end(&mut self, end: DebugEnd, target: &mut impl DebugTarget) {
        if let Some(session) = &self.storage.session {
            self.closed = Some(DebugClosed { session: session.number, end });
        }
        self.leave(target);
    }

    fn leave(&mut self, target: &mut impl DebugTarget) {
        self.storage.opening = None;
        if self.storage.session.take().is_some() || self.storage.absent.is_some() {
            self.forget(target);
        }
    }

    /// The application came to a stand by a fault or a breakpoint.
    pub(crate) fn faulted(&mut self, offence: &Offence, target: &mut impl DebugTarget) {
        self.storage.agent.stopped(cause(offence), target);
    }

    /// The application stands still because [`Self::wants_halt`].
    pub(crate) fn halted(&mut self, target: &mut impl DebugTarget) {
        self.storage.agent.stopped(StopCause::HaltRequested, target);
    }

    /// The application is about to be thrown away.
    pub(crate) fn ended(&mut self, target: &mut impl DebugTarget) {
        self.storage.agent.ended(target);
    }

    /// An application was started, its first own instruction at `entry`.
    pub(crate) fn started(&mut self, manifest: [u8; 32], entry: u32, target: &mut impl DebugTarget) {
        if self.storage.session.as_ref().is_some_and(|session| session.manifest != manifest) {
            // Its developer may be none of the new bundle's.
            self.end(DebugEnd::OtherManifest, target);
        }
        self.watched = Watched::default();
        if self.storage.absent.is_some_and(|absent| absent.manifest != manifest) {
            self.forget(target);
        }
        self.storage.agent.started(manifest, entry, target);
    }

    /// Whether a developer ordered the application to be restarted.
    pub(crate) fn take_restart(&mut self) -> bool {
        self.storage.agent.take_restart()
    }

    /// What the device's log should say.
    pub(crate) fn take_change(&mut self) -> Option<Change> {
        if let Some(end) = self.refused.take() {
            return Some(Change::Refused(end));
        }
        let attached = self.is_attached();
        if attached == self.attached {
            return None;
        }
        self.attached = attached;
        Some(if attached { Change::Attached } else { Change::Detached })
    }

    /// Sends what is due, one message at a time. Returns whether it sent one.
    #[inline(never)]
    pub(crate) fn poll(&mut self, link: &mut Link<'_>, target: &mut impl DebugTarget) -> bool {
        self.expire(target);
        if !link.has_room_for_debug() {
            return false;
        }
        if let Some(closed) = self.closed.take() {
            return link.send(&DeviceMessage::DebugClosed(closed));
        }
        let Some(session) = &mut self.storage.session else { return false };
        let number = session.number;
        let mut send = |bytes: &[u8]| {
            link.send(&DeviceMessage::DebugFrame(DebugFrame { session: number, bytes: bytes.into() }))
        };
        if let Some(answer) = session.answer.take() {
            return send(&answer);
        }
        let mut message = [0; SEALED_LEN_MAX];
        let room = message.get_mut(..MESSAGE_LEN_MAX).unwrap_or_default();
        let Some(len) = self.storage.agent.poll(target, room) else { return false };
        let sealed = session.tunnel.seal(&mut message, len).and_then(|len| message.get(..len));
        match sealed {
            Some(sealed) => send(sealed),
            None => {
                self.end(DebugEnd::Broken, target);
                false
            }
        }
    }
}

fn cause(offence: &Offence) -> StopCause {
    match offence.kind {
        FaultKind::Breakpoint => StopCause::Breakpoint,
        FaultKind::SecureAccess
        | FaultKind::BadExecution
        | FaultKind::StackOverflow
        | FaultKind::InterruptFlood
        | FaultKind::InterruptsMasked
        | FaultKind::BusError
        | FaultKind::UsageFault
        | FaultKind::Escalated
        | FaultKind::MemoryProtection => StopCause::Fault(Faults {
            cfsr: offence.status.cfsr,
            hfsr: 0,
            sfsr: offence.status.sfsr,
            mmfar: offence.address.unwrap_or_default(),
            bfar: offence.address.unwrap_or_default(),
        }),
    }
}
