//! The state machine: what to do next, and what the hypervisor and the server hear of it.

use core::marker::PhantomData;

use bulkhead_bundle_format::{ENVELOPE_LEN_MAX, Tally};
use bulkhead_delta::Decoder;
use bulkhead_link_protocol::{Digest, FETCH_LEN_MAX, Fetch, FetchFrom, UpdateStage};
use bulkhead_nor_flash::NorFlash;

use crate::api::{Boot, Cancelled, Changes, Entry, StartCause, Status, Step, Trial};
use crate::journal::{Journal, Mark, NO_MANIFEST, State};
use crate::keys::Keys;
use crate::layout::{DeviceFacts, Layout, LayoutError, Memory, OWNER_KEYS_MAX, PAGE_LEN_MAX, SECTOR_LEN_MAX};
use crate::manifest::{Manifest, load};
use crate::patch::{Parts, Patches};
use crate::patch_io::Opened;
use crate::reason::Reason;
use crate::rules::{Rules, Sound};
use crate::staging::{Authenticate, Direction, Staging};

/// Power sessions that an unconfirmed trial survives unless its manifest says otherwise.
const TRIAL_BOOTS: u32 = 3;

const WORKSPACE_LEN: usize = PAGE_LEN_MAX + 2 * SECTOR_LEN_MAX;
const _: () = assert!(WORKSPACE_LEN >= ENVELOPE_LEN_MAX, "an envelope is taken apart in the workspace");

/// Working memory of an engine: 16 KiB for an envelope, or a page and two sectors, and the decoder of patches.
///
/// Kept apart from the engine so that it can be a static and never crosses a stack.
#[derive(Debug)]
pub struct Workspace {
    bytes: [u8; WORKSPACE_LEN],
    decoder: Decoder,
}

impl Workspace {
    /// A workspace, fit for the initial value of a static.
    pub const fn new() -> Self {
        Self { bytes: [0; WORKSPACE_LEN], decoder: Decoder::new() }
    }

    /// Everything, for an envelope.
    pub(crate) const fn whole(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// A page, two sectors, and the decoder of patches.
    pub(crate) fn parts(&mut self) -> Parts<'_> {
        let (page, sectors) = self.bytes.split_at_mut_checked(PAGE_LEN_MAX).unwrap_or_default();
        let (sealed, back) = sectors.split_at_mut_checked(SECTOR_LEN_MAX).unwrap_or_default();
        Parts { page, sealed, back, decoder: &mut self.decoder }
    }

    /// A page and two sectors.
    pub(crate) fn split(&mut self) -> (&mut [u8], &mut [u8], &mut [u8]) {
        let (page, sectors) = self.bytes.split_at_mut_checked(PAGE_LEN_MAX).unwrap_or_default();
        let (sealed, back) = sectors.split_at_mut_checked(SECTOR_LEN_MAX).unwrap_or_default();
        (page, sealed, back)
    }
}

impl Default for Workspace {
    fn default() -> Self {
        Self::new()
    }
}

/// What the server wants the device to run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Offered {
    pub(crate) manifest: Digest,
    pub(crate) envelope_len: u32,
    pub(crate) forced: bool,
    /// Length of the permit to go back that comes with it.
    pub(crate) permit_len: Option<u32>,
}

/// Bytes on their way from the server into the workspace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Download {
    pub(crate) from: FetchFrom,
    pub(crate) area: u32,
    /// Offset of the first byte at the server.
    pub(crate) start: u32,
    pub(crate) len: u32,
    pub(crate) received: u32,
    /// End of what was asked for, counted like `received`.
    pub(crate) asked: u32,
}

impl Download {
    pub(crate) const fn new(from: FetchFrom, area: u32, start: u32, len: u32) -> Self {
        Self { from, area, start, len, received: 0, asked: 0 }
    }
}

/// Where the envelope in the workspace came from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Source {
    Server,
    Slot(u32),
}

/// What becomes of a trial.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// It is healthy as far as the device can tell.
    Healthy,
    /// It is kept.
    Keep,
    /// It is taken back.
    TakeBack,
    /// Something else shall run: it is kept for want of better until that is staged.
    MakeWay,
}

/// Whether the application runs meanwhile.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum While {
    Running,
    Stopped,
}

