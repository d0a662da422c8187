//! The SDK for C and C++ as others get it: installed, found by `find_package` and by `pkg-config`, and used by applications
//! that know nothing of this tree.
//!
//! `tests/end-to-end` runs what is built here.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;
use crate::workspace::Workspace;

/// What CMake builds, by the names of its targets.
const WITH_CMAKE: &[&str] = &["package-c", "package-cpp"];
const WITH_PKG_CONFIG: &str = "package-pkg-config";
/// CMake says nothing of what it was not told to use.
const QUIET: &[&str] =
    &["-DCMAKE_BUILD_TYPE=MinSizeRel", "-DCMAKE_INSTALL_MESSAGE=NEVER", "--log-level=WARNING"];

/// Installs the SDK and builds applications with it; returns their ELF files.
///
/// # Errors
/// CMake or pkg-config is missing, or something does not compile or link.
pub(crate) fn build(workspace: &Workspace, generated: &Path, output: &Path) -> Result<Vec<PathBuf>> {
    let folder = workspace.target().join("sdk-package");
    if folder.exists() {
        // What an earlier SDK installed must not be found.
        std::fs::remove_dir_all(&folder).with_context(|| format!("failed to remove {}", folder.display()))?;
    }
    let prefix = folder.join("prefix");
    let sdk = workspace.path("apps/sdk-c");
    let sources = sdk.join("package-test");
    let built = folder.join("applications");
    let toolchain = sources.join("toolchain.cmake");
    configure(&sdk, &folder.join("sdk"), &toolchain, generated, &prefix)?;
    process::run(process::clean("cmake").arg("--install").arg(folder.join("sdk")))?;
    configure(&sources, &built, &toolchain, generated, &prefix)?;
    process::run(process::clean("cmake").arg("--build").arg(&built).args(["--", "--silent"]))?;
    let mut elves = Vec::new();
    for name in WITH_CMAKE {
        let elf = output.join(format!("{name}.elf"));
        let from = built.join(format!("{name}.elf"));
        std::fs::copy(&from, &elf).with_context(|| format!("failed to copy {}", from.display()))?;
        elves.push(elf);
    }
    let elf = output.join(format!("{WITH_PKG_CONFIG}.elf"));
    build_without_cmake(&sources.join("package.cpp"), &prefix, generated, &folder.join("objects"), &elf)?;
    elves.push(elf);
    Ok(elves)
}

fn configure(source: &Path, build: &Path, toolchain: &Path, board: &Path, prefix: &Path) -> Result<()> {
    let mut command = process::clean("cmake");
    command.args(QUIET).arg("-S").arg(source).arg("-B").arg(build);
    for (name, path) in [
        ("CMAKE_TOOLCHAIN_FILE", toolchain),
        ("BULKHEAD_BOARD", board),
        ("CMAKE_INSTALL_PREFIX", prefix),
        ("CMAKE_PREFIX_PATH", prefix),
    ] {
        command.arg(format!("-D{name}={}", path.display()));
    }
    process::run(&mut command)
}

/// Compiles as the guide says it for builds without CMake.
fn build_without_cmake(source: &Path, prefix: &Path, board: &Path, objects: &Path, elf: &Path) -> Result<()> {
    std::fs::create_dir_all(objects).with_context(|| format!("failed to create {}", objects.display()))?;
    let asked = |what: &str| pkg_config(prefix, what);
    let mut compiled = Vec::new();
    let mut compile = |compiler: &str, source: &Path, flags: &[String]| {
        let object = objects.join(source.file_name().unwrap_or_default()).with_extension("o");
        let mut command = Command::new(compiler);
        command.args(["-Os", "-g"]).args(flags).arg("-I").arg(board);
        process::run(command.arg("-c").arg(source).arg("-o").arg(&object))?;
        compiled.push(object);
        anyhow::Ok(())
    };
    let mut flags = asked("--cflags")?;
    for folder in asked("--variable=sources")? {
        let entries = std::fs::read_dir(&folder).with_context(|| format!("failed to read {folder}"))?;
        for entry in entries {
            compile("arm-none-eabi-gcc", &entry?.path(), &flags)?;
        }
    }
    flags.extend(asked("--variable=cxxflags")?);
    flags.extend(["-std=c++17".into(), format!("-DNAME=\"{WITH_PKG_CONFIG}\"")]);
    compile("arm-none-eabi-g++", source, &flags)?;
    let mut command = Command::new("arm-none-eabi-g++");
    command.args(asked("--cflags")?).args(compiled).arg("-T").arg(board.join("application.ld"));
    process::run(command.args(asked("--libs")?).arg("-o").arg(elf))
}

/// What pkg-config says of the installed SDK, word by word.
fn pkg_config(prefix: &Path, what: &str) -> Result<Vec<String>> {
    let mut command = Command::new("pkg-config");
    command.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig")).args([what, "bulkhead-sdk"]);
    Ok(process::output(&mut command)?.split_whitespace().map(String::from).collect())
}
