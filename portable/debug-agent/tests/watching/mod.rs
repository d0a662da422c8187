//! Claims about watches.

use bulkhead_debug_protocol::*;

use crate::simulated::{CODE, RAM};
use crate::{Bench, probe};

/// r0 = 0; for ever { ram[4] = r0; r2 = ram[4]; ram[8] = r0; ram byte 13 = r0; r0 += 1 }. r4 points at RAM.
const STORES: &[u16] = &[
    0x2000, // 00 movs r0, #0
    0x6060, // 02 str r0, [r4, #4]
    0x6862, // 04 ldr r2, [r4, #4]
    0x60A0, // 06 str r0, [r4, #8]
    0x7360, // 08 strb r0, [r4, #13]
    0x3001, // 0a adds r0, #1
    0xE7F9, // 0c b 02
];

fn bench() -> Bench {
    let mut bench = Bench::at_start(STORES);
    bench.target.registers.core.0[4] = RAM;
    bench.target.registers.system.0[0] = RAM + 0x200;
    bench
}

fn watch(address: u32, len: u32, kind: WatchKind) -> Watch {
    Watch { address, len, kind }
}

fn set(bench: &mut Bench, watch: Watch) -> String {
    bench.ask(&[Operation::SetWatch(watch)]).remove(0)
}

fn watching(keeping: Keeping) -> String {
    format!("{:?}", Answer::Watching(Watching { keeping }))
}

#[test]
fn a_write_watch_stops_behind_the_store_that_changes_it_and_at_no_other() {
    let mut bench = bench();
    assert_eq!(set(&mut bench, watch(RAM + 8, 4, WatchKind::Write)), watching(Keeping::Guarded));
    // The first pass stores what is there: no change. The neighbours in the same grain are not told of.
    for pass in 1..4_u8 {
        assert_eq!(bench.resume(Run::Continue), (StopReason::Watched, CODE + 0x08));
        assert_eq!(bench.target.registers.core.0[0], u32::from(pass));
        assert_eq!(bench.target.ram[8], pass, "it is done");
        assert_eq!(bench.target.guards, [None; 2], "guards are down while it stands still");
    }
    assert_eq!(bench.watched, Some(watch(RAM + 8, 4, WatchKind::Write)));
}

#[test]
fn what_changes_below_the_stack_pointer_is_not_told_of() {
    let mut bench = bench();
    let sp = RAM + 0x200;
    bench.target.registers.core.0[4] = sp - 0x10;
    // Half of it is on the stack.
    set(&mut bench, watch(sp - 8, 16, WatchKind::Write));
    bench.ask(&[probe(CODE + 0x0C)]);
    for _ in 0..3 {
        assert_eq!(bench.resume(Run::Continue), (StopReason::Breakpoint, CODE + 0x0C));
    }
    assert_ne!(bench.target.ram[0x1F8], 0, "it did change");
    bench.target.registers.core.0[4] = sp - 4;
    assert_eq!(bench.resume(Run::Continue), (StopReason::Watched, CODE + 0x04));
}

#[test]
fn the_bytes_and_the_direction_decide() {
    let cases = [
        (watch(RAM + 4, 4, WatchKind::Read), 0x06, 0),
        (watch(RAM + 7, 1, WatchKind::Access), 0x04, 0),
        (watch(RAM + 13, 1, WatchKind::Access), 0x0A, 0),
        (watch(RAM + 13, 1, WatchKind::Write), 0x0A, 1),
        (watch(RAM + 12, 2, WatchKind::Write), 0x0A, 1),
    ];
    for (watch, offset, pass) in cases {
        let mut bench = bench();
        set(&mut bench, watch);
        assert_eq!(bench.resume(Run::Continue), (StopReason::Watched, CODE + offset), "{watch:?}");
        assert_eq!(bench.target.registers.core.0[0], pass, "{watch:?}");
    }
    // Nobody reads these, nobody writes those.
    for watch in [watch(RAM + 8, 4, WatchKind::Read), watch(RAM + 0x40, 64, WatchKind::Access)] {
        let mut bench = bench();
        set(&mut bench, watch);
        bench.ask(&[probe(CODE + 0x0C)]);
        assert_eq!(bench.resume(Run::Continue), (StopReason::Breakpoint, CODE + 0x0C), "{watch:?}");
    }
}

#[test]
fn steps_go_through_guarded_memory_and_what_they_do_is_what_a_free_run_does() {
    let mut bench = bench();
    set(&mut bench, watch(RAM + 0x10, 4, WatchKind::Write));
    for _ in 0..20 {
        assert_eq!(bench.resume(Run::Step).0, StopReason::Stepped);
    }
    assert_eq!(bench.target.trace.len(), 20);
    assert_eq!(bench.target.ram[4..9], [3, 0, 0, 0, 2], "as the stores left it");
}

