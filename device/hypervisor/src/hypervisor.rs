//! The executor's one machine: takes the facts of a moment, moves everything one bounded slice, returns an order.

use core::fmt::Arguments;

use bulkhead_debug_agent::DebugTarget;
use bulkhead_hardware_ports::{Entropy, EthernetController};
use bulkhead_link_protocol::{
    BootReason, CommandDone, Digest, FaultKind, Fetch, KeySetOffer, LogSource, PlanRequest, UpdateStage,
};
use bulkhead_network_stack::NetworkStack;
use bulkhead_nor_flash::{FlashAddress, NorFlash};
use bulkhead_syscall_abi::{BootReasonNumber, NotificationKind};
use bulkhead_update_engine::{Boot, Engine, Floors as EngineFloors, Memory};
use heapless::Deque;

use crate::application::{Application, Due, FaultStatus, Health, Offence};
use crate::calls::MailboxAccess;
use crate::configuration::Configuration;
use crate::crash::{Crash, CrashStorage};
use crate::debug::{Debug, DebugStorage};
use crate::downtime::FlashSpeeds;
use crate::ledger::Ledger;
use crate::link::{Link, LinkSettings, LinkStorage};
use crate::log_ring::{LogRecord, Sieve};
use crate::random::Generator;
use crate::trial_watch::TrialWatch;
use crate::update_policy::UpdatePolicy;

mod connection;
mod crashing;
mod debugging;
mod messaging;
mod networking;
mod reports;
mod updating;

pub use debugging::Glance;

/// Longest own log text in bytes.
const LINE_LEN_MAX: usize = 160;
/// Longest time for which an application that comes across breakpoints again and again is all that is looked after.
const HURRY_MAX_US: u64 = 2_000;
/// The same for one that is stepped: it stands still while other things are looked after.
const STEPS_MAX_US: u64 = 20_000;
/// Answers to commands that wait to be sent: as many as the server has commands open at a time.
const ANSWERS_MAX: usize = 16;

/// What does not change while power is on.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Version text of this hypervisor.
    pub version: &'static str,
    /// Class that manifests name.
    pub device_class: &'static str,
    /// Board revision.
    pub board_revision: u32,
    /// Why the hypervisor started.
    pub boot_reason: BootReason,
    /// Last words of the run before.
    pub epitaph: Option<&'static str>,
    /// One-time token by which the device is claimed.
    pub claim_token: [u8; 16],
    /// The device id as text.
    pub device_id: [u8; 34],
    /// How fast flash is here.
    pub flash_speeds: FlashSpeeds,
    /// First of two erase blocks of the die for what is counted.
    pub ledger: FlashAddress,
    /// Part of external flash for crash dumps: first address and length in bytes.
    pub crashes: (FlashAddress, u32),
    /// Where the die's application part lies for the application.
    pub die_address: u32,
}

/// The facts of one moment.
pub struct Moments {
    /// Microseconds since power came on.
    pub now_us: u64,
    /// What the application was found doing.
    pub health: Health,
    /// Where it was found in a handler or with interrupts masked; 0 otherwise, or if unknown.
    pub program_counter: u32,
    /// A fault since the last slice.
    pub fault: Option<Offence>,
    /// Whether the application could be held now: it runs, and is not inside a gateway.
    pub holdable: bool,
}

/// What the board shall do with the application.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Order {
    /// Nothing.
    Continue,
    /// Throw its context away.
    Stop,
    /// Start it: its vector table lies so many bytes into the die's application part and the code area is so long.
    Start {
        /// Offset of the vector table.
        offset: u32,
        /// Length of the area in bytes.
        length: u32,
    },
    /// Restart the whole chip.
    RestartDevice,
}