/// What the next step does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Phase {
    /// Nothing.
    Idle,
    /// Wait for a key set, then take it apart.
    KeySet,
    /// Check signature `next` of the key set in the workspace.
    Signatures { next: usize, tally: Tally, len: usize },
    /// Wait for the permit that came with the offer, then check it.
    Permit,
    /// Wait for the envelope, then check it.
    Envelope,
    /// Check the envelope that lies in a slot.
    Admit { slot: u32 },
    /// Open the staging session: journal, suspect sectors.
    Prepare { source: Source, len: usize },
    /// Write the envelope to the spare slot, page by page.
    Store { page: u32, len: usize },
    /// Wait for the server's plan, then check it.
    Plan,
    /// Look whether piece `piece` of the patches is there.
    Piece { piece: u32 },
    /// Wait for a piece, then seal it.
    TakePiece { piece: u32, attempt: u8 },
    /// Seal the record of the plan of an update in place.
    NotePlan { attempt: u8 },
    /// Decode page `page`, of which `filled` bytes are there.
    Decode { page: u32, filled: usize },
    /// Look whether page `page` of the target is there or staged.
    Scan { page: u32, application: While },
    /// Wait for the bytes of page `page`.
    Page { page: u32 },
    /// Seal the page in the workspace into its slot, record by record, then scan on at `then`.
    Seal { page: u32, direction: Direction, record: u32, attempt: u8, then: u32 },
    /// Everything is staged.
    Ready,
    /// Begin the apply that was staged.
    Begin,
    /// Write down that a power session of a trial begins.
    CountBoot,
    /// Is page `page` of the old application there or sealed? Once all are, the trial is taken back.
    Rewind { page: u32 },
    /// Carry on what an earlier power session began.
    Resume,
    /// Write page `page`, whatever it reads as if `forced`; then go on at `then`.
    Restore { page: u32, forced: bool, then: u32, attempt: u8 },
    /// In place: seal the old page `page` into the ring, record by record.
    Keep { page: u32, record: u32, attempt: u8 },
    /// In place: make page `page`, of which `filled` bytes are there, and write it; then as for `Restore`.
    Make { page: u32, forced: bool, then: u32, attempt: u8, filled: usize },
    /// Compare page `page` with the manifest that is to be started.
    Check { page: u32, cause: StartCause },
    /// The committed manifest's pages are damaged: can staging mend page `page`?
    Mend { page: u32 },
}

/// The update engine of one device. `R` is [`Sound`] in every product.
pub struct Engine<'w, R: Rules = Sound> {
    pub(crate) layout: Layout,
    pub(crate) device_class: &'w str,
    pub(crate) board_revision: u32,
    pub(crate) abi: u32,
    pub(crate) device_id: [u8; 16],
    pub(crate) owner_key_count: usize,
    pub(crate) keys: Keys<'w>,
    /// The key set that the server has for this device: version and length in bytes.
    pub(crate) offered_keys: Option<(u32, u32)>,
    /// Why the last one is not followed.
    pub(crate) keys_reason: Reason,
    /// Seconds since 1970, once they are known.
    pub(crate) now_s: Option<u64>,
    /// The offered manifest may be older than what was committed.
    pub(crate) is_permitted: bool,
    pub(crate) storage_root: [u8; 32],
    pub(crate) work: &'w mut Workspace,
    pub(crate) journal: Journal,
    /// The manifest that the journal commits, or would go back to.
    pub(crate) committed: Option<Manifest>,
    /// The manifest that is staged or applied.
    pub(crate) target: Option<Manifest>,
    /// Sealing for the way from `committed` to `target`.
    pub(crate) staging: Option<Staging>,
    /// Which way an apply goes now.
    pub(crate) direction: Direction,
    pub(crate) phase: Phase,
    /// All pages were found equal to `committed` in this power session, and nothing was touched since.
    pub(crate) startable: bool,
    pub(crate) queued: Option<Offered>,
    pub(crate) offered: Option<Offered>,
    pub(crate) download: Option<Download>,
    /// The last manifest that was refused or reverted, with what was said: it is not tried again by itself.
    pub(crate) refused: Option<(Digest, UpdateStage, Reason)>,
    /// What an earlier power session may have left torn in staging or in the spare slot.
    pub(crate) suspect: Mark,
    /// Pages in a row that the server sent wrongly.
    pub(crate) wrong_pages: u8,
    /// Times that pages changed between staging and apply.
    pub(crate) returns: u8,
    pub(crate) stage: UpdateStage,
    pub(crate) subject: Digest,
    pub(crate) reason: Reason,
    /// What was decided about a trial and is not written down yet.
    pub(crate) verdict: Option<Verdict>,
    /// What ran before an update that failed its trial, and has to be fetched to go back.
    pub(crate) wanted_back: Option<Digest>,
    /// What the server has ready for the offered manifest.
    pub(crate) patches: Option<Patches>,
    /// The plan was asked for on this link.
    pub(crate) plan_asked: bool,
    /// What lies opened in the workspace while a patch is decoded.
    pub(crate) opened: Opened,
    /// Bytes that came for the offered manifest.
    pub(crate) bytes_received: u64,
    /// What applying the target will write, once it is ready.
    pub(crate) changes: Option<Changes>,
    rules: PhantomData<R>,
}

