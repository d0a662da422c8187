//! `cargo xtask image BOARD`: the hypervisor image of a board.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::elf;
use crate::process;
use crate::toolchain::{TARGET, Toolchain};
use crate::workspace::Workspace;

/// Builds the hypervisor's image and copies it to `target/firmware/BOARD/hypervisor.elf`.
///
/// # Errors
/// No such board, no compiler for the chip, or the build failed.
pub(crate) fn build(workspace: &Workspace, board: &str) -> Result<PathBuf> {
    build_program(workspace, board, "hypervisor")
}

/// Builds a program of a board and copies it to `target/firmware/BOARD/NAME.elf`.
///
/// # Errors
/// As [`build`]; the board has no such program.
pub(crate) fn build_program(workspace: &Workspace, board: &str, name: &str) -> Result<PathBuf> {
    if !board.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        || !workspace.path("boards").join(board).join("Cargo.toml").is_file()
    {
        bail!("no board `{board}`; there are: {}", boards(workspace)?.join(", "));
    }
    let toolchain = Toolchain::choose()?;
    println!("image {board}: {}", toolchain.describe());
    // A target folder of its own: host and chip builds would wait for each other's lock, and two compilers
    // would throw each other's products away.
    let build_folder = workspace.target().join("firmware-build").join(toolchain.name());
    let mut command = toolchain.image_cargo(workspace, "build")?;
    command.args(["--locked", "--profile", "firmware"]);
    command.args(["--package", &format!("bulkhead-board-{board}"), "--bin", name]);
    command.arg("--target-dir").arg(&build_folder);
    process::run(&mut command)?;

    let built = build_folder.join(TARGET).join("firmware").join(name);
    let folder = workspace.target().join("firmware").join(board);
    std::fs::create_dir_all(&folder).with_context(|| format!("failed to create {}", folder.display()))?;
    let image = folder.join(format!("{name}.elf"));
    // Renamed into place: whoever runs the old image at this moment keeps a whole file.
    let partial = folder.join(format!("{name}.elf.partial"));
    std::fs::copy(&built, &partial).with_context(|| format!("failed to copy {}", built.display()))?;
    std::fs::rename(&partial, &image).with_context(|| format!("failed to write {}", image.display()))?;
    let size = elf::footprint(&image)?;
    println!(
        "image {board}: {} (flash {} bytes, static RAM {} bytes)",
        workspace.relative(&image),
        size.flash_bytes,
        size.ram_bytes
    );
    Ok(image)
}

/// Names of the boards.
fn boards(workspace: &Workspace) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(workspace.path("boards")).context("failed to read boards/")? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}
