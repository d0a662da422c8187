//! The small, strict part of CBOR that manifests use (RFC 8949, section 4.2.1).
//!
//! A general decoder accepts several spellings of one value. A signed manifest has one spelling, so this reader
//! refuses every other: numbers in their shortest form, definite lengths, map keys strictly rising.

use core::fmt;

/// Deepest nesting that [`Reader::skip`] follows.
const SKIP_DEPTH_MAX: u8 = 4;

/// What is wrong with the bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CborFault {
    /// They end inside an item.
    Truncated,
    /// Another kind of item stands where the clause prescribes one.
    UnexpectedType,
    /// A number or length is not in its shortest form, or of indefinite length.
    NotCanonical,
    /// Map keys do not rise strictly.
    KeyOrder,
    /// A text is not UTF-8.
    NotText,
    /// A number or length is outside what the clause allows.
    OutOfRange,
    /// A key that this format does not have, or one that is missing.
    WrongKeys,
    /// Bytes follow the last item.
    TrailingBytes,
    /// Nested deeper than any manifest is.
    TooDeep,
}

/// Where and why bytes are not the CBOR that the clause prescribes. The fault of whoever wrote them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CborError {
    /// Offset in bytes from the start of what was parsed.
    pub at: usize,
    /// What is wrong there.
    pub fault: CborFault,
}

impl fmt::Display for CborError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.fault {
            CborFault::Truncated => "the bytes end inside an item",
            CborFault::UnexpectedType => "another type of item is prescribed",
            CborFault::NotCanonical => "a length or number is not in its shortest form",
            CborFault::KeyOrder => "map keys do not rise",
            CborFault::NotText => "a text is not UTF-8",
            CborFault::OutOfRange => "a number or length is out of range",
            CborFault::WrongKeys => "a key is unknown or missing",
            CborFault::TrailingBytes => "bytes follow the last item",
            CborFault::TooDeep => "items are nested too deep",
        };
        write!(f, "{text} (byte {})", self.at)
    }
}

/// Major types of CBOR that occur here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Major {
    Unsigned,
    Negative,
    Bytes,
    Text,
    Array,
    Map,
    Tag,
    Simple,
}

