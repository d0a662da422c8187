//! Developer commands: doctor, setup, image, apps, test, tidy, demo, bench, soak, fuzz.
//!
//! It depends on little on purpose: `cargo xtask doctor` must build in seconds on a bare machine. What needs the
//! whole product (the demo, the soak, the link's figures) lives in `tests/end-to-end` and is started from here.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a command-line tool: standard output is its result")]

mod apps;
mod elf;
mod image;
mod process;
mod requirements;
mod tidy;
mod toolchain;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::workspace::Workspace;

const USAGE: &str = "\
Developer commands of Bulkhead. Usage: cargo xtask COMMAND

  doctor              say what is missing and the command that installs it
  setup               install what is missing (Debian packages, through apt)
  image BOARD         build the hypervisor image of a board (mps2-an505)
  apps [NAME]         build the C applications under apps/
  tidy                check the rules of ARCHITECTURE.md and STYLE.md
";

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
        ["setup"] => requirements::setup(),
        ["image", board] => image::build(&workspace, board).map(|_| ()),
        ["tidy"] => tidy::run(&workspace),
        ["apps"] => apps::build_all(&workspace).map(|_| ()),
        ["apps", name] => apps::build(&workspace, name).map(|_| ()),
        _ => bail!("no such command: `{}`; `cargo xtask help` lists them", words.join(" ")),
    }
}
