//! Operating systems that applications are built with: sources that a crate carries, compiled as they are.
//!
//! An application says in `kernel/files.toml` which files it wants; `kernel/Cargo.toml` and its lockfile say which
//! release of which crate holds them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// What to compile besides the application's own files.
pub(crate) struct Kernel {
    /// Where the release lies.
    pub(crate) root: PathBuf,
    /// How debug information names `root`: the same on every machine.
    pub(crate) name: String,
    /// Files to compile.
    pub(crate) sources: Vec<PathBuf>,
    /// Folders of headers.
    pub(crate) include: Vec<PathBuf>,
}

/// The kernel that `application` is built with; `None` if it needs none. Downloads it if need be.
///
/// # Errors
/// The crate cannot be fetched, or does not hold what `files.toml` names.
pub(crate) fn of(application: &Path) -> Result<Option<Kernel>> {
    let folder = application.join("kernel");
    let list = folder.join("files.toml");
    if !list.exists() {
        return Ok(None);
    }
    let text =
        std::fs::read_to_string(&list).with_context(|| format!("failed to read {}", list.display()))?;
    let files: toml::Table =
        toml::from_str(&text).with_context(|| format!("failed to parse {}", list.display()))?;
    let package = files.get("package").and_then(|name| name.as_str());
    let package = package.with_context(|| format!("{} names no `package`", list.display()))?;
    let (version, root) = find(&folder, package)?;
    let kernel = Kernel {
        name: format!("{package}-{version}"),
        sources: paths(&files, "sources", &root),
        include: paths(&files, "include", &root),
        root,
    };
    if let Some(missing) = kernel.sources.iter().chain(&kernel.include).find(|path| !path.exists()) {
        bail!("{} has no {}; correct {}", kernel.name, missing.display(), list.display());
    }
    Ok(Some(kernel))
}

/// Version and folder of `package`, which the crate in `folder` depends on.
fn find(folder: &Path, package: &str) -> Result<(String, PathBuf)> {
    let mut command = Command::new("cargo");
    command.args(["metadata", "--locked", "--format-version", "1", "--manifest-path"]);
    command.arg(folder.join("Cargo.toml"));
    let metadata: serde_json::Value = serde_json::from_str(&process::output(&mut command)?)
        .context("cargo's description of the kernel's crate is not as expected")?;
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found = packages.iter().find(|known| known["name"] == package);
    let Some(found) = found else {
        bail!("{} does not depend on `{package}`; correct its Cargo.toml", folder.display());
    };
    let manifest = found["manifest_path"].as_str().map(Path::new).and_then(Path::parent);
    let root = manifest.context("cargo does not say where the kernel lies")?;
    Ok((found["version"].as_str().unwrap_or("?").to_owned(), root.to_owned()))
}

fn paths(files: &toml::Table, key: &str, root: &Path) -> Vec<PathBuf> {
    let listed = files.get(key).and_then(|value| value.as_array()).map(Vec::as_slice).unwrap_or_default();
    listed.iter().filter_map(|path| path.as_str()).map(|path| root.join(path)).collect()
}
