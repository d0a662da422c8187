//! GDB's own testsuite, run by DejaGnu file by file, against whatever serves its programs.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The GDB that is tested with.
const GDB: &str = "gdb-multiarch";
/// Seconds that GDB has for an answer; a loaded machine needs more than DejaGnu's ten.
const TIMEOUT_S: u32 = 20;
/// How long DejaGnu has to close its books once it is told to end.
const ENDS_WITHIN: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);
/// Files in a row without a program that runs, after which the place is given up.
const BARREN_MAX: u32 = 2;
const SUMMARY: &str = "gdb.sum";

/// Makes a program the one that runs, and serves GDB for it.
pub trait Place: Send {
    /// Returns the port of this machine where GDB finds `program`.
    ///
    /// # Errors
    /// It could not be made to run.
    fn load(&mut self, program: &Path) -> Result<u16>;
}

/// How runs of the testsuite are made.
#[derive(Clone, Debug)]
pub struct Suite {
    /// GDB's `testsuite` folder.
    pub source: PathBuf,
    /// Our boards.
    pub boards: PathBuf,
    /// Object file that each program is linked with.
    pub support: PathBuf,
    /// Linker script.
    pub script: PathBuf,
    /// A command for GDB behind each load, or nothing.
    pub after: String,
    /// Where logs and programs are left, in a folder for each file.
    pub output: PathBuf,
    /// How long one file may take.
    pub at_most: Duration,
}

/// How one file came out.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its name, as in `gdb.base/break.exp`.
    pub file: String,
    /// Its checks.
    pub summary: Summary,
    /// How long it took.
    pub took: Duration,
    /// It was ended by the time limit, which counts as one more failure.
    pub late: bool,
}

impl Suite {
    /// Runs `files` one after the other with programs at `place`; `told` hears of each when it is done.
    ///
    /// # Errors
    /// DejaGnu did not run, or no program can be made to run at the place any more.
    pub fn run(
        &self,
        files: &[String],
        place: Box<dyn Place>,
        told: &mut dyn FnMut(&Report),
    ) -> Result<Vec<Report>> {
        fs::create_dir_all(&self.output)?;
        let control = Control::serve(place)?;
        let (mut reports, mut barren) = (Vec::new(), 0);
        for file in files {
            let report = self.run_file(file, control.port)?;
            told(&report);
            reports.push(report);
            let Some(why) = control.take_failure() else {
                barren = 0;
                continue;
            };
            barren += 1;
            if barren >= BARREN_MAX {
                bail!(
                    "no program could be made to run for {barren} files in a row: {why}\nlook at {}, and begin again with \
                     the files that are left",
                    self.folder(file).display()
                );
            }
        }
        Ok(reports)
    }

    /// Where the results of `file` are.
    #[must_use]
    pub fn folder(&self, file: &str) -> PathBuf {
        self.output.join(file.trim_end_matches(".exp"))
    }

    /// The results of the last run of `file`, if it came to its end.
    #[must_use]
    pub fn last(&self, file: &str) -> Option<Report> {
        let summary = Summary::parse(&read(&self.folder(file).join(SUMMARY)).ok()?);
        summary.complete.then(|| Report { file: file.into(), summary, took: Duration::ZERO, late: false })
    }

    fn run_file(&self, file: &str, control: u16) -> Result<Report> {
        let folder = self.folder(file);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let boards = folder.join("boards.exp");
        fs::write(&boards, format!("lappend boards_dir \"{}\"\n", self.boards.display()))?;
        fs::write(folder.join("site.exp"), self.site(&folder))?;
        let mut command = Command::new("runtest");
        command.current_dir(&folder).args(["--tool", "gdb", "--target_board", "bulkhead", file]);
        command.env("DEJAGNU", &boards).env("BULKHEAD_CONTROL", control.to_string());
        command.env("BULKHEAD_SUPPORT", &self.support).env("BULKHEAD_SCRIPT", &self.script);
        command.env("BULKHEAD_AFTER", &self.after).env("LC_ALL", "C");
        let said = fs::File::create(folder.join("runtest.log"))?;
        let started = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stderr(said.try_clone()?)
            .stdout(said)
            .spawn()
            .context("failed to start runtest (Debian package dejagnu)")?;
        let late = !ends_within(&mut child, self.at_most)?;
        if late {
            end(&mut child)?;
        }
        // It ends with a failure where a check failed, which the summary tells better.
        let path = folder.join(SUMMARY);
        let mut text = match read(&path) {
            Ok(text) => text,
            Err(_) if late => String::new(),
            Err(error) => return Err(error).with_context(|| format!("DejaGnu left no {}", path.display())),
        };
        if late || !Summary::parse(&text).complete {
            text.push_str(&format!("FAIL: {file}: comes to its end in {} s\n", self.at_most.as_secs()));
            fs::write(&path, &text)?;
        }
        Ok(Report { file: file.into(), summary: Summary::parse(&text), took: started.elapsed(), late })
    }

