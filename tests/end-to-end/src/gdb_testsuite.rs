//! GDB's own testsuite, run by DejaGnu, against whatever serves its programs.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};

/// The GDB that is tested with.
const GDB: &str = "gdb-multiarch";
/// Seconds that GDB has for an answer; a loaded machine needs more than DejaGnu's ten.
const TIMEOUT_S: u32 = 20;

/// Makes a program the one that runs, and serves GDB for it.
pub trait Place: Send {
    /// Returns the port of this machine where GDB finds `program`.
    ///
    /// # Errors
    /// It could not be made to run.
    fn load(&mut self, program: &Path) -> Result<u16>;
}

/// One run of the testsuite.
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
    /// Where logs and programs are left.
    pub output: PathBuf,
}

impl Suite {
    /// Runs `files` with programs at `place`; `told` hears of each file.
    ///
    /// # Errors
    /// DejaGnu did not run, or left no summary.
    pub fn run(
        &self,
        files: &[String],
        place: Box<dyn Place>,
        told: &mut dyn FnMut(&str),
    ) -> Result<Summary> {
        if self.output.exists() {
            fs::remove_dir_all(&self.output)?;
        }
        fs::create_dir_all(&self.output)?;
        let boards = self.output.join("boards.exp");
        fs::write(&boards, format!("lappend boards_dir \"{}\"\n", self.boards.display()))?;
        fs::write(self.output.join("site.exp"), self.site())?;
        let control = serve(place)?;
        let mut command = Command::new("runtest");
        command.current_dir(&self.output).args(["--tool", "gdb", "--target_board", "bulkhead"]).args(files);
        command.env("DEJAGNU", &boards).env("BULKHEAD_CONTROL", control.to_string());
        command.env("BULKHEAD_SUPPORT", &self.support).env("BULKHEAD_SCRIPT", &self.script);
        command.env("BULKHEAD_AFTER", &self.after).env("LC_ALL", "C");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("failed to start runtest (Debian package dejagnu)")?;
        if let Some(output) = child.stdout.take() {
            for line in BufReader::new(output).lines() {
                let line = line?;
                if let Some(file) = line.strip_prefix("Running ").filter(|line| line.ends_with(" ...")) {
                    told(file.trim_end_matches(" ...").rsplit("testsuite/").next().unwrap_or(file));
                }
            }
        }
        // It ends with a failure where a check failed, which the summary tells better.
        child.wait()?;
        let summary = self.output.join("gdb.sum");
        let text = fs::read(&summary).with_context(|| format!("DejaGnu left no {}", summary.display()))?;
        Ok(Summary::parse(&String::from_utf8_lossy(&text)))
    }

    fn site(&self) -> String {
        let (source, output) = (self.source.display(), self.output.display());
        format!(
            "set host_triplet x86_64-pc-linux-gnu\nset build_triplet x86_64-pc-linux-gnu\n\
             set target_triplet arm-none-eabi\nset host_alias x86_64-pc-linux-gnu\nset target_alias arm-none-eabi\n\
             set tool gdb\nset srcdir {source}\nset objdir {output}\nset GDB {GDB}\nset gdb_test_timeout {TIMEOUT_S}\n\
             set INTERNAL_GDBFLAGS {{-nw -nx -iex \"set height 0\" -iex \"set width 0\" -iex \"set osabi none\"}}\n"
        )
    }
}

/// Answers the board file; returns the port.
fn serve(mut place: Box<dyn Place>) -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut line = String::new();
            if BufReader::new(&stream).read_line(&mut line).is_err() {
                continue;
            }
            let loaded = match line.trim().strip_prefix("load ") {
                Some(program) => place.load(Path::new(program)),
                None => Err(anyhow::anyhow!("no such order")),
            };
            let answer = match loaded {
                Ok(port) => format!("ok {port}\n"),
                Err(error) => format!("error {}\n", format!("{error:#}").replace('\n', " / ")),
            };
            // A board file that is gone has no use for the answer.
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    Ok(port)
}

/// What DejaGnu counts: results by the name of the check.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Summary {
    results: BTreeMap<String, Vec<Outcome>>,
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
        let mut results: BTreeMap<String, Vec<Outcome>> = BTreeMap::new();
        for line in text.lines() {
            let Some((word, name)) = line.split_once(": ") else { continue };
            let outcome = match word {
                "PASS" | "XFAIL" | "KFAIL" => Outcome::Pass,
                "FAIL" | "XPASS" | "KPASS" | "UNRESOLVED" | "ERROR" => Outcome::Fail,
                "UNSUPPORTED" | "UNTESTED" => Outcome::Unsupported,
                _ => continue,
            };
            results.entry(without_addresses(name)).or_default().push(outcome);
        }
        Self { results }
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
    fn what_passes_elsewhere_and_not_here_is_missed() {
        let stub = Summary::parse(STUB);
        assert_eq!(stub.count(Outcome::Pass), 4);
        assert_eq!(stub.count(Outcome::Unsupported), 1);
        let here = Summary::parse(
            "PASS: gdb.base/a.exp: one\nPASS: gdb.base/a.exp: at 0x80000040\nPASS: gdb.base/a.exp: twice\n\
             FAIL: gdb.base/a.exp: twice\n",
        );
        assert_eq!(here.missed(&stub), ["gdb.base/a.exp: twice"]);
        assert_eq!(stub.missed(&stub), Vec::<String>::new());
        assert_eq!(here.count(Outcome::Fail), 1);
    }
}
