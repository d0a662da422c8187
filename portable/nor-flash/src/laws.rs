//! Runs the laws of [`NorFlash`] against an implementation.

use crate::{FlashAddress, FlashError, Geometry, NorFlash, PROGRAM_UNIT_MAX, Rewrite};

/// A law that an implementation does not keep.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LawBroken {
    /// Number of the law in the documentation of [`NorFlash`].
    pub law: u8,
    /// What was seen.
    pub seen: &'static str,
}

impl core::fmt::Display for LawBroken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "law {} of NorFlash is broken: {}", self.law, self.seen)
    }
}

impl core::error::Error for LawBroken {}

/// Bytes read at a time; a multiple of every unit is not needed, reads need no alignment.
const READ_LEN: usize = 32;
const UNIT_LEN_MAX: usize = PROGRAM_UNIT_MAX as usize;

/// Checks laws 1 to 7 on the two erase blocks that start at `first`; what they held is lost.
///
/// # Errors
/// [`LawBroken`]: the implementation's fault, with the law that it breaks.
pub fn check_laws<F: NorFlash>(flash: &mut F, first: FlashAddress) -> Result<(), LawBroken> {
    let g = flash.geometry();
    check_geometry(&g)?;
    let second = first.plus(g.erase_size).ok_or(broken(7, "the two blocks lie outside of the memory"))?;
    done(1, "the two blocks lie outside of the memory or are not aligned", g.check_erase(first))?;
    done(1, "the two blocks lie outside of the memory or are not aligned", g.check_erase(second))?;
    let unit = usize::try_from(g.program_unit).map_err(|_| broken(1, "unit too large"))?;
    let mut checker = Checker { flash, g, first, second, unit };
    checker.erase_and_program()?;
    checker.programming_again()?;
    checker.misuse()?;
    checker.erase_keeps_neighbours()?;
    if checker.flash.geometry() == g { Ok(()) } else { Err(broken(1, "the geometry changed")) }
}

fn check_geometry(g: &Geometry) -> Result<(), LawBroken> {
    if g.program_unit == 0 || g.program_unit > PROGRAM_UNIT_MAX {
        return Err(broken(1, "program unit outside of 1 to 64 bytes"));
    }
    if g.erase_size < 2 * g.program_unit || !FlashAddress(g.erase_size).is_aligned_to(g.program_unit) {
        return Err(broken(1, "erase block is no multiple of at least two program units"));
    }
    if g.size == 0 || !FlashAddress(g.size).is_aligned_to(g.erase_size) {
        return Err(broken(1, "size is no multiple of the erase block"));
    }
    Ok(())
}

const fn broken(law: u8, seen: &'static str) -> LawBroken {
    LawBroken { law, seen }
}

fn done(law: u8, seen: &'static str, result: Result<(), FlashError>) -> Result<(), LawBroken> {
    result.map_err(|_| broken(law, seen))
}

fn refused(
    law: u8,
    seen: &'static str,
    expected: FlashError,
    result: Result<(), FlashError>,
) -> Result<(), LawBroken> {
    if result == Err(expected) { Ok(()) } else { Err(broken(law, seen)) }
}

struct Checker<'f, F> {
    flash: &'f mut F,
    g: Geometry,
    first: FlashAddress,
    second: FlashAddress,
    unit: usize,
}

