//! QEMU as a device: power on, power off, console.

use std::env;
use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use bulkhead_board_description::{Board, MPS2_AN505};

use crate::application_console::ApplicationConsole;
use crate::console::Console;
use crate::provision::check_len;
use crate::{Error, io_error};

/// Environment variable that names another QEMU.
pub const QEMU_VARIABLE: &str = "BULKHEAD_QEMU";

/// How often the console is looked at: a power cut on a line has to come before the device has gone far beyond it.
const POLL: Duration = Duration::from_millis(2);

/// Most of QEMU's own words that are kept, in bytes.
const STDERR_MAX: u64 = 64 * 1024;

/// How long a dead QEMU's last words are waited for.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Where a serial line goes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Serial {
    /// Nowhere.
    #[default]
    Null,
    /// To standard output and from standard input of this process; at most one line can.
    Stdio,
    /// Appended to a file.
    File(PathBuf),
    /// To a pair of named pipes, `PATH.in` and `PATH.out`, that exist already.
    Pipe(PathBuf),
    /// To a Unix socket that QEMU opens; for the application's console alone, see [`Running::application`].
    Socket(PathBuf),
}

/// QEMU's own debugger port, for developing the hypervisor.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Gdb {
    /// None.
    #[default]
    Off,
    /// Listens on this TCP port of the loopback; the device runs.
    Port(u16),
    /// Listens, and the device waits for a debugger before its first instruction.
    PortAndWait(u16),
}

/// A device that is to be run.
#[derive(Clone, Debug)]
pub struct Qemu {
    image: PathBuf,
    non_volatile: PathBuf,
    console: Serial,
    application_console: Serial,
    gdb: Gdb,
    instruction_count: Option<u8>,
    network: &'static str,
    more: Vec<String>,
}

impl Qemu {
    /// A device with `image` as its hypervisor ([`crate::find_image`]) on a file that [`crate::provision`] wrote.
    pub fn new(image: impl Into<PathBuf>, non_volatile: impl Into<PathBuf>) -> Self {
        Self {
            image: image.into(),
            non_volatile: non_volatile.into(),
            console: Serial::Null,
            application_console: Serial::Null,
            gdb: Gdb::Off,
            instruction_count: None,
            network: "user,model=lan9118",
            more: Vec::new(),
        }
    }

    /// Where the hypervisor's console (UART0) goes.
    pub fn console(mut self, serial: Serial) -> Self {
        self.console = serial;
        self
    }

    /// Where the application's console (UART1) goes.
    pub fn application_console(mut self, serial: Serial) -> Self {
        self.application_console = serial;
        self
    }

    /// QEMU's debugger port.
    pub fn gdb(mut self, gdb: Gdb) -> Self {
        self.gdb = gdb;
        self
    }

    /// Lets virtual time count instructions, each of 2^`shift` nanoseconds, so that runs can be compared.
    pub fn count_instructions(mut self, shift: u8) -> Self {
        self.instruction_count = Some(shift);
        self
    }

    /// Keeps the device from reaching this machine over its network: a copy must not connect as its original.
    pub fn isolated(mut self) -> Self {
        self.network = "user,model=lan9118,restrict=on";
        self
    }

    /// Appends an argument of QEMU's own, for example to log what the guest does wrong.
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.more.push(argument.into());
        self
    }

    /// The arguments that QEMU gets.
    pub fn arguments(&self) -> Vec<String> {
        let memory =
            format!("memory-backend-file,id=nvm,size=16M,mem-path={},share=on", escaped(&self.non_volatile));
        let mut arguments: Vec<String> = [
            "-M",
            "mps2-an505,memory-backend=nvm",
            "-object",
            &memory,
            "-kernel",
            &self.image.to_string_lossy(),
            "-display",
            "none",
            "-monitor",
            "none",
            "-nic",
            self.network,
        ]
        .map(str::to_owned)
        .into();
        for (id, serial) in [("console", &self.console), ("application", &self.application_console)] {
            let chardev = match serial {
                Serial::Null => format!("null,id={id}"),
                Serial::Stdio => format!("stdio,id={id},signal=on"),
                Serial::File(path) => format!("file,id={id},path={},append=on", escaped(path)),
                Serial::Pipe(path) => format!("pipe,id={id},path={}", escaped(path)),
                // QEMU waits for the other end before it starts the device, so no byte is lost.
                Serial::Socket(path) => format!("socket,id={id},path={},server=on,wait=on", escaped(path)),
            };
            arguments.extend(["-chardev".into(), chardev, "-serial".into(), format!("chardev:{id}")]);
        }
        if let Some(shift) = self.instruction_count {
            arguments.extend(["-icount".into(), format!("shift={shift}")]);
        }
        let port = match self.gdb {
            Gdb::Off => None,
            Gdb::Port(port) | Gdb::PortAndWait(port) => Some(port),
        };
        if let Some(port) = port {
            arguments.extend(["-gdb".into(), format!("tcp:127.0.0.1:{port}")]);
        }
        if matches!(self.gdb, Gdb::PortAndWait(_)) {
            arguments.push("-S".into());
        }
        arguments.extend(self.more.iter().cloned());
        arguments
    }

    /// Power on.
    ///
    /// # Errors
    /// [`Error::NoQemu`], [`Error::NoImage`], [`Error::NotNonVolatile`], [`Error::InUse`], [`Error::Ended`], [`Error::Io`].
    pub fn start(&self) -> Result<Running, Error> {
        if !self.image.is_file() {
            return Err(Error::NoImage(self.image.clone()));
        }
        let lock = self.lock()?;
        let stdio = [&self.console, &self.application_console].contains(&&Serial::Stdio);
        let mut command = Command::new(env::var_os(QEMU_VARIABLE).unwrap_or("qemu-system-arm".into()));
        command.args(self.arguments()).stderr(Stdio::piped());
        if stdio {
            command.stdin(Stdio::inherit()).stdout(Stdio::inherit());
        } else {
            // The lock belongs to the open file, so QEMU holds it even if this process dies.
            let held = lock.try_clone().map_err(io_error("could not lock", &self.non_volatile))?;
            command.stdin(held).stdout(Stdio::null());
        }
        let console = match &self.console {
            Serial::File(path) => Some(Console::from_end(path)),
            Serial::Null | Serial::Stdio | Serial::Pipe(_) | Serial::Socket(_) => None,
        };
        if let Serial::Socket(path) = &self.application_console {
            // Of an earlier run: nobody would answer there.
            let _ = std::fs::remove_file(path);
        }
        let mut child = command.spawn().map_err(|e| match e.kind() {
            ErrorKind::NotFound => Error::NoQemu,
            _ => io_error("could not start", "qemu-system-arm")(e),
        })?;
        let stderr = read_words(child.stderr.take());
        let mut running = Running { child, stderr, console, application: None, lock };
        if let Serial::Socket(path) = &self.application_console {
            let connected = ApplicationConsole::connect(path, || Ok(running.try_wait()?.is_some()))?;
            match (connected, running.try_wait()?) {
                (None, Some(status)) => return Err(running.ended(status)),
                (connected, _) => running.application = connected,
            }
        }
        Ok(running)
    }

    fn lock(&self) -> Result<File, Error> {
        let path = &self.non_volatile;
        let file = File::open(path).map_err(io_error("could not open", path))?;
        check_len(path, &file, &Board::parse(MPS2_AN505)?)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(Error::InUse(path.clone())),
            Err(TryLockError::Error(e)) => Err(io_error("could not lock", path)(e)),
        }
    }
}

