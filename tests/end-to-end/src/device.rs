//! A virtual device: provisioned, under power, and without.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, bail};
use bulkhead_cloud_api::ServerInfo;
use bulkhead_device_identity::{DeviceId, Identity, ServerKeys};
use bulkhead_virtual_device::{
    HOST_AS_SEEN_BY_GUEST, Overwrite, Provisioning, Qemu, Running, Serial, provision,
};

/// A device and its file.
#[derive(Debug)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// The one-time token that claims it.
    pub claim_token: String,
    /// Its non-volatile memory.
    pub memory: PathBuf,
    /// What the hypervisor wrote to its console, all runs.
    pub console: PathBuf,
    image: PathBuf,
    pipe: PathBuf,
    typed: Arc<Mutex<String>>,
    power: Option<Running>,
}

impl Device {
    /// The factory: writes the memory of a new device that belongs to the server described by `info`, reached at
    /// `gateway`, and believes `owner`.
    ///
    /// # Errors
    /// The folder is not writable, or the system has no randomness.
    pub fn make(
        folder: &Path,
        name: &str,
        image: &Path,
        info: &ServerInfo,
        gateway: SocketAddr,
        owner: [u8; 32],
    ) -> Result<Self> {
        let memory = folder.join(format!("{name}.nvm"));
        let claim_token: [u8; 16] = random()?;
        let mut keys = info.server_public_keys.iter().map(|text| unhex::<32>(text));
        let identity = Identity {
            device_private_key: random()?,
            storage_root: random()?,
            entropy_seed: random()?,
            realm_id: unhex(&info.realm_id)?,
            server_keys: ServerKeys {
                current: keys.next().context("the server names no key")??,
                next: keys.next().transpose()?,
            },
            server_host: HOST_AS_SEEN_BY_GUEST,
            server_port: gateway.port(),
            signing_keys: &[owner],
            claim_token,
        };
        let id = provision(&memory, &Provisioning { identity, overwrite: Overwrite::Never })?;
        Self::adopt(folder, name, image, memory, id, hex(&claim_token))
    }

    /// A device that somebody else provisioned.
    ///
    /// # Errors
    /// The folder is not writable.
    pub fn adopt(
        folder: &Path,
        name: &str,
        image: &Path,
        memory: PathBuf,
        id: DeviceId,
        claim_token: String,
    ) -> Result<Self> {
        let pipe = folder.join(format!("{name}.uart1"));
        let typed = Arc::default();
        for end in ["in", "out"] {
            let path = pipe.with_added_extension(end);
            let status = Command::new("mkfifo").arg(&path).status().context("failed to start mkfifo")?;
            if !status.success() {
                bail!("failed to make the pipe {}", path.display());
            }
        }
        listen(pipe.with_added_extension("out"), Arc::clone(&typed))?;
        let console = folder.join(format!("{name}.console"));
        Ok(Self { id, claim_token, memory, console, image: image.into(), pipe, typed, power: None })
    }

    /// Power on.
    ///
    /// # Errors
    /// QEMU cannot be started.
    pub fn power_on(&mut self) -> Result<()> {
        let qemu = Qemu::new(&self.image, &self.memory)
            .console(Serial::File(self.console.clone()))
            .application_console(Serial::Pipe(self.pipe.clone()));
        self.power = Some(qemu.start()?);
        Ok(())
    }

    /// SIGKILL, at once.
    pub fn cut_power(&mut self) {
        if let Some(running) = self.power.take() {
            running.kill();
        }
    }

    /// Fails if QEMU ended by itself.
    ///
    /// # Errors
    /// It did, or there is no power.
    pub fn still_runs(&mut self) -> Result<()> {
        let Some(running) = &mut self.power else { bail!("the device has no power") };
        match running.try_wait()? {
            None => Ok(()),
            Some(status) => {
                bail!("QEMU ended by itself with {status}; its console:\n{}", self.console_tail())
            }
        }
    }

    /// Types one character into the application's console.
    ///
    /// # Errors
    /// The pipe is broken.
    pub fn type_to_application(&self, character: char) -> Result<()> {
        // Opened for both ways: a pipe without a reader would block otherwise.
        let path = self.pipe.with_added_extension("in");
        let mut pipe = std::fs::File::options()
            .read(true)
            .write(true)
            .open(&path)
            .with_context(|| format!("failed to open {}", path.display()))?;
        let mut bytes = [0; 4];
        pipe.write_all(character.encode_utf8(&mut bytes).as_bytes()).context("failed to type")
    }

    /// Everything the application wrote to its console, all runs.
    pub fn application_console(&self) -> String {
        self.typed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last lines of the hypervisor's console.
    pub fn console_tail(&self) -> String {
        let text = std::fs::read(&self.console).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(15)..).unwrap_or_default().join("\n")
    }
}

/// Collects what comes out of a pipe, for as long as the process lives.
fn listen(path: PathBuf, into: Arc<Mutex<String>>) -> Result<()> {
    // Both ways, so that the end of one QEMU is not the end of the pipe.
    let mut pipe = std::fs::File::options()
        .read(true)
        .write(true)
        .open(&path)
        .with_context(|| format!("failed to open {}", path.display()))?;
    thread::spawn(move || {
        let mut buffer = [0; 1024];
        while let Ok(len) = pipe.read(&mut buffer) {
            let text = String::from_utf8_lossy(buffer.get(..len).unwrap_or_default()).into_owned();
            into.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
        }
    });
    Ok(())
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("the system has no randomness: {error}"))?;
    Ok(bytes)
}

fn unhex<const N: usize>(text: &str) -> Result<[u8; N]> {
    bulkhead_cloud_api::from_hex(text)
        .ok()
        .with_context(|| format!("`{text}` is not {N} bytes in hexadecimal"))
}

fn hex(bytes: &[u8]) -> String {
    bulkhead_cloud_api::to_hex(bytes)
}
