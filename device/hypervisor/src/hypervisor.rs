//! The executor's one machine: takes the facts of a moment, moves everything one bounded slice, returns an order.

use core::fmt::Arguments;

use bulkhead_debug_agent::DebugTarget;
use bulkhead_hardware_ports::{Entropy, EthernetController};
use bulkhead_link_protocol::{
    ApplicationState, BootReason, Command, CommandDone, CommandKind, DeviceMessage, Digest, Fault, FaultKind,
    Fetch, Floors, Hello, KeySetOffer, Log, LogSource, Offer, PlanRequest, Progress, ServerMessage, State,
    UpdateStage, Welcome,
};
use bulkhead_link_session::{Closed, Event};
use bulkhead_network_stack::NetworkStack;
use bulkhead_nor_flash::{FlashAddress, NorFlash};
use bulkhead_syscall_abi::{ABI_VERSION, NetworkReason, NetworkStatus, NotificationKind, WakeReason};
use bulkhead_update_engine::{Boot, Engine, Floors as EngineFloors, LayoutError, Memory, StartCause, Step};

use crate::application::{Application, Due, FaultStatus, Health, Offence};
use crate::calls::MailboxAccess;
use crate::debug::{Debug, DebugStorage};
use crate::downtime::FlashSpeeds;
use crate::ledger::Ledger;
use crate::lines::{FaultLine, Short};
use crate::link::{Link, LinkSettings, LinkStorage};
use crate::log_ring::LogRecord;
use crate::trial_watch::{TrialWatch, Verdict};
use crate::update_policy::UpdatePolicy;

mod debugging;

/// Longest own log text in bytes.
const LINE_LEN_MAX: usize = 160;
/// Log records sent in one slice.
const LOGS_PER_SLICE: usize = 4;
/// Events of the link taken in one slice.
const EVENTS_PER_SLICE: usize = 16;
/// Time for the answer to a restart command to leave, in milliseconds.
const RESTART_DELAY_MS: u64 = 500;
/// Least time between two progress reports of the same stage, in milliseconds.
const PROGRESS_EVERY_MS: u64 = 200;

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
}

/// The hypervisor of one device.
///
/// The parts of a slice are kept out of line: their stack frames then follow each other instead of adding up.
pub struct Hypervisor<'w, E> {
    pub(crate) facts: Facts,
    network: Option<NetworkStack<E>>,
    pub(crate) link: Link<'w>,
    pub(crate) engine: Engine<'w>,
    pub(crate) application: Application,
    pub(crate) policy: UpdatePolicy,
    pub(crate) ledger: Ledger,
    pub(crate) ledger_due: bool,
    pub(crate) wear_due: bool,
    pub(crate) stopped_at_ms: Option<u64>,
    trial: TrialWatch,
    debug: Debug<'w>,
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
    pending_log: Option<LogRecord>,
    pending_done: Option<CommandDone>,
    pending_fetch: Option<Fetch>,
    pending_plan: Option<PlanRequest>,
    connect_count: u32,
    key_set: Option<KeySetOffer>,
    owner_told: Option<(Option<u32>, bool, EngineFloors)>,
}

impl<'w, E: EthernetController> Hypervisor<'w, E> {
    /// Puts the parts together and lets the engine read the journal.
    ///
    /// # Errors
    /// [`LayoutError`]: the board's description and its memories do not fit: a fault of whoever built the image.
    pub fn start<D: NorFlash, X: NorFlash>(
        facts: Facts,
        network: Option<NetworkStack<E>>,
        (settings, storage): (LinkSettings<'w>, LinkStorage<'w>),
        debug: &'w mut DebugStorage,
        mut engine: Engine<'w>,
        memory: &mut Memory<'_, D, X>,
        entropy: &mut impl Entropy,
    ) -> Result<Self, LayoutError> {
        let boot = engine.boot(memory)?;
        let mut ledger = Ledger::read(memory.die, facts.ledger);
        let journal_len = engine.layout().die_journal.length;
        ledger.wear.journal_pages = journal_len.checked_div(facts.flash_speeds.die_page_bytes).unwrap_or(0);
        Ok(Self {
            facts,
            network,
            link: Link::new(settings, storage, entropy),
            engine,
            application: Application::new(),
            policy: UpdatePolicy::default(),
            ledger,
            ledger_due: false,
            wear_due: false,
            stopped_at_ms: None,
            trial: TrialWatch::default(),
            debug: Debug::new(settings.private_key, debug),
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
            pending_log: None,
            pending_done: None,
            pending_fetch: None,
            pending_plan: None,
            connect_count: 0,
            key_set: None,
            owner_told: None,
        })
    }

