//! What a file asks to be loaded, whatever its format.

use crate::{BuildError, INPUT_LEN_MAX, elf, hex};

/// Format of an input file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// By its first bytes: ELF, then HEX, else BIN.
    Detect,
    /// ELF, loaded at the physical addresses of its program headers.
    Elf,
    /// Intel HEX.
    Hex,
    /// Bare bytes.
    Bin,
}

impl Format {
    /// How `file` is to be read: this, or what its first bytes say if they are to be asked.
    #[must_use]
    pub fn of(self, file: &[u8]) -> Self {
        match self {
            Self::Elf | Self::Hex | Self::Bin => self,
            Self::Detect if file.starts_with(b"\x7fELF") => Self::Elf,
            Self::Detect if hex::looks_like_hex(file) => Self::Hex,
            Self::Detect => Self::Bin,
        }
    }
}

/// Bytes and where they go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Segment {
    /// First address.
    pub address: u32,
    /// At least one byte.
    pub bytes: Vec<u8>,
}

impl Segment {
    /// The address behind the last byte; 2^32 at most.
    pub(crate) fn end(&self) -> u64 {
        u64::from(self.address) + self.bytes.len() as u64
    }
}

/// What is to be loaded: segments by rising address that neither overlap nor touch.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Image {
    pub(crate) segments: Vec<Segment>,
}

impl Image {
    /// Sorts and joins segments.
    pub(crate) fn from_segments(mut segments: Vec<Segment>) -> Result<Self, BuildError> {
        segments.retain(|segment| !segment.bytes.is_empty());
        segments.sort_by_key(|segment| segment.address);
        let mut joined: Vec<Segment> = Vec::new();
        for segment in segments {
            match joined.last_mut() {
                Some(last) if last.end() > u64::from(segment.address) => {
                    return Err(BuildError::SegmentsOverlap(segment.address));
                }
                Some(last) if last.end() == u64::from(segment.address) => last.bytes.extend(segment.bytes),
                Some(_) | None => joined.push(segment),
            }
        }
        if joined.is_empty() { Err(BuildError::Empty) } else { Ok(Self { segments: joined }) }
    }

    /// The segments, by rising address.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }
}

/// Reads a file. `bin_address` is where the bytes of a BIN file go.
///
/// # Errors
/// [`BuildError`]: what is wrong with the file.
pub fn read_image(file: &[u8], format: Format, bin_address: u32) -> Result<Image, BuildError> {
    if file.len() > INPUT_LEN_MAX {
        return Err(BuildError::InputTooLarge(file.len()));
    }
    if file.is_empty() {
        return Err(BuildError::Empty);
    }
    let segments = match format.of(file) {
        Format::Elf => elf::segments(file)?,
        Format::Hex => hex::segments(file)?,
        Format::Bin | Format::Detect => vec![Segment { address: bin_address, bytes: file.to_vec() }],
    };
    Image::from_segments(segments)
}
