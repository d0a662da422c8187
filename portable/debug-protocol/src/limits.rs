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

/// Bytes of stack below the stack pointer that an event of a stop carries.
pub const STACK_BELOW: u32 = 64;

/// Bytes of stack from the stack pointer upwards that an event of a stop carries.
pub const STACK_ABOVE: u32 = 256;

/// All bytes of the stack window.
pub const STACK_LEN_MAX: usize = 320;

/// Longest text of a log record, in bytes.
pub const LOG_LEN_MAX: usize = 256;

/// Most regions of memory that a device lists.
pub const REGIONS_MAX: usize = 8;

/// Longest range of one watch, in bytes.
pub const WATCH_LEN_MAX: u32 = 64;
