//! The program that crashed: its code, its names, its call frame information.

use std::rc::Rc;

use addr2line::Context;
use bulkhead_crash_dump::{CodeMark, code_crc};
use gimli::{
    BaseAddresses, CfaRule, DebugFrame, EndianRcSlice, LittleEndian, Reader as _, Register, RegisterRule,
    Section as _, UnwindContext, UnwindSection as _,
};
use object::elf::PT_LOAD;
use object::read::elf::{ElfFile32, ProgramHeader as _};
use object::{LittleEndian as Little, Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};

type Bytes = EndianRcSlice<LittleEndian>;

/// What an erased byte of flash reads as: what lies between the segments of an image.
const ERASED: u8 = 0xFF;
/// Longest code that is compared, in bytes.
const CODE_LEN_MAX: u32 = 64 << 20;

/// Why a file is no program.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ProgramError {
    /// It cannot be read.
    #[error("not an ELF file of a 32-bit processor: {0}")]
    NotElf(String),
    /// It is for another processor.
    #[error("a program for another processor than an Arm")]
    OtherProcessor,
    /// Its debug information is damaged.
    #[error("its debug information cannot be read: {0}")]
    Dwarf(String),
}

/// Whether a program is the one that crashed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Match {
    /// Its code is what the device ran.
    Same,
    /// Its code is another.
    Differs,
    /// The dump ends before it says what the code was.
    Unknown,
}

/// A place in the source.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    pub(crate) function: Option<String>,
    pub(crate) file: Option<String>,
    pub(crate) line: Option<u32>,
}

/// What calls a function leaves behind, at one of its instructions.
pub(crate) struct Row {
    cfa: CfaRule<usize>,
    rules: Vec<(u16, RegisterRule<usize>)>,
}

/// The caller's registers, as far as they are known.
pub(crate) type Registers = [Option<u32>; 16];

/// A program.
pub struct Program {
    context: Context<Bytes>,
    frames: DebugFrame<Bytes>,
    symbols: Vec<(u32, u32, String)>,
    segments: Vec<(u32, Vec<u8>)>,
}

