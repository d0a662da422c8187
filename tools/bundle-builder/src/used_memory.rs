//! Which memory a program uses: what a crash dump of it should hold.

use bulkhead_board_description::{Access, Board};
use bulkhead_bundle_format::{CRASH_RANGES_MAX, CrashMemory, CrashRange};
use object::LittleEndian;
use object::elf::PT_LOAD;
use object::read::elf::{ElfFile32, ProgramHeader as _};

/// The writable memory that the segments of an ELF file take, in at most [`CRASH_RANGES_MAX`] ranges: the nearest are
/// joined where there are more. `None` for another kind of file, or a program that uses none.
pub fn used_memory(board: &Board, file: &[u8]) -> Option<CrashMemory> {
    let elf = ElfFile32::<LittleEndian>::parse(file).ok()?;
    let endian = elf.endian();
    let mut spans: Vec<(u64, u64)> = Vec::new();
    for header in elf.elf_program_headers().iter().filter(|header| header.p_type(endian) == PT_LOAD) {
        let start = u64::from(header.p_vaddr(endian));
        let end = start + u64::from(header.p_memsz(endian));
        let writable =
            board.application.region.iter().filter(|region| region.access == Access::ReadWriteExecute);
        for region in writable {
            let (first, last) = (u64::from(region.base), u64::from(region.base) + u64::from(region.length));
            let (from, to) = (start.max(first) & !3, end.next_multiple_of(4).min(last));
            if from < to {
                spans.push((from, to));
            }
        }
    }
    spans.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (from, to) in spans {
        match joined.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => joined.push((from, to)),
        }
    }
    while joined.len() > CRASH_RANGES_MAX {
        let gap = |n: &usize| joined.get(*n).zip(joined.get(n + 1)).map(|(one, next)| next.0 - one.1);
        let nearest = (0..joined.len() - 1).min_by_key(gap)?;
        let next = joined.remove(nearest + 1);
        joined.get_mut(nearest)?.1 = next.1;
    }
    let range = |(from, to): &(u64, u64)| {
        Some(CrashRange { address: u32::try_from(*from).ok()?, len: u32::try_from(to - from).ok()? })
    };
    let ranges: Vec<_> = joined.iter().filter_map(range).collect();
    CrashMemory::new(&ranges).filter(|_| !ranges.is_empty())
}
