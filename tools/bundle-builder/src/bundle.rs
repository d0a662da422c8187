//! From segments to areas, manifest and signed file.

use bulkhead_board_description::{Access, Board, Part, Region};
use bulkhead_bundle_format::{
    AreaImage, AreaKind, Digest, Manifest, ManifestFields, Medium, NAME_LEN_MAX, Policy, Revisions, Signer,
    UPDATE_ID_LEN, VERSION_LEN_MAX, encode_manifest, write_bundle,
};
use sha2::{Digest as _, Sha256};

use crate::BuildError;
use crate::image::{Image, Segment};

/// Keeps the digest that becomes the update id from meaning anything else.
const UPDATE_ID_CONTEXT: &[u8] = b"bulkhead/update-id/1";

/// Id of the first reserved area; those of the program have 1 and 2.
pub const FIRST_RESERVED: u32 = 3;

/// What the owner says about a release.
#[derive(Clone, Copy, Debug)]
pub struct Release<'a> {
    /// Name of the application, for people.
    pub name: &'a str,
    /// Version, for people.
    pub version: &'a str,
    /// Rises with each release, from 1; devices refuse lower ones.
    pub sequence: u64,
    /// Least security counter afterwards.
    pub security_counter: u32,
    /// System call ABIs that the application works with.
    pub abi: Revisions,
    /// Board revisions that it is for.
    pub board_revisions: Revisions,
    /// Policy.
    pub policy: Policy,
    /// Areas beside the program's own.
    pub reserved: &'a [Reserved],
}

/// Pages of the application's flash that the program does not fill.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reserved {
    /// What becomes of them.
    pub purpose: Purpose,
    /// Memory.
    pub medium: Medium,
    /// First byte, counted from the start of that memory's application part; a multiple of its page size.
    pub base: u32,
    /// Length in bytes, a multiple of the page size.
    pub length: u32,
}

/// What becomes of reserved pages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// They are the application's own: no update ever touches them.
    Owned,
    /// They are erased by the update.
    Fill,
}

/// A signed bundle.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Bundle {
    /// The bytes of the bundle file.
    pub file: Vec<u8>,
    /// The manifest's digest: the bundle's name everywhere.
    pub manifest: Digest,
}

/// Makes and signs a bundle for `board`.
///
/// Each of the board's flash regions that the image touches becomes one area, from the page of its first byte on;
/// gaps are filled with 0xFF. The update id follows from everything else, so equal input gives equal bytes.
///
/// # Errors
/// [`BuildError`] names the address or field that is wrong.
pub fn build(
    board: &Board,
    image: &Image,
    release: &Release<'_>,
    signer: &Signer,
) -> Result<Bundle, BuildError> {
    check_text("name", release.name, NAME_LEN_MAX)?;
    check_text("version", release.version, VERSION_LEN_MAX)?;
    let flashes = flashes(board)?;
    let mut contents: Vec<Option<Contents>> = flashes.iter().map(|_| None).collect();
    for segment in &image.segments {
        let at = place(board, &flashes, segment)?;
        if let (Some(flash), Some(slot)) = (flashes.get(at), contents.get_mut(at)) {
            slot.get_or_insert_with(|| Contents::from_page_of(segment, flash)).add(segment);
        }
    }
    if let Some((flash, contents)) = flashes.iter().zip(&contents).find(|(f, _)| f.medium == Medium::Die) {
        check_vectors(board, flash, contents.as_ref())?;
    }
    let mut areas: Vec<_> =
        flashes.iter().zip(&contents).filter_map(|(f, c)| c.as_ref().map(|c| f.area(c))).collect();
    let fills: Vec<_> = release.reserved.iter().map(Reserved::image).collect();
    for ((id, reserved), fill) in (FIRST_RESERVED..).zip(release.reserved).zip(&fills) {
        areas.push(reserve(&flashes, &areas, id, *reserved, fill)?);
    }
    let payload = payload(board, release, &areas)?;
    let file = write_bundle(&payload, &areas, signer)?;
    Ok(Bundle { file, manifest: Manifest::parse(&payload)?.digest() })
}

fn check_text(what: &'static str, text: &str, len_max: usize) -> Result<(), BuildError> {
    if (1..=len_max).contains(&text.len()) {
        return Ok(());
    }
    Err(BuildError::Text { what, text: text.to_owned(), len_max })
}

