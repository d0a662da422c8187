//! What members are made of.

use minicbor::bytes::ByteSlice;

use crate::{Reader, Writer};

/// What can be written.
pub trait Encode {
    /// Writes it.
    fn encode(&self, writer: &mut Writer<'_>);

    /// Whether a map leaves it out.
    fn is_absent(&self) -> bool {
        false
    }
}

/// What can be read; it may borrow the bytes.
pub trait Decode<'b>: Sized {
    /// What a member is that is not there; `None` for one that must be.
    const ABSENT: Option<Self> = None;

    /// Reads it; `None` if the bytes are something else.
    fn decode(reader: &mut Reader<'b>) -> Option<Self>;
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Encode for $number {
            fn encode(&self, writer: &mut Writer<'_>) {
                writer.number(u64::from(*self));
            }
        }

        impl<'b> Decode<'b> for $number {
            fn decode(reader: &mut Reader<'b>) -> Option<Self> {
                Self::try_from(reader.number()?).ok()
            }
        }
    )*};
}

numbers!(u8, u16, u32, u64);

impl Encode for bool {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.truth(*self);
    }
}

impl<'b> Decode<'b> for bool {
    fn decode(reader: &mut Reader<'b>) -> Option<Self> {
        reader.truth()
    }
}

impl Encode for &str {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.text(self);
    }
}

impl<'b> Decode<'b> for &'b str {
    fn decode(reader: &mut Reader<'b>) -> Option<Self> {
        reader.text()
    }
}

impl Encode for &[u8] {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.bytes(self);
    }
}

impl<'b> Decode<'b> for &'b [u8] {
    fn decode(reader: &mut Reader<'b>) -> Option<Self> {
        reader.bytes()
    }
}

impl Encode for &ByteSlice {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.bytes(self);
    }
}

impl<'b> Decode<'b> for &'b ByteSlice {
    fn decode(reader: &mut Reader<'b>) -> Option<Self> {
        reader.bytes().map(Self::from)
    }
}

impl<const N: usize> Encode for [u8; N] {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.bytes(self);
    }
}

impl<'b, const N: usize> Decode<'b> for [u8; N] {
    fn decode(reader: &mut Reader<'b>) -> Option<Self> {
        reader.bytes()?.try_into().ok()
    }
}

impl<T: Encode> Encode for Option<T> {
    fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Some(value) => value.encode(writer),
            None => writer.null(),
        }
    }

    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

impl<'b, T: Decode<'b>> Decode<'b> for Option<T> {
    const ABSENT: Option<Self> = Some(None);

    fn decode(reader: &mut Reader<'b>) -> Option<Self> {
        if reader.null() { Some(None) } else { T::decode(reader).map(Some) }
    }
}
