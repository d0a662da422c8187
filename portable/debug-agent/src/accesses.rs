//! What the next instruction reads or writes: all loads and stores of ARMv8-M Mainline.
//!
//! Every one of them touches one range without gaps. What the processor itself puts on a stack is not looked at.
//!
//! Sources: Armv8-M Architecture Reference Manual (DDI 0553), chapter C2, instruction set encoding.

use bulkhead_debug_protocol::RegisterFile;

use crate::next::{condition_holds, is_wide};
use crate::target::{AccessRefused, Memory};

/// Which way data goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// From memory.
    Load,
    /// To memory.
    Store,
    /// Both: an exclusive load, together with the store that ends its sequence.
    Both,
}

/// The memory that an instruction touches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Access {
    /// First address.
    pub address: u32,
    /// Bytes, at least 1.
    pub len: u32,
    /// Which way.
    pub direction: Direction,
}

impl Access {
    /// Whether it touches a byte of `[address, address + len)`.
    #[must_use]
    pub fn touches(&self, address: u32, len: u32) -> bool {
        self.address.wrapping_sub(address) < len || address.wrapping_sub(self.address) < self.len
    }
}

fn direction(load: bool) -> Direction {
    if load { Direction::Load } else { Direction::Store }
}

fn some(address: u32, len: u32, direction: Direction) -> Option<Access> {
    (len != 0).then_some(Access { address, len, direction })
}

fn moved(base: u32, up: bool, offset: u32) -> u32 {
    if up { base.wrapping_add(offset) } else { base.wrapping_sub(offset) }
}

/// Bits of an instruction that say how its address is made.
const UP: u32 = 1 << 7;
const PREINDEXED: u32 = 1 << 8;

struct Decoder<'r>(&'r RegisterFile);

