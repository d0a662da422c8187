//! Child processes that end with the value that started them.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::waiting::{Seen, until};

/// Most lines kept of one child; older ones are forgotten.
const LINES_MAX: usize = 20_000;

/// A child whose lines are collected while it runs.
#[derive(Debug)]
pub struct Running {
    name: String,
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Running {
    /// Starts `command`; standard output and error are both read, line by line.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(name: &str, command: &mut Command) -> Result<Self> {
        Self::start_reading(name, command, Stdio::null())
    }

    /// As [`Self::start`]; what it reads comes from `input`.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start_reading(name: &str, command: &mut Command, input: Stdio) -> Result<Self> {
        let mut child = command
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("failed to start {name} ({command:?})"))?;
        let lines = Arc::new(Mutex::new(Vec::new()));
        let output = child.stdout.take().map(|output| collect(output, &lines));
        let errors = child.stderr.take().map(|errors| collect(errors, &lines));
        let readers = [output, errors].into_iter().flatten().collect();
        Ok(Self { name: name.into(), child, lines, readers })
    }

    /// Everything it wrote so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for a line that `wanted` accepts, and returns what it made of it. Looks at old lines too.
    ///
    /// # Errors
    /// The time is up, or the child ended first; the text holds its last lines.
    pub fn wait_for<T>(
        &mut self,
        what: &str,
        at_most: Duration,
        wanted: impl Fn(&str) -> Option<T>,
    ) -> Result<T> {
        until(what, at_most, || {
            // What it wrote may still be on its way when it has ended.
            let is_read = self.readers.iter().all(JoinHandle::is_finished);
            let ended = self.child.try_wait().context("failed to ask for a child's end")?;
            let lines = self.lines();
            if let Some(found) = lines.iter().find_map(|line| wanted(line)) {
                return Ok(Seen::Answer(found));
            }
            let last = tail(&lines);
            if let Some(status) = ended.filter(|_| is_read) {
                bail!("{} ended with {status} before {what}; its last lines:\n{last}", self.name);
            }
            Ok(Seen::NotYet(last))
        })
    }

    /// Whether it has not ended yet.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Does what Ctrl-C does on a terminal: interrupts all of the process group that it leads, if it was made to lead one.
    ///
    /// # Errors
    /// It is gone already.
    pub fn interrupt_group(&self) -> Result<()> {
        let group = format!("-{}", self.id());
        let status =
            Command::new("kill").args(["-INT", "--", &group]).status().context("failed to run kill")?;
        if status.success() { Ok(()) } else { bail!("{} is no leader of a process group", self.name) }
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

fn collect(from: impl Read + Send + 'static, into: &Arc<Mutex<Vec<String>>>) -> JoinHandle<()> {
    let into = Arc::clone(into);
    thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            let Ok(line) = line else { return };
            let mut lines = into.lock().unwrap_or_else(PoisonError::into_inner);
            if lines.len() >= LINES_MAX {
                lines.drain(..LINES_MAX / 2);
            }
            lines.push(line);
        }
    })
}

fn tail(lines: &[String]) -> String {
    let from = lines.len().saturating_sub(10);
    lines.get(from..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_and_an_early_end_is_told() {
        let mut shell =
            Running::start("sh", Command::new("sh").args(["-c", "echo one; echo two >&2; exit 3"])).unwrap();
        let second = Duration::from_secs(5);
        shell.wait_for("two", second, |line| (line == "two").then_some(())).unwrap();
        let text =
            shell.wait_for("three", second, |line| (line == "three").then_some(())).unwrap_err().to_string();
        assert!(text.contains("before three"), "{text}");
    }
}
