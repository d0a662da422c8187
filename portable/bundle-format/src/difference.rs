//! Which pages of flash differ between two manifests: the one answer for planner, device and tests.

use crate::manifest::{Area, Manifest};

/// A page that the new manifest wants otherwise than the old one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PageChange {
    /// Id of the new manifest's area.
    pub area: u32,
    /// Page, counted from the start of that area.
    pub page: u32,
}

/// The pages that differ, in the order of areas and pages of the new manifest.
#[derive(Clone, Debug)]
pub struct Difference<'m, 'a> {
    old: Option<&'m Manifest<'a>>,
    new: &'m Manifest<'a>,
    area_index: usize,
    page: u32,
}

/// Pages of `new` that are not certain to be in flash when `old` is there; without `old`, all of them.
///
/// Pages are compared by memory, offset, size and digest, not by area id: a moved boundary between areas costs
/// nothing.
pub fn difference<'m, 'a>(old: Option<&'m Manifest<'a>>, new: &'m Manifest<'a>) -> Difference<'m, 'a> {
    Difference { old, new, area_index: 0, page: 0 }
}

/// Bytes of `area`, one of `new`, that are sent when its pages that differ go as they are.
pub fn differing_len(old: Option<&Manifest<'_>>, new: &Manifest<'_>, area: &Area<'_>) -> u64 {
    let of_area = difference(old, new).filter(|change| change.area == area.id);
    of_area.fold(0, |sum, change| {
        let start = change.page.saturating_mul(area.page_size);
        sum.saturating_add(area.image_len().saturating_sub(start).min(area.page_size).into())
    })
}

impl Iterator for Difference<'_, '_> {
    type Item = PageChange;

    fn next(&mut self) -> Option<PageChange> {
        loop {
            let area = self.new.areas().nth(self.area_index)?;
            let page = self.page;
            if page >= area.page_count() {
                self.area_index += 1;
                self.page = 0;
                continue;
            }
            self.page += 1;
            if !self.old.is_some_and(|old| holds(old, area, page)) {
                return Some(PageChange { area: area.id, page });
            }
        }
    }
}

fn holds(old: &Manifest<'_>, area: &Area<'_>, page: u32) -> bool {
    let Some(offset) = area.page_offset(page) else { return false };
    old.areas().filter(|other| other.medium == area.medium && other.page_size == area.page_size).any(
        |other| {
            let Some(inside) = offset.checked_sub(other.base) else { return false };
            // Absent beyond the other area's last page, and an absent digest equals none.
            other.page_digest(inside / other.page_size).is_some_and(|old| Some(old) == area.page_digest(page))
        },
    )
}