impl<'w> Engine<'w> {
    /// An engine that keeps every rule. Nothing is read before [`Engine::boot`].
    pub fn new(layout: Layout, facts: DeviceFacts<'w>, work: &'w mut Workspace) -> Self {
        Self::with_rules(layout, facts, work)
    }
}

impl<'w, R: Rules> Engine<'w, R> {
    /// As [`Engine::new`], for the rules that the type names.
    pub fn with_rules(layout: Layout, facts: DeviceFacts<'w>, work: &'w mut Workspace) -> Self {
        Self {
            layout,
            device_class: facts.device_class,
            board_revision: facts.board_revision,
            abi: facts.abi,
            device_id: facts.device_id,
            owner_key_count: facts.owner_keys.len(),
            keys: Keys::unread(facts.owner_keys, layout.die_keys),
            offered_keys: None,
            keys_reason: Reason::NONE,
            now_s: None,
            is_permitted: false,
            storage_root: facts.storage_root,
            work,
            journal: Journal::unread(layout.die_journal),
            committed: None,
            target: None,
            staging: None,
            direction: Direction::Redo,
            phase: Phase::Idle,
            startable: false,
            queued: None,
            offered: None,
            download: None,
            refused: None,
            suspect: Mark::NONE,
            wrong_pages: 0,
            returns: 0,
            stage: UpdateStage::Idle,
            subject: NO_MANIFEST,
            reason: Reason::NONE,
            verdict: None,
            wanted_back: None,
            patches: None,
            plan_asked: false,
            opened: Opened::NOTHING,
            bytes_received: 0,
            changes: None,
            rules: PhantomData,
        }
    }

    /// Reads the journal and the manifests; called once after each power-on, before anything else.
    ///
    /// # Errors
    /// [`LayoutError`]: layout, keys or memories cannot be worked with; a fault of whoever built the image.
    #[inline(never)]
    pub fn boot<D: NorFlash, E: NorFlash>(
        &mut self,
        mem: &mut Memory<'_, D, E>,
    ) -> Result<Boot, LayoutError> {
        self.layout.check(mem)?;
        if self.owner_key_count == 0 || self.owner_key_count > OWNER_KEYS_MAX {
            return Err(LayoutError::OwnerKeys);
        }
        self.keys.read(mem.die, self.work.whole());
        self.journal = Journal::read(mem.die, self.layout.die_journal);
        let record = *self.journal.record();
        if matches!(record.state, State::Empty | State::Committed) {
            self.suspect = record.mark;
        }
        self.phase = match record.state {
            State::Empty => Phase::Idle,
            State::Committed => {
                self.committed = self.find(mem, &record.to);
                self.subject = record.to;
                if self.committed.is_some() { Self::check(StartCause::Boot) } else { Phase::Idle }
            }
            State::Trial => {
                self.committed = self.find(mem, &record.to);
                self.subject = record.to;
                self.stage = UpdateStage::Trial;
                if self.committed.is_some() { Phase::CountBoot } else { Phase::Idle }
            }
            State::Apply | State::Revert => {
                self.target = self.find(mem, &record.to);
                self.committed = self.find(mem, &record.from);
                self.direction = if record.state == State::Apply { Direction::Redo } else { Direction::Undo };
                self.subject = record.to;
                self.seal_with(mem, &record.to, &record.from);
                self.recall_plan(mem, &record);
                let possible =
                    self.target.is_some() && (self.direction == Direction::Redo || self.committed.is_some());
                if possible { Phase::Resume } else { Phase::Idle }
            }
        };
        if matches!(self.phase, Phase::Idle) {
            return Ok(Boot::NoApplication);
        }
        Ok(Boot::Work)
    }

