//! `cargo xtask power-cut`: the program of `tests/power-cut`, optimised, for it boots millions of devices.

use anyhow::Result;

use crate::process;
use crate::workspace::Workspace;

/// Builds and runs it; it reads `arguments` itself.
///
/// # Errors
/// The build failed, or the program found something wrong.
pub(crate) fn run(workspace: &Workspace, arguments: &[&str]) -> Result<()> {
    let mut command = process::cargo(workspace.root());
    command.args(["run", "--locked", "--release", "--quiet", "--package", "bulkhead-power-cut", "--"]);
    process::run(command.args(arguments))
}
