//! Patches: their pieces in staging, and new pages decoded from them.
//!
//! A patch is cut into pieces that each fill one sector. A piece is sealed under a key that is derived from its own
//! content: whatever a server sends, no two plaintexts meet under one key and nonce. What a patch decodes to is
//! believed page by page, by the digests of the manifest; a patch that leads elsewhere costs nothing but its bytes.

use bulkhead_bundle_format::{Medium, PATCH_CRYPT_LEN, record_count};
use bulkhead_delta::{Limits, PatchIo, Progress};
use bulkhead_link_protocol::{FetchFrom, PATCHES_MAX, Plan, PlanRequest, StagingMode};
use bulkhead_nor_flash::NorFlash;
use sha2::{Digest as _, Sha256};

use crate::engine::{Download, Engine, Phase, While};
use crate::journal::Mark;
use crate::layout::{Layout, Memory};
use crate::manifest::{Area, Manifest, Place};
use crate::rules::Rules;
use crate::staging::{Direction, NotStaged, Staging, slot_of};

/// Bytes decoded in one step: what takes about as long as the digest of a page.
const SLICE_LEN: usize = 512;
/// Entries of a copy list passed over in one step.
const COPIES_PER_STEP: u32 = 128;
/// Times that a piece is written before external flash is given up.
const ATTEMPTS_MAX: u8 = 3;

/// What the server has ready, and how far the device is with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patches {
    pub(crate) plan: Plan,
    /// Sectors of all pieces together, at the end of staging.
    pub(crate) sectors: u32,
    /// A patch did not lead to the manifest's pages: pages are fetched as they are.
    pub(crate) given_up: bool,
    /// The area whose patch the decoder is in, and the offset of its next byte there.
    pub(crate) open: Option<(u32, u32)>,
}

/// One patch of the plan.
#[derive(Clone, Copy, Debug)]
struct Patch {
    area: u32,
    len: u32,
    /// Number of its first piece among those of all patches.
    first_piece: u32,
}

/// What lies opened in the second sector of the workspace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Opened {
    Nothing,
    Piece(u32),
    Record { page: u32, record: u32 },
}

impl Patches {
    fn iter(&self, sector_len: u32) -> impl Iterator<Item = Patch> {
        let mut next = 0u32;
        self.plan.patches.as_slice().iter().map(move |offer| {
            let first_piece = next;
            next = next.saturating_add(record_count(offer.len, sector_len, PATCH_CRYPT_LEN));
            Patch { area: offer.area, len: offer.len, first_piece }
        })
    }

    fn of_area(&self, area: u32, sector_len: u32) -> Option<Patch> {
        if self.given_up {
            return None;
        }
        self.iter(sector_len).find(|patch| patch.area == area)
    }
}