    /// Does one bounded piece of work: at most one page is hashed, or erased and programmed.
    ///
    /// Each phase is a function of its own that is never inlined: the caller's stack then holds the frame of one
    /// phase, not the sum of all.
    pub fn step<D: NorFlash, E: NorFlash>(&mut self, mem: &mut Memory<'_, D, E>) -> Step {
        if self.begin_key_set() {
            return Step::Working;
        }
        self.make_way();
        if self.may_be_dropped()
            && self.trial().is_none()
            && let Some(offered) = self.queued.take()
        {
            self.take_up(mem, offered);
            return Step::Working;
        }
        match self.phase {
            Phase::Idle if self.verdict == Some(Verdict::TakeBack) => return Step::ReadyToRevert,
            Phase::Idle if self.verdict.is_some() => self.pronounce(mem),
            Phase::Idle => return self.rest(),
            Phase::Ready => return Step::ReadyToApply,
            Phase::KeySet
            | Phase::Permit
            | Phase::Envelope
            | Phase::Page { .. }
            | Phase::TakePiece { .. }
                if !self.is_downloaded() =>
            {
                return Step::Idle;
            }
            Phase::KeySet => self.take_key_set(mem),
            Phase::Signatures { .. } => self.count_signature(mem),
            Phase::Permit => self.take_permit(mem),
            Phase::Plan if self.patches.is_none() => return Step::Idle,
            Phase::Plan => self.take_plan(mem),
            Phase::Piece { piece } => self.look_for_piece(mem, piece),
            Phase::TakePiece { .. } => self.take_piece(mem),
            Phase::NotePlan { attempt } => self.note_plan(mem, attempt),
            Phase::Decode { .. } => self.decode(mem),
            Phase::Envelope => self.admit(mem, Source::Server),
            Phase::Admit { slot } => self.admit(mem, Source::Slot(slot)),
            Phase::Prepare { source, len } => self.prepare(mem, source, len),
            Phase::Store { page, len } => self.store(mem, page, len),
            Phase::Scan { page, application } => self.scan(mem, page, application),
            Phase::Page { page } => self.take_page(mem, page),
            Phase::Seal { .. } => self.seal(mem),
            Phase::Begin => self.begin(mem),
            Phase::CountBoot => self.count_boot(mem),
            Phase::Rewind { page } => self.rewind(mem, page),
            Phase::Resume => self.resume(mem),
            Phase::Restore { .. } => self.restore(mem),
            Phase::Keep { .. } => self.keep(mem),
            Phase::Make { .. } => self.make(mem),
            Phase::Check { page, cause } => return self.check_page(mem, page, cause),
            Phase::Mend { page } => self.mend(mem, page),
        }
        Step::Working
    }

    /// The hypervisor stopped the application: a ready update may be applied, a failed trial taken back. Ignored in any
    /// other state.
    pub fn allow_apply(&mut self) {
        match self.phase {
            Phase::Ready => self.phase = Phase::Scan { page: 0, application: While::Stopped },
            Phase::Idle if self.verdict == Some(Verdict::TakeBack) => {
                self.verdict = None;
                self.phase = Phase::Rewind { page: 0 };
            }
            _ => return,
        }
        self.startable = false;
    }

    /// The new version on trial, if there is one.
    pub fn trial(&self) -> Option<Trial> {
        let record = self.journal.record();
        let boots_max = self.committed?.policy.trial_boots.unwrap_or(TRIAL_BOOTS).max(1);
        (record.state == State::Trial).then_some(Trial {
            boots: record.mark.first,
            boots_max,
            healthy: record.mark.second == 1,
        })
    }

    /// The trial went well as far as the device can tell: written down by the next step, and boots no longer count.
    /// Ignored without a trial.
    pub fn confirm_locally(&mut self) {
        if self.trial().is_some_and(|trial| !trial.healthy) && self.verdict.is_none() {
            self.verdict = Some(Verdict::Healthy);
        }
    }

    /// The new version is kept: the next step commits it. Ignored without a trial.
    pub fn commit_trial(&mut self) {
        if self.trial().is_some() && self.verdict != Some(Verdict::TakeBack) {
            self.verdict = Some(Verdict::Keep);
        }
    }

