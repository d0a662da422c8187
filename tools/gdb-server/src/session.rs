//! GDB's packets, answered.

mod attaching;
mod registers;
pub(crate) mod running;
mod unstoppable;
mod watching;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use bulkhead_debug_protocol::{
    Event, Faults, MessageType, Pairs, RefusalReason, Region, RegionKind, RegisterFile, StopReason, Stopped,
    WRITE_LEN_MAX, Watch, message_type, parse_events,
};

use crate::ahead::{Ahead, Pushed};
use crate::breakpoints::{Breakpoints, expressions};
use crate::description;
use crate::device::{Answered, Device, DeviceError, Order, read_reply};
use crate::habits::Habits;
use crate::lines::Lines;
use crate::load::{Loader, Part};
use crate::memory::{Memory, Range};
use crate::packet::PACKET_LEN_MAX;
use crate::reunion::Rejoined;
use crate::serve::Arrived;
use crate::threads::{Kernel, Thread, document};
use crate::transfer::{hex, number, pair, piece, split_once, unhex};
use crate::watchpoints::{Watchpoints, stop_word};

/// How long the device has for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How often a device whose application may stand still hears that somebody is there; it waits four times as long.
const ALIVE_EVERY: Duration = Duration::from_secs(15);
/// How long GDB waits for a lost link to come back before it is told. It gives up by itself after six seconds.
const PATIENCE: Duration = Duration::from_secs(4);
/// Questions that one read of memory may take.
const QUESTIONS_MAX: usize = 64;
/// Writes that wait for the next request at most.
const PENDING_MAX: usize = 64;

/// What GDB is to be told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reaction {
    /// This packet.
    Answer(Vec<u8>),
    /// Nothing now: the application runs, and its next stop is the answer.
    Runs,
    /// This packet, and then GDB leaves.
    Leaves(Vec<u8>),
    /// Words for the person at GDB, which waits for a stop, and then this packet.
    Told(&'static str, Vec<u8>),
}

/// Whether a client of this server has control.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Control {
    /// It stops the application and lets it run.
    Full,
    /// It reads memory, also while the application runs.
    Looks,
}

/// What the application did last.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    pub(crate) reason: StopReason,
    pub(crate) registers: RegisterFile,
    pub(crate) faults: Option<Faults>,
    pub(crate) watch: Option<Watch>,
}

/// One GDB at one device.
pub struct Session {
    pub(crate) device: Device,
    pub(crate) arrived: Receiver<Arrived>,
    /// What arrived while an answer of the device was awaited.
    pub(crate) later: VecDeque<Arrived>,
    pub(crate) memory: Memory,
    pub(crate) breakpoints: Breakpoints,
    pub(crate) watchpoints: Watchpoints,
    pub(crate) probes_max: usize,
    pub(crate) attached: bool,
    /// The policy lets nobody stop the application.
    pub(crate) unstoppable: bool,
    pub(crate) stop: Option<Stop>,
    interrupted: bool,
    /// Writes that the device has not been told of yet.
    pub(crate) pending: Vec<Order>,
    /// What GDB is to print.
    console: Vec<u8>,
    pub(crate) ahead: Ahead,
    pub(crate) habits: Habits,
    /// Of the program that was proved to be what the device runs.
    pub(crate) lines: Lines,
    /// The application's kernel, if its file names one.
    pub(crate) kernel: Option<Kernel>,
    /// Its threads, while it stands still.
    pub(crate) threads: Option<Vec<Thread>>,
    /// The thread whose registers GDB looks at; 0: the current one.
    pub(crate) selected: u32,
    /// Handlers of exceptions that are caught.
    pub(crate) catches: BTreeMap<u32, BTreeSet<&'static str>>,
    pub(crate) step_interrupts: bool,
    pub(crate) loader: Option<Box<dyn Loader>>,
    /// What GDB wrote to flash so far.
    pub(crate) written: Vec<Part>,
    pub(crate) manifest: Vec<u8>,
    /// Stops that the device told of since the session began.
    pub(crate) heard: u32,
    /// The link is lost.
    pub(crate) away: bool,
    /// An order to run of which it is not known whether it arrived.
    pub(crate) unsure: Vec<Order>,
    /// The link came back while something was asked; nobody was told yet.
    pub(crate) rejoined: Option<Rejoined>,
}

