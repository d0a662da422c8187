//! The application keeps its deadlines while the hypervisor works. Time counts instructions here: the figures are those of the
//! device, whatever else this machine does.

#![expect(clippy::unwrap_used, reason = "a test: a panic is its failure")]

use bulkhead_end_to_end::deadline::{
    Bench, CHECK_INS, Cost, EMPTY_CALL_BELOW, LATE_BELOW, LEFT_IDLE, LEFT_STAGING, LOGPOINT, WINDOWS, Window,
    alone, cost,
};

/// Two of its ticks for each write. Three and more, if the worker had only its least share.
const WRITTEN_US_AT_MOST: u64 = 60 * 2_000;

#[test]
fn no_interrupt_is_late_by_two_thousand_instructions_while_an_update_is_staged() {
    let (mut bench, alone) = idle();
    let staging = in_time(&bench.staging().unwrap(), alone);
    assert!(staging.cpu_left > LEFT_STAGING && staging.cpu_left <= 100.0, "{staging:?}");
}

#[test]
fn no_interrupt_is_late_by_two_thousand_instructions_while_a_logpoint_prints() {
    let (mut bench, alone) = idle();
    in_time(&bench.debugged("2", LOGPOINT).unwrap(), alone);
}

#[test]
fn no_interrupt_is_late_by_two_thousand_instructions_while_the_application_asks_for_all_it_can() {
    let (mut bench, alone) = idle();
    for windows in [bench.windows('l', WINDOWS), bench.connected(), bench.asking('a'), bench.asking('m')] {
        in_time(&windows.unwrap(), alone);
    }
}

#[test]
fn no_interrupt_is_late_by_two_thousand_instructions_while_the_link_is_made_anew() {
    let (mut bench, alone) = idle();
    let idle = in_time(&bench.windows('i', WINDOWS).unwrap(), alone);
    assert!(idle.cpu_left > LEFT_IDLE && idle.cpu_left <= 100.0, "{idle:?}");
    in_time(&bench.handshaking().unwrap(), alone);
}

#[test]
fn the_shortest_call_takes_less_than_a_hundred_instructions_and_a_device_that_spins_answers_every_order() {
    let mut bench = Bench::start().unwrap();
    let calls = bench.calls().unwrap();
    for name in ["nop", "nop_unaligned", "nop_unprivileged", "nop_protected"] {
        let cost = calls.iter().find(|(known, _)| known == name).map(|(_, cost)| *cost);
        assert!(cost.is_some_and(|cost| cost < EMPTY_CALL_BELOW), "{name}: {cost:?}");
    }
    assert_eq!(bench.check_ins().unwrap(), CHECK_INS);
}

/// The hypervisor's worker gets its turn although each tick comes amid a call.
#[test]
fn the_hypervisor_works_while_the_application_calls_without_pause() {
    let mut bench = Bench::start().unwrap();
    let took_us = bench.written_amid_calls().unwrap();
    assert!(took_us < WRITTEN_US_AT_MOST, "{took_us} us");
}

/// A device that idles, and what its application measures then.
fn idle() -> (Bench, Window) {
    let mut bench = Bench::start().unwrap();
    let alone = alone(&bench.windows('i', 1).unwrap()).unwrap();
    (bench, alone)
}

fn in_time(windows: &[Window], alone: Window) -> Cost {
    let cost = cost(windows, alone);
    assert!(cost.samples > 1_000, "{cost:?}");
    assert!(cost.worst < LATE_BELOW, "{cost:?}");
    cost
}
