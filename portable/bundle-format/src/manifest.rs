//! The manifest: which application, for which devices, in which pages of flash.

use core::ops::Range;

use sha2::{Digest as _, Sha256};

use crate::cbor::{CborError, CborFault, Major, Reader};
use crate::crash_memory::CrashMemory;
use crate::debug_keys::DebugKeys;
use crate::refused::{ManifestFault, Mismatch, Refused};
use crate::{
    AREAS_MAX, DEVICE_CLASS_LEN_MAX, FORMAT_VERSION, NAME_LEN_MAX, PAGE_SIZES, SEQUENCE_MAX, UPDATE_ID_LEN,
    VERSION_LEN_MAX,
};

/// SHA-256. Of a manifest's payload it is the manifest's name everywhere: on the link, in the journal, in the API.
pub type Digest = [u8; 32];

/// Length of a digest in bytes.
const DIGEST_LEN: usize = 32;

/// Keys that a manifest has, all of them.
const MANIFEST_KEYS: u64 = 11;

/// Keys that an area has, all of them.
const AREA_KEYS: u64 = 8;

/// Policy key: longest time the application may postpone an update, in seconds.
const POLICY_POSTPONE_MAX_S: u64 = 1;
/// Policy key: whether the application has to confirm that it works; 0 no, anything else yes.
const POLICY_CONFIRM: u64 = 2;
/// Policy key: time without a fault that a trial takes at least, in seconds.
const POLICY_TRIAL_WINDOW_S: u64 = 3;
/// Policy key: starts of the hypervisor that an unconfirmed trial survives.
const POLICY_TRIAL_BOOTS: u64 = 4;
/// Policy key: whether areas that the running application owns may be given up; 1 yes, anything else no.
pub(crate) const POLICY_GIVES_UP_OWNED: u64 = 8;
/// Policy key: the developers who may debug the application, as their keys one after the other.
pub(crate) const POLICY_DEBUG_KEYS: u64 = 16;
/// Policy key: memory that a crash dump holds, as ranges one after the other.
pub(crate) const POLICY_CRASH_MEMORY: u64 = 17;
/// Policy key: how far those developers may go; 0 all the way.
pub(crate) const POLICY_DEBUG_HALT: u64 = 18;
/// Policy key: how long the application stands still for a developer who is not heard of, in seconds.
pub(crate) const POLICY_DEBUG_SILENCE_S: u64 = 19;

/// Which memory an area lies in.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "encode", derive(Hash))]
#[repr(u8)]
pub enum Medium {
    /// Flash on the die.
    Die = 0,
    /// Flash beside the chip.
    External = 1,
}

impl Medium {
    /// As it is told to people, and as they name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Die => "die",
            Self::External => "external",
        }
    }
}

/// What an area is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum AreaKind {
    /// Code, and constants among it.
    Code = 0,
    /// Constants alone.
    Constant = 1,
    /// Belongs to the application: no image, no digests, never touched by an update.
    ApplicationOwned = 2,
    /// Every byte is 0xFF: reserved and erased.
    Fill = 3,
}

/// A range of revisions, both ends included.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Revisions {
    /// Least accepted.
    pub least: u32,
    /// Greatest accepted.
    pub greatest: u32,
}

impl Revisions {
    /// Whether `revision` lies in the range.
    pub const fn contains(self, revision: u32) -> bool {
        self.least <= revision && revision <= self.greatest
    }
}

/// What the owner lays down about running and updating the application.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Policy {
    /// Longest time the application may postpone an update, in seconds; the hypervisor's default if absent.
    pub postpone_max_s: Option<u32>,
    /// Who says that a new version works.
    pub confirm: Confirm,
    /// Time without a fault that a trial takes at least, in seconds; the hypervisor's default if absent.
    pub trial_window_s: Option<u32>,
    /// Starts of the hypervisor that an unconfirmed trial survives; the engine's default if absent.
    pub trial_boots: Option<u32>,
    /// Areas that the running application owns may be moved, shrunk or dropped: what is in them is given up.
    pub gives_up_owned: bool,
    /// Developers who may debug the application; with none, nobody can.
    pub debug_keys: DebugKeys,
    /// Memory that a crash dump for those developers holds; stack and all writable memory if absent.
    pub crash_memory: Option<CrashMemory>,
    /// How far they may go.
    pub debug_halt: DebugHalt,
    /// How long the application stands still for a developer who is not heard of, in seconds; `u32::MAX`: until they come
    /// back.
    pub debug_silence_s: Option<u32>,
}

