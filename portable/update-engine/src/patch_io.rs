//! Where the decoder reads: pieces and pages in staging, and flash.

use bulkhead_bundle_format::Medium;
use bulkhead_delta::PatchIo;
use bulkhead_nor_flash::NorFlash;

use crate::in_place::{Making, OldBytes};
use crate::layout::{Layout, Memory};
use crate::manifest::{Area, Manifest};
use crate::patch::Patch;
use crate::staging::{Direction, NotStaged, PIECE_AT, RECORD_AT, Staging, slot_of};

/// What lies opened in the two sectors of the workspace while a patch is decoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Opened {
    piece: Option<u32>,
    record: Option<(Direction, u32, u32)>,
}

impl Opened {
    pub(crate) const NOTHING: Self = Self { piece: None, record: None };
}

/// How far back an update in place may read, and where the old bytes of what is written already are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ring {
    /// Old pages that it holds.
    pub(crate) places: u32,
    /// The last page that is written while the bytes that are decoded now must still be there.
    pub(crate) last: u32,
    /// The page that is being made; `None` while the patch is tried out.
    pub(crate) making: Option<Making>,
}

/// Where the decoder reads.
pub(crate) struct Io<'i, 'm, 'd, D, E> {
    pub(crate) mem: &'i mut Memory<'m, D, E>,
    pub(crate) layout: &'i Layout,
    pub(crate) staging: &'i Staging,
    pub(crate) target: &'i Manifest,
    pub(crate) area: Area,
    pub(crate) old: Option<Area>,
    pub(crate) patch: Patch,
    /// Sector of the patch's first piece.
    pub(crate) first_sector: u32,
    /// Bytes of a full piece.
    pub(crate) payload: u32,
    /// In place only.
    pub(crate) ring: Option<Ring>,
    /// Offset in the area of the page that is being decoded, and its bytes so far.
    pub(crate) start: u32,
    pub(crate) done: &'d [u8],
    /// A sector with the piece that was read last, and one with the record.
    pub(crate) piece: &'i mut [u8],
    pub(crate) record: &'i mut [u8],
    pub(crate) opened: &'i mut Opened,
}

impl<D: NorFlash, E: NorFlash> Io<'_, '_, '_, D, E> {
    /// Bytes of the application part in which `area` lies, from `offset` on.
    fn flash(&mut self, area: &Area, offset: u32, out: &mut [u8]) -> Result<(), NotStaged> {
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

    /// Bytes of a page as it is staged, or as it lies in flash if it is not: then it does not change.
    fn staged(
        &mut self,
        direction: Direction,
        page: u32,
        into: usize,
        out: &mut [u8],
    ) -> Result<(), NotStaged> {
        let slot = slot_of(self.target, self.staging, page, direction).ok_or(NotStaged)?;
        let mut copied = 0usize;
        while let Some(room) = out.get_mut(copied..).filter(|room| !room.is_empty()) {
            let at = into.saturating_add(copied);
            let (record, start, len) = self.staging.record_at(&slot, at).ok_or(NotStaged)?;
            let wanted = Some((direction, page, record));
            if self.opened.record != wanted {
                self.opened.record = None;
                if self.staging.open_record(self.mem.external, &slot, record, self.record).is_err() {
                    let place = self.target.place(page).ok_or(NotStaged)?;
                    let at = u32::try_from(at).ok().and_then(|at| place.offset.checked_add(at));
                    return self.flash(&place.area, at.ok_or(NotStaged)?, room);
                }
                self.opened.record = wanted;
            }
            let inside = at.saturating_sub(start);
            let take = room.len().min(len.saturating_sub(inside));
            let from = RECORD_AT.saturating_add(inside);
            let from = self.record.get(from..from.saturating_add(take)).ok_or(NotStaged)?;
            room.get_mut(..take).ok_or(NotStaged)?.copy_from_slice(from);
            copied = copied.saturating_add(take.max(1));
        }
        Ok(())
    }

    /// Old bytes of one page, of which an update in place may have written some already.
    fn old_of_page(&mut self, ring: &Ring, old: &Area, offset: u32, out: &mut [u8]) -> Result<(), NotStaged> {
        // What no page of the new manifest covers stays.
        let Some(page) = self.target.page_over(old, offset) else { return self.flash(old, offset, out) };
        if page.saturating_add(ring.places) <= ring.last {
            return Err(NotStaged);
        }
        let is_written = ring.making.is_some_and(|making| {
            page < making.page || page == making.page && making.old == OldBytes::InRing
        });
        if !is_written {
            return self.flash(old, offset, out);
        }
        let into = self.target.place(page).and_then(|place| offset.checked_sub(place.offset));
        let into = into.and_then(|into| usize::try_from(into).ok()).ok_or(NotStaged)?;
        self.staged(Direction::Undo, page, into, out)
    }
}

