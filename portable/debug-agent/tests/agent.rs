//! Claims about the agent, on a simulated processor.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test: a panic is its failure")]

mod accesses;
mod expression;
mod glancing;
mod permission;
mod printing;
mod simulated;
mod watching;

use bulkhead_debug_agent::{Agent, Glance, Interrupts, StopCause};
use bulkhead_debug_protocol::*;
use simulated::{CODE, LOOP, RAM, Simulated, Stood};

const NOP: u16 = 0xBF00;

struct Bench {
    agent: Agent,
    target: Simulated,
    sequence: u32,
    events: Vec<Vec<u8>>,
    watched: Option<Watch>,
    /// Every event since the beginning.
    heard: Vec<Vec<u8>>,
}

impl Bench {
    fn new(code: &[u16]) -> Self {
        let mut bench = Self {
            agent: Agent::new(),
            target: Simulated::new(code),
            sequence: 0,
            events: Vec::new(),
            watched: None,
            heard: vec![],
        };
        bench.agent.started([9; 32], CODE, &mut bench.target);
        let answers = bench.ask(&[Operation::Hello(Hello { version: 1 })]);
        assert!(answers.len() > 2 && bench.agent.is_attached());
        bench
    }

    fn drain(&mut self) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        let mut room = [0; MESSAGE_LEN_MAX];
        while self.agent.is_busy() {
            if let Some(len) = self.agent.poll(&mut self.target, &mut room) {
                if message_type(&room[..len]) == Some(MessageType::Event) {
                    self.heard.push(room[..len].to_vec());
                }
                out.push(room[..len].to_vec());
            }
        }
        out
    }

    /// The answers, printed, so that they outlive their bytes.
    fn ask(&mut self, operations: &[Operation<'_>]) -> Vec<String> {
        self.sequence += 1;
        let mut room = [0; MESSAGE_LEN_MAX];
        let mut writer = Writer::request(&mut room, self.sequence).unwrap();
        assert!(operations.iter().all(|operation| writer.push(operation)));
        let len = writer.finish(MoreFollows::No);
        assert!(self.agent.request(&room[..len]));
        let mut answers = Vec::new();
        for message in self.drain() {
            if message_type(&message) == Some(MessageType::Event) {
                self.events.push(message);
                continue;
            }
            let mut reply = parse_reply(&message).unwrap();
            assert_eq!(reply.sequence, self.sequence);
            while let Some(answer) = reply.answers.next_pair::<Answer<'_>>().unwrap() {
                answers.push(format!("{:?}", answer.unwrap()));
            }
        }
        answers
    }

    /// Lets the processor run until the agent has something to tell.
    fn wait(&mut self) -> (StopReason, u32) {
        for _ in 0..10_000 {
            if let Some(message) = self.events.pop() {
                let Some(Event::Stopped(stopped)) = parse_event(&message).unwrap() else { continue };
                self.watched = stopped.watch;
                return (stopped.reason, stopped.core.0[15]);
            }
            self.run_on();
            self.events = self.drain();
        }
        panic!("it never stopped");
    }

    /// Lets it run `turns` times for a while, whatever comes of it.
    fn turn(&mut self, turns: usize) {
        for _ in 0..turns {
            self.run_on();
            self.drain();
        }
    }

    fn run_on(&mut self) {
        match self.target.go(50) {
            Some(Stood::Breakpoint)
                if self.target.hops.is_some() && self.agent.glance(&mut self.target) == Glance::Passes => {}
            Some(Stood::Breakpoint) => self.agent.stopped(StopCause::Breakpoint, &mut self.target),
            Some(Stood::Fault) => {
                self.agent.stopped(StopCause::Fault(Faults::default()), &mut self.target);
            }
            Some(Stood::Guarded) => {
                let faults = Faults { sfsr: 8, ..Faults::default() };
                self.agent.stopped(StopCause::Fault(faults), &mut self.target);
            }
            None if self.agent.wants_halt() => {
                self.agent.stopped(StopCause::HaltRequested, &mut self.target);
            }
            None => {}
        }
    }

    fn resume(&mut self, run: Run) -> (StopReason, u32) {
        self.resume_within(run, None)
    }

    fn resume_within(&mut self, run: Run, range: Option<(u32, u32)>) -> (StopReason, u32) {
        let (low, high) = range.unzip();
        let order = Resume { run, low, high, steps_max: None, interrupts: None };
        assert_eq!(self.ask(&[Operation::Resume(order)]), ["Done(Nothing)"]);
        self.wait()
    }

    /// Stops before the first instruction.
    fn at_start(code: &[u16]) -> Self {
        let mut bench = Self::new(code);
        assert_eq!(bench.ask(&[Operation::Halt(Nothing {})]), ["Done(Nothing)"]);
        bench.agent.stopped(StopCause::HaltRequested, &mut bench.target);
        bench.events = bench.drain();
        assert_eq!(bench.wait(), (StopReason::Halted, CODE));
        bench
    }
}