/// What a developer may do to the application that they debug, beside reading and writing its memory.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum DebugHalt {
    /// Stop it.
    #[default]
    Allow,
    /// Have it print where it passes; it never stands still.
    LogpointsOnly,
    /// Nothing: it runs as if nobody looked.
    Never,
}

/// Who says, at the device, that a new version works.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Confirm {
    /// It has run for the trial's window without a fault.
    #[default]
    Auto,
    /// The application itself, by a system call, besides.
    Application,
}

/// One contiguous piece of the application, written as whole pages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Area<'a> {
    /// Number, unique and rising in the manifest.
    pub id: u32,
    /// Memory.
    pub medium: Medium,
    /// First byte, counted from the start of that memory's application part; a multiple of `page_size`.
    pub base: u32,
    /// Length of the image in bytes, at least 1.
    pub length: u32,
    /// Use.
    pub kind: AreaKind,
    /// Bytes of a page: the erase size of the memory, a power of two.
    pub page_size: u32,
    /// SHA-256 of the image (unpadded); zeros for [`AreaKind::ApplicationOwned`].
    pub digest: &'a Digest,
    page_digests: &'a [u8],
    page_digests_at: usize,
}

impl<'a> Area<'a> {
    /// Pages that an update writes: 0 for [`AreaKind::ApplicationOwned`].
    pub fn page_count(&self) -> u32 {
        match self.kind {
            AreaKind::ApplicationOwned => 0,
            AreaKind::Code | AreaKind::Constant | AreaKind::Fill => self.length.div_ceil(self.page_size),
        }
    }

    /// Length of the image in the bundle in bytes: 0 for [`AreaKind::ApplicationOwned`].
    pub fn image_len(&self) -> u32 {
        match self.kind {
            AreaKind::ApplicationOwned => 0,
            AreaKind::Code | AreaKind::Constant | AreaKind::Fill => self.length,
        }
    }

