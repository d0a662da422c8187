//! What is in a core file, read by another reader of ELF. That GDB opens it is tested end to end.

#![expect(clippy::unwrap_used, reason = "tests: a panic is their failure")]

use bulkhead_crash_dump::developer::{Dump, End, Faults, Piece};
use bulkhead_crash_dump::{EndMark, Header};
use bulkhead_crash_report::{core_file, fault_words, signal};
use object::LittleEndian;
use object::elf::{ET_CORE, FileHeader32, NoteType, OsAbi, PT_LOAD, PT_NOTE};
use object::read::elf::{FileHeader as _, ProgramHeader as _};

fn dump() -> Dump {
    let mut core = [0; 17];
    core.iter_mut().zip(1..).for_each(|(register, n)| *register = n * 0x0101);
    Dump {
        header: Header { reason: 0, recipients: 1, ..Header::default() },
        device_public: [0; 32],
        core: Some(core),
        system: None,
        float: None,
        faults: None,
        vectors: Some(0x8000_0000),
        code: None,
        build: None,
        memory: vec![
            Piece { address: 0x2820_0010, bytes: vec![1; 16] },
            // Overlaps: the first one counts, what is new is added.
            Piece { address: 0x2820_0000, bytes: vec![2; 48] },
        ],
        end: End::Marked(EndMark::Whole),
    }
}

/// Notes (name, kind, content) and loaded memory (address, content).
type Parts = (Vec<(String, NoteType, Vec<u8>)>, Vec<(u32, Vec<u8>)>);

fn parts(file: &[u8]) -> Parts {
    let header = FileHeader32::<LittleEndian>::parse(file).unwrap();
    assert_eq!((header.e_type(LittleEndian), header.e_ident().os_abi), (ET_CORE, OsAbi(0x61)));
    let (mut notes, mut loads) = (Vec::new(), Vec::new());
    for program in header.program_headers(LittleEndian, file).unwrap() {
        match program.p_type(LittleEndian) {
            PT_NOTE => {
                let mut found = program.notes(LittleEndian, file).unwrap().unwrap();
                while let Some(note) = found.next().unwrap() {
                    let name = String::from_utf8(note.name().to_vec()).unwrap();
                    notes.push((name, note.n_type(LittleEndian), note.desc().to_vec()));
                }
            }
            PT_LOAD => {
                loads.push((
                    program.p_vaddr(LittleEndian),
                    program.data(LittleEndian, file).unwrap().to_vec(),
                ));
            }
            other => panic!("a program header of type {other:?}"),
        }
    }
    (notes, loads)
}

#[test]
fn registers_memory_and_description_are_where_gdb_looks_for_them() {
    let (notes, loads) = parts(&core_file(&dump()).unwrap());
    let [(core, NoteType(1), status), (gdb, NoteType(0xFF00_0000), description)] = notes.as_slice() else {
        panic!("{notes:?}")
    };
    assert_eq!((core.as_str(), gdb.as_str(), status.len()), ("CORE", "GDB", 0x94));
    assert_eq!(status[12..14], 11_u16.to_le_bytes(), "SIGSEGV");
    assert_eq!(status[72 + 4 * 16..][..4], (17_u32 * 0x0101).to_le_bytes(), "xpsr");
    assert!(description.ends_with(b"</target>\0") && !description.windows(3).any(|text| text == b"vfp"));
    assert_eq!(loads[0], (0x2820_0000, vec![2; 16]));
    assert_eq!(loads[1], (0x2820_0010, vec![1; 16]));
    assert_eq!(loads[2], (0x2820_0020, vec![2; 16]));
    assert!(loads.contains(&(0xE000_ED08, 0x8000_0000_u32.to_le_bytes().to_vec())));
}

#[test]
fn floating_point_registers_are_there_if_the_dump_has_them() {
    let mut float = [0; 33];
    float[..2].copy_from_slice(&[0, 0x3FF8_0000]);
    float[32] = 0x0100_0000;
    let (notes, _) = parts(&core_file(&Dump { float: Some(float), ..dump() }).unwrap());
    let (name, kind, content) = &notes[1];
    assert_eq!((name.as_str(), kind.0, content.len()), ("LINUX", 0x400, 0x104));
    assert_eq!(f64::from_le_bytes(content[..8].try_into().unwrap()), 1.5);
    assert_eq!(content[256..], 0x0100_0000_u32.to_le_bytes());
    assert!(notes[2].2.windows(19).any(|text| text == b"org.gnu.gdb.arm.vfp"));
}

#[test]
fn without_registers_there_is_no_core_file() {
    assert_eq!(core_file(&Dump { core: None, ..dump() }), None);
}

#[test]
fn fault_status_is_told_in_words_and_as_a_signal() {
    let words = fault_words(&Faults { cfsr: 1 << 25 | 1 << 9, sfsr: 1 << 3, address: None });
    assert_eq!(words.len(), 3);
    assert!(words[0].contains("AUVIOL") && words[1].contains("PRECISERR") && words[2].contains("DIVBYZERO"));
    assert_eq!([0, 5, 6, 8, 255].map(signal), [11, 7, 4, 5, 2]);
}
