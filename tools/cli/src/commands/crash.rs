//! Crash dumps: list, open, explain, turn into core files. Opened here, never at the server.

use std::path::{Path, PathBuf};

use bulkhead_board_description::Board;
use bulkhead_bundle_builder::{CRASH_RANGES_MAX, CrashMemory, CrashRange};
use bulkhead_cloud_api::{
    Crash as Known, DeviceCommand, DeviceId, FaultKind, ManifestDigest, Timestamp, to_hex,
};
use bulkhead_crash_dump::developer::{Dump, DumpError, End, header, open};
use bulkhead_crash_dump::{EndMark, Header, REASON_ORDERED};
use bulkhead_crash_report::{
    Found, Frame, Match, Program, backtrace, core_file, fault_words, frame_is_missing,
};
use serde_json::json;

use super::Session;
use crate::arguments_crash::{Crash, CrashMemoryChoice};
use crate::failure::{ExitCode, Failure};
use crate::output::{Tone, ago, harmless, table};

pub(crate) fn run(session: &Session<'_>, command: Crash) -> Result<(), Failure> {
    match command {
        Crash::Ls { device, count } => list(session, device.as_deref(), count),
        Crash::Show { crash, elf, key } => show(session, &crash, elf.as_deref(), key.as_deref()),
        Crash::Pull { crash, output, sealed: true, .. } => pull_sealed(session, &crash, output),
        Crash::Pull { crash, key, elf, output, sealed: false } => {
            pull(session, &crash, key.as_deref(), elf.as_deref(), output)
        }
        Crash::Take { device } => super::device::order(session, &device, DeviceCommand::TakeCrash),
    }
}

/// The policy's word on memory, from what was typed; `used` is what the program uses, if that is known.
///
/// A range that the application itself cannot read would be left out of every dump, which shows only when one is needed.
pub(crate) fn policy(
    board: &Board,
    choices: &[CrashMemoryChoice],
    used: Option<CrashMemory>,
) -> Result<Option<CrashMemory>, Failure> {
    let ranges: Vec<CrashRange> = choices
        .iter()
        .filter_map(|choice| match choice {
            CrashMemoryChoice::Range(range) => Some(*range),
            CrashMemoryChoice::Used | CrashMemoryChoice::All | CrashMemoryChoice::None => None,
        })
        .collect();
    let refused = |what: &str| {
        let next = format!(
            "give one of `used`, `all` and `none`, or up to {CRASH_RANGES_MAX} ranges that begin and end at words"
        );
        Failure::new(ExitCode::File, what, next)
    };
    if let Some(CrashRange { address, len }) = ranges.iter().find(|range| !lies_in_one(board, **range)) {
        let what = format!("{address:#010x}+{len} of --crash-memory is not the application's to read");
        let all: Vec<_> =
            readable(board).map(|(name, base, len)| format!("{name} {base:#010x}+{}", size(len))).collect();
        return Err(Failure::new(ExitCode::File, what, format!("stay within one of {}", all.join(", "))));
    }
    match choices {
        [] => Ok(used),
        [CrashMemoryChoice::Used] if used.is_none() => {
            let what = "`used` of --crash-memory: the program does not say which memory it uses";
            Err(Failure::new(
                ExitCode::File,
                what,
                "give an ELF file with variables, or `all`, `none` or ranges",
            ))
        }
        [CrashMemoryChoice::Used] => Ok(used),
        [CrashMemoryChoice::All] => Ok(None),
        [CrashMemoryChoice::None] => Ok(CrashMemory::new(&[])),
        _ if ranges.len() == choices.len() => CrashMemory::new(&ranges)
            .map(Some)
            .ok_or_else(|| refused("a range of --crash-memory cannot be had")),
        _ => Err(refused("--crash-memory was given in several ways that exclude each other")),
    }
}

/// What an application on this board can read, by name: first address and length.
fn readable(board: &Board) -> impl Iterator<Item = (&str, u32, u32)> {
    let regions = board.application.region.iter().map(|it| (it.name.as_str(), it.base, it.length));
    let peripherals = board.application.peripheral.iter().map(|it| (it.name.as_str(), it.base, it.length));
    regions.chain(peripherals)
}

