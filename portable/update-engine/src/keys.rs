//! Whom this device obeys: the owner's key set, in slots of die flash, and the number of permits used up.
//!
//! Normative text: `docs/spec/keys.md`, "On the device". Until a first set is stored, the keys of the identity count. A
//! slot is a record and two seals, each programmed after what is before it was read back. The first seal proves that
//! the record was finished, the second that the first was. So a record counts once its first seal is there, and a slot
//! is overwritten only if another stays whose record cannot be torn, however torn cells read.

use bulkhead_bundle_format::{BundleSigner, KEY_SET_LEN_MAX, KeySet, PublicKey, SIGNERS_MAX, majority};
use bulkhead_nor_flash::{FlashAddress, FlashError, NorFlash};

use crate::layout::Part;
use crate::manifest::program_and_compare;
use crate::rules::Rules;
use bulkhead_checksum::crc32;

/// Slots of key sets.
pub const KEY_SLOTS: u32 = 3;
const SLOTS: [u32; 3] = [0, 1, 2];

/// Bytes before a key set in its slot.
const HEADER_LEN: usize = 32;
const UNIT: usize = 16;
const UNIT_BYTES: u32 = 16;
const RECORD_MAGIC: [u8; 4] = *b"BHK1";
const SEAL_MAGIC: [u8; 4] = *b"BHKS";
/// Longest record: header and set, in whole units.
const RECORD_LEN_MAX: usize = HEADER_LEN + KEY_SET_LEN_MAX;
/// Shortest slot: a record and two seals.
pub(crate) const SLOT_LEN_MIN: u32 = 768;
const _: () =
    assert!(RECORD_LEN_MAX + 2 * UNIT == SLOT_LEN_MIN as usize && RECORD_LEN_MAX.is_multiple_of(UNIT));

/// What a slot reads as at this boot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Found {
    slot: u32,
    /// Rises with each record.
    generation: u32,
    permits: u32,
    /// Length of the key set in bytes; 0 if there is none yet.
    len: usize,
    /// Whether the first seal is there: the record was finished.
    is_sealed: bool,
    /// Whether the second seal is there, too: no reading of torn cells can make this record vanish.
    is_lasting: bool,
}

/// What counts.
#[derive(Debug)]
pub(crate) struct Keys<'w> {
    /// The keys of the identity.
    pinned: &'w [PublicKey],
    part: Part,
    newest: Option<Found>,
    /// Slots whose flash failed in this power session, one bit each.
    failed: u8,
    /// Version of the set; 0 for the keys of the identity.
    version: u32,
    made_at_s: u64,
    signers: [Option<BundleSigner>; SIGNERS_MAX],
}

/// The present roots and how many of them have to sign.
pub(crate) struct Roots<'a> {
    pub(crate) keys: &'a [PublicKey],
    pub(crate) threshold: u32,
}

impl<'w> Keys<'w> {
    /// Keys that were not read yet.
    pub(crate) const fn unread(pinned: &'w [PublicKey], part: Part) -> Self {
        let signers = [None; SIGNERS_MAX];
        Self { pinned, part, newest: None, failed: 0, version: 0, made_at_s: 0, signers }
    }

    /// Reads all slots and takes the newest record; `room` holds one.
    #[inline(never)]
    pub(crate) fn read<D: NorFlash>(&mut self, die: &mut D, room: &mut [u8]) {
        for slot in SLOTS {
            let Some(found) = self.look(die, slot, room).filter(|found| found.is_sealed) else { continue };
            if self.newest.is_none_or(|newest| found.generation > newest.generation) {
                self.newest = Some(found);
            }
        }
        let _ = self.follow(die, room);
    }

    /// Version of the key set; `None` for the keys of the identity.
    pub(crate) fn version(&self) -> Option<u32> {
        (self.version > 0).then_some(self.version)
    }

    /// Permits used up.
    pub(crate) fn permits(&self) -> u32 {
        self.newest.map_or(0, |newest| newest.permits)
    }

