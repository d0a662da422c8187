//! What an ELF file will occupy on a chip.

use std::path::Path;

use anyhow::{Context, Result};
use object::{Object, ObjectSection, SectionFlags, SectionKind};

/// Memory an image needs before it runs its first instruction.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Footprint {
    /// Code, constants and the initial values of data, in bytes.
    pub(crate) flash_bytes: u64,
    /// Data and zeroed memory, in bytes. Stacks count when the image reserves them in a section.
    pub(crate) ram_bytes: u64,
}

/// Reads the sections of the ELF file at `path`.
///
/// # Errors
/// The file cannot be read or is not ELF.
pub(crate) fn footprint(path: &Path) -> Result<Footprint> {
    let bytes = std::fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
    let file = object::File::parse(&*bytes).with_context(|| format!("{} is not ELF", path.display()))?;
    let mut sum = Footprint::default();
    for section in file.sections() {
        let SectionFlags::Elf { sh_flags, .. } = section.flags() else { continue };
        let allocated = sh_flags.0 & object::elf::SHF_ALLOC.0 != 0;
        if !allocated {
            continue;
        }
        let writable = sh_flags.0 & object::elf::SHF_WRITE.0 != 0;
        let zeroed = section.kind() == SectionKind::UninitializedData;
        if !zeroed {
            sum.flash_bytes += section.size();
        }
        if writable || zeroed {
            sum.ram_bytes += section.size();
        }
    }
    Ok(sum)
}
