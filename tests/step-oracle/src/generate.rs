//! Programs that a seed decides: every way in which Thumb-2 leaves the straight line, in code that ends by itself.
//!
//! The invariant: branches go forward, loops count down, subroutines and the handler return, so that each program comes
//! to its end after at most some thousand instructions; and nothing in it depends on time.

use crate::assembler::{Assembler, Code, Instruction, Label};
use crate::jumps::{Jump, entries, ways};
use crate::plain::{DATA_REGISTER, FLOATS, STACK_WORDS, Stack, VALUES, any, arithmetic, float, to_float};
use crate::random::Random;

/// The program's data.
pub const DATA: u32 = 0x2824_8000;
/// Bytes of it.
pub const DATA_LEN: usize = 4096;
/// Main and process stack pointers at the start.
pub const STACKS: [u32; 2] = [0x2825_0000, 0x2825_8000];
/// Bytes that a program may use of its code's room.
pub const CODE_LEN_MAX: usize = 0x4000;
/// Bytes above each stack pointer that are filled anew for each program.
pub const STACK_FILL: usize = 4 * STACK_WORDS as usize;

/// Of so many programs one computes with floating point.
const PROGRAMS_A_FLOAT: u64 = 3;

/// A program and the state it starts in.
#[derive(Clone, Debug)]
pub struct Program {
    /// What makes it again.
    pub seed: u64,
    /// Its code, at [`CODE`].
    pub code: Code,
    /// Its data, at [`DATA`].
    pub data: Vec<u8>,
    /// What lies above both stack pointers.
    pub stack: Vec<u8>,
    /// r0 to r12, sp, lr, pc, xpsr.
    pub registers: [u32; 17],
    /// Its handler of supervisor calls.
    pub handler: u32,
    /// Where supervisor calls return to.
    pub returns: Vec<u32>,
    /// Where it ends.
    pub end: u32,
    /// Whether an interrupt of the application's comes while it is stepped.
    pub ticks: bool,
}

/// What may be done at a place of the program.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Place {
    /// In the main program, not in a subroutine or the handler.
    in_main: bool,
    /// Interrupts are masked: a supervisor call would become a fault.
    masked: bool,
    /// Blocks around this one.
    depth: u32,
}

struct Generator {
    asm: Assembler,
    random: Random,
    stack: Stack,
    /// Whether it computes with floating point.
    floats: bool,
    returns: Vec<u32>,
    subroutines: Vec<Label>,
    /// Tables and literals that are put behind everything.
    pool: Vec<Pooled>,
}

/// What a jump needs in memory beside code.
pub(crate) enum Pooled {
    /// A word with the address of a label plus one.
    Literal(Label, Label),
    /// A table of bytes: itself, its branch, its targets.
    Bytes(Label, Label, Vec<Option<Label>>),
    /// A table of half-words.
    Halves(Label, Label, Vec<Option<Label>>),
}

/// The program of a seed. `ticks`: it lets an interrupt run meanwhile.
pub fn generate(seed: u64, ticks: bool) -> Program {
    for attempt in 0_u64.. {
        let random = Random::new(seed.wrapping_add(attempt << 48));
        // One whose references do not reach is made anew: the attempts belong to the seed as well.
        if let Some(program) = Generator::new(random).program(seed, ticks) {
            return program;
        }
    }
    unreachable!("one of all seeds reaches")
}

impl Generator {
    fn new(random: Random) -> Self {
        Self {
            asm: Assembler::default(),
            random,
            stack: Stack::Taken,
            floats: false,
            returns: Vec::new(),
            subroutines: Vec::new(),
            pool: Vec::new(),
        }
    }

