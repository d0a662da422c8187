//! Where the next instruction will be: all of Thumb-2 of ARMv8-M Mainline.
//!
//! Sources: Armv8-M Architecture Reference Manual (DDI 0553), chapters B3 (exceptions), C1.3 (IT), C2 (instructions).

use bulkhead_debug_protocol::RegisterFile;

use crate::target::{AccessRefused, Memory};

/// Most places where an instruction, or a sequence of exclusives, can lead.
pub const PLACES_MAX: usize = 4;

/// Longest sequence from an exclusive load to its store, in instructions.
const SEQUENCE_MAX: usize = 16;

/// A place that the application can reach next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Place {
    /// Address of the instruction.
    pub address: u32,
    /// Exception that will be active there.
    pub exception: u32,
}

/// What one step leads to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next {
    /// To one of these places, unless it faults. Interrupts must not be held during some instructions.
    Places([Option<Place>; PLACES_MAX], Masks),
    /// The instruction waits, perhaps for hours: it counts as done. Its length in bytes.
    Skip(u32),
    /// `BKPT` of the application's own.
    Breakpoint,
    /// It returns to a secure caller: there is no next place of the application's.
    Free,
}

/// Whether an instruction may be stepped while interrupts are held.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Masks {
    /// It does not notice.
    Indifferent,
    /// It reads or writes the masks, or raises an exception itself, which a mask would turn into a fault.
    Touched,
}

impl Next {
    fn at(address: u32, exception: u32) -> Self {
        Self::Places([Some(Place { address: address & !1, exception }), None, None, None], Masks::Indifferent)
    }
}

/// Whether `first` begins an instruction of 32 bits.
#[must_use]
pub const fn is_wide(first: u16) -> bool {
    first >> 11 >= 0b11101
}

/// Whether a condition of four bits holds.
#[must_use]
pub fn condition_holds(condition: u32, xpsr: u32) -> bool {
    let [n, z, c, v] = [31, 30, 29, 28].map(|bit| xpsr >> bit & 1 == 1);
    let holds = match condition >> 1 & 7 {
        0 => z,
        1 => c,
        2 => n,
        3 => v,
        4 => c && !z,
        5 => n == v,
        6 => n == v && !z,
        _ => return true,
    };
    holds == (condition & 1 == 0)
}

fn sign_extend(value: u32, bits: u32) -> u32 {
    let shift = 32_u32.saturating_sub(bits);
    ((value << shift).cast_signed() >> shift).cast_unsigned()
}

/// Offset of `B<c>` in its 16-bit and 32-bit encodings, and of `CBZ`; `None` for other instructions.
fn conditional_offset(first: u32, second: u32) -> Option<u32> {
    if first & 0xF000 == 0xD000 && first & 0x0E00 != 0x0E00 {
        return Some(sign_extend(first & 0xFF, 8) << 1);
    }
    if first & 0xF500 == 0xB100 {
        return Some((first >> 3 & 0x1F | first >> 4 & 0x20) << 1);
    }
    if first & 0xF800 == 0xF000 && second & 0xD000 == 0x8000 && first & 0x0380 != 0x0380 {
        let (s, j1, j2) = (first >> 10 & 1, second >> 13 & 1, second >> 11 & 1);
        let imm = s << 19 | j2 << 18 | j1 << 17 | (first & 0x3F) << 11 | second & 0x7FF;
        return Some(sign_extend(imm, 20) << 1);
    }
    None
}

/// Offset of `B` and `BL` in their 32-bit encodings.
fn long_offset(first: u32, second: u32) -> u32 {
    let s = first >> 10 & 1;
    let i1 = (second >> 13 & 1) ^ s ^ 1;
    let i2 = (second >> 11 & 1) ^ s ^ 1;
    let imm = s << 23 | i1 << 22 | i2 << 21 | (first & 0x3FF) << 11 | second & 0x7FF;
    sign_extend(imm, 24) << 1
}

fn is_load_exclusive(first: u32, second: u32) -> bool {
    first & 0xFFF0 == 0xE850 || first & 0xFFF0 == 0xE8D0 && matches!(second >> 4 & 15, 4 | 5 | 12 | 13 | 14)
}

