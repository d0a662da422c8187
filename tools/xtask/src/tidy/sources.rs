//! Rules about the text of one file.

use std::path::Path;

use anyhow::{Context, Result};

use super::Violation;
use crate::workspace::Workspace;

/// Longest file in lines; what is longer wants to be two.
const LINES_MAX: usize = 800;

/// Kinds of file that people write and read.
const WRITTEN: &[&str] =
    &["rs", "c", "h", "s", "md", "toml", "sh", "py", "sql", "ld", "yml", "yaml", "html", "css", "js", "ts"];

/// Folders that hold products or foreign text.
const SKIPPED: &[&str] = &["target", ".git", "node_modules", "artifacts", "corpus"];

// The needles are written in two pieces so that this file does not catch itself.
const ASSEMBLY: &[&str] = &[concat!("as", "m!("), concat!("as", "m! {")];
const PRINTING: &[&str] = &[concat!("print", "ln!("), concat!("print", "!(")];
const SQL: &[(&str, &str)] = &[
    (concat!("SEL", "ECT "), " FROM "),
    (concat!("INS", "ERT "), " INTO "),
    (concat!("INS", "ERT INTO"), ""),
    (concat!("UPD", "ATE "), " SET "),
    (concat!("DEL", "ETE FROM "), ""),
    (concat!("CRE", "ATE TABLE "), ""),
];
const MACHINE_PATHS: &[&str] =
    &[concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/Us", "ers/")];
const FORBIDS_UNSAFE: &str = "#![forbid(unsafe_code)]";

/// Where machine code may be written.
const ASSEMBLY_HOMES: &[&str] = &[
    "device/armv8m-trustzone/",
    // The application's side of the same door.
    "apps/sdk-rust/src/gateway.rs",
];
/// Where SQL may be written.
const SQL_HOME: &str = "cloud/fleet-store/";
/// Programs whose result is what they print.
const PRINTERS: &[&str] = &["tools/cli/", "tools/xtask/", "tests/"];
/// Crates that touch hardware, and applications, whose mistakes are contained.
const UNSAFE_HOMES: &[&str] = &["device/armv8m-trustzone/", "device/chip-", "boards/", "apps/"];

/// Every file of the tree that people write, from the root, sorted.
///
/// # Errors
/// A folder cannot be read.
pub(crate) fn files(workspace: &Workspace) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![workspace.root().to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries =
            std::fs::read_dir(&folder).with_context(|| format!("failed to read {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type()?;
            if kind.is_dir() && !SKIPPED.contains(&name.as_str()) {
                folders.push(entry.path());
            } else if kind.is_file() && is_written(&name) {
                found.push(workspace.relative(&entry.path()));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn is_written(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(|text| text.to_str());
    extension.is_some_and(|text| WRITTEN.contains(&text.to_ascii_lowercase().as_str()))
}

/// Rules for every file.
pub(crate) fn check_file(path: &str, text: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    let lines = text.lines().count();
    if lines > LINES_MAX {
        found.push(Violation::new(
            path,
            format!("{lines} lines, at most {LINES_MAX}; split it where a noun ends"),
        ));
    }
    for (index, line) in text.lines().enumerate() {
        let place = || format!("{path}:{}", index + 1);
        if MACHINE_PATHS.iter().any(|needle| names_path(line, needle)) {
            found.push(Violation::new(place(), "names a path of one machine"));
        }
        if !path.ends_with(".rs") {
            continue;
        }
        let code = without_comment(line);
        let at_home = ASSEMBLY_HOMES.iter().any(|home| path.starts_with(home));
        if !at_home && ASSEMBLY.iter().any(|needle| code.contains(needle)) {
            found.push(Violation::new(place(), format!("assembly outside of {}", ASSEMBLY_HOMES.join(", "))));
        }
        if !path.starts_with(SQL_HOME) && SQL.iter().any(|(a, b)| code.contains(a) && code.contains(b)) {
            found.push(Violation::new(place(), format!("SQL outside of {SQL_HOME}")));
        }
        if !may_print(path) && PRINTING.iter().any(|needle| calls(code, needle)) {
            found.push(Violation::new(place(), "prints; return the text, or log it"));
        }
    }
    found
}

/// Rules for the root file of a library or program.
pub(crate) fn check_root(path: &str, text: &str) -> Vec<Violation> {
    let exempt = UNSAFE_HOMES.iter().any(|home| path.starts_with(home));
    if exempt || text.lines().any(|line| line.trim() == FORBIDS_UNSAFE) {
        return Vec::new();
    }
    vec![Violation::new(path, format!("the crate lacks `{FORBIDS_UNSAFE}`"))]
}

/// Rules for the manifest of a package.
pub(crate) fn check_manifest(path: &str, text: &str) -> Vec<Violation> {
    let parsed: Result<toml::Table, _> = toml::from_str(text);
    let inherits = parsed.is_ok_and(|table| {
        let lints = table.get("lints").and_then(toml::Value::as_table);
        lints.and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool) == Some(true)
    });
    if inherits {
        return Vec::new();
    }
    vec![Violation::new(path, "does not inherit the workspace's lints; add `[lints] workspace = true`")]
}

/// Build scripts print because that is how they talk to cargo, tests because nobody ships them.
fn may_print(path: &str) -> bool {
    PRINTERS.iter().any(|home| path.starts_with(home))
        || path.ends_with("/build.rs")
        || path.contains("/tests/")
        || path.contains("/examples/")
        || path.ends_with("/tests.rs")
}

/// The line up to a comment. A `//` inside a string cuts too much, which only makes a rule miss.
fn without_comment(line: &str) -> &str {
    line.split("//").next().unwrap_or(line)
}

/// True if `needle` stands for itself, not as the end of a longer word (`eprint`).
fn calls(code: &str, needle: &str) -> bool {
    code.match_indices(needle).any(|(at, _)| {
        let before = code.get(..at).and_then(|text| text.chars().next_back());
        !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

/// True if `needle` begins a path, not the middle of an address or of a longer path.
fn names_path(line: &str, needle: &str) -> bool {
    line.match_indices(needle).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        !before.is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '}' | '/' | '~'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_violation_is_caught_and_its_home_is_not() {
        let cases = [
            (
                "device/hypervisor/src/lib.rs",
                "device/armv8m-trustzone/src/a.rs",
                concat!("global_as", "m!(\"nop\");"),
            ),
            (
                "device/hypervisor/src/lib.rs",
                "device/armv8m-trustzone/src/a.rs",
                concat!("core::arch::as", "m!(\"\");"),
            ),
            (
                "cloud/cloud-server/src/a.rs",
                "cloud/fleet-store/src/a.rs",
                concat!("\"SEL", "ECT id FROM device\""),
            ),
            (
                "cloud/cloud-server/src/a.rs",
                "cloud/fleet-store/src/a.rs",
                concat!("\"DEL", "ETE FROM device\""),
            ),
            ("cloud/cloud-server/src/a.rs", "tools/cli/src/a.rs", concat!("print", "ln!(\"hello\");")),
            ("portable/delta/src/lib.rs", "portable/delta/build.rs", concat!("    print", "!(\"hello\");")),
        ];
        for (wrong, right, line) in cases {
            assert_eq!(check_file(wrong, line).len(), 1, "{wrong}: {line}");
            assert_eq!(check_file(right, line), Vec::new(), "{right}: {line}");
            assert_eq!(check_file(wrong, &format!("// {line}")), Vec::new(), "a comment is no code: {line}");
        }
    }

    #[test]
    fn standard_error_is_not_a_result() {
        assert_eq!(
            check_file("cloud/cloud-server/src/main.rs", concat!("eprint", "ln!(\"x\");")),
            Vec::new()
        );
    }

    #[test]
    fn machine_paths_are_caught_in_every_kind_of_file() {
        for line in
            [concat!("see /ho", "me/anna/x"), concat!("\"/ro", "ot/.cargo\""), concat!("cd /wo", "rk/x")]
        {
            assert_eq!(check_file("docs/a.md", line).len(), 1, "{line}");
        }
        for line in [concat!("https://example.org/ho", "me/x"), concat!("some/wo", "rk/x"), "/usr/bin/cargo"]
        {
            assert_eq!(check_file("docs/a.md", line), Vec::new(), "{line}");
        }
    }

    #[test]
    fn a_long_file_is_caught() {
        assert_eq!(check_file("a.rs", &"\n".repeat(LINES_MAX)), Vec::new());
        assert_eq!(check_file("a.rs", &"\n".repeat(LINES_MAX + 1)).len(), 1);
    }

    #[test]
    fn a_root_must_forbid_unsafe_code() {
        assert_eq!(check_root("tools/cli/src/main.rs", "fn main() {}").len(), 1);
        assert_eq!(check_root("tools/cli/src/main.rs", "//! A.\n#![forbid(unsafe_code)]\n"), Vec::new());
        assert_eq!(check_root("tools/cli/src/main.rs", "// #![forbid(unsafe_code)]").len(), 1);
        assert_eq!(check_root("device/chip-mps2-an505/src/lib.rs", ""), Vec::new());
    }

    #[test]
    fn a_manifest_must_inherit_the_lints() {
        assert_eq!(check_manifest("a/Cargo.toml", "[package]\nname = \"a\"\n").len(), 1);
        assert_eq!(check_manifest("a/Cargo.toml", "[lints]\nworkspace = false\n").len(), 1);
        assert_eq!(check_manifest("a/Cargo.toml", "[lints]\nworkspace = true\n"), Vec::new());
    }
}
