//! `cargo xtask fuzz`: every fuzz target for a while. The nightly command; needs a nightly compiler.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::workspace::Workspace;

const FOLDER: &str = "tests/fuzz";

/// Runs each target for `seconds`, stopping at the first crash.
///
/// # Errors
/// No nightly compiler, or a target crashed; cargo-fuzz prints the command that replays it.
pub(crate) fn run(workspace: &Workspace, seconds: u32) -> Result<()> {
    if !process::succeeds(process::clean("cargo").args(["+nightly", "--version"])) {
        bail!("fuzzing needs a nightly compiler: `rustup toolchain install nightly`");
    }
    if !process::succeeds(process::clean("cargo").args(["fuzz", "--version"])) {
        println!("fuzz: installing cargo-fuzz");
        process::run(process::clean("cargo").args(["install", "--locked", "cargo-fuzz"]))?;
    }
    let list = process::output(nightly(workspace).args(["list", "--fuzz-dir", FOLDER]))
        .with_context(|| format!("failed to list the targets of {FOLDER}"))?;
    let targets: Vec<&str> = list.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if targets.is_empty() {
        bail!("{FOLDER} has no fuzz targets");
    }
    for target in &targets {
        println!("\n== fuzz {target}, {seconds} s");
        let mut command = nightly(workspace);
        command.args(["run", "--fuzz-dir", FOLDER, target]);
        // What is found is kept in `corpus`, which git ignores; `seeds` holds valid inputs to start from.
        let corpus = format!("{FOLDER}/corpus/{target}");
        std::fs::create_dir_all(workspace.path(&corpus))
            .with_context(|| format!("failed to create {corpus}"))?;
        command.arg(corpus);
        let seeds = format!("{FOLDER}/seeds/{target}");
        if workspace.path(&seeds).is_dir() {
            command.arg(seeds);
        }
        command.args(["--", &format!("-max_total_time={seconds}"), "-print_final_stats=1"]);
        process::run(&mut command).with_context(|| format!("fuzz target `{target}` failed"))?;
    }
    println!("\nfuzz: ok ({} targets, {seconds} s each)", targets.len());
    Ok(())
}

fn nightly(workspace: &Workspace) -> Command {
    let mut command = process::clean("cargo");
    command.current_dir(workspace.root()).args(["+nightly", "fuzz"]);
    command
}
