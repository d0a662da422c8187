//! Prints as C's `printf` does, for probes that print. Bounded by the length of a record.

use bulkhead_debug_protocol::LOG_LEN_MAX;

use crate::expression::Unanswered;
use crate::target::Memory;

/// A record that is being written; what does not fit is cut off.
#[derive(Debug)]
pub struct Text {
    bytes: [u8; LOG_LEN_MAX],
    len: usize,
}

impl Default for Text {
    fn default() -> Self {
        Self { bytes: [0; LOG_LEN_MAX], len: 0 }
    }
}

impl Text {
    /// What was written.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    pub(crate) fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.push(*byte));
    }

    fn pad(&mut self, with: u8, count: usize) {
        (0..count.min(LOG_LEN_MAX)).for_each(|_| self.push(with));
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len >= LOG_LEN_MAX
    }
}

/// What is between `%` and the letter.
#[derive(Clone, Copy, Debug, Default)]
struct Directive {
    left: bool,
    zeros: bool,
    plus: bool,
    space: bool,
    alternate: bool,
    width: usize,
    precision: Option<usize>,
    /// `l` once is what an `int` is; twice is 64 bits.
    longs: u32,
}

impl Directive {
    /// Puts text into its width.
    fn put(&self, prefix: &[u8], body: &[u8], with_zeros: bool, out: &mut Text) {
        let missing = self.width.saturating_sub(prefix.len() + body.len());
        if !self.left && !with_zeros {
            out.pad(b' ', missing);
        }
        out.extend(prefix);
        if !self.left && with_zeros {
            out.pad(b'0', missing);
        }
        out.extend(body);
        if self.left {
            out.pad(b' ', missing);
        }
    }

    fn number(&self, magnitude: u64, prefix: &[u8], (base, first_letter): (u64, u8), out: &mut Text) {
        let mut digits = [b'0'; 64];
        let (mut rest, mut first) = (magnitude, digits.len());
        while rest != 0 || first == digits.len() {
            let digit = u8::try_from(rest % base).unwrap_or_default();
            first = first.saturating_sub(1);
            if let Some(place) = digits.get_mut(first) {
                *place = if digit < 10 { b'0' + digit } else { first_letter + digit - 10 };
            }
            rest /= base;
        }
        let least = self.precision.unwrap_or(1).min(digits.len());
        let first = first.min(digits.len() - least);
        let zeros = self.zeros && self.precision.is_none();
        self.put(prefix, digits.get(first..).unwrap_or_default(), zeros, out);
    }

    fn signed(&self, value: i64, out: &mut Text) {
        let value = if self.longs < 2 { (value << 32) >> 32 } else { value };
        let prefix: &[u8] = match value {
            ..0 => b"-",
            _ if self.plus => b"+",
            _ if self.space => b" ",
            _ => b"",
        };
        self.number(value.unsigned_abs(), prefix, (10, b'a'), out);
    }

    fn unsigned(&self, value: i64, base: (u64, u8), prefix: &[u8], out: &mut Text) {
        let value = value.cast_unsigned();
        let value = if self.longs < 2 { value & 0xFFFF_FFFF } else { value };
        let prefix = if self.alternate && value != 0 { prefix } else { b"" };
        self.number(value, prefix, base, out);
    }

    fn string(&self, at: i64, memory: &mut impl Memory, out: &mut Text) -> Result<(), Unanswered> {
        let mut found = Text::default();
        let most = self.precision.unwrap_or(LOG_LEN_MAX).min(LOG_LEN_MAX);
        let first = address(at)?;
        for offset in (0..).take(most) {
            let mut byte = [0];
            let address = first.checked_add(offset).ok_or(Unanswered)?;
            memory.read(address, &mut byte).map_err(|_| Unanswered)?;
            if byte == [0] {
                break;
            }
            found.extend(&byte);
        }
        self.put(b"", found.as_bytes(), false, out);
        Ok(())
    }
}

fn address(value: i64) -> Result<u32, Unanswered> {
    u32::try_from(value.cast_unsigned() & 0xFFFF_FFFF).map_err(|_| Unanswered)
}