/// Reads canonical CBOR from a slice.
#[derive(Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Offset of the next byte.
    pub(crate) const fn position(&self) -> usize {
        self.at
    }

    pub(crate) const fn fault(&self, fault: CborFault) -> CborError {
        CborError { at: self.at, fault }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], CborError> {
        let end = self.at.checked_add(len).ok_or(self.fault(CborFault::Truncated))?;
        let taken = self.bytes.get(self.at..end).ok_or(self.fault(CborFault::Truncated))?;
        self.at = end;
        Ok(taken)
    }

    fn head(&mut self) -> Result<(Major, u64), CborError> {
        let start = self.at;
        let &[first] = self.take(1)? else { return Err(self.fault(CborFault::Truncated)) };
        let major = match first >> 5 {
            0 => Major::Unsigned,
            1 => Major::Negative,
            2 => Major::Bytes,
            3 => Major::Text,
            4 => Major::Array,
            5 => Major::Map,
            6 => Major::Tag,
            _ => Major::Simple,
        };
        let (argument, least) = match first & 0x1F {
            direct @ 0..=23 => (u64::from(direct), 0),
            24 => (self.big_endian(1)?, 24),
            25 => (self.big_endian(2)?, 0x100),
            26 => (self.big_endian(4)?, 0x1_0000),
            27 => (self.big_endian(8)?, 0x1_0000_0000),
            _ => return Err(CborError { at: start, fault: CborFault::NotCanonical }),
        };
        if argument < least {
            return Err(CborError { at: start, fault: CborFault::NotCanonical });
        }
        Ok((major, argument))
    }

    fn big_endian(&mut self, len: usize) -> Result<u64, CborError> {
        Ok(self.take(len)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// The argument of an item that has to be of this type.
    pub(crate) fn expect(&mut self, wanted: Major) -> Result<u64, CborError> {
        let start = self.at;
        let (major, argument) = self.head()?;
        if major == wanted {
            Ok(argument)
        } else {
            Err(CborError { at: start, fault: CborFault::UnexpectedType })
        }
    }

    pub(crate) fn unsigned(&mut self) -> Result<u64, CborError> {
        self.expect(Major::Unsigned)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, CborError> {
        let start = self.at;
        u32::try_from(self.unsigned()?).map_err(|_| CborError { at: start, fault: CborFault::OutOfRange })
    }

    fn length(&mut self, wanted: Major) -> Result<usize, CborError> {
        let start = self.at;
        usize::try_from(self.expect(wanted)?)
            .map_err(|_| CborError { at: start, fault: CborFault::OutOfRange })
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], CborError> {
        let len = self.length(Major::Bytes)?;
        self.take(len)
    }

    pub(crate) fn byte_array<const N: usize>(&mut self) -> Result<&'a [u8; N], CborError> {
        let start = self.at;
        let bytes = self.bytes()?;
        bytes.try_into().map_err(|_| CborError { at: start, fault: CborFault::OutOfRange })
    }

    /// A text of 1 to `len_max` bytes.
    pub(crate) fn text(&mut self, len_max: usize) -> Result<&'a str, CborError> {
        let start = self.at;
        let len = self.length(Major::Text)?;
        if len == 0 || len > len_max {
            return Err(CborError { at: start, fault: CborFault::OutOfRange });
        }
        let bytes = self.take(len)?;
        core::str::from_utf8(bytes).map_err(|_| CborError { at: start, fault: CborFault::NotText })
    }

    /// Start of an array or map with exactly `len` entries.
    pub(crate) fn counted(&mut self, kind: Major, len: u64) -> Result<(), CborError> {
        let start = self.at;
        if self.expect(kind)? == len {
            Ok(())
        } else {
            Err(CborError { at: start, fault: CborFault::WrongKeys })
        }
    }

    /// The next key of a map, which has to be `key`.
    pub(crate) fn key(&mut self, key: u64) -> Result<(), CborError> {
        let start = self.at;
        if self.unsigned()? == key {
            Ok(())
        } else {
            Err(CborError { at: start, fault: CborFault::WrongKeys })
        }
    }

    /// Steps over one item of any type that canonical CBOR without floats has.
    pub(crate) fn skip(&mut self) -> Result<(), CborError> {
        self.skip_nested(SKIP_DEPTH_MAX)
    }

    fn skip_nested(&mut self, depth: u8) -> Result<(), CborError> {
        let Some(depth) = depth.checked_sub(1) else { return Err(self.fault(CborFault::TooDeep)) };
        let start = self.at;
        let (major, argument) = self.head()?;
        match major {
            Major::Unsigned | Major::Negative => Ok(()),
            Major::Bytes | Major::Text => {
                let len = usize::try_from(argument).map_err(|_| self.fault(CborFault::Truncated))?;
                let bytes = self.take(len)?;
                if major == Major::Text && core::str::from_utf8(bytes).is_err() {
                    return Err(CborError { at: start, fault: CborFault::NotText });
                }
                Ok(())
            }
            // Each entry takes at least one byte, so a hostile count ends with the bytes.
            Major::Array => (0..argument).try_for_each(|_| self.skip_nested(depth)),
            Major::Map => {
                let mut last = None;
                (0..argument).try_for_each(|_| {
                    last = Some(self.rising_key(last)?);
                    self.skip_nested(depth)
                })
            }
            Major::Simple if matches!(argument, 20..=22) => Ok(()),
            Major::Tag | Major::Simple => Err(CborError { at: start, fault: CborFault::UnexpectedType }),
        }
    }

    /// The next key of a map, which has to be greater than the last one.
    pub(crate) fn rising_key(&mut self, last: Option<u64>) -> Result<u64, CborError> {
        let start = self.at;
        let key = self.unsigned()?;
        if last.is_some_and(|last| key <= last) {
            return Err(CborError { at: start, fault: CborFault::KeyOrder });
        }
        Ok(key)
    }

    /// Refuses bytes after the last item.
    pub(crate) fn end(&self) -> Result<(), CborError> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.fault(CborFault::TrailingBytes)) }
    }
}

/// Writes the head of an item in its shortest form and returns its length.
pub(crate) fn write_head(major: Major, argument: u64, out: &mut [u8; 9]) -> usize {
    let top = match major {
        Major::Unsigned => 0_u8,
        Major::Negative => 1,
        Major::Bytes => 2,
        Major::Text => 3,
        Major::Array => 4,
        Major::Map => 5,
        Major::Tag => 6,
        Major::Simple => 7,
    } << 5;
    let [a, b, c, d, e, f, g, h] = argument.to_be_bytes();
    let (bytes, len) = match argument {
        0..=23 => ([top | h, 0, 0, 0, 0, 0, 0, 0, 0], 1),
        24..=0xFF => ([top | 24, h, 0, 0, 0, 0, 0, 0, 0], 2),
        0x100..=0xFFFF => ([top | 25, g, h, 0, 0, 0, 0, 0, 0], 3),
        0x1_0000..=0xFFFF_FFFF => ([top | 26, e, f, g, h, 0, 0, 0, 0], 5),
        _ => ([top | 27, a, b, c, d, e, f, g, h], 9),
    };
    *out = bytes;
    len
}
