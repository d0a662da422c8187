//! A new version on trial: counted boots, and its two ends.
//!
//! The journal says `TRIAL` from the last page of an apply until somebody decides. Nothing in staging and neither
//! manifest slot is touched meanwhile, so that the old pages stay there to go back to.

use bulkhead_link_protocol::UpdateStage;
use bulkhead_nor_flash::NorFlash;

use crate::api::{StartCause, Step};
use crate::engine::{Engine, Phase, Verdict};
use crate::journal::{Mark, NO_MANIFEST, Record, State};
use crate::layout::Memory;
use crate::manifest::Manifest;
use crate::reason::Reason;
use crate::rules::Rules;
use crate::staging::Direction;

impl<R: Rules> Engine<'_, R> {
    /// All pages of `manifest` are there for the first time: starts it on trial.
    #[inline(never)]
    pub(crate) fn begin_trial<D: NorFlash, E: NorFlash>(
        &mut self,
        mem: &mut Memory<'_, D, E>,
        manifest: Manifest,
    ) -> Step {
        let from = self.committed.map_or(NO_MANIFEST, |committed| committed.digest);
        if self.intend(mem, State::Trial, manifest.digest, from, Mark::trial(1, false)).is_err() {
            self.dead("the journal's flash does not keep what is written to it");
            return Step::Working;
        }
        if !R::KEEPS_OLD_PAGES_DURING_TRIALS {
            for page in 0..manifest.pages {
                if let (Some(slot), Some(staging)) = (self.slot(page, Direction::Undo), &self.staging) {
                    let _ = staging.erase(mem.external, slot.sector, staging.records(&slot));
                }
            }
        }
        self.startable = true;
        self.committed = Some(manifest);
        self.give_up(UpdateStage::Trial, Reason::NONE);
        Step::StartApplication(manifest.digest, StartCause::Trial)
    }

    /// Counts a power session before the application is started in it, so that no cut makes it free.
    #[inline(never)]
    pub(crate) fn count_boot<D: NorFlash, E: NorFlash>(&mut self, mem: &mut Memory<'_, D, E>) {
        let Some(trial) = self.trial() else { return self.dead("no trial") };
        let started = self.startable;
        self.phase = if started { Phase::Idle } else { Self::check(StartCause::Trial) };
        if trial.healthy || !R::COUNTS_BOOTS_OF_TRIALS {
            return;
        }
        let boots = trial.boots.saturating_add(1);
        if boots > trial.boots_max {
            self.reason = Reason::of(format_args!("not confirmed within {} starts", trial.boots_max));
            self.phase = Phase::Rewind { page: 0 };
            return;
        }
        if !R::COUNTS_BEFORE_STARTING && !started {
            return;
        }
        let record = *self.journal.record();
        // Flash that keeps no count keeps no update either: the version that is there is the one that runs.
        let _ = self.journal.write(mem.die, Record { mark: Mark::trial(boots, false), ..record });
    }

    /// Writes down what was decided.
    #[inline(never)]
    pub(crate) fn pronounce<D: NorFlash, E: NorFlash>(&mut self, mem: &mut Memory<'_, D, E>) {
        let (Some(verdict), Some(trial), Some(manifest)) =
            (self.verdict.take(), self.trial(), self.committed)
        else {
            return;
        };
        let record = *self.journal.record();
        let written = match verdict {
            Verdict::Healthy => self.journal.mark(mem.die, Mark::trial(trial.boots, true)),
            Verdict::Keep => self.journal.write(
                mem.die,
                Record {
                    state: State::Committed,
                    sequence: record.sequence.max(manifest.sequence),
                    counter: record.counter.max(manifest.counter),
                    mark: Mark::NONE,
                    ..record
                },
            ),
            // Its floors do not rise: it was never found to be good.
            Verdict::MakeWay => {
                self.journal.write(mem.die, Record { state: State::Committed, mark: Mark::NONE, ..record })
            }
            Verdict::TakeBack => Ok(()),
        };
        if written.is_err() {
            // The trial goes on; whoever decided decides again.
            self.reason = Reason::of("the journal's flash does not keep what is written to it");
            self.queued = None;
        } else if verdict == Verdict::Keep {
            self.give_up(UpdateStage::Committed, Reason::NONE);
        }
    }

    /// Looks whether page `page` can be put back; begins once all can.
    #[inline(never)]
    pub(crate) fn rewind<D: NorFlash, E: NorFlash>(&mut self, mem: &mut Memory<'_, D, E>, page: u32) {
        if page == 0 {
            let record = *self.journal.record();
            self.target = self.committed;
            self.committed = self.find(mem, &record.from);
            self.seal_with(mem, &record.to, &record.from);
            self.recall_plan(mem, &record);
        }
        let (Some(target), Some(old)) = (self.target, self.committed) else { return self.keep_for_now(mem) };
        if page >= target.pages {
            if self.intend(mem, State::Revert, target.digest, old.digest, Mark::NONE).is_err() {
                return self.keep_for_now(mem);
            }
            self.direction = Direction::Undo;
            self.phase = Phase::Restore { page: 0, forced: false, then: 1, attempt: 0 };
            return;
        }
        if !self.can_be_put_back(mem, &target, &old, page) {
            return self.keep_for_now(mem);
        }
        self.phase = Phase::Rewind { page: page.saturating_add(1) };
    }

    fn can_be_put_back<D: NorFlash, E: NorFlash>(
        &mut self,
        mem: &mut Memory<'_, D, E>,
        target: &Manifest,
        old: &Manifest,
        page: u32,
    ) -> bool {
        let Some(place) = target.place(page) else { return false };
        // No part of the old application: nothing is to be put back there.
        let Some(old_page) = old.page_at(&place) else { return true };
        let Some(wanted) = old.page_digest(mem.die, &self.layout, old_page) else { return false };
        if self.reads_as(mem, &place, &wanted) {
            return true;
        }
        let (Some(slot), Some(staging)) = (self.slot(page, Direction::Undo), &self.staging) else {
            return false;
        };
        let (buffer, sealed, _) = self.work.split();
        staging.open_page(mem.external, &slot, buffer, sealed, &wanted, Self::authenticate()).is_ok()
    }

    /// The old version is not here any more: the new one stays until the server sends the old.
    fn keep_for_now<D: NorFlash, E: NorFlash>(&mut self, mem: &mut Memory<'_, D, E>) {
        let record = *self.journal.record();
        self.committed = self.target.or(self.committed);
        let reason = self.reason;
        let settled = Record { state: State::Committed, mark: Mark::NONE, ..record };
        if self.journal.write(mem.die, settled).is_err() {
            return self.dead("the journal's flash does not keep what is written to it");
        }
        self.give_up(UpdateStage::Failed, reason);
        self.wanted_back = Some(record.from).filter(|from| *from != NO_MANIFEST);
        self.phase = Self::check(StartCause::Resumed);
    }
}