    /// Whether another slice should follow at once.
    pub fn is_busy(&self) -> bool {
        self.engine_busy || self.link.is_busy() || self.debug.is_busy()
    }

    /// One slice.
    pub fn poll<D: NorFlash, X: NorFlash>(
        &mut self,
        moment: Moments,
        memory: &mut Memory<'_, D, X>,
        mailbox: &impl MailboxAccess,
        entropy: &mut impl Entropy,
        outside: &mut impl Outside,
    ) -> Order {
        let now_ms = moment.now_us / 1000;
        self.judge_application(&moment, mailbox, outside);
        self.poll_link(moment.now_us, mailbox, entropy, outside);
        self.serve_storage(moment.now_us, memory, mailbox, outside);
        self.poll_engine(&moment, memory, mailbox, outside);
        self.watch_owner(moment.now_us, mailbox, outside);
        self.tell_outcome(moment.now_us, mailbox, outside);
        self.keep_ledger(memory);
        self.poll_debug(moment.now_us, mailbox, outside);
        self.send_reports(now_ms, mailbox);
        if let Some(network) = &mut self.network
            && self.link.flush(network)
        {
            network.poll(now_ms);
        }
        self.publish(now_ms, mailbox);
        if self.restart_at_ms.is_some_and(|at| now_ms >= at) {
            self.debug.ended(outside.target());
            return Order::RestartDevice;
        }
        self.order(&moment, mailbox, outside)
    }

    #[inline(never)]
    fn poll_link(
        &mut self,
        now_us: u64,
        mailbox: &impl MailboxAccess,
        entropy: &mut impl Entropy,
        outside: &mut impl Outside,
    ) {
        let now_ms = now_us / 1000;
        let Some(network) = &mut self.network else { return };
        network.poll(now_ms);
        self.link.poll(network, entropy, now_ms);
        for _ in 0..EVENTS_PER_SLICE {
            let Some(network) = &mut self.network else { return };
            let fed = self.link.feed(network, now_ms);
            match self.link.poll_event(now_ms) {
                None if fed => {}
                None => break,
                // A chunk lies in the session's buffer: it goes to the engine from there, uncopied.
                Some(Event::Message(ServerMessage::Chunk(chunk))) => {
                    self.engine.chunk(chunk.from, chunk.area, chunk.offset, chunk.bytes);
                    self.engine_busy = true;
                }
                Some(Event::Established) => self.link_up(outside),
                Some(Event::Closed(closed)) => self.link_down(closed, now_us, mailbox, outside),
                Some(Event::Message(ServerMessage::Welcome(m))) => self.welcome(m, now_us, mailbox, outside),
                Some(Event::Message(ServerMessage::Offer(m))) => {
                    self.tell_time(now_us, mailbox);
                    self.offered(m, outside);
                }
                Some(Event::Message(ServerMessage::Command(m))) => self.command(m, now_us, mailbox, outside),
                Some(Event::Message(ServerMessage::Unavailable(m))) => {
                    self.engine.unavailable(m.manifest);
                    self.engine_busy = true;
                }
                Some(Event::Message(ServerMessage::DebugOpen(frame))) => {
                    let mut ephemeral = [0; 32];
                    entropy.fill(&mut ephemeral);
                    self.debug.open(&frame, ephemeral, outside.target());
                }
                Some(Event::Message(ServerMessage::DebugFrame(frame))) => {
                    self.debug.frame(&frame, outside.target());
                }
                Some(Event::Message(ServerMessage::DebugClose(close))) => {
                    self.debug.close(close.session, outside.target());
                }
                // The session deals with these itself.
                Some(Event::Message(
                    ServerMessage::Ping(_) | ServerMessage::Pong(_) | ServerMessage::GoAway(_),
                )) => {}
                Some(Event::Message(ServerMessage::Acknowledge(m))) => {
                    if self.engine.running() == Some(m.manifest) {
                        self.trial.acknowledge();
                    }
                }
                Some(Event::Message(ServerMessage::Plan(m))) => {
                    self.engine.plan(&m);
                    self.engine_busy = true;
                }
                Some(Event::Message(ServerMessage::KeySetOffer(m))) => self.key_set = Some(m),
            }
        }
    }