fn probe(address: u32) -> Operation<'static> {
    let action = Action::Stop;
    Operation::SetProbe(SetProbe { address, action, condition: None, command: None, actions_max: None })
}

/// Every instruction of a run without a debugger.
fn trace_of(code: &[u16], most: usize) -> Vec<u32> {
    let mut target = Simulated::new(code);
    target.go(most);
    target.trace
}

#[test]
fn a_checksum_that_takes_several_slices_loses_none_of_the_answers_before_it() {
    let code: Vec<u16> = (0..4000).collect();
    let mut bench = Bench::new(&code);
    let crc = |address, len| Operation::Crc(Crc { address, len });
    let orders = [crc(CODE, 0x1C0), crc(CODE + 0x1C0, 3000), crc(CODE, 8000), crc(CODE + 3448, 0xB8)];
    let one_by_one: Vec<_> = orders.iter().flat_map(|order| bench.ask(&[*order])).collect();
    assert_eq!(one_by_one.len(), orders.len());
    assert_eq!(bench.ask(&orders), one_by_one);
}

#[test]
fn steps_visit_what_a_free_run_executes_and_change_nothing() {
    // Up to the endless loop at the end: a step of a branch to itself is over before it is executed, which is the same.
    const STEPS: usize = 31;
    let free = trace_of(LOOP, STEPS);
    let mut bench = Bench::at_start(LOOP);
    let mut stepped = Vec::new();
    for _ in 0..STEPS {
        stepped.push(bench.target.registers.core.0[15]);
        let (reason, _) = bench.resume(Run::Step);
        assert_eq!(reason, StopReason::Stepped);
    }
    assert_eq!(stepped, free);
    assert_eq!(bench.target.trace, free);
    let code: Vec<u8> = LOOP.iter().flat_map(|half| half.to_le_bytes()).collect();
    assert_eq!(bench.target.code, code, "nothing is left behind");
}

#[test]
fn a_probe_stops_every_time_also_when_the_run_begins_on_it() {
    let mut bench = Bench::at_start(LOOP);
    assert_eq!(bench.ask(&[probe(CODE + 0x0C)]), ["Done(Nothing)"]);
    for n in 0..3 {
        assert_eq!(bench.resume(Run::Continue), (StopReason::Breakpoint, CODE + 0x0C));
        assert_eq!(bench.target.registers.core.0[0], 3 - n);
    }
    assert_eq!(bench.ask(&[Operation::ClearProbe(At { address: CODE + 0x0C })]), ["Done(Nothing)"]);
    assert_eq!(bench.target.trace.iter().filter(|pc| **pc == CODE + 0x0C).count(), 2);
}

#[test]
fn a_range_is_left_at_a_call_and_stays_inside_otherwise() {
    let mut bench = Bench::at_start(LOOP);
    assert_eq!(
        bench.resume_within(Run::Range, Some((CODE, CODE + 0x0C))),
        (StopReason::Stepped, CODE + 0x0C),
        "a call leaves it"
    );
    assert_eq!(
        bench.resume_within(Run::Range, Some((CODE + 0x0C, CODE + 0x1A))),
        (StopReason::Stepped, CODE + 0x06),
        "and so does the return"
    );
}

