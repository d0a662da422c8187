//! Bundles, good ones and such as must be refused, made with the tool.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::tool::Tool;

/// Window of the trials of bundles that do not say otherwise, in seconds: tests have little patience.
const TRIAL_WINDOW_S: &str = "1";

/// A signed bundle in a file.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// The file.
    pub path: PathBuf,
    /// Digest of its manifest, 64 hexadecimal digits.
    pub manifest: String,
}

/// The owner of a fleet: signs with the key in the tool's folder, each bundle newer than the one before.
#[derive(Debug)]
pub struct Owner {
    tool: Tool,
    folder: PathBuf,
    sequence: u64,
}

impl Owner {
    /// Makes a signing key with `tool`; bundles are written to `folder`.
    ///
    /// # Errors
    /// The tool refused.
    pub fn new(tool: Tool, folder: &Path) -> Result<Self> {
        tool.run(&["key", "generate"])?;
        Ok(Self { tool, folder: folder.into(), sequence: 0 })
    }

    /// Signs `program` as `name` `version`; `more` are further options of `app bundle`.
    ///
    /// # Errors
    /// The tool refused.
    pub fn sign(&mut self, program: &Path, name: &str, version: &str, more: &[&str]) -> Result<Bundle> {
        self.sequence += 1;
        let path = self.folder.join(format!("{name}-{version}.bundle"));
        let (program, output) = (program.to_string_lossy(), path.to_string_lossy());
        let sequence = self.sequence.to_string();
        let mut arguments = vec!["app", "bundle", &program, "--output", &output, "--name", name];
        arguments.extend(["--version", version, "--sequence", &sequence]);
        if !more.contains(&"--trial-window") {
            arguments.extend(["--trial-window", TRIAL_WINDOW_S]);
        }
        arguments.extend(more);
        let document = self.tool.json(&arguments)?;
        let manifest =
            document.get("manifest").and_then(Value::as_str).context("no manifest was named")?.into();
        Ok(Bundle { path, manifest })
    }
}
