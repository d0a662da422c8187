//! Developer commands: doctor, setup, image, apps, test, tidy, demo, attack-matrix, bench, gdb-testsuite, power-cut, soak,
//! fuzz.
//!
//! It depends on little on purpose: `cargo xtask doctor` must build in seconds on a bare machine. What needs the
//! whole product (the demo, the soak, the link's figures) lives in `tests/end-to-end` and is started from here.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a command-line tool: standard output is its result")]

mod apps;
mod bench;
mod check;
mod elf;
mod fuzz;
mod gdb_testsuite;
mod image;
mod kernel;
mod power_cut;
mod process;
mod requirements;
mod sdk_package;
mod system;
mod tidy;
mod toolchain;
mod workspace;
mod zig;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;

const USAGE: &str = "\
Developer commands of Bulkhead. Usage: cargo xtask COMMAND

  doctor                        say what is missing and the command that installs it
  setup                         install what is missing (Debian packages through apt, Zig through pip)
  demo [--once]                 the whole loop on an emulated device; --once ends by itself
  test                          everything that must hold before a change goes in (alias: ci)
  tidy                          check the rules of ARCHITECTURE.md and STYLE.md
  image BOARD                   build the hypervisor image of a board (mps2-an505)
  apps [NAME]                   build the applications under apps/
  attack-matrix [--only TEXT]   every attack of the matrix and its seeded holes, in QEMU
  bench footprint|link|device|update|debug|isolation
                                measure, compare, write target/bench/NAME.json
  bench update OLD NEW          the bytes of a patch from file OLD to file NEW, ours and others'
  gdb-testsuite [--keep-stub] [--limit=SECONDS] [FILE...]
                                GDB's own testsuite against QEMU's stub and a device, e.g. `break callfuncs`; --keep-stub
                                takes the stub's results of earlier runs, a file longer than the limit (300) fails
  power-cut [--states N] [--seed S]
                                recover a device from every power cut until N states (1000000) were seen;
                                fewer are a sample. --replay ID [--bug NAME] tells the story of one run
  step-oracle [--programs N] [--bench N] [--seed S]
                                step programs twice, by QEMU and by the product: the traces must be equal
  halted [SECONDS]              hold an application (600 s) and look what goes on meanwhile
  soak update [--kills N]       cut the power N times (50) at random moments of an update
  fuzz [--seconds N]            every fuzz target for N seconds (60); needs a nightly compiler
";

const SOAK_KILLS: u32 = 50;
const FUZZ_SECONDS: u32 = 60;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let workspace = Workspace::find()?;
    match words.as_slice() {
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        ["doctor"] => requirements::doctor(&workspace),
        ["setup"] => requirements::setup(&workspace),
        ["demo", rest @ ..] => demo(&workspace, rest),
        ["test" | "ci"] => check::run(&workspace),
        ["tidy"] => tidy::run(&workspace),
        ["image", board] => image::build(&workspace, board).map(|_| ()),
        ["apps"] => apps::build_all(&workspace).map(|_| ()),
        ["apps", name] => apps::build(&workspace, name).map(|_| ()),
        ["attack-matrix", rest @ ..] => {
            image::build(&workspace, system::BOARD)?;
            apps::build(&workspace, "hostile-c")?;
            system::run_attack_matrix(&workspace, rest)
        }
        ["bench"] => bail!("bench what? `cargo xtask help` lists the benches"),
        ["bench", name] => bench::run(&workspace, name),
        ["bench", "update", old, new] => bench::run_pair(&workspace, old, new),
        ["gdb-testsuite", rest @ ..] => gdb_testsuite::run(&workspace, rest),
        ["power-cut", rest @ ..] => power_cut::run(&workspace, rest),
        ["step-oracle", rest @ ..] => {
            system::prepare(&workspace)?;
            system::run_package(&workspace, "bulkhead-step-oracle", "step-oracle", rest)
        }
        ["halted", rest @ ..] => {
            system::prepare(&workspace)?;
            system::run(&workspace, "halted", rest)
        }
        ["soak", "update", rest @ ..] => soak(&workspace, number(rest, "--kills", SOAK_KILLS)?),
        ["fuzz", rest @ ..] => fuzz::run(&workspace, number(rest, "--seconds", FUZZ_SECONDS)?),
        _ => bail!("no such command: `{}`; `cargo xtask help` lists them", words.join(" ")),
    }
}

fn demo(workspace: &Workspace, rest: &[&str]) -> Result<()> {
    if !matches!(rest, [] | ["--once"]) {
        bail!("demo takes `--once` or nothing, not `{}`", rest.join(" "));
    }
    system::prepare(workspace)?;
    system::run(workspace, "demo", rest)
}

fn soak(workspace: &Workspace, kills: u32) -> Result<()> {
    system::prepare(workspace)?;
    system::run(workspace, "soak", &["--kills", &kills.to_string()])
}

/// Reads `[]` or `[OPTION, N]`, N at least 1.
fn number(rest: &[&str], option: &str, default: u32) -> Result<u32> {
    match rest {
        [] => Ok(default),
        [name, text] if *name == option => {
            let number = text.parse::<u32>().ok().filter(|number| *number > 0);
            number.with_context(|| format!("{option} takes a number of at least 1, not `{text}`"))
        }
        _ => bail!("expected `{option} N` or nothing, not `{}`", rest.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_read_or_refused_by_name() {
        assert_eq!(number(&[], "--kills", 50).unwrap(), 50);
        assert_eq!(number(&["--kills", "7"], "--kills", 50).unwrap(), 7);
        for wrong in [&["--kills"][..], &["--kills", "0"], &["--kills", "-1"], &["--other", "1"]] {
            assert!(number(wrong, "--kills", 50).unwrap_err().to_string().contains("--kills"));
        }
    }
}
