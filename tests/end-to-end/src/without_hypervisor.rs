//! The application that measures itself, on the virtual board without a hypervisor: what it is like when it is alone.
//!
//! The same program, byte for byte. A few lines of C give it what a board gives its application, and are gone.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::deadline::{APP, Measuring, Window};
use crate::device::Device;
use crate::folder::Folder;
use crate::programs::Programs;

const BOOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/without_hypervisor/boot.c");
const MEMORY_LEN: u64 = 16 << 20;

/// Measures `count` windows in which nothing else runs.
///
/// # Errors
/// A tool or QEMU cannot be started, or the application did not answer.
pub fn windows(count: usize) -> Result<Vec<Window>> {
    let folder = Folder::make()?;
    let boot = folder.path().join("boot.elf");
    let mut compiler = Command::new("arm-none-eabi-gcc");
    compiler.args(["-mcpu=cortex-m33", "-mthumb", "-O1", "-Wall", "-Wextra", "-Werror", "-ffreestanding"]);
    compiler.args(["-nostdlib", "-Wl,-Ttext=0x10000400,--section-start=.vectors=0x10000000"]);
    compiler.args(["-Wl,--section-start=.gateways=0x101ff000,-e,0x10000000", "-o"]).arg(&boot).arg(BOOT);
    run(compiler)?;
    let memory = folder.path().join("alone.nvm");
    lay_down(&Programs::find()?.app(APP)?, &memory)?;
    let mut device = Device::new(folder.path(), "alone", &boot, memory, "alone".to_owned())?;
    device.count_instructions(0);
    device.power_on()?;
    Measuring::ready(device)?.windows('i', count)
}

/// Makes the memory of a device that holds the application, and nothing else.
fn lay_down(app: &Path, memory: &Path) -> Result<()> {
    let mut copy = Command::new("arm-none-eabi-objcopy");
    copy.args(["-O", "binary"]).arg(app).arg(memory);
    run(copy)?;
    std::fs::File::options().write(true).open(memory)?.set_len(MEMORY_LEN)?;
    Ok(())
}

fn run(mut command: Command) -> Result<()> {
    let status = command.status().with_context(|| format!("failed to start {command:?}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}; `cargo xtask setup` installs what it needs");
    }
    Ok(())
}
