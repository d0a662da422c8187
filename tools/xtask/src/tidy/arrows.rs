//! Who may depend on whom.

use super::Violation;
use super::metadata::{Dependency, Kind, Package};

/// The rule for one top folder: what its packages may be made of.
struct Arrow {
    from: &'static str,
    /// Top folders, or single packages by their whole folder.
    to: &'static [&'static str],
    /// As `to`, for build scripts alone.
    build: &'static [&'static str],
}

/// Architecture, "Who may depend on whom".
const ARROWS: &[Arrow] = &[
    Arrow { from: "portable", to: &["portable"], build: &[] },
    Arrow { from: "device", to: &["portable", "device"], build: &[] },
    Arrow { from: "boards", to: &["portable", "device"], build: &["tools/board-description"] },
    // An application is what a customer writes: it sees the SDK and nothing else.
    Arrow { from: "apps", to: &["apps/sdk-rust"], build: &[] },
    Arrow { from: "cloud", to: &["portable", "cloud"], build: &[] },
    Arrow { from: "tools", to: &["portable", "cloud/cloud-api", "tools"], build: &[] },
];

/// Anything may be put together here, and nothing may depend on it.
const TESTS: &str = "tests";

/// Every dependency that points the wrong way.
pub(crate) fn check(packages: &[Package]) -> Vec<Violation> {
    let mut found = Vec::new();
    for package in packages {
        for dependency in &package.dependencies {
            if let Some(text) = refused(&package.folder, dependency) {
                found.push(Violation::new(format!("{}/Cargo.toml", package.folder), text));
            }
        }
    }
    found
}

fn refused(from: &str, dependency: &Dependency) -> Option<String> {
    let to = dependency.folder.as_str();
    if top(from) == TESTS {
        return None;
    }
    if top(to) == TESTS {
        return Some(format!("{from} depends on {to}: nothing depends on tests"));
    }
    // What only tests use does not ship.
    if dependency.kind == Kind::Development {
        return None;
    }
    let Some(arrow) = ARROWS.iter().find(|arrow| arrow.from == top(from)) else {
        return Some(format!(
            "{from} lies in a top folder without a rule; add one to ARCHITECTURE.md and tidy"
        ));
    };
    let covers = |allowed: &[&str]| allowed.iter().any(|one| *one == to || *one == top(to));
    let allowed = covers(arrow.to) || (dependency.kind == Kind::Build && covers(arrow.build));
    (!allowed)
        .then(|| format!("{from} depends on {to}; {} may depend on {} only", arrow.from, arrow.to.join(", ")))
}

fn top(folder: &str) -> &str {
    folder.split('/').next().unwrap_or(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(from: &str, to: &str, kind: Kind) -> usize {
        let dependencies = vec![Dependency { folder: to.into(), kind }];
        check(&[Package { folder: from.into(), dependencies, roots: Vec::new() }]).len()
    }

    #[test]
    fn every_wrong_arrow_is_caught() {
        let wrong = [
            ("portable/link-session", "device/hypervisor"),
            ("portable/link-session", "tools/flash-simulator"),
            ("device/hypervisor", "boards/mps2-an505"),
            ("device/hypervisor", "cloud/cloud-api"),
            ("boards/mps2-an505", "tools/board-description"),
            ("apps/hello-rust", "portable/syscall-abi"),
            ("cloud/cloud-server", "tools/cloud-client"),
            ("cloud/cloud-server", "device/hypervisor"),
            ("tools/cli", "cloud/fleet-store"),
            ("tools/cli", "device/hypervisor"),
            ("tools/xtask", "tests/end-to-end"),
            ("new-folder/thing", "portable/link-session"),
        ];
        for (from, to) in wrong {
            assert_eq!(verdict(from, to, Kind::Normal), 1, "{from} -> {to}");
        }
        assert_eq!(verdict("tools/cli", "tests/power-cut", Kind::Development), 1);
        assert_eq!(verdict("boards/mps2-an505", "tools/cli", Kind::Build), 1);
    }

    #[test]
    fn every_right_arrow_passes() {
        let right = [
            ("portable/link-session", "portable/link-protocol", Kind::Normal),
            ("device/hypervisor", "portable/link-session", Kind::Normal),
            ("boards/mps2-an505", "device/hypervisor", Kind::Normal),
            ("boards/mps2-an505", "tools/board-description", Kind::Build),
            ("cloud/cloud-server", "cloud/fleet-store", Kind::Normal),
            ("tools/cli", "cloud/cloud-api", Kind::Normal),
            ("tools/cli", "tools/cloud-client", Kind::Normal),
            ("tests/end-to-end", "device/hypervisor", Kind::Normal),
            ("portable/update-engine", "tools/flash-simulator", Kind::Development),
        ];
        for (from, to, kind) in right {
            assert_eq!(verdict(from, to, kind), 0, "{from} -> {to}");
        }
    }
}
