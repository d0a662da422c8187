//! The factory and the power switch of virtual devices.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use bulkhead_cloud_api::{ClaimDevice, ProblemCode, RegisterDevice, ServerInfo, from_hex, to_hex};
use bulkhead_cloud_client::{Client, ClientError};
use bulkhead_device_identity::{Identity, ServerKeys, device_id, public_key};
use bulkhead_virtual_device::{
    Error, Gdb, HOST_AS_SEEN_BY_GUEST, Overwrite, Provisioned, Provisioning, Qemu, Serial, find_image,
    provision_beside,
};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use signal_hook::consts::{SIGHUP, SIGTERM};
use signal_hook::flag::register_usize;
use signal_hook::low_level::emulate_default_handler;

use super::Session;
use crate::arguments::{NewDevice, RunDevice};
use crate::config::{home, make_private_folder};
use crate::failure::{ExitCode, Failure};

/// Ending of files with non-volatile memory.
const MEMORY_EXTENSION: &str = "nvm";
/// How often a device that runs is looked after.
const LOOK_PERIOD: Duration = Duration::from_millis(50);

pub(crate) fn new(session: &Session<'_>, new: NewDevice) -> Result<(), Failure> {
    let client = session.client()?;
    let info = client.info()?;
    let signing_keys = signing_keys(&new)?;
    let (server_keys, realm_id) = server_identity(&info)?;
    let host = new.device_host.clone().unwrap_or_else(|| HOST_AS_SEEN_BY_GUEST.to_owned());
    let server_port = match new.device_port {
        Some(port) => port,
        None => port_of(&info.device_endpoint)?,
    };
    let identity = Identity {
        device_private_key: random()?,
        storage_root: random()?,
        entropy_seed: random()?,
        realm_id,
        server_keys,
        server_host: &host,
        server_port,
        signing_keys: &signing_keys,
        claim_token: random()?,
    };
    let memory = match &new.memory {
        Some(path) => path.clone(),
        None => default_memory(&new.name)?,
    };
    if new.memory.is_none() {
        make_private_folder(memory.parent().unwrap_or(Path::new(".")))?;
    }
    let overwrite = if new.force { Overwrite::Replace } else { Overwrite::Never };
    // The file of an older device goes only once the server knows the new one.
    let mut provisioned = provision_beside(&memory, &Provisioning { identity, overwrite }).map_err(failed)?;
    let made = Made::of(&new, &identity);
    if let Err(error) = made.register(&client) {
        return Err(made.not_registered(error, &mut provisioned, &memory));
    }
    // Nobody else has the keys that the server knows by now.
    provisioned.keep();
    provisioned.place().map_err(failed)?;
    let claimed = if new.claim { Some(made.claim(&client)) } else { None };
    let is_claimed = matches!(claimed, Some(Ok(())));
    let (id, name, token) = (&made.id, &new.name, &made.token);
    let document = json!({
        "id": id, "name": name, "memory": memory, "claimed": is_claimed,
        "claim_token": if is_claimed { None } else { Some(token) },
    });
    session.output.data(&document, || {
        let mut lines = vec![format!("device  {id}"), format!("memory  {}", memory.display())];
        if !is_claimed {
            lines.push(format!("claim   bulkhead device claim {name} {token}"));
        }
        lines.push(format!("run     bulkhead device run {}", shown(&new, &memory)));
        lines
    });
    match claimed {
        Some(Err(error)) => Err(made.not_claimed(error)),
        _ => Ok(()),
    }
}

/// A device of which the server is to hear.
struct Made<'a> {
    name: &'a str,
    id: String,
    public_key: String,
    token: String,
    token_sha256: String,
}

impl<'a> Made<'a> {
    fn of(new: &'a NewDevice, identity: &Identity<'_>) -> Self {
        let public = public_key(&identity.device_private_key);
        let token_sha256: [u8; 32] = Sha256::digest(identity.claim_token).into();
        Self {
            name: &new.name,
            id: device_id(&public).to_string(),
            public_key: to_hex(&public),
            token: to_hex(&identity.claim_token),
            token_sha256: to_hex(&token_sha256),
        }
    }

