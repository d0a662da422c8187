//! What the engine is told about its device, and whether that can work.

use bulkhead_nor_flash::{FlashAddress, Geometry, NorFlash, Rewrite};

use crate::journal;
use crate::keys::{KEY_SLOTS, SLOT_LEN_MIN};

/// A span of one memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Part {
    /// First byte, counted from the start of the memory that is passed to the engine.
    pub start: FlashAddress,
    /// Length in bytes.
    pub length: u32,
}

impl Part {
    /// A span that starts `start_bytes` into its memory.
    pub const fn new(start_bytes: u32, length: u32) -> Self {
        Self { start: FlashAddress(start_bytes), length }
    }
}

/// Where things lie, as in the `non_volatile` tables of `board.toml`.
///
/// Addresses count from the start of the memory they name: whoever hands the engine a driver whose address zero
/// is elsewhere than the description's offset zero subtracts the difference here. Every part starts and ends on
/// an erase block.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Layout {
    /// Code and constants of the application, in die flash.
    pub die_application: Part,
    /// The journal, in die flash: [`JOURNAL_PAGES_MIN`] to [`JOURNAL_PAGES_MAX`] erase blocks.
    pub die_journal: Part,
    /// Two slots of equal size for signed manifests, in die flash.
    pub die_manifests: Part,
    /// [`KEY_SLOTS`] slots of equal size for the owner's key sets, in die flash.
    pub die_keys: Part,
    /// The application's areas in external flash.
    pub external_application: Part,
    /// Sealed pages that wait to be applied, in external flash.
    pub external_staging: Part,
}

/// Fewest journal pages: the newest record, the one being written and one that is being erased.
pub const JOURNAL_PAGES_MIN: u32 = 3;
/// Most journal pages.
pub const JOURNAL_PAGES_MAX: u32 = 8;
/// Most keys that may sign a device's manifests.
pub const OWNER_KEYS_MAX: usize = 4;
/// Largest page of an area, and largest erase block of die flash, in bytes.
pub const PAGE_LEN_MAX: usize = 8192;
/// Largest erase block of external flash in bytes.
pub const SECTOR_LEN_MAX: usize = 4096;

/// Who this device is and whom it obeys at first.
#[derive(Clone, Copy)]
pub struct DeviceFacts<'a> {
    /// Class that a manifest must name.
    pub device_class: &'a str,
    /// Board revision that a manifest must allow.
    pub board_revision: u32,
    /// System call ABI that this hypervisor offers.
    pub abi: u32,
    /// First 16 bytes of SHA-256 of the device's static public key.
    pub device_id: [u8; 16],
    /// Ed25519 public keys of the owner, 1 to [`OWNER_KEYS_MAX`]; each may sign until a first key set is stored.
    pub owner_keys: &'a [[u8; 32]],
    /// Secret of this device from which the keys of staging are derived.
    pub storage_root: [u8; 32],
}

/// The memories, lent for one call.
pub struct Memory<'m, D, E> {
    /// Flash on the die: application, journal, manifests.
    pub die: &'m mut D,
    /// Flash beside the chip: external areas and staging.
    pub external: &'m mut E,
}

impl<D, E> Memory<'_, D, E> {
    /// The same memories, lent on for a shorter time.
    pub const fn reborrow(&mut self) -> Memory<'_, D, E> {
        Memory { die: self.die, external: self.external }
    }
}