impl Session {
    /// A session that is not attached yet.
    pub fn new(device: Device, arrived: Receiver<Arrived>) -> Self {
        Self {
            device,
            arrived,
            later: VecDeque::new(),
            memory: Memory::default(),
            breakpoints: Breakpoints::default(),
            watchpoints: Watchpoints::default(),
            probes_max: 0,
            attached: false,
            unstoppable: false,
            stop: None,
            interrupted: false,
            pending: Vec::new(),
            console: Vec::new(),
            ahead: Ahead::default(),
            habits: Habits::default(),
            lines: Lines::default(),
            kernel: None,
            threads: None,
            selected: 0,
            catches: BTreeMap::new(),
            step_interrupts: false,
            loader: None,
            written: Vec::new(),
            manifest: Vec::new(),
            heard: 0,
            away: false,
            unsure: Vec::new(),
            rejoined: None,
        }
    }

    /// Takes in what the device said meanwhile, without waiting.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub fn settle(&mut self) -> Result<(), DeviceError> {
        self.later.extend(self.arrived.try_iter());
        let (said, others): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.later)
            .into_iter()
            .partition(|arrived| matches!(arrived, Arrived::Device(_)));
        self.later = others;
        said.into_iter().try_for_each(|arrived| match arrived {
            Arrived::Device(message) => self.hear(&message),
            _ => Ok(()),
        })
    }

    /// What arrives next.
    pub(crate) fn next(&mut self) -> Option<Arrived> {
        loop {
            if let Some(next) = self.later.pop_front() {
                return Some(next);
            }
            match self.arrived.recv_timeout(ALIVE_EVERY) {
                Ok(next) => return Some(next),
                Err(RecvTimeoutError::Timeout) if self.attached && !self.away => {
                    match self.ask(&[Order::Alive]) {
                        // A device of an earlier version does not know it, nor wait for it.
                        Ok(_) | Err(DeviceError::Refused(_) | DeviceError::Away) => {}
                        Err(error) => return Some(Arrived::DeviceGone(error.to_string())),
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Round trips so far.
    pub fn round_trips(&self) -> u64 {
        self.device.round_trips
    }

    /// Bytes of all requests so far.
    pub fn bytes_sent(&self) -> u64 {
        self.device.bytes_sent
    }

    fn read_registers(&mut self) -> Result<(), DeviceError> {
        for answer in self.ask(&[Order::ReadRegisters])? {
            if let Answered::Registers(registers) = answer {
                let reason = StopReason::Halted;
                self.stop = Some(Stop { reason, registers: *registers, faults: None, watch: None });
            }
        }
        Ok(())
    }

    /// Sends orders behind the writes that wait, and waits for all answers to the orders.
    pub(crate) fn ask(&mut self, orders: &[Order]) -> Result<Vec<Answered>, DeviceError> {
        if self.away {
            self.await_back(PATIENCE)?;
            self.rejoined = Some(self.rejoin()?);
        }
        let waiting = std::mem::take(&mut self.pending);
        let asked = self.carry(&waiting, orders);
        if asked == Err(DeviceError::Away) {
            self.away = true;
            // To write the same twice does no harm.
            self.pending = waiting;
        }
        asked
    }

    fn carry(&mut self, waiting: &[Order], orders: &[Order]) -> Result<Vec<Answered>, DeviceError> {
        let n_waiting = waiting.len();
        let all: Vec<Order> = waiting.iter().chain(orders).cloned().collect();
        let (mut answers, mut rest) = (Vec::new(), all.as_slice());
        while !rest.is_empty() {
            let (sequence, taken) = self.device.request(rest)?;
            if taken == 0 {
                return Err(DeviceError::Unreadable);
            }
            self.await_reply(sequence, &mut answers)?;
            if let Some(Answered::Refused(reason)) = answers.last() {
                return Err(DeviceError::Refused(*reason));
            }
            rest = rest.get(taken..).unwrap_or_default();
        }
        // Fewer answers than orders would be taken for answers to other orders.
        if answers.len() < all.len() {
            return Err(DeviceError::Unreadable);
        }
        // Each write was answered by `Done`, before the first answer to an order.
        Ok(answers.split_off(n_waiting))
    }

    fn await_reply(&mut self, sequence: u32, answers: &mut Vec<Answered>) -> Result<(), DeviceError> {
        let until = Instant::now() + ANSWER_MAX;
        loop {
            match self.receive(until)? {
                Arrived::Device(message) if message_type(&message) == Some(MessageType::Reply) => {
                    if read_reply(&message, sequence, answers)? == Some(true) {
                        return Ok(());
                    }
                }
                other => self.later.push_back(other),
            }
        }
    }

    /// Waits for the application to stop, whatever else arrives.
    pub(crate) fn await_stop(&mut self) -> Result<(), DeviceError> {
        let until = Instant::now() + ANSWER_MAX;
        let mut others = std::mem::take(&mut self.later);
        loop {
            let arrived = match others.pop_front() {
                Some(arrived) => arrived,
                None => self.receive(until)?,
            };
            match arrived {
                Arrived::Device(message) => self.hear(&message)?,
                other => self.later.push_back(other),
            }
            if self.stop.is_some() {
                self.later.extend(others);
                return Ok(());
            }
        }
    }

    fn receive(&mut self, until: Instant) -> Result<Arrived, DeviceError> {
        match self.arrived.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Arrived::DeviceGone(why)) => Err(DeviceError::Gone(why)),
            Ok(Arrived::DeviceAway(_)) => {
                self.away = true;
                Err(DeviceError::Away)
            }
            Ok(arrived) => Ok(arrived),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(DeviceError::Silent),
        }
    }

    /// Takes what the device says by itself.
    pub(crate) fn hear(&mut self, message: &[u8]) -> Result<(), DeviceError> {
        if message_type(message) != Some(MessageType::Event) {
            return Ok(());
        }
        let mut events = parse_events(message).map_err(|_| DeviceError::Unreadable)?;
        let first = events.next_pair::<Event<'_>>().map_err(|_| DeviceError::Unreadable)?.flatten();
        match first {
            Some(Event::Stopped(stopped)) => {
                self.heard = self.heard.wrapping_add(1);
                if let Some(pushed) = self.ahead.keep(pushed(&stopped, events)) {
                    self.show(pushed);
                }
            }
            Some(Event::Passed(stopped)) => {
                self.show(pushed(&stopped, events));
                self.ahead.passes();
            }
            Some(Event::ApplicationReset(reset)) => {
                if reset.manifest == self.manifest {
                    self.memory.ran();
                } else {
                    self.memory.restarted();
                    self.habits.forget();
                    self.lines = Lines::default();
                }
                self.watchpoints.forgotten();
                self.ahead.forget();
                (self.stop, self.threads) = (None, None);
            }
            Some(Event::Log(log)) => self.take_log(&log),
            Some(Event::Console(console)) => self.console.extend_from_slice(console.text),
            Some(Event::Snapshot(picture)) => {
                self.console.extend_from_slice(crate::snapshots::picture_words(&picture).as_bytes());
            }
            // What was seen comes behind a stop.
            Some(Event::Seen(_)) | None => {}
        }
        Ok(())
    }

    /// The application stands still, as far as GDB is concerned.
    pub(crate) fn show(&mut self, pushed: Pushed) {
        self.memory.ran();
        for (address, bytes) in &pushed.memory {
            self.memory.learn(*address, bytes);
        }
        if let Some((address, bytes)) = pushed.memory.first() {
            let len = u32::try_from(bytes.len()).unwrap_or_default();
            self.habits.stopped(Range { address: *address, len });
        }
        self.threads = None;
        self.stop = Some(pushed.stop);
    }

    /// The packet that tells of the stop that the application came to; `None` while it runs.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub(crate) fn stop_packet(&mut self) -> Result<Option<Vec<u8>>, DeviceError> {
        use std::fmt::Write as _;
        let thread = match self.current_thread() {
            // Whose thread it is will be seen when the link is back.
            Err(DeviceError::Away | DeviceError::Refused(_)) => crate::threads::ONLY,
            thread => thread?,
        };
        let Some(stop) = self.stop.as_ref() else { return Ok(None) };
        let signal = signal(stop, self.interrupted);
        // Another stop than one that Ctrl-C may have led to can be GDB's own affair: then it is told with the next.
        self.interrupted &= signal != SIGNAL_INTERRUPT;
        self.ahead.told();
        self.selected = 0;
        let mut out = format!("T{signal:02x}thread:{thread:x};");
        // GDB does not know of a breakpoint at a handler that is caught.
        if stop.reason == StopReason::Breakpoint && !self.catches.contains_key(&stop.registers.pc()) {
            out.push_str("swbreak:;");
        }
        if let Some(watch) = stop.watch {
            let _ = write!(out, "{}:{:x};", stop_word(watch.kind), watch.address);
        }
        // Told with the stop, none of them is asked for.
        for named in description::registers(self.has_float()) {
            if let Some(digits) = Self::digits(&stop.registers, named) {
                let _ = write!(out, "{:02x}:{digits};", named.number);
            }
        }
        Ok(Some(out.into_bytes()))
    }

    /// Why it stopped, for a person, where there is more to say than GDB can.
    pub(crate) fn stop_words(&self) -> Option<String> {
        let stop = self.stop.as_ref()?;
        if let Some(names) = self.catches.get(&stop.registers.pc()) {
            return Some(format!("caught: the handler of {} begins\n", crate::monitor::list(names)));
        }
        stop.faults.map(|_| self.fault_words())
    }

    /// What GDB is to print since the last call.
    pub fn take_console(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.console)
    }

    /// Ctrl-C.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub fn interrupt(&mut self) -> Result<(), DeviceError> {
        self.interrupted = true;
        if self.unstoppable {
            self.pretend();
        } else if self.stop.is_none() {
            self.ask(&[Order::Halt])?;
        }
        Ok(())
    }

    /// GDB is gone: the application runs without breakpoints.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub fn detach(&mut self) -> Result<(), DeviceError> {
        self.ask(&[Order::Detach])?;
        self.breakpoints = Breakpoints::default();
        self.watchpoints = Watchpoints::default();
        self.console.clear();
        self.attached = false;
        self.catches.clear();
        self.ahead.forget();
        (self.stop, self.threads) = (None, None);
        self.memory.ran();
        Ok(())
    }

    /// Answers one packet.
    ///
    /// # Errors
    /// [`DeviceError`] that ends the session; what merely went wrong is told to GDB.
    pub fn answer(&mut self, packet: &[u8], control: Control) -> Result<Reaction, DeviceError> {
        let answered = match control {
            Control::Full => self.dispatch(packet),
            Control::Looks => self.dispatch_look(packet),
        };
        match answered {
            Err(DeviceError::Away) => Ok(Reaction::Answer(b"E.the link to the device is lost".into())),
            Err(DeviceError::Refused(reason)) => {
                let code = match reason {
                    RefusalReason::Forbidden | RefusalReason::AccessFailed => "E0e",
                    RefusalReason::Full => "E1c",
                    RefusalReason::NotAllowed => "E0d",
                    _ => "E01",
                };
                Ok(Reaction::Answer(code.into()))
            }
            other => other,
        }
    }

    pub(crate) fn dispatch(&mut self, packet: &[u8]) -> Result<Reaction, DeviceError> {
        let text = |text: &str| Ok(Reaction::Answer(text.into()));
        let (Some(kind), rest) = (packet.first(), packet.get(1..).unwrap_or_default()) else {
            return text("");
        };
        match kind {
            b'?' => Ok(self.stop_packet()?.map_or(Reaction::Runs, Reaction::Answer)),
            b'g' => text(&self.all_registers()?),
            b'G' | b'P' if !self.is_current()? => {
                text("E.only the running thread's registers can be written")
            }
            b'G' => self.write_all_registers(rest),
            b'p' => text(&self.register(rest)?),
            b'P' => self.write_register(rest),
            b'm' => self.read(rest),
            b'M' => self.write(rest, true),
            b'X' => self.write(rest, false),
            b'Z' | b'z' => self.breakpoint(*kind == b'Z', rest),
            b'c' => self.resume(b"c"),
            b's' => self.resume(b"s"),
            b'v' => self.verbose(packet),
            b'q' | b'Q' => self.query(packet),
            // Who leaves is let go by the loop, however that happens.
            b'D' => Ok(Reaction::Leaves(b"OK".into())),
            b'k' => Ok(Reaction::Leaves(Vec::new())),
            b'H' => {
                if let Some(thread) = rest.strip_prefix(b"g") {
                    self.selected = number(thread).unwrap_or_default();
                }
                text("OK")
            }
            b'T' => {
                let id = number(rest).unwrap_or_default();
                let lives = self.threads()?.iter().any(|thread| thread.id == id);
                text(if lives { "OK" } else { "E01" })
            }
            _ => text(""),
        }
    }

    /// Whether GDB looks at the thread that the processor is in.
    fn is_current(&mut self) -> Result<bool, DeviceError> {
        Ok(self.selected == 0 || self.selected == self.current_thread()?)
    }

    fn query(&mut self, packet: &[u8]) -> Result<Reaction, DeviceError> {
        let answer = |bytes: Option<Vec<u8>>| Ok(Reaction::Answer(bytes.unwrap_or_else(|| b"E01".into())));
        if let Some(span) = packet.strip_prefix(b"qXfer:features:read:target.xml:") {
            return answer(piece(&description::target(self.has_float()), span));
        }
        if let Some(span) = packet.strip_prefix(b"qXfer:memory-map:read::") {
            let loads = self.loader.is_some();
            return answer(piece(&description::memory_map(self.memory.regions(), loads), span));
        }
        if let Some(span) = packet.strip_prefix(b"qXfer:threads:read::") {
            self.shows();
            return answer(piece(&document(&self.threads()?), span));
        }
        if let Some(span) = packet.strip_prefix(b"qCRC:") {
            return self.checksum(span);
        }
        if let Some(command) = packet.strip_prefix(b"qRcmd,") {
            return self.monitor(command, false);
        }
        let known: &[u8] = match packet {
            b"QStartNoAckMode" | b"qSymbol::" => b"OK",
            b"qAttached" => b"1",
            b"qC" => {
                let thread = self.current_thread()?;
                return answer(Some(format!("QC{thread:x}").into_bytes()));
            }
            b"qfThreadInfo" => {
                self.shows();
                let ids: Vec<_> = self.threads()?.iter().map(|thread| format!("{:x}", thread.id)).collect();
                return answer(Some(format!("m{}", ids.join(",")).into_bytes()));
            }
            b"qsThreadInfo" => b"l",
            _ if packet.starts_with(b"qSupported") => {
                let supported = format!(
                    "PacketSize={PACKET_LEN_MAX:x};QStartNoAckMode+;vContSupported+;swbreak+;hwbreak+;ConditionalBreakpoints+;\
                     BreakpointCommands+;\
                     qXfer:features:read+;qXfer:memory-map:read+;qXfer:threads:read+"
                );
                return answer(Some(supported.into_bytes()));
            }
            _ => b"",
        };
        answer(Some(known.into()))
    }

    fn verbose(&mut self, packet: &[u8]) -> Result<Reaction, DeviceError> {
        if packet == b"vCont?" {
            return Ok(Reaction::Answer(b"vCont;c;C;s;S;r".into()));
        }
        match packet.strip_prefix(b"vCont;") {
            Some(actions) => {
                let first = actions.split(|byte| *byte == b';').next().unwrap_or_default();
                let mut parts = first.split(|byte| *byte == b':');
                let action = parts.next().unwrap_or_default();
                let thread = parts.next().and_then(number).unwrap_or_default();
                let steps = matches!(action.first(), Some(b's' | b'S' | b'r'));
                // `-1` and 0 are any thread; the processor steps the one that it is in.
                if steps && thread > crate::threads::ONLY && thread != self.current_thread()? {
                    return Ok(Reaction::Answer(b"E.only the running thread can be stepped".into()));
                }
                self.resume(action)
            }
            None if packet.starts_with(b"vFlash") => self.flash(packet),
            None => Ok(Reaction::Answer(Vec::new())),
        }
    }

    /// GDB asks which threads there are: it shows the stop to a person.
    fn shows(&mut self) {
        self.ahead.shown();
        self.interrupted = false;
    }

    fn breakpoint(&mut self, set: bool, rest: &[u8]) -> Result<Reaction, DeviceError> {
        if let Some(reaction) = self.watchpoint(set, rest) {
            return reaction;
        }
        let text = |text: &str| Ok(Reaction::Answer(text.into()));
        // Software and hardware breakpoints are the same to the device.
        let (Some(b'0' | b'1'), Some(place)) = (rest.first(), rest.get(2..)) else { return text("") };
        let end = place.iter().position(|byte| *byte == b';').unwrap_or(place.len());
        let (place, rest) = place.split_at_checked(end).unwrap_or_default();
        let (Some((address, _)), Some(expressions)) = (pair(place, b','), expressions(rest)) else {
            return text("E01");
        };
        let address = address & !1;
        if self.catches.contains_key(&address) {
            // The breakpoint of `monitor vcatch` stays whatever GDB does with its own at this place.
            return text("OK");
        }
        if !set {
            self.breakpoints.clear(address);
            return text("OK");
        }
        if self.memory.region(address, 2).is_none() {
            return text("E0e");
        }
        if self.breakpoints.count() >= self.probes_max {
            return text("E1c");
        }
        self.breakpoints.set(address, expressions);
        text("OK")
    }

    fn note(&mut self, order: Order) -> Result<(), DeviceError> {
        self.pending.push(order);
        // While it runs there may be no other request for long.
        if self.stop.is_none() || self.pending.len() >= PENDING_MAX {
            self.ask(&[])?;
        }
        Ok(())
    }

    fn read(&mut self, span: &[u8]) -> Result<Reaction, DeviceError> {
        let Some((address, len)) = pair(span, b',') else { return Ok(Reaction::Answer(b"E01".into())) };
        let len = len.min(u32::try_from(PACKET_LEN_MAX / 2).unwrap_or_default());
        if self.stop.is_none() {
            // It runs: what was read a moment ago may not be there any more.
            self.memory.ran();
        }
        if let Some(reaction) = self.read_device(address, len) {
            return reaction;
        }
        if self.unstoppable {
            self.memory.ran();
        }
        let is_ram = |region: &Region| region.kind == RegionKind::Ram;
        if self.stop.is_some() && self.memory.region(address, len).is_some_and(is_ram) {
            self.habits.looked(Range { address, len });
        }
        for _ in 0..QUESTIONS_MAX {
            if let Some(bytes) = self.memory.known(address, len) {
                return Ok(Reaction::Answer(hex(&bytes).into_bytes()));
            }
            // What is no memory of the application's is not asked for: reading a peripheral may have effects.
            let Some(range) = self.memory.question(address, len) else { break };
            self.learn(&[range])?;
        }
        Ok(Reaction::Answer(b"E0e".into()))
    }

    /// Asks the device for what is in ranges.
    pub(crate) fn learn(&mut self, ranges: &[Range]) -> Result<(), DeviceError> {
        if ranges.is_empty() {
            return Ok(());
        }
        let orders: Vec<_> = ranges.iter().map(|range| Order::Read(*range)).collect();
        for answer in self.ask(&orders)? {
            if let Answered::Memory { address, bytes } = answer {
                self.memory.learn(address, &bytes);
            }
        }
        Ok(())
    }

    fn write(&mut self, text: &[u8], digits: bool) -> Result<Reaction, DeviceError> {
        let refused = |code: &[u8]| Ok(Reaction::Answer(code.into()));
        let Some((span, data)) = split_once(text, b':') else { return refused(b"E01") };
        let bytes = if digits { unhex(data) } else { Some(data.to_vec()) };
        let (Some((address, len)), Some(bytes)) = (pair(span, b','), bytes) else { return refused(b"E01") };
        if u32::try_from(bytes.len()) != Ok(len) {
            return refused(b"E01");
        }
        if let Some(reaction) = self.write_device(address, &bytes) {
            return reaction;
        }
        let is_ram = |region: &Region| region.kind != RegionKind::Code;
        if !self.memory.region(address, len).is_some_and(is_ram) {
            return refused(b"E0e");
        }
        self.memory.write(address, &bytes);
        for (at, part) in (address..).step_by(WRITE_LEN_MAX).zip(bytes.chunks(WRITE_LEN_MAX)) {
            self.note(Order::Write { address: at, bytes: part.to_vec() })?;
        }
        refused(b"OK")
    }

    fn checksum(&mut self, span: &[u8]) -> Result<Reaction, DeviceError> {
        let Some((address, len)) = pair(span, b',') else { return Ok(Reaction::Answer(b"E01".into())) };
        let found = self.ask(&[Order::Crc(Range { address, len })])?;
        let text = match found.first() {
            Some(Answered::Checksum(crc)) => format!("C{crc:08x}"),
            _ => "E01".into(),
        };
        Ok(Reaction::Answer(text.into_bytes()))
    }
}

