//! From fault registers to the one word that a developer needs. Pure, so that it is tested on the host.

/// What the application did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Offence {
    /// Touched the secure world.
    SecureAccess,
    /// Executed where it has no code: nowhere, or in the secure world past its gateways.
    BadExecution,
    /// Stack pointer outside its memory, or below its limit.
    StackOverflow,
    /// Bus error.
    BusError,
    /// Undefined instruction, unaligned access, division by zero.
    UsageFault,
    /// Violated its own MPU.
    MemoryProtection,
    /// Breakpoint without debugger.
    Breakpoint,
    /// None of the status registers tells.
    Escalated,
}

/// The status registers at the moment of a fault.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FaultRegisters {
    /// Secure CFSR: bus faults of either world arrive here while `BFHFNMINS` is 0.
    pub cfsr_secure: u32,
    /// Non-secure CFSR.
    pub cfsr_non_secure: u32,
    /// Secure fault status.
    pub sfsr: u32,
    /// Secure fault address, when `sfsr` says it is valid.
    pub sfar: u32,
    /// Bus fault address, when `cfsr_secure` says it is valid.
    pub bfar: u32,
    /// Non-secure memory management fault address, when `cfsr_non_secure` says it is valid.
    pub mmfar: u32,
    /// The application's stack pointer.
    pub stack_pointer: u32,
    /// First and one past the last address of the application's memory.
    pub memory: (u32, u32),
    /// Instruction at the stacked program counter, if it could be read.
    pub instruction: Option<u16>,
}

// DDI 0553, SFSR.
const SFSR_INVEP: u32 = 1 << 0;
const SFSR_INVIS: u32 = 1 << 1;
const SFSR_INVER: u32 = 1 << 2;
const SFSR_SFARVALID: u32 = 1 << 6;
const SFSR_ANY: u32 = 0xFF & !SFSR_SFARVALID;
// DDI 0553, CFSR.
const IACCVIOL: u32 = 1 << 0;
const DACCVIOL: u32 = 1 << 1;
const MMARVALID: u32 = 1 << 7;
const IBUSERR: u32 = 1 << 8;
const STKERR: u32 = 1 << 12;
const MSTKERR: u32 = 1 << 4;
const BFARVALID: u32 = 1 << 15;
const BFSR_ANY: u32 = 0x7F << 8;
const INVSTATE: u32 = 1 << 17;
const INVPC: u32 = 1 << 18;
const NOCP: u32 = 1 << 19;
const STKOF: u32 = 1 << 20;
const UFSR_ANY: u32 = 0xFFFF << 16;

impl FaultRegisters {
    /// Whether an exception return was refused that only the application can have asked for.
    ///
    /// A handler of the application may return with any EXC_RETURN, into the secure world as well. The processor then
    /// looks for a frame on a secure stack, finds none (no integrity signature) or a contradiction, or does not even
    /// look because reserved bits are set, and reports the fault as one of the world that was asked for. The hypervisor's
    /// own returns are never refused.
    pub fn is_forged_return(&self) -> bool {
        self.sfsr & (SFSR_INVIS | SFSR_INVER) != 0 || (self.cfsr_secure | self.cfsr_non_secure) & INVPC != 0
    }
}

impl FaultRegisters {
    /// Whether a return to the Secure state found another kind of frame than it asked for, and nothing else was wrong.
    pub fn is_other_frame(&self) -> bool {
        self.sfsr == SFSR_INVIS && (self.cfsr_secure | self.cfsr_non_secure) == 0
    }

    /// Whether the floating-point unit was refused to the Secure state.
    pub fn is_refused_float(&self) -> bool {
        self.cfsr_secure & NOCP != 0
    }

    /// Whether a secure stack ran into its limit.
    pub fn is_secure_overflow(&self) -> bool {
        self.cfsr_secure & STKOF != 0
    }
}

/// How far below its memory a store still counts as an overflowing stack, in bytes: one large frame.
const OVERFLOW_REACH_BYTES: u32 = 4096;

/// Names the offence and the address that was touched, if known.
pub fn classify(r: &FaultRegisters) -> (Offence, Option<u32>) {
    let either = r.cfsr_secure | r.cfsr_non_secure;
    let address = if r.sfsr & SFSR_SFARVALID != 0 {
        Some(r.sfar)
    } else if r.cfsr_secure & BFARVALID != 0 {
        Some(r.bfar)
    } else if r.cfsr_non_secure & MMARVALID != 0 {
        Some(r.mmfar)
    } else {
        None
    };
    let offence = if stack_ran_out(r, either, address) {
        Offence::StackOverflow
    } else if r.sfsr & (SFSR_INVEP | SFSR_INVIS | SFSR_INVER) != 0 {
        // A jump to what is not the application's: nothing at all, or secure code that is no gateway.
        Offence::BadExecution
    } else if r.sfsr & SFSR_ANY != 0 {
        Offence::SecureAccess
    } else if either & (IBUSERR | IACCVIOL | INVSTATE | INVPC) != 0 {
        Offence::BadExecution
    } else if either & BFSR_ANY != 0 {
        Offence::BusError
    } else if either & DACCVIOL != 0 {
        Offence::MemoryProtection
    } else if either & UFSR_ANY != 0 {
        Offence::UsageFault
    } else if r.instruction.is_some_and(|i| i & 0xFF00 == 0xBE00) {
        // The emulated processor sets no DFSR bit for a BKPT: recognise it by the instruction.
        Offence::Breakpoint
    } else {
        Offence::Escalated
    };
    (offence, address)
}

