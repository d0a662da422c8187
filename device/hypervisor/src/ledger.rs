//! What the hypervisor remembers across power cuts beside the journal: erases, and how long an update was postponed.
//!
//! Two erase blocks of die flash that take turns; each record is written once, and the newest whole one counts. Nothing
//! that keeps a device alive depends on it: a record that is lost loses counts.

use bulkhead_link_protocol::{Digest, Wear};
use bulkhead_nor_flash::{FlashAddress, FlashError, NorFlash};
use bulkhead_update_engine::crc32;

const RECORD_LEN: usize = 48;
const RECORD_BYTES: u32 = 48;
const WORDS: usize = RECORD_LEN / 4;
/// Keeps the checksum of a record from being that of anything else.
const CRC_START: u32 = 0x4248_4C31;
/// Postponements are written down in this share of what is allowed, or in [`QUANTUM_LEAST_S`] if that is more.
const QUANTA: u32 = 16;
const QUANTUM_LEAST_S: u32 = 60;

/// The ledger, in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ledger {
    first: FlashAddress,
    /// Where the newest record lies, and its number.
    newest: Option<(FlashAddress, u32)>,
    /// Erases so far.
    pub(crate) wear: Wear,
    postponed: Postponed,
    dirty: bool,
}

/// How long the application kept which update waiting.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Postponed {
    /// First bytes of the update's digest.
    update: u32,
    seconds: u32,
}

impl Ledger {
    /// Reads the two erase blocks at `first`.
    pub(crate) fn read(flash: &mut impl NorFlash, first: FlashAddress) -> Self {
        let mut ledger = Self {
            first,
            newest: None,
            wear: Wear { crashes: Some(0), configuration: Some(0), ..Wear::default() },
            postponed: Postponed::default(),
            dirty: false,
        };
        let erase_size = flash.geometry().erase_size;
        let second = first.plus(erase_size).unwrap_or(first);
        for at in [first, second].into_iter().flat_map(|block| records(block, erase_size)) {
            if let Some(record) = read_record(flash, at) {
                ledger.take(at, record);
            }
        }
        ledger
    }

    /// Adds to the counts; `count` gets at them.
    pub(crate) fn count(&mut self, count: impl FnOnce(&mut Wear)) {
        let before = self.wear;
        count(&mut self.wear);
        self.dirty |= self.wear != before;
    }

    /// Adds `more` to one of the counts that older devices do not have.
    pub(crate) fn add(&mut self, more: u32, which: impl FnOnce(&mut Wear) -> &mut Option<u32>) {
        self.count(|wear| {
            let count = which(wear);
            *count = Some(count.unwrap_or_default().saturating_add(more));
        });
    }

    /// For how many seconds the application kept `update` waiting before this power session, at most.
    pub(crate) fn postponed_s(&self, update: &Digest) -> u32 {
        if self.postponed.update == short(update) { self.postponed.seconds } else { 0 }
    }

    /// The application may keep `update` waiting for `seconds` in all, of `longest_s`.
    pub(crate) fn postpone(&mut self, update: &Digest, seconds: u32, longest_s: u32) {
        if seconds <= self.postponed_s(update) {
            return;
        }
        let quantum = (longest_s / QUANTA).max(QUANTUM_LEAST_S);
        let seconds = seconds.checked_next_multiple_of(quantum).unwrap_or(u32::MAX);
        self.postponed = Postponed { update: short(update), seconds };
        self.dirty = true;
    }

    /// Writes a record if something is new. What fails is tried again with the next.
    #[inline(never)]
    pub(crate) fn save(&mut self, flash: &mut impl NorFlash) {
        if !self.dirty {
            return;
        }
        let number = self.newest.map_or(0, |(_, number)| number).saturating_add(1);
        let record = self.encode(number);
        let holder = self.newest.map_or(self.first, |(at, _)| self.block_of(flash, at));
        for at in records(holder, flash.geometry().erase_size) {
            let is_behind = self.newest.is_none_or(|(newest, _)| at > newest);
            if is_behind && is_erased(flash, at) && write_record(flash, at, &record).is_ok() {
                return self.written(at, number);
            }
        }
        let second = self.first.plus(flash.geometry().erase_size).unwrap_or(self.first);
        let other = if holder == self.first { second } else { self.first };
        if flash.erase(other).is_ok() && write_record(flash, other, &record).is_ok() {
            self.written(other, number);
        }
    }

    fn written(&mut self, at: FlashAddress, number: u32) {
        self.newest = Some((at, number));
        self.dirty = false;
    }

    fn block_of(&self, flash: &impl NorFlash, at: FlashAddress) -> FlashAddress {
        let second = self.first.plus(flash.geometry().erase_size).unwrap_or(self.first);
        if at < second { self.first } else { second }
    }

    fn take(&mut self, at: FlashAddress, record: [u32; WORDS]) {
        let [number, application, applies, journal, manifests, staging, owned, update, seconds, more @ ..] =
            record;
        if self.newest.is_none_or(|(_, newest)| number > newest) {
            self.newest = Some((at, number));
            let [crashes, configuration, _] = more;
            self.wear = Wear {
                application,
                applies,
                journal,
                journal_pages: 0,
                manifests,
                staging,
                owned,
                crashes: Some(crashes),
                configuration: Some(configuration),
            };
            self.postponed = Postponed { update, seconds };
        }
    }

    fn encode(&self, number: u32) -> [u8; RECORD_LEN] {
        let Wear { application, applies, journal, manifests, staging, owned, crashes, configuration, .. } =
            self.wear;
        let [crashes, configuration] = [crashes, configuration].map(Option::unwrap_or_default);
        let Postponed { update, seconds } = self.postponed;
        let words = [
            number,
            application,
            applies,
            journal,
            manifests,
            staging,
            owned,
            update,
            seconds,
            crashes,
            configuration,
        ];
        let mut record = [0; RECORD_LEN];
        for (to, word) in record.chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        let crc = checksum(&record);
        if let Some(room) = record.last_chunk_mut::<4>() {
            *room = crc.to_le_bytes();
        }
        record
    }
}

fn short(digest: &Digest) -> u32 {
    digest.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn checksum(record: &[u8; RECORD_LEN]) -> u32 {
    crc32(CRC_START, record.get(..RECORD_LEN - 4).unwrap_or_default())
}

fn records(block: FlashAddress, erase_size: u32) -> impl Iterator<Item = FlashAddress> {
    (0..erase_size / RECORD_BYTES).filter_map(move |index| block.plus(index.saturating_mul(RECORD_BYTES)))
}

fn read_record(flash: &mut impl NorFlash, at: FlashAddress) -> Option<[u32; WORDS]> {
    let mut bytes = [0; RECORD_LEN];
    flash.read(at, &mut bytes).ok()?;
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
        *word = u32::from_le_bytes(bytes.try_into().ok()?);
    }
    (words.last() == Some(&checksum(&bytes))).then_some(words)
}

fn is_erased(flash: &mut impl NorFlash, at: FlashAddress) -> bool {
    let erased = flash.geometry().erased_byte;
    let mut bytes = [0; RECORD_LEN];
    flash.read(at, &mut bytes).is_ok() && bytes.iter().all(|b| *b == erased)
}

fn write_record(
    flash: &mut impl NorFlash,
    at: FlashAddress,
    record: &[u8; RECORD_LEN],
) -> Result<(), FlashError> {
    flash.program(at, record)?;
    let mut back = [0; RECORD_LEN];
    flash.read(at, &mut back)?;
    if back == *record { Ok(()) } else { Err(FlashError::HardwareFault) }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