impl<R: Rules> Engine<'_, R> {
    /// What to ask the server before anything is fetched; said once, and again after [`Self::link_lost`].
    pub fn wanted_plan(&mut self) -> Option<PlanRequest> {
        if !matches!(self.phase, Phase::Plan) || self.patches.is_some() || self.plan_asked {
            return None;
        }
        let sector_len = self.staging.as_ref()?.sector_len();
        self.plan_asked = true;
        Some(PlanRequest {
            manifest: self.target?.digest,
            base: self.committed.filter(|_| self.startable).map(|committed| committed.digest),
            staging_len: self.layout.external_staging.length,
            sector_len: u32::try_from(sector_len).ok()?,
            patch_version: bulkhead_delta::PATCH_VERSION,
        })
    }

    /// The server's plan. Anything but an answer to what was asked is ignored.
    pub fn plan(&mut self, plan: &Plan) {
        let base = self.committed.filter(|_| self.startable).map(|committed| committed.digest);
        // A server that does not know what runs here makes patches that start from nothing.
        let fits = plan.base.is_none() || plan.base == base;
        let expected = self.target.map(|target| target.digest) == Some(plan.manifest) && fits;
        if matches!(self.phase, Phase::Plan) && self.patches.is_none() && expected {
            self.patches = Some(Patches { plan: *plan, sectors: 0, given_up: false, open: None });
        }
    }

    /// The server has no plan: pages are fetched as they are.
    pub(crate) fn no_plan(&mut self) {
        let Some(target) = self.target else { return };
        let base = self.committed.filter(|_| self.startable).map(|committed| committed.digest);
        let plan = Plan {
            manifest: target.digest,
            base,
            mode: StagingMode::RedoAndUndo,
            patches: bulkhead_link_protocol::PatchOffers::default(),
            needed_len: 0,
        };
        self.patches = Some(Patches { plan, sectors: 0, given_up: false, open: None });
    }

    /// Checks that what was planned fits.
    #[inline(never)]
    pub(crate) fn take_plan<D: NorFlash, E: NorFlash>(&mut self, mem: &Memory<'_, D, E>) {
        let (Some(patches), Some(target)) = (self.patches.as_mut(), self.target) else { return };
        let sector_len = mem.external.geometry().erase_size;
        let there = self.layout.external_staging.length.checked_div(sector_len).unwrap_or(0);
        let pages = crate::stage::sectors_of_pages(&target, sector_len);
        let known = |patch: &Patch| target.areas().any(|area| area.id == patch.area);
        let pieces = patches.iter(sector_len).filter(known).fold(0u64, |sum, patch| {
            sum.saturating_add(u64::from(record_count(patch.len, sector_len, PATCH_CRYPT_LEN)))
        });
        let all_known = patches.iter(sector_len).all(|patch| known(&patch));
        let room = u64::from(there);
        let mode = match patches.plan.mode {
            StagingMode::RedoAndUndo | StagingMode::Redo
                if !all_known || pieces.saturating_add(pages) > room =>
            {
                // What the server planned is not for this staging: without patches less is needed.
                patches.given_up = true;
                if pages.saturating_mul(2) <= room { StagingMode::RedoAndUndo } else { StagingMode::Redo }
            }
            StagingMode::RedoAndUndo if pieces.saturating_add(pages.saturating_mul(2)) <= room => {
                StagingMode::RedoAndUndo
            }
            StagingMode::RedoAndUndo | StagingMode::Redo => StagingMode::Redo,
            mode @ (StagingMode::InPlace | StagingMode::Refused) => mode,
        };
        patches.plan.mode = mode;
        patches.sectors = if patches.given_up { 0 } else { u32::try_from(pieces).unwrap_or(u32::MAX) };
        if matches!(mode, StagingMode::InPlace | StagingMode::Refused) || pages > room {
            let needed = pages;
            return self.refuse(crate::refusal::Refusal::StagingTooSmall { needed, there });
        }
        self.phase = match patches.given_up {
            true => Phase::Scan { page: 0, application: While::Running },
            false => Phase::Piece { piece: 0 },
        };
    }

    /// Whether old pages are kept, so that the device can go back by itself.
    pub(crate) fn keeps_undo(&self) -> bool {
        self.patches.is_none_or(|patches| patches.plan.mode == StagingMode::RedoAndUndo)
    }

    /// First sector of the pieces.
    fn piece_sector<D: NorFlash, E: NorFlash>(&self, mem: &Memory<'_, D, E>, piece: u32) -> Option<u32> {
        let sectors = self.layout.external_staging.length.checked_div(mem.external.geometry().erase_size)?;
        sectors.checked_sub(self.patches?.sectors)?.checked_add(piece)
    }

    /// The patch that piece `piece` belongs to, its offset there and its length.
    fn piece_span<D: NorFlash, E: NorFlash>(
        &self,
        mem: &Memory<'_, D, E>,
        piece: u32,
    ) -> Option<(Patch, u32, u32)> {
        let sector_len = mem.external.geometry().erase_size;
        let payload = sector_len.checked_sub(PATCH_CRYPT_LEN)?;
        let patch = self.patches?.iter(sector_len).filter(|patch| patch.first_piece <= piece).last()?;
        let offset = piece.checked_sub(patch.first_piece)?.checked_mul(payload)?;
        let len = patch.len.checked_sub(offset).filter(|left| *left > 0)?.min(payload);
        Some((patch, offset, len))
    }

    /// Looks whether a piece is there already; asks for it if not.
    #[inline(never)]
    pub(crate) fn look_for_piece<D: NorFlash, E: NorFlash>(
        &mut self,
        mem: &mut Memory<'_, D, E>,
        piece: u32,
    ) {
        let (Some((patch, offset, len)), Some(sector)) =
            (self.piece_span(mem, piece), self.piece_sector(mem, piece))
        else {
            self.phase = Phase::Scan { page: 0, application: While::Running };
            return;
        };
        let Some(staging) = &self.staging else { return self.fail("no staging") };
        let (room, sealed, _) = self.work.split();
        let there = usize::try_from(len)
            .ok()
            .and_then(|len| room.get_mut(..len))
            .is_some_and(|room| staging.open_piece(mem.external, sector, piece, room, sealed).is_ok());
        if there {
            self.phase = Phase::Piece { piece: piece.saturating_add(1) };
            return;
        }
        // Before it is fetched: a cut in the mark itself then costs the piece before, or nothing.
        if self.journal.mark(mem.die, Mark { first: sector, second: 1 }).is_err() {
            return self.fail("the journal's flash does not keep what is written to it");
        }
        self.download = Some(Download::new(FetchFrom::Patch, patch.area, offset, len));
        self.phase = Phase::TakePiece { piece, attempt: 0 };
    }

    /// Seals the piece that has come.
    #[inline(never)]
    pub(crate) fn take_piece<D: NorFlash, E: NorFlash>(&mut self, mem: &mut Memory<'_, D, E>) {
        let Phase::TakePiece { piece, attempt } = self.phase else { return };
        let (Some((_, _, len)), Some(sector)) = (self.piece_span(mem, piece), self.piece_sector(mem, piece))
        else {
            return self.fail("a piece of a patch has no room in staging");
        };
        let Some(staging) = &self.staging else { return self.fail("no staging") };
        let (room, sealed, back) = self.work.split();
        let piece_bytes = usize::try_from(len).ok().and_then(|len| room.get(..len)).unwrap_or_default();
        match staging.write_piece(mem.external, sector, piece, piece_bytes, [sealed, back]) {
            Ok(()) => {
                self.download = None;
                self.suspect = Mark::NONE;
                self.phase = Phase::Piece { piece: piece.saturating_add(1) };
            }
            Err(_) if attempt.saturating_add(1) < ATTEMPTS_MAX => {
                self.phase = Phase::TakePiece { piece, attempt: attempt.saturating_add(1) };
            }
            Err(_) => self.fail("external flash does not keep what is written to it"),
        }
    }

    /// Whether page `page` can be made from a patch; if so, begins.
    pub(crate) fn begin_decoding<D: NorFlash, E: NorFlash>(
        &mut self,
        mem: &Memory<'_, D, E>,
        page: u32,
    ) -> bool {
        let Some(place) = self.target.and_then(|target| target.place(page)) else { return false };
        let sector_len = mem.external.geometry().erase_size;
        let patch = self.patches.and_then(|patches| patches.of_area(place.area.id, sector_len));
        self.opened = Opened::Nothing;
        if patch.is_some() {
            self.phase = Phase::Decode { page, filled: 0 };
        }
        patch.is_some()
    }

    /// Patches are no good: from here on pages are fetched as they are.
    pub(crate) fn give_patches_up(&mut self, page: u32) {
        if let Some(patches) = &mut self.patches {
            patches.given_up = true;
            patches.open = None;
        }
        self.phase = Phase::Scan { page, application: While::Running };
    }

    /// Decodes one slice on the way to page `page`.
    #[inline(never)]
    pub(crate) fn decode<D: NorFlash, E: NorFlash>(&mut self, mem: &mut Memory<'_, D, E>) {
        let Phase::Decode { page, filled } = self.phase else { return };
        match self.decode_slice(mem, page, filled) {
            Ok(Decoded::More(filled)) => self.phase = Phase::Decode { page, filled },
            Ok(Decoded::Page) => self.take_decoded(mem, page),
            Err(NotStaged) => self.give_patches_up(page),
        }
    }

    fn take_decoded<D: NorFlash, E: NorFlash>(&mut self, mem: &mut Memory<'_, D, E>, page: u32) {
        let place = self.target.and_then(|target| target.place(page));
        let digest = self.target.and_then(|target| target.page_digest(mem.die, &self.layout, page));
        let (Some(place), Some(digest)) = (place, digest) else {
            return self.fail("the manifest's slot cannot be read any more");
        };
        let (room, _, _) = self.work.split();
        let is_right = room.get(..place.len).is_some_and(|bytes| Sha256::digest(bytes)[..] == digest[..]);
        if is_right || !R::CHECKS_CONTENT {
            let (direction, then) = (Direction::Redo, page.saturating_add(1));
            self.phase = Phase::Seal { page, direction, record: 0, attempt: 0, then };
        } else {
            self.give_patches_up(page);
        }
    }

    fn decode_slice<D: NorFlash, E: NorFlash>(
        &mut self,
        mem: &mut Memory<'_, D, E>,
        page: u32,
        filled: usize,
    ) -> Result<Decoded, NotStaged> {
        let (Some(target), Some(staging), Some(patches)) = (self.target, &self.staging, &mut self.patches)
        else {
            return Err(NotStaged);
        };
        let place = target.place(page).ok_or(NotStaged)?;
        let area = place.area;
        let sector_len = mem.external.geometry().erase_size;
        let patch = patches.of_area(area.id, sector_len).ok_or(NotStaged)?;
        let sectors = self.layout.external_staging.length.checked_div(sector_len).unwrap_or(0);
        let first_sector = sectors
            .checked_sub(patches.sectors)
            .and_then(|start| start.checked_add(patch.first_piece))
            .ok_or(NotStaged)?;
        let old = self
            .committed
            .filter(|_| patches.plan.base.is_some())
            .and_then(|old| old.areas().find(|old| old.id == area.id).copied());
        let limits =
            Limits { patch_len: patch.len, old_len: old.map_or(0, |old| old.length), new_len: area.length };
        let page_start = place.index.checked_mul(area.page_size).ok_or(NotStaged)?;
        let page_end = page_start.saturating_add(area.page_size).min(area.length);
        let Parts { page: room, sealed, back, decoder } = self.work.parts();
        let mut io = Io {
            mem,
            layout: &self.layout,
            staging,
            target: &target,
            area,
            old,
            patch,
            first_sector,
            payload: sector_len.saturating_sub(PATCH_CRYPT_LEN),
            start: 0,
            done: &[],
            sealed,
            cache: back,
            opened: &mut self.opened,
        };
        let Some((_, at)) = patches.open.filter(|(open, _)| *open == area.id) else {
            patches.open = None;
            decoder.open(&mut io, limits).map_err(|_| NotStaged)?;
            patches.open = Some((area.id, PREPARING));
            return Ok(Decoded::More(0));
        };
        if at == PREPARING {
            let progress = decoder.prepare(&mut io, COPIES_PER_STEP).map_err(|_| NotStaged)?;
            if progress == Progress::Done {
                let at = decoder.seek(&mut io, page_start).map_err(|_| NotStaged)?;
                patches.open = Some((area.id, at));
            }
            return Ok(Decoded::More(0));
        }
        if filled == 0 && at > page_start {
            let at = decoder.seek(&mut io, page_start).map_err(|_| NotStaged)?;
            patches.open = Some((area.id, at));
            return Ok(Decoded::More(0));
        }
        // The page that the next byte belongs to: the wanted one, or one before it that is passed over.
        let current = at.checked_div(area.page_size).unwrap_or(0).saturating_mul(area.page_size);
        let into = usize::try_from(at.saturating_sub(current)).map_err(|_| NotStaged)?;
        let end = current.saturating_add(area.page_size).min(area.length);
        let len = usize::try_from(end.saturating_sub(at)).map_err(|_| NotStaged)?.min(SLICE_LEN);
        let (done, rest) = room.split_at_mut_checked(into).ok_or(NotStaged)?;
        let out = rest.get_mut(..len).ok_or(NotStaged)?;
        (io.start, io.done) = (current, done);
        decoder.decode(&mut io, out).map_err(|_| NotStaged)?;
        let at = at.saturating_add(u32::try_from(len).map_err(|_| NotStaged)?);
        patches.open = Some((area.id, at));
        if at < page_end {
            return Ok(Decoded::More(if at > page_start { into.saturating_add(len) } else { 0 }));
        }
        if let Some(padding) =
            room.get_mut(..place.len).and_then(|room| room.get_mut(into.saturating_add(len)..))
        {
            padding.fill(0xFF);
        }
        Ok(Decoded::Page)
    }
}

