//! What cargo knows of the workspace's packages.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;
use crate::workspace::Workspace;

/// When a dependency is needed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// By the code that ships.
    Normal,
    /// By tests alone.
    Development,
    /// By a build script.
    Build,
}

/// A dependency on another package of the workspace.
#[derive(Clone, Debug)]
pub(crate) struct Dependency {
    /// Folder of the package depended upon.
    pub(crate) folder: String,
    /// When it is needed.
    pub(crate) kind: Kind,
}

/// A package of the workspace.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    /// Folder from the root, for example `portable/nor-flash`.
    pub(crate) folder: String,
    /// Dependencies within the workspace.
    pub(crate) dependencies: Vec<Dependency>,
    /// Root source files of its libraries and programs.
    pub(crate) roots: Vec<String>,
}

/// Asks cargo for all packages of the workspace.
///
/// # Errors
/// Cargo failed, or answered in a form we do not know.
pub(crate) fn packages(workspace: &Workspace) -> Result<Vec<Package>> {
    let mut command = process::cargo(workspace.root());
    command.args(["metadata", "--format-version", "1", "--no-deps"]);
    let json: Value = serde_json::from_str(&process::output(&mut command)?)
        .context("failed to read the answer of `cargo metadata`")?;
    let list =
        json.get("packages").and_then(Value::as_array).context("`cargo metadata` names no packages")?;
    list.iter().map(|package| read(package, workspace)).collect()
}

fn read(package: &Value, workspace: &Workspace) -> Result<Package> {
    let manifest = text(package, "manifest_path")?;
    let folder = Path::new(manifest).parent().context("a manifest without a folder")?;
    let mut dependencies = Vec::new();
    for dependency in array(package, "dependencies") {
        // A dependency with a path lies in the workspace.
        let Some(path) = dependency.get("path").and_then(Value::as_str) else { continue };
        let kind = match dependency.get("kind").and_then(Value::as_str) {
            Some("dev") => Kind::Development,
            Some("build") => Kind::Build,
            _ => Kind::Normal,
        };
        dependencies.push(Dependency { folder: workspace.relative(Path::new(path)), kind });
    }
    let mut roots = Vec::new();
    for target in array(package, "targets") {
        let kinds: Vec<&str> = array(target, "kind").iter().filter_map(Value::as_str).collect();
        let ships = kinds.iter().any(|kind| matches!(*kind, "lib" | "bin" | "proc-macro"));
        if ships {
            roots.push(workspace.relative(Path::new(text(target, "src_path")?)));
        }
    }
    Ok(Package { folder: workspace.relative(folder), dependencies, roots })
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value.get(key).and_then(Value::as_str).with_context(|| format!("`cargo metadata`: no `{key}`"))
}

fn array<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
