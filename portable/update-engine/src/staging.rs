//! Staging: sealed pages in external flash, one record to a sector.
//!
//! Normative text: `docs/spec/update.md`, "Staging". The invariant: key and nonce together determine the
//! plaintext, because the key is derived from the digests of both manifests and the nonce names the page, so no
//! two plaintexts are ever sealed under one nonce.

use bulkhead_link_protocol::Digest;
use bulkhead_nor_flash::{FlashAddress, FlashError, NorFlash};
use chacha20poly1305::aead::{AeadInPlace, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce, Tag};
use hkdf::Hkdf;
use sha2::{Digest as _, Sha256};

use crate::layout::Part;
use crate::manifest::Manifest;
use bulkhead_checksum::crc32;

/// Bytes before the ciphertext of a record.
pub(crate) const HEADER_LEN: usize = 16;
/// Bytes after it.
pub(crate) const TAG_LEN: usize = 16;
const OVERHEAD_LEN: usize = HEADER_LEN + TAG_LEN;
/// Where the payload of a record begins in its sector.
pub(crate) const RECORD_AT: usize = HEADER_LEN;
/// Where that of a piece begins.
pub(crate) const PIECE_AT: usize = HEADER_LEN + NAME_LEN;

const MAGIC: [u8; 4] = *b"BHS1";
const KEY_LABEL: &[u8] = b"bulkhead/staging/1";
const PIECE_LABEL: &[u8] = b"pieces";
/// Bytes of a piece's name, which stands between its header and its ciphertext.
const NAME_LEN: usize = 16;
/// Number of the direction of pieces of patches.
const PIECE: u8 = 3;

/// Which way a staged page leads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Direction {
    /// The page of the new manifest.
    Redo,
    /// The page of the old one.
    Undo,
}

impl Direction {
    const fn number(self) -> u8 {
        match self {
            Self::Redo => 1,
            Self::Undo => 2,
        }
    }
}

/// What staging holds, and where.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Arrangement {
    /// A place for the new version of each page, then one for the old version of each.
    Pages,
    /// A ring of places, each of so many sectors. A page's place is its number modulo the number of places: it holds
    /// the new version while a patch is tried out, the old one while it is applied.
    Ring { places: u32, sectors: u32 },
}

/// Where a page is staged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Slot {
    /// Index of the page in the new manifest.
    pub(crate) page: u32,
    pub(crate) direction: Direction,
    /// First sector of the slot, counted from the start of staging.
    pub(crate) sector: u32,
    /// Length of the page in bytes.
    pub(crate) page_len: usize,
}

/// The staging of one update.
#[derive(Clone)]
pub(crate) struct Staging {
    part: Part,
    sector_len: usize,
    manifest: Digest,
    cipher: ChaCha20Poly1305,
    piece_secret: [u8; 32],
    pub(crate) arrangement: Arrangement,
}

/// Payload bytes of a full record in a sector of `sector_len` bytes.
const fn payload_len_max(sector_len: usize) -> usize {
    sector_len.saturating_sub(OVERHEAD_LEN)
}

/// Sectors that a page of `page_len` bytes takes.
pub(crate) fn sectors_of(page_len: usize, sector_len: usize) -> u32 {
    let payload = payload_len_max(sector_len).max(1);
    u32::try_from(page_len.div_ceil(payload)).unwrap_or(u32::MAX)
}

/// Why a record was not opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct NotStaged;

impl Staging {
    /// The staging of the update from `from` to `to`.
    pub(crate) fn new(part: Part, sector_len: usize, root: &[u8; 32], to: &Digest, from: &Digest) -> Self {
        let (mut key, mut piece_secret) = ([0; 32], [0; 32]);
        let hkdf = Hkdf::<Sha256>::new(Some(KEY_LABEL), root);
        // The only error is an output longer than 255 blocks.
        let derived = hkdf.expand_multi_info(&[to, from], &mut key);
        let derived =
            derived.and_then(|()| hkdf.expand_multi_info(&[to, from, PIECE_LABEL], &mut piece_secret));
        debug_assert!(derived.is_ok(), "32 bytes are within HKDF's limit");
        let cipher = ChaCha20Poly1305::new(&key.into());
        Self { part, sector_len, manifest: *to, cipher, piece_secret, arrangement: Arrangement::Pages }
    }