/// The decoder's place while it passes over the copy list.
const PREPARING: u32 = u32::MAX;
const _: () = assert!(PATCHES_MAX >= bulkhead_bundle_format::AREAS_MAX, "each area can have a patch");

enum Decoded {
    /// So many bytes of the wanted page are there.
    More(usize),
    /// The wanted page is whole.
    Page,
}

/// The workspace while a patch is decoded.
pub(crate) struct Parts<'w> {
    pub(crate) page: &'w mut [u8],
    pub(crate) sealed: &'w mut [u8],
    pub(crate) back: &'w mut [u8],
    pub(crate) decoder: &'w mut bulkhead_delta::Decoder,
}

/// Where the decoder reads.
struct Io<'i, 'm, 'd, D, E> {
    mem: &'i mut Memory<'m, D, E>,
    layout: &'i Layout,
    staging: &'i Staging,
    target: &'i Manifest,
    area: Area,
    old: Option<Area>,
    patch: Patch,
    /// Sector of the patch's first piece.
    first_sector: u32,
    /// Bytes of a full piece.
    payload: u32,
    /// Offset in the area of the page that is being decoded, and its bytes so far.
    start: u32,
    done: &'d [u8],
    sealed: &'i mut [u8],
    cache: &'i mut [u8],
    opened: &'i mut Opened,
}