    fn link_up(&mut self, outside: &mut impl Outside) {
        self.welcomed = false;
        self.connect_count = self.connect_count.saturating_add(1);
        self.reported_stage = None;
        self.state_due = false;
        let hello = Hello {
            hypervisor: self.facts.version,
            device_class: self.facts.device_class,
            board_revision: self.facts.board_revision,
            abi: ABI_VERSION,
            running: self.engine.running(),
            boot_reason: self.facts.boot_reason,
            application: self.application.reported(),
            connect_count: self.connect_count,
            fault: self.application.fault(),
            epitaph: self.facts.epitaph,
            claim_token: (!self.claimed).then_some(self.facts.claim_token),
            on_trial: self.engine.trial().map(|_| true),
            key_set_version: self.engine.key_set().version,
            floors: Some(self.floors()),
        };
        self.link.send(&DeviceMessage::Hello(hello));
        outside.console(format_args!("link up, connect {}", self.connect_count));
    }

    fn link_down(
        &mut self,
        closed: Closed,
        now_us: u64,
        mailbox: &impl MailboxAccess,
        outside: &mut impl Outside,
    ) {
        if self.welcomed {
            self.notify(now_us, NotificationKind::NetworkChanged, 0, mailbox, outside);
        }
        self.welcomed = false;
        self.pending_fetch = None;
        self.pending_plan = None;
        self.engine.link_lost();
        self.debug.link_lost(outside.target());
        self.link.closed(closed, self.network.as_mut(), now_us / 1000);
        outside.console(format_args!("link down: {closed}"));
    }

    fn welcome(
        &mut self,
        welcome: Welcome,
        now_us: u64,
        mailbox: &impl MailboxAccess,
        outside: &mut impl Outside,
    ) {
        self.link.established();
        self.welcomed = true;
        self.claimed = true;
        self.wear_due = true;
        self.log_level = welcome.log_level;
        // Last words are told once.
        self.facts.epitaph = None;
        mailbox.with(|m| m.wall_offset_us = Some(welcome.wall_clock_us.saturating_sub(now_us)));
        self.notify(now_us, NotificationKind::ClockSet, 0, mailbox, outside);
        self.notify(now_us, NotificationKind::NetworkChanged, 1, mailbox, outside);
        outside.console(format_args!("online"));
    }

    fn offered(&mut self, offer: Offer, outside: &mut impl Outside) {
        outside.console(format_args!("offered {}", Short(&offer.manifest)));
        self.engine.offer_with_permit(offer.manifest, offer.envelope_len, offer.forced, offer.permit_len);
        self.engine_busy = true;
        // An offer that changes nothing, of what was refused before, is answered with the old outcome.
        self.reported_stage = None;
        self.policy.offered(offer.manifest, offer.forced);
    }

    fn command(
        &mut self,
        command: Command,
        now_us: u64,
        mailbox: &impl MailboxAccess,
        outside: &mut impl Outside,
    ) {
        let has_application = self.application.reported() != ApplicationState::None;
        let accepted = match command.kind {
            CommandKind::RestartApplication if has_application => {
                self.application.restart(WakeReason::Commanded);
                true
            }
            CommandKind::StopApplication if has_application => {
                self.application.hold();
                true
            }
            CommandKind::ApplyNow => {
                self.policy.order();
                true
            }
            CommandKind::RestartDevice => {
                self.restart_at_ms = Some((now_us / 1000).saturating_add(RESTART_DELAY_MS));
                true
            }
            CommandKind::CancelUpdate => {
                self.engine_busy = true;
                self.engine.cancel()
            }
            CommandKind::RevertUpdate if self.engine.trial().is_some() => {
                self.engine.fail_trial("the owner ordered to go back");
                self.engine_busy = true;
                true
            }
            CommandKind::RestartApplication | CommandKind::StopApplication | CommandKind::RevertUpdate => {
                false
            }
        };
        if !accepted {
            let why = match command.kind {
                CommandKind::CancelUpdate => "what is being written is finished first",
                CommandKind::RevertUpdate => "no new version is on trial; deploy the old one instead",
                CommandKind::RestartApplication
                | CommandKind::StopApplication
                | CommandKind::ApplyNow
                | CommandKind::RestartDevice => "there is no application",
            };
            self.say(now_us, 1, mailbox, outside, format_args!("command refused: {why}"));
        }
        self.state_due = true;
        self.pending_done = Some(CommandDone { id: command.id, accepted });
    }