fn lies_in_one(board: &Board, range: CrashRange) -> bool {
    let end = u64::from(range.address) + u64::from(range.len);
    readable(board)
        .any(|(_, base, length)| base <= range.address && end <= u64::from(base) + u64::from(length))
}

/// A length as `--crash-memory` takes it.
fn size(bytes: u32) -> String {
    if bytes.is_multiple_of(1024) { format!("{}K", bytes / 1024) } else { bytes.to_string() }
}

fn list(session: &Session<'_>, device: Option<&str>, count: u32) -> Result<(), Failure> {
    let crashes = session.client()?.crashes(device, count)?;
    if crashes.is_empty() {
        session.output.note(
            "no crash dumps; devices make them for bundles that name a debug key (`app bundle --debug-key`)",
        );
    }
    let now = Timestamp::now();
    session.output.data(&crashes, || {
        let row = |crash: &Known| {
            vec![
                crash.id.to_string(),
                crash.device_id.to_string(),
                crash.bundle.as_deref().map_or_else(|| short(&crash.manifest), harmless),
                crash.fault.map_or_else(|| "ordered".into(), |fault| format!("{fault:?}")),
                format!("{:#010x}", crash.program_counter),
                format!("{} B", crash.size_bytes),
                ago(crash.happened_at.unwrap_or(crash.received_at), now),
            ]
        };
        let rows: Vec<_> = crashes.iter().map(row).collect();
        table(&["CRASH", "DEVICE", "BUNDLE", "FAULT", "PC", "SIZE", "HAPPENED"], &rows)
    });
    Ok(())
}

fn short(manifest: &ManifestDigest) -> String {
    manifest.to_string().chars().take(12).collect()
}

/// The sealed dump: a file of this machine, or the server's.
fn fetch(session: &Session<'_>, crash: &str) -> Result<Vec<u8>, Failure> {
    if crash.parse::<i64>().is_ok() {
        return Ok(session.client()?.crash_dump(crash)?);
    }
    let path = Path::new(crash);
    std::fs::read(path).map_err(|error| {
        let what = format!("`{crash}` is no number of a dump, and no file that can be read: {error}");
        Failure::new(ExitCode::File, what, "list dumps with `bulkhead crash ls`")
    })
}

fn not_opened(error: DumpError) -> Failure {
    let next = match &error {
        DumpError::NotADump => "give a dump as `bulkhead crash pull --sealed` wrote it",
        DumpError::Version(_) => "use a newer `bulkhead`",
        DumpError::Truncated => "fetch it again; if it stays so, power failed as it was begun",
        DumpError::OtherKey(_) => {
            "give the right key with --key; a bundle names who opens its dumps (`app bundle --debug-key`)"
        }
        DumpError::Forged | DumpError::OtherDevice | DumpError::Malformed(_) => {
            "do not trust it; fetch it again, and if it stays so, tell the server's administrator"
        }
    };
    Failure::new(ExitCode::File, error.to_string(), next)
}

fn load_program(path: &Path) -> Result<Program, Failure> {
    let bytes = std::fs::read(path).map_err(|error| Failure::file("read", path, &error))?;
    Program::parse(&bytes).map_err(|error| {
        let what = format!("{}: {error}", path.display());
        Failure::new(ExitCode::File, what, "give the ELF file that the bundle was made from")
    })
}

/// A program that did not crash would make a convincing and wrong backtrace.
fn check(session: &Session<'_>, path: &Path, program: &Program, dump: &Dump) -> Result<(), Failure> {
    match program.matches(dump.code.as_ref()) {
        Match::Same => Ok(()),
        Match::Unknown => {
            session.output.note(
                "the dump ends before it says which code ran: whether the program is the one is not checked",
            );
            Ok(())
        }
        Match::Differs => {
            let manifest = ManifestDigest(dump.header.manifest);
            let what =
                format!("{} is not the program that crashed (manifest {})", path.display(), short(&manifest));
            let next =
                "give the ELF file that this bundle was made from; `bulkhead app show` names the bundle";
            Err(Failure::new(ExitCode::File, what, next))
        }
    }
}

