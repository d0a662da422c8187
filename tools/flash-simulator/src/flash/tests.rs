use bulkhead_nor_flash::check_laws;

use super::*;
use crate::power::Cut;

const AT: FlashAddress = FlashAddress(128);

fn die() -> (Power, SimulatedFlash) {
    let power = Power::new();
    let flash = SimulatedFlash::die(1024, 128, &power);
    (power, flash)
}

fn cut_at(operation: u32, moment: Moment) -> Option<Cut> {
    Some(Cut { operation, moment })
}

/// Powers on again with every torn grain read as `reading`, and reads `len` bytes at [`AT`].
fn reread(
    flash: &mut SimulatedFlash,
    power: &Power,
    reading: Reading,
    len: usize,
) -> Result<Vec<u8>, FlashError> {
    power.on(1, None);
    flash.power_on(flash.cells().clone(), |_| reading);
    let mut out = vec![0; len];
    flash.read(AT, &mut out).map(|()| out)
}

#[test]
fn both_kinds_keep_the_laws() {
    let (power, mut flash) = die();
    assert_eq!(check_laws(&mut flash, AT), Ok(()));
    assert_eq!(check_laws(&mut SimulatedFlash::external(1024, 256, &power), FlashAddress(256)), Ok(()));
}

#[test]
fn parts_of_real_size_keep_the_laws() {
    let power = Power::new();
    assert_eq!(check_laws(&mut SimulatedFlash::die(0x20_000, 8192, &power), FlashAddress(8192)), Ok(()));
    assert_eq!(check_laws(&mut SimulatedFlash::external(0x20_000, 4096, &power), FlashAddress(4096)), Ok(()));
}

#[test]
fn a_cut_before_changes_nothing_and_power_stays_off() {
    let (power, mut flash) = die();
    power.on(0, cut_at(0, Moment::Before));
    assert_eq!(flash.program(AT, &[7; 16]), Err(FlashError::HardwareFault));
    assert_eq!(flash.program(AT, &[7; 16]), Err(FlashError::HardwareFault));
    assert!(!power.is_on());
    assert_eq!(reread(&mut flash, &power, Reading::After, 16), Ok(vec![0xFF; 16]));
}

#[test]
fn a_torn_program_tears_one_unit_and_leaves_those_after_it() {
    let (power, mut flash) = die();
    power.on(0, cut_at(0, Moment::Inside(1)));
    assert_eq!(flash.program(AT, &[7; 64]), Err(FlashError::HardwareFault));
    assert_eq!(flash.cells().cuts().len(), 1);
    let as_after = reread(&mut flash, &power, Reading::After, 64).expect("readable");
    assert_eq!(as_after, [[7; 32], [0xFF; 32]].concat(), "units 0 whole, 1 torn, 2 and 3 untouched");
    let as_before = reread(&mut flash, &power, Reading::Before, 64).expect("readable");
    assert_eq!(as_before, [[7; 16], [0xFF; 16], [0xFF; 16], [0xFF; 16]].concat());
    assert_eq!(reread(&mut flash, &power, Reading::Unreadable, 64), Err(FlashError::Unreadable));
    // Other units stay readable, and the torn one takes no second program.
    assert_eq!(flash.read(AT, &mut [0; 16]), Ok(()));
    let torn = AT.plus(16).expect("in range");
    assert_eq!(flash.program(torn, &[1; 16]), Err(FlashError::NotErased));
    assert_eq!(flash.programs_twice(), 1);
}

#[test]
fn a_torn_erase_may_still_read_as_before_and_a_whole_erase_heals_it() {
    let (power, mut flash) = die();
    assert_eq!(flash.program(AT, &[7; 32]), Ok(()));
    power.on(0, cut_at(0, Moment::Inside(0)));
    assert_eq!(flash.erase(AT), Err(FlashError::HardwareFault));
    assert_eq!(reread(&mut flash, &power, Reading::Before, 32), Ok(vec![7; 32]));
    assert_eq!(reread(&mut flash, &power, Reading::Erased, 32), Ok(vec![0xFF; 32]));
    assert_eq!(flash.cells().stable(128..160), None);
    assert_eq!(flash.cells().torn(), [(128..160, 0)]);
    assert_eq!(flash.erase(AT), Ok(()));
    assert_eq!(flash.cells().stable(128..160), Some(vec![0xFF; 32]));
    assert_eq!(flash.erase_count(AT), 1, "the torn erase does not count");
}

#[test]
fn readings_differ_between_power_ons_and_repeat_for_a_seed() {
    let (power, mut flash) = die();
    power.on(0, cut_at(0, Moment::Inside(0)));
    assert_eq!(flash.program(AT, &[0x12; 16]), Err(FlashError::HardwareFault));
    let seen: Vec<_> = (0..40).map(|s| reread(&mut flash, &power, Reading::Mixed(s), 16)).collect();
    assert!(seen.iter().any(|r| r == &Err(FlashError::Unreadable)));
    assert!(seen.iter().any(|r| r == &Ok(vec![0x12; 16])));
    assert!(seen.iter().any(|r| r == &Ok(vec![0xFF; 16])));
    assert_eq!(seen, (0..40).map(|s| reread(&mut flash, &power, Reading::Mixed(s), 16)).collect::<Vec<_>>());
}