    fn register(&self, client: &Client) -> Result<(), ClientError> {
        client.register_device(&RegisterDevice {
            public_key: self.public_key.clone(),
            claim_token_sha256: Some(self.token_sha256.clone()),
            name: Some(self.name.to_owned()),
        })?;
        Ok(())
    }

    fn claim(&self, client: &Client) -> Result<(), ClientError> {
        client.claim_device(&self.id, &ClaimDevice { claim_token: self.token.clone(), name: None })?;
        Ok(())
    }

    /// A device that the server refused is of no use, and its file goes with the failure. Without an answer the server may
    /// know it all the same.
    fn not_registered(&self, error: ClientError, provisioned: &mut Provisioned, memory: &Path) -> Failure {
        let refusal = match &error {
            ClientError::Problem(problem) if problem.status < 500 => Some(problem.code),
            _ => None,
        };
        let mut failure = Failure::from(error);
        match refusal {
            Some(ProblemCode::NameTaken) => {
                failure.next_step = format!(
                    "choose another name, or rename the device that has it: `bulkhead device rename {} OTHER`",
                    self.name
                );
            }
            Some(_) => {}
            None => {
                let kept = provisioned.keep().display();
                failure.what = format!(
                    "{}; the server may know the device, so its memory is kept in {kept}",
                    failure.what
                );
                failure.next_step = format!(
                    "if `bulkhead device show {}` finds it, rename that file to {}; else delete it",
                    self.id,
                    memory.display()
                );
            }
        }
        failure
    }

    fn not_claimed(&self, error: ClientError) -> Failure {
        let mut failure = Failure::from(error);
        failure.what = format!("the device is registered, but not claimed: {}", failure.what);
        failure.next_step =
            format!("{}; then run `bulkhead device claim {} {}`", failure.next_step, self.name, self.token);
        failure
    }
}

pub(crate) fn run(session: &Session<'_>, run: RunDevice) -> Result<(), Failure> {
    let memory = existing_memory(&run.device)?;
    let image = find_image(run.image.as_deref()).map_err(failed)?;
    let console = run.console.clone().map_or(Serial::Stdio, Serial::File);
    let application_console = run.application_console.clone().map_or(Serial::Null, Serial::File);
    let gdb = match (run.gdb, run.wait) {
        (None, _) => Gdb::Off,
        (Some(port), false) => Gdb::Port(port),
        (Some(port), true) => Gdb::PortAndWait(port),
    };
    let qemu = Qemu::new(image, &memory).console(console).application_console(application_console).gdb(gdb);
    let ended_by = heed_signals()?;
    let mut running = qemu.start().map_err(failed)?;
    session.output.note(&format!("runs as process {}; Ctrl-C cuts its power", running.id()));
    while running.try_wait().map_err(failed)?.is_none() {
        if let Ok(signal @ 1..) = i32::try_from(ended_by.load(Ordering::Relaxed)) {
            running.kill();
            // Whoever sent it sees this program end by it.
            let _ = emulate_default_handler(signal);
            return Ok(());
        }
        thread::sleep(LOOK_PERIOD);
    }
    running.wait().map_err(failed)
}

/// The number of a signal that was to end this program, 0 before: QEMU must not go on alone, as a device that nobody can
/// switch off. Ctrl-C is not among them, for a terminal sends it to QEMU as well.
fn heed_signals() -> Result<Arc<AtomicUsize>, Failure> {
    let ended_by = Arc::new(AtomicUsize::new(0));
    for (signal, number) in [(SIGTERM, SIGTERM.unsigned_abs()), (SIGHUP, SIGHUP.unsigned_abs())] {
        let number = usize::try_from(number).unwrap_or_default();
        register_usize(signal, Arc::clone(&ended_by), number).map_err(|error| {
            Failure::new(ExitCode::Machine, format!("cannot wait for signals: {error}"), "try again")
        })?;
    }
    Ok(ended_by)
}

