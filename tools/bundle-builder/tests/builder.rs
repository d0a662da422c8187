//! Claims about making bundles.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(clippy::cast_possible_truncation, reason = "lengths of test programs are small")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use bulkhead_board_description::{Board, MPS2_AN505};
use bulkhead_bundle_builder::*;
use bulkhead_bundle_format::{AreaKind, BundleFile, Refused};

const DIE: u32 = 0x8000_0000;
const EXTERNAL: u32 = 0x8020_0000;
const STACK: u32 = 0x2828_0000;

fn board() -> Board {
    Board::parse(MPS2_AN505).unwrap()
}

fn signer() -> Signer {
    Signer::from_secret(&[3; 32])
}

fn release() -> Release<'static> {
    Release {
        name: "hello",
        version: "1.0.0",
        sequence: 1,
        security_counter: 0,
        abi: Revisions { least: 1, greatest: 1 },
        board_revisions: Revisions { least: 1, greatest: 1 },
        policy: Policy::default(),
        reserved: &[],
    }
}

/// A program of `len` bytes with a vector table.
fn program(len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..len).map(|i| (i * 7 + (i >> 8)) as u8).collect();
    bytes[..4].copy_from_slice(&STACK.to_le_bytes());
    bytes[4..8].copy_from_slice(&(DIE + 0x41).to_le_bytes());
    bytes
}

/// An ELF executable with these loadable segments, their virtual addresses elsewhere.
fn elf(segments: &[(u32, &[u8])]) -> Vec<u8> {
    let n = segments.len() as u32;
    let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x28\0".to_vec();
    for word in [1, DIE + 0x41, 52, 0, 0x0500_0200, 0x0020_0034, n, 0] {
        file.extend(u32::to_le_bytes(word));
    }
    let mut at = 52 + 32 * n;
    for (address, bytes) in segments {
        let len = bytes.len() as u32;
        // A segment with more memory than file, as .data and .bss have.
        for word in [1, at, 0x2820_0000, *address, len, len + 64, 5, 4] {
            file.extend(u32::to_le_bytes(word));
        }
        at += len;
    }
    segments.iter().for_each(|(_, bytes)| file.extend(*bytes));
    file
}

fn hex_line(kind: u8, offset: u16, payload: &[u8]) -> String {
    let mut bytes = vec![payload.len() as u8];
    bytes.extend(offset.to_be_bytes());
    bytes.push(kind);
    bytes.extend(payload);
    let sum = bytes.iter().fold(0_u8, |s, b| s.wrapping_add(*b));
    bytes.push(sum.wrapping_neg());
    format!(":{}\r\n", bytes.iter().map(|b| format!("{b:02X}")).collect::<String>())
}

fn hex(segments: &[(u32, &[u8])]) -> Vec<u8> {
    let mut text = String::new();
    for (address, bytes) in segments {
        for (n, chunk) in bytes.chunks(16).enumerate() {
            let at = address + 16 * n as u32;
            text += &hex_line(4, 0, &((at >> 16) as u16).to_be_bytes());
            text += &hex_line(0, at as u16, chunk);
        }
    }
    text += &hex_line(5, 0, &(DIE + 0x41).to_be_bytes());
    (text + &hex_line(1, 0, &[])).into_bytes()
}

fn built(file: &[u8]) -> Result<Bundle, BuildError> {
    build(&board(), &read_image(file, Format::Detect, DIE)?, &release(), &signer())
}

#[test]
fn elf_hex_and_bin_of_one_program_make_the_same_bundle() {
    let code = program(20_000);
    let bundle = built(&code).unwrap();
    assert_eq!(built(&elf(&[(DIE, &code)])).unwrap(), bundle);
    assert_eq!(built(&hex(&[(DIE, &code)])).unwrap(), bundle);
    assert_eq!(built(&code).unwrap(), bundle, "not deterministic");
    let read = BundleFile::verify(&bundle.file, &[signer().public_key()]).unwrap();
    assert_eq!(read.image(1), Some(code.as_slice()));
    assert_eq!(read.manifest.digest(), bundle.manifest);
    assert_eq!(read.manifest.device_class, "mps2-an505");
}

