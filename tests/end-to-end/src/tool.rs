//! The command-line tool, used as a person or a script uses it.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::child::Running;

/// `bulkhead` with a configuration folder of its own.
#[derive(Clone, Debug)]
pub struct Tool {
    program: PathBuf,
    home: PathBuf,
    /// Where it is run; if absent, where we are.
    folder: Option<PathBuf>,
}

/// How a command failed, as a script sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// Exit code.
    pub code: i32,
    /// What it wrote to standard error.
    pub text: String,
}

impl Tool {
    /// The tool at `program`, keeping configuration and keys in `home`.
    pub fn new(program: &Path, home: &Path) -> Self {
        Self { program: program.into(), home: home.into(), folder: None }
    }

    /// Where it keeps configuration and keys.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The same, run in `folder`.
    #[must_use]
    pub fn working_in(&self, folder: &Path) -> Self {
        Self { folder: Some(folder.into()), ..self.clone() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).env("BULKHEAD_HOME", &self.home).env("NO_COLOR", "1");
        for name in ["BULKHEAD_SERVER", "BULKHEAD_TOKEN"] {
            command.env_remove(name);
        }
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command
    }

    /// Runs to the end; returns standard output.
    ///
    /// # Errors
    /// The tool refused; the text is what it said.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        match self.outcome(arguments)? {
            Ok(output) => Ok(output),
            Err(refusal) => bail!(
                "`bulkhead {}` ended with {}: {}",
                arguments.join(" "),
                refusal.code,
                refusal.text.trim()
            ),
        }
    }

    /// Runs with `--json`; returns the document.
    ///
    /// # Errors
    /// As [`Self::run`], or the output is not JSON.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let mut all = vec!["--json"];
        all.extend(arguments);
        let text = self.run(&all)?;
        serde_json::from_str(&text)
            .with_context(|| format!("`bulkhead {}` wrote no JSON: {text}", all.join(" ")))
    }

    /// Runs a command that must fail.
    ///
    /// # Errors
    /// It did not fail.
    pub fn refused(&self, arguments: &[&str]) -> Result<Refusal> {
        match self.outcome(arguments)? {
            Err(refusal) => Ok(refusal),
            Ok(output) => bail!("`bulkhead {}` was to fail and did not: {output}", arguments.join(" ")),
        }
    }

    /// Starts a command that goes on, such as `logs -f`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn follow(&self, arguments: &[&str]) -> Result<Running> {
        Running::start(&format!("bulkhead {}", arguments.join(" ")), &mut self.command(arguments))
    }

    /// As [`Self::follow`], as a job of its own, as a shell starts it; it reads from `input`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn follow_as_job(&self, arguments: &[&str], input: Stdio) -> Result<Running> {
        let mut command = self.command(arguments);
        command.process_group(0);
        Running::start_reading(&format!("bulkhead {}", arguments.join(" ")), &mut command, input)
    }

    fn outcome(&self, arguments: &[&str]) -> Result<Result<String, Refusal>> {
        let output = self
            .command(arguments)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("failed to start {}", self.program.display()))?;
        if output.status.success() {
            return Ok(Ok(
                String::from_utf8(output.stdout).context("the tool wrote something else than text")?
            ));
        }
        Ok(Err(Refusal {
            code: output.status.code().unwrap_or(-1),
            text: String::from_utf8_lossy(&output.stderr).into_owned(),
        }))
    }
}
