//! The agent's own code on this machine, in front of an application in QEMU: no link, no hypervisor in between.
//!
//! The processor is QEMU's all the same: the agent computes where an instruction leads, a breakpoint is put there, and
//! the application runs. Thousands of programs fit in the time that the whole stack needs for some dozens.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bulkhead_debug_agent::{AccessRefused, Agent, DebugTarget, Interrupts, Memory, StopCause, Width};
use bulkhead_debug_protocol::{
    Hello, MESSAGE_LEN_MAX, MoreFollows, Nothing, Operation, Region, RegionKind, Register, RegisterFile,
    Resume, Run, Words, Writer,
};

use crate::compare::{EMPTY_STEPS_MAX, Subject};
use crate::job::Job;
use crate::machine::{Machine, Program};
use crate::mistakes::Mistake;
use crate::remote::Registers;

/// Messages that one request can be answered by.
const MESSAGES_MAX: usize = 64;
/// Runs that one step can take: the sequence of detours is short.
const RUNS_MAX: usize = 32;
/// Where a program may be put for a moment: RAM of the application that nobody uses.
const SCRATCH: u32 = 0x2825_F000;
/// Longest run of one step: after that it went astray.
const ASTRAY: Duration = Duration::from_secs(3);
/// `mrs r0, psp`.
const READ_PROCESS_STACK: [u8; 4] = [0xEF, 0xF3, 0x09, 0x80];

/// The agent and its application.
pub struct Bench {
    agent: Agent,
    target: Target,
    sequence: u32,
    start: Box<dyn Fn() -> Result<Machine>>,
}

struct Target {
    machine: Machine,
    vectors: u32,
    registers: Registers,
    /// They were changed since the machine was told.
    changed: bool,
    process_stack: Option<u32>,
    running: bool,
    patches: BTreeSet<u32>,
    planted: BTreeSet<u32>,
    /// Where the job ends: whoever goes astray comes by here.
    net: Option<u32>,
    code: (u32, Vec<u8>),
    mistake: Option<Mistake>,
}

impl Bench {
    /// An agent in front of the machine that `start` starts.
    ///
    /// # Errors
    /// It did not start.
    pub fn new(start: Box<dyn Fn() -> Result<Machine>>, program: &Program) -> Result<Self> {
        let mut machine = start()?;
        let registers = machine.registers()?;
        machine.remote.write(SCRATCH, &READ_PROCESS_STACK)?;
        machine.remote.wait_at_most(ASTRAY)?;
        let target = Target {
            machine,
            vectors: program.address("ram_vectors")?,
            registers,
            changed: false,
            process_stack: None,
            running: true,
            patches: BTreeSet::new(),
            planted: BTreeSet::new(),
            net: None,
            code: (0, Vec::new()),
            mistake: None,
        };
        let mut bench = Self { agent: Agent::new(), target, sequence: 0, start };
        bench.attach()?;
        Ok(bench)
    }

    /// Lets the agent be told something wrong from now on.
    pub fn seed(&mut self, mistake: Option<Mistake>) {
        self.target.mistake = mistake;
    }

    fn attach(&mut self) -> Result<()> {
        self.agent = Agent::new();
        self.agent.started([0; 32], 0, &mut self.target);
        self.ask(&[Operation::Hello(Hello { version: 1 }), Operation::Halt(Nothing {})])?;
        if !self.agent.wants_halt() {
            bail!("the agent does not want to halt the application");
        }
        self.agent.stopped(StopCause::HaltRequested, &mut self.target);
        self.drain();
        Ok(())
    }

    fn ask(&mut self, operations: &[Operation<'_>]) -> Result<()> {
        self.sequence += 1;
        let mut room = [0; MESSAGE_LEN_MAX];
        let mut writer = Writer::request(&mut room, self.sequence).context("no room")?;
        if !operations.iter().all(|operation| writer.push(operation)) {
            bail!("too many operations for a request");
        }
        let len = writer.finish(MoreFollows::No);
        if !self.agent.request(room.get(..len).unwrap_or_default()) {
            bail!("the agent did not take the request");
        }
        self.drain();
        Ok(())
    }

    fn drain(&mut self) {
        let mut room = [0; MESSAGE_LEN_MAX];
        for _ in 0..MESSAGES_MAX {
            let said = self.agent.poll(&mut self.target, &mut room);
            if said.is_none() && !self.agent.is_busy() {
                return;
            }
        }
    }
}

impl Subject for Bench {
    fn load(&mut self, job: &Job) -> Result<()> {
        for (address, bytes) in &job.writes {
            self.target.machine.remote.write(*address, bytes)?;
        }
        self.target.registers = job.registers;
        self.target.changed = true;
        self.target.net = Some(job.end);
        let (base, code) = job.code();
        self.target.code = (base, code.to_vec());
        Ok(())
    }

    fn step(&mut self) -> Result<Registers> {
        let resume = Resume { run: Run::Step, low: None, high: None, steps_max: None, interrupts: None };
        self.ask(&[Operation::Resume(resume)])?;
        for _ in 0..RUNS_MAX {
            if !self.target.running {
                return Ok(self.target.registers);
            }
            self.target.go()?;
            self.agent.stopped(StopCause::Breakpoint, &mut self.target);
            self.drain();
        }
        bail!("the step takes more than {RUNS_MAX} runs")
    }

