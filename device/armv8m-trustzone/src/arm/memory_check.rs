//! May the application touch this? Asked of the board's table of memories and of the processor itself, for every pointer
//! of a system call.
//!
//! The table keeps the hypervisor from ever touching a peripheral for the application: reads there have side effects, and
//! one that faults would be the hypervisor's fault.

use super::copy::copy;
use super::critical::Shared;
use super::guards;
use super::registers::{
    self as scs, MPU_CTRL, MPU_CTRL_ENABLE, MPU_RBAR, MPU_RLAR, MPU_RLAR_ENABLE, MPU_RNR, MPU_TYPE,
    MPU_WINDOW_STEP, NON_SECURE_ALIAS,
};

/// A memory of the application: first address, length in bytes, writable.
pub type MemoryRegion = (u32, u32, bool);

struct Memories {
    /// The first of them that can be written. Most pointers are to it.
    usual: MemoryRegion,
    all: &'static [MemoryRegion],
}

static MEMORIES: Shared<Memories> = Shared::new(Memories { usual: (0, 0, false), all: &[] });

/// Says which memories the application has; until then every check fails.
pub fn set_memories(memories: &'static [MemoryRegion]) {
    let Some(usual) = memories.iter().find(|(.., writable)| *writable) else { return };
    MEMORIES.with(|m| *m = Memories { usual: *usual, all: memories });
    super::homecoming::set_stacks(*usual);
}