#[test]
fn any_other_input_has_another_update_id() {
    let code = program(500);
    let image = read_image(&code, Format::Bin, DIE).unwrap();
    let id = |release: &Release<'_>| {
        let bundle = build(&board(), &image, release, &signer()).unwrap();
        *BundleFile::verify(&bundle.file, &[signer().public_key()]).unwrap().manifest.update_id
    };
    let ids = [
        id(&release()),
        id(&Release { sequence: 2, ..release() }),
        id(&Release { version: "1.0.1", ..release() }),
    ];
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
}

#[test]
fn segments_become_one_area_a_flash_with_erased_gaps() {
    let (code, tail, constants) = (program(1000), [0xAA; 10], [0xBB; 5000]);
    let file = elf(&[(DIE, &code), (DIE + 1003, &tail), (EXTERNAL + 4096 * 2 + 5, &constants)]);
    let bundle = built(&file).unwrap();
    let read = BundleFile::verify(&bundle.file, &[signer().public_key()]).unwrap();
    let areas: Vec<_> = read.manifest.areas().copied().collect();
    assert_eq!(areas.len(), 2);
    assert_eq!(
        (areas[0].medium, areas[0].kind, areas[0].base, areas[0].page_size),
        (Medium::Die, AreaKind::Code, 0, 8192)
    );
    assert_eq!(
        (areas[1].medium, areas[1].kind, areas[1].base, areas[1].page_size),
        (Medium::External, AreaKind::Constant, 8192, 4096)
    );
    let expected = [&code[..], &[0xFF; 3], &tail].concat();
    assert_eq!(read.image(1), Some(expected.as_slice()));
    let expected = [&[0xFF; 5][..], &constants].concat();
    assert_eq!(read.image(2), Some(expected.as_slice()));
}

#[test]
fn programs_that_would_not_run_are_refused_with_the_address() {
    let code = program(100);
    let mut no_stack = code.clone();
    no_stack[..4].copy_from_slice(&DIE.to_le_bytes());
    let mut arm_entry = code.clone();
    arm_entry[4] = 0x40;
    let mut far_entry = code.clone();
    far_entry[4..8].copy_from_slice(&(DIE + 0x1001).to_le_bytes());
    let mut huge = program(0x10_0000);
    huge.push(0);
    let table: [(Vec<u8>, &str); 13] = [
        (vec![], "the file is empty"),
        (elf(&[]), "the file is empty"),
        (
            elf(&[(0x1000_0000, &code)]),
            "100 bytes at 0x10000000 lie outside the application's flash; on mps2-an505 \
            that is `flash` (0x80000000 to 0x80100000) and `external` (0x80200000 to 0x80300000)",
        ),
        (elf(&[(0x8010_0000, &code)]), "at 0x80100000 lie outside"),
        (elf(&[(DIE, &code), (0x2820_0000, &code)]), "100 bytes at 0x28200000 are to be loaded into `ram`"),
        (huge, "ends 1 bytes behind the end of `flash`"),
        (elf(&[(0x800F_FFF0, &code)]), "ends 84 bytes behind the end of `flash`"),
        (elf(&[(DIE + 0x2000, &code)]), "no vector table at 0x80000000: nothing is loaded there"),
        (elf(&[(EXTERNAL, &code)]), "no vector table at 0x80000000"),
        (no_stack, "its first word, 0x80000000, is no stack pointer"),
        (arm_entry, "its second word, 0x80000040, is no Thumb address"),
        (far_entry, "its second word, 0x80001001"),
        (elf(&[(DIE, &code), (DIE + 50, &code)]), "two segments overlap at 0x80000032"),
    ];
    for (file, text) in table {
        let refused = built(&file).unwrap_err().to_string();
        assert!(refused.contains(text), "`{refused}` does not say `{text}`");
    }
}