impl Decoder<'_> {
    fn value(&self, n: u32) -> u32 {
        match u8::try_from(n & 15) {
            Ok(15) | Err(_) => self.0.pc().wrapping_add(4) & !3,
            Ok(n) => self.0.general(n),
        }
    }

    fn narrow(&self, op: u32) -> Option<Access> {
        let (rn, imm5, imm8) = (self.value(op >> 3 & 7), op >> 6 & 31, op & 0xFF);
        match op >> 11 {
            0b01001 => some(self.value(15).wrapping_add(4 * imm8), 4, Direction::Load),
            0b01010 | 0b01011 => {
                let (len, load) = match op >> 9 & 7 {
                    0 => (4, false),
                    1 => (2, false),
                    2 => (1, false),
                    3 | 6 => (1, true),
                    4 => (4, true),
                    _ => (2, true),
                };
                some(rn.wrapping_add(self.value(op >> 6 & 7)), len, direction(load))
            }
            form @ (0b01100 | 0b01101) => some(rn.wrapping_add(4 * imm5), 4, direction(form & 1 == 1)),
            form @ (0b01110 | 0b01111) => some(rn.wrapping_add(imm5), 1, direction(form & 1 == 1)),
            form @ (0b10000 | 0b10001) => some(rn.wrapping_add(2 * imm5), 2, direction(form & 1 == 1)),
            form @ (0b10010 | 0b10011) => {
                some(self.value(13).wrapping_add(4 * imm8), 4, direction(form & 1 == 1))
            }
            0b10110 if op & 0xFE00 == 0xB400 => {
                let len = 4 * (op & 0x1FF).count_ones();
                some(self.value(13).wrapping_sub(len), len, Direction::Store)
            }
            0b10111 if op & 0xFE00 == 0xBC00 => {
                some(self.value(13), 4 * (op & 0x1FF).count_ones(), Direction::Load)
            }
            form @ (0b11000 | 0b11001) => {
                some(self.value(op >> 8 & 7), 4 * imm8.count_ones(), direction(form & 1 == 1))
            }
            _ => None,
        }
    }

    fn wide(&self, first: u32, second: u32) -> Option<Access> {
        match first >> 9 {
            0b111_0100 if first & 0x40 == 0 => self.multiple(first, second),
            0b111_0100 => self.dual(first, second),
            0b111_1100 => self.single(first, second),
            0b111_0110 if second >> 9 & 7 == 0b101 => self.float(first, second),
            _ => None,
        }
    }

    /// `LDM`, `STM`, with `PUSH` and `POP` of high registers.
    fn multiple(&self, first: u32, second: u32) -> Option<Access> {
        let len = 4 * second.count_ones();
        let base = self.value(first);
        let address = match first >> 7 & 3 {
            1 => base,
            2 => base.wrapping_sub(len),
            _ => return None,
        };
        some(address, len, direction(first & 0x10 != 0))
    }

    /// `LDRD`, `STRD`, exclusives, acquire and release, table branches.
    fn dual(&self, first: u32, second: u32) -> Option<Access> {
        let load = first & 0x10 != 0;
        let (base, offset) = (self.value(first), 4 * (second & 0xFF));
        let exclusive = if load { Direction::Both } else { Direction::Store };
        if first & 0x0120 != 0 {
            // `SG` has the bits of a load that cannot be.
            if first == 0xE97F && second == 0xE97F {
                return None;
            }
            let address = if first & PREINDEXED != 0 { moved(base, first & UP != 0, offset) } else { base };
            return some(address, 8, direction(load));
        }
        if first & UP == 0 {
            // `TT` asks for the attributes of an address, and reads nothing.
            let is_test = !load && second & 0xF03F == 0xF000;
            return some(base.wrapping_add(offset), if is_test { 0 } else { 4 }, exclusive);
        }
        let index = self.value(second);
        match second >> 4 & 15 {
            0 if load => some(self.table(first).wrapping_add(index), 1, Direction::Load),
            1 if load => some(self.table(first).wrapping_add(index << 1), 2, Direction::Load),
            form @ (4 | 5) => some(base, 1 << (form - 4), exclusive),
            form @ (8..=10) => some(base, 1 << (form - 8), direction(load)),
            form @ (12..=14) => some(base, 1 << (form - 12), exclusive),
            _ => None,
        }
    }

    /// Base of a table branch: the program counter is not aligned for it.
    fn table(&self, first: u32) -> u32 {
        if first & 15 == 15 { self.0.pc().wrapping_add(4) } else { self.value(first) }
    }

    fn single(&self, first: u32, second: u32) -> Option<Access> {
        let (load, size, base) = (first & 0x10 != 0, first >> 5 & 3, self.value(first));
        let is_hint = load && size < 2 && second >> 12 == 15;
        let is_store_signed = !load && first & 0x0100 != 0;
        if size == 3 || is_hint || is_store_signed {
            return None;
        }
        let address = if first & 15 == 15 {
            moved(base, first & UP != 0, second & 0xFFF)
        } else if first & UP != 0 {
            base.wrapping_add(second & 0xFFF)
        } else if second & 0x0800 == 0 {
            base.wrapping_add(self.value(second) << (second >> 4 & 3))
        } else if second & 0x0400 != 0 {
            moved(base, second & 0x0200 != 0, second & 0xFF)
        } else {
            base
        };
        some(address, 1 << size, direction(load))
    }

    /// `VLDR`, `VSTR`, `VLDM`, `VSTM`, `VPUSH`, `VPOP`.
    fn float(&self, first: u32, second: u32) -> Option<Access> {
        let (load, double, up) = (first & 0x10 != 0, second & 0x0100 != 0, first & UP != 0);
        let (base, words) = (self.value(first), second & 0xFF);
        if first & 0x0120 == 0x0100 {
            let len = if double { 8 } else { 4 };
            return some(moved(base, up, 4 * words), len, direction(load));
        }
        let len = 4 * if double { words & !1 } else { words };
        match (first & PREINDEXED != 0, up) {
            (false, true) => some(base, len, direction(load)),
            // An odd count of an obsolete form makes room for one word more.
            (true, false) => some(base.wrapping_sub(4 * words), len, direction(load)),
            // Two registers from or to the core, or lazy state of the secure world.
            (false, false) | (true, true) => None,
        }
    }
}

/// What the instruction at the program counter touches; `None` if nothing, as in a failed slot of an IT block.
///
/// # Errors
/// The instruction could not be read.
pub fn access<M: Memory>(registers: &RegisterFile, memory: &mut M) -> Result<Option<Access>, AccessRefused> {
    let pc = registers.pc();
    let first = memory.half(pc)?;
    let it = u32::from(registers.it_state());
    if it & 15 != 0 && !condition_holds(it >> 4, registers.xpsr()) {
        return Ok(None);
    }
    let decoder = Decoder(registers);
    Ok(if is_wide(first) {
        let second = memory.half(pc.wrapping_add(2))?;
        decoder.wide(u32::from(first), u32::from(second))
    } else {
        decoder.narrow(u32::from(first))
    })
}