    /// The new version failed: [`Step::ReadyToRevert`] follows. The old one is put back if its pages are still sealed;
    /// otherwise [`Status::wanted_back`] names it, and the new one goes on until the server offers the old. Ignored
    /// without a trial.
    pub fn fail_trial(&mut self, reason: impl core::fmt::Display) {
        if self.trial().is_some() {
            self.verdict = Some(Verdict::TakeBack);
            self.reason = Reason::of(reason);
        }
    }

    /// What the running bundle lays down; `None` without an application.
    pub fn policy(&self) -> Option<bulkhead_bundle_format::Policy> {
        self.committed.map(|manifest| manifest.policy)
    }

    /// The server says what this device shall run. `envelope_len` is in bytes.
    ///
    /// Taken up by the next step; an apply that was begun is finished first. Offering again what runs, or what is
    /// being staged, changes nothing.
    pub fn offer(&mut self, manifest: Digest, envelope_len: u32, forced: bool) {
        self.offer_with_permit(manifest, envelope_len, forced, None);
    }

    /// As [`Engine::offer`], with the length in bytes of a permit to go back.
    pub fn offer_with_permit(
        &mut self,
        manifest: Digest,
        envelope_len: u32,
        forced: bool,
        permit_len: Option<u32>,
    ) {
        let offered = Offered { manifest, envelope_len, forced, permit_len };
        match &mut self.offered {
            Some(now) if now.manifest == manifest && !matches!(self.phase, Phase::Idle) => {
                now.forced = forced;
                self.queued = None;
            }
            _ => self.queued = Some(offered),
        }
    }

    /// Whether the last offer is to be applied even if the application postpones.
    pub fn is_forced(&self) -> bool {
        self.queued.or(self.offered).is_some_and(|offered| offered.forced)
    }

    /// What to ask the server for now; each span is returned once, and again after [`Engine::link_lost`].
    pub fn wanted(&mut self) -> Option<Fetch> {
        let manifest = match self.phase {
            Phase::KeySet => NO_MANIFEST,
            _ => self.offered?.manifest,
        };
        let download = self.download.as_mut()?;
        if download.received < download.asked || download.received >= download.len {
            return None;
        }
        let len = download.len.saturating_sub(download.received).min(FETCH_LEN_MAX);
        download.asked = download.received.saturating_add(len);
        let offset = download.start.saturating_add(download.received);
        Some(Fetch { manifest, from: download.from, area: download.area, offset, len })
    }

    /// A piece of what was asked for, in order. Anything else is ignored: it belongs to what was asked for before
    /// an interruption. Touches no flash.
    pub fn chunk(&mut self, from: FetchFrom, area: u32, offset: u32, bytes: &[u8]) {
        let Some(download) = &mut self.download else { return };
        let expected = download.start.saturating_add(download.received);
        let room = download.asked.saturating_sub(download.received);
        let Ok(len) = u32::try_from(bytes.len()) else { return };
        if (download.from, download.area, expected) != (from, area, offset) || len > room {
            return;
        }
        let start = usize::try_from(download.received).unwrap_or(usize::MAX);
        let Some(end) = start.checked_add(bytes.len()) else { return };
        if let Some(room) = self.work.whole().get_mut(start..end) {
            room.copy_from_slice(bytes);
            download.received = download.received.saturating_add(len);
            self.bytes_received = self.bytes_received.saturating_add(u64::from(len));
        }
    }

    /// The server does not have what was asked for: without a plan or a patch pages are fetched as they are, for
    /// anything else the update is given up until the next offer.
    pub fn unavailable(&mut self, manifest: Digest) {
        if matches!(self.phase, Phase::Plan) && self.target.is_some_and(|target| target.digest == manifest) {
            return self.no_plan();
        }
        if matches!(self.phase, Phase::TakePiece { .. })
            && self.offered.is_some_and(|offered| offered.manifest == manifest)
        {
            self.download = None;
            return self.give_patches_up(0);
        }
        if matches!(self.phase, Phase::KeySet) && manifest == NO_MANIFEST {
            return self.refuse_keys("the server does not have the key set that it offered");
        }
        if self.download.is_some() && self.offered.is_some_and(|offered| offered.manifest == manifest) {
            self.give_up(UpdateStage::Failed, Reason::of("the server does not have what it offered"));
        }
    }

    /// The link went down: what was asked for and not received is asked for again.
    pub fn link_lost(&mut self) {
        self.plan_asked = false;
        self.drop_key_set();
        if let Some(download) = &mut self.download {
            download.asked = download.received;
        }
    }

