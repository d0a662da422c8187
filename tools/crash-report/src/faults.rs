//! What the processor says of a fault, in words.

use bulkhead_crash_dump::developer::Faults;

/// Bits of CFSR. Source: Armv8-M Architecture Reference Manual (DDI 0553), CFSR.
const CFSR: &[(u32, &str)] = &[
    (0, "an instruction was fetched where nothing may be executed (IACCVIOL)"),
    (1, "data was accessed that the MPU forbids (DACCVIOL)"),
    (3, "the MPU forbade the return from an exception (MUNSTKERR)"),
    (4, "the MPU forbade the entry to an exception (MSTKERR)"),
    (5, "the MPU forbade saving floating-point state (MLSPERR)"),
    (8, "an instruction could not be fetched from the bus (IBUSERR)"),
    (9, "data could not be accessed on the bus (PRECISERR)"),
    (10, "an earlier write failed on the bus (IMPRECISERR)"),
    (11, "the bus failed at the return from an exception (UNSTKERR)"),
    (12, "the bus failed at the entry to an exception (STKERR)"),
    (13, "the bus failed when floating-point state was saved (LSPERR)"),
    (16, "an undefined instruction (UNDEFINSTR)"),
    (17, "a branch to an even address, or another illegal state (INVSTATE)"),
    (18, "an illegal return from an exception (INVPC)"),
    (19, "a coprocessor that is off or absent (NOCP)"),
    (20, "the stack pointer fell below its limit (STKOF)"),
    (24, "an unaligned access (UNALIGNED)"),
    (25, "a division by zero (DIVBYZERO)"),
];

/// Bits of SFSR. Source: DDI 0553, SFSR.
const SFSR: &[(u32, &str)] = &[
    (0, "a jump into the hypervisor other than at a gateway (INVEP)"),
    (1, "a forged frame of the hypervisor (INVIS)"),
    (2, "an illegal return to the hypervisor (INVER)"),
    (3, "an access to the hypervisor's memory (AUVIOL)"),
    (4, "an illegal change between the worlds (INVTRAN)"),
    (5, "floating-point state in the hypervisor's memory (LSPERR)"),
];

/// What the status registers say, one sentence fragment a bit.
pub fn fault_words(faults: &Faults) -> Vec<&'static str> {
    let set = |bits: u32, table: &'static [(u32, &'static str)]| {
        table.iter().filter(move |(bit, _)| bits >> bit & 1 == 1).map(|(_, words)| *words)
    };
    set(faults.sfsr, SFSR).chain(set(faults.cfsr, CFSR)).collect()
}

/// The signal by which GDB names a fault: that of the link's `FaultKind` of this number.
pub fn signal(reason: u8) -> u16 {
    const SIGINT: u16 = 2;
    const SIGILL: u16 = 4;
    const SIGTRAP: u16 = 5;
    const SIGBUS: u16 = 7;
    const SIGSEGV: u16 = 11;
    match reason {
        3 | 4 | 255 => SIGINT,
        5 => SIGBUS,
        6 | 7 => SIGILL,
        8 => SIGTRAP,
        _ => SIGSEGV,
    }
}