/// Calls `each` with the offset and the room of each part of `out`, which starts at `at`, that lies within one of the
/// pages of `page_size` bytes that are counted from `base`.
fn by_page(
    at: u32,
    base: u32,
    page_size: u32,
    out: &mut [u8],
    mut each: impl FnMut(u32, &mut [u8]) -> Result<(), NotStaged>,
) -> Result<(), NotStaged> {
    let mut copied = 0usize;
    while let Some(room) = out.get_mut(copied..).filter(|room| !room.is_empty()) {
        let at = u32::try_from(copied).ok().and_then(|copied| at.checked_add(copied)).ok_or(NotStaged)?;
        let into = at.checked_sub(base).and_then(|offset| offset.checked_rem(page_size)).ok_or(NotStaged)?;
        let left = usize::try_from(page_size.saturating_sub(into)).map_err(|_| NotStaged)?;
        let take = room.len().min(left);
        each(at, room.get_mut(..take).ok_or(NotStaged)?)?;
        copied = copied.saturating_add(take);
    }
    Ok(())
}

impl<D: NorFlash, E: NorFlash> PatchIo for Io<'_, '_, '_, D, E> {
    type Error = NotStaged;

    fn patch(&mut self, at: u32, out: &mut [u8]) -> Result<(), NotStaged> {
        let payload = self.payload;
        by_page(at, 0, payload, out, |at, room| {
            let index = at.checked_div(payload).ok_or(NotStaged)?;
            let start = index.saturating_mul(payload);
            let len = self.patch.len.checked_sub(start).ok_or(NotStaged)?.min(payload);
            let len = usize::try_from(len).map_err(|_| NotStaged)?;
            let piece = self.patch.first_piece.saturating_add(index);
            if self.opened.piece != Some(piece) {
                self.opened.piece = None;
                let sector = self.first_sector.saturating_add(index);
                self.staging.open_piece(self.mem.external, sector, piece, len, self.piece)?;
                self.opened.piece = Some(piece);
            }
            let inside = usize::try_from(at.saturating_sub(start)).map_err(|_| NotStaged)?;
            let plain = self.piece.get(PIECE_AT..).and_then(|rest| rest.get(..len)).ok_or(NotStaged)?;
            let from = plain.get(inside..inside.saturating_add(room.len())).ok_or(NotStaged)?;
            room.copy_from_slice(from);
            Ok(())
        })
    }

    fn old(&mut self, at: u32, out: &mut [u8]) -> Result<(), NotStaged> {
        let old = self.old.ok_or(NotStaged)?;
        let offset = old.base.checked_add(at).ok_or(NotStaged)?;
        match self.ring {
            None => self.flash(&old, offset, out),
            Some(ring) => by_page(offset, old.base, old.page_size, out, |offset, room| {
                self.old_of_page(&ring, &old, offset, room)
            }),
        }
    }

    fn output(&mut self, at: u32, out: &mut [u8]) -> Result<(), NotStaged> {
        let area = self.area;
        by_page(at, 0, area.page_size, out, |at, room| {
            let index = at.checked_div(area.page_size).ok_or(NotStaged)?;
            let start = index.saturating_mul(area.page_size);
            let into = usize::try_from(at.saturating_sub(start)).map_err(|_| NotStaged)?;
            if start == self.start {
                let from = self.done.get(into..into.saturating_add(room.len())).ok_or(NotStaged)?;
                room.copy_from_slice(from);
                return Ok(());
            }
            if self.ring.is_some_and(|ring| ring.making.is_some()) {
                // In place whatever comes before is written already.
                return self.flash(&area, area.base.checked_add(at).ok_or(NotStaged)?, room);
            }
            let page = area.first_page.checked_add(index).ok_or(NotStaged)?;
            self.staged(Direction::Redo, page, into, room)
        })
    }
}
