//! Steps a job on the reference and on a subject, and compares what the registers hold after every instruction.

use std::fmt;

use anyhow::{Context, Result};

use crate::job::Job;
use crate::machine::Machine;
use crate::remote::Registers;

/// Most instructions of one job.
const STEPS_MAX: usize = 6000;
/// Steps of QEMU's in a row that execute nothing.
pub(crate) const EMPTY_STEPS_MAX: usize = 4;
/// Most instructions between an exclusive load and its store.
const SEQUENCE_MAX: usize = 20;
/// The hypervisor's code and its gateways.
const SECURE_CODE: std::ops::Range<u32> = 0x1000_0000..0x2000_0000;
/// Bit of xPSR that says how a frame was aligned; no register while something runs.
const ALIGNED: u32 = 1 << 9;
/// Bits of xPSR with the number of the exception.
const EXCEPTION: u32 = 0x1FF;
/// An exclusive store may fail because an interrupt of the hypervisor's came before it. With many stores in a job and a busy
/// machine that was met three times in a row; a mistake is met each time.
const ATTEMPTS: usize = 12;

/// What is put to the test.
pub trait Subject {
    /// Puts a job in place, about to begin.
    ///
    /// # Errors
    /// It does not answer.
    fn load(&mut self, job: &Job) -> Result<()>;

    /// One step.
    ///
    /// # Errors
    /// It did not come to its end.
    fn step(&mut self) -> Result<Registers>;

    /// After a difference: back to a state in which a job can be loaded.
    ///
    /// # Errors
    /// It could not be brought there.
    fn recover(&mut self) -> Result<()>;
}

/// Where subject and reference part.
#[derive(Clone, Debug)]
pub struct Difference {
    job: String,
    step: usize,
    instruction: String,
    before: Registers,
    expected: Registers,
    found: Option<Registers>,
    why: String,
}

/// What one job came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Steps whose registers were equal.
    pub steps: usize,
    /// The first that was not.
    pub difference: Option<Difference>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: step {} at {:#010x} ({})", self.job, self.step, self.before[15], self.instruction)?;
        writeln!(f, "{}", self.why)?;
        let name = |n| match n {
            13 => "sp".into(),
            14 => "lr".into(),
            15 => "pc".into(),
            16 => "xpsr".into(),
            _ => format!("r{n}"),
        };
        for (n, (before, expected)) in self.before.iter().zip(self.expected).enumerate() {
            let found = self.found.map(|found| found[n]);
            let differs = found.is_some_and(|found| visible(n, found) != visible(n, expected));
            let mark = if differs { "  <-- " } else { "" };
            let found = found.map_or_else(|| "-".into(), |found| format!("{found:08x}"));
            writeln!(
                f,
                "  {:>4} before {before:08x} reference {expected:08x} subject {found}{mark}",
                name(n)
            )?;
        }
        Ok(())
    }
}

fn visible(n: usize, value: u32) -> u32 {
    if n == 16 { value & !ALIGNED } else { value }
}

fn are_equal(a: &Registers, b: &Registers) -> bool {
    a.iter().zip(b).enumerate().all(|(n, (a, b))| visible(n, *a) == visible(n, *b))
}

/// Registers that hold nothing in particular when a handler begins (DDI 0553, B3.20): with what was interrupted meanwhile,
/// they differ from run to run.
const UNKNOWN_TO_HANDLERS: [usize; 5] = [0, 1, 2, 3, 12];

/// Which registers a handler has not yet set.
#[derive(Clone, Copy, Debug, Default)]
struct Unset([bool; 17]);

impl Unset {
    /// One step of the reference is over.
    fn stepped(&mut self, before: &Registers, after: &Registers) {
        if (before[16] ^ after[16]) & EXCEPTION != 0 {
            *self = Self::default();
            for n in UNKNOWN_TO_HANDLERS.into_iter().filter(|_| after[16] & EXCEPTION != 0) {
                self.0[n] = true;
            }
            return;
        }
        for (n, unset) in self.0.iter_mut().enumerate() {
            *unset &= before[n] == after[n];
        }
    }

