//! In place of breakpoint comparators, which the emulated processor lacks: `BKPT` in the application's flash.
//!
//! The flash is a host's file and outlives the power, so each replaced half-word is written down before it is replaced,
//! in a table beside it, and put back by the next boot. Whoever reads flash through [`crate::NvmFlash`] sees the code as
//! it is: an update that is staged during a debug session never takes a breakpoint for the owner's bytes.

/// Half-words that may be replaced at once: the agent's probes, the places of a step, and some to spare.
const SLOTS: usize = 40;
/// Bytes of the table.
const TABLE_BYTES: usize = 4 + SLOTS * SLOT_BYTES;
const SLOT_BYTES: usize = 8;
/// In the upper half of the table's first word; the lower half is how many slots may be in use.
const MAGIC: u32 = 0xB7A6_0000;
/// Marks a slot in use.
const USED: u32 = 0x5AFE_0000;

/// The table, and the code that its entries are about.
#[derive(Clone, Copy, Debug)]
pub struct Breakpoints {
    table: usize,
    code: usize,
    code_len: usize,
}

impl Breakpoints {
    /// Takes the table at `table` for code at `[code, code + code_len)`, and puts back what an earlier run left there.
    /// `None`: the table is too short.
    ///
    /// # Safety
    /// 1. `[table, table + len)` and the code are memory that can be read and written at any time, word-aligned, and
    ///    hold no Rust object.
    /// 2. Nobody else writes to the table.
    pub unsafe fn restore(table: usize, len: usize, code: usize, code_len: usize) -> Option<Self> {
        let breakpoints = Self { table, code, code_len };
        if len < TABLE_BYTES {
            return None;
        }
        for slot in 0..breakpoints.count() {
            if let Some((address, original)) = breakpoints.slot(slot) {
                breakpoints.set_half(address, original);
            }
        }
        breakpoints.set_count(0);
        Some(breakpoints)
    }

    /// Puts `half` in place of the half-word of code at `address` and returns what stood there; `None` where no code of
    /// the application's is, or the table is full.
    pub fn patch(&mut self, address: usize, half: u16) -> Option<u16> {
        let offset = address.checked_sub(self.code)?;
        if !address.is_multiple_of(2) || offset.checked_add(2)? > self.code_len {
            return None;
        }
        let stood = self.half(address);
        if self.known(address).is_none() {
            if half == stood {
                return Some(stood);
            }
            self.write_down(offset, stood)?;
        }
        self.set_half(address, half);
        self.settle(address);
        Some(stood)
    }

    /// Writes down what stands at `address`, so that it may be replaced for a moment by whoever puts it back, and returns
    /// it; `None` as in [`Self::patch`]. [`Self::settle`] ends it.
    pub fn reserve(&mut self, address: usize) -> Option<u16> {
        let offset = address.checked_sub(self.code)?;
        if !address.is_multiple_of(2) || offset.checked_add(2)? > self.code_len {
            return None;
        }
        let stood = self.half(address);
        if self.known(address).is_none() {
            self.write_down(offset, stood)?;
        }
        Some(stood)
    }

    /// Forgets a place where the code is as it was.
    pub fn settle(&mut self, address: usize) {
        let Some(slot) = self.known(address) else { return };
        if self.slot(slot).is_some_and(|(_, original)| self.half(address) == original) {
            self.set_word(self.slot_at(slot).wrapping_add(4), 0);
            self.shrink();
        }
    }

    /// The slot of an address.
    fn known(&self, address: usize) -> Option<usize> {
        (0..self.count()).find(|slot| self.slot(*slot).is_some_and(|(at, _)| at == address))
    }

    fn write_down(&self, offset: usize, stood: u16) -> Option<()> {
        let slot = (0..SLOTS).find(|slot| *slot >= self.count() || self.slot(*slot).is_none())?;
        self.set_word(self.slot_at(slot), u32::try_from(offset).ok()?);
        self.set_word(self.slot_at(slot).wrapping_add(4), USED | u32::from(stood));
        self.set_count(self.count().max(slot + 1));
        Some(())
    }

    /// Puts the code as it is over `bytes`, which were read from `address`.
    pub(crate) fn unveil(&self, address: usize, bytes: &mut [u8]) {
        for (at, original) in (0..self.count()).filter_map(|slot| self.slot(slot)) {
            for (at, byte) in (at..).zip(original.to_le_bytes()) {
                if let Some(place) = bytes.get_mut(at.wrapping_sub(address)) {
                    *place = byte;
                }
            }
        }
    }

    /// Forgets free slots at the end, so that code without breakpoints is read at full speed.
    fn shrink(&mut self) {
        let used = (0..self.count()).rev().find(|slot| self.slot(*slot).is_some());
        self.set_count(used.map_or(0, |slot| slot + 1));
    }

    fn slot_at(&self, slot: usize) -> usize {
        self.table.wrapping_add(4).wrapping_add(slot.wrapping_mul(SLOT_BYTES))
    }

    /// Address and original of a slot in use.
    fn slot(&self, slot: usize) -> Option<(usize, u16)> {
        let at = self.slot_at(slot);
        let mark = self.word(at.wrapping_add(4));
        let offset = self.word(at) as usize;
        let is_used = mark & 0xFFFF_0000 == USED && offset < self.code_len;
        is_used.then(|| (self.code.wrapping_add(offset), (mark & 0xFFFF) as u16))
    }

    fn count(&self) -> usize {
        let word = self.word(self.table);
        if word & 0xFFFF_0000 == MAGIC { ((word & 0xFFFF) as usize).min(SLOTS) } else { 0 }
    }

