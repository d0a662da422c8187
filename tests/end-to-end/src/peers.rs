//! Peers on this machine's loopback that an application's sockets reach as 10.0.2.2.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::child::Running;
use crate::folder::Folder;
use crate::waiting::{Seen, until};

/// This machine as a virtual device sees it.
pub const HOST: &str = "10.0.2.2";

/// Sends back what it gets, over TCP and UDP.
#[derive(Debug)]
pub struct Echo {
    /// Port of the TCP echo.
    pub tcp: u16,
    /// Port of the UDP echo.
    pub udp: u16,
    /// Connections that were accepted and have not ended.
    pub open: Arc<AtomicUsize>,
    /// How ended connections ended: in peace, or with an error.
    pub ends: Arc<Mutex<Vec<Option<ErrorKind>>>>,
}

impl Echo {
    /// Listens on ports that the system gives.
    ///
    /// # Errors
    /// No port is free.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("failed to listen")?;
        let socket = UdpSocket::bind("127.0.0.1:0").context("failed to bind")?;
        let (tcp, udp) = (listener.local_addr()?.port(), socket.local_addr()?.port());
        let (open, ends) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (counted, noted) = (Arc::clone(&open), Arc::clone(&ends));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (counted, noted) = (Arc::clone(&counted), Arc::clone(&noted));
                counted.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || {
                    let end = echo(stream).err().map(|error| error.kind());
                    noted.lock().unwrap_or_else(PoisonError::into_inner).push(end);
                    counted.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        thread::spawn(move || {
            let mut datagram = [0; 2048];
            while let Ok((len, from)) = socket.recv_from(&mut datagram) {
                // A datagram may be lost.
                let _ = socket.send_to(datagram.get(..len).unwrap_or_default(), from);
            }
        });
        Ok(Self { tcp, udp, open, ends })
    }
}

fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    let mut piece = [0; 4096];
    loop {
        let len = stream.read(&mut piece)?;
        if len == 0 {
            return Ok(());
        }
        stream.write_all(piece.get(..len).unwrap_or_default())?;
    }
}

/// A port on which nobody listens.
///
/// # Errors
/// No port is free.
pub fn closed_port() -> Result<u16> {
    // Free a moment ago: nobody else asks for ports here.
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Mosquitto, as Debian ships it.
#[derive(Debug)]
pub struct Broker {
    /// Its port.
    pub port: u16,
    _broker: Running,
    _folder: Folder,
}

impl Broker {
    /// Starts it without a password for whoever is on this machine.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub fn start() -> Result<Self> {
        let folder = Folder::make()?;
        let port = closed_port()?;
        let file = folder.path().join("mosquitto.conf");
        let text = format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n");
        std::fs::write(&file, text).context("failed to write the broker's settings")?;
        let installed = Path::new("/usr/sbin/mosquitto");
        let program = if installed.is_file() { installed } else { Path::new("mosquitto") };
        let broker = Running::start("mosquitto", Command::new(program).arg("-v").arg("-c").arg(&file))
            .context("install it with `cargo xtask setup`")?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        until("the broker to listen", Duration::from_secs(20), || {
            Ok(match TcpStream::connect(address) {
                Ok(_) => Seen::Answer(()),
                Err(error) => Seen::NotYet(error.to_string()),
            })
        })?;
        Ok(Self { port, _broker: broker, _folder: folder })
    }

    /// Listens to a topic with the broker's own client; lines are `TOPIC TEXT`.
    ///
    /// # Errors
    /// The client does not start.
    pub fn listen(&self, topic: &str) -> Result<Running> {
        let port = self.port.to_string();
        let mut command = Command::new("mosquitto_sub");
        command.args(["-h", "127.0.0.1", "-p", &port, "-t", topic, "-q", "1", "-v"]);
        Running::start("mosquitto_sub", &mut command).context("install it with `cargo xtask setup`")
    }

    /// Publishes a text with the broker's own client.
    ///
    /// # Errors
    /// The client failed.
    pub fn publish(&self, topic: &str, text: &str) -> Result<()> {
        let port = self.port.to_string();
        let mut command = Command::new("mosquitto_pub");
        command.args(["-h", "127.0.0.1", "-p", &port, "-t", topic, "-q", "1", "-m", text]);
        let status = command.status().context("install mosquitto_pub with `cargo xtask setup`")?;
        anyhow::ensure!(status.success(), "mosquitto_pub ended with {status}");
        Ok(())
    }
}
