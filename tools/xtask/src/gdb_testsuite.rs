//! `cargo xtask gdb-testsuite`: brings GDB's own testsuite and everything that it needs here, and starts it.
//!
//! The testsuite is Debian's source package of GDB. It is fetched by apt, which checks its signature, from a list of our
//! own: the machine's lists stay as they are. Nothing of it is part of the project.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use bulkhead_board_description::{Board, MPS2_AN505, application_linker_script};

use crate::workspace::Workspace;
use crate::{process, requirements, system};

/// The release that is tested with: that of Debian 12, as is `gdb-multiarch` there.
const RELEASE: &str = "13.1-3";
const ARCHIVE: &str = "gdb_13.1.orig.tar.xz";
/// The folder that is taken out of the archive.
const INSIDE: &str = "gdb-13.1/gdb/testsuite";
const SOURCES: &str = "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] \
                       http://deb.debian.org/debian bookworm main\n";
const FILES: &str = "tests/end-to-end/gdb-testsuite";
/// What is run where no file is named.
const DEFAULT: &[&str] = &[
    "gdb.base/break.exp",
    "gdb.base/condbreak.exp",
    "gdb.base/cond-eval-mode.exp",
    "gdb.base/step-test.exp",
    "gdb.base/finish.exp",
    "gdb.base/return.exp",
    "gdb.base/structs.exp",
    "gdb.base/store.exp",
    "gdb.base/callfuncs.exp",
    "gdb.base/watchpoint.exp",
    "gdb.base/hbreak.exp",
    "gdb.base/hbreak2.exp",
    "gdb.base/dprintf.exp",
    "gdb.base/range-stepping.exp",
    "gdb.base/setvar.exp",
    "gdb.arch/thumb2-it.exp",
    "gdb.arch/thumb-prologue.exp",
];
/// Where a bare board without a hypervisor has the memory that an application is linked for: region, start.
const BARE: &[(&str, u32)] = &[("flash", 0x1000_0000), ("external", 0x1030_0000), ("ram", 0x3800_0000)];

/// Runs the named files, or the default ones, at QEMU's stub and on a device.
///
/// # Errors
/// Something cannot be fetched or built, or a check passes at the stub and not on the device.
pub(crate) fn run(workspace: &Workspace, words: &[&str]) -> Result<()> {
    requirements::bring_dejagnu()?;
    system::prepare_tools(workspace)?;
    let folder = workspace.target().join("gdb-testsuite");
    fs::create_dir_all(&folder).with_context(|| format!("failed to create {}", folder.display()))?;
    let source = fetch(&folder)?;
    prepare_programs(workspace, &folder)?;
    let (options, named): (Vec<&str>, Vec<&str>) = words.iter().partition(|word| word.starts_with("--"));
    let files =
        if named.is_empty() { DEFAULT.iter().map(|&file| file.to_owned()).collect() } else { full(&named) };
    if let Some(missing) = files.iter().find(|file| !source.join(file).is_file()) {
        bail!("GDB's testsuite has no {missing}; name a file as in `gdb.base/break.exp` or `break`");
    }
    let boards = workspace.path(FILES).join("boards");
    let mut arguments = vec![folder.to_string_lossy().into_owned(), boards.to_string_lossy().into_owned()];
    arguments.extend(options.iter().map(|&option| option.to_owned()));
    arguments.extend(files);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    system::run(workspace, "gdb-testsuite", &arguments)
}

/// File names as the testsuite wants them.
fn full(named: &[&str]) -> Vec<String> {
    let whole = |name: &&str| {
        let name = name.strip_suffix(".exp").unwrap_or(name);
        if name.contains('/') { format!("{name}.exp") } else { format!("gdb.base/{name}.exp") }
    };
    named.iter().map(whole).collect()
}