    /// Keys that may sign something new at `now_s`, or whenever if that is not known, into `room`.
    pub(crate) fn signers<'r>(
        &self,
        now_s: Option<u64>,
        room: &'r mut [PublicKey; SIGNERS_MAX],
    ) -> &'r [PublicKey] {
        let mut count = 0usize;
        let from_set = self.signers.iter().flatten().filter(|signer| !self.is_over(signer, now_s));
        let has_set = self.newest.is_some_and(|newest| newest.len > 0);
        let keys = self.pinned.iter().filter(|_| !has_set).chain(from_set.map(|signer| &signer.key));
        for (slot, key) in room.iter_mut().zip(keys) {
            *slot = *key;
            count = count.saturating_add(1);
        }
        room.get(..count).unwrap_or_default()
    }

    /// The moment at which the signer with this id ended, if it has.
    pub(crate) fn ended(&self, id: &[u8; 8], now_s: Option<u64>) -> Option<u64> {
        let over = |signer: &&BundleSigner| self.is_over(signer, now_s);
        let found = |signer: &&BundleSigner| bulkhead_bundle_format::key_id(&signer.key) == *id;
        self.signers.iter().flatten().filter(over).find(found)?.not_after_s
    }

    /// Time is enforced only once it is known. A clock that was set back does not go behind the making of the set.
    fn is_over(&self, signer: &BundleSigner, now_s: Option<u64>) -> bool {
        let now_s = now_s.map(|now_s| now_s.max(self.made_at_s));
        now_s.zip(signer.not_after_s).is_some_and(|(now_s, not_after_s)| now_s > not_after_s)
    }

    /// The present roots; `room` holds a record.
    pub(crate) fn roots<'r, D: NorFlash>(&self, die: &mut D, room: &'r mut [u8]) -> Option<Roots<'r>>
    where
        'w: 'r,
    {
        match self.newest.filter(|newest| newest.len > 0) {
            None => Some(Roots { keys: self.pinned, threshold: majority(self.pinned) }),
            Some(newest) => {
                let set = self.set_in(die, &newest, room)?;
                Some(Roots { keys: set.roots, threshold: set.threshold })
            }
        }
    }

    /// Stores `set`, whose signatures were counted, and follows it; `room` holds a record and does not hold `set`.
    ///
    /// # Errors
    /// The hardware failed: what was followed before still is.
    pub(crate) fn store<R: Rules, D: NorFlash>(
        &mut self,
        die: &mut D,
        set: &[u8],
        room: &mut [u8],
    ) -> Result<(), FlashError> {
        self.write::<R, D>(die, set.len(), self.permits(), |place| place.copy_from_slice(set), room)
    }

    /// Writes down that one more permit is used up.
    ///
    /// # Errors
    /// The hardware failed, or permits are used up for ever: this one is not counted.
    pub(crate) fn use_permit<R: Rules, D: NorFlash>(
        &mut self,
        die: &mut D,
        room: &mut [u8],
    ) -> Result<(), FlashError> {
        let permits = self.permits().checked_add(1).ok_or(FlashError::HardwareFault)?;
        let len = match self.newest.filter(|newest| newest.len > 0) {
            // What is written is what lies here already: the set is read into its place.
            Some(newest) => {
                self.look(die, newest.slot, room).ok_or(FlashError::HardwareFault)?;
                newest.len
            }
            None => 0,
        };
        self.write::<R, D>(die, len, permits, |_| (), room)
    }

    #[inline(never)]
    fn write<R: Rules, D: NorFlash>(
        &mut self,
        die: &mut D,
        len: usize,
        permits: u32,
        fill: impl FnOnce(&mut [u8]),
        room: &mut [u8],
    ) -> Result<(), FlashError> {
        let (record, spare) = room.split_at_mut_checked(RECORD_LEN_MAX).ok_or(FlashError::OutOfRange)?;
        let (slot, highest) = self.victim::<R, D>(die, spare).ok_or(FlashError::HardwareFault)?;
        let generation = highest.checked_add(1).ok_or(FlashError::OutOfRange)?;
        let end = HEADER_LEN.checked_add(len).ok_or(FlashError::OutOfRange)?;
        let record = record.get_mut(..end.next_multiple_of(UNIT)).ok_or(FlashError::OutOfRange)?;
        let (header, rest) = record.split_at_mut_checked(HEADER_LEN).ok_or(FlashError::OutOfRange)?;
        let (set, padding) = rest.split_at_mut_checked(len).ok_or(FlashError::OutOfRange)?;
        fill(set);
        padding.fill(0xFF);
        let len_word = u32::try_from(len).map_err(|_| FlashError::OutOfRange)?;
        header.copy_from_slice(&encode_header(generation, permits, len_word, set));
        if let Err(error) = self.write_slot(die, slot, generation, record) {
            self.failed |= 1u8.checked_shl(slot).unwrap_or(0);
            return Err(error);
        }
        self.newest = Some(Found { slot, generation, permits, len, is_sealed: true, is_lasting: true });
        self.follow(die, spare).ok_or(FlashError::HardwareFault)
    }

    /// The slot to overwrite, and the highest generation that any record has, sealed or not: one that another reading
    /// shows tomorrow must not count for more than what is written now.
    ///
    /// It is never the newest, and never the last that is sure to stay readable.
    fn victim<R: Rules, D: NorFlash>(&self, die: &mut D, room: &mut [u8]) -> Option<(u32, u32)> {
        let newest = self.newest.filter(|_| R::KEEPS_THE_KEY_SET_THAT_COUNTS);
        let mut highest = 0;
        let mut best: Option<(u32, (bool, u32))> = None;
        for slot in SLOTS {
            let found = self.look(die, slot, room);
            highest = found.map_or(highest, |found| found.generation.max(highest));
            let has_failed = self.failed & 1u8.checked_shl(slot).unwrap_or(0) != 0;
            if newest.is_some_and(|newest| newest.slot == slot) || has_failed {
                continue;
            }
            let mut rank = found.map_or((false, 0), |found| (found.is_lasting, found.generation));
            if !R::KEEPS_THE_KEY_SET_THAT_COUNTS && self.newest.is_some_and(|newest| newest.slot == slot) {
                rank = (false, 0);
            }
            if best.is_none_or(|(_, least)| rank < least) {
                best = Some((slot, rank));
            }
        }
        let (slot, (is_lasting, _)) = best?;
        // With one slot failed, the only other one may be all that is sure.
        let is_needed = is_lasting && self.failed != 0 && newest.is_some_and(|newest| !newest.is_lasting);
        (!is_needed).then_some((slot, highest))
    }

    fn write_slot<D: NorFlash>(
        &self,
        die: &mut D,
        slot: u32,
        generation: u32,
        record: &[u8],
    ) -> Result<(), FlashError> {
        let (start, slot_len) = self.slot(slot).ok_or(FlashError::OutOfRange)?;
        let page = die.geometry().erase_size;
        let pages = slot_len.checked_div(page).unwrap_or(0);
        // The seals go first.
        for n in (0..pages).rev() {
            die.erase(start.plus(n.saturating_mul(page)).ok_or(FlashError::OutOfRange)?)?;
        }
        program_and_compare(die, start, record)?;
        for number in [1, 2] {
            let at = self.seal_address(slot, number).ok_or(FlashError::OutOfRange)?;
            program_and_compare(die, at, &encode_seal(number, generation))?;
        }
        Ok(())
    }

    /// The record in `slot`, sealed or not; the set is left in `room`, behind the header.
    fn look<D: NorFlash>(&self, die: &mut D, slot: u32, room: &mut [u8]) -> Option<Found> {
        let (start, _) = self.slot(slot)?;
        let mut header = [0; HEADER_LEN];
        die.read(start, &mut header).ok()?;
        let word = |at: usize| -> Option<u32> {
            Some(u32::from_le_bytes(header.get(at..at.checked_add(4)?)?.try_into().ok()?))
        };
        let (generation, permits, len_word) = (word(4)?, word(8)?, word(12)?);
        let len = usize::try_from(len_word).ok().filter(|len| *len <= KEY_SET_LEN_MAX)?;
        let end = HEADER_LEN.checked_add(len)?;
        die.read(start, room.get_mut(..end.next_multiple_of(UNIT))?).ok()?;
        let set = room.get(HEADER_LEN..end)?;
        if room.get(..HEADER_LEN)? != encode_header(generation, permits, len_word, set) {
            return None;
        }
        let mut is_sealed = |number| -> Option<bool> {
            let mut unit = [0; UNIT];
            let read = die.read(self.seal_address(slot, number)?, &mut unit);
            Some(read.is_ok() && unit == encode_seal(number, generation))
        };
        let (first, second) = (is_sealed(1)?, is_sealed(2)?);
        Some(Found { slot, generation, permits, len, is_sealed: first, is_lasting: first && second })
    }

    fn set_in<'r, D: NorFlash>(&self, die: &mut D, found: &Found, room: &'r mut [u8]) -> Option<KeySet<'r>> {
        let again = self.look(die, found.slot, room)?;
        KeySet::parse(room.get(HEADER_LEN..HEADER_LEN.checked_add(again.len)?)?).ok()
    }

    /// Takes down what the newest record says.
    fn follow<D: NorFlash>(&mut self, die: &mut D, room: &mut [u8]) -> Option<()> {
        let Some(newest) = self.newest.filter(|newest| newest.len > 0) else { return Some(()) };
        let set = self.set_in(die, &newest, room)?;
        self.version = set.version;
        self.made_at_s = set.made_at_s;
        self.signers = [None; SIGNERS_MAX];
        for (slot, signer) in self.signers.iter_mut().zip(set.signers()) {
            *slot = Some(*signer);
        }
        Some(())
    }

    fn slot(&self, slot: u32) -> Option<(FlashAddress, u32)> {
        let len = self.part.length.checked_div(KEY_SLOTS)?;
        Some((self.part.start.plus(len.checked_mul(slot)?)?, len))
    }

    fn seal_address(&self, slot: u32, number: u32) -> Option<FlashAddress> {
        let (start, len) = self.slot(slot)?;
        let from_end = 3u32.checked_sub(number)?.checked_mul(UNIT_BYTES)?;
        start.plus(len.checked_sub(from_end)?)
    }
}

fn encode_header(generation: u32, permits: u32, len: u32, set: &[u8]) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    let words = [RECORD_MAGIC, generation.to_le_bytes(), permits.to_le_bytes(), len.to_le_bytes()];
    for (place, word) in header.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word);
    }
    let crc = crc32(crc32(0, header.get(..16).unwrap_or_default()), set);
    if let Some(place) = header.get_mut(16..20) {
        place.copy_from_slice(&crc.to_le_bytes());
    }
    header
}

fn encode_seal(number: u32, generation: u32) -> [u8; UNIT] {
    let mut seal = [0; UNIT];
    let words = [SEAL_MAGIC, number.to_le_bytes(), generation.to_le_bytes()];
    for (place, word) in seal.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word);
    }
    let crc = crc32(0, seal.get(..12).unwrap_or_default());
    if let Some(place) = seal.last_chunk_mut::<4>() {
        *place = crc.to_le_bytes();
    }
    seal
}
