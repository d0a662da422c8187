//! One simulated memory.

use std::collections::BTreeMap;

use bulkhead_nor_flash::{FlashAddress, FlashError, Geometry, NorFlash, Rewrite};

use crate::cells::{Cells, GRAIN, Now, Reading};
use crate::power::{Moment, Power};

/// A memory with the laws of a real part.
#[derive(Clone, Debug)]
pub struct SimulatedFlash {
    geometry: Geometry,
    power: Power,
    memory: usize,
    cells: Cells,
    torn_now: BTreeMap<usize, Now>,
    erase_counts: Vec<u32>,
    programs_twice: u32,
    dead: bool,
    stuck: Option<(usize, u8)>,
}

impl SimulatedFlash {
    /// Flash on the die: 16-byte write-once units under ECC. `size` is a multiple of `page`, in bytes.
    pub fn die(size: u32, page: u32, power: &Power) -> Self {
        Self::new(
            Geometry { erase_size: page, program_unit: 16, size, erased_byte: 0xFF, rewrite: Rewrite::Never },
            power,
        )
    }

    /// A serial NOR: any bytes may be programmed, bits only fall, no ECC.
    pub fn external(size: u32, sector: u32, power: &Power) -> Self {
        let rewrite = Rewrite::ClearsBits;
        Self::new(Geometry { erase_size: sector, program_unit: 1, size, erased_byte: 0xFF, rewrite }, power)
    }

    fn new(geometry: Geometry, power: &Power) -> Self {
        let blocks = geometry.size / geometry.erase_size;
        Self {
            geometry,
            power: power.clone(),
            memory: power.add_memory(),
            cells: Cells::erased(geometry.size as usize, geometry.erase_size as usize),
            torn_now: BTreeMap::new(),
            erase_counts: vec![0; blocks as usize],
            programs_twice: 0,
            dead: false,
            stuck: None,
        }
    }

    /// Holds `cells` from now on, with each cut's torn grains read as `reading` says for its number.
    pub fn power_on(&mut self, cells: Cells, reading: impl Fn(u32) -> Reading) {
        self.torn_now = cells.read_torn(reading, self.geometry.rewrite == Rewrite::Never);
        self.cells = cells;
    }

    /// What the memory holds.
    pub fn cells(&self) -> &Cells {
        &self.cells
    }

    /// Whole erases of the block that holds `at`, since the simulator was made.
    pub fn erase_count(&self, at: FlashAddress) -> u32 {
        self.erase_counts.get((at.0 / self.geometry.erase_size) as usize).copied().unwrap_or(0)
    }

    /// Programs of a write-once unit that was programmed before; each was refused.
    pub fn programs_twice(&self) -> u32 {
        self.programs_twice
    }

    /// From now on every access fails, as when the part has come off the board.
    pub fn kill(&mut self) {
        self.dead = true;
    }

    /// From now on the bits of `mask` in the byte at `at` read as zero, as in a worn cell.
    pub fn stick(&mut self, at: FlashAddress, mask: u8) {
        self.stuck = Some((at.0 as usize, mask));
    }

    fn check_alive(&self) -> Result<(), FlashError> {
        if self.dead || !self.power.is_on() { Err(FlashError::HardwareFault) } else { Ok(()) }
    }

    /// What the memory holds if power fails inside the program.
    fn torn_by_program(&self, at: usize, bytes: &[u8], quarter: u8) -> Cells {
        let grains = at / GRAIN..(at + bytes.len()).div_ceil(GRAIN);
        let last = grains.len() - 1;
        let torn = grains.start + last * usize::from(quarter.min(3)) / 3;
        let mut after = [0; GRAIN];
        self.cells.read(torn * GRAIN, &mut after);
        for (at_cell, cell) in (torn * GRAIN..).zip(&mut after) {
            if let Some(byte) = at_cell.checked_sub(at).and_then(|offset| bytes.get(offset)) {
                *cell &= byte;
            }
        }
        let mut cells = self.cells.clone();
        cells.program(at, &bytes[..(torn * GRAIN).saturating_sub(at)]);
        cells.tear(torn, after, self.power.session());
        cells
    }

