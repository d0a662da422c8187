//! System registers that the application may not touch, and what an attempt comes to.
//!
//! `docs/spec/registers.md` is this table in words; a test holds the two together.

use std::borrow::Cow;

use bulkhead_link_protocol::FaultKind;

use super::row::{Back, Class, Expected, Place, Row};

/// A register and the attempt.
#[derive(Clone, Debug)]
pub(crate) struct Register {
    /// Name in the architecture's manual.
    pub name: Cow<'static, str>,
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
    Register { name: Cow::Borrowed(name), address, width: 4, written: u32::MAX, kept: u32::MAX }
}

const fn kept(name: &'static str, address: u32, written: u32, kept: u32) -> Register {
    Register { name: Cow::Borrowed(name), address, width: 4, written, kept }
}

const fn byte(name: &'static str, address: u32, kept: u32) -> Register {
    Register { name: Cow::Borrowed(name), address, width: 1, written: 0xFF, kept }
}

/// Bits of the NVIC's words that belong to the application: lines 3, 34, 35, 80 to 83. The chip has no more than these words.
const OWN_LINES: [u32; 4] = [1 << 3, 0b11 << 2, 0xF << 16, 0];
/// Registers with a bit for each line, and whether they show the application something of its own.
const LINE_REGISTERS: &[(&str, u32, bool)] = &[
    ("NVIC_ISER", 0xE000_E100, true),
    ("NVIC_ICER", 0xE000_E180, true),
    ("NVIC_ISPR", 0xE000_E200, true),
    ("NVIC_ICPR", 0xE000_E280, true),
    ("NVIC_IABR", 0xE000_E300, true),
    ("NVIC_ITNS", 0xE000_E380, false),
];
const NVIC_IPR: u32 = 0xE000_E400;
/// The Ethernet controller's line, the hypervisor's.
const ETHERNET_LINE: u32 = 48;
const AIRCR_KEY: u32 = 0x05FA_0000;

/// Registers of which the application owns nothing, or not all: those of interrupt lines, and all others.
fn registers() -> Vec<Register> {
    let mut registers = Vec::new();
    for (name, first, shows) in LINE_REGISTERS {
        for (word, own) in (0..).zip(OWN_LINES) {
            let foreign = if *shows { !own } else { u32::MAX };
            let name = Cow::Owned(format!("{name}{word}"));
            registers.push(Register {
                name,
                address: first + 4 * word,
                width: 4,
                written: foreign,
                kept: foreign,
            });
        }
    }
    for word in 0..8 * OWN_LINES.len() {
        let lines = OWN_LINES.get(word / 8).map_or(0, |own| own >> (4 * (word % 8)) & 0xF);
        let foreign =
            (0..4).filter(|line| lines >> line & 1 == 0).fold(0, |bits, line| bits | 0xFF << (8 * line));
        let name = Cow::Owned(format!("NVIC_IPR{word}"));
        let address = NVIC_IPR + 4 * u32::try_from(word).unwrap_or_default();
        registers.push(Register { name, address, width: 4, written: foreign, kept: foreign });
    }
    registers.retain(|register| register.kept != 0);
    registers.push(byte("NVIC_IPR of the Ethernet line", NVIC_IPR + ETHERNET_LINE, 0xFF));
    registers.extend(OTHERS.iter().cloned());
    registers
}

const OTHERS: &[Register] = &[
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
    for register in registers() {
        let back = if register.kept == u32::MAX { Back::ReadsZero } else { Back::Unchanged(register.kept) };
        let parameters = [register.address, register.written, register.width];
        for place in [Place::Thread, Place::Handler] {
            let expected = Expected::Returned(back);
            rows.push(Row::new(Class::Registers, "REGISTER", place, &parameters, &register.name, expected));
        }
        if WITHOUT_PRIVILEGES.contains(&&*register.name) {
            let word = register.address & !3;
            let expected = Expected::Stopped { kinds: &[FaultKind::BusError], touched: Some((word, word)) };
            let place = Place::Unprivileged;
            rows.push(Row::new(Class::Registers, "REGISTER", place, &parameters, &register.name, expected));
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../../../docs/spec/registers.md");

    /// First and last address of each row of the page, and its name or names.
    fn page() -> Vec<(u32, u32, &'static str)> {
        let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| 0x"));
        rows.map(|row| {
            let (addresses, rest) = row.split_once(" | ").unwrap();
            let address = |text| u32::from_str_radix(text, 16).unwrap();
            let (first, last) = addresses.split_once(" to 0x").unwrap_or((addresses, addresses));
            (address(first), address(last), rest.split(" | ").next().unwrap())
        })
        .collect()
    }

    #[test]
    fn the_page_of_registers_names_each_register_and_its_address() {
        let page = page();
        for Register { name, address, .. } in registers() {
            let stem = name.trim_end_matches(|digit: char| digit.is_ascii_digit());
            let named = |(first, last, names): &(u32, u32, &str)| {
                let is_of_these = first != last && names.starts_with(stem);
                (*first..=*last).contains(&address) && (*names == name || is_of_these)
            };
            assert!(page.iter().any(named), "registers.md says nothing of {name} at {address:#x}");
        }
    }

    #[test]
    fn the_page_of_registers_names_no_register_that_is_not_attacked() {
        let attacked: Vec<u32> = registers().iter().map(|register| register.address).collect();
        for (first, last, names) in page() {
            let missing = (first..=last).step_by(4).find(|address| !attacked.contains(address));
            // All four lines of this word are the application's own.
            let own = NVIC_IPR + 80;
            assert!(
                missing.is_none_or(|address| address == own),
                "no row of the matrix attacks this: {names}"
            );
        }
    }
}
