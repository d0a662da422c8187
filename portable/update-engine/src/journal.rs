//! The journal: what the device intends, in write-once units of die flash.
//!
//! Normative text: `docs/spec/update.md`, "Journal". The invariant: the newest complete page is never erased, and
//! nothing is appended to a page that an earlier power session wrote. So whatever a torn cell reads as, the
//! record that is believed was complete in the session that wrote it.

use bulkhead_link_protocol::Digest;
use bulkhead_nor_flash::{FlashAddress, FlashError, NorFlash};

use crate::layout::{JOURNAL_PAGES_MAX, Part};
use bulkhead_checksum::crc32;

/// Unit of the journal in bytes.
pub(crate) const UNIT_BYTES: u32 = 16;
const UNIT_LEN: usize = 16;
/// Units of one copy of a record.
const RECORD_UNITS: u32 = 6;
const RECORD_LEN: usize = 96;
/// First unit that holds a mark.
const FIRST_MARK: u32 = 2 * RECORD_UNITS;
/// Smallest page: a record twice and one mark.
pub(crate) const PAGE_LEN_MIN: u32 = (FIRST_MARK + 1) * UNIT_BYTES;

const RECORD_MAGIC: [u8; 2] = *b"BJ";
const MARK_MAGIC: [u8; 4] = *b"BJMK";
const VERSION: u8 = 1;
/// Bit of the state's byte: the update is made in place.
const IN_PLACE: u8 = 0x80;

/// Sessions that are skipped to outrun whatever a page that cannot be erased may hold.
const OUTRUN: u32 = 1024;

/// What a digest field holds when there is no manifest.
pub(crate) const NO_MANIFEST: Digest = [0; 32];

/// The states of the journal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    /// No manifest is committed.
    Empty,
    /// `to` is whole on the application's pages.
    Committed,
    /// `to` is being written over `from`.
    Apply,
    /// `to` is whole and may be started; it is not kept yet, and `from` can be put back.
    Trial,
    /// `from`'s pages are being put back over `to`'s.
    Revert,
}

impl State {
    const fn number(self) -> u8 {
        match self {
            Self::Empty => 1,
            Self::Committed => 2,
            Self::Apply => 3,
            Self::Trial => 4,
            Self::Revert => 5,
        }
    }

    /// Whether pages are being written or may be put back, so that it matters how staging is arranged.
    const fn needs_staging(self) -> bool {
        matches!(self, Self::Apply | Self::Trial | Self::Revert)
    }

    const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Empty,
            2 => Self::Committed,
            3 => Self::Apply,
            4 => Self::Trial,
            5 => Self::Revert,
            _ => return None,
        })
    }

    /// On a tie of sessions the record that demands the most work wins (R5).
    const fn rank(self) -> u8 {
        match self {
            Self::Empty => 0,
            Self::Committed => 1,
            Self::Trial => 2,
            Self::Revert => 3,
            Self::Apply => 4,
        }
    }
}

/// How far the work of a state has come. Its meaning depends on the state.
///
/// `Apply`, `Revert`: `first` is the first page not known to be whole, `second` is the location of the page that may
/// be torn, or 0: a location, so that the page can be made certain even if the manifest is lost. `Empty`, `Committed`:
/// staging sectors `first..first + second` may be torn. `Trial`: `first` counts the power sessions in which `to` was
/// to be started, `second` is 1 once it was found healthy.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Mark {
    pub(crate) first: u32,
    pub(crate) second: u32,
}

impl Mark {
    /// Nothing is in doubt.
    pub(crate) const NONE: Self = Self { first: 0, second: 0 };
    /// The spare manifest slot may be torn.
    pub(crate) const SLOT: Self = Self { first: u32::MAX, second: u32::MAX };

    /// A trial in its `boots`th power session.
    pub(crate) const fn trial(boots: u32, healthy: bool) -> Self {
        Self { first: boots, second: if healthy { 1 } else { 0 } }
    }

    /// Page `page` of an apply or revert, at `location`, is about to be touched; all before it are whole.
    pub(crate) const fn page(page: u32, location: u32) -> Self {
        Self { first: page, second: location }
    }
}

/// One record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Record {
    pub(crate) session: u32,
    pub(crate) state: State,
    /// Staging holds patches and a ring of old pages; only while [`State::needs_staging`].
    pub(crate) in_place: bool,
    pub(crate) to: Digest,
    pub(crate) from: Digest,
    /// Highest sequence ever committed.
    pub(crate) sequence: u64,
    /// Highest security counter ever committed.
    pub(crate) counter: u32,
    pub(crate) mark: Mark,
}

