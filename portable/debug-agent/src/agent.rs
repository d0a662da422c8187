//! Requests in, replies and events out.

use bulkhead_debug_protocol::{
    Action, Answer, ApplicationReset, Checksum, Crc, Event, Hello, Keeping, Kept, MEMORY_PIECE_LEN_MAX,
    MESSAGE_LEN_MAX, Memory, MoreFollows, Nothing, Operation, PROTOCOL_VERSION, READ_LEN_MAX, REGIONS_MAX,
    ReadMemory, RefusalReason, Refused, Register, Registers, SetProbe, StopReason, Watching, Welcome,
    WriteMemory, Writer, encode_event, parse_request,
};

use crate::along::Along;
use crate::crc::crc;
use crate::glance::Glance;
use crate::motion::{Motion, Stop, refusal};
use crate::pictures::Picture;
use crate::probes::{Behaviour, COMMAND, PROBES_MAX, Unpatched};
use crate::target::{DebugTarget, Memory as _, StopCause, Width};
use crate::watches::WATCHES_MAX;

/// Room that an answer without memory and registers takes at most, in bytes.
const ANSWER_ROOM: usize = 96;
/// Room for the registers of a processor with floating point.
const REGISTERS_ROOM: usize = 288;
/// Bytes of an answer with memory around the memory.
const MEMORY_OVERHEAD: usize = 16;
/// Shortest piece of memory worth an answer; less waits for the next message.
const PIECE_LEN_MIN: usize = 64;
/// Bytes that go into a checksum in one slice.
const CRC_SLICE: usize = 2048;

/// The request that is being answered.
#[derive(Debug)]
struct Inbox {
    bytes: [u8; MESSAGE_LEN_MAX],
    len: usize,
    sequence: u32,
    /// Where the operation begins that is next, and its place in the request.
    position: usize,
    index: u32,
    /// What is done of it: bytes of memory or checksum, or regions.
    done: u32,
    crc: u32,
}

/// How far a developer may go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Permission {
    /// All the way.
    Everything,
    /// The application is never stopped; it may print where it passes.
    LogpointsOnly,
    /// Reading and writing memory alone.
    Memory,
}

impl Permission {
    fn allows(self, operation: &Operation<'_>) -> bool {
        match operation {
            Operation::Halt(_) | Operation::Resume(_) | Operation::Through(_) | Operation::SetWatch(_) => {
                self == Self::Everything
            }
            Operation::Reset(order) => self == Self::Everything || !order.halt,
            Operation::SetProbe(order) => match self {
                Self::Everything => true,
                Self::LogpointsOnly => order.action != Action::Stop,
                Self::Memory => false,
            },
            Operation::Hello(_)
            | Operation::ReadMemory(_)
            | Operation::WriteMemory(_)
            | Operation::ReadRegisters(_)
            | Operation::WriteRegister(_)
            | Operation::Crc(_)
            | Operation::ClearProbe(_)
            | Operation::ClearWatch(_)
            | Operation::Forget(_)
            | Operation::Along(_)
            | Operation::Detach(_)
            | Operation::Alive(_) => true,
        }
    }
}

/// What the developer has to hear, beside replies.
#[derive(Clone, Copy, Debug, Default)]
struct News {
    reset: bool,
    stop: Option<Stop>,
}

/// What is behind the operations.
#[derive(Debug)]
struct Core {
    motion: Motion,
    open: bool,
    permission: Permission,
    news: News,
    restart: bool,
    halt_at_entry: bool,
    manifest: [u8; 32],
    /// Stops since the session began, and the last of them.
    stops: u32,
    last: Option<Stop>,
    along: Along,
    /// The link was lost and the session goes on; the developer has not asked yet.
    kept: bool,
}

