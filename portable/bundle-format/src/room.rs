//! How much external flash an update takes, and which way of staging fits: the one answer for planner, device and
//! tests.
//!
//! The planner makes the patches, asks [`staging_room`] and takes the first mode of [`StagingRoom::fit`]. If that is
//! [`StagingFit::InPlace`], it makes the patches again, with segments of [`IN_PLACE_SEGMENT_LEN`] and a window of
//! [`in_place_window`] for each area, and asks once more: they are a little longer.

use crate::manifest::Manifest;

/// Bytes that header and tag take of each staging sector.
pub const CRYPT_LEN: u32 = 32;

/// Bytes that header, digest and tag take of each sector that holds a piece of a patch.
pub const PATCH_CRYPT_LEN: u32 = 48;

/// Old pages that an update in place keeps at least; more where pages are small.
pub const RING_PAGES: u32 = 32;

/// Bytes of a segment of a patch that is applied in place: what is decoded again after a power failure.
pub const IN_PLACE_SEGMENT_LEN: u32 = 32 * 1024;

/// The way of staging, best first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StagingFit {
    /// New and old pages.
    RedoAndUndo,
    /// New pages only.
    Redo,
    /// The patches and a ring of old pages.
    InPlace,
    /// None of them.
    Nothing,
}

/// Sectors that one update takes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct StagingRoom {
    /// Pieces of the patches; in every mode.
    pub patches: u64,
    /// All pages of the new manifest: each has its place, whether or not it differs.
    pub pages: u64,
    /// The ring of old pages.
    pub ring: u64,
    /// Whether no area moved, so that the update can be made in place.
    pub stays: bool,
}

impl StagingRoom {
    /// For areas given as page size and number of pages, and patches of these lengths. Lengths are in bytes.
    pub fn new(
        areas: impl IntoIterator<Item = (u32, u32)>,
        patches: impl IntoIterator<Item = u32>,
        sector_len: u32,
    ) -> Self {
        let (mut room, mut count, mut ring_pages, mut largest) = (Self::default(), 0u64, 0, 0u64);
        for (page_size, pages) in areas.into_iter().filter(|(_, pages)| *pages > 0) {
            let of_page = u64::from(record_count(page_size, sector_len, CRYPT_LEN));
            room.pages = room.pages.saturating_add(of_page.saturating_mul(u64::from(pages)));
            count = count.saturating_add(u64::from(pages));
            ring_pages = ring_pages.max(u64::from(self::ring_pages(page_size)));
            largest = largest.max(of_page);
        }
        // A ring with a place for every page never turns.
        room.ring = largest.saturating_mul(ring_pages.min(count));
        let of_patch = |len| u64::from(record_count(len, sector_len, PATCH_CRYPT_LEN));
        room.patches = patches.into_iter().fold(0, |sum, len| u64::saturating_add(sum, of_patch(len)));
        room.stays = true;
        room
    }

    /// Sectors with new and old pages.
    pub const fn redo_and_undo(&self) -> u64 {
        self.redo().saturating_add(self.pages)
    }

    /// Sectors with new pages only.
    pub const fn redo(&self) -> u64 {
        self.patches.saturating_add(self.pages)
    }

    /// Sectors with the patches, the ring, and one that says what the patches are.
    pub const fn in_place(&self) -> u64 {
        self.patches.saturating_add(self.ring).saturating_add(1)
    }

    /// The first mode that fits a staging of `staging_len` bytes, and the bytes it takes; if none does, the bytes that
    /// the most frugal one would take.
    ///
    /// In place each area that differs needs a patch, unless it is fill; otherwise `InPlace` counts as not fitting.
    pub fn fit(&self, staging_len: u32, sector_len: u32) -> (StagingFit, u64) {
        let there = u64::from(staging_len.checked_div(sector_len).unwrap_or(0));
        let bytes = |sectors: u64| sectors.saturating_mul(u64::from(sector_len));
        let modes = [
            (StagingFit::RedoAndUndo, self.redo_and_undo()),
            (StagingFit::Redo, self.redo()),
            (StagingFit::InPlace, self.in_place()),
        ];
        let possible = || modes.iter().filter(|(mode, _)| *mode != StagingFit::InPlace || self.stays);
        let first = possible().find(|(_, sectors)| *sectors <= there);
        let least = possible().map(|(_, sectors)| *sectors).min().unwrap_or(u64::MAX);
        first.map_or((StagingFit::Nothing, bytes(least)), |(mode, sectors)| (*mode, bytes(*sectors)))
    }
}

/// Sectors for `len` bytes when each sector of `sector_len` bytes loses `crypt_len`; 0 if nothing fits a sector.
pub const fn record_count(len: u32, sector_len: u32, crypt_len: u32) -> u32 {
    match sector_len.checked_sub(crypt_len) {
        None | Some(0) => 0,
        Some(payload) => len.div_ceil(payload),
    }
}

/// Pages of `page_size` bytes that a segment can reach into.
const fn segment_pages(page_size: u32) -> u32 {
    match IN_PLACE_SEGMENT_LEN.checked_rem(page_size) {
        None => 0,
        Some(0) => IN_PLACE_SEGMENT_LEN / page_size,
        Some(_) => IN_PLACE_SEGMENT_LEN.div_ceil(page_size) + 1,
    }
}

/// Old pages that are kept of an area with pages of `page_size` bytes.
const fn ring_pages(page_size: u32) -> u32 {
    let two_segments = segment_pages(page_size).saturating_mul(2);
    if two_segments > RING_PAGES { two_segments } else { RING_PAGES }
}

/// How far behind the place that is written a patch in place may read, in bytes: the encoder's window.
///
/// When power failed at the last page of a segment, all of the segment is decoded again, and the ring still holds what
/// its first page was made from: a ring of R pages leaves R less the pages of a segment.
pub const fn in_place_window(page_size: u32) -> u32 {
    ring_pages(page_size).saturating_sub(segment_pages(page_size)).saturating_mul(page_size)
}

/// What it takes to go from `old` to `new` with patches of these lengths. Lengths are in bytes.
pub fn staging_room(
    old: Option<&Manifest<'_>>,
    new: &Manifest<'_>,
    patches: impl IntoIterator<Item = u32>,
    sector_len: u32,
) -> StagingRoom {
    let areas = new.areas().map(|area| (area.page_size, area.page_count()));
    let room = StagingRoom::new(areas, patches, sector_len);
    let stays = new.areas().filter(|area| area.page_count() > 0).all(|area| {
        let before = old.and_then(|old| old.areas().find(|old| old.id == area.id && old.page_count() > 0));
        before.is_none_or(|before| (before.medium, before.base) == (area.medium, area.base))
    });
    StagingRoom { stays, ..room }
}