#[test]
fn a_called_function_is_run_through_told_of_and_the_range_left_where_it_would_be() {
    let mut bench = Bench::at_start(LOOP);
    let (low, high) = (CODE, CODE + 0x0A);
    assert_eq!(bench.resume_within(Run::Range, Some((low, high))), (StopReason::Stepped, CODE + 0x0C));
    let stack_pointer = bench.target.registers.sp();
    let through = |place, stack_pointer| Through { place, stack_pointer, low, high, steps_max: None };
    let order = Operation::Through(through(CODE + 0x06, stack_pointer));
    assert_eq!(bench.ask(&[order]), ["Done(Nothing)"]);
    let mut passed = Vec::new();
    for _ in 0..100 {
        if bench.target.go(50).is_some() {
            bench.agent.stopped(StopCause::Breakpoint, &mut bench.target);
        }
        for message in bench.drain() {
            match parse_event(&message).unwrap() {
                Some(Event::Passed(at)) => passed.push((at.core.0[15], at.core.0[0])),
                Some(Event::Stopped(at)) => {
                    // The loop calls again, which leaves the range.
                    assert_eq!(
                        (at.reason, at.core.0[15], at.core.0[0]),
                        (StopReason::Stepped, CODE + 0x0C, 2)
                    );
                    assert_eq!(passed, [(CODE + 0x06, 3)]);
                    assert_eq!(bench.target.code, Simulated::new(LOOP).code, "nothing stays planted");
                    return;
                }
                _ => {}
            }
        }
    }
    panic!("it never stopped; passed {passed:?}");
}

#[test]
fn a_return_of_another_call_and_a_place_outside_the_range_are_not_passed() {
    let mut bench = Bench::at_start(LOOP);
    let through = |place, high| {
        Operation::Through(Through { place, stack_pointer: 0, low: CODE, high, steps_max: None })
    };
    let refused =
        vec![format!("{:?}", Answer::Refused(Refused { index: 0, reason: RefusalReason::Malformed }))];
    assert_eq!(bench.ask(&[through(CODE + 0x0A, CODE + 0x0A)]), refused);
    assert_eq!(bench.ask(&[through(CODE + 0x07, CODE + 0x0A)]), refused);
    // No call returns with this stack pointer: the loop runs to its end, where a probe waits.
    assert_eq!(bench.ask(&[probe(CODE + 0x0A), through(CODE + 0x06, CODE + 0x0A)]).len(), 2);
    assert_eq!(bench.wait(), (StopReason::Breakpoint, CODE + 0x0A));
    assert_eq!(bench.target.trace.iter().filter(|pc| **pc == CODE + 0x06).count(), 3);
}

#[test]
fn in_a_long_range_interrupts_are_let_in_now_and_then() {
    let mut bench = Bench::at_start(&[0x3001, 0xE7FD]);
    let order = Resume {
        run: Run::Range,
        low: Some(CODE),
        high: Some(CODE + 4),
        steps_max: Some(1000),
        interrupts: None,
    };
    bench.ask(&[Operation::Resume(order)]);
    let (mut steps, mut let_in) = (0, 0);
    while let Some(interrupts) = bench.target.running {
        steps += 1;
        let_in += usize::from(interrupts == Interrupts::Allowed);
        bench.run_on();
    }
    assert_eq!((steps, let_in), (1000, 4));
}

/// What the last message told along with its stop.
fn seen(message: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let mut events = parse_events(message).unwrap();
    let mut out = Vec::new();
    while let Some(event) = events.next_pair::<Event<'_>>().unwrap() {
        if let Some(Event::Seen(memory)) = event {
            out.push((memory.address, memory.bytes.to_vec()));
        }
    }
    out
}

#[test]
fn a_stop_brings_along_what_was_ordered_once_and_as_it_is_then() {
    let mut bench = Bench::at_start(LOOP);
    let along = |address, len| Operation::Along(Along { address, len });
    let malformed =
        vec![format!("{:?}", Answer::Refused(Refused { index: 0, reason: RefusalReason::Malformed }))];
    assert_eq!(bench.ask(&[along(RAM, 0)]), malformed);
    assert_eq!(bench.ask(&[along(RAM, 257)]), malformed);
    bench.target.ram[0x300] = 7;
    // The oldest of five makes room; what is not the application's, and what has no room, is left out; probes are not seen.
    let place = CODE + 0x0C;
    let ordered =
        [along(RAM, 4), along(RAM + 0x300, 2), along(0x1000_0000, 4), along(place, 2), along(RAM, 256)];
    assert_eq!(bench.ask(&ordered).len(), 5);
    bench.ask(&[probe(place)]);
    assert_eq!(bench.resume(Run::Continue), (StopReason::Breakpoint, place));
    let code = LOOP[6].to_le_bytes().to_vec();
    let last = bench.heard.last().unwrap();
    assert_eq!(seen(last)[..2], [(RAM + 0x300, vec![7, 0]), (place, code)]);
    assert!(last.len() <= MESSAGE_LEN_MAX);
    assert_eq!(bench.resume(Run::Step).0, StopReason::Stepped);
    assert_eq!(seen(bench.heard.last().unwrap()), []);
}

