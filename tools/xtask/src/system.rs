//! Starts the programs under `tests/`: the demo, the soak and the benches need more than `xtask` may depend on.

use std::ffi::OsStr;
use std::path::PathBuf;

use anyhow::Result;

use crate::workspace::Workspace;
use crate::{apps, check, image, process, requirements};

/// The board that can be emulated.
pub(crate) const BOARD: &str = "mps2-an505";

/// Runs program `name` with `arguments`; everything it needs must be built.
///
/// # Errors
/// The program could not be built, or ended with a failure.
pub(crate) fn run(workspace: &Workspace, name: &str, arguments: &[&str]) -> Result<()> {
    run_package(workspace, "bulkhead-end-to-end", name, arguments)
}

/// As [`run`], for a program of another package.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_package(
    workspace: &Workspace,
    package: &str,
    name: &str,
    arguments: &[&str],
) -> Result<()> {
    run_program(workspace, &["--package", package, "--bin", name], arguments)
}

/// Compares patches: every known pair of images, or the one named in `arguments`.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_delta_bench(workspace: &Workspace, arguments: &[PathBuf]) -> Result<()> {
    // Making patches is what takes the time here.
    run_program(workspace, &["--release", "--package", "bulkhead-delta-bench"], arguments)
}

/// Commits the attack matrix; image and hostile application must be built.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_attack_matrix(workspace: &Workspace, arguments: &[&str]) -> Result<()> {
    run_program(workspace, &["--package", "bulkhead-world-isolation", "--bin", "attack-matrix"], arguments)
}

fn run_program(workspace: &Workspace, program: &[&str], arguments: &[impl AsRef<OsStr>]) -> Result<()> {
    let mut command = process::cargo(workspace.root());
    command.args(["run", "--locked", "--quiet"]).args(program).arg("--").args(arguments);
    // The programs lie in the target folder; they need not guess where that is.
    command.env("BULKHEAD_TARGET", workspace.target());
    process::run(&mut command)
}

/// Installs what is missing and builds image, applications, server and tool.
///
/// # Errors
/// Set-up or a build failed.
pub(crate) fn prepare(workspace: &Workspace) -> Result<()> {
    prepare_tools(workspace)?;
    apps::build_all(workspace).map(|_| ())
}

/// As [`prepare`], without applications.
///
/// # Errors
/// As [`prepare`].
pub(crate) fn prepare_tools(workspace: &Workspace) -> Result<()> {
    requirements::setup(workspace)?;
    image::build(workspace, BOARD)?;
    check::product(workspace)
}
