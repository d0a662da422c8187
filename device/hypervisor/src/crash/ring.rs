//! Sealed dumps in external flash.
//!
//! The part is cut into [`SLOTS`] slots of whole sectors, used in turn. A slot holds, from its start:
//! ```text
//!   0  what lies here: magic, sequence, length of the header, CRC over these and the header
//!  16  how it ended: length of the dump, its complement       (absent while it is written, or after a power cut)
//!  32  sixteen zero bytes once the server has it
//!  64  header of the dump
//! 1024 its blocks
//! ```
//! Invariants: the first record is written after the header it covers, so that a slot without it is free. A sector is
//! erased before its first block is written, and the one after it too, so that behind the last block of a dump whose
//! end was not written lies erased flash. The oldest dump goes first, and none is overwritten before the server has it:
//! the first crash of a series tells most.

use bulkhead_crash_dump::{BLOCK_LEN, FIXED_LEN, HEADER_LEN_MAX, PLAIN_LEN, header_len};
use bulkhead_nor_flash::{FlashAddress, FlashError, NorFlash};
use bulkhead_update_engine::crc32;

/// Dumps that flash holds.
pub(crate) const SLOTS: usize = 8;

const MAGIC: u32 = 0x3148_4342;
/// Keeps the checksum of a slot from being that of anything else.
const CRC_START: u32 = 0x4243_5231;
const RECORD_LEN: usize = 16;
const END_AT: u32 = 16;
const TAKEN_AT: u32 = 32;
const HEADER_AT: u32 = 64;
const BLOCKS_AT: u32 = 1024;
const BLOCK_BYTES: u32 = 1024;
const PIECE: usize = 64;

const _: () = assert!(BLOCK_LEN == BLOCK_BYTES as usize);
const _: () = assert!(HEADER_AT as usize + HEADER_LEN_MAX <= BLOCKS_AT as usize);

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Slot {
    #[default]
    Free,
    /// A dump with this sequence, header length and whole length.
    Held { sequence: u32, header_len: u32, len: u32 },
    /// Being written, or spoilt by flash that failed.
    Busy,
}

/// The slots, as flash holds them.
pub(crate) struct Ring {
    first: FlashAddress,
    slot_len: u32,
    slots: [Slot; SLOTS],
    /// Where the newest dump was put.
    newest: Option<(usize, u32)>,
}

/// A dump that waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Waiting {
    pub(crate) slot: usize,
    pub(crate) len: u32,
}

impl Ring {
    /// Reads the part at `first`, `length` bytes long.
    #[inline(never)]
    pub(crate) fn read(flash: &mut impl NorFlash, (first, length): (FlashAddress, u32)) -> Self {
        let erase_size = flash.geometry().erase_size.max(1);
        let slot_len = length / 8 / erase_size * erase_size;
        let mut ring = Self { first, slot_len, slots: [Slot::Free; SLOTS], newest: None };
        for slot in 0..SLOTS {
            if let Some((sequence, found)) = ring.read_slot(flash, slot) {
                if ring.newest.is_none_or(|(_, newest)| sequence > newest) {
                    ring.newest = Some((slot, sequence));
                }
                ring.put(slot, found);
            }
        }
        ring
    }

    fn read_slot(&self, flash: &mut impl NorFlash, slot: usize) -> Option<(u32, Slot)> {
        let mut record = [0; RECORD_LEN];
        flash.read(self.at(slot, 0)?, &mut record).ok()?;
        let [magic, sequence, header_len, crc] = words(&record);
        let has_header =
            usize::try_from(header_len).is_ok_and(|len| (FIXED_LEN..=HEADER_LEN_MAX).contains(&len));
        if magic != MAGIC || !has_header || self.checksum(flash, slot, &record, header_len) != Some(crc) {
            return None;
        }
        let mut taken = [0xFF; RECORD_LEN];
        flash.read(self.at(slot, TAKEN_AT)?, &mut taken).ok()?;
        let len = self.read_len(flash, slot, header_len);
        let waits = taken != [0; RECORD_LEN] && len > header_len;
        Some((sequence, if waits { Slot::Held { sequence, header_len, len } } else { Slot::Free }))
    }

