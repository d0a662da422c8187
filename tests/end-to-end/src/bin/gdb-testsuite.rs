//! `cargo xtask gdb-testsuite`: GDB's own testsuite against QEMU's stub, and against a device behind `bulkhead debug`.
//!
//! Whatever passes at the stub, which stands next to the processor, has to pass through server, hypervisor and bridge.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a command-line tool: standard output is its result")]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bulkhead_end_to_end::debugger::Debugging;
use bulkhead_end_to_end::device::Device;
use bulkhead_end_to_end::fleet::Fleet;
use bulkhead_end_to_end::gdb_testsuite::{Outcome, Place, Suite, Summary, check_source};

const QEMU: &str = "qemu-system-arm";
/// How long QEMU may take to listen.
const STUB_WITHIN: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(10);

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("{error:#}");
            println!("gdb-testsuite: failed");
            ExitCode::FAILURE
        }
    }
}

/// What was typed.
struct Arguments {
    /// Folder with `source`, `support.o`, `device.ld` and `stub.ld`; results go there as well.
    folder: PathBuf,
    /// Our boards.
    boards: PathBuf,
    /// The stub's results of the last run are good enough.
    keep_stub: bool,
    files: Vec<String>,
}

fn arguments() -> Result<Arguments> {
    let mut words = std::env::args().skip(1);
    let mut path = || words.next().map(PathBuf::from).context("usage: FOLDER BOARDS [--keep-stub] FILE...");
    let (folder, boards) = (path()?, path()?);
    let mut files: Vec<String> = words.collect();
    let before = files.len();
    files.retain(|file| file != "--keep-stub");
    Ok(Arguments { folder, boards, keep_stub: files.len() != before, files })
}

fn run() -> Result<bool> {
    let arguments = arguments()?;
    let suite = |name: &str, after: &str| Suite {
        source: arguments.folder.join("source/gdb/testsuite"),
        boards: arguments.boards.clone(),
        support: arguments.folder.join("support.o"),
        script: arguments.folder.join(name).with_extension("ld"),
        after: after.into(),
        output: arguments.folder.join(name),
    };
    let (at_stub, at_device) = (suite("stub", ""), suite("device", "monitor reset halt"));
    check_source(&at_stub.source)?;
    let old = at_stub.output.join("gdb.sum");
    let stub = if arguments.keep_stub && old.is_file() {
        Summary::parse(&String::from_utf8_lossy(&fs::read(old)?))
    } else {
        timed("QEMU's own stub", || {
            at_stub
                .run(&arguments.files, Box::new(Stub { qemu: None }), &mut |file| println!("stub    {file}"))
        })?
    };
    let place = Box::new(OnDevice::start(at_device.output.with_extension("programs"))?);
    let here = timed("a device behind `bulkhead debug`", || {
        at_device.run(&arguments.files, place, &mut |file| println!("device  {file}"))
    })?;
    let missed = here.missed(&stub);
    for name in &missed {
        println!("passes at the stub, not here: {name}");
    }
    println!("logs: {}/gdb.log", at_device.output.display());
    println!(
        "gdb-testsuite: pass={} fail={} unsupported={} stub_pass={}",
        here.count(Outcome::Pass),
        here.count(Outcome::Fail),
        here.count(Outcome::Unsupported),
        stub.count(Outcome::Pass)
    );
    Ok(missed.is_empty())
}

fn timed(what: &str, work: impl FnOnce() -> Result<Summary>) -> Result<Summary> {
    let started = Instant::now();
    let summary = work()?;
    println!(
        "{what}: {} pass, {} fail, {} unsupported, {:.0} s",
        summary.count(Outcome::Pass),
        summary.count(Outcome::Fail),
        summary.count(Outcome::Unsupported),
        started.elapsed().as_secs_f32()
    );
    Ok(summary)
}

/// A bare board behind QEMU's own stub, a new one for each load.
struct Stub {
    qemu: Option<Child>,
}

impl Stub {
    fn end(&mut self) {
        if let Some(mut qemu) = self.qemu.take() {
            // It may have ended by itself, which is as good.
            let _ = qemu.kill();
            let _ = qemu.wait();
        }
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.end();
    }
}

impl Place for Stub {
    fn load(&mut self, program: &Path) -> Result<u16> {
        self.end();
        // Free a moment ago: nobody else asks for ports here.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new(QEMU);
        command.args(["-M", "mps2-an505", "-display", "none", "-monitor", "none", "-serial", "null"]);
        command
            .args(["-nic", "none", "-S", "-gdb", &format!("tcp:127.0.0.1:{port}"), "-kernel"])
            .arg(program);
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.qemu = Some(quiet.spawn().with_context(|| format!("failed to start {QEMU}"))?);
        let until = Instant::now() + STUB_WITHIN;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > until {
                bail!("QEMU does not listen");
            }
            thread::sleep(PAUSE);
        }
        Ok(port)
    }
}

/// A device that is given each program over the air.
struct OnDevice {
    fleet: Fleet,
    device: Device,
    /// What runs there.
    loaded: Vec<u8>,
    count: u32,
    debugging: Option<Debugging>,
    /// Where programs are kept: DejaGnu compiles over its own.
    folder: PathBuf,
}

impl OnDevice {
    fn start(folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        let fleet = Fleet::start()?;
        let mut device = fleet.new_device("testsuite")?;
        fleet.power_on(&mut device)?;
        Ok(Self { fleet, device, loaded: Vec::new(), count: 0, debugging: None, folder })
    }

    fn deploy(&mut self, program: &Path) -> Result<()> {
        let started = Instant::now();
        self.count += 1;
        let bundle = self.fleet.push_debuggable_file(
            program,
            "testsuite",
            &self.count.to_string(),
            // None of these programs asks to be left alone.
            &["--immediate"],
        )?;
        self.fleet.order(&self.device, &bundle)?;
        self.fleet.wait_running(&self.device, &bundle)?;
        println!("        program {} deployed in {:.1} s", self.count, started.elapsed().as_secs_f32());
        Ok(())
    }
}

impl Place for OnDevice {
    fn load(&mut self, program: &Path) -> Result<u16> {
        let bytes = fs::read(program).with_context(|| format!("failed to read {}", program.display()))?;
        if bytes != self.loaded {
            self.debugging = None;
            self.loaded.clear();
            self.deploy(program)?;
            self.loaded = bytes;
        }
        if let Some(debugging) = &mut self.debugging
            && debugging.running().is_alive()
        {
            return Ok(debugging.port);
        }
        if let Some(ended) = self.debugging.take() {
            println!("        `bulkhead debug` ended: {}", ended.said());
        }
        let copy = self.folder.join("program.elf");
        fs::write(&copy, &self.loaded)?;
        let debugging = Debugging::start(
            &self.fleet.tool,
            &self.device.id,
            &["--takeover", "--elf", &copy.to_string_lossy()],
        )?;
        let port = debugging.port;
        self.debugging = Some(debugging);
        Ok(port)
    }
}