    #[inline(never)]
    fn poll_engine<D: NorFlash, X: NorFlash>(
        &mut self,
        moment: &Moments,
        memory: &mut Memory<'_, D, X>,
        mailbox: &impl MailboxAccess,
        outside: &mut impl Outside,
    ) {
        let now_us = moment.now_us;
        let requests = mailbox.with(|m| m.take_requests());
        if requests.restart {
            self.application.restart(WakeReason::Requested);
        }
        if requests.confirm {
            self.trial.confirm();
        }
        self.watch_trial(now_us / 1000);
        // The owner's keys do not change under an update whose application is being stopped.
        if let Some(offer) = self.key_set.take_if(|_| !self.applying) {
            self.engine.offer_key_set(offer.version, offer.len);
            self.engine_busy = true;
        }
        if self.applying && moment.health != Health::Stopped {
            return; // The application is being stopped; nothing is written before that.
        }
        let step = if self.engine_busy || self.engine_ready { self.step_engine(memory) } else { Step::Idle };
        // A staged update waits for its moment: that is looked at in every slice, but asks for none of its own.
        self.engine_ready = step == Step::ReadyToApply && !self.applying;
        self.engine_busy &= !self.engine_ready;
        match step {
            Step::Idle => {
                self.engine_busy = false;
                // What the application was stopped for was cancelled or replaced before it began.
                if core::mem::take(&mut self.applying) && self.engine.running().is_some() {
                    self.application.verified(WakeReason::Requested);
                }
            }
            Step::Working => {}
            Step::ReadyToApply | Step::ReadyToRevert if self.applying => self.engine.allow_apply(),
            Step::ReadyToRevert => {
                self.stop_for_update(now_us / 1000, mailbox);
                self.say(now_us, 1, mailbox, outside, format_args!("taking the new version back"));
            }
            Step::ReadyToApply => self.judge_ready(moment, &requests, mailbox, outside),
            Step::StartApplication(digest, cause) => {
                self.applying = false;
                self.state_due = true;
                self.tell_downtime(now_us, mailbox, outside);
                // An update that goes back to staging is still the same: what was granted stays granted.
                if cause != StartCause::Resumed {
                    self.policy.reset();
                }
                let reason = match cause {
                    StartCause::Boot => WakeReason::PowerOn,
                    StartCause::Trial if self.engine.trial().is_some_and(|trial| trial.boots > 1) => {
                        WakeReason::PowerOn
                    }
                    StartCause::Committed | StartCause::Trial => WakeReason::Updated,
                    StartCause::Reverted => WakeReason::Reverted,
                    StartCause::Resumed => WakeReason::Requested,
                };
                self.application.verified(reason);
                self.trial.begin(self.application.fault_count(), now_us / 1000);
                let short = Short(&digest);
                self.say(
                    now_us,
                    2,
                    mailbox,
                    outside,
                    format_args!("application {short} is whole ({cause:?})"),
                );
            }
            Step::NoApplication => {
                self.engine_busy = false;
                if self.application.reported() != ApplicationState::None || self.applying {
                    self.say(
                        now_us,
                        0,
                        mailbox,
                        outside,
                        format_args!("no startable application; waiting for one"),
                    );
                    self.state_due = true;
                }
                self.applying = false;
                self.application.none();
            }
        }
    }

    /// Tells the engine the time, if the server told it to us.
    fn tell_time(&mut self, now_us: u64, mailbox: &impl MailboxAccess) {
        if let Some(offset_us) = mailbox.with(|m| m.wall_offset_us) {
            self.engine.set_clock(offset_us.saturating_add(now_us) / 1_000_000);
        }
    }

    fn floors(&self) -> Floors {
        let EngineFloors { sequence, security_counter, permits } = self.engine.floors();
        Floors { sequence, security_counter, permits }
    }

