//! From an offer to a staged update, while the application runs.

use bulkhead_bundle_format::{AreaKind, Manifest as Signed, Medium};
use bulkhead_link_protocol::{Digest, FetchFrom, UpdateStage};
use bulkhead_nor_flash::{FlashError, NorFlash};
use sha2::{Digest as _, Sha256};

use crate::api::StartCause;
use crate::application::judge_owned;
use crate::engine::{Download, Engine, Offered, Phase, Source, While};
use crate::journal::{Mark, NO_MANIFEST, Record, State};
use crate::layout::{Layout, Memory};
use crate::manifest::{
    Manifest, SLOT_HEADER_LEN, erase_located, erase_slot, load, read_slot, slot_len, write_slot_page,
};
use crate::owner::{is_known, is_older, judge_signature};
use crate::reason::Reason;
use crate::refusal::Refusal;
use crate::rules::Rules;
use crate::staging::{Direction, Slot, sectors_of, slot_of};

/// Times that a sector is written before external flash is given up.
const SEAL_ATTEMPTS_MAX: u8 = 3;
/// Times in a row that the server may send a wrong page.
const WRONG_PAGES_MAX: u8 = 3;

impl<R: Rules> Engine<'_, R> {
    /// Begins with what the server offered.
    #[inline(never)]
    pub(crate) fn take_up<D: NorFlash, E: NorFlash>(&mut self, mem: &mut Memory<'_, D, E>, offered: Offered) {
        self.give_up(UpdateStage::Idle, Reason::NONE);
        self.offered = Some(offered);
        self.subject = offered.manifest;
        self.wrong_pages = 0;
        self.returns = 0;
        self.patches = None;
        self.plan_asked = false;
        self.bytes_received = 0;
        self.changes = None;
        // What is offered now is what the server wants; the failed trial before it is its concern no more.
        self.wanted_back = None;
        if self.running() == Some(offered.manifest) {
            return;
        }
        self.is_permitted = false;
        let known = self.refused.filter(|(digest, ..)| *digest == offered.manifest && !offered.forced);
        if let Some((_, stage, reason)) = known {
            return self.give_up(stage, reason);
        }
        match offered.permit_len {
            Some(len) => self.ask_for_permit(len),
            None => self.look_for_envelope(mem, offered),
        }
    }

    /// The envelope may lie in a slot already; else the server has it.
    #[inline(never)]
    pub(crate) fn look_for_envelope<D: NorFlash, E: NorFlash>(
        &mut self,
        mem: &mut Memory<'_, D, E>,
        offered: Offered,
    ) {
        if let Some(slot) = self.slot_holding(mem, &offered.manifest) {
            self.phase = Phase::Admit { slot };
            return;
        }
        self.ask_for_envelope(offered.envelope_len);
    }

    fn ask_for_envelope(&mut self, len: u32) {
        let room = slot_len(&self.layout).saturating_sub(SLOT_HEADER_LEN);
        let longest = u32::try_from(self.work.whole().len()).unwrap_or(u32::MAX).min(room);
        if len == 0 || len > longest {
            return self.refuse(Refusal::EnvelopeLen { len, longest });
        }
        self.download = Some(Download::new(FetchFrom::Envelope, 0, 0, len));
        self.phase = Phase::Envelope;
    }

    /// The slot that holds this manifest for certain, not just as it happens to read at this boot.
    #[inline(never)]
    fn slot_holding<D: NorFlash, E: NorFlash>(
        &mut self,
        mem: &mut Memory<'_, D, E>,
        digest: &Digest,
    ) -> Option<u32> {
        let spare = self.spare_slot();
        (0..2).find(|slot| {
            let certain = self.suspect != Mark::SLOT || *slot != spare;
            certain && load(mem.die, &self.layout, *slot, digest, self.work.whole()).is_some()
        })
    }

    pub(crate) fn spare_slot(&self) -> u32 {
        self.committed.map_or(0, |committed| 1u32.saturating_sub(committed.slot))
    }

    pub(crate) fn refuse(&mut self, refusal: Refusal) {
        let reason = Reason::coded(refusal.code(), refusal);
        self.refused = Some((self.subject, UpdateStage::Refused, reason));
        self.give_up(UpdateStage::Refused, reason);
    }

    pub(crate) fn fail(&mut self, reason: impl core::fmt::Display) {
        self.give_up(UpdateStage::Failed, Reason::of(reason));
    }

    /// Checks everything that can be checked before a byte of an area is fetched.
    #[inline(never)]
    pub(crate) fn admit<D: NorFlash, E: NorFlash>(&mut self, mem: &mut Memory<'_, D, E>, source: Source) {
        let (len, slot) = match source {
            Source::Server => (self.download.map(|download| download.len), self.spare_slot()),
            Source::Slot(slot) => {
                let len = read_slot(mem.die, &self.layout, slot, self.work.whole());
                (len.and_then(|len| u32::try_from(len).ok()), slot)
            }
        };
        self.download = None;
        let Some(len) = len.and_then(|len| usize::try_from(len).ok()) else {
            return self.ask_for_envelope(self.offered.map_or(0, |offered| offered.envelope_len));
        };
        match self.judge(mem, len, slot) {
            Ok(target) => {
                self.target = Some(target);
                self.phase = Phase::Prepare { source, len };
            }
            // The payload is the one that was offered, but the envelope around it is damaged: the server has another.
            Err(Refusal::Bundle(_) | Refusal::NotInKeySet(_) | Refusal::SignerEnded(_))
                if source != Source::Server =>
            {
                self.ask_for_envelope(self.offered.map_or(0, |offered| offered.envelope_len));
            }
            Err(refusal) => self.refuse(refusal),
        }
    }

    #[inline(never)]
    fn judge<D: NorFlash, E: NorFlash>(
        &mut self,
        mem: &Memory<'_, D, E>,
        len: usize,
        slot: u32,
    ) -> Result<Manifest, Refusal> {
        let envelope = self.work.whole().get(..len).unwrap_or_default();
        // A signer that has ended is no reason to leave a device without what it was given before.
        let now_s = self.now_s.filter(|_| !is_known(self.journal.record(), &self.subject));
        let signed = judge_signature(&self.keys, now_s, envelope)?;
        let target = Manifest::of(&signed, slot).ok_or(Refusal::TooManyPages)?;
        if target.digest != self.subject {
            return Err(Refusal::OtherManifest);
        }
        signed.compatible(self.device_class, self.board_revision, self.abi).map_err(Refusal::Device)?;
        let record = self.journal.record();
        if !self.is_permitted && is_older(record, &target) {
            return Err(Refusal::OlderSequence { committed: record.sequence, offered: target.sequence });
        }
        if target.counter < record.counter {
            return Err(Refusal::LowerCounter { committed: record.counter, offered: target.counter });
        }
        judge_areas(&self.layout, mem, &signed)?;
        // Going back to what ran before is never refused for it: there would be no way out of a version that fails.
        if let Some(running) = &self.committed
            && record.from != self.subject
        {
            judge_owned(running, &signed)?;
        }
        if target.entry().is_none() {
            return Err(Refusal::NoCode);
        }
        Ok(target)
    }

    /// R1, R4 and R7 for staging: a journal page of this session says that the old application stands, before
    /// anything in staging or in the spare slot is touched. Then whatever may be torn there is made certain.
    #[inline(never)]
    pub(crate) fn prepare<D: NorFlash, E: NorFlash>(
        &mut self,
        mem: &mut Memory<'_, D, E>,
        source: Source,
        len: usize,
    ) {
        let Some(target) = self.target else { return self.fail("no target") };
        let record = *self.journal.record();
        let opened = match record.state {
            State::Apply | State::Revert if R::STRIKES_OUT_LOST_APPLIES => {
                // An apply that could not be ended either way is given up for this offer. The page that may be torn
                // must not pass for one that is right.
                self.committed = None;
                let (state, mark) = (State::Empty, Mark::NONE);
                let empty = Record { state, to: NO_MANIFEST, from: NO_MANIFEST, mark, ..record };
                self.open_session(mem, record)
                    .and_then(|()| erase_located(mem, &self.layout, record.mark.second))
                    .and_then(|()| self.journal.write(mem.die, empty))
            }
            // A trial is ended before an offer is taken up, unless its manifest cannot be read any more.
            State::Trial => {
                let (state, mark) = (State::Empty, Mark::NONE);
                self.journal
                    .write(mem.die, Record { state, to: NO_MANIFEST, from: NO_MANIFEST, mark, ..record })
            }
            State::Empty | State::Committed | State::Apply | State::Revert => self.open_session(mem, record),
        };
        if opened.is_err() {
            return self.fail("flash does not keep what is written to it");
        }
        let from = self.committed.map_or(NO_MANIFEST, |committed| committed.digest);
        self.seal_with(mem, &target.digest, &from);
        self.phase = match source {
            Source::Server => Phase::Store { page: 0, len },
            Source::Slot(_) => Phase::Plan,
        };
        if self.make_certain(mem, source).is_err() {
            self.fail("external flash does not erase");
        }
    }

    /// Makes this session's journal page the newest, with the content of `record`.
    pub(crate) fn open_session<D: NorFlash, E: NorFlash>(
        &mut self,
        mem: &mut Memory<'_, D, E>,
        record: Record,
    ) -> Result<(), FlashError> {
        if !R::OPENS_A_PAGE_EACH_SESSION {
            self.journal.adopt();
        }
        if self.journal.is_ours() { Ok(()) } else { self.journal.write(mem.die, record) }
    }

    /// Rewrites or erases the sectors that an earlier session may have torn: they could read well now and
    /// differently at the next boot, in the middle of an apply.
    #[inline(never)]
    pub(crate) fn make_certain<D: NorFlash, E: NorFlash>(
        &mut self,
        mem: &mut Memory<'_, D, E>,
        source: Source,
    ) -> Result<(), FlashError> {
        if !R::REWRITES_WHAT_MAY_BE_TORN {
            self.suspect = Mark::NONE;
        }
        match source {
            // The spare slot is written next, all of it; until that is done it stays suspect.
            Source::Server if self.suspect == Mark::SLOT => return Ok(()),
            Source::Server => return self.erase_suspect(mem),
            Source::Slot(_) => {}
        }
        if let Some(staging) = &self.staging
            && let Some(slot) = self.slot_at(self.suspect)
            && let Some(digest) = self.staged_digest(mem, &slot)
        {
            let (page, sealed, _) = self.work.split();
            let opened = staging.open_page(mem.external, &slot, page, sealed, &digest, Self::authenticate());
            if opened.is_ok() {
                // Suspect until the last record of it is written.
                let Slot { page, direction, .. } = slot;
                self.phase = Phase::Seal { page, direction, record: 0, attempt: 0, then: 0 };
                return Ok(());
            }
        }
        self.erase_suspect(mem)
    }

    /// Erases whatever an earlier session may have torn in staging or in the spare slot.
    pub(crate) fn erase_suspect<D: NorFlash, E: NorFlash>(
        &mut self,
        mem: &mut Memory<'_, D, E>,
    ) -> Result<(), FlashError> {
        if self.suspect == Mark::SLOT {
            erase_slot(mem.die, &self.layout, self.spare_slot())?;
        } else if let Some(staging) = &self.staging {
            staging.erase(mem.external, self.suspect.first, self.suspect.second)?;
        }
        self.suspect = Mark::NONE;
        Ok(())
    }

    /// What the page in `slot` must hash to.
    fn staged_digest<D: NorFlash, E: NorFlash>(
        &self,
        mem: &mut Memory<'_, D, E>,
        slot: &Slot,
    ) -> Option<Digest> {
        let target = self.target?;
        match slot.direction {
            Direction::Redo => target.page_digest(mem.die, &self.layout, slot.page),
            Direction::Undo => {
                let old = self.committed?;
                old.page_digest(mem.die, &self.layout, old.page_at(&target.place(slot.page)?)?)
            }
        }
    }

    /// The slot whose sectors are exactly those of `mark`.
    fn slot_at(&self, mark: Mark) -> Option<Slot> {
        let staging = self.staging.as_ref()?;
        let found = |slot: &Slot| slot.sector == mark.first && staging.records(slot) == mark.second;
        (0..self.target?.pages)
            .flat_map(|page| [self.slot(page, Direction::Redo), self.slot(page, Direction::Undo)])
            .flatten()
            .find(found)
    }

    /// Where page `page` of the target is staged.
    pub(crate) fn slot(&self, page: u32, direction: Direction) -> Option<Slot> {
        slot_of(self.target.as_ref()?, self.staging.as_ref()?, page, direction)
    }

    /// Writes one page of the spare slot.
    #[inline(never)]
    pub(crate) fn store<D: NorFlash, E: NorFlash>(
        &mut self,
        mem: &mut Memory<'_, D, E>,
        page: u32,
        len: usize,
    ) {
        let Some(target) = self.target else { return self.fail("no target") };
        let marked = if page == 0 { self.journal.mark(mem.die, Mark::SLOT) } else { Ok(()) };
        let envelope = self.work.whole().get(..len).unwrap_or_default();
        let written =
            marked.and_then(|()| write_slot_page(mem.die, &self.layout, target.slot, page, envelope));
        self.phase = match written {
            Ok(true) => {
                self.suspect = Mark::NONE;
                Phase::Plan
            }
            Ok(false) => Phase::Store { page: page.saturating_add(1), len },
            Err(_) => return self.fail("die flash does not keep the manifest"),
        };
    }

    /// Looks at one page: already right, or staged; if neither, gets it.
    #[inline(never)]
    pub(crate) fn scan<D: NorFlash, E: NorFlash>(
        &mut self,
        mem: &mut Memory<'_, D, E>,
        page: u32,
        application: While,
    ) {
        let Some(target) = self.target else { return self.fail("no target") };
        if !R::LOOKS_AGAIN_ONCE_STOPPED && application == While::Stopped {
            self.phase = Phase::Begin;
            return;
        }
        let in_place = self.is_in_place();
        if in_place && application == While::Stopped {
            return self.look_again(mem, page);
        }
        let (next, keeps_undo) =
            (Phase::Scan { page: page.saturating_add(1), application }, self.keeps_undo());
        let Some(place) = target.place(page) else {
            self.phase = if application == While::Stopped { Phase::Begin } else { Phase::Ready };
            self.changes = Some(self.count_changes(mem, &target));
            return;
        };
        let Some(digest) = target.page_digest(mem.die, &self.layout, page) else {
            self.fail("the manifest's slot cannot be read any more");
            if application == While::Stopped {
                self.phase = Self::check(StartCause::Resumed);
            }
            return;
        };
        let (Some(redo), Some(undo)) = (self.slot(page, Direction::Redo), self.slot(page, Direction::Undo))
        else {
            return self.fail("a page has no room in staging");
        };
        let Some(staging) = &self.staging else { return self.fail("no staging") };
        let (room, sealed, _) = self.work.split();
        let Some(buffer) = room.get_mut(..place.len) else { return self.fail("a page is too large") };
        let current =
            place.read(mem, &self.layout, buffer).ok().map(|()| Digest::from(Sha256::digest(&*buffer)));
        if current == Some(digest) {
            self.phase = next;
            return;
        }
        if application == While::Running
            && keeps_undo
            && let Some(old) = self.committed
            && let Some(old_page) = old.page_at(&place)
            && let Some(old_digest) = old.page_digest(mem.die, &self.layout, old_page)
            && current == Some(old_digest)
            && staging
                .open_page(mem.external, &undo, buffer, sealed, &old_digest, Self::authenticate())
                .is_err()
        {
            // Opening used the buffer. Read again and look again, for the application may have written since: an
            // undo page that is not the old manifest's page must never be sealed under its nonce.
            let again =
                place.read(mem, &self.layout, buffer).map(|()| Digest::from(Sha256::digest(&*buffer)));
            if again == Ok(old_digest) {
                let direction = Direction::Undo;
                self.phase = Phase::Seal { page, direction, record: 0, attempt: 0, then: page };
            }
            return;
        }
        // In place only what its patch leads to now counts.
        if !in_place
            && staging.open_page(mem.external, &redo, buffer, sealed, &digest, Self::authenticate()).is_ok()
        {
            self.phase = next;
            return;
        }
        match application {
            While::Stopped => {
                self.returns = self.returns.saturating_add(1);
                self.phase = Self::check(StartCause::Resumed);
            }
            While::Running if self.begin_decoding(mem, page) => {}
            While::Running if in_place && place.area.kind != AreaKind::Fill => {
                self.fail(format_args!("area {} has no patch and no room for its pages", place.area.id));
            }
            While::Running => self.get_page(page),
        }
    }

    /// Asks for page `page`; a page that is only fill needs no asking.
    #[inline(never)]
    fn get_page(&mut self, page: u32) {
        let span = self.target.and_then(|target| target.place(page));
        let Some((place, (start, len))) = span.and_then(|place| Some((place, place.image_span()?))) else {
            return self.fail("a page is outside of its area");
        };
        let mut download = Download::new(FetchFrom::Area, place.area.id, start, len);
        if place.area.kind == AreaKind::Fill {
            self.work.split().0.fill(0xFF);
            download.received = len;
        }
        self.download = Some(download);
        self.phase = Phase::Page { page };
    }

    /// Checks the page that has come.
    #[inline(never)]
    pub(crate) fn take_page<D: NorFlash, E: NorFlash>(&mut self, mem: &mut Memory<'_, D, E>, page: u32) {
        let received = self.download.take().and_then(|download| usize::try_from(download.received).ok());
        let place = self.target.and_then(|target| target.place(page));
        let digest = self.target.and_then(|target| target.page_digest(mem.die, &self.layout, page));
        let (Some(received), Some(place), Some(digest)) = (received, place, digest) else {
            return self.fail("the manifest's slot cannot be read any more");
        };
        let (room, _, _) = self.work.split();
        let Some(buffer) = room.get_mut(..place.len) else { return self.fail("a page is too large") };
        if let Some(rest) = buffer.get_mut(received..) {
            rest.fill(0xFF);
        }
        if Digest::from(Sha256::digest(&*buffer)) == digest {
            self.wrong_pages = 0;
            let (direction, then) = (Direction::Redo, page.saturating_add(1));
            self.phase = Phase::Seal { page, direction, record: 0, attempt: 0, then };
            return;
        }
        self.wrong_pages = self.wrong_pages.saturating_add(1);
        if self.wrong_pages >= WRONG_PAGES_MAX {
            return self
                .fail(format_args!("page {page} from the server is not the one that the manifest names"));
        }
        self.get_page(page);
    }

    /// Seals one record of the page in the workspace.
    #[inline(never)]
    pub(crate) fn seal<D: NorFlash, E: NorFlash>(&mut self, mem: &mut Memory<'_, D, E>) {
        let Phase::Seal { page, direction, record, attempt, then } = self.phase else { return };
        let (Some(staging), Some(slot)) = (&self.staging, self.slot(page, direction)) else {
            return self.fail("a page has no room in staging");
        };
        let records = staging.records(&slot);
        if record == 0 && attempt == 0 {
            let mark = Mark { first: slot.sector, second: records };
            if self.journal.mark(mem.die, mark).is_err() {
                return self.fail("the journal's flash does not keep what is written to it");
            }
        }
        let (buffer, sealed, back) = self.work.split();
        let next_record = record.saturating_add(1);
        self.phase = match staging.write(mem.external, &slot, record, buffer, [sealed, back]) {
            Ok(()) if next_record == records => {
                self.suspect = Mark::NONE;
                // What may have been torn is made certain before there is a plan.
                match self.patches {
                    None => Phase::Plan,
                    Some(_) => Phase::Scan { page: then, application: While::Running },
                }
            }
            Ok(()) => Phase::Seal { page, direction, record: next_record, attempt: 0, then },
            Err(_) if attempt.saturating_add(1) < SEAL_ATTEMPTS_MAX => {
                Phase::Seal { page, direction, record, attempt: attempt.saturating_add(1), then }
            }
            Err(_) => return self.fail("external flash does not keep what is written to it"),
        };
    }
}

