//! The real server, on ports that the system chooses.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::child::Running;

const START_WITHIN: Duration = Duration::from_secs(30);

/// A running `bulkhead-server`.
#[derive(Debug)]
pub struct Server {
    running: Running,
    data: PathBuf,
    /// Address of the API, with `http://`.
    pub url: String,
    /// Where devices connect.
    pub devices: SocketAddr,
    /// The first administrator's token.
    pub token: String,
}

impl Server {
    /// Starts `program` with a fresh data folder in `folder`, and nothing configured but the ports.
    ///
    /// # Errors
    /// It did not come up, or did not print what a person needs.
    pub fn start(program: &Path, folder: &Path) -> Result<Self> {
        let data = folder.join("server");
        let mut command = Command::new(program);
        command.arg("--data-dir").arg(&data);
        command.args(["--listen", "127.0.0.1:0", "--device-listen", "127.0.0.1:0"]);
        command.env("BULKHEAD_LOG", "info,sqlx=warn");
        let mut running = Running::start("bulkhead-server", &mut command)?;
        let word_after = |name: &'static str| {
            move |line: &str| {
                line.strip_prefix(name).and_then(|rest| rest.split_whitespace().next()).map(str::to_owned)
            }
        };
        let url = running.wait_for("the address of the API", START_WITHIN, word_after("API"))?;
        let devices = running.wait_for("the address for devices", START_WITHIN, word_after("devices"))?;
        let token = running.wait_for("the first token", START_WITHIN, |line| {
            line.split_whitespace().find(|word| word.starts_with("bht_")).map(str::to_owned)
        })?;
        let devices = devices.parse().with_context(|| format!("`{devices}` is no address"))?;
        Ok(Self { running, data, url, devices, token })
    }

    /// What it wrote so far, for failures.
    pub fn log(&self) -> Vec<String> {
        self.running.lines()
    }

    /// Its data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }
}
