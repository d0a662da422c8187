//! Claims about the back-end, on a model of the registers and a simulated processor.
#![expect(clippy::unwrap_used, reason = "a test: a panic is its failure")]

mod model;
#[path = "../../../portable/debug-agent/tests/simulated/mod.rs"]
mod simulated;

use bulkhead_armv8m_debug::registers::*;
use bulkhead_armv8m_debug::{DebugUnit, Entry, MonitorTarget, NoWatch, Owner, Reason, Unusable, Verdict};
use bulkhead_debug_agent::{Agent, DebugTarget, Memory as _, StopCause};
use bulkhead_debug_protocol::*;
use model::{Facts, Flaw, Port, Taken};
use simulated::{CODE, LOOP, Simulated, Stood};

/// EXC_RETURN of a thread of the application's on its main stack.
const FROM_APPLICATION: u32 = 0xFFFF_FFB8;
/// EXC_RETURN of the secure world's thread.
const FROM_SECURE: u32 = 0xFFFF_FFF9;
/// The second half-word of its only wide instruction.
const SECOND_HALF: u32 = CODE + 4;

type Claim = Result<(), String>;

fn claim(holds: bool, what: &str) -> Claim {
    if holds { Ok(()) } else { Err(what.into()) }
}

/// A device: the agent, the back-end, the model, the processor.
struct Chip {
    agent: Agent,
    target: MonitorTarget<Port, Simulated>,
    port: Port,
    sequence: u32,
}

impl Chip {
    fn new(facts: Facts, flaw: Option<Flaw>) -> Result<Self, String> {
        let port = Port::new(facts, flaw);
        port.model.borrow_mut().second_halves.insert(SECOND_HALF);
        let unit = DebugUnit::begin(port.clone()).map_err(|why| format!("{why:?}"))?;
        let mut target = MonitorTarget::new(unit, Simulated::new(LOOP));
        let mut agent = Agent::new();
        agent.started([0; 32], CODE, &mut target);
        let mut chip = Self { agent, target, port, sequence: 0 };
        chip.ask(&[Operation::Hello(Hello { version: 1 }), Operation::Halt(Nothing {})]);
        chip.agent.stopped(StopCause::HaltRequested, &mut chip.target);
        chip.stop_reason();
        Ok(chip)
    }

    fn ask(&mut self, operations: &[Operation<'_>]) -> Vec<String> {
        self.sequence += 1;
        let mut room = [0; MESSAGE_LEN_MAX];
        let mut writer = Writer::request(&mut room, self.sequence).unwrap();
        assert!(operations.iter().all(|operation| writer.push(operation)));
        let len = writer.finish(MoreFollows::No);
        assert!(self.agent.request(&room[..len]));
        let mut answers = Vec::new();
        while let Some(len) = self.agent.poll(&mut self.target, &mut room) {
            let mut reply = parse_reply(&room[..len]).unwrap();
            while let Some(answer) = reply.answers.next_pair::<Answer<'_>>().unwrap() {
                answers.push(format!("{:?}", answer.unwrap()));
            }
            if !reply.more {
                break;
            }
        }
        answers
    }

    fn stop_reason(&mut self) -> Option<(StopReason, u32)> {
        let mut room = [0; MESSAGE_LEN_MAX];
        let len = self.agent.poll(&mut self.target, &mut room)?;
        match parse_event(&room[..len]).unwrap()? {
            Event::Stopped(stopped) => Some((stopped.reason, stopped.core.0[15])),
            _ => None,
        }
    }

    fn probe(&mut self, address: u32) -> bool {
        let probe =
            SetProbe { address, action: Action::Stop, condition: None, command: None, actions_max: None };
        self.ask(&[Operation::SetProbe(probe)]).first().is_some_and(|answer| answer.starts_with("Done"))
    }

