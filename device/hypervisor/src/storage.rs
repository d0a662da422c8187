//! The application's own areas of external flash: one operation at a time, begun by a gateway, done by the executor.
//!
//! The invariant: an operation is resolved to an address when it is begun, and only within an area that the running
//! manifest gives to the application. The executor does one a slice, of at most 256 bytes or one sector.

use bulkhead_nor_flash::{FlashAddress, FlashError, NorFlash};
use bulkhead_syscall_abi::{STORAGE_INFO_VERSION, STORAGE_TRANSFER_LEN_MAX, Status, StorageInfo};

use crate::calls::{ApplicationMemory, MailboxAccess};

/// Areas that one manifest can give to its application.
pub(crate) const AREAS_MAX: usize = 8;
const TRANSFER_LEN: usize = STORAGE_TRANSFER_LEN_MAX as usize;

/// One area, where it lies in external flash.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct StorageArea {
    pub(crate) id: u32,
    pub(crate) start: FlashAddress,
    pub(crate) length: u32,
}

/// What is to be done with flash.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Operation {
    Read { at: FlashAddress, len: usize },
    Write { at: FlashAddress, len: usize },
    Erase { at: FlashAddress },
}

/// Bytes on their way.
pub(crate) type Transfer = [u8; TRANSFER_LEN];

/// With a tag of its own a free desk is all zero bits, so that the mailbox takes no room in flash.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
enum Desk {
    Free,
    Waiting(Operation),
    Done { status: Status, read: usize },
}

/// What gateways and executor share.
pub(crate) struct Storage {
    areas: [Option<StorageArea>; AREAS_MAX],
    erase_bytes: u32,
    closed: bool,
    desk: Desk,
    bytes: Transfer,
}

impl Storage {
    pub(crate) const fn new() -> Self {
        Self {
            areas: [None; AREAS_MAX],
            erase_bytes: 0,
            closed: false,
            desk: Desk::Free,
            bytes: [0; TRANSFER_LEN],
        }
    }

    /// An application is about to start: these areas are its own.
    pub(crate) fn open(&mut self, areas: impl Iterator<Item = StorageArea>, erase_bytes: u32) {
        let mut areas = areas;
        self.areas = core::array::from_fn(|_| areas.next());
        self.erase_bytes = erase_bytes;
        self.closed = false;
        self.desk = Desk::Free;
    }

    /// An update is being applied: nothing is begun any more, and what waits is not done.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        if matches!(self.desk, Desk::Waiting(_)) {
            self.desk = Desk::Done { status: Status::NotNow, read: 0 };
        }
    }

    /// The application ended: nobody waits for anything.
    pub(crate) fn forget(&mut self) {
        self.areas = [None; AREAS_MAX];
        self.desk = Desk::Free;
    }

    /// What the executor has to do, and the bytes for it. It stays at the desk until [`Self::done`].
    pub(crate) fn waiting(&self) -> Option<(Operation, Transfer)> {
        match self.desk {
            Desk::Waiting(operation) => Some((operation, self.bytes)),
            Desk::Free | Desk::Done { .. } => None,
        }
    }

    /// Whether the executor has something to do.
    pub(crate) const fn is_waiting(&self) -> bool {
        matches!(self.desk, Desk::Waiting(_))
    }

    /// The executor did it.
    pub(crate) fn done(&mut self, operation: Operation, status: Status, bytes: &Transfer) {
        let read = match operation {
            Operation::Read { len, .. } if status == Status::Ok => len,
            Operation::Read { .. } | Operation::Write { .. } | Operation::Erase { .. } => 0,
        };
        self.bytes = *bytes;
        self.desk = Desk::Done { status, read };
    }

    fn area(&self, id: u32) -> Option<&StorageArea> {
        self.areas.iter().flatten().find(|area| area.id == id)
    }

    /// Where `len` bytes from `offset` of area `id` are, if they are the application's.
    fn span(&self, id: u32, offset: u32, len: u32) -> Result<FlashAddress, Status> {
        if self.closed {
            return Err(Status::NotNow);
        }
        let area = self.area(id).ok_or(Status::ArgumentRefused)?;
        let fits = offset.checked_add(len).is_some_and(|end| end <= area.length);
        area.start.plus(offset).filter(|_| fits && len > 0).ok_or(Status::ArgumentRefused)
    }

    fn begin(&mut self, operation: Operation) -> Status {
        if self.desk != Desk::Free {
            return Status::Busy;
        }
        self.desk = Desk::Waiting(operation);
        Status::Ok
    }
}

/// Length of one transfer, if it is one.
fn transfer_len(len: u32) -> Option<usize> {
    usize::try_from(len).ok().filter(|len| (1..=TRANSFER_LEN).contains(len))
}

