//! What may be assumed of erasable memory: a trait, its laws, a law checker.
//!
//! Two kinds of part are behind [`NorFlash`]. Flash on the die (STM32U5: 8 KiB pages, 16-byte units protected by
//! ECC, a unit programmable once between erases) is [`Rewrite::Never`]; a serial NOR beside the chip (4 KiB
//! sectors, bytes programmable at will, bits only fall) is [`Rewrite::ClearsBits`]. Every implementation runs
//! [`check_laws`] in its tests.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

mod laws;
mod times;

pub use laws::{LawBroken, check_laws};
pub use times::FlashTimes;

/// An address in one memory, counted in bytes from that memory's own start.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FlashAddress(pub u32);

impl FlashAddress {
    /// The address `bytes` further on, or `None` past the 32-bit space.
    pub const fn plus(self, bytes: u32) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// Whether the address is a multiple of `unit_bytes`; never for a unit of zero.
    pub const fn is_aligned_to(self, unit_bytes: u32) -> bool {
        matches!(self.0.checked_rem(unit_bytes), Some(0))
    }
}

/// What programming does to cells that were programmed since the last erase.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rewrite {
    /// Refused with [`FlashError::NotErased`]: a unit takes one program between two erases.
    Never,
    /// The cells hold the bitwise AND of old and new.
    ClearsBits,
}

/// Sizes of one memory. All in bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Geometry {
    /// Bytes that one erase clears; a multiple of `program_unit`.
    pub erase_size: u32,
    /// Programs start at a multiple of this and are a multiple of it long; 1 to [`PROGRAM_UNIT_MAX`].
    pub program_unit: u32,
    /// Size of the memory; a multiple of `erase_size`.
    pub size: u32,
    /// What an erased byte reads as.
    pub erased_byte: u8,
    /// Whether a unit can be programmed again without an erase.
    pub rewrite: Rewrite,
}

/// Largest program unit in bytes that callers have to reckon with.
pub const PROGRAM_UNIT_MAX: u32 = 64;

impl Geometry {
    /// Checks a read of `len` bytes at `at`.
    ///
    /// # Errors
    /// [`FlashError::OutOfRange`]: the span leaves the memory; the caller's mistake.
    pub fn check_read(&self, at: FlashAddress, len: usize) -> Result<(), FlashError> {
        let end = u32::try_from(len).ok().and_then(|len| at.plus(len));
        if end.is_some_and(|end| end.0 <= self.size) { Ok(()) } else { Err(FlashError::OutOfRange) }
    }

    /// Checks range and alignment of a program of `len` bytes at `at`.
    ///
    /// # Errors
    /// [`FlashError::OutOfRange`], [`FlashError::Misaligned`]: the caller's mistake.
    pub fn check_program(&self, at: FlashAddress, len: usize) -> Result<(), FlashError> {
        self.check_read(at, len)?;
        let len = u32::try_from(len).map_err(|_| FlashError::OutOfRange)?;
        let aligned =
            at.is_aligned_to(self.program_unit) && FlashAddress(len).is_aligned_to(self.program_unit);
        if aligned { Ok(()) } else { Err(FlashError::Misaligned) }
    }

    /// Checks range and alignment of an erase at `at`.
    ///
    /// # Errors
    /// [`FlashError::OutOfRange`], [`FlashError::Misaligned`]: the caller's mistake.
    pub fn check_erase(&self, at: FlashAddress) -> Result<(), FlashError> {
        if at.0 >= self.size {
            return Err(FlashError::OutOfRange);
        }
        if at.is_aligned_to(self.erase_size) { Ok(()) } else { Err(FlashError::Misaligned) }
    }
}

/// Why a memory did not do what it was asked. The variant says whose fault it was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FlashError {
    /// The caller's address or length is no multiple of the unit; nothing was done.
    Misaligned,
    /// The caller's span leaves the memory; nothing was done.
    OutOfRange,
    /// The caller programmed a unit twice without an erase; nothing was done.
    NotErased,
    /// The cells hold no valid value (an ECC double error, as an interrupted write leaves it). An erase heals it.
    Unreadable,
    /// The memory reported a failure of its own, or did not answer. Law 9 describes what it holds.
    HardwareFault,
}