#[test]
fn a_lost_link_loses_neither_probes_nor_the_stop_that_was_not_heard_of() {
    let mut bench = Bench::at_start(LOOP);
    let resume = Resume { run: Run::Continue, low: None, high: None, steps_max: None, interrupts: None };
    bench.ask(&[probe(CODE + 0x0C), Operation::Resume(resume)]);
    bench.agent.interrupted();
    for _ in 0..10 {
        if bench.target.go(50).is_some() {
            bench.agent.stopped(StopCause::Breakpoint, &mut bench.target);
        }
        assert!(bench.drain().is_empty(), "nothing is told before the developer is back");
    }
    let read = Operation::ReadMemory(ReadMemory { address: CODE, len: 2, width: None });
    assert!(bench.ask(&[read])[0].contains("NoSession"), "nor asked");
    let answers = bench.ask(&[Operation::Hello(Hello { version: 1 })]);
    assert!(answers[0].contains("halted: true") && answers[1] == "Kept(Kept { stops: 2 })", "{answers:?}");
    assert_eq!(bench.wait(), (StopReason::Breakpoint, CODE + 0x0C), "the stop is told once more");
    // In the same session hello begins anew, and probes stay until they are taken away.
    let answers = bench.ask(&[Operation::Hello(Hello { version: 1 })]);
    assert!(!answers[1].contains("Kept"), "{answers:?}");
    assert_eq!(bench.resume(Run::Continue), (StopReason::Breakpoint, CODE + 0x0C));
}

#[test]
fn a_probe_inside_an_it_block_is_hit_in_a_failed_slot_and_what_follows_is_right() {
    let mut bench = Bench::at_start(LOOP);
    bench.ask(&[probe(CODE + 0x16)]);
    assert_eq!(bench.resume(Run::Continue), (StopReason::Breakpoint, CODE + 0x16));
    assert_eq!(bench.resume(Run::Step), (StopReason::Stepped, CODE + 0x18));
    assert_eq!(bench.target.registers.core.0[2], 1, "the first pass took the other slot");
    assert_eq!(bench.resume(Run::Continue), (StopReason::Breakpoint, CODE + 0x16));
    bench.resume(Run::Step);
    assert_eq!(bench.target.registers.core.0[2], 2);
}

#[test]
fn readers_never_see_a_probe_and_writes_go_beneath_it() {
    let mut bench = Bench::at_start(LOOP);
    bench.ask(&[probe(CODE + 0x02), probe(RAM + 4)]);
    assert_eq!(bench.target.code[3], 0xBE, "it is planted");
    let read = |address, len| Operation::ReadMemory(ReadMemory { address, len, width: None });
    let code: Vec<u8> = LOOP.iter().flat_map(|half| half.to_le_bytes()).collect();
    for (start, len) in [(0, 26), (2, 2), (3, 1), (1, 2), (3, 4)] {
        let wanted = Memory { address: CODE + start, bytes: &code[start as usize..(start + len) as usize] };
        let answer = format!("{:?}", Answer::Memory(wanted));
        assert_eq!(bench.ask(&[read(CODE + start, len)]), [answer]);
    }
    let bytes = &[1, 2, 3, 4, 5, 6, 7, 8];
    let write = WriteMemory { address: RAM, bytes, width: None };
    assert_eq!(bench.ask(&[Operation::WriteMemory(write)]), ["Done(Nothing)"]);
    let wanted = format!("{:?}", Answer::Memory(Memory { address: RAM, bytes }));
    assert_eq!(bench.ask(&[read(RAM, 8)]), [wanted]);
    assert_eq!(bench.target.ram[5], 0xBE, "it is still planted");
    bench.ask(&[Operation::Detach(Nothing {})]);
    assert_eq!(bench.target.ram[..8], *bytes);
    assert_eq!(bench.target.code, code);
}

