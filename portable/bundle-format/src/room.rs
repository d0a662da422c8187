//! How much external flash an update takes: the one answer for planner, device and tests.

use crate::difference::difference;
use crate::manifest::Manifest;

/// Bytes that header and tag take of each staging sector.
pub const CRYPT_LEN: u32 = 32;

/// Bytes that header, digest and tag take of each sector that holds a piece of a patch.
pub const PATCH_CRYPT_LEN: u32 = 48;

/// Old pages that an update in place keeps.
pub const RING_PAGES: u32 = 32;

/// Sectors that one update takes, for each mode.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct StagingRoom {
    /// Pieces of the patches; in every mode.
    pub patches: u64,
    /// All new pages that differ.
    pub pages: u64,
    /// The ring of old pages.
    pub ring: u64,
}

impl StagingRoom {
    /// Sectors with new and old pages.
    pub const fn redo_and_undo(&self) -> u64 {
        self.patches.saturating_add(self.pages).saturating_add(self.pages)
    }

    /// Sectors with new pages only.
    pub const fn redo(&self) -> u64 {
        self.patches.saturating_add(self.pages)
    }

    /// Sectors with patches and the ring only.
    pub const fn in_place(&self) -> u64 {
        self.patches.saturating_add(self.ring)
    }
}

/// Sectors for `len` bytes when each sector of `sector_len` bytes loses `crypt_len`; 0 if nothing fits a sector.
pub const fn record_count(len: u32, sector_len: u32, crypt_len: u32) -> u32 {
    match sector_len.checked_sub(crypt_len) {
        None | Some(0) => 0,
        Some(payload) => len.div_ceil(payload),
    }
}

/// What it takes to go from `old` to `new` with patches of these lengths. Lengths are in bytes.
pub fn staging_room(
    old: Option<&Manifest<'_>>,
    new: &Manifest<'_>,
    patches: impl IntoIterator<Item = u32>,
    sector_len: u32,
) -> StagingRoom {
    let of_page = |page_size| u64::from(record_count(page_size, sector_len, CRYPT_LEN));
    let pages = difference(old, new)
        .filter_map(|change| new.area(change.area))
        .fold(0u64, |sum, area| sum.saturating_add(of_page(area.page_size)));
    let largest = new.areas().filter(|area| area.page_count() > 0).map(|area| of_page(area.page_size)).max();
    let of_patch = |len| u64::from(record_count(len, sector_len, PATCH_CRYPT_LEN));
    StagingRoom {
        patches: patches.into_iter().fold(0, |sum, len| u64::saturating_add(sum, of_patch(len))),
        pages,
        ring: largest.unwrap_or(0).saturating_mul(u64::from(RING_PAGES)),
    }
}
