//! Registers and stack at one moment, as they are sent.

use bulkhead_debug_protocol::{
    Float, REGIONS_MAX, Region, RegisterFile, STACK_LEN_MAX, STACK_LINE, StopReason, Stopped,
};

use crate::motion::Stop;
use crate::target::DebugTarget;

/// The application as it stood.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Picture {
    registers: RegisterFile,
    float: Option<Float>,
    stack_address: u32,
    stack: [u8; STACK_LEN_MAX],
    stack_len: usize,
    time_us: u64,
}

impl Picture {
    /// Takes one. The stack around its pointer is left out where it cannot be read.
    pub(crate) fn take(target: &mut impl DebugTarget) -> Self {
        let (registers, float) = (target.registers(), target.float());
        let (stack_address, len) = stack_window(registers.sp(), target);
        let mut stack = [0; STACK_LEN_MAX];
        let read = stack.get_mut(..len).is_some_and(|window| target.read(stack_address, window).is_ok());
        let stack_len = if read { len } else { 0 };
        Self { registers, float, stack_address, stack, stack_len, time_us: target.now_us() }
    }

    pub(crate) fn event(&self, stop: Stop) -> Stopped<'_> {
        Stopped {
            reason: stop.reason,
            core: self.registers.core,
            system: self.registers.system,
            float: self.float,
            stack_address: self.stack_address,
            stack: self.stack.get(..self.stack_len).unwrap_or_default(),
            watch: stop.watch,
            faults: stop.faults,
            time_us: self.time_us,
        }
    }

    /// Of a probe that takes pictures.
    pub(crate) fn snapshot(&self) -> Stopped<'_> {
        self.event(Stop::because(StopReason::Breakpoint))
    }
}

/// First address and length of what is read around a stack pointer: inside one region.
fn stack_window(sp: u32, target: &impl DebugTarget) -> (u32, usize) {
    let holds = |region: &Region| sp.wrapping_sub(region.address) <= region.len;
    let region = (0..REGIONS_MAX).filter_map(|index| target.region(index)).find(holds);
    let Some(region) = region else { return (sp, 0) };
    let low = (sp / STACK_LINE * STACK_LINE).max(region.address);
    let end = region.address.saturating_add(region.len);
    (low, usize::try_from(end.saturating_sub(low)).unwrap_or_default().min(STACK_LEN_MAX))
}
