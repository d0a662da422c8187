//! What the engine remembers of a manifest, and the slots of die flash that hold the rest.
//!
//! A slot is a header unit and the signed envelope after it. In RAM there are only the numbers of each area; page
//! digests are read from the slot when they are needed.

use bulkhead_bundle_format::{AREAS_MAX, AreaKind, Envelope, Manifest as Signed, Medium, Policy};
use bulkhead_link_protocol::Digest;
use bulkhead_nor_flash::{FlashAddress, FlashError, NorFlash};

use crate::layout::{Layout, Memory};
use bulkhead_checksum::crc32;

/// Bytes before the envelope in its slot.
pub(crate) const SLOT_HEADER_LEN: u32 = 16;
const SLOT_HEADER: usize = 16;
/// Bytes compared at a time after a program.
const COMPARE_LEN: usize = 64;
const SLOT_MAGIC: [u8; 4] = *b"BHM1";

/// One area. Those of the application's own have no pages: they are never touched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Area {
    pub(crate) id: u32,
    pub(crate) medium: Medium,
    /// From the start of the medium's application part, in bytes.
    pub(crate) base: u32,
    /// Of the image, in bytes.
    pub(crate) length: u32,
    pub(crate) page_size: u32,
    pub(crate) kind: AreaKind,
    /// Index of its first page among all pages of the manifest.
    pub(crate) first_page: u32,
    pub(crate) pages: u32,
    /// Where its page digests are, in bytes from the start of the envelope.
    digests_at: u32,
}

/// A manifest that lies in a slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manifest {
    pub(crate) digest: Digest,
    pub(crate) sequence: u64,
    pub(crate) counter: u32,
    pub(crate) slot: u32,
    /// Pages of all areas.
    pub(crate) pages: u32,
    pub(crate) policy: Policy,
    areas: [Option<Area>; AREAS_MAX],
}

/// Where one page is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) area: Area,
    /// Index of the page in its area.
    pub(crate) index: u32,
    /// From the start of the medium's application part, in bytes.
    pub(crate) offset: u32,
    /// Its length in bytes as a `usize`.
    pub(crate) len: usize,
}

impl Manifest {
    /// Takes down the numbers of a manifest that is, or is to be, in slot `slot`.
    pub(crate) fn of(signed: &Signed<'_>, slot: u32) -> Option<Self> {
        let mut pages = 0u32;
        let mut areas = [None; AREAS_MAX];
        for (room, area) in areas.iter_mut().zip(signed.areas()) {
            *room = Some(Area {
                id: area.id,
                medium: area.medium,
                base: area.base,
                length: area.length,
                page_size: area.page_size,
                kind: area.kind,
                first_page: pages,
                pages: area.page_count(),
                digests_at: u32::try_from(area.page_digests_range().start).ok()?,
            });
            pages = pages.checked_add(area.page_count())?;
        }
        Some(Self {
            digest: signed.digest(),
            sequence: signed.sequence,
            counter: signed.security_counter,
            slot,
            pages,
            policy: signed.policy,
            areas,
        })
    }

    /// The areas that an update writes.
    pub(crate) fn areas(&self) -> impl Iterator<Item = &Area> {
        self.areas.iter().flatten().filter(|area| area.pages > 0)
    }

    /// The areas that belong to the application.
    pub(crate) fn owned(&self) -> impl Iterator<Item = &Area> {
        self.areas.iter().flatten().filter(|area| area.kind == AreaKind::ApplicationOwned)
    }

    /// Where page `page` is; `None` beyond the last.
    pub(crate) fn place(&self, page: u32) -> Option<Place> {
        let area =
            self.areas().find(|area| page.checked_sub(area.first_page).is_some_and(|n| n < area.pages))?;
        let index = page.checked_sub(area.first_page)?;
        let offset = area.base.checked_add(index.checked_mul(area.page_size)?)?;
        Some(Place { area: *area, index, offset, len: usize::try_from(area.page_size).ok()? })
    }

    /// The page of this manifest that lies where `place` is, if any does.
    pub(crate) fn page_at(&self, place: &Place) -> Option<u32> {
        self.page_over(&place.area, place.offset)
    }

    /// The page of this manifest that holds the byte `offset` into the application part in which `area` of any
    /// manifest lies, if any does.
    pub(crate) fn page_over(&self, area: &Area, offset: u32) -> Option<u32> {
        self.areas().find_map(|own| {
            let index = offset.checked_sub(own.base)?.checked_div(own.page_size)?;
            let here = own.medium == area.medium && own.page_size == area.page_size && index < own.pages;
            here.then(|| own.first_page.checked_add(index)).flatten()
        })
    }

    /// The page of this manifest at a journal's location.
    pub(crate) fn page_located(&self, location: u32) -> Option<u32> {
        let (medium, index) = split_location(location)?;
        self.areas().find_map(|area| {
            let base = area.base.checked_div(area.page_size)?;
            let index =
                index.checked_sub(base).filter(|index| *index < area.pages && area.medium == medium)?;
            area.first_page.checked_add(index)
        })
    }