    /// SHA-256 of page `page`, padded with 0xFF to its full size; `None` beyond the last page.
    pub fn page_digest(&self, page: u32) -> Option<&'a Digest> {
        let start = usize::try_from(page).ok()?.checked_mul(DIGEST_LEN)?;
        self.page_digests.get(start..start.checked_add(DIGEST_LEN)?)?.try_into().ok()
    }

    /// Where the page digests lie: bytes from the start of the envelope that was given to [`crate::verify`] (of the
    /// payload that was given to [`Manifest::parse`]). Digest `i` is the 32 bytes at `start + 32 * i`.
    pub fn page_digests_range(&self) -> Range<usize> {
        self.page_digests_at..self.page_digests_at.saturating_add(self.page_digests.len())
    }

    /// Offset of page `page` from the start of the memory's application part; `None` beyond the last page.
    pub fn page_offset(&self, page: u32) -> Option<u32> {
        if page < self.page_count() { self.base.checked_add(page.checked_mul(self.page_size)?) } else { None }
    }

    /// Bytes of the image in page `page`: the page size, less in the last one; `None` beyond the last page.
    pub fn page_len(&self, page: u32) -> Option<u32> {
        let start = page.checked_mul(self.page_size)?;
        let rest = self.image_len().checked_sub(start)?;
        if rest == 0 { None } else { Some(rest.min(self.page_size)) }
    }

    /// First offset behind the last page, as `u64` because the last page may end at 2^32.
    pub fn pages_end(&self) -> u64 {
        u64::from(self.base) + u64::from(self.length).next_multiple_of(u64::from(self.page_size))
    }

    fn parse(r: &mut Reader<'a>, offset: usize) -> Result<Self, Refused> {
        r.counted(Major::Map, AREA_KEYS)?;
        r.key(0)?;
        let id = r.u32()?;
        r.key(1)?;
        let medium = match number(r)? {
            (0, _) => Medium::Die,
            (1, _) => Medium::External,
            (_, at) => return Err(out_of_range(at)),
        };
        r.key(2)?;
        let base = r.u32()?;
        r.key(3)?;
        let length = r.u32()?;
        r.key(4)?;
        let kind = match number(r)? {
            (0, _) => AreaKind::Code,
            (1, _) => AreaKind::Constant,
            (2, _) => AreaKind::ApplicationOwned,
            (3, _) => AreaKind::Fill,
            (_, at) => return Err(out_of_range(at)),
        };
        r.key(5)?;
        let page_size = r.u32()?;
        r.key(6)?;
        let digest = r.byte_array()?;
        r.key(7)?;
        let page_digests = r.bytes()?;
        let page_digests_at = (offset + r.position()).saturating_sub(page_digests.len());
        let area = Self { id, medium, base, length, kind, page_size, digest, page_digests, page_digests_at };
        area.check().map_err(Refused::Contradiction)?;
        Ok(area)
    }

    fn check(&self) -> Result<(), ManifestFault> {
        if !self.page_size.is_power_of_two() || !PAGE_SIZES.contains(&self.page_size) {
            return Err(ManifestFault::PageSize(self.id));
        }
        if self.length == 0 {
            return Err(ManifestFault::AreaEmpty(self.id));
        }
        if !self.base.is_multiple_of(self.page_size) {
            return Err(ManifestFault::AreaMisaligned(self.id));
        }
        if self.pages_end() > 1 << 32 {
            return Err(ManifestFault::AreaWraps(self.id));
        }
        let digests = u64::from(self.page_count()) * 32;
        if u64::try_from(self.page_digests.len()) != Ok(digests) {
            return Err(ManifestFault::DigestCount(self.id));
        }
        if self.kind == AreaKind::ApplicationOwned && *self.digest != [0; DIGEST_LEN] {
            return Err(ManifestFault::DigestOfNothing(self.id));
        }
        Ok(())
    }

    /// Whether the `length` bytes from `base` of `medium` lie in this area.
    pub fn holds(&self, medium: Medium, base: u32, length: u32) -> bool {
        let end = |base: u32, length: u32| u64::from(base) + u64::from(length);
        self.medium == medium && self.base <= base && end(base, length) <= end(self.base, self.length)
    }

    fn overlaps(&self, other: &Area<'_>) -> bool {
        self.medium == other.medium
            && u64::from(self.base) < other.pages_end()
            && u64::from(other.base) < self.pages_end()
    }
}

/// What the owner signed. Canonical and free of contradictions; [`crate::verify`] says who signed it.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest<'a> {
    /// Chosen by the bundle's maker; the same for the same bundle, another for any other.
    pub update_id: &'a [u8; UPDATE_ID_LEN],
    /// Rises with each release, 1 to [`SEQUENCE_MAX`]; a lower one is refused by a device.
    pub sequence: u64,
    /// Least security counter that a device accepts afterwards.
    pub security_counter: u32,
    /// Devices that it is for.
    pub device_class: &'a str,
    /// Board revisions that it is for.
    pub board_revisions: Revisions,
    /// System call ABIs that the application can work with.
    pub abi: Revisions,
    /// Name of the application, for people.
    pub name: &'a str,
    /// Version of the application, for people.
    pub version: &'a str,
    /// Policy.
    pub policy: Policy,
    payload: &'a [u8],
    areas: [Option<Area<'a>>; AREAS_MAX],
}

