//! What the hypervisor owes to the application: word of updates, time to prepare for them, storage of its own.

use bulkhead_bundle_format::Medium;
use bulkhead_hardware_ports::{Entropy, EthernetController};
use bulkhead_link_protocol::{DeviceMessage, TrialState, UpdateStage};
use bulkhead_nor_flash::NorFlash;
use bulkhead_syscall_abi::{NotificationKind, UpdateStatus};
use bulkhead_update_engine::{Memory, Part, Step};

use crate::application::Health;
use crate::calls::MailboxAccess;
use crate::hypervisor::{Hypervisor, Moments, Outside};
use crate::mailbox::Requests;
use crate::storage::{Operation, StorageArea, perform};
use crate::update_policy::{Listener, Moment, POSTPONE_TOTAL_S, Patience};
use crate::wear::Counted;

/// Erases by the application after which their number is written down: so often that a page of the ledger outlives what
/// the application can erase, see `docs/spec/system-calls/storage.md`.
pub(crate) const OWN_ERASES_UNSAVED_MAX: u32 = 64;
/// `apply_in_s` when nothing is ready.
const NEVER: u32 = u32::MAX;

impl<E: EthernetController> Hypervisor<'_, E> {
    /// One step of the engine; erases are counted by what they are for.
    pub(crate) fn step_engine<D: NorFlash, X: NorFlash>(&mut self, memory: &mut Memory<'_, D, X>) -> Step {
        let layout = *self.engine.layout();
        let none = Part::new(0, 0);
        let die = [layout.die_application, layout.die_journal, layout.die_manifests];
        let mut die = Counted::new(&mut *memory.die, die);
        let external = [layout.external_application, layout.external_staging, none];
        let mut external = Counted::new(&mut *memory.external, external);
        let step = self.engine.step(&mut Memory { die: &mut die, external: &mut external });
        let ([pages, journal, manifests], [sectors, staging, _]) = (die.erases, external.erases);
        self.ledger.count(|wear| {
            wear.application = wear.application.saturating_add(pages).saturating_add(sectors);
            wear.journal = wear.journal.saturating_add(journal);
            wear.manifests = wear.manifests.saturating_add(manifests);
            wear.staging = wear.staging.saturating_add(staging);
        });
        step
    }

    /// The update entered a stage: the application is told, and what was counted is written down at its ends.
    pub(crate) fn stage_reached(
        &mut self,
        stage: UpdateStage,
        now_us: u64,
        mailbox: &impl MailboxAccess,
        outside: &mut impl Outside,
    ) {
        self.notify(now_us, NotificationKind::UpdateProgress, stage as u32, mailbox, outside);
        if matches!(stage, UpdateStage::Applying | UpdateStage::Reverting) {
            self.ledger.count(|wear| wear.applies = wear.applies.saturating_add(1));
        }
        self.wear_due = true;
        self.ledger_due |= !matches!(stage, UpdateStage::Idle | UpdateStage::Checking | UpdateStage::Staging);
    }

    /// Writes down what was counted, if it is time.
    pub(crate) fn keep_ledger<D: NorFlash, X: NorFlash>(&mut self, memory: &mut Memory<'_, D, X>) {
        if core::mem::take(&mut self.ledger_due) {
            self.ledger.save(memory.die);
        }
    }

    /// Judges a staged update.
    pub(crate) fn judge_ready(
        &mut self,
        moment: &Moments,
        requests: &Requests,
        mailbox: &impl MailboxAccess,
        outside: &mut impl Outside,
    ) {
        let Some(update) = self.engine.status().map(|status| status.manifest) else { return };
        // The running bundle says how polite one has to be to its application.
        let longest_s = self.engine.policy().and_then(|policy| policy.postpone_max_s);
        let total_s = longest_s.unwrap_or(POSTPONE_TOTAL_S);
        let patience = Patience { total_s, used_s: self.ledger.postponed_s(&update) };
        let listener = match moment.health {
            _ if self.debug.is_moving_it() => Listener::Held,
            Health::Stopped => Listener::Nobody,
            Health::Sound | Health::InHandler | Health::Masked | Health::Held => Listener::Runs,
        };
        match self.policy.judge(update, listener, requests, patience, moment.now_us / 1000) {
            Moment::Wait => {}
            Moment::Tell => {
                let pages = self.pages_to_write();
                self.notify(moment.now_us, NotificationKind::UpdateReady, pages, mailbox, outside);
            }
            Moment::Postpone => {
                self.ledger.postpone(&update, self.policy.granted_s(), total_s);
                self.ledger_due = true;
            }
            Moment::Apply => {
                self.stop_for_update(moment.now_us / 1000, mailbox);
                self.say(moment.now_us, 2, mailbox, outside, format_args!("applying the update"));
            }
        }
    }

    /// The application is stopped for an apply or a revert.
    pub(crate) fn stop_for_update(&mut self, now_ms: u64, mailbox: &impl MailboxAccess) {
        self.applying = true;
        self.engine_busy = true;
        self.stopped_at_ms = Some(now_ms);
        self.application.hold_for_update();
        mailbox.with(|m| m.storage.close());
    }

    /// The application starts again after [`Self::stop_for_update`].
    pub(crate) fn tell_downtime(
        &mut self,
        now_us: u64,
        mailbox: &impl MailboxAccess,
        outside: &mut impl Outside,
    ) {
        if let Some(at_ms) = self.stopped_at_ms.take() {
            let ms = (now_us / 1000).saturating_sub(at_ms);
            self.say(now_us, 2, mailbox, outside, format_args!("the application stood still for {ms} ms"));
        }
    }

    /// Does what the application began on its own storage.
    #[inline(never)]
    pub(crate) fn serve_storage<D: NorFlash, X: NorFlash>(
        &mut self,
        now_us: u64,
        memory: &mut Memory<'_, D, X>,
        mailbox: &impl MailboxAccess,
        outside: &mut impl Outside,
    ) {
        let Some((operation, mut bytes)) = mailbox.with(|m| m.storage.waiting()) else { return };
        let status = perform(memory.external, operation, &mut bytes);
        if let Operation::Erase { .. } = operation {
            self.ledger.count(|wear| wear.owned = wear.owned.saturating_add(1));
            self.ledger_due |= self.ledger.wear.owned.is_multiple_of(OWN_ERASES_UNSAVED_MAX);
        }
        mailbox.with(|m| m.storage.done(operation, status, &bytes));
        self.notify(now_us, NotificationKind::StorageDone, status as u32, mailbox, outside);
    }

    /// Moves the configuration one step, and hands the application what it asked for.
    #[inline(never)]
    pub(crate) fn serve_configuration<D: NorFlash, X: NorFlash>(
        &mut self,
        now_us: u64,
        memory: &mut Memory<'_, D, X>,
        mailbox: &impl MailboxAccess,
        entropy: &mut impl Entropy,
        outside: &mut impl Outside,
    ) {
        let mut external = Counted::whole(&mut *memory.external);
        let revision = self.configuration.step(&mut external, entropy, mailbox);
        self.ledger.add(external.all(), |wear| &mut wear.configuration);
        if let Some(revision) = revision {
            (self.wear_due, self.ledger_due) = (true, true);
            self.say(now_us, 2, mailbox, outside, format_args!("configuration {revision} counts now"));
            self.notify(now_us, NotificationKind::ConfigChanged, revision, mailbox, outside);
        }
        if let Some(status) = self.configuration.serve(memory.external, mailbox) {
            self.notify(now_us, NotificationKind::ConfigDone, status as u32, mailbox, outside);
        }
    }

    /// Wakes an application whose sleep is over.
    pub(crate) fn end_sleep(&self, now_us: u64, mailbox: &impl MailboxAccess, outside: &mut impl Outside) {
        if mailbox.with(|m| m.sleep.is_over(now_us)) {
            self.notify(now_us, NotificationKind::SleepEnded, 0, mailbox, outside);
        }
    }

    /// Gives the application that starts its own areas.
    pub(crate) fn open_storage(&self, mailbox: &impl MailboxAccess) {
        let first = self.engine.layout().external_application.start;
        let areas = self.engine.owned_areas().filter(|area| area.medium == Medium::External);
        let mut areas = areas.filter_map(|area| {
            Some(StorageArea { id: area.id, start: first.plus(area.base)?, length: area.length })
        });
        let erase_bytes = self.facts.flash_speeds.external_sector_bytes;
        mailbox.with(|m| m.storage.open(&mut areas, erase_bytes));
    }

    /// Tells the server what the flash went through.
    pub(crate) fn send_wear(&mut self) {
        self.wear_due = self.wear_due && !self.link.send(&DeviceMessage::Wear(self.ledger.wear));
    }

    fn pages_to_write(&self) -> u32 {
        let changes = self.engine.status().and_then(|status| status.changes).unwrap_or_default();
        changes.die.changing.saturating_add(changes.external.changing)
    }

    /// The estimate for an update that is ready or being applied, in milliseconds.
    pub(crate) fn downtime_ms(&self) -> Option<u32> {
        let changes = self.engine.status()?.changes?;
        Some(self.facts.flash_speeds.downtime_ms(&changes))
    }

    /// Seconds until a ready update is applied unless it is postponed further.
    pub(crate) fn apply_in_s(&self, now_ms: u64) -> Option<u32> {
        self.engine.status().filter(|status| status.stage == UpdateStage::Ready)?;
        Some(seconds_until(self.policy.deadline_ms()?, now_ms))
    }

    /// How the trial stands.
    pub(crate) fn trial_state(&self) -> Option<TrialState> {
        let trial = self.engine.trial()?;
        Some(TrialState { starts: trial.boots, starts_max: trial.boots_max, healthy: trial.healthy })
    }

    /// What changes within a stage and is worth another report.
    pub(crate) fn news(&self) -> u64 {
        let trial =
            self.trial_state().map_or(0, |trial| u64::from(trial.starts) << 1 | u64::from(trial.healthy));
        self.policy.deadline_ms().unwrap_or_default() ^ trial
    }

    /// Where the update stands, as the application reads it.
    pub(crate) fn update_status(&self, now_ms: u64) -> UpdateStatus {
        let Some(status) = self.engine.status() else {
            return UpdateStatus { apply_in_s: NEVER, ..UpdateStatus::default() };
        };
        let ready = status.stage == UpdateStage::Ready;
        let latest_ms = self.policy.latest_ms().filter(|_| ready);
        UpdateStatus {
            version: 0,
            stage: status.stage as u32,
            pages_done: status.pages_done,
            pages_total: status.pages_total,
            pages_to_write: self.pages_to_write(),
            downtime_ms: self.downtime_ms().unwrap_or_default(),
            apply_in_s: self.apply_in_s(now_ms).unwrap_or(NEVER),
            postpone_left_s: latest_ms.map_or(0, |latest_ms| seconds_until(latest_ms, now_ms)),
        }
    }
}

/// Whole seconds from now, rounded up.
fn seconds_until(at_ms: u64, now_ms: u64) -> u32 {
    u32::try_from(at_ms.saturating_sub(now_ms).div_ceil(1000)).unwrap_or(u32::MAX)
}
