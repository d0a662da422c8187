//! A flash that keeps its laws and never fails.

use bulkhead_nor_flash::{FlashAddress, FlashError, Geometry, NorFlash, Rewrite};

/// Bytes with the laws of a flash.
#[derive(Clone)]
pub struct RamFlash {
    geometry: Geometry,
    /// What it holds.
    pub bytes: Vec<u8>,
    /// For each program unit, whether it was programmed since its block was erased.
    programmed: Vec<bool>,
}

impl RamFlash {
    /// An erased flash.
    pub fn new(geometry: Geometry) -> Self {
        let units = geometry.size / geometry.program_unit;
        Self { geometry, bytes: vec![0xFF; geometry.size as usize], programmed: vec![false; units as usize] }
    }

    /// Overwrites bytes behind the flash's back.
    pub fn damage(&mut self, at: usize, bytes: &[u8]) {
        let unit = self.geometry.program_unit as usize;
        for (n, byte) in bytes.iter().enumerate() {
            if let Some(slot) = self.bytes.get_mut(at + n) {
                *slot = *byte;
                self.programmed[(at + n) / unit] = true;
            }
        }
    }
}

impl NorFlash for RamFlash {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn read(&mut self, at: FlashAddress, out: &mut [u8]) -> Result<(), FlashError> {
        self.geometry.check_read(at, out.len())?;
        out.copy_from_slice(&self.bytes[at.0 as usize..][..out.len()]);
        Ok(())
    }

    fn program(&mut self, at: FlashAddress, bytes: &[u8]) -> Result<(), FlashError> {
        self.geometry.check_program(at, bytes.len())?;
        let (start, unit) = (at.0 as usize, self.geometry.program_unit as usize);
        let units = start / unit..(start + bytes.len()) / unit;
        if self.geometry.rewrite == Rewrite::Never && self.programmed[units.clone()].contains(&true) {
            return Err(FlashError::NotErased);
        }
        self.programmed[units].fill(true);
        for (cell, byte) in self.bytes[start..].iter_mut().zip(bytes) {
            *cell &= byte;
        }
        Ok(())
    }

    fn erase(&mut self, at: FlashAddress) -> Result<(), FlashError> {
        self.geometry.check_erase(at)?;
        let (start, len) = (at.0 as usize, self.geometry.erase_size as usize);
        let unit = self.geometry.program_unit as usize;
        self.bytes[start..start + len].fill(0xFF);
        self.programmed[start / unit..(start + len) / unit].fill(false);
        Ok(())
    }
}
