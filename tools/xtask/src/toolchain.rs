//! Which Rust compiler builds for the chip, and with which linker.
//!
//! A rustup toolchain with the chip's target installed is the first choice. Without it Debian's compiler builds
//! `core` from Debian's library source; the two are of one version, which rustup's compiler and that source are
//! not. `RUSTC_BOOTSTRAP` is there for `build-std` alone: the project's own code is stable Rust.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::workspace::Workspace;

/// The target of every chip with an Armv8-M Mainline core, soft float.
pub(crate) const TARGET: &str = "thumbv8m.main-none-eabi";

/// Cargo's option for targets that a file describes.
const JSON_TARGETS: &str = "json-target-spec";

/// Clippy of Debian's compiler.
const DEBIAN_CLIPPY: &str = "/usr/bin/cargo-clippy";

/// A compiler for the chip.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Toolchain {
    /// The active rustup toolchain, which has the target installed.
    Rustup,
    /// Debian's compiler with its library source.
    Debian {
        /// Debian's cargo.
        cargo: PathBuf,
        /// Debian's compiler.
        rustc: PathBuf,
        /// The linker, as cargo is told it.
        linker: PathBuf,
    },
}

impl Toolchain {
    /// Chooses, preferring rustup.
    ///
    /// # Errors
    /// Neither is there; the text names the command that installs one.
    pub(crate) fn choose() -> Result<Self> {
        if rustup_has_target() {
            return Ok(Self::Rustup);
        }
        match debian() {
            Some(found) => Ok(found),
            None => bail!(
                "no Rust compiler for {TARGET}: run `cargo xtask setup`, or `rustup target add {TARGET}` \
                 if rustup may download"
            ),
        }
    }

    /// One line that says what was chosen and why.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Rustup => format!("rustup's toolchain, which has {TARGET}"),
            Self::Debian { cargo, linker, .. } => format!(
                "Debian's compiler ({}) with build-std, since rustup lacks {TARGET}; linker {}",
                cargo.display(),
                linker.file_name().unwrap_or(linker.as_os_str()).to_string_lossy()
            ),
        }
    }

    /// A short name for a folder of build products that the other toolchain must not touch.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Rustup => "rustup",
            Self::Debian { .. } => "debian",
        }
    }

    /// `cargo SUBCOMMAND` for the chip, in `root`.
    pub(crate) fn cargo(&self, root: &Path, subcommand: &str) -> Command {
        let mut command = self.untargeted(root, subcommand);
        command.args(["--target", TARGET]);
        command
    }

    /// As [`Self::cargo`], for the hypervisor's image: without frame pointers where the compiler lets us choose.
    ///
    /// The target keeps a register and two instructions of every function for them, 8 KiB of the image, and nobody walks
    /// the hypervisor's stack. No stable option takes them away, so the compiler's own description of the target is
    /// written with that one line changed. See docs/decisions/footprint.md.
    ///
    /// # Errors
    /// The description cannot be had or written.
    pub(crate) fn image_cargo(&self, workspace: &Workspace, subcommand: &str) -> Result<Command> {
        let Self::Debian { cargo, rustc, linker } = self else {
            return Ok(self.cargo(workspace.root(), subcommand));
        };
        let mut ask = process::clean(rustc);
        ask.args(["-Zunstable-options", "--print", "target-spec-json", "--target", TARGET]);
        let description = process::output(ask.env("RUSTC_BOOTSTRAP", "1"))?;
        let path = workspace.target().join("firmware-build").join(format!("{TARGET}.json"));
        write_if_other(&path, &without_frame_pointers(&description)?)?;

        let mut command = self.untargeted(workspace.root(), subcommand);
        // Older versions of cargo take such a file without being asked to.
        if process::output(process::clean(cargo).args(["-Z", "help"]))?.contains(JSON_TARGETS) {
            command.args(["-Z", JSON_TARGETS]);
        }
        command.arg("--target").arg(&path);
        if linker.ends_with("rust-lld") {
            let flags = format!("{} -Clink-arg=--icf=all", debian_flags());
            command.env("RUSTFLAGS", flags); // One copy of functions that became equal: 0.8 KiB less.
        }
        Ok(command)
    }

    fn untargeted(&self, root: &Path, subcommand: &str) -> Command {
        match self {
            Self::Rustup => {
                let mut command = process::cargo(root);
                command.arg(subcommand);
                command
            }
            Self::Debian { cargo, rustc, linker } => {
                // Cargo would find rustup's clippy in the search path; Debian's is started by its own name.
                let clippy = Path::new(DEBIAN_CLIPPY);
                let program = if subcommand == "clippy" { clippy } else { cargo };
                let mut command = process::clean(program);
                command.current_dir(root).arg(subcommand);
                command.args(["-Zbuild-std=core,compiler_builtins"]);
                command.arg("-Zbuild-std-features=compiler-builtins-mem,optimize_for_size");
                command.env("CARGO", cargo).env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1");
                command.env("CARGO_TARGET_THUMBV8M_MAIN_NONE_EABI_LINKER", linker);
                command.env("RUSTFLAGS", debian_flags());
                command
            }
        }
    }

    /// True if `cargo clippy` can be asked for the chip.
    pub(crate) fn has_clippy(&self) -> bool {
        match self {
            Self::Rustup => true,
            Self::Debian { .. } => Path::new(DEBIAN_CLIPPY).is_file(),
        }
    }
}

