//! Reads one item after the other. Bytes of a peer lead to `None` at worst.

use crate::{BREAK, Decode, NULL, Shape, TRUE, major};

/// How deep what is skipped may be nested.
const DEPTH_MAX: u8 = 16;

/// Where a decoded member goes.
pub trait Slot<'b> {
    /// Reads the member; `false` if it is malformed.
    fn fill(&mut self, reader: &mut Reader<'b>) -> bool;
}

impl<'b, T: Decode<'b>> Slot<'b> for Option<T> {
    fn fill(&mut self, reader: &mut Reader<'b>) -> bool {
        *self = T::decode(reader);
        self.is_some()
    }
}

/// A member of a struct: its number and where it goes.
pub type Member<'s, 'b> = (u8, &'s mut dyn Slot<'b>);

/// Reads items from bytes.
#[derive(Clone, Debug)]
pub struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

/// The beginning of an item.
struct Head {
    major: u8,
    /// The number itself, a length or a count; `None` for an indefinite one.
    value: Option<u64>,
}

impl<'b> Reader<'b> {
    /// Reads from the start of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes that were read.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.at
    }

    /// Goes on at an earlier [`Self::position`].
    pub const fn set_position(&mut self, position: usize) {
        self.at = position;
    }

    /// Whether everything was read.
    #[must_use]
    pub const fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    fn take(&mut self, len: usize) -> Option<&'b [u8]> {
        let (taken, _) = self.bytes.get(self.at..)?.split_at_checked(len)?;
        self.at += len;
        Some(taken)
    }

    /// Takes the next byte if it is this one.
    fn take_if(&mut self, byte: u8) -> bool {
        let is_next = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(is_next);
        is_next
    }

    #[inline(never)]
    fn head(&mut self) -> Option<Head> {
        let [first] = self.take(1)? else { return None };
        let value = match first & 0x1F {
            small @ 0..=23 => Some(u64::from(small)),
            power @ 24..=27 => {
                let bytes = self.take(1 << (power - 24))?;
                Some(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
            }
            31 => None,
            _ => return None,
        };
        Some(Head { major: first >> 5, value })
    }

    /// The value of the next item, which is of kind `wanted` and of definite length.
    #[inline(never)]
    fn definite(&mut self, wanted: u8) -> Option<u64> {
        let Head { major, value } = self.head()?;
        value.filter(|_| major == wanted)
    }

    /// A number that is not negative.
    pub fn number(&mut self) -> Option<u64> {
        self.definite(major::NUMBER)
    }

    /// A byte string.
    pub fn bytes(&mut self) -> Option<&'b [u8]> {
        let len = self.definite(major::BYTES)?;
        self.take(usize::try_from(len).ok()?)
    }

    /// A text.
    pub fn text(&mut self) -> Option<&'b str> {
        let len = self.definite(major::TEXT)?;
        core::str::from_utf8(self.take(usize::try_from(len).ok()?)?).ok()
    }

    /// A truth value.
    pub fn truth(&mut self) -> Option<bool> {
        let [byte] = self.take(1)? else { return None };
        (byte & !1 == TRUE & !1).then_some(*byte == TRUE)
    }

    /// Whether the next item is null, which is taken then.
    pub fn null(&mut self) -> bool {
        self.take_if(NULL)
    }

    /// The length of an array whose items follow.
    pub fn array(&mut self) -> Option<u64> {
        self.definite(major::ARRAY)
    }

    /// The length of a map whose pairs follow.
    pub fn map(&mut self) -> Option<u64> {
        self.definite(major::MAP)
    }

    /// Reads a struct into the places of its members.
    #[inline(never)]
    pub fn members(&mut self, shape: Shape, members: &mut [Member<'_, 'b>]) -> Option<()> {
        let Head { major, value } = self.head()?;
        if major != if shape == Shape::Map { major::MAP } else { major::ARRAY } {
            return None;
        }
        let mut at = 0;
        // Each turn takes a byte at least, or ends.
        while value != Some(at) && !(value.is_none() && self.take_if(BREAK)) {
            let number = if shape == Shape::Map { self.key()? } else { at };
            match members.iter_mut().find(|(member, _)| u64::from(*member) == number) {
                Some((_, slot)) => {
                    if !slot.fill(self) {
                        return None;
                    }
                }
                None => self.skip()?,
            }
            at += 1;
        }
        Some(())
    }

    /// A key of a map; a negative one is nobody's.
    fn key(&mut self) -> Option<u64> {
        match self.head()? {
            Head { major: major::NUMBER, value } => value,
            Head { major: major::NEGATIVE, value: Some(_) } => Some(u64::MAX),
            Head { .. } => None,
        }
    }

    /// Goes past an item of any kind.
    pub fn skip(&mut self) -> Option<()> {
        self.skip_nested(DEPTH_MAX)
    }

    fn skip_nested(&mut self, depth: u8) -> Option<()> {
        let Head { major, value } = self.head()?;
        let children = match major {
            major::ARRAY => value,
            major::MAP => match value {
                Some(pairs) => Some(pairs.checked_mul(2)?),
                None => None,
            },
            major::TAG => value.map(|_| 1),
            major::BYTES | major::TEXT => match value {
                Some(len) => return self.take(usize::try_from(len).ok()?).map(drop),
                None => None,
            },
            // Numbers, and simple values; without a value it would be an end without a beginning.
            _ => return value.map(drop),
        };
        if major == major::TAG && children.is_none() {
            return None;
        }
        let depth = depth.checked_sub(1)?;
        let mut at = 0;
        while children != Some(at) && !(children.is_none() && self.take_if(BREAK)) {
            self.skip_nested(depth)?;
            at += 1;
        }
        Some(())
    }
}
