//! Divides the address space and the interrupts between the worlds, once, at start.

use core::sync::atomic::{AtomicU32, Ordering};

use super::interrupts::InterruptLine;
use super::registers::{
    self as scs, AIRCR, AIRCR_BFHFNMINS, AIRCR_KEY, AIRCR_PRIS, FPCCR, FPCCR_LSPENS, FPCCR_RESET, NSACR,
    NVIC_ITNS, SAU_CTRL, SAU_RBAR, SAU_RLAR, SAU_RNR, SAU_TYPE, SCR, SCR_SLEEPDEEPS, SHCSR, SHCSR_ENABLE_ALL,
    SHPR1, SHPR2, SHPR3,
};

/// What a region of the SAU becomes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Attribution {
    /// The application's.
    NonSecure,
    /// Gateways: secure code that the application may enter at `SG` instructions.
    Gateways,
}

/// A region of the SAU; all else belongs to the hypervisor.
#[derive(Clone, Copy, Debug)]
pub struct SauRegion {
    /// First address, a multiple of 32.
    pub base: u32,
    /// Length in bytes, a multiple of 32.
    pub length: u32,
    /// What it becomes.
    pub attribution: Attribution,
}

/// Priority of the executor, PendSV_S.
pub const EXECUTOR_PRIORITY: u8 = 0x40;
/// Priority of the secure tick.
pub const TICK_PRIORITY: u8 = 0x20;
/// First priority that non-secure interrupts are pushed to by `AIRCR.PRIS`.
pub const NON_SECURE_PRIORITY: u8 = 0x80;

/// Why a partition was refused: a mistake in `board.toml`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TooManyRegions {
    /// Regions that this processor has.
    pub available: u32,
}

/// Programs SAU, interrupt ownership and fault routing.
///
/// `AIRCR.PRIS` pushes every non-secure priority to 0x80 and below; `BFHFNMINS` stays 0, so HardFault, BusFault
/// and NMI are always taken by the hypervisor.
///
/// # Errors
/// [`TooManyRegions`]: the SAU has fewer regions than the board wants.
pub fn configure(regions: &[SauRegion], application_lines: &[InterruptLine]) -> Result<(), TooManyRegions> {
    let available = scs::read(SAU_TYPE) & 0xFF;
    for (number, region) in (0u32..).zip(regions) {
        if number >= available {
            return Err(TooManyRegions { available });
        }
        let gateways = u32::from(region.attribution == Attribution::Gateways);
        scs::write(SAU_RNR, number);
        scs::write(SAU_RBAR, region.base);
        let last = region.base.wrapping_add(region.length).wrapping_sub(1);
        scs::write(SAU_RLAR, (last & !0x1F) | (gateways << 1) | 1);
    }
    super::guards::set_first_spare(u32::try_from(regions.len()).unwrap_or(available));
    scs::write(SAU_CTRL, 1);

    for line in application_lines {
        let address = NVIC_ITNS + line.word();
        scs::write(address, scs::read(address) | line.bit());
        if let Some(word) = LINES.get(usize::from(line.number() / 32)) {
            word.store(word.load(Ordering::Relaxed) | line.bit(), Ordering::Relaxed);
        }
    }

    let keep = scs::read(AIRCR) & 0xFFFF & !AIRCR_BFHFNMINS;
    scs::write(AIRCR, AIRCR_KEY | keep | AIRCR_PRIS);
    scs::write(SHPR1, 0); // MemManage, BusFault, UsageFault, SecureFault: 0x00.
    scs::write(SHPR2, u32::from(EXECUTOR_PRIORITY) << 24); // SVCall, by which gateways end.
    scs::write(SHPR3, (u32::from(TICK_PRIORITY) << 24) | (u32::from(EXECUTOR_PRIORITY) << 16));
    scs::write(SHCSR, scs::read(SHCSR) | SHCSR_ENABLE_ALL);
    // Deep sleep would stop the tick: only the hypervisor may choose it.
    scs::write(SCR, SCR_SLEEPDEEPS);
    // The application may use the FPU; the hypervisor is built soft-float and never touches it.
    scs::write(NSACR, 0b11 << 10);
    // Its registers are saved lazily, and it cannot choose otherwise: an exception that pre-empts a gateway would have to
    // save them to a secure stack, which CPACR of the Secure state forbids, and the fault would be the hypervisor's.
    scs::write(FPCCR, FPCCR_RESET | FPCCR_LSPENS);
    scs::barrier();
    Ok(())
}

/// Lines that belong to the application, out of the 32 of `word`.
pub(super) fn application_lines(word: u32) -> u32 {
    scs::read(NVIC_ITNS + word * 4)
}

/// Words of 32 lines, and which of them are the application's.
const WORDS: usize = 8;
static LINES: [AtomicU32; WORDS] = [const { AtomicU32::new(0) }; WORDS];

/// The words in which the application has lines, and these.
pub(super) fn words_of_lines() -> impl Iterator<Item = (u32, u32)> {
    let words = (0u32..).zip(&LINES).map(|(word, lines)| (word, lines.load(Ordering::Relaxed)));
    words.filter(|(_, lines)| *lines != 0)
}