/// A panic becomes one undefined instruction, whose fault writes the epitaph: 20 KiB less flash than messages that nobody
/// could read on a device. See docs/decisions/device-panics.md.
fn debian_flags() -> String {
    format!("-Zunstable-options -Cpanic=immediate-abort {}", remap())
}

/// The compiler's description of the target, with frame pointers left to the optimizer.
fn without_frame_pointers(description: &str) -> Result<String> {
    const KEPT: &str = r#""frame-pointer": "always""#;
    if !description.contains(KEPT) {
        bail!("the compiler's description of {TARGET} says nothing of frame pointers:\n{description}");
    }
    Ok(description.replace(KEPT, r#""frame-pointer": "may-omit""#))
}

/// Writes a file unless it says the same already: a newer file would have everything built again.
fn write_if_other(path: &Path, text: &str) -> Result<()> {
    if std::fs::read_to_string(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("failed to create {}", folder.display()))?;
    }
    std::fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))
}

fn rustup_has_target() -> bool {
    sysroot().is_some_and(|root| root.join("lib/rustlib").join(TARGET).join("lib").is_dir())
}

/// Keeps folders of the building machine out of the image, so that two machines build the same bytes.
pub(crate) fn remap() -> String {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    home.map_or_else(String::new, |home| format!("--remap-path-prefix={}/registry/src/=", home.display()))
}

/// Where the compiler that started us keeps its libraries.
fn sysroot() -> Option<PathBuf> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let text = process::output(Command::new(rustc).args(["--print", "sysroot"])).ok()?;
    Some(PathBuf::from(text.trim()))
}

fn debian() -> Option<Toolchain> {
    let rustc = PathBuf::from("/usr/bin/rustc");
    let cargo = PathBuf::from("/usr/bin/cargo");
    let source = Path::new("/usr/lib/rustlib/src/rust/library/core");
    if !rustc.is_file() || !cargo.is_file() || !source.is_dir() {
        return None;
    }
    Some(Toolchain::Debian { cargo, rustc, linker: linker()? })
}

/// `rust-lld` of the active toolchain, or binutils' linker for the chip.
fn linker() -> Option<PathBuf> {
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let lld = sysroot().map(|root| root.join("lib/rustlib").join(host).join("bin/rust-lld"));
    lld.filter(|path| path.is_file()).or_else(|| process::find("arm-none-eabi-ld"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_builds_the_library_and_rustup_does_not() {
        let debian = Toolchain::Debian {
            cargo: "/c".into(),
            rustc: "/r".into(),
            linker: "/somewhere/rust-lld".into(),
        };
        let command = process::shown(&debian.cargo(Path::new("."), "build"));
        assert!(command.starts_with("/c build -Zbuild-std=core"), "{command}");
        assert!(debian.describe().contains("rust-lld"));
        let command = process::shown(&Toolchain::Rustup.cargo(Path::new("."), "build"));
        assert!(!command.contains("build-std") && command.contains(TARGET), "{command}");
    }

    #[test]
    fn a_target_that_says_nothing_of_frame_pointers_is_refused_and_not_taken_as_it_is() {
        let changed = without_frame_pointers(r#"{ "frame-pointer": "always", "os": "none" }"#).unwrap();
        assert_eq!(changed, r#"{ "frame-pointer": "may-omit", "os": "none" }"#);
        assert!(without_frame_pointers(r#"{ "os": "none" }"#).is_err());
    }
}
