//! Erases and programs of die flash, and how long an STM32U585 would take for them.
//!
//! A model: the times are the typical ones of the data sheet, nothing was ever tried on silicon. Reading, hashing and
//! deciphering are left out on every side.
//!
//! # Source
//! DS13086 (STM32U585xx), "Flash memory characteristics", typical values, quoted without the sheet at hand: check them
//! against your revision before you rely on a time; the counts do not depend on them. RM0456, "Embedded flash memory",
//! for the sizes: pages of 8 KiB, units of a quad-word of 16 bytes, bursts of eight of them.

use std::collections::BTreeMap;

/// Bytes of a page.
pub(crate) const PAGE_LEN: u32 = 8192;
/// Bytes of the unit that is programmed at once.
const UNIT_LEN: u64 = 16;
/// Bytes of a burst.
const BURST_LEN: u64 = 8 * UNIT_LEN;

/// Erasing a page, up to 10,000 cycles.
const ERASE_US: u64 = 1_500;
/// Programming one unit by itself.
const UNIT_US: u64 = 118;
/// Programming one unit of a burst.
const BURST_UNIT_US: u64 = 48;

/// How the driver programs what is long enough for bursts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Programming {
    Units,
    Bursts,
}

/// Operations on the die.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Work {
    /// How often each page was erased, by its number.
    erases: BTreeMap<u32, u32>,
    /// Programmed units that lie in whole bursts.
    burst_units: u64,
    /// Programmed units that do not.
    lone_units: u64,
}

impl Work {
    pub(crate) fn erase(&mut self, page: u32) {
        *self.erases.entry(page).or_default() += 1;
    }

    /// Programs `len` bytes from the start of a unit on; a burst may begin there.
    pub(crate) fn program(&mut self, len: u32) {
        let len = u64::from(len);
        self.burst_units += len / BURST_LEN * (BURST_LEN / UNIT_LEN);
        self.lone_units += (len % BURST_LEN).div_ceil(UNIT_LEN);
    }

    /// Erases a page and writes it anew.
    pub(crate) fn copy_to(&mut self, page: u32) {
        self.erase(page);
        self.program(PAGE_LEN);
    }

    /// Writes one unit, as a mark or a flag is.
    pub(crate) fn mark(&mut self) {
        self.lone_units += 1;
    }

    pub(crate) fn erase_count(&self) -> u32 {
        self.erases.values().sum()
    }

    /// The most erases that one page of `pages` had.
    pub(crate) fn most_erases(&self, pages: std::ops::Range<u32>) -> u32 {
        self.erases.range(pages).map(|(_, count)| *count).max().unwrap_or(0)
    }

    pub(crate) fn time_ms(&self, programming: Programming) -> f64 {
        let burst_unit_us = match programming {
            Programming::Units => UNIT_US,
            Programming::Bursts => BURST_UNIT_US,
        };
        let us = u64::from(self.erase_count()) * ERASE_US
            + self.burst_units * burst_unit_us
            + self.lone_units * UNIT_US;
        us as f64 / 1000.0
    }
}

/// One update.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Update {
    /// While the application runs: what is downloaded is put down.
    pub(crate) running: Work,
    /// While no application runs.
    pub(crate) stopped: Work,
}

impl Update {
    /// Erases of the whole update.
    pub(crate) fn erase_count(&self) -> u32 {
        self.running.erase_count() + self.stopped.erase_count()
    }
}

/// What is replaced by what, in pages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Images {
    pub(crate) old_pages: u32,
    pub(crate) new_pages: u32,
}

impl Images {
    /// Pages that hold the longer of the two.
    pub(crate) fn longer(self) -> u32 {
        self.old_pages.max(self.new_pages)
    }

    /// Pages of a slot as small as can be: the image, a spare page and a page for the bootloader's trailer.
    pub(crate) fn slot_pages(self) -> u32 {
        self.longer() + 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_takes_the_time_of_the_data_sheet() {
        let mut work = Work::default();
        work.copy_to(0);
        // 512 units of 118 us, or 64 bursts of eight times 48 us, and the erase.
        assert!((work.time_ms(Programming::Units) - 61.916).abs() < 1e-9);
        assert!((work.time_ms(Programming::Bursts) - 26.076).abs() < 1e-9);
    }

    #[test]
    fn what_is_shorter_than_a_burst_is_programmed_by_units() {
        let mut work = Work::default();
        work.program(128 + 17);
        assert_eq!((work.burst_units, work.lone_units), (8, 2));
    }
}