    /// Length of the dump in `slot`; where its end was not written, up to the first block that was not.
    fn read_len(&self, flash: &mut impl NorFlash, slot: usize, header_len: u32) -> u32 {
        let mut end = [0; RECORD_LEN];
        let read = self.at(slot, END_AT).is_some_and(|at| flash.read(at, &mut end).is_ok());
        let [len, complement, ..] = words(&end);
        if read
            && len == !complement
            && len > header_len
            && len - header_len <= self.blocks_max() * BLOCK_BYTES
        {
            return len;
        }
        let written = (0..self.blocks_max()).take_while(|block| !self.is_erased(flash, slot, *block)).count();
        header_len.saturating_add(u32::try_from(written).unwrap_or(0).saturating_mul(BLOCK_BYTES))
    }

    fn is_erased(&self, flash: &mut impl NorFlash, slot: usize, block: u32) -> bool {
        let erased = flash.geometry().erased_byte;
        let mut piece = [0; PIECE];
        (0..BLOCK_BYTES).step_by(PIECE).all(|offset| {
            let at = self.at(slot, block_at(block).saturating_add(offset));
            at.is_some_and(|at| flash.read(at, &mut piece).is_ok())
                && piece.iter().all(|byte| *byte == erased)
        })
    }

    /// Most blocks of a dump.
    pub(crate) const fn blocks_max(&self) -> u32 {
        self.slot_len.saturating_sub(BLOCKS_AT) / BLOCK_BYTES
    }

    /// A slot for the next dump; `None` while all hold dumps that wait.
    pub(crate) fn free_slot(&self) -> Option<usize> {
        let after = self.newest.map_or(0, |(slot, _)| slot + 1);
        let free = |slot: &usize| self.slots.get(*slot) == Some(&Slot::Free);
        (0..SLOTS).map(|n| (after + n) % SLOTS).find(free).filter(|_| self.blocks_max() > 2)
    }

    /// Number of the next dump.
    pub(crate) fn next_sequence(&self) -> u32 {
        self.newest.map_or(0, |(_, sequence)| sequence.saturating_add(1))
    }

    /// Erases what the first blocks of a dump need.
    pub(crate) fn open(&mut self, flash: &mut impl NorFlash, slot: usize) -> Result<(), FlashError> {
        self.put(slot, Slot::Busy);
        let erase_size = flash.geometry().erase_size;
        for offset in [0, erase_size] {
            flash.erase(self.at(slot, offset).ok_or(FlashError::OutOfRange)?)?;
        }
        Ok(())
    }

    /// Writes a part of the header.
    pub(crate) fn write_header(
        &self,
        flash: &mut impl NorFlash,
        slot: usize,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), FlashError> {
        let offset = u32::try_from(offset).map_err(|_| FlashError::OutOfRange)?;
        let at = self.at(slot, HEADER_AT.saturating_add(offset)).ok_or(FlashError::OutOfRange)?;
        flash.program(at, bytes)
    }

    /// The header is whole: from here on the slot holds a dump, whatever happens.
    pub(crate) fn commit_header(
        &mut self,
        flash: &mut impl NorFlash,
        slot: usize,
        sequence: u32,
        recipients: u8,
    ) -> Result<(), FlashError> {
        let header_len = u32::try_from(header_len(recipients)).map_err(|_| FlashError::OutOfRange)?;
        let mut record = [0; RECORD_LEN];
        fill(&mut record, &[MAGIC, sequence, header_len]);
        let crc = self.checksum(flash, slot, &record, header_len).ok_or(FlashError::Unreadable)?;
        fill(&mut record, &[MAGIC, sequence, header_len, crc]);
        self.newest = Some((slot, sequence));
        flash.program(self.at(slot, 0).ok_or(FlashError::OutOfRange)?, &record)
    }

    /// Writes block `number`.
    pub(crate) fn write_block(
        &self,
        flash: &mut impl NorFlash,
        slot: usize,
        number: u32,
        plain: &[u8; PLAIN_LEN],
        tag: &[u8; 16],
    ) -> Result<(), FlashError> {
        if number >= self.blocks_max() {
            return Err(FlashError::OutOfRange);
        }
        let (offset, erase_size) = (block_at(number), flash.geometry().erase_size);
        let next = offset.saturating_add(erase_size);
        if FlashAddress(offset).is_aligned_to(erase_size) && next < self.slot_len {
            flash.erase(self.at(slot, next).ok_or(FlashError::OutOfRange)?)?;
        }
        flash.program(self.at(slot, offset).ok_or(FlashError::OutOfRange)?, plain)?;
        let tag_at = offset.saturating_add(BLOCK_BYTES).saturating_sub(16);
        flash.program(self.at(slot, tag_at).ok_or(FlashError::OutOfRange)?, tag)
    }

