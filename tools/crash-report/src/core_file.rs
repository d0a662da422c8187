//! An ELF core file that stock GDB opens.
//!
//! GDB takes the registers of a bare-metal Arm core from `NT_PRSTATUS` in the layout of 32-bit Linux, floating-point
//! registers from `NT_ARM_VFP`, and what processor it is from `NT_GDB_TDESC`. Checked with GDB 13.1 of Debian.

use std::fmt::Write as _;

use bulkhead_crash_dump::developer::Dump;

use crate::faults::signal;
use crate::memory::Memory;

const ELF_HEADER_LEN: usize = 52;
const PROGRAM_HEADER_LEN: usize = 32;
const ET_CORE: u16 = 4;
const EM_ARM: u16 = 40;
/// `ELFOSABI_ARM`: by it GDB knows that no operating system wrote the file.
const OSABI_ARM: u8 = 0x61;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const READ_WRITE: u32 = 6;
const NT_PRSTATUS: u32 = 1;
const NT_ARM_VFP: u32 = 0x400;
const NT_GDB_TDESC: u32 = 0xFF00_0000;
const PRSTATUS_LEN: usize = 0x94;
const VFP_LEN: usize = 0x104;

/// FPCCR and VTOR, which GDB reads while it unwinds an exception: where, and what a core that keeps no lazy state has.
const SCS_VTOR: u32 = 0xE000_ED08;
const SCS_FPCCR: u32 = 0xE000_EF34;
const FPCCR_RESET: u32 = 0xC000_0000;

/// Writes the core file of `dump`; `None` if it holds no registers.
pub fn core_file(dump: &Dump) -> Option<Vec<u8>> {
    let core = dump.core?;
    let mut notes = Vec::new();
    note(&mut notes, "CORE", NT_PRSTATUS, &prstatus(&core, signal(dump.header.reason)));
    if let Some(float) = &dump.float {
        note(&mut notes, "LINUX", NT_ARM_VFP, &vfp(float));
    }
    let mut description = target_description(dump.float.is_some()).into_bytes();
    description.push(0);
    note(&mut notes, "GDB", NT_GDB_TDESC, &description);

    let memory = Memory::of(dump);
    let fpccr = FPCCR_RESET.to_le_bytes();
    let vtor = dump.vectors.unwrap_or_default().to_le_bytes();
    let mut segments: Vec<(u32, &[u8])> =
        memory.pieces().iter().map(|piece| (piece.address, piece.bytes.as_slice())).collect();
    segments.push((SCS_VTOR, &vtor));
    segments.push((SCS_FPCCR, &fpccr));

    let count = u16::try_from(segments.len() + 1).ok()?;
    let mut at = ELF_HEADER_LEN + PROGRAM_HEADER_LEN * usize::from(count);
    let mut file = elf_header(count);
    let mut body = Vec::new();
    program_header(&mut file, PT_NOTE, at, 0, notes.len(), 4);
    at += notes.len();
    body.extend(notes);
    for (address, bytes) in segments {
        program_header(&mut file, PT_LOAD, at, address, bytes.len(), READ_WRITE);
        at += bytes.len();
        body.extend(bytes);
    }
    file.extend(body);
    Some(file)
}

fn elf_header(program_headers: u16) -> Vec<u8> {
    let mut header = vec![0x7F, b'E', b'L', b'F', 1, 1, 1, OSABI_ARM];
    header.extend([0; 8]);
    header.extend(ET_CORE.to_le_bytes());
    header.extend(EM_ARM.to_le_bytes());
    header.extend(1_u32.to_le_bytes());
    header.extend(0_u32.to_le_bytes());
    header.extend(52_u32.to_le_bytes());
    header.extend([0; 8]);
    for half in [52, 32, program_headers, 0, 0, 0] {
        header.extend(half.to_le_bytes());
    }
    header
}

fn program_header(file: &mut Vec<u8>, kind: u32, offset: usize, address: u32, len: usize, flags: u32) {
    let (offset, len) = (u32::try_from(offset).unwrap_or(u32::MAX), u32::try_from(len).unwrap_or(u32::MAX));
    for word in [kind, offset, address, address, len, len, flags, 4] {
        file.extend(word.to_le_bytes());
    }
}

fn note(notes: &mut Vec<u8>, name: &str, kind: u32, content: &[u8]) {
    let name_len = name.len() + 1;
    for word in [name_len, content.len()] {
        notes.extend(u32::try_from(word).unwrap_or(u32::MAX).to_le_bytes());
    }
    notes.extend(kind.to_le_bytes());
    let pad = |notes: &mut Vec<u8>| notes.resize(notes.len().next_multiple_of(4), 0);
    notes.extend(name.as_bytes());
    notes.push(0);
    pad(notes);
    notes.extend(content);
    pad(notes);
}

/// `struct elf_prstatus` of 32-bit Arm Linux: signal at 12, process at 24, registers at 72.
fn prstatus(core: &[u32; 17], signal: u16) -> [u8; PRSTATUS_LEN] {
    let mut status = [0; PRSTATUS_LEN];
    status[0..4].copy_from_slice(&u32::from(signal).to_le_bytes());
    status[12..14].copy_from_slice(&signal.to_le_bytes());
    status[24..28].copy_from_slice(&1_u32.to_le_bytes());
    for (place, word) in status[72..].chunks_exact_mut(4).zip(core) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    status
}

/// d0 to d31, of which there are 16, and fpscr.
fn vfp(float: &[u32; 33]) -> [u8; VFP_LEN] {
    let mut content = [0; VFP_LEN];
    for (place, word) in content.chunks_exact_mut(4).zip(&float[..32]) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    content[256..].copy_from_slice(&float[32].to_le_bytes());
    content
}

fn target_description(has_float: bool) -> String {
    let mut out = String::from(
        "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target version=\"1.0\">\
         <architecture>armv8-m.main</architecture><osabi>none</osabi>\
         <feature name=\"org.gnu.gdb.arm.m-profile\">",
    );
    for number in 0..13 {
        let _ = write!(out, "<reg name=\"r{number}\" bitsize=\"32\" regnum=\"{number}\" type=\"int\"/>");
    }
    for (name, number, kind) in
        [("sp", 13, "data_ptr"), ("lr", 14, "int"), ("pc", 15, "code_ptr"), ("xpsr", 25, "int")]
    {
        let _ = write!(out, "<reg name=\"{name}\" bitsize=\"32\" regnum=\"{number}\" type=\"{kind}\"/>");
    }
    out.push_str("</feature>");
    if has_float {
        out.push_str("<feature name=\"org.gnu.gdb.arm.vfp\">");
        for number in 0..16 {
            let _ = write!(out, "<reg name=\"d{number}\" bitsize=\"64\" type=\"ieee_double\"/>");
        }
        out.push_str("<reg name=\"fpscr\" bitsize=\"32\" type=\"int\"/></feature>");
    }
    out.push_str("</target>");
    out
}
