//! A virtual device: provisioned, under power, and without.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bulkhead_virtual_device::{Gdb, Qemu, Running, Serial};

use crate::peers::port_for_a_program;
use crate::waiting::{Seen, until};

/// Longest time for what an application answers: a connect that is given up takes 20 s.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// A device and its file.
#[derive(Debug)]
pub struct Device {
    /// Its id.
    pub id: String,
    /// Its non-volatile memory.
    pub memory: PathBuf,
    /// What the hypervisor wrote to its console, all runs.
    pub console: PathBuf,
    image: PathBuf,
    pipe: PathBuf,
    typed: Arc<Mutex<String>>,
    count_instructions: Option<u8>,
    power: Option<Running>,
}

impl Device {
    /// The device in `memory`, which `bulkhead device new` provisioned.
    ///
    /// # Errors
    /// The folder is not writable.
    pub fn new(folder: &Path, name: &str, image: &Path, memory: PathBuf, id: String) -> Result<Self> {
        let pipe = folder.join(format!("{name}.uart1"));
        let typed = Arc::default();
        for end in ["in", "out"] {
            let path = pipe.with_added_extension(end);
            let status = Command::new("mkfifo").arg(&path).status().context("failed to start mkfifo")?;
            if !status.success() {
                bail!("failed to make the pipe {}", path.display());
            }
        }
        listen(pipe.with_added_extension("out"), Arc::clone(&typed))?;
        let console = folder.join(format!("{name}.console"));
        Ok(Self {
            id,
            memory,
            console,
            image: image.into(),
            pipe,
            typed,
            count_instructions: None,
            power: None,
        })
    }

    /// Lets the device's time count instructions, each of 2^`shift` nanoseconds, from the next start on.
    pub fn count_instructions(&mut self, shift: u8) {
        self.count_instructions = Some(shift);
    }

    /// Power on.
    ///
    /// # Errors
    /// QEMU cannot be started.
    pub fn power_on(&mut self) -> Result<()> {
        let mut qemu = Qemu::new(&self.image, &self.memory)
            .console(Serial::File(self.console.clone()))
            .application_console(Serial::Pipe(self.pipe.clone()));
        if let Some(shift) = self.count_instructions {
            qemu = qemu.count_instructions(shift);
        }
        self.power = Some(qemu.start()?);
        Ok(())
    }

    /// Power on, with QEMU's own GDB stub on a port of this machine, which is returned.
    ///
    /// # Errors
    /// QEMU cannot be started.
    pub fn power_on_with_stub(&mut self) -> Result<u16> {
        let port = port_for_a_program()?;
        let qemu = Qemu::new(&self.image, &self.memory)
            .console(Serial::File(self.console.clone()))
            .application_console(Serial::Pipe(self.pipe.clone()))
            .gdb(Gdb::Port(port));
        self.power = Some(qemu.start()?);
        Ok(port)
    }

    /// SIGKILL, at once.
    pub fn cut_power(&mut self) {
        if let Some(running) = self.power.take() {
            running.kill();
        }
    }

    /// Fails if QEMU ended by itself.
    ///
    /// # Errors
    /// It did, or there is no power.
    pub fn still_runs(&mut self) -> Result<()> {
        let Some(running) = &mut self.power else { bail!("the device has no power") };
        match running.try_wait()? {
            None => Ok(()),
            Some(status) => {
                bail!("QEMU ended by itself with {status}; its console:\n{}", self.console_tail())
            }
        }
    }

    /// Types one character into the application's console.
    ///
    /// # Errors
    /// The pipe is broken.
    pub fn type_to_application(&self, character: char) -> Result<()> {
        self.type_line(character.encode_utf8(&mut [0; 4]))
    }

    /// Types a text into the application's console.
    ///
    /// # Errors
    /// The pipe is broken.
    pub fn type_line(&self, text: &str) -> Result<()> {
        // Opened for both ways: a pipe without a reader would block otherwise.
        let path = self.pipe.with_added_extension("in");
        let mut pipe = std::fs::File::options()
            .read(true)
            .write(true)
            .open(&path)
            .with_context(|| format!("failed to open {}", path.display()))?;
        pipe.write_all(text.as_bytes()).context("failed to type")
    }

    /// Types a line, and returns the first line of the answer that begins with `name`.
    ///
    /// # Errors
    /// The pipe is broken, none came, or the application says that it escaped.
    pub fn ask(&self, line: &str, name: &str) -> Result<String> {
        let before = self.application_console().len();
        self.type_line(&format!("{line}\n"))?;
        self.answer(before, name)
    }

    /// The first whole line that begins with `name`, behind the first `before` bytes of the application's console.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn answer(&self, before: usize, name: &str) -> Result<String> {
        until(&format!("the application's `{name}`"), ANSWER_WITHIN, || {
            let said = self.application_console();
            let new = said.get(before..).unwrap_or_default();
            if new.contains("ESCAPED") {
                bail!("{new}");
            }
            // The last line may not be whole.
            let whole = new.rsplit_once('\n').map_or("", |(whole, _)| whole);
            Ok(match whole.lines().find(|line| line.starts_with(name)) {
                Some(line) => Seen::Answer(line.to_owned()),
                None => Seen::NotYet(format!("{new}\nconsole:\n{}", self.console_tail())),
            })
        })
    }

    /// Everything the application wrote to its console, all runs.
    pub fn application_console(&self) -> String {
        self.typed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last lines of the hypervisor's console.
    pub fn console_tail(&self) -> String {
        let text = std::fs::read(&self.console).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(15)..).unwrap_or_default().join("\n")
    }
}

/// Collects what comes out of a pipe, for as long as the process lives.
fn listen(path: PathBuf, into: Arc<Mutex<String>>) -> Result<()> {
    // Both ways, so that the end of one QEMU is not the end of the pipe.
    let mut pipe = std::fs::File::options()
        .read(true)
        .write(true)
        .open(&path)
        .with_context(|| format!("failed to open {}", path.display()))?;
    thread::spawn(move || {
        let mut buffer = [0; 1024];
        while let Ok(len) = pipe.read(&mut buffer) {
            let text = String::from_utf8_lossy(buffer.get(..len).unwrap_or_default()).into_owned();
            into.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
        }
    });
    Ok(())
}
