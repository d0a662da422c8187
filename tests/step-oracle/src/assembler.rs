//! Puts Thumb-2 instructions together, with labels.
//!
//! Source of every encoding: Armv8-M Architecture Reference Manual (DDI 0553), chapter C2.

/// Where the code of a generated program lies: RAM of the application that it does not use itself.
pub const CODE: u32 = 0x2824_0000;

/// The entry of a table that no index names: whoever takes it goes astray.
const ASTRAY: u16 = 0x7D;

/// A place in the code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Label(usize);

/// How an instruction names a label.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Reference {
    /// `B<c>`, 16 bits.
    Conditional,
    /// `B`, 16 bits.
    Short,
    /// `B<c>`, 32 bits.
    ConditionalWide,
    /// `B` and `BL`, 32 bits.
    Long,
    /// `CBZ` and `CBNZ`.
    Zero,
    /// `MOVW` and `MOVT` with the label's address plus this.
    Address(u32),
    /// `MOVW` and `MOVT` with the label's distance from the program counter at the other label.
    Distance(Label),
    /// A word with the label's address plus this.
    Word(u32),
    /// A byte of a table of `TBB` at the label; whether it is the second of a half-word.
    Byte(Label, bool),
    /// A half-word of a table of `TBH` at the label.
    Half(Label),
    /// The offset of a literal, which lies behind the instruction or before it.
    Literal,
}

/// An instruction on its way, with what it refers to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instruction {
    halves: (u16, Option<u16>),
    refers: Option<(Reference, Label)>,
}

impl Instruction {
    /// 16 bits.
    pub(crate) fn narrow(half: u32) -> Self {
        Self { halves: (low(half), None), refers: None }
    }

    /// 32 bits.
    pub(crate) fn wide(first: u32, second: u32) -> Self {
        Self { halves: (low(first), Some(low(second))), refers: None }
    }

    fn to(self, reference: Reference, label: Label) -> Self {
        Self { refers: Some((reference, label)), ..self }
    }

    /// Whether its label has to be near.
    pub(crate) fn is_short(&self) -> bool {
        matches!(self.refers, Some((Reference::Zero, _)))
    }

    /// `B` in 16 bits.
    pub(crate) fn branch(label: Label) -> Self {
        Self::narrow(0xE000).to(Reference::Short, label)
    }

    /// `B.W`.
    pub(crate) fn branch_wide(label: Label) -> Self {
        Self::wide(0xF000, 0x9000).to(Reference::Long, label)
    }

    /// `B<c>` in 16 bits.
    pub(crate) fn branch_if(condition: u32, label: Label) -> Self {
        Self::narrow(0xD000 | condition << 8).to(Reference::Conditional, label)
    }

    /// `B<c>.W`.
    pub(crate) fn branch_wide_if(condition: u32, label: Label) -> Self {
        Self::wide(0xF000 | condition << 6, 0x8000).to(Reference::ConditionalWide, label)
    }

    /// `CBZ`, or `CBNZ` if `inverted` is 1.
    pub(crate) fn branch_on_zero(inverted: u32, register: u32, label: Label) -> Self {
        Self::narrow(0xB100 | inverted << 11 | register).to(Reference::Zero, label)
    }

    /// `BL`.
    pub(crate) fn call(label: Label) -> Self {
        Self::wide(0xF000, 0xD000).to(Reference::Long, label)
    }

    /// `LDR pc, literal`.
    pub(crate) fn load_pc_literal(literal: Label) -> Self {
        Self::wide(0xF85F, 0xF000).to(Reference::Literal, literal)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
fn low(word: u32) -> u16 {
    word as u16
}

/// Code in the making.
#[derive(Clone, Debug, Default)]
pub(crate) struct Assembler {
    halves: Vec<u16>,
    labels: Vec<Option<u32>>,
    fixups: Vec<(usize, Reference, Label)>,
    /// Half-words that only the subject executes, and what the reference finds in their place.
    only_subject: Vec<(usize, u16)>,
}

/// Code that is done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Code {
    /// What the subject executes.
    pub subject: Vec<u8>,
    /// What the reference executes: `NOP` in place of `BKPT`, `WFI` and `WFE`.
    pub reference: Vec<u8>,
}

impl Assembler {
    /// A place to be bound later.
    pub(crate) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// The label is here.
    pub(crate) fn bind(&mut self, label: Label) {
        let here = self.here();
        if let Some(place) = self.labels.get_mut(label.0) {
            *place = Some(here);
        }
    }

