//! GDB's packets, answered.

mod registers;
mod unstoppable;
mod watching;

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use bulkhead_debug_protocol::{
    Event, Faults, MessageType, RefusalReason, RegisterFile, Resume, Run, StopReason, WRITE_LEN_MAX, Watch,
    message_type, parse_event,
};

use crate::breakpoints::{Breakpoints, expressions};
use crate::description;
use crate::device::{Answered, Device, DeviceError, Order, read_reply};
use crate::elf::{Elf, crc};
use crate::memory::{Memory, Range};
use crate::packet::PACKET_LEN_MAX;
use crate::serve::Arrived;
use crate::transfer::{hex, pair, piece, split_once, unhex};
use crate::watchpoints::{Watchpoints, stop_word};

/// How long the device has for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How often a device whose application may stand still hears that somebody is there; it waits four times as long.
const ALIVE_EVERY: Duration = Duration::from_secs(15);
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
}

/// What the application did last.
#[derive(Clone, Debug)]
struct Stop {
    reason: StopReason,
    registers: RegisterFile,
    faults: Option<Faults>,
    watch: Option<Watch>,
}

/// One GDB at one device.
pub struct Session {
    device: Device,
    arrived: Receiver<Arrived>,
    /// What arrived while an answer of the device was awaited.
    later: VecDeque<Arrived>,
    memory: Memory,
    breakpoints: Breakpoints,
    watchpoints: Watchpoints,
    probes_max: usize,
    attached: bool,
    /// The policy lets nobody stop the application.
    unstoppable: bool,
    stop: Option<Stop>,
    interrupted: bool,
    /// Writes that the device has not been told of yet.
    pending: Vec<Order>,
    /// What GDB is to print.
    console: Vec<u8>,
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
                Err(RecvTimeoutError::Timeout) if self.attached => match self.ask(&[Order::Alive]) {
                    // A device of an earlier version does not know it, nor wait for it.
                    Ok(_) | Err(DeviceError::Refused(_)) => {}
                    Err(error) => return Some(Arrived::DeviceGone(error.to_string())),
                },
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

