//! A GDB server on this machine for a device anywhere.

mod interrupt;
mod load;
mod vscode;
mod way;

use std::fs::{File, OpenOptions};
use std::io::{Seek as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use bulkhead_gdb_server::{Arrived, Device, DeviceError, Elf, Loader, Serving, serve};
use serde_json::json;

use self::interrupt::{Company, heed};
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
    let company = if gdb.is_some() { Company::WithGdb } else { Company::Alone };
    let interrupted = heed(company, sender.clone())?;
    let gdb = gdb.map(|command| start_gdb(command, sender.clone())).transpose()?;
    let device = Device::new(Box::new(sealed));
    let serving = Serving { device, channel: (sender, arrived), elf: elf.as_ref(), loader };
    let ended = serve(listener, serving, &mut |text| session.output.note(text));
    let interrupted = interrupted.load(Ordering::Relaxed);
    match (ended, gdb) {
        (Ok(_), _) if interrupted => Ok(()),
        (Ok(_), Some(gdb))
            if !debug.log.is_empty() && gdb.try_recv().is_ok_and(|ended| ended.code() == Some(1)) =>
        {
            let what = "GDB did not take what is to be printed; it said why";
            let next =
                "name a place, a format and values as `dprintf` takes them: --log 'main.c:42,\"n=%d\\n\",n'";
            Err(Failure::new(ExitCode::File, what, next))
        }
        (Ok(_), Some(_)) => Ok(()),
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
    command.args(["-nx", "-q", "-batch"]).args(&debug.elf).args(["-x", "/dev/stdin"]);
    // A script, for it ends at the first thing that GDB does not take: the application is not to run on with nothing to print.
    let mut script = format!(
        "set pagination off\n{PATIENCE}\nset breakpoint pending off\ntarget remote :{port}\nset dprintf-style agent\n"
    );
    for log in &debug.log {
        script.push_str(&format!("dprintf {log}\n"));
        if let Some(condition) = &debug.log_if {
            script.push_str(&format!("condition $bpnum {condition}\n"));
        }
    }
    script.push_str("continue\n");
    let script = nameless(&script).map_err(|error| Failure::file("write", &std::env::temp_dir(), &error))?;
    command.stdin(Stdio::from(script)).stdout(Stdio::null()).stderr(Stdio::from(output));
    Ok(command)
}

/// A file that holds `text` and is gone with who has it open: GDB does not take a script from a pipe.
fn nameless(text: &str) -> std::io::Result<File> {
    let path = std::env::temp_dir().join(format!("bulkhead-debug-{}", std::process::id()));
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file)
}

/// Starts GDB; when it ends, so does the session. What comes back says how it ended.
fn start_gdb(mut command: Command, to_loop: Sender<Arrived>) -> Result<Receiver<ExitStatus>, Failure> {
    let mut child = command.spawn().map_err(|error| {
        let what = format!("cannot start {GDB}: {error}");
        Failure::new(ExitCode::Machine, what, "install it, or attach your own GDB without --gdb")
    })?;
    let (sender, ended) = mpsc::channel();
    thread::spawn(move || {
        if let Ok(status) = child.wait() {
            let _ = sender.send(status);
        }
        let _ = to_loop.send(Arrived::Enough);
    });
    Ok(ended)
}