    /// The address of what comes next.
    pub(crate) fn here(&self) -> u32 {
        CODE + u32::try_from(self.halves.len() * 2).unwrap_or(u32::MAX)
    }

    /// Adds an instruction.
    pub(crate) fn add(&mut self, instruction: Instruction) {
        if let Some((reference, label)) = instruction.refers {
            self.fixups.push((self.halves.len(), reference, label));
        }
        self.halves.push(instruction.halves.0);
        self.halves.extend(instruction.halves.1);
    }

    /// Adds 16 bits.
    pub(crate) fn narrow(&mut self, half: u32) {
        self.add(Instruction::narrow(half));
    }

    /// Adds 32 bits.
    pub(crate) fn wide(&mut self, first: u32, second: u32) {
        self.add(Instruction::wide(first, second));
    }

    /// Adds an instruction of 16 bits that the reference does not execute.
    pub(crate) fn only_subject(&mut self, half: u32) {
        self.only_subject.push((self.halves.len(), 0xBF00));
        self.narrow(half);
    }

    /// The same for one of 32 bits.
    pub(crate) fn only_subject_wide(&mut self, first: u32, second: u32) {
        let at = self.halves.len();
        self.only_subject.extend([(at, 0xF3AF), (at + 1, 0x8000)]);
        self.wide(first, second);
    }

    /// `MOVW` and `MOVT`: a constant.
    pub(crate) fn constant(&mut self, register: u32, value: u32) {
        for (opcode, half) in [(0xF240, value & 0xFFFF), (0xF2C0, value >> 16)] {
            let (first, second) = move_half(opcode, register, half);
            self.wide(first, second);
        }
    }

    fn moves(&mut self, register: u32, reference: Reference, label: Label) {
        self.fixups.push((self.halves.len(), reference, label));
        self.constant(register, 0);
    }

    /// `MOVW` and `MOVT`: the label's address plus `more`.
    pub(crate) fn address_of(&mut self, register: u32, label: Label, more: u32) {
        self.moves(register, Reference::Address(more), label);
    }

    /// `MOVW` and `MOVT`: how far the label is from the program counter as the instruction at `from` sees it.
    pub(crate) fn distance(&mut self, register: u32, from: Label, label: Label) {
        self.moves(register, Reference::Distance(from), label);
    }

    /// Makes the address a multiple of four.
    pub(crate) fn align(&mut self) {
        if self.halves.len() % 2 == 1 {
            self.narrow(0xBF00);
        }
    }

    /// A word: the label's address plus `more`.
    pub(crate) fn word_of(&mut self, label: Label, more: u32) {
        self.fixups.push((self.halves.len(), Reference::Word(more), label));
        self.halves.extend([0, 0]);
    }

    /// A table of half-words for a `TBH` at `from`.
    pub(crate) fn table_of_halves(&mut self, from: Label, targets: &[Option<Label>]) {
        for target in targets {
            if let Some(target) = target {
                self.fixups.push((self.halves.len(), Reference::Half(from), *target));
            }
            self.halves.push(if target.is_some() { 0 } else { ASTRAY });
        }
    }

    /// A table of bytes for a `TBB` at `from`; one more is 0 if their count is odd.
    pub(crate) fn table_of_bytes(&mut self, from: Label, targets: &[Option<Label>]) {
        for pair in targets.chunks(2) {
            let mut half = 0;
            for (second, target) in [false, true].into_iter().zip(pair) {
                match target {
                    Some(target) => {
                        self.fixups.push((self.halves.len(), Reference::Byte(from, second), *target));
                    }
                    None => half |= if second { ASTRAY << 8 } else { ASTRAY },
                }
            }
            self.halves.push(half);
        }
    }