    /// Reports whom the device obeys, and what is behind it for good, when that changed.
    fn watch_owner(&mut self, now_us: u64, mailbox: &impl MailboxAccess, outside: &mut impl Outside) {
        let keys = self.engine.key_set();
        let now = (keys.version, keys.refused.is_some(), self.engine.floors());
        if self.owner_told == Some(now) {
            return;
        }
        match (self.owner_told, keys.version, keys.refused) {
            (Some((_, false, _)), _, Some(reason)) => {
                self.say(now_us, 1, mailbox, outside, format_args!("key set refused: {reason}"));
            }
            (Some((before, ..)), Some(version), _) if before != keys.version => {
                self.say(now_us, 2, mailbox, outside, format_args!("key set {version} counts now"));
            }
            _ => {}
        }
        self.state_due |= self.owner_told.is_some();
        self.owner_told = Some(now);
    }

    /// Judges a new version on trial and tells the engine.
    fn watch_trial(&mut self, now_ms: u64) {
        let trial = self.engine.trial();
        if self.on_trial != trial.is_some() {
            self.on_trial = trial.is_some();
            self.state_due = true;
        }
        let (Some(trial), Some(policy), Some(_)) = (trial, self.engine.policy(), self.engine.running())
        else {
            return;
        };
        match self.trial.judge(trial, &policy, self.application.fault_count(), now_ms) {
            Verdict::Wait => return,
            Verdict::Healthy => self.engine.confirm_locally(),
            Verdict::Keep => self.engine.commit_trial(),
            Verdict::Faulted => match self.application.fault() {
                Some(fault) => self.engine.fail_trial(FaultLine(Fault { restart_in_s: None, ..fault })),
                None => self.engine.fail_trial("the application was stopped"),
            },
            Verdict::Unconfirmed => self.engine.fail_trial("the application did not confirm that it works"),
        }
        self.engine_busy = true;
    }

    /// Says once, in the device's log, why an update came to nothing.
    fn tell_outcome(&mut self, now_us: u64, mailbox: &impl MailboxAccess, outside: &mut impl Outside) {
        let Some(status) = self.engine.status() else { return };
        let now = (status.manifest, status.stage);
        if self.told_stage == Some(now) {
            return;
        }
        self.stage_reached(now.1, now_us, mailbox, outside);
        let Some(status) = self.engine.status() else { return };
        let word = match status.stage {
            UpdateStage::Refused => "refused",
            UpdateStage::Failed => "failed",
            UpdateStage::Reverted => "was reverted",
            UpdateStage::Idle
            | UpdateStage::Checking
            | UpdateStage::Staging
            | UpdateStage::Ready
            | UpdateStage::Applying
            | UpdateStage::Committed
            | UpdateStage::Trial
            | UpdateStage::Cancelled
            | UpdateStage::Reverting => {
                self.told_stage = Some(now);
                return;
            }
        };
        let (short, reason) = (Short(&now.0), status.reason.unwrap_or("no reason is known"));
        self.say(now_us, 1, mailbox, outside, format_args!("update {short} {word}: {reason}"));
        self.told_stage = Some(now);
    }

    /// Sends what is due, most important first, as far as there is room.
    #[inline(never)]
    fn send_reports(&mut self, now_ms: u64, mailbox: &impl MailboxAccess) {
        if !self.welcomed {
            return;
        }
        if let Some(done) = self.pending_done
            && self.link.send(&DeviceMessage::CommandDone(done))
        {
            self.pending_done = None;
        }
        if self.state_due {
            let state = State {
                application: self.application.reported(),
                running: self.engine.running(),
                fault: self.application.fault(),
                reason: None,
                on_trial: self.engine.trial().map(|_| true),
                key_set_version: self.engine.key_set().version,
                key_set_refusal: self.engine.key_set().refused,
                floors: Some(self.floors()),
            };
            self.state_due = !self.link.send(&DeviceMessage::State(state));
        }
        self.send_progress(now_ms);
        self.send_wear();
        // What is wanted is said once, so it is kept until there is room.
        self.pending_plan = self.pending_plan.take().or_else(|| self.engine.wanted_plan());
        if let Some(request) = self.pending_plan
            && self.link.send(&DeviceMessage::PlanRequest(request))
        {
            self.pending_plan = None;
        }
        self.pending_fetch = self.pending_fetch.take().or_else(|| self.engine.wanted());
        if let Some(fetch) = self.pending_fetch
            && self.link.send(&DeviceMessage::Fetch(fetch))
        {
            self.pending_fetch = None;
        }
        for _ in 0..LOGS_PER_SLICE {
            if self.pending_log.is_none() {
                self.pending_log = mailbox.with(|m| m.take_log());
            }
            let Some(record) = &self.pending_log else { break };
            if record.level <= self.log_level {
                let log = Log {
                    source: record.source,
                    level: record.level,
                    uptime_us: record.uptime_us,
                    sequence: record.sequence,
                    lost: record.lost,
                    text: &record.text,
                };
                if !self.link.send(&DeviceMessage::Log(log)) {
                    break;
                }
            }
            self.pending_log = None;
        }
    }

