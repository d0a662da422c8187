//! The application's configuration: fetched over the link, kept sealed in external flash, read by the application.
//!
//! A new configuration is written whole into the bank that does not count, one record a slice, and counts from the
//! moment its header is written. So a power cut leaves the old one or the new one. Nothing that keeps the device alive
//! depends on it: flash that fails leaves a device without configuration, and the server hears why.

mod desk;
mod record;

use bulkhead_hardware_ports::Entropy;
use bulkhead_link_protocol::{
    CONFIG_KEYS_MAX, CONFIG_VALUE_LEN_MAX, ConfigEntry, ConfigFetch, ConfigOffer, ConfigRefused, ConfigState,
};
use bulkhead_nor_flash::{FlashAddress, NorFlash};
use bulkhead_syscall_abi::Status;

use self::record::{Bank, EntryHead, RECORD_LEN, Record, bank_bytes, compose, key_of, value_of};
use crate::calls::MailboxAccess;

pub(crate) use self::desk::{Desk, list, read, result_read};

/// Memory of the configuration, placed by the board: large values never cross its stack.
pub struct ConfigurationStorage {
    root: [u8; 32],
    first: FlashAddress,
    length: u32,
    record: Record,
}

impl ConfigurationStorage {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self { root: [0; 32], first: FlashAddress(0), length: 0, record: [0; RECORD_LEN] }
    }

    /// Says where in external flash it is kept, and the root of the key that it is sealed with.
    pub fn prepare(&mut self, root: &[u8; 32], first: FlashAddress, length: u32) {
        self.root = *root;
        self.first = first;
        self.length = length;
    }
}

impl Default for ConfigurationStorage {
    fn default() -> Self {
        Self::new()
    }
}

/// What is done next. One step a slice.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Work {
    /// Looks for banks.
    Find,
    /// Reads the list from one.
    Load { place: u32 },
    /// Nothing to do.
    Rest,
    /// Erases the other bank, sector by sector.
    Erase { sector: u32 },
    /// Waits for an entry; `whole` if its value must come with it.
    Fetch { place: u32, whole: bool, asked: bool },
    /// Writes the entry that came.
    Write { place: u32 },
    /// Copies an entry that did not change.
    Keep { place: u32 },
    /// Declares the new bank whole.
    Commit,
}

/// The executor's part.
pub(crate) struct Configuration<'w> {
    storage: &'w mut ConfigurationStorage,
    work: Work,
    /// What counts, or is being loaded.
    active: Option<Bank>,
    /// What is loaded if `active` turns out to be damaged.
    other: Option<Bank>,
    next: Option<Bank>,
    offer: ConfigOffer,
    /// Head of the entry that came; keys have to rise.
    came: EntryHead,
    refused: Option<(u32, ConfigRefused)>,
    state_due: bool,
    /// Whether the application is to be told, which at boot it is not.
    tell: bool,
}

impl<'w> Configuration<'w> {
    pub(crate) fn new(storage: &'w mut ConfigurationStorage) -> Self {
        Self {
            storage,
            work: Work::Find,
            active: None,
            other: None,
            next: None,
            offer: ConfigOffer { revision: 0, entries: 0 },
            came: EntryHead::NONE,
            refused: None,
            state_due: false,
            tell: false,
        }
    }

    /// Whether another slice should follow at once.
    pub(crate) fn is_busy(&self) -> bool {
        !matches!(self.work, Work::Rest | Work::Fetch { .. })
    }

    /// The link works: the server is told what is here.
    pub(crate) fn welcomed(&mut self) {
        self.state_due = true;
    }

    /// The link is gone, and with it what was being fetched.
    pub(crate) fn link_lost(&mut self) {
        if matches!(
            self.work,
            Work::Erase { .. } | Work::Fetch { .. } | Work::Write { .. } | Work::Keep { .. }
        ) {
            self.work = Work::Rest;
        }
        self.state_due = false;
    }

    /// The server offers a configuration, in place of one that is being fetched.
    pub(crate) fn offered(&mut self, offer: ConfigOffer) {
        let revision = self.active.map_or(0, |bank| bank.revision);
        let loading = matches!(self.work, Work::Find | Work::Load { .. } | Work::Commit);
        // What is loading is reported once it is there; the server then offers again what differs.
        if loading || offer.revision == revision {
            self.state_due |= !loading;
            return;
        }
        self.offer = offer;
        self.came = EntryHead::NONE;
        let room = self.bank_len() >= bank_bytes(offer.entries);
        if !room || !usize::try_from(offer.entries).is_ok_and(|entries| entries <= CONFIG_KEYS_MAX) {
            self.refuse(ConfigRefused::TooMany);
        } else {
            self.work = Work::Erase { sector: 0 };
        }
    }