    fn program(mut self, seed: u64, ticks: bool) -> Option<Program> {
        self.floats = seed.is_multiple_of(PROGRAMS_A_FLOAT);
        self.subroutines = (0..4).map(|_| self.asm.label()).collect();
        let main_place = Place { in_main: true, masked: false, depth: 0 };
        // Some subroutines lie before the main program, some behind: calls reach both ways.
        self.subroutine(0);
        self.subroutine(1);
        let handler = self.handler();
        let start = self.asm.here();
        self.known_state();
        if ticks {
            self.tick(7);
        }
        self.stack = Stack::Free;
        for _ in 0..self.random.within(10, 18) {
            self.item(main_place);
        }
        self.stack = Stack::Taken;
        if ticks {
            self.tick(6);
        }
        let end = self.asm.here();
        self.asm.narrow(0xBF00);
        self.asm.narrow(0xE7FD); // B to the end itself.
        self.subroutine(2);
        self.subroutine(3);
        self.put_pool();
        let mut registers = [0; 17];
        for register in &mut registers[..13] {
            *register = self.random.word() >> self.random.below(32);
        }
        registers[DATA_REGISTER as usize] = DATA;
        registers[13] = STACKS[0];
        registers[14] = end | 1;
        registers[15] = start;
        registers[16] = 0x0100_0000 | self.random.below(32) << 27;
        let data = self.bytes(DATA_LEN);
        let stack = self.bytes(STACK_FILL);
        let returns = self.returns;
        let code = self.asm.finish().filter(|code| code.subject.len() <= CODE_LEN_MAX)?;
        Some(Program { seed, code, data, stack, registers, handler: handler | 1, returns, end, ticks })
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len / 4).flat_map(|_| self.random.word().to_le_bytes()).collect()
    }

    /// Sets the control register of the application's tick. The reference has none: where an instruction enters or leaves
    /// a handler, QEMU would take it in the middle of a step.
    fn tick(&mut self, control: u32) {
        self.asm.constant(10, 0xE000_E010);
        self.asm.constant(11, control);
        self.asm.only_subject_wide(0xF8CA, 0xB000);
    }

    /// What earlier programs left is as if they had not run.
    fn known_state(&mut self) {
        self.asm.constant(10, STACKS[1]);
        self.asm.wide(0xF38A, 0x8809); // msr psp, r10
        self.asm.constant(10, 0);
        self.asm.wide(0xF38A, 0x8814); // msr control, r10
        self.asm.wide(0xF3BF, 0x8F6F); // isb
        if self.floats {
            self.asm.wide(0xEEE1, 0xAA10); // vmsr fpscr, r10
            for register in 0..FLOATS {
                self.asm.add(to_float(register, register & 3));
            }
        }
    }

    fn plain(&mut self, most: u32) {
        for _ in 0..self.random.below(most + 1) {
            if self.floats && self.random.once_in(3) {
                let instruction = float(&mut self.random);
                self.asm.add(instruction);
            }
            let instruction = any(&mut self.random, self.stack);
            self.asm.add(instruction);
        }
    }

    fn item(&mut self, place: Place) {
        self.plain(2);
        match self.random.below(if place.depth < 2 { 17 } else { 9 }) {
            0 => self.it_block(place),
            1 => self.conditional_branch(place),
            2 | 3 => self.jump(),
            4 => self.hints(),
            5 => self.exclusives(),
            6 => self.stacked(),
            7 => self.masks(place),
            8 | 9 if !place.masked && place.in_main => self.supervisor_call(),
            10 | 11 if place.in_main => self.call(),
            12 | 13 if place.in_main && place.depth == 0 => self.counted_loop(place),
            14 => self.it_block(place),
            _ => self.conditional_branch(place),
        }
    }

    fn supervisor_call(&mut self) {
        let number = self.random.below(256);
        self.asm.narrow(0xDF00 | number);
        self.returns.push(self.asm.here());
    }

    /// Over some instructions, or not.
    fn conditional_branch(&mut self, place: Place) {
        let behind = self.asm.label();
        let condition = self.random.below(14);
        let branch = match self.random.below(4) {
            0 => Instruction::branch_if(condition, behind),
            1 => Instruction::branch_wide_if(condition, behind),
            _ => {
                let register = self.random.below(7);
                if self.random.once_in(2) {
                    self.asm.narrow(0x2000 | register << 8 | self.random.below(2));
                }
                Instruction::branch_on_zero(self.random.below(2), register, behind)
            }
        };
        self.asm.add(branch);
        let inner = Place { depth: place.depth + 1, ..place };
        if place.depth < 2 && !branch.is_short() && self.random.once_in(3) {
            self.item(inner);
        }
        self.plain(4);
        self.asm.bind(behind);
    }

    /// `IT` with one to four instructions; the last may leave the straight line.
    fn it_block(&mut self, place: Place) {
        let behind = self.asm.label();
        let n = self.random.within(1, 4);
        let jump = if self.random.once_in(2) { Some(self.prepare(behind)) } else { None };
        let condition = self.random.below(14);
        // Bits of the slots behind the first, from the top; then a 1.
        let mut mask = 0;
        for _ in 1..n {
            mask = mask << 1 | self.random.below(2);
        }
        let mask = (mask << 1 | 1) << (4 - n);
        self.asm.narrow(0xBF00 | condition << 4 | mask);
        let stack = self.stack;
        // What a jump left on the stack has to stay what it is.
        self.stack = if jump.is_some() { Stack::Taken } else { stack };
        for slot in 1..=n {
            match (&jump, slot == n) {
                (Some(jump), true) => self.leap(jump),
                _ => self.slot(place, slot == n),
            }
        }
        self.stack = stack;
        if let Some(jump) = jump {
            jump.cleanup.iter().for_each(|instruction| self.asm.add(*instruction));
            self.plain(3);
        }
        self.asm.bind(behind);
    }

    /// One instruction of an `IT` block.
    fn slot(&mut self, place: Place, is_last: bool) {
        match self.random.below(9) {
            0 => {
                let number = self.random.below(256);
                self.asm.only_subject(0xBE00 | number);
            }
            1 => {
                let wait = self.random.of(&[0xBF20, 0xBF30]);
                self.asm.only_subject(wait);
            }
            2 if is_last && place.in_main && !place.masked => self.supervisor_call(),
            3 => self.read_special(),
            _ => {
                let instruction = any(&mut self.random, self.stack);
                self.asm.add(instruction);
            }
        }
    }

    fn prepare(&mut self, target: Label) -> Jump {
        ways(&mut self.random, &mut self.asm, &mut self.pool, target)
    }

    fn leap(&mut self, jump: &Jump) {
        self.asm.bind(jump.at);
        self.asm.add(jump.instruction);
    }

    /// One of the ways to go somewhere else, for certain.
    fn jump(&mut self) {
        let behind = self.asm.label();
        if self.random.once_in(8) {
            self.table_in_line(behind);
        } else {
            let jump = self.prepare(behind);
            self.leap(&jump);
        }
        let n = self.random.within(1, 4);
        for _ in 0..n {
            let instruction = any(&mut self.random, self.stack);
            self.asm.add(instruction);
        }
        self.asm.bind(behind);
    }

    /// `TBB` and `TBH` with the table right behind them.
    fn table_in_line(&mut self, target: Label) {
        let (len, from) = (self.random.within(1, 6), self.asm.label());
        let index = self.random.below(len);
        self.asm.wide(0xF04F, 0x0A00 | index);
        self.asm.bind(from);
        let targets = entries(len, index, target);
        if self.random.once_in(2) {
            self.asm.wide(0xE8DF, 0xF00A);
            self.asm.table_of_bytes(from, &targets);
        } else {
            self.asm.wide(0xE8DF, 0xF01A);
            self.asm.table_of_halves(from, &targets);
        }
    }

    fn call(&mut self) {
        let subroutine = self.random.of(&self.subroutines.clone());
        if self.random.once_in(2) {
            self.asm.add(Instruction::call(subroutine));
        } else {
            let register = self.random.of(&[10, 11, 7]);
            self.asm.address_of(register, subroutine, 1);
            self.asm.narrow(0x4780 | register << 3);
        }
    }

    fn counted_loop(&mut self, place: Place) {
        let again = self.asm.label();
        let count = self.random.within(2, 4);
        self.asm.wide(0xF04F, 0x0900 | count); // mov.w r9, #count
        self.asm.bind(again);
        for _ in 0..self.random.within(1, 2) {
            self.item(Place { depth: 1, ..place });
        }
        self.asm.wide(0xF1B9, 0x0901); // subs.w r9, r9, #1
        self.asm.add(Instruction::branch_wide_if(1, again));
    }

    /// Instructions that wait, or seem to, and the application's own breakpoints.
    fn hints(&mut self) {
        for _ in 0..self.random.within(1, 3) {
            match self.random.below(7) {
                0 => self.asm.only_subject(0xBF20),
                1 => self.asm.only_subject(0xBF30),
                2 | 3 => {
                    let number = self.random.below(256);
                    self.asm.only_subject(0xBE00 | number);
                }
                4 => self.asm.narrow(0xBF40),       // sev
                5 => self.asm.wide(0xF3AF, 0x8000), // nop.w
                _ => {
                    let barrier = self.random.of(&[0x8F4F, 0x8F5F, 0x8F6F]);
                    self.asm.wide(0xF3BF, barrier);
                }
            }
        }
    }

    /// A load and a store of the exclusive kind, with what compilers put between and around them.
    fn exclusives(&mut self) {
        let (load, store) = self.random.of(&[
            ((0xE850, 0x0F00), (0xE840, 0x0000)), // ldrex, strex
            ((0xE8D0, 0x0F4F), (0xE8C0, 0x0F40)), // ldrexb
            ((0xE8D0, 0x0F5F), (0xE8C0, 0x0F50)), // ldrexh
            ((0xE8D0, 0x0FEF), (0xE8C0, 0x0FE0)), // ldaex, stlex
            ((0xE8D0, 0x0FCF), (0xE8C0, 0x0FC0)), // ldaexb
            ((0xE8D0, 0x0FDF), (0xE8C0, 0x0FD0)), // ldaexh
        ]);
        let (again, out) = (self.asm.label(), self.asm.label());
        let offset = self.random.below(64) * 4;
        self.asm.wide(0xF508, 0x6B00); // add.w r11, r8, #2048
        self.asm.wide(0xF20B, 0x0B00 | offset & 0xFF); // addw r11, r11, #offset
        if self.random.once_in(4) {
            // Neither is exclusive, though their encodings are neighbours.
            self.asm.wide(0xE8DB, 0x4FAF); // lda r4, [r11]
            self.asm.wide(0xE8CB, 0x4FAF); // stl r4, [r11]
        }
        self.asm.bind(again);
        self.asm.wide(load.0 | 11, load.1 | 4 << 12);
        for _ in 0..self.random.below(3) {
            let instruction = arithmetic(&mut self.random);
            self.asm.add(instruction);
        }
        if self.random.once_in(2) {
            self.asm.narrow(0x2C00 | self.random.below(256)); // cmp r4, #n
            let branch = match self.random.below(3) {
                0 => Instruction::branch_if(self.random.below(14), out),
                1 => Instruction::branch_wide_if(self.random.below(14), out),
                _ => Instruction::branch_on_zero(self.random.below(2), 4, out),
            };
            self.asm.add(branch);
        }
        let status = if store.0 == 0xE840 { 5 << 8 } else { 5 };
        self.asm.wide(store.0 | 11, store.1 | 4 << 12 | status);
        self.asm.narrow(0x2D00); // cmp r5, #0
        self.asm.add(Instruction::branch_if(1, again));
        self.asm.bind(out);
        self.asm.wide(0xF3BF, 0x8F2F); // clrex
    }

    /// Pushes and pops that change no way.
    fn stacked(&mut self) {
        let list = self.random.within(1, 0x7F);
        let pop = self.random.once_in(2);
        self.asm.narrow(0xB400 | list);
        self.plain(1);
        if pop {
            self.asm.narrow(0xBC00 | list);
        } else {
            self.asm.narrow(0xB000 | list.count_ones());
        }
    }

    fn read_special(&mut self) {
        let rd = self.random.of(VALUES);
        // APSR, IAPSR, IPSR, MSP, PSP, the limits, the masks, CONTROL.
        let special = self.random.of(&[0, 1, 5, 8, 9, 10, 11, 16, 17, 18, 19, 20]);
        self.asm.wide(0xF3EF, 0x8000 | rd << 8 | special);
    }

    /// Masks set, looked at, taken away; the other stack; flags written.
    fn masks(&mut self, place: Place) {
        let masked = Place { masked: true, depth: place.depth.max(2), ..place };
        match self.random.below(6) {
            0 => {
                let which = self.random.of(&[2, 1]);
                self.asm.narrow(0xB670 | which);
                self.read_special();
                self.item(masked);
                self.asm.narrow(0xB660 | which);
            }
            1 => {
                self.asm.constant(10, self.random.of(&[0x20, 0x80, 0xE0]));
                let which = self.random.of(&[17, 18]);
                self.asm.wide(0xF38A, 0x8800 | which);
                self.read_special();
                self.item(masked);
                self.asm.constant(10, 0);
                self.asm.wide(0xF38A, 0x8811);
            }
            2 => {
                let which = self.random.of(&[16, 19]);
                for value in [1, 0] {
                    self.asm.constant(10, value);
                    self.asm.wide(0xF38A, 0x8800 | which);
                    self.read_special();
                }
            }
            3 if place.in_main && place.depth == 0 => self.other_stack(place),
            4 => {
                let (rn, flags) = (self.random.of(VALUES), self.random.of(&[0x8800, 0x8C00]));
                self.asm.wide(0xF380 | rn, flags);
            }
            _ => self.read_special(),
        }
    }

    /// Some items on the process stack.
    fn other_stack(&mut self, place: Place) {
        self.asm.constant(10, STACKS[1]);
        self.asm.wide(0xF38A, 0x8809); // msr psp, r10
        for value in [2, 0] {
            self.asm.constant(10, value);
            self.asm.wide(0xF38A, 0x8814); // msr control, r10
            self.asm.wide(0xF3BF, 0x8F6F); // isb
            if value == 2 {
                for _ in 0..self.random.within(1, 2) {
                    self.item(Place { depth: 1, ..place });
                }
                self.supervisor_call();
            }
        }
    }

    /// A subroutine: some items, and one of the ways to return.
    fn subroutine(&mut self, number: usize) {
        if let Some(label) = self.subroutines.get(number) {
            self.asm.bind(*label);
        }
        let place = Place { in_main: false, masked: true, depth: 1 };
        match self.random.below(3) {
            0 => {
                // Keeps what it saved on the stack, and calls a deeper one.
                self.asm.narrow(0xB510); // push {r4, lr}
                self.plain(2);
                if let (true, Some(deeper)) = (number == 0, self.subroutines.get(3).copied()) {
                    self.asm.add(Instruction::call(deeper));
                }
                self.item(place);
                self.return_from_stack(4, 2);
            }
            1 => {
                self.asm.wide(0xE92D, 0x5070); // stmdb sp!, {r4-r6, r12, lr}
                self.item(place);
                self.return_from_stack(0x1070, 5);
            }
            _ => {
                let deep = number == 3;
                self.item(Place { depth: if deep { 2 } else { 1 }, ..place });
                self.return_by_register();
            }
        }
    }

    /// Returns with the program counter on top of `words` words, of which `list` names the registers below it.
    fn return_from_stack(&mut self, list: u32, words: u32) {
        let four = list == 4;
        match self.random.below(4) {
            0 if four => self.asm.narrow(0xBD10),
            1 | 0 => {
                let list = if four { 0x10 } else { list };
                self.asm.wide(0xE8BD, 0x8000 | list);
            }
            2 => {
                self.asm.narrow(0xB000 | (words - 1));
                self.asm.wide(0xF85D, 0xFB04); // ldr pc, [sp], #4
            }
            _ => {
                self.asm.wide(0xF8DD, 0xA000 | (words - 1) << 2); // ldr.w r10, [sp, #..]
                self.asm.narrow(0xB000 | words);
                self.asm.narrow(0x4750); // bx r10
            }
        }
    }

    fn return_by_register(&mut self) {
        match self.random.below(4) {
            0 => {
                // Returned by a condition, else right behind it.
                let condition = self.random.below(14);
                self.asm.narrow(0xBF08 | condition << 4);
                self.asm.narrow(0x4770);
                self.plain(2);
                self.asm.narrow(0x4770);
            }
            1 => self.asm.narrow(0x46F7), // mov pc, lr
            _ => self.asm.narrow(0x4770), // bx lr
        }
    }

    /// The handler of supervisor calls: some items, and one of the ways out of an exception.
    fn handler(&mut self) -> u32 {
        let here = self.asm.here();
        let place = Place { in_main: false, masked: true, depth: 1 };
        // What a handler finds in these is nothing in particular: mov r0, r4; mov r1, r5; mov r2, r6; mov r3, r7; mov r12, r4.
        for half in [0x4620, 0x4629, 0x4632, 0x463B, 0x46A4] {
            self.asm.narrow(half);
        }
        match self.random.below(4) {
            0 => {
                self.item(place);
                let condition = self.random.below(14);
                self.asm.narrow(0xBF08 | condition << 4);
                self.asm.narrow(0x4770);
                self.plain(2);
                self.asm.narrow(0x4770);
            }
            1 => {
                self.asm.narrow(0xB510);
                let subroutine = self.random.of(&self.subroutines.clone());
                self.asm.add(Instruction::call(subroutine));
                self.asm.narrow(0xBD10);
            }
            2 => {
                self.asm.wide(0xE92D, 0x5070);
                self.item(place);
                self.asm.wide(0xE8BD, 0x9070);
            }
            _ => {
                self.asm.narrow(0xB500); // push {lr}
                self.item(place);
                self.asm.wide(0xF85D, 0xFB04);
            }
        }
        here
    }

    fn put_pool(&mut self) {
        self.asm.align();
        for pooled in std::mem::take(&mut self.pool) {
            match pooled {
                Pooled::Literal(label, target) => {
                    self.asm.align();
                    self.asm.bind(label);
                    self.asm.word_of(target, 1);
                }
                Pooled::Bytes(label, from, targets) => {
                    self.asm.bind(label);
                    self.asm.table_of_bytes(from, &targets);
                }
                Pooled::Halves(label, from, targets) => {
                    self.asm.bind(label);
                    self.asm.table_of_halves(from, &targets);
                }
            }
        }
    }
}