#[test]
fn a_range_stops_at_a_watch_inside_it() {
    let mut bench = bench();
    set(&mut bench, watch(RAM + 8, 4, WatchKind::Access));
    let range = Some((CODE, CODE + 0x0E));
    assert_eq!(bench.resume_within(Run::Range, range), (StopReason::Watched, CODE + 0x08));
}

#[test]
fn on_the_stack_and_without_a_guard_left_it_is_stepped() {
    let mut bench = bench();
    let on_stack = watch(RAM + 0x1E0, 4, WatchKind::Write);
    assert_eq!(set(&mut bench, on_stack), watching(Keeping::Stepped));
    assert_eq!(bench.target.guards, [None; 2]);
    assert_eq!(set(&mut bench, watch(RAM + 0x20, 4, WatchKind::Read)), watching(Keeping::Guarded));
    assert_eq!(set(&mut bench, watch(RAM + 0x60, 4, WatchKind::Read)), watching(Keeping::Guarded));
    let third = watch(RAM + 8, 4, WatchKind::Write);
    assert_eq!(set(&mut bench, third), watching(Keeping::Stepped));
    assert_eq!(bench.resume(Run::Continue), (StopReason::Watched, CODE + 0x08));
    let refused = format!("{:?}", Answer::Refused(Refused { index: 0, reason: RefusalReason::Full }));
    assert_eq!(set(&mut bench, watch(RAM, 4, WatchKind::Read)), refused);
    bench.ask(&[Operation::ClearWatch(third)]);
    assert_eq!(set(&mut bench, watch(RAM, 4, WatchKind::Read)), watching(Keeping::Stepped));
}

#[test]
fn what_is_no_ram_of_the_application_is_not_watched() {
    let mut bench = bench();
    let cases = [
        (watch(CODE, 4, WatchKind::Read), RefusalReason::Forbidden),
        (watch(0x3800_0000, 4, WatchKind::Write), RefusalReason::Forbidden),
        (watch(RAM + 0x3FE, 4, WatchKind::Write), RefusalReason::Forbidden),
        (watch(u32::MAX, 4, WatchKind::Write), RefusalReason::Forbidden),
        (watch(RAM, 0, WatchKind::Write), RefusalReason::Malformed),
        (watch(RAM, 65, WatchKind::Write), RefusalReason::Malformed),
    ];
    for (watch, reason) in cases {
        let refused = format!("{:?}", Answer::Refused(Refused { index: 0, reason }));
        assert_eq!(set(&mut bench, watch), refused, "{watch:?}");
    }
}

#[test]
fn guards_are_up_while_it_runs_and_gone_with_session_and_application() {
    let mut bench = bench();
    set(&mut bench, watch(RAM + 0x2E, 4, WatchKind::Write));
    let resume = Resume { run: Run::Continue, low: None, high: None, steps_max: None, interrupts: None };
    bench.ask(&[Operation::Resume(resume)]);
    assert_eq!(bench.target.guards[0], Some((RAM + 0x20, RAM + 0x3F)), "every grain that it lies in");
    bench.ask(&[Operation::Detach(Nothing {})]);
    assert_eq!(bench.target.guards, [None; 2]);

    let mut bench = self::bench();
    set(&mut bench, watch(RAM + 0x20, 4, WatchKind::Write));
    bench.ask(&[Operation::Resume(resume)]);
    bench.agent.ended(&mut bench.target);
    assert_eq!(bench.target.guards, [None; 2]);
    bench.agent.started([8; 32], CODE, &mut bench.target);
    assert_eq!(bench.target.guards, [None; 2], "its stacks may lie elsewhere now");
}

#[test]
fn a_fault_that_is_none_of_a_guards_stays_a_fault() {
    let mut bench = bench();
    set(&mut bench, watch(RAM + 0x20, 4, WatchKind::Write));
    bench.target.registers.core.0[4] = 0x3800_0000;
    let faults = Faults { sfsr: 8, ..Faults::default() };
    let resume = Resume { run: Run::Continue, low: None, high: None, steps_max: None, interrupts: None };
    bench.ask(&[Operation::Resume(resume)]);
    bench.agent.stopped(bulkhead_debug_agent::StopCause::Fault(faults), &mut bench.target);
    bench.events = bench.drain();
    assert_eq!(bench.wait(), (StopReason::Fault, CODE));
}

#[test]
fn a_target_whose_guards_let_everything_pass_is_caught_by_these_claims() {
    let mut bench = bench();
    set(&mut bench, watch(RAM + 8, 4, WatchKind::Write));
    bench.ask(&[probe(CODE + 0x0C)]);
    bench.target.guards_are_broken = true;
    assert_eq!(bench.resume(Run::Continue), (StopReason::Breakpoint, CODE + 0x0C));
    assert_eq!(bench.resume(Run::Continue), (StopReason::Breakpoint, CODE + 0x0C), "the change went by");
}
