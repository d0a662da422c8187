//! The state machine.

use core::marker::PhantomData;

use bulkhead_link_protocol::{Digest, Fetch, FetchFrom, UpdateStage};
use bulkhead_nor_flash::NorFlash;

use crate::api::{Boot, Entry, Status, Step};
use crate::journal::{Journal, State};
use crate::layout::{DeviceFacts, Layout, LayoutError, Memory};
use crate::rules::{Rules, Sound};

/// Bytes of working memory: an envelope, or a page and two sectors.
const WORKSPACE_LEN: usize = 16 * 1024;

/// Working memory of an engine, 16 KiB; kept apart so that it can be a static and never crosses a stack.
#[derive(Debug)]
pub struct Workspace {
    bytes: [u8; WORKSPACE_LEN],
}

impl Workspace {
    /// A workspace, fit for the initial value of a static.
    pub const fn new() -> Self {
        Self { bytes: [0; WORKSPACE_LEN] }
    }
}

impl Default for Workspace {
    fn default() -> Self {
        Self::new()
    }
}

/// The update engine of one device. `R` is [`Sound`] in every product.
pub struct Engine<'w, R: Rules = Sound> {
    layout: Layout,
    facts: DeviceFacts<'w>,
    work: &'w mut Workspace,
    journal: Journal,
    status: Option<Status>,
    rules: PhantomData<R>,
}

impl<'w> Engine<'w> {
    /// An engine that keeps every rule. Nothing is read before [`Engine::boot`].
    pub const fn new(layout: Layout, facts: DeviceFacts<'w>, work: &'w mut Workspace) -> Self {
        Self::with_rules(layout, facts, work)
    }
}

impl<'w, R: Rules> Engine<'w, R> {
    /// As [`Engine::new`], for the rules that the type names.
    pub const fn with_rules(layout: Layout, facts: DeviceFacts<'w>, work: &'w mut Workspace) -> Self {
        Self {
            layout,
            facts,
            work,
            journal: Journal::unread(layout.die_journal),
            status: None,
            rules: PhantomData,
        }
    }

    /// Reads the journal and the manifests; called once after each power-on, before anything else.
    ///
    /// # Errors
    /// [`LayoutError`]: layout, keys or memories cannot be worked with; a fault of whoever built the image.
    pub fn boot<D: NorFlash, E: NorFlash>(
        &mut self,
        mem: &mut Memory<'_, D, E>,
    ) -> Result<Boot, LayoutError> {
        self.layout.check(mem)?;
        self.journal = Journal::read(mem.die, self.layout.die_journal);
        Ok(if self.journal.record().state == State::Empty { Boot::NoApplication } else { Boot::Work })
    }

    /// Does one bounded piece of work: at most one page is hashed, or erased and programmed.
    pub fn step<D: NorFlash, E: NorFlash>(&mut self, mem: &mut Memory<'_, D, E>) -> Step {
        let _ = (mem, &self.work, &self.facts);
        Step::NoApplication
    }

    /// The hypervisor stopped the application: a ready update may be applied. Ignored in any other state.
    pub fn allow_apply(&mut self) {}

    /// The server says what this device shall run. `envelope_len` is in bytes.
    pub fn offer(&mut self, manifest: Digest, envelope_len: u32, forced: bool) {
        let _ = (envelope_len, forced);
        self.status = Some(Status {
            manifest,
            stage: UpdateStage::Refused,
            pages_done: 0,
            pages_total: 0,
            reason: Some("this build of the engine cannot stage yet"),
        });
    }

    /// Whether the last offer is to be applied even if the application postpones.
    pub fn is_forced(&self) -> bool {
        false
    }

    /// What to ask the server for now; each span is returned once, and again after [`Engine::link_lost`].
    pub fn wanted(&mut self) -> Option<Fetch> {
        None
    }

    /// A piece of what was asked for. Pieces that were not asked for are ignored.
    pub fn chunk(&mut self, from: FetchFrom, area: u32, offset: u32, bytes: &[u8]) {
        let _ = (from, area, offset, bytes);
    }

    /// The server does not have what was asked for.
    pub fn unavailable(&mut self, manifest: Digest) {
        let _ = manifest;
    }

    /// The link went down: what was asked for and not received is asked for again.
    pub fn link_lost(&mut self) {}

    /// Gives the offered update up. Returns whether it could: an apply that was begun goes to its end.
    pub fn cancel(&mut self) -> bool {
        true
    }

    /// Where the last offered or interrupted update stands; `None` if there is none since power came on.
    pub fn status(&self) -> Option<Status> {
        self.status
    }

    /// The committed manifest, if all pages were found equal to it since power came on.
    pub fn running(&self) -> Option<Digest> {
        None
    }

    /// Where to start the application; `None` unless `running`.
    pub fn entry(&self) -> Option<Entry> {
        None
    }
}