impl Record {
    /// What an erased journal says.
    pub(crate) const BLANK: Self = Self {
        session: 0,
        state: State::Empty,
        in_place: false,
        to: NO_MANIFEST,
        from: NO_MANIFEST,
        sequence: 0,
        counter: 0,
        mark: Mark::NONE,
    };

    fn encode(&self) -> [u8; RECORD_LEN] {
        let mut out = [0; RECORD_LEN];
        let mut at = 0usize;
        let mut put = |bytes: &[u8]| {
            if let Some(room) = out.get_mut(at..at.saturating_add(bytes.len())) {
                room.copy_from_slice(bytes);
            }
            at = at.saturating_add(bytes.len());
        };
        put(&RECORD_MAGIC);
        put(&[VERSION, self.state.number() | if self.in_place { IN_PLACE } else { 0 }]);
        put(&self.session.to_le_bytes());
        put(&self.to);
        put(&self.from);
        put(&self.sequence.to_le_bytes());
        put(&self.counter.to_le_bytes());
        put(&self.mark.first.to_le_bytes());
        put(&self.mark.second.to_le_bytes());
        let crc = crc32(0, out.get(..RECORD_LEN - 4).unwrap_or_default());
        if let Some(room) = out.get_mut(RECORD_LEN - 4..) {
            room.copy_from_slice(&crc.to_le_bytes());
        }
        out
    }

    fn decode(bytes: &[u8; RECORD_LEN]) -> Option<Self> {
        let (body, crc) = bytes.split_at_checked(RECORD_LEN - 4)?;
        if crc32(0, body).to_le_bytes() != crc
            || !body.starts_with(&RECORD_MAGIC)
            || body.get(2) != Some(&VERSION)
        {
            return None;
        }
        let (number, in_place) = body.get(3).map(|byte| (byte & !IN_PLACE, byte & IN_PLACE != 0))?;
        let state = State::from_number(number)?;
        if in_place && !state.needs_staging() {
            return None;
        }
        Some(Self {
            state,
            in_place,
            session: u32_at(body, 4)?,
            to: body.get(8..40)?.try_into().ok()?,
            from: body.get(40..72)?.try_into().ok()?,
            sequence: u64::from_le_bytes(body.get(72..80)?.try_into().ok()?),
            counter: u32_at(body, 80)?,
            mark: Mark { first: u32_at(body, 84)?, second: u32_at(body, 88)? },
        })
    }

    /// Whether `self` is to be believed rather than `other`.
    fn beats(&self, other: &Self) -> bool {
        let key = |r: &Self| (r.session, r.state.rank(), core::cmp::Reverse(r.mark.first));
        key(self) > key(other)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn encode_mark(session: u32, mark: Mark) -> [u8; UNIT_LEN] {
    let [a, b, c, d] = mark.first.to_le_bytes();
    let [e, f, g, h] = mark.second.to_le_bytes();
    let [m, n, o, p] = MARK_MAGIC;
    let mut unit = [m, n, o, p, a, b, c, d, e, f, g, h, 0, 0, 0, 0];
    let body = unit.first_chunk::<12>().copied().unwrap_or_default();
    let crc = crc32(session, &body);
    if let Some(room) = unit.last_chunk_mut::<4>() {
        *room = crc.to_le_bytes();
    }
    unit
}

fn decode_mark(session: u32, unit: &[u8; UNIT_LEN]) -> Option<Mark> {
    let mark = Mark { first: u32_at(unit, 4)?, second: u32_at(unit, 8)? };
    (encode_mark(session, mark) == *unit).then_some(mark)
}

/// What a unit reads as at this boot.
enum Unit {
    Erased,
    Holds([u8; UNIT_LEN]),
    Unreadable,
}

/// The journal as this power session knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Journal {
    part: Part,
    page_bytes: u32,
    pages: u32,
    /// Page of the newest complete record.
    newest: Option<u32>,
    /// Page of the newest record that is complete at every boot: the only one that anybody may have acted upon.
    firm: Option<u32>,
    record: Record,
    /// Highest session number seen on any page, complete or not.
    session_max: u32,
    /// Pages that this session erased and has not written since, one bit each.
    blank: u8,
    /// Pages that this session could not erase, one bit each: left alone, and outrun.
    stubborn: u8,
    /// Whether the newest record was written in this session.
    ours: bool,
    /// Where the next mark goes.
    next_mark: u32,
}

const _: () = assert!(JOURNAL_PAGES_MAX <= u8::BITS, "`blank` and `stubborn` have a bit for each page");

impl Journal {
    /// A journal that was not read yet.
    pub(crate) const fn unread(part: Part) -> Self {
        Self {
            part,
            page_bytes: 0,
            pages: 0,
            newest: None,
            firm: None,
            record: Record::BLANK,
            session_max: 0,
            blank: 0,
            stubborn: 0,
            ours: false,
            next_mark: FIRST_MARK,
        }
    }