fn pull_sealed(session: &Session<'_>, crash: &str, output: Option<PathBuf>) -> Result<(), Failure> {
    let dump = fetch(session, crash)?;
    let path = output.unwrap_or_else(|| PathBuf::from(format!("crash-{crash}.dump")));
    std::fs::write(&path, &dump).map_err(|error| Failure::file("write", &path, &error))?;
    session.output.data(&json!({ "file": path, "len": dump.len() }), || {
        vec![format!("{} ({} B, sealed)", path.display(), dump.len())]
    });
    Ok(())
}

fn pull(
    session: &Session<'_>,
    crash: &str,
    key: Option<&Path>,
    elf: Option<&Path>,
    output: Option<PathBuf>,
) -> Result<(), Failure> {
    let key = super::key::load_debug(key)?;
    let dump = open(&fetch(session, crash)?, &key).map_err(not_opened)?;
    if let Some(path) = elf {
        check(session, path, &load_program(path)?, &dump)?;
    }
    let Some(core) = core_file(&dump) else {
        let what = "the application crashed inside a system call: the dump holds no registers";
        return Err(Failure::new(ExitCode::Refused, what, "see what there is with `bulkhead crash show`"));
    };
    let path = output.unwrap_or_else(|| {
        let stem = Path::new(crash).file_stem().map_or_else(|| crash.into(), |stem| stem.to_string_lossy());
        PathBuf::from(format!("core-{stem}"))
    });
    std::fs::write(&path, &core).map_err(|error| Failure::file("write", &path, &error))?;
    if let Some(words) = incomplete(&dump) {
        session.output.note(&words);
    }
    let document = json!({
        "file": path, "len": core.len(), "manifest": ManifestDigest(dump.header.manifest),
        "complete": dump.end == End::Marked(EndMark::Whole),
    });
    session.output.data(&document, || {
        let program = elf.map_or_else(|| "APP.ELF".into(), |elf| elf.display().to_string());
        vec![format!(
            "{} ({} B); open it with `gdb-multiarch {program} {}`",
            path.display(),
            core.len(),
            path.display()
        )]
    });
    Ok(())
}

/// What is missing, in words; `None` for a whole dump.
fn incomplete(dump: &Dump) -> Option<String> {
    Some(match dump.end {
        End::Marked(EndMark::Whole) => return None,
        End::Marked(EndMark::Full) => "incomplete: the device had no room for all of the memory".into(),
        End::Marked(EndMark::Late) => "incomplete: the device had no time for all of the memory".into(),
        End::Cut(blocks) => {
            format!("incomplete: power failed, or somebody cut the dump; {blocks} blocks are whole")
        }
    })
}

fn show(session: &Session<'_>, crash: &str, elf: Option<&Path>, key: Option<&Path>) -> Result<(), Failure> {
    let sealed = fetch(session, crash)?;
    let (seen, names) = header(&sealed).map_err(not_opened)?;
    let key = match super::key::load_debug(key) {
        Err(failure) if key.is_none() && elf.is_none() => {
            session.output.note(&format!("{}: only what everybody may read is shown", failure.what));
            let names: Vec<_> = names.iter().map(|name| to_hex(name)).collect();
            let document = json!({ "header": header_json(&seen), "key_names": names });
            session.output.data(&document, || {
                let mut lines = header_lines(session, &seen);
                lines.push(format!("{:<12} {}", "keys", names.join(", ")));
                lines
            });
            return Ok(());
        }
        loaded => loaded?,
    };
    let dump = open(&sealed, &key).map_err(not_opened)?;
    let frames = match elf {
        None => None,
        Some(path) => {
            let program = load_program(path)?;
            check(session, path, &program, &dump)?;
            Some(backtrace(&dump, &program))
        }
    };
    let pieces: Vec<_> = dump
        .memory
        .iter()
        .map(|piece| json!({ "address": piece.address, "len": piece.bytes.len() }))
        .collect();
    let document = json!({
        "header": header_json(&seen), "registers": registers_json(&dump), "faults": dump.faults.map(|faults| json!({
            "cfsr": faults.cfsr, "sfsr": faults.sfsr, "address": faults.address, "words": fault_words(&faults),
        })),
        "hypervisor": dump.build, "memory": pieces, "complete": incomplete(&dump).is_none(), "backtrace": frames,
    });
    session.output.data(&document, || lines(session, &dump, frames.as_deref()));
    Ok(())
}

