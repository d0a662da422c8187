//! A folder that vanishes with the value that made it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

/// Set to keep the folders, to look into after a failure.
pub const KEEP_VARIABLE: &str = "BULKHEAD_KEEP";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A fresh folder below the system's folder for temporary files.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes one.
    ///
    /// # Errors
    /// The system's folder is not writable.
    pub fn make() -> Result<Self> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("bulkhead-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("failed to create {}", path.display()))?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::env::var_os(KEEP_VARIABLE).is_none() {
            // What cannot be removed now is the system's to clean up.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