#[test]
fn long_reads_come_in_pieces_that_join() {
    let mut bench = Bench::at_start(&[NOP; 2000]);
    let order = ReadMemory { address: CODE, len: 4000, width: None };
    let answers = bench.ask(&[Operation::ReadMemory(order), Operation::ReadRegisters(Nothing {})]);
    assert!(answers.len() > 5, "{}", answers.len());
    assert!(answers.last().unwrap().starts_with("Registers"));
}

#[test]
fn what_is_not_the_applications_is_refused_and_ends_the_request() {
    let mut bench = Bench::at_start(LOOP);
    let refused = |index, reason| format!("{:?}", Answer::Refused(Refused { index, reason }));
    let read = |address, len| Operation::ReadMemory(ReadMemory { address, len, width: None });
    let cases = [
        (read(0x3000_0000, 4), RefusalReason::Forbidden),
        (read(CODE - 1, 2), RefusalReason::Forbidden),
        (read(u32::MAX, 16), RefusalReason::Forbidden),
        (read(CODE, 0), RefusalReason::Malformed),
        (read(CODE, READ_LEN_MAX + 1), RefusalReason::Malformed),
        (probe(0x3000_0000), RefusalReason::Forbidden),
        (probe(CODE + 1), RefusalReason::Malformed),
        (
            Operation::WriteMemory(WriteMemory { address: CODE, bytes: &[0], width: None }),
            RefusalReason::Forbidden,
        ),
    ];
    for (operation, reason) in cases {
        let answers = bench.ask(&[read(RAM, 1), operation, read(RAM, 1)]);
        assert_eq!(answers[1..], [refused(1, reason)], "{operation:?}");
    }
    for n in 0..40 {
        bench.ask(&[probe(CODE + 2 * (n % 12) + RAM * (n / 12 % 2))]);
    }
}

/// `r0 == n`.
fn r0_is(n: u8) -> Vec<u8> {
    vec![0x26, 0, 0, 0x22, n, 0x13, 0x27]
}

fn conditional(address: u32, condition: &[u8]) -> Operation<'_> {
    let condition = Some(<&minicbor::bytes::ByteSlice>::from(condition));
    Operation::SetProbe(SetProbe {
        address,
        action: Action::Stop,
        condition,
        command: None,
        actions_max: None,
    })
}

#[test]
fn a_condition_that_does_not_hold_stops_nothing_and_one_that_cannot_be_told_does() {
    let mut bench = Bench::at_start(LOOP);
    bench.ask(&[conditional(CODE + 0x0C, &r0_is(1))]);
    assert_eq!(bench.resume(Run::Continue), (StopReason::Breakpoint, CODE + 0x0C));
    assert_eq!(bench.target.registers.core.0[0], 1, "the third time");
    assert_eq!(
        bench.target.trace.iter().filter(|pc| **pc == CODE + 0x0C).count(),
        2,
        "the first two went by"
    );
    let mut bench = Bench::at_start(LOOP);
    // A word at address 0, which is nobody's.
    bench.ask(&[conditional(CODE + 0x0C, &[0x22, 0, 0x19, 0x27])]);
    assert_eq!(bench.resume(Run::Continue), (StopReason::Breakpoint, CODE + 0x0C));
    assert_eq!(bench.target.registers.core.0[0], 3);
}

#[test]
fn two_probes_in_a_row_whose_conditions_do_not_hold_are_both_passed() {
    let mut bench = Bench::at_start(LOOP);
    let never = r0_is(99);
    bench.ask(&[
        conditional(CODE + 0x0C, &never),
        conditional(CODE + 0x0E, &never),
        conditional(CODE + 0x10, &never),
        probe(CODE + 0x0A),
    ]);
    assert_eq!(bench.resume(Run::Continue), (StopReason::Breakpoint, CODE + 0x0A));
    assert_eq!(bench.target.trace, trace_of(LOOP, bench.target.trace.len()));
}

