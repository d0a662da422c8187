//! The configuration at rest: two banks in external flash, each a whole configuration.
//!
//! ```text
//! bank:  salt (16) | zeros (16) | revision, entries, generation, zero (4 each) | tag (16) | records, each in 576 bytes
//! record, before it is sealed:  length of key (1) | secret (1) | length of value (2) | version (4) | key (32) | value (512)
//! ```
//! Numbers are little-endian. The key of a bank is derived from the device's storage root and the bank's salt, which is
//! drawn anew each time it is written; a record's nonce is its place. The tag in the header is that of an empty message
//! with the 16 bytes before it as associated data. It is written last: a bank without it is no bank. Whoever can write to
//! external flash can put an older bank back, which the next link mends; they can neither read nor change one.

use bulkhead_link_protocol::{CONFIG_KEY_LEN_MAX, CONFIG_VALUE_LEN_MAX};
use bulkhead_nor_flash::{FlashAddress, FlashError, NorFlash};
use chacha20poly1305::aead::{AeadInPlace, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce, Tag};
use hkdf::Hkdf;
use sha2::Sha256;

const KEY_LABEL: &[u8] = b"bulkhead/configuration/1";
const TAG_LEN: usize = 16;
const HEAD_LEN: usize = 8 + CONFIG_KEY_LEN_MAX;
/// Bytes of a record before it is sealed.
const PLAIN_LEN: usize = HEAD_LEN + CONFIG_VALUE_LEN_MAX;
/// Room of a record: whole units of any flash.
pub(crate) const RECORD_LEN: usize = 576;
const RECORD_BYTES: u32 = 576;
const HEADER_LEN: usize = 64;
const HEADER_BYTES: u32 = 64;
const COMMIT_AT: u32 = 32;
const COMMIT_LEN: usize = 32;
/// Place of the header among the nonces.
const HEADER_PLACE: u32 = u32::MAX;

/// Bytes of a bank.
pub(crate) const fn bank_bytes(entries: u32) -> u32 {
    HEADER_BYTES.saturating_add(entries.saturating_mul(RECORD_BYTES))
}

/// A record, sealed or not.
pub(crate) type Record = [u8; RECORD_LEN];

/// What can be known of an entry without its value. All zeros for none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct EntryHead {
    pub(crate) key: [u8; CONFIG_KEY_LEN_MAX],
    pub(crate) key_len: u8,
    pub(crate) secret: bool,
    pub(crate) value_len: u16,
    pub(crate) version: u32,
}

impl EntryHead {
    pub(crate) const NONE: Self =
        Self { key: [0; CONFIG_KEY_LEN_MAX], key_len: 0, secret: false, value_len: 0, version: 0 };

    /// The key, as far as it goes.
    pub(crate) fn key(&self) -> &[u8] {
        self.key.get(..usize::from(self.key_len)).unwrap_or_default()
    }
}

/// The key as it is stored, if it is one: 1 to 32 bytes of printable ASCII.
pub(crate) fn key_of(text: &[u8]) -> Option<([u8; CONFIG_KEY_LEN_MAX], u8)> {
    let mut key = [0; CONFIG_KEY_LEN_MAX];
    let room = key.get_mut(..text.len()).filter(|room| !room.is_empty())?;
    room.copy_from_slice(text);
    let printable = text.iter().all(u8::is_ascii_graphic);
    Some((key, u8::try_from(text.len()).ok()?)).filter(|_| printable)
}

/// Writes head and value into a record that is not sealed yet; `false` if the value is too long.
pub(crate) fn compose(record: &mut Record, head: &EntryHead, value: &[u8]) -> bool {
    record.fill(0);
    let [v0, v1, v2, v3] = head.version.to_le_bytes();
    let [l0, l1] = head.value_len.to_le_bytes();
    let fixed = [head.key_len, u8::from(head.secret), l0, l1, v0, v1, v2, v3];
    for (to, from) in record.iter_mut().zip(fixed.iter().chain(&head.key)) {
        *to = *from;
    }
    let room = record.get_mut(HEAD_LEN..PLAIN_LEN).and_then(|room| room.get_mut(..value.len()));
    room.map(|room| room.copy_from_slice(value)).is_some() && usize::from(head.value_len) == value.len()
}

/// Head of a record that is not sealed; `None` if no hypervisor wrote it so.
pub(crate) fn head_of(record: &Record) -> Option<EntryHead> {
    let [key_len, secret, l0, l1, v0, v1, v2, v3, rest @ ..] = record;
    let (key, _) = rest.split_first_chunk::<CONFIG_KEY_LEN_MAX>()?;
    let head = EntryHead {
        key: *key,
        key_len: *key_len,
        secret: *secret != 0,
        value_len: u16::from_le_bytes([*l0, *l1]),
        version: u32::from_le_bytes([*v0, *v1, *v2, *v3]),
    };
    let sound = key_of(head.key()).is_some() && usize::from(head.value_len) <= CONFIG_VALUE_LEN_MAX;
    Some(head).filter(|_| sound)
}

/// Value of a record that is not sealed.
pub(crate) fn value_of<'r>(record: &'r Record, head: &EntryHead) -> &'r [u8] {
    let value = record.get(HEAD_LEN..PLAIN_LEN).unwrap_or_default();
    value.get(..usize::from(head.value_len)).unwrap_or_default()
}

