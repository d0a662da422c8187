//! A patch for some old image: it is refused or makes an image, reading only what exists and doing bounded work.
//!
//! Two bytes of the old image's length, two of the new one's, little-endian; the old image; the patch.
#![no_main]

use bulkhead_fuzz::check_patch;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(([a, b, c, d], rest)) = bytes.split_first_chunk::<4>() else { return };
    let old_len = usize::from(u16::from_le_bytes([*a, *b])).min(rest.len());
    let (old, patch) = rest.split_at(old_len);
    check_patch(old, patch, u16::from_le_bytes([*c, *d]).into());
});