    /// Resumes and runs the processor until the agent says that the application stopped.
    fn resume(&mut self, run: Run) -> Option<(StopReason, u32)> {
        let order = Resume { run, low: None, high: None, steps_max: None, interrupts: None };
        self.ask(&[Operation::Resume(order)]);
        for _ in 0..2000 {
            if let Some(stop) = self.stop_reason() {
                return Some(stop);
            }
            self.advance();
        }
        None
    }

    /// The executor returns, and one instruction of the application's or one exception follows.
    fn advance(&mut self) {
        if self.port.model.borrow_mut().executor_returns() {
            return self.enter();
        }
        let pc = self.target.inner().registers().pc();
        let matched = self.port.model.borrow().matches_code(pc);
        let status = if matched {
            DFSR_BKPT
        } else {
            let stood = self.target.inner().go(1);
            let steps = self.port.model.borrow().steps();
            match stood {
                Some(Stood::Breakpoint) => DFSR_BKPT,
                _ if steps => DFSR_HALTED,
                _ => return,
            }
        };
        let taken = self.port.model.borrow_mut().event(status, false);
        if taken == Taken::Monitor {
            self.enter();
        }
    }

    fn enter(&mut self) {
        self.port.model.borrow_mut().enter();
        let (_, cause) = self.target.monitor(FROM_APPLICATION);
        self.port.model.borrow_mut().leave();
        if let Some(cause) = cause {
            self.agent.stopped(cause, &mut self.target);
        }
    }

    fn violations(&self) -> Claim {
        let model = self.port.model.borrow();
        model.violations.first().map_or(Ok(()), |violation| Err(violation.clone()))
    }
}

/// A developer's session: breakpoints in flash, steps, and code that nobody changed.
fn session(facts: Facts, flaw: Option<Flaw>) -> Claim {
    let mut chip = Chip::new(facts, flaw)?;
    let code = chip.target.inner().code.clone();
    claim(chip.probe(CODE + 0x0E), "a breakpoint is set")?;
    claim(!chip.probe(SECOND_HALF), "none is set on a second half-word")?;
    for round in 0..3 {
        let stop = chip.resume(Run::Continue);
        claim(stop == Some((StopReason::Breakpoint, CODE + 0x0E)), &format!("round {round}: {stop:x?}"))?;
        for pc in [0x10, 0x12] {
            let stop = chip.resume(Run::Step);
            claim(stop == Some((StopReason::Stepped, CODE + pc)), &format!("a step to {pc:#x}: {stop:x?}"))?;
        }
    }
    for n in [0x00, 0x02, 0x06, 0x08, 0x10, 0x18, 0x0C, 0x0A] {
        claim(chip.probe(CODE + n), &format!("more breakpoints than comparators: {n:#x}"))?;
        if chip.target.unit().breakpoints_max() < 6 && n == 0x02 {
            break;
        }
    }
    chip.violations()?;
    claim(chip.target.inner().code == code, "the code is what it was")
}

/// All that a part of any kind has to keep.
fn claims(flaw: Option<Flaw>) -> Claim {
    for (n_code, n_data) in [(8, 4), (4, 2), (4, 0)] {
        session(Facts { n_code, n_data, ..Facts::U5 }, flaw)
            .map_err(|why| format!("{n_code} comparators: {why}"))?;
    }
    refusals(flaw)?;
    steps_by_the_monitor(flaw)?;
    attack(flaw)?;
    watches(flaw)
}

fn begin(facts: Facts, flaw: Option<Flaw>) -> (Port, Result<DebugUnit<Port>, Unusable>) {
    let port = Port::new(facts, flaw);
    (port.clone(), DebugUnit::begin(port))
}

fn refusals(flaw: Option<Flaw>) -> Claim {
    let cases = [
        (Facts { n_code: 0, n_data: 0, revision: 0, ..Facts::U5 }, Unusable::Absent),
        (Facts { revision: 0, ..Facts::U5 }, Unusable::OldRevision),
        (Facts { probe: true, ..Facts::U5 }, Unusable::ProbeAttached),
        (Facts { gives_monitor: false, ..Facts::U5 }, Unusable::MonitorRefused),
    ];
    for (facts, wanted) in cases {
        let (_, begun) = begin(facts, flaw);
        claim(begun.as_ref().err() == Some(&wanted), &format!("{wanted:?}: {:?}", begun.err()))?;
    }
    Ok(())
}