impl<'a> Manifest<'a> {
    /// Reads and checks a payload. Says nothing about who signed it: that is [`crate::verify`].
    ///
    /// # Errors
    /// [`Refused`]: the maker's fault.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Refused> {
        Self::parse_at(payload, 0)
    }

    /// As [`Self::parse`]; `offset` is where the payload lies in its envelope.
    pub(crate) fn parse_at(payload: &'a [u8], offset: usize) -> Result<Self, Refused> {
        let r = &mut Reader::new(payload);
        // The version comes first, so that a later format is named as such and not as malformed.
        let keys = r.expect(Major::Map)?;
        r.key(0)?;
        match r.unsigned()? {
            FORMAT_VERSION if keys == MANIFEST_KEYS => {}
            FORMAT_VERSION => return Err(r.fault(CborFault::WrongKeys).into()),
            newer => return Err(Refused::FormatVersion(newer)),
        }
        r.key(1)?;
        let update_id = r.byte_array()?;
        r.key(2)?;
        let sequence = r.unsigned()?;
        r.key(3)?;
        let security_counter = r.u32()?;
        r.key(4)?;
        let device_class = r.text(DEVICE_CLASS_LEN_MAX)?;
        r.key(5)?;
        let board_revisions = revisions(r)?;
        r.key(6)?;
        let abi = revisions(r)?;
        r.key(7)?;
        let name = r.text(NAME_LEN_MAX)?;
        r.key(8)?;
        let version = r.text(VERSION_LEN_MAX)?;
        r.key(9)?;
        let areas = areas(r, offset)?;
        r.key(10)?;
        let policy = policy(r)?;
        r.end()?;
        if sequence == 0 || sequence > SEQUENCE_MAX {
            return Err(Refused::Contradiction(ManifestFault::Sequence));
        }
        Ok(Self {
            update_id,
            sequence,
            security_counter,
            device_class,
            board_revisions,
            abi,
            name,
            version,
            policy,
            payload,
            areas,
        })
    }

    /// The areas, by rising id.
    pub fn areas(&self) -> impl Iterator<Item = &Area<'a>> {
        self.areas.iter().flatten()
    }

    /// The area with this id.
    pub fn area(&self, id: u32) -> Option<&Area<'a>> {
        self.areas().find(|area| area.id == id)
    }

    /// The bytes that were signed.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The manifest's name: SHA-256 of its payload.
    pub fn digest(&self) -> Digest {
        Sha256::digest(self.payload).into()
    }

    /// Whether the manifest is for a device; class, board and ABI in this order.
    ///
    /// # Errors
    /// [`Mismatch`]: the owner chose the wrong bundle for this device, or the wrong device for this bundle.
    pub fn compatible(&self, device_class: &str, board_revision: u32, abi: u32) -> Result<(), Mismatch> {
        if self.device_class != device_class {
            return Err(Mismatch::DeviceClass);
        }
        let Revisions { least, greatest } = self.board_revisions;
        if !self.board_revisions.contains(board_revision) {
            return Err(Mismatch::BoardRevision { device: board_revision, least, greatest });
        }
        let Revisions { least, greatest } = self.abi;
        if !self.abi.contains(abi) {
            return Err(Mismatch::Abi { device: abi, least, greatest });
        }
        Ok(())
    }
}

/// The digest of a page: SHA-256 of `bytes` padded with 0xFF to `page_size`.
pub fn page_digest(bytes: &[u8], page_size: u32) -> Digest {
    const ERASED: [u8; 64] = [0xFF; 64];
    let mut sha = Sha256::new_with_prefix(bytes);
    let mut rest = usize::try_from(page_size).unwrap_or(usize::MAX).saturating_sub(bytes.len());
    while rest > 0 {
        let piece = ERASED.get(..rest).unwrap_or(&ERASED);
        sha.update(piece);
        rest -= piece.len();
    }
    sha.finalize().into()
}

impl From<CborError> for Refused {
    fn from(error: CborError) -> Self {
        Self::Manifest(error)
    }
}