    /// Gives the offered update up.
    pub fn cancel(&mut self) -> Cancelled {
        let queued = self.queued.take().is_some();
        match self.phase {
            Phase::Scan { application: While::Stopped, .. } | Phase::Begin => {
                self.give_up(UpdateStage::Cancelled, Reason::NONE);
                self.phase = Self::check(StartCause::Resumed);
                Cancelled::Done
            }
            Phase::Idle if self.trial().is_some() => {
                self.fail_trial("cancelled");
                Cancelled::Done
            }
            Phase::Idle | Phase::KeySet | Phase::Signatures { .. } if queued => Cancelled::Done,
            Phase::Idle | Phase::KeySet | Phase::Signatures { .. } => Cancelled::Nothing,
            _ if self.may_be_dropped() => {
                self.give_up(UpdateStage::Cancelled, Reason::NONE);
                Cancelled::Done
            }
            _ => Cancelled::TooLate,
        }
    }

    /// Whether there is an update that does not run yet: offered, looked at, fetched, staged, or being applied.
    pub fn is_update_ahead(&self) -> bool {
        let waits = self.queued.is_some_and(|offered| self.running() != Some(offered.manifest));
        waits
            || self.status().is_some_and(|status| match status.stage {
                UpdateStage::Checking | UpdateStage::Staging | UpdateStage::Ready | UpdateStage::Applying => {
                    true
                }
                UpdateStage::Idle
                | UpdateStage::Refused
                | UpdateStage::Committed
                | UpdateStage::Reverting
                | UpdateStage::Reverted
                | UpdateStage::Failed
                | UpdateStage::Trial
                | UpdateStage::Cancelled => false,
            })
    }