fn entry(exc_return: u32, pc: u32, owner: Owner) -> Entry {
    Entry { exc_return, pc, lr: CODE + 7, owner, half: 0xBF00 }
}

/// A step: the executor orders it, DebugMonitor begins it, one instruction later it ends; through a gateway as well.
fn steps_by_the_monitor(flaw: Option<Flaw>) -> Claim {
    let (port, unit) = begin(Facts::U5, flaw);
    let mut unit = unit.map_err(|why| format!("{why:?}"))?;
    unit.step();
    let monitor = |unit: &mut DebugUnit<Port>, status: u32, entry: Entry| {
        port.model.borrow_mut().event(status, false);
        port.model.borrow_mut().enter();
        let verdict = unit.monitor(&entry);
        port.model.borrow_mut().leave();
        verdict
    };
    claim(port.model.borrow_mut().executor_returns(), "DebugMonitor waits for the executor's return")?;
    let here = entry(FROM_APPLICATION, CODE + 2, Owner::Application);
    claim(monitor(&mut unit, 0, here) == Verdict::Resume, "the step begins")?;
    claim(port.model.borrow().steps(), "it is armed")?;
    let gateway = entry(FROM_APPLICATION, 0x101F_F000, Owner::Secure);
    claim(monitor(&mut unit, DFSR_HALTED, gateway) == Verdict::Resume, "a call is not looked into")?;
    claim(!port.model.borrow().steps(), "secure code is not stepped")?;
    claim(port.model.borrow().matches_code(CODE + 6), "the call's return is waited for")?;
    let back = entry(FROM_APPLICATION, CODE + 6, Owner::Application);
    let verdict = monitor(&mut unit, DFSR_BKPT, back);
    claim(verdict == Verdict::Stop(Reason::Stepped), &format!("the call was one step: {verdict:?}"))?;
    claim(!port.model.borrow().matches_code(CODE + 6), "nothing is left behind")?;
    // A stale status would make the next entry a breakpoint once more.
    unit.step();
    let begins = monitor(&mut unit, 0, back);
    claim(begins == Verdict::Resume && port.model.borrow().steps(), "a second step begins")?;
    let verdict = monitor(&mut unit, DFSR_HALTED, entry(FROM_APPLICATION, CODE + 8, Owner::Application));
    claim(verdict == Verdict::Stop(Reason::Stepped), &format!("and ends: {verdict:?}"))?;
    let violation = port.model.borrow().violations.first().cloned();
    violation.map_or(Ok(()), Err)
}

/// The application points a comparator at the secure world.
fn attack(flaw: Option<Flaw>) -> Claim {
    let (port, unit) = begin(Facts::U5, flaw);
    let mut unit = unit.map_err(|why| format!("{why:?}"))?;
    claim(unit.set_breakpoint(CODE + 0x0E), "a breakpoint")?;
    for blocked in [false, true] {
        port.model.borrow_mut().set(FP_COMP0 + 8, 0x1000_0101);
        claim(port.model.borrow().matches_code(0x1000_0100), "it strikes secure code")?;
        let taken = port.model.borrow_mut().event(DFSR_BKPT, blocked);
        port.model.borrow_mut().enter();
        let verdict = if taken == Taken::HardFault {
            unit.hard_fault(Owner::Secure)
        } else {
            Some(unit.monitor(&entry(FROM_SECURE, 0x1000_0100, Owner::Secure)))
        };
        port.model.borrow_mut().leave();
        claim(verdict == Some(Verdict::Attack), &format!("an attack, not a stop: {verdict:?}"))?;
        claim(!port.model.borrow().matches_code(0x1000_0100), "the secure world goes on")?;
        unit.refresh();
        claim(!port.model.borrow().matches_code(0x1000_0100), "the application's comparator is gone")?;
        claim(port.model.borrow().matches_code(CODE + 0x0E), "the developer's is back")?;
    }
    claim(unit.attacks() == 2, "both were counted")?;
    claim(unit.hard_fault(Owner::Secure).is_none(), "a HardFault of another kind is none of it")
}

