//! How long a memory takes.

/// What a chip's port knows about the speed of one memory. For estimates alone: nothing waits by these numbers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FlashTimes {
    /// One erase, in microseconds.
    pub erase_us: u32,
    /// Programming 1 KiB, in microseconds.
    pub program_kib_us: u32,
    /// Reading 1 KiB and computing its digest on this chip, in microseconds.
    pub check_kib_us: u32,
}

impl FlashTimes {
    /// Looking at `pages` pages of `page_bytes` each, in microseconds.
    pub const fn check_us(&self, pages: u32, page_bytes: u32) -> u64 {
        kib(pages, page_bytes, self.check_kib_us)
    }

    /// Erasing and programming them.
    pub const fn write_us(&self, pages: u32, page_bytes: u32) -> u64 {
        let erases = (pages as u64).saturating_mul(self.erase_us as u64);
        kib(pages, page_bytes, self.program_kib_us).saturating_add(erases)
    }
}

const fn kib(pages: u32, page_bytes: u32, each_us: u32) -> u64 {
    (pages as u64).saturating_mul(page_bytes as u64).saturating_mul(each_us as u64) / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    /// STM32U585 (DS13086): 1.5 ms a page erase, 48 us a quad-word in bursts.
    #[test]
    fn a_page_takes_an_erase_and_its_programs() {
        let times = FlashTimes { erase_us: 1_500, program_kib_us: 64 * 48, check_kib_us: 100 };
        assert_eq!(times.write_us(2, 8192), 2 * (1_500 + 8 * 64 * 48));
        assert_eq!(times.check_us(3, 4096), 3 * 4 * 100);
        assert!(times.write_us(u32::MAX, u32::MAX) >= 1_500 * u64::from(u32::MAX), "nothing wraps");
    }
}
