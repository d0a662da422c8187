//! What GDB is told of the processor and its memory, as XML.

use std::fmt::Write as _;

use bulkhead_debug_protocol::{Region, RegionKind, Register};

use crate::load::BLOCK_LEN;

/// A register: its name, its number for GDB and for the device, its type for GDB.
pub(crate) struct Named {
    pub(crate) name: &'static str,
    pub(crate) number: u8,
    kind: &'static str,
}

impl Named {
    /// Its length in bytes.
    pub(crate) fn len(&self) -> usize {
        4 * self.words().count()
    }

    /// The device's numbers of the words that it is made of: two for a register of double precision.
    pub(crate) fn words(&self) -> impl Iterator<Item = u8> + use<> {
        let number = self.number;
        let (first, count) = match number.checked_sub(D0) {
            Some(n @ 0..=15) => (Register::S0.0 + 2 * n, 2),
            _ => (number, 1),
        };
        first..first + count
    }
}

const fn named(name: &'static str, number: u8, kind: &'static str) -> Named {
    Named { name, number, kind }
}

/// What every Cortex-M has.
pub(crate) const CORE: &[Named] = &[
    named("r0", 0, "int"),
    named("r1", 1, "int"),
    named("r2", 2, "int"),
    named("r3", 3, "int"),
    named("r4", 4, "int"),
    named("r5", 5, "int"),
    named("r6", 6, "int"),
    named("r7", 7, "int"),
    named("r8", 8, "int"),
    named("r9", 9, "int"),
    named("r10", 10, "int"),
    named("r11", 11, "int"),
    named("r12", 12, "int"),
    named("sp", 13, "data_ptr"),
    named("lr", 14, "int"),
    named("pc", 15, "code_ptr"),
    named("xpsr", 25, "int"),
];

/// The stack pointers, without which GDB guesses how to unwind a handler.
const STACKS: &[Named] = &[named("msp", 26, "data_ptr"), named("psp", 27, "data_ptr")];

/// Masks and limits.
const SYSTEM: &[Named] = &[
    named("primask", 28, "int"),
    named("basepri", 29, "int"),
    named("faultmask", 30, "int"),
    named("control", 31, "int"),
    named("msplim", 32, "data_ptr"),
    named("psplim", 33, "data_ptr"),
];

/// GDB's number of the first register of double precision. The device has only numbers for their halves.
const D0: u8 = 36;

/// What a Cortex-M with floating point has.
const FLOAT: &[Named] = &[
    named("fpscr", 34, "int"),
    named("d0", 36, "ieee_double"),
    named("d1", 37, "ieee_double"),
    named("d2", 38, "ieee_double"),
    named("d3", 39, "ieee_double"),
    named("d4", 40, "ieee_double"),
    named("d5", 41, "ieee_double"),
    named("d6", 42, "ieee_double"),
    named("d7", 43, "ieee_double"),
    named("d8", 44, "ieee_double"),
    named("d9", 45, "ieee_double"),
    named("d10", 46, "ieee_double"),
    named("d11", 47, "ieee_double"),
    named("d12", 48, "ieee_double"),
    named("d13", 49, "ieee_double"),
    named("d14", 50, "ieee_double"),
    named("d15", 51, "ieee_double"),
];

/// Every register in order of its number.
pub(crate) fn registers(float: bool) -> impl Iterator<Item = &'static Named> {
    let float = if float { FLOAT } else { &[] };
    CORE.iter().chain(STACKS).chain(SYSTEM).chain(float)
}

/// The register of that number.
pub(crate) fn find(number: u32, float: bool) -> Option<&'static Named> {
    registers(float).find(|named| u32::from(named.number) == number)
}

/// The target description.
///
/// The security extension is left out on purpose: with it GDB wants the secure world's stack pointers and tries to
/// unwind into that world. `osabi` is `none`: a GDB of a Linux distribution takes a program for bare metal for one of
/// Linux, and asks the device for a dynamic linker's state at every stop.
pub(crate) fn target(float: bool) -> String {
    let mut out = String::from(
        "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target version=\"1.0\">\
         <architecture>armv8-m.main</architecture><osabi>none</osabi>",
    );
    let features = [
        ("org.gnu.gdb.arm.m-profile", CORE),
        ("org.gnu.gdb.arm.m-system", STACKS),
        ("org.bulkhead.system", SYSTEM),
    ];
    let float = float.then_some(("org.gnu.gdb.arm.vfp", FLOAT));
    for (feature, registers) in features.into_iter().chain(float) {
        let _ = write!(out, "<feature name=\"{feature}\">");
        for register in registers {
            let (Named { name, number, kind }, bits) = (register, 8 * register.len());
            let _ =
                write!(out, "<reg name=\"{name}\" bitsize=\"{bits}\" regnum=\"{number}\" type=\"{kind}\"/>");
        }
        out.push_str("</feature>");
    }
    out.push_str("</target>");
    out
}

/// The memory map. Code is `ram` for GDB, which then remarks nothing about breakpoints: they are the device's whatever it
/// says. Where programs can be loaded it is `flash`, so that `load` says when it begins and when it ends.
pub(crate) fn memory_map(regions: &[Region], loads: bool) -> String {
    let mut out = String::from(
        "<?xml version=\"1.0\"?><!DOCTYPE memory-map PUBLIC \"+//IDN gnu.org//DTD GDB Memory Map V1.0//EN\" \
         \"http://sourceware.org/gdb/gdb-memory-map.dtd\"><memory-map>",
    );
    for Region { address, len, kind } in regions {
        if *kind == RegionKind::Code && loads {
            let _ = write!(
                out,
                "<memory type=\"flash\" start=\"{address:#x}\" length=\"{len:#x}\">\
                 <property name=\"blocksize\">{BLOCK_LEN:#x}</property></memory>"
            );
            continue;
        }
        let _ = write!(out, "<memory type=\"ram\" start=\"{address:#x}\" length=\"{len:#x}\"/>");
    }
    out.push_str("</memory-map>");
    out
}
