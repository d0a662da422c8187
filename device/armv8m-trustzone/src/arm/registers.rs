//! Addresses of the System Control Space, and the one way to touch them.

// DDI 0553, D1.1: the Non-secure alias of a banked register lies 0x2_0000 above the Secure view.
pub(crate) const NON_SECURE_ALIAS: u32 = 0x0002_0000;

pub(crate) const NVIC_ISER: u32 = 0xE000_E100;
pub(crate) const NVIC_ICER: u32 = 0xE000_E180;
pub(crate) const NVIC_ISPR: u32 = 0xE000_E200;
pub(crate) const NVIC_ICPR: u32 = 0xE000_E280;
pub(crate) const NVIC_IABR: u32 = 0xE000_E300;
pub(crate) const NVIC_ITNS: u32 = 0xE000_E380;
pub(crate) const NVIC_IPR: u32 = 0xE000_E400;

pub(crate) const SYST_CSR: u32 = 0xE000_E010;
pub(crate) const SYST_RVR: u32 = 0xE000_E014;
pub(crate) const SYST_CVR: u32 = 0xE000_E018;

pub(crate) const ICSR: u32 = 0xE000_ED04;
pub(crate) const ICSR_PENDSVSET: u32 = 1 << 28;
pub(crate) const ICSR_PENDSVCLR: u32 = 1 << 27;
pub(crate) const ICSR_PENDSTSET: u32 = 1 << 26;
pub(crate) const ICSR_PENDSTCLR: u32 = 1 << 25;

pub(crate) const VTOR: u32 = 0xE000_ED08;
pub(crate) const AIRCR: u32 = 0xE000_ED0C;
pub(crate) const AIRCR_KEY: u32 = 0x05FA_0000;
pub(crate) const AIRCR_PRIS: u32 = 1 << 14;
pub(crate) const AIRCR_BFHFNMINS: u32 = 1 << 13;
pub(crate) const AIRCR_SYSRESETREQS: u32 = 1 << 3;
pub(crate) const AIRCR_SYSRESETREQ: u32 = 1 << 2;
pub(crate) const SCR: u32 = 0xE000_ED10;
pub(crate) const SCR_SLEEPDEEPS: u32 = 1 << 3;
pub(crate) const CCR: u32 = 0xE000_ED14;
pub(crate) const SHPR1: u32 = 0xE000_ED18;
pub(crate) const SHPR2: u32 = 0xE000_ED1C;
pub(crate) const SHPR3: u32 = 0xE000_ED20;
pub(crate) const SHCSR: u32 = 0xE000_ED24;
pub(crate) const SHCSR_ENABLE_ALL: u32 = 0xF << 16;
pub(crate) const CFSR: u32 = 0xE000_ED28;
pub(crate) const HFSR: u32 = 0xE000_ED2C;
pub(crate) const MMFAR: u32 = 0xE000_ED34;
pub(crate) const BFAR: u32 = 0xE000_ED38;
pub(crate) const FPCCR: u32 = 0xE000_EF34;
pub(crate) const FPDSCR: u32 = 0xE000_EF3C;
// DDI 0553, FPCCR: automatic and lazy state preservation on, nothing pending; only the Secure state may switch the second.
pub(crate) const FPCCR_RESET: u32 = 0b11 << 30;
pub(crate) const FPCCR_LSPENS: u32 = 1 << 29;
/// A save of floating-point registers is due.
pub(crate) const FPCCR_LSPACT: u32 = 1 << 0;
/// It is one of an unprivileged thread.
pub(crate) const FPCCR_USER: u32 = 1 << 1;
/// It is one of the Secure state.
pub(crate) const FPCCR_S: u32 = 1 << 2;
/// It is one of a thread.
pub(crate) const FPCCR_THREAD: u32 = 1 << 3;
pub(crate) const FPCAR: u32 = 0xE000_EF38;
pub(crate) const MVFR0: u32 = 0xE000_EF40;
pub(crate) const CPACR: u32 = 0xE000_ED88;
pub(crate) const NSACR: u32 = 0xE000_ED8C;
pub(crate) const MPU_TYPE: u32 = 0xE000_ED90;
pub(crate) const MPU_CTRL: u32 = 0xE000_ED94;
pub(crate) const MPU_CTRL_ENABLE: u32 = 1 << 0;
pub(crate) const MPU_RNR: u32 = 0xE000_ED98;
pub(crate) const MPU_RBAR: u32 = 0xE000_ED9C;
pub(crate) const MPU_RLAR: u32 = 0xE000_EDA0;
pub(crate) const MPU_RLAR_ENABLE: u32 = 1 << 0;
/// From base and limit of the selected region, which is a multiple of four, to those of the next: it and three behind it are
/// seen at once.
pub(crate) const MPU_WINDOW_STEP: u32 = 8;
pub(crate) const SAU_CTRL: u32 = 0xE000_EDD0;
pub(crate) const SAU_TYPE: u32 = 0xE000_EDD4;
pub(crate) const SAU_RNR: u32 = 0xE000_EDD8;
pub(crate) const SAU_RBAR: u32 = 0xE000_EDDC;
pub(crate) const SAU_RLAR: u32 = 0xE000_EDE0;
pub(crate) const SFSR: u32 = 0xE000_EDE4;
pub(crate) const SFAR: u32 = 0xE000_EDE8;

/// Reads a register of the System Control Space.
pub(crate) fn read(address: u32) -> u32 {
    // SAFETY: every address above is a readable 32-bit register of each Armv8-M Mainline processor with the
    // Security Extension, and this image runs privileged in the Secure state.
    unsafe { core::ptr::read_volatile(address as *const u32) }
}

/// Writes a register of the System Control Space.
pub(crate) fn write(address: u32, value: u32) {
    // SAFETY: as in `read`; writing them changes no Rust object.
    unsafe { core::ptr::write_volatile(address as *mut u32, value) }
}

/// Completes all writes before the next instruction depends on them.
pub(crate) fn barrier() {
    // SAFETY: barriers have no effect on memory safety.
    unsafe { core::arch::asm!("dsb", "isb", options(nostack, preserves_flags)) }
}
