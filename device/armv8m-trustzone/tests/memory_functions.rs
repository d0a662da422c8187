//! The hypervisor's own `memcpy` and its kin, as the processor runs them: every alignment, many lengths, overlaps.
#![expect(clippy::unwrap_used, reason = "a test: a panic is its failure")]

use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = include_str!("../src/arm/copy.rs");
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/memory_functions/main.c");

/// What may be wrong with them, and must be noticed.
const SEEDS: &[(&str, &str)] = &[
    ("cmp r2, #36", "cmp r2, #32"),
    ("bhs memcpy", "b memcpy"),
    ("rev r12, r12", "nop"),
    ("ldrb r3, [r1], #1\n    strb", "ldrb r3, [r1]\n    strb"),
    ("ldr r9, [r1, #24]", "ldr r9, [r1, #25]"),
    ("uxtb r1, r1", "nop"),
];

#[test]
fn memory_functions_do_what_bytes_one_by_one_do() {
    assert_eq!(first_difference("sound", &assembly()), 0);
}

#[test]
fn a_memory_function_with_a_mistake_is_noticed() {
    for (number, (right, wrong)) in SEEDS.iter().enumerate() {
        let sound = assembly();
        let seeded = sound.replace(right, wrong);
        assert_ne!(seeded, sound, "`{right}`: the seed must follow the code");
        assert_ne!(
            first_difference(&format!("seed-{number}"), &seeded),
            0,
            "`{wrong}` in place of `{right}`"
        );
    }
}

/// The text between the quotes, with the braces that a format string would have.
fn assembly() -> String {
    let (_, rest) = SOURCE.split_once("r#\"").unwrap();
    let (text, _) = rest.split_once("\"#").unwrap();
    format!(".syntax unified\n.thumb\n{}", text.replace("{{", "{").replace("}}", "}"))
}

/// Builds the program with these functions and runs it. Returns the number of the first difference that it found, 0 for none.
fn first_difference(name: &str, assembly: &str) -> i32 {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("memory-functions").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let functions = folder.join("functions.s");
    std::fs::write(&functions, assembly).unwrap();
    let program = folder.join("program.elf");
    build(&functions, &program);
    let mut emulator = Command::new("timeout");
    emulator.args([
        "60",
        "qemu-system-arm",
        "-M",
        "mps2-an505",
        "-display",
        "none",
        "-monitor",
        "none",
        "-serial",
        "none",
    ]);
    emulator.args(["-semihosting-config", "enable=on,target=native", "-kernel"]).arg(program);
    emulator.status().unwrap().code().unwrap()
}

fn build(functions: &Path, program: &Path) {
    let mut compiler = Command::new("arm-none-eabi-gcc");
    compiler.args(["-mcpu=cortex-m33", "-mthumb", "-O1", "-Wall", "-Wextra", "-Werror", "-ffreestanding"]);
    // Loops over bytes stay loops over bytes.
    compiler.args(["-fno-builtin", "-fno-tree-loop-distribute-patterns", "-nostdlib"]);
    compiler
        .args(["-Wl,-Ttext=0x10000400,-Tdata=0x38000000,--section-start=.vectors=0x10000000,-e,0x10000000"]);
    let status = compiler.arg("-o").arg(program).arg(PROGRAM).arg(functions).status().unwrap();
    assert!(status.success());
}