#[test]
fn cuts_print_and_parse_as_replay_ids() {
    for text in ["0b", "17i3", "4a"] {
        assert_eq!(text.parse::<Cut>().map(|cut| cut.to_string()), Ok(text.to_owned()));
    }
    assert!("12".parse::<Cut>().is_err() && "x".parse::<Cut>().is_err() && "3i".parse::<Cut>().is_err());
}

#[test]
fn a_dead_part_fails_every_access() {
    let (_, mut flash) = die();
    flash.kill();
    assert_eq!(flash.erase(AT), Err(FlashError::HardwareFault));
    assert_eq!(flash.read(AT, &mut [0]), Err(FlashError::HardwareFault));
}

#[test]
fn one_recorded_run_yields_what_a_run_for_each_cut_yields() {
    fn work(flash: &mut SimulatedFlash) {
        for n in [3, 5] {
            let _ = flash.erase(AT);
            let _ = flash.program(AT, &[n; 48]);
        }
    }
    let (power, mut recorder) = die();
    power.record();
    work(&mut recorder);
    let recorded = power.recorded();
    assert_eq!(recorded.len(), 14, "an erase has 2 moments, a program of several units 5");
    for wanted in recorded {
        let (power, mut flash) = die();
        power.on(0, Some(wanted.cut));
        work(&mut flash);
        assert!(flash.cells() == &wanted.cells, "replay: {}", wanted.cut);
        assert_eq!(flash.cells().fingerprint(), wanted.cells.fingerprint());
    }
}

#[test]
fn an_ecc_double_error_is_an_answer_to_a_read_and_nothing_more() {
    let (power, mut flash) = die();
    assert_eq!(flash.program(AT, &[7; 16]), Ok(()));
    power.on(0, cut_at(0, Moment::Inside(0)));
    let next = AT.plus(16).expect("in range");
    assert_eq!(flash.program(next, &[7; 16]), Err(FlashError::HardwareFault));
    power.on(1, None);
    flash.power_on(flash.cells().clone(), |_| Reading::Unreadable);
    assert_eq!(flash.read(next, &mut [0]), Err(FlashError::Unreadable), "one byte of the unit is enough");
    assert_eq!(
        flash.read(AT, &mut [0; 17]),
        Err(FlashError::Unreadable),
        "so is a span that only ends in it"
    );
    assert_eq!(flash.read(AT, &mut [0; 16]), Ok(()), "its neighbour is well");
    assert!(power.is_on());
}

#[test]
fn a_unit_takes_one_program_between_erases_and_a_serial_nor_takes_many() {
    let (power, mut flash) = die();
    assert_eq!(flash.program(AT, &[0xFF; 16]), Ok(()), "even a program of nothing but ones uses the unit up");
    assert_eq!(flash.program(AT, &[1; 16]), Err(FlashError::NotErased));
    assert_eq!(flash.erase(AT), Ok(()));
    assert_eq!(flash.program(AT, &[1; 16]), Ok(()));
    let mut external = SimulatedFlash::external(1024, 128, &power);
    for byte in [0xF0, 0x3C] {
        assert_eq!(external.program(AT, &[byte]), Ok(()));
    }
    let mut byte = [0];
    assert_eq!((external.read(AT, &mut byte), byte), (Ok(()), [0x30]), "bits only fall");
    assert_eq!(external.programs_twice(), 0);
}

#[test]
fn an_erase_reaches_its_block_and_no_other() {
    let (_, mut flash) = die();
    let other = FlashAddress(0);
    assert_eq!((flash.program(AT, &[1; 128]), flash.program(other, &[2; 128])), (Ok(()), Ok(())));
    assert_eq!(flash.erase(AT), Ok(()));
    assert_eq!(flash.cells().stable(128..256), Some(vec![0xFF; 128]));
    assert_eq!(flash.cells().stable(0..128), Some(vec![2; 128]));
    assert_eq!((flash.erase_count(AT), flash.erase_count(other)), (1, 0));
}

#[test]
fn a_worn_block_that_lies_reports_success_and_holds_other_bits() {
    let (_, mut flash) = die();
    flash.wear(AT.plus(3).expect("in range"), Wear::Holds(0x06));
    assert_eq!(flash.program(AT, &[7; 16]), Ok(()));
    let mut out = [0; 16];
    assert_eq!(flash.read(AT, &mut out), Ok(()));
    assert_eq!((out[2], out[3], out[4]), (7, 1, 7));
}

#[test]
fn a_block_that_wears_out_holds_its_first_programs() {
    let (power, mut flash) = die();
    flash.wear(AT, Wear::HoldsFrom(2, 0x01));
    power.on(0, None);
    flash.power_on(flash.cells().clone(), |_| Reading::Before);
    for expected in [7, 6] {
        assert_eq!((flash.erase(AT), flash.program(AT, &[7; 16])), (Ok(()), Ok(())));
        let mut out = [0];
        assert_eq!((flash.read(AT, &mut out), out), (Ok(()), [expected]));
    }
}

