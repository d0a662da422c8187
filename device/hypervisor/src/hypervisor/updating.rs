//! Where the hypervisor, the update engine and the application meet.

use bulkhead_hardware_ports::EthernetController;
use bulkhead_link_protocol::{ApplicationState, BootReason, Fault, Floors, UpdateStage};
use bulkhead_nor_flash::NorFlash;
use bulkhead_syscall_abi::WakeReason;
use bulkhead_update_engine::{Floors as EngineFloors, Memory, StartCause, Step};

use super::{Hypervisor, Moments, Outside};
use crate::application::Health;
use crate::calls::MailboxAccess;
use crate::lines::{FaultLine, Short};
use crate::trial_watch::Verdict;

impl<E: EthernetController> Hypervisor<'_, E> {
    #[inline(never)]
    pub(super) fn poll_engine<D: NorFlash, X: NorFlash>(
        &mut self,
        moment: &Moments,
        memory: &mut Memory<'_, D, X>,
        mailbox: &impl MailboxAccess,
        outside: &mut impl Outside,
    ) {
        let now_us = moment.now_us;
        let requests = mailbox.with(|m| m.take_requests());
        if requests.restart {
            self.application.restart_itself();
        }
        if requests.confirm {
            self.trial.confirm();
        }
        self.watch_trial(moment);
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
                let reason = match cause {
                    StartCause::Boot => self.boot_wake_reason(),
                    StartCause::Trial if self.engine.trial().is_some_and(|trial| trial.boots > 1) => {
                        self.boot_wake_reason()
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

    /// Why the application runs when the device itself has started.
    const fn boot_wake_reason(&self) -> WakeReason {
        match self.facts.boot_reason {
            BootReason::PowerOn => WakeReason::PowerOn,
            BootReason::Commanded => WakeReason::DeviceRestarted,
            BootReason::HypervisorFault => WakeReason::HypervisorFault,
        }
    }

    /// Tells the engine the time, if the server told it to us.
    pub(super) fn tell_time(&mut self, now_us: u64, mailbox: &impl MailboxAccess) {
        if let Some(offset_us) = mailbox.with(|m| m.wall_offset_us) {
            self.engine.set_clock(offset_us.saturating_add(now_us) / 1_000_000);
        }
    }

    pub(super) fn floors(&self) -> Floors {
        let EngineFloors { sequence, security_counter, permits } = self.engine.floors();
        Floors { sequence, security_counter, permits }
    }

    /// Reports whom the device obeys, and what is behind it for good, when that changed.
    pub(super) fn watch_owner(
        &mut self,
        now_us: u64,
        mailbox: &impl MailboxAccess,
        outside: &mut impl Outside,
    ) {
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
    pub(super) fn watch_trial(&mut self, moment: &Moments) {
        let health = if self.debug.is_moving_it() { Health::Held } else { moment.health };
        self.trial.look(health, moment.now_us / 1000);
        let trial = self.engine.trial();
        if self.on_trial != trial.is_some() {
            self.on_trial = trial.is_some();
            self.state_due = true;
        }
        let (Some(trial), Some(policy), Some(_)) = (trial, self.engine.policy(), self.engine.running())
        else {
            return;
        };
        match self.trial.judge(trial, &policy, self.application.fault_count()) {
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
    pub(super) fn tell_outcome(
        &mut self,
        now_us: u64,
        mailbox: &impl MailboxAccess,
        outside: &mut impl Outside,
    ) {
        let Some(status) = self.engine.status() else { return };
        let now = (status.manifest, status.stage);
        self.policy.follow(now.1, self.engine.is_update_ahead());
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
}