    /// The first code area on the die.
    pub(crate) fn entry(&self) -> Option<&Area> {
        self.areas().find(|area| area.medium == Medium::Die && area.kind == AreaKind::Code)
    }

    /// Digest of page `page`, read from the slot; `None` if the slot cannot be read there.
    pub(crate) fn page_digest<D: NorFlash>(&self, die: &mut D, layout: &Layout, page: u32) -> Option<Digest> {
        let place = self.place(page)?;
        let offset =
            place.index.checked_mul(32)?.checked_add(place.area.digests_at)?.checked_add(SLOT_HEADER_LEN)?;
        let mut digest = [0; 32];
        die.read(slot_start(layout, self.slot)?.plus(offset)?, &mut digest).ok()?;
        Some(digest)
    }
}

impl Place {
    /// Address of the page in its memory.
    pub(crate) fn address(&self, layout: &Layout) -> Result<FlashAddress, FlashError> {
        let part = match self.area.medium {
            Medium::Die => layout.die_application,
            Medium::External => layout.external_application,
        };
        let fits = self.offset.checked_add(self.area.page_size).is_some_and(|end| end <= part.length);
        part.start.plus(self.offset).filter(|_| fits).ok_or(FlashError::OutOfRange)
    }

    /// How the journal names the page: one more than its number in its medium's application part, with the highest
    /// bit set for external flash.
    pub(crate) fn location(&self) -> u32 {
        let number = self.offset.checked_div(self.area.page_size).unwrap_or(0);
        match self.area.medium {
            Medium::Die => number.saturating_add(1),
            Medium::External => number.saturating_add(1) | EXTERNAL,
        }
    }

    /// Reads the page into `page`.
    pub(crate) fn read<D: NorFlash, E: NorFlash>(
        &self,
        mem: &mut Memory<'_, D, E>,
        layout: &Layout,
        page: &mut [u8],
    ) -> Result<(), FlashError> {
        let at = self.address(layout)?;
        match self.area.medium {
            Medium::Die => mem.die.read(at, page),
            Medium::External => mem.external.read(at, page),
        }
    }

    /// Erases the page.
    pub(crate) fn erase<D: NorFlash, E: NorFlash>(
        &self,
        mem: &mut Memory<'_, D, E>,
        layout: &Layout,
    ) -> Result<(), FlashError> {
        let at = self.address(layout)?;
        match self.area.medium {
            Medium::Die => mem.die.erase(at),
            Medium::External => mem.external.erase(at),
        }
    }

    /// Programs the erased page.
    pub(crate) fn program<D: NorFlash, E: NorFlash>(
        &self,
        mem: &mut Memory<'_, D, E>,
        layout: &Layout,
        page: &[u8],
    ) -> Result<(), FlashError> {
        let at = self.address(layout)?;
        match self.area.medium {
            Medium::Die => mem.die.program(at, page),
            Medium::External => mem.external.program(at, page),
        }
    }

    /// Bytes of the image in this page, and where they start in the image.
    pub(crate) fn image_span(&self) -> Option<(u32, u32)> {
        let start = self.index.checked_mul(self.area.page_size)?;
        Some((start, self.area.length.checked_sub(start)?.min(self.area.page_size)))
    }
}

/// Bit of a location that stands for external flash.
const EXTERNAL: u32 = 1 << 31;

fn split_location(location: u32) -> Option<(Medium, u32)> {
    let medium = if location & EXTERNAL == 0 { Medium::Die } else { Medium::External };
    Some((medium, (location & !EXTERNAL).checked_sub(1)?))
}

/// Erases the page at a journal's location, whatever manifest it belonged to.
///
/// # Errors
/// The hardware failed, or the location is outside of the application's parts.
pub(crate) fn erase_located<D: NorFlash, E: NorFlash>(
    mem: &mut Memory<'_, D, E>,
    layout: &Layout,
    location: u32,
) -> Result<(), FlashError> {
    let Some((medium, number)) = split_location(location) else { return Ok(()) };
    let (part, size) = match medium {
        Medium::Die => (layout.die_application, mem.die.geometry().erase_size),
        Medium::External => (layout.external_application, mem.external.geometry().erase_size),
    };
    let offset = number.checked_mul(size).filter(|offset| *offset < part.length);
    let at = offset.and_then(|offset| part.start.plus(offset)).ok_or(FlashError::OutOfRange)?;
    match medium {
        Medium::Die => mem.die.erase(at),
        Medium::External => mem.external.erase(at),
    }
}

/// Length of one slot in bytes.
pub(crate) const fn slot_len(layout: &Layout) -> u32 {
    layout.die_manifests.length / 2
}

fn slot_start(layout: &Layout, slot: u32) -> Option<FlashAddress> {
    layout.die_manifests.start.plus(slot_len(layout).checked_mul(slot)?)
}