    fn send_progress(&mut self, now_ms: u64) {
        let Some(status) = self.engine.status() else { return };
        let now = (status.manifest, status.stage, status.pages_done, self.news());
        if self.reported_stage == Some(now) {
            return;
        }
        let same_stage = self.reported_stage.is_some_and(|(m, s, ..)| (m, s) == (now.0, now.1));
        if same_stage && now_ms.saturating_sub(self.reported_at_ms) < PROGRESS_EVERY_MS {
            return;
        }
        let progress = Progress {
            manifest: status.manifest,
            stage: status.stage,
            pages_done: status.pages_done,
            pages_total: status.pages_total,
            reason: status.reason,
            code: status.code,
            mode: status.mode,
            bytes_received: Some(status.bytes_received),
            downtime_ms: self.downtime_ms(),
            page_erases: Some(self.ledger.wear.application),
            wanted_back: status.wanted_back,
            apply_in_s: self.apply_in_s(now_ms),
            trial: self.trial_state(),
        };
        if self.link.send(&DeviceMessage::Progress(progress)) {
            self.reported_stage = Some(now);
            self.reported_at_ms = now_ms;
        }
    }

    /// Lets the application read how things are.
    fn publish(&self, now_ms: u64, mailbox: &impl MailboxAccess) {
        let network = match (self.welcomed, &self.network) {
            (true, _) => NetworkStatus::Online,
            (false, Some(_)) if self.link.has_address() => NetworkStatus::Connecting,
            (false, _) => NetworkStatus::Offline,
        };
        let update = self.update_status(now_ms);
        let postpone_latest_ms = self.policy.latest_ms();
        let fetching = matches!(update.stage, 1 | 3);
        let mut reasons = NetworkReason::AlwaysConnected as u32;
        let mut because = |condition: bool, reason: NetworkReason| {
            if condition {
                reasons |= reason as u32;
            }
        };
        because(self.application.reported() == ApplicationState::None, NetworkReason::NoApplication);
        because(self.state_due && self.application.fault().is_some(), NetworkReason::FaultToReport);
        because(self.connect_count == 0, NetworkReason::ColdBoot);
        because(fetching, NetworkReason::FetchingUpdate);
        because(self.link.is_backing_off(), NetworkReason::BackOff);
        mailbox.with(|m| {
            if m.wall_offset_us.is_none() {
                reasons |= NetworkReason::ClockNotSet as u32;
            }
            m.network_status = network as u32;
            m.network_reasons = reasons;
            m.update = update;
            m.postpone_latest_ms = postpone_latest_ms;
        });
    }

    fn order(&mut self, moment: &Moments, mailbox: &impl MailboxAccess, outside: &mut impl Outside) -> Order {
        let running = moment.health != Health::Stopped;
        match self.application.due(running, moment.now_us / 1000) {
            Due::Nothing => Order::Continue,
            Due::Stop => {
                self.debug.ended(outside.target());
                mailbox.with(|m| m.application_ended());
                outside.console(format_args!("application stopped"));
                Order::Stop
            }
            Due::Start(start) => match self.engine.entry() {
                Some(entry) => {
                    mailbox.with(|m| {
                        m.application_ended();
                        m.wake_reason = start.reason;
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

    pub(crate) fn notify(
        &self,
        now_us: u64,
        kind: NotificationKind,
        value: u32,
        mailbox: &impl MailboxAccess,
        outside: &mut impl Outside,
    ) {
        if let Some(line) = mailbox.with(|m| m.notify(now_us, kind, value)) {
            outside.pend(line);
        }
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
