//! CMSDK UART (DDI 0479, section 4.3), transmit only: the hypervisor's console.

use crate::register::Registers;
use bulkhead_hardware_ports::Console;

const DATA: u32 = 0x00;
const STATE: u32 = 0x04;
const STATE_TX_FULL: u32 = 1;
const CTRL: u32 = 0x08;
const CTRL_TX_ENABLE: u32 = 1;
const BAUDDIV: u32 = 0x10;

/// Reads of the full flag before a byte is dropped: the console never holds the hypervisor up.
const WAIT_READS_MAX: u32 = 2000;

/// A UART that writes.
pub struct Uart(Registers);

impl Uart {
    /// Takes the UART at `base`.
    ///
    /// # Safety
    /// 1. `base` is a CMSDK UART in the secure alias, owned by the secure world and by this value alone.
    pub unsafe fn new(base: u32) -> Self {
        // SAFETY: the caller's promise 1.
        let registers = unsafe { Registers::at(base) };
        registers.write(BAUDDIV, 174); // 115,200 baud at 20 MHz; the emulation ignores the rate.
        registers.write(CTRL, CTRL_TX_ENABLE);
        Self(registers)
    }
}

impl Console for Uart {
    fn write(&mut self, text: &str) {
        for byte in text.bytes() {
            let ready = (0..WAIT_READS_MAX).any(|_| self.0.read(STATE) & STATE_TX_FULL == 0);
            if ready {
                self.0.write(DATA, u32::from(byte));
            }
        }
    }
}
