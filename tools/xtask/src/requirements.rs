//! `doctor` and `setup`: what the other commands need from the machine.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process;
use crate::toolchain::{TARGET, Toolchain};
use crate::workspace::Workspace;
use crate::zig;

/// Something that must be on the machine.
struct Requirement {
    /// What a person calls it.
    name: &'static str,
    /// What for.
    purpose: &'static str,
    /// Debian packages that bring it.
    packages: &'static [&'static str],
    /// Is it there?
    present: fn() -> bool,
}

const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        name: "qemu-system-arm",
        purpose: "runs the virtual board",
        packages: &["qemu-system-arm"],
        present: || process::find("qemu-system-arm").is_some(),
    },
    Requirement {
        name: "arm-none-eabi-gcc",
        purpose: "compiles C applications",
        packages: &["gcc-arm-none-eabi"],
        present: || process::find("arm-none-eabi-gcc").is_some(),
    },
    Requirement {
        name: "newlib for Arm",
        purpose: "C headers and library of applications",
        packages: &["libnewlib-arm-none-eabi"],
        present: newlib_is_there,
    },
    Requirement {
        name: "CMake, make, pkg-config",
        purpose: "use the installed SDK for C and C++",
        packages: &["cmake", "make", "pkg-config"],
        present: || ["cmake", "make", "pkg-config"].iter().all(|tool| process::find(tool).is_some()),
    },
    Requirement {
        name: "gdb-multiarch",
        purpose: "debugs applications",
        packages: &["gdb-multiarch"],
        present: || process::find("gdb-multiarch").is_some(),
    },
    Requirement {
        name: "pip",
        purpose: "fetches Zig",
        packages: &["python3-pip"],
        present: || process::succeeds(Command::new("python3").args(["-m", "pip", "--version"])),
    },
    Requirement {
        name: "mosquitto with its clients",
        purpose: "broker that applications talk to in tests",
        packages: &["mosquitto", "mosquitto-clients"],
        present: || {
            // Debian puts the broker where only administrators look.
            let broker = process::find("mosquitto").is_some() || Path::new("/usr/sbin/mosquitto").is_file();
            broker && process::find("mosquitto_sub").is_some()
        },
    },
    Requirement {
        name: "unshare and ip",
        purpose: "give tests of names a network of their own",
        packages: &["util-linux", "iproute2"],
        present: || process::find("unshare").is_some() && process::find("ip").is_some(),
    },
    Requirement {
        name: "Rust for thumbv8m.main-none-eabi",
        purpose: "compiles the hypervisor",
        packages: &["rustc-web", "cargo-web", "rust-web-src"],
        present: || Toolchain::choose().is_ok(),
    },
    Requirement {
        name: "clippy for the chip",
        purpose: "checks the board images",
        packages: &["rust-web-clippy"],
        // Without a compiler the line above installs Debian's, and then this one goes with it.
        present: || Toolchain::choose().is_ok_and(|toolchain| toolchain.has_clippy()),
    },
];

/// What `bench update` needs besides: the programs that make other people's patches.
const PEERS: &[Requirement] = &[
    Requirement {
        name: "xdelta3",
        purpose: "makes patches to compare with",
        packages: &["xdelta3"],
        present: || process::find("xdelta3").is_some(),
    },
    Requirement {
        name: "Python with venv and headers",
        purpose: "fetches and runs detools, bsdiff4 and hdiffpatch",
        packages: &["python3-venv", "python3-dev", "gcc", "g++"],
        present: python_is_there,
    },
];

/// What `gdb-testsuite` needs besides.
const DEJAGNU: &[Requirement] = &[Requirement {
    name: "DejaGnu",
    purpose: "runs GDB's own testsuite",
    packages: &["dejagnu", "expect"],
    present: || process::find("runtest").is_some() && process::find("expect").is_some(),
}];

/// Pip comes by `ensurepip`; detools is compiled.
fn python_is_there() -> bool {
    const CHECK: &str = "import ensurepip, os, sysconfig, venv; \
                         os.stat(os.path.join(sysconfig.get_paths()['include'], 'Python.h'))";
    process::succeeds(Command::new("python3").args(["-c", CHECK])) && process::find("g++").is_some()
}

fn newlib_is_there() -> bool {
    let found = process::output(Command::new("arm-none-eabi-gcc").arg("--print-file-name=libc.a"));
    found.is_ok_and(|path| Path::new(path.trim()).is_file())
}

fn missing(of: &'static [Requirement]) -> Vec<&'static Requirement> {
    of.iter().filter(|requirement| !(requirement.present)()).collect()
}

fn packages(of: &[&Requirement]) -> Vec<&'static str> {
    of.iter().flat_map(|requirement| requirement.packages.iter().copied()).collect()
}