/// What to give to `device run`.
fn shown(new: &NewDevice, memory: &Path) -> String {
    if new.memory.is_some() { memory.display().to_string() } else { new.name.clone() }
}

fn default_memory(name: &str) -> Result<PathBuf, Failure> {
    // A name becomes a file's name here, so it may not lead elsewhere.
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
        let next = "use letters, digits, hyphens, dots, underscores; or name a file with --memory";
        return Err(Failure::new(ExitCode::File, format!("`{name}` is no name for a file"), next));
    }
    Ok(home()?.join("devices").join(format!("{name}.{MEMORY_EXTENSION}")))
}

fn existing_memory(device: &str) -> Result<PathBuf, Failure> {
    let path = Path::new(device);
    if device.contains('/') || path.is_file() {
        return Ok(path.to_owned());
    }
    let memory = default_memory(device)?;
    if memory.is_file() {
        return Ok(memory);
    }
    let what = format!("there is no virtual device `{device}` on this machine ({})", memory.display());
    Err(Failure::new(ExitCode::File, what, format!("make it with `bulkhead device new {device}`")))
}

fn signing_keys(new: &NewDevice) -> Result<Vec<[u8; 32]>, Failure> {
    if new.signing_keys.is_empty() {
        return Ok(vec![super::key::load(None)?.public_key()]);
    }
    new.signing_keys.iter().map(|text| super::key::public(text)).collect()
}

fn server_identity(info: &ServerInfo) -> Result<(ServerKeys, [u8; 16]), Failure> {
    let wrong = || {
        let next = "check that server and tool are of the same generation";
        Failure::new(ExitCode::Internal, "the server's keys or realm are not what they should be", next)
    };
    let mut keys = info.server_public_keys.iter().map(|key| from_hex::<32>(key).map_err(|_| wrong()));
    let current = keys.next().ok_or_else(wrong)??;
    let next = keys.next().transpose()?;
    Ok((ServerKeys { current, next }, from_hex(&info.realm_id).map_err(|_| wrong())?))
}

fn port_of(endpoint: &str) -> Result<u16, Failure> {
    endpoint.rsplit(':').next().and_then(|port| port.parse().ok()).ok_or_else(|| {
        let what = format!("the server's device address `{endpoint}` names no port");
        Failure::new(ExitCode::Internal, what, "give it with --device-port")
    })
}

fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        let what = format!("the operating system gives no random numbers: {error}");
        Failure::new(ExitCode::Machine, what, "try again on a machine that does")
    })?;
    Ok(bytes)
}

fn failed(error: Error) -> Failure {
    let (code, next) = match &error {
        Error::Exists(_) => (ExitCode::File, "choose another name or --memory, or overwrite it with --force"),
        Error::NotNonVolatile { .. } => (ExitCode::File, "give a file that `bulkhead device new` wrote"),
        Error::InUse(_) => (ExitCode::File, "stop the other device, or run another one"),
        Error::NoQemu => (ExitCode::Machine, "install qemu-system-arm; `bulkhead doctor` checks it"),
        Error::NoImage(_) | Error::NotAnImage { .. } => {
            (ExitCode::File, "build it, or name one with --image or BULKHEAD_IMAGE")
        }
        Error::Identity(_) => (ExitCode::File, "check --device-host, --device-port and --signing-key"),
        Error::Ended { .. } => (ExitCode::Machine, "see what QEMU said; `bulkhead doctor` checks the rest"),
        Error::Io { .. } => (ExitCode::File, "check the path and its permissions"),
        // The rest is about consoles and boards that this command does not use.
        _ => (ExitCode::Internal, "report this as a bug"),
    };
    Failure::new(code, error.to_string(), next)
}