impl Program {
    /// Reads a file's bytes.
    ///
    /// # Errors
    /// [`ProgramError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ProgramError> {
        let file =
            ElfFile32::<Little>::parse(bytes).map_err(|error| ProgramError::NotElf(error.to_string()))?;
        if file.architecture() != object::Architecture::Arm {
            return Err(ProgramError::OtherProcessor);
        }
        let section = |name: &str| -> Bytes {
            let data = file.section_by_name(name).and_then(|section| section.data().ok()).unwrap_or_default();
            Bytes::new(Rc::from(data), LittleEndian)
        };
        let dwarf = gimli::Dwarf::load(|id| Ok::<_, gimli::Error>(section(id.name())));
        let context =
            dwarf.and_then(Context::from_dwarf).map_err(|error| ProgramError::Dwarf(error.to_string()))?;
        let mut frames = DebugFrame::from(section(DebugFrame::<Bytes>::section_name()));
        frames.set_address_size(4);
        let mut segments = Vec::new();
        for header in file.elf_program_headers() {
            let loaded = header.data(file.endian(), bytes).unwrap_or_default();
            if header.p_type(file.endian()) == PT_LOAD && !loaded.is_empty() {
                segments.push((header.p_paddr(file.endian()), loaded.to_vec()));
            }
        }
        let mut symbols: Vec<_> = file
            .symbols()
            .filter(|symbol| symbol.kind() == SymbolKind::Text)
            .filter_map(|symbol| {
                let address = u32::try_from(symbol.address() & !1).ok()?;
                Some((address, u32::try_from(symbol.size()).ok()?, symbol.name().ok()?.to_owned()))
            })
            .collect();
        symbols.sort();
        Ok(Self { context, frames, symbols, segments })
    }

    /// Whether this is the program whose code a dump describes.
    pub fn matches(&self, code: Option<&CodeMark>) -> Match {
        let Some(code) = code.filter(|code| code.len <= CODE_LEN_MAX) else { return Match::Unknown };
        let mut image = vec![ERASED; usize::try_from(code.len).unwrap_or_default()];
        for (address, bytes) in &self.segments {
            let Some(at) = address.checked_sub(code.address).and_then(|at| usize::try_from(at).ok()) else {
                continue;
            };
            if let Some(place) = image.get_mut(at..) {
                let len = place.len().min(bytes.len());
                place[..len].copy_from_slice(&bytes[..len]);
            }
        }
        if code_crc(0, &image) == code.crc { Match::Same } else { Match::Differs }
    }

    /// Where `address` is in the source, the innermost inlined function first.
    ///
    /// Files are named as GDB names them: from the folder in which their unit was compiled, if they lie in it.
    pub(crate) fn places(&self, address: u32) -> Vec<Place> {
        let mut places = Vec::new();
        // What the linker left out lies at address 0 for the debug information.
        if self.half(address & !1).is_none() {
            return places;
        }
        let compiled_in = self.compiled_in(address);
        let name = |file: &str| {
            let inside =
                compiled_in.as_deref().and_then(|folder| file.strip_prefix(folder)?.strip_prefix('/'));
            inside.unwrap_or(file).to_owned()
        };
        let found = self.context.find_frames(u64::from(address)).skip_all_loads();
        if let Ok(mut frames) = found {
            while let Ok(Some(frame)) = frames.next() {
                let function = frame.function.as_ref();
                let function = function.and_then(|name| name.demangle().ok().map(|name| name.into_owned()));
                let (file, line) =
                    frame.location.map_or((None, None), |location| (location.file.map(name), location.line));
                places.push(Place { function, file, line });
            }
        }
        if places.iter().all(|place| place.function.is_none()) {
            let function = self.symbol(address).map(str::to_owned);
            match places.last_mut() {
                Some(place) => place.function = function,
                None if function.is_some() => places.push(Place { function, file: None, line: None }),
                None => {}
            }
        }
        places
    }

    /// The folder in which the unit of `address` was compiled.
    fn compiled_in(&self, address: u32) -> Option<String> {
        let unit = self.context.find_dwarf_and_unit(u64::from(address)).skip_all_loads()?;
        let folder = unit.comp_dir.as_ref()?.to_string_lossy().ok()?.into_owned();
        Some(folder.trim_end_matches('/').to_owned())
    }

    fn symbol(&self, address: u32) -> Option<&str> {
        let after = self.symbols.partition_point(|(start, ..)| *start <= address);
        let (start, len, name) = self.symbols.get(after.checked_sub(1)?)?;
        (address - start < (*len).max(1)).then_some(name)
    }

    /// The half-word of code at `address`.
    fn half(&self, address: u32) -> Option<u16> {
        self.segments.iter().find_map(|(start, bytes)| {
            let at = usize::try_from(address.checked_sub(*start)?).ok()?;
            bytes.get(at..at.checked_add(2)?)?.try_into().ok().map(u16::from_le_bytes)
        })
    }

    /// Whether code that calls lies before `address`, so that it may be where a call returns to.
    pub(crate) fn may_return_to(&self, address: u32) -> bool {
        let Some(at) = address.checked_sub(1).filter(|at| at & 1 == 0) else { return false };
        let before = |len: u32| at.checked_sub(len).and_then(|at| self.half(at));
        // BL: 11110 in the first half, 11x1 in the second. BLX to a register: 010001111 and the register.
        let long = before(4).is_some_and(|half| half & 0xF800 == 0xF000)
            && before(2).is_some_and(|half| half & 0xD000 == 0xD000);
        long || before(2).is_some_and(|half| half & 0xFF87 == 0x4780)
    }

    /// What is known of the frame in which `address` is executed.
    pub(crate) fn row(&self, address: u32) -> Option<Row> {
        self.half(address & !1)?;
        let bases = BaseAddresses::default();
        let mut context = UnwindContext::new();
        let entry =
            self.frames.fde_for_address(&bases, u64::from(address), DebugFrame::cie_from_offset).ok()?;
        let row =
            entry.unwind_info_for_address(&self.frames, &bases, &mut context, u64::from(address)).ok()?;
        let rules = row.registers().map(|(register, rule)| (register.0, rule.clone())).collect();
        Some(Row { cfa: row.cfa().clone(), rules })
    }
}

impl Row {
    /// The caller's registers; `None` where the frame cannot be followed.
    pub(crate) fn caller(
        &self,
        registers: &Registers,
        read: impl Fn(u32) -> Option<u32>,
    ) -> Option<Registers> {
        let CfaRule::RegisterAndOffset { register: Register(register), offset } = self.cfa else {
            return None;
        };
        let base = (*registers.get(usize::from(register))?)?;
        let cfa = base.wrapping_add_signed(i32::try_from(offset).ok()?);
        let mut caller = *registers;
        for scratch in [0, 1, 2, 3, 12] {
            caller[scratch] = None;
        }
        for (register, rule) in &self.rules {
            let value = match rule {
                RegisterRule::Offset(offset) => read(cfa.wrapping_add_signed(i32::try_from(*offset).ok()?)),
                RegisterRule::ValOffset(offset) => {
                    Some(cfa.wrapping_add_signed(i32::try_from(*offset).ok()?))
                }
                RegisterRule::Register(Register(other)) => {
                    registers.get(usize::from(*other)).copied().flatten()
                }
                RegisterRule::SameValue => continue,
                _ => None,
            };
            if let Some(place) = caller.get_mut(usize::from(*register)) {
                *place = value;
            }
        }
        caller[13] = Some(cfa);
        caller[15] = caller[14];
        Some(caller)
    }
}
