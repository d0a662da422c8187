//! Updates in place: patches and a ring of old pages are all that staging has room for.
//!
//! While the application runs, the patches are tried out: each new page is decoded once and compared with its digest.
//! Once it is stopped, each page that differs is sealed into the ring, made from the patch, and written. The invariant:
//! what a page is made from is in flash if its turn has not come, and in the ring otherwise. The ring turns, but not
//! under what the segment that is being decoded may read; a patch that reaches further back is found out when it is
//! tried out. So a page that power failure tore can be made again, as often as it takes.

use bulkhead_bundle_format::{AreaKind, CRYPT_LEN, record_count};
use bulkhead_link_protocol::{Digest, PATCHES_MAX, PatchOffer, PatchOffers, Plan, StagingMode};
use bulkhead_nor_flash::NorFlash;
use sha2::{Digest as _, Sha256};

use crate::api::StartCause;
use crate::engine::{Engine, Phase};
use crate::journal::{Mark, Record};
use crate::layout::Memory;
use crate::manifest::Manifest;
use crate::patch::{Decoded, Patches};
use crate::patch_io::Opened;
use crate::rules::Rules;
use crate::staging::{Arrangement, Direction};

/// Number of the piece that is the record of the plan.
const PLAN: u32 = u32::MAX;
/// Bytes of that record.
const PLAN_LEN: usize = 8 + 8 * PATCHES_MAX;
/// Times that a sector is written before external flash is given up.
const ATTEMPTS_MAX: u8 = 3;

/// The page that is being made, and where its old bytes are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Making {
    pub(crate) page: u32,
    pub(crate) old: OldBytes,
}

/// Where the old bytes of the page that is being made are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum OldBytes {
    /// In flash: it was not touched yet.
    InFlash,
    /// In the ring: flash may be torn.
    InRing,
}

impl Arrangement {
    /// The ring that `sectors` sectors make for pages of `target`; `None` if it would not hold one page.
    pub(crate) fn ring_of(target: &Manifest, sector_len: u32, sectors: u32) -> Option<Self> {
        let of_page = |page_size| record_count(page_size, sector_len, CRYPT_LEN);
        let each = target.areas().map(|area| of_page(area.page_size)).max()?;
        let places = sectors.checked_div(each).filter(|places| *places > 0)?;
        Some(Self::Ring { places, sectors: each })
    }
}

impl Patches {
    /// The record of the plan: whether the patches have a base, how many there are, and area and length of each.
    fn to_bytes(self) -> [u8; PLAN_LEN] {
        let offers = self.plan.patches;
        let numbers =
            [u32::from(self.plan.base.is_some()), u32::try_from(offers.as_slice().len()).unwrap_or(0)];
        let numbers =
            numbers.into_iter().chain(offers.as_slice().iter().flat_map(|offer| [offer.area, offer.len]));
        let mut bytes = [0; PLAN_LEN];
        for (room, number) in bytes.chunks_exact_mut(4).zip(numbers) {
            room.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8], to: Digest, from: Digest, sector_len: u32) -> Option<Self> {
        let mut numbers =
            bytes.chunks_exact(4).filter_map(|room| Some(u32::from_le_bytes(room.try_into().ok()?)));
        let (has_base, count) = (numbers.next()?, usize::try_from(numbers.next()?).ok()?);
        let mut offers = [PatchOffer::default(); PATCHES_MAX];
        for offer in offers.get_mut(..count)? {
            *offer = PatchOffer { area: numbers.next()?, len: numbers.next()? };
        }
        let mut patches = Self::new(Plan {
            manifest: to,
            base: (has_base == 1).then_some(from),
            mode: StagingMode::InPlace,
            patches: PatchOffers::new(offers.get(..count)?)?,
            needed_len: 0,
        });
        patches.sectors = u32::try_from(patches.pieces(sector_len)).ok()?.checked_add(1)?;
        Some(patches)
    }
}