impl<D: NorFlash, E: NorFlash> Io<'_, '_, '_, D, E> {
    /// Bytes of an area as they lie in flash.
    fn flash(&mut self, area: &Area, at: u32, out: &mut [u8]) -> Result<(), NotStaged> {
        let offset = area.base.checked_add(at).ok_or(NotStaged)?;
        let read = match area.medium {
            Medium::Die => {
                let at = self.layout.die_application.start.plus(offset).ok_or(NotStaged)?;
                self.mem.die.read(at, out)
            }
            Medium::External => {
                let at = self.layout.external_application.start.plus(offset).ok_or(NotStaged)?;
                self.mem.external.read(at, out)
            }
        };
        read.map_err(|_| NotStaged)
    }

    /// Bytes of a page that is not the one being decoded: staged, or in flash because it does not change.
    fn earlier(&mut self, place: &Place, page: u32, into: usize, out: &mut [u8]) -> Result<(), NotStaged> {
        let slot = slot_of(self.target, self.staging, page, Direction::Redo).ok_or(NotStaged)?;
        let mut copied = 0usize;
        while let Some(room) = out.get_mut(copied..).filter(|room| !room.is_empty()) {
            let at = into.saturating_add(copied);
            let (record, start, len) = self.staging.record_at(&slot, at).ok_or(NotStaged)?;
            let wanted = Opened::Record { page, record };
            if *self.opened != wanted {
                *self.opened = Opened::Nothing;
                if self
                    .staging
                    .open_record(self.mem.external, &slot, record, self.cache, self.sealed)
                    .is_err()
                {
                    let offset = place.index.checked_mul(place.area.page_size).ok_or(NotStaged)?;
                    let at = u32::try_from(at).ok().and_then(|at| offset.checked_add(at)).ok_or(NotStaged)?;
                    return self.flash(&place.area, at, room);
                }
                *self.opened = wanted;
            }
            let inside = at.saturating_sub(start);
            let take = room.len().min(len.saturating_sub(inside));
            let from = self.cache.get(inside..inside.saturating_add(take)).ok_or(NotStaged)?;
            room.get_mut(..take).ok_or(NotStaged)?.copy_from_slice(from);
            copied = copied.saturating_add(take.max(1));
        }
        Ok(())
    }
}

