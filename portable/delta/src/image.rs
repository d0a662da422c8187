//! Where patch and images are read, in small pieces.

use crate::{IMAGE_LEN_MAX, Refused};

/// Reads the patch, the old image and what is already decoded of the new one.
///
/// Reads are small (at most 256 bytes) and lie inside the lengths given in [`crate::Limits`].
pub trait PatchIo {
    /// Why a read failed.
    type Error;

    /// Reads the patch from `at` on.
    ///
    /// # Errors
    /// The memory failed.
    fn patch(&mut self, at: u32, out: &mut [u8]) -> Result<(), Self::Error>;

    /// Reads the old image from `at` on.
    ///
    /// # Errors
    /// The memory failed.
    fn old(&mut self, at: u32, out: &mut [u8]) -> Result<(), Self::Error>;

    /// Reads output that an earlier call of [`crate::Decoder::decode`] has returned, or that is known otherwise.
    ///
    /// # Errors
    /// The memory failed.
    fn output(&mut self, at: u32, out: &mut [u8]) -> Result<(), Self::Error>;
}

/// The caller's memories, and the first thing that went wrong with them or with the patch.
///
/// From then on reads give zeros without a call, so that nobody in between needs to look; see [`crate::coder::Wire`].
pub(crate) struct Memories<'a, I: PatchIo> {
    io: &'a mut I,
    refused: Option<Refused<I::Error>>,
}

impl<'a, I: PatchIo> Memories<'a, I> {
    pub(crate) const fn new(io: &'a mut I) -> Self {
        Self { io, refused: None }
    }

    /// Notes why the patch cannot be decoded, unless that is known.
    pub(crate) fn refuse(&mut self, why: Refused<I::Error>) {
        if self.refused.is_none() {
            self.refused = Some(why);
        }
    }

    /// What went wrong first.
    pub(crate) fn check(&mut self) -> Result<(), Refused<I::Error>> {
        self.refused.take().map_or(Ok(()), Err)
    }

    fn read(&mut self, out: &mut [u8], read: impl FnOnce(&mut I, &mut [u8]) -> Result<(), I::Error>) {
        if self.refused.is_none()
            && let Err(why) = read(self.io, out)
        {
            self.refused = Some(Refused::Read(why));
        }
        if self.refused.is_some() {
            out.fill(0);
        }
    }

    pub(crate) fn patch(&mut self, at: u32, out: &mut [u8]) {
        self.read(out, |io, out| io.patch(at, out));
    }

    fn old(&mut self, at: u32, out: &mut [u8]) {
        self.read(out, |io, out| io.old(at, out));
    }

    fn output(&mut self, at: u32, out: &mut [u8]) {
        self.read(out, |io, out| io.output(at, out));
    }
}

/// Bytes of the old image held at once.
const WINDOW_LEN: u32 = 64;

/// How far in front of the wanted byte the window starts when it is filled.
const WINDOW_BEHIND: u32 = 24;

/// Start of a window that holds nothing: no offset lies behind it.
const NOWHERE: u32 = IMAGE_LEN_MAX * 2;

/// The old image through a small window.
#[derive(Debug)]
pub(crate) struct OldImage {
    len: u32,
    /// Where the window starts; nowhere at first.
    at: u32,
    bytes: [u8; WINDOW_LEN as usize],
}

impl OldImage {
    /// An image of no bytes. All zeros, so that a decoder in static memory takes no flash.
    pub(crate) const EMPTY: Self = Self { len: 0, at: 0, bytes: [0; WINDOW_LEN as usize] };

    pub(crate) const fn new(len: u32) -> Self {
        Self { len, at: NOWHERE, bytes: [0; WINDOW_LEN as usize] }
    }

    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    /// The four bytes at `at`, little-endian; bytes behind the end read as zero.
    pub(crate) fn read<I: PatchIo>(&mut self, memories: &mut Memories<'_, I>, at: u32) -> u32 {
        if at >= self.len {
            return 0;
        }
        if at.wrapping_sub(self.at) > WINDOW_LEN - 4 {
            self.at = at.saturating_sub(WINDOW_BEHIND) & !3;
            let room = usize::try_from(self.len.saturating_sub(self.at)).unwrap_or(usize::MAX);
            self.bytes.fill(0);
            let room = room.min(self.bytes.len());
            memories.old(self.at, self.bytes.get_mut(..room).unwrap_or_default());
        }
        let offset = usize::try_from(at.wrapping_sub(self.at)).unwrap_or(usize::MAX);
        let word = self.bytes.get(offset..).and_then(|bytes| bytes.first_chunk());
        word.map_or(0, |word| u32::from_le_bytes(*word))
    }
}

/// The first `count` bytes as a number; missing ones are zero.
#[cfg(feature = "encode")]
pub(crate) fn little_endian(bytes: &[u8], count: usize) -> u32 {
    bytes.iter().take(count.min(4)).rev().fold(0, |value, byte| value << 8 | u32::from(*byte))
}

/// What is decoded so far: a part that only `io` holds, then the part in the caller's hands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Earlier<'a> {
    /// Where in the new image `bytes` start.
    pub(crate) from: u32,
    pub(crate) bytes: &'a [u8],
}

impl Earlier<'_> {
    /// The four bytes at `at`, little-endian; those at `end` and behind read as zero.
    pub(crate) fn read<I: PatchIo>(&self, memories: &mut Memories<'_, I>, at: u32, end: u32) -> u32 {
        let len = |from: u32, to: u32| usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
        let mut word = [0; 4];
        let count = len(at, end).min(word.len());
        // What lies in front of the caller's part comes from `io`.
        let stored = len(at, self.from).min(count);
        if let Some(part) = word.get_mut(..stored)
            && !part.is_empty()
        {
            memories.output(at, part);
        }
        let held = word.get_mut(stored..count).unwrap_or_default();
        for (byte, source) in held.iter_mut().zip(self.bytes.get(len(self.from, at)..).unwrap_or_default()) {
            *byte = *source;
        }
        u32::from_le_bytes(word)
    }
}
