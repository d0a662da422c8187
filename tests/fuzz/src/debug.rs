//! An application of one page of code and one of RAM, which moves only as a fuzz target says.

use bulkhead_debug_agent::{AccessRefused, Agent, DebugTarget, Interrupts, Memory, StopCause, Width};
use bulkhead_debug_protocol::{Faults, MESSAGE_LEN_MAX, Region, RegionKind, Register, RegisterFile};

/// Where its code lies.
pub const CODE: u32 = 0x8000_0000;
/// Where its RAM lies.
pub const RAM: u32 = 0x2820_0000;
/// Bytes of each.
pub const PAGE: usize = 512;
/// Most messages that answer one request.
const MESSAGES_MAX: usize = 4096;

/// The application.
#[derive(Clone, Debug, PartialEq)]
pub struct Application {
    /// Its code.
    pub code: [u8; PAGE],
    /// Its RAM.
    pub ram: [u8; PAGE],
    /// Its registers.
    pub registers: RegisterFile,
    /// Whether it runs.
    pub running: bool,
}

impl Application {
    /// Code that `bytes` decide, standing at its start.
    pub fn new(bytes: &[u8]) -> Self {
        let page = core::array::from_fn(|n| bytes.get(n % bytes.len().max(1)).copied().unwrap_or_default());
        let mut registers = RegisterFile::default();
        for (place, byte) in registers.core.0.iter_mut().zip(bytes) {
            *place = RAM + u32::from(*byte) * 2;
        }
        registers.core.0[15] = CODE;
        registers.core.0[16] = 1 << 24;
        Self { code: page, ram: page, registers, running: true }
    }

    fn place(&mut self, address: u32, len: usize) -> Result<&mut [u8], AccessRefused> {
        for (base, page) in [(CODE, &mut self.code), (RAM, &mut self.ram)] {
            let start = usize::try_from(address.wrapping_sub(base)).unwrap_or(usize::MAX);
            if let Some(found) = start.checked_add(len).and_then(|end| page.get_mut(start..end)) {
                return Ok(found);
            }
        }
        Err(AccessRefused::Forbidden)
    }
}

impl Memory for Application {
    fn read(&mut self, address: u32, out: &mut [u8]) -> Result<(), AccessRefused> {
        out.copy_from_slice(self.place(address, out.len())?);
        Ok(())
    }

    fn is_secure(&self, address: u32) -> bool {
        (0x1000_0000..0x2000_0000).contains(&address)
    }

    fn vector_table(&self) -> u32 {
        CODE
    }
}

impl DebugTarget for Application {
    fn hold(&mut self) {
        self.running = false;
    }

    fn run(&mut self, _: Interrupts) {
        self.running = true;
    }

    fn registers(&mut self) -> RegisterFile {
        assert!(!self.running, "the registers of an application that runs are nobody's to read");
        self.registers
    }

    fn write_register(&mut self, register: Register, value: u32) -> Result<(), AccessRefused> {
        *self.registers.get_mut(register).ok_or(AccessRefused::Unsupported)? = value;
        Ok(())
    }

    fn read_exact(&mut self, address: u32, out: &mut [u8], width: Width) -> Result<(), AccessRefused> {
        let bytes = match width {
            Width::Any | Width::Byte => 1,
            Width::Half => 2,
            Width::Word => 4,
        };
        if address % bytes != 0 {
            return Err(AccessRefused::Unsupported);
        }
        self.read(address, out)
    }

    fn write(&mut self, address: u32, bytes: &[u8], _: Width) -> Result<(), AccessRefused> {
        if address >= CODE {
            return Err(AccessRefused::Forbidden);
        }
        self.place(address, bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    fn patch(&mut self, address: u32, half: u16) -> Result<u16, AccessRefused> {
        if address & 1 != 0 {
            return Err(AccessRefused::Forbidden);
        }
        let place = self.place(address, 2)?;
        let stood = u16::from_le_bytes([place[0], place[1]]);
        place.copy_from_slice(&half.to_le_bytes());
        Ok(stood)
    }

    fn now_us(&self) -> u64 {
        0
    }

    fn build(&self) -> &'static [u8] {
        b"fuzzed"
    }

    fn region(&self, index: usize) -> Option<Region> {
        let len = PAGE as u32;
        let code = Region { address: CODE, len, kind: RegionKind::Code };
        [code, Region { address: RAM, len, kind: RegionKind::Ram }].get(index).copied()
    }
}

/// The agent in front of it.
pub struct Debugged {
    /// The agent.
    pub agent: Agent,
    /// The application.
    pub application: Application,
}

impl Debugged {
    /// An application that was just started.
    pub fn new(bytes: &[u8]) -> Self {
        let mut debugged = Self { agent: Agent::new(), application: Application::new(bytes) };
        debugged.agent.started([0; 32], CODE, &mut debugged.application);
        debugged
    }

    /// Hands a request over and returns what the agent says.
    pub fn ask(&mut self, message: &[u8]) -> Vec<Vec<u8>> {
        if !self.agent.request(message) {
            return Vec::new();
        }
        self.drain()
    }

    /// The application comes to a stand, if it runs: at `choice` bytes of its code, for a reason that `choice` names.
    pub fn stop(&mut self, choice: u8) -> Vec<Vec<u8>> {
        if self.agent.wants_halt() {
            self.application.running = false;
            self.agent.stopped(StopCause::HaltRequested, &mut self.application);
        } else if self.application.running && self.agent.is_attached() {
            self.application.running = false;
            self.application.registers.core.0[15] = CODE + u32::from(choice & !1);
            let cause =
                if choice & 1 == 0 { StopCause::Breakpoint } else { StopCause::Fault(Faults::default()) };
            self.agent.stopped(cause, &mut self.application);
        }
        self.drain()
    }

    fn drain(&mut self) -> Vec<Vec<u8>> {
        let mut said = Vec::new();
        let mut room = [0; MESSAGE_LEN_MAX];
        for _ in 0..MESSAGES_MAX {
            match self.agent.poll(&mut self.application, &mut room) {
                Some(len) => said.push(room[..len].to_vec()),
                None if !self.agent.is_busy() => return said,
                None => {}
            }
        }
        panic!("the agent is never done");
    }
}