impl<D: NorFlash, E: NorFlash> PatchIo for Io<'_, '_, '_, D, E> {
    type Error = NotStaged;

    fn patch(&mut self, at: u32, out: &mut [u8]) -> Result<(), NotStaged> {
        let mut copied = 0usize;
        while let Some(room) = out.get_mut(copied..).filter(|room| !room.is_empty()) {
            let at = u32::try_from(copied).ok().and_then(|copied| at.checked_add(copied)).ok_or(NotStaged)?;
            let index = at.checked_div(self.payload).ok_or(NotStaged)?;
            let start = index.saturating_mul(self.payload);
            let len = self.patch.len.checked_sub(start).ok_or(NotStaged)?.min(self.payload);
            let len = usize::try_from(len).map_err(|_| NotStaged)?;
            let piece = self.patch.first_piece.saturating_add(index);
            if *self.opened != Opened::Piece(piece) {
                *self.opened = Opened::Nothing;
                let plain = self.cache.get_mut(..len).ok_or(NotStaged)?;
                let sector = self.first_sector.saturating_add(index);
                self.staging.open_piece(self.mem.external, sector, piece, plain, self.sealed)?;
                *self.opened = Opened::Piece(piece);
            }
            let inside = usize::try_from(at.saturating_sub(start)).map_err(|_| NotStaged)?;
            let take = room.len().min(len.saturating_sub(inside));
            if take == 0 {
                return Err(NotStaged);
            }
            let from = self.cache.get(inside..inside.saturating_add(take)).ok_or(NotStaged)?;
            room.get_mut(..take).ok_or(NotStaged)?.copy_from_slice(from);
            copied = copied.saturating_add(take);
        }
        Ok(())
    }

    fn old(&mut self, at: u32, out: &mut [u8]) -> Result<(), NotStaged> {
        let old = self.old.ok_or(NotStaged)?;
        self.flash(&old, at, out)
    }

    fn output(&mut self, at: u32, out: &mut [u8]) -> Result<(), NotStaged> {
        let mut copied = 0usize;
        while let Some(room) = out.get_mut(copied..).filter(|room| !room.is_empty()) {
            let at = u32::try_from(copied).ok().and_then(|copied| at.checked_add(copied)).ok_or(NotStaged)?;
            let index = at.checked_div(self.area.page_size).ok_or(NotStaged)?;
            let start = index.saturating_mul(self.area.page_size);
            let into = usize::try_from(at.saturating_sub(start)).map_err(|_| NotStaged)?;
            let left = usize::try_from(self.area.page_size).unwrap_or(0).saturating_sub(into);
            let take = room.len().min(left).max(1);
            let room = room.get_mut(..take).ok_or(NotStaged)?;
            if start == self.start {
                let from = self.done.get(into..into.saturating_add(take)).ok_or(NotStaged)?;
                room.copy_from_slice(from);
            } else {
                let page = self.area.first_page.checked_add(index).ok_or(NotStaged)?;
                let place = self.target.place(page).ok_or(NotStaged)?;
                self.earlier(&place, page, into, room)?;
            }
            copied = copied.saturating_add(take);
        }
        Ok(())
    }
}
