//! The factory and the power switch of virtual devices.

use std::fs;
use std::path::{Path, PathBuf};

use bulkhead_cloud_api::{ClaimDevice, RegisterDevice, ServerInfo, from_hex, to_hex};
use bulkhead_cloud_client::Client;
use bulkhead_device_identity::{Identity, ServerKeys, device_id, public_key};
use bulkhead_virtual_device::{
    Error, Gdb, HOST_AS_SEEN_BY_GUEST, Overwrite, Provisioning, Qemu, Serial, find_image, provision,
};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::Session;
use crate::arguments::{NewDevice, RunDevice};
use crate::config::{home, make_private_folder};
use crate::failure::{ExitCode, Failure};

/// Ending of files with non-volatile memory.
const MEMORY_EXTENSION: &str = "nvm";

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
    provision(&memory, &Provisioning { identity, overwrite }).map_err(failed)?;
    // A device that the server does not know is of no use: its file goes with the failure.
    register(&client, &new, &identity).inspect_err(|_| {
        let _ = fs::remove_file(&memory);
    })?;
    let id = device_id(&public_key(&identity.device_private_key)).to_string();
    let token = to_hex(&identity.claim_token);
    let document = json!({
        "id": id, "name": new.name, "memory": memory, "claimed": new.claim,
        "claim_token": if new.claim { None } else { Some(&token) },
    });
    session.output.data(&document, || {
        let mut lines = vec![format!("device  {id}"), format!("memory  {}", memory.display())];
        if !new.claim {
            lines.push(format!("claim   bulkhead device claim {} {token}", new.name));
        }
        lines.push(format!("run     bulkhead device run {}", shown(&new, &memory)));
        lines
    });
    Ok(())
}

fn register(client: &Client, new: &NewDevice, identity: &Identity<'_>) -> Result<(), Failure> {
    let hash: [u8; 32] = Sha256::digest(identity.claim_token).into();
    client.register_device(&RegisterDevice {
        public_key: to_hex(&public_key(&identity.device_private_key)),
        claim_token_sha256: Some(to_hex(&hash)),
        name: Some(new.name.clone()),
    })?;
    if new.claim {
        let id = device_id(&public_key(&identity.device_private_key)).to_string();
        let claim = ClaimDevice { claim_token: to_hex(&identity.claim_token), name: None };
        client.claim_device(&id, &claim)?;
    }
    Ok(())
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
    let mut running = qemu.start().map_err(failed)?;
    session.output.note(&format!("runs as process {}; Ctrl-C cuts its power", running.id()));
    running.wait().map_err(failed)
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
        Error::NoImage(_) => (ExitCode::File, "build it, or name one with --image or BULKHEAD_IMAGE"),
        Error::Identity(_) => (ExitCode::File, "check --device-host, --device-port and --signing-key"),
        Error::Ended { .. } => (ExitCode::Machine, "see what QEMU said; `bulkhead doctor` checks the rest"),
        Error::Io { .. } => (ExitCode::File, "check the path and its permissions"),
        // The rest is about consoles and boards that this command does not use.
        _ => (ExitCode::Internal, "report this as a bug"),
    };
    Failure::new(code, error.to_string(), next)
}