/// How far an operation came.
enum Outcome<'o> {
    /// It is done; this is its answer.
    Done(Answer<'o>),
    /// This is a part of its answer; the same operation goes on.
    Part(Answer<'o>),
    /// There is no room for its answer in this message.
    NoRoom,
    /// It needs another slice.
    Later,
}

/// The device's end of a debug session, behind the tunnel.
#[derive(Debug)]
pub struct Agent {
    inbox: Inbox,
    core: Core,
}

impl Default for Agent {
    fn default() -> Self {
        Self::new()
    }
}

impl Agent {
    /// No session, no application.
    #[must_use]
    pub const fn new() -> Self {
        let inbox = Inbox {
            bytes: [0; MESSAGE_LEN_MAX],
            len: 0,
            sequence: 0,
            position: 0,
            index: 0,
            done: 0,
            crc: 0,
        };
        let news = News { reset: false, stop: None };
        let core = Core {
            motion: Motion::new(),
            open: false,
            permission: Permission::Everything,
            news,
            restart: false,
            halt_at_entry: false,
            manifest: [0; 32],
            stops: 0,
            last: None,
            along: Along::new(),
            kept: false,
        };
        Self { inbox, core }
    }

    /// Takes a request; [`Self::poll`] answers it. `false` if it is none, or the one before is not answered yet: the
    /// developer's side broke the protocol, and the session is to be ended.
    #[must_use]
    pub fn request(&mut self, bytes: &[u8]) -> bool {
        if self.inbox.len != 0 {
            return false;
        }
        let Ok(request) = parse_request(bytes) else { return false };
        let (sequence, position) = (request.sequence, request.operations.position());
        let Some(room) = self.inbox.bytes.get_mut(..bytes.len()) else { return false };
        room.copy_from_slice(bytes);
        (self.inbox.len, self.inbox.sequence, self.inbox.position) = (bytes.len(), sequence, position);
        (self.inbox.index, self.inbox.done) = (0, 0);
        true
    }

    /// Writes the next message to the developer into `out`, which has room for `MESSAGE_LEN_MAX` bytes, and returns
    /// its length; `None` if there is none now.
    pub fn poll(&mut self, target: &mut impl DebugTarget, out: &mut [u8]) -> Option<usize> {
        if self.inbox.len != 0 {
            return self.answer(target, out);
        }
        if !self.core.has_news() {
            return None;
        }
        if core::mem::take(&mut self.core.news.reset) {
            let manifest = &self.core.manifest;
            return encode_event(out, &Event::ApplicationReset(ApplicationReset { manifest }));
        }
        if self.core.motion.is_passing() {
            let stop = Stop::because(StopReason::Breakpoint);
            let len = self.core.tell(out, stop, target);
            let stop = self.core.motion.go_on(target);
            self.core.note(stop);
            return len;
        }
        // What was printed before the stop is told before it.
        if let Some(log) = self.core.motion.records.first() {
            let len = encode_event(out, &Event::Log(log));
            self.core.motion.records.remove_first();
            return len;
        }
        if let Some(picture) = &self.core.motion.picture {
            let len = encode_event(out, &Event::Snapshot(picture.snapshot()));
            self.core.motion.picture = None;
            return len;
        }
        let stop = self.core.news.stop.take().filter(|_| self.core.motion.is_halted())?;
        let len = self.core.tell(out, stop, target);
        self.core.along.clear();
        len
    }

    /// Whether [`Self::poll`] has something to do.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.inbox.len != 0 || self.core.open && self.core.has_news()
    }

    /// Time passes: probes that were silenced because they did too much come back. To be called now and then.
    pub fn tick(&mut self, target: &mut impl DebugTarget) {
        self.core.motion.tick(target);
    }

    /// Whether a session has begun: faults are the developer's to see.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.core.open
    }

    /// Says how far the developer of the next session may go.
    pub fn permit(&mut self, permission: Permission) {
        self.core.permission = permission;
        self.inbox.len = 0;
    }

    /// Whether a cause to stand still is for [`Self::stopped`]: it is the developer's to see, or the agent's own doing.
    #[must_use]
    pub fn takes(&self, cause: StopCause, target: &mut impl DebugTarget) -> bool {
        let Core { open, permission, motion, .. } = &self.core;
        let is_ours = cause == StopCause::Breakpoint && motion.is_ours(target);
        *open && (*permission == Permission::Everything || is_ours)
    }

    /// Whether the application stands still, or runs one step at a time, by the developer's order.
    #[must_use]
    pub fn is_moving_it(&self) -> bool {
        !self.core.motion.is_free()
    }

    /// Whether the application stands still until the developer lets it go on.
    #[must_use]
    pub fn is_halted(&self) -> bool {
        self.core.motion.is_halted()
    }

    /// Whether [`Self::stopped`] is to be called as soon as the application is not inside a gateway.
    #[must_use]
    pub fn wants_halt(&self) -> bool {
        self.core.open && self.core.motion.wants_halt()
    }

    /// Whether the developer ordered the application to be restarted since the last call.
    #[must_use]
    pub fn take_restart(&mut self) -> bool {
        core::mem::take(&mut self.core.restart)
    }

    /// Looks at an application whose thread stands at a breakpoint while its interrupts are served.
    pub fn glance(&mut self, target: &mut impl DebugTarget) -> Glance {
        if self.core.open { self.core.motion.glance(target) } else { Glance::Hold }
    }

    /// The application came to a stand. The agent holds it there, or lets it go on.
    pub fn stopped(&mut self, cause: StopCause, target: &mut impl DebugTarget) {
        let stop = self.core.motion.stopped(cause, target);
        self.core.note(stop);
    }

    /// The application is about to be thrown away: its code is as it was.
    pub fn ended(&mut self, target: &mut impl DebugTarget) {
        self.core.motion.ended(target);
        self.core.news.stop = None;
    }

    /// An application was started: probes are in place before its first instruction, which is at `entry`.
    pub fn started(&mut self, manifest: [u8; 32], entry: u32, target: &mut impl DebugTarget) {
        self.core.manifest = manifest;
        self.core.news.reset = self.core.open;
        let halt = core::mem::take(&mut self.core.halt_at_entry) && self.core.open;
        self.core.motion.started(halt.then_some(entry), target);
    }

    /// The session is over: everything is taken away and the application runs.
    pub fn detach(&mut self, target: &mut impl DebugTarget) {
        self.core.detach(target);
        self.inbox.len = 0;
    }

    /// The link is lost in the middle of whatever was asked. Everything stays as it is, and nothing is told until the
    /// developer says hello again; [`Self::detach`] if that never happens.
    pub fn interrupted(&mut self) {
        self.inbox.len = 0;
        self.core.kept = self.core.open;
    }

    fn answer(&mut self, target: &mut impl DebugTarget, out: &mut [u8]) -> Option<usize> {
        let Self { inbox, core } = self;
        let len_max = out.len().min(MESSAGE_LEN_MAX);
        let mut writer = Writer::reply(out, inbox.sequence)?;
        let head_len = writer.len();
        let mut scratch = [0; MEMORY_PIECE_LEN_MAX];
        // Every pass ends an operation, fills the message, or returns.
        loop {
            let bytes = inbox.bytes.get(..inbox.len).unwrap_or_default();
            let Ok(request) = parse_request(bytes) else { break };
            let mut operations = request.operations;
            operations.set_position(inbox.position);
            let room = len_max.saturating_sub(writer.len());
            let outcome = match operations.next_pair::<Operation<'_>>() {
                Ok(None) => break,
                Ok(Some(Some(operation))) => {
                    core.carry_out(&operation, (&mut inbox.done, &mut inbox.crc), room, &mut scratch, target)
                }
                Ok(Some(None)) => Err(RefusalReason::Unknown),
                Err(_) => Err(RefusalReason::Malformed),
            };
            match outcome {
                Ok(Outcome::Done(answer)) if writer.push(&answer) => {
                    inbox.position = operations.position();
                    inbox.index = inbox.index.saturating_add(1);
                    inbox.done = 0;
                }
                Ok(Outcome::Part(answer)) if writer.push(&answer) => {}
                Err(reason) if room >= ANSWER_ROOM => {
                    // The room was looked at: it fits.
                    let _ = writer.push(&Answer::Refused(Refused { index: inbox.index, reason }));
                    break;
                }
                // What was answered before it goes now: nothing keeps it for the next slice.
                Ok(Outcome::Later) if writer.len() > head_len => {
                    return Some(writer.finish(MoreFollows::Yes));
                }
                Ok(Outcome::Later) => return None,
                Ok(Outcome::NoRoom | Outcome::Done(_) | Outcome::Part(_)) | Err(_) => {
                    return Some(writer.finish(MoreFollows::Yes));
                }
            }
        }
        inbox.len = 0;
        Some(writer.finish(MoreFollows::No))
    }
}

