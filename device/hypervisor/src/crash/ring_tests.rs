#![expect(clippy::indexing_slicing, reason = "tests: a panic is their failure")]

extern crate std;

use std::format;
use std::string::String;
use std::vec::Vec;

use super::*;
use bulkhead_crash_dump::Header;
use bulkhead_flash_simulator::{Cut, Moment, Power, Reading, SimulatedFlash};
use bulkhead_nor_flash::Geometry;

const SECTOR: u32 = 4096;
/// Four sectors a slot: fifteen blocks.
const PART: (FlashAddress, u32) = (FlashAddress(SECTOR), 8 * 4 * SECTOR);
const SIZE: u32 = SECTOR + PART.1;

fn flash() -> (Power, SimulatedFlash) {
    let power = Power::new();
    let flash = SimulatedFlash::external(SIZE, SECTOR, &power);
    power.on(0, None);
    (power, flash)
}

/// What block `number` of dump `sequence` holds.
fn plain(sequence: u32, number: u32) -> [u8; PLAIN_LEN] {
    let mut bytes = [0x5A; PLAIN_LEN];
    bytes[..4].copy_from_slice(&sequence.to_le_bytes());
    bytes[4..8].copy_from_slice(&number.to_le_bytes());
    bytes
}

fn header(sequence: u32) -> Header {
    Header { sequence, recipients: 1, id: [u8::try_from(sequence).unwrap(); 16], ..Header::default() }
}

/// Writes a dump as `capture` does.
fn write(ring: &mut Ring, flash: &mut impl NorFlash, blocks: u32) -> Result<u32, FlashError> {
    let (slot, sequence) = (ring.free_slot().ok_or(FlashError::OutOfRange)?, ring.next_sequence());
    ring.open(flash, slot)?;
    ring.write_header(flash, slot, 0, &header(sequence).encode())?;
    ring.write_header(flash, slot, FIXED_LEN, &[7; 136])?;
    ring.commit_header(flash, slot, sequence, 1)?;
    for number in 0..blocks {
        ring.write_block(flash, slot, number, &plain(sequence, number), &[9; 16])?;
    }
    ring.finish(flash, slot, sequence, 1, blocks)
}

/// Reads a dump in pieces: its sequence, and how many of its blocks are its own.
fn read(ring: &Ring, flash: &mut impl NorFlash, waiting: Waiting) -> (u32, u32) {
    let mut dump = Vec::new();
    while u32::try_from(dump.len()).unwrap() < waiting.len {
        let mut piece = [0; 960];
        let n = ring.read_dump(flash, waiting.slot, u32::try_from(dump.len()).unwrap(), &mut piece).unwrap();
        assert!(n > 0);
        dump.extend(&piece[..n]);
    }
    let sequence = Header::parse(&dump).unwrap().sequence;
    let blocks = dump[header_len(1)..].chunks(BLOCK_LEN);
    let own = blocks.zip(0..).take_while(|(block, number)| block[..PLAIN_LEN] == plain(sequence, *number));
    (sequence, u32::try_from(own.count()).unwrap())
}

#[test]
fn dumps_come_out_in_the_order_in_which_they_went_in_and_none_is_overwritten() {
    let (_, mut flash) = flash();
    let mut ring = Ring::read(&mut flash, PART);
    assert_eq!(ring.blocks_max(), 15);
    for n in 0..8 {
        assert_eq!(write(&mut ring, &mut flash, n + 1), Ok(264 + 1024 * (n + 1)));
    }
    assert_eq!(ring.free_slot(), None, "the first crashes of a series are kept");
    let mut ring = Ring::read(&mut flash, PART);
    assert_eq!(ring.free_slot(), None);
    for n in 0..8 {
        let waiting = ring.oldest().unwrap();
        assert_eq!(read(&ring, &mut flash, waiting), (n, n + 1));
        ring.take(&mut flash, waiting.slot);
        let again = Ring::read(&mut flash, PART);
        assert_ne!(again.oldest().map(|waiting| waiting.slot), Some(waiting.slot));
    }
    assert_eq!(ring.oldest(), None);
}

#[test]
fn slots_are_used_in_turn_also_across_power_cuts() {
    let (_, mut flash) = flash();
    for _ in 0..80 {
        let mut ring = Ring::read(&mut flash, PART);
        write(&mut ring, &mut flash, 15).unwrap();
        let waiting = ring.oldest().unwrap();
        ring.take(&mut flash, waiting.slot);
    }
    for sector in 0..PART.1 / SECTOR {
        let erases = flash.erase_count(FlashAddress(PART.0.0 + sector * SECTOR));
        assert_eq!(erases, 10, "sector {sector}");
    }
    assert_eq!(Ring::read(&mut flash, PART).next_sequence(), 80);
}

/// A flash that forgets to erase ahead: what the suite must notice.
struct NeverErasesAhead<'f>(&'f mut SimulatedFlash);

impl NorFlash for NeverErasesAhead<'_> {
    fn geometry(&self) -> Geometry {
        self.0.geometry()
    }
    fn read(&mut self, at: FlashAddress, out: &mut [u8]) -> Result<(), FlashError> {
        self.0.read(at, out)
    }
    fn program(&mut self, at: FlashAddress, bytes: &[u8]) -> Result<(), FlashError> {
        // What was not erased ahead is erased when it is needed.
        let block = at.0.wrapping_sub(PART.0.0) % (4 * SECTOR);
        if block.is_multiple_of(SECTOR) && bytes.len() == PLAIN_LEN {
            self.0.erase(at)?;
        }
        self.0.program(at, bytes)
    }
    fn erase(&mut self, at: FlashAddress) -> Result<(), FlashError> {
        let is_first = (at.0 - PART.0.0).is_multiple_of(4 * SECTOR);
        if is_first { self.0.erase(at) } else { Ok(()) }
    }
}

