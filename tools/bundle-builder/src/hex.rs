//! Intel HEX (Intel Hexadecimal Object File Format Specification, revision A, 1988).

use std::fmt;

use crate::BuildError;
use crate::image::Segment;

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HexFault {
    /// It does not start with a colon.
    NoColon,
    /// It is no even number of hex digits.
    NotHex,
    /// Its length field contradicts its length.
    Length,
    /// Its checksum is wrong.
    Checksum,
    /// A record of an unknown type.
    Type(u8),
    /// The data ends beyond the last address.
    Address,
    /// Lines follow the end-of-file record.
    AfterEnd,
    /// The end-of-file record is missing: the file is cut off.
    NoEnd,
}

impl fmt::Display for HexFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoColon => write!(f, "does not start with a colon"),
            Self::NotHex => write!(f, "is no even number of hex digits"),
            Self::Length => write!(f, "the length field contradicts the line"),
            Self::Checksum => write!(f, "the checksum is wrong"),
            Self::Type(kind) => write!(f, "record type {kind:02x} is unknown"),
            Self::Address => write!(f, "the data ends beyond the last address"),
            Self::AfterEnd => write!(f, "follows the end-of-file record"),
            Self::NoEnd => write!(f, "the end-of-file record is missing: the file is cut off"),
        }
    }
}

/// Whether a file starts like HEX: a colon and eight hex digits.
pub(crate) fn looks_like_hex(file: &[u8]) -> bool {
    matches!(file.get(..9), Some([b':', digits @ ..]) if digits.iter().all(u8::is_ascii_hexdigit))
}

pub(crate) fn segments(file: &[u8]) -> Result<Vec<Segment>, BuildError> {
    let mut segments: Vec<Segment> = Vec::new();
    let mut base = 0_u64;
    let mut ended = false;
    let mut count = 0;
    for (n, line) in file.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        count = n + 1;
        if line.is_empty() {
            continue;
        }
        let refused = |fault| BuildError::Hex { line: n + 1, fault };
        if ended {
            return Err(refused(HexFault::AfterEnd));
        }
        let record = record(line).map_err(refused)?;
        match record.kind {
            0 => append(&mut segments, base + u64::from(record.offset), record.payload).map_err(refused)?,
            1 => ended = true,
            2 => base = u64::from(record.number().map_err(refused)?) << 4,
            4 => base = u64::from(record.number().map_err(refused)?) << 16,
            // Start addresses: the vector table says where an application starts.
            3 | 5 => {}
            kind => return Err(refused(HexFault::Type(kind))),
        }
    }
    if ended { Ok(segments) } else { Err(BuildError::Hex { line: count, fault: HexFault::NoEnd }) }
}

struct Record {
    kind: u8,
    offset: u16,
    payload: Vec<u8>,
}

impl Record {
    /// The payload as the 16-bit number of an address record.
    fn number(&self) -> Result<u16, HexFault> {
        let bytes = <[u8; 2]>::try_from(self.payload.as_slice());
        bytes.map(u16::from_be_bytes).map_err(|_| HexFault::Length)
    }
}

fn record(line: &[u8]) -> Result<Record, HexFault> {
    let digits = line.strip_prefix(b":").ok_or(HexFault::NoColon)?;
    let (pairs, []) = digits.as_chunks::<2>() else { return Err(HexFault::NotHex) };
    let mut bytes = Vec::with_capacity(pairs.len());
    for pair in pairs {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok()));
        bytes.push(high.ok_or(HexFault::NotHex)? << 4 | low.ok_or(HexFault::NotHex)?);
    }
    let [len, high, low, kind, payload @ .., _checksum] = bytes.as_slice() else {
        return Err(HexFault::Length);
    };
    if payload.len() != usize::from(*len) {
        return Err(HexFault::Length);
    }
    if bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)) != 0 {
        return Err(HexFault::Checksum);
    }
    Ok(Record { kind: *kind, offset: u16::from_be_bytes([*high, *low]), payload: payload.to_vec() })
}

/// Adds bytes, to the last segment where they follow it.
fn append(segments: &mut Vec<Segment>, address: u64, payload: Vec<u8>) -> Result<(), HexFault> {
    if address + payload.len() as u64 > 1 << 32 {
        return Err(HexFault::Address);
    }
    match segments.last_mut() {
        Some(last) if last.end() == address => last.bytes.extend(payload),
        Some(_) | None => {
            let address = u32::try_from(address).map_err(|_| HexFault::Address)?;
            segments.push(Segment { address, bytes: payload });
        }
    }
    Ok(())
}
