#![expect(clippy::indexing_slicing, reason = "tests may panic")]

extern crate std;

use std::vec;
use std::vec::Vec;

use super::*;

/// One law that [`Part`] can be told to break.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lawless {
    No,
    EraseLeavesOneByte,
    EraseTakesNeighbour,
    ProgramSpills,
    ProgramsTwice,
    OverwritesInsteadOfAnd,
    ReadsPastEnd,
    ErasesMisaligned,
    ProgramDropsBit,
}

struct Part {
    geometry: Geometry,
    bytes: Vec<u8>,
    lawless: Lawless,
}

impl Part {
    fn new(rewrite: Rewrite, program_unit: u32, lawless: Lawless) -> Self {
        let geometry = Geometry { erase_size: 128, program_unit, size: 512, erased_byte: 0xFF, rewrite };
        Self { geometry, bytes: vec![0x55; 512], lawless }
    }
}

impl NorFlash for Part {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn read(&mut self, at: FlashAddress, out: &mut [u8]) -> Result<(), FlashError> {
        if self.lawless == Lawless::ReadsPastEnd && at.0 >= 512 {
            return Ok(());
        }
        self.geometry.check_read(at, out.len())?;
        out.copy_from_slice(&self.bytes[at.0 as usize..][..out.len()]);
        Ok(())
    }

    fn program(&mut self, at: FlashAddress, bytes: &[u8]) -> Result<(), FlashError> {
        self.geometry.check_program(at, bytes.len())?;
        let start = at.0 as usize;
        let span = start..start + bytes.len();
        let never = self.geometry.rewrite == Rewrite::Never && self.lawless != Lawless::ProgramsTwice;
        if never && self.bytes[span.clone()].iter().any(|b| *b != 0xFF) {
            return Err(FlashError::NotErased);
        }
        for (cell, byte) in self.bytes[span.clone()].iter_mut().zip(bytes) {
            *cell = if self.lawless == Lawless::OverwritesInsteadOfAnd { *byte } else { *cell & byte };
        }
        if self.lawless == Lawless::ProgramDropsBit && !bytes.is_empty() {
            self.bytes[start] ^= 1;
        }
        if self.lawless == Lawless::ProgramSpills {
            self.bytes[span.end] &= 0xFE;
        }
        Ok(())
    }

    fn erase(&mut self, at: FlashAddress) -> Result<(), FlashError> {
        if self.lawless != Lawless::ErasesMisaligned {
            self.geometry.check_erase(at)?;
        } else if at.0 >= 512 {
            return Err(FlashError::OutOfRange);
        }
        let start = (at.0 / 128 * 128) as usize;
        let len = if self.lawless == Lawless::EraseTakesNeighbour && start > 0 { 256 } else { 128 };
        let start = start + 128 - len;
        self.bytes[start..start + len].fill(0xFF);
        if self.lawless == Lawless::EraseLeavesOneByte {
            self.bytes[start + 100] = 0x7F;
        }
        Ok(())
    }
}

fn laws_of(rewrite: Rewrite, unit: u32, lawless: Lawless) -> Result<(), LawBroken> {
    check_laws(&mut Part::new(rewrite, unit, lawless), FlashAddress(128))
}

#[test]
fn a_lawful_memory_of_either_kind_passes() {
    assert_eq!(laws_of(Rewrite::Never, 16, Lawless::No), Ok(()));
    assert_eq!(laws_of(Rewrite::ClearsBits, 1, Lawless::No), Ok(()));
}

#[test]
fn each_lawless_memory_is_rejected_by_the_law_it_breaks() {
    let table = [
        (Rewrite::Never, 16, Lawless::EraseLeavesOneByte, 2),
        (Rewrite::Never, 16, Lawless::ProgramDropsBit, 3),
        (Rewrite::Never, 16, Lawless::ProgramSpills, 4),
        (Rewrite::Never, 16, Lawless::EraseTakesNeighbour, 4),
        (Rewrite::Never, 16, Lawless::ProgramsTwice, 5),
        (Rewrite::ClearsBits, 1, Lawless::OverwritesInsteadOfAnd, 6),
        (Rewrite::ClearsBits, 1, Lawless::ReadsPastEnd, 7),
        (Rewrite::Never, 16, Lawless::ErasesMisaligned, 7),
    ];
    for (rewrite, unit, lawless, law) in table {
        let verdict = laws_of(rewrite, unit, lawless);
        assert_eq!(verdict.unwrap_err().law, law, "{lawless:?}: {verdict:?}");
    }
}

#[test]
fn a_geometry_that_does_not_divide_is_rejected() {
    for (erase_size, program_unit, size) in
        [(128, 0, 512), (100, 16, 500), (128, 16, 500), (0, 16, 512), (128, 128, 512)]
    {
        let mut part = Part::new(Rewrite::Never, 16, Lawless::No);
        part.geometry = Geometry { erase_size, program_unit, size, ..part.geometry };
        assert_eq!(check_laws(&mut part, FlashAddress(0)).unwrap_err().law, 1);
    }
}

#[test]
fn checks_refuse_addresses_that_overflow() {
    let g = Part::new(Rewrite::Never, 16, Lawless::No).geometry;
    assert_eq!(g.check_read(FlashAddress(u32::MAX), 2), Err(FlashError::OutOfRange));
    assert_eq!(g.check_program(FlashAddress(u32::MAX - 15), 32), Err(FlashError::OutOfRange));
    assert_eq!(g.check_erase(FlashAddress(u32::MAX - 127)), Err(FlashError::OutOfRange));
}