    /// Length of a sector in bytes.
    pub(crate) const fn sector_len(&self) -> usize {
        self.sector_len
    }

    /// Sectors that a page of `page_len` bytes takes.
    pub(crate) fn sectors_of(&self, page_len: usize) -> u32 {
        sectors_of(page_len, self.sector_len)
    }

    /// Erases `count` sectors from `first`; sectors that do not exist need no erasing.
    ///
    /// # Errors
    /// The hardware failed.
    pub(crate) fn erase<E: NorFlash>(
        &self,
        external: &mut E,
        first: u32,
        count: u32,
    ) -> Result<(), FlashError> {
        let sector_len = u32::try_from(self.sector_len).unwrap_or(u32::MAX);
        let sectors = self.part.length.checked_div(sector_len).unwrap_or(0);
        for sector in first.min(sectors)..first.saturating_add(count).min(sectors) {
            external.erase(self.sector_address(sector)?)?;
        }
        Ok(())
    }

    /// First byte of sector `sector`.
    ///
    /// # Errors
    /// The sector is outside of staging: our mistake.
    pub(crate) fn sector_address(&self, sector: u32) -> Result<FlashAddress, FlashError> {
        let offset = u32::try_from(self.sector_len).ok().and_then(|len| len.checked_mul(sector));
        offset
            .filter(|offset| *offset < self.part.length)
            .and_then(|offset| self.part.start.plus(offset))
            .ok_or(FlashError::OutOfRange)
    }

    /// Records of the page in `slot`.
    pub(crate) fn records(&self, slot: &Slot) -> u32 {
        sectors_of(slot.page_len, self.sector_len)
    }

    /// Part of the page that record `record` holds.
    fn span(&self, slot: &Slot, record: u32) -> Option<core::ops::Range<usize>> {
        let payload = payload_len_max(self.sector_len);
        let start = usize::try_from(record).ok()?.checked_mul(payload)?;
        (start < slot.page_len).then(|| start..slot.page_len.min(start.saturating_add(payload)))
    }

    fn header(slot: &Slot, record: u32, payload_len: usize) -> [u8; HEADER_LEN] {
        Self::header_of(slot.direction.number(), slot.page, record, payload_len)
    }

    fn header_of(direction: u8, page: u32, record: u32, payload_len: usize) -> [u8; HEADER_LEN] {
        let [m0, m1, m2, m3] = MAGIC;
        let [p0, p1, p2, p3] = page.to_le_bytes();
        let [l0, l1] = u16::try_from(payload_len).unwrap_or(u16::MAX).to_le_bytes();
        let number = u8::try_from(record).unwrap_or(u8::MAX);
        let mut header = [m0, m1, m2, m3, direction, number, l0, l1, p0, p1, p2, p3, 0, 0, 0, 0];
        let body = header.first_chunk::<12>().copied().unwrap_or_default();
        let crc = crc32(0, &body);
        if let Some(room) = header.last_chunk_mut::<4>() {
            *room = crc.to_le_bytes();
        }
        header
    }

    fn nonce(slot: &Slot, record: u32) -> Nonce {
        let [p0, p1, p2, p3] = slot.page.to_le_bytes();
        let [r0, r1, r2, r3] = record.to_le_bytes();
        Nonce::from([slot.direction.number(), 0, 0, 0, p0, p1, p2, p3, r0, r1, r2, r3])
    }

    fn associated(&self, header: &[u8; HEADER_LEN]) -> [u8; 32 + HEADER_LEN] {
        let mut associated = [0; 32 + HEADER_LEN];
        if let Some((digest, rest)) = associated.split_at_mut_checked(32) {
            digest.copy_from_slice(&self.manifest);
            rest.copy_from_slice(header);
        }
        associated
    }