impl Reserved {
    /// What is in the file for it.
    fn image(&self) -> Vec<u8> {
        match self.purpose {
            Purpose::Owned => Vec::new(),
            Purpose::Fill => vec![0xFF; usize::try_from(self.length).unwrap_or(0)],
        }
    }
}

/// The area of reserved pages, if they can be had.
fn reserve<'i>(
    flashes: &[Flash<'_>],
    others: &[AreaImage<'_>],
    id: u32,
    reserved: Reserved,
    image: &'i [u8],
) -> Result<AreaImage<'i>, BuildError> {
    let Reserved { purpose, medium, base, length } = reserved;
    let place = format!("{}:{base:#x}+{length:#x}", reserved.medium.name());
    let refused = |why: String| BuildError::Reserved { place: place.clone(), why };
    let Some(flash) = flashes.iter().find(|flash| flash.medium == medium) else {
        return Err(refused("this board has no such memory for applications".into()));
    };
    let page_size = flash.page_size;
    if length == 0 || !base.is_multiple_of(page_size) || !length.is_multiple_of(page_size) {
        return Err(refused(format!(
            "offset and length have to be multiples of {page_size}, the erase size"
        )));
    }
    let end = u64::from(base) + u64::from(length);
    if end > u64::from(flash.part.length) {
        return Err(refused(format!("it ends behind the {:#x} bytes that are there", flash.part.length)));
    }
    let overlaps = |other: &&AreaImage<'_>| {
        let other_end =
            (u64::from(other.base) + u64::from(other.length)).next_multiple_of(u64::from(page_size));
        other.medium == medium && u64::from(base) < other_end && u64::from(other.base) < end
    };
    if let Some(other) = others.iter().find(overlaps) {
        let (start, length) = (other.base, other.length);
        return Err(refused(format!("area {} lies there, {length:#x} bytes from {start:#x}", other.id)));
    }
    let kind = match purpose {
        Purpose::Owned => AreaKind::ApplicationOwned,
        Purpose::Fill => AreaKind::Fill,
    };
    Ok(AreaImage { id, medium, base, length, kind, page_size, image })
}

/// A flash region of the application.
struct Flash<'b> {
    id: u32,
    medium: Medium,
    part: Part,
    page_size: u32,
    region: &'b Region,
}

impl Flash<'_> {
    fn area<'i>(&self, contents: &'i Contents) -> AreaImage<'i> {
        let kind = match self.region.access {
            Access::ReadExecute | Access::ReadWriteExecute => AreaKind::Code,
            Access::Read => AreaKind::Constant,
        };
        AreaImage {
            id: self.id,
            medium: self.medium,
            base: contents.address - self.region.base,
            length: u32::try_from(contents.bytes.len()).unwrap_or(u32::MAX),
            kind,
            page_size: self.page_size,
            image: &contents.bytes,
        }
    }
}

/// What an area is made of: contiguous from a page's start.
struct Contents {
    address: u32,
    bytes: Vec<u8>,
}

impl Contents {
    fn from_page_of(segment: &Segment, flash: &Flash<'_>) -> Self {
        let inside = segment.address - flash.region.base;
        Self { address: flash.region.base + inside / flash.page_size * flash.page_size, bytes: Vec::new() }
    }

    /// Appends a segment, which lies behind all before it.
    fn add(&mut self, segment: &Segment) {
        let at = usize::try_from(segment.address - self.address).unwrap_or(usize::MAX);
        self.bytes.resize(at, 0xFF);
        self.bytes.extend(&segment.bytes);
    }
}

/// The regions that lie in one of the application's parts of non-volatile memory.
fn flashes(board: &Board) -> Result<Vec<Flash<'_>>, BuildError> {
    let memory = &board.non_volatile;
    let media = [
        (1, Medium::Die, memory.die.application, memory.die.page_bytes),
        (2, Medium::External, memory.external.application, memory.external.sector_bytes),
    ];
    let find = |(id, medium, part, page_size): (u32, Medium, Part, u32)| {
        let base = memory.base.checked_add(part.offset);
        let region =
            board.application.region.iter().find(|r| Some(r.base) == base && r.length == part.length);
        region.map(|region| Flash { id, medium, part, page_size, region })
    };
    let flashes: Vec<_> = media.into_iter().filter_map(find).collect();
    if flashes.iter().any(|flash| flash.medium == Medium::Die) {
        Ok(flashes)
    } else {
        let name = &board.name;
        Err(BuildError::Board(format!(
            "board {name} has no application region over non_volatile.die.application"
        )))
    }
}

