//! Every way in which one instruction goes to a place that was computed, loaded, popped or looked up.

use crate::assembler::{Assembler, Instruction, Label};
use crate::generate::Pooled;
use crate::plain::DATA_REGISTER;
use crate::random::Random;

/// A jump whose preparation was emitted.
pub(crate) struct Jump {
    /// The place of the instruction, to be bound to where it is put.
    pub(crate) at: Label,
    /// The instruction.
    pub(crate) instruction: Instruction,
    /// What puts the stack right where the jump was not taken.
    pub(crate) cleanup: Vec<Instruction>,
}

/// Prepares one of the ways to `target`.
pub(crate) fn ways(random: &mut Random, asm: &mut Assembler, pool: &mut Vec<Pooled>, target: Label) -> Jump {
    let at = asm.label();
    let plain = |instruction| Jump { at, instruction, cleanup: Vec::new() };
    match random.below(16) {
        0 => plain(Instruction::branch(target)),
        1 => plain(Instruction::branch_wide(target)),
        2 => {
            asm.address_of(10, target, 1);
            plain(Instruction::narrow(0x4750))
        }
        3 => {
            // Bit 0 does not matter here.
            asm.address_of(10, target, random.below(2));
            plain(Instruction::narrow(0x46D7))
        }
        4 => {
            asm.distance(10, at, target);
            plain(Instruction::narrow(0x44D7))
        }
        5 | 6 => popped(random, asm, at, target),
        7 | 8 => multiple(random, asm, at, target),
        9 | 10 => table(random, asm, pool, at, target),
        11 => {
            let literal = asm.label();
            pool.push(Pooled::Literal(literal, target));
            plain(Instruction::load_pc_literal(literal))
        }
        12 => {
            // A literal before the instruction: its offset is subtracted.
            let (literal, over) = (asm.label(), asm.label());
            asm.add(Instruction::branch(over));
            asm.align();
            asm.bind(literal);
            asm.word_of(target, 1);
            asm.bind(over);
            plain(Instruction::load_pc_literal(literal))
        }
        _ => loaded(random, asm, at, target),
    }
}

/// r10 becomes the target, r11 the address 0xC00 + `offset` of the data: other items use what lies before it.
fn target_and_base(asm: &mut Assembler, target: Label, offset: u32) {
    asm.address_of(10, target, 1);
    asm.wide(0xF600 | DATA_REGISTER, 4 << 12 | 11 << 8); // addw r11, r8, #0xC00
    asm.wide(0xF20B, 0x0B00 | offset & 0xFF);
}

/// `POP` in both its encodings, with registers below the program counter.
fn popped(random: &mut Random, asm: &mut Assembler, at: Label, target: Label) -> Jump {
    let list = random.below(0x80);
    let wide = random.once_in(2);
    let list = if wide { list | random.below(2) << 12 } else { list };
    let words = list.count_ones() + 1;
    asm.address_of(10, target, 1);
    asm.narrow(0xB080 | words); // sub sp, #4 * words
    for word in 0..words - 1 {
        let register = random.below(7);
        asm.wide(0xF8CD, register << 12 | word << 2);
    }
    asm.wide(0xF8CD, 10 << 12 | (words - 1) << 2);
    let instruction = match (wide, list) {
        (true, 0) => Instruction::wide(0xF85D, 0xFB04),
        (true, _) => Instruction::wide(0xE8BD, 0x8000 | list),
        (false, _) => Instruction::narrow(0xBD00 | list),
    };
    Jump { at, instruction, cleanup: vec![Instruction::narrow(0xB000 | words)] }
}

/// `LDM` and `LDMDB`, with and without writing the base back.
fn multiple(random: &mut Random, asm: &mut Assembler, at: Label, target: Label) -> Jump {
    let list = random.within(1, 0x7F);
    let words = list.count_ones() + 1;
    target_and_base(asm, target, 0);
    for word in 0..words - 1 {
        let register = random.below(7);
        asm.wide(0xF8CB, register << 12 | word << 2);
    }
    asm.wide(0xF8CB, 10 << 12 | (words - 1) << 2);
    let back = random.below(2) << 5;
    let first = if random.once_in(2) {
        0xE890
    } else {
        asm.wide(0xF20B, 0x0B00 | words << 2);
        0xE910
    };
    Jump { at, instruction: Instruction::wide(first | back | 11, 0x8000 | list), cleanup: Vec::new() }
}

/// `LDR pc` with every kind of address.
fn loaded(random: &mut Random, asm: &mut Assembler, at: Label, target: Label) -> Jump {
    let word = random.below(16);
    target_and_base(asm, target, 0x80);
    asm.wide(0xF8CB, 10 << 12 | word << 2);
    // r11 is 0x80 above where the word's own base may be moved to.
    let offset = word << 2;
    let moved = random.within(4, 31) << 2;
    let down = |asm: &mut Assembler, by: u32| asm.wide(0xF2AB, 0x0B00 | by);
    let up = |asm: &mut Assembler, by: u32| asm.wide(0xF20B, 0x0B00 | by);
    let instruction = match random.below(7) {
        0 => Instruction::wide(0xF8DB, 0xF000 | offset),
        1 => {
            up(asm, offset + moved);
            Instruction::wide(0xF85B, 0xFC00 | moved)
        }
        2 => {
            up(asm, offset);
            Instruction::wide(0xF85B, 0xF900 | random.below(2) << 9 | moved) // post-indexed
        }
        3 => {
            up(asm, offset + moved);
            Instruction::wide(0xF85B, 0xFD00 | moved) // pre-indexed, down
        }
        4 => {
            down(asm, moved);
            up(asm, offset);
            Instruction::wide(0xF85B, 0xFF00 | moved) // pre-indexed, up
        }
        _ => {
            let shift = random.below(4);
            let index = random.below(8);
            up(asm, offset);
            down(asm, index << shift);
            asm.constant(7, index);
            Instruction::wide(0xF85B, 0xF000 | shift << 4 | 7)
        }
    };
    Jump { at, instruction, cleanup: Vec::new() }
}

/// `TBB` and `TBH`, with the table at the program counter or elsewhere.
fn table(random: &mut Random, asm: &mut Assembler, pool: &mut Vec<Pooled>, at: Label, target: Label) -> Jump {
    let (len, bytes, label) = (random.within(1, 6), random.once_in(2), asm.label());
    let index = random.below(len);
    let targets = entries(len, index, target);
    asm.address_of(11, label, 0);
    asm.wide(0xF04F, 0x0A00 | index); // mov.w r10, #index
    let instruction = if bytes {
        pool.push(Pooled::Bytes(label, at, targets));
        Instruction::wide(0xE8DB, 0xF00A)
    } else {
        pool.push(Pooled::Halves(label, at, targets));
        Instruction::wide(0xE8DB, 0xF01A)
    };
    Jump { at, instruction, cleanup: Vec::new() }
}

/// The entries of a table: the one that is used, and others that lead astray.
pub(crate) fn entries(len: u32, index: u32, target: Label) -> Vec<Option<Label>> {
    (0..len).map(|n| (n == index).then_some(target)).collect()
}