    /// An entry came.
    pub(crate) fn entry(&mut self, entry: &ConfigEntry<'_>) {
        let Work::Fetch { place, whole, .. } = self.work else { return };
        if entry.revision != self.offer.revision || entry.index != place {
            return;
        }
        let Some((key, key_len)) = key_of(entry.key.as_bytes()) else {
            return self.refuse(ConfigRefused::Malformed);
        };
        let value = entry.value.map(|value| &**value).unwrap_or_default();
        let fits = value.len() <= CONFIG_VALUE_LEN_MAX;
        // An entry that is asked for once more, for its value, has the same key again.
        let rises = place == 0
            || entry.key.as_bytes() > self.came.key()
            || (whole && entry.key.as_bytes() == self.came.key());
        let (Ok(value_len), true, true) = (u16::try_from(value.len()), fits, rises) else {
            return self.refuse(ConfigRefused::Malformed);
        };
        let (version, secret) = (entry.version, entry.secret);
        let head = EntryHead { key, key_len, secret, value_len, version };
        match entry.value {
            Some(_) => {
                self.came = head;
                compose(&mut self.storage.record, &head, value);
                self.work = Work::Write { place };
            }
            None if whole => self.refuse(ConfigRefused::Malformed),
            None => {
                self.came = head;
                self.work = Work::Keep { place };
            }
        }
    }

    /// What the server is to be told or asked; `sent` it was.
    pub(crate) fn state(&self) -> Option<ConfigState> {
        let loading = matches!(self.work, Work::Find | Work::Load { .. } | Work::Commit);
        (self.state_due && !loading).then(|| ConfigState {
            revision: self.active.map_or(0, |bank| bank.revision),
            entries: self.active.map_or(0, |bank| bank.entries),
            refused: self.refused.map(|(revision, _)| revision),
            reason: self.refused.map(|(_, reason)| reason),
        })
    }

    pub(crate) fn state_sent(&mut self) {
        self.state_due = false;
    }

    pub(crate) fn wanted(&self) -> Option<ConfigFetch> {
        let Work::Fetch { place, whole, asked: false } = self.work else { return None };
        let have = self.active.filter(|_| !whole).map_or(0, |bank| bank.revision);
        Some(ConfigFetch { revision: self.offer.revision, index: place, have })
    }

    pub(crate) fn fetch_sent(&mut self) {
        if let Work::Fetch { asked, .. } = &mut self.work {
            *asked = true;
        }
    }

    /// One step. Returns the revision that counts from now on, if the application is to be told.
    #[inline(never)]
    pub(crate) fn step(
        &mut self,
        flash: &mut impl NorFlash,
        entropy: &mut impl Entropy,
        mailbox: &impl MailboxAccess,
    ) -> Option<u32> {
        match self.work {
            Work::Rest | Work::Fetch { .. } => {}
            Work::Find => self.find(flash, mailbox),
            Work::Load { place } => return self.load(place, flash, mailbox),
            Work::Erase { sector } => self.erase(sector, flash, entropy),
            Work::Write { place } => self.write(place, flash),
            Work::Keep { place } => self.keep(place, flash, mailbox),
            Work::Commit => {
                let committed = self.next.is_some_and(|bank| bank.commit(flash).is_ok());
                if committed {
                    self.tell = true;
                    self.work = Work::Find;
                } else {
                    self.refuse(ConfigRefused::FlashFailed);
                }
            }
        }
        None
    }

    /// Hands the application what it waits for; how its read ended, if it waited.
    #[inline(never)]
    pub(crate) fn serve(
        &mut self,
        flash: &mut impl NorFlash,
        mailbox: &impl MailboxAccess,
    ) -> Option<Status> {
        // The entry that came lies where the one that is asked for would.
        if matches!(self.work, Work::Write { .. }) {
            return None;
        }
        let wanted = mailbox.with(|m| m.configuration.waiting())?;
        let place = mailbox.with(|m| m.configuration.find(wanted.key()));
        let bank = self.active;
        let record = &mut self.storage.record;
        // It was there when it was asked for; a configuration without it may count since.
        let found = match place {
            None => Err(Status::NotFound),
            Some((place, _)) => {
                let head = bank.and_then(|bank| bank.read(flash, place, record));
                head.filter(|head| head.key() == wanted.key()).ok_or(Status::HardwareFailed)
            }
        };
        mailbox.with(|m| m.configuration.done(found.as_ref().map(|head| (*head, value_of(record, head)))));
        record.fill(0);
        Some(found.err().unwrap_or(Status::Ok))
    }

