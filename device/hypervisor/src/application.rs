//! When the application runs: started, stopped by its faults, restarted after a back-off, held for an update.

use bulkhead_link_protocol::{ApplicationState, Fault, FaultKind};
use bulkhead_syscall_abi::WakeReason;

/// First wait after a fault, in milliseconds; doubles with each further fault.
pub(crate) const BACK_OFF_FIRST_MS: u64 = 1_000;
/// Longest wait.
pub(crate) const BACK_OFF_MAX_MS: u64 = 60_000;
/// Running this long without a fault, the application counts as healthy and the wait starts anew.
pub(crate) const HEALTHY_AFTER_MS: u64 = 60_000;
/// How long all samples in a row may find it in a handler, or masked, before it is stopped.
pub(crate) const STUCK_LIMIT_MS: u64 = 2_000;

/// What the executor found the application doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Health {
    /// Not running.
    Stopped,
    /// In its thread with interrupts open.
    Sound,
    /// In a handler, or about to enter one.
    InHandler,
    /// Interrupts masked.
    Masked,
    /// Held, or led step by step, by a developer.
    Held,
}

/// A fault as the processor's layer reports it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Offence {
    /// What happened.
    pub kind: FaultKind,
    /// Program counter, 0 if unknown.
    pub program_counter: u32,
    /// Address that was touched, if known.
    pub address: Option<u32>,
    /// What the processor says.
    pub status: FaultStatus,
}

/// Fault status of the processor, for a debugger.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FaultStatus {
    /// Configurable fault status of either world.
    pub cfsr: u32,
    /// Secure fault status.
    pub sfsr: u32,
}

/// What is to be done with the application now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// Throw its context away.
    Stop,
    /// Start it.
    Start(Start),
}

/// How to start it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Start {
    /// What the application will read as its wake reason.
    pub reason: WakeReason,
}

/// Why it is not running, or that it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// The update engine has not said that there is a whole application.
    Unverified,
    /// It is to be started as soon as it is stopped.
    Starting(WakeReason),
    Running {
        since_ms: u64,
    },
    BackingOff {
        until_ms: u64,
    },
    Updating,
    Held,
}

/// The state machine.
pub struct Application {
    state: State,
    back_off_ms: u64,
    fault: Option<Fault>,
    fault_count: u32,
    stuck_since_ms: Option<(Health, u64)>,
    /// It was stopped on order during an update, and stays so after it.
    stays_stopped: bool,
}

impl Application {
    /// Nothing known yet.
    pub const fn new() -> Self {
        Self {
            state: State::Unverified,
            back_off_ms: BACK_OFF_FIRST_MS,
            fault: None,
            fault_count: 0,
            stuck_since_ms: None,
            stays_stopped: false,
        }
    }

    /// The update engine found a whole application.
    pub fn verified(&mut self, reason: WakeReason) {
        let stays_stopped = core::mem::take(&mut self.stays_stopped);
        self.state = if stays_stopped { State::Held } else { State::Starting(reason) };
        if matches!(reason, WakeReason::Updated | WakeReason::Reverted) {
            self.back_off_ms = BACK_OFF_FIRST_MS;
        }
    }

    /// There is no whole application.
    pub fn none(&mut self) {
        self.state = State::Unverified;
        self.stays_stopped = false;
    }

    /// An update is about to be applied: it must not run until [`Self::verified`].
    pub fn hold_for_update(&mut self) {
        self.state = State::Updating;
    }

    /// Restart on the owner's or a developer's order. During an update it starts anyway.
    pub fn restart(&mut self, reason: WakeReason) {
        self.stays_stopped = false;
        if self.is_startable() {
            self.state = State::Starting(reason);
        }
    }

    /// Restart on its own order, which it can give only while it runs: not once it was stopped or has faulted.
    pub fn restart_itself(&mut self) {
        if let State::Running { .. } = self.state {
            self.state = State::Starting(WakeReason::Requested);
        }
    }

    /// Stop until [`Self::restart`]; during an update, from its end on.
    pub fn hold(&mut self) {
        self.stays_stopped = self.state == State::Updating;
        if self.is_startable() {
            self.state = State::Held;
        }
    }