fn lines(session: &Session<'_>, dump: &Dump, frames: Option<&[Frame]>) -> Vec<String> {
    let mut lines = header_lines(session, &dump.header);
    let mut line = |name: &str, value: String| lines.push(format!("{name:<12} {value}"));
    if let Some(faults) = &dump.faults {
        for words in fault_words(faults) {
            line("because of", words.into());
        }
        if let Some(address) = faults.address {
            line("address", format!("{address:#010x}"));
        }
    }
    if let Some(build) = &dump.build {
        line("hypervisor", harmless(build));
    }
    for piece in &dump.memory {
        line("memory", format!("{:#010x}, {} B", piece.address, piece.bytes.len()));
    }
    if let Some(words) = incomplete(dump) {
        line("note", words);
    }
    match &dump.core {
        Some(core) => {
            lines.extend(register_lines(core));
            if frame_is_missing(core) {
                lines.push(
                    "r0 to r3, r12, lr, pc and xpsr are lost: the stack was where nothing can be pushed"
                        .into(),
                );
            }
        }
        None => lines.push("no registers: the application stood inside a system call".into()),
    }
    match frames {
        Some([]) => lines.push("no backtrace: there are no registers to begin with".into()),
        Some(frames) => lines.extend(frames.iter().map(|frame| frame_line(session, frame))),
        None => lines.push("for a backtrace give the program with --elf".into()),
    }
    lines
}

fn register_lines(core: &[u32; 17]) -> Vec<String> {
    const NAMES: [&str; 17] = [
        "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "sp", "lr", "pc",
        "xpsr",
    ];
    let cells: Vec<_> =
        NAMES.iter().zip(core).map(|(name, value)| format!("{name:<4} {value:#010x}")).collect();
    cells.chunks(4).map(|row| row.join("   ")).collect()
}

fn frame_line(session: &Session<'_>, frame: &Frame) -> String {
    let number = if frame.inlined { "   ".to_owned() } else { format!("#{:<2}", frame.number) };
    let function = frame.function.as_deref().map_or("??".into(), harmless);
    let place = match (&frame.file, frame.line) {
        (Some(file), Some(line)) => format!(" at {}:{line}", harmless(file)),
        (Some(file), None) => format!(" at {}", harmless(file)),
        (None, _) => String::new(),
    };
    let how = match frame.found {
        Found::Registers | Found::Unwound => String::new(),
        Found::Interrupted => session.output.toned(Tone::Quiet, "  (interrupted by the frame above)"),
        Found::LinkRegister => session.output.toned(Tone::Quiet, "  (by the link register alone)"),
        Found::Guessed => session.output.toned(Tone::Quiet, "  (a guess: lay on the stack)"),
    };
    let inlined = if frame.inlined { "  (inlined)" } else { "" };
    format!("{number} {:#010x} in {function}{place}{inlined}{how}", frame.address)
}

fn header_lines(session: &Session<'_>, header: &Header) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = |name: &str, value: String| lines.push(format!("{name:<12} {value}"));
    line("device", DeviceId(header.device).to_string());
    line("manifest", ManifestDigest(header.manifest).to_string());
    line("fault", session.output.toned(Tone::Bad, &reason(header.reason)));
    line("at", format!("{:#010x}", header.program_counter));
    if let Some(at) = happened(header) {
        line("happened", at.to_string());
    }
    line("uptime", format!("{}.{:03} s", header.uptime_us / 1_000_000, header.uptime_us / 1000 % 1000));
    line("faults", format!("{} since power came on", header.fault_count));
    lines
}

fn happened(header: &Header) -> Option<Timestamp> {
    i64::try_from(header.wall_us).ok().filter(|at| *at > 0).map(Timestamp)
}

