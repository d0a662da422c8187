//! The board's `DebugTarget` with comparators in place of patches in flash.

use bulkhead_debug_agent::{AccessRefused, DebugTarget, Interrupts, Memory, StopCause, Width};
use bulkhead_debug_protocol::{Float, Region, RegionKind, Register, RegisterFile};

use crate::boundary::begins_instruction;
use crate::monitor::{Entry, Reason, Verdict};
use crate::unit::DebugUnit;
use crate::{DebugRegisters, Owner};

/// Places beyond the comparators: reached by steps, so that they are few.
const FURTHER_MAX: usize = 4;
/// Regions that are looked through for an address.
const REGIONS_MAX: usize = 16;

/// An application whose flash is not written for breakpoints.
///
/// What is not about breakpoints is the board's own target's, `inner`. Breakpoints in RAM are instructions there too.
#[derive(Debug)]
pub struct MonitorTarget<R, T> {
    unit: DebugUnit<R>,
    inner: T,
    /// Places for which no comparator is left. While there are any, the application is stepped.
    further: [Option<u32>; FURTHER_MAX],
    /// What the application's code is said to hold where a comparator stands.
    breakpoint: u16,
}

impl<R: DebugRegisters, T: DebugTarget> MonitorTarget<R, T> {
    /// Puts comparators in front of a board's own way.
    pub fn new(unit: DebugUnit<R>, inner: T) -> Self {
        Self { unit, inner, further: [None; FURTHER_MAX], breakpoint: 0 }
    }

    /// The comparators, for watches.
    pub fn unit(&mut self) -> &mut DebugUnit<R> {
        &mut self.unit
    }

    /// The board's own target.
    pub fn inner(&mut self) -> &mut T {
        &mut self.inner
    }

    /// Ends the use of the comparators.
    pub fn into_parts(self) -> (DebugUnit<R>, T) {
        (self.unit, self.inner)
    }

    /// DebugMonitor was entered: what the agent has to be told, if anything. From its handler alone.
    ///
    /// A step that did not reach one of the further places is followed by another.
    pub fn monitor(&mut self, exc_return: u32) -> (Verdict, Option<StopCause>) {
        let registers = self.inner.registers();
        let pc = registers.pc();
        let owner = if self.inner.is_secure(pc) { Owner::Secure } else { Owner::Application };
        let half = self.inner.half(pc).unwrap_or_default();
        let entry = Entry { exc_return, pc, lr: registers.general(14), owner, half };
        let verdict = self.unit.monitor(&entry);
        match verdict {
            Verdict::Stop(Reason::Stepped) if self.is_further(pc) => (verdict, Some(StopCause::Breakpoint)),
            Verdict::Stop(Reason::Stepped) if self.further.iter().any(Option::is_some) => {
                self.unit.step();
                (Verdict::Resume, None)
            }
            Verdict::Stop(_) => (verdict, Some(StopCause::Breakpoint)),
            Verdict::Resume | Verdict::Attack => (verdict, None),
        }
    }

    fn is_further(&self, address: u32) -> bool {
        self.further.contains(&Some(address))
    }

    fn is_in_flash(&self, address: u32) -> bool {
        let holds = |region: &Region| address.wrapping_sub(region.address) < region.len;
        let region = (0..REGIONS_MAX).map_while(|index| self.inner.region(index)).find(holds);
        region.is_some_and(|region| region.kind == RegionKind::Code)
    }

    fn take_away(&mut self, address: u32) {
        self.unit.clear_breakpoint(address);
        for place in &mut self.further {
            place.take_if(|further| *further == address);
        }
    }

    fn put(&mut self, address: u32) -> Result<(), AccessRefused> {
        if !begins_instruction(&mut self.inner, address)? {
            return Err(AccessRefused::Forbidden);
        }
        if self.unit.set_breakpoint(address) || self.is_further(address) {
            return Ok(());
        }
        let free = self.further.iter_mut().find(|place| place.is_none());
        *free.ok_or(AccessRefused::Unsupported)? = Some(address);
        Ok(())
    }
}

impl<R: DebugRegisters, T: DebugTarget> Memory for MonitorTarget<R, T> {
    fn read(&mut self, address: u32, out: &mut [u8]) -> Result<(), AccessRefused> {
        self.inner.read(address, out)
    }

    fn is_secure(&self, address: u32) -> bool {
        self.inner.is_secure(address)
    }

    fn vector_table(&self) -> u32 {
        self.inner.vector_table()
    }
}

impl<R: DebugRegisters, T: DebugTarget> DebugTarget for MonitorTarget<R, T> {
    fn hold(&mut self) {
        self.inner.hold();
    }

    fn run(&mut self, interrupts: Interrupts) {
        self.unit.refresh();
        if self.further.iter().any(Option::is_some) {
            self.unit.step();
        }
        self.inner.run(interrupts);
    }

    fn registers(&mut self) -> RegisterFile {
        self.inner.registers()
    }

    fn write_register(&mut self, register: Register, value: u32) -> Result<(), AccessRefused> {
        self.inner.write_register(register, value)
    }

    fn read_exact(&mut self, address: u32, out: &mut [u8], width: Width) -> Result<(), AccessRefused> {
        self.inner.read_exact(address, out, width)
    }

    fn write(&mut self, address: u32, bytes: &[u8], width: Width) -> Result<(), AccessRefused> {
        self.inner.write(address, bytes, width)
    }

    fn patch(&mut self, address: u32, half: u16) -> Result<u16, AccessRefused> {
        if !self.is_in_flash(address) {
            return self.inner.patch(address, half);
        }
        let code = self.inner.half(address)?;
        let stood = self.unit.has_breakpoint(address) || self.is_further(address);
        let before = if stood { self.breakpoint } else { code };
        if half == code {
            self.take_away(address);
        } else if half & 0xFF00 == 0xBE00 {
            self.put(address)?;
            self.breakpoint = half;
        } else {
            return Err(AccessRefused::Unsupported);
        }
        Ok(before)
    }

    fn now_us(&self) -> u64 {
        self.inner.now_us()
    }

    fn build(&self) -> &'static [u8] {
        self.inner.build()
    }

    fn region(&self, index: usize) -> Option<Region> {
        self.inner.region(index)
    }

    fn float(&mut self) -> Option<Float> {
        self.inner.float()
    }

    fn guards_max(&self) -> usize {
        self.inner.guards_max()
    }

    fn guard(&mut self, index: usize, range: Option<(u32, u32)>) {
        self.inner.guard(index, range);
    }
}