    fn site(&self, folder: &Path) -> String {
        let (source, output) = (self.source.display(), folder.display());
        format!(
            "set host_triplet x86_64-pc-linux-gnu\nset build_triplet x86_64-pc-linux-gnu\n\
             set target_triplet arm-none-eabi\nset host_alias x86_64-pc-linux-gnu\nset target_alias arm-none-eabi\n\
             set tool gdb\nset srcdir {source}\nset objdir {output}\nset GDB {GDB}\nset gdb_test_timeout {TIMEOUT_S}\n\
             set INTERNAL_GDBFLAGS {{-nw -nx -iex \"set height 0\" -iex \"set width 0\" -iex \"set osabi none\"}}\n"
        )
    }
}

fn read(path: &Path) -> Result<String> {
    Ok(String::from_utf8_lossy(&fs::read(path)?).into_owned())
}

fn ends_within(child: &mut Child, at_most: Duration) -> Result<bool> {
    let until = Instant::now() + at_most;
    while child.try_wait()?.is_none() {
        if Instant::now() >= until {
            return Ok(false);
        }
        thread::sleep(PAUSE);
    }
    Ok(true)
}

/// Ends DejaGnu so that it writes down what it has; GDB ends with its terminal.
fn end(child: &mut Child) -> Result<()> {
    Command::new("kill").arg(child.id().to_string()).status().context("failed to start kill")?;
    if !ends_within(child, ENDS_WITHIN)? {
        child.kill()?;
        child.wait()?;
    }
    Ok(())
}

/// Answers the board file.
struct Control {
    port: u16,
    failure: Arc<Mutex<Option<String>>>,
    serving: Option<JoinHandle<()>>,
}

/// The order with which the serving ends, and what runs at its place.
const END: &str = "end";

impl Drop for Control {
    fn drop(&mut self) {
        let asked = TcpStream::connect(("127.0.0.1", self.port)).and_then(|mut to| writeln!(to, "{END}"));
        if asked.is_ok()
            && let Some(serving) = self.serving.take()
        {
            // If it panicked, that was said.
            let _ = serving.join();
        }
    }
}

impl Control {
    fn serve(mut place: Box<dyn Place>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let failure = Arc::new(Mutex::new(None));
        let told = Arc::clone(&failure);
        let serving = thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut line = String::new();
                if BufReader::new(&stream).read_line(&mut line).is_err() {
                    continue;
                }
                if line.trim() == END {
                    break;
                }
                let loaded = match line.trim().strip_prefix("load ") {
                    Some(program) => place.load(Path::new(program)),
                    None => Err(anyhow::anyhow!("no such order")),
                };
                let text = loaded.as_ref().err().map(|error| format!("{error:#}"));
                let answer = match &loaded {
                    Ok(port) => format!("ok {port}\n"),
                    Err(error) => format!("error {}\n", format!("{error:#}").replace('\n', " / ")),
                };
                *told.lock().unwrap_or_else(PoisonError::into_inner) = text;
                // A board file that is gone has no use for the answer.
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Ok(Self { port, failure, serving: Some(serving) })
    }

