//! Where patch and images are read, in small pieces.

use crate::Refused;

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

/// Bytes of the old image held at once.
const WINDOW_LEN: usize = 64;

/// How far in front of the wanted byte the window starts when it is filled.
const WINDOW_BEHIND: u32 = 24;

/// The old image through a small window.
#[derive(Debug)]
pub(crate) struct OldImage {
    len: u32,
    at: u32,
    held: u32,
    bytes: [u8; WINDOW_LEN],
}

impl OldImage {
    pub(crate) const fn new(len: u32) -> Self {
        Self { len, at: 0, held: 0, bytes: [0; WINDOW_LEN] }
    }

    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    /// The `count` (at most 4) bytes at `at`, little-endian; bytes behind the end read as zero.
    pub(crate) fn read<I: PatchIo>(
        &mut self,
        io: &mut I,
        at: u32,
        count: u32,
    ) -> Result<u32, Refused<I::Error>> {
        let end = at.saturating_add(count).min(self.len);
        if at >= end {
            return Ok(0);
        }
        if at < self.at || end > self.at.saturating_add(self.held) {
            self.at = at.saturating_sub(WINDOW_BEHIND) & !3;
            self.held = 0;
            let room = self.len.saturating_sub(self.at);
            let room = usize::try_from(room).unwrap_or(usize::MAX).min(WINDOW_LEN);
            let window = self.bytes.get_mut(..room).unwrap_or(&mut []);
            io.old(self.at, window).map_err(Refused::Read)?;
            self.held = u32::try_from(window.len()).unwrap_or(0);
        }
        let offset = usize::try_from(at.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let count = usize::try_from(end.saturating_sub(at)).unwrap_or(0);
        Ok(little_endian(self.bytes.get(offset..).unwrap_or(&[]), count))
    }
}

/// The first `count` bytes as a number; missing ones are zero.
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
    /// The `count` (at most 4) bytes at `at`, little-endian, none of them at `end` or behind.
    pub(crate) fn read<I: PatchIo>(
        &self,
        io: &mut I,
        at: u32,
        count: u32,
        end: u32,
    ) -> Result<u32, Refused<I::Error>> {
        let end = at.saturating_add(count.min(4)).min(end);
        let mut word = [0; 4];
        // What lies in front of the caller's part comes from `io`.
        let stored = self.from.min(end).saturating_sub(at);
        if let Some(part) = word.get_mut(..usize::try_from(stored).unwrap_or(0))
            && !part.is_empty()
        {
            io.output(at, part).map_err(Refused::Read)?;
        }
        for (position, byte) in (at..end).zip(&mut word).skip(usize::try_from(stored).unwrap_or(0)) {
            let offset = usize::try_from(position.saturating_sub(self.from)).unwrap_or(usize::MAX);
            *byte = self.bytes.get(offset).copied().unwrap_or(0);
        }
        Ok(u32::from_le_bytes(word))
    }
}
