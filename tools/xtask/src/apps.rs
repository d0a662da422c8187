//! `cargo xtask apps`: the C applications.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::workspace::Workspace;

/// Builds every application; returns the ELF files.
pub(crate) fn build_all(_workspace: &Workspace) -> Result<Vec<PathBuf>> {
    bail!("apps/ is empty")
}

/// Builds one application; returns its ELF files, one a version.
pub(crate) fn build(_workspace: &Workspace, name: &str) -> Result<Vec<PathBuf>> {
    bail!("no application `{name}`")
}
