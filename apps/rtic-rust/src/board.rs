//! What RTIC wants to know of a chip: its interrupts and how many bits of priority it has.

use cortex_m::interrupt::InterruptNumber;
// Brings start-up code and vector table into the program.
use cortex_m_rt as _;

/// Bits of a priority that the hardware keeps for the non-secure world.
pub(crate) const NVIC_PRIO_BITS: u8 = 3;

/// The board's interrupt lines that an application owns and this one uses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u16)]
pub(crate) enum Interrupt {
    /// A byte was typed into the console.
    UART1 = 34,
    /// Pended by the hypervisor.
    SOFTWARE0 = 80,
    /// RTIC's dispatcher.
    SOFTWARE1 = 81,
}

pub(crate) use Interrupt as interrupt;

// SAFETY: the numbers are those of the board.
unsafe impl InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self as u16
    }
}

type Handler = unsafe extern "C" fn();

unsafe extern "C" {
    fn DefaultHandler();
    fn UART1();
    fn SOFTWARE0();
    fn SOFTWARE1();
}

const LINES: usize = 82;

#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [Handler; LINES] = {
    let mut table: [Handler; LINES] = [DefaultHandler; LINES];
    table[34] = UART1;
    table[80] = SOFTWARE0;
    table[81] = SOFTWARE1;
    table
};
