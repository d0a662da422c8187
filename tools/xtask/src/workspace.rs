//! Where things are in the working tree.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The working tree this command runs in.
#[derive(Clone, Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// Walks up from the package (under cargo) or the current folder to the workspace's `Cargo.toml`.
    ///
    /// # Errors
    /// The caller's: started outside a working tree of Bulkhead.
    pub(crate) fn find() -> Result<Self> {
        let start = match std::env::var_os("CARGO_MANIFEST_DIR") {
            Some(package) => PathBuf::from(package),
            None => std::env::current_dir().context("failed to read the current folder")?,
        };
        for folder in start.ancestors() {
            if folder.join("Cargo.lock").is_file() && folder.join("tools/xtask/Cargo.toml").is_file() {
                let workspace = Self::at(folder.to_path_buf());
                return Ok(match std::env::var_os("CARGO_TARGET_DIR") {
                    Some(target) => Self { target: folder.join(target), ..workspace },
                    None => workspace,
                });
            }
        }
        bail!("{} is not inside a working tree of Bulkhead; change into one", start.display())
    }

    /// The working tree at `root`, which leaves what it builds in its own `target`.
    pub(crate) fn at(root: PathBuf) -> Self {
        Self { target: root.join("target"), root }
    }

    /// The folder that holds the workspace's `Cargo.toml`.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A path below the root.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root.join(below)
    }

    /// The cargo target folder of host builds, where outputs are left as well.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// `path` as one would type it from the root.
    pub(crate) fn relative(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }
}
