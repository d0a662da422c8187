//! `cargo xtask apps`: the C applications.
//!
//! A folder of `apps/` with a `.c` file in it is an application; the `sdk-*` folders are what applications are
//! made with. Linker script and `bh_board.h` are generated from the board's description. A source that mentions
//! `APP_VERSION` is built twice, as version 1 and as version 2, so that there is something to update to.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use bulkhead_board_description::{Board, MPS2_AN505, application_board_header, application_linker_script};

use crate::elf;
use crate::process;
use crate::workspace::Workspace;

const COMPILER: &str = "arm-none-eabi-gcc";
const FLAGS: &[&str] = &[
    "-mcpu=cortex-m33",
    "-mthumb",
    "-mfloat-abi=soft",
    "-Os",
    "-g",
    "-std=c11",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-ffreestanding",
    "-fno-common",
    "-ffunction-sections",
    "-fdata-sections",
    // The same source gives the same bytes wherever it is compiled.
    "-ffile-prefix-map=.=/bulkhead",
];
const LINK_FLAGS: &[&str] = &[
    "-nostartfiles",
    "-Wl,--gc-sections",
    "-Wl,--no-warn-rwx-segments",
    "-Wl,--build-id=none",
    "-lc",
    "-lgcc",
];
/// Versions of a source that mentions [`VERSION_NAME`].
const VERSIONS: &[u32] = &[1, 2];
const VERSION_NAME: &str = "APP_VERSION";

/// Builds every application; returns the ELF files.
///
/// # Errors
/// As [`build`].
pub(crate) fn build_all(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let mut built = Vec::new();
    for name in names(workspace)? {
        built.extend(build(workspace, &name)?);
    }
    Ok(built)
}

/// Builds one application; returns its ELF files, one a version.
///
/// # Errors
/// No such application, no compiler, or the compiler refused the source.
pub(crate) fn build(workspace: &Workspace, name: &str) -> Result<Vec<PathBuf>> {
    let names = names(workspace)?;
    if !names.iter().any(|known| known == name) {
        bail!("no application `{name}`; there are: {}", names.join(", "));
    }
    if process::find(COMPILER).is_none() {
        bail!("{COMPILER} is missing; run `cargo xtask setup`");
    }
    let output = workspace.target().join("apps");
    let generated = output.join("generated");
    generate(&generated)?;

    let sources = c_files(&workspace.path("apps").join(name))?;
    let mut versioned = false;
    for source in &sources {
        versioned |= std::fs::read_to_string(source)?.contains(VERSION_NAME);
    }
    let kinds: Vec<Option<u32>> =
        if versioned { VERSIONS.iter().copied().map(Some).collect() } else { vec![None] };
    let mut built = Vec::new();
    for version in kinds {
        let file = match version {
            Some(number) => format!("{name}-v{number}.elf"),
            None => format!("{name}.elf"),
        };
        let elf = output.join(file);
        compile(workspace, &sources, &generated, version, &elf)?;
        let size = elf::footprint(&elf)?;
        println!(
            "apps: {} (flash {} bytes, static RAM {} bytes)",
            workspace.relative(&elf),
            size.flash_bytes,
            size.ram_bytes
        );
        built.push(elf);
    }
    Ok(built)
}

fn compile(
    workspace: &Workspace,
    sources: &[PathBuf],
    generated: &Path,
    version: Option<u32>,
    elf: &Path,
) -> Result<()> {
    let sdk = workspace.path("apps/sdk-c");
    let mut command = Command::new(COMPILER);
    command.current_dir(workspace.root()).args(FLAGS);
    if let Some(number) = version {
        command.arg(format!("-D{VERSION_NAME}={number}"));
    }
    command.arg("-I").arg(workspace.relative(&sdk.join("include"))).arg("-I").arg(generated);
    for source in sources.iter().chain(&c_files(&sdk.join("src"))?) {
        command.arg(workspace.relative(source));
    }
    command.arg("-T").arg(generated.join("application.ld")).arg("-o").arg(elf).args(LINK_FLAGS);
    process::run(&mut command)
}

/// Writes what follows from the board's description.
fn generate(folder: &Path) -> Result<()> {
    let board = Board::parse(MPS2_AN505)?;
    std::fs::create_dir_all(folder).with_context(|| format!("failed to create {}", folder.display()))?;
    for (name, text) in [
        ("application.ld", application_linker_script(&board)),
        ("bh_board.h", application_board_header(&board)),
    ] {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))?;
    }
    Ok(())
}

/// Names of the applications, sorted.
fn names(workspace: &Workspace) -> Result<Vec<String>> {
    let folder = workspace.path("apps");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("failed to read {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() && !name.starts_with("sdk-") && !c_files(&entry.path())?.is_empty() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The `.c` files right in `folder`, sorted, so that the link order is the same everywhere.
fn c_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("failed to read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "c") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