/// One bank, and the key that its salt gives it.
#[derive(Clone, Copy)]
pub(crate) struct Bank {
    pub(crate) start: FlashAddress,
    pub(super) key: [u8; 32],
    pub(crate) revision: u32,
    pub(crate) entries: u32,
    pub(crate) generation: u32,
}

impl Bank {
    /// A bank that is about to be written; its sectors are erased.
    ///
    /// # Errors
    /// Those of the flash.
    #[inline(never)]
    pub(crate) fn begin(
        flash: &mut impl NorFlash,
        start: FlashAddress,
        root: &[u8; 32],
        salt: [u8; 16],
    ) -> Result<Self, FlashError> {
        flash.program(start, &salt)?;
        Ok(Self { start, key: derive(root, &salt), revision: 0, entries: 0, generation: 0 })
    }

    /// The bank at `start`, if there is a whole one.
    #[inline(never)]
    pub(crate) fn open(flash: &mut impl NorFlash, start: FlashAddress, root: &[u8; 32]) -> Option<Self> {
        let mut header = [0; HEADER_LEN];
        flash.read(start, &mut header).ok()?;
        let (salt, rest) = header.split_first_chunk::<16>()?;
        let (_, rest) = rest.split_first_chunk::<16>()?;
        let (facts, rest) = rest.split_first_chunk::<16>()?;
        let (tag, _) = rest.split_first_chunk::<TAG_LEN>()?;
        let key = derive(root, salt);
        let cipher = ChaCha20Poly1305::new(&key.into());
        let tag = Tag::from(*tag);
        cipher.decrypt_in_place_detached(&nonce(HEADER_PLACE), facts, &mut [], &tag).ok()?;
        let mut words = facts
            .chunks_exact(4)
            .map(|word| word.first_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes)));
        let mut word = || words.next().unwrap_or_default();
        Some(Self { start, key, revision: word(), entries: word(), generation: word() })
    }

    /// Declares the bank whole.
    ///
    /// # Errors
    /// Those of the flash.
    #[inline(never)]
    pub(crate) fn commit(&self, flash: &mut impl NorFlash) -> Result<(), FlashError> {
        let mut bytes = [0; COMMIT_LEN];
        let (facts, tag_room) = bytes.split_at_mut(16);
        for (to, word) in facts.chunks_exact_mut(4).zip([self.revision, self.entries, self.generation, 0]) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        let cipher = ChaCha20Poly1305::new(&self.key.into());
        let sealed = cipher.encrypt_in_place_detached(&nonce(HEADER_PLACE), facts, &mut []);
        tag_room.copy_from_slice(&sealed.map_err(|_| FlashError::HardwareFault)?);
        flash.program(self.start.plus(COMMIT_AT).ok_or(FlashError::OutOfRange)?, &bytes)
    }

    /// Seals a record and writes it to its place. The record is sealed afterwards.
    ///
    /// # Errors
    /// Those of the flash.
    #[inline(never)]
    pub(crate) fn write(
        &self,
        flash: &mut impl NorFlash,
        place: u32,
        record: &mut Record,
    ) -> Result<(), FlashError> {
        let (plain, tag_room) = record.split_at_mut(PLAIN_LEN);
        let cipher = ChaCha20Poly1305::new(&self.key.into());
        let tag = cipher.encrypt_in_place_detached(&nonce(place), &[], plain);
        if let (Ok(tag), Some(room)) = (tag, tag_room.get_mut(..TAG_LEN)) {
            room.copy_from_slice(&tag);
        }
        flash.program(self.place(place).ok_or(FlashError::OutOfRange)?, record)
    }

    /// Reads the record at a place and opens it; `None` if it is not what was written there.
    #[inline(never)]
    pub(crate) fn read(
        &self,
        flash: &mut impl NorFlash,
        place: u32,
        record: &mut Record,
    ) -> Option<EntryHead> {
        flash.read(self.place(place)?, record).ok()?;
        let (plain, tag) = record.split_at_mut(PLAIN_LEN);
        let tag = Tag::from(*tag.first_chunk::<TAG_LEN>()?);
        let cipher = ChaCha20Poly1305::new(&self.key.into());
        cipher.decrypt_in_place_detached(&nonce(place), &[], plain, &tag).ok()?;
        head_of(record)
    }

    fn place(&self, place: u32) -> Option<FlashAddress> {
        self.start.plus(HEADER_BYTES.checked_add(place.checked_mul(RECORD_BYTES)?)?)
    }
}

fn nonce(place: u32) -> Nonce {
    let mut nonce = [0; 12];
    if let Some(room) = nonce.first_chunk_mut::<4>() {
        *room = place.to_le_bytes();
    }
    Nonce::from(nonce)
}

fn derive(root: &[u8; 32], salt: &[u8; 16]) -> [u8; 32] {
    let mut key = [0; 32];
    // The only error is an output longer than 255 blocks.
    let derived = Hkdf::<Sha256>::new(Some(KEY_LABEL), root).expand(salt, &mut key);
    debug_assert!(derived.is_ok(), "32 bytes are within HKDF's limit");
    key
}
