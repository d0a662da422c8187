//! The owner of the fleet: signs bundles, good ones and such as a device must refuse.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bulkhead_board_description::{Board, MPS2_AN505};
use bulkhead_bundle_builder::{Bundle, Format, Policy, Release, Revisions, Signer, build, read_image};

/// Somebody with a signing key.
pub struct Owner {
    signer: Signer,
    sequence: u64,
}

/// What is wrong with a bundle, on purpose.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Flaw {
    /// Nothing.
    None,
    /// It is for another class of device.
    Class,
    /// It wants system calls that no hypervisor has yet.
    Abi,
}

impl Owner {
    /// An owner with the key that follows from `secret`.
    pub fn new(secret: [u8; 32]) -> Self {
        Self { signer: Signer::from_secret(&secret), sequence: 0 }
    }

    /// The key that devices shall believe.
    pub fn public_key(&self) -> [u8; 32] {
        self.signer.public_key()
    }

    /// Signs the program in `elf`; each bundle is newer than the one before.
    ///
    /// # Errors
    /// The file cannot be read or is no program for the board.
    pub fn sign(&mut self, elf: &Path, name: &str, version: &str, flaw: Flaw) -> Result<Bundle> {
        self.sequence += 1;
        let mut board = Board::parse(MPS2_AN505)?;
        if flaw == Flaw::Class {
            board.device_class = "another-class".into();
        }
        let abi = if flaw == Flaw::Abi { 900 } else { 1 };
        let bytes = std::fs::read(elf).with_context(|| format!("failed to read {}", elf.display()))?;
        let image = read_image(&bytes, Format::Detect, 0)?;
        let one = Revisions { least: 1, greatest: 1 };
        let release = Release {
            name,
            version,
            sequence: self.sequence,
            security_counter: 0,
            abi: Revisions { least: abi, greatest: abi },
            board_revisions: one,
            policy: Policy::default(),
        };
        Ok(build(&board, &image, &release, &self.signer)?)
    }
}

/// Writes a bundle to `folder/NAME` and returns the path.
///
/// # Errors
/// The folder is not writable.
pub fn save(folder: &Path, name: &str, file: &[u8]) -> Result<PathBuf> {
    let path = folder.join(name);
    std::fs::write(&path, file).with_context(|| format!("failed to write {}", path.display()))?;
    Ok(path)
}
