//! `cargo xtask tidy`: the rules of ARCHITECTURE.md and STYLE.md that a program can check.
//!
//! Each rule is a function of text, so that its tests show a violation being caught.

mod arrows;
mod claims;
mod metadata;
mod sources;

use std::fmt;

use anyhow::{Result, bail};

use crate::workspace::Workspace;

/// A broken rule: where, and what to do about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Violation {
    /// File, from the root; with a line number where there is one.
    place: String,
    /// What is wrong and what to do instead.
    text: String,
}

impl Violation {
    fn new(place: impl Into<String>, text: impl Into<String>) -> Self {
        Self { place: place.into(), text: text.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// Checks every rule and prints every violation.
///
/// # Errors
/// A rule is broken, or the tree cannot be read.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let packages = metadata::packages(workspace)?;
    let mut found = arrows::check(&packages);
    let mut roots = Vec::new();
    for package in &packages {
        let manifest = workspace.path(&package.folder).join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest)?;
        found.extend(sources::check_manifest(&workspace.relative(&manifest), &text));
        roots.extend(package.roots.iter().cloned());
    }
    let files = sources::files(workspace)?;
    let mut named = claims::Named::default();
    for file in &files {
        let bytes = std::fs::read(workspace.path(file))?;
        // What is not text (pictures, recorded bytes) has no lines to check.
        let Ok(text) = String::from_utf8(bytes) else { continue };
        found.extend(sources::check_file(file, &text));
        named.read(file, &text);
        if roots.contains(file) {
            found.extend(sources::check_root(file, &text));
        }
    }
    found.extend(named.check());
    for violation in &found {
        println!("{violation}");
    }
    if !found.is_empty() {
        bail!("tidy found {} broken rules", found.len());
    }
    println!("tidy: ok ({} packages, {} files)", packages.len(), files.len());
    Ok(())
}