    /// Where the last offered or interrupted update stands; `None` if there is none since power came on.
    pub fn status(&self) -> Option<Status<'_>> {
        if self.subject == NO_MANIFEST {
            return None;
        }
        let pages = self.target.map_or(0, |target| target.pages);
        let (stage, pages_done, pages_total) = match self.phase {
            Phase::Idle if self.verdict == Some(Verdict::TakeBack) => (UpdateStage::Reverting, 0, pages),
            Phase::Idle | Phase::CountBoot | Phase::KeySet | Phase::Signatures { .. } => (self.stage, 0, 0),
            Phase::Rewind { .. } => (UpdateStage::Reverting, 0, pages),
            Phase::Permit
            | Phase::Envelope
            | Phase::Admit { .. }
            | Phase::Prepare { .. }
            | Phase::Store { .. }
            | Phase::Plan => (UpdateStage::Checking, 0, 0),
            Phase::Piece { .. } | Phase::TakePiece { .. } | Phase::NotePlan { .. } => {
                (UpdateStage::Staging, 0, pages)
            }
            Phase::Scan { page, application: While::Running }
            | Phase::Page { page }
            | Phase::Decode { page, .. }
            | Phase::Seal { page, .. } => (UpdateStage::Staging, page, pages),
            Phase::Ready => (UpdateStage::Ready, pages, pages),
            Phase::Scan { application: While::Stopped, .. } | Phase::Begin => {
                (UpdateStage::Applying, 0, pages)
            }
            Phase::Resume => (self.restoring(), 0, pages),
            Phase::Restore { page, .. } | Phase::Keep { page, .. } | Phase::Make { page, .. } => {
                (self.restoring(), page, pages)
            }
            Phase::Check { cause: StartCause::Committed, .. } | Phase::Mend { .. } => {
                (UpdateStage::Applying, pages, pages)
            }
            Phase::Check { cause: StartCause::Reverted, .. } => (UpdateStage::Reverting, pages, pages),
            Phase::Check { cause: StartCause::Boot | StartCause::Resumed | StartCause::Trial, .. } => {
                (self.stage, 0, 0)
            }
        };
        Some(Status {
            manifest: self.subject,
            stage,
            pages_done,
            pages_total,
            reason: self.reason.text(),
            code: self.reason.code(),
            wanted_back: self.wanted_back,
            mode: self.patches.map(|patches| patches.plan.mode),
            bytes_received: self.bytes_received,
            changes: self.changes,
        })
    }

    /// The committed manifest, if all pages were found equal to it since power came on.
    pub fn running(&self) -> Option<Digest> {
        self.committed.filter(|_| self.startable).map(|manifest| manifest.digest)
    }

    /// Where to start the application; `None` unless [`Engine::running`].
    pub fn entry(&self) -> Option<Entry> {
        let manifest = self.committed.filter(|_| self.startable)?;
        manifest.entry().map(|area| Entry { base: area.base, length: area.length })
    }

    const fn restoring(&self) -> UpdateStage {
        match self.direction {
            Direction::Redo => UpdateStage::Applying,
            Direction::Undo => UpdateStage::Reverting,
        }
    }

    /// Whether the server's next offer has to wait, and what it makes of a trial.
    fn make_way(&mut self) {
        // What runs is known only once the pages were looked at.
        if !matches!(self.phase, Phase::Idle) {
            return;
        }
        let (Some(offered), Some(_)) = (self.queued, self.trial()) else { return };
        let record = self.journal.record();
        if offered.manifest == record.to && self.startable {
            // What is on trial is what shall run.
            self.queued = None;
        } else if self.verdict.is_none() || self.verdict == Some(Verdict::Healthy) {
            let goes_back = offered.manifest == record.from;
            self.verdict = Some(if goes_back { Verdict::TakeBack } else { Verdict::MakeWay });
            if goes_back {
                self.reason = Reason::of("the owner ordered to go back");
            }
        }
    }

    fn rest(&self) -> Step {
        if self.startable { Step::Idle } else { Step::NoApplication }
    }

    /// Whether the phase can be left for another offer without more ado.
    pub(crate) const fn may_be_dropped(&self) -> bool {
        match self.phase {
            Phase::Idle
            | Phase::Permit
            | Phase::Envelope
            | Phase::Admit { .. }
            | Phase::Prepare { .. }
            | Phase::Store { .. }
            | Phase::Scan { application: While::Running, .. }
            | Phase::Page { .. }
            | Phase::Plan
            | Phase::Piece { .. }
            | Phase::TakePiece { .. }
            | Phase::NotePlan { .. }
            | Phase::Decode { .. }
            | Phase::Seal { .. }
            | Phase::Ready => true,
            // A key set is judged to the end before it is decided whose manifests count.
            Phase::KeySet
            | Phase::Signatures { .. }
            | Phase::Scan { application: While::Stopped, .. }
            | Phase::Begin
            | Phase::CountBoot
            | Phase::Rewind { .. }
            | Phase::Resume
            | Phase::Restore { .. }
            | Phase::Keep { .. }
            | Phase::Make { .. }
            | Phase::Check { .. }
            | Phase::Mend { .. } => false,
        }
    }

    fn is_downloaded(&self) -> bool {
        self.download.is_none_or(|download| download.received >= download.len)
    }

    /// Leaves the update alone, with the reason.
    pub(crate) fn give_up(&mut self, stage: UpdateStage, reason: Reason) {
        self.stage = stage;
        self.reason = reason;
        self.phase = Phase::Idle;
        self.download = None;
        self.target = None;
        self.staging = None;
    }

    /// The manifest with this digest, from whichever slot holds it.
    #[inline(never)]
    pub(crate) fn find<D: NorFlash, E: NorFlash>(
        &mut self,
        mem: &mut Memory<'_, D, E>,
        digest: &Digest,
    ) -> Option<Manifest> {
        if *digest == NO_MANIFEST {
            return None;
        }
        (0..2).find_map(|slot| load(mem.die, &self.layout, slot, digest, self.work.whole()))
    }

    #[inline(never)]
    pub(crate) fn seal_with<D: NorFlash, E: NorFlash>(
        &mut self,
        mem: &Memory<'_, D, E>,
        to: &Digest,
        from: &Digest,
    ) {
        let sector_len = usize::try_from(mem.external.geometry().erase_size).unwrap_or(0);
        self.staging =
            Some(Staging::new(self.layout.external_staging, sector_len, &self.storage_root, to, from));
    }

    pub(crate) const fn authenticate() -> Authenticate {
        if R::CHECKS_CONTENT { Authenticate::Yes } else { Authenticate::SeededBug }
    }

    pub(crate) const fn check(cause: StartCause) -> Phase {
        Phase::Check { page: 0, cause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_and_workspace_stay_within_43_kib_of_ram() {
        assert!(size_of::<Workspace>() <= 40 * 1024, "{}", size_of::<Workspace>());
        // On a 64-bit host; a little less on the chip.
        assert!(size_of::<Engine<'_>>() <= 3072, "{}", size_of::<Engine<'_>>());
    }
}