/// Everything outside that the hypervisor reaches beside flash: lines to a person, and the application.
pub trait Outside {
    /// The application as a debugger reaches it.
    type Target: DebugTarget;
    /// It.
    fn target(&mut self) -> &mut Self::Target;
    /// Writes a line to the bench console.
    fn console(&mut self, line: Arguments<'_>);
    /// Pends a line of the application.
    fn pend(&mut self, line: u8);
    /// Lets the application go on before the slice ends, if nothing else holds it.
    fn run_on(&mut self);
}

/// The hypervisor of one device.
///
/// The parts of a slice are kept out of line: their stack frames then follow each other instead of adding up.
pub struct Hypervisor<'w, E> {
    pub(crate) facts: Facts,
    network: Option<&'w mut NetworkStack<E>>,
    pub(crate) link: Link<'w>,
    pub(crate) engine: &'w mut Engine<'w>,
    pub(crate) application: Application,
    pub(crate) policy: UpdatePolicy,
    pub(crate) ledger: Ledger,
    pub(crate) ledger_due: bool,
    pub(crate) wear_due: bool,
    pub(crate) stopped_at_ms: Option<u64>,
    courier: messaging::Courier,
    pub(crate) configuration: Configuration<'w>,
    trial: TrialWatch,
    pub(crate) debug: Debug<'w>,
    crash: Crash<'w>,
    crash_ordered_ms: Option<u64>,
    /// When a slice last did all there is to do.
    polled_us: u64,
    on_trial: bool,
    welcomed: bool,
    claimed: bool,
    state_due: bool,
    pub(crate) engine_busy: bool,
    engine_ready: bool,
    pub(crate) applying: bool,
    restart_at_ms: Option<u64>,
    log_level: u8,
    reported_stage: Option<(Digest, UpdateStage, u32, u64)>,
    reported_at_ms: u64,
    told_stage: Option<(Digest, UpdateStage)>,
    log_sieve: Sieve,
    pending_log: Option<LogRecord>,
    pending_done: Deque<CommandDone, ANSWERS_MAX>,
    pending_fetch: Option<Fetch>,
    pending_plan: Option<PlanRequest>,
    connect_count: u32,
    key_set: Option<KeySetOffer>,
    owner_told: Option<(Option<u32>, bool, EngineFloors)>,
    random: Generator,
}

impl<'w, E: EthernetController> Hypervisor<'w, E> {
    /// Puts the parts together, around an engine that has read the journal.
    pub fn start<D: NorFlash, X: NorFlash>(
        facts: Facts,
        network: Option<&'w mut NetworkStack<E>>,
        (settings, storage): (LinkSettings<'w>, LinkStorage<'w>),
        (debug, crash): (&'w mut DebugStorage, &'w mut CrashStorage),
        (engine, boot): (&'w mut Engine<'w>, Boot),
        memory: &mut Memory<'_, D, X>,
        entropy: &mut impl Entropy,
    ) -> Self {
        let mut run = [0; 4];
        entropy.fill(&mut run);
        let LinkStorage { session, configuration } = storage;
        let mut ledger = Ledger::read(memory.die, facts.ledger);
        let journal_len = engine.layout().die_journal.length;
        ledger.wear.journal_pages = journal_len.checked_div(facts.flash_speeds.die_page_bytes).unwrap_or(0);
        let debug = Debug::new(settings.private_key, debug);
        let crash = Crash::new((settings.private_key, debug.device()), crash, memory.external, facts.crashes);
        Self {
            facts,
            network,
            link: Link::new(settings, session, entropy),
            courier: messaging::Courier::new(u32::from_le_bytes(run)),
            configuration: Configuration::new(configuration),
            engine,
            application: Application::new(),
            policy: UpdatePolicy::default(),
            ledger,
            ledger_due: false,
            wear_due: false,
            stopped_at_ms: None,
            trial: TrialWatch::default(),
            debug,
            crash,
            crash_ordered_ms: None,
            polled_us: 0,
            on_trial: false,
            welcomed: false,
            claimed: false,
            state_due: false,
            engine_busy: boot == Boot::Work,
            engine_ready: false,
            applying: false,
            restart_at_ms: None,
            log_level: 4,
            reported_stage: None,
            reported_at_ms: 0,
            told_stage: None,
            log_sieve: Sieve::default(),
            pending_log: None,
            pending_done: Deque::new(),
            pending_fetch: None,
            pending_plan: None,
            connect_count: 0,
            key_set: None,
            owner_told: None,
            random: Generator::new(entropy),
        }
    }

    /// Whether another slice should follow at once.
    pub fn is_busy(&self) -> bool {
        let link_or_engine = self.engine_busy || self.link.is_busy();
        link_or_engine || self.debug.is_busy() || self.crash.is_busy() || self.configuration.is_busy()
    }

    /// Whether another slice should follow without waiting for bytes or time.
    pub fn is_computing(&self) -> bool {
        self.engine_busy
    }

    /// Whether the next slice is to find the application standing still: a developer or a dump waits for it, or it is
    /// about to be judged stuck, and its registers will be wanted.
    pub fn wants_halt(&self, health: Health, now_us: u64) -> bool {
        let dump = self.crash_ordered_ms.is_some() && self.may_take_crash();
        self.debug.wants_halt() || dump || self.application.is_stuck(health, now_us / 1000)
    }

