//! May the application touch this? Asked of the board's table of memories and of the processor itself, for every pointer
//! of a system call.
//!
//! The table keeps the hypervisor from ever touching a peripheral for the application: reads there have side effects, and
//! one that faults would be the hypervisor's fault.

use super::critical::Shared;
use super::guards;

/// A memory of the application: first address, length in bytes, writable.
pub type MemoryRegion = (u32, u32, bool);

static MEMORIES: Shared<&'static [MemoryRegion]> = Shared::new(&[]);

/// Says which memories the application has; until then every check fails.
pub fn set_memories(memories: &'static [MemoryRegion]) {
    MEMORIES.with(|m| *m = memories);
}

fn in_memory(address: u32, len: u32, intent: Intent) -> bool {
    MEMORIES.with(|m| *m).iter().any(|(base, length, writable)| {
        let end = address.checked_sub(*base).and_then(|offset| offset.checked_add(len));
        (*writable || intent == Intent::Read) && end.is_some_and(|end| end <= *length)
    })
}

/// Whether `[address, address + len)` lies in one memory of the application, whatever its MPU says.
pub(super) fn is_readable(address: u32, len: u32) -> bool {
    in_memory(address, len, Intent::Read)
}

/// What the hypervisor is about to do on the application's behalf.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Intent {
    /// Read from its memory.
    Read,
    /// Write to its memory.
    Write,
}

// DDI 0553, TT_RESP: bits of the answer of `TTA`.
const SREGION_MASK: u32 = 0xFF << 8;
const SREGION_VALID: u32 = 1 << 17;
const NON_SECURE_READ: u32 = 1 << 20;
const NON_SECURE_READ_WRITE: u32 = 1 << 21;
const SECURE: u32 = 1 << 22;

/// Smallest MPU region of Armv8-M in bytes: two answers this far apart leave no gap.
const MPU_GRANULE_BYTES: u32 = 32;

/// Longest range of one check in bytes: bounds the time of a system call.
pub const CHECK_LEN_MAX: u32 = 4096;

/// Whether the calling application may do `intent` on all of `[address, address + len)`.
///
/// Asks with the privilege of the caller, so that an unprivileged task cannot use the hypervisor to get past the
/// application's own MPU. The range must lie in one region of the SAU.
#[inline(never)]
pub fn allowed(address: u32, len: u32, intent: Intent) -> bool {
    if len == 0 || len > CHECK_LEN_MAX || !in_memory(address, len, intent) {
        return false;
    }
    guards::lifted(address, len, || is_attributed(address, len, intent))
}

/// Asks the processor about each granule of a range.
fn is_attributed(address: u32, len: u32, intent: Intent) -> bool {
    let Some(last) = address.checked_add(len - 1) else { return false };
    let needed = match intent {
        Intent::Read => NON_SECURE_READ,
        Intent::Write => NON_SECURE_READ_WRITE,
    };
    let unprivileged = caller_is_unprivileged();
    let first_answer = test_target(address, unprivileged);
    let mut at = address;
    loop {
        let answer = test_target(at, unprivileged);
        let same_region =
            answer & (SREGION_MASK | SREGION_VALID) == first_answer & (SREGION_MASK | SREGION_VALID);
        if answer & SECURE != 0 || answer & SREGION_VALID == 0 || answer & needed == 0 || !same_region {
            return false;
        }
        if at == last {
            return true;
        }
        at = match (at | (MPU_GRANULE_BYTES - 1)).checked_add(1) {
            Some(next) if next < last => next,
            _ => last,
        };
    }
}

fn caller_is_unprivileged() -> bool {
    let (ipsr, control_ns): (u32, u32);
    // SAFETY: reads two registers.
    unsafe {
        core::arch::asm!("mrs {0}, ipsr", "mrs {1}, control_ns", out(reg) ipsr, out(reg) control_ns,
            options(nomem, nostack, preserves_flags));
    }
    ipsr & 0x1FF == 0 && control_ns & 1 != 0
}

fn test_target(address: u32, unprivileged: bool) -> u32 {
    let answer;
    if unprivileged {
        // SAFETY: TTAT reads attribution, not memory.
        unsafe {
            core::arch::asm!("ttat {0}, {1}", out(reg) answer, in(reg) address, options(nomem, nostack))
        };
    } else {
        // SAFETY: TTA reads attribution, not memory.
        unsafe {
            core::arch::asm!("tta {0}, {1}", out(reg) answer, in(reg) address, options(nomem, nostack))
        };
    }
    answer
}

/// Whether `address` is not the application's: secure, or a gateway.
pub(super) fn is_secure(address: u32) -> bool {
    test_target(address, false) & SECURE != 0
}

/// Copies `[address, address + out.len())` of the application's memory, if it may read it.
pub fn copy_in(address: u32, out: &mut [u8]) -> bool {
    let Ok(len) = u32::try_from(out.len()) else { return false };
    if !allowed(address, len, Intent::Read) {
        return false;
    }
    guards::lifted(address, len, || {
        for (offset, byte) in (0u32..).zip(out) {
            // SAFETY: the processor has just said that the range is non-secure and readable. It is never borrowed: the
            // application may change it at any time, so each byte is read once.
            *byte = unsafe { core::ptr::read_volatile(address.wrapping_add(offset) as *const u8) };
        }
    });
    true
}

/// Copies `bytes` to the application's memory, if it may write there.
pub fn copy_out(address: u32, bytes: &[u8]) -> bool {
    let Ok(len) = u32::try_from(bytes.len()) else { return false };
    if !allowed(address, len, Intent::Write) {
        return false;
    }
    guards::lifted(address, len, || {
        for (offset, byte) in (0u32..).zip(bytes) {
            // SAFETY: as in `copy_in`, and writable.
            unsafe { core::ptr::write_volatile(address.wrapping_add(offset) as *mut u8, *byte) };
        }
    });
    true
}
