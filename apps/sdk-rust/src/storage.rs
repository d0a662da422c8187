//! The application's own areas of external flash.
//!
//! One operation at a time: [`Area::begin_read`], [`Area::begin_write`] or [`Area::begin_erase`] begins it,
//! [`crate::notification::Event::StorageDone`] says that it has ended, [`finish`] or [`finish_read`] ends it. The methods
//! without `begin` do all of that and call `idle` while they wait, for example with `cortex_m::asm::wfi`.

use crate::gateway::{call_2, call_3, call_4, checked};
use crate::{Error, abi};

/// Most bytes that one operation reads or writes.
pub const TRANSFER_LEN_MAX: usize = abi::BH_STORAGE_TRANSFER_LEN_MAX as usize;

/// An area that the manifest of this application says is its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Area {
    id: u32,
    len: u32,
    erase_len: u32,
}

#[derive(Default)]
#[repr(C)]
struct Info {
    version: u32,
    length_bytes: u32,
    erase_bytes: u32,
    transfer_bytes_max: u32,
}
const _: () = assert!(size_of::<Info>() == abi::SIZE_BH_STORAGE_INFO);

impl Area {
    /// The area with this number in the manifest.
    ///
    /// # Errors
    /// [`Error::ArgumentRefused`]: the manifest has no such area. [`Error::CallUnknown`]: the hypervisor is too old.
    pub fn open(id: u32) -> Result<Self, Error> {
        let mut info = Info { version: abi::BH_STORAGE_INFO_VERSION, ..Info::default() };
        let address = (&raw mut info).expose_provenance();
        checked(call_2(abi::SLOT_BH_STORAGE_INFO_READ, id as usize, address))?;
        Ok(Self { id, len: info.length_bytes, erase_len: info.erase_bytes })
    }

    /// Length in bytes.
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether it has no bytes; no manifest has such an area.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that one erase clears.
    pub const fn erase_len(&self) -> u32 {
        self.erase_len
    }

    /// Begins to read `len` bytes, at most [`TRANSFER_LEN_MAX`].
    ///
    /// # Errors
    /// [`Error::ArgumentRefused`]: the span leaves the area. [`Error::Busy`]: the last operation was not finished.
    pub fn begin_read(&self, offset: u32, len: usize) -> Result<(), Error> {
        checked(call_3(abi::SLOT_BH_STORAGE_READ, self.id as usize, offset as usize, len))
    }

    /// Begins to program `bytes`, at most [`TRANSFER_LEN_MAX`], over erased ones; they are copied at once.
    ///
    /// # Errors
    /// As [`Self::begin_read`].
    pub fn begin_write(&self, offset: u32, bytes: &[u8]) -> Result<(), Error> {
        let arguments = [self.id as usize, offset as usize, bytes.as_ptr().expose_provenance(), bytes.len()];
        checked(call_4(abi::SLOT_BH_STORAGE_WRITE, arguments))
    }

    /// Begins to erase the sector that starts at `offset`.
    ///
    /// # Errors
    /// As [`Self::begin_read`]; `offset` is no multiple of [`Self::erase_len`].
    pub fn begin_erase(&self, offset: u32) -> Result<(), Error> {
        checked(call_2(abi::SLOT_BH_STORAGE_ERASE, self.id as usize, offset as usize))
    }

    /// Reads `buffer` full.
    ///
    /// # Errors
    /// Those of [`Self::begin_read`] and [`finish_read`].
    pub fn read(&self, mut offset: u32, buffer: &mut [u8], mut idle: impl FnMut()) -> Result<(), Error> {
        for piece in buffer.chunks_mut(TRANSFER_LEN_MAX) {
            self.begin_read(offset, piece.len())?;
            wait(|| finish_read(piece), &mut idle)?;
            offset = offset.saturating_add(u32::try_from(piece.len()).unwrap_or(u32::MAX));
        }
        Ok(())
    }

    /// Programs `bytes`.
    ///
    /// # Errors
    /// Those of [`Self::begin_write`] and [`finish`]; what comes before the failing piece is written.
    pub fn write(&self, mut offset: u32, bytes: &[u8], mut idle: impl FnMut()) -> Result<(), Error> {
        for piece in bytes.chunks(TRANSFER_LEN_MAX) {
            self.begin_write(offset, piece)?;
            wait(finish, &mut idle)?;
            offset = offset.saturating_add(u32::try_from(piece.len()).unwrap_or(u32::MAX));
        }
        Ok(())
    }

    /// Erases the sector that starts at `offset`.
    ///
    /// # Errors
    /// Those of [`Self::begin_erase`] and [`finish`].
    pub fn erase(&self, offset: u32, mut idle: impl FnMut()) -> Result<(), Error> {
        self.begin_erase(offset)?;
        wait(finish, &mut idle)
    }
}

/// Ends a write or an erase; what a read brought is dropped.
///
/// # Errors
/// [`Error::Busy`]: it goes on. [`Error::NothingPending`]: nothing was begun. [`Error::NotErased`],
/// [`Error::HardwareFailed`], [`Error::NotNow`]: it failed.
pub fn finish() -> Result<(), Error> {
    let mut nowhere = [0; TRANSFER_LEN_MAX];
    finish_read(&mut nowhere)
}

/// Ends a read: what it brought is in `buffer`.
///
/// # Errors
/// As [`finish`]. [`Error::BufferTooSmall`]: more was read than fits; the result is kept.
pub fn finish_read(buffer: &mut [u8]) -> Result<(), Error> {
    checked(call_2(abi::SLOT_BH_STORAGE_RESULT_READ, buffer.as_mut_ptr().expose_provenance(), buffer.len()))
}

fn wait(mut end: impl FnMut() -> Result<(), Error>, idle: &mut impl FnMut()) -> Result<(), Error> {
    loop {
        match end() {
            Err(Error::Busy) => idle(),
            other => return other,
        }
    }
}