fn in_memory(address: u32, len: u32, intent: Intent) -> bool {
    let fits = |(base, length, writable): &MemoryRegion| {
        // Below the base it is more than any length.
        let offset = address.wrapping_sub(*base);
        offset <= *length && len <= *length - offset && (*writable || intent == Intent::Read)
    };
    MEMORIES.with(|m| fits(&m.usual) || m.all.iter().any(fits))
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
pub(super) const NON_SECURE_READ_WRITE: u32 = 1 << 21;
pub(super) const SECURE: u32 = 1 << 22;

/// Regions of the SAU and the MPU begin and end at multiples of so many bytes.
const GRANULE_BYTES: u32 = 32;
const GRANULE_MASK: u32 = GRANULE_BYTES - 1;
/// Up to this length each granule is asked about: that is sooner done than to look at every region of the MPU.
const FEW_GRANULES_BYTES: u32 = 4 * GRANULE_BYTES;

/// Longest range of one check in bytes: bounds the time of a system call.
pub const CHECK_LEN_MAX: u32 = 4096;

/// Whether the calling application may do `intent` on all of `[address, address + len)`.
pub fn allowed(address: u32, len: u32, intent: Intent) -> bool {
    checked(address, len, intent, caller_is_unprivileged(), || {})
}

/// Does `work` on a range, out of the way of guards, if the application may do `intent` there.
fn checked(address: u32, len: u32, intent: Intent, unprivileged: bool, work: impl FnOnce()) -> bool {
    guards::lifted(address, len, || {
        let may = may(address, len, intent, unprivileged);
        if may {
            work();
        }
        may
    })
}

/// Asks with the privilege of the caller, so that an unprivileged task cannot use the hypervisor to get past the
/// application's own MPU. The range must lie in one region of the SAU.
// Out of line: the attack matrix has an image in which it always says yes.
#[inline(never)]
fn may(address: u32, len: u32, intent: Intent, unprivileged: bool) -> bool {
    let beyond = len.wrapping_sub(1);
    let Some(last) = address.checked_add(beyond).filter(|_| beyond < CHECK_LEN_MAX) else { return false };
    in_memory(address, len, intent) && is_attributed(address, last, intent, unprivileged)
}

/// Asks the processor about all from `first` to `last`, in as few questions as answer for it: one at each place where the
/// answer may change. A region of the SAU is left nowhere but at its ends; the application's MPU changes nothing while it
/// is off.
fn is_attributed(first: u32, last: u32, intent: Intent, unprivileged: bool) -> bool {
    let needed = match intent {
        Intent::Read => SREGION_VALID | NON_SECURE_READ,
        Intent::Write => SREGION_VALID | NON_SECURE_READ_WRITE,
    };
    let answer = test_target(first, unprivileged);
    if answer & (SECURE | needed) != needed {
        return false;
    }
    let border = first | GRANULE_MASK;
    if last <= border {
        return true;
    }
    let told = SECURE | needed | SREGION_MASK;
    let alike = |at| test_target(at, unprivileged) & told == answer & told;
    if !alike(last) {
        return false;
    }
    if scs::read(MPU_CTRL + NON_SECURE_ALIAS) & MPU_CTRL_ENABLE == 0 {
        return true;
    }
    if last.wrapping_sub(border) <= FEW_GRANULES_BYTES {
        return (border.saturating_add(GRANULE_BYTES)..last).step_by(GRANULE_BYTES as usize).all(alike);
    }
    mpu_borders_between(first, last, alike)
}

/// The application selects a region of its MPU and then describes it: whoever comes between leaves the selection alone.
static MPU_SELECTION: Shared<()> = Shared::new(());

/// Whether `holds` for all places behind `first`, up to `last`, where the application's MPU may change its mind: where one of
/// its regions begins, and behind where it ends.
fn mpu_borders_between(first: u32, last: u32, holds: impl Fn(u32) -> bool) -> bool {
    let n_regions = scs::read(MPU_TYPE + NON_SECURE_ALIAS) >> 8 & 0xFF;
    let is_between = |at: u32| at.wrapping_sub(first).wrapping_sub(1) < last.wrapping_sub(first);
    let region_holds = |(base, limit): (u32, u32)| {
        // Their lowest bits are no address and change nothing here.
        let is_apart = base > last | GRANULE_MASK || limit < first & !GRANULE_MASK;
        if limit & MPU_RLAR_ENABLE == 0 || is_apart {
            return true;
        }
        let borders = [base & !GRANULE_MASK, (limit | GRANULE_MASK).wrapping_add(1)];
        borders.into_iter().all(|at| !is_between(at) || holds(at))
    };
    MPU_SELECTION.with(|()| {
        let selected = scs::read(MPU_RNR + NON_SECURE_ALIAS);
        let window = |register: u32, nth: u32| scs::read(register + NON_SECURE_ALIAS + nth * MPU_WINDOW_STEP);
        let all = (0..n_regions).step_by(4).all(|region| {
            scs::write(MPU_RNR + NON_SECURE_ALIAS, region);
            let holds = |nth| region_holds((window(MPU_RBAR, nth), window(MPU_RLAR, nth)));
            holds(0) && holds(1) && holds(2) && holds(3)
        });
        scs::write(MPU_RNR + NON_SECURE_ALIAS, selected);
        all
    })
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
    checked(address, len, Intent::Read, caller_is_unprivileged(), || {
        // SAFETY: the processor has just said that the range is non-secure and readable; `out` is secure memory.
        unsafe { copy(out.as_mut_ptr(), address as *const u8, out.len()) };
    })
}

/// Copies `bytes` to the application's memory, if it may write there.
pub fn copy_out(address: u32, bytes: &[u8]) -> bool {
    let Ok(len) = u32::try_from(bytes.len()) else { return false };
    checked(address, len, Intent::Write, caller_is_unprivileged(), || {
        // SAFETY: as in `copy_in`, and writable.
        unsafe { copy(address as *mut u8, bytes.as_ptr(), bytes.len()) };
    })
}

/// Writes the first words of a frame of `len` bytes to the caller's stack, if all of it may be written with its privilege.
pub(super) fn write_frame(address: u32, len: u32, words: &[u32; 8], unprivileged: bool) -> bool {
    checked(address, len, Intent::Write, unprivileged, || {
        // SAFETY: as in `copy_out`; the frame is longer than its first words.
        unsafe { copy(address as *mut u8, words.as_ptr().cast(), size_of_val(words)) };
    })
}

/// The half-word or word of the application's memory at an address that is a multiple of its size, if it may be read. For
/// the executor, which asks at each tick: less is checked than for a range.
pub(super) fn one<T: Copy>(address: u32) -> Option<T> {
    let len = u32::try_from(size_of::<T>()).unwrap_or(u32::MAX);
    // It does not cross the border of a region.
    let may = address.is_multiple_of(len) && in_memory(address, len, Intent::Read);
    guards::lifted(address, len, || {
        let answer = if may { test_target(address, false) } else { 0 };
        let readable = answer & (SECURE | SREGION_VALID | NON_SECURE_READ) == SREGION_VALID | NON_SECURE_READ;
        // SAFETY: as in `copy_in`.
        readable.then(|| unsafe { core::ptr::read_volatile(address as *const T) })
    })
}
