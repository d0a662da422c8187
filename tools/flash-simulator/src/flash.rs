//! One simulated memory.

use std::collections::BTreeMap;

use bulkhead_nor_flash::{FlashAddress, FlashError, Geometry, NorFlash, Rewrite};

use crate::cells::{Cells, GRAIN, Now, Reading};
use crate::power::{Moment, Power, Traced, TracedKind};

/// How a worn erase block fails.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Wear {
    /// Erases and programs report success, but the bits of the mask in the byte at the address read as zero.
    Holds(u8),
    /// As `Holds`, from the `n`th program after power-on that covers the byte.
    HoldsFrom(u32, u8),
    /// What is written reads well until power goes; then the block's first programmed byte has lost its charge.
    Forgets,
    /// A program fails and says so; its first unit is torn.
    RefusesPrograms,
    /// An erase fails and says so; the block is torn.
    RefusesErases,
}

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
    worn: Option<(usize, Wear)>,
    /// Programs since power-on that covered the worn byte.
    worn_programs: u32,
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
            worn: None,
            worn_programs: 0,
        }
    }

    /// Holds `cells` from now on, with each cut's torn grains read as `reading` says for its number.
    pub fn power_on(&mut self, mut cells: Cells, reading: impl Fn(u32) -> Reading) {
        if let Some((at, Wear::Forgets)) = self.worn {
            cells.forget(at, self.has_ecc());
        }
        self.torn_now = cells.read_torn(reading, self.has_ecc());
        self.cells = cells;
        self.worn_programs = 0;
    }

    fn has_ecc(&self) -> bool {
        self.geometry.rewrite == Rewrite::Never
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

    /// From now on the erase block that holds `at` is worn. `Forgets` shows from the next [`Self::power_on`] on.
    pub fn wear(&mut self, at: FlashAddress, how: Wear) {
        self.worn = Some((at.0 as usize, how));
    }

    /// Whether the block that holds `at` is worn in the way `how`.
    fn is_worn(&self, at: usize, how: Wear) -> bool {
        let block = self.geometry.erase_size as usize;
        self.worn.is_some_and(|(worn_at, worn)| worn == how && worn_at / block == at / block)
    }

    /// The torn grains among `grains` read as the failed operation left them: unreadable under ECC.
    fn read_failed(&mut self, grains: std::ops::Range<usize>) {
        let torn = self.cells.read_torn(|_| Reading::Unreadable, self.has_ecc());
        self.torn_now.extend(torn.into_iter().filter(|(grain, _)| grains.contains(grain)));
    }

    /// The bits that the worn byte does not hold now.
    fn stuck(&self) -> Option<(usize, u8)> {
        match self.worn? {
            (at, Wear::Holds(mask)) => Some((at, mask)),
            (at, Wear::HoldsFrom(n, mask)) if self.worn_programs >= n => Some((at, mask)),
            _ => None,
        }
    }

    /// Erases and programs the block at `at` as someone other than the code under test does, in one operation that a
    /// cut can precede or follow but never tear: what they tear is theirs to mend.
    pub fn overwrite(&mut self, at: FlashAddress, bytes: &[u8]) {
        if self.geometry.check_erase(at).is_err() || self.check_alive().is_err() {
            return;
        }
        let start = at.0 as usize;
        let moment = self.power.next_operation();
        self.power.trace(|| Traced { memory: self.memory, kind: TracedKind::Program, at, len: bytes.len() });
        if moment != Some(Moment::Before) {
            self.erase_whole(start);
            self.cells.program(start, bytes);
        }
        if self.power.is_recording() {
            self.power.note(self.memory, Moment::After, self.cells.clone());
        }
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
        if let Some((at, mask)) = self.stuck()
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
        let refuses = self.is_worn(start, Wear::RefusesPrograms);
        if self.worn.is_some_and(|(at, _)| (start..start + bytes.len()).contains(&at)) {
            self.worn_programs += 1;
        }
        self.power.trace(|| Traced { memory: self.memory, kind: TracedKind::Program, at, len: bytes.len() });
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
            None | Some(Moment::After) if refuses => {
                self.cells = self.torn_by_program(start, bytes, 0);
                self.read_failed(grains);
            }
            None | Some(Moment::After) => self.cells.program(start, bytes),
        }
        if self.power.is_recording() {
            self.power.note(self.memory, Moment::After, self.cells.clone());
        }
        if moment.is_some() || refuses { Err(FlashError::HardwareFault) } else { Ok(()) }
    }

    fn erase(&mut self, at: FlashAddress) -> Result<(), FlashError> {
        self.geometry.check_erase(at)?;
        self.check_alive()?;
        let start = at.0 as usize;
        let moment = self.power.next_operation();
        let refuses = self.is_worn(start, Wear::RefusesErases);
        let len = self.geometry.erase_size as usize;
        self.power.trace(|| Traced { memory: self.memory, kind: TracedKind::Erase, at, len });
        if self.power.is_recording() {
            let torn = self.torn_by_erase(start);
            self.power.note(self.memory, Moment::Inside(0), torn);
        }
        match moment {
            Some(Moment::Before) => {}
            Some(Moment::Inside(_)) => self.cells = self.torn_by_erase(start),
            None | Some(Moment::After) if refuses => {
                self.cells = self.torn_by_erase(start);
                self.read_failed(start / GRAIN..(start + len) / GRAIN);
            }
            None | Some(Moment::After) => self.erase_whole(start),
        }
        if self.power.is_recording() {
            self.power.note(self.memory, Moment::After, self.cells.clone());
        }
        if moment.is_some() || refuses { Err(FlashError::HardwareFault) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
