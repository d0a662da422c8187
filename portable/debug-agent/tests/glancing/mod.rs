//! Claims about probes that do their work while the application's interrupts are served.

use bulkhead_debug_agent::{Glance, StopCause};
use bulkhead_debug_protocol::*;

use crate::printing::{printf, records, set};
use crate::simulated::{CODE, LOOP};
use crate::{Bench, probe, r0_is};

/// Addresses of all instructions of the loop.
const INSTRUCTIONS: [u32; 11] = [0x02, 0x06, 0x08, 0x0C, 0x0E, 0x10, 0x12, 0x14, 0x16, 0x18, 0x00];

fn hopping(code: &[u16], away: usize) -> Bench {
    let mut bench = Bench::at_start(code);
    bench.target.hops = Some(0);
    bench.target.away = away;
    bench
}

/// Runs the loop to its end with a logpoint; what was printed, and the way that it went.
fn run(bench: &mut Bench, offset: u32, condition: Option<&[u8]>) -> (Vec<String>, Vec<u32>) {
    let code = printf("r0=%d", &[&[0x26, 0, 0]]);
    bench.ask(&[set(CODE + offset, Action::Log, condition, Some(&code), None), probe(CODE + 0x0A)]);
    assert_eq!(bench.resume(Run::Continue), (StopReason::Breakpoint, CODE + 0x0A));
    (records(bench).0, bench.target.trace.clone())
}

#[test]
fn every_instruction_is_hopped_over_and_leaves_the_same_text_and_the_same_way_as_one_that_is_stepped() {
    for offset in INSTRUCTIONS {
        let stepped = run(&mut Bench::at_start(LOOP), offset, None);
        let mut bench = hopping(LOOP, 0);
        assert_eq!(run(&mut bench, offset, None), stepped, "{offset:#x}");
        let times = stepped.1.iter().filter(|address| **address == CODE + offset).count();
        // The first instruction is left by the order to go on.
        let hops = if offset == 0 { 0 } else { times };
        assert_eq!(bench.target.hops, Some(hops), "{offset:#x}");
    }
}

#[test]
fn a_thread_that_is_taken_away_before_it_goes_on_prints_once_all_the_same() {
    let stepped = run(&mut Bench::at_start(LOOP), 0x0C, None);
    for away in 1..=7 {
        let mut bench = hopping(LOOP, away);
        assert_eq!(run(&mut bench, 0x0C, None), stepped, "{away}");
        assert_eq!(bench.target.away, 0);
    }
}

#[test]
fn a_condition_that_does_not_hold_is_hopped_over_and_one_that_holds_stops() {
    let mut bench = hopping(LOOP, 0);
    let condition = r0_is(2);
    bench.ask(&[set(CODE + 0x0C, Action::Stop, Some(&condition), None, None)]);
    assert_eq!(bench.resume(Run::Continue), (StopReason::Breakpoint, CODE + 0x0C));
    assert_eq!(bench.target.registers.core.0[0], 2);
    assert_eq!(bench.target.hops, Some(1));
}

#[test]
fn one_that_is_silenced_is_out_of_the_way() {
    let mut bench = hopping(LOOP, 0);
    let code = printf("x", &[]);
    bench.ask(&[set(CODE + 0x0C, Action::Log, None, Some(&code), Some(1)), probe(CODE + 0x0A)]);
    assert_eq!(bench.resume(Run::Continue), (StopReason::Breakpoint, CODE + 0x0A));
    assert_eq!(records(&mut bench).0, ["x"]);
    assert_eq!(bench.target.hops, Some(0), "its place is the code's own again");
}

#[test]
fn what_needs_the_application_to_stand_still_is_not_done_at_a_glance() {
    type Order = fn(&mut Bench);
    let orders: [(&str, Order); 4] = [
        ("a picture", |bench| {
            bench.ask(&[set(CODE + 0x0C, Action::Snapshot, None, None, None)]);
        }),
        ("a watch", |bench| {
            let watch = Watch { address: 0x2000_0000, len: 4, kind: WatchKind::Write };
            bench.ask(&[
                set(CODE + 0x0C, Action::Stop, Some(&r0_is(9)), None, None),
                Operation::SetWatch(watch),
            ]);
        }),
        ("a halt", |bench| {
            bench.ask(&[set(CODE + 0x0C, Action::Stop, Some(&r0_is(9)), None, None)]);
        }),
        ("no probe", |_| {}),
    ];
    for (what, order) in orders {
        let mut bench = hopping(LOOP, 0);
        order(&mut bench);
        let resume = Resume { run: Run::Continue, low: None, high: None, steps_max: None, interrupts: None };
        bench.ask(&[Operation::Resume(resume)]);
        if what == "a halt" {
            bench.ask(&[Operation::Halt(Nothing {})]);
        }
        bench.target.registers.core.0[15] = CODE + 0x0C;
        let before = (bench.target.code.clone(), bench.target.registers);
        assert_eq!(bench.agent.glance(&mut bench.target), Glance::Hold, "{what}");
        assert_eq!((bench.target.code.clone(), bench.target.registers), before, "{what}");
        assert_eq!(bench.target.hops, Some(0), "{what}");
        bench.agent.stopped(StopCause::Breakpoint, &mut bench.target);
    }
}

#[test]
fn a_loop_of_one_instruction_is_not_hopped_over() {
    let mut bench = hopping(&[0x3001, 0xE7FE], 0);
    bench.ask(&[set(CODE + 2, Action::Stop, Some(&r0_is(9)), None, None)]);
    let resume = Resume { run: Run::Continue, low: None, high: None, steps_max: None, interrupts: None };
    bench.ask(&[Operation::Resume(resume)]);
    bench.target.registers.core.0[15] = CODE + 2;
    assert_eq!(bench.agent.glance(&mut bench.target), Glance::Hold);
}
