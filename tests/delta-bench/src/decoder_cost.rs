//! What decoding costs the emulated processor: RAM, code and instructions, counted and not timed.
//!
//! A program of the virtual board decodes one patch that lies in its memory. Virtual time counts its instructions, one a
//! nanosecond; a timer of the chip reads that time.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bulkhead_figures::Row;
use bulkhead_virtual_device::{Qemu, Serial};
use object::{Object, ObjectSection, SectionFlags, SectionKind};

use crate::comparison::Compared;

/// Pairs whose patches are decoded: lines changed, and a release.
const PAIRS: &[&str] = &["pyb-small", "pyb-release"];

/// Sizes and places that `boards/mps2-an505/src/decoder_cost.rs` knows too.
const MEMORY_LEN: usize = 16 << 20;
const OLD_AT: usize = 0x1000;
const PATCH_AT: usize = 0x40_0000;
const NEW_AT: usize = 0x80_0000;

const INSTRUCTIONS_A_SECOND: u64 = 1_000_000_000;
/// How long the emulation may take, in wall-clock time: it hangs otherwise.
const PATIENCE: Duration = Duration::from_secs(120);

/// The aims, for the table.
const RAM_AIM: u64 = 24 * 1024;
const CODE_AIM: u64 = 12 * 1024;

/// The line that the program ends with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Said {
    instructions: u64,
    bytes: u64,
    ram_len: u64,
}

/// The rows of the decoder.
///
/// # Errors
/// A program was not built, QEMU failed, or the device decoded something else than the new image.
pub(crate) fn measure(all: &[Compared], target: &Path) -> Result<Vec<Row>> {
    let programs = target.join("firmware/mps2-an505");
    let (program, frame) = (programs.join("decoder-cost.elf"), programs.join("decoder-cost-frame.elf"));
    let code = flash_len(&program)?.saturating_sub(flash_len(&frame)?);
    let folder = target.join("bench/update");
    let mut rows = vec![Row::count("decoder, code", code, "bytes", "aim", Some(CODE_AIM))];
    for compared in all.iter().filter(|compared| PAIRS.contains(&compared.pair.name.as_str())) {
        let said = decode(compared, &program, &folder).with_context(|| compared.pair.name.clone())?;
        if rows.len() == 1 {
            rows.push(Row::count("decoder, RAM", said.ram_len, "bytes", "aim", Some(RAM_AIM)));
        }
        rows.push(Row {
            name: format!("{}, instructions a byte decoded", compared.pair.name),
            value: said.instructions as f64 / said.bytes as f64,
            unit: "instructions",
            peer: "none; Cortex-M33, emulated".into(),
            peer_value: None,
        });
    }
    Ok(rows)
}

fn decode(compared: &Compared, program: &Path, folder: &Path) -> Result<Said> {
    let read =
        |path: &PathBuf| std::fs::read(path).with_context(|| format!("failed to read {}", path.display()));
    let (old, new) = (read(&compared.pair.old)?, read(&compared.pair.new)?);
    let mut memory = vec![0xFF; MEMORY_LEN];
    let parts = [(OLD_AT, &old), (PATCH_AT, &compared.ours), (NEW_AT, &new)];
    for (at, (start, bytes)) in (0..).step_by(4).zip(parts) {
        let len = u32::try_from(bytes.len())?;
        put(&mut memory, at, &len.to_le_bytes())?;
        put(&mut memory, start, bytes)?;
    }
    let file = folder.join("decoder-cost.memory");
    std::fs::write(&file, memory).with_context(|| format!("failed to write {}", file.display()))?;
    let console = folder.join("decoder-cost.console");
    std::fs::write(&console, "")?;
    let qemu = Qemu::new(program, &file).console(Serial::File(console)).count_instructions(0);
    let mut device = qemu.start().context("cargo xtask setup installs QEMU")?;
    let line = device.wait_for_line("decoder-cost:", PATIENCE)?;
    device.kill();
    parse(&line)
}

fn put(memory: &mut [u8], at: usize, bytes: &[u8]) -> Result<()> {
    let room = memory.get_mut(at..at + bytes.len()).context("the images do not fit the device")?;
    room.copy_from_slice(bytes);
    Ok(())
}

fn parse(line: &str) -> Result<Said> {
    let words: Vec<&str> = line.split_whitespace().collect();
    if !words.contains(&"right") {
        bail!("the device says: {line}");
    }
    let number = |name: &str| -> Result<u64> {
        let at = words.iter().position(|word| *word == name);
        let text = at.and_then(|at| words.get(at + 1)).with_context(|| format!("no `{name}` in: {line}"))?;
        Ok(text.parse()?)
    };
    let instructions = number("ticks")? * (INSTRUCTIONS_A_SECOND / number("clock")?.max(1));
    Ok(Said { instructions, bytes: number("bytes")?, ram_len: number("ram")? })
}

/// Bytes that the program puts into flash.
fn flash_len(path: &Path) -> Result<u64> {
    let bytes = std::fs::read(path).with_context(|| {
        format!("failed to read {}; `cargo xtask bench update` builds it", path.display())
    })?;
    let file = object::File::parse(&*bytes).with_context(|| format!("{} is not ELF", path.display()))?;
    let in_flash = file.sections().filter(|section| {
        let SectionFlags::Elf { sh_flags, .. } = section.flags() else { return false };
        sh_flags.0 & object::elf::SHF_ALLOC.0 != 0 && section.kind() != SectionKind::UninitializedData
    });
    Ok(in_flash.map(|section| section.size()).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_instructions_and_a_wrong_image_is_told() {
        let said = parse("decoder-cost: right bytes 10 ticks 7 clock 20000000 ram 24000").unwrap();
        assert_eq!(said, Said { instructions: 350, bytes: 10, ram_len: 24_000 });
        assert!(parse("decoder-cost: wrong bytes 10 ticks 7 clock 20000000 ram 24000").is_err());
    }
}
