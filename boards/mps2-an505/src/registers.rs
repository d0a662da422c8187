//! Registers that a developer may look at and change: of the application's peripherals, and of the processor as the
//! application sees it.

use bulkhead_armv8m_trustzone as world;
use bulkhead_debug_agent::AccessRefused;
use bulkhead_debug_protocol::{Region, RegionKind};

use crate::board;

/// The System Control Space. DDI 0553, D1.1: the hypervisor reaches the application's bank of it 0x2_0000 above.
const CONTROL_SPACE: (u32, u32) = (0xE000_E000, 0x1000);
const NON_SECURE_ALIAS: u32 = 0x0002_0000;

/// What of it nobody reads through the debugger: registers that steer the processor's own debug logic.
const HIDDEN: &[(u32, u32)] = &[(0xE000_EDF0, 0x20), (0xE000_EFB0, 0x10)];

/// What of it can be written: interrupts, exceptions, the application's own MPU. What the application does there itself
/// harms nobody, nor does a developer; resets, sleep and what marks handlers as active are left out.
const WRITABLE: &[(u32, u32)] = &[
    (0xE000_E100, 0x200),
    (0xE000_E400, 0x1F0),
    (0xE000_ED04, 8),
    (0xE000_ED14, 0x10),
    (0xE000_ED28, 4),
    (0xE000_ED90, 0x38),
];

/// What is about to be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Intent {
    /// Read.
    Read,
    /// Write.
    Write,
}

/// Registers that may be touched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Where the hypervisor reaches them.
    at: u32,
}

fn holds((base, length): (u32, u32), address: u32, len: u32) -> bool {
    let end = address.checked_sub(base).and_then(|offset| offset.checked_add(len));
    end.is_some_and(|end| end <= length)
}

fn overlaps((base, length): (u32, u32), address: u32, len: u32) -> bool {
    address.wrapping_sub(base) < length || base.wrapping_sub(address) < len
}

/// The registers in `[address, address + len)`; `None` where there are none for this purpose.
pub(crate) fn place(address: u32, len: usize, intent: Intent) -> Option<Place> {
    let len = u32::try_from(len).ok().filter(|len| *len > 0)?;
    if board::APPLICATION_PERIPHERALS.iter().any(|range| holds(*range, address, len)) {
        return Some(Place { at: address });
    }
    let allowed = match intent {
        Intent::Read => {
            holds(CONTROL_SPACE, address, len) && !HIDDEN.iter().any(|range| overlaps(*range, address, len))
        }
        Intent::Write => WRITABLE.iter().any(|range| holds(*range, address, len)),
    };
    allowed.then(|| Place { at: address.wrapping_add(NON_SECURE_ALIAS) })
}

/// Reads, each register once, in ascending order. `width` divides address and length.
pub(crate) fn read(place: Place, out: &mut [u8], width: usize) -> Result<(), AccessRefused> {
    let width_bytes = u32::try_from(width).map_err(|_| AccessRefused::Unsupported)?;
    for (at, room) in (place.at..).step_by(width).zip(out.chunks_exact_mut(width)) {
        // SAFETY: a register of the application's peripherals or its own view of the processor, see `place`, aligned as
        // the caller checked.
        let value = unsafe { world::peek::read(at, width_bytes) }.ok_or(AccessRefused::Failed)?;
        for (byte, value) in room.iter_mut().zip(value.to_le_bytes()) {
            *byte = value;
        }
    }
    Ok(())
}

/// Writes, each register once, in ascending order. `width` divides address and length.
pub(crate) fn write(place: Place, bytes: &[u8], width: usize) -> Result<(), AccessRefused> {
    let width_bytes = u32::try_from(width).map_err(|_| AccessRefused::Unsupported)?;
    for (at, bytes) in (place.at..).step_by(width).zip(bytes.chunks_exact(width)) {
        let value = bytes.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte));
        // SAFETY: as above; the application could write there itself.
        if !unsafe { world::peek::write(at, width_bytes, value) } {
            return Err(AccessRefused::Failed);
        }
    }
    Ok(())
}

/// The regions that hold such registers.
pub(crate) fn regions() -> impl Iterator<Item = Region> {
    let all = board::APPLICATION_PERIPHERALS.iter().chain(core::iter::once(&CONTROL_SPACE));
    all.map(|(address, len)| Region { address: *address, len: *len, kind: RegionKind::Device })
}
