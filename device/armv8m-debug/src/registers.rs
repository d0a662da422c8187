//! Addresses and bits of the debug registers (DDI 0553, chapter D1).

/// System handler priorities 12 to 15.
pub const SHPR3: u32 = 0xE000_ED20;
/// Hard fault status.
pub const HFSR: u32 = 0xE000_ED2C;
/// Debug fault status; bits are cleared by writing 1.
pub const DFSR: u32 = 0xE000_ED30;
/// Halting control and status.
pub const DHCSR: u32 = 0xE000_EDF0;
/// Exceptions and monitor control.
pub const DEMCR: u32 = 0xE000_EDFC;
/// Authentication control.
pub const DAUTHCTRL: u32 = 0xE000_EE04;
/// Authentication status.
pub const DAUTHSTATUS: u32 = 0xE000_EFB8;
/// Data watchpoint control.
pub const DWT_CTRL: u32 = 0xE000_1000;
/// First data comparator; the next is 16 bytes on.
pub const DWT_COMP0: u32 = 0xE000_1020;
/// What the first data comparator does; the next is 16 bytes on.
pub const DWT_FUNCTION0: u32 = 0xE000_1028;
/// Breakpoint control.
pub const FP_CTRL: u32 = 0xE000_2000;
/// First breakpoint comparator; the next is 4 bytes on.
pub const FP_COMP0: u32 = 0xE000_2008;

/// HFSR: a debug event came where DebugMonitor could not be taken.
pub const HFSR_DEBUGEVT: u32 = 1 << 31;
/// DFSR: a step, or a halt that was asked for.
pub const DFSR_HALTED: u32 = 1;
/// DFSR: a breakpoint, in code or by a comparator.
pub const DFSR_BKPT: u32 = 1 << 1;
/// DFSR: a data comparator.
pub const DFSR_DWTTRAP: u32 = 1 << 2;
/// DHCSR: a probe has control.
pub const DHCSR_C_DEBUGEN: u32 = 1;
/// DEMCR: DebugMonitor is enabled.
pub const DEMCR_MON_EN: u32 = 1 << 16;
/// DEMCR: DebugMonitor is pending.
pub const DEMCR_MON_PEND: u32 = 1 << 17;
/// DEMCR: DebugMonitor is pended after one instruction.
pub const DEMCR_MON_STEP: u32 = 1 << 18;
/// DEMCR: DebugMonitor belongs to the secure world. Read-only.
pub const DEMCR_SDME: u32 = 1 << 20;
/// DEMCR: the data watchpoint unit has power.
pub const DEMCR_TRCENA: u32 = 1 << 24;
/// DAUTHCTRL: invasive debug of the secure world is decided by the next bit, not by a pin.
pub const DAUTHCTRL_SPIDENSEL: u32 = 1;
/// DAUTHCTRL: it is allowed.
pub const DAUTHCTRL_INTSPIDEN: u32 = 1 << 1;
/// DAUTHSTATUS: non-invasive debug of the non-secure world, two bits.
pub const DAUTHSTATUS_NSNID: u32 = 0b11 << 2;
/// FP_CTRL: the comparators are on.
pub const FP_CTRL_ENABLE: u32 = 1;
/// FP_CTRL: without this a write is ignored.
pub const FP_CTRL_KEY: u32 = 1 << 1;
/// FP_COMPn of the second revision: the comparator is on; the other bits are the address.
pub const FP_COMP_ENABLE: u32 = 1;
/// DWT_FUNCTIONn: match on a data address that is read or written.
pub const MATCH_ACCESS: u32 = 0b0100;
/// DWT_FUNCTIONn: match on a data address that is written.
pub const MATCH_WRITE: u32 = 0b0101;
/// DWT_FUNCTIONn: match on a data address that is read.
pub const MATCH_READ: u32 = 0b0110;
/// DWT_FUNCTIONn: the last address of the range that the comparator before it begins.
pub const MATCH_LIMIT: u32 = 0b0111;
/// DWT_FUNCTIONn: a match is a debug event.
pub const ACTION_EVENT: u32 = 0b01 << 4;
/// DWT_FUNCTIONn: where the size of the watched data is, as a power of two.
pub const DATAVSIZE_SHIFT: u32 = 10;
/// DWT_FUNCTIONn: it matched since it was read last.
pub const MATCHED: u32 = 1 << 24;
/// EXC_RETURN: the secure world was interrupted.
pub const EXC_RETURN_SECURE: u32 = 1 << 6;

/// How many breakpoint comparators an FP_CTRL tells of.
#[must_use]
pub const fn code_comparators(fp_ctrl: u32) -> u32 {
    (fp_ctrl >> 8 & 0x70) | (fp_ctrl >> 4 & 15)
}

/// The revision of the breakpoint unit less one.
#[must_use]
pub const fn breakpoint_revision(fp_ctrl: u32) -> u32 {
    fp_ctrl >> 28
}

/// How many data comparators a DWT_CTRL tells of.
#[must_use]
pub const fn data_comparators(dwt_ctrl: u32) -> u32 {
    dwt_ctrl >> 28
}