    /// Why the last program was not made to run, if it was not.
    fn take_failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What DejaGnu counts: results by the name of the check.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Summary {
    results: BTreeMap<String, Vec<Outcome>>,
    /// DejaGnu came to its end.
    complete: bool,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// As it should, or as it is known to.
    Pass,
    /// Not as it should.
    Fail,
    /// Not checked: the target, or its board, cannot.
    Unsupported,
}

impl Summary {
    /// Reads a `gdb.sum`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut summary = Self::default();
        for line in text.lines() {
            summary.complete |= line.contains("=== gdb Summary ===");
            let Some((word, name)) = line.split_once(": ") else { continue };
            let outcome = match word {
                "PASS" | "XFAIL" | "KFAIL" => Outcome::Pass,
                "FAIL" | "XPASS" | "KPASS" | "UNRESOLVED" | "ERROR" => Outcome::Fail,
                "UNSUPPORTED" | "UNTESTED" => Outcome::Unsupported,
                _ => continue,
            };
            summary.results.entry(without_addresses(name)).or_default().push(outcome);
        }
        summary
    }

    /// How many checks came out like this.
    #[must_use]
    pub fn count(&self, wanted: Outcome) -> usize {
        self.results.values().flatten().filter(|outcome| **outcome == wanted).count()
    }

    /// Checks that pass more often in `peer` than here, by name.
    #[must_use]
    pub fn missed(&self, peer: &Self) -> Vec<String> {
        let passes = |of: &Self, name: &str| {
            let outcomes = of.results.get(name).map(Vec::as_slice).unwrap_or_default();
            outcomes.iter().filter(|outcome| **outcome == Outcome::Pass).count()
        };
        let names = peer.results.keys().filter(|name| passes(peer, name) > passes(self, name));
        names.cloned().collect()
    }
}

/// The two programs are linked for different places.
fn without_addresses(name: &str) -> String {
    let mut parts = name.split("0x");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str("0x_");
        out.push_str(part.trim_start_matches(|c: char| c.is_ascii_hexdigit()));
    }
    out
}

/// Fails unless GDB's testsuite is where it should be.
///
/// # Errors
/// It is not.
pub fn check_source(source: &Path) -> Result<()> {
    if !source.join("lib/gdb.exp").is_file() {
        bail!("{} is not GDB's testsuite; `cargo xtask gdb-testsuite` fetches it", source.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STUB: &str = "PASS: gdb.base/a.exp: one\nPASS: gdb.base/a.exp: at 0x10000040\nPASS: gdb.base/a.exp: twice\n\
                        PASS: gdb.base/a.exp: twice\nFAIL: gdb.base/a.exp: never\nUNTESTED: gdb.base/b.exp: b\n# of ...";

    #[test]
    fn what_runs_at_the_place_ends_with_the_run() {
        #[expect(dead_code, reason = "it is held, and not looked at")]
        struct Holds(Arc<()>);
        impl Place for Holds {
            fn load(&mut self, _: &Path) -> Result<u16> {
                Ok(1)
            }
        }
        let held = Arc::new(());
        let control = Control::serve(Box::new(Holds(Arc::clone(&held)))).unwrap();
        let mut board = TcpStream::connect(("127.0.0.1", control.port)).unwrap();
        writeln!(board, "load program").unwrap();
        let mut answer = String::new();
        BufReader::new(&board).read_line(&mut answer).unwrap();
        assert_eq!(answer, "ok 1\n");
        assert_eq!(Arc::strong_count(&held), 2);
        drop(control);
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn what_passes_elsewhere_and_not_here_is_missed() {
        let stub = Summary::parse(STUB);
        assert_eq!(stub.count(Outcome::Pass), 4);
        assert_eq!(stub.count(Outcome::Unsupported), 1);
        assert!(!stub.complete && Summary::parse("\t\t=== gdb Summary ===\n").complete);
        let here = Summary::parse(
            "PASS: gdb.base/a.exp: one\nPASS: gdb.base/a.exp: at 0x80000040\nPASS: gdb.base/a.exp: twice\n\
             FAIL: gdb.base/a.exp: twice\n",
        );
        assert_eq!(here.missed(&stub), ["gdb.base/a.exp: twice"]);
        assert_eq!(stub.missed(&stub), Vec::<String>::new());
        assert_eq!(here.count(Outcome::Fail), 1);
    }
}
