//! ELF, HEX or BIN in, signed bundle out.
//!
//! ```text
//! bytes of a file -> read_image -> Image (segments) -> build -> Bundle (file, manifest digest)
//! ```
//! The board's description says which addresses are whose, so a program that would not run is refused here, with the
//! address that is wrong, and not on the device. The output is deterministic: equal input, equal bytes.
#![forbid(unsafe_code)]

mod bundle;
mod difference;
mod elf;
mod hex;
mod image;
mod key;
mod sealed;
mod used_memory;

pub use bulkhead_bundle_format::{
    CRASH_RANGES_MAX, Confirm, CrashMemory, CrashRange, DEBUG_KEYS_MAX, DebugHalt, DebugKeys, Medium, Policy,
    Revisions, Signer,
};
pub use bundle::{Bundle, FIRST_RESERVED, Purpose, Release, Reserved, build};
pub use difference::{AreaDifference, compare};
pub use hex::HexFault;
pub use image::{Format, Image, Segment, read_image};
pub use key::{
    KeyError, OpenKey, generate_debug_key, generate_debug_key_sealed, generate_key, generate_key_sealed,
    load_debug_key, load_debug_key_sealed, load_key, load_key_sealed, parse_public_debug_key,
    parse_public_key, write_public_debug_key, write_public_key,
};

pub use sealed::PASSPHRASE_LEN_MIN;
pub use used_memory::used_memory;

use bulkhead_bundle_format::Refused;

/// Largest input file in bytes: four times what fits the largest board, as HEX.
pub const INPUT_LEN_MAX: usize = 64 << 20;

/// Why no bundle was made. All but `Board` are about the input; the text says what to change.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BuildError {
    /// The file is larger than any application.
    #[error("the file has {0} bytes; no application needs more than {INPUT_LEN_MAX}")]
    InputTooLarge(usize),
    /// There is nothing to load in it.
    #[error("the file is empty: it has no bytes that are to be loaded")]
    Empty,
    /// Not an ELF file for this chip.
    #[error("not a program for this board: {0}")]
    Elf(String),
    /// Not Intel HEX.
    #[error("line {line} of the HEX file: {fault}")]
    Hex {
        /// Line, from 1.
        line: usize,
        /// What is wrong there.
        fault: HexFault,
    },
    /// Bytes for addresses that the application does not have.
    #[error(
        "{len} bytes at {address:#010x} lie outside the application's flash; on {board} that is {regions}"
    )]
    OutsideRegions {
        /// First address of the offending segment.
        address: u32,
        /// Length of the segment in bytes.
        len: usize,
        /// The board.
        board: String,
        /// The regions that may be loaded.
        regions: String,
    },
    /// Bytes that start in a region and end outside it.
    #[error("too large: the segment at {address:#010x} ends {excess} bytes behind the end of {region}")]
    TooLarge {
        /// First address of the segment.
        address: u32,
        /// Bytes too many.
        excess: u64,
        /// The region, with its addresses.
        region: String,
    },
    /// Bytes to be loaded into RAM, where nothing survives a restart.
    #[error(
        "{len} bytes at {address:#010x} are to be loaded into {region}, which is RAM: \
         give the section a load address in flash (`> ram AT > flash`) and copy it at start"
    )]
    LoadedIntoMemory {
        /// First address of the segment.
        address: u32,
        /// Length of the segment in bytes.
        len: usize,
        /// The region, with its addresses.
        region: String,
    },
    /// Two segments claim an address.
    #[error("two segments overlap at {0:#010x}")]
    SegmentsOverlap(u32),
    /// Nothing that a processor could start.
    #[error("no vector table at {address:#010x}: {why}")]
    NoVectorTable {
        /// Where it has to be.
        address: u32,
        /// What is there instead.
        why: String,
    },
    /// Pages that cannot be reserved.
    #[error("cannot reserve {place}: {why}")]
    Reserved {
        /// Memory, offset and length.
        place: String,
        /// What stands in the way.
        why: String,
    },
    /// A text that is empty or too long.
    #[error("the {what} `{text}` is not 1 to {len_max} bytes long")]
    Text {
        /// What it is.
        what: &'static str,
        /// What was given.
        text: String,
        /// Longest that a manifest takes, in bytes.
        len_max: usize,
    },
    /// The manifest would be refused by every device.
    #[error("the bundle would be refused: {0}")]
    Refused(#[from] Refused),
    /// The board's description does not say where the application's flash is: our own fault.
    #[error("{0}")]
    Board(String),
}
