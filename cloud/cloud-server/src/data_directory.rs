//! The directory in which a server keeps everything: keys, database, bundle bytes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bulkhead_device_gateway::ServerKeys;

/// The two keys that every device pins, so that the first can be replaced without touching a device.
const CURRENT_KEY_FILE: &str = "link-current.key";
const NEXT_KEY_FILE: &str = "link-next.key";
const REALM_FILE: &str = "realm-id";

/// An open data directory. The lock in it keeps a second server out.
pub(crate) struct DataDirectory {
    root: PathBuf,
    lock: File,
}

impl Drop for DataDirectory {
    /// Gives the lock up by name: a child process that is just being made holds a copy of the file until it becomes
    /// another program, and closing ours alone would leave the directory locked for that moment.
    fn drop(&mut self) {
        // A lock that cannot be given up ends with the file.
        let _ = self.lock.unlock();
    }
}

impl DataDirectory {
    /// Opens `root`, made readable for its owner alone if need be.
    ///
    /// # Errors
    /// The directory cannot be made, or another server uses it.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        let named = |error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("{}: {error}; choose another with --data-dir", root.display()),
            )
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(named)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(root.join("lock"));
        let lock = lock.map_err(named)?;
        lock.try_lock().map_err(|_| {
            let text =
                format!("another server uses {}; stop it or choose another --data-dir", root.display());
            io::Error::new(io::ErrorKind::ResourceBusy, text)
        })?;
        Ok(Self { root: root.to_owned(), lock })
    }

    /// The database.
    pub(crate) fn database(&self) -> PathBuf {
        database_below(&self.root)
    }

    /// The bytes of bundles.
    pub(crate) fn bundles(&self) -> PathBuf {
        self.root.join("bundles")
    }

    /// Where the real addresses are written once the server listens.
    pub(crate) fn endpoints(&self) -> PathBuf {
        self.root.join("endpoints.json")
    }

    /// Realm and link keys, made on the first start.
    ///
    /// # Errors
    /// A file is damaged, or the system has no randomness.
    pub(crate) fn keys(&self) -> io::Result<ServerKeys> {
        Ok(ServerKeys {
            current: self.secret(CURRENT_KEY_FILE)?,
            next: Some(self.secret(NEXT_KEY_FILE)?),
            realm_id: self.secret(REALM_FILE)?,
        })
    }

    /// Writes a file whole or not at all.
    ///
    /// # Errors
    /// The disk failed.
    pub(crate) fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let partial = path.with_extension("partial");
        let mut file =
            OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&partial, path)?;
        File::open(&self.root)?.sync_all()
    }

    fn secret<const N: usize>(&self, name: &str) -> io::Result<[u8; N]> {
        let path = self.root.join(name);
        let mut bytes = Vec::new();
        match File::open(&path) {
            Ok(mut file) => {
                file.read_to_end(&mut bytes)?;
                bytes.try_into().map_err(|_| {
                    let text = format!("{} is damaged; restore it from a backup", path.display());
                    io::Error::new(io::ErrorKind::InvalidData, text)
                })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut secret = [0; N];
                getrandom::fill(&mut secret).map_err(io::Error::other)?;
                self.write(&path, &secret)?;
                Ok(secret)
            }
            Err(error) => Err(error),
        }
    }
}

/// Where the database of the data directory `root` lies.
pub(crate) fn database_below(root: &Path) -> PathBuf {
    root.join("fleet.sqlite")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_cannot_be_had_is_named() {
        let file = std::env::temp_dir().join(format!("bulkhead-no-directory-{}", std::process::id()));
        fs::write(&file, "").unwrap();
        let error = DataDirectory::open(&file).map(drop).unwrap_err().to_string();
        fs::remove_file(&file).unwrap();
        assert!(error.starts_with(&file.display().to_string()) && error.contains("--data-dir"), "{error}");
    }
}
