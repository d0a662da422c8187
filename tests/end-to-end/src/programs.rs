//! Where the product's programs and images are.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// Everything that has to be built beforehand.
#[derive(Clone, Debug)]
pub struct Programs {
    /// `bulkhead-server`.
    pub server: PathBuf,
    /// `bulkhead`.
    pub tool: PathBuf,
    /// The hypervisor's image.
    pub image: PathBuf,
    apps: PathBuf,
}

impl Programs {
    /// Finds them in the target folder: the one in `BULKHEAD_TARGET`, else the one that this program lies in.
    ///
    /// # Errors
    /// Something was not built; the text names the command that builds it.
    pub fn find() -> Result<Self> {
        let target = target_folder()?;
        let programs = Self {
            server: target.join("debug/bulkhead-server"),
            tool: target.join("debug/bulkhead"),
            image: target.join("firmware/mps2-an505/hypervisor.elf"),
            apps: target.join("apps"),
        };
        let built_by = [
            (&programs.server, "cargo build -p bulkhead-cloud-server"),
            (&programs.tool, "cargo build -p bulkhead-cli"),
            (&programs.image, "cargo xtask image mps2-an505"),
        ];
        for (path, command) in built_by {
            present(path, command)?;
        }
        Ok(programs)
    }

    /// The ELF file of an application, for example `hello-c-v1`.
    ///
    /// # Errors
    /// It was not built.
    pub fn app(&self, name: &str) -> Result<PathBuf> {
        let path = self.apps.join(format!("{name}.elf"));
        present(&path, "cargo xtask apps")?;
        Ok(path)
    }
}

fn present(path: &Path, command: &str) -> Result<()> {
    if !path.is_file() {
        bail!("{} is missing; run `{command}`", path.display());
    }
    Ok(())
}

fn target_folder() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("BULKHEAD_TARGET") {
        return Ok(folder.into());
    }
    let program = std::env::current_exe()?;
    // Programs lie in `target/PROFILE`, tests in `target/PROFILE/deps`.
    let found = program.ancestors().find(|folder| folder.join("firmware").is_dir());
    match found {
        Some(folder) => Ok(folder.to_path_buf()),
        None => bail!("no image was built; run `cargo xtask image mps2-an505`, or set BULKHEAD_TARGET"),
    }
}
