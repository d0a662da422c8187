//! The program's file, from which code is read that the device was proved to hold.

use object::elf::PT_LOAD;
use std::collections::HashMap;

use object::read::elf::{ElfFile32, ProgramHeader as _};
use object::{LittleEndian, Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};

use crate::lines::Lines;

/// Why a file is no program for the device.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ElfError {
    /// It cannot be read.
    #[error("not an ELF file of a 32-bit processor: {0}")]
    NotElf(String),
    /// It is for another processor.
    #[error("a program for another processor than an Arm")]
    OtherProcessor,
}

/// A span of code.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) address: u32,
    pub(crate) bytes: Vec<u8>,
}

/// What of a program lies in the device's memory before it runs.
#[derive(Clone, Debug, Default)]
pub struct Elf {
    pub(crate) spans: Vec<Span>,
    /// Variables by name: address and length.
    pub(crate) variables: HashMap<String, (u32, u32)>,
    /// Addresses by line of the source.
    pub(crate) lines: Lines,
}

impl Elf {
    /// Reads a file's bytes.
    ///
    /// # Errors
    /// [`ElfError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ElfError> {
        let wrong = |error: object::Error| ElfError::NotElf(error.to_string());
        let file = ElfFile32::<LittleEndian>::parse(bytes).map_err(wrong)?;
        if file.architecture() != object::Architecture::Arm {
            return Err(ElfError::OtherProcessor);
        }
        let endian = file.endian();
        let mut spans = Vec::new();
        for header in file.elf_program_headers() {
            let loaded = header.data(endian, bytes).unwrap_or_default();
            if header.p_type(endian) == PT_LOAD && !loaded.is_empty() {
                // Where it is loaded is where it stays: initial values of variables lie there too.
                spans.push(Span { address: header.p_paddr(endian), bytes: loaded.to_vec() });
            }
        }
        let mut variables = HashMap::new();
        for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Data) {
            let place = u32::try_from(symbol.address()).ok().zip(u32::try_from(symbol.size()).ok());
            if let (Ok(name), Some(place)) = (symbol.name(), place) {
                variables.insert(name.to_owned(), place);
            }
        }
        let code = file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text);
        let mut functions: Vec<u32> =
            code.filter_map(|symbol| u32::try_from(symbol.address() & !1).ok()).collect();
        functions.sort_unstable();
        let section = |name: &str| {
            file.section_by_name(name).and_then(|section| section.data().ok()).unwrap_or_default()
        };
        let lines = Lines::read(section, &functions);
        Ok(Self { spans, variables, lines })
    }
}

/// The checksum that a device makes of its memory.
pub(crate) fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ (u32::from(*byte) << 24), |crc, _| {
            if crc >> 31 == 1 { (crc << 1) ^ 0x04C1_1DB7 } else { crc << 1 }
        })
    })
}