/// The one command that installs `packages`, for a person to type.
fn install_command(packages: &[&str]) -> String {
    format!(
        "sudo apt-get update && sudo apt-get install --yes --no-install-recommends {}",
        packages.join(" ")
    )
}

/// Prints what is there and what is missing.
///
/// # Errors
/// Something is missing; the text ends with the command that installs it.
pub(crate) fn doctor(workspace: &Workspace) -> Result<()> {
    let missing = missing(REQUIREMENTS);
    for requirement in REQUIREMENTS {
        let absent = missing.iter().any(|other| other.name == requirement.name);
        let mark = if absent { "MISSING" } else { "ok" };
        println!("{mark:8} {:34} {}", requirement.name, requirement.purpose);
    }
    if let Ok(toolchain) = Toolchain::choose() {
        println!("firmware is compiled by {}", toolchain.describe());
    }
    println!("working tree {}", workspace.root().display());
    if !zig::doctor(workspace) && missing.is_empty() {
        bail!("Zig is missing; run `cargo xtask setup`");
    }
    if missing.is_empty() {
        println!("doctor: ok");
        return Ok(());
    }
    if missing.iter().any(|requirement| requirement.packages.contains(&"rustc-web")) {
        println!("instead of the Rust packages below, `rustup target add {TARGET}` also does");
    }
    bail!("{} missing; `cargo xtask setup` or: {}", missing.len(), install_command(&packages(&missing)))
}

/// Installs what is missing through apt, if that is possible without asking anybody.
///
/// # Errors
/// No apt, no rights (the text is the command to run), or the installation failed.
pub(crate) fn setup(workspace: &Workspace) -> Result<()> {
    bring(REQUIREMENTS)?;
    zig::setup(workspace)
}

/// Installs what the comparison of patches needs, as [`setup`] does.
///
/// # Errors
/// As [`setup`].
pub(crate) fn bring_peers() -> Result<()> {
    bring(PEERS)
}

/// Installs what GDB's own testsuite needs, as [`setup`] does.
///
/// # Errors
/// As [`setup`].
pub(crate) fn bring_dejagnu() -> Result<()> {
    bring(DEJAGNU)
}

fn bring(requirements: &'static [Requirement]) -> Result<()> {
    let absent = missing(requirements);
    if absent.is_empty() {
        println!("setup: nothing to do");
        return Ok(());
    }
    let wanted = packages(&absent);
    if process::find("apt-get").is_none() {
        let names: Vec<_> = absent.iter().map(|requirement| requirement.name).collect();
        bail!("missing: {}; this machine has no apt-get, so install them its own way", names.join(", "));
    }
    let Some(prefix) = privilege() else {
        bail!("missing packages and no right to install them; run: {}", install_command(&wanted));
    };
    println!("setup: installing {}", wanted.join(" "));
    // Package lists may be absent (fresh container) or stale; the update costs seconds and only happens here.
    apt(&prefix, &["update", "--quiet"])?;
    let mut arguments = vec!["install", "--yes", "--quiet", "--no-install-recommends"];
    arguments.extend(&wanted);
    apt(&prefix, &arguments)?;
    let still = missing(requirements);
    if !still.is_empty() {
        let names: Vec<_> = still.iter().map(|requirement| requirement.name).collect();
        bail!("installed, but still missing: {}", names.join(", "));
    }
    println!("setup: ok");
    Ok(())
}

/// Words that go before a command which needs root: none, or `sudo -n`.
fn privilege() -> Option<Vec<&'static str>> {
    let id = process::output(Command::new("id").arg("-u")).unwrap_or_default();
    if id.trim() == "0" {
        return Some(Vec::new());
    }
    process::succeeds(Command::new("sudo").args(["-n", "true"])).then(|| vec!["sudo", "-n"])
}

fn apt(prefix: &[&str], arguments: &[&str]) -> Result<()> {
    let mut words = prefix.to_vec();
    // `env` carries the variable through sudo.
    words.extend(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    words.extend(arguments);
    let mut command = Command::new(words.first().copied().unwrap_or("apt-get"));
    command.args(words.iter().skip(1)).stdin(std::process::Stdio::null());
    process::run(&mut command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_to_type_names_every_missing_package_once() {
        let all: Vec<_> = REQUIREMENTS.iter().chain(PEERS).chain(DEJAGNU).collect();
        let command = install_command(&packages(&all));
        for package in packages(&all) {
            assert_eq!(command.split(' ').filter(|word| *word == package).count(), 1, "{command}");
        }
    }
}
