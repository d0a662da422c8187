#![expect(clippy::indexing_slicing, reason = "tests: a panic is their failure")]

use super::*;
use crate::mailbox::Mailbox;
use bulkhead_flash_simulator::{Cut, Moment, Power, Reading, SimulatedFlash};
use core::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::vec::Vec;

extern crate std;

const SECTOR: u32 = 4096;
const FIRST: FlashAddress = FlashAddress(SECTOR);
const LENGTH: u32 = 8 * SECTOR;
const ROOT: [u8; 32] = [7; 32];

struct Access(RefCell<Mailbox>);

impl MailboxAccess for Access {
    fn with<R>(&self, work: impl FnOnce(&mut Mailbox) -> R) -> R {
        work(&mut self.0.borrow_mut())
    }
}

/// Numbers that count up: no two salts are the same.
struct Counting(u8);

impl Entropy for Counting {
    fn fill(&mut self, out: &mut [u8]) {
        self.0 = self.0.wrapping_add(1);
        out.fill(self.0);
    }
}

/// What a server has: key, version, value.
type Set = Vec<(&'static str, u32, Vec<u8>)>;

fn flash() -> (Power, SimulatedFlash) {
    let power = Power::new();
    let flash = SimulatedFlash::external(16 * SECTOR, SECTOR, &power);
    (power, flash)
}

fn storage() -> ConfigurationStorage {
    let mut storage = ConfigurationStorage::new();
    storage.prepare(&ROOT, FIRST, LENGTH);
    storage
}

/// Steps until there is nothing to do without the server.
fn rest(c: &mut Configuration<'_>, flash: &mut SimulatedFlash, salt: &mut Counting, mailbox: &Access) {
    for _ in 0..1000 {
        if !c.is_busy() {
            return;
        }
        c.step(flash, salt, mailbox);
    }
    panic!("it never comes to rest");
}

/// Plays the server until it has nothing more to answer; returns how many values it sent.
fn play(
    c: &mut Configuration<'_>,
    (revision, set): (u32, &Set),
    flash: &mut SimulatedFlash,
    salt: &mut Counting,
    mailbox: &Access,
) -> usize {
    let mut values = 0;
    c.offered(ConfigOffer { revision, entries: u32::try_from(set.len()).unwrap() });
    for _ in 0..200 {
        rest(c, flash, salt, mailbox);
        let Some(fetch) = c.wanted() else { return values };
        c.fetch_sent();
        let (key, version, value) = &set[usize::try_from(fetch.index).unwrap()];
        let whole = *version > fetch.have;
        values += usize::from(whole);
        c.entry(&ConfigEntry {
            revision: fetch.revision,
            index: fetch.index,
            key,
            version: *version,
            secret: key.starts_with("secret"),
            value: whole.then_some((&value[..]).into()),
        });
    }
    panic!("it never has enough");
}

/// What the application would read, by key, after a start.
fn boot(flash: &mut SimulatedFlash) -> (u32, BTreeMap<Vec<u8>, Vec<u8>>) {
    let (mut storage, mailbox) = (storage(), Access(RefCell::new(Mailbox::new())));
    let mut c = Configuration::new(&mut storage);
    rest(&mut c, flash, &mut Counting(0), &mailbox);
    contents(&mut c, flash, &mailbox)
}

fn contents(
    c: &mut Configuration<'_>,
    flash: &mut SimulatedFlash,
    mailbox: &Access,
) -> (u32, BTreeMap<Vec<u8>, Vec<u8>>) {
    let mut found = BTreeMap::new();
    let entries = c.active.map_or(0, |bank| bank.entries);
    for place in 0..entries {
        let mut record = [0; RECORD_LEN];
        let head = c.active.unwrap().read(flash, place, &mut record).unwrap();
        assert_eq!(mailbox.with(|m| m.configuration.find(head.key())), Some((place, head)));
        found.insert(head.key().to_vec(), value_of(&record, &head).to_vec());
    }
    (c.active.map_or(0, |bank| bank.revision), found)
}

fn as_read(set: &Set) -> BTreeMap<Vec<u8>, Vec<u8>> {
    set.iter().map(|(key, _, value)| (key.as_bytes().to_vec(), value.clone())).collect()
}

fn first() -> Set {
    std::vec![("period", 5, b"60".to_vec()), ("secret/key", 6, std::vec![0xEE; 512]), ("zone", 4, Vec::new())]
}

fn second() -> Set {
    std::vec![("period", 9, b"90".to_vec()), ("secret/key", 6, std::vec![0xEE; 512])]
}

#[test]
fn a_configuration_is_there_after_power_on_without_a_network_and_sealed() {
    let (_, mut flash) = flash();
    let (mut storage, mailbox, mut salt) = (storage(), Access(RefCell::new(Mailbox::new())), Counting(0));
    let mut c = Configuration::new(&mut storage);
    rest(&mut c, &mut flash, &mut salt, &mailbox);
    assert_eq!(c.state(), None, "not before the link works");
    c.welcomed();
    assert_eq!(c.state().map(|state| (state.revision, state.entries)), Some((0, 0)));
    assert_eq!(play(&mut c, (6, &first()), &mut flash, &mut salt, &mailbox), 3);
    assert_eq!(c.state().map(|state| (state.revision, state.entries, state.refused)), Some((6, 3, None)));
    assert_eq!(contents(&mut c, &mut flash, &mailbox), (6, as_read(&first())));
    assert_eq!(boot(&mut flash), (6, as_read(&first())));
    let mut raw = std::vec![0; usize::try_from(16 * SECTOR).unwrap()];
    flash.read(FlashAddress(0), &mut raw).unwrap();
    assert!(!raw.windows(8).any(|bytes| bytes == [0xEE; 8]), "no value lies open");
    assert!(!raw.windows(6).any(|bytes| bytes == b"secret"), "no key either");
}

#[test]
fn what_did_not_change_is_copied_from_the_device_itself() {
    let (_, mut flash) = flash();
    let (mut storage, mailbox, mut salt) = (storage(), Access(RefCell::new(Mailbox::new())), Counting(0));
    let mut c = Configuration::new(&mut storage);
    rest(&mut c, &mut flash, &mut salt, &mailbox);
    play(&mut c, (6, &first()), &mut flash, &mut salt, &mailbox);
    assert_eq!(play(&mut c, (9, &second()), &mut flash, &mut salt, &mailbox), 1, "one value is new");
    assert_eq!(contents(&mut c, &mut flash, &mailbox), (9, as_read(&second())));
    // A key that goes back to an older version is asked for in full.
    let back: Set = std::vec![("period", 5, b"60".to_vec()), ("secret/key", 6, std::vec![0xEE; 512])];
    assert_eq!(play(&mut c, (12, &back), &mut flash, &mut salt, &mailbox), 1);
    assert_eq!(boot(&mut flash), (12, as_read(&back)));
    assert_eq!(play(&mut c, (13, &Set::new()), &mut flash, &mut salt, &mailbox), 0);
    assert_eq!(boot(&mut flash), (13, BTreeMap::new()));
}

/// Cuts the power before, in and after every erase and program while one configuration follows another. `broken` may
/// damage the suite's subject.
fn cut_everywhere(broken: impl Fn(&mut Configuration<'_>)) -> Result<usize, std::string::String> {
    let mut cuts = 0;
    for operation in 0..64 {
        for moment in [Moment::Before, Moment::Inside(0), Moment::Inside(1), Moment::Inside(2), Moment::After]
        {
            let (power, mut flash) = flash();
            power.on(0, None);
            let (mut storage, mailbox) = (storage(), Access(RefCell::new(Mailbox::new())));
            let mut salt = Counting(0);
            let mut c = Configuration::new(&mut storage);
            rest(&mut c, &mut flash, &mut salt, &mailbox);
            play(&mut c, (6, &first()), &mut flash, &mut salt, &mailbox);
            power.on(0, Some(Cut { operation, moment }));
            broken(&mut c);
            play(&mut c, (9, &second()), &mut flash, &mut salt, &mailbox);
            let finished = power.is_on();
            for reading in
                [Reading::Before, Reading::After, Reading::Erased, Reading::Unreadable, Reading::Mixed(7)]
            {
                power.on(1, None);
                flash.power_on(flash.cells().clone(), |_| reading);
                let found = boot(&mut flash);
                let (old, new) = ((6, as_read(&first())), (9, as_read(&second())));
                if !(found == new || (found == old && !finished)) {
                    return Err(std::format!("{operation} {moment:?} {reading:?}: {found:?}"));
                }
            }
            if finished {
                return Ok(cuts);
            }
            cuts += 1;
        }
    }
    Err("it never ended".into())
}

#[test]
fn a_power_cut_anywhere_leaves_the_old_configuration_or_the_new_one() {
    let cuts = cut_everywhere(|_| ()).unwrap();
    assert!(cuts >= 25, "{cuts} cuts");
}

/// The suite must be able to fail: a device that writes over the bank that counts is caught.
#[test]
fn a_device_that_writes_over_what_counts_is_rejected_by_this_suite() {
    let overwrites = |c: &mut Configuration<'_>| {
        if let Some(bank) = &mut c.active {
            // It takes the other bank for the one that counts.
            bank.start = c.storage.first.plus(LENGTH / 2).unwrap();
        }
    };
    assert!(cut_everywhere(overwrites).is_err());
}

#[test]
fn a_damaged_or_foreign_bank_is_never_read() {
    let (_, mut flash) = flash();
    let (mut storage, mailbox, mut salt) = (storage(), Access(RefCell::new(Mailbox::new())), Counting(0));
    let mut c = Configuration::new(&mut storage);
    rest(&mut c, &mut flash, &mut salt, &mailbox);
    play(&mut c, (6, &first()), &mut flash, &mut salt, &mailbox);
    play(&mut c, (9, &second()), &mut flash, &mut salt, &mailbox);
    let newest = c.active.unwrap().start;
    // The bytes between salt and facts are not used.
    for at in (0..64 + 2 * 576).filter(|at| !(16..32).contains(at)) {
        let whole = flash.cells().clone();
        let place = newest.plus(at).unwrap();
        let mut byte = [0];
        flash.read(place, &mut byte).unwrap();
        if byte[0] == 0 {
            continue;
        }
        // Bits only fall.
        flash.program(place, &[byte[0] & (byte[0] - 1)]).unwrap();
        let (revision, found) = boot(&mut flash);
        assert_eq!((revision, &found), (6, &as_read(&first())), "byte {at}");
        flash.power_on(whole, |_| Reading::After);
    }
    let mut other = ConfigurationStorage::new();
    other.prepare(&[8; 32], FIRST, LENGTH);
    let mut foreign = Configuration::new(&mut other);
    rest(&mut foreign, &mut flash, &mut salt, &mailbox);
    assert!(foreign.active.is_none(), "another device's flash says nothing");
}

#[test]
fn what_a_server_must_not_send_is_refused_and_what_counts_stays() {
    let long: &'static str = "abcdefghijklmnopqrstuvwxyz0123456";
    let bad: [(&str, Set); 5] = [
        ("a key that is too long", std::vec![(long, 9, Vec::new())]),
        ("a key with a space", std::vec![("a b", 9, Vec::new())]),
        ("an empty key", std::vec![("", 9, Vec::new())]),
        ("a value that is too long", std::vec![("a", 9, std::vec![0; 513])]),
        ("keys that do not rise", std::vec![("b", 9, Vec::new()), ("a", 9, Vec::new())]),
    ];
    let (_, mut flash) = flash();
    let (mut storage, mailbox, mut salt) = (storage(), Access(RefCell::new(Mailbox::new())), Counting(0));
    let mut c = Configuration::new(&mut storage);
    rest(&mut c, &mut flash, &mut salt, &mailbox);
    play(&mut c, (6, &first()), &mut flash, &mut salt, &mailbox);
    for (revision, (what, set)) in (20..).zip(bad) {
        play(&mut c, (revision, &set), &mut flash, &mut salt, &mailbox);
        let state = c.state().unwrap();
        let refused = (state.revision, state.refused, state.reason);
        assert_eq!(refused, (6, Some(revision), Some(ConfigRefused::Malformed)), "{what}");
        assert_eq!(boot(&mut flash), (6, as_read(&first())), "{what}");
    }
    for entries in [25, 1 << 20, u32::MAX] {
        c.offered(ConfigOffer { revision: 30, entries });
        assert_eq!(c.state().unwrap().reason, Some(ConfigRefused::TooMany));
    }
    play(&mut c, (31, &second()), &mut flash, &mut salt, &mailbox);
    assert_eq!(c.state().unwrap().refused, None);
}

#[test]
fn a_link_that_drops_in_the_middle_leaves_the_old_one_and_the_next_link_begins_anew() {
    let (_, mut flash) = flash();
    let (mut storage, mailbox, mut salt) = (storage(), Access(RefCell::new(Mailbox::new())), Counting(0));
    let mut c = Configuration::new(&mut storage);
    rest(&mut c, &mut flash, &mut salt, &mailbox);
    play(&mut c, (6, &first()), &mut flash, &mut salt, &mailbox);
    c.offered(ConfigOffer { revision: 9, entries: 2 });
    rest(&mut c, &mut flash, &mut salt, &mailbox);
    assert!(c.wanted().is_some());
    c.link_lost();
    assert_eq!(c.wanted(), None);
    let late = ConfigEntry { revision: 9, index: 0, key: "period", version: 9, secret: false, value: None };
    c.entry(&late);
    assert!(!c.is_busy(), "what comes late is nobody's");
    assert_eq!(contents(&mut c, &mut flash, &mailbox), (6, as_read(&first())));
    play(&mut c, (9, &second()), &mut flash, &mut salt, &mailbox);
    assert_eq!(boot(&mut flash), (9, as_read(&second())));
}

/// Application memory with nothing but a key in it, and how often something was written, which goes nowhere.
struct Key(&'static [u8], Cell<usize>);

/// From here on the application may not write.
const CONSTANT: u32 = 0x1000;

impl crate::calls::ApplicationMemory for Key {
    fn copy_in(&self, _: u32, out: &mut [u8]) -> bool {
        // The first word of a struct is its version, and all are 1.
        let bytes: &[u8] = if out.len() == 4 { &[1, 0, 0, 0] } else { self.0 };
        out.copy_from_slice(bytes);
        true
    }
    fn copy_out(&self, address: u32, _: &[u8]) -> bool {
        let may = self.may_write(address, 1);
        self.1.set(self.1.get() + usize::from(may));
        may
    }
    fn may_write(&self, address: u32, _: u32) -> bool {
        address < CONSTANT
    }
    fn owns_line(&self, _: u32) -> bool {
        false
    }
}

#[test]
fn a_key_that_vanishes_before_it_is_read_is_not_found_and_flash_that_fails_is_told_apart() {
    for (change, dies, expected) in [
        (None, false, Status::Ok),
        // Another configuration with the key, and one without it.
        (Some(std::vec![("period", 9, b"90".to_vec())]), false, Status::Ok),
        (Some(std::vec![("zone", 9, Vec::new())]), false, Status::NotFound),
        (None, true, Status::HardwareFailed),
    ] {
        let (_, mut flash) = flash();
        let (mut storage, mailbox, mut salt) = (storage(), Access(RefCell::new(Mailbox::new())), Counting(0));
        let mut c = Configuration::new(&mut storage);
        rest(&mut c, &mut flash, &mut salt, &mailbox);
        play(&mut c, (6, &first()), &mut flash, &mut salt, &mailbox);
        let key = Key(b"period", Cell::new(0));
        assert_eq!(read(0, 6, &key, &mailbox), Status::Ok);
        if let Some(set) = change {
            play(&mut c, (9, &set), &mut flash, &mut salt, &mailbox);
        }
        if dies {
            flash.kill();
        }
        assert_eq!(c.serve(&mut flash, &mailbox), Some(expected));
        if expected == Status::Ok {
            assert_eq!(result_read([0, CONSTANT, 512], &key, &mailbox), Status::PointerRefused);
            assert_eq!(key.1.get(), 0, "nothing was done");
        }
        assert_eq!(result_read([0, 0, 512], &key, &mailbox), expected);
        assert_eq!(c.serve(&mut flash, &mailbox), None, "nobody waits any more");
    }
}