    /// Erases the record's sector, writes the record and reads it back.
    ///
    /// `page` is the whole page; `sealed` and `back` hold a sector each.
    ///
    /// # Errors
    /// The hardware failed or did not keep what was written.
    pub(crate) fn write<E: NorFlash>(
        &self,
        external: &mut E,
        slot: &Slot,
        record: u32,
        page: &[u8],
        [sealed, back]: [&mut [u8]; 2],
    ) -> Result<(), FlashError> {
        let at = self.sector_address(slot.sector.saturating_add(record))?;
        let payload =
            self.span(slot, record).and_then(|span| page.get(span)).ok_or(FlashError::OutOfRange)?;
        let header = Self::header(slot, record, payload.len());
        let len = payload.len().saturating_add(OVERHEAD_LEN);
        let sealed = sealed.get_mut(..len).ok_or(FlashError::OutOfRange)?;
        let back = back.get_mut(..len).ok_or(FlashError::OutOfRange)?;
        let (head, rest) = sealed.split_at_mut_checked(HEADER_LEN).ok_or(FlashError::OutOfRange)?;
        let (body, tag_room) = rest.split_at_mut_checked(payload.len()).ok_or(FlashError::OutOfRange)?;
        head.copy_from_slice(&header);
        body.copy_from_slice(payload);
        let tag = self
            .cipher
            .encrypt_in_place_detached(&Self::nonce(slot, record), &self.associated(&header), body)
            .map_err(|_| FlashError::OutOfRange)?;
        tag_room.copy_from_slice(&tag);
        external.erase(at)?;
        external.program(at, sealed)?;
        external.read(at, back)?;
        if sealed == back { Ok(()) } else { Err(FlashError::HardwareFault) }
    }

    /// Opens one record into its place in `page`; `sealed` holds a sector.
    ///
    /// With `authenticate` false the tag is not checked: for a seeded bug only.
    ///
    /// # Errors
    /// There is no such record: never written, torn, of another update, or changed by someone.
    pub(crate) fn open<E: NorFlash>(
        &self,
        external: &mut E,
        slot: &Slot,
        record: u32,
        page: &mut [u8],
        sealed: &mut [u8],
        authenticate: Authenticate,
    ) -> Result<(), NotStaged> {
        let span = self.span(slot, record).ok_or(NotStaged)?;
        let plain = page.get_mut(span).ok_or(NotStaged)?;
        self.open_into(external, slot, record, plain, sealed, authenticate)
    }

    /// Where byte `at` of the page in `slot` is: its record, where that starts in the page, and its length.
    pub(crate) fn record_at(&self, slot: &Slot, at: usize) -> Option<(u32, usize, usize)> {
        let record = at.checked_div(payload_len_max(self.sector_len))?;
        let record = u32::try_from(record).ok()?;
        let span = self.span(slot, record)?;
        Some((record, span.start, span.len()))
    }

    /// Opens one record where it is read to: `sector` holds a sector, and the plaintext begins [`RECORD_AT`] into it.
    /// Looks at the header first, since most pages that are asked for are not staged.
    ///
    /// # Errors
    /// There is no such record.
    pub(crate) fn open_record<E: NorFlash>(
        &self,
        external: &mut E,
        slot: &Slot,
        record: u32,
        sector: &mut [u8],
    ) -> Result<(), NotStaged> {
        let len = self.span(slot, record).ok_or(NotStaged)?.len();
        let at = self.sector_address(slot.sector.saturating_add(record)).map_err(|_| NotStaged)?;
        let mut head = [0; HEADER_LEN];
        external.read(at, &mut head).map_err(|_| NotStaged)?;
        if head != Self::header(slot, record, len) {
            return Err(NotStaged);
        }
        self.open_in(external, slot, record, len, sector, Authenticate::Yes).map(|_| ())
    }

    fn open_into<E: NorFlash>(
        &self,
        external: &mut E,
        slot: &Slot,
        record: u32,
        plain: &mut [u8],
        sealed: &mut [u8],
        authenticate: Authenticate,
    ) -> Result<(), NotStaged> {
        let body = self.open_in(external, slot, record, plain.len(), sealed, authenticate)?;
        plain.copy_from_slice(body);
        Ok(())
    }