/// Reads the envelope in slot `slot` into `room` and returns its length in bytes.
pub(crate) fn read_slot<D: NorFlash>(
    die: &mut D,
    layout: &Layout,
    slot: u32,
    room: &mut [u8],
) -> Option<usize> {
    let start = slot_start(layout, slot)?;
    let mut header = [0; SLOT_HEADER];
    die.read(start, &mut header).ok()?;
    let len = u32::from_le_bytes(*header.get(4..)?.first_chunk()?);
    if header != slot_header(len) || len > slot_len(layout).checked_sub(SLOT_HEADER_LEN)? {
        return None;
    }
    let len = usize::try_from(len).ok()?;
    die.read(start.plus(SLOT_HEADER_LEN)?, room.get_mut(..len)?).ok()?;
    Some(len)
}

/// The numbers of the manifest in slot `slot`, if its payload hashes to `wanted`; `room` holds an envelope.
///
/// The signature was checked before the slot was written, and a digest that the journal names is as good.
pub(crate) fn load<D: NorFlash>(
    die: &mut D,
    layout: &Layout,
    slot: u32,
    wanted: &Digest,
    room: &mut [u8],
) -> Option<Manifest> {
    let len = read_slot(die, layout, slot, room)?;
    let envelope = Envelope::parse(room.get(..len)?).ok()?;
    let manifest = Manifest::of(&envelope.manifest_unverified().ok()?, slot)?;
    (manifest.digest == *wanted).then_some(manifest)
}

fn slot_header(len: u32) -> [u8; SLOT_HEADER] {
    let [m0, m1, m2, m3] = SLOT_MAGIC;
    let [l0, l1, l2, l3] = len.to_le_bytes();
    let body = [m0, m1, m2, m3, l0, l1, l2, l3];
    let [c0, c1, c2, c3] = crc32(0, &body).to_le_bytes();
    [m0, m1, m2, m3, l0, l1, l2, l3, c0, c1, c2, c3, 0, 0, 0, 0]
}

/// Erases page `page` of slot `slot` and writes its share of `envelope`, then reads it back.
///
/// Returns whether that was the last page. The header, in page 0, is written with its page: until a later mark
/// says that the slot is whole, nobody believes it.
///
/// # Errors
/// The hardware failed or did not keep what was written.
pub(crate) fn write_slot_page<D: NorFlash>(
    die: &mut D,
    layout: &Layout,
    slot: u32,
    page: u32,
    envelope: &[u8],
) -> Result<bool, FlashError> {
    let page_len = die.geometry().erase_size;
    let len = u32::try_from(envelope.len()).map_err(|_| FlashError::OutOfRange)?;
    let in_slot = page.checked_mul(page_len).ok_or(FlashError::OutOfRange)?;
    let start =
        slot_start(layout, slot).and_then(|start| start.plus(in_slot)).ok_or(FlashError::OutOfRange)?;
    die.erase(start)?;
    if page == 0 {
        program_and_compare(die, start, &slot_header(len))?;
    }
    // The envelope starts one unit into the slot, so the share of every page but the first is shifted by one.
    let from = in_slot.saturating_sub(SLOT_HEADER_LEN);
    let to = in_slot.saturating_add(page_len).saturating_sub(SLOT_HEADER_LEN);
    let share = usize::try_from(from).ok().zip(usize::try_from(to.min(len)).ok());
    let share = share.and_then(|(from, to)| envelope.get(from..to)).ok_or(FlashError::OutOfRange)?;
    let (whole, rest) = share.split_at_checked(share.len() & !(SLOT_HEADER - 1)).unwrap_or_default();
    let skip = if page == 0 { SLOT_HEADER_LEN } else { 0 };
    let at = start.plus(skip).ok_or(FlashError::OutOfRange)?;
    program_and_compare(die, at, whole)?;
    if !rest.is_empty() {
        let mut unit = [0xFF; SLOT_HEADER];
        for (cell, byte) in unit.iter_mut().zip(rest) {
            *cell = *byte;
        }
        let after =
            u32::try_from(whole.len()).ok().and_then(|len| at.plus(len)).ok_or(FlashError::OutOfRange)?;
        program_and_compare(die, after, &unit)?;
    }
    Ok(to >= len)
}

/// Programs whole units and reads them back.
///
/// # Errors
/// The hardware failed or did not keep what was written.
pub(crate) fn program_and_compare<D: NorFlash>(
    die: &mut D,
    at: FlashAddress,
    bytes: &[u8],
) -> Result<(), FlashError> {
    die.program(at, bytes)?;
    for (start, piece) in (at.0..).step_by(COMPARE_LEN).zip(bytes.chunks(COMPARE_LEN)) {
        let mut back = [0; COMPARE_LEN];
        let back = back.get_mut(..piece.len()).unwrap_or_default();
        die.read(FlashAddress(start), back)?;
        if back != piece {
            return Err(FlashError::HardwareFault);
        }
    }
    Ok(())
}

/// Erases the first page of slot `slot`: what it held is gone for certain.
///
/// # Errors
/// The hardware failed.
pub(crate) fn erase_slot<D: NorFlash>(die: &mut D, layout: &Layout, slot: u32) -> Result<(), FlashError> {
    die.erase(slot_start(layout, slot).ok_or(FlashError::OutOfRange)?)
}
