//! A GDB server on this machine for a device anywhere.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use bulkhead_cloud_api::{DebugSession, DebugStreamEnd, OpenDebug, from_hex};
use bulkhead_cloud_client::{Client, DebugRecord, DebugRecords};
use bulkhead_developer_seal::Binding;
use bulkhead_developer_seal::developer::{Opening, Tunnel, open};
use bulkhead_device_identity::device_id;
use bulkhead_gdb_server::{Arrived, Device, DeviceError, Elf, SendError, ToDevice, serve};
use serde_json::json;

use super::Session;
use crate::arguments::Debug;
use crate::failure::{ExitCode, Failure};

/// How long a device has to answer the handshake. Key agreement takes an emulated processor a moment.
const HANDSHAKE_MAX: Duration = Duration::from_secs(30);
/// The GDB that knows Arm, on most distributions.
const GDB: &str = "gdb-multiarch";

pub(crate) fn run(session: &Session<'_>, debug: Debug) -> Result<(), Failure> {
    let key = super::key::load_debug(debug.key.as_deref())?;
    let elf = debug.elf.as_deref().map(read_elf).transpose()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, debug.port)).map_err(|error| {
        let what = format!("cannot listen on port {} of this machine: {error}", debug.port);
        Failure::new(ExitCode::Machine, what, "choose another with --port; 0 takes a free one")
    })?;
    let port = listener.local_addr().map_or(debug.port, |address| address.port());
    let client = session.client()?;
    let granted = client.open_debug(&debug.device, &OpenDebug { takeover: debug.takeover })?;
    let (to_device, sender, arrived) = connect(&client, &granted, &key)?;
    let document = json!({ "port": port, "device_id": granted.device_id, "manifest": granted.manifest });
    session.output.item(&document, || {
        format!(
            "GDB server for {} on 127.0.0.1:{port}; attach with `target remote :{port}`",
            granted.device_id
        )
    });
    let gdb = if debug.gdb {
        let mut command = Command::new(GDB);
        command.args(&debug.elf).args(["-ex", &format!("target remote :{port}")]);
        Some(command)
    } else if debug.log.is_empty() {
        None
    } else {
        Some(logging(port, &debug)?)
    };
    let gdb = gdb.map(|command| start_gdb(command, sender.clone())).transpose()?;
    let device = Device::new(Box::new(to_device));
    let ended =
        serve(listener, device, (sender, arrived), elf.as_ref(), &mut |text| session.output.note(text));
    match (ended, gdb) {
        (Ok(_), Some(_)) => Ok(()),
        (Ok(why), None) => Err(Failure::new(ExitCode::Device, why, AGAIN)),
        (Err(error), _) => {
            let next = match &error {
                DeviceError::Silent => "check with `bulkhead device show` that the device is online",
                DeviceError::Unreadable => "use a `bulkhead` of the device's generation",
                DeviceError::Gone(_) | DeviceError::Refused(_) => AGAIN,
            };
            Err(Failure::new(ExitCode::Device, error.to_string(), next))
        }
    }
}

const AGAIN: &str = "begin again with `bulkhead debug`; the application runs without breakpoints meanwhile";

fn read_elf(path: &Path) -> Result<Elf, Failure> {
    let bytes = std::fs::read(path).map_err(|error| Failure::file("read", path, &error))?;
    Elf::parse(&bytes).map_err(|error| {
        let what = format!("{}: {error}", path.display());
        Failure::new(ExitCode::File, what, "give the ELF file that the bundle was made from")
    })
}

/// The sealed way to the device.
struct Sealed {
    client: Client,
    session: u32,
    tunnel: Arc<Mutex<Tunnel>>,
}

impl ToDevice for Sealed {
    fn send(&mut self, message: &[u8]) -> Result<(), SendError> {
        let sealed = self.tunnel.lock().unwrap_or_else(PoisonError::into_inner).seal(message);
        let sealed = sealed.map_err(|error| SendError(error.to_string()))?;
        self.client.send_debug(self.session, &sealed).map_err(|error| SendError(error.to_string()))
    }
}

type Connected = (Sealed, Sender<Arrived>, Receiver<Arrived>);

/// Shakes hands with the device itself, and begins to read what it says.
fn connect(client: &Client, granted: &DebugSession, key: &[u8; 32]) -> Result<Connected, Failure> {
    let public: [u8; 32] = from_hex(&granted.public_key).map_err(|_| wrong_device(granted))?;
    let id = device_id(&public);
    // The id is a digest of the key: a server cannot pass another device's key off as this one's.
    if id.to_string() != granted.device_id.to_string() {
        return Err(wrong_device(granted));
    }
    let binding = Binding { device: *id.as_bytes(), manifest: granted.manifest.0, session: granted.session };
    let (first, opening) = open(key, &public, &binding).map_err(|error| {
        Failure::new(ExitCode::File, error.to_string(), "make a new key with `bulkhead key generate --debug`")
    })?;
    let records = client.debug_records(granted.session)?;
    client.send_debug(granted.session, &first)?;
    let (sender, arrived) = mpsc::channel();
    let to_loop = sender.clone();
    let (told, opened) = mpsc::channel();
    thread::spawn(move || read(records, opening, &told, &to_loop));
    let tunnel = match opened.recv_timeout(HANDSHAKE_MAX) {
        Ok(Ok(tunnel)) => tunnel,
        Ok(Err(why)) => return Err(ended(why)),
        Err(_) => {
            let what = format!("device {id} does not answer");
            return Err(Failure::new(
                ExitCode::TimedOut,
                what,
                "check with `bulkhead device show` that it is online",
            ));
        }
    };
    Ok((Sealed { client: client.clone(), session: granted.session, tunnel }, sender, arrived))
}