fn watches(flaw: Option<Flaw>) -> Claim {
    let silent = begin(Facts { non_invasive: false, ..Facts::U5 }, flaw).1;
    let refused = silent.map_err(|why| format!("{why:?}"))?.set_watch(0x2000_0000, 4, WatchKind::Write);
    claim(refused == Err(NoWatch::NotAllowed), "comparators that never match are not relied on")?;
    let (port, unit) = begin(Facts::U5, flaw);
    let mut unit = unit.map_err(|why| format!("{why:?}"))?;
    let mut set = |address, len, kind| unit.set_watch(address, len, kind);
    claim(set(0x2000_0004, 4, WatchKind::Write).is_ok(), "a word")?;
    claim(set(0x2000_0021, 7, WatchKind::Access).is_ok(), "a range")?;
    claim(set(0x2000_0040, 1, WatchKind::Read).is_ok(), "a byte")?;
    claim(set(0x2000_0050, 1, WatchKind::Read) == Err(NoWatch::Full), "no more than there are")?;
    claim(set(u32::MAX, 2, WatchKind::Read) == Err(NoWatch::Malformed), "past the end")?;
    let cases = [
        (0x2000_0004, true, true),
        (0x2000_0007, true, true),
        (0x2000_0008, true, false),
        (0x2000_0004, false, false),
        (0x2000_0020, true, false),
        (0x2000_0021, false, true),
        (0x2000_0027, true, true),
        (0x2000_0028, true, false),
        (0x2000_0040, false, true),
        (0x2000_0040, true, false),
    ];
    for (address, writes, wanted) in cases {
        let hit = port.model.borrow_mut().access(address, writes);
        claim(hit == wanted, &format!("{address:#x} {writes}"))?;
        if hit {
            port.model.borrow_mut().event(DFSR_DWTTRAP, false);
            port.model.borrow_mut().enter();
            let verdict = unit.monitor(&entry(FROM_APPLICATION, CODE, Owner::Application));
            port.model.borrow_mut().leave();
            claim(matches!(verdict, Verdict::Stop(Reason::Watch(_))), &format!("{verdict:?}"))?;
        }
    }
    unit.clear_watch(0x2000_0021);
    claim(!port.model.borrow_mut().access(0x2000_0023, true), "it is watched no longer")?;
    claim(port.model.borrow_mut().access(0x2000_0040, false), "the others are")?;
    let mut port = unit.end();
    let off = bulkhead_armv8m_debug::DebugRegisters::read(&mut port, FP_CTRL) & FP_CTRL_ENABLE == 0;
    claim(off, "nothing is left enabled")
}

#[test]
fn breakpoints_steps_watches_and_attacks_are_what_the_architecture_says() {
    claims(None).unwrap();
}

#[test]
fn every_flawed_back_end_is_caught() {
    for flaw in Flaw::ALL {
        assert!(claims(Some(*flaw)).is_err(), "{flaw:?} was not noticed");
    }
}

#[test]
fn an_instruction_begins_where_the_code_says() {
    let mut processor = Simulated::new(LOOP);
    let begins = [0x00, 0x02, 0x06, 0x08, 0x0A, 0x0C, 0x0E, 0x10, 0x12, 0x14, 0x16, 0x18];
    for offset in 0..0x1A {
        let found = bulkhead_armv8m_debug::begins_instruction(&mut processor, CODE + offset);
        assert_eq!(found, Ok(begins.contains(&offset)), "{offset:#x}");
    }
    assert!(processor.half(CODE).is_ok());
}