    /// Reads all pages and takes the newest complete record, with the last mark after it.
    pub(crate) fn read<D: NorFlash>(die: &mut D, part: Part) -> Self {
        let page_bytes = die.geometry().erase_size;
        let mut journal = Self::unread(part);
        journal.page_bytes = page_bytes;
        journal.pages = part.length.checked_div(page_bytes).unwrap_or(0).min(JOURNAL_PAGES_MAX);
        let mut firmest: Option<Record> = None;
        for page in 0..journal.pages {
            let first = journal.read_copy(die, page, 0);
            let second = journal.read_copy(die, page, RECORD_UNITS);
            for copy in [first, second].into_iter().flatten() {
                journal.session_max = journal.session_max.max(copy.session);
            }
            // The first copy counts once the second was begun: by then it was whole, so it cannot change its
            // mind at a later boot. A second copy that is whole proves the first.
            let complete = match (first, second) {
                (Some(record), None) => journal.holds_any(die, page, RECORD_UNITS).then_some(record),
                (_, second) => second,
            };
            let Some(record) = complete else { continue };
            // A first unit alone may be torn, and read as erased at the next boot. What lies behind it proves it.
            if firmest.is_none_or(|firmest| record.beats(&firmest))
                && journal.holds_any(die, page, RECORD_UNITS.saturating_add(1))
            {
                firmest = Some(record);
                journal.firm = Some(page);
            }
            if journal.newest.is_none() || record.beats(&journal.record) {
                journal.newest = Some(page);
                journal.record = record;
            }
        }
        if let Some(page) = journal.newest {
            journal.read_marks(die, page);
        }
        journal
    }

    /// The record that is believed, with its newest mark.
    pub(crate) const fn record(&self) -> &Record {
        &self.record
    }

    /// Whether the newest record was written in this power session.
    pub(crate) const fn is_ours(&self) -> bool {
        self.ours
    }

    /// Whether another page also states the apply that the newest one carries on. For the seeded bug only.
    pub(crate) fn was_resumed_before<D: NorFlash>(&self, die: &mut D) -> bool {
        let same = |record: Record| (record.state, record.to) == (self.record.state, self.record.to);
        (0..self.pages)
            .filter(|page| Some(*page) != self.newest)
            .any(|page| self.read_copy(die, page, RECORD_UNITS).is_some_and(same))
    }

    /// Goes on in the newest page although an earlier session wrote it: breaks R2, for the seeded bug only.
    pub(crate) const fn adopt(&mut self) {
        self.ours = self.newest.is_some();
    }

    /// Writes `record` to another page than the newest (R1, R3), then erases what is left over (R4).
    ///
    /// A page that cannot be erased may hold a record that was torn by an earlier session and reads well at a later
    /// boot. So the record is written once more, with a session that no such record can have reached.
    ///
    /// # Errors
    /// The hardware failed on every page that could be used; the newest record still stands.
    pub(crate) fn write<D: NorFlash>(&mut self, die: &mut D, record: Record) -> Result<(), FlashError> {
        let known = self.stubborn;
        self.write_next(die, record, 1)?;
        if self.stubborn == known { Ok(()) } else { self.write_next(die, record, OUTRUN) }
    }

    fn write_next<D: NorFlash>(
        &mut self,
        die: &mut D,
        mut record: Record,
        ahead: u32,
    ) -> Result<(), FlashError> {
        record.session = self.session_max.checked_add(ahead).ok_or(FlashError::HardwareFault)?;
        record.in_place &= record.state.needs_staging();
        let (before, firm) = (self.newest, self.firm);
        let start = before.map_or(0, |page| page.saturating_add(1));
        let pages = self.pages;
        let others = (0..pages).map(|n| start.saturating_add(n).checked_rem(pages).unwrap_or(0));
        // The firm page comes last: it goes only if every other one is worn.
        for page in others.filter(|page| Some(*page) != firm).chain(firm) {
            if Some(page) == before || self.write_page(die, page, &record).is_err() {
                continue;
            }
            self.session_max = record.session;
            self.newest = Some(page);
            self.firm = Some(page);
            self.record = record;
            self.ours = true;
            self.next_mark = FIRST_MARK;
            for other in 0..self.pages {
                if Some(other) != before && other != page {
                    let _ = self.erase(die, other);
                }
            }
            return Ok(());
        }
        Err(FlashError::HardwareFault)
    }

