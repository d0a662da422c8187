//! Instructions that go straight on: arithmetic, memory, bits, floating point.

use crate::assembler::Instruction;
use crate::random::Random;

/// Registers that a program computes with.
pub(crate) const VALUES: &[u32] = &[0, 1, 2, 3, 4, 5, 6, 12];
/// Those of them that 16-bit encodings reach.
const LOW: &[u32] = &[0, 1, 2, 3, 4, 5, 6];
/// Holds the address of the data all the time.
pub(crate) const DATA_REGISTER: u32 = 8;
/// Words above the stack pointer that programs may touch.
pub(crate) const STACK_WORDS: u32 = 16;

/// Shape of a 32-bit encoding: first half, second half, and where rn, rd and rm go.
const THREE_REGISTERS: &[(u32, u32)] = &[
    (0xFA00, 0xF000), // lsl
    (0xFA30, 0xF000), // lsrs
    (0xFA50, 0xF000), // asrs
    (0xFA60, 0xF000), // ror
    (0xFA80, 0xF000), // sadd8
    (0xFA90, 0xF040), // uadd16
    (0xFAC0, 0xF040), // usub8
    (0xFAA0, 0xF080), // sel
    (0xFA80, 0xF080), // qadd
    (0xFA80, 0xF0B0), // qdsub
    (0xFB00, 0xF000), // mul
    (0xFB90, 0xF0F0), // sdiv
    (0xFBB0, 0xF0F0), // udiv
    (0xFB10, 0xF000), // smulbb
    (0xFB50, 0xF000), // smmul
    (0xFB70, 0xF000), // usad8
];

/// An instruction that neither branches nor touches memory, flags of its own encoding apart.
pub(crate) fn arithmetic(random: &mut Random) -> Instruction {
    let (rd, rn, rm) = (random.of(VALUES), random.of(VALUES), random.of(VALUES));
    let (low_d, low_n, low_m) = (random.of(LOW), random.of(LOW), random.of(LOW));
    match random.below(22) {
        0 => Instruction::narrow(0x2000 | low_d << 8 | random.below(256)),
        1 => Instruction::narrow(0x2800 | low_d << 8 | random.below(256)),
        2 => Instruction::narrow(random.of(&[0x3000, 0x3800]) | low_d << 8 | random.below(256)),
        3 | 4 => Instruction::narrow(0x4000 | random.below(16) << 6 | low_m << 3 | low_d),
        5 => Instruction::narrow(
            random.of(&[0x0000, 0x0800, 0x1000]) | random.below(32) << 6 | low_m << 3 | low_d,
        ),
        6 => Instruction::narrow(
            random.of(&[0x1800, 0x1A00, 0x1C00, 0x1E00]) | low_m << 6 | low_n << 3 | low_d,
        ),
        7 => {
            let high = random.of(&[0x4400, 0x4500, 0x4600]);
            Instruction::narrow(high | (rd >> 3) << 7 | rm << 3 | rd & 7)
        }
        8 => Instruction::narrow(random.of(&[0xBA00, 0xBA40, 0xBAC0]) | low_m << 3 | low_d),
        9 => Instruction::narrow(0xB200 | random.below(4) << 6 | low_m << 3 | low_d),
        10 => Instruction::narrow(random.of(&[0xA000, 0xA800]) | low_d << 8 | random.below(16)),
        11 => {
            let operation = random.of(&[0, 1, 2, 3, 4, 8, 10, 11, 13, 14]);
            let first = 0xF000 | random.below(2) << 10 | operation << 5 | random.below(2) << 4 | rn;
            Instruction::wide(first, random.below(8) << 12 | rd << 8 | random.within(1, 255))
        }
        12 => {
            let operation = random.of(&[0, 1, 2, 3, 4, 8, 10, 11, 13, 14]);
            let shift = random.below(8) << 12 | random.below(16) << 4;
            Instruction::wide(0xEA00 | operation << 5 | random.below(2) << 4 | rn, shift | rd << 8 | rm)
        }
        13 => {
            let opcode = random.of(&[0xF240, 0xF2C0]);
            Instruction::wide(opcode | random.below(16), random.below(8) << 12 | rd << 8 | random.below(256))
        }
        14 => Instruction::wide(
            random.of(&[0xF200, 0xF2A0]) | rn,
            random.below(8) << 12 | rd << 8 | random.below(256),
        ),
        // The neighbours of MSR and of hints in the table of encodings.
        15 => Instruction::wide(
            random.of(&[0xF300, 0xF380, 0xF340, 0xF3C0]) | rn,
            rd << 8 | random.below(4) << 6 | random.below(16),
        ),
        16 => Instruction::wide(0xF360 | rn, rd << 8 | random.within(8, 31)),
        17 => Instruction::wide(
            random.of(&[0xFA0F, 0xFA1F, 0xFA4F, 0xFA5F]),
            0xF080 | rd << 8 | random.below(4) << 4 | rm,
        ),
        18 => {
            let (first, second) = random.of(&[(0xFAB0, 0xF080), (0xFA90, 0xF0A0)]);
            Instruction::wide(first | rm, second | rd << 8 | rm)
        }
        19 => Instruction::wide(0xFB00 | rn, random.of(VALUES) << 12 | rd << 8 | random.below(2) << 4 | rm),
        20 => {
            let high = VALUES.iter().copied().find(|register| *register != rd).unwrap_or(0);
            Instruction::wide(random.of(&[0xFB80, 0xFBA0]) | rn, rd << 12 | high << 8 | rm)
        }
        _ => {
            let (first, second) = random.of(THREE_REGISTERS);
            Instruction::wide(first | rn, second | rd << 8 | rm)
        }
    }
}