    fn set_count(&self, count: usize) {
        self.set_word(self.table, MAGIC | u32::try_from(count.min(SLOTS)).unwrap_or(0));
    }

    fn word(&self, at: usize) -> u32 {
        // SAFETY: within the table, see `restore`.
        unsafe { core::ptr::read_volatile(at as *const u32) }
    }

    fn set_word(&self, at: usize, value: u32) {
        // SAFETY: within the table, see `restore`.
        unsafe { core::ptr::write_volatile(at as *mut u32, value) }
    }

    fn half(&self, at: usize) -> u16 {
        // SAFETY: within the code, see `restore`.
        unsafe { core::ptr::read_volatile(at as *const u16) }
    }

    fn set_half(&self, at: usize, value: u16) {
        // SAFETY: within the code, see `restore`.
        unsafe { core::ptr::write_volatile(at as *mut u16, value) }
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test: a panic is its failure")]
mod tests {
    use super::*;
    use crate::{NvmFlash, NvmKind};
    use bulkhead_nor_flash::{FlashAddress, NorFlash as _};
    extern crate std;
    use std::vec;
    use std::vec::Vec;

    const CODE_BYTES: usize = 8192;

    /// The memory of a device: code, then the table.
    fn memory() -> Vec<u32> {
        (0..u32::try_from((CODE_BYTES + 512) / 4).unwrap()).map(|n| n.wrapping_mul(0x9E37_79B9)).collect()
    }

    fn restore(memory: &mut [u32]) -> Breakpoints {
        let code = memory.as_mut_ptr() as usize;
        // SAFETY: the memory outlives the value in each test, and is touched by it alone.
        unsafe { Breakpoints::restore(code + CODE_BYTES, 512, code, CODE_BYTES) }.unwrap()
    }

    #[test]
    fn readers_of_flash_see_the_code_and_the_processor_the_breakpoint() {
        let mut memory = memory();
        let before = memory.clone();
        let base = memory.as_mut_ptr() as usize;
        let mut breakpoints = restore(&mut memory);
        // SAFETY: as in `restore`.
        let mut flash = unsafe { NvmFlash::new(NvmKind::Die, base, 8192, 8192, 16) };
        flash.look_behind(breakpoints);
        let stood = breakpoints.patch(base + 10, 0xBEBB).unwrap();
        assert_eq!(stood, (before[2] >> 16) as u16);
        assert_eq!(breakpoints.half(base + 10), 0xBEBB);
        for (start, len) in [(0, 64), (11, 1), (10, 2), (9, 2), (11, 4), (12, 4)] {
            let mut seen = vec![0; len];
            flash.read(FlashAddress(start), &mut seen).unwrap();
            let bytes: Vec<u8> = before.iter().flat_map(|word| word.to_le_bytes()).collect();
            assert_eq!(seen, bytes[start as usize..start as usize + len], "{start} {len}");
        }
        assert_eq!(breakpoints.patch(base + 10, stood), Some(0xBEBB));
        assert_eq!(breakpoints.count(), 0);
        assert_eq!(memory[..CODE_BYTES / 4], before[..CODE_BYTES / 4]);
    }

    #[test]
    fn a_power_cut_leaves_nothing_that_the_next_boot_does_not_put_back() {
        let mut memory = memory();
        let before = memory.clone();
        let base = memory.as_mut_ptr() as usize;
        let mut breakpoints = restore(&mut memory);
        for n in 0..SLOTS {
            assert!(breakpoints.patch(base + 100 * n, 0xBEBB).is_some());
        }
        assert_eq!(breakpoints.patch(base + 2, 0xBEBB), None, "full");
        restore(&mut memory);
        assert_eq!(memory[..CODE_BYTES / 4], before[..CODE_BYTES / 4]);
    }

    #[test]
    fn a_place_that_was_replaced_for_a_moment_is_put_back_by_the_next_boot_or_forgotten() {
        let mut memory = memory();
        let before = memory.clone();
        let base = memory.as_mut_ptr() as usize;
        let mut breakpoints = restore(&mut memory);
        let stood = breakpoints.reserve(base + 6).unwrap();
        assert_eq!(breakpoints.half(base + 6), stood);
        breakpoints.set_half(base + 6, 0xBEBB);
        breakpoints.settle(base + 6);
        assert_eq!(breakpoints.count(), 1, "not as it was");
        let mut breakpoints = restore(&mut memory);
        assert_eq!(memory[..CODE_BYTES / 4], before[..CODE_BYTES / 4]);
        breakpoints.patch(base + 6, 0xBEBB).unwrap();
        assert_eq!(
            breakpoints.reserve(base + 6),
            Some(0xBEBB),
            "of a breakpoint the original stays written down"
        );
        breakpoints.settle(base + 6);
        assert_eq!(breakpoints.patch(base + 6, stood), Some(0xBEBB));
        assert_eq!(breakpoints.count(), 0);
        assert_eq!(breakpoints.reserve(base + CODE_BYTES), None);
    }

    #[test]
    fn nothing_outside_the_code_is_touched() {
        let mut memory = memory();
        let base = memory.as_mut_ptr() as usize;
        let mut breakpoints = restore(&mut memory);
        for address in [base - 2, base + 1, base + CODE_BYTES - 1, base + CODE_BYTES, usize::MAX] {
            assert_eq!(breakpoints.patch(address, 0xBEBB), None, "{address:#x}");
        }
    }
}
