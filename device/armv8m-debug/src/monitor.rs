//! What the DebugMonitor exception means.

use crate::DebugRegisters;
use crate::registers::*;
use crate::unit::{DebugUnit, comparator_address};

/// Whose memory an instruction lies in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Owner {
    /// The application's.
    Application,
    /// The secure world's, gateways included.
    Secure,
}

/// What DebugMonitor found on its stack.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Entry {
    /// EXC_RETURN.
    pub exc_return: u32,
    /// The program counter.
    pub pc: u32,
    /// The link register.
    pub lr: u32,
    /// Whose memory `pc` lies in.
    pub owner: Owner,
    /// The half-word at `pc`.
    pub half: u16,
}

impl Entry {
    fn is_secure(&self) -> bool {
        self.exc_return & EXC_RETURN_SECURE != 0
    }
}

/// Why the application stopped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// A breakpoint that was set, or a `BKPT` of its own.
    Breakpoint,
    /// A watch; its number is that of its comparator.
    Watch(usize),
    /// A step came to its end.
    Stepped,
}

/// What is to be done when DebugMonitor returns.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// The application stands still from here on.
    Stop(Reason),
    /// Whatever was interrupted goes on.
    Resume,
    /// It goes on as well; a comparator was turned against the secure world, and all are off.
    Attack,
}

impl<R: DebugRegisters> DebugUnit<R> {
    /// DebugMonitor was entered. To be called from its handler alone.
    pub fn monitor(&mut self, entry: &Entry) -> Verdict {
        let status = self.registers.read(DFSR);
        // The bits stay until they are written.
        self.registers.write(DFSR, status);
        if self.stepping && (entry.is_secure() || entry.owner == Owner::Secure) {
            // The step went through a gateway: the call is one instruction.
            self.leave_step();
            let back = entry.lr & !1;
            self.return_to = Some(back);
            if self.has_breakpoint(back) || self.set_breakpoint(back) {
                return Verdict::Resume;
            }
            self.return_to = None;
            return Verdict::Stop(Reason::Stepped);
        }
        if entry.is_secure() {
            return self.attacked();
        }
        if step_begins(status, self.step_wanted) {
            self.step_wanted = false;
            self.enter_step();
            return Verdict::Resume;
        }
        if status & DFSR_DWTTRAP != 0
            && let Some(number) = self.matched()
        {
            self.leave_step();
            return Verdict::Stop(Reason::Watch(number));
        }
        if status & DFSR_BKPT != 0 {
            return self.broke(entry);
        }
        if status & DFSR_HALTED != 0 && self.stepping {
            self.leave_step();
            return Verdict::Stop(Reason::Stepped);
        }
        Verdict::Resume
    }

    /// A debug event became a HardFault: it came where DebugMonitor cannot be taken. `None`: it was no debug event.
    pub fn hard_fault(&mut self, owner: Owner) -> Option<Verdict> {
        let status = self.registers.read(HFSR);
        if status & HFSR_DEBUGEVT == 0 {
            return None;
        }
        self.registers.write(HFSR, HFSR_DEBUGEVT);
        let events = self.registers.read(DFSR);
        self.registers.write(DFSR, events);
        Some(match owner {
            Owner::Secure => self.attacked(),
            Owner::Application => Verdict::Stop(Reason::Breakpoint),
        })
    }

    /// The application planted a comparator on the secure world: none is on until it runs again.
    fn attacked(&mut self) -> Verdict {
        self.registers.write(FP_CTRL, FP_CTRL_KEY);
        self.attacks = self.attacks.saturating_add(1);
        Verdict::Attack
    }

    fn broke(&mut self, entry: &Entry) -> Verdict {
        if self.return_to == Some(entry.pc) {
            self.return_to = None;
            self.clear_breakpoint(entry.pc);
            return Verdict::Stop(Reason::Stepped);
        }
        self.leave_step();
        // Neither ours nor in the code: another's comparator, or one that was taken away a moment ago.
        let is_real = self.has_breakpoint(entry.pc) || entry.half & 0xFF00 == 0xBE00;
        if is_real { Verdict::Stop(Reason::Breakpoint) } else { Verdict::Resume }
    }

    /// The number of the watch that matched. Reading the bit clears it.
    fn matched(&mut self) -> Option<usize> {
        let mut found = None;
        for index in 0..self.watches_max() {
            let function = self.registers.read(comparator_address(DWT_FUNCTION0, 16, index));
            let is_ours = self.watches.get(index).is_some_and(Option::is_some);
            if function & MATCHED != 0 && is_ours {
                found = found.or(Some(index));
            }
        }
        found
    }

    fn enter_step(&mut self) {
        self.stepping = true;
        let demcr = self.registers.read(DEMCR);
        self.registers.write(DEMCR, demcr & !DEMCR_MON_PEND | DEMCR_MON_STEP);
    }

    fn leave_step(&mut self) {
        if self.stepping {
            self.stepping = false;
            let demcr = self.registers.read(DEMCR);
            self.registers.write(DEMCR, demcr & !DEMCR_MON_STEP);
        }
    }
}

/// Whether DebugMonitor was entered because a step is to begin: pended, and nothing happened.
fn step_begins(status: u32, wanted: bool) -> bool {
    wanted && status & (DFSR_HALTED | DFSR_BKPT | DFSR_DWTTRAP) == 0
}
