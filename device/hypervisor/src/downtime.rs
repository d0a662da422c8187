//! How long the application will stand still for an update: an estimate from what will be written.

use bulkhead_nor_flash::FlashTimes;
use bulkhead_update_engine::Changes;

/// What the board knows about the speed of its memories.
#[derive(Clone, Copy, Debug)]
pub struct FlashSpeeds {
    /// Of the die.
    pub die: FlashTimes,
    /// Bytes of a page of the die.
    pub die_page_bytes: u32,
    /// Of external flash.
    pub external: FlashTimes,
    /// Bytes of a sector of external flash.
    pub external_sector_bytes: u32,
}

/// What comes to it whatever is written: the slices in which the application is stopped and started, in microseconds.
const STOP_AND_START_US: u64 = 10_000;
/// Times that every page is looked at while the application stands still: before the apply, in it, and after it.
const LOOKS: u64 = 3;
/// Times that a page which changes is handled beside being written: opened from staging, and read back.
const HANDLINGS: u64 = 2;

impl FlashSpeeds {
    /// The estimate in milliseconds.
    pub(crate) fn downtime_ms(&self, changes: &Changes) -> u32 {
        let memories = [
            (changes.die, &self.die, self.die_page_bytes),
            (changes.external, &self.external, self.external_sector_bytes),
        ];
        let us = memories.iter().fold(STOP_AND_START_US, |sum, (pages, times, bytes)| {
            let looks = times.check_us(pages.all, *bytes).saturating_mul(LOOKS);
            let handled = times.check_us(pages.changing, *bytes).saturating_mul(HANDLINGS);
            let written = times.write_us(pages.changing, *bytes);
            sum.saturating_add(looks).saturating_add(handled).saturating_add(written)
        });
        u32::try_from(us.div_ceil(1000)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bulkhead_update_engine::PageCount;

    #[test]
    fn the_estimate_grows_with_the_pages_that_change_and_a_little_with_all_others() {
        let times = FlashTimes { erase_us: 1_500, program_kib_us: 3_072, check_kib_us: 100 };
        let speeds =
            FlashSpeeds { die: times, die_page_bytes: 8192, external: times, external_sector_bytes: 4096 };
        let of = |all, changing| {
            speeds.downtime_ms(&Changes { die: PageCount { all, changing }, ..Changes::default() })
        };
        // A page: 2.4 ms of looks; 1.6 ms more and 26.1 ms of writing if it changes.
        assert_eq!((of(0, 0), of(1, 0), of(1, 1), of(10, 10)), (10, 13, 41, 311));
        assert_eq!(of(u32::MAX, u32::MAX), u32::MAX, "nothing wraps");
    }
}