    fn recover(&mut self) -> Result<()> {
        // The old machine has to end before the new one takes its file.
        self.target.machine.power_off();
        self.target.machine = (self.start)()?;
        self.target.registers = self.target.machine.registers()?;
        self.target.machine.remote.write(SCRATCH, &READ_PROCESS_STACK)?;
        self.target.machine.remote.wait_at_most(ASTRAY)?;
        self.target.planted.clear();
        self.target.patches.clear();
        self.target.running = true;
        self.attach()
    }
}

impl Target {
    /// Runs to the next breakpoint.
    fn go(&mut self) -> Result<()> {
        let wanted: BTreeSet<u32> = self.patches.iter().copied().chain(self.net).collect();
        let remote = &mut self.machine.remote;
        for away in self.planted.difference(&wanted) {
            remote.breakpoint(false, *away)?;
        }
        for new in wanted.difference(&self.planted) {
            remote.breakpoint(true, *new)?;
        }
        self.planted = wanted;
        if std::mem::take(&mut self.changed) {
            remote.set_registers(&self.registers)?;
        }
        self.process_stack = None;
        self.registers = remote.run()?;
        Ok(())
    }

    /// The process stack pointer while a handler runs, which QEMU's debugger does not tell: the processor is asked.
    fn ask_process_stack(&mut self) -> Option<u32> {
        let remote = &mut self.machine.remote;
        let before = remote.registers().ok()?;
        let mut registers = before;
        registers[15] = SCRATCH;
        // No IT block goes on there.
        registers[16] &= !0x0600_FC00;
        remote.set_registers(&registers).ok()?;
        // QEMU sometimes says that a step is over before it began.
        let mut after = registers;
        for _ in 0..EMPTY_STEPS_MAX {
            after = remote.step().ok()?;
            if after[15] != SCRATCH {
                break;
            }
        }
        remote.set_registers(&before).ok()?;
        Some(after[0]).filter(|_| after[15] != SCRATCH)
    }

    fn truth(&mut self, address: u32, out: &mut [u8]) -> Result<(), AccessRefused> {
        let (base, code) = &self.code;
        let start = address.checked_sub(*base).and_then(|offset| usize::try_from(offset).ok());
        let known = start.and_then(|start| code.get(start..start.checked_add(out.len())?));
        if let Some(known) = known {
            out.copy_from_slice(known);
            return Ok(());
        }
        let read = self.machine.remote.read(address, out.len()).map_err(|_| AccessRefused::Failed)?;
        out.copy_from_slice(&read);
        Ok(())
    }
}

impl Memory for Target {
    fn read(&mut self, address: u32, out: &mut [u8]) -> Result<(), AccessRefused> {
        self.truth(address, out)?;
        if let Some(mistake) = self.mistake {
            mistake.misread(address, self.registers[15], out);
        }
        Ok(())
    }

    fn is_secure(&self, address: u32) -> bool {
        (0x1000_0000..0x2000_0000).contains(&address)
    }

    fn vector_table(&self) -> u32 {
        self.vectors
    }
}

impl DebugTarget for Target {
    fn hold(&mut self) {
        self.running = false;
    }

    fn run(&mut self, _: Interrupts) {
        self.running = true;
    }

    fn registers(&mut self) -> RegisterFile {
        let mut core = self.registers;
        let in_handler = core[16] & 0x1FF != 0;
        if in_handler && self.process_stack.is_none() {
            self.process_stack = self.ask_process_stack();
        }
        if let Some(mistake) = self.mistake {
            mistake.misremember(&mut core);
        }
        let mut file = RegisterFile { core: Words(core), ..RegisterFile::default() };
        file.system.0[1] = self.process_stack.unwrap_or(core[13]);
        file
    }

    fn write_register(&mut self, register: Register, value: u32) -> Result<(), AccessRefused> {
        let index = match register {
            Register::XPSR if self.mistake == Some(Mistake::SkipKeepsTheItBlock) => return Ok(()),
            Register::XPSR => 16,
            Register(number) => usize::from(number),
        };
        *self.registers.get_mut(index).ok_or(AccessRefused::Unsupported)? = value;
        self.changed = true;
        Ok(())
    }

    fn read_exact(&mut self, address: u32, out: &mut [u8], _: Width) -> Result<(), AccessRefused> {
        self.truth(address, out)
    }

    fn write(&mut self, _: u32, _: &[u8], _: Width) -> Result<(), AccessRefused> {
        Err(AccessRefused::Unsupported)
    }

    fn patch(&mut self, address: u32, half: u16) -> Result<u16, AccessRefused> {
        if self.is_secure(address) {
            return Err(AccessRefused::Forbidden);
        }
        let mut stood = [0; 2];
        self.truth(address, &mut stood)?;
        let stood = u16::from_le_bytes(stood);
        if half == stood {
            self.patches.remove(&address);
        } else {
            self.patches.insert(address);
        }
        Ok(stood)
    }

    fn now_us(&self) -> u64 {
        0
    }

    fn build(&self) -> &'static [u8] {
        b"bench"
    }

    fn region(&self, index: usize) -> Option<Region> {
        let ram = Region { address: 0x2820_0000, len: 0x8_0000, kind: RegionKind::Ram };
        (index == 0).then_some(ram)
    }
}
