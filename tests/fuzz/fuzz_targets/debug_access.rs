//! What an instruction touches is found for whatever stands in memory, and in bounds.
#![no_main]

use bulkhead_debug_agent::{AccessRefused, Memory, access};
use bulkhead_debug_protocol::{RegisterFile, Words};

/// Code at the program counter, and nothing else.
struct Code([u8; 4]);

impl Memory for Code {
    fn read(&mut self, address: u32, out: &mut [u8]) -> Result<(), AccessRefused> {
        let start = usize::try_from(address.wrapping_sub(PC)).map_err(|_| AccessRefused::Forbidden)?;
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

const PC: u32 = 0x8000_0002;
/// Most bytes that one instruction touches: 32 registers for floating point, as some encodings say.
const LEN_MAX: u32 = 4 * 255;

libfuzzer_sys::fuzz_target!(|input: ([u8; 4], [u32; 17])| {
    let (code, mut core) = input;
    core[15] = PC;
    let registers = RegisterFile { core: Words(core), ..RegisterFile::default() };
    if let Ok(Some(found)) = access(&registers, &mut Code(code)) {
        assert!(found.len > 0 && found.len <= LEN_MAX, "{found:?}");
        assert!(found.touches(found.address, 1), "{found:?}");
    }
});