#[test]
fn elf_files_for_other_machines_or_damaged_are_refused() {
    let good = elf(&[(DIE, &program(100))]);
    let with = |at: usize, byte: u8| {
        let mut file = good.clone();
        file[at] = byte;
        file
    };
    for (file, text) in [
        (with(4, 2), "64-bit"),
        (with(5, 2), "big-endian"),
        (with(18, 62), "not for Arm"),
        (with(16, 1), "not linked"),
        (with(52 + 7, 0x7F), "outside the file"),
        (good[..30].to_vec(), "not a program"),
        (elf(&[(0xFFFF_FFF0, &program(100))]), "beyond the last address"),
    ] {
        let refused = built(&file).unwrap_err().to_string();
        assert!(refused.contains(text), "`{refused}` does not say `{text}`");
    }
    for len in 5..good.len() {
        assert!(built(&good[..len]).is_err(), "{len} bytes were accepted");
    }
}

#[test]
fn damaged_hex_files_are_refused_with_the_line() {
    let good = String::from_utf8(hex(&[(DIE, &program(100))])).unwrap();
    let lines: Vec<_> = good.lines().collect();
    let with = |n: usize, line: &str| {
        let mut lines = lines.clone();
        lines[n] = line;
        lines.join("\n").into_bytes()
    };
    let fault = |file: &[u8]| match read_image(file, Format::Hex, 0) {
        Err(BuildError::Hex { line, fault }) => (line, fault),
        other => panic!("{other:?}"),
    };
    assert!(read_image(&with(0, lines[0]), Format::Hex, 0).is_ok());
    assert_eq!(fault(&with(1, "00000001FF")), (2, HexFault::NoColon));
    assert_eq!(fault(&with(1, ":0000000")), (2, HexFault::NotHex));
    assert_eq!(fault(&with(1, ":0g000001FF")), (2, HexFault::NotHex));
    assert_eq!(fault(&with(1, ":00")), (2, HexFault::Length));
    assert_eq!(fault(&with(1, ":01000001FE")), (2, HexFault::Length));
    assert_eq!(fault(&with(1, ":00000001FE")), (2, HexFault::Checksum));
    assert_eq!(fault(&with(1, ":00000006FA")), (2, HexFault::Type(6)));
    assert_eq!(fault(&with(1, ":00000001FF")), (3, HexFault::AfterEnd));
    assert_eq!(fault(&with(lines.len() - 1, "")), (lines.len(), HexFault::NoEnd));
    let beyond = hex_line(4, 0, &[0xFF, 0xFF]) + &hex_line(0, 0xFFFF, &[1, 2]);
    assert_eq!(fault(beyond.as_bytes()), (2, HexFault::Address));
}

#[test]
fn fields_that_a_device_would_refuse_are_refused_here() {
    let image = read_image(&program(100), Format::Bin, DIE).unwrap();
    let long = "x".repeat(65);
    for release in [
        Release { name: "", ..release() },
        Release { name: &long, ..release() },
        Release { version: "", ..release() },
        Release { version: &long, ..release() },
    ] {
        let refused = build(&board(), &image, &release, &signer()).unwrap_err();
        assert!(matches!(refused, BuildError::Text { .. }), "{refused}");
    }
    let longest = Release { name: &long[..64], version: &long[..32], ..release() };
    assert!(build(&board(), &image, &longest, &signer()).is_ok());
    for release in [
        Release { sequence: 0, ..release() },
        Release { abi: Revisions { least: 2, greatest: 1 }, ..release() },
    ] {
        let refused = build(&board(), &image, &release, &signer()).unwrap_err();
        assert!(
            matches!(refused, BuildError::Refused(Refused::Contradiction(_) | Refused::Manifest(_))),
            "{refused}"
        );
    }
}