/// QEMU ends a value at a comma; a comma in a path is doubled.
fn escaped(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

fn read_words(stderr: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut words = Vec::new();
        if let Some(mut stderr) = stderr {
            let _ = stderr.by_ref().take(STDERR_MAX).read_to_end(&mut words);
            // A pipe that nobody reads would stop QEMU.
            let _ = std::io::copy(&mut stderr, &mut std::io::sink());
        }
        let _ = sender.send(String::from_utf8_lossy(&words).into_owned());
    });
    receiver
}

/// A device under power. Dropping it cuts the power.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stderr: Receiver<String>,
    console: Option<Console>,
    application: Option<ApplicationConsole>,
    lock: File,
}

impl Running {
    /// QEMU's process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Cuts the power: SIGKILL, at once, whatever the device is doing.
    pub fn kill(mut self) {
        self.cut();
    }

    /// Whether QEMU has ended by itself.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>, Error> {
        self.child.try_wait().map_err(io_error("could not wait for", "qemu-system-arm"))
    }

    /// Fails if QEMU has ended, with what it said.
    ///
    /// # Errors
    /// [`Error::Ended`], [`Error::Io`].
    pub fn still_runs(&mut self) -> Result<(), Error> {
        self.try_wait()?.map_or(Ok(()), |status| Err(self.ended(status)))
    }

    /// The application's console.
    ///
    /// # Errors
    /// [`Error::NoApplicationConsole`]: it is no [`Serial::Socket`].
    pub fn application(&mut self) -> Result<&mut ApplicationConsole, Error> {
        self.application.as_mut().ok_or(Error::NoApplicationConsole)
    }

    /// Waits until QEMU ends.
    ///
    /// # Errors
    /// [`Error::Ended`] if it failed, with what it said.
    pub fn wait(&mut self) -> Result<(), Error> {
        let status = self.child.wait().map_err(io_error("could not wait for", "qemu-system-arm"))?;
        if status.success() { Ok(()) } else { Err(self.ended(status)) }
    }

    /// Waits until a line of the hypervisor's console contains `wanted` and returns the line. Each line is looked at
    /// once: the next call goes on behind it.
    ///
    /// # Errors
    /// [`Error::NotSeen`] after `timeout`, [`Error::Ended`], [`Error::ConsoleNotKept`], [`Error::Io`].
    pub fn wait_for_line(&mut self, wanted: &str, timeout: Duration) -> Result<String, Error> {
        let start = Instant::now();
        loop {
            // Asked before reading, so that the last lines of a dead QEMU are still seen.
            let ended = self.try_wait()?;
            let Some(console) = &mut self.console else { return Err(Error::ConsoleNotKept) };
            while let Some(line) =
                console.next_line().map_err(io_error("could not read", console.path().to_path_buf()))?
            {
                if line.contains(wanted) {
                    return Ok(line);
                }
            }
            if let Some(status) = ended {
                return Err(self.ended(status));
            }
            if start.elapsed() >= timeout {
                return Err(Error::NotSeen {
                    wanted: wanted.to_owned(),
                    waited_s: timeout.as_secs_f32(),
                    last: console.last_lines(),
                });
            }
            thread::sleep(POLL);
        }
    }

    /// The next line of the hypervisor's console, if there is one already.
    ///
    /// # Errors
    /// [`Error::ConsoleNotKept`], [`Error::Io`].
    pub fn next_line(&mut self) -> Result<Option<String>, Error> {
        let Some(console) = &mut self.console else { return Err(Error::ConsoleNotKept) };
        console.next_line().map_err(io_error("could not read", console.path().to_path_buf()))
    }

    fn ended(&mut self, status: ExitStatus) -> Error {
        let stderr = self.stderr.recv_timeout(LAST_WORDS).unwrap_or_default();
        Error::Ended { status: status.to_string(), stderr }
    }

    fn cut(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.cut();
        // By name: another child that is just being made holds a copy of the file until it becomes another program.
        let _ = self.lock.unlock();
    }
}