    /// Notes what is about to be touched, in this session's page; opens a new page when it is full.
    ///
    /// # Errors
    /// The hardware failed.
    pub(crate) fn mark<D: NorFlash>(&mut self, die: &mut D, mark: Mark) -> Result<(), FlashError> {
        let units = self.page_bytes.checked_div(UNIT_BYTES).unwrap_or(0);
        if let Some(page) = self.newest.filter(|_| self.ours) {
            while self.next_mark < units {
                let at = self.unit_address(page, self.next_mark)?;
                self.next_mark = self.next_mark.saturating_add(1);
                let unit = encode_mark(self.record.session, mark);
                let mut back = [0; UNIT_LEN];
                let written = die.program(at, &unit).and_then(|()| die.read(at, &mut back));
                if written.is_ok() && back == unit {
                    self.record.mark = mark;
                    return Ok(());
                }
            }
        }
        self.write(die, Record { mark, ..self.record })
    }

    fn erase<D: NorFlash>(&mut self, die: &mut D, page: u32) -> Result<(), FlashError> {
        let bit = 1u8.checked_shl(page).unwrap_or(0);
        if self.stubborn & bit != 0 {
            return Err(FlashError::HardwareFault);
        }
        if self.blank & bit == 0 {
            if let Err(error) = die.erase(self.unit_address(page, 0)?) {
                self.stubborn |= bit;
                return Err(error);
            }
            self.blank |= bit;
        }
        Ok(())
    }

    fn write_page<D: NorFlash>(&mut self, die: &mut D, page: u32, record: &Record) -> Result<(), FlashError> {
        self.erase(die, page)?;
        self.blank &= !1u8.checked_shl(page).unwrap_or(0);
        let bytes = record.encode();
        for first_unit in [0, RECORD_UNITS] {
            die.program(self.unit_address(page, first_unit)?, &bytes)?;
            if self.read_copy(die, page, first_unit).as_ref() != Some(record) {
                return Err(FlashError::HardwareFault);
            }
        }
        Ok(())
    }

    fn unit_address(&self, page: u32, unit: u32) -> Result<FlashAddress, FlashError> {
        page.checked_mul(self.page_bytes)
            .and_then(|start| unit.checked_mul(UNIT_BYTES)?.checked_add(start))
            .and_then(|offset| self.part.start.plus(offset))
            .ok_or(FlashError::OutOfRange)
    }

    fn read_unit<D: NorFlash>(&self, die: &mut D, page: u32, unit: u32) -> Unit {
        let erased = die.geometry().erased_byte;
        let mut bytes = [0; UNIT_LEN];
        match self.unit_address(page, unit).and_then(|at| die.read(at, &mut bytes)) {
            Ok(()) if bytes.iter().all(|b| *b == erased) => Unit::Erased,
            Ok(()) => Unit::Holds(bytes),
            Err(_) => Unit::Unreadable,
        }
    }

    fn read_copy<D: NorFlash>(&self, die: &mut D, page: u32, first_unit: u32) -> Option<Record> {
        let mut bytes = [0; RECORD_LEN];
        for (unit, room) in (first_unit..).zip(bytes.chunks_exact_mut(UNIT_LEN)) {
            let Unit::Holds(held) = self.read_unit(die, page, unit) else { return None };
            room.copy_from_slice(&held);
        }
        Record::decode(&bytes)
    }

    /// Whether a unit of the second copy, from `unit` on, is not erased.
    fn holds_any<D: NorFlash>(&self, die: &mut D, page: u32, unit: u32) -> bool {
        (unit..FIRST_MARK).any(|unit| !matches!(self.read_unit(die, page, unit), Unit::Erased))
    }

    /// Takes the last mark that reads well. One that does not was being written when power failed: what it would
    /// have announced was not touched.
    fn read_marks<D: NorFlash>(&mut self, die: &mut D, page: u32) {
        let units = self.page_bytes.checked_div(UNIT_BYTES).unwrap_or(0);
        for unit in FIRST_MARK..units {
            match self.read_unit(die, page, unit) {
                Unit::Erased => {}
                Unit::Unreadable => self.next_mark = unit.saturating_add(1),
                Unit::Holds(bytes) => {
                    self.next_mark = unit.saturating_add(1);
                    if let Some(mark) = decode_mark(self.record.session, &bytes) {
                        self.record.mark = mark;
                    }
                }
            }
        }
    }
}
