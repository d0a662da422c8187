//! The whole way as a developer has it: `bulkhead debug`, the server, the link, the hypervisor, its agent.

use std::path::Path;

use anyhow::{Context, Result, bail};
use bulkhead_end_to_end::debugger::Debugging;
use bulkhead_end_to_end::device::Device;
use bulkhead_end_to_end::fleet::Fleet;

use crate::compare::Subject;
use crate::job::Job;
use crate::machine::Program;
use crate::remote::{Registers, Remote};

/// The application's name in the workspace.
pub const APPLICATION: &str = "stepper-c";

/// A server, a device that runs the application, and what is needed to look at both.
pub struct Bed {
    /// The server and all that belongs to it.
    pub fleet: Fleet,
    /// The device.
    pub device: Device,
    /// Its program.
    pub program: Program,
    elf: String,
}

impl Bed {
    /// Starts everything and installs the application.
    ///
    /// # Errors
    /// Something was not built or did not start.
    pub fn start() -> Result<Self> {
        let (mut fleet, device) = Fleet::start_with_device("stepped")?;
        let bundle = fleet.push_debuggable(APPLICATION, "stepper", "1")?;
        fleet.deploy(&device, &bundle)?;
        let elf = fleet.programs.app(APPLICATION)?;
        let program = Program::read(&elf)?;
        Ok(Self { fleet, device, program, elf: elf.to_string_lossy().into_owned() })
    }

    /// A file beside the device's memory, for a copy of it.
    pub fn copy(&self, name: &str) -> std::path::PathBuf {
        self.fleet.folder.path().join(name)
    }

    /// The hypervisor's image.
    pub fn image(&self) -> &Path {
        &self.fleet.programs.image
    }
}

/// The device, stepped through the product.
pub struct Stack {
    remote: Remote,
    stand: u32,
    _debugging: Debugging,
}

impl Stack {
    /// Attaches and goes to where the oracle takes over.
    ///
    /// # Errors
    /// The product refused.
    pub fn attach(bed: &Bed) -> Result<Self> {
        let debugging = Debugging::start(&bed.fleet.tool, &bed.device.id, &["--elf", &bed.elf])?;
        let remote = Remote::connect(debugging.port)?;
        let mut stack = Self { remote, stand: bed.program.address("stand")?, _debugging: debugging };
        // Where an earlier session left the application it may stay for ever.
        stack.recover()?;
        Ok(stack)
    }

    fn go_to_stand(&mut self) -> Result<()> {
        self.remote.breakpoint(true, self.stand)?;
        let registers = self.remote.run().context("running to where the oracle takes over")?;
        self.remote.breakpoint(false, self.stand)?;
        if registers[15] != self.stand {
            bail!("stopped at {:#x}", registers[15]);
        }
        Ok(())
    }
}

impl Subject for Stack {
    fn load(&mut self, job: &Job) -> Result<()> {
        for (address, bytes) in &job.writes {
            self.remote.write(*address, bytes)?;
        }
        self.remote.set_registers(&job.registers)
    }

    fn step(&mut self) -> Result<Registers> {
        self.remote.step()
    }

    fn recover(&mut self) -> Result<()> {
        // "reset halt"
        self.remote.ask("qRcmd,72657365742068616c74")?;
        self.go_to_stand()
    }
}