    /// Resolves every reference; `None` if one does not reach.
    pub(crate) fn finish(mut self) -> Option<Code> {
        for (at, reference, label) in std::mem::take(&mut self.fixups) {
            self.resolve(at, reference, label)?;
        }
        let bytes = |halves: &[u16]| halves.iter().flat_map(|half| half.to_le_bytes()).collect();
        let subject = bytes(&self.halves);
        for (at, half) in self.only_subject {
            *self.halves.get_mut(at)? = half;
        }
        Some(Code { subject, reference: bytes(&self.halves) })
    }

    fn set(&mut self, at: usize, bits: u32) -> Option<()> {
        *self.halves.get_mut(at)? |= low(bits);
        Some(())
    }

    fn resolve(&mut self, at: usize, reference: Reference, label: Label) -> Option<()> {
        let target = self.labels.get(label.0).copied().flatten()?;
        let here = CODE + u32::try_from(at * 2).ok()?;
        let offset = target.wrapping_sub(here.wrapping_add(4));
        match reference {
            Reference::Conditional => self.set(at, signed(offset, 9)? >> 1 & 0xFF),
            Reference::Short => self.set(at, signed(offset, 12)? >> 1 & 0x7FF),
            Reference::Zero => {
                let offset = Some(offset).filter(|offset| *offset < 128)?;
                self.set(at, (offset >> 1 & 0x1F) << 3 | (offset >> 6 & 1) << 9)
            }
            Reference::ConditionalWide => {
                let offset = signed(offset, 21)?;
                self.set(at, (offset >> 20 & 1) << 10 | offset >> 12 & 0x3F)?;
                let (j1, j2) = (offset >> 18 & 1, offset >> 19 & 1);
                self.set(at + 1, j1 << 13 | j2 << 11 | offset >> 1 & 0x7FF)
            }
            Reference::Long => {
                let offset = signed(offset, 25)?;
                let s = offset >> 24 & 1;
                let (j1, j2) = ((offset >> 23 & 1) ^ s ^ 1, (offset >> 22 & 1) ^ s ^ 1);
                self.set(at, s << 10 | offset >> 12 & 0x3FF)?;
                self.set(at + 1, j1 << 13 | j2 << 11 | offset >> 1 & 0x7FF)
            }
            Reference::Address(more) => self.set_constant(at, target.wrapping_add(more)),
            Reference::Distance(from) => {
                let from = self.labels.get(from.0).copied().flatten()?;
                self.set_constant(at, target.wrapping_sub(from.wrapping_add(4)))
            }
            Reference::Word(more) => {
                let value = target.wrapping_add(more);
                self.set(at, value & 0xFFFF)?;
                self.set(at + 1, value >> 16)
            }
            Reference::Byte(from, is_second) => {
                let entry = Some(self.entry(from, target)?).filter(|entry| *entry < 256)?;
                self.set(at, if is_second { entry << 8 } else { entry })
            }
            Reference::Half(from) => {
                let entry = self.entry(from, target)?;
                self.set(at, entry)
            }
            Reference::Literal => {
                let from = here.wrapping_add(4) & !3;
                let (up, distance) = if target >= from { (0x80, target - from) } else { (0, from - target) };
                self.set(at, up)?;
                self.set(at + 1, Some(distance).filter(|distance| *distance < 4096)?)
            }
        }
    }

    fn entry(&self, from: Label, target: u32) -> Option<u32> {
        let from = self.labels.get(from.0).copied().flatten()?;
        let offset = target.checked_sub(from.wrapping_add(4))? >> 1;
        Some(offset).filter(|offset| *offset < 0x10000)
    }

    fn set_constant(&mut self, at: usize, value: u32) -> Option<()> {
        for (at, half) in [(at, value & 0xFFFF), (at + 2, value >> 16)] {
            let (first, second) = move_half(0, 0, half);
            self.set(at, first)?;
            self.set(at + 1, second)?;
        }
        Some(())
    }
}

/// The two halves of `MOVW` or `MOVT`.
fn move_half(opcode: u32, register: u32, half: u32) -> (u32, u32) {
    let first = opcode | (half >> 11 & 1) << 10 | half >> 12;
    (first, (half >> 8 & 7) << 12 | register << 8 | half & 0xFF)
}

/// The offset, if it fits `bits` with its sign.
fn signed(offset: u32, bits: u32) -> Option<u32> {
    let limit = 1_i32 << (bits - 1);
    (-limit..limit).contains(&offset.cast_signed()).then_some(offset)
}
