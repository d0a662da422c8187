//! Patches: their pieces in staging, and new pages decoded from them.
//!
//! A patch is cut into pieces that each fill one sector. A piece is sealed under a key that is derived from its own
//! content: whatever a server sends, no two plaintexts meet under one key and nonce. What a patch decodes to is
//! believed page by page, by the digests of the manifest; a patch that leads elsewhere costs nothing but its bytes.

use bulkhead_bundle_format::{IN_PLACE_SEGMENT_LEN, PATCH_CRYPT_LEN, StagingRoom, record_count};
use bulkhead_delta::{Decoder, Limits, Progress};
use bulkhead_link_protocol::{FetchFrom, PATCHES_MAX, Plan, PlanRequest, StagingMode};
use bulkhead_nor_flash::NorFlash;
use sha2::{Digest as _, Sha256};

use crate::engine::{Download, Engine, Phase, While};
use crate::in_place::Making;
use crate::journal::Mark;
use crate::layout::Memory;
use crate::manifest::Area;
use crate::patch_io::{Io, Opened, Ring};
use crate::refusal::Refusal;
use crate::rules::Rules;
use crate::staging::{Arrangement, Direction, NotStaged};

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
    /// Sectors of all pieces together, and in place of the record of the plan behind them, at the end of staging.
    pub(crate) sectors: u32,
    /// Pieces that an earlier session stored are taken for those of this plan.
    pub(crate) trusts_stored: bool,
    /// A patch did not lead to the manifest's pages: pages are fetched as they are.
    pub(crate) given_up: bool,
    /// The area whose patch the decoder is in, and the offset of its next byte there.
    pub(crate) open: Option<(u32, u32)>,
}

/// One patch of the plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patch {
    area: u32,
    pub(crate) len: u32,
    /// Number of its first piece among those of all patches.
    pub(crate) first_piece: u32,
}

impl Patches {
    pub(crate) const fn new(plan: Plan) -> Self {
        Self { plan, sectors: 0, trusts_stored: true, given_up: false, open: None }
    }

