//! Why a patch was not decoded.

use core::fmt;

/// Why a patch was not decoded. The variant says whose fault it was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refused<E> {
    /// The memory beneath failed to read.
    Read(E),
    /// The patch is of another format than [`crate::PATCH_VERSION`].
    Version,
    /// The patch's header contradicts itself or the lengths of the images.
    Header,
    /// The patch ends before the image does.
    Truncated,
    /// The copy list names bytes that do not exist, or runs beyond the new image.
    CopyRange,
    /// The copy list has more entries than an image of this length may need.
    TooManyCopies,
    /// Caller's mistake: a call out of order, or more bytes wanted than the image has.
    OutOfOrder,
    /// Caller's mistake: an image is longer than [`crate::IMAGE_LEN_MAX`].
    TooLong,
}

impl<E> fmt::Display for Refused<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read(_) => "the memory that holds patch or image failed to read",
            Self::Version => "the patch is of another format version; update the device first",
            Self::Header => "the patch's header does not fit the images; make the patch anew",
            Self::Truncated => "the patch ends before the image does; fetch it anew",
            Self::CopyRange => "the patch copies bytes that do not exist; make the patch anew",
            Self::TooManyCopies => "the patch has more copies than its image may need; make the patch anew",
            Self::OutOfOrder => "the decoder was called out of order or beyond the image",
            Self::TooLong => "an image is longer than a patch may describe",
        })
    }
}

impl<E: fmt::Debug> core::error::Error for Refused<E> {}
