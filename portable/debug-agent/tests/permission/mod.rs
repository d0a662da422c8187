//! Claims about what a signed policy allows, and about developers who are lost.

use bulkhead_debug_agent::{Permission, StopCause};
use bulkhead_debug_protocol::*;

use crate::simulated::{CODE, RAM};
use crate::{Bench, LOOP, probe};

fn logpoint() -> Operation<'static> {
    Operation::SetProbe(SetProbe {
        address: CODE + 0x0C,
        action: Action::Snapshot,
        condition: None,
        command: None,
        actions_max: None,
    })
}

fn not_allowed() -> String {
    format!("{:?}", Answer::Refused(Refused { index: 0, reason: RefusalReason::NotAllowed }))
}

#[test]
fn what_would_stop_the_application_is_refused_where_it_must_not_stop() {
    let watch = Watch { address: RAM, len: 4, kind: WatchKind::Write };
    let resume = Resume { run: Run::Step, low: None, high: None, steps_max: None, interrupts: None };
    for permission in [Permission::LogpointsOnly, Permission::Memory] {
        let mut bench = Bench::new(LOOP);
        bench.agent.permit(permission);
        for operation in [
            Operation::Halt(Nothing {}),
            Operation::Resume(resume),
            Operation::SetWatch(watch),
            Operation::Reset(Reset { halt: true }),
            probe(CODE + 0x0C),
        ] {
            assert_eq!(bench.ask(&[operation]), [not_allowed()], "{permission:?} {operation:?}");
        }
        let wanted = if permission == Permission::Memory { not_allowed() } else { "Done(Nothing)".into() };
        assert_eq!(bench.ask(&[logpoint()]), [wanted], "{permission:?}");
        let read = ReadMemory { address: RAM, len: 4, width: None };
        assert!(bench.ask(&[Operation::ReadMemory(read)])[0].starts_with("Memory"));
    }
}

#[test]
fn faults_and_own_breakpoints_are_not_taken_where_it_must_not_stop_and_probes_are() {
    let mut bench = Bench::new(LOOP);
    bench.agent.permit(Permission::LogpointsOnly);
    bench.ask(&[logpoint()]);
    let fault = StopCause::Fault(Faults::default());
    assert!(!bench.agent.takes(fault, &mut bench.target));
    assert!(!bench.agent.takes(StopCause::Breakpoint, &mut bench.target), "not at the probe");
    bench.target.registers.core.0[15] = CODE + 0x0C;
    assert!(bench.agent.takes(StopCause::Breakpoint, &mut bench.target));
    bench.agent.permit(Permission::Everything);
    assert!(bench.agent.takes(fault, &mut bench.target));
    bench.agent.detach(&mut bench.target);
    assert!(!bench.agent.takes(fault, &mut bench.target), "nobody is there");
}

#[test]
fn one_who_takes_over_forgets_what_another_set_and_finds_it_where_it_stood() {
    let mut bench = Bench::at_start(LOOP);
    bench.ask(&[probe(CODE + 0x0C)]);
    bench.agent.interrupted();
    bench.agent.permit(Permission::Everything);
    let answers = bench.ask(&[Operation::Hello(Hello { version: 1 }), Operation::Forget(Nothing {})]);
    assert!(answers[0].contains("halted: true"), "{answers:?}");
    assert_eq!(bench.events.len(), 1, "where it stands is told to who says hello");
    bench.events.clear();
    let code: Vec<u8> = LOOP.iter().flat_map(|half| half.to_le_bytes()).collect();
    assert_eq!(bench.target.code, code);
    assert!(bench.agent.is_halted() && bench.agent.is_moving_it());
    bench.ask(&[probe(CODE + 0x0A)]);
    assert_eq!(bench.resume(Run::Continue), (StopReason::Breakpoint, CODE + 0x0A));
}
