//! A stock GDB, driven by a script, behind `bulkhead debug`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::child::Running;
use crate::device::Device;
use crate::fleet::Fleet;
use crate::tool::Tool;
use crate::waiting::{Seen, until};

/// The GDB that knows Arm.
const GDB: &str = "gdb-multiarch";
/// Longest time that GDB may take.
const GDB_SECONDS_MAX: &str = "120";
/// Longest time until the tool serves: key agreement on an emulated processor takes most of it.
const SERVED_WITHIN: Duration = Duration::from_secs(60);

/// Longest time until the server has noticed that a developer was killed, and lets the next one in.
pub(crate) const FREE_WITHIN: Duration = Duration::from_secs(20);

/// Longest time until GDB comes to a pause.
const PAUSED_WITHIN: Duration = Duration::from_secs(90);

/// Runs `commands` in GDB, with the symbols of `program`; returns what it printed.
///
/// # Errors
/// GDB failed, or did not end in time.
pub fn gdb(program: &str, commands: &[&str]) -> Result<String> {
    let mut gdb = Command::new("timeout");
    gdb.args([
        GDB_SECONDS_MAX,
        GDB,
        "-nx",
        "-batch",
        program,
        "-ex",
        "set pagination off",
        "-ex",
        "set remotetimeout 30",
    ]);
    for command in commands {
        gdb.args(["-ex", command]);
    }
    let output = gdb.output().with_context(|| format!("failed to start {GDB}"))?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    if !output.status.success() {
        bail!("{GDB} ended with {}:\n{text}", output.status);
    }
    Ok(text)
}

/// A fleet with one device that runs `program`, which the tool's own debug key may debug; the device connects to `gateway`,
/// or to the server itself.
///
/// # Errors
/// Something did not start.
pub fn debuggable(program: &str, gateway: impl FnOnce(&Fleet) -> Result<SocketAddr>) -> Result<Debuggable> {
    let mut fleet = Fleet::start()?;
    let gateway = gateway(&fleet)?;
    let mut device = fleet.new_device_behind("debugged", gateway)?;
    fleet.power_on(&mut device)?;
    let bundle = fleet.push_debuggable(program, "debugged", "1")?;
    fleet.deploy(&device, &bundle)?;
    let program = fleet.programs.app(program)?.to_string_lossy().into_owned();
    Ok(Debuggable { fleet, device, program })
}

/// What [`debuggable`] makes.
pub struct Debuggable {
    /// The server and the tool.
    pub fleet: Fleet,
    /// The device.
    pub device: Device,
    /// The file of the program that it runs.
    pub program: String,
}

/// A place in a script where GDB waits for the test.
#[derive(Clone, Debug)]
pub struct Pause {
    file: PathBuf,
}

impl Pause {
    /// Pause `name`, by a file in `folder`.
    #[must_use]
    pub fn new(folder: &Path, name: &str) -> Self {
        Self { file: folder.join(format!("pause-{name}")) }
    }

    /// The command that waits.
    #[must_use]
    pub fn command(&self) -> String {
        let file = self.file.display();
        format!("shell touch {file}; while [ -e {file} ]; do sleep 0.05; done")
    }

    /// Waits until GDB is there, does `work`, and lets it go on.
    ///
    /// # Errors
    /// GDB did not come there, or `work` failed.
    pub fn when_reached(&self, work: impl FnOnce() -> Result<()>) -> Result<()> {
        until("GDB to come to its pause", PAUSED_WITHIN, || {
            Ok(if self.file.exists() { Seen::Answer(()) } else { Seen::NotYet("it runs".into()) })
        })?;
        let done = work();
        std::fs::remove_file(&self.file)?;
        done
    }
}

/// `bulkhead debug`, serving.
#[derive(Debug)]
pub struct Debugging {
    running: Running,
    /// Port of this machine where GDB attaches.
    pub port: u16,
}

impl Debugging {
    /// Starts the tool; `more` are further options of `debug`. Waits for the end of a session whose tool was killed a moment
    /// ago.
    ///
    /// # Errors
    /// It did not come to serve; the text says why.
    pub fn start(tool: &Tool, device: &str, more: &[&str]) -> Result<Self> {
        let mut arguments = vec!["debug", device, "--port", "0"];
        arguments.extend(more);
        until("the session before to end", FREE_WITHIN, || match Self::serve(tool, &arguments) {
            Ok(serves) => Ok(Seen::Answer(serves)),
            Err(error) if error.to_string().contains("is debugging") => Ok(Seen::NotYet(error.to_string())),
            Err(error) => Err(error),
        })
    }

    fn serve(tool: &Tool, arguments: &[&str]) -> Result<Self> {
        let mut running = tool.follow(arguments)?;
        let port = running.wait_for("the port for GDB", SERVED_WITHIN, |line| {
            let rest = line.split_once("on 127.0.0.1:")?.1;
            rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        })?;
        Ok(Self { running, port })
    }

    /// Runs `commands` in GDB behind this server, with the symbols of `program`; returns what it printed.
    ///
    /// # Errors
    /// GDB failed, or did not end in time.
    pub fn gdb(&self, program: &str, commands: &[&str]) -> Result<String> {
        let target = format!("target remote :{}", self.port);
        let commands: Vec<&str> = [target.as_str()].into_iter().chain(commands.iter().copied()).collect();
        gdb(program, &commands).with_context(|| format!("bulkhead debug said:\n{}", self.said()))
    }

    /// What the tool wrote.
    pub fn said(&self) -> String {
        self.running.lines().join("\n")
    }

    /// The tool itself.
    pub fn running(&mut self) -> &mut Running {
        &mut self.running
    }
}