/// Which flash a segment lies in.
fn place(board: &Board, flashes: &[Flash<'_>], segment: &Segment) -> Result<usize, BuildError> {
    let address = segment.address;
    let holds =
        |region: &Region| address.checked_sub(region.base).is_some_and(|inside| inside < region.length);
    if let Some(at) = flashes.iter().position(|flash| holds(flash.region)) {
        let region = flashes.get(at).map(|flash| flash.region).ok_or(BuildError::Empty)?;
        let end = u64::from(region.base) + u64::from(region.length);
        return match segment.end().checked_sub(end) {
            None | Some(0) => Ok(at),
            Some(excess) => Err(BuildError::TooLarge { address, excess, region: named(region) }),
        };
    }
    let len = segment.bytes.len();
    if let Some(region) = board.application.region.iter().find(|region| holds(region)) {
        return Err(BuildError::LoadedIntoMemory { address, len, region: named(region) });
    }
    let regions: Vec<_> = flashes.iter().map(|flash| named(flash.region)).collect();
    let (board, regions) = (board.name.clone(), regions.join(" and "));
    Err(BuildError::OutsideRegions { address, len, board, regions })
}

fn named(region: &Region) -> String {
    let end = u64::from(region.base) + u64::from(region.length);
    format!("`{}` ({:#010x} to {:#010x})", region.name, region.base, end)
}

/// Refuses what the processor could not start: the first two words of die flash are stack pointer and entry.
fn check_vectors(board: &Board, flash: &Flash<'_>, contents: Option<&Contents>) -> Result<(), BuildError> {
    let address = flash.region.base;
    let refused = |why: String| Err(BuildError::NoVectorTable { address, why });
    let at_start = contents.filter(|contents| contents.address == address);
    let Some((words, _)) = at_start.and_then(|contents| contents.bytes.split_first_chunk::<8>()) else {
        return refused(format!("nothing is loaded there; it has to come first in {}", named(flash.region)));
    };
    let [s0, s1, s2, s3, e0, e1, e2, e3] = *words;
    let (stack, entry) = (u32::from_le_bytes([s0, s1, s2, s3]), u32::from_le_bytes([e0, e1, e2, e3]));
    let memory = board.application.region.iter().filter(|r| r.access == Access::ReadWriteExecute);
    // A stack grows down, so it may start right behind the end.
    let mut tops = memory.map(|r| u64::from(r.base) + 1..=u64::from(r.base) + u64::from(r.length));
    if !tops.any(|top| top.contains(&u64::from(stack))) {
        return refused(format!(
            "its first word, {stack:#010x}, is no stack pointer into the application's memory"
        ));
    }
    let len = contents.map_or(0, |contents| contents.bytes.len()) as u64;
    let code = (u64::from(address)..u64::from(address) + len.min(flash.part.length.into()))
        .contains(&u64::from(entry & !1));
    if entry & 1 == 0 || !code {
        return refused(format!("its second word, {entry:#010x}, is no Thumb address in the image"));
    }
    Ok(())
}

fn payload(board: &Board, release: &Release<'_>, areas: &[AreaImage<'_>]) -> Result<Vec<u8>, BuildError> {
    let fields = |update_id| ManifestFields {
        update_id,
        sequence: release.sequence,
        security_counter: release.security_counter,
        device_class: &board.device_class,
        board_revisions: release.board_revisions,
        abi: release.abi,
        name: release.name,
        version: release.version,
        areas,
        policy: release.policy,
    };
    let without_id = encode_manifest(&fields([0; UPDATE_ID_LEN]))?;
    let digest: [u8; 32] =
        Sha256::new_with_prefix(UPDATE_ID_CONTEXT).chain_update(&without_id).finalize().into();
    let (id, _) = digest.split_first_chunk().unwrap_or((&[0; UPDATE_ID_LEN], &[]));
    Ok(encode_manifest(&fields(*id))?)
}