impl<R: Rules> Engine<'_, R> {
    /// Whether staging holds patches and a ring.
    pub(crate) fn is_in_place(&self) -> bool {
        self.staging.as_ref().is_some_and(|staging| staging.arrangement != Arrangement::Pages)
    }

    /// Whether the ring holds all old pages, so that the device can go back by itself.
    pub(crate) fn ring_holds_all(&self) -> bool {
        let pages = self.target.map_or(0, |target| target.pages);
        let has_base = self.patches.is_some_and(|patches| patches.plan.base.is_some());
        match self.staging.as_ref().map(|staging| staging.arrangement) {
            Some(Arrangement::Ring { places, .. }) => has_base && places >= pages,
            Some(Arrangement::Pages) | None => true,
        }
    }

    /// Seals the record of the plan: without it no later session knows what the pieces are.
    #[inline(never)]
    pub(crate) fn note_plan<D: NorFlash, E: NorFlash>(&mut self, mem: &mut Memory<'_, D, E>, attempt: u8) {
        let (Some(patches), Some(staging), Some(sector)) =
            (self.patches, &self.staging, self.plan_sector(mem))
        else {
            return self.fail("no staging");
        };
        let bytes = patches.to_bytes();
        let (_, sealed, back) = self.work.split();
        let scan = Phase::Scan { page: 0, application: crate::engine::While::Running };
        if staging.open_piece(mem.external, sector, PLAN, PLAN_LEN, sealed).is_ok_and(|held| *held == bytes) {
            self.phase = scan;
            return;
        }
        if attempt == 0 && self.journal.mark(mem.die, Mark { first: sector, second: 1 }).is_err() {
            return self.fail("the journal's flash does not keep what is written to it");
        }
        self.phase = match staging.write_piece(mem.external, sector, PLAN, &bytes, [sealed, back]) {
            Ok(()) => scan,
            Err(_) if attempt.saturating_add(1) < ATTEMPTS_MAX => {
                Phase::NotePlan { attempt: attempt.saturating_add(1) }
            }
            Err(_) => return self.fail("external flash does not keep what is written to it"),
        };
    }

    /// The last sector of staging.
    fn plan_sector<D: NorFlash, E: NorFlash>(&self, mem: &Memory<'_, D, E>) -> Option<u32> {
        let sectors = self.layout.external_staging.length.checked_div(mem.external.geometry().erase_size)?;
        sectors.checked_sub(1)
    }

    /// Finds out what an earlier session arranged; `record` is the one that names it.
    #[inline(never)]
    pub(crate) fn recall_plan<D: NorFlash, E: NorFlash>(
        &mut self,
        mem: &mut Memory<'_, D, E>,
        record: &Record,
    ) {
        if !record.in_place {
            return;
        }
        self.patches = None;
        let sector_len = mem.external.geometry().erase_size;
        let (Some(target), Some(staging), Some(sector)) =
            (self.target, &mut self.staging, self.layout.external_staging.length.checked_div(sector_len))
        else {
            return;
        };
        let (_, sealed, _) = self.work.split();
        let last = sector.saturating_sub(1);
        let Ok(bytes) = staging.open_piece(mem.external, last, PLAN, PLAN_LEN, sealed) else { return };
        let Some(patches) = Patches::from_bytes(bytes, record.to, record.from, sector_len) else { return };
        let room = sector.saturating_sub(patches.sectors);
        let Some(ring) = Arrangement::ring_of(&target, sector_len, room) else { return };
        staging.arrangement = ring;
        self.patches = Some(patches);
    }

    /// The application is stopped: looks whether step `n` of what the patches were tried out on is still the same, the
    /// old pages first, then the pieces.
    #[inline(never)]
    pub(crate) fn look_again<D: NorFlash, E: NorFlash>(&mut self, mem: &mut Memory<'_, D, E>, n: u32) {
        let old = self.committed.filter(|_| self.patches.is_some_and(|patches| patches.plan.base.is_some()));
        let pages = old.map_or(0, |old| old.pages);
        let pieces = self.patches.map_or(0, |patches| patches.sectors.saturating_sub(1));
        let same = match (old.and_then(|old| Some((old, old.place(n)?))), n.checked_sub(pages)) {
            (Some((old, place)), _) => {
                let wanted = old.page_digest(mem.die, &self.layout, n);
                wanted.is_some_and(|wanted| self.reads_as(mem, &place, &wanted))
            }
            (None, Some(piece)) if piece < pieces => self.has_piece(mem, piece),
            (None, _) => {
                self.phase = Phase::Begin;
                return;
            }
        };
        if same {
            let application = crate::engine::While::Stopped;
            self.phase = Phase::Scan { page: n.saturating_add(1), application };
        } else {
            self.returns = self.returns.saturating_add(1);
            self.phase = Self::check(StartCause::Resumed);
        }
    }

    /// Seals record `record` of page `page`, which is about to be made, into the ring.
    #[inline(never)]
    pub(crate) fn keep<D: NorFlash, E: NorFlash>(&mut self, mem: &mut Memory<'_, D, E>) {
        let Phase::Keep { page, record, attempt } = self.phase else { return };
        let make = Phase::Make { page, forced: false, then: page.saturating_add(1), attempt: 0, filled: 0 };
        self.opened = Opened::NOTHING;
        if record == 0 && attempt == 0 {
            match self.read_old(mem, page) {
                Some(Kept::Needless) => {
                    self.phase = make;
                    return;
                }
                Some(Kept::Read) => {}
                None => return self.cannot_restore(mem, page),
            }
            // From here on no page before this one may be torn, so that the ring may turn.
            let mark = Mark::page(page, 0);
            if R::SAYS_WHAT_IS_WHOLE && self.journal.mark(mem.die, mark).is_err() {
                return self.cannot_restore(mem, page);
            }
        }
        let (Some(slot), Some(staging)) = (self.slot(page, Direction::Undo), &self.staging) else {
            return self.cannot_restore(mem, page);
        };
        let (buffer, sealed, back) = self.work.split();
        let next = record.saturating_add(1);
        self.phase = match staging.write(mem.external, &slot, record, buffer, [sealed, back]) {
            Ok(()) if next == staging.records(&slot) => make,
            Ok(()) => Phase::Keep { page, record: next, attempt: 0 },
            Err(_) if attempt.saturating_add(1) < ATTEMPTS_MAX => {
                Phase::Keep { page, record, attempt: attempt.saturating_add(1) }
            }
            Err(_) => return self.cannot_restore(mem, page),
        };
    }

    /// Reads the old page where page `page` is going to be; `None` if it is not what the old manifest says.
    fn read_old<D: NorFlash, E: NorFlash>(&mut self, mem: &mut Memory<'_, D, E>, page: u32) -> Option<Kept> {
        let place = self.target?.place(page)?;
        let old = self.committed.filter(|_| self.patches.is_some_and(|patches| patches.plan.base.is_some()));
        let Some((old, old_page)) = old.and_then(|old| Some((old, old.page_at(&place)?))) else {
            return Some(Kept::Needless);
        };
        let wanted = old.page_digest(mem.die, &self.layout, old_page)?;
        if !R::SEALS_OLD_PAGES_AGAIN
            && let (Some(slot), Some(staging)) = (self.slot(page, Direction::Undo), &self.staging)
        {
            let (buffer, sealed, _) = self.work.split();
            let opened =
                staging.open_page(mem.external, &slot, buffer, sealed, &wanted, Self::authenticate());
            if opened.is_ok() {
                return Some(Kept::Needless);
            }
        }
        self.reads_as(mem, &place, &wanted).then_some(Kept::Read)
    }

    /// Decodes the next slice of page `page`; writes the page once it is whole.
    #[inline(never)]
    pub(crate) fn make<D: NorFlash, E: NorFlash>(&mut self, mem: &mut Memory<'_, D, E>) {
        let Phase::Make { page, forced, then, attempt, filled } = self.phase else { return };
        let Some(place) = self.target.and_then(|target| target.place(page)) else {
            return self.cannot_restore(mem, page);
        };
        let touched = attempt > 0 || forced && R::MAKES_TORN_PAGES_FROM_THE_RING;
        let making = Making { page, old: if touched { OldBytes::InRing } else { OldBytes::InFlash } };
        let decoded = if place.area.kind == AreaKind::Fill {
            self.work.split().0.fill(0xFF);
            Ok(Decoded::Page)
        } else {
            self.decode_slice(mem, page, filled, Some(making))
        };
        match decoded {
            Ok(Decoded::More(filled)) => self.phase = Phase::Make { page, forced, then, attempt, filled },
            Ok(Decoded::Page) => self.write_made(mem),
            Err(_) => self.cannot_restore(mem, page),
        }
    }

    #[inline(never)]
    fn write_made<D: NorFlash, E: NorFlash>(&mut self, mem: &mut Memory<'_, D, E>) {
        let Phase::Make { page, forced, then, attempt, .. } = self.phase else { return };
        let wanted = self.target.and_then(|target| target.page_digest(mem.die, &self.layout, page));
        let place = self.target.and_then(|target| target.place(page));
        let (Some(wanted), Some(place)) = (wanted, place) else { return self.cannot_restore(mem, page) };
        let (buffer, _, _) = self.work.split();
        let is_right = buffer.get(..place.len).is_some_and(|made| Sha256::digest(made)[..] == wanted[..]);
        if !is_right && R::CHECKS_CONTENT {
            return self.cannot_restore(mem, page);
        }
        self.opened = Opened::NOTHING;
        self.settle(mem, (page, forced, then, attempt), &place, &wanted);
    }
}

/// What is to be done about an old page.
enum Kept {
    /// It lies in the workspace, to be sealed.
    Read,
    /// Nothing is made from it.
    Needless,
}
