//! Deliberate mistakes in the computation of a step. The oracle must find each of them.
//!
//! The agent reads an instruction or a register other than what stands there, and so computes what an agent would that
//! decodes it wrongly.

use crate::remote::Registers;

/// What an agent could get wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mistake {
    /// The state of an IT block is not looked at.
    ItBlockIgnored,
    /// Going past a breakpoint leaves the IT block where it was.
    SkipKeepsTheItBlock,
    /// `TBH` is scaled as `TBB` is.
    TableScale,
    /// `POP` finds the program counter one word too high.
    PopOffset,
    /// `CBZ` and `CBNZ` are mixed up.
    ZeroSense,
    /// `B<c>` goes where the opposite condition leads.
    ConditionSense,
    /// A bit of the offset of wide branches is inverted.
    LongBranchOffset,
    /// `LDMDB` is taken for `LDM`.
    MultipleDirection,
    /// A literal before the instruction is looked for behind it.
    LiteralDirection,
    /// A post-indexed load adds its offset first.
    PostIndexed,
    /// A supervisor call is taken for nothing.
    SupervisorCall,
    /// An exception returns to the other stack.
    ReturnStack,
}

impl Mistake {
    /// Each of them.
    pub const ALL: &[Self] = &[
        Self::ItBlockIgnored,
        Self::SkipKeepsTheItBlock,
        Self::TableScale,
        Self::PopOffset,
        Self::ZeroSense,
        Self::ConditionSense,
        Self::LongBranchOffset,
        Self::MultipleDirection,
        Self::LiteralDirection,
        Self::PostIndexed,
        Self::SupervisorCall,
        Self::ReturnStack,
    ];

    /// What the agent reads at `address`, in place of `half`, while `pc` is the program counter.
    pub(crate) fn misread(self, address: u32, pc: u32, bytes: &mut [u8]) {
        let Ok(half) = <[u8; 2]>::try_from(&*bytes) else { return };
        let half = u16::from_le_bytes(half);
        let wrong = match address.wrapping_sub(pc) {
            0 => self.first_half(half),
            2 => self.second_half(half),
            _ => half,
        };
        bytes.copy_from_slice(&wrong.to_le_bytes());
    }

    fn first_half(self, half: u16) -> u16 {
        match self {
            Self::PopOffset if half & 0xFF00 == 0xBD00 => half ^ 0x80,
            Self::ZeroSense if half & 0xF500 == 0xB100 => half ^ 0x0800,
            Self::ConditionSense if half & 0xF000 == 0xD000 && half & 0x0E00 != 0x0E00 => half ^ 0x0100,
            Self::MultipleDirection if half & 0xFFD0 == 0xE910 => half ^ 0x0180,
            Self::LiteralDirection if half == 0xF85F => 0xF8DF,
            Self::SupervisorCall if half & 0xFF00 == 0xDF00 => 0xBF00,
            _ => half,
        }
    }

    fn second_half(self, half: u16) -> u16 {
        match self {
            Self::TableScale if half & 0xFFF0 == 0xF010 => half ^ 0x10,
            Self::LongBranchOffset if half & 0xD000 == 0x9000 => half ^ 0x0008,
            Self::PostIndexed if half & 0xFD00 == 0xF900 => half ^ 0x0400,
            _ => half,
        }
    }

    /// What the agent takes the registers for.
    pub(crate) fn misremember(self, registers: &mut Registers) {
        match self {
            Self::ItBlockIgnored => registers[16] &= !0x0600_FC00,
            Self::ReturnStack if registers[14] >= 0xFF00_0000 => registers[14] ^= 4,
            _ => {}
        }
    }
}