#[test]
fn a_key_file_is_private_never_overwritten_and_signs_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("owner.key");
    let signer = generate_key(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(load_key(&path).unwrap().public_key(), signer.public_key());
    assert!(matches!(generate_key(&path), Err(KeyError::Exists(_))));
    let line = write_public_key(&signer.public_key());
    assert_eq!(parse_public_key(&line), Some(signer.public_key()));
    assert_eq!(parse_public_key(line.split(' ').nth(1).unwrap()), Some(signer.public_key()));
    for bad in
        ["", "bulkhead-signing-public-1", &line[..line.len() - 1], &line.replace("public", "key"), "ÿÿ"]
    {
        assert_eq!(parse_public_key(bad), None, "{bad}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(load_key(&path), Err(KeyError::Readable(_))));
    let sealed = folder.path().join("sealed");
    let signer = generate_key_sealed(&sealed, Some("correct horse")).unwrap();
    assert!(!fs::read_to_string(&sealed).unwrap().contains("bulkhead-signing-key-1"));
    assert!(matches!(load_key(&sealed), Err(KeyError::Sealed(_))));
    assert!(matches!(load_key_sealed(&sealed, Some("correct hose")), Err(KeyError::WrongPassphrase(_))));
    assert_eq!(load_key_sealed(&sealed, Some("correct horse")).unwrap().public_key(), signer.public_key());
    assert!(matches!(load_debug_key_sealed(&sealed, Some("correct horse")), Err(KeyError::NotAKey { .. })));
    let changed =
        OpenKey::open(&sealed, Some("correct horse")).unwrap().replace(&sealed, Some("another horse"));
    assert!(changed.is_ok());
    assert!(matches!(load_key_sealed(&sealed, Some("correct horse")), Err(KeyError::WrongPassphrase(_))));
    assert_eq!(load_key_sealed(&sealed, Some("another horse")).unwrap().public_key(), signer.public_key());
    assert_eq!(fs::metadata(&sealed).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(OpenKey::open(&sealed, None), Err(KeyError::Sealed(_))));
    let unfit = OpenKey::open(&sealed, Some("another horse")).unwrap().replace(&sealed, Some("short"));
    assert!(matches!(unfit, Err(KeyError::UnfitPassphrase)));
    OpenKey::open(&sealed, Some("another horse")).unwrap().replace(&sealed, None).unwrap();
    assert_eq!(load_key(&sealed).unwrap().public_key(), signer.public_key());
    let short = generate_key_sealed(&folder.path().join("short"), Some("short"));
    assert!(matches!(short, Err(KeyError::UnfitPassphrase)));
    let other = folder.path().join("public");
    fs::write(&other, line).unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(load_key(&other), Err(KeyError::NotAKey { .. })));
    fs::write(&other, [0xFF; 10]).unwrap();
    assert!(matches!(load_key(&other), Err(KeyError::NotAKey { .. })));
    assert!(matches!(load_key(&folder.path().join("none")), Err(KeyError::Io { .. })));
    assert_ne!(generate_key(&folder.path().join("b")).unwrap().public_key(), signer.public_key());
}

#[test]
fn reserved_pages_become_areas_behind_those_of_the_program() {
    let reserved = [
        Reserved { purpose: Purpose::Owned, medium: Medium::External, base: 0x8000, length: 0x4000 },
        Reserved { purpose: Purpose::Fill, medium: Medium::External, base: 0x4000, length: 0x1000 },
        Reserved { purpose: Purpose::Owned, medium: Medium::Die, base: 0xE000, length: 0x2000 },
    ];
    let image = read_image(&elf(&[(DIE, &program(20_000)), (EXTERNAL, &[5; 100])]), Format::Elf, 0).unwrap();
    let made = build(&board(), &image, &Release { reserved: &reserved, ..release() }, &signer()).unwrap();
    let file = BundleFile::verify(&made.file, &[signer().public_key()]).unwrap();
    let areas: Vec<_> = file
        .manifest
        .areas()
        .map(|a| (a.id, a.kind, a.medium, a.base, a.page_count(), a.image_len()))
        .collect();
    assert_eq!(
        areas,
        [
            (1, AreaKind::Code, Medium::Die, 0, 3, 20_000),
            (2, AreaKind::Constant, Medium::External, 0, 1, 100),
            (3, AreaKind::ApplicationOwned, Medium::External, 0x8000, 0, 0),
            (4, AreaKind::Fill, Medium::External, 0x4000, 1, 0x1000),
            (5, AreaKind::ApplicationOwned, Medium::Die, 0xE000, 0, 0),
        ]
    );
}

#[test]
fn pages_that_cannot_be_reserved_are_refused_with_what_stands_in_the_way() {
    let image = read_image(&elf(&[(DIE, &program(20_000))]), Format::Elf, 0).unwrap();
    let refused = |reserved: &[Reserved]| {
        build(&board(), &image, &Release { reserved, ..release() }, &signer()).unwrap_err().to_string()
    };
    let owned = |medium, base, length| Reserved { purpose: Purpose::Owned, medium, base, length };
    for (reserved, why) in [
        (vec![owned(Medium::Die, 0x4000, 0x2000)], "area 1 lies there"),
        (vec![owned(Medium::External, 0x10, 0x1000)], "multiples of 4096"),
        (vec![owned(Medium::External, 0, 0)], "multiples of 4096"),
        (vec![owned(Medium::External, 0xF_F000, 0x2000)], "ends behind the 0x100000 bytes"),
        (vec![owned(Medium::External, 0xFFFF_F000, 0xFFFF_F000)], "ends behind"),
        (
            vec![owned(Medium::External, 0, 0x2000), owned(Medium::External, 0x1000, 0x1000)],
            "area 3 lies there",
        ),
        (vec![owned(Medium::External, 0, 0x1000); 8], "area 3 lies there"),
    ] {
        let text = refused(&reserved);
        assert!(text.contains(why), "{text}");
    }
}

/// An ELF file whose segments take 64 bytes more than `len` at these addresses.
fn elf_at(addresses: &[u32], len: usize) -> Vec<u8> {
    let bytes = vec![1; len];
    let segments: Vec<_> = addresses.iter().map(|_| (DIE, bytes.as_slice())).collect();
    let mut file = elf(&segments);
    for (n, address) in addresses.iter().enumerate() {
        file[52 + 32 * n + 8..][..4].copy_from_slice(&address.to_le_bytes());
    }
    file
}

#[test]
fn memory_that_a_program_uses_is_where_its_segments_are_and_in_four_ranges_at_most() {
    const RAM: u32 = 0x2820_0000;
    let used = |addresses: &[u32], len| {
        let memory = used_memory(&board(), &elf_at(addresses, len));
        memory.map(|memory| {
            memory.as_slice().iter().map(|range| (range.address, range.len)).collect::<Vec<_>>()
        })
    };
    assert_eq!(used(&[DIE], 100), None, "code is no memory that is written to");
    assert_eq!(used(&[RAM + 2], 3), Some(vec![(RAM, 72)]), "whole words");
    assert_eq!(used(&[RAM, RAM + 64, RAM + 0x1000], 0), Some(vec![(RAM, 128), (RAM + 0x1000, 64)]), "joined");
    assert_eq!(used(&[STACK - 32], 0), Some(vec![(STACK - 32, 32)]), "up to the end of RAM");
    let six = [0, 0x1000, 0x1100, 0x3000, 0x3080, 0x8000].map(|offset| RAM + offset);
    let joined = vec![(RAM, 64), (RAM + 0x1000, 0x140), (RAM + 0x3000, 0xC0), (RAM + 0x8000, 64)];
    assert_eq!(used(&six, 0), Some(joined), "the nearest first");
    assert_eq!(used_memory(&board(), &hex(&[(DIE, &program(64))])), None);
}