/// Why an engine cannot work with what it was told. A fault of whoever built the image.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LayoutError {
    /// A part is empty, not on erase blocks or leaves its memory; the text names it.
    Part(&'static str),
    /// Two parts of one memory overlap; the text names one.
    Overlap(&'static str),
    /// The journal has too few or too many pages, or its page holds no record and marks.
    Journal,
    /// Die flash is not written in units of 4 to 16 bytes that divide 16, or a page is larger than
    /// [`PAGE_LEN_MAX`].
    DieGeometry,
    /// External flash is not byte-programmable or its sector is smaller than 64 bytes or larger than
    /// [`SECTOR_LEN_MAX`].
    ExternalGeometry,
    /// There is no owner's key, or there are more than [`OWNER_KEYS_MAX`].
    OwnerKeys,
}

impl core::fmt::Display for LayoutError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Part(name) => write!(f, "{name} is empty, off the erase blocks or outside of its memory"),
            Self::Overlap(name) => write!(f, "{name} overlaps another part"),
            Self::Journal => write!(f, "the journal must have 3 to 8 pages of at least 13 units of 16 bytes"),
            Self::DieGeometry => write!(f, "die flash has program units or pages that the engine cannot use"),
            Self::ExternalGeometry => write!(f, "external flash has sectors that the engine cannot use"),
            Self::OwnerKeys => write!(f, "the owner's keys must be 1 to 4"),
        }
    }
}

impl core::error::Error for LayoutError {}

impl Layout {
    /// Checks the layout against the memories.
    ///
    /// # Errors
    /// [`LayoutError`]: the fault of whoever built the image.
    pub fn check<D: NorFlash, E: NorFlash>(&self, mem: &Memory<'_, D, E>) -> Result<(), LayoutError> {
        let (die, external) = (mem.die.geometry(), mem.external.geometry());
        let die_page_ok = usize::try_from(die.erase_size).is_ok_and(|n| n <= PAGE_LEN_MAX);
        if !die_page_ok || journal::UNIT_BYTES.checked_rem(die.program_unit) != Some(0) {
            return Err(LayoutError::DieGeometry);
        }
        let sector_ok =
            usize::try_from(external.erase_size).is_ok_and(|n| (64..=SECTOR_LEN_MAX).contains(&n));
        if !sector_ok || external.program_unit != 1 || external.rewrite != Rewrite::ClearsBits {
            return Err(LayoutError::ExternalGeometry);
        }
        let journal_pages = self.die_journal.length.checked_div(die.erase_size).unwrap_or(0);
        if !(JOURNAL_PAGES_MIN..=JOURNAL_PAGES_MAX).contains(&journal_pages)
            || die.erase_size < journal::PAGE_LEN_MIN
        {
            return Err(LayoutError::Journal);
        }
        if !self.die_manifests.length.is_multiple_of(2 * die.erase_size) {
            return Err(LayoutError::Part("die.manifests"));
        }
        let key_slot = self.die_keys.length.checked_div(KEY_SLOTS).unwrap_or(0);
        let fits = self.die_keys.length.is_multiple_of(KEY_SLOTS.saturating_mul(die.erase_size));
        if !fits || key_slot < SLOT_LEN_MIN {
            return Err(LayoutError::Part("die.keys"));
        }
        check_parts(
            &die,
            &[
                ("die.application", self.die_application),
                ("die.journal", self.die_journal),
                ("die.manifests", self.die_manifests),
                ("die.keys", self.die_keys),
            ],
        )?;
        check_parts(
            &external,
            &[
                ("external.application", self.external_application),
                ("external.staging", self.external_staging),
            ],
        )
    }
}

fn check_parts(g: &Geometry, parts: &[(&'static str, Part)]) -> Result<(), LayoutError> {
    for (n, (name, part)) in parts.iter().enumerate() {
        let end = part.start.plus(part.length).filter(|end| end.0 <= g.size);
        let aligned =
            part.start.is_aligned_to(g.erase_size) && FlashAddress(part.length).is_aligned_to(g.erase_size);
        let Some(end) = end.filter(|_| aligned && part.length > 0) else {
            return Err(LayoutError::Part(name));
        };
        for (_, other) in parts.iter().take(n) {
            let other_end = other.start.0.saturating_add(other.length);
            if part.start.0 < other_end && other.start < end {
                return Err(LayoutError::Overlap(name));
            }
        }
    }
    Ok(())
}
