//! `cargo xtask apps`: the applications.
//!
//! A folder of `apps/` with a `.c` or `.cpp` file, a `main.zig` or a `Cargo.toml` in it is an application; the `sdk-*` folders are what
//! applications are made with. A `kernel` folder in it names an operating system to build it with. Linker script and `bh_board.h` are generated from the board's description. A source that mentions
//! `APP_VERSION` is built twice, as version 1 and as version 2, so that there is something to update to.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use bulkhead_board_description::{
    Board, MPS2_AN505, application_board_header, application_linker_script, cortex_m_rt_handlers,
    cortex_m_rt_memory,
};

use crate::elf;
use crate::kernel::{self, Kernel};
use crate::process;
use crate::sdk_package;
use crate::toolchain::{TARGET, Toolchain, remap};
use crate::workspace::Workspace;
use crate::zig;

const COMPILER: &str = "arm-none-eabi-gcc";
const FLAGS: &[&str] = &[
    "-mcpu=cortex-m33",
    "-mthumb",
    "-mfloat-abi=soft",
    "-Os",
    "-g",
    "-ffreestanding",
    "-fno-common",
    "-ffunction-sections",
    "-fdata-sections",
    // The same source gives the same bytes wherever it is compiled.
    "-ffile-prefix-map=.=/bulkhead",
];
const C_FLAGS: &[&str] = &["-std=c11"];
/// C++ without what firmware seldom pays for.
const CPP_FLAGS: &[&str] =
    &["-std=c++17", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics", "-fno-use-cxa-atexit"];
/// What is left to link C++ with: newlib's small C library.
const CPP_LINK_FLAGS: &[&str] = &["--specs=nano.specs"];
const STRICT_FLAGS: &[&str] = &["-Wall", "-Wextra", "-Werror"];
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

/// The SDK for applications in Rust. Like them it is built for the chip; its tests run on the host.
pub(crate) const RUST_SDK: &str = "bulkhead-sdk";

/// Names of the applications that are crates.
///
/// # Errors
/// `apps/` cannot be read.
pub(crate) fn crates(workspace: &Workspace) -> Result<Vec<String>> {
    let mut names = names(workspace)?;
    names.retain(|name| workspace.path("apps").join(name).join("Cargo.toml").is_file());
    Ok(names)
}

/// Clippy for the applications that are crates and for their SDK.
///
/// # Errors
/// Clippy found something.
pub(crate) fn clippy(workspace: &Workspace, toolchain: &Toolchain) -> Result<()> {
    let mut command = toolchain.cargo(workspace.root(), "clippy");
    command.args(["--locked", "--keep-going", "--quiet", "--package", RUST_SDK]);
    for name in crates(workspace)? {
        command.args(["--package", &name]);
    }
    command.arg("--target-dir").arg(rust_build_folder(workspace, toolchain));
    command.env("RUSTFLAGS", rust_flags(workspace)).args(["--", "-D", "warnings"]);
    process::run(&mut command)
}

/// Builds every application, and those that use the installed SDK; returns the ELF files.
///
/// # Errors
/// As [`build`].
pub(crate) fn build_all(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let mut built = Vec::new();
    for name in names(workspace)? {
        built.extend(build(workspace, &name)?);
    }
    let packaged =
        sdk_package::build(workspace, &generated_folder(workspace), &workspace.target().join("apps"))?;
    packaged.iter().try_for_each(|elf| tell(workspace, elf))?;
    built.extend(packaged);
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
    let output = workspace.target().join("apps");
    let generated = generated_folder(workspace);
    generate(&generated)?;
    let folder = workspace.path("apps").join(name);
    if folder.join("Cargo.toml").is_file() {
        let elf = output.join(format!("{name}.elf"));
        build_rust(workspace, name, &elf)?;
        return Ok(vec![elf]);
    }
    if folder.join("main.zig").is_file() {
        let elf = output.join(format!("{name}.elf"));
        zig::build(workspace, &folder, &generated, &elf)?;
        tell(workspace, &elf)?;
        return Ok(vec![elf]);
    }
    if process::find(COMPILER).is_none() {
        bail!("{COMPILER} is missing; run `cargo xtask setup`");
    }
    let sources = c_files(&folder)?;
    let kernel = kernel::of(&folder)?;
    let mut versioned = false;
    for source in sources.iter().chain(&files(&folder, "h")?) {
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
        let mut command = compiler(workspace, &sources, &generated, version)?;
        if let Some(kernel) = &kernel {
            command.arg("-I").arg(workspace.relative(&folder));
            for include in &kernel.include {
                command.arg("-isystem").arg(include);
            }
            let objects = output.join("objects").join(name);
            command.args(compile_kernel(kernel, &folder, &generated, version, &objects)?);
        }
        let cpp_sources = files(&folder, "cpp")?;
        if !cpp_sources.is_empty() {
            let objects = output.join("objects").join(name);
            command.args(compile_cpp(workspace, &cpp_sources, &generated, &objects)?).args(CPP_LINK_FLAGS);
        }
        link(&mut command, &generated, &elf)?;
        tell(workspace, &elf)?;
        built.push(elf);
    }
    Ok(built)
}

fn tell(workspace: &Workspace, elf: &Path) -> Result<()> {
    let size = elf::footprint(elf)?;
    println!(
        "apps: {} (flash {} bytes, static RAM {} bytes)",
        workspace.relative(elf),
        size.flash_bytes,
        size.ram_bytes
    );
    Ok(())
}

/// Builds an application that is a crate, with the linker script that `cortex-m-rt` brings.
fn build_rust(workspace: &Workspace, name: &str, elf: &Path) -> Result<()> {
    let toolchain = Toolchain::choose()?;
    let build_folder = rust_build_folder(workspace, &toolchain);
    let mut command = toolchain.cargo(workspace.root(), "build");
    command.args(["--locked", "--profile", "firmware", "--package", name]);
    command.arg("--target-dir").arg(&build_folder);
    command.env("RUSTFLAGS", rust_flags(workspace));
    process::run(&mut command)?;
    let built = build_folder.join(TARGET).join("firmware").join(name);
    std::fs::copy(&built, elf).with_context(|| format!("failed to copy {}", built.display()))?;
    tell(workspace, elf)
}

/// A folder of its own: an application may panic in words, which the hypervisor's image is built without.
fn rust_build_folder(workspace: &Workspace, toolchain: &Toolchain) -> PathBuf {
    workspace.target().join("apps-build").join(toolchain.name())
}

fn rust_flags(workspace: &Workspace) -> String {
    let generated = generated_folder(workspace);
    format!("-Cpanic=abort -Clink-arg=-Tlink.x -Clink-arg=-L{} {}", generated.display(), remap())
}

fn generated_folder(workspace: &Workspace) -> PathBuf {
    workspace.target().join("apps/generated")
}

/// The compiler with an application's own sources and those of the SDK.
fn compiler(
    workspace: &Workspace,
    sources: &[PathBuf],
    generated: &Path,
    version: Option<u32>,
) -> Result<Command> {
    let sdk = workspace.path("apps/sdk-c");
    let mut command = Command::new(COMPILER);
    command.current_dir(workspace.root()).args(FLAGS).args(STRICT_FLAGS).args(C_FLAGS);
    if let Some(number) = version {
        command.arg(format!("-D{VERSION_NAME}={number}"));
    }
    command.arg("-I").arg(workspace.relative(&sdk.join("include"))).arg("-I").arg(generated);
    for source in sources.iter().chain(&c_files(&sdk.join("src"))?) {
        command.arg(workspace.relative(source));
    }
    Ok(command)
}

fn link(command: &mut Command, generated: &Path, elf: &Path) -> Result<()> {
    command.arg("-T").arg(generated.join("application.ld")).arg("-o").arg(elf).args(LINK_FLAGS);
    process::run(command)
}

fn compile_cpp(
    workspace: &Workspace,
    sources: &[PathBuf],
    generated: &Path,
    objects: &Path,
) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(objects).with_context(|| format!("failed to create {}", objects.display()))?;
    let mut compiled = Vec::new();
    for source in sources {
        let object = objects.join(source.file_name().unwrap_or_default()).with_extension("o");
        let mut command = Command::new(COMPILER);
        command.current_dir(workspace.root()).args(FLAGS).args(STRICT_FLAGS).args(CPP_FLAGS);
        command.args(["-I", "apps/sdk-c/include"]).arg("-I").arg(generated);
        command.arg("-c").arg(workspace.relative(source)).arg("-o").arg(&object);
        process::run(&mut command)?;
        compiled.push(object);
    }
    Ok(compiled)
}

