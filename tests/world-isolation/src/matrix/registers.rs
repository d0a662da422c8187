//! System registers that the application may not touch, and what an attempt comes to.
//!
//! `docs/spec/registers.md` is this table in words; a test holds the two together.

use bulkhead_link_protocol::FaultKind;

use super::row::{Back, Class, Expected, Place, Row};

/// A register and the attempt.
#[derive(Clone, Copy, Debug)]
pub struct Register {
    /// Name in the architecture's manual.
    pub name: &'static str,
    /// Address of the word or byte.
    pub address: u32,
    /// Bytes of the access.
    pub width: u32,
    /// What is written.
    pub written: u32,
    /// Bits of the word that must stay as they are; all of them: it reads as zero, too.
    pub kept: u32,
}

const fn zero(name: &'static str, address: u32) -> Register {
    Register { name, address, width: 4, written: u32::MAX, kept: u32::MAX }
}

const fn kept(name: &'static str, address: u32, written: u32, kept: u32) -> Register {
    Register { name, address, width: 4, written, kept }
}

const fn byte(name: &'static str, address: u32, kept: u32) -> Register {
    Register { name, address, width: 1, written: 0xFF, kept }
}

/// Bits of NVIC words that belong to the application: lines 3, 34, 35, 80 to 83.
const OWN_LINES: [u32; 4] = [1 << 3, 0b11 << 2, 0xF << 16, 0];
/// The Ethernet controller's line, the hypervisor's.
const ETHERNET_LINE: u32 = 48;
const AIRCR_KEY: u32 = 0x05FA_0000;

/// Registers of which the application owns nothing, or not all.
pub const REGISTERS: &[Register] = &[
    // Interrupts that are not its own.
    kept("NVIC_ISER0", 0xE000_E100, !OWN_LINES[0], !OWN_LINES[0]),
    kept("NVIC_ISER1", 0xE000_E104, !OWN_LINES[1], !OWN_LINES[1]),
    kept("NVIC_ISER2", 0xE000_E108, !OWN_LINES[2], !OWN_LINES[2]),
    zero("NVIC_ISER3", 0xE000_E10C),
    kept("NVIC_ICER0", 0xE000_E180, !OWN_LINES[0], !OWN_LINES[0]),
    kept("NVIC_ICER1", 0xE000_E184, !OWN_LINES[1], !OWN_LINES[1]),
    kept("NVIC_ICER2", 0xE000_E188, !OWN_LINES[2], !OWN_LINES[2]),
    kept("NVIC_ISPR0", 0xE000_E200, !OWN_LINES[0], !OWN_LINES[0]),
    kept("NVIC_ISPR1", 0xE000_E204, !OWN_LINES[1], !OWN_LINES[1]),
    kept("NVIC_ISPR2", 0xE000_E208, !OWN_LINES[2], !OWN_LINES[2]),
    kept("NVIC_ICPR1", 0xE000_E284, !OWN_LINES[1], !OWN_LINES[1]),
    kept("NVIC_IABR1", 0xE000_E304, u32::MAX, !OWN_LINES[1]),
    zero("NVIC_ITNS0", 0xE000_E380),
    zero("NVIC_ITNS1", 0xE000_E384),
    zero("NVIC_ITNS2", 0xE000_E388),
    zero("NVIC_ITNS3", 0xE000_E38C),
    byte("NVIC_IPR of the Ethernet line", 0xE000_E400 + ETHERNET_LINE, 0xFF),
    kept("NVIC_IPR0", 0xE000_E400, 0x00FF_FFFF, 0x00FF_FFFF),
    zero("NVIC_IPR12", 0xE000_E430),
    // Exceptions that are not its own.
    kept("ICSR.PENDNMISET", 0xE000_ED04, 1 << 31, 1 << 31),
    kept("ICSR.PENDNMICLR", 0xE000_ED04, 1 << 30, 1 << 31 | 1 << 30),
    kept("ICSR.STTNS", 0xE000_ED04, 1 << 24, 1 << 24),
    kept("AIRCR.SYSRESETREQ", 0xE000_ED0C, AIRCR_KEY | 1 << 2, 1 << 2),
    kept("AIRCR.SYSRESETREQS", 0xE000_ED0C, AIRCR_KEY | 1 << 3, 1 << 3),
    kept("AIRCR.VECTCLRACTIVE", 0xE000_ED0C, AIRCR_KEY | 1 << 1, 1 << 1),
    kept("AIRCR.BFHFNMINS", 0xE000_ED0C, AIRCR_KEY | 1 << 13, 1 << 13),
    kept("AIRCR.PRIS", 0xE000_ED0C, AIRCR_KEY | 1 << 14, 1 << 14),
    kept("SCR.SLEEPDEEPS", 0xE000_ED10, 1 << 3, 1 << 3),
    kept("SCR.SLEEPDEEP", 0xE000_ED10, 1 << 2, 1 << 2),
    kept("CCR.BFHFNMIGN", 0xE000_ED14, 1 << 9 | 1 << 8, 1 << 8),
    byte("SHPR1, BusFault", 0xE000_ED19, 0xFF << 8),
    byte("SHPR1, SecureFault", 0xE000_ED1B, 0xFF << 24),
    kept("SHCSR, faults of the hypervisor", 0xE000_ED24, SHCSR_FOREIGN, SHCSR_FOREIGN),
    byte("CFSR, BusFault", 0xE000_ED29, 0xFF << 8),
    zero("HFSR", 0xE000_ED2C),
    zero("BFAR", 0xE000_ED38),
    // Attribution.
    zero("NSACR", 0xE000_ED8C),
    zero("SAU_CTRL", 0xE000_EDD0),
    zero("SAU_TYPE", 0xE000_EDD4),
    zero("SAU_RNR", 0xE000_EDD8),
    zero("SAU_RBAR", 0xE000_EDDC),
    zero("SAU_RLAR", 0xE000_EDE0),
    zero("SFSR", 0xE000_EDE4),
    zero("SFAR", 0xE000_EDE8),
    kept("STIR", 0xE000_EF00, ETHERNET_LINE, u32::MAX),
    kept("FPCCR, bits of the hypervisor", 0xE000_EF34, FPCCR_FOREIGN, FPCCR_FOREIGN | 1 << 30),
    // Debugging.
    kept("DHCSR", 0xE000_EDF0, 0xA05F_0003, 0b11),
    kept("DCRDR", 0xE000_EDF8, u32::MAX, u32::MAX),
    kept("DEMCR", 0xE000_EDFC, 0x011F_0000, 0x011F_0000),
    zero("DAUTHCTRL", 0xE000_EE04),
    zero("DSCSR", 0xE000_EE08),
    zero("DWT_CTRL", 0xE000_1000),
    zero("DWT_CYCCNT", 0xE000_1004),
    zero("DWT_COMP0", 0xE000_1020),
    zero("DWT_FUNCTION0", 0xE000_1028),
    zero("FP_CTRL", 0xE000_2000),
    zero("FP_COMP0", 0xE000_2008),
    zero("ITM_TCR", 0xE000_0E80),
    zero("TPIU", 0xE004_0000),
    // The alias by which the hypervisor reaches the application's bank.
    zero("SYST_CSR, alias", 0xE002_E010),
    zero("NVIC_ISER1, alias", 0xE002_E104),
    zero("ICSR, alias", 0xE002_ED04),
    zero("VTOR, alias", 0xE002_ED08),
    zero("AIRCR, alias", 0xE002_ED0C),
    zero("SHCSR, alias", 0xE002_ED24),
    zero("CFSR, alias", 0xE002_ED28),
    zero("MPU_CTRL, alias", 0xE002_ED94),
    zero("MPU_RBAR, alias", 0xE002_ED9C),
    zero("SAU_CTRL, alias", 0xE002_EDD0),
    zero("FPCCR, alias", 0xE002_EF34),
];

