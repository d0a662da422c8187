use super::*;
use crate::courtesy::OWN_ERASES_UNSAVED_MAX;
use bulkhead_flash_simulator::{Cut, Moment, Power, Reading, SimulatedFlash};

const PAGE: u32 = 256;
const AT: FlashAddress = FlashAddress(PAGE);
const UPDATE: Digest = [7; 32];

fn flash() -> (Power, SimulatedFlash) {
    let power = Power::new();
    let flash = SimulatedFlash::die(4 * PAGE, PAGE, &power);
    (power, flash)
}

#[test]
fn what_was_counted_is_there_after_power_on_however_often_the_pages_turn() {
    let (_, mut flash) = flash();
    for n in 1..100 {
        let mut ledger = Ledger::read(&mut flash, AT);
        assert_eq!(ledger.wear.application, n - 1);
        ledger.count(|wear| wear.application += 1);
        ledger.count(|wear| wear.staging += 2);
        ledger.save(&mut flash);
        ledger.save(&mut flash);
    }
    let ledger = Ledger::read(&mut flash, AT);
    assert_eq!((ledger.wear.application, ledger.wear.staging), (99, 198));
    assert_eq!(flash.programs_twice(), 0);
    let erases = flash.erase_count(AT) + flash.erase_count(FlashAddress(2 * PAGE));
    assert!(
        erases <= 99 / (PAGE / RECORD_BYTES),
        "{erases} erases for 99 records: what is not new is not written"
    );
}

#[test]
fn a_power_cut_loses_at_most_what_was_being_written() {
    for operation in 0..8 {
        for moment in [Moment::Before, Moment::Inside(0), Moment::Inside(1), Moment::Inside(2), Moment::After]
        {
            let (power, mut flash) = flash();
            power.on(0, None);
            let mut ledger = Ledger::read(&mut flash, AT);
            let mut saved = 0;
            power.on(0, Some(Cut { operation, moment }));
            for _ in 0..8 {
                ledger.count(|wear| wear.application += 1);
                ledger.save(&mut flash);
                saved += u32::from(power.is_on());
            }
            for reading in [Reading::Before, Reading::After] {
                power.on(1, None);
                flash.power_on(flash.cells().clone(), |_| reading);
                let found = Ledger::read(&mut flash, AT).wear.application;
                assert!(found == saved || found == saved + 1, "{operation} {moment:?}: {found} of {saved}");
            }
        }
    }
}

/// I20. An application that has the device restarted does not get its time anew.
#[test]
fn i20_a_postponement_is_counted_against_the_same_update_after_a_power_cut() {
    let (_, mut flash) = flash();
    let hour = 3600;
    let mut boots = 0;
    while Ledger::read(&mut flash, AT).postponed_s(&UPDATE) < hour {
        let mut ledger = Ledger::read(&mut flash, AT);
        let used = ledger.postponed_s(&UPDATE);
        ledger.postpone(&UPDATE, used + 1, hour);
        ledger.save(&mut flash);
        boots += 1;
    }
    assert_eq!(boots, QUANTA, "each power session costs at least a sixteenth");
    let mut ledger = Ledger::read(&mut flash, AT);
    assert_eq!(ledger.postponed_s(&[8; 32]), 0, "another update is another matter");
    ledger.postpone(&UPDATE, 10, hour);
    assert!(!ledger.dirty, "what is granted already is not written again");
}

#[test]
fn pages_that_hold_something_else_are_taken_over() {
    let (_, mut flash) = flash();
    for page in [AT, FlashAddress(2 * PAGE)] {
        for unit in 0..PAGE / 16 {
            flash.program(FlashAddress(page.0 + 16 * unit), &[0; 16]).unwrap();
        }
    }
    let mut ledger = Ledger::read(&mut flash, AT);
    ledger.count(|wear| wear.owned = 5);
    ledger.add(6, |wear| &mut wear.crashes);
    ledger.add(7, |wear| &mut wear.configuration);
    ledger.save(&mut flash);
    let Wear { owned, crashes, configuration, .. } = Ledger::read(&mut flash, AT).wear;
    assert_eq!((owned, crashes, configuration), (5, Some(6), Some(7)));
}

/// An application that erases its own sectors without end wears them out, not the ledger.
#[test]
fn a_page_of_the_ledger_outlives_eight_megabytes_of_sectors_that_the_application_erases() {
    const DIE_PAGE: u32 = 8192;
    const DIE_CYCLES: u32 = 10_000;
    const SECTOR_CYCLES: u32 = 100_000;
    let power = Power::new();
    let mut flash = SimulatedFlash::die(4 * DIE_PAGE, DIE_PAGE, &power);
    let first = FlashAddress(DIE_PAGE);
    let mut ledger = Ledger::read(&mut flash, first);
    let mut own_erases = 0;
    while flash.erase_count(first) < 4 {
        own_erases += OWN_ERASES_UNSAVED_MAX;
        ledger.count(|wear| wear.owned = own_erases);
        ledger.save(&mut flash);
    }
    let own_erases_a_cycle = own_erases / 4;
    assert!((21_760 - 64..=21_760 + 64).contains(&own_erases_a_cycle), "{own_erases_a_cycle}");
    let sectors = own_erases_a_cycle * DIE_CYCLES / SECTOR_CYCLES;
    assert!(sectors * 4096 > 8 << 20, "{sectors} sectors");
}