    /// The dump has so many blocks, and waits. Returns its length in bytes.
    pub(crate) fn finish(
        &mut self,
        flash: &mut impl NorFlash,
        slot: usize,
        sequence: u32,
        recipients: u8,
        blocks: u32,
    ) -> Result<u32, FlashError> {
        let header_len = u32::try_from(header_len(recipients)).map_err(|_| FlashError::OutOfRange)?;
        let len = header_len.saturating_add(blocks.saturating_mul(BLOCK_BYTES));
        let mut record = [0xFF; RECORD_LEN];
        fill(&mut record, &[len, !len]);
        flash.program(self.at(slot, END_AT).ok_or(FlashError::OutOfRange)?, &record)?;
        self.put(slot, Slot::Held { sequence, header_len, len });
        Ok(len)
    }

    /// Flash failed under a dump: its slot rests until power comes on again.
    pub(crate) fn abandon(&mut self, slot: usize) {
        self.put(slot, Slot::Busy);
    }

    /// The oldest dump that waits.
    pub(crate) fn oldest(&self) -> Option<Waiting> {
        let held = self.slots.iter().enumerate().filter_map(|(slot, held)| match held {
            Slot::Held { sequence, len, .. } => Some((*sequence, Waiting { slot, len: *len })),
            Slot::Free | Slot::Busy => None,
        });
        held.min_by_key(|(sequence, _)| *sequence).map(|(_, waiting)| waiting)
    }

    /// Reads from `offset` of the dump in `slot`; returns how much, less than asked for at the header's end and at
    /// that of the dump.
    pub(crate) fn read_dump(
        &self,
        flash: &mut impl NorFlash,
        slot: usize,
        offset: u32,
        out: &mut [u8],
    ) -> Result<usize, FlashError> {
        let Some(Slot::Held { header_len, len, .. }) = self.slots.get(slot) else {
            return Err(FlashError::OutOfRange);
        };
        let (from, until) = match offset.checked_sub(*header_len) {
            None => (HEADER_AT.saturating_add(offset), header_len),
            Some(in_blocks) => (BLOCKS_AT.saturating_add(in_blocks), len),
        };
        let rest = usize::try_from(until.saturating_sub(offset)).unwrap_or(0);
        let n = rest.min(out.len());
        let out = out.get_mut(..n).unwrap_or_default();
        flash.read(self.at(slot, from).ok_or(FlashError::OutOfRange)?, out)?;
        Ok(n)
    }

    /// The server has it.
    pub(crate) fn take(&mut self, flash: &mut impl NorFlash, slot: usize) {
        // What fails here is offered again after the next power-on, and the server knows it by its id.
        if let Some(at) = self.at(slot, TAKEN_AT) {
            let _ = flash.program(at, &[0; RECORD_LEN]);
        }
        self.put(slot, Slot::Free);
    }

    fn put(&mut self, slot: usize, state: Slot) {
        if let Some(place) = self.slots.get_mut(slot) {
            *place = state;
        }
    }

    fn at(&self, slot: usize, offset: u32) -> Option<FlashAddress> {
        let slot = u32::try_from(slot).ok()?;
        self.first.plus(slot.checked_mul(self.slot_len)?)?.plus(offset)
    }

    /// Checksum over a slot's first record, without itself, and its header.
    fn checksum(
        &self,
        flash: &mut impl NorFlash,
        slot: usize,
        record: &[u8; RECORD_LEN],
        len: u32,
    ) -> Option<u32> {
        let mut crc = crc32(CRC_START, record.get(..RECORD_LEN - 4)?);
        let mut piece = [0; PIECE];
        let mut offset = 0;
        while offset < len {
            let n = usize::try_from(len - offset).ok()?.min(PIECE);
            let piece = piece.get_mut(..n)?;
            flash.read(self.at(slot, HEADER_AT.checked_add(offset)?)?, piece).ok()?;
            crc = crc32(crc, piece);
            offset = offset.checked_add(u32::try_from(n).ok()?)?;
        }
        Some(crc)
    }
}

const fn block_at(block: u32) -> u32 {
    BLOCKS_AT.saturating_add(block.saturating_mul(BLOCK_BYTES))
}

fn words(record: &[u8; RECORD_LEN]) -> [u32; 4] {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(record.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    words
}

fn fill(record: &mut [u8; RECORD_LEN], words: &[u32]) {
    for (place, word) in record.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *place = word.to_le_bytes();
    }
}

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;