fn reason(number: u8) -> String {
    match FaultKind::of_number(number) {
        Some(kind) => format!("{kind:?}"),
        None if number == REASON_ORDERED => "none, the dump was ordered".into(),
        None => format!("of kind {number}"),
    }
}

fn header_json(header: &Header) -> serde_json::Value {
    json!({
        "device_id": DeviceId(header.device), "manifest": ManifestDigest(header.manifest),
        "fault": reason(header.reason), "program_counter": header.program_counter, "uptime_us": header.uptime_us,
        "happened_at": happened(header), "fault_count": header.fault_count, "sequence": header.sequence,
    })
}

fn registers_json(dump: &Dump) -> serde_json::Value {
    json!({ "core": dump.core, "system": dump.system, "float": dump.float.map(|float| float.to_vec()) })
}

#[cfg(test)]
mod tests {
    use bulkhead_board_description::MPS2_AN505;

    use super::*;

    const RAM: u32 = 0x2820_0000;

    fn range(address: u32, len: u32) -> CrashMemoryChoice {
        CrashMemoryChoice::Range(CrashRange { address, len })
    }

    #[test]
    fn what_was_typed_becomes_the_policys_word() {
        let used = CrashMemory::new(&[CrashRange { address: 0x2820_0000, len: 64 }]);
        let board = Board::parse(MPS2_AN505).unwrap();
        let of =
            |choices: &[CrashMemoryChoice]| policy(&board, choices, used).map_err(|failure| failure.what);
        assert_eq!(of(&[]), Ok(used));
        assert_eq!(of(&[CrashMemoryChoice::Used]), Ok(used));
        assert_eq!(of(&[CrashMemoryChoice::All]), Ok(None));
        assert_eq!(of(&[CrashMemoryChoice::None]), Ok(CrashMemory::new(&[])));
        let two = [range(0x8000_0000, 4), range(RAM, 8)];
        assert_eq!(of(&two).map(|memory| memory.map(|memory| memory.as_slice().len())), Ok(Some(2)));
        assert_eq!(
            policy(&board, &[], None).map_err(|failure| failure.what),
            Ok(None),
            "all, where it is not known"
        );
        let unknown = policy(&board, &[CrashMemoryChoice::Used], None).unwrap_err();
        assert!(unknown.what.contains("which memory it uses"), "{}", unknown.what);
        let wrong: [&[CrashMemoryChoice]; 5] = [
            &[CrashMemoryChoice::None, range(RAM, 4)],
            &[CrashMemoryChoice::All, CrashMemoryChoice::Used],
            &[range(RAM + 1, 4)],
            &[range(RAM, 0)],
            &[range(RAM, 4); CRASH_RANGES_MAX + 1],
        ];
        for choices in wrong {
            let what = of(choices).unwrap_err();
            assert!(!what.contains("to read"), "{choices:?}: {what}");
        }
    }

    #[test]
    fn a_range_that_the_application_cannot_read_is_refused_and_what_it_can_is_named() {
        let board = Board::parse(MPS2_AN505).unwrap();
        let of = |one| policy(&board, &[range(RAM, 64), one], None);
        // The ends of RAM, all of it, a register of its own timer.
        for (address, len) in [(RAM, 4), (RAM + 0x7_FFFC, 4), (RAM, 0x8_0000), (0x4000_0000, 16)] {
            assert!(of(range(address, len)).is_ok(), "{address:#x}+{len}");
        }
        // The hypervisor's code and memory, nothing, beyond each end of RAM, the link's controller, the end of addresses.
        for (address, len) in [
            (0x1000_0000, 64),
            (0x3800_0000, 64),
            (0, 4),
            (RAM - 4, 8),
            (RAM + 0x7_FFFC, 8),
            (0x5200_0000, 4),
            (0xFFFF_FFFC, 4),
        ] {
            let failure = of(range(address, len)).unwrap_err();
            assert!(failure.what.contains(&format!("{address:#010x}+{len} of")), "{}", failure.what);
            for name in ["flash 0x80000000+1024K", "ram 0x28200000+512K", "timer0 0x40000000+4K"] {
                assert!(failure.next_step.contains(name), "{}", failure.next_step);
            }
        }
    }
}