    /// It faulted; returns the fault as it will be reported.
    pub fn faulted(&mut self, offence: Offence, now_ms: u64) -> Fault {
        if let State::Running { since_ms } = self.state
            && now_ms.saturating_sub(since_ms) >= HEALTHY_AFTER_MS
        {
            self.back_off_ms = BACK_OFF_FIRST_MS;
        }
        self.fault_count = self.fault_count.saturating_add(1);
        let restart_in_s = u32::try_from(self.back_off_ms / 1000).ok();
        let fault = Fault {
            kind: offence.kind,
            program_counter: offence.program_counter,
            address: offence.address,
            count: self.fault_count,
            restart_in_s,
        };
        self.fault = Some(fault);
        if matches!(self.state, State::Running { .. } | State::Starting(_)) {
            self.state = State::BackingOff { until_ms: now_ms.saturating_add(self.back_off_ms) };
            self.back_off_ms = self.back_off_ms.saturating_mul(2).min(BACK_OFF_MAX_MS);
        }
        fault
    }

    /// Judges one sample; returns an offence when the application has been stuck for too long. `program_counter`: where
    /// it was found, which is where a developer will look first.
    pub fn sample(&mut self, health: Health, program_counter: u32, now_ms: u64) -> Option<Offence> {
        let kind = match health {
            Health::InHandler => FaultKind::InterruptFlood,
            Health::Masked => FaultKind::InterruptsMasked,
            Health::Stopped | Health::Sound | Health::Held => {
                self.stuck_since_ms = None;
                return None;
            }
        };
        // Masked and in a handler may alternate without ever being sound: the time counts for both together.
        let (_, since_ms) = *self.stuck_since_ms.get_or_insert((health, now_ms));
        if now_ms.saturating_sub(since_ms) < STUCK_LIMIT_MS {
            return None;
        }
        self.stuck_since_ms = None;
        Some(Offence { kind, program_counter, address: None, status: FaultStatus::default() })
    }

    /// Whether [`Self::sample`] will find it stuck.
    pub fn is_stuck(&self, health: Health, now_ms: u64) -> bool {
        let suspect = matches!(health, Health::InHandler | Health::Masked);
        suspect
            && self.stuck_since_ms.is_some_and(|(_, since)| now_ms.saturating_sub(since) >= STUCK_LIMIT_MS)
    }

    /// What is to be done, given whether its context exists.
    pub fn due(&mut self, running: bool, now_ms: u64) -> Due {
        if let State::BackingOff { until_ms } = self.state
            && now_ms >= until_ms
        {
            self.state = State::Starting(WakeReason::Faulted);
        }
        match self.state {
            State::Running { .. } if running => Due::Nothing,
            State::Starting(reason) if !running => {
                self.state = State::Running { since_ms: now_ms };
                self.stuck_since_ms = None;
                Due::Start(Start { reason })
            }
            _ if running => Due::Stop,
            _ => Due::Nothing,
        }
    }

    /// As the server sees it.
    pub const fn reported(&self) -> ApplicationState {
        match self.state {
            State::Unverified => ApplicationState::None,
            State::Starting(_) | State::Running { .. } => ApplicationState::Running,
            State::BackingOff { .. } => ApplicationState::BackingOff,
            State::Updating => ApplicationState::Updating,
            State::Held => ApplicationState::Stopped,
        }
    }

    /// The last fault.
    pub const fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Faults since power came on.
    pub const fn fault_count(&self) -> u32 {
        self.fault_count
    }

    const fn is_startable(&self) -> bool {
        !matches!(self.state, State::Unverified | State::Updating)
    }
}

impl Default for Application {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WILD: Offence = Offence {
        kind: FaultKind::SecureAccess,
        program_counter: 4,
        address: None,
        status: FaultStatus { cfsr: 0, sfsr: 0 },
    };

    fn running() -> Application {
        let mut app = Application::new();
        app.verified(WakeReason::PowerOn);
        assert_eq!(app.due(false, 0), Due::Start(Start { reason: WakeReason::PowerOn }));
        app
    }

