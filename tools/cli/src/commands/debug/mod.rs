//! A GDB server on this machine for a device anywhere.

mod load;
mod vscode;
mod way;

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;
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
    let gdb = debug.gdb.then(|| start_gdb(port, debug.elf.as_deref(), sender.clone())).transpose()?;
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

fn read_elf(path: &Path) -> Result<Elf, Failure> {
    let bytes = std::fs::read(path).map_err(|error| Failure::file("read", path, &error))?;
    Elf::parse(&bytes).map_err(|error| {
        let what = format!("{}: {error}", path.display());
        Failure::new(ExitCode::File, what, "give the ELF file that the bundle was made from")
    })
}

/// Starts GDB on this terminal; when it ends, so does the session.
fn start_gdb(port: u16, elf: Option<&Path>, to_loop: Sender<Arrived>) -> Result<(), Failure> {
    let mut command = Command::new(GDB);
    command.args(elf).args(["-ex", &format!("target remote :{port}")]);
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
