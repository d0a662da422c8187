//! The part of a dump that anybody may read.

use crate::block::BLOCK_LEN;
use crate::seal::ENTRY_LEN;

/// First bytes of every dump; the last one is the version.
pub const MAGIC: &[u8; 8] = b"BHCRASH1";

/// Length of the header without its recipients, in bytes.
pub const FIXED_LEN: usize = 128;

/// Most developers that a dump is sealed for.
pub const RECIPIENTS_MAX: usize = 4;

/// Length of the longest header in bytes.
pub const HEADER_LEN_MAX: usize = FIXED_LEN + RECIPIENTS_MAX * ENTRY_LEN;

/// What the header says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Header {
    /// The 16 bytes of the device's id.
    pub device: [u8; 16],
    /// Digest of the manifest that ran.
    pub manifest: [u8; 32],
    /// Names the dump: random.
    pub id: [u8; 16],
    /// Number of a fault of the link's `FaultKind`, or [`crate::REASON_ORDERED`].
    pub reason: u8,
    /// Developers it is sealed for, 1 to [`RECIPIENTS_MAX`].
    pub recipients: u8,
    /// Where the application was, 0 if unknown.
    pub program_counter: u32,
    /// Microseconds since power came on.
    pub uptime_us: u64,
    /// Microseconds since 1970-01-01 UTC, 0 if the device did not know the time.
    pub wall_us: u64,
    /// Dumps that the device began before this one.
    pub sequence: u32,
    /// Faults of the application since power came on, this one included.
    pub fault_count: u32,
}

/// Why bytes are not the header of a dump.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HeaderFault {
    /// They begin otherwise, or are too few.
    NotADump,
    /// A dump of another version.
    Version(u8),
    /// A number in it is outside its range.
    Malformed,
}

/// Length of the whole header with this many recipients, in bytes.
pub fn header_len(recipients: u8) -> usize {
    FIXED_LEN + usize::from(recipients) * ENTRY_LEN
}

impl Header {
    /// The fixed part as bytes.
    pub fn encode(&self) -> [u8; FIXED_LEN] {
        let block_len = u32::try_from(BLOCK_LEN).unwrap_or_default().to_le_bytes();
        let parts: [&[u8]; 11] = [
            MAGIC,
            &self.device,
            &self.manifest,
            &self.id,
            &[self.reason, 0, self.recipients, 0],
            &self.program_counter.to_le_bytes(),
            &self.uptime_us.to_le_bytes(),
            &self.wall_us.to_le_bytes(),
            &self.sequence.to_le_bytes(),
            &self.fault_count.to_le_bytes(),
            &block_len,
        ];
        let mut bytes = [0; FIXED_LEN];
        for (place, byte) in bytes.iter_mut().zip(parts.iter().copied().flatten()) {
            *place = *byte;
        }
        bytes
    }

    /// Reads the fixed part.
    ///
    /// # Errors
    /// [`HeaderFault`]: the maker's fault, or this is no dump.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeaderFault> {
        let fixed = bytes.first_chunk::<FIXED_LEN>().ok_or(HeaderFault::NotADump)?;
        let [name @ .., version] = MAGIC;
        match fixed.strip_prefix(name) {
            Some([found, ..]) if found == version => {}
            Some([found, ..]) => return Err(HeaderFault::Version(*found)),
            _ => return Err(HeaderFault::NotADump),
        }
        let [reason, zero_a, recipients, zero_b] = take(fixed, 72);
        let header = Self {
            device: take(fixed, 8),
            manifest: take(fixed, 24),
            id: take(fixed, 56),
            reason,
            recipients,
            program_counter: u32::from_le_bytes(take(fixed, 76)),
            uptime_us: u64::from_le_bytes(take(fixed, 80)),
            wall_us: u64::from_le_bytes(take(fixed, 88)),
            sequence: u32::from_le_bytes(take(fixed, 96)),
            fault_count: u32::from_le_bytes(take(fixed, 100)),
        };
        let block_len = usize::try_from(u32::from_le_bytes(take(fixed, 104))).unwrap_or_default();
        let rest: [u8; 20] = take(fixed, 108);
        let in_range = (1..=RECIPIENTS_MAX).contains(&usize::from(recipients));
        if !in_range || block_len != BLOCK_LEN || zero_a | zero_b != 0 || rest != [0; 20] {
            return Err(HeaderFault::Malformed);
        }
        Ok(header)
    }
}

/// `N` bytes at `at`, which lie inside.
fn take<const N: usize>(bytes: &[u8; FIXED_LEN], at: usize) -> [u8; N] {
    let mut out = [0; N];
    for (place, byte) in out.iter_mut().zip(bytes.iter().skip(at)) {
        *place = *byte;
    }
    out
}
