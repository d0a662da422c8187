//! Interrupt lines: which world owns them, and switching them on and off.

use super::registers::{self as scs, NVIC_ICER, NVIC_IPR, NVIC_ISER, NVIC_ISPR};

/// An interrupt line of the NVIC, 0 to 239.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InterruptLine(u8);

impl InterruptLine {
    /// Highest line number plus one.
    pub const COUNT: u8 = 240;

    /// The line with this number.
    pub const fn new(number: u8) -> Option<Self> {
        if number < Self::COUNT { Some(Self(number)) } else { None }
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        self.0
    }

    pub(crate) fn word(self) -> u32 {
        u32::from(self.0 / 32) * 4
    }

    pub(crate) fn bit(self) -> u32 {
        1 << (self.0 % 32)
    }
}

/// Lets a line interrupt.
pub fn enable(line: InterruptLine) {
    scs::write(NVIC_ISER + line.word(), line.bit());
}

/// Keeps a line from interrupting; it may still become pending.
pub fn disable(line: InterruptLine) {
    scs::write(NVIC_ICER + line.word(), line.bit());
    scs::barrier();
}

/// Makes a line pending, as if its hardware had asked.
pub fn pend(line: InterruptLine) {
    scs::write(NVIC_ISPR + line.word(), line.bit());
}

/// Sets the priority of a line: 0x00 first, 0xFF last.
pub fn set_priority(line: InterruptLine, priority: u8) {
    let address = NVIC_IPR + u32::from(line.0);
    // SAFETY: NVIC_IPRn are byte-accessible registers (DDI 0553, NVIC_IPRn) and the line is in range.
    unsafe { core::ptr::write_volatile(address as *mut u8, priority) }
}