fn pushed(stopped: &Stopped<'_>, mut events: Pairs<'_>) -> Pushed {
    let registers = RegisterFile { core: stopped.core, system: stopped.system, float: stopped.float };
    let mut memory = vec![(stopped.stack_address, stopped.stack.to_vec())];
    while let Ok(Some(event)) = events.next_pair::<Event<'_>>() {
        if let Some(Event::Seen(seen)) = event {
            memory.push((seen.address, seen.bytes.to_vec()));
        }
    }
    Pushed {
        stop: Stop { reason: stopped.reason, registers, faults: stopped.faults, watch: stopped.watch },
        memory,
    }
}

const SIGNAL_INTERRUPT: u8 = 2;

fn signal(stop: &Stop, interrupted: bool) -> u8 {
    const UNDEFINED: u32 = 1 << 16;
    const DIVIDED_BY_ZERO: u32 = 1 << 25;
    const BUS: u32 = 0xFF00;
    match (stop.reason, stop.faults) {
        (StopReason::Fault, Some(faults)) if faults.cfsr & DIVIDED_BY_ZERO != 0 => 8,
        (StopReason::Fault, Some(faults)) if faults.cfsr & UNDEFINED != 0 => 4,
        (StopReason::Fault, Some(faults)) if faults.cfsr & BUS != 0 => 10,
        (StopReason::Fault, _) => 11,
        (StopReason::Halted | StopReason::Stepped, _) if interrupted => SIGNAL_INTERRUPT,
        _ => 5,
    }
}
