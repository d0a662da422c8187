//! What the server and the application are told.

use bulkhead_hardware_ports::EthernetController;
use bulkhead_link_protocol::{ApplicationState, DeviceMessage, Log, Progress, State};
use bulkhead_syscall_abi::{NetworkReason, NetworkStatus};

use super::{Hypervisor, Outside};
use crate::calls::MailboxAccess;
use crate::log_ring::{LogRecord, StoredRecord};

/// Log records sent in one slice.
const LOGS_PER_SLICE: usize = 4;
/// Least time between two progress reports of the same stage, in milliseconds.
const PROGRESS_EVERY_MS: u64 = 200;

impl<E: EthernetController> Hypervisor<'_, E> {
    /// Sends what is due, most important first, as far as there is room.
    #[inline(never)]
    pub(super) fn send_reports(&mut self, now_ms: u64, mailbox: &impl MailboxAccess) {
        // Before they are looked at: one that comes in this moment asks for another slice.
        mailbox.with(|m| m.messages.fresh = false);
        if !self.welcomed {
            return;
        }
        while let Some(done) = self.pending_done.front()
            && self.link.send(&DeviceMessage::CommandDone(*done))
        {
            self.pending_done.pop_front();
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
        self.send_configuration();
        self.send_messages(now_ms, mailbox);
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
        self.send_log(mailbox);
    }

    fn send_log(&mut self, mailbox: &impl MailboxAccess) {
        for _ in 0..LOGS_PER_SLICE {
            if self.pending_log.is_none() {
                let Some(record) = take_log(mailbox) else { break };
                self.pending_log = self.log_sieve.sift(record, self.log_level);
            }
            let Some(record) = &self.pending_log else { continue };
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
            self.pending_log = None;
        }
    }

    pub(super) fn send_progress(&mut self, now_ms: u64) {
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
    pub(super) fn publish(&self, now_ms: u64, mailbox: &impl MailboxAccess, outside: &mut impl Outside) {
        let network = match (self.welcomed, &self.network) {
            (true, _) => NetworkStatus::Online,
            (false, Some(_)) if self.link.has_address() => NetworkStatus::Connecting,
            (false, _) => NetworkStatus::Offline,
        };
        let update = self.update_status(now_ms);
        let debug = self.debug.attachment();
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
        let line = mailbox.with(|m| {
            if m.wall_offset_us.is_none() {
                reasons |= NetworkReason::ClockNotSet as u32;
            }
            if m.sockets.network_wanted {
                reasons |= NetworkReason::ApplicationAsked as u32;
            }
            m.network_status = network as u32;
            m.network_reasons = reasons;
            m.update = update;
            m.debug = debug;
            m.postpone_latest_ms = postpone_latest_ms;
            m.reveal()
        });
        if let Some(line) = line {
            outside.pend(line);
        }
    }
}

/// Out of line, for the stack. The record is read when the mailbox is free again.
#[inline(never)]
fn take_log(mailbox: &impl MailboxAccess) -> Option<LogRecord> {
    let mut stored = StoredRecord::new();
    mailbox.with(|m| m.take_log(&mut stored)).then(|| stored.read())
}
