//! Applying, reverting, and the check before every start. The application does not run meanwhile.

use bulkhead_link_protocol::{Digest, UpdateStage};
use bulkhead_nor_flash::{FlashError, NorFlash};
use sha2::{Digest as _, Sha256};

use crate::api::{StartCause, Step};
use crate::engine::{Engine, Phase, While};
use crate::journal::{Mark, NO_MANIFEST, Record, State};
use crate::layout::Memory;
use crate::manifest::{Manifest, Place};
use crate::patch_io::Opened;
use crate::reason::Reason;
use crate::rules::Rules;
use crate::staging::Direction;

/// Times that a page is written before it is given up.
const WRITE_ATTEMPTS_MAX: u8 = 3;
/// Times that an update may go back to staging because pages changed behind it.
const RETURNS_MAX: u8 = 8;

impl<R: Rules> Engine<'_, R> {
    /// Writes down what is about to happen; from here on the apply is carried to an end.
    #[inline(never)]
    pub(crate) fn begin<D: NorFlash, E: NorFlash>(&mut self, mem: &mut Memory<'_, D, E>) {
        let Some(target) = self.target else { return self.dead("no target") };
        let from = self.committed.map_or(NO_MANIFEST, |committed| committed.digest);
        let intended = self
            .use_up_permit(mem, &target)
            .and_then(|()| self.intend(mem, State::Apply, target.digest, from, Mark::NONE));
        if intended.is_err() {
            // Nothing was touched: the old application goes on.
            self.fail("the journal's flash does not keep what is written to it");
            self.phase = Self::check(StartCause::Resumed);
            return;
        }
        self.direction = Direction::Redo;
        self.phase = Phase::Restore { page: 0, forced: false, then: 1, attempt: 0 };
    }

    pub(crate) fn intend<D: NorFlash, E: NorFlash>(
        &mut self,
        mem: &mut Memory<'_, D, E>,
        state: State,
        to: Digest,
        from: Digest,
        mark: Mark,
    ) -> Result<(), FlashError> {
        if !R::WRITES_JOURNAL && matches!(state, State::Apply | State::Revert) {
            return Ok(());
        }
        let (record, in_place) = (*self.journal.record(), self.is_in_place());
        self.journal.write(mem.die, Record { state, in_place, to, from, mark, ..record })
    }

    /// R1: this session's own record comes before the first page is touched.
    #[inline(never)]
    pub(crate) fn resume<D: NorFlash, E: NorFlash>(&mut self, mem: &mut Memory<'_, D, E>) {
        let record = *self.journal.record();
        let is_over = !R::RESUMES_WITHOUT_END && self.journal.was_resumed_before(mem.die);
        if self.open_session(mem, record).is_err() {
            return self.dead("the journal's flash does not keep what is written to it");
        }
        if record.in_place && self.patches.is_none() {
            return self.dead("staging lost what the update is made from; the next offer repairs the device");
        }
        let Mark { first, second } = record.mark;
        let torn = self.target.and_then(|target| target.page_located(second));
        let torn = torn.filter(|_| R::REWRITES_THE_PAGE_THAT_MAY_BE_TORN);
        if let Some(torn) = torn.filter(|_| is_over) {
            return self.cannot_restore(mem, torn);
        }
        self.phase = match torn {
            Some(torn) => Phase::Restore { page: torn, forced: true, then: first, attempt: 0 },
            None => Phase::Restore { page: first, forced: false, then: first.saturating_add(1), attempt: 0 },
        };
    }

    /// Brings one page to what the direction wants of it.
    #[inline(never)]
    pub(crate) fn restore<D: NorFlash, E: NorFlash>(&mut self, mem: &mut Memory<'_, D, E>) {
        let Phase::Restore { page, forced, then, attempt } = self.phase else { return };
        let Some(target) = self.target else { return self.dead("no target") };
        let Some(place) = target.place(page) else {
            self.phase = Self::check(match self.direction {
                Direction::Redo => StartCause::Committed,
                Direction::Undo => StartCause::Reverted,
            });
            return;
        };
        let wanted = match self.direction {
            Direction::Redo => target.page_digest(mem.die, &self.layout, page),
            Direction::Undo => {
                let Some(old) = self.committed else { return self.dead("nothing to go back to") };
                let Some(old_page) = old.page_at(&place) else {
                    // No part of the old application. If it may be torn it must not stay so.
                    if forced && place.erase(mem, &self.layout).is_err() {
                        return self.cannot_restore(mem, page);
                    }
                    self.phase = Self::restore_next(then);
                    return;
                };
                old.page_digest(mem.die, &self.layout, old_page)
            }
        };
        let Some(wanted) = wanted else { return self.cannot_restore(mem, page) };
        if !forced && attempt == 0 && self.reads_as(mem, &place, &wanted) {
            self.phase = Self::restore_next(then);
            return;
        }
        if self.direction == Direction::Redo && self.is_in_place() {
            self.opened = Opened::NOTHING;
            self.phase = match forced || attempt > 0 {
                true => Phase::Make { page, forced, then, attempt, filled: 0 },
                false => Phase::Keep { page, record: 0, attempt: 0 },
            };
            return;
        }
        if self.open_staged(mem, page, &place, &wanted) {
            self.settle(mem, (page, forced, then, attempt), &place, &wanted);
        } else {
            self.cannot_restore(mem, page);
        }
    }

    const fn restore_next(page: u32) -> Phase {
        Phase::Restore { page, forced: false, then: page.saturating_add(1), attempt: 0 }
    }

    /// Writes the page in the workspace to where [`Phase::Restore`] with these fields wants it.
    pub(crate) fn settle<D: NorFlash, E: NorFlash>(
        &mut self,
        mem: &mut Memory<'_, D, E>,
        (page, forced, then, attempt): (u32, bool, u32, u8),
        place: &Place,
        wanted: &Digest,
    ) {
        self.phase = match self.write_page(mem, page, place, wanted, forced || attempt > 0) {
            Written::Whole => Self::restore_next(then),
            Written::Failed if attempt.saturating_add(1) < WRITE_ATTEMPTS_MAX => {
                Phase::Restore { page, forced, then, attempt: attempt.saturating_add(1) }
            }
            Written::Failed | Written::NotMarked => return self.cannot_restore(mem, page),
        };
    }

    #[inline(never)]
    pub(crate) fn reads_as<D: NorFlash, E: NorFlash>(
        &mut self,
        mem: &mut Memory<'_, D, E>,
        place: &Place,
        digest: &Digest,
    ) -> bool {
        let (room, _, _) = self.work.split();
        let Some(buffer) = room.get_mut(..place.len) else { return false };
        place.read(mem, &self.layout, buffer).is_ok() && Digest::from(Sha256::digest(&*buffer)) == *digest
    }

    /// Opens the page from staging into the workspace.
    #[inline(never)]
    fn open_staged<D: NorFlash, E: NorFlash>(
        &mut self,
        mem: &mut Memory<'_, D, E>,
        page: u32,
        place: &Place,
        wanted: &Digest,
    ) -> bool {
        let (Some(slot), Some(staging)) = (self.slot(page, self.direction), &self.staging) else {
            return false;
        };
        let (room, sealed, _) = self.work.split();
        let Some(buffer) = room.get_mut(..place.len) else { return false };
        if staging.open_page(mem.external, &slot, buffer, sealed, wanted, Self::authenticate()).is_err() {
            return false;
        }
        if !R::KEEPS_STAGED_PAGES {
            let _ = staging.erase(mem.external, slot.sector, staging.records(&slot));
        }
        true
    }

    /// Marks the page unless the journal already names it, and writes what lies in the workspace.
    #[inline(never)]
    fn write_page<D: NorFlash, E: NorFlash>(
        &mut self,
        mem: &mut Memory<'_, D, E>,
        page: u32,
        place: &Place,
        wanted: &Digest,
        is_marked: bool,
    ) -> Written {
        if !is_marked
            && R::WRITES_JOURNAL
            && self.journal.mark(mem.die, Mark::page(page, place.location())).is_err()
        {
            return Written::NotMarked;
        }
        let (room, sealed, _) = self.work.split();
        let Some(buffer) = room.get_mut(..place.len) else { return Written::Failed };
        let spared = !R::ERASES_WHAT_LOOKS_ERASED
            && sealed.get_mut(..place.len).is_some_and(|held| {
                place.read(mem, &self.layout, held).is_ok() && held.iter().all(|byte| *byte == 0xFF)
            });
        let erased = if spared { Ok(()) } else { place.erase(mem, &self.layout) };
        let written = erased.and_then(|()| place.program(mem, &self.layout, buffer));
        if written.is_ok() && (!R::CHECKS_CONTENT || self.reads_as(mem, place, wanted)) {
            Written::Whole
        } else {
            Written::Failed
        }
    }

    /// Page `page` cannot be brought to what is wanted: turn round, or stay online without an application.
    #[inline(never)]
    pub(crate) fn cannot_restore<D: NorFlash, E: NorFlash>(&mut self, mem: &mut Memory<'_, D, E>, page: u32) {
        let turns_round = self.direction == Direction::Redo && self.ring_holds_all();
        let (Some(target), Some(old), true) = (self.target, self.committed, turns_round) else {
            // What may be torn is made certain, so that no later update takes it for a page that is right.
            if let Some(place) = self.target.and_then(|target| target.place(page)) {
                let _ = place.erase(mem, &self.layout);
            }
            return self.dead("neither application could be made whole; the next offer repairs the device");
        };
        self.reason = Reason::of(format_args!("page {page} could not be written"));
        let mark = Mark::page(0, target.place(page).map_or(0, |place| place.location()));
        if self.intend(mem, State::Revert, target.digest, old.digest, mark).is_err() {
            return self.dead("the journal's flash does not keep what is written to it");
        }
        self.direction = Direction::Undo;
        self.phase = Phase::Restore { page, forced: true, then: 0, attempt: 0 };
    }

    /// There is nothing to start. The link stays up and the next offer is taken.
    pub(crate) fn dead(&mut self, reason: &str) {
        self.startable = false;
        self.fail(reason);
        self.offered = None;
    }

    /// R6: compares one page with the manifest that is to be started.
    #[inline(never)]
    pub(crate) fn check_page<D: NorFlash, E: NorFlash>(
        &mut self,
        mem: &mut Memory<'_, D, E>,
        page: u32,
        cause: StartCause,
    ) -> Step {
        let subject = if cause == StartCause::Committed { self.target } else { self.committed };
        let Some(manifest) = subject else {
            self.startable = false;
            self.phase = self.after_check();
            return Step::Working;
        };
        let place = manifest.place(page).filter(|_| R::CHECKS_CONTENT);
        let Some(place) = place else { return self.start(mem, manifest, cause) };
        let wanted = manifest.page_digest(mem.die, &self.layout, page);
        if wanted.is_some_and(|wanted| self.reads_as(mem, &place, &wanted)) {
            self.phase = Phase::Check { page: page.saturating_add(1), cause };
            return Step::Working;
        }
        match cause {
            StartCause::Boot | StartCause::Trial => {
                let record = *self.journal.record();
                self.target = Some(manifest);
                self.seal_with(mem, &record.to, &record.from);
                self.phase = Phase::Mend { page: 0 };
            }
            StartCause::Committed => self.cannot_restore(mem, page),
            StartCause::Reverted => {
                self.dead("the old application could not be made whole; the next offer repairs the device");
            }
            StartCause::Resumed => {
                self.startable = false;
                self.phase = self.after_check();
            }
        }
        Step::Working
    }

    /// Where an update that went back to staging goes on.
    fn after_check(&mut self) -> Phase {
        if self.target.is_none() {
            return Phase::Idle;
        }
        if !self.is_in_place() {
            return Phase::Scan { page: 0, application: While::Running };
        }
        if self.startable {
            return Phase::Piece { piece: 0 };
        }
        // There is no old application any more to make pages from.
        (self.patches, self.plan_asked) = (None, false);
        Phase::Plan
    }

    #[inline(never)]
    fn start<D: NorFlash, E: NorFlash>(
        &mut self,
        mem: &mut Memory<'_, D, E>,
        manifest: Manifest,
        cause: StartCause,
    ) -> Step {
        let settled = match cause {
            StartCause::Boot => Ok(()),
            StartCause::Committed if self.committed.is_some() => {
                return self.begin_trial(mem, manifest);
            }
            StartCause::Committed => self.commit(mem, &manifest),
            StartCause::Trial => Ok(()),
            StartCause::Reverted => {
                if let Some(target) = self.target {
                    self.refused = Some((target.digest, UpdateStage::Reverted, self.reason));
                }
                self.intend(mem, State::Committed, manifest.digest, NO_MANIFEST, Mark::NONE)
            }
            StartCause::Resumed if self.target.is_some() && self.returns > RETURNS_MAX => {
                self.fail("pages of the application change faster than they can be staged");
                Ok(())
            }
            StartCause::Resumed => Ok(()),
        };
        if settled.is_err() {
            self.dead("the journal's flash does not keep what is written to it");
            return Step::Working;
        }
        self.startable = true;
        self.committed = Some(manifest);
        match cause {
            StartCause::Trial if !R::COUNTS_BEFORE_STARTING => self.phase = Phase::CountBoot,
            StartCause::Boot | StartCause::Trial => self.phase = Phase::Idle,
            StartCause::Committed => self.give_up(UpdateStage::Committed, Reason::NONE),
            StartCause::Reverted => self.give_up(UpdateStage::Reverted, self.reason),
            StartCause::Resumed => self.phase = self.after_check(),
        }
        Step::StartApplication(manifest.digest, cause)
    }

    #[inline(never)]
    pub(crate) fn commit<D: NorFlash, E: NorFlash>(
        &mut self,
        mem: &mut Memory<'_, D, E>,
        manifest: &Manifest,
    ) -> Result<(), FlashError> {
        let record = *self.journal.record();
        self.journal.write(
            mem.die,
            Record {
                state: State::Committed,
                to: manifest.digest,
                from: self.committed.map_or(NO_MANIFEST, |committed| committed.digest),
                sequence: record.sequence.max(manifest.sequence),
                counter: record.counter.max(manifest.counter),
                mark: Mark::NONE,
                ..record
            },
        )
    }

    /// Whether staging still holds page `page` of the committed manifest; once all pages are known, writes them.
    #[inline(never)]
    pub(crate) fn mend<D: NorFlash, E: NorFlash>(&mut self, mem: &mut Memory<'_, D, E>, page: u32) {
        const LOST: &str = "pages of the application are damaged; the next offer repairs them";
        let Some(manifest) = self.committed else { return self.dead(LOST) };
        let Some(place) = manifest.place(page) else { return self.begin_mending(mem) };
        let Some(wanted) = manifest.page_digest(mem.die, &self.layout, page) else { return self.dead(LOST) };
        let whole = self.reads_as(mem, &place, &wanted);
        let (Some(slot), Some(staging)) = (self.slot(page, Direction::Redo), &self.staging) else {
            return self.dead(LOST);
        };
        let (buffer, sealed, _) = self.work.split();
        let staged = staging.open_page(mem.external, &slot, buffer, sealed, &wanted, Self::authenticate());
        if whole || staged.is_ok() {
            self.phase = Phase::Mend { page: page.saturating_add(1) };
        } else {
            self.dead(LOST);
        }
    }

    #[inline(never)]
    fn begin_mending<D: NorFlash, E: NorFlash>(&mut self, mem: &mut Memory<'_, D, E>) {
        let record = *self.journal.record();
        // The next record no longer says what an earlier session may have torn.
        let certain = self.erase_suspect(mem);
        self.committed = self.find(mem, &record.from);
        let intended =
            certain.and_then(|()| self.intend(mem, State::Apply, record.to, record.from, Mark::NONE));
        if intended.is_err() {
            return self.dead("the journal's flash does not keep what is written to it");
        }
        self.direction = Direction::Redo;
        self.phase = Phase::Restore { page: 0, forced: false, then: 1, attempt: 0 };
    }
}

/// What became of a page.
enum Written {
    Whole,
    Failed,
    NotMarked,
}