    /// Sectors of the pieces of all patches.
    pub(crate) fn pieces(&self, sector_len: u32) -> u64 {
        let count = |patch: Patch| u64::from(record_count(patch.len, sector_len, PATCH_CRYPT_LEN));
        self.iter(sector_len).map(count).fold(0, u64::saturating_add)
    }

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
            self.patches = Some(Patches::new(*plan));
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
        self.patches = Some(Patches::new(plan));
    }

    /// Takes the plan if it is for this staging. If it is not, pages are fetched as they are, as long as those fit.
    #[inline(never)]
    pub(crate) fn take_plan<D: NorFlash, E: NorFlash>(&mut self, mem: &Memory<'_, D, E>) {
        let (Some(patches), Some(target)) = (self.patches.as_mut(), self.target) else { return };
        let sector_len = mem.external.geometry().erase_size;
        let there = self.layout.external_staging.length.checked_div(sector_len).unwrap_or(0);
        let known = |patch: Patch| target.areas().any(|area| area.id == patch.area);
        let is_ours = patches.iter(sector_len).all(known);
        let lens = patches.plan.patches.as_slice().iter().map(|offer| offer.len);
        let room =
            StagingRoom::new(target.areas().map(|area| (area.page_size, area.pages)), lens, sector_len);
        let fits = |sectors: u64| sectors <= u64::from(there);
        let pieces = u32::try_from(room.patches).unwrap_or(u32::MAX);
        let ring = Arrangement::ring_of(&target, sector_len, there.saturating_sub(pieces).saturating_sub(1));
        if let Some(staging) = &mut self.staging {
            staging.arrangement = Arrangement::Pages;
        }
        patches.sectors = pieces;
        patches.plan.mode = match (patches.plan.mode, ring) {
            (StagingMode::Refused, _) => {
                let needed = patches.plan.needed_len.checked_div(sector_len).unwrap_or(0);
                return self.refuse(Refusal::StagingTooSmall { needed: u64::from(needed), there });
            }
            (StagingMode::InPlace, Some(ring)) if is_ours => {
                patches.sectors = pieces.saturating_add(1);
                if let Some(staging) = &mut self.staging {
                    staging.arrangement = ring;
                }
                StagingMode::InPlace
            }
            (StagingMode::RedoAndUndo, _) if is_ours && fits(room.redo_and_undo()) => {
                StagingMode::RedoAndUndo
            }
            (StagingMode::RedoAndUndo | StagingMode::Redo, _) if is_ours && fits(room.redo()) => {
                StagingMode::Redo
            }
            _ if fits(room.pages) => {
                self.do_without_patches(0);
                return;
            }
            _ => {
                let needed = room.pages.min(room.in_place());
                return self.refuse(Refusal::StagingTooSmall { needed, there });
            }
        };
        self.phase = Phase::Piece { piece: 0 };
    }

    /// Pages are fetched as they are, from `page` on. Returns whether there is room for that.
    fn do_without_patches(&mut self, page: u32) -> bool {
        let (Some(patches), Some(target), Some(staging)) =
            (self.patches.as_mut(), self.target, self.staging.as_mut())
        else {
            return false;
        };
        let sector_len = u32::try_from(staging.sector_len()).unwrap_or(0);
        let there = u64::from(self.layout.external_staging.length.checked_div(sector_len).unwrap_or(0));
        let pages = crate::stage::sectors_of_pages(&target, sector_len);
        if pages > there {
            return false;
        }
        let keeps_undo = pages.saturating_mul(2) <= there && patches.plan.mode != StagingMode::Redo;
        patches.plan.mode = if keeps_undo { StagingMode::RedoAndUndo } else { StagingMode::Redo };
        (patches.given_up, patches.open, patches.sectors) = (true, None, 0);
        staging.arrangement = Arrangement::Pages;
        self.phase = Phase::Scan { page, application: While::Running };
        true
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
            self.phase = match self.is_in_place() {
                true => Phase::NotePlan { attempt: 0 },
                false => Phase::Scan { page: 0, application: While::Running },
            };
            return;
        };
        let trusted = self.patches.is_some_and(|patches| patches.trusts_stored);
        if trusted && self.has_piece(mem, piece) {
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

    /// Whether staging holds piece `piece`.
    pub(crate) fn has_piece<D: NorFlash, E: NorFlash>(
        &mut self,
        mem: &mut Memory<'_, D, E>,
        piece: u32,
    ) -> bool {
        let (Some((_, _, len)), Some(sector)) = (self.piece_span(mem, piece), self.piece_sector(mem, piece))
        else {
            return false;
        };
        let (Some(staging), Ok(len)) = (&self.staging, usize::try_from(len)) else { return false };
        let (_, sealed, _) = self.work.split();
        staging.open_piece(mem.external, sector, piece, len, sealed).is_ok()
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
        self.opened = Opened::NOTHING;
        if patch.is_some() {
            self.phase = Phase::Decode { page, filled: 0 };
        }
        patch.is_some()
    }

    /// Patches are no good: from here on pages are fetched as they are. In place, where there is no room for them, the
    /// pieces are fetched once more, for an earlier session may have stored those of another patch.
    pub(crate) fn give_patches_up(&mut self, page: u32) {
        let in_place = self.is_in_place();
        if self.do_without_patches(if in_place { 0 } else { page }) {
            return;
        }
        match &mut self.patches {
            Some(patches) if in_place && patches.trusts_stored => {
                (patches.trusts_stored, patches.open) = (false, None);
                self.phase = Phase::Piece { piece: 0 };
            }
            _ => self.fail(format_args!(
                "the patches do not lead to page {page}, or reach further back than the ring; there is no room for pages"
            )),
        }
    }

    /// Decodes one slice on the way to page `page`.
    #[inline(never)]
    pub(crate) fn decode<D: NorFlash, E: NorFlash>(&mut self, mem: &mut Memory<'_, D, E>) {
        let Phase::Decode { page, filled } = self.phase else { return };
        match self.decode_slice(mem, page, filled, None) {
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

    /// Decodes one slice on the way to page `page`, of which `filled` bytes lie in the workspace; in place, `making`
    /// says where its old bytes are.
    pub(crate) fn decode_slice<D: NorFlash, E: NorFlash>(
        &mut self,
        mem: &mut Memory<'_, D, E>,
        page: u32,
        filled: usize,
        making: Option<Making>,
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
        let at = patches.open.filter(|(open, _)| *open == area.id).map(|(_, at)| at);
        let ring = match staging.arrangement {
            Arrangement::Pages => None,
            Arrangement::Ring { places, .. } => {
                let at = at.filter(|at| *at != PREPARING).unwrap_or(0);
                Some(Ring { places, last: last_page::<R>(&area, at), making })
            }
        };
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
            ring,
            start: 0,
            done: &[],
            piece: sealed,
            record: back,
            opened: &mut self.opened,
        };
        let wanted = Wanted { start: page_start, end: page_end, len: place.len, filled };
        patches.open = None;
        let (at, decoded) = advance(decoder, &mut io, limits, at, &wanted, room)?;
        patches.open = Some((area.id, at));
        Ok(decoded)
    }
}

/// The page that is decoded: its span in the image, its length, and how much of it is there, all in bytes.
struct Wanted {
    start: u32,
    end: u32,
    len: usize,
    filled: usize,
}

/// Does the next bounded piece of work on the way from byte `at`, or from a patch that is not open yet, to the wanted
/// page; returns where the decoder is then.
fn advance<'d, D: NorFlash, E: NorFlash>(
    decoder: &mut Decoder,
    io: &mut Io<'_, '_, 'd, D, E>,
    limits: Limits,
    at: Option<u32>,
    wanted: &Wanted,
    room: &'d mut [u8],
) -> Result<(u32, Decoded), NotStaged> {
    let Some(at) = at else {
        decoder.open(io, limits).map_err(|_| NotStaged)?;
        return Ok((PREPARING, Decoded::More(0)));
    };
    if at == PREPARING {
        if decoder.prepare(io, COPIES_PER_STEP).map_err(|_| NotStaged)? == Progress::More {
            return Ok((PREPARING, Decoded::More(0)));
        }
        // The ring is counted in segments of this length; longer ones start elsewhere.
        let is_counted = io.ring.is_some() && limits.new_len > IN_PLACE_SEGMENT_LEN;
        if is_counted && decoder.seek(io, IN_PLACE_SEGMENT_LEN) != Ok(IN_PLACE_SEGMENT_LEN) {
            return Err(NotStaged);
        }
        return Ok((decoder.seek(io, wanted.start).map_err(|_| NotStaged)?, Decoded::More(0)));
    }
    let is_far = at > wanted.start || wanted.start.saturating_sub(at) >= SEGMENT_LEN_MAX;
    if wanted.filled == 0 && is_far {
        return Ok((decoder.seek(io, wanted.start).map_err(|_| NotStaged)?, Decoded::More(0)));
    }
    // The page that the next byte belongs to: the wanted one, or one before it that is passed over.
    let page_size = io.area.page_size;
    let current = at.checked_div(page_size).unwrap_or(0).saturating_mul(page_size);
    let into = usize::try_from(at.saturating_sub(current)).map_err(|_| NotStaged)?;
    let end = current.saturating_add(page_size).min(limits.new_len);
    let len = usize::try_from(end.saturating_sub(at)).map_err(|_| NotStaged)?.min(SLICE_LEN);
    let (done, rest) = room.split_at_mut_checked(into).ok_or(NotStaged)?;
    let (out, padding) = rest.split_at_mut_checked(len).ok_or(NotStaged)?;
    (io.start, io.done) = (current, done);
    decoder.decode(io, out).map_err(|_| NotStaged)?;
    let at = at.saturating_add(u32::try_from(len).map_err(|_| NotStaged)?);
    let there = into.saturating_add(len);
    if at < wanted.end {
        return Ok((at, Decoded::More(if at > wanted.start { there } else { 0 })));
    }
    padding.get_mut(..wanted.len.saturating_sub(there)).ok_or(NotStaged)?.fill(0xFF);
    Ok((at, Decoded::Page))
}

/// Longest segment of a patch in bytes: from further in front, seeking is shorter than passing over.
const SEGMENT_LEN_MAX: u32 = 1 << 16;

/// The last page that is written while what byte `at` of `area` is made from must be there: that of the segment's end,
/// for all of a segment is decoded again if power fails there.
fn last_page<R: Rules>(area: &Area, at: u32) -> u32 {
    let segment_end = (at / IN_PLACE_SEGMENT_LEN).saturating_add(1).saturating_mul(IN_PLACE_SEGMENT_LEN);
    let byte =
        if R::KEEPS_WHAT_A_SEGMENT_NEEDS { segment_end.min(area.length).saturating_sub(1) } else { at };
    area.first_page.saturating_add(byte.checked_div(area.page_size).unwrap_or(0))
}

/// The decoder's place while it passes over the copy list.
const PREPARING: u32 = u32::MAX;
const _: () = assert!(PATCHES_MAX >= bulkhead_bundle_format::AREAS_MAX, "each area can have a patch");

pub(crate) enum Decoded {
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
    pub(crate) decoder: &'w mut Decoder,
}
