//! The device's own protocol, as a developer without GDB may speak it: here steps let the application's interrupts in.

use anyhow::{Context, Result, bail};
use bulkhead_debug_protocol::{
    Action, At, Hello, Nothing, Operation, Reset, Resume, Run, SetProbe, StopReason, WRITE_LEN_MAX,
    WriteMemory, WriteRegister,
};
use bulkhead_end_to_end::developer::Developer;

use crate::compare::Subject;
use crate::job::Job;
use crate::remote::Registers;
use crate::stack::Bed;

/// Number of xpsr.
const XPSR: u8 = 25;

/// The device, stepped with interrupts.
pub struct Direct {
    developer: Developer,
    stand: u32,
}

fn resume(run: Run) -> Operation<'static> {
    Operation::Resume(Resume { run, low: None, high: None, steps_max: None, interrupts: Some(true) })
}

impl Direct {
    /// Opens a session and goes to where the oracle takes over.
    ///
    /// # Errors
    /// The server or the device refused.
    pub fn open(bed: &Bed) -> Result<Self> {
        let key = bed.fleet.tool.home().join("keys").join("debug.key");
        let key = bulkhead_bundle_builder::load_debug_key(&key)?;
        let mut developer = Developer::open(&bed.fleet.api, &bed.device.id, &key)?;
        developer.ask(&[Operation::Hello(Hello { version: 1 }), Operation::Halt(Nothing {})])?;
        developer.stopped()?;
        let mut direct = Self { developer, stand: bed.program.address("stand")? };
        // Where an earlier session left the application it may stay for ever.
        direct.recover()?;
        Ok(direct)
    }

    fn order(&mut self, operations: &[Operation<'_>]) -> Result<()> {
        let answers = self.developer.ask(operations)?;
        match answers.iter().find(|answer| !answer.starts_with("Done")) {
            None if answers.len() == operations.len() => Ok(()),
            refused => bail!("{operations:x?} was answered by {refused:?}"),
        }
    }

    fn go_to_stand(&mut self) -> Result<()> {
        let address = self.stand;
        let probe =
            SetProbe { address, action: Action::Stop, condition: None, command: None, actions_max: None };
        self.order(&[Operation::SetProbe(probe), resume(Run::Continue)])?;
        let stop = self.developer.stopped()?;
        if stop.pc != address {
            bail!("stopped at {:#x}", stop.pc);
        }
        self.order(&[Operation::ClearProbe(At { address })])
    }
}

impl Subject for Direct {
    fn load(&mut self, job: &Job) -> Result<()> {
        for (address, bytes) in &job.writes {
            for (at, bytes) in (*address..).step_by(WRITE_LEN_MAX).zip(bytes.chunks(WRITE_LEN_MAX)) {
                self.order(&[Operation::WriteMemory(WriteMemory { address: at, bytes, width: None })])?;
            }
        }
        let numbers = (0_u8..16).chain([XPSR]);
        let writes: Vec<_> = numbers
            .zip(job.registers)
            .map(|(register, value)| Operation::WriteRegister(WriteRegister { register, value }))
            .collect();
        self.order(&writes).context("writing the registers")
    }

    fn step(&mut self) -> Result<Registers> {
        self.order(&[resume(Run::Step)])?;
        let stop = self.developer.stopped()?;
        match stop.reason {
            StopReason::Stepped => Ok(stop.core),
            other => bail!("the step ended in {other:?}"),
        }
    }

    fn recover(&mut self) -> Result<()> {
        self.order(&[Operation::Reset(Reset { halt: true })])?;
        while self.developer.stopped()?.reason != StopReason::Reset {}
        self.go_to_stand()
    }
}