type Told = Sender<Result<Arc<Mutex<Tunnel>>, DebugStreamEnd>>;

/// Reads the answer of the handshake, then what the device says, until the stream ends.
fn read(mut records: DebugRecords, opening: Opening, told: &Told, to_loop: &Sender<Arrived>) {
    let tunnel = match records.next() {
        Some(DebugRecord::Message(answer)) => {
            let answer = answer.as_slice().try_into().ok();
            answer.and_then(|answer| opening.finish(answer).ok()).ok_or(DebugStreamEnd::Broken)
        }
        Some(DebugRecord::Ended(why)) => Err(why),
        None => Err(DebugStreamEnd::LinkLost),
    };
    let tunnel = match tunnel {
        Ok(tunnel) => Arc::new(Mutex::new(tunnel)),
        Err(why) => {
            let _ = told.send(Err(why));
            return;
        }
    };
    let _ = told.send(Ok(Arc::clone(&tunnel)));
    let why = loop {
        let message = match records.next() {
            Some(DebugRecord::Message(sealed)) => {
                tunnel.lock().unwrap_or_else(PoisonError::into_inner).open(&sealed)
            }
            Some(DebugRecord::Ended(why)) => break words(why).0.to_owned(),
            None => break "the server's connection broke".to_owned(),
        };
        let arrived = match message {
            Ok(message) => Arrived::Device(message),
            Err(error) => break error.to_string(),
        };
        if to_loop.send(arrived).is_err() {
            return;
        }
    };
    let _ = to_loop.send(Arrived::DeviceGone(why));
}

fn wrong_device(granted: &DebugSession) -> Failure {
    let what = format!("the server gave a key that is not that of device {}", granted.device_id);
    Failure::new(ExitCode::Refused, what, "do not trust this server with debugging; tell its administrator")
}

fn ended(why: DebugStreamEnd) -> Failure {
    let (what, next) = words(why);
    Failure::new(ExitCode::Device, what, next)
}

/// What happened, and what to do.
fn words(why: DebugStreamEnd) -> (&'static str, &'static str) {
    match why {
        DebugStreamEnd::NoKey => (
            "the running bundle names no developer who may debug it",
            "deploy a bundle made with `bulkhead app bundle --debug-key KEY`",
        ),
        DebugStreamEnd::OtherKey => (
            "the running bundle names other developers than you",
            "have your key (`bulkhead key show --debug`) named by the next bundle, or use --key",
        ),
        DebugStreamEnd::Handshake => (
            "the device runs another application than the server believes, or is another device",
            "try again in a moment; if it stays so, the server is not to be trusted",
        ),
        DebugStreamEnd::Broken => ("a message between here and the device was changed or lost", AGAIN),
        DebugStreamEnd::OtherManifest => ("the device runs another application now", AGAIN),
        DebugStreamEnd::LinkLost => ("the device is not connected any more", AGAIN),
        DebugStreamEnd::TakenOver => {
            ("another developer took over", "ask who, or take it back with --takeover")
        }
        DebugStreamEnd::TooSlow => ("what the device sent was not read in time", AGAIN),
        DebugStreamEnd::Expired => ("the session was as long as one may be", AGAIN),
        DebugStreamEnd::ServerStops => ("the server stops", AGAIN),
    }
}

/// A GDB that has the device print and says nothing itself: what a target prints, GDB writes to its standard error.
fn logging(port: u16, debug: &Debug) -> Result<Command, Failure> {
    use std::os::fd::AsFd as _;
    let output = std::io::stdout().as_fd().try_clone_to_owned().map_err(|error| {
        Failure::new(ExitCode::Machine, error.to_string(), "give the tool a standard output")
    })?;
    let mut command = Command::new(GDB);
    command.args(["-nx", "-q", "-batch"]).args(&debug.elf);
    let mut order = |text: &str| {
        command.args(["-ex", text]);
    };
    order("set pagination off");
    order(&format!("target remote :{port}"));
    order("set dprintf-style agent");
    for log in &debug.log {
        order(&format!("dprintf {log}"));
        if let Some(condition) = &debug.log_if {
            order(&format!("condition $bpnum {condition}"));
        }
    }
    order("continue");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::from(output));
    Ok(command)
}

/// Starts GDB; when it ends, so does the session.
fn start_gdb(mut command: Command, to_loop: Sender<Arrived>) -> Result<(), Failure> {
    let mut child = command.spawn().map_err(|error| {
        let what = format!("cannot start {GDB}: {error}");
        Failure::new(ExitCode::Machine, what, "install it, or attach your own GDB without --gdb")
    })?;
    thread::spawn(move || {
        let _ = child.wait();
        let _ = to_loop.send(Arrived::DeviceGone("GDB ended".into()));
    });
    Ok(())
}