/// How the flash under test is driven.
#[derive(Clone, Copy, PartialEq)]
enum Driver {
    Sound,
    NeverErasesAhead,
}

fn write_by(driver: Driver, flash: &mut SimulatedFlash, blocks: u32) {
    // What fails, fails because the power is gone.
    let _ = match driver {
        Driver::Sound => write(&mut Ring::read(flash, PART), flash, blocks),
        Driver::NeverErasesAhead => {
            let mut flash = NeverErasesAhead(flash);
            write(&mut Ring::read(&mut flash, PART), &mut flash, blocks)
        }
    };
}

/// Fills every slot with a dump and hands all over, leaves one waiting, and cuts the power in operation `n` of the
/// next one. Returns `None` where the power was not cut, else a complaint, empty if all is well.
fn cut_in_capture(driver: Driver, n: u32, moment: Moment, reading: Reading) -> Option<String> {
    let (power, mut flash) = flash();
    for _ in 0..8 {
        let mut ring = Ring::read(&mut flash, PART);
        write(&mut ring, &mut flash, 15).unwrap();
        let waiting = ring.oldest().unwrap();
        ring.take(&mut flash, waiting.slot);
    }
    write_by(Driver::Sound, &mut flash, 3);
    power.on(1, Some(Cut { operation: n, moment }));
    write_by(driver, &mut flash, 9);
    if power.is_on() {
        return None;
    }
    power.on(2, None);
    flash.power_on(flash.cells().clone(), |_| reading);
    let mut ring = Ring::read(&mut flash, PART);
    let first = ring.oldest().map(|waiting| (waiting, read(&ring, &mut flash, waiting)));
    let Some((waiting, (8, 3))) = first else { return Some(format!("the dump before is {first:?}")) };
    ring.take(&mut flash, waiting.slot);
    if let Some(waiting) = ring.oldest() {
        let (sequence, own) = read(&ring, &mut flash, waiting);
        let blocks = (waiting.len - 264) / 1024;
        // A block that was half written is none of its own, and it is the last.
        if sequence != 9 || blocks > own + 1 || own > 9 {
            return Some(format!("dump {sequence} has {blocks} blocks, {own} of them its own"));
        }
        ring.take(&mut flash, waiting.slot);
    }
    write(&mut ring, &mut flash, 15).unwrap();
    Some(String::new())
}

/// Every operation, every moment in it, every way in which its cells may read afterwards.
fn complaints(driver: Driver) -> (u32, Vec<String>) {
    let moments = [Moment::Before, Moment::Inside(0), Moment::Inside(1), Moment::Inside(2), Moment::After];
    let readings = [Reading::Before, Reading::After, Reading::Erased, Reading::Unreadable];
    let (mut cuts, mut complaints) = (0, Vec::new());
    for n in 0.. {
        let before = cuts;
        for (moment, reading) in moments.iter().flat_map(|m| readings.iter().map(move |r| (*m, *r))) {
            if let Some(complaint) = cut_in_capture(driver, n, moment, reading) {
                cuts += 1;
                if !complaint.is_empty() {
                    complaints.push(format!("operation {n}, {moment:?}, {reading:?}: {complaint}"));
                }
            }
        }
        if cuts == before {
            break;
        }
    }
    (cuts, complaints)
}

#[test]
fn a_power_cut_in_any_operation_of_a_dump_loses_that_dumps_end_at_most() {
    let (cuts, complaints) = complaints(Driver::Sound);
    assert!(cuts > 400, "{cuts} cuts");
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn a_ring_that_does_not_erase_ahead_is_rejected_by_this_suite() {
    let (_, complaints) = complaints(Driver::NeverErasesAhead);
    assert!(!complaints.is_empty(), "blocks of an older dump pass for those of the new one");
}

#[test]
fn a_power_cut_while_a_dump_is_handed_over_leaves_it_or_takes_it() {
    for moment in [Moment::Before, Moment::Inside(0), Moment::Inside(1), Moment::Inside(2), Moment::After] {
        for reading in [Reading::Before, Reading::After, Reading::Erased, Reading::Unreadable] {
            let (power, mut flash) = flash();
            write_by(Driver::Sound, &mut flash, 3);
            write_by(Driver::Sound, &mut flash, 5);
            let mut ring = Ring::read(&mut flash, PART);
            power.on(1, Some(Cut { operation: 0, moment }));
            let waiting = ring.oldest().unwrap();
            ring.take(&mut flash, waiting.slot);
            power.on(2, None);
            flash.power_on(flash.cells().clone(), |_| reading);
            let ring = Ring::read(&mut flash, PART);
            let waiting = ring.oldest().unwrap();
            assert!(matches!(read(&ring, &mut flash, waiting), (0, 3) | (1, 5)), "{moment:?} {reading:?}");
        }
    }
}

#[test]
fn a_part_that_holds_something_else_is_taken_over() {
    let (_, mut flash) = flash();
    for sector in 1..SIZE / SECTOR {
        flash.program(FlashAddress(sector * SECTOR), &[0x42; 64]).unwrap();
    }
    let mut ring = Ring::read(&mut flash, PART);
    assert_eq!(ring.oldest(), None);
    write(&mut ring, &mut flash, 15).unwrap();
    assert_eq!(read(&ring, &mut flash, ring.oldest().unwrap()), (0, 15));
}