fn ends_sequence(first: u32, second: u32) -> bool {
    // 0xE840 with 0xF000 in the second half is TT, which asks for the attributes of an address.
    let store = first & 0xFFF0 == 0xE840 && second & 0xF03F != 0xF000
        || first & 0xFFF0 == 0xE8C0 && matches!(second >> 4 & 15, 4 | 5 | 12 | 13 | 14);
    let clear = first == 0xF3BF && second & 0xFFF0 == 0x8F20;
    store || clear
}

/// Whether an instruction other than a conditional branch can leave the straight line.
fn leaves_line(first: u32, second: u32) -> bool {
    if first >> 11 < 0b11101 {
        return first & 0xFF87 == 0x4487
            || first & 0xFF87 == 0x4687
            || first & 0xFF00 == 0x4700
            || first & 0xFF00 == 0xBD00
            || first & 0xFF00 == 0xBE00
            || first & 0xFE00 == 0xDE00
            || first & 0xF800 == 0xE000
            || first & 0xFFE8 == 0xB660
            || first & 0xFFEF == 0xBF20;
    }
    first & 0xF800 == 0xF000 && second & 0x9000 == 0x9000
        || matches!(first & 0xFFD0, 0xE890 | 0xE910) && second & 0x8000 != 0
        || first & 0xFFF0 == 0xE8D0 && second & 0xFFE0 == 0xF000
        || first & 0xFF70 == 0xF850 && second >> 12 == 15
        || matches!(first & 0xFFE0, 0xF380 | 0xF3E0)
}

struct Stepper<'a, M> {
    registers: &'a RegisterFile,
    memory: &'a mut M,
    after: u32,
}

