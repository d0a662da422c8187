//! A model of the debug registers of a Cortex-M33, as the architecture's pseudocode has them.
//!
//! It knows what is forbidden as well: what it is done to against the rules is kept in `violations`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use bulkhead_armv8m_debug::DebugRegisters;
use bulkhead_armv8m_debug::registers::*;

/// What differs from part to part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) revision: u32,
    pub(crate) n_code: u32,
    pub(crate) n_data: u32,
    /// The pins allow non-invasive debug.
    pub(crate) non_invasive: bool,
    pub(crate) probe: bool,
    /// The processor gives DebugMonitor to the secure world when asked.
    pub(crate) gives_monitor: bool,
}

impl Facts {
    pub(crate) const U5: Self =
        Self { revision: 1, n_code: 8, n_data: 4, non_invasive: true, probe: false, gives_monitor: true };
}

#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) facts: Facts,
    /// Second half-words of 32-bit instructions.
    pub(crate) second_halves: BTreeSet<u32>,
    pub(crate) violations: Vec<String>,
    fp_enabled: bool,
    demcr: u32,
    secure_monitor: bool,
    dauthctrl: u32,
    dfsr: u32,
    hfsr: u32,
    active: bool,
    masked: bool,
    others: BTreeMap<u32, u32>,
}

/// How a debug event is taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Taken {
    Monitor,
    HardFault,
    Halt,
}

impl Model {
    pub(crate) fn new(facts: Facts) -> Self {
        Self {
            facts,
            second_halves: BTreeSet::new(),
            violations: Vec::new(),
            fp_enabled: false,
            demcr: 0,
            secure_monitor: false,
            dauthctrl: 0,
            dfsr: 0,
            hfsr: 0,
            active: false,
            masked: false,
            others: BTreeMap::new(),
        }
    }

    fn update_security(&mut self) {
        if !self.active && self.demcr & DEMCR_MON_PEND == 0 {
            self.secure_monitor = self.dauthctrl & 3 == 3 && self.facts.gives_monitor;
        }
    }

    pub(crate) fn get(&mut self, address: u32) -> u32 {
        let Facts { revision, n_code, n_data, non_invasive, probe, .. } = self.facts;
        match address {
            FP_CTRL => {
                revision << 28 | (n_code & 0x70) << 8 | (n_code & 15) << 4 | u32::from(self.fp_enabled)
            }
            // Without power the unit tells nothing.
            DWT_CTRL if self.demcr & DEMCR_TRCENA == 0 => 0,
            DWT_CTRL => n_data << 28,
            DHCSR => u32::from(probe),
            DEMCR => self.demcr | if self.secure_monitor { DEMCR_SDME } else { 0 },
            DAUTHCTRL => self.dauthctrl,
            DAUTHSTATUS => {
                if non_invasive {
                    0b11 << 2
                } else {
                    0b10 << 2
                }
            }
            DFSR => self.dfsr,
            HFSR => self.hfsr,
            _ => {
                let value = self.others.get(&address).copied().unwrap_or_default();
                if is_function(address) {
                    self.others.insert(address, value & !MATCHED);
                }
                value
            }
        }
    }

    pub(crate) fn set(&mut self, address: u32, value: u32) {
        match address {
            FP_CTRL if value & FP_CTRL_KEY == 0 => {}
            FP_CTRL => self.fp_enabled = value & FP_CTRL_ENABLE != 0,
            DWT_CTRL | DHCSR | DAUTHSTATUS => {}
            DEMCR => self.set_demcr(value & !DEMCR_SDME),
            DAUTHCTRL => {
                self.dauthctrl = value & 15;
                self.update_security();
            }
            DFSR => self.dfsr &= !value,
            HFSR => self.hfsr &= !value,
            _ => {
                if self.code_index(address).is_some() && self.second_halves.contains(&(value & !1)) {
                    self.violations.push(format!("a comparator on the second half-word at {value:#x}"));
                }
                self.others.insert(address, value);
            }
        }
    }

    fn set_demcr(&mut self, value: u32) {
        if (value ^ self.demcr) & DEMCR_MON_STEP != 0 && !self.active {
            self.violations.push("MON_STEP was changed outside of DebugMonitor".into());
        }
        if value & DEMCR_MON_PEND != 0 && !self.active && !self.masked {
            self.violations.push("DebugMonitor was entered on top of the executor".into());
        }
        self.demcr = value;
        self.update_security();
    }

    fn code_index(&self, address: u32) -> Option<u32> {
        let index = address.checked_sub(FP_COMP0)? / 4;
        (index < self.facts.n_code).then_some(index)
    }

    /// Whether a comparator matches the instruction at `pc`, of whichever world.
    pub(crate) fn matches_code(&self, pc: u32) -> bool {
        let value = |index| self.others.get(&(FP_COMP0 + 4 * index)).copied().unwrap_or_default();
        self.fp_enabled && (0..self.facts.n_code).any(|index| value(index) == pc | FP_COMP_ENABLE)
    }