pub(crate) fn info_read(
    id: u32,
    address: u32,
    memory: &impl ApplicationMemory,
    mailbox: &impl MailboxAccess,
) -> Status {
    let mut version = [0; 4];
    if !memory.copy_in(address, &mut version) {
        return Status::PointerRefused;
    }
    if u32::from_le_bytes(version) != STORAGE_INFO_VERSION {
        return Status::VersionUnknown;
    }
    let info = mailbox.with(|m| {
        let erase_bytes = m.storage.erase_bytes;
        m.storage.area(id).map(|area| StorageInfo {
            version: STORAGE_INFO_VERSION,
            length_bytes: area.length,
            erase_bytes,
            transfer_bytes_max: STORAGE_TRANSFER_LEN_MAX,
        })
    });
    let Some(info) = info else { return Status::ArgumentRefused };
    if memory.copy_out(address, &info.to_bytes()) { Status::Ok } else { Status::PointerRefused }
}

pub(crate) fn read(id: u32, offset: u32, len: u32, mailbox: &impl MailboxAccess) -> Status {
    let Some(transfer) = transfer_len(len) else { return Status::ArgumentRefused };
    mailbox.with(|m| match m.storage.span(id, offset, len) {
        Ok(at) => m.storage.begin(Operation::Read { at, len: transfer }),
        Err(status) => status,
    })
}

pub(crate) fn write(
    [id, offset, address, len]: [u32; 4],
    memory: &impl ApplicationMemory,
    mailbox: &impl MailboxAccess,
) -> Status {
    let mut bytes = [0; TRANSFER_LEN];
    let Some(from) = transfer_len(len).and_then(|len| bytes.get_mut(..len)) else {
        return Status::ArgumentRefused;
    };
    if !memory.copy_in(address, from) {
        return Status::PointerRefused;
    }
    let transfer = from.len();
    mailbox.with(|m| match m.storage.span(id, offset, len) {
        Ok(at) => {
            let status = m.storage.begin(Operation::Write { at, len: transfer });
            if status == Status::Ok {
                m.storage.bytes = bytes;
            }
            status
        }
        Err(status) => status,
    })
}

pub(crate) fn erase(id: u32, offset: u32, mailbox: &impl MailboxAccess) -> Status {
    mailbox.with(|m| {
        let erase_bytes = m.storage.erase_bytes;
        match m.storage.span(id, offset, erase_bytes) {
            Ok(at) if at.is_aligned_to(erase_bytes) => m.storage.begin(Operation::Erase { at }),
            Ok(_) => Status::ArgumentRefused,
            Err(status) => status,
        }
    })
}

pub(crate) fn result_read(
    address: u32,
    len: u32,
    memory: &impl ApplicationMemory,
    mailbox: &impl MailboxAccess,
) -> Status {
    let (desk, bytes) = mailbox.with(|m| (m.storage.desk, m.storage.bytes));
    let (status, read) = match desk {
        Desk::Free => return Status::NothingPending,
        Desk::Waiting(_) => return Status::Busy,
        Desk::Done { status, read } => (status, read),
    };
    if let Some(read) = bytes.get(..read).filter(|read| !read.is_empty()) {
        if usize::try_from(len).is_ok_and(|len| len < read.len()) {
            return Status::BufferTooSmall;
        }
        if !memory.copy_out(address, read) {
            return Status::PointerRefused;
        }
    }
    mailbox.with(|m| {
        // An interrupt of the application may have taken it meanwhile, and begun something else.
        if m.storage.desk == desk {
            m.storage.desk = Desk::Free;
        }
    });
    status
}

/// Does one operation on external flash.
#[inline(never)]
pub(crate) fn perform(flash: &mut impl NorFlash, operation: Operation, bytes: &mut Transfer) -> Status {
    let done = match operation {
        Operation::Read { at, len } => {
            bytes.get_mut(..len).ok_or(FlashError::OutOfRange).and_then(|room| flash.read(at, room))
        }
        Operation::Write { at, len } => {
            return bytes.get(..len).map_or(Status::ArgumentRefused, |bytes| write_once(flash, at, bytes));
        }
        Operation::Erase { at } => flash.erase(at),
    };
    if done.is_ok() { Status::Ok } else { Status::HardwareFailed }
}

/// Programs over erased bits, and looks whether they were kept.
fn write_once(flash: &mut impl NorFlash, at: FlashAddress, bytes: &[u8]) -> Status {
    let mut there: Transfer = [0; TRANSFER_LEN];
    let Some(there) = there.get_mut(..bytes.len()) else { return Status::ArgumentRefused };
    if flash.read(at, there).is_err() {
        return Status::HardwareFailed;
    }
    if there.iter().zip(bytes).any(|(old, new)| old & new != *new) {
        return Status::NotErased;
    }
    let kept = flash.program(at, bytes).and_then(|()| flash.read(at, there));
    if kept.is_ok() && there == bytes { Status::Ok } else { Status::HardwareFailed }
}

#[cfg(test)]
#[path = "storage_tests.rs"]
mod tests;
