//! A processor of a few Thumb instructions, which knows nothing of the agent's way to compute where they lead.

use bulkhead_debug_agent::{AccessRefused, DebugTarget, Hop, Interrupts, Memory, Width};
use bulkhead_debug_protocol::{Float, Region, RegionKind, Register, RegisterFile, Words};

pub(crate) const CODE: u32 = 0x1000;
pub(crate) const RAM: u32 = 0x2000_0000;
pub(crate) const RAM_LEN: usize = 0x400;

/// A program: r0 = 3; do { call f } while (--r0); stay.
pub(crate) const LOOP: &[u16] = &[
    0x2003, // 00 movs r0, #3
    0xF000, 0xF803, // 02 bl 0x100c
    0x3801, // 06 subs r0, #1
    0xD1FB, // 08 bne 0x1002
    0xE7FE, // 0a b .
    0xB510, // 0c push {r4, lr}
    0x3101, // 0e adds r1, #1
    0x2901, // 10 cmp r1, #1
    0xBF0C, // 12 ite eq
    0x2201, // 14 moveq r2, #1
    0x2202, // 16 movne r2, #2
    0xBD10, // 18 pop {r4, pc}
];

/// How the processor came to a stand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stood {
    Breakpoint,
    Fault,
    /// At a guard: nothing was read or written.
    Guarded,
}

/// Guards of this processor.
const GUARDS: usize = 2;

pub(crate) struct Simulated {
    pub(crate) code: Vec<u8>,
    pub(crate) ram: Vec<u8>,
    pub(crate) registers: RegisterFile,
    pub(crate) running: Option<Interrupts>,
    /// Addresses of all instructions that were executed.
    pub(crate) trace: Vec<u32>,
    pub(crate) guards: [Option<(u32, u32)>; GUARDS],
    /// A seeded mistake: nothing is stopped by a guard.
    pub(crate) guards_are_broken: bool,
    pub(crate) now_us: u64,
    /// Each word holds its number at first.
    pub(crate) float: Option<Float>,
    /// How often the thread hopped over a probe; `None` for a machine that cannot.
    pub(crate) hops: Option<usize>,
    /// How often the thread is somewhere else when it is to hop.
    pub(crate) away: usize,
}

impl Simulated {
    pub(crate) fn new(code: &[u16]) -> Self {
        let mut registers = RegisterFile::default();
        registers.core.0[13] = RAM + 0x200;
        registers.core.0[14] = 0xFFFF_FFFF;
        registers.core.0[15] = CODE;
        registers.core.0[16] = 1 << 24;
        let code = code.iter().flat_map(|half| half.to_le_bytes()).collect();
        Self {
            code,
            ram: vec![0; RAM_LEN],
            registers,
            running: Some(Interrupts::Allowed),
            trace: Vec::new(),
            guards: [None; GUARDS],
            guards_are_broken: false,
            now_us: 2_000_000,
            float: Some(Words(std::array::from_fn(|n| u32::try_from(n).unwrap()))),
            hops: None,
            away: 0,
        }
    }

    fn place(&mut self, address: u32, len: usize) -> Option<&mut [u8]> {
        let in_code = usize::try_from(address.wrapping_sub(CODE)).unwrap();
        if in_code.checked_add(len).is_some_and(|end| end <= self.code.len()) {
            return self.code.get_mut(in_code..in_code + len);
        }
        let in_ram = usize::try_from(address.wrapping_sub(RAM)).unwrap();
        self.ram.get_mut(in_ram..in_ram.checked_add(len)?)
    }

    fn fetch(&mut self, address: u32) -> Option<u32> {
        self.place(address, 2).map(|bytes| u32::from(u16::from_le_bytes([bytes[0], bytes[1]])))
    }

    fn is_guarded(&self, address: u32) -> bool {
        let is_inside = |(first, last): &(u32, u32)| (*first..=*last).contains(&address);
        !self.guards_are_broken && self.guards.iter().flatten().any(is_inside)
    }

    fn push(&mut self, value: u32) {
        let sp = self.registers.core.0[13] - 4;
        self.registers.core.0[13] = sp;
        self.place(sp, 4).unwrap().copy_from_slice(&value.to_le_bytes());
    }

    fn pop(&mut self) -> u32 {
        let sp = self.registers.core.0[13];
        self.registers.core.0[13] = sp + 4;
        u32::from_le_bytes((*self.place(sp, 4).unwrap()).try_into().unwrap())
    }