fn out_of_range(at: usize) -> Refused {
    Refused::Manifest(CborError { at, fault: CborFault::OutOfRange })
}

/// A number and where it stood.
fn number(r: &mut Reader<'_>) -> Result<(u64, usize), CborError> {
    let at = r.position();
    Ok((r.unsigned()?, at))
}

fn revisions(r: &mut Reader<'_>) -> Result<Revisions, Refused> {
    r.counted(Major::Array, 2)?;
    let (least, greatest) = (r.u32()?, r.u32()?);
    if least > greatest {
        return Err(Refused::Contradiction(ManifestFault::EmptyRange));
    }
    Ok(Revisions { least, greatest })
}

fn areas<'a>(r: &mut Reader<'a>, offset: usize) -> Result<[Option<Area<'a>>; AREAS_MAX], Refused> {
    let count = r.expect(Major::Array)?;
    let mut areas: [Option<Area<'a>>; AREAS_MAX] = [None; AREAS_MAX];
    let wanted = usize::try_from(count).ok().filter(|n| *n > 0).and_then(|n| areas.get_mut(..n));
    let wanted = wanted.ok_or(Refused::Contradiction(ManifestFault::AreaCount(count)))?;
    let mut last: Option<u32> = None;
    for slot in wanted {
        let area = Area::parse(r, offset)?;
        if last.is_some_and(|last| area.id <= last) {
            return Err(Refused::Contradiction(ManifestFault::AreaOrder));
        }
        last = Some(area.id);
        *slot = Some(area);
    }
    for (n, area) in areas.iter().flatten().enumerate() {
        if let Some(other) = areas.iter().flatten().take(n).find(|other| area.overlaps(other)) {
            return Err(Refused::Contradiction(ManifestFault::AreasOverlap(other.id, area.id)));
        }
        let is_of_another_device =
            |other: &&Area<'a>| other.medium == area.medium && other.page_size != area.page_size;
        if let Some(other) = areas.iter().flatten().take(n).find(is_of_another_device) {
            return Err(Refused::Contradiction(ManifestFault::PageSizesDiffer(other.id, area.id)));
        }
    }
    Ok(areas)
}

/// Reads the policy. Keys of a later version are skipped: a policy never widens what a device does unasked.
fn policy(r: &mut Reader<'_>) -> Result<Policy, Refused> {
    let mut policy = Policy::default();
    let mut last = None;
    for _ in 0..r.expect(Major::Map)? {
        let key = r.rising_key(last)?;
        last = Some(key);
        match key {
            POLICY_POSTPONE_MAX_S => policy.postpone_max_s = Some(r.u32()?),
            // What a later version means by another number asks for no less than confirmation.
            POLICY_CONFIRM => {
                policy.confirm = if r.u32()? == 0 { Confirm::Auto } else { Confirm::Application };
            }
            POLICY_TRIAL_WINDOW_S => policy.trial_window_s = Some(r.u32()?),
            POLICY_TRIAL_BOOTS => policy.trial_boots = Some(r.u32()?),
            POLICY_GIVES_UP_OWNED => policy.gives_up_owned = r.u32()? == 1,
            POLICY_DEBUG_KEYS => {
                let at = r.position();
                policy.debug_keys = DebugKeys::from_bytes(r.bytes()?).ok_or_else(|| out_of_range(at))?;
            }
            POLICY_CRASH_MEMORY => {
                let at = r.position();
                policy.crash_memory =
                    Some(CrashMemory::from_bytes(r.bytes()?).ok_or_else(|| out_of_range(at))?);
            }
            // What a later version means by another number allows no more than the strictest.
            POLICY_DEBUG_HALT => {
                policy.debug_halt = match r.u32()? {
                    0 => DebugHalt::Allow,
                    1 => DebugHalt::LogpointsOnly,
                    _ => DebugHalt::Never,
                }
            }
            POLICY_DEBUG_SILENCE_S => policy.debug_silence_s = Some(r.u32()?),
            _ => r.skip()?,
        }
    }
    Ok(policy)
}