/// DDI 0553, SHCSR: bits of BusFault, NMI and SecureFault, and that HardFault is active. HARDFAULTPENDED is banked; the
/// application's own copy leads nowhere, since its HardFault is never enabled.
const SHCSR_FOREIGN: u32 = 1 << 1 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 14 | 1 << 17 | 1 << 19 | 1 << 20;
/// DDI 0553, FPCCR: S, TS, CLRONRETS, LSPENS; LSPEN with it, which is written as 0.
const FPCCR_FOREIGN: u32 = 1 << 2 | 1 << 26 | 1 << 27 | 1 << 29;

/// Registers that an unprivileged thread may not even read.
const WITHOUT_PRIVILEGES: &[&str] =
    &["NVIC_ISER1", "ICSR.STTNS", "SAU_CTRL", "AIRCR.PRIS", "VTOR, alias", "DWT_CTRL", "FPCCR, alias"];

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for register in REGISTERS {
        let back = if register.kept == u32::MAX { Back::ReadsZero } else { Back::Unchanged(register.kept) };
        let parameters = [register.address, register.written, register.width];
        for place in [Place::Thread, Place::Handler] {
            let expected = Expected::Returned(back);
            rows.push(Row::new(Class::Registers, "REGISTER", place, &parameters, register.name, expected));
        }
        if WITHOUT_PRIVILEGES.contains(&register.name) {
            let word = register.address & !3;
            let expected = Expected::Stopped { kinds: &[FaultKind::BusError], touched: Some((word, word)) };
            let place = Place::Unprivileged;
            rows.push(Row::new(Class::Registers, "REGISTER", place, &parameters, register.name, expected));
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../../../docs/spec/registers.md");

    #[test]
    fn the_page_of_registers_names_each_register_and_its_address() {
        for register in REGISTERS {
            let address = format!("0x{:08X}", register.address);
            let named = |line: &str| line.contains(&address) && line.contains(register.name);
            assert!(PAGE.lines().any(named), "registers.md says nothing of {} at {address}", register.name);
        }
    }

    #[test]
    fn the_page_of_registers_names_no_register_that_is_not_attacked() {
        let rows = PAGE.lines().filter(|line| line.starts_with("| 0x"));
        for row in rows {
            let address = row.trim_start_matches("| ").split(' ').next().unwrap_or_default();
            let attacked = REGISTERS.iter().any(|register| format!("0x{:08X}", register.address) == address);
            assert!(attacked, "no row of the matrix attacks this: {row}");
        }
    }
}