    fn holds(&self, condition: u32) -> bool {
        let flag = |bit: u32| self.registers.core.0[16] >> bit & 1 == 1;
        match condition {
            0 => flag(30),
            1 => !flag(30),
            2 => flag(29),
            3 => !flag(29),
            4 => flag(31),
            5 => !flag(31),
            _ => true,
        }
    }

    fn set_flags(&mut self, result: u32, carry: bool) {
        let kept = self.registers.core.0[16] & 0x0FFF_FFFF;
        let n = result & 0x8000_0000;
        self.registers.core.0[16] = kept | n | u32::from(result == 0) << 30 | u32::from(carry) << 29;
    }

    /// Runs until it comes to a stand, at most `most` instructions.
    pub(crate) fn go(&mut self, most: usize) -> Option<Stood> {
        for _ in 0..most {
            self.running?;
            if let Some(stood) = self.execute() {
                return Some(stood);
            }
        }
        None
    }

    /// Executes one instruction.
    fn execute(&mut self) -> Option<Stood> {
        let pc = self.registers.core.0[15];
        let Some(op) = self.fetch(pc) else { return Some(Stood::Fault) };
        // A breakpoint is one in a failed slot of an IT block as well.
        if op >> 8 == 0xBE {
            return Some(Stood::Breakpoint);
        }
        let base = self.registers.core.0[(op >> 3 & 7) as usize];
        let word = base.wrapping_add(op >> 4 & 0x7C);
        let byte = base.wrapping_add(op >> 6 & 31);
        let it = u32::from(self.registers.it_state());
        let wide = op >> 11 >= 0b11101;
        if it & 15 != 0 {
            let skipped = !self.holds(it >> 4);
            let mut moved = self.registers;
            moved.skip(0);
            self.registers.core.0[16] = moved.core.0[16];
            if skipped {
                self.trace.push(pc);
                self.registers.core.0[15] = pc + if wide { 4 } else { 2 };
                return None;
            }
        }
        let touched = match op >> 11 {
            0b01100 | 0b01101 => Some(word),
            0b01110 | 0b01111 => Some(byte),
            _ => None,
        };
        if touched.is_some_and(|address| self.is_guarded(address)) {
            return Some(Stood::Guarded);
        }
        self.trace.push(pc);
        let mut next = pc + if wide { 4 } else { 2 };
        let (rd, imm8) = ((op >> 8 & 7) as usize, op & 0xFF);
        match op >> 11 {
            0b00100 => {
                self.registers.core.0[rd] = imm8;
                if it & 15 == 0 {
                    self.set_flags(imm8, false);
                }
            }
            0b00101 | 0b00111 => {
                let (result, borrow) = self.registers.core.0[rd].overflowing_sub(imm8);
                self.set_flags(result, !borrow);
                if op >> 11 == 0b00111 {
                    self.registers.core.0[rd] = result;
                }
            }
            0b00110 => {
                let (result, carry) = self.registers.core.0[rd].overflowing_add(imm8);
                self.registers.core.0[rd] = result;
                if it & 15 == 0 {
                    self.set_flags(result, carry);
                }
            }
            0b01100 => {
                let value = self.registers.core.0[(op & 7) as usize].to_le_bytes();
                self.place(word, 4).unwrap().copy_from_slice(&value);
            }
            0b01101 => {
                let value = u32::from_le_bytes((*self.place(word, 4).unwrap()).try_into().unwrap());
                self.registers.core.0[(op & 7) as usize] = value;
            }
            0b01110 => {
                let [value, ..] = self.registers.core.0[(op & 7) as usize].to_le_bytes();
                self.place(byte, 1).unwrap()[0] = value;
            }
            0b11010 | 0b11011 if op >> 8 & 15 == 14 => return Some(Stood::Fault),
            0b11010 | 0b11011 if self.holds(op >> 8 & 15) => {
                next = (pc + 4).wrapping_add(((imm8 << 24).cast_signed() >> 23).cast_unsigned());
            }
            0b11010 | 0b11011 => {}
            0b11100 => {
                next = (pc + 4).wrapping_add((((op & 0x7FF) << 21).cast_signed() >> 20).cast_unsigned());
            }
            0b11110 => {
                // BL within 2 KiB ahead: all that these programs need.
                let second = self.fetch(pc + 2).unwrap();
                self.registers.core.0[14] = (pc + 4) | 1;
                next = pc + 4 + ((second & 0x7FF) << 1);
            }
            _ if op == 0x4770 => next = self.registers.core.0[14] & !1,
            _ if op & 0xFF00 == 0xB500 => {
                self.push(self.registers.core.0[14]);
                (0..8).rev().filter(|n| op >> n & 1 == 1).for_each(|n| self.push(self.registers.core.0[n]));
            }
            _ if op & 0xFF00 == 0xBD00 => {
                for n in (0..8).filter(|n| op >> n & 1 == 1) {
                    self.registers.core.0[n] = self.pop();
                }
                next = self.pop() & !1;
            }
            _ if op & 0xFF00 == 0xBF00 && op & 15 != 0 => {
                let state = op & 0xFF;
                self.registers.core.0[16] |= (state & 3) << 25 | (state & 0xFC) << 8;
            }
            _ if op == 0xBF00 || op == 0xBF30 => {}
            _ => return Some(Stood::Fault),
        }
        self.registers.core.0[15] = next;
        None
    }
}