fn stack_ran_out(r: &FaultRegisters, either: u32, address: Option<u32>) -> bool {
    let (low, high) = r.memory;
    if either & (STKOF | STKERR | MSTKERR) != 0 || r.stack_pointer < low || r.stack_pointer > high {
        return r.sfsr & (SFSR_INVEP | SFSR_INVIS | SFSR_INVER) == 0;
    }
    // A push that crossed the lower end faults before the stack pointer moves.
    let near_end = r.stack_pointer.wrapping_sub(low) < OVERFLOW_REACH_BYTES;
    let just_below = address.is_some_and(|a| a < low && low.wrapping_sub(a) <= OVERFLOW_REACH_BYTES);
    near_end && just_below
}

#[cfg(test)]
mod tests {
    use super::*;

    const SANE: FaultRegisters = FaultRegisters {
        cfsr_secure: 0,
        cfsr_non_secure: 0,
        sfsr: 0,
        sfar: 0,
        bfar: 0,
        mmfar: 0,
        stack_pointer: 0x2828_0000,
        memory: (0x2820_0000, 0x2828_0000),
        instruction: None,
    };

    #[test]
    fn a_refused_return_is_forged_whichever_world_it_asked_for() {
        for registers in [
            FaultRegisters { sfsr: SFSR_INVIS, ..SANE },
            FaultRegisters { sfsr: SFSR_INVER, ..SANE },
            FaultRegisters { cfsr_secure: INVPC, ..SANE },
            FaultRegisters { cfsr_non_secure: INVPC, ..SANE },
        ] {
            assert!(registers.is_forged_return(), "{registers:x?}");
        }
        assert!(!FaultRegisters { cfsr_secure: INVSTATE | STKOF, ..SANE }.is_forged_return());
    }

    #[test]
    fn a_frame_of_the_other_kind_is_told_from_a_forged_return() {
        let other = FaultRegisters { sfsr: SFSR_INVIS, ..SANE };
        assert!(other.is_other_frame());
        for more in [
            FaultRegisters { sfsr: SFSR_INVIS | SFSR_INVER, ..SANE },
            FaultRegisters { cfsr_secure: INVPC, ..other },
            FaultRegisters { cfsr_non_secure: INVPC, ..other },
            SANE,
        ] {
            assert!(!more.is_other_frame(), "{more:x?}");
        }
    }

    #[test]
    fn each_offence_is_recognised_by_its_registers() {
        let cases = [
            (
                FaultRegisters { sfsr: 0x48, sfar: 0x3800_0000, ..SANE },
                Offence::SecureAccess,
                Some(0x3800_0000),
            ),
            (FaultRegisters { sfsr: 0x01, ..SANE }, Offence::BadExecution, None),
            (FaultRegisters { sfsr: 0x02, ..SANE }, Offence::BadExecution, None),
            (FaultRegisters { sfsr: 0x04, ..SANE }, Offence::BadExecution, None),
            (FaultRegisters { cfsr_secure: IBUSERR, ..SANE }, Offence::BadExecution, None),
            (FaultRegisters { cfsr_non_secure: INVSTATE, ..SANE }, Offence::BadExecution, None),
            (
                FaultRegisters { cfsr_secure: (1 << 9) | BFARVALID, bfar: 4, ..SANE },
                Offence::BusError,
                Some(4),
            ),
            (FaultRegisters { cfsr_non_secure: 1 << 25, ..SANE }, Offence::UsageFault, None),
            (FaultRegisters { cfsr_non_secure: STKOF, ..SANE }, Offence::StackOverflow, None),
            (
                FaultRegisters { sfsr: 0x48, sfar: 0x281F_FFF0, stack_pointer: 0x2820_0008, ..SANE },
                Offence::StackOverflow,
                Some(0x281F_FFF0),
            ),
            (FaultRegisters { sfsr: 0x08, stack_pointer: 0x3800_0000, ..SANE }, Offence::StackOverflow, None),
            (FaultRegisters { instruction: Some(0xBE00), ..SANE }, Offence::Breakpoint, None),
            (SANE, Offence::Escalated, None),
        ];
        for (registers, offence, address) in cases {
            assert_eq!(classify(&registers), (offence, address), "{registers:x?}");
        }
    }
}
