//! GDB's agent expressions: a stack machine that looks at registers and memory of the application.
//!
//! Numbers of the operations and their meaning: "Debugging with GDB", appendix "The GDB Agent Expression Mechanism".
//! Bounded: each expression runs at most [`OPERATIONS_MAX`] operations, and what it asks of foreign memory is refused as
//! any read is.

use bulkhead_debug_protocol::{Register, RegisterFile};

use crate::printing::{Text, print};
use crate::target::Memory;

/// Most operations of one evaluation.
const OPERATIONS_MAX: usize = 256;
/// Most values at once.
const STACK_MAX: usize = 16;

/// The expression could not be evaluated: malformed, too long, or at memory that is not the application's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Unanswered;

/// Most arguments of one print.
const ARGUMENTS_MAX: usize = 12;

/// The values, and the code that is left.
struct Machine<'e> {
    code: &'e [u8],
    at: usize,
    stack: [i64; STACK_MAX],
    depth: usize,
}

impl Machine<'_> {
    fn push(&mut self, value: i64) -> Result<(), Unanswered> {
        *self.stack.get_mut(self.depth).ok_or(Unanswered)? = value;
        self.depth += 1;
        Ok(())
    }

    fn pop(&mut self) -> Result<i64, Unanswered> {
        self.depth = self.depth.checked_sub(1).ok_or(Unanswered)?;
        self.stack.get(self.depth).copied().ok_or(Unanswered)
    }

    /// The value `n` below the top.
    fn peek(&self, n: usize) -> Result<i64, Unanswered> {
        let at = self.depth.checked_sub(n + 1).ok_or(Unanswered)?;
        self.stack.get(at).copied().ok_or(Unanswered)
    }

    /// The next `len` bytes of code as a number, most significant first.
    fn constant(&mut self, len: usize) -> Result<u64, Unanswered> {
        let bytes = self.code.get(self.at..self.at + len).ok_or(Unanswered)?;
        self.at += len;
        Ok(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn index(&mut self, len: usize) -> Result<usize, Unanswered> {
        usize::try_from(self.constant(len)?).map_err(|_| Unanswered)
    }

    /// Takes two values and puts one.
    fn both(&mut self, of: impl FnOnce(i64, i64) -> Option<i64>) -> Result<(), Unanswered> {
        let (second, first) = (self.pop()?, self.pop()?);
        self.push(of(first, second).ok_or(Unanswered)?)
    }

    /// Prints: the format lies in the code, the arguments on the stack beneath a function and a channel, which are GDB's own.
    fn print(&mut self, memory: &mut impl Memory, out: &mut Text) -> Result<(), Unanswered> {
        let (count, len) = (self.index(1)?, self.index(2)?);
        let end = self.at.checked_add(len).ok_or(Unanswered)?;
        let (0, format) = self.code.get(self.at..end).and_then(<[u8]>::split_last).ok_or(Unanswered)? else {
            return Err(Unanswered);
        };
        self.at = end;
        let (_function, _channel) = (self.pop()?, self.pop()?);
        let mut arguments = [0; ARGUMENTS_MAX];
        let arguments = arguments.get_mut(..count).ok_or(Unanswered)?;
        for place in &mut *arguments {
            *place = self.pop()?;
        }
        print(format, arguments, memory, out)
    }

    fn fetch(&mut self, len: usize, memory: &mut impl Memory) -> Result<(), Unanswered> {
        let address = u32::try_from(self.pop()?.cast_unsigned() & 0xFFFF_FFFF).map_err(|_| Unanswered)?;
        let mut bytes = [0; 8];
        memory.read(address, bytes.get_mut(..len).ok_or(Unanswered)?).map_err(|_| Unanswered)?;
        self.push(i64::from_le_bytes(bytes))
    }
}

fn unsigned(of: impl FnOnce(u64, u64) -> Option<u64>) -> impl FnOnce(i64, i64) -> Option<i64> {
    |first, second| of(first.cast_unsigned(), second.cast_unsigned()).map(u64::cast_signed)
}

fn shift(by: i64) -> Option<u32> {
    u32::try_from(by).ok().filter(|by| *by < 64)
}

/// Widens the low `bits` of a value, with its sign or without.
fn extend(value: i64, bits: u64, sign: bool) -> Option<i64> {
    let unused = u32::try_from(64_u64.checked_sub(bits)?).ok().filter(|unused| *unused < 64)?;
    let high = value << unused;
    Some(if sign { high >> unused } else { (high.cast_unsigned() >> unused).cast_signed() })
}

/// The value of an expression.
///
/// # Errors
/// [`Unanswered`]: there is none.
pub fn evaluate(code: &[u8], registers: &RegisterFile, memory: &mut impl Memory) -> Result<i64, Unanswered> {
    execute(code, registers, memory, None)?.ok_or(Unanswered)
}

/// Does what an expression says that prints.
///
/// # Errors
/// [`Unanswered`]: it cannot be evaluated; what it printed until then is in `out`.
pub fn command(
    code: &[u8],
    registers: &RegisterFile,
    memory: &mut impl Memory,
    out: &mut Text,
) -> Result<(), Unanswered> {
    execute(code, registers, memory, Some(out)).map(drop)
}

/// Runs code to its end; the value on top of the stack then.
fn execute(
    code: &[u8],
    registers: &RegisterFile,
    memory: &mut impl Memory,
    mut out: Option<&mut Text>,
) -> Result<Option<i64>, Unanswered> {
    let mut machine = Machine { code, at: 0, stack: [0; STACK_MAX], depth: 0 };
    for _ in 0..OPERATIONS_MAX {
        let operation = machine.constant(1)?;
        match operation {
            0x27 => return Ok(machine.pop().ok()),
            0x02..=0x08 => arithmetic(&mut machine, operation)?,
            0x09..=0x15 => bits(&mut machine, operation)?,
            0x16 | 0x2A => {
                let (width, value) = (machine.constant(1)?, machine.pop()?);
                machine.push(extend(value, width, operation == 0x16).ok_or(Unanswered)?)?;
            }
            0x17 => machine.fetch(1, memory)?,
            0x18 => machine.fetch(2, memory)?,
            0x19 => machine.fetch(4, memory)?,
            0x1A => machine.fetch(8, memory)?,
            0x20 => {
                let to = machine.index(2)?;
                if machine.pop()? != 0 {
                    machine.at = to;
                }
            }
            0x21 => machine.at = machine.index(2)?,
            0x22 => constant(&mut machine, 1)?,
            0x23 => constant(&mut machine, 2)?,
            0x24 => constant(&mut machine, 4)?,
            0x25 => constant(&mut machine, 8)?,
            0x26 => {
                let number = u8::try_from(machine.constant(2)?).map_err(|_| Unanswered)?;
                machine.push(i64::from(registers.get(Register(number)).ok_or(Unanswered)?))?;
            }
            0x28 => machine.push(machine.peek(0)?)?,
            0x29 => drop(machine.pop()?),
            0x2B => {
                let (second, first) = (machine.pop()?, machine.pop()?);
                machine.push(second)?;
                machine.push(first)?;
            }
            0x32 => {
                let n = machine.index(1)?;
                machine.push(machine.peek(n)?)?;
            }
            0x33 => {
                let (c, b, a) = (machine.pop()?, machine.pop()?, machine.pop()?);
                machine.push(c)?;
                machine.push(a)?;
                machine.push(b)?;
            }
            0x34 => machine.print(memory, out.as_deref_mut().ok_or(Unanswered)?)?,
            _ => return Err(Unanswered),
        }
    }
    Err(Unanswered)
}

fn constant(machine: &mut Machine<'_>, len: usize) -> Result<(), Unanswered> {
    let value = machine.constant(len)?;
    machine.push(value.cast_signed())
}

fn arithmetic(machine: &mut Machine<'_>, operation: u64) -> Result<(), Unanswered> {
    match operation {
        0x02 => machine.both(|a, b| Some(a.wrapping_add(b))),
        0x03 => machine.both(|a, b| Some(a.wrapping_sub(b))),
        0x04 => machine.both(|a, b| Some(a.wrapping_mul(b))),
        0x05 => machine.both(i64::checked_div),
        0x06 => machine.both(unsigned(u64::checked_div)),
        0x07 => machine.both(i64::checked_rem),
        _ => machine.both(unsigned(u64::checked_rem)),
    }
}

fn bits(machine: &mut Machine<'_>, operation: u64) -> Result<(), Unanswered> {
    match operation {
        0x09 => machine.both(|a, by| Some(a << shift(by)?)),
        0x0A => machine.both(|a, by| Some(a >> shift(by)?)),
        0x0B => machine.both(|a, by| Some((a.cast_unsigned() >> shift(by)?).cast_signed())),
        0x0E => {
            let value = machine.pop()?;
            machine.push(i64::from(value == 0))
        }
        0x0F => machine.both(|a, b| Some(a & b)),
        0x10 => machine.both(|a, b| Some(a | b)),
        0x11 => machine.both(|a, b| Some(a ^ b)),
        0x12 => {
            let value = machine.pop()?;
            machine.push(!value)
        }
        0x13 => machine.both(|a, b| Some(i64::from(a == b))),
        0x14 => machine.both(|a, b| Some(i64::from(a < b))),
        0x15 => machine.both(|a, b| Some(i64::from(a.cast_unsigned() < b.cast_unsigned()))),
        // Traces collect for an analysis afterwards, which nobody does here.
        _ => Err(Unanswered),
    }
}
