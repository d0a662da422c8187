//! Crash dumps, looked at from outside: at the server, with the tool, in GDB.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use bulkhead_cloud_api::Crash;

use crate::debugger::gdb;
use crate::device::Device;
use crate::fleet::Fleet;
use crate::waiting::{Seen as Look, until};

/// The crime of the hostile application that leaves a history behind: calls, locals, and [`diary`] in RAM.
pub const CRIME_WITH_A_HISTORY: char = '*';

/// Longest time from a crash to its dump at the server.
const UPLOADED_WITHIN: Duration = Duration::from_secs(60);

/// What the hostile application writes into its RAM before that crime, and nowhere else.
pub fn diary() -> Vec<u8> {
    (1..=16_u32).flat_map(|n| (n.wrapping_mul(0x9E37_79B1) ^ 0xA5A5_A5A5).to_le_bytes()).collect()
}

/// Waits for a dump of `device` that is newer than number `after`.
///
/// # Errors
/// It did not come.
pub fn wait_crash(fleet: &Fleet, device: &Device, after: i64) -> Result<Crash> {
    until("a crash dump", UPLOADED_WITHIN, || {
        let crashes = fleet.api.crashes(Some(&device.id), 1)?;
        match crashes.into_iter().next().filter(|crash| crash.id > after) {
            Some(crash) => Ok(Look::Answer(crash)),
            None => Ok(Look::NotYet(format!("none is here; console:\n{}", device.console_tail()))),
        }
    })
}

/// Number of the newest dump of `device`, 0 if there is none.
///
/// # Errors
/// The server does not answer.
pub fn newest(fleet: &Fleet, device: &Device) -> Result<i64> {
    Ok(fleet.api.crashes(Some(&device.id), 1)?.first().map_or(0, |crash| crash.id))
}

/// Fails if a file below `folder` holds `wanted`; returns how many files were looked at.
///
/// # Errors
/// It does, or cannot be read.
pub fn holds_nothing_of(folder: &Path, wanted: &[u8]) -> Result<usize> {
    let mut looked_at = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            looked_at += holds_nothing_of(&path, wanted)?;
            continue;
        }
        if !path.is_file() {
            continue;
        }
        let bytes = std::fs::read(&path)?;
        if bytes.windows(wanted.len()).any(|window| window == wanted) {
            bail!("{} holds what only the developer may read", path.display());
        }
        looked_at += 1;
    }
    Ok(looked_at)
}

/// Opens `core` of `program` in stock GDB and runs `commands`.
///
/// # Errors
/// GDB failed.
pub fn gdb_on_core(program: &Path, core: &Path, commands: &[&str]) -> Result<String> {
    let open = format!("core-file {}", core.display());
    let all: Vec<&str> = [open.as_str()].into_iter().chain(commands.iter().copied()).collect();
    gdb(&program.to_string_lossy(), &all)
}