    fn find(&mut self, flash: &mut impl NorFlash, mailbox: &impl MailboxAccess) {
        mailbox.with(|m| m.configuration.begin_load());
        let [first, second] = self.banks().map(|start| {
            let bank = start.and_then(|start| Bank::open(flash, start, &self.storage.root));
            bank.filter(|bank| usize::try_from(bank.entries).is_ok_and(|entries| entries <= CONFIG_KEYS_MAX))
        });
        let newer = |one: &Option<Bank>| one.map(|bank| bank.generation);
        (self.active, self.other) =
            if newer(&first) >= newer(&second) { (first, second) } else { (second, first) };
        self.work = Work::Load { place: 0 };
    }

    fn load(&mut self, place: u32, flash: &mut impl NorFlash, mailbox: &impl MailboxAccess) -> Option<u32> {
        if let Some(bank) = self.active.filter(|bank| place < bank.entries) {
            let head = bank.read(flash, place, &mut self.storage.record);
            self.storage.record.fill(0);
            if head.is_some_and(|head| mailbox.with(|m| m.configuration.load(head))) {
                self.work = Work::Load { place: place.saturating_add(1) };
            } else {
                // A record that is not what was written: the bank before it counts, and the server hears of it.
                self.active = self.other.take();
                mailbox.with(|m| m.configuration.begin_load());
                self.work = Work::Load { place: 0 };
            }
            return None;
        }
        let revision = self.active.map_or(0, |bank| bank.revision);
        mailbox.with(|m| m.configuration.loaded(revision));
        self.work = Work::Rest;
        let tell = core::mem::take(&mut self.tell);
        if tell {
            self.state_due = true;
            self.refused = None;
            if revision != self.offer.revision {
                self.refuse(ConfigRefused::FlashFailed);
                return None;
            }
        }
        tell.then_some(revision)
    }

    fn erase(&mut self, sector: u32, flash: &mut impl NorFlash, entropy: &mut impl Entropy) {
        let Some(start) = self.spare() else { return self.refuse(ConfigRefused::FlashFailed) };
        let erase_size = flash.geometry().erase_size;
        let offset = sector.saturating_mul(erase_size);
        if offset < bank_bytes(self.offer.entries) {
            if start.plus(offset).is_some_and(|at| flash.erase(at).is_ok()) {
                self.work = Work::Erase { sector: sector.saturating_add(1) };
            } else {
                self.refuse(ConfigRefused::FlashFailed);
            }
            return;
        }
        let mut salt = [0; 16];
        entropy.fill(&mut salt);
        let generation = self.active.map_or(0, |bank| bank.generation).saturating_add(1);
        let ConfigOffer { revision, entries } = self.offer;
        self.next = Bank::begin(flash, start, &self.storage.root, salt).ok().map(|bank| Bank {
            revision,
            entries,
            generation,
            ..bank
        });
        match self.next {
            Some(_) => self.after(None),
            None => self.refuse(ConfigRefused::FlashFailed),
        }
    }

    /// Goes on behind the entry that was written last.
    fn after(&mut self, written: Option<u32>) {
        let place = written.map_or(0, |place| place.saturating_add(1));
        self.work = if place < self.offer.entries {
            Work::Fetch { place, whole: false, asked: false }
        } else {
            Work::Commit
        };
    }

    fn write(&mut self, place: u32, flash: &mut impl NorFlash) {
        let record = &mut self.storage.record;
        let written = self.next.is_some_and(|bank| bank.write(flash, place, record).is_ok());
        record.fill(0);
        if written { self.after(Some(place)) } else { self.refuse(ConfigRefused::FlashFailed) }
    }

    fn keep(&mut self, place: u32, flash: &mut impl NorFlash, mailbox: &impl MailboxAccess) {
        let (key, version) = (self.came.key(), self.came.version);
        let own = mailbox.with(|m| m.configuration.find(key)).filter(|(_, head)| head.version == version);
        let record = &mut self.storage.record;
        let read = own.zip(self.active).and_then(|((own, _), bank)| bank.read(flash, own, record));
        match read.filter(|head| head.key() == key) {
            Some(_) => self.work = Work::Write { place },
            None => self.work = Work::Fetch { place, whole: true, asked: false },
        }
        if self.work == (Work::Write { place }) {
            self.write(place, flash);
        }
    }

    fn refuse(&mut self, reason: ConfigRefused) {
        self.refused = Some((self.offer.revision, reason));
        self.state_due = true;
        self.work = Work::Rest;
    }

    fn bank_len(&self) -> u32 {
        self.storage.length / 2
    }

    fn banks(&self) -> [Option<FlashAddress>; 2] {
        let first = (self.storage.length > 0).then_some(self.storage.first);
        [first, first.and_then(|first| first.plus(self.bank_len()))]
    }

    /// The bank that does not count.
    fn spare(&self) -> Option<FlashAddress> {
        let [first, second] = self.banks();
        if self.active.is_some_and(|bank| Some(bank.start) == first) { second } else { first }
    }
}

#[cfg(test)]
mod tests;