    /// An access to data; whether a comparator matched it.
    pub(crate) fn access(&mut self, address: u32, writes: bool) -> bool {
        // Silently, if the pins do not allow it.
        if !self.facts.non_invasive || self.demcr & DEMCR_TRCENA == 0 {
            return false;
        }
        let mut hit = false;
        for index in 0..self.facts.n_data {
            let register = |first: u32| first + 16 * index;
            let value = |address: u32| self.others.get(&address).copied().unwrap_or_default();
            let (comparator, function) = (value(register(DWT_COMP0)), value(register(DWT_FUNCTION0)));
            let next = value(register(DWT_FUNCTION0) + 16);
            let last = if index + 1 < self.facts.n_data && next & 15 == MATCH_LIMIT {
                value(register(DWT_COMP0) + 16)
            } else {
                comparator + (1 << (function >> DATAVSIZE_SHIFT & 3)) - 1
            };
            let kind = match function & 15 {
                MATCH_ACCESS => true,
                MATCH_WRITE => writes,
                MATCH_READ => !writes,
                _ => false,
            };
            if kind && function & ACTION_EVENT != 0 && (comparator..=last).contains(&address) {
                self.others.insert(register(DWT_FUNCTION0), function | MATCHED);
                hit = true;
            }
        }
        hit
    }

    pub(crate) fn steps(&self) -> bool {
        self.demcr & DEMCR_MON_STEP != 0
    }

    /// A debug event; `blocked`: it came at the priority of DebugMonitor or above.
    pub(crate) fn event(&mut self, status: u32, blocked: bool) -> Taken {
        if self.facts.probe {
            return Taken::Halt;
        }
        self.dfsr |= status;
        if blocked || self.demcr & DEMCR_MON_EN == 0 {
            self.hfsr |= HFSR_DEBUGEVT;
            return Taken::HardFault;
        }
        Taken::Monitor
    }

    /// The executor returns: a DebugMonitor that was held back comes now.
    pub(crate) fn executor_returns(&mut self) -> bool {
        self.masked = false;
        self.demcr & DEMCR_MON_PEND != 0
    }

    pub(crate) fn enter(&mut self) {
        self.active = true;
        self.demcr &= !DEMCR_MON_PEND;
    }

    pub(crate) fn leave(&mut self) {
        self.active = false;
        self.masked = false;
        self.update_security();
    }
}

fn is_function(address: u32) -> bool {
    (DWT_FUNCTION0..FP_CTRL).contains(&address) && (address - DWT_FUNCTION0).is_multiple_of(16)
}

/// What a back-end could do wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Flaw {
    WithoutKey,
    EncodingOfTheFirstRevision,
    SecondHalfWord,
    StepFromTheExecutor,
    StatusNotCleared,
    ProbeOverlooked,
    SilentComparatorsTrusted,
    CountTakenForGranted,
    SecurityTakenForGranted,
    NothingWrittenAnew,
}

impl Flaw {
    pub(crate) const ALL: &[Self] = &[
        Self::WithoutKey,
        Self::EncodingOfTheFirstRevision,
        Self::SecondHalfWord,
        Self::StepFromTheExecutor,
        Self::StatusNotCleared,
        Self::ProbeOverlooked,
        Self::SilentComparatorsTrusted,
        Self::CountTakenForGranted,
        Self::SecurityTakenForGranted,
        Self::NothingWrittenAnew,
    ];
}

/// The model behind the port, seen by a back-end with or without a flaw.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    pub(crate) model: Rc<RefCell<Model>>,
    pub(crate) flaw: Option<Flaw>,
    written: BTreeSet<u32>,
}

impl Port {
    pub(crate) fn new(facts: Facts, flaw: Option<Flaw>) -> Self {
        Self { model: Rc::new(RefCell::new(Model::new(facts))), flaw, written: BTreeSet::new() }
    }
}

impl DebugRegisters for Port {
    fn read(&mut self, address: u32) -> u32 {
        let value = self.model.borrow_mut().get(address);
        match (self.flaw, address) {
            (Some(Flaw::ProbeOverlooked), DHCSR) => 0,
            (Some(Flaw::SilentComparatorsTrusted), DAUTHSTATUS) => DAUTHSTATUS_NSNID,
            (Some(Flaw::CountTakenForGranted), FP_CTRL) => value & !0xF0 | 8 << 4,
            (Some(Flaw::SecurityTakenForGranted), DEMCR) => value | DEMCR_SDME,
            _ => value,
        }
    }

    fn write(&mut self, address: u32, value: u32) {
        let in_code = (FP_COMP0..FP_COMP0 + 64).contains(&address) && value != 0;
        let value = match (self.flaw, address) {
            (Some(Flaw::WithoutKey), FP_CTRL) => value & !FP_CTRL_KEY,
            (Some(Flaw::EncodingOfTheFirstRevision), _) if in_code => {
                value & 0x1FFF_FFFC | if value & 2 == 0 { 1 << 30 } else { 2 << 30 } | 1
            }
            (Some(Flaw::SecondHalfWord), _) if in_code => value + 2,
            (Some(Flaw::StepFromTheExecutor), DEMCR) if value & DEMCR_MON_PEND != 0 => {
                value & !DEMCR_MON_PEND | DEMCR_MON_STEP
            }
            (Some(Flaw::StatusNotCleared), DFSR) => return,
            // Once is enough, it thinks.
            (Some(Flaw::NothingWrittenAnew), FP_CTRL) if !self.written.insert(address) => return,
            _ => value,
        };
        self.model.borrow_mut().set(address, value);
    }

    fn mask_until_exception_return(&mut self) {
        self.model.borrow_mut().masked = true;
    }
}
