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
        let mut running = run(program, &data, "127.0.0.1:0", "127.0.0.1:0")?;
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

    /// Ends it at once, without a word to anybody, and starts it again on the same ports and data.
    ///
    /// # Errors
    /// It did not come up again.
    pub fn restart(&mut self, program: &Path) -> Result<()> {
        self.running.kill();
        let api = self.url.trim_start_matches("http://");
        self.running = run(program, &self.data, api, &self.devices.to_string())?;
        self.running
            .wait_for("the server's return", START_WITHIN, |line| line.starts_with("API").then_some(()))
    }

    /// Ends it at once and leaves it so.
    pub fn stop(&mut self) {
        self.running.kill();
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

fn run(program: &Path, data: &Path, api: &str, devices: &str) -> Result<Running> {
    let mut command = Command::new(program);
    command.arg("--data-dir").arg(data);
    command.args(["--listen", api, "--device-listen", devices]);
    command.env("BULKHEAD_LOG", "info,sqlx=warn");
    Running::start("bulkhead-server", &mut command)
}
