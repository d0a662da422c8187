//! Why a bundle is refused, in words fit for "bundle refused: ...".

use core::fmt;

use crate::cbor::CborError;
use crate::{AREAS_MAX, ENVELOPE_LEN_MAX};

/// Why a bundle, envelope or manifest is refused. Always the fault of its maker, or of who changed it since.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refused {
    /// The envelope is longer than [`ENVELOPE_LEN_MAX`]; holds its length in bytes.
    EnvelopeTooLong(u64),
    /// The envelope is not a COSE_Sign1 of the prescribed form.
    Envelope(CborError),
    /// Signed with another algorithm than Ed25519.
    Algorithm,
    /// Signed by a key that is not among the owner's; holds the id of that key.
    UnknownKey([u8; 8]),
    /// The signature does not fit the bytes: they were changed, or another key signed them.
    Signature,
    /// The manifest is not canonical CBOR of the prescribed form.
    Manifest(CborError),
    /// A manifest format of another version; holds that version.
    FormatVersion(u64),
    /// The manifest is well-formed but contradicts itself.
    Contradiction(ManifestFault),
    /// The manifest is not for this device.
    Mismatch(Mismatch),
    /// The file around the envelope is damaged.
    File(FileFault),
}

/// How a manifest contradicts itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ManifestFault {
    /// No area, or more than [`AREAS_MAX`].
    AreaCount(u64),
    /// Area ids do not rise strictly.
    AreaOrder,
    /// An area is empty.
    AreaEmpty(u32),
    /// An area does not start on one of its pages.
    AreaMisaligned(u32),
    /// An area ends beyond the last address.
    AreaWraps(u32),
    /// The page size of an area is no power of two or outside [`crate::PAGE_SIZES`].
    PageSize(u32),
    /// Two areas of one memory have pages of different sizes: they were made for different devices.
    PageSizesDiffer(u32, u32),
    /// An area has more or fewer digests than pages.
    DigestCount(u32),
    /// An application-owned area, which has no image, has a digest.
    DigestOfNothing(u32),
    /// Two areas share a page.
    AreasOverlap(u32, u32),
    /// The lower end of a range lies above its upper end.
    EmptyRange,
    /// The sequence is 0 or above [`crate::SEQUENCE_MAX`].
    Sequence,
}

/// Why a manifest is not for a device.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mismatch {
    /// It names another device class.
    DeviceClass,
    /// The device's board revision is outside its range.
    BoardRevision {
        /// Of the device.
        device: u32,
        /// Least accepted.
        least: u32,
        /// Greatest accepted.
        greatest: u32,
    },
    /// The system call ABI of the device's hypervisor is outside its range.
    Abi {
        /// Of the device.
        device: u32,
        /// Least accepted.
        least: u32,
        /// Greatest accepted.
        greatest: u32,
    },
}

/// What is wrong with a bundle file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FileFault {
    /// It does not start with the magic: no bundle at all.
    Magic,
    /// It ends too early; both in bytes.
    Truncated {
        /// Length that the header and manifest prescribe.
        expected: u64,
        /// Length found.
        found: u64,
    },
    /// Bytes follow the last image; both in bytes.
    Oversized {
        /// Length that the manifest prescribes.
        expected: u64,
        /// Length found.
        found: u64,
    },
    /// The image of an area does not have the digest that the manifest names; holds the area id.
    ImageDigest(u32),
    /// The image of a fill area has a byte that is not 0xFF; holds the area id.
    NotErased(u32),
    /// A page of an image does not have the digest that the manifest names.
    PageDigest {
        /// Area id.
        area: u32,
        /// Page, counted from the start of the area.
        page: u32,
    },
}

/// Bytes of a key id in hex.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EnvelopeTooLong(len) => {
                write!(f, "the envelope of {len} bytes is longer than {ENVELOPE_LEN_MAX}")
            }
            Self::Envelope(e) => write!(f, "the envelope is malformed: {e}"),
            Self::Algorithm => write!(f, "the signature algorithm is not Ed25519"),
            Self::UnknownKey(id) => {
                write!(f, "signed by key {}, which the owner of this device has not listed", Hex(id))
            }
            Self::Signature => write!(f, "the signature is wrong"),
            Self::Manifest(e) => write!(f, "the manifest is malformed: {e}"),
            Self::FormatVersion(v) => write!(f, "manifest format {v} is not known here; format 1 is"),
            Self::Contradiction(e) => write!(f, "the manifest contradicts itself: {e}"),
            Self::Mismatch(e) => write!(f, "made for another device: {e}"),
            Self::File(e) => write!(f, "{e}"),
        }
    }
}

impl fmt::Display for ManifestFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AreaCount(n) => write!(f, "{n} areas, where 1 to {AREAS_MAX} are allowed"),
            Self::AreaOrder => write!(f, "area ids do not rise"),
            Self::AreaEmpty(id) => write!(f, "area {id} is empty"),
            Self::AreaMisaligned(id) => write!(f, "area {id} does not start on a page"),
            Self::AreaWraps(id) => write!(f, "area {id} ends beyond the last address"),
            Self::PageSize(id) => write!(f, "area {id} has an impossible page size"),
            Self::PageSizesDiffer(a, b) => {
                write!(f, "areas {a} and {b} lie in one memory and have pages of different sizes")
            }
            Self::DigestCount(id) => write!(f, "area {id} does not have one digest a page"),
            Self::DigestOfNothing(id) => write!(f, "area {id} has no image and yet a digest"),
            Self::AreasOverlap(a, b) => write!(f, "areas {a} and {b} share a page"),
            Self::EmptyRange => write!(f, "a range of revisions is empty"),
            Self::Sequence => write!(f, "the sequence is 0 or too large"),
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeviceClass => write!(f, "it names another device class"),
            Self::BoardRevision { device, least, greatest } => {
                write!(f, "board revision {device} is outside {least} to {greatest}")
            }
            Self::Abi { device, least, greatest } => {
                write!(f, "the hypervisor offers ABI {device}, the application needs {least} to {greatest}")
            }
        }
    }
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => write!(f, "this is not a bundle file"),
            Self::Truncated { expected, found } => {
                write!(f, "the file is truncated: {found} bytes of {expected}")
            }
            Self::Oversized { expected, found } => {
                write!(f, "the file is too long: {found} bytes where {expected} belong")
            }
            Self::ImageDigest(area) => write!(f, "the image of area {area} is damaged, or of another bundle"),
            Self::NotErased(area) => write!(f, "fill area {area} has bytes other than 0xFF"),
            Self::PageDigest { area, page } => {
                write!(f, "page {page} of area {area} is damaged, or of another bundle")
            }
        }
    }
}

impl core::error::Error for Refused {}
