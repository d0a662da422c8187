//! Whether an address is where an instruction begins.
//!
//! A comparator on the second half-word of a 32-bit instruction is CONSTRAINED UNPREDICTABLE, so it is never set.

use bulkhead_debug_agent::{AccessRefused, Memory, is_wide};

/// Half-words that are looked at before an address.
const LOOK_BACK_MAX: u32 = 64;

/// Whether an instruction begins at `address`, if what lies before it is code.
///
/// A half-word that cannot begin a 32-bit instruction ends one: it is an instruction of 16 bits or a second half. Behind
/// it those that could pair up, so an odd number of them before `address` means that the last reaches over it.
///
/// # Errors
/// The code could not be read, or there is no end of half-words that could begin an instruction.
pub fn begins_instruction(memory: &mut impl Memory, address: u32) -> Result<bool, AccessRefused> {
    if address & 1 != 0 {
        return Ok(false);
    }
    for n in 0..LOOK_BACK_MAX {
        let before = address.wrapping_sub(2).wrapping_sub(2 * n);
        // Nothing lies before the first half-word of the application's memory.
        let Ok(half) = memory.half(before) else { return Ok(n.is_multiple_of(2)) };
        if !is_wide(half) {
            return Ok(n.is_multiple_of(2));
        }
    }
    Err(AccessRefused::Unsupported)
}
