//! Every limit of the protocol, by name.

/// The version of this protocol.
pub const PROTOCOL_VERSION: u32 = 1;

/// Longest message in bytes.
///
/// A plaintext of the device link is at most 1,024 bytes. Lane and kind take 2 of them, the seal between developer and
/// device 16 for its tag and up to 46 for what the relay needs.
pub const MESSAGE_LEN_MAX: usize = 960;

/// Longest piece of memory in one message, in bytes; a longer read is answered in several.
pub const MEMORY_PIECE_LEN_MAX: usize = 880;

/// Longest read that one operation may ask for, in bytes.
pub const READ_LEN_MAX: u32 = 16 * 1024;

/// Longest write of one operation, in bytes.
pub const WRITE_LEN_MAX: usize = 880;

/// Longest agent expression, in bytes.
pub const EXPRESSION_LEN_MAX: usize = 512;

/// What the address of the stack window is a multiple of, in bytes: GDB reads stacks in lines of this length.
pub const STACK_LINE: u32 = 64;

/// Longest stack window in bytes: the line that the stack pointer is in, and four above it.
pub const STACK_LEN_MAX: usize = 320;

/// Longest range that is told along with a stop, in bytes.
pub const ALONG_LEN_MAX: usize = 256;

/// Most ranges that are told along with a stop.
pub const ALONG_MAX: usize = 4;

/// Longest text of a log record, in bytes.
pub const LOG_LEN_MAX: usize = 256;

/// Most regions of memory that a device lists.
pub const REGIONS_MAX: usize = 8;

/// Longest range of one watch, in bytes.
pub const WATCH_LEN_MAX: u32 = 64;
