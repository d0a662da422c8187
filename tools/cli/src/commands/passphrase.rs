//! Pass phrases: from the environment, or from the terminal without showing them.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use bulkhead_bundle_builder::PASSPHRASE_LEN_MIN;

use crate::failure::{ExitCode, Failure};

/// For scripts.
const VARIABLE: &str = "BULKHEAD_PASSPHRASE";
const TERMINAL: &str = "/dev/tty";

/// The pass phrase of the key in `path`.
pub(crate) fn ask(path: &Path) -> Result<String, Failure> {
    match std::env::var(VARIABLE) {
        Ok(passphrase) if !passphrase.is_empty() => Ok(passphrase),
        _ => read(&format!("Pass phrase of {}: ", path.display())),
    }
}

/// A new pass phrase for the key in `path`, typed twice.
pub(crate) fn choose(path: &Path) -> Result<String, Failure> {
    if let Ok(passphrase) = std::env::var(VARIABLE)
        && !passphrase.is_empty()
    {
        return Ok(passphrase);
    }
    let prompt = format!("Pass phrase for {}, at least {PASSPHRASE_LEN_MIN} characters: ", path.display());
    let first = read(&prompt)?;
    if read("The same again: ")? != first {
        return Err(Failure::new(ExitCode::File, "the two pass phrases differ", "type them again"));
    }
    Ok(first)
}

/// Reads a line from the terminal, which does not show it.
fn read(prompt: &str) -> Result<String, Failure> {
    let failed = |error: std::io::Error| {
        let what = format!("a pass phrase is needed and there is no terminal to ask on: {error}");
        Failure::new(ExitCode::File, what, format!("put it into {VARIABLE}"))
    };
    let terminal = OpenOptions::new().read(true).write(true).open(TERMINAL).map_err(failed)?;
    let mut out = terminal.try_clone().map_err(failed)?;
    write!(out, "{prompt}").and_then(|()| out.flush()).map_err(failed)?;
    let _silent = Silent::new(&terminal).map_err(failed)?;
    let mut line = String::new();
    BufReader::new(terminal.try_clone().map_err(failed)?).read_line(&mut line).map_err(failed)?;
    let _ = writeln!(out);
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Shows what is typed again when it is dropped.
struct Silent<'t>(&'t File);

impl<'t> Silent<'t> {
    fn new(terminal: &'t File) -> std::io::Result<Self> {
        echo(terminal, "-echo")?;
        Ok(Self(terminal))
    }
}

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        // Nothing is left to do about a terminal that is gone.
        let _ = echo(self.0, "echo");
    }
}

fn echo(terminal: &File, how: &str) -> std::io::Result<()> {
    let status = Command::new("stty").arg(how).stdin(Stdio::from(terminal.try_clone()?)).status()?;
    if status.success() { Ok(()) } else { Err(std::io::Error::other("stty failed")) }
}