impl<M: Memory> Stepper<'_, M> {
    fn value(&self, n: u32) -> u32 {
        match u8::try_from(n & 15) {
            Ok(15) | Err(_) => self.registers.pc().wrapping_add(4),
            Ok(n) => self.registers.general(n),
        }
    }

    fn here(&self, address: u32) -> Next {
        Next::at(address, self.registers.exception())
    }

    /// A direct branch. A gateway counts as one instruction, and secure memory is never patched.
    fn direct(&self, offset: u32, return_to: u32) -> Next {
        let target = self.registers.pc().wrapping_add(4).wrapping_add(offset);
        self.here(if self.memory.is_secure(target) { return_to } else { target })
    }

    /// A branch to a value, which may be a magic one. `sp` is the stack pointer after the instruction.
    fn indirect(&mut self, target: u32, sp: u32, return_to: u32) -> Result<Next, AccessRefused> {
        if target >= 0xFF00_0000 && self.registers.exception() != 0 {
            return self.exception_return(target, sp);
        }
        if target & !1 == 0xFEFF_FFFE {
            return Ok(Next::Free);
        }
        Ok(self.here(if self.memory.is_secure(target) { return_to } else { target }))
    }

    fn exception_return(&mut self, code: u32, sp: u32) -> Result<Next, AccessRefused> {
        let [_, psp, ..] = self.registers.system.0;
        let frame = if code & 4 == 0 { sp } else { psp };
        let pc = self.memory.word(frame.wrapping_add(24))?;
        let xpsr = self.memory.word(frame.wrapping_add(28))?;
        Ok(Next::at(pc, xpsr & 0x1FF))
    }

    fn supervisor_call(&mut self) -> Result<Next, AccessRefused> {
        let table = self.memory.vector_table();
        let vector = self.memory.word(table.wrapping_add(4 * 11))?;
        let handler = Place { address: vector & !1, exception: 11 };
        let behind = Place { address: self.after, exception: self.registers.exception() };
        Ok(Next::Places([Some(handler), Some(behind), None, None], Masks::Touched))
    }

    fn load_and_branch(&mut self, at: u32, sp: u32) -> Result<Next, AccessRefused> {
        let target = self.memory.word(at)?;
        let lr = self.registers.general(14);
        self.indirect(target, sp, lr)
    }

    fn narrow(&mut self, first: u32) -> Result<Next, AccessRefused> {
        let lr = self.registers.general(14);
        let sp = self.registers.sp();
        let rm = first >> 3 & 15;
        let next = match first {
            _ if first & 0xFF87 == 0x4487 => {
                self.here(self.registers.pc().wrapping_add(4).wrapping_add(self.value(rm)))
            }
            _ if first & 0xFF87 == 0x4687 => self.here(self.value(rm)),
            // With bit 2 set it is BXNS or BLXNS, undefined in this world: it faults.
            _ if first & 0xFF04 == 0x4700 => {
                let target = self.value(rm);
                let return_to = if first & 0x80 == 0 { lr } else { self.after };
                self.indirect(target, sp, return_to)?
            }
            _ if first & 0xF500 == 0xB100 => {
                let zero = self.value(first & 7) == 0;
                let taken = zero == (first & 0x0800 == 0);
                let offset = conditional_offset(first, 0).unwrap_or_default();
                if taken { self.direct(offset, lr) } else { self.here(self.after) }
            }
            _ if first & 0xFF00 == 0xBD00 => {
                let below = 4 * (first & 0xFF).count_ones();
                self.load_and_branch(sp.wrapping_add(below), sp.wrapping_add(below).wrapping_add(4))?
            }
            0xBF20 | 0xBF30 => Next::Skip(2),
            _ if first & 0xFFE8 == 0xB660 => self.touching_masks(),
            _ if first & 0xFF00 == 0xDF00 => self.supervisor_call()?,
            _ if first & 0xF800 == 0xE000 => self.direct(sign_extend(first & 0x7FF, 11) << 1, lr),
            _ => match conditional_offset(first, 0) {
                Some(offset) if condition_holds(first >> 8 & 15, self.registers.xpsr()) => {
                    self.direct(offset, lr)
                }
                Some(_) | None => self.here(self.after),
            },
        };
        Ok(next)
    }

    fn touching_masks(&self) -> Next {
        let place = Place { address: self.after, exception: self.registers.exception() };
        Next::Places([Some(place), None, None, None], Masks::Touched)
    }

    fn wide(&mut self, first: u32, second: u32) -> Result<Next, AccessRefused> {
        let lr = self.registers.general(14);
        if let Some(offset) = conditional_offset(first, second) {
            let taken = condition_holds(first >> 6 & 15, self.registers.xpsr());
            return Ok(if taken { self.direct(offset, lr) } else { self.here(self.after) });
        }
        if first & 0xF800 == 0xF000 && second & 0x8000 != 0 {
            return Ok(match second & 0xD000 {
                0x9000 => self.direct(long_offset(first, second), lr),
                0xD000 => self.direct(long_offset(first, second), self.after),
                0x8000 if matches!(first & 0xFFE0, 0xF380 | 0xF3E0) => self.touching_masks(),
                0x8000 if first == 0xF3AF && matches!(second, 0x8002 | 0x8003) => Next::Skip(4),
                _ => self.here(self.after),
            });
        }
        let (rn, sp) = (first & 15, self.registers.sp());
        let base = self.value(rn);
        if matches!(first & 0xFFD0, 0xE890 | 0xE910) && second & 0x8000 != 0 {
            let len = 4 * second.count_ones();
            let down = first & 0xFFD0 == 0xE910;
            let at = if down { base.wrapping_sub(4) } else { base.wrapping_add(len).wrapping_sub(4) };
            let writes_sp = rn == 13 && first & 0x20 != 0;
            let moved = if down { base.wrapping_sub(len) } else { base.wrapping_add(len) };
            let sp = if writes_sp { moved } else { sp };
            return self.load_and_branch(at, sp);
        }
        if first & 0xFFF0 == 0xE8D0 && second & 0xFFE0 == 0xF000 {
            return self.table_branch(base, second);
        }
        if first & 0xFF70 == 0xF850 && second >> 12 == 15 {
            return self.load_pc(first, second, base);
        }
        Ok(self.here(self.after))
    }

    fn table_branch(&mut self, base: u32, second: u32) -> Result<Next, AccessRefused> {
        let index = self.value(second & 15);
        let entry = if second & 0x10 == 0 {
            let mut byte = [0; 1];
            self.memory.read(base.wrapping_add(index), &mut byte)?;
            u32::from(u8::from_le_bytes(byte))
        } else {
            u32::from(self.memory.half(base.wrapping_add(index << 1))?)
        };
        Ok(self.here(self.registers.pc().wrapping_add(4).wrapping_add(entry << 1)))
    }

    fn load_pc(&mut self, first: u32, second: u32, base: u32) -> Result<Next, AccessRefused> {
        let sp = self.registers.sp();
        let up = |add: bool, base: u32, offset| {
            if add { base.wrapping_add(offset) } else { base.wrapping_sub(offset) }
        };
        if first & 15 == 15 {
            return self.load_and_branch(up(first & 0x80 != 0, base & !3, second & 0xFFF), sp);
        }
        if first & 0x80 != 0 {
            return self.load_and_branch(base.wrapping_add(second & 0xFFF), sp);
        }
        if second & 0x0800 == 0 {
            return self.load_and_branch(base.wrapping_add(self.value(second) << (second >> 4 & 3)), sp);
        }
        let moved = up(second & 0x0200 != 0, base, second & 0xFF);
        let at = if second & 0x0400 == 0 { base } else { moved };
        let sp = if first & 15 == 13 && second & 0x0100 != 0 { moved } else { sp };
        self.load_and_branch(at, sp)
    }

    /// Where a sequence of exclusives can end; `None` for one that cannot be gone through in one go.
    ///
    /// Every exception clears the monitor: a store after a step in between would fail for ever.
    fn sequence(&mut self) -> Result<Option<Next>, AccessRefused> {
        let exception = self.registers.exception();
        let (start, mut at) = (self.registers.pc(), self.after);
        let mut places = [None; PLACES_MAX];
        let mut found = 0;
        for _ in 0..SEQUENCE_MAX {
            let first = self.memory.half(at)?;
            let wide = is_wide(first);
            let second = if wide { self.memory.half(at.wrapping_add(2))? } else { 0 };
            let (first, second) = (u32::from(first), u32::from(second));
            let behind = at.wrapping_add(if wide { 4 } else { 2 });
            if ends_sequence(first, second) {
                let Some(place) = places.get_mut(found) else { return Ok(None) };
                *place = Some(Place { address: behind, exception });
                return Ok(Some(Next::Places(places, Masks::Indifferent)));
            }
            if let Some(offset) = conditional_offset(first, second) {
                let address = at.wrapping_add(4).wrapping_add(offset);
                // A loop inside the sequence may spin for ever.
                let inside = (start..=at).contains(&address);
                match places.get_mut(found) {
                    Some(place) if !inside => *place = Some(Place { address, exception }),
                    Some(_) | None => return Ok(None),
                }
                found += 1;
            } else if leaves_line(first, second) {
                return Ok(None);
            }
            at = behind;
        }
        Ok(None)
    }
}

/// What one step from `registers` leads to.
///
/// # Errors
/// The instruction, a table or a stack could not be read; the instruction itself would fault.
pub fn next<M: Memory>(registers: &RegisterFile, memory: &mut M) -> Result<Next, AccessRefused> {
    let pc = registers.pc();
    let first = memory.half(pc)?;
    if first & 0xFF00 == 0xBE00 {
        return Ok(Next::Breakpoint);
    }
    let wide = is_wide(first);
    let second = if wide { memory.half(pc.wrapping_add(2))? } else { 0 };
    let after = pc.wrapping_add(if wide { 4 } else { 2 });
    let mut stepper = Stepper { registers, memory, after };
    let it = u32::from(registers.it_state());
    // `BKPT` executes even where the IT block skips: the sequential place is right for every failed slot.
    if it & 15 != 0 && !condition_holds(it >> 4, registers.xpsr()) {
        return Ok(stepper.here(after));
    }
    let (first, second) = (u32::from(first), u32::from(second));
    if !wide {
        return stepper.narrow(first);
    }
    if is_load_exclusive(first, second)
        && let Some(next) = stepper.sequence()?
    {
        return Ok(next);
    }
    stepper.wide(first, second)
}
