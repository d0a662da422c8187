//! Whatever expression a developer sends ends, printing or not, and reads nothing but through the checked way.
#![no_main]

use bulkhead_debug_agent::{AccessRefused, Memory, Text, command, evaluate};
use bulkhead_debug_protocol::RegisterFile;

/// A page of memory at 0, and nothing else.
struct Page([u8; 256]);

impl Memory for Page {
    fn read(&mut self, address: u32, out: &mut [u8]) -> Result<(), AccessRefused> {
        let start = usize::try_from(address).map_err(|_| AccessRefused::Forbidden)?;
        let end = start.checked_add(out.len()).ok_or(AccessRefused::Forbidden)?;
        out.copy_from_slice(self.0.get(start..end).ok_or(AccessRefused::Forbidden)?);
        Ok(())
    }

    fn is_secure(&self, _: u32) -> bool {
        false
    }

    fn vector_table(&self) -> u32 {
        0
    }
}

libfuzzer_sys::fuzz_target!(|code: &[u8]| {
    let mut page = Page(core::array::from_fn(|n| code.get(n).copied().unwrap_or_default()));
    let _ = evaluate(code, &RegisterFile::default(), &mut page);
    let mut text = Text::default();
    let _ = command(code, &RegisterFile::default(), &mut page, &mut text);
});
