//! The comparators and who may use them.

use bulkhead_debug_protocol::WatchKind;

use crate::DebugRegisters;
use crate::registers::*;

/// Most breakpoint comparators that are used.
pub const BREAKPOINTS_MAX: usize = 16;
/// Most data comparators that are used.
pub const WATCHES_MAX: usize = 8;
/// Priority of DebugMonitor: above the executor's and whatever the application has.
const MONITOR_PRIORITY: u32 = 0x20;

/// Why the units cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unusable {
    /// The processor has none: breakpoints have to be instructions.
    Absent,
    /// A probe at the debug port has control of the processor.
    ProbeAttached,
    /// The comparators are of a revision that matches in RAM and flash differently.
    OldRevision,
    /// The processor does not give DebugMonitor to the secure world.
    MonitorRefused,
}

/// Why a watch was not set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoWatch {
    /// Data comparators never match here: watch through an SAU region instead.
    NotAllowed,
    /// All that there are are in use.
    Full,
    /// No byte, or behind the end of the address space.
    Malformed,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct DataComparator {
    pub(crate) comparator: u32,
    pub(crate) function: u32,
}

/// The debug units in use.
#[derive(Debug)]
pub struct DebugUnit<R> {
    pub(crate) registers: R,
    n_breakpoints: usize,
    n_watches: usize,
    breakpoints: [Option<u32>; BREAKPOINTS_MAX],
    pub(crate) watches: [Option<DataComparator>; WATCHES_MAX],
    /// DebugMonitor is to begin a step as soon as it runs.
    pub(crate) step_wanted: bool,
    /// A step is under way.
    pub(crate) stepping: bool,
    /// Where a call into the secure world returns to, in the middle of a step.
    pub(crate) return_to: Option<u32>,
    pub(crate) attacks: u32,
}

impl<R: DebugRegisters> DebugUnit<R> {
    /// Takes the units, with DebugMonitor for the secure world.
    ///
    /// # Errors
    /// [`Unusable`]; nothing is left enabled.
    pub fn begin(mut registers: R) -> Result<Self, Unusable> {
        // Without power the data watchpoint unit tells of no comparators.
        registers.write(DEMCR, DEMCR_TRCENA);
        let (fp_ctrl, dwt_ctrl) = (registers.read(FP_CTRL), registers.read(DWT_CTRL));
        if code_comparators(fp_ctrl) == 0 && data_comparators(dwt_ctrl) == 0 {
            return Err(Unusable::Absent);
        }
        if breakpoint_revision(fp_ctrl) != 1 {
            return Err(Unusable::OldRevision);
        }
        if registers.read(DHCSR) & DHCSR_C_DEBUGEN != 0 {
            return Err(Unusable::ProbeAttached);
        }
        // DebugMonitor is neither pending nor active: only then SDME follows DAUTHCTRL.
        registers.write(DAUTHCTRL, DAUTHCTRL_SPIDENSEL | DAUTHCTRL_INTSPIDEN);
        if registers.read(DEMCR) & DEMCR_SDME == 0 {
            registers.write(DAUTHCTRL, 0);
            return Err(Unusable::MonitorRefused);
        }
        let priorities = registers.read(SHPR3) & !0xFF;
        registers.write(SHPR3, priorities | MONITOR_PRIORITY);
        registers.write(DEMCR, DEMCR_TRCENA | DEMCR_MON_EN);
        // A production part may allow no non-invasive debug: its data comparators are silent, and nothing says so.
        let allowed = registers.read(DAUTHSTATUS) & DAUTHSTATUS_NSNID == DAUTHSTATUS_NSNID;
        let found = |count: u32, most: usize| usize::try_from(count).unwrap_or(most).min(most);
        let mut unit = Self {
            registers,
            n_breakpoints: found(code_comparators(fp_ctrl), BREAKPOINTS_MAX),
            n_watches: if allowed { found(data_comparators(dwt_ctrl), WATCHES_MAX) } else { 0 },
            breakpoints: [None; BREAKPOINTS_MAX],
            watches: [None; WATCHES_MAX],
            step_wanted: false,
            stepping: false,
            return_to: None,
            attacks: 0,
        };
        unit.refresh();
        Ok(unit)
    }

    /// Gives everything back: no comparator is on, and DebugMonitor is off.
    pub fn end(mut self) -> R {
        self.breakpoints = [None; BREAKPOINTS_MAX];
        self.watches = [None; WATCHES_MAX];
        self.refresh();
        self.registers.write(FP_CTRL, FP_CTRL_KEY);
        self.registers.write(DEMCR, 0);
        self.registers.write(DAUTHCTRL, 0);
        self.registers
    }

    /// How many breakpoints there can be at once.
    #[must_use]
    pub fn breakpoints_max(&self) -> usize {
        self.n_breakpoints
    }

    /// How many single watches there can be at once; 0 where data comparators are silent.
    #[must_use]
    pub fn watches_max(&self) -> usize {
        self.n_watches
    }

    /// How often a comparator of the application's making struck the secure world.
    #[must_use]
    pub fn attacks(&self) -> u32 {
        self.attacks
    }

    /// Whether there is a breakpoint.
    #[must_use]
    pub fn has_breakpoint(&self, address: u32) -> bool {
        self.breakpoints.contains(&Some(address))
    }

