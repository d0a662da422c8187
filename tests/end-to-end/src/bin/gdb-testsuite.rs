//! `cargo xtask gdb-testsuite`: GDB's own testsuite against QEMU's stub, and against a device behind `bulkhead debug`.
//!
//! Whatever passes at the stub, which stands next to the processor, has to pass through server, hypervisor and bridge.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a command-line tool: standard output is its result")]

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bulkhead_end_to_end::debugger::Debugging;
use bulkhead_end_to_end::device::Device;
use bulkhead_end_to_end::fleet::Fleet;
use bulkhead_end_to_end::gdb_testsuite::{Outcome, Place, Report, Suite, check_source};
use bulkhead_end_to_end::peers::port_for_a_program;

const QEMU: &str = "qemu-system-arm";
/// How long QEMU may take to listen.
const STUB_WITHIN: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(10);
/// How long one file may take, unless another time is named.
const FILE_WITHIN: Duration = Duration::from_secs(300);

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
    /// The stub's results of earlier runs are good enough.
    keep_stub: bool,
    /// How long one file may take.
    at_most: Duration,
    files: Vec<String>,
}

fn arguments() -> Result<Arguments> {
    let mut words = std::env::args().skip(1);
    let mut path = || words.next().map(PathBuf::from).context("usage: FOLDER BOARDS [OPTIONS] FILE...");
    let (folder, boards) = (path()?, path()?);
    let mut arguments =
        Arguments { folder, boards, keep_stub: false, at_most: FILE_WITHIN, files: Vec::new() };
    for word in words {
        match word.split_once('=') {
            None if word == "--keep-stub" => arguments.keep_stub = true,
            Some(("--limit", seconds)) => {
                let seconds = seconds.parse().ok().filter(|seconds| *seconds > 0);
                arguments.at_most =
                    Duration::from_secs(seconds.context("`--limit=SECONDS` takes a number of at least 1")?);
            }
            _ if word.starts_with("--") => {
                bail!("no option {word}; there are --keep-stub and --limit=SECONDS")
            }
            _ => arguments.files.push(word),
        }
    }
    Ok(arguments)
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
        at_most: arguments.at_most,
    };
    let (at_stub, at_device) = (suite("stub", ""), suite("device", "monitor reset halt"));
    check_source(&at_stub.source)?;
    let mut stub = Vec::new();
    for file in &arguments.files {
        let kept = arguments.keep_stub.then(|| at_stub.last(file)).flatten();
        stub.push(match kept {
            Some(report) => report,
            None => at_stub
                .run(std::slice::from_ref(file), Box::new(Stub { qemu: None }), &mut |report| {
                    tell("stub", report)
                })?
                .pop()
                .context("no report")?,
        });
    }
    let place = Box::new(OnDevice::start(at_device.output.with_extension("programs"))?);
    let here = at_device.run(&arguments.files, place, &mut |report| tell("device", report))?;
    let missed = compare(&here, &stub);
    println!(
        "logs: {}/FILE/gdb.log, and the same in {}",
        at_device.output.display(),
        at_stub.output.display()
    );
    println!(
        "gdb-testsuite: pass={} fail={} unsupported={} stub_pass={}",
        count(&here, Outcome::Pass),
        count(&here, Outcome::Fail),
        count(&here, Outcome::Unsupported),
        count(&stub, Outcome::Pass)
    );
    Ok(missed == 0)
}

fn count(reports: &[Report], outcome: Outcome) -> usize {
    reports.iter().map(|report| report.summary.count(outcome)).sum()
}

fn tell(place: &str, report: &Report) {
    let limit = if report.late { ", ENDED BY THE TIME LIMIT" } else { "" };
    println!("{place:<7} {:<30} {}, {:.0} s{limit}", report.file, counts(report), report.took.as_secs_f32());
}

fn counts(report: &Report) -> String {
    let count = |outcome| report.summary.count(outcome);
    format!(
        "{:>4} pass {:>3} fail {:>3} unsupported",
        count(Outcome::Pass),
        count(Outcome::Fail),
        count(Outcome::Unsupported)
    )
}

/// Prints the table and what is missed; returns how much that is.
fn compare(here: &[Report], stub: &[Report]) -> usize {
    println!("\n{:<30} {:<36} | at QEMU's own stub", "file", "on a device");
    let mut missed = 0;
    for (here, stub) in here.iter().zip(stub) {
        println!("{:<30} {:<36} | {}", here.file, counts(here), counts(stub));
        for name in here.summary.missed(&stub.summary) {
            println!("    passes at the stub, not here: {name}");
            missed += 1;
        }
    }
    missed
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
        let port = port_for_a_program()?;
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

    fn serve(&mut self, program: &Path) -> Result<u16> {
        let bytes = fs::read(program).with_context(|| format!("failed to read {}", program.display()))?;
        self.device.still_runs()?;
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

impl Place for OnDevice {
    fn load(&mut self, program: &Path) -> Result<u16> {
        let first = match self.serve(program) {
            Ok(port) => return Ok(port),
            Err(error) => error,
        };
        // That is a defect as well: it is told, and what comes behind it is tested all the same.
        println!("        the device is given a new start: {first:#}");
        self.debugging = None;
        self.loaded.clear();
        self.fleet.cut_power(&mut self.device)?;
        self.fleet.power_on(&mut self.device)?;
        self.serve(program)
            .with_context(|| format!("a new start of the device did not help; before it: {first:#}"))
    }
}
