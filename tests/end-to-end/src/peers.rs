//! Peers on this machine's loopback that an application's sockets reach as 10.0.2.2.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::child::Running;
use crate::folder::Folder;
use crate::waiting::{Seen, until};

/// Longest time until a program listens.
const LISTENS_WITHIN: Duration = Duration::from_secs(20);

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
    /// Bytes that came over TCP so far.
    pub heard: Arc<AtomicUsize>,
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
        let heard = Arc::new(AtomicUsize::new(0));
        let (counted, noted, bytes) = (Arc::clone(&open), Arc::clone(&ends), Arc::clone(&heard));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (counted, noted, bytes) = (Arc::clone(&counted), Arc::clone(&noted), Arc::clone(&bytes));
                counted.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || {
                    let end = echo(stream, &bytes).err().map(|error| error.kind());
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
        Ok(Self { tcp, udp, open, heard, ends })
    }
}

fn echo(mut stream: TcpStream, heard: &AtomicUsize) -> std::io::Result<()> {
    let mut piece = [0; 4096];
    loop {
        let len = stream.read(&mut piece)?;
        if len == 0 {
            return Ok(());
        }
        heard.fetch_add(len, Ordering::SeqCst);
        stream.write_all(piece.get(..len).unwrap_or_default())?;
    }
}

/// A port on which nobody listens: that of a service that is long forgotten.
pub const CLOSED_PORT: u16 = 1;

/// First of the ports for programs that have to be told one. It and those behind it lie below all that a system gives to
/// whoever asks for any, or connects: such a port could be gone by the time that the program listens.
const PORTS_FROM: u16 = 20_000;
/// How many there are for one process, and for how many processes.
const PORTS: (u16, u16) = (20, 500);

/// A port for a program that has to be told one.
///
/// # Errors
/// None is free.
pub fn port_for_a_program() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let (each, processes) = PORTS;
    let process = u16::try_from(std::process::id() % u32::from(processes))?;
    for _ in 0..each * processes {
        // Those of the next process if all of ours are in use.
        let at =
            (process * each + NEXT.fetch_add(1, Ordering::Relaxed) % (each * processes)) % (each * processes);
        let port = PORTS_FROM + at;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port is free")
}

/// The web server that comes with Python.
#[derive(Debug)]
pub struct WebServer {
    /// Its port.
    pub port: u16,
    server: Running,
    folder: Folder,
}

impl WebServer {
    /// Starts it on a folder of its own, which is empty.
    ///
    /// # Errors
    /// There is no Python, or it does not start.
    pub fn start() -> Result<Self> {
        let folder = Folder::make()?;
        let port = port_for_a_program()?;
        let mut command = Command::new("python3");
        command.args(["-u", "-m", "http.server", &port.to_string(), "--bind", "127.0.0.1"]);
        command.arg("--directory").arg(folder.path());
        let server = Running::start("http.server", &mut command).context("install Python 3")?;
        listens("the web server to listen", port)?;
        Ok(Self { port, server, folder })
    }

    /// Puts a page there.
    ///
    /// # Errors
    /// The disk is full.
    pub fn put(&self, name: &str, content: &[u8]) -> Result<()> {
        std::fs::write(self.folder.path().join(name), content).context("failed to write the page")
    }

    /// Waits for a request that it logged with these words, such as `"GET /page HTTP/1.0" 200`.
    ///
    /// # Errors
    /// There was none.
    pub fn asked(&mut self, words: &str) -> Result<()> {
        let at_most = Duration::from_secs(10);
        self.server.wait_for("the request", at_most, |line| line.contains(words).then_some(()))
    }
}

fn listens(what: &str, port: u16) -> Result<()> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    until(what, LISTENS_WITHIN, || {
        Ok(match TcpStream::connect(address) {
            Ok(_) => Seen::Answer(()),
            Err(error) => Seen::NotYet(error.to_string()),
        })
    })
}

/// Mosquitto, as Debian ships it.
#[derive(Debug)]
pub struct Broker {
    /// Its port.
    pub port: u16,
    broker: Running,
    _folder: Folder,
}

impl Broker {
    /// Starts it without a password for whoever is on this machine.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub fn start() -> Result<Self> {
        let folder = Folder::make()?;
        let port = port_for_a_program()?;
        let file = folder.path().join("mosquitto.conf");
        let text = format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n");
        std::fs::write(&file, text).context("failed to write the broker's settings")?;
        let installed = Path::new("/usr/sbin/mosquitto");
        let program = if installed.is_file() { installed } else { Path::new("mosquitto") };
        let broker = Running::start("mosquitto", Command::new(program).arg("-v").arg("-c").arg(&file))
            .context("install it with `cargo xtask setup`")?;
        listens("the broker to listen", port)?;
        Ok(Self { port, broker, _folder: folder })
    }

    /// Listens to a topic with the broker's own client; lines are `TOPIC TEXT`. Returns once the broker knows of it: what
    /// is published before is kept for nobody.
    ///
    /// # Errors
    /// The client does not start, or the broker does not hear of it.
    pub fn listen(&mut self, topic: &str) -> Result<Running> {
        let (port, name) = (self.port.to_string(), format!("ears-{}", topic.replace('/', "-")));
        let mut command = Command::new("mosquitto_sub");
        command.args(["-h", "127.0.0.1", "-p", &port, "-i", &name, "-t", topic, "-q", "1", "-v"]);
        let ears =
            Running::start("mosquitto_sub", &mut command).context("install it with `cargo xtask setup`")?;
        let known = format!("Sending SUBACK to {name}");
        self.broker
            .wait_for("the subscription", LISTENS_WITHIN, |line| line.contains(&known).then_some(()))?;
        Ok(ears)
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