/// Sectors of staging for the redo pages of `target`.
pub(crate) fn sectors_of_pages(target: &Manifest, sector_len: u32) -> u64 {
    let sector_len = usize::try_from(sector_len).unwrap_or(0);
    let redo = target.areas().map(|area| {
        let page_len = usize::try_from(area.page_size).unwrap_or(usize::MAX);
        u64::from(area.pages).saturating_mul(u64::from(sectors_of(page_len, sector_len)))
    });
    redo.fold(0, u64::saturating_add)
}

/// Whether every area, those of the application's own included, fits its memory.
fn judge_areas<D: NorFlash, E: NorFlash>(
    layout: &Layout,
    mem: &Memory<'_, D, E>,
    signed: &Signed<'_>,
) -> Result<(), Refusal> {
    for area in signed.areas() {
        let (part, erase) = match area.medium {
            Medium::Die => (layout.die_application, mem.die.geometry().erase_size),
            Medium::External => (layout.external_application, mem.external.geometry().erase_size),
        };
        let page = area.page_size;
        if page != erase {
            return Err(Refusal::PageSize { area: area.id, page, erase });
        }
        if area.pages_end() > u64::from(part.length) {
            let (end, room) = (area.pages_end(), part.length);
            return Err(Refusal::AreaDoesNotFit { area: area.id, end, room });
        }
    }
    Ok(())
}
