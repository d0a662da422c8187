//! What the agent needs of the machine beneath it.

use bulkhead_debug_protocol::{Faults, Float, Region, Register, RegisterFile};

use crate::next::PLACES_MAX;

/// Why memory or a register was not reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AccessRefused {
    /// It is not the application's: the developer's mistake or attempt.
    Forbidden,
    /// The memory did not answer.
    Failed,
    /// This machine cannot do it.
    Unsupported,
}

/// Bytes that are guarded together, see [`DebugTarget::guard`].
pub const GUARD_GRAIN: u32 = 32;

/// The width of each access.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Width {
    /// Whatever the machine likes.
    Any,
    /// Exactly one byte.
    Byte,
    /// Exactly two, aligned.
    Half,
    /// Exactly four, aligned.
    Word,
}

/// Whether the application takes interrupts while it runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Interrupts {
    /// It does.
    Allowed,
    /// They wait.
    Held,
}

/// Why the application came to a stand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StopCause {
    /// It executed `BKPT`; the program counter is at it.
    Breakpoint,
    /// [`crate::Agent::wants_halt`] was heeded.
    HaltRequested,
    /// It faulted; the program counter is where the processor says.
    Fault(Faults),
}

/// One instruction that the application is to run although a probe stands in its place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Hop {
    /// Address of the probe.
    pub at: u32,
    /// The half-word of code that stands aside for it.
    pub original: u16,
    /// Where the instruction leads.
    pub places: [Option<u32>; PLACES_MAX],
    /// What stands in the place of code that is not to be run.
    pub breakpoint: u16,
}

/// The application's memory, read as the application would.
pub trait Memory {
    /// Reads `out.len()` bytes.
    ///
    /// # Errors
    /// The memory is not the application's or did not answer.
    fn read(&mut self, address: u32, out: &mut [u8]) -> Result<(), AccessRefused>;

    /// Whether a branch to `address` leaves the application's world.
    fn is_secure(&self, address: u32) -> bool;

    /// Address of the application's vector table.
    fn vector_table(&self) -> u32;

    /// Reads a half-word.
    ///
    /// # Errors
    /// As `read`.
    fn half(&mut self, address: u32) -> Result<u16, AccessRefused> {
        let mut bytes = [0; 2];
        self.read(address, &mut bytes)?;
        Ok(u16::from_le_bytes(bytes))
    }

    /// Reads a word.
    ///
    /// # Errors
    /// As `read`.
    fn word(&mut self, address: u32) -> Result<u32, AccessRefused> {
        let mut bytes = [0; 4];
        self.read(address, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }
}

/// An application that can be held, looked at, changed and let go.
///
/// # Laws
/// 1. Between `hold` and the next `run` the application executes nothing and takes no interrupt; its interrupts and
///    its tick wait. The link, the keepalive and updates go on.
/// 2. `registers` is what the application would see: the frame that the processor stacked is folded in, sp is the
///    value after it is unstacked, masks are the application's own even after a run with `Interrupts::Held`.
/// 3. A register that was written has its new value when the application runs. Writing sp moves the frame.
/// 4. `read`, `write` and `patch` reach memory of the application alone. No address, length or overflow of their sum
///    reaches secure memory, gateways, debug registers or keys: `Forbidden`. A refused call changed nothing.
/// 5. With an exact width every access has that width and is aligned, in ascending order, each done once.
/// 6. After `patch` the next instruction fetch sees the new half-word. It returns the old one. A patch does not
///    outlive the power: code in flash is found unpatched by the next boot and by every reader but the processor.
/// 7. `run` returns at once; the application goes on when the caller is done, until a cause of `StopCause`.
/// 8. `Held`: no interrupt of the application is taken, not even one that is pending; nothing is lost.
/// 9. While a guard is up, an access of the application to it comes to a stand before it has any effect there, with a
///    cause of `Fault` whose SFSR is not 0. The hypervisor's own accesses, system calls among them, are not hindered.
///    Guards do not outlive the application's context.
/// 10. While [`crate::Agent::glance`] looks, the application's interrupts are served, and its thread may be somewhere else by
///     the end. `registers` is what it stood with at the breakpoint, all the while. Nothing of the application's is changed
///     but by `hop`.
pub trait DebugTarget: Memory {
    /// Keeps the application where it stands.
    fn hold(&mut self);

    /// Lets it go on.
    fn run(&mut self, interrupts: Interrupts);

    /// The registers while it stands still, without those for floating point, which cost more.
    fn registers(&mut self) -> RegisterFile;

    /// The registers for floating point while it stands still, of a processor that has them.
    fn float(&mut self) -> Option<Float> {
        None
    }

    /// Writes one register while it stands still.
    ///
    /// # Errors
    /// `Unsupported`: this processor has none of that number, or it must not be written. `Forbidden`: sp would leave
    /// the application's memory.
    fn write_register(&mut self, register: Register, value: u32) -> Result<(), AccessRefused>;

    /// Reads with an exact width.
    ///
    /// # Errors
    /// As `Memory::read`; `Unsupported` where the range is not aligned.
    fn read_exact(&mut self, address: u32, out: &mut [u8], width: Width) -> Result<(), AccessRefused>;

    /// Writes memory.
    ///
    /// # Errors
    /// As `read_exact`.
    fn write(&mut self, address: u32, bytes: &[u8], width: Width) -> Result<(), AccessRefused>;

    /// Puts a half-word of code in place of another.
    ///
    /// # Errors
    /// The place is not the application's code, or cannot be written.
    fn patch(&mut self, address: u32, half: u16) -> Result<u16, AccessRefused>;

    /// The device's clock in microseconds.
    fn now_us(&self) -> u64;

    /// Name of the hypervisor's build, at most 32 bytes.
    fn build(&self) -> &'static [u8];

    /// Region `index` of the application's memory, at most `REGIONS_MAX` of them.
    fn region(&self, index: usize) -> Option<Region>;

    /// How many guards this machine has.
    fn guards_max(&self) -> usize {
        0
    }

    /// Makes ready for [`Self::hop`]; `false`: this machine cannot do it, or not there.
    fn prepare_hop(&mut self, hop: &Hop) -> bool {
        let _ = hop;
        false
    }

    /// Takes back what [`Self::prepare_hop`] did.
    fn cancel_hop(&mut self, hop: &Hop) {
        let _ = hop;
    }

    /// Lets the application go on behind the probe at which it was seen: it runs the one instruction that stands aside, with
    /// its interrupts held for no longer than that takes, and the probe is in its place again before anything else can come
    /// there. `false`: it stands somewhere else by now, and nothing was changed. Ends what [`Self::prepare_hop`] began.
    fn hop(&mut self, hop: &Hop) -> bool {
        let _ = hop;
        false
    }

    /// Puts guard `index` up, from the first to the last address of a range of whole [`GUARD_GRAIN`]s, or takes it down.
    fn guard(&mut self, index: usize, range: Option<(u32, u32)>) {
        let _ = (index, range);
    }
}
