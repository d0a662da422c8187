//! Writes one item after the other. What does not fit is told once, at the end.

use crate::{Encode, FALSE, NULL, Shape, TRUE, major};

/// Writes items into a slice.
#[derive(Debug)]
pub struct Writer<'o> {
    out: &'o mut [u8],
    at: usize,
    is_full: bool,
}

impl<'o> Writer<'o> {
    /// Writes to the start of `out`.
    #[must_use]
    pub const fn new(out: &'o mut [u8]) -> Self {
        Self { out, at: 0, is_full: false }
    }

    /// Bytes that were written, or `None` if something did not fit.
    #[must_use]
    pub const fn written(&self) -> Option<usize> {
        if self.is_full { None } else { Some(self.at) }
    }

    /// Takes back what was written since `position`, whether it fitted or not.
    pub const fn rewind(&mut self, position: usize) {
        self.at = position;
        self.is_full = false;
    }

    /// Bytes that were written.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.at
    }

    /// The slice, for what lies behind or in front.
    #[must_use]
    pub const fn into_inner(self) -> &'o mut [u8] {
        self.out
    }

    #[inline(never)]
    fn put(&mut self, bytes: &[u8]) {
        let place = self.out.get_mut(self.at..).and_then(|rest| rest.get_mut(..bytes.len()));
        match place {
            Some(place) if !self.is_full => {
                place.copy_from_slice(bytes);
                self.at += bytes.len();
            }
            Some(_) | None => self.is_full = true,
        }
    }

    #[inline(never)]
    fn head(&mut self, major: u8, value: u64) {
        let bytes = value.to_be_bytes();
        let (info, len) = match value {
            0..=23 => {
                let [.., small] = bytes;
                return self.put(&[major << 5 | small]);
            }
            24..=0xFF => (24, 1),
            0x100..=0xFFFF => (25, 2),
            0x1_0000..=0xFFFF_FFFF => (26, 4),
            0x1_0000_0000.. => (27, 8),
        };
        self.put(&[major << 5 | info]);
        self.put(bytes.get(bytes.len() - len..).unwrap_or_default());
    }

    /// A number.
    pub fn number(&mut self, value: u64) {
        self.head(major::NUMBER, value);
    }

    /// A byte string.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.head(major::BYTES, bytes.len() as u64);
        self.put(bytes);
    }

    /// A text.
    pub fn text(&mut self, text: &str) {
        self.head(major::TEXT, text.len() as u64);
        self.put(text.as_bytes());
    }

    /// A truth value.
    pub fn truth(&mut self, value: bool) {
        self.put(&[if value { TRUE } else { FALSE }]);
    }

    /// Nothing, where something could be.
    pub fn null(&mut self) {
        self.put(&[NULL]);
    }

    /// The beginning of an array of `len` items.
    pub fn array(&mut self, len: u64) {
        self.head(major::ARRAY, len);
    }

    /// The beginning of a map of `len` pairs.
    pub fn map(&mut self, len: u64) {
        self.head(major::MAP, len);
    }

    /// A struct, from its members in the order of their numbers. A map leaves absent ones out.
    #[inline(never)]
    pub fn members(&mut self, shape: Shape, members: &[(u8, &dyn Encode)]) {
        let is_written = |member: &dyn Encode| shape == Shape::Array || !member.is_absent();
        let len = members.iter().filter(|(_, member)| is_written(*member)).count() as u64;
        self.head(if shape == Shape::Map { major::MAP } else { major::ARRAY }, len);
        for (number, member) in members {
            if is_written(*member) {
                if shape == Shape::Map {
                    self.number(u64::from(*number));
                }
                member.encode(self);
            }
        }
    }
}