    /// What the memory holds if power fails inside the erase.
    fn torn_by_erase(&self, at: usize) -> Cells {
        let mut cells = self.cells.clone();
        for grain in at / GRAIN..(at + self.geometry.erase_size as usize) / GRAIN {
            // A grain that was erased and whole stays so.
            if self.cells.is_programmed(grain) {
                cells.tear(grain, [0xFF; GRAIN], self.power.session());
            }
        }
        cells
    }

    fn erase_whole(&mut self, at: usize) {
        let grains = at / GRAIN..(at + self.geometry.erase_size as usize) / GRAIN;
        self.torn_now.retain(|grain, _| !grains.contains(grain));
        self.cells.erase(at);
        self.erase_counts[at / self.geometry.erase_size as usize] += 1;
    }
}

impl NorFlash for SimulatedFlash {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn read(&mut self, at: FlashAddress, out: &mut [u8]) -> Result<(), FlashError> {
        self.geometry.check_read(at, out.len())?;
        self.check_alive()?;
        let start = at.0 as usize;
        let end = start + out.len();
        self.cells.read(start, out);
        if let Some((at, mask)) = self.stuck
            && let Some(byte) = at.checked_sub(start).and_then(|n| out.get_mut(n))
        {
            *byte &= !mask;
        }
        for (grain, now) in self.torn_now.range(start / GRAIN..end.div_ceil(GRAIN)) {
            let Now::Bytes(bytes) = now else { return Err(FlashError::Unreadable) };
            for (n, byte) in bytes.iter().enumerate() {
                if let Some(room) = (grain * GRAIN + n).checked_sub(start).and_then(|n| out.get_mut(n)) {
                    *room = *byte;
                }
            }
        }
        Ok(())
    }

    fn program(&mut self, at: FlashAddress, bytes: &[u8]) -> Result<(), FlashError> {
        self.geometry.check_program(at, bytes.len())?;
        self.check_alive()?;
        if bytes.is_empty() {
            return Ok(());
        }
        let start = at.0 as usize;
        let grains = start / GRAIN..(start + bytes.len()).div_ceil(GRAIN);
        if self.geometry.rewrite == Rewrite::Never && grains.clone().any(|g| self.cells.is_programmed(g)) {
            self.programs_twice += 1;
            return Err(FlashError::NotErased);
        }
        let moment = self.power.next_operation();
        if self.power.is_recording() {
            let one = grains.len() == 1;
            for quarter in if one { 0..1 } else { 0..4 } {
                let torn = self.torn_by_program(start, bytes, quarter);
                self.power.note(self.memory, Moment::Inside(quarter), torn);
            }
        }
        match moment {
            Some(Moment::Before) => {}
            Some(Moment::Inside(quarter)) => self.cells = self.torn_by_program(start, bytes, quarter),
            None | Some(Moment::After) => self.cells.program(start, bytes),
        }
        if self.power.is_recording() {
            self.power.note(self.memory, Moment::After, self.cells.clone());
        }
        if moment.is_some() { Err(FlashError::HardwareFault) } else { Ok(()) }
    }

    fn erase(&mut self, at: FlashAddress) -> Result<(), FlashError> {
        self.geometry.check_erase(at)?;
        self.check_alive()?;
        let start = at.0 as usize;
        let moment = self.power.next_operation();
        if self.power.is_recording() {
            let torn = self.torn_by_erase(start);
            self.power.note(self.memory, Moment::Inside(0), torn);
        }
        match moment {
            Some(Moment::Before) => {}
            Some(Moment::Inside(_)) => self.cells = self.torn_by_erase(start),
            None | Some(Moment::After) => self.erase_whole(start),
        }
        if self.power.is_recording() {
            self.power.note(self.memory, Moment::After, self.cells.clone());
        }
        if moment.is_some() { Err(FlashError::HardwareFault) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
