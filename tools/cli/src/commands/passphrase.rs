//! Pass phrases: from the environment, or from the terminal without showing them.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use bulkhead_bundle_builder::{KeyError, PASSPHRASE_LEN_MIN};

use crate::failure::{ExitCode, Failure};

/// For scripts.
const VARIABLE: &str = "BULKHEAD_PASSPHRASE";
/// For scripts that change one.
const NEW_VARIABLE: &str = "BULKHEAD_NEW_PASSPHRASE";
const TERMINAL: &str = "/dev/tty";

/// The pass phrase of the key in `path`.
pub(crate) fn ask(path: &Path) -> Result<String, Failure> {
    match given(VARIABLE) {
        Some(passphrase) => Ok(passphrase),
        None => read(&format!("Pass phrase of {}: ", path.display()), VARIABLE),
    }
}

/// What a variable of the environment holds, if it is not empty.
fn given(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|passphrase| !passphrase.is_empty())
}

/// A new pass phrase for the key in `path`, typed twice.
pub(crate) fn choose(path: &Path) -> Result<String, Failure> {
    choose_for(VARIABLE, &format!("Pass phrase for {}", path.display()))
}

/// A pass phrase in place of the one that the key in `path` is under, if any, typed twice.
pub(crate) fn choose_another(path: &Path) -> Result<String, Failure> {
    choose_for(NEW_VARIABLE, &format!("New pass phrase for {}", path.display()))
}

fn choose_for(variable: &str, prompt: &str) -> Result<String, Failure> {
    if let Some(passphrase) = given(variable) {
        return Ok(passphrase);
    }
    let first = read(&format!("{prompt}, at least {PASSPHRASE_LEN_MIN} characters: "), variable)?;
    if first.chars().count() < PASSPHRASE_LEN_MIN {
        return Err(super::key::failed(KeyError::UnfitPassphrase));
    }
    if read("The same again: ", variable)? != first {
        return Err(Failure::new(ExitCode::File, "the two pass phrases differ", "type them again"));
    }
    Ok(first)
}

/// Reads a line from the terminal, which does not show it. Without a terminal `variable` is what helps.
fn read(prompt: &str, variable: &str) -> Result<String, Failure> {
    let failed = |error: std::io::Error| {
        let what = format!("a pass phrase is needed and there is no terminal to ask on: {error}");
        Failure::new(ExitCode::File, what, format!("put it into {variable}"))
    };
    let terminal = OpenOptions::new().read(true).write(true).open(TERMINAL).map_err(failed)?;
    let mut out = terminal.try_clone().map_err(failed)?;
    // Who sees the prompt can type unseen.
    let _silent = Silent::new(&terminal).map_err(failed)?;
    write!(out, "{prompt}").and_then(|()| out.flush()).map_err(failed)?;
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