/// The bytes of a format, one at a time.
struct Format<'f> {
    bytes: core::iter::Copied<core::slice::Iter<'f, u8>>,
    next: Option<u8>,
}

impl Format<'_> {
    fn take(&mut self) -> Option<u8> {
        let byte = self.next;
        self.next = self.bytes.next();
        byte
    }

    fn number(&mut self) -> Option<usize> {
        let mut value = None;
        while let Some(digit @ b'0'..=b'9') = self.next {
            let so_far: usize = value.unwrap_or(0);
            value = Some((so_far * 10 + usize::from(digit - b'0')).min(LOG_LEN_MAX));
            self.take();
        }
        value
    }

    fn directive(&mut self) -> Directive {
        let mut directive = Directive::default();
        while let Some(flag @ (b'-' | b'0' | b'+' | b' ' | b'#')) = self.next {
            match flag {
                b'-' => directive.left = true,
                b'0' => directive.zeros = true,
                b'+' => directive.plus = true,
                b' ' => directive.space = true,
                _ => directive.alternate = true,
            }
            self.take();
        }
        directive.width = self.number().unwrap_or(0);
        if self.next == Some(b'.') {
            self.take();
            directive.precision = Some(self.number().unwrap_or(0));
        }
        while let Some(size @ (b'h' | b'l' | b'j' | b'z' | b't')) = self.next {
            directive.longs += match size {
                b'l' => 1,
                b'j' => 2,
                _ => 0,
            };
            self.take();
        }
        directive
    }

    /// What a backslash stands before; GDB sends formats as they were typed.
    fn escaped(&mut self) -> Option<u8> {
        Some(match self.take()? {
            b'a' => 7,
            b'b' => 8,
            b'e' => 27,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            digit @ b'0'..=b'7' => {
                let mut value = digit - b'0';
                for _ in 0..2 {
                    if let Some(digit @ b'0'..=b'7') = self.next {
                        value = value.wrapping_mul(8).wrapping_add(digit - b'0');
                        self.take();
                    }
                }
                value
            }
            other => other,
        })
    }
}

/// Prints `arguments` as `format` says.
///
/// # Errors
/// [`Unanswered`]: an unknown conversion, an argument that is missing, or a string that cannot be read. What came before
/// it is written.
pub(crate) fn print(
    format: &[u8],
    arguments: &[i64],
    memory: &mut impl Memory,
    out: &mut Text,
) -> Result<(), Unanswered> {
    let mut bytes = format.iter().copied();
    let next = bytes.next();
    let mut format = Format { bytes, next };
    let mut arguments = arguments.iter().copied();
    while let Some(byte) = format.take() {
        match byte {
            b'\\' => out.push(format.escaped().ok_or(Unanswered)?),
            b'%' if format.next == Some(b'%') => {
                format.take();
                out.push(b'%');
            }
            b'%' => {
                let directive = format.directive();
                let letter = format.take().ok_or(Unanswered)?;
                let value = arguments.next().ok_or(Unanswered)?;
                match letter {
                    b'd' | b'i' => directive.signed(value, out),
                    b'u' => directive.unsigned(value, (10, b'a'), b"", out),
                    b'x' => directive.unsigned(value, (16, b'a'), b"0x", out),
                    b'X' => directive.unsigned(value, (16, b'A'), b"0X", out),
                    b'o' => directive.unsigned(value, (8, b'a'), b"0", out),
                    b'p' => {
                        Directive { alternate: true, ..directive }.unsigned(value, (16, b'a'), b"0x", out);
                    }
                    b'c' => {
                        let byte = u8::try_from(value.cast_unsigned() & 0xFF).unwrap_or_default();
                        directive.put(b"", &[byte], false, out);
                    }
                    b's' => directive.string(value, memory, out)?,
                    _ => return Err(Unanswered),
                }
            }
            other => out.push(other),
        }
        if out.is_full() {
            break;
        }
    }
    Ok(())
}