    /// `found` with what is not set as in `expected`.
    fn known(&self, found: &Registers, expected: &Registers) -> Registers {
        std::array::from_fn(|n| if self.0[n] { expected[n] } else { found[n] })
    }
}

/// The registers after every instruction of a job on the reference, the start first.
///
/// # Errors
/// The reference does not answer, or the job does not end.
pub fn trace(machine: &mut Machine, job: &Job) -> Result<Vec<Registers>> {
    for (address, bytes) in &job.reference_writes {
        machine.remote.write(*address, bytes)?;
    }
    machine.remote.set_registers(&job.registers)?;
    let mut trace = vec![job.registers];
    for _ in 0..STEPS_MAX {
        let mut now = step(machine, trace.last()).with_context(|| format!("the reference, {}", job.name))?;
        if SECURE_CODE.contains(&now[15]) {
            // A gateway is one instruction for who steps: the reference runs to where it returns. With an instruction
            // that enters or leaves a handler QEMU takes whatever is pending first, the hypervisor's tick for example.
            let before = trace.last().map_or(0, |registers| registers[16]);
            let is_interrupt = (now[16] ^ before) & EXCEPTION != 0;
            let beyond = if is_interrupt { job.beyond.clone() } else { vec![now[14] & !1] };
            for place in &beyond {
                machine.remote.breakpoint(true, *place)?;
            }
            now = machine.remote.run().with_context(|| format!("the reference, {}", job.name))?;
            for place in &beyond {
                machine.remote.breakpoint(false, *place)?;
            }
        }
        trace.push(now);
        if now[15] == job.end {
            return Ok(trace);
        }
    }
    anyhow::bail!("{} does not end within {STEPS_MAX} instructions on the reference", job.name)
}

/// One instruction on the reference. QEMU sometimes says that a step is over before it began: that one is repeated.
///
/// No instruction of a job leaves every register as it was: none branches to itself.
fn step(machine: &mut Machine, before: Option<&Registers>) -> Result<Registers> {
    let mut now = machine.remote.step()?;
    for _ in 0..EMPTY_STEPS_MAX {
        if Some(&now) != before {
            break;
        }
        now = machine.remote.step()?;
    }
    Ok(now)
}

/// Steps a job on `subject` along the reference's trace.
///
/// # Errors
/// The subject cannot be loaded or brought back.
pub fn follow(subject: &mut dyn Subject, job: &Job, trace: &[Registers]) -> Result<Outcome> {
    let attempts = if job.has_exclusives()? { ATTEMPTS } else { 1 };
    let mut outcome = Outcome { steps: 0, difference: None };
    for _ in 0..attempts {
        outcome = follow_once(subject, job, trace)?;
        if outcome.difference.is_none() {
            break;
        }
        subject.recover().context("after a difference")?;
    }
    Ok(outcome)
}

fn follow_once(subject: &mut dyn Subject, job: &Job, trace: &[Registers]) -> Result<Outcome> {
    subject.load(job).with_context(|| format!("loading {}", job.name))?;
    let (mut at, mut steps) = (0, 0);
    let mut unset = Unset::default();
    while let (Some(before), Some(next)) = (trace.get(at), trace.get(at + 1)) {
        let (found, why) = match subject.step() {
            Ok(found) => (Some(found), String::from("the registers differ")),
            Err(error) => (None, format!("the step failed: {error:#}")),
        };
        // A sequence of exclusives is one step.
        let mut reached = at + 1;
        if let (true, Some(found)) = (job.is_load_exclusive(before[15]), found) {
            let ahead = trace.iter().skip(at + 1).take(SEQUENCE_MAX);
            reached += ahead.into_iter().position(|registers| registers[15] == found[15]).unwrap_or(0);
        }
        let expected = trace.get(reached).unwrap_or(next);
        unset.stepped(before, expected);
        if !found.is_some_and(|found| are_equal(&unset.known(&found, expected), expected)) {
            let difference = Difference {
                job: job.name.clone(),
                step: steps,
                instruction: job.shown(before[15]),
                before: *before,
                expected: *expected,
                found,
                why,
            };
            return Ok(Outcome { steps, difference: Some(difference) });
        }
        steps += 1;
        at = reached;
    }
    Ok(Outcome { steps, difference: None })
}