impl Core {
    fn has_news(&self) -> bool {
        let told = self.news.reset || self.news.stop.is_some() || self.motion.has_something_to_tell();
        !self.kept && (told || self.motion.is_passing())
    }

    /// Writes where the application stands, and what is to be told along.
    fn tell(&self, out: &mut [u8], stop: Stop, target: &mut impl DebugTarget) -> Option<usize> {
        let mut writer = Writer::events(out)?;
        let picture = Picture::take(target);
        let stopped = picture.event(stop);
        let is_passing = self.motion.is_passing();
        if !writer.push(&if is_passing { Event::Passed(stopped) } else { Event::Stopped(stopped) }) {
            return None;
        }
        self.along.tell(&mut writer, &self.motion.probes, target);
        Some(writer.finish(MoreFollows::No))
    }

    /// The developer has to hear of a stop, if there is one.
    fn note(&mut self, stop: Option<Stop>) {
        if stop.is_some() {
            self.stops = self.stops.wrapping_add(1);
            self.last = stop;
            self.news.stop = stop;
        }
    }

    fn detach(&mut self, target: &mut impl DebugTarget) {
        self.motion.detach(target);
        self.open = false;
        self.kept = false;
        self.halt_at_entry = false;
        self.along.clear();
        self.news = News::default();
    }