/// Whether what lies above the stack pointer is the program's to use, or somebody's saved registers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stack {
    Free,
    Taken,
}

/// An instruction that reads or writes the program's data or its part of the stack.
pub(crate) fn memory(random: &mut Random, stack: Stack) -> Instruction {
    let rt = random.of(VALUES);
    match random.below(if stack == Stack::Free { 9 } else { 7 }) {
        0 => Instruction::wide(0xF8C0 | DATA_REGISTER, rt << 12 | random.below(256) << 2),
        1 => Instruction::wide(0xF8D0 | DATA_REGISTER, rt << 12 | random.below(256) << 2),
        2 => Instruction::wide(random.of(&[0xF880, 0xF8A0]) | DATA_REGISTER, rt << 12 | random.below(1000)),
        3 => Instruction::wide(
            random.of(&[0xF890, 0xF8B0, 0xF990, 0xF9B0]) | DATA_REGISTER,
            rt << 12 | random.below(1000),
        ),
        7 => Instruction::narrow(0x9000 | random.of(LOW) << 8 | random.below(STACK_WORDS)),
        8 => Instruction::narrow(0x9800 | random.of(LOW) << 8 | random.below(STACK_WORDS)),
        4 => Instruction::wide(0xE9C0 | DATA_REGISTER, rt << 12 | random.of(VALUES) << 8 | random.below(250)),
        5 => {
            let (rt, rt2) = random.of(&[(0, 1), (3, 2), (6, 12), (5, 0)]);
            Instruction::wide(0xE9D0 | DATA_REGISTER, rt << 12 | rt2 << 8 | random.below(250))
        }
        // TT asks for the attributes of an address; its encoding lies between those of STREX.
        _ => Instruction::wide(0xE840 | DATA_REGISTER, 0xF000 | rt << 8),
    }
}

/// Either of the two.
pub(crate) fn any(random: &mut Random, stack: Stack) -> Instruction {
    if random.once_in(4) { memory(random, stack) } else { arithmetic(random) }
}

/// Registers for floating point that programs compute with: s0 to s7.
pub(crate) const FLOATS: u32 = 8;

/// An instruction for floating point.
pub(crate) fn float(random: &mut Random) -> Instruction {
    let (sd, sn, sm) = (random.below(FLOATS), random.below(FLOATS), random.below(FLOATS));
    let rt = random.of(VALUES);
    let destination = (sd & 1) << 6;
    let fields = (sd >> 1) << 12 | 0xA00 | (sm & 1) << 5 | sm >> 1;
    match random.below(9) {
        0 => to_float(sn, rt),
        1 => Instruction::wide(0xEE10 | sn >> 1, rt << 12 | 0xA10 | (sn & 1) << 7),
        2 => Instruction::wide(0xEEB4 | destination, fields | 0x40), // vcmp
        3 => Instruction::wide(0xEEF1, 0xFA10),                      // vmrs APSR_nzcv, fpscr
        4 => Instruction::wide(0xEEF1, rt << 12 | 0xA10),            // vmrs rt, fpscr
        5 => Instruction::wide(0xEEBD | destination, fields | 0xC0), // vcvt.s32.f32
        6 => {
            let first = random.of(&[0xED98, 0xED88]); // vldr, vstr
            Instruction::wide(first | destination, (sd >> 1) << 12 | 0xA00 | random.below(250))
        }
        _ => {
            // vadd, vmul, vdiv
            let first = random.of(&[0xEE30, 0xEE20, 0xEE80]);
            Instruction::wide(first | destination | sn >> 1, fields | (sn & 1) << 7)
        }
    }
}

/// `VMOV sn, rt`.
pub(crate) fn to_float(sn: u32, rt: u32) -> Instruction {
    Instruction::wide(0xEE00 | sn >> 1, rt << 12 | 0xA10 | (sn & 1) << 7)
}