/// Compiles an operating system as its authors wrote it: their warnings are not ours.
fn compile_kernel(
    kernel: &Kernel,
    application: &Path,
    generated: &Path,
    version: Option<u32>,
    objects: &Path,
) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(objects).with_context(|| format!("failed to create {}", objects.display()))?;
    let mut compiled = Vec::new();
    for (number, source) in kernel.sources.iter().enumerate() {
        let stem = source.file_stem().unwrap_or_default().to_string_lossy();
        let object = objects.join(format!("{number}-{stem}.o"));
        let mut command = Command::new(COMPILER);
        command.args(FLAGS).arg("-w").arg("-c").arg(source).arg("-o").arg(&object);
        command.args(version.map(|number| format!("-D{VERSION_NAME}={number}")));
        command.arg(format!("-ffile-prefix-map={}={}", kernel.root.display(), kernel.name));
        command.arg("-I").arg(application).arg("-I").arg(generated);
        for include in &kernel.include {
            command.arg("-I").arg(include);
        }
        process::run(&mut command)?;
        compiled.push(object);
    }
    Ok(compiled)
}

/// Writes what follows from the board's description.
fn generate(folder: &Path) -> Result<()> {
    let board = Board::parse(MPS2_AN505)?;
    std::fs::create_dir_all(folder).with_context(|| format!("failed to create {}", folder.display()))?;
    let mut calls_in_zig = String::new();
    bulkhead_syscall_abi::write_zig(board.hypervisor.gateways.base, &mut calls_in_zig)?;
    for (name, text) in [
        ("bulkhead.zig", calls_in_zig),
        ("application.ld", application_linker_script(&board)),
        ("bh_board.h", application_board_header(&board)),
        ("memory.x", cortex_m_rt_memory(&board)),
        ("device.x", cortex_m_rt_handlers(&board)),
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
        if name.starts_with("sdk-") || !entry.path().is_dir() {
            continue;
        }
        if is_application(&entry.path())? {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn is_application(folder: &Path) -> Result<bool> {
    let is_other = folder.join("Cargo.toml").is_file() || folder.join("main.zig").is_file();
    Ok(is_other || !c_files(folder)?.is_empty() || !files(folder, "cpp")?.is_empty())
}

/// The `.c` files right in `folder`.
fn c_files(folder: &Path) -> Result<Vec<PathBuf>> {
    files(folder, "c")
}

/// The files right in `folder` with this extension, sorted, so that the link order is the same everywhere.
fn files(folder: &Path, wanted: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("failed to read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == wanted) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
