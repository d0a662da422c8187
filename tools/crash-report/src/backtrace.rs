//! Who called whom, from the crash outwards.

use bulkhead_crash_dump::developer::Dump;
use serde::Serialize;

use crate::memory::Memory;
use crate::program::{Program, Registers};

/// Most frames.
const FRAMES_MAX: usize = 64;
/// Most return addresses that are guessed from what lies on the stack.
const GUESSES_MAX: usize = 16;
/// Most of the stack that is looked through for them, in words.
const SCAN_WORDS_MAX: u32 = 1024;
/// Where the application was started from: the end of every stack.
const START: u32 = u32::MAX;

const SP: usize = 13;
const LR: usize = 14;
const PC: usize = 15;

/// How a frame was found.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Found {
    /// The registers say so.
    Registers,
    /// Call frame information leads there.
    Unwound,
    /// An exception interrupted this.
    Interrupted,
    /// The link register names it, and nothing says that it still held a return address.
    LinkRegister,
    /// It lay on the stack and looks like where a call returns to.
    Guessed,
}

/// One frame.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Frame {
    /// Number; functions that were inlined share that of the function they are in.
    pub number: usize,
    /// Address.
    pub address: u32,
    /// Function.
    pub function: Option<String>,
    /// Source file.
    pub file: Option<String>,
    /// Line in it.
    pub line: Option<u32>,
    /// It was inlined into the frame that follows.
    pub inlined: bool,
    /// How it was found.
    pub found: Found,
}

/// The backtrace of `dump`; without registers there is none.
pub fn backtrace(dump: &Dump, program: &Program) -> Vec<Frame> {
    let Some(core) = dump.core else { return Vec::new() };
    let mut walk =
        Walk { program, memory: Memory::of(dump), system: dump.system, frames: Vec::new(), number: 0 };
    let mut registers: Registers = [None; 16];
    for (place, value) in registers.iter_mut().zip(core) {
        *place = Some(value);
    }
    if frame_is_missing(&core) {
        STACKED.iter().for_each(|register| registers[*register] = None);
    }
    walk.run(registers);
    walk.frames
}

/// Registers that the processor pushes when an exception is taken.
const STACKED: [usize; 7] = [0, 1, 2, 3, 12, LR, PC];

/// Whether the stack was where the processor could not push the registers of the fault, so that they are lost.
pub fn frame_is_missing(core: &[u32; 17]) -> bool {
    // The Thumb bit is set in every frame that was pushed.
    core[16] == 0 && core[PC] == 0
}

struct Walk<'p> {
    program: &'p Program,
    memory: Memory,
    system: Option<[u32; 8]>,
    frames: Vec<Frame>,
    number: usize,
}

impl Walk<'_> {
    fn run(&mut self, mut registers: Registers) {
        let mut found = Found::Registers;
        if registers[PC].is_none() {
            return self.guess(registers[SP]);
        }
        while let Some(pc) = registers[PC].filter(|_| self.number < FRAMES_MAX) {
            if pc == START {
                return;
            }
            if is_exception_return(pc) {
                let Some(before) = self.interrupted(&registers, pc) else { return };
                (registers, found) = (before, Found::Interrupted);
                continue;
            }
            let address = pc & !1;
            // Where a call returns to may be behind the end of a function that never returns.
            let returns = matches!(found, Found::Unwound | Found::LinkRegister | Found::Guessed);
            let inside = if returns { address.saturating_sub(1) } else { address };
            self.push(address, inside, found);
            let row = self.program.row(inside);
            let next = row.and_then(|row| row.caller(&registers, |at| self.memory.word(at)));
            match next {
                Some(caller) if caller[PC].is_some() && moved(&registers, &caller) => {
                    (registers, found) = (caller, Found::Unwound);
                }
                Some(_) => return,
                None if found == Found::Registers && self.is_call(registers[LR]) => {
                    // Typical of a call to where no code is: nothing was pushed yet.
                    registers[PC] = registers[LR].take();
                    found = Found::LinkRegister;
                }
                None => return self.guess(registers[SP]),
            }
        }
    }

    fn is_call(&self, lr: Option<u32>) -> bool {
        lr.is_some_and(|lr| is_exception_return(lr) || self.program.may_return_to(lr))
    }

    /// Registers of what an exception interrupted, from the frame that the processor pushed.
    fn interrupted(&self, registers: &Registers, exc_return: u32) -> Option<Registers> {
        // EXC_RETURN.SPSEL and FType. Source: DDI 0553, EXC_RETURN.
        let on_process_stack = exc_return & 1 << 2 != 0;
        let frame = if on_process_stack { self.system.map(|system| system[1])? } else { registers[SP]? };
        let word = |index: u32| self.memory.word(frame.wrapping_add(4 * index));
        let mut before = *registers;
        for (register, index) in [(0, 0), (1, 1), (2, 2), (3, 3), (12, 4), (LR, 5), (PC, 6)] {
            before[register] = word(index);
        }
        before[PC]?;
        let len = if exc_return & 1 << 4 == 0 { 0x68 } else { 0x20 };
        let padding = if word(7)? & 1 << 9 == 0 { 0 } else { 4 };
        before[SP] = Some(frame.wrapping_add(len + padding));
        Some(before)
    }

    /// Whatever lies on the stack from `sp` on and looks like where a call returns to.
    fn guess(&mut self, sp: Option<u32>) {
        let Some(sp) = sp else { return };
        let words =
            (0..SCAN_WORDS_MAX).filter_map(|index| self.memory.word((sp & !3).wrapping_add(4 * index)));
        let guesses: Vec<u32> =
            words.filter(|word| self.program.may_return_to(*word)).take(GUESSES_MAX).collect();
        for word in guesses {
            let address = word & !1;
            self.push(address, address.saturating_sub(1), Found::Guessed);
        }
    }

    fn push(&mut self, address: u32, inside: u32, found: Found) {
        let places = self.program.places(inside);
        let last = places.len().saturating_sub(1);
        let frame = |function, file, line, inlined| Frame {
            number: self.number,
            address,
            function,
            file,
            line,
            inlined,
            found,
        };
        if places.is_empty() {
            self.frames.push(frame(None, None, None, false));
        } else {
            let places = places.into_iter().enumerate();
            let frames = places.map(|(n, place)| frame(place.function, place.file, place.line, n < last));
            self.frames.extend(frames.collect::<Vec<_>>());
        }
        self.number += 1;
    }
}

/// Whether a walk comes forward: a damaged stack must not lead round in circles.
fn moved(before: &Registers, after: &Registers) -> bool {
    before[SP] < after[SP] || before[PC] != after[PC]
}

const fn is_exception_return(address: u32) -> bool {
    address >= 0xFFFF_FF00 && address != START
}