/// Fetches and unpacks the testsuite; returns its folder.
fn fetch(folder: &Path) -> Result<PathBuf> {
    let source = folder.join("source");
    let suite = source.join("gdb/testsuite");
    // Made last: what was interrupted begins anew.
    let done = source.join("complete");
    if done.is_file() {
        return Ok(suite);
    }
    let apt = folder.join("apt");
    fs::create_dir_all(apt.join("lists/partial"))?;
    fs::create_dir_all(apt.join("cache/archives/partial"))?;
    let list = apt.join("sources.list");
    fs::write(&list, SOURCES)?;
    let archive = apt.join(ARCHIVE);
    if !archive.is_file() {
        println!("gdb-testsuite: fetching the source of gdb {RELEASE}");
        process::run(apt_get(&apt, &list).args(["update"]))?;
        let package = format!("gdb={RELEASE}");
        process::run(apt_get(&apt, &list).args(["source", "--download-only", "--only-source", &package]))?;
    }
    fs::create_dir_all(&source)?;
    let mut unpack = Command::new("tar");
    unpack.arg("-C").arg(&source).args(["--strip-components=1", "-xf"]).arg(&archive).arg(INSIDE);
    process::run(&mut unpack)?;
    for_our_board(&suite.join("gdb.arch"))?;
    fs::write(&done, RELEASE)?;
    Ok(suite)
}

/// `apt-get` with lists and archives of its own, which takes no rights.
fn apt_get(apt: &Path, list: &Path) -> Command {
    let mut command = Command::new("apt-get");
    command.current_dir(apt).args(["--quiet", "-o", "Dir::Etc::sourceparts=/dev/null"]);
    command.arg("-o").arg(format!("Dir::Etc::sourcelist={}", list.display()));
    command.arg("-o").arg(format!("Dir::State::lists={}", apt.join("lists").display()));
    command.arg("-o").arg(format!("Dir::Cache={}", apt.join("cache").display()));
    command
}

/// For Arm `@` begins a comment: types of sections are written with `%`. And where code lies above 0x80000000, an address that
/// was made an `int` is a negative number, at which GDB knows of no breakpoint.
fn for_our_board(folder: &Path) -> Result<()> {
    let prologue = folder.join("thumb-prologue.exp");
    let text = fs::read_to_string(&prologue)?;
    fs::write(prologue, text.replace("(int) &tpcs_frame_1", "(unsigned int) &tpcs_frame_1"))?;
    for entry in fs::read_dir(folder).with_context(|| format!("failed to read {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("thumb") && name.ends_with(".S") {
            let text = fs::read_to_string(&path)?;
            fs::write(&path, text.replace("@progbits", "%progbits"))?;
        }
    }
    Ok(())
}

/// What each test program is linked with.
fn prepare_programs(workspace: &Workspace, folder: &Path) -> Result<()> {
    let mut board = Board::parse(MPS2_AN505)?;
    fs::write(folder.join("device.ld"), application_linker_script(&board))?;
    for region in &mut board.application.region {
        if let Some((_, base)) = BARE.iter().find(|(name, _)| *name == region.name) {
            region.base = *base;
        }
    }
    fs::write(folder.join("stub.ld"), application_linker_script(&board))?;
    let mut compile = Command::new("arm-none-eabi-gcc");
    compile.args([
        "-mcpu=cortex-m33",
        "-mthumb",
        "-mfloat-abi=soft",
        "-Os",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-nostdlib",
        "-r",
    ]);
    compile.arg(workspace.path(FILES).join("support.c")).arg(workspace.path("apps/sdk-c/src/newlib_files.c"));
    compile.arg("-o").arg(folder.join("support.o"));
    process::run(&mut compile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_by_folder_or_by_its_name_alone() {
        assert_eq!(
            full(&["break", "break.exp", "gdb.arch/thumb2-it.exp"]),
            ["gdb.base/break.exp", "gdb.base/break.exp", "gdb.arch/thumb2-it.exp"]
        );
    }
}