impl<F: NorFlash> Checker<'_, F> {
    /// A unit whose every byte differs from the erased byte and from its neighbour's.
    fn pattern(&self, salt: u8) -> [u8; UNIT_LEN_MAX] {
        let mut unit = [0; UNIT_LEN_MAX];
        for (n, byte) in (0u8..).zip(unit.iter_mut()) {
            let low = n.wrapping_mul(7).wrapping_add(salt) & 0x3F;
            // Two bits that differ from the erased byte, so that the pattern never looks erased.
            *byte = ((self.g.erased_byte & 0xC0) ^ 0xC0) | low;
        }
        unit
    }

    fn unit_at(&self, block: FlashAddress, n: u32) -> Result<FlashAddress, LawBroken> {
        self.g
            .program_unit
            .checked_mul(n)
            .and_then(|offset| block.plus(offset))
            .ok_or(broken(1, "addresses overflow"))
    }

    fn program(&mut self, at: FlashAddress, unit: &[u8; UNIT_LEN_MAX]) -> Result<(), FlashError> {
        self.flash.program(at, unit.get(..self.unit).unwrap_or_default())
    }

    fn expect_unit(
        &mut self,
        law: u8,
        seen: &'static str,
        at: FlashAddress,
        expected: &[u8; UNIT_LEN_MAX],
    ) -> Result<(), LawBroken> {
        let mut got = [0; UNIT_LEN_MAX];
        let got = got.get_mut(..self.unit).unwrap_or_default();
        done(law, seen, self.flash.read(at, got))?;
        if Some(&*got) == expected.get(..self.unit) { Ok(()) } else { Err(broken(law, seen)) }
    }

    /// Every byte of `block` but the unit `except` reads as erased.
    fn expect_erased(
        &mut self,
        law: u8,
        seen: &'static str,
        block: FlashAddress,
        except: Option<FlashAddress>,
    ) -> Result<(), LawBroken> {
        let hole = except.map_or(0..0, |at| at.0..at.0.saturating_add(self.g.program_unit));
        let end = block.0.saturating_add(self.g.erase_size);
        let mut at = block;
        while at.0 < end {
            let mut piece = [0; READ_LEN];
            let len = usize::try_from(end - at.0).unwrap_or(READ_LEN).min(READ_LEN);
            let piece = piece.get_mut(..len).unwrap_or_default();
            done(law, seen, self.flash.read(at, piece))?;
            for (address, byte) in (at.0..).zip(piece.iter()) {
                if *byte != self.g.erased_byte && !hole.contains(&address) {
                    return Err(broken(law, seen));
                }
            }
            at = FlashAddress(at.0.saturating_add(u32::try_from(len).unwrap_or(u32::MAX)));
        }
        Ok(())
    }

    fn erase_and_program(&mut self) -> Result<(), LawBroken> {
        for block in [self.first, self.second] {
            done(2, "an erase failed", self.flash.erase(block))?;
            self.expect_erased(2, "a byte is not erased after an erase", block, None)?;
        }
        let (at, written) = (self.unit_at(self.first, 1)?, self.pattern(1));
        done(3, "a program of an erased unit failed", self.program(at, &written))?;
        self.expect_unit(3, "a programmed unit reads differently", at, &written)?;
        self.expect_erased(4, "a program changed another unit", self.first, Some(at))?;
        self.expect_erased(4, "a program changed another block", self.second, None)
    }

    fn programming_again(&mut self) -> Result<(), LawBroken> {
        let (at, old, new) = (self.unit_at(self.first, 1)?, self.pattern(1), self.pattern(0x15));
        match self.g.rewrite {
            Rewrite::Never => {
                let again = self.program(at, &new);
                refused(5, "a unit was programmed twice", FlashError::NotErased, again)?;
                self.expect_unit(5, "a refused program changed its unit", at, &old)
            }
            Rewrite::ClearsBits => {
                let mut both = old;
                for (byte, new) in both.iter_mut().zip(new) {
                    *byte &= new;
                }
                done(6, "programming again failed", self.program(at, &new))?;
                self.expect_unit(6, "programming again did not leave old AND new", at, &both)?;
                // Back to what the other checks expect.
                done(2, "an erase failed", self.flash.erase(self.first))?;
                done(3, "a program of an erased unit failed", self.program(at, &old))
            }
        }
    }

    fn misuse(&mut self) -> Result<(), LawBroken> {
        let (kept, old) = (self.unit_at(self.first, 1)?, self.pattern(1));
        let unit = self.pattern(2);
        let unit = unit.get(..self.unit).unwrap_or_default();
        let (end, last) = (FlashAddress(self.g.size), FlashAddress(u32::MAX));
        let inside = self.first.plus(1).ok_or(broken(1, "addresses overflow"))?;
        refused(7, "an erase inside a block", FlashError::Misaligned, self.flash.erase(inside))?;
        refused(7, "an erase past the end", FlashError::OutOfRange, self.flash.erase(end))?;
        refused(7, "a program past the end", FlashError::OutOfRange, self.flash.program(end, unit))?;
        if self.unit > 1 {
            let program = self.flash.program(inside, unit);
            refused(7, "a program at a misaligned address", FlashError::Misaligned, program)?;
            let part = unit.get(..self.unit - 1).unwrap_or_default();
            let program = self.flash.program(self.second, part);
            refused(7, "a program of half a unit", FlashError::Misaligned, program)?;
        }
        let mut two = [0; 2];
        let before_end = FlashAddress(self.g.size - 1);
        for at in [before_end, end, last] {
            refused(7, "a read past the end", FlashError::OutOfRange, self.flash.read(at, &mut two))?;
        }
        done(7, "an empty read failed", self.flash.read(self.first, &mut []))?;
        done(7, "an empty program failed", self.flash.program(self.first, &[]))?;
        let mut one = [0];
        done(7, "a read at an odd address failed", self.flash.read(inside, &mut one))?;
        self.expect_unit(7, "a refused operation changed a unit", kept, &old)?;
        self.expect_erased(7, "a refused operation changed a block", self.second, None)
    }

    fn erase_keeps_neighbours(&mut self) -> Result<(), LawBroken> {
        let (kept, old) = (self.unit_at(self.first, 1)?, self.pattern(1));
        done(3, "a program failed", self.program(self.second, &old))?;
        done(2, "an erase failed", self.flash.erase(self.second))?;
        self.expect_unit(4, "an erase changed another block", kept, &old)?;
        self.expect_erased(2, "a byte is not erased after an erase", self.second, None)?;
        done(2, "an erase failed", self.flash.erase(self.first))?;
        self.expect_erased(2, "a byte is not erased after an erase", self.first, None)
    }
}
