//! The application's side of its configuration: a list in memory, and a desk at which one value at a time is handed out.

use bulkhead_link_protocol::{CONFIG_KEYS_MAX, CONFIG_VALUE_LEN_MAX};
use bulkhead_syscall_abi::{
    CONFIG_ENTRY_VERSION, CONFIG_KEY_LEN_MAX, CONFIG_VALUE_VERSION, ConfigEntry, ConfigValue, Status,
};

use super::record::{EntryHead, key_of};
use crate::calls::{ApplicationMemory, MailboxAccess, version_of};

/// What is at the desk. All zeros when nothing is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(u8)]
enum Stage {
    #[default]
    Free,
    Waiting,
    Done,
}

/// What gateways and executor share. All zeros at first, so that it takes no room in flash.
pub(crate) struct Desk {
    entries: [EntryHead; CONFIG_KEYS_MAX],
    count: usize,
    /// Whether `entries` are those that count; not while they are read from flash.
    loaded: bool,
    /// Revision of what counts.
    pub(crate) revision: u32,
    stage: Stage,
    /// Another for each read.
    serial: u32,
    wanted: EntryHead,
    /// How the last read ended.
    ended: Status,
    value: [u8; CONFIG_VALUE_LEN_MAX],
}

impl Desk {
    pub(crate) const fn new() -> Self {
        Self {
            entries: [EntryHead::NONE; CONFIG_KEYS_MAX],
            count: 0,
            loaded: false,
            revision: 0,
            stage: Stage::Free,
            serial: 0,
            wanted: EntryHead::NONE,
            ended: Status::Ok,
            value: [0; CONFIG_VALUE_LEN_MAX],
        }
    }

    /// The list is about to be read from flash.
    pub(super) fn begin_load(&mut self) {
        self.count = 0;
        self.loaded = false;
    }

    /// Adds to the list; `false` if it is full.
    pub(super) fn load(&mut self, head: EntryHead) -> bool {
        let place = self.entries.get_mut(self.count);
        let taken = place.map(|place| *place = head).is_some();
        self.count += usize::from(taken);
        taken
    }

    /// The list counts from now on.
    pub(super) fn loaded(&mut self, revision: u32) {
        self.loaded = true;
        self.revision = revision;
    }

    /// Place and head of a key.
    pub(super) fn find(&self, key: &[u8]) -> Option<(u32, EntryHead)> {
        let entries = self.entries.get(..self.count).unwrap_or_default();
        let place = entries.iter().position(|entry| entry.key() == key)?;
        Some((u32::try_from(place).ok()?, *entries.get(place)?))
    }

    /// The key that the application waits for.
    pub(super) fn waiting(&self) -> Option<EntryHead> {
        (self.loaded && self.stage == Stage::Waiting).then_some(self.wanted)
    }

    /// Whether the executor has something to do.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting().is_some()
    }

    /// The executor has read it, or says why not.
    pub(super) fn done(&mut self, found: Result<(EntryHead, &[u8]), &Status>) {
        self.stage = Stage::Done;
        self.ended = found.err().copied().unwrap_or(Status::Ok);
        if let Ok((head, value)) = found {
            self.wanted = head;
            if let Some(room) = self.value.get_mut(..value.len()) {
                room.copy_from_slice(value);
            }
        }
    }

    /// Nobody waits any more; nothing of a value is left.
    pub(crate) fn forget(&mut self) {
        self.stage = Stage::Free;
        self.wanted = EntryHead::NONE;
        self.value.fill(0);
    }
}

pub(crate) fn read(
    address: u32,
    len: u32,
    memory: &impl ApplicationMemory,
    mailbox: &impl MailboxAccess,
) -> Status {
    let mut key = [0; CONFIG_KEY_LEN_MAX as usize];
    let Some(room) = usize::try_from(len).ok().and_then(|len| key.get_mut(..len)).filter(|k| !k.is_empty())
    else {
        return Status::ArgumentRefused;
    };
    if !memory.copy_in(address, room) {
        return Status::PointerRefused;
    }
    let Some((key, key_len)) = key_of(room) else { return Status::NotFound };
    mailbox.with(|m| {
        let desk = &mut m.configuration;
        if !desk.loaded || desk.stage != Stage::Free {
            return Status::Busy;
        }
        let wanted = EntryHead { key, key_len, ..EntryHead::NONE };
        if desk.find(wanted.key()).is_none() {
            return Status::NotFound;
        }
        desk.wanted = wanted;
        desk.stage = Stage::Waiting;
        desk.serial = desk.serial.wrapping_add(1);
        Status::Ok
    })
}

pub(crate) fn result_read(
    [address, buffer, len]: [u32; 3],
    memory: &impl ApplicationMemory,
    mailbox: &impl MailboxAccess,
) -> Status {
    if let Err(status) = version_of(address, CONFIG_VALUE_VERSION, memory) {
        return status;
    }
    let (stage, serial, head, ended) = mailbox.with(|m| {
        let desk = &m.configuration;
        (desk.stage, desk.serial, desk.wanted, desk.ended)
    });
    let leave = |status| {
        mailbox.with(|m| {
            // An interrupt of the application may have taken it meanwhile, and begun something else.
            if m.configuration.serial == serial && m.configuration.stage == Stage::Done {
                m.configuration.forget();
            }
        });
        status
    };
    match stage {
        Stage::Free => return Status::NothingPending,
        Stage::Waiting => return Status::Busy,
        Stage::Done if ended != Status::Ok => return leave(ended),
        Stage::Done => {}
    }
    let value = ConfigValue {
        version: CONFIG_VALUE_VERSION,
        value_version: head.version,
        length_bytes: u32::from(head.value_len),
        secret: u32::from(head.secret),
    };
    let fits = len >= value.length_bytes;
    let room = fits && value.length_bytes > 0;
    if room && !memory.may_write(buffer, value.length_bytes) || !memory.copy_out(address, &value.to_bytes()) {
        return Status::PointerRefused;
    }
    if !fits {
        return Status::BufferTooSmall;
    }
    let copied = mailbox.with(|m| {
        let desk = &m.configuration;
        let bytes = desk.value.get(..usize::from(head.value_len)).filter(|_| desk.serial == serial)?;
        Some(bytes.is_empty() || memory.copy_out(buffer, bytes))
    });
    match copied {
        None => return Status::NothingPending,
        Some(false) => return Status::PointerRefused,
        Some(true) => {}
    }
    leave(Status::Ok)
}

pub(crate) fn list(
    index: u32,
    address: u32,
    memory: &impl ApplicationMemory,
    mailbox: &impl MailboxAccess,
) -> Status {
    if let Err(status) = version_of(address, CONFIG_ENTRY_VERSION, memory) {
        return status;
    }
    let found = mailbox.with(|m| {
        let desk = &m.configuration;
        if !desk.loaded {
            return Err(Status::Busy);
        }
        let entries = desk.entries.get(..desk.count).unwrap_or_default();
        let entry = usize::try_from(index).ok().and_then(|index| entries.get(index));
        entry.copied().ok_or(Status::NotFound)
    });
    let head = match found {
        Ok(head) => head,
        Err(status) => return status,
    };
    let entry = ConfigEntry {
        version: CONFIG_ENTRY_VERSION,
        value_version: head.version,
        length_bytes: u32::from(head.value_len),
        secret: u32::from(head.secret),
        key_length_bytes: u32::from(head.key_len),
        key: head.key,
    };
    if memory.copy_out(address, &entry.to_bytes()) { Status::Ok } else { Status::PointerRefused }
}
