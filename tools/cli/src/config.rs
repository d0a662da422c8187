//! What `bulkhead login` remembers, readable for its owner alone.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::{ExitCode, Failure};

/// Server and token.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Config {
    /// Address of the server.
    pub(crate) server: Option<String>,
    /// Token for it.
    pub(crate) token: Option<String>,
}

/// Folder of configuration, keys and virtual devices.
pub(crate) fn home() -> Result<PathBuf, Failure> {
    let variable = |name| env::var_os(name).filter(|value| !value.is_empty());
    if let Some(home) = variable("BULKHEAD_HOME") {
        return Ok(home.into());
    }
    if let Some(xdg) = env::var_os("XDG_CONFIG_HOME").filter(|xdg| Path::new(xdg).is_absolute()) {
        return Ok(Path::new(&xdg).join("bulkhead"));
    }
    match variable("HOME") {
        Some(home) => Ok(Path::new(&home).join(".config").join("bulkhead")),
        None => Err(Failure::new(
            ExitCode::File,
            "neither BULKHEAD_HOME nor HOME is set",
            "set BULKHEAD_HOME to a folder for configuration and keys",
        )),
    }
}

/// Makes a folder that nobody else may look into.
pub(crate) fn make_private_folder(folder: &Path) -> Result<(), Failure> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| Failure::file("make", folder, &error))
}

/// Writes a file that nobody else may read, whole or not at all.
pub(crate) fn write_private_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let partial = path.with_extension("partial");
    let write = || -> std::io::Result<()> {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&partial, path)
    };
    write().map_err(|error| Failure::file("write", path, &error))
}

impl Config {
    fn path() -> Result<PathBuf, Failure> {
        Ok(home()?.join("config.json"))
    }

    /// Reads the configuration; an absent file is an empty one.
    pub(crate) fn load() -> Result<Self, Failure> {
        let path = Self::path()?;
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Failure::file("read", &path, &error)),
        };
        serde_json::from_slice(&text).map_err(|error| {
            let what = format!("{} is damaged: {error}", path.display());
            Failure::new(ExitCode::File, what, "delete it and run `bulkhead login` again")
        })
    }

    /// Writes the configuration.
    pub(crate) fn save(&self) -> Result<PathBuf, Failure> {
        let path = Self::path()?;
        make_private_folder(path.parent().unwrap_or(Path::new(".")))?;
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        write_private_file(&path, &text)?;
        Ok(path)
    }
}
