//! A GDB server on this machine for a device anywhere.

mod load;
mod vscode;
mod way;

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;

use bulkhead_gdb_server::{Arrived, Device, DeviceError, Elf, Loader, Serving, serve};
use serde_json::json;

use self::load::ByUpdate;
use self::way::{AGAIN, Connected, connect};
use super::Session;
use crate::arguments::Debug;
use crate::failure::{ExitCode, Failure};

/// The GDB that knows Arm, on most distributions.
const GDB: &str = "gdb-multiarch";

pub(crate) fn run(session: &Session<'_>, debug: Debug) -> Result<(), Failure> {
    let elf = debug.elf.as_deref().map(read_elf).transpose()?;
    if debug.vscode {
        return vscode::write(session, &debug);
    }
    let key = super::key::load_debug(debug.key.as_deref())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, debug.port)).map_err(|error| {
        let what = format!("cannot listen on port {} of this machine: {error}", debug.port);
        Failure::new(ExitCode::Machine, what, "choose another with --port; 0 takes a free one")
    })?;
    let port = listener.local_addr().map_or(debug.port, |address| address.port());
    let client = session.client()?;
    let (sender, arrived) = mpsc::channel();
    let connected = connect(&client, &debug.device, key, debug.takeover, sender.clone())?;
    let Connected { sealed, way, granted } = connected;
    let loader = match &debug.signing_key {
        Some(path) => {
            let signer = super::key::load(Some(path))?;
            let device = granted.device_id.to_string();
            Some(Box::new(ByUpdate::new(client, device, signer, key, Arc::clone(&way))) as Box<dyn Loader>)
        }
        None => None,
    };
    let document = json!({ "port": port, "device_id": granted.device_id, "manifest": granted.manifest });
    session.output.item(&document, || {
        format!(
            "GDB server for {} on 127.0.0.1:{port}; attach with `target remote :{port}`",
            granted.device_id
        )
    });
    let gdb = if debug.gdb {
        let mut command = Command::new(GDB);
        command.args(&debug.elf).args(["-ex", PATIENCE, "-ex", &format!("target remote :{port}")]);
        Some(command)
    } else if debug.log.is_empty() {
        None
    } else {
        Some(logging(port, &debug)?)
    };
    let gdb = gdb.map(|command| start_gdb(command, sender.clone())).transpose()?;
    let device = Device::new(Box::new(sealed));
    let serving = Serving { device, channel: (sender, arrived), elf: elf.as_ref(), loader };
    let ended = serve(listener, serving, &mut |text| session.output.note(text));
    match (ended, gdb) {
        (Ok(_), Some(())) => Ok(()),
        (Ok(why), None) => Err(Failure::new(ExitCode::Device, why, AGAIN)),
        (Err(error), _) => {
            let next = match &error {
                DeviceError::Silent => "check with `bulkhead device show` that the device is online",
                DeviceError::Unreadable => "use a `bulkhead` of the device's generation",
                DeviceError::Gone(_) | DeviceError::Refused(_) | DeviceError::Away => AGAIN,
            };
            Err(Failure::new(ExitCode::Device, error.to_string(), next))
        }
    }
}

/// GDB's own two seconds are made for a cable: a device in the field may be further away.
const PATIENCE: &str = "set remotetimeout 30";

fn read_elf(path: &Path) -> Result<Elf, Failure> {
    let bytes = std::fs::read(path).map_err(|error| Failure::file("read", path, &error))?;
    Elf::parse(&bytes).map_err(|error| {
        let what = format!("{}: {error}", path.display());
        Failure::new(ExitCode::File, what, "give the ELF file that the bundle was made from")
    })
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
    order(PATIENCE);
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
        let _ = to_loop.send(Arrived::Enough);
    });
    Ok(())
}