impl Memory for Simulated {
    fn read(&mut self, address: u32, out: &mut [u8]) -> Result<(), AccessRefused> {
        let bytes = self.place(address, out.len()).ok_or(AccessRefused::Forbidden)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn is_secure(&self, address: u32) -> bool {
        (0x1000_0000..RAM).contains(&address)
    }

    fn vector_table(&self) -> u32 {
        CODE
    }
}

impl DebugTarget for Simulated {
    fn hold(&mut self) {
        self.running = None;
    }

    fn run(&mut self, interrupts: Interrupts) {
        self.running = Some(interrupts);
    }

    fn registers(&mut self) -> RegisterFile {
        self.registers
    }

    fn float(&mut self) -> Option<Float> {
        self.float
    }

    fn write_register(&mut self, register: Register, value: u32) -> Result<(), AccessRefused> {
        if let (64..=95, Some(float)) = (register.0, &mut self.float) {
            float.0[usize::from(register.0 - 64)] = value;
            return Ok(());
        }
        *self.registers.get_mut(register).ok_or(AccessRefused::Unsupported)? = value;
        Ok(())
    }

    fn read_exact(&mut self, address: u32, out: &mut [u8], _: Width) -> Result<(), AccessRefused> {
        self.read(address, out)
    }

    fn write(&mut self, address: u32, bytes: &[u8], _: Width) -> Result<(), AccessRefused> {
        if address < RAM {
            return Err(AccessRefused::Forbidden);
        }
        self.place(address, bytes.len()).ok_or(AccessRefused::Forbidden)?.copy_from_slice(bytes);
        Ok(())
    }

    fn patch(&mut self, address: u32, half: u16) -> Result<u16, AccessRefused> {
        let bytes = self.place(address, 2).ok_or(AccessRefused::Forbidden)?;
        let stood = u16::from_le_bytes([bytes[0], bytes[1]]);
        bytes.copy_from_slice(&half.to_le_bytes());
        Ok(stood)
    }

    fn prepare_hop(&mut self, _: &Hop) -> bool {
        self.hops.is_some()
    }

    fn hop(&mut self, hop: &Hop) -> bool {
        assert_eq!(self.registers.pc(), hop.at);
        if self.away > 0 {
            self.away -= 1;
            return false;
        }
        self.patch(hop.at, hop.original).unwrap();
        let stood = self.execute();
        let stood_at = self.patch(hop.at, hop.breakpoint);
        assert_eq!((stood, stood_at), (None, Ok(hop.original)));
        assert!(
            hop.places.contains(&Some(self.registers.pc())),
            "{hop:x?} led to {:#x}",
            self.registers.pc()
        );
        self.hops = self.hops.map(|hops| hops + 1);
        true
    }

    fn now_us(&self) -> u64 {
        self.now_us
    }

    fn build(&self) -> &'static [u8] {
        b"simulated"
    }

    fn guards_max(&self) -> usize {
        GUARDS
    }

    fn guard(&mut self, index: usize, range: Option<(u32, u32)>) {
        self.guards[index] = range;
    }

    fn region(&self, index: usize) -> Option<Region> {
        let code_len = u32::try_from(self.code.len()).unwrap();
        let ram_len = u32::try_from(RAM_LEN).unwrap();
        [
            Region { address: CODE, len: code_len, kind: RegionKind::Code },
            Region { address: RAM, len: ram_len, kind: RegionKind::Ram },
        ]
        .get(index)
        .copied()
    }
}