#[test]
fn expressions_too_many_for_the_room_are_refused() {
    let mut bench = Bench::at_start(LOOP);
    let long = [0x28; 400];
    assert_eq!(bench.ask(&[conditional(CODE + 0x0C, &long)]), ["Done(Nothing)"]);
    let full = format!("{:?}", Answer::Refused(Refused { index: 0, reason: RefusalReason::Full }));
    assert_eq!(bench.ask(&[conditional(CODE + 0x0E, &long)]), [full]);
    assert_eq!(bench.ask(&[Operation::ClearProbe(At { address: CODE + 0x0C })]), ["Done(Nothing)"]);
    assert_eq!(bench.ask(&[conditional(CODE + 0x0E, &long)]), ["Done(Nothing)"]);
}

#[test]
fn what_needs_a_halt_is_refused_while_it_runs_and_memory_is_not() {
    let mut bench = Bench::new(LOOP);
    let refused = format!("{:?}", Answer::Refused(Refused { index: 0, reason: RefusalReason::Running }));
    let resume = Resume { run: Run::Continue, low: None, high: None, steps_max: None, interrupts: None };
    assert_eq!(bench.ask(&[Operation::Resume(resume)]), std::slice::from_ref(&refused));
    assert_eq!(bench.ask(&[Operation::ReadRegisters(Nothing {})]), [refused]);
    let order = ReadMemory { address: RAM, len: 4, width: None };
    assert!(bench.ask(&[Operation::ReadMemory(order)])[0].starts_with("Memory"));
}

#[test]
fn before_hello_nothing_is_done() {
    let mut bench = Bench {
        agent: Agent::new(),
        target: Simulated::new(LOOP),
        sequence: 0,
        events: vec![],
        watched: None,
        heard: vec![],
    };
    let refused = format!("{:?}", Answer::Refused(Refused { index: 0, reason: RefusalReason::NoSession }));
    assert_eq!(bench.ask(&[Operation::Halt(Nothing {})]), [refused]);
}

#[test]
fn an_own_breakpoint_is_told_and_gone_past() {
    let mut bench = Bench::at_start(&[NOP, 0xBE00, 0x2007, 0xE7FE]);
    assert_eq!(bench.resume(Run::Continue), (StopReason::OwnBreakpoint, CODE + 2));
    assert_eq!(bench.resume(Run::Step), (StopReason::Stepped, CODE + 4));
    assert_eq!(bench.resume(Run::Step), (StopReason::Stepped, CODE + 6));
    assert_eq!(bench.target.registers.core.0[0], 7);
}

#[test]
fn waiting_instructions_are_gone_past_however_many() {
    let mut bench = Bench::at_start(&[0xBF30; 100]);
    for n in 1..5 {
        assert_eq!(bench.resume(Run::Step), (StopReason::Stepped, CODE + 2 * n));
    }
    let (reason, pc) = bench.resume_within(Run::Range, Some((CODE, CODE + 200)));
    assert!(reason == StopReason::Stepped && pc > CODE + 10 && pc < CODE + 200, "a bounded piece of the way");
}

#[test]
fn a_fault_stops_with_its_status_and_ctrl_c_stops_an_endless_loop() {
    let mut bench = Bench::at_start(&[NOP, 0xDE00]);
    assert_eq!(bench.resume(Run::Continue), (StopReason::Fault, CODE + 2));
    let mut bench = Bench::at_start(&[0xE7FE]);
    let resume = Resume { run: Run::Continue, low: None, high: None, steps_max: None, interrupts: None };
    bench.ask(&[Operation::Resume(resume)]);
    bench.ask(&[Operation::Halt(Nothing {})]);
    assert_eq!(bench.wait(), (StopReason::Halted, CODE));
}

#[test]
fn a_restart_keeps_probes_and_can_stop_at_the_entry() {
    let mut bench = Bench::at_start(LOOP);
    bench.ask(&[probe(CODE + 0x0C), Operation::Reset(Reset { halt: true })]);
    assert!(bench.agent.take_restart());
    bench.agent.ended(&mut bench.target);
    let code: Vec<u8> = LOOP.iter().flat_map(|half| half.to_le_bytes()).collect();
    assert_eq!(bench.target.code, code, "an update finds whole code");
    bench.target.registers = Simulated::new(LOOP).registers;
    bench.agent.started([8; 32], CODE, &mut bench.target);
    bench.target.running = Some(Interrupts::Allowed);
    assert_eq!(bench.wait(), (StopReason::Reset, CODE));
    assert_eq!(bench.resume(Run::Continue), (StopReason::Breakpoint, CODE + 0x0C));
}