#[test]
fn a_worn_block_that_forgets_reads_well_until_the_next_boot() {
    let power = Power::new();
    let parts = [SimulatedFlash::die(1024, 128, &power), SimulatedFlash::external(1024, 128, &power)];
    for (mut flash, lost) in parts.into_iter().zip([Err(FlashError::Unreadable), Ok(())]) {
        flash.wear(AT, Wear::Forgets);
        assert_eq!(flash.program(AT, &[0x10; 16]), Ok(()));
        let mut out = [0; 16];
        assert_eq!((flash.read(AT, &mut out), out), (Ok(()), [0x10; 16]));
        flash.power_on(flash.cells().clone(), |_| Reading::After);
        assert_eq!(flash.read(AT, &mut out), lost);
        assert!(lost.is_err() || out[0] == 0x11, "a bit rises");
        assert_eq!(flash.erase(AT), Ok(()));
        assert_eq!((flash.read(AT, &mut out), out), (Ok(()), [0xFF; 16]));
    }
}

#[test]
fn a_failed_program_or_erase_says_so_and_tears_what_it_touched() {
    let (power, mut flash) = die();
    flash.wear(AT, Wear::RefusesPrograms);
    assert_eq!(flash.program(AT, &[7; 32]), Err(FlashError::HardwareFault));
    assert_eq!(flash.read(AT, &mut [0]), Err(FlashError::Unreadable));
    assert_eq!(
        flash.read(AT.plus(16).expect("in range"), &mut [0; 16]),
        Ok(()),
        "the second unit was not begun"
    );
    assert!(power.is_on());
    assert_eq!(flash.erase(AT), Ok(()));
    flash.wear(AT, Wear::RefusesErases);
    assert_eq!(flash.program(AT, &[7; 32]), Ok(()));
    assert_eq!(flash.erase(AT), Err(FlashError::HardwareFault));
    assert_eq!(flash.cells().stable(128..160), None);
    assert_eq!(reread(&mut flash, &power, Reading::After, 32), Ok(vec![0xFF; 32]));
    let other = FlashAddress(0);
    assert_eq!(
        (flash.program(other, &[1; 16]), flash.erase(other)),
        (Ok(()), Ok(())),
        "other blocks are well"
    );
}

/// The suite must be able to fail: a part that takes a second program is no [`NorFlash`].
#[test]
fn a_part_that_programs_a_unit_twice_is_rejected_by_the_laws() {
    struct Lenient(SimulatedFlash);
    impl NorFlash for Lenient {
        fn geometry(&self) -> Geometry {
            self.0.geometry()
        }
        fn read(&mut self, at: FlashAddress, out: &mut [u8]) -> Result<(), FlashError> {
            self.0.read(at, out)
        }
        fn program(&mut self, at: FlashAddress, bytes: &[u8]) -> Result<(), FlashError> {
            match self.0.program(at, bytes) {
                Err(FlashError::NotErased) => {
                    self.0.cells.program(at.0 as usize, bytes);
                    Ok(())
                }
                result => result,
            }
        }
        fn erase(&mut self, at: FlashAddress) -> Result<(), FlashError> {
            self.0.erase(at)
        }
    }
    let (_, flash) = die();
    assert_eq!(check_laws(&mut Lenient(flash), AT).map_err(|broken| broken.law), Err(5));
}

#[test]
fn worn_parts_are_rejected_by_the_laws() {
    for (how, law) in [(Wear::Holds(0xFF), 2), (Wear::RefusesErases, 2), (Wear::RefusesPrograms, 3)] {
        let (_, mut flash) = die();
        flash.wear(AT.plus(16).expect("in range"), how);
        assert_eq!(check_laws(&mut flash, AT).map_err(|broken| broken.law), Err(law), "{how:?}");
    }
}

#[test]
fn a_trace_lists_operations_in_the_order_in_which_cuts_count_them() {
    let (power, mut flash) = die();
    power.trace_operations();
    assert_eq!((flash.erase(AT), flash.program(AT, &[1; 32])), (Ok(()), Ok(())));
    let kinds: Vec<_> = power.traced().into_iter().map(|t| (t.kind, t.at, t.len)).collect();
    assert_eq!(kinds, [(TracedKind::Erase, AT, 128), (TracedKind::Program, AT, 32)]);
}

#[test]
fn what_someone_else_overwrites_is_one_operation_that_never_tears() {
    for moment in [Moment::Before, Moment::Inside(0), Moment::After] {
        let (power, mut flash) = die();
        power.on(0, cut_at(0, moment));
        flash.overwrite(AT, &[5; 128]);
        let expected = if moment == Moment::Before { 0xFF } else { 5 };
        assert_eq!(flash.cells().stable(128..256), Some(vec![expected; 128]), "{moment:?}");
        assert!(!power.is_on());
    }
}