    fn open_in<'s, E: NorFlash>(
        &self,
        external: &mut E,
        slot: &Slot,
        record: u32,
        len: usize,
        sealed: &'s mut [u8],
        authenticate: Authenticate,
    ) -> Result<&'s [u8], NotStaged> {
        let at = self.sector_address(slot.sector.saturating_add(record)).map_err(|_| NotStaged)?;
        let sealed = sealed.get_mut(..len.saturating_add(OVERHEAD_LEN)).ok_or(NotStaged)?;
        external.read(at, sealed).map_err(|_| NotStaged)?;
        let header = Self::header(slot, record, len);
        let (head, rest) = sealed.split_at_mut_checked(HEADER_LEN).ok_or(NotStaged)?;
        if *head != header {
            return Err(NotStaged);
        }
        let (body, tag) = rest.split_at_mut_checked(len).ok_or(NotStaged)?;
        let (nonce, associated) = (Self::nonce(slot, record), self.associated(&header));
        match authenticate {
            Authenticate::Yes => self
                .cipher
                .decrypt_in_place_detached(&nonce, &associated, body, Tag::from_slice(tag))
                .map_err(|_| NotStaged)?,
            // Encrypting again is decrypting without looking at the tag.
            Authenticate::SeededBug => self
                .cipher
                .encrypt_in_place_detached(&nonce, &associated, body)
                .map(|_| ())
                .map_err(|_| NotStaged)?,
        }
        Ok(body)
    }

    /// A cipher that serves one piece: its key comes from the piece's name, which comes from its content.
    fn piece_cipher(&self, name: &[u8; NAME_LEN]) -> ChaCha20Poly1305 {
        let mut key = [0; 32];
        // The only errors are a secret shorter than a hash and an output longer than 255 blocks.
        let derived = Hkdf::<Sha256>::from_prk(&self.piece_secret).map(|hkdf| hkdf.expand(name, &mut key));
        debug_assert!(derived.is_ok(), "the secret is as long as a hash");
        ChaCha20Poly1305::new(&key.into())
    }

    fn piece_associated(&self, header: &[u8; HEADER_LEN], name: &[u8; NAME_LEN]) -> [u8; 64] {
        let mut associated = [0; 64];
        let parts = self.manifest.iter().chain(header).chain(name);
        for (to, from) in associated.iter_mut().zip(parts) {
            *to = *from;
        }
        associated
    }

    /// Seals piece `piece` of the patches into `sector` and reads it back; `sealed` and `back` hold a sector each.
    ///
    /// # Errors
    /// The hardware failed or did not keep what was written.
    pub(crate) fn write_piece<E: NorFlash>(
        &self,
        external: &mut E,
        sector: u32,
        piece: u32,
        plain: &[u8],
        [sealed, back]: [&mut [u8]; 2],
    ) -> Result<(), FlashError> {
        let at = self.sector_address(sector)?;
        let header = Self::header_of(PIECE, piece, 0, plain.len());
        let name: [u8; NAME_LEN] = Sha256::digest(plain).first_chunk().copied().unwrap_or_default();
        let len = plain.len().saturating_add(OVERHEAD_LEN).saturating_add(NAME_LEN);
        let sealed = sealed.get_mut(..len).ok_or(FlashError::OutOfRange)?;
        let back = back.get_mut(..len).ok_or(FlashError::OutOfRange)?;
        let (head, rest) = sealed.split_at_mut_checked(HEADER_LEN).ok_or(FlashError::OutOfRange)?;
        let (name_room, rest) = rest.split_at_mut_checked(NAME_LEN).ok_or(FlashError::OutOfRange)?;
        let (body, tag_room) = rest.split_at_mut_checked(plain.len()).ok_or(FlashError::OutOfRange)?;
        head.copy_from_slice(&header);
        name_room.copy_from_slice(&name);
        body.copy_from_slice(plain);
        let tag = self
            .piece_cipher(&name)
            .encrypt_in_place_detached(&Nonce::default(), &self.piece_associated(&header, &name), body)
            .map_err(|_| FlashError::OutOfRange)?;
        tag_room.copy_from_slice(&tag);
        external.erase(at)?;
        external.program(at, sealed)?;
        external.read(at, back)?;
        if sealed == back { Ok(()) } else { Err(FlashError::HardwareFault) }
    }

    /// Opens piece `piece` of `len` bytes from `sector`, where it is read to: `room` holds a sector, and the plaintext
    /// begins [`PIECE_AT`] into it.
    ///
    /// # Errors
    /// There is no such piece: never written, torn, of another update, of another length, or changed by someone.
    pub(crate) fn open_piece<'s, E: NorFlash>(
        &self,
        external: &mut E,
        sector: u32,
        piece: u32,
        len: usize,
        room: &'s mut [u8],
    ) -> Result<&'s [u8], NotStaged> {
        let at = self.sector_address(sector).map_err(|_| NotStaged)?;
        let sealed =
            room.get_mut(..len.saturating_add(OVERHEAD_LEN).saturating_add(NAME_LEN)).ok_or(NotStaged)?;
        external.read(at, sealed).map_err(|_| NotStaged)?;
        let header = Self::header_of(PIECE, piece, 0, len);
        let (head, rest) = sealed.split_at_mut_checked(HEADER_LEN).ok_or(NotStaged)?;
        let (name, rest) = rest.split_at_mut_checked(NAME_LEN).ok_or(NotStaged)?;
        let (body, tag) = rest.split_at_mut_checked(len).ok_or(NotStaged)?;
        let name: [u8; NAME_LEN] = name.first_chunk().copied().ok_or(NotStaged)?;
        if *head != header {
            return Err(NotStaged);
        }
        let associated = self.piece_associated(&header, &name);
        self.piece_cipher(&name)
            .decrypt_in_place_detached(&Nonce::default(), &associated, body, Tag::from_slice(tag))
            .map_err(|_| NotStaged)?;
        Ok(body)
    }

    /// Opens the whole page of `slot` into `page` and checks it against `digest`.
    ///
    /// # Errors
    /// Some record of it is missing or the page is not the one that `digest` names.
    pub(crate) fn open_page<E: NorFlash>(
        &self,
        external: &mut E,
        slot: &Slot,
        page: &mut [u8],
        sealed: &mut [u8],
        digest: &Digest,
        authenticate: Authenticate,
    ) -> Result<(), NotStaged> {
        for record in 0..self.records(slot) {
            self.open(external, slot, record, page, sealed, authenticate)?;
        }
        let plain = page.get(..slot.page_len).ok_or(NotStaged)?;
        let same = Sha256::digest(plain)[..] == digest[..];
        if same || authenticate == Authenticate::SeededBug { Ok(()) } else { Err(NotStaged) }
    }
}

