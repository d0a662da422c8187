//! Zig, from its package in Python's index: the one registry that carries the compiler.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::workspace::Workspace;

/// The release that the applications are written for. Zig changes from release to release.
const VERSION: &str = "0.17.1";
/// What `thumbv8m.main` is to Zig. Floating point is soft: what is to be found in registers is nobody's business.
const TARGET: &[&str] = &["-target", "thumb-freestanding-eabi", "-mcpu", "cortex_m33+soft_float"];

/// Where it lies.
fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target().join("tools").join(format!("ziglang-{VERSION}"))
}

/// The compiler; `None` if it was not installed.
fn compiler(workspace: &Workspace) -> Option<PathBuf> {
    let path = folder(workspace).join("ziglang").join("zig");
    path.is_file().then_some(path)
}

/// A line for `doctor`; whether it is there.
pub(crate) fn doctor(workspace: &Workspace) -> bool {
    let found = compiler(workspace).is_some();
    let mark = if found { "ok" } else { "MISSING" };
    let name = format!("Zig {VERSION}");
    println!("{mark:8} {name:34} compiles applications in Zig, comes from PyPI");
    found
}

/// Fetches it with pip, if it is not there.
///
/// # Errors
/// No Python with pip, or no network.
pub(crate) fn setup(workspace: &Workspace) -> Result<()> {
    if compiler(workspace).is_some() {
        return Ok(());
    }
    println!("setup: fetching Zig {VERSION}");
    let folder = folder(workspace);
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target"]);
    pip.arg(&folder).arg(format!("ziglang=={VERSION}"));
    process::run(&mut pip).context("failed to fetch Zig; pip must reach its index")?;
    if compiler(workspace).is_none() {
        bail!("the package ziglang {VERSION} holds no compiler for this machine");
    }
    Ok(())
}

/// Builds `main.zig` of the folder `source` to `elf`, with what is generated beside it.
///
/// # Errors
/// Zig is missing (the text names the command), or refused the source.
pub(crate) fn build(workspace: &Workspace, source: &Path, generated: &Path, elf: &Path) -> Result<()> {
    let Some(zig) = compiler(workspace) else {
        bail!("Zig {VERSION} is missing; run `cargo xtask setup`");
    };
    let mut command = Command::new(zig);
    let cache = workspace.target().join("tools").join("zig-cache");
    command.current_dir(workspace.root()).arg("build-exe").args(TARGET);
    command.args(["-O", "ReleaseSmall", "-fno-strip", "-fsingle-threaded", "--dep", "bulkhead"]);
    command.arg(format!("-Mroot={}", workspace.relative(&source.join("main.zig"))));
    command.args(TARGET).args(["-O", "ReleaseSmall", "-fno-strip", "-fsingle-threaded"]);
    command.arg(format!("-Mbulkhead={}", workspace.relative(&generated.join("bulkhead.zig"))));
    command
        .arg("-fentry=reset_handler")
        .arg("-T")
        .arg(generated.join("application.ld"))
        .arg(format!("-femit-bin={}", elf.display()));
    command.arg("--cache-dir").arg(&cache).arg("--global-cache-dir").arg(&cache);
    process::run(&mut command)
}
