//! ELF: the segments that a loader would load.

use object::Endianness;
use object::elf::{EM_ARM, ET_EXEC, FileHeader32, PT_LOAD};
use object::read::elf::{FileHeader as _, ProgramHeader as _};

use crate::BuildError;
use crate::image::Segment;

/// Most program headers that are looked at.
const PROGRAM_HEADERS_MAX: usize = 256;

/// The loadable segments at their physical addresses: where the bytes are stored, not where they are used.
pub(crate) fn segments(file: &[u8]) -> Result<Vec<Segment>, BuildError> {
    let refused = |why: &str| BuildError::Elf(why.to_owned());
    if file.get(4) == Some(&2) {
        return Err(refused("this is a 64-bit ELF file; build for thumbv8m.main or cortex-m33"));
    }
    let header = FileHeader32::<Endianness>::parse(file).map_err(|e| refused(&e.to_string()))?;
    let endian = header.endian().map_err(|e| refused(&e.to_string()))?;
    if endian != Endianness::Little {
        return Err(refused("this is a big-endian ELF file"));
    }
    if header.e_machine(endian) != EM_ARM {
        return Err(refused("this ELF file is not for Arm; build for thumbv8m.main or cortex-m33"));
    }
    if header.e_type(endian) != ET_EXEC {
        return Err(refused("this ELF file is not linked: give the executable, not an object or a library"));
    }
    let headers = header.program_headers(endian, file).map_err(|e| refused(&e.to_string()))?;
    if headers.len() > PROGRAM_HEADERS_MAX {
        return Err(refused("this ELF file has too many program headers"));
    }
    let mut segments = Vec::new();
    let mut loaded = 0_u64;
    for program in headers.iter().filter(|program| program.p_type(endian) == PT_LOAD) {
        let bytes = program.data(endian, file).map_err(|()| refused("a segment lies outside the file"))?;
        // Segments may share the file's bytes, so the sum has a limit of its own.
        loaded += bytes.len() as u64;
        if loaded > file.len() as u64 {
            return Err(refused("its segments claim more bytes than the file has"));
        }
        let address = program.p_paddr(endian);
        if u64::from(address) + bytes.len() as u64 > 1 << 32 {
            return Err(refused("a segment ends beyond the last address"));
        }
        segments.push(Segment { address, bytes: bytes.to_vec() });
    }
    Ok(segments)
}