/// Whether a record's tag and a page's digest are checked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Authenticate {
    /// Always, in every product.
    Yes,
    /// The header is believed.
    SeededBug,
}

/// Where page `page` of `target` is staged.
pub(crate) fn slot_of(target: &Manifest, staging: &Staging, page: u32, direction: Direction) -> Option<Slot> {
    if let Arrangement::Ring { places, sectors } = staging.arrangement {
        let page_len = target.place(page)?.len;
        let sector = page.checked_rem(places)?.checked_mul(sectors)?;
        return Some(Slot { page, direction, sector, page_len });
    }
    let (mut redo_total, mut found) = (0u32, None);
    for area in target.areas() {
        let page_len = usize::try_from(area.page_size).ok()?;
        let sectors = staging.sectors_of(page_len);
        if let Some(index) = page.checked_sub(area.first_page).filter(|index| *index < area.pages) {
            found = Some((redo_total.checked_add(index.checked_mul(sectors)?)?, page_len));
        }
        redo_total = redo_total.checked_add(area.pages.checked_mul(sectors)?)?;
    }
    let (sector, page_len) = found?;
    let sector = match direction {
        Direction::Redo => sector,
        Direction::Undo => sector.checked_add(redo_total)?,
    };
    Some(Slot { page, direction, sector, page_len })
}
