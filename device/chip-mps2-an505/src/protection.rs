//! Memory and peripheral protection controllers of the SSE-200: the fence behind the SAU.

use crate::register::Registers;

const SECURE_CONTROL: u32 = 0x5008_0000;
const SECRESPCFG: u32 = 0x10;
const NSCCFG: u32 = 0x14;
const APBNSPPC0: u32 = 0x70;
const APBNSPPCEXP1: u32 = 0x84;

const MPC_SRAM3: u32 = 0x5800_9000;
const MPC_CTRL: u32 = 0x00;
const MPC_CTRL_BUS_ERROR: u32 = 1 << 4;
const MPC_BLK_MAX: u32 = 0x10;
const MPC_BLK_CFG: u32 = 0x14;
const MPC_BLK_IDX: u32 = 0x18;
const MPC_BLK_LUT: u32 = 0x1C;

/// Start of SSRAM3 in the non-secure alias.
const SRAM3_BASE: u32 = 0x2820_0000;

fn secure_control() -> Registers {
    // SAFETY: AN505 memory map: the secure privilege control block.
    unsafe { Registers::at(SECURE_CONTROL) }
}

/// Gives the peripheral at `base` (non-secure alias) to the application; `false` if this chip cannot.
pub fn assign_peripheral(base: u32) -> bool {
    let (register, bit) = match base {
        0x4000_0000 => (APBNSPPC0, 0),    // CMSDK timer 0
        0x4020_0000 => (APBNSPPCEXP1, 5), // UART 0
        0x4020_1000 => (APBNSPPCEXP1, 6), // UART 1
        0x4020_2000 => (APBNSPPCEXP1, 7), // UART 2
        _ => return false,
    };
    let control = secure_control();
    control.write(register, control.read(register) | (1 << bit));
    true
}

/// The part of SSRAM3 that the application gets.
#[derive(Clone, Copy, Debug)]
pub struct Sram3Share {
    /// First address in the non-secure alias.
    pub base: u32,
    /// Length in bytes.
    pub length: u32,
}

/// Opens blocks of SSRAM3 to the application, and makes every refused access of this chip a bus error.
///
/// Returns `false` when the share does not lie on the controller's blocks.
pub fn assign_sram3(share: Sram3Share) -> bool {
    let control = secure_control();
    control.write(SECRESPCFG, 1); // Refused peripheral accesses fault instead of reading as zero.
    control.write(NSCCFG, 0b11); // Code and RAM regions may hold gateways where the SAU says so.
    // SAFETY: AN505 memory map: the memory protection controller of SSRAM3.
    let mpc = unsafe { Registers::at(MPC_SRAM3) };
    let block_bytes = 1u32 << ((mpc.read(MPC_BLK_CFG) & 0xF) + 5);
    let Some(offset) = share.base.checked_sub(SRAM3_BASE) else { return false };
    if !offset.is_multiple_of(block_bytes) || !share.length.is_multiple_of(block_bytes) {
        return false;
    }
    mpc.write(MPC_CTRL, MPC_CTRL_BUS_ERROR);
    let (first, end) = (offset / block_bytes, (offset + share.length) / block_bytes);
    for index in 0..=mpc.read(MPC_BLK_MAX) {
        let mut bits = 0u32;
        for bit in 0..32 {
            let block = index * 32 + bit;
            bits |= u32::from(block >= first && block < end) << bit;
        }
        mpc.write(MPC_BLK_IDX, index);
        mpc.write(MPC_BLK_LUT, bits);
    }
    true
}