    fn carry_out<'o>(
        &'o mut self,
        operation: &Operation<'_>,
        (done, crc_so_far): (&mut u32, &mut u32),
        room: usize,
        scratch: &'o mut [u8; MEMORY_PIECE_LEN_MAX],
        target: &mut impl DebugTarget,
    ) -> Result<Outcome<'o>, RefusalReason> {
        if room < ANSWER_ROOM {
            return Ok(Outcome::NoRoom);
        }
        if (!self.open || self.kept) && !matches!(operation, Operation::Hello(_)) {
            return Err(RefusalReason::NoSession);
        }
        if !self.permission.allows(operation) {
            return Err(RefusalReason::NotAllowed);
        }
        match operation {
            Operation::Hello(hello) => return self.hello(hello, done, target),
            Operation::ReadMemory(order) => return self.read(order, done, room, scratch, target),
            Operation::Crc(order) => return self.checksum(order, (done, crc_so_far), scratch, target),
            Operation::ReadRegisters(Nothing {}) => {
                if room < REGISTERS_ROOM {
                    return Ok(Outcome::NoRoom);
                }
                self.needs_halt()?;
                let registers = target.registers();
                let (core, system, float) = (registers.core, registers.system, target.float());
                return Ok(Outcome::Done(Answer::Registers(Registers { core, system, float })));
            }
            Operation::Halt(Nothing {}) if self.motion.is_absent() => {
                return Err(RefusalReason::NoApplication);
            }
            Operation::Halt(Nothing {}) => self.motion.halt(),
            Operation::Resume(order) => {
                self.news.stop = None;
                let stop = self.motion.resume(order, target)?;
                self.note(stop);
            }
            Operation::Forget(Nothing {}) => {
                self.motion.forget_orders(target);
                self.along.clear();
            }
            Operation::Along(range) => self.along.add(*range)?,
            Operation::Through(order) => {
                self.news.stop = None;
                let stop = self.motion.resume_through(order, target)?;
                self.note(stop);
            }
            Operation::WriteMemory(order) => self.write(order, target)?,
            Operation::WriteRegister(order) => {
                self.needs_halt()?;
                target.write_register(Register(order.register), order.value).map_err(refusal)?;
            }
            Operation::SetProbe(order) => self.set_probe(order, target)?,
            Operation::ClearProbe(order) => self.clear_probe(order.address, target),
            Operation::SetWatch(watch) => {
                self.needs_halt()?;
                let registers = target.registers();
                let stepped = self.motion.watches.add(*watch, &registers, target)?;
                let keeping = if stepped { Keeping::Stepped } else { Keeping::Guarded };
                return Ok(Outcome::Done(Answer::Watching(Watching { keeping })));
            }
            Operation::ClearWatch(watch) => {
                self.needs_halt()?;
                self.motion.watches.remove(watch);
            }
            Operation::Reset(order) => {
                self.halt_at_entry = order.halt;
                self.restart = true;
            }
            Operation::Detach(Nothing {}) => self.detach(target),
            Operation::Alive(Nothing {}) => {}
        }
        Ok(Outcome::Done(Answer::Done(Nothing {})))
    }

    fn needs_halt(&self) -> Result<(), RefusalReason> {
        match (self.motion.is_halted(), self.motion.is_absent()) {
            (true, _) => Ok(()),
            (false, true) => Err(RefusalReason::NoApplication),
            (false, false) => Err(RefusalReason::Running),
        }
    }

    fn hello(
        &mut self,
        hello: &Hello,
        done: &mut u32,
        target: &mut impl DebugTarget,
    ) -> Result<Outcome<'_>, RefusalReason> {
        if hello.version == 0 {
            return Err(RefusalReason::Malformed);
        }
        self.open = true;
        if *done == 1 && core::mem::take(&mut self.kept) {
            // The last stop is told once more: its event may be what was lost.
            self.news.stop = self.last.filter(|_| self.motion.is_halted());
            return Ok(Outcome::Part(Answer::Kept(Kept { stops: self.stops })));
        }
        if *done == 0 && !self.kept {
            self.stops = 0;
            self.news.stop = None;
        }
        // The first part is the welcome; the regions follow it, and `Done` ends the list.
        let Some(index) = done.checked_sub(1) else {
            *done = 1;
            return Ok(Outcome::Part(Answer::Welcome(Welcome {
                version: PROTOCOL_VERSION.min(hello.version),
                halted: self.motion.is_halted(),
                probes_max: u32::try_from(PROBES_MAX).unwrap_or_default(),
                watches_max: u32::try_from(WATCHES_MAX).unwrap_or_default(),
                manifest: &self.manifest,
                build: target.build(),
            })));
        };
        let index = usize::try_from(index).unwrap_or(REGIONS_MAX);
        *done = done.saturating_add(1);
        Ok(match target.region(index).filter(|_| index < REGIONS_MAX) {
            Some(region) => Outcome::Part(Answer::Region(region)),
            None => Outcome::Done(Answer::Done(Nothing {})),
        })
    }

    fn read<'o>(
        &self,
        order: &ReadMemory,
        done: &mut u32,
        room: usize,
        scratch: &'o mut [u8; MEMORY_PIECE_LEN_MAX],
        target: &mut impl DebugTarget,
    ) -> Result<Outcome<'o>, RefusalReason> {
        if order.len == 0 || order.len > READ_LEN_MAX {
            return Err(RefusalReason::Malformed);
        }
        let width = width(order.width)?;
        let left = usize::try_from(order.len.saturating_sub(*done)).unwrap_or(usize::MAX);
        // Whole words, so that no piece splits an access of an exact width.
        let fits = room.saturating_sub(MEMORY_OVERHEAD).min(MEMORY_PIECE_LEN_MAX) & !3;
        if fits < left.min(PIECE_LEN_MIN) {
            return Ok(Outcome::NoRoom);
        }
        let address = order.address.checked_add(*done).ok_or(RefusalReason::Forbidden)?;
        let piece = scratch.get_mut(..left.min(fits)).unwrap_or_default();
        if width == Width::Any {
            Unpatched { target, probes: &self.motion.probes }.read(address, piece).map_err(refusal)?;
        } else {
            target.read_exact(address, piece, width).map_err(refusal)?;
            self.motion.probes.unveil(address, piece);
        }
        *done = done.saturating_add(u32::try_from(piece.len()).unwrap_or(u32::MAX));
        let answer = Answer::Memory(Memory { address, bytes: piece });
        Ok(if *done >= order.len { Outcome::Done(answer) } else { Outcome::Part(answer) })
    }

    fn checksum<'o>(
        &self,
        order: &Crc,
        (done, crc_so_far): (&mut u32, &mut u32),
        scratch: &mut [u8; MEMORY_PIECE_LEN_MAX],
        target: &mut impl DebugTarget,
    ) -> Result<Outcome<'o>, RefusalReason> {
        if *done == 0 {
            *crc_so_far = u32::MAX;
        }
        let mut in_slice = 0;
        while in_slice < CRC_SLICE && *done < order.len {
            let left = usize::try_from(order.len.saturating_sub(*done)).unwrap_or(usize::MAX);
            let piece = scratch.get_mut(..left.min(MEMORY_PIECE_LEN_MAX)).unwrap_or_default();
            let address = order.address.checked_add(*done).ok_or(RefusalReason::Forbidden)?;
            Unpatched { target, probes: &self.motion.probes }.read(address, piece).map_err(refusal)?;
            *crc_so_far = crc(*crc_so_far, piece);
            *done = done.saturating_add(u32::try_from(piece.len()).unwrap_or(u32::MAX));
            in_slice += piece.len();
        }
        let is_done = *done >= order.len;
        Ok(if is_done {
            Outcome::Done(Answer::Checksum(Checksum { crc: *crc_so_far }))
        } else {
            Outcome::Later
        })
    }

    fn write(&mut self, order: &WriteMemory<'_>, target: &mut impl DebugTarget) -> Result<(), RefusalReason> {
        let width = width(order.width)?;
        let touched = self.motion.probes.touches(order.address, order.bytes.len());
        if touched {
            self.motion.probes.lift(target);
        }
        let written = target.write(order.address, order.bytes, width);
        if touched {
            let _ = self.motion.probes.plant(None, target);
        }
        written.map_err(refusal)
    }

    fn clear_probe(&mut self, address: u32, target: &mut impl DebugTarget) {
        self.motion.probes.remove(address, target);
        self.motion.conditions.remove(address);
        self.motion.conditions.remove(address | COMMAND);
    }

    fn set_probe(
        &mut self,
        order: &SetProbe<'_>,
        target: &mut impl DebugTarget,
    ) -> Result<(), RefusalReason> {
        if order.address & 1 != 0 || (order.action == Action::Log) != order.command.is_some() {
            return Err(RefusalReason::Malformed);
        }
        let behaviour = Behaviour { action: order.action, left: order.actions_max };
        if !self.motion.probes.add(order.address, behaviour) {
            return Err(RefusalReason::Full);
        }
        let expressions = [(order.address, order.condition), (order.address | COMMAND, order.command)];
        let room = expressions.into_iter().all(|(key, expression)| match expression {
            Some(expression) => self.motion.conditions.set(key, expression),
            None => {
                self.motion.conditions.remove(key);
                true
            }
        });
        if !room {
            self.clear_probe(order.address, target);
            return Err(RefusalReason::Full);
        }
        if self.motion.is_absent() {
            return Ok(());
        }
        // Planted at once, so that a place without code is refused now and not when the application runs.
        let planted = self.motion.probes.plant(None, target);
        if let Err(refused) = planted {
            self.clear_probe(order.address, target);
            return Err(refusal(refused));
        }
        Ok(())
    }
}

fn width(width: Option<u8>) -> Result<Width, RefusalReason> {
    Ok(match width {
        None => Width::Any,
        Some(1) => Width::Byte,
        Some(2) => Width::Half,
        Some(4) => Width::Word,
        Some(_) => return Err(RefusalReason::Malformed),
    })
}