    /// Sets a breakpoint at the start of an instruction; `false` if no comparator is free.
    #[must_use]
    pub fn set_breakpoint(&mut self, address: u32) -> bool {
        if self.has_breakpoint(address) {
            return true;
        }
        let usable = self.breakpoints.iter_mut().take(self.n_breakpoints);
        let Some((index, place)) = usable.enumerate().find(|(_, place)| place.is_none()) else {
            return false;
        };
        *place = Some(address);
        self.write_breakpoint(index, Some(address));
        true
    }

    /// Takes a breakpoint away; one that is not there is as good.
    pub fn clear_breakpoint(&mut self, address: u32) {
        let found = self.breakpoints.iter().position(|place| *place == Some(address));
        if let Some((index, place)) = found.and_then(|index| Some((index, self.breakpoints.get_mut(index)?)))
        {
            *place = None;
            self.write_breakpoint(index, None);
        }
    }

    fn write_breakpoint(&mut self, index: usize, address: Option<u32>) {
        let at = comparator_address(FP_COMP0, 4, index);
        self.registers.write(at, address.map_or(0, |address| address & !1 | FP_COMP_ENABLE));
    }

    /// Watches `len` bytes at `address`.
    ///
    /// # Errors
    /// [`NoWatch`]; nothing is watched.
    pub fn set_watch(&mut self, address: u32, len: u32, kind: WatchKind) -> Result<(), NoWatch> {
        if self.n_watches == 0 {
            return Err(NoWatch::NotAllowed);
        }
        let last = len.checked_sub(1).and_then(|more| address.checked_add(more)).ok_or(NoWatch::Malformed)?;
        let matches = match kind {
            WatchKind::Write => MATCH_WRITE,
            WatchKind::Read => MATCH_READ,
            WatchKind::Access => MATCH_ACCESS,
        };
        let function = matches | ACTION_EVENT;
        let single = matches!(len, 1 | 2 | 4) && address & (len - 1) == 0;
        if single {
            let size = len.trailing_zeros() << DATAVSIZE_SHIFT;
            return self.take(1, [(address, function | size), (0, 0)]);
        }
        self.take(2, [(address, function), (last, MATCH_LIMIT)])
    }

    /// Takes `n` comparators next to each other, the first of a pair with an even number.
    fn take(&mut self, n: usize, wanted: [(u32, u32); 2]) -> Result<(), NoWatch> {
        let free = |index: usize| self.watches.get(index).is_some_and(Option::is_none);
        let starts = (0..self.n_watches).step_by(n).filter(|first| first + n <= self.n_watches);
        let first = starts.into_iter().find(|first| (*first..first + n).all(free)).ok_or(NoWatch::Full)?;
        for (index, (comparator, function)) in (first..).zip(wanted).take(n) {
            let taken = DataComparator { comparator, function };
            if let Some(place) = self.watches.get_mut(index) {
                *place = Some(taken);
            }
            self.write_watch(index, Some(taken));
        }
        Ok(())
    }

    /// Watches nothing that begins at `address` any more.
    pub fn clear_watch(&mut self, address: u32) {
        let mut is_limit_ours = false;
        for index in 0..self.n_watches {
            let Some(place) = self.watches.get_mut(index) else { return };
            let Some(watch) = *place else {
                is_limit_ours = false;
                continue;
            };
            let is_limit = watch.function == MATCH_LIMIT;
            let away = if is_limit { is_limit_ours } else { watch.comparator == address };
            is_limit_ours = away && !is_limit;
            if away {
                *place = None;
                self.write_watch(index, None);
            }
        }
    }

    fn write_watch(&mut self, index: usize, watch: Option<DataComparator>) {
        let (comparator, function) = watch.map_or((0, 0), |watch| (watch.comparator, watch.function));
        // Off while its address changes.
        self.registers.write(comparator_address(DWT_FUNCTION0, 16, index), 0);
        self.registers.write(comparator_address(DWT_COMP0, 16, index), comparator);
        self.registers.write(comparator_address(DWT_FUNCTION0, 16, index), function);
    }

    /// Writes every comparator as the shadow has it: before the application runs, for it may have written to them.
    pub fn refresh(&mut self) {
        for index in 0..self.n_breakpoints {
            self.write_breakpoint(index, self.breakpoints.get(index).copied().flatten());
        }
        for index in 0..self.n_watches {
            self.write_watch(index, self.watches.get(index).copied().flatten());
        }
        self.registers.write(FP_CTRL, FP_CTRL_KEY | FP_CTRL_ENABLE);
    }

    /// Has the application execute one instruction when the executor returns to it.
    ///
    /// `MON_STEP` may be changed by DebugMonitor alone, and steps secure code as well: so DebugMonitor is pended, held back
    /// until the executor returns, and entered from that return with the application beneath it.
    pub fn step(&mut self) {
        self.step_wanted = true;
        self.registers.mask_until_exception_return();
        let demcr = self.registers.read(DEMCR);
        self.registers.write(DEMCR, demcr | DEMCR_MON_PEND);
    }
}

pub(crate) fn comparator_address(first: u32, stride: u32, index: usize) -> u32 {
    let offset = u32::try_from(index).unwrap_or_default().wrapping_mul(stride);
    first.wrapping_add(offset)
}
