//! Pairs of our own firmware: the tree is copied, changed as a developer would, and built again.
//!
//! They hold what public pairs of C firmware do not: LLVM's code, which makes addresses by MOVW and MOVT. The images
//! lie in `target/bench/update/firmware/` then, where the bench that compares patches looks for them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;
use crate::{apps, image, system};

/// Folders at the root that no image is built from.
const LEFT_OUT: &[&str] = &["target", ".git", "docs", "changes"];
/// What builds leave behind.
const BUILT: &[&str] = &["target"];

/// One replacement in one file of the tree.
struct Edit {
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

/// What an image is built from.
enum Source {
    Hypervisor,
    Application(&'static str),
}

/// An image before and after a change.
struct Pair {
    name: &'static str,
    source: Source,
    change: Edit,
}

/// Every function is compiled anew.
const OPTIMISED_FOR_SPEED: Edit = Edit {
    file: "Cargo.toml",
    from: "inherits = \"release\"\nopt-level = \"z\"",
    to: "inherits = \"release\"\nopt-level = 2",
};

const PAIRS: &[Pair] = &[
    Pair {
        name: "hypervisor-line",
        source: Source::Hypervisor,
        change: Edit {
            file: "boards/mps2-an505/src/main.rs",
            from: "    if let Err(reason) = partition::divide()",
            to: "    console::line(format_args!(\"clock {} Hz\", board::CLOCK_HZ));\n    \
                 if let Err(reason) = partition::divide()",
        },
    },
    Pair {
        name: "hypervisor-feature",
        source: Source::Hypervisor,
        change: Edit {
            file: "boards/mps2-an505/Cargo.toml",
            from: "sha2 = { workspace = true, features = [\"force-soft-compact\"] }",
            to: "sha2.workspace = true",
        },
    },
    // Other decisions about inlining, as another version of the compiler makes them.
    Pair {
        name: "hypervisor-inlining",
        source: Source::Hypervisor,
        change: Edit { file: "Cargo.toml", from: "lto = \"fat\"", to: "lto = \"thin\"" },
    },
    Pair { name: "hypervisor-speed", source: Source::Hypervisor, change: OPTIMISED_FOR_SPEED },
    Pair {
        name: "embassy-line",
        source: Source::Application("embassy-rust"),
        change: Edit {
            file: "apps/embassy-rust/src/main.rs",
            from: "        if number % 4 == 0 {",
            to: "        if number % 8 == 3 || number == 100 {",
        },
    },
    Pair { name: "rtic-speed", source: Source::Application("rtic-rust"), change: OPTIMISED_FOR_SPEED },
];

/// Builds both images of every pair as `target/bench/update/firmware/NAME.{old,new}.elf`, if the tree changed since.
///
/// # Errors
/// The tree cannot be copied, a change does not fit it any more, or a build failed.
pub(super) fn build(workspace: &Workspace) -> Result<()> {
    let folder = workspace.target().join("bench/update/firmware");
    let image_of = |pair: &Pair, age: &str| folder.join(format!("{}.{age}.elf", pair.name));
    let copy = Workspace::at(workspace.target().join("bench/update/tree"));
    let complete =
        PAIRS.iter().all(|pair| image_of(pair, "old").is_file() && image_of(pair, "new").is_file());
    if !copy_tree(workspace.root(), copy.root(), LEFT_OUT)? && complete {
        return Ok(());
    }
    // Should a build below fail, then no image of the former tree is taken for one of this.
    if folder.is_dir() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("failed to empty {}", folder.display()))?;
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("failed to create {}", folder.display()))?;
    for pair in PAIRS {
        keep(&build_one(&copy, &pair.source)?, &image_of(pair, "old"))?;
    }
    for pair in PAIRS {
        let path = copy.path(pair.change.file);
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
        std::fs::write(&path, edited(&text, pair)?)?;
        let built = build_one(&copy, &pair.source);
        // Put back before the outcome is looked at, so that a failure leaves no changed copy behind.
        std::fs::write(&path, text)?;
        keep(&built?, &image_of(pair, "new"))?;
    }
    Ok(())
}

fn edited(text: &str, pair: &Pair) -> Result<String> {
    let Edit { file, from, to } = pair.change;
    if text.matches(from).count() != 1 {
        bail!(
            "{file} does not hold `{from}` once, which pair {} changes; mend the table of pairs",
            pair.name
        );
    }
    Ok(text.replacen(from, to, 1))
}

fn build_one(copy: &Workspace, source: &Source) -> Result<PathBuf> {
    match source {
        Source::Hypervisor => image::build(copy, system::BOARD),
        Source::Application(name) => {
            let built = apps::build(copy, name)?;
            built.into_iter().next().with_context(|| format!("{name} has no image"))
        }
    }
}

fn keep(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from, to).map(|_| ()).with_context(|| format!("failed to write {}", to.display()))
}

/// Makes `to` hold what `from` holds, what is built in it aside; true if it held something else.
///
/// Files that are the same already keep their time, which cargo looks at.
fn copy_tree(from: &Path, to: &Path, left_out: &[&str]) -> Result<bool> {
    std::fs::create_dir_all(to).with_context(|| format!("failed to create {}", to.display()))?;
    let mut changed = false;
    for entry in std::fs::read_dir(from).with_context(|| format!("failed to read {}", from.display()))? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        let copy = to.join(&name);
        if kind.is_dir() && !left_out.iter().any(|other| name == *other) {
            changed |= copy_tree(&entry.path(), &copy, BUILT)?;
        } else if kind.is_file() {
            let bytes = std::fs::read(entry.path())?;
            if std::fs::read(&copy).ok().as_ref() != Some(&bytes) {
                std::fs::write(&copy, bytes)
                    .with_context(|| format!("failed to write {}", copy.display()))?;
                changed = true;
            }
        }
    }
    for entry in std::fs::read_dir(to)? {
        let entry = entry?;
        let name = entry.file_name();
        if from.join(&name).exists() || BUILT.iter().any(|other| name == *other) {
            continue;
        }
        changed = true;
        let gone = entry.path();
        let removed =
            if gone.is_dir() { std::fs::remove_dir_all(&gone) } else { std::fs::remove_file(&gone) };
        removed.with_context(|| format!("failed to remove {}", gone.display()))?;
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_fits_the_tree() {
        let workspace = Workspace::find().unwrap();
        for pair in PAIRS {
            let text = std::fs::read_to_string(workspace.path(pair.change.file)).unwrap();
            assert_ne!(edited(&text, pair).unwrap(), text, "{}", pair.name);
        }
    }
}
