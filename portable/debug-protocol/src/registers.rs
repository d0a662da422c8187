//! The register file of a Cortex-M and the numbers of its registers.

use bulkhead_keyed_cbor::{Decode, Encode, Reader, Writer};

/// Words that travel as one byte string, each little-endian.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Words<const N: usize>(pub [u32; N]);

/// r0 to r12, sp, lr, pc, xpsr.
pub type Core = Words<17>;
/// msp, psp, primask, basepri, faultmask, control, msplim, psplim.
pub type System = Words<8>;
/// s0 to s31, fpscr.
pub type Float = Words<33>;

impl<const N: usize> Default for Words<N> {
    fn default() -> Self {
        Self([0; N])
    }
}

impl<const N: usize> Encode for Words<N> {
    fn encode(&self, writer: &mut Writer<'_>) {
        encode(&self.0, writer);
    }
}

impl<'b, const N: usize> Decode<'b> for Words<N> {
    fn decode(reader: &mut Reader<'b>) -> Option<Self> {
        let mut words = Self::default();
        decode(&mut words.0, reader)?;
        Some(words)
    }
}

// One copy of each for all lengths.
fn encode(words: &[u32], writer: &mut Writer<'_>) {
    let mut bytes = [0_u8; 4 * 33];
    for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    writer.bytes(bytes.get(..4 * words.len()).unwrap_or_default());
}

fn decode(words: &mut [u32], reader: &mut Reader<'_>) -> Option<()> {
    let (bytes, []) = reader.bytes()?.as_chunks() else { return None };
    if bytes.len() != words.len() {
        return None;
    }
    for (word, place) in words.iter_mut().zip(bytes) {
        *word = u32::from_le_bytes(*place);
    }
    Some(())
}

/// A register by its number in this protocol, which is also its number for GDB (d0 to d15 apart).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Register(pub u8);

impl Register {
    /// Stack pointer of the running mode.
    pub const SP: Self = Self(13);
    /// Link register.
    pub const LR: Self = Self(14);
    /// Program counter; bit 0 is clear.
    pub const PC: Self = Self(15);
    /// Program status.
    pub const XPSR: Self = Self(25);
    /// The first system register, msp; the others follow.
    pub const MSP: Self = Self(26);
    /// Process stack pointer.
    pub const PSP: Self = Self(27);
    /// The last system register.
    pub const PSPLIM: Self = Self(33);
    /// Floating-point status.
    pub const FPSCR: Self = Self(34);
    /// The first single-precision register; the other 31 follow.
    pub const S0: Self = Self(64);
    /// The last one.
    pub const S31: Self = Self(95);
}

/// Everything that a debugger sees of the processor.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RegisterFile {
    /// r0 to xpsr.
    pub core: Core,
    /// msp to psplim.
    pub system: System,
    /// s0 to fpscr, of a processor that has them.
    pub float: Option<Float>,
}

impl RegisterFile {
    /// The value of one register; `None` for one that this processor has not.
    #[must_use]
    pub fn get(&self, register: Register) -> Option<u32> {
        let mut copy = *self;
        copy.get_mut(register).map(|value| *value)
    }

    /// The place of one register.
    pub fn get_mut(&mut self, register: Register) -> Option<&mut u32> {
        let Self { core, system, float } = self;
        match register.0 {
            n @ 0..=15 => core.0.get_mut(usize::from(n)),
            25 => core.0.get_mut(16),
            n @ 26..=33 => system.0.get_mut(usize::from(n - 26)),
            34 => float.as_mut()?.0.get_mut(32),
            n @ 64..=95 => float.as_mut()?.0.get_mut(usize::from(n - 64)),
            _ => None,
        }
    }

    /// A general register, sp, lr and pc included.
    #[must_use]
    pub fn general(&self, n: u8) -> u32 {
        self.core.0.get(usize::from(n & 15)).copied().unwrap_or_default()
    }

    /// The program counter.
    #[must_use]
    pub fn pc(&self) -> u32 {
        self.general(15)
    }

    /// The stack pointer of the running mode.
    #[must_use]
    pub fn sp(&self) -> u32 {
        self.general(13)
    }

    /// The program status.
    #[must_use]
    pub fn xpsr(&self) -> u32 {
        self.get(Register::XPSR).unwrap_or_default()
    }

    /// The number of the exception being handled; 0 in a thread.
    #[must_use]
    pub fn exception(&self) -> u32 {
        self.xpsr() & 0x1FF
    }

    /// State of the IT block, as ITSTATE[7:0].
    #[must_use]
    pub fn it_state(&self) -> u8 {
        let xpsr = self.xpsr();
        let state = (xpsr >> 25 & 3) | (xpsr >> 8 & 0xFC);
        u8::try_from(state).unwrap_or_default()
    }

    /// Goes past an instruction without executing it: the program counter and the IT block move on.
    pub fn skip(&mut self, len: u32) {
        let it = self.it_state();
        let next = if it & 7 == 0 { 0 } else { (it & 0xE0) | (it << 1 & 0x1F) };
        let pc = self.pc().wrapping_add(len);
        let xpsr = self.xpsr() & !0x0600_FC00 | u32::from(next & 3) << 25 | u32::from(next & 0xFC) << 8;
        if let Some(place) = self.get_mut(Register::PC) {
            *place = pc;
        }
        if let Some(place) = self.get_mut(Register::XPSR) {
            *place = xpsr;
        }
    }
}