    #[test]
    fn a_fault_stops_it_and_each_further_one_doubles_the_wait() {
        let mut app = running();
        let mut now = 10;
        for wait_s in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(app.faulted(WILD, now).restart_in_s, Some(wait_s));
            assert_eq!(app.due(true, now), Due::Stop);
            now += u64::from(wait_s) * 1000 - 1;
            assert_eq!(app.due(false, now), Due::Nothing);
            now += 1;
            assert_eq!(app.due(false, now), Due::Start(Start { reason: WakeReason::Faulted }));
        }
        assert_eq!(app.faulted(WILD, now + HEALTHY_AFTER_MS).restart_in_s, Some(1), "healthy for long");
    }

    #[test]
    fn it_is_stopped_when_stuck_and_only_then() {
        let mut app = running();
        for now in 0..STUCK_LIMIT_MS {
            assert_eq!(app.sample(Health::Masked, 4, now), None);
        }
        assert_eq!(app.sample(Health::Sound, 0, STUCK_LIMIT_MS), None, "one sound sample is enough");
        let kinds =
            [(Health::Masked, FaultKind::InterruptsMasked), (Health::InHandler, FaultKind::InterruptFlood)];
        for (health, kind) in kinds {
            assert_eq!(app.sample(health, 4, 10_000), None);
            assert_eq!(
                app.sample(health, 8, 10_000 + STUCK_LIMIT_MS).map(|o| (o.kind, o.program_counter)),
                Some((kind, 8))
            );
        }
    }

    #[test]
    fn nothing_starts_it_during_an_update_or_without_a_whole_image() {
        let mut app = running();
        app.hold_for_update();
        assert_eq!(app.due(true, 0), Due::Stop);
        app.restart(WakeReason::Commanded);
        app.faulted(WILD, 0);
        assert_eq!(app.due(false, u64::MAX), Due::Nothing);
        app.none();
        app.restart(WakeReason::Commanded);
        assert_eq!(app.due(false, u64::MAX), Due::Nothing);
        app.verified(WakeReason::Updated);
        assert_eq!(app.due(false, 0), Due::Start(Start { reason: WakeReason::Updated }));
    }

    #[test]
    fn a_stop_is_kept_over_what_the_application_asked_for_itself() {
        let mut app = running();
        app.hold();
        app.restart_itself();
        assert_eq!(app.due(true, 5), Due::Stop);
        app.restart_itself();
        assert_eq!((app.due(false, 5), app.reported()), (Due::Nothing, ApplicationState::Stopped));
        app.restart(WakeReason::Commanded);
        app.restart_itself();
        assert_eq!(app.due(false, 5), Due::Start(Start { reason: WakeReason::Commanded }));
        app.restart_itself();
        assert_eq!(app.due(true, 6), Due::Stop);
        assert_eq!(app.due(false, 6), Due::Start(Start { reason: WakeReason::Requested }));
    }

    #[test]
    fn a_stop_during_an_update_is_kept_after_it_unless_it_is_taken_back() {
        let mut app = running();
        app.hold_for_update();
        app.hold();
        assert_eq!(app.reported(), ApplicationState::Updating);
        app.verified(WakeReason::Updated);
        assert_eq!((app.due(false, 5), app.reported()), (Due::Nothing, ApplicationState::Stopped));
        app.hold_for_update();
        app.verified(WakeReason::Updated);
        assert_eq!(
            app.due(false, 5),
            Due::Start(Start { reason: WakeReason::Updated }),
            "one stop, one update"
        );
        app.hold_for_update();
        app.hold();
        app.restart(WakeReason::Commanded);
        app.verified(WakeReason::Updated);
        assert_eq!(app.due(false, 5), Due::Start(Start { reason: WakeReason::Updated }));
    }

    #[test]
    fn who_faults_behind_its_wish_to_restart_waits_all_the_same() {
        let mut app = running();
        app.faulted(WILD, 10);
        app.restart_itself();
        assert_eq!(app.due(true, 10), Due::Stop);
        assert_eq!((app.due(false, 1_009), app.reported()), (Due::Nothing, ApplicationState::BackingOff));
    }

    #[test]
    fn a_restart_stops_first() {
        let mut app = running();
        app.restart(WakeReason::Requested);
        assert_eq!(app.due(true, 5), Due::Stop);
        assert_eq!(app.due(false, 5), Due::Start(Start { reason: WakeReason::Requested }));
        app.hold();
        assert_eq!(app.due(true, 5), Due::Stop);
        assert_eq!(app.due(false, 5), Due::Nothing);
    }
}
