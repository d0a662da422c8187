//! Other people's patches: fetched, run with every setting, and remembered by what went in.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::pairs::Pair;

/// The program that runs them; they are modules of Python.
const PROGRAM: &str = include_str!("peers.py");

/// What is fetched. detools also as a source distribution, which holds the public pairs.
const PACKAGES: &[&str] = &["detools==0.53.0", "bsdiff4==1.3.2", "hdiffpatch==2.6.0"];
const DETOOLS: &str = "detools-0.53.0";

/// The patch of one setting.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Patch {
    /// Program and setting.
    pub(crate) name: String,
    pub(crate) len: u64,
}

/// The peers, ready to run.
#[derive(Clone, Debug)]
pub(crate) struct Peers {
    python: PathBuf,
    program: PathBuf,
    public: PathBuf,
    cache: PathBuf,
}

impl Peers {
    /// Fetches what is not in `folder` yet.
    ///
    /// # Errors
    /// Python, pip or its registry is missing; the text says what to run.
    pub(crate) fn fetch(folder: &Path) -> Result<Self> {
        let peers = Self {
            python: folder.join("venv/bin/python"),
            program: folder.join("peers.py"),
            public: folder.join(DETOOLS).join("tests/files"),
            cache: folder.join("cache"),
        };
        std::fs::create_dir_all(&peers.cache)
            .with_context(|| format!("failed to create {}", peers.cache.display()))?;
        std::fs::write(&peers.program, PROGRAM)?;
        // Written last, so that a fetch that was interrupted is done again.
        let fetched = folder.join("fetched");
        let wanted = PACKAGES.join("\n");
        if std::fs::read_to_string(&fetched).ok().as_ref() != Some(&wanted) {
            peers.install(folder)?;
            std::fs::write(&fetched, wanted)?;
        }
        Ok(peers)
    }

    fn install(&self, folder: &Path) -> Result<()> {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder.join("venv")))
            .context("no virtual environment for the peers; run `sudo apt-get install python3-venv`")?;
        let pip = |arguments: &[&str]| {
            let mut command = Command::new(&self.python);
            command.current_dir(folder).args(["-m", "pip", "--quiet", "--disable-pip-version-check"]);
            run(command.args(arguments)).context(
                "the peers were not fetched; pip must reach its registry, and detools is compiled: \
                 run `sudo apt-get install python3-dev gcc g++`, then this again",
            )
        };
        pip(&[&["install"], PACKAGES].concat())?;
        pip(&["download", "--no-deps", "--no-binary", "detools", PACKAGES[0]])?;
        let archive = format!("{DETOOLS}.tar.gz");
        run(Command::new(&self.python).current_dir(folder).args(["-m", "tarfile", "-e", &archive]))
    }

    /// Where the public pairs are.
    pub(crate) fn public(&self) -> &Path {
        &self.public
    }

    /// The patches of every setting of every peer, each of them decoded and compared by the peer's own decoder.
    ///
    /// # Errors
    /// A file is missing, or a peer failed or made a wrong patch.
    pub(crate) fn patches(&self, pair: &Pair) -> Result<Vec<Patch>> {
        let remembered = self.cache.join(format!("{}.jsonl", digest(pair)?));
        if let Ok(text) = std::fs::read_to_string(&remembered) {
            return parse(&text);
        }
        let sections: serde_json::Map<String, Value> =
            pair.sections.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let request = json!({
            "old": pair.old, "new": pair.new, "formats": pair.formats, "elf": pair.elf,
            "sections": if sections.is_empty() { Value::Null } else { Value::Object(sections) },
        });
        let output = Command::new(&self.python)
            .arg(&self.program)
            .arg(request.to_string())
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .context("failed to start the peers")?;
        if !output.status.success() {
            bail!("the peers failed on {}", pair.name);
        }
        let text = String::from_utf8(output.stdout)?;
        let patches = parse(&text)?;
        let partial = remembered.with_extension("partial");
        std::fs::write(&partial, text)?;
        std::fs::rename(&partial, &remembered)?;
        Ok(patches)
    }
}

fn run(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("failed to start {}", command.get_program().display()))?;
    if !status.success() {
        bail!("{} ended with {status}", command.get_program().display());
    }
    Ok(())
}

fn parse(lines: &str) -> Result<Vec<Patch>> {
    let mut patches = Vec::new();
    for line in lines.lines() {
        let value: Value = serde_json::from_str(line).with_context(|| format!("a peer wrote: {line}"))?;
        let name = value.get("name").and_then(Value::as_str);
        let len = value.get("bytes").and_then(Value::as_u64);
        let (Some(name), Some(len)) = (name, len) else { bail!("a peer wrote: {line}") };
        patches.push(Patch { name: name.into(), len });
    }
    if patches.is_empty() {
        bail!("no peer made a patch");
    }
    Ok(patches)
}

/// A name for everything that a peer's result depends on.
fn digest(pair: &Pair) -> Result<String> {
    let mut hash = Sha256::new();
    for text in [PROGRAM, &PACKAGES.join("\n"), &format!("{:?} {:?}", pair.formats, pair.sections)] {
        hash.update(Sha256::digest(text));
    }
    for path in [&pair.old, &pair.new].into_iter().chain(pair.elf.iter().flatten()) {
        let bytes = std::fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
        hash.update(Sha256::digest(bytes));
    }
    let mut name = String::new();
    for byte in hash.finalize() {
        // Writing to a string does not fail.
        let _ = write!(name, "{byte:02x}");
    }
    Ok(name)
}
