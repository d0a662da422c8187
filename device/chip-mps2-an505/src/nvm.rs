//! Non-volatile memory: the 16 MiB PSRAM that QEMU keeps in a host file.
//!
//! The RAM would take anything; this driver lets through only what the real parts would, so that what passes here
//! does not fail on silicon: die flash refuses to program a unit twice, external flash only clears bits.

use bulkhead_nor_flash::{FlashAddress, FlashError, FlashTimes, Geometry, NorFlash, Rewrite};

use crate::breakpoints::Breakpoints;

/// Which part's laws apply.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NvmKind {
    /// STM32U5: pages of `erase_size`, write-once units.
    Die,
    /// Serial NOR: sectors of `erase_size`, bits only fall.
    External,
}

/// Speed of the die's flash: that of RAM under QEMU, byte by byte. Fitted to what `tests/end-to-end` sees.
pub const DIE_TIMES: FlashTimes = FlashTimes { erase_us: 200, program_kib_us: 50, check_kib_us: 100 };

/// Speed of external flash: the same memory.
pub const EXTERNAL_TIMES: FlashTimes = DIE_TIMES;

const ERASED: u8 = 0xFF;

/// A window of the NVM.
pub struct NvmFlash {
    base: usize,
    geometry: Geometry,
    breakpoints: Option<Breakpoints>,
}

impl NvmFlash {
    /// Takes the window of `length` bytes at `base`.
    ///
    /// # Safety
    /// 1. `[base, base + length)` is memory that can be read and written at any time, word-aligned, and holds no
    ///    Rust object.
    /// 2. No other value writes to it.
    pub unsafe fn new(kind: NvmKind, base: usize, length: u32, erase_size: u32, unit: u32) -> Self {
        let rewrite = match kind {
            NvmKind::Die => Rewrite::Never,
            NvmKind::External => Rewrite::ClearsBits,
        };
        let geometry =
            Geometry { erase_size, program_unit: unit, size: length, erased_byte: ERASED, rewrite };
        Self { base, geometry, breakpoints: None }
    }

    /// Reads from now on what the code is, and not the breakpoints that stand in it.
    pub fn look_behind(&mut self, breakpoints: Breakpoints) {
        self.breakpoints = Some(breakpoints);
    }

    fn byte(&self, at: FlashAddress, offset: usize) -> u8 {
        let address = self.base.wrapping_add(at.0 as usize).wrapping_add(offset);
        // SAFETY: callers check the range; `new` promised that it is readable. Volatile, since the application may
        // write to its own part of the RAM behind our back.
        unsafe { core::ptr::read_volatile(address as *const u8) }
    }

    fn set_byte(&mut self, at: FlashAddress, offset: usize, value: u8) {
        let address = self.base.wrapping_add(at.0 as usize).wrapping_add(offset);
        // SAFETY: as in `byte`, and writable.
        unsafe { core::ptr::write_volatile(address as *mut u8, value) }
    }
}

impl NorFlash for NvmFlash {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn read(&mut self, at: FlashAddress, out: &mut [u8]) -> Result<(), FlashError> {
        self.geometry.check_read(at, out.len())?;
        for (offset, byte) in out.iter_mut().enumerate() {
            *byte = self.byte(at, offset);
        }
        if let Some(breakpoints) = &self.breakpoints {
            breakpoints.unveil(self.base.wrapping_add(at.0 as usize), out);
        }
        Ok(())
    }

    fn program(&mut self, at: FlashAddress, bytes: &[u8]) -> Result<(), FlashError> {
        self.geometry.check_program(at, bytes.len())?;
        if self.geometry.rewrite == Rewrite::Never && (0..bytes.len()).any(|i| self.byte(at, i) != ERASED) {
            return Err(FlashError::NotErased);
        }
        for (offset, byte) in bytes.iter().enumerate() {
            let value = self.byte(at, offset) & byte;
            self.set_byte(at, offset, value);
        }
        Ok(())
    }

    fn erase(&mut self, at: FlashAddress) -> Result<(), FlashError> {
        self.geometry.check_erase(at)?;
        for offset in 0..self.geometry.erase_size as usize {
            self.set_byte(at, offset, ERASED);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::vec;

    #[test]
    fn both_kinds_keep_the_laws_of_flash() {
        for (kind, erase, unit) in [(NvmKind::Die, 8192, 16), (NvmKind::External, 4096, 1)] {
            let mut backing = vec![0u64; 65536 / 8];
            // SAFETY: `backing` outlives the driver and is touched by it alone.
            let mut flash = unsafe { NvmFlash::new(kind, backing.as_mut_ptr() as usize, 65536, erase, unit) };
            bulkhead_nor_flash::check_laws(&mut flash, FlashAddress(8192)).unwrap();
        }
    }
}
