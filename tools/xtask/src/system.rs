//! Starts the programs of `tests/end-to-end`: the demo, the soak and the link's figures need the whole product.

use anyhow::Result;

use crate::workspace::Workspace;
use crate::{apps, check, image, process, requirements};

const BOARD: &str = "mps2-an505";

/// Runs program `name` with `arguments`; everything it needs must be built.
///
/// # Errors
/// The program could not be built, or ended with a failure.
pub(crate) fn run(workspace: &Workspace, name: &str, arguments: &[&str]) -> Result<()> {
    let mut command = process::cargo(workspace.root());
    command.args(["run", "--locked", "--quiet", "--package", "bulkhead-end-to-end", "--bin", name, "--"]);
    command.args(arguments);
    // The programs lie in the target folder; they need not guess where that is.
    command.env("BULKHEAD_TARGET", workspace.target());
    process::run(&mut command)
}

/// Installs what is missing and builds image, applications, server and tool.
///
/// # Errors
/// Set-up or a build failed.
pub(crate) fn prepare(workspace: &Workspace) -> Result<()> {
    requirements::setup()?;
    image::build(workspace, BOARD)?;
    apps::build_all(workspace)?;
    check::product(workspace)
}
