//! What is stepped: a generated program or a compiled function, with the state it starts in.

use anyhow::{Context, Result};

use crate::assembler::CODE;
use crate::generate::{self, DATA, STACKS};
use crate::machine::{FLASH, Program};
use crate::remote::Registers;

/// Number of the exception of supervisor calls.
const SUPERVISOR_CALL: u32 = 11;

/// Something to step.
#[derive(Clone, Debug)]
pub struct Job {
    /// For a person.
    pub name: String,
    /// What is written before it starts, for the subject.
    pub writes: Vec<(u32, Vec<u8>)>,
    /// The same for the reference, whose code has `NOP` where the subject has `BKPT`, `WFI` or `WFE`.
    pub reference_writes: Vec<(u32, Vec<u8>)>,
    /// Where it starts.
    pub registers: Registers,
    /// Where it ends.
    pub end: u32,
    /// Whether interrupts come meanwhile.
    pub ticks: bool,
    /// Where an instruction that enters or leaves a handler can lead.
    pub beyond: Vec<u32>,
    base: u32,
    code: Vec<u8>,
}

impl Job {
    /// The generated program of `seed`.
    ///
    /// # Errors
    /// The application lacks what it needs.
    pub fn generated(seed: u64, ticks: bool, program: &Program) -> Result<Self> {
        let made = generate::generate(seed, ticks);
        let vector = program.address("ram_vectors")? + 4 * SUPERVISOR_CALL;
        let mut writes = vec![
            (DATA, made.data),
            (STACKS[0], made.stack.clone()),
            (STACKS[1], made.stack),
            (vector, made.handler.to_le_bytes().to_vec()),
            (CODE, made.code.subject.clone()),
        ];
        let subject_writes = writes.clone();
        if let Some(code) = writes.last_mut() {
            code.1 = made.code.reference;
        }
        Ok(Self {
            name: format!("seed {seed}{}", if ticks { ", with interrupts" } else { "" }),
            writes: subject_writes,
            reference_writes: writes,
            registers: made.registers,
            end: made.end,
            ticks,
            beyond: made.returns.into_iter().chain([made.handler & !1]).collect(),
            base: CODE,
            code: made.code.subject,
        })
    }

    /// A function that the compiler made, called with `argument`.
    ///
    /// # Errors
    /// The application has no such function.
    pub fn compiled(name: &str, argument: u32, program: &Program) -> Result<Self> {
        let end = program.address("workload_end")?;
        let mut registers: Registers = core::array::from_fn(|n| 0x0111_1111 * u32::try_from(n).unwrap_or(0));
        registers[0] = argument;
        registers[13] = STACKS[0];
        registers[14] = end | 1;
        registers[15] = program.address(name)?;
        registers[16] = 0x0100_0000;
        // The stack below is read by nobody before it is written; what lies above is the caller's.
        let writes = vec![(STACKS[0], vec![0; 64])];
        Ok(Self {
            name: format!("{name}({argument})"),
            reference_writes: writes.clone(),
            writes,
            registers,
            end,
            ticks: false,
            beyond: Vec::new(),
            base: FLASH,
            code: program.flash.clone(),
        })
    }

    /// A half-word of its code.
    pub fn half(&self, address: u32) -> Option<u16> {
        let offset = usize::try_from(address.checked_sub(self.base)?).ok()?;
        Some(u16::from_le_bytes(self.code.get(offset..offset + 2)?.try_into().ok()?))
    }

    /// The code around an address, for a person.
    pub fn shown(&self, address: u32) -> String {
        let halves = (0..2).filter_map(|n| self.half(address + 2 * n));
        halves.map(|half| format!("{half:04x}")).collect::<Vec<_>>().join(" ")
    }

    /// Whether the instruction at `address` begins a sequence of exclusives, which is stepped as one.
    pub fn is_load_exclusive(&self, address: u32) -> bool {
        let (Some(first), Some(second)) = (self.half(address), self.half(address + 2)) else { return false };
        let plain = first & 0xFFF0 == 0xE850;
        plain || first & 0xFFF0 == 0xE8D0 && matches!(second & 0xF0, 0x40 | 0x50 | 0xC0 | 0xD0 | 0xE0)
    }

    /// Its code and where that lies.
    pub fn code(&self) -> (u32, &[u8]) {
        (self.base, &self.code)
    }

    /// Whether it has exclusives at all.
    ///
    /// # Errors
    /// Never for a job that was made here.
    pub fn has_exclusives(&self) -> Result<bool> {
        let len = u32::try_from(self.code.len()).context("too long")?;
        Ok((0..len / 2).any(|n| self.is_load_exclusive(self.base + 2 * n)))
    }
}