    /// Begins the session on the device and stops the application.
    ///
    /// Returns whether the device holds what `elf` says, if there is one.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub fn attach(&mut self, elf: Option<&Elf>) -> Result<Option<bool>, DeviceError> {
        match self.ask(&[Order::Hello, Order::Halt]) {
            Ok(answers) => {
                if self.welcome(answers) {
                    self.read_registers()?;
                } else {
                    self.stop = None;
                    self.await_stop()?;
                }
            }
            Err(DeviceError::Refused(RefusalReason::NotAllowed)) => self.attach_running()?,
            Err(error) => return Err(error),
        }
        elf.map(|elf| self.compare(elf)).transpose()
    }

    /// Takes the answers to `Hello`; whether the application stands still.
    fn welcome(&mut self, answers: Vec<Answered>) -> bool {
        let mut halted = false;
        let mut regions = Vec::new();
        for answer in answers {
            match answer {
                Answered::Welcome { halted: stands, probes_max, watches_max } => {
                    (halted, self.probes_max) = (stands, probes_max);
                    self.watchpoints = Watchpoints::new(watches_max);
                }
                Answered::Region(region) => regions.push(region),
                _ => {}
            }
        }
        (self.attached, self.unstoppable) = (true, false);
        self.memory = Memory::new(regions);
        self.breakpoints = Breakpoints::default();
        halted
    }

    /// Compares the device's memory with a program, once, by checksums; what is equal is never asked for again.
    fn compare(&mut self, elf: &Elf) -> Result<bool, DeviceError> {
        let span = |address, bytes: &Vec<u8>| {
            let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            Range { address, len }
        };
        let orders: Vec<_> =
            elf.spans.iter().map(|part| Order::Crc(span(part.address, &part.bytes))).collect();
        let answers = self.ask(&orders)?;
        let mut all_equal = true;
        for (part, answer) in elf.spans.iter().zip(answers) {
            if answer == Answered::Checksum(crc(&part.bytes)) {
                self.memory.proved(part.clone());
            } else {
                all_equal = false;
            }
        }
        Ok(all_equal)
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
    fn ask(&mut self, orders: &[Order]) -> Result<Vec<Answered>, DeviceError> {
        let waiting = std::mem::take(&mut self.pending);
        let n_waiting = waiting.len();
        let all: Vec<Order> = waiting.into_iter().chain(orders.iter().cloned()).collect();
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
        // Each write was answered by `Done`, before the first answer to an order.
        Ok(answers.split_off(n_waiting.min(answers.len())))
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
    fn await_stop(&mut self) -> Result<(), DeviceError> {
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
            Ok(arrived) => Ok(arrived),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(DeviceError::Silent),
        }
    }

    /// Takes what the device says by itself.
    pub(crate) fn hear(&mut self, message: &[u8]) -> Result<(), DeviceError> {
        if message_type(message) != Some(MessageType::Event) {
            return Ok(());
        }
        match parse_event(message).map_err(|_| DeviceError::Unreadable)? {
            Some(Event::Stopped(stopped)) => {
                self.memory.ran();
                self.memory.learn(stopped.stack_address, stopped.stack);
                let registers =
                    RegisterFile { core: stopped.core, system: stopped.system, float: stopped.float };
                let (reason, faults, watch) = (stopped.reason, stopped.faults, stopped.watch);
                self.stop = Some(Stop { reason, registers, faults, watch });
            }
            Some(Event::ApplicationReset(_)) => {
                self.memory.restarted();
                self.watchpoints.forgotten();
                self.stop = None;
            }
            Some(Event::Log(log)) => self.take_log(&log),
            Some(Event::Console(console)) => self.console.extend_from_slice(console.text),
            // No probe that takes pictures is set.
            Some(Event::Snapshot(_)) | None => {}
        }
        Ok(())
    }

    /// The packet that tells of the stop that the application came to; `None` while it runs.
    pub(crate) fn stop_packet(&mut self) -> Option<Vec<u8>> {
        use std::fmt::Write as _;
        let stop = self.stop.as_ref()?;
        let interrupted = std::mem::take(&mut self.interrupted);
        let signal = signal(stop, interrupted);
        let mut out = format!("T{signal:02x}thread:1;");
        if stop.reason == StopReason::Breakpoint {
            out.push_str("swbreak:;");
        }
        if let Some(watch) = stop.watch {
            let _ = write!(out, "{}:{:x};", stop_word(watch.kind), watch.address);
        }
        // Told with the stop, none of them is asked for.
        for named in description::registers(self.has_float()) {
            if let Some(digits) = self.digits(named) {
                let _ = write!(out, "{:02x}:{digits};", named.number);
            }
        }
        Some(out.into_bytes())
    }

    /// Why it stopped, for a person, where there is more to say than GDB can.
    pub(crate) fn stop_words(&self) -> Option<String> {
        let stop = self.stop.as_ref()?;
        let faults = stop.faults?;
        Some(format!(
            "fault: CFSR {:#010x}, SFSR {:#010x}, address {:#010x}\n",
            faults.cfsr, faults.sfsr, faults.bfar
        ))
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
        self.stop = None;
        self.memory.ran();
        Ok(())
    }

    /// Answers one packet.
    ///
    /// # Errors
    /// [`DeviceError`] that ends the session; what merely went wrong is told to GDB.
    pub fn answer(&mut self, packet: &[u8]) -> Result<Reaction, DeviceError> {
        let answered = self.dispatch(packet);
        match answered {
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

    fn dispatch(&mut self, packet: &[u8]) -> Result<Reaction, DeviceError> {
        let text = |text: &str| Ok(Reaction::Answer(text.into()));
        let (Some(kind), rest) = (packet.first(), packet.get(1..).unwrap_or_default()) else {
            return text("");
        };
        match kind {
            b'?' => Ok(self.stop_packet().map_or(Reaction::Runs, Reaction::Answer)),
            b'g' => text(&self.all_registers()),
            b'G' => self.write_all_registers(rest),
            b'p' => text(&self.register(rest)),
            b'P' => self.write_register(rest),
            b'm' => self.read(rest),
            b'M' => self.write(rest, true),
            b'X' => self.write(rest, false),
            b'Z' | b'z' => self.breakpoint(*kind == b'Z', rest),
            b'c' => self.resume(b"c"),
            b's' => self.resume(b"s"),
            b'v' => self.verbose(packet),
            b'q' | b'Q' => self.query(packet),
            b'D' => {
                self.detach()?;
                Ok(Reaction::Leaves(b"OK".into()))
            }
            b'k' => {
                self.detach()?;
                Ok(Reaction::Leaves(Vec::new()))
            }
            b'H' | b'T' => text("OK"),
            _ => text(""),
        }
    }

    fn query(&mut self, packet: &[u8]) -> Result<Reaction, DeviceError> {
        let answer = |bytes: Option<Vec<u8>>| Ok(Reaction::Answer(bytes.unwrap_or_else(|| b"E01".into())));
        if let Some(span) = packet.strip_prefix(b"qXfer:features:read:target.xml:") {
            return answer(piece(&description::target(self.has_float()), span));
        }
        if let Some(span) = packet.strip_prefix(b"qXfer:memory-map:read::") {
            return answer(piece(&description::memory_map(self.memory.regions()), span));
        }
        if let Some(span) = packet.strip_prefix(b"qCRC:") {
            return self.checksum(span);
        }
        if let Some(command) = packet.strip_prefix(b"qRcmd,") {
            return self.monitor(command);
        }
        let known: &[u8] = match packet {
            b"QStartNoAckMode" | b"qSymbol::" => b"OK",
            b"qAttached" => b"1",
            b"qC" => b"QC1",
            b"qfThreadInfo" => b"m1",
            b"qsThreadInfo" => b"l",
            _ if packet.starts_with(b"qSupported") => {
                let supported = format!(
                    "PacketSize={PACKET_LEN_MAX:x};QStartNoAckMode+;vContSupported+;swbreak+;hwbreak+;ConditionalBreakpoints+;\
                     BreakpointCommands+;\
                     qXfer:features:read+;qXfer:memory-map:read+"
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
                self.resume(first.split(|byte| *byte == b':').next().unwrap_or_default())
            }
            None => Ok(Reaction::Answer(Vec::new())),
        }
    }

    /// Lets the application run; breakpoints that changed travel in the same request.
    fn resume(&mut self, action: &[u8]) -> Result<Reaction, DeviceError> {
        if self.is_stepped_already(action) {
            return Ok(Reaction::Runs);
        }
        let plain = |run| Resume { run, low: None, high: None, steps_max: None, interrupts: None };
        let order = match action {
            [b'c' | b'C', ..] => plain(Run::Continue),
            [b's' | b'S', ..] => plain(Run::Step),
            [b'r', span @ ..] => match pair(span, b',') {
                Some((low, high)) => Resume { low: Some(low), high: Some(high), ..plain(Run::Range) },
                None => return Ok(Reaction::Answer(b"E01".into())),
            },
            _ => return Ok(Reaction::Answer(b"E01".into())),
        };
        let (away, new) = self.breakpoints.difference();
        let mut orders: Vec<_> = away.into_iter().map(Order::Clear).collect();
        orders.extend(new.into_iter().map(|(address, expressions)| Order::Set { address, expressions }));
        orders.extend(self.watch_orders());
        if let Some(reaction) = self.go_on_running(action, &orders) {
            return reaction;
        }
        orders.push(Order::Resume(order));
        let before = self.stop.take();
        // What the device refuses leaves the application where it was.
        match self.ask(&orders) {
            Ok(answers) => self.note_watches(&answers),
            Err(error) => {
                self.stop = before;
                self.breakpoints.forgotten();
                self.watchpoints.forgotten();
                return Err(error);
            }
        }
        self.breakpoints.agreed();
        self.watchpoints.agreed();
        self.memory.ran();
        Ok(Reaction::Runs)
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
        if self.pending.len() >= PENDING_MAX {
            self.ask(&[])?;
        }
        Ok(())
    }

    fn read(&mut self, span: &[u8]) -> Result<Reaction, DeviceError> {
        let Some((address, len)) = pair(span, b',') else { return Ok(Reaction::Answer(b"E01".into())) };
        let len = len.min(u32::try_from(PACKET_LEN_MAX / 2).unwrap_or_default());
        if let Some(reaction) = self.read_device(address, len) {
            return reaction;
        }
        if self.unstoppable {
            self.memory.ran();
        }
        for _ in 0..QUESTIONS_MAX {
            if let Some(bytes) = self.memory.known(address, len) {
                return Ok(Reaction::Answer(hex(&bytes).into_bytes()));
            }
            // What is no memory of the application's is not asked for: reading a peripheral may have effects.
            let Some(range) = self.memory.question(address, len) else { break };
            for answer in self.ask(&[Order::Read(range)])? {
                if let Answered::Memory { address, bytes } = answer {
                    self.memory.learn(address, &bytes);
                }
            }
        }
        Ok(Reaction::Answer(b"E0e".into()))
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
        let is_ram = |region: &bulkhead_debug_protocol::Region| {
            region.kind != bulkhead_debug_protocol::RegionKind::Code
        };
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

    fn monitor(&mut self, digits: &[u8]) -> Result<Reaction, DeviceError> {
        let command = unhex(digits).and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
        let words: Vec<&str> = command.split_whitespace().collect();
        let said = match words.as_slice() {
            ["reset", "halt"] => {
                self.stop = None;
                self.ask(&[Order::Reset { halt: true }])?;
                self.await_stop()?;
                "the application stands before its first instruction; `maintenance flush register-cache` shows it\n"
                    .to_owned()
            }
            ["status"] => format!(
                "{} round trips, {} bytes sent, {} of {} breakpoints\n",
                self.device.round_trips,
                self.device.bytes_sent,
                self.breakpoints.count(),
                self.probes_max
            ),
            _ => "monitor reset halt   restart the application and stop before its first instruction\n\
                  monitor status       what this session took so far\n"
                .to_owned(),
        };
        Ok(Reaction::Answer(hex(said.as_bytes()).into_bytes()))
    }
}

fn signal(stop: &Stop, interrupted: bool) -> u8 {
    const UNDEFINED: u32 = 1 << 16;
    const DIVIDED_BY_ZERO: u32 = 1 << 25;
    const BUS: u32 = 0xFF00;
    match (stop.reason, stop.faults) {
        (StopReason::Fault, Some(faults)) if faults.cfsr & DIVIDED_BY_ZERO != 0 => 8,
        (StopReason::Fault, Some(faults)) if faults.cfsr & UNDEFINED != 0 => 4,
        (StopReason::Fault, Some(faults)) if faults.cfsr & BUS != 0 => 10,
        (StopReason::Fault, _) => 11,
        (StopReason::Halted, _) if interrupted => 2,
        _ => 5,
    }
}