    /// One slice.
    pub fn poll<D: NorFlash, X: NorFlash>(
        &mut self,
        mut moment: Moments,
        memory: &mut Memory<'_, D, X>,
        mailbox: &impl MailboxAccess,
        entropy: &mut impl Entropy,
        outside: &mut impl Outside,
    ) -> Order {
        let now_ms = moment.now_us / 1000;
        if self.judge_application(&moment, mailbox, outside) == debugging::Judged::RunsOn {
            // Who comes across breakpoints without end does not keep the link from its turn.
            if self.hurries(moment.now_us) {
                return Order::Continue;
            }
            moment.holdable = false;
            // Nor does it wait for that, unless it is in the middle of a step, its interrupts held back.
            if !self.debug.is_moving_it() {
                outside.run_on();
            }
        }
        self.polled_us = moment.now_us;
        self.poll_link(moment.now_us, mailbox, entropy, outside);
        let carried = self.serve_sockets(moment.now_us, mailbox);
        self.serve_storage(moment.now_us, memory, mailbox, outside);
        self.serve_configuration(moment.now_us, memory, mailbox, entropy, outside);
        self.random.serve(mailbox);
        self.end_sleep(moment.now_us, mailbox, outside);
        self.poll_engine(&moment, memory, mailbox, outside);
        self.watch_owner(moment.now_us, mailbox, outside);
        self.tell_outcome(moment.now_us, mailbox, outside);
        self.keep_ledger(memory);
        self.poll_debug(moment.now_us, mailbox, outside);
        self.poll_crash(&moment, memory, mailbox, entropy, outside);
        self.send_reports(now_ms, mailbox);
        if let Some(network) = &mut self.network
            && (self.link.flush(network) || carried)
        {
            network.poll(now_ms);
        }
        self.publish(now_ms, mailbox, outside);
        if self.restart_at_ms.is_some_and(|at| now_ms >= at) {
            self.debug.ended(outside.target());
            return Order::RestartDevice;
        }
        self.order(&moment, mailbox, outside)
    }

    fn order(&mut self, moment: &Moments, mailbox: &impl MailboxAccess, outside: &mut impl Outside) -> Order {
        let running = moment.health != Health::Stopped;
        // What it left in memory is read first.
        if !running && self.crash.is_capturing() {
            return Order::Continue;
        }
        match self.application.due(running, moment.now_us / 1000) {
            Due::Nothing => Order::Continue,
            Due::Stop => {
                self.debug.ended(outside.target());
                self.crash.ended();
                mailbox.with(|m| m.application_ended());
                outside.console(format_args!("application stopped"));
                Order::Stop
            }
            Due::Start(start) => match self.engine.entry() {
                Some(entry) => {
                    mailbox.with(|m| {
                        m.application_ended();
                        m.wake_reason = start.reason;
                        m.boot_reason = boot_reason(self.facts.boot_reason);
                        m.device_id = self.facts.device_id;
                    });
                    self.open_storage(mailbox);
                    outside.console(format_args!("application starts ({:?})", start.reason));
                    self.state_due = true;
                    Order::Start { offset: entry.base, length: entry.length }
                }
                None => {
                    self.application.none();
                    Order::Continue
                }
            },
        }
    }

    /// The board could not start it: its vector table is not one.
    pub fn start_refused(&mut self, now_us: u64, mailbox: &impl MailboxAccess, outside: &mut impl Outside) {
        let kind = FaultKind::BadExecution;
        self.application.faulted(
            Offence { kind, program_counter: 0, address: None, status: FaultStatus::default() },
            now_us / 1000,
        );
        self.state_due = true;
        let text = format_args!(
            "application refused: stack pointer or reset vector outside its memory; check its linker script"
        );
        self.say(now_us, 0, mailbox, outside, text);
    }

    /// Tells the application something when this slice is published, so that it finds the state that it is told of.
    pub(crate) fn notify(
        &self,
        now_us: u64,
        kind: NotificationKind,
        value: u32,
        mailbox: &impl MailboxAccess,
        _outside: &mut impl Outside,
    ) {
        mailbox.with(|m| m.announce(now_us, kind, value));
    }

    /// A line of the hypervisor's own, to the console and to the server.
    pub(crate) fn say(
        &self,
        now_us: u64,
        level: u8,
        mailbox: &impl MailboxAccess,
        outside: &mut impl Outside,
        text: Arguments<'_>,
    ) {
        outside.console(text);
        let mut line = heapless::String::<LINE_LEN_MAX>::new();
        // What is too long is cut.
        let _ = core::fmt::Write::write_fmt(&mut line, text);
        mailbox.with(|m| m.log(LogSource::Hypervisor, level, now_us, line.as_bytes()));
    }
}

const fn boot_reason(reason: BootReason) -> BootReasonNumber {
    match reason {
        BootReason::PowerOn => BootReasonNumber::PowerOn,
        BootReason::HypervisorFault => BootReasonNumber::HypervisorFault,
        BootReason::Commanded => BootReasonNumber::Commanded,
    }
}