impl core::fmt::Display for FlashError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Misaligned => "flash access is not aligned to its unit",
            Self::OutOfRange => "flash access leaves the memory",
            Self::NotErased => "flash unit was programmed before and not erased since",
            Self::Unreadable => "flash cells hold no valid value",
            Self::HardwareFault => "flash memory reports a failure",
        })
    }
}

impl core::error::Error for FlashError {}

/// One erasable memory, addressed from its own start.
///
/// # Laws
/// 1. `geometry` never changes: `program_unit` is 1 to [`PROGRAM_UNIT_MAX`] and divides `erase_size`, which
///    divides `size`; nothing is zero.
/// 2. After `erase`, every byte of the block reads as `erased_byte`.
/// 3. After `program`, the span reads as what was programmed over erased cells.
/// 4. No operation changes a byte outside of the block erased or the span programmed.
/// 5. With [`Rewrite::Never`], a program that touches a programmed unit returns `NotErased` and changes nothing.
///    Whether a unit that was programmed with nothing but `erased_byte` counts as programmed is left open.
/// 6. With [`Rewrite::ClearsBits`], programming leaves the bitwise AND of old and new bytes.
/// 7. A span or block that is not aligned returns `Misaligned`, one that leaves the memory `OutOfRange` (an
///    address near `u32::MAX` included; either, if both apply); nothing is changed. Reads need no alignment, and
///    an empty read or program inside the memory succeeds.
/// 8. A read that touches an invalid unit returns `Unreadable` (the content of `out` is then unspecified) and
///    never faults the processor; other units stay readable.
/// 9. Power may fail inside any call, or the call may return `HardwareFault`. Afterwards each unit of the block
///    or span holds its old value, its new value, or is torn: reads as old, new, erased or a mixture, or is
///    `Unreadable`, and may differ after each later power-on. Units are programmed in ascending order, so at most
///    one unit of a program is torn and none after it changed. No other unit changed.
///
/// [`check_laws`] checks 1 to 7; 8 and 9 need power cuts and are proved by the simulator and on the bench.
pub trait NorFlash {
    /// The sizes of this memory.
    fn geometry(&self) -> Geometry;

    /// Reads `out.len()` bytes from `at`.
    ///
    /// # Errors
    /// `OutOfRange`: the caller's mistake. `Unreadable`: the cells are torn. `HardwareFault`: the memory failed.
    fn read(&mut self, at: FlashAddress, out: &mut [u8]) -> Result<(), FlashError>;

    /// Programs `bytes`, a multiple of the unit, at `at`. May cross from one erase block into the next.
    ///
    /// # Errors
    /// `Misaligned`, `OutOfRange`, `NotErased`: the caller's mistake; nothing was written.
    /// `HardwareFault`: the memory failed; law 9 describes the units.
    fn program(&mut self, at: FlashAddress, bytes: &[u8]) -> Result<(), FlashError>;

    /// Erases the one block of `erase_size` bytes that starts at `at`.
    ///
    /// # Errors
    /// `Misaligned`, `OutOfRange`: the caller's mistake; nothing was erased.
    /// `HardwareFault`: the memory failed; law 9 describes the block.
    fn erase(&mut self, at: FlashAddress) -> Result<(), FlashError>;
}

impl<F: NorFlash + ?Sized> NorFlash for &mut F {
    fn geometry(&self) -> Geometry {
        (**self).geometry()
    }
    fn read(&mut self, at: FlashAddress, out: &mut [u8]) -> Result<(), FlashError> {
        (**self).read(at, out)
    }
    fn program(&mut self, at: FlashAddress, bytes: &[u8]) -> Result<(), FlashError> {
        (**self).program(at, bytes)
    }
    fn erase(&mut self, at: FlashAddress) -> Result<(), FlashError> {
        (**self).erase(at)
    }
}

#[cfg(test)]
mod tests;
