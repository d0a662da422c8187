//! A server for one device: lets it in, offers it an application, serves what it asks for, and asks how it is.
//!
//! Built on the server's end of `link-session` alone, so that a failure here is a failure of the device.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use bulkhead_bundle_builder::{
    Format, Medium, Policy, Purpose, Release, Reserved, Revisions, Signer, build, read_image,
};
use bulkhead_bundle_format::read_bundle;
use bulkhead_device_identity::public_key;
use bulkhead_link_protocol::{
    ApplicationState, CHUNK_LEN_MAX, Chunk, Command, CommandKind, DeviceMessage, Digest, Fetch, FetchFrom,
    Frame, LENGTH_PREFIX_LEN, Offer, PLAINTEXT_LEN_MAX, Ping, ServerMessage, Unavailable, Welcome,
};
use bulkhead_link_session::server::{FIRST_LEN, ServerHandshake, ServerKeys, ServerSession};

use crate::peer::Peer;
use crate::transcript::Witness;

/// What every application owns of external flash, as area 3: two sectors, between others that it does not own.
const OWN: Reserved =
    Reserved { purpose: Purpose::Owned, medium: Medium::External, base: 0x8_0000, length: 0x2000 };

/// How often the device is asked for a sign of life.
const PING_EVERY: Duration = Duration::from_millis(250);

/// Longest wait for bytes before something else is looked at.
const READ_WAIT: Duration = Duration::from_millis(10);

/// Longest time for a device's first bytes.
const FIRST_WAIT: Duration = Duration::from_secs(30);

/// A bundle, ready to be offered.
#[derive(Clone, Debug)]
pub struct Application {
    bundle: Vec<u8>,
    manifest: Digest,
    envelope_len: u32,
}

impl Application {
    /// Bundles an ELF file for the virtual board.
    ///
    /// # Errors
    /// The file is no program for it.
    pub fn bundle(elf: &[u8], name: &str, sequence: u64, signer: &Signer) -> Result<Self> {
        let board = bulkhead_board_description::Board::parse(bulkhead_board_description::MPS2_AN505)?;
        let any = Revisions { least: 1, greatest: 1 };
        let abi = Revisions { least: 1, greatest: bulkhead_syscall_abi::ABI_VERSION };
        let release = Release {
            name,
            version: "1",
            sequence,
            security_counter: 0,
            abi,
            board_revisions: any,
            policy: Policy::default(),
            reserved: &[OWN],
        };
        let made = build(&board, &read_image(elf, Format::Elf, 0)?, &release, signer)?;
        let read = read_bundle(&made.file)?;
        let envelope_len = u32::try_from(read.envelope.len()).context("the envelope is too long")?;
        Ok(Self { manifest: made.manifest, envelope_len, bundle: made.file })
    }

    /// The manifest's digest.
    pub fn manifest(&self) -> Digest {
        self.manifest
    }

    /// The bytes that a device asks for; `None` if there are none such.
    fn span(&self, fetch: &Fetch) -> Option<&[u8]> {
        let bundle = read_bundle(&self.bundle).ok()?;
        let all = match fetch.from {
            FetchFrom::Envelope => bundle.envelope,
            FetchFrom::Area => bundle.image(fetch.area)?,
            FetchFrom::Patch | FetchFrom::Permit | FetchFrom::KeySet => return None,
        };
        let from = usize::try_from(fetch.offset).ok()?;
        let len = usize::try_from(fetch.len).ok()?;
        all.get(from..)?.get(..len).filter(|_| fetch.manifest == self.manifest)
    }
}

/// The server. Dropping it closes every link.
#[derive(Debug)]
pub struct Gateway {
    address: SocketAddr,
    public_key: [u8; 32],
    realm_id: [u8; 16],
    target: Arc<Mutex<Application>>,
    seen: Receiver<(Instant, Witness)>,
    stop: Arc<AtomicBool>,
    restarts: Arc<AtomicBool>,
}

impl Gateway {
    /// Listens on the loopback, with `target` as what every device shall run, and `peer` as whom it talks to.
    ///
    /// # Errors
    /// No port is free.
    pub fn open(
        private_key: [u8; 32],
        realm_id: [u8; 16],
        target: Application,
        peer: Option<Peer>,
    ) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to listen")?;
        let address = listener.local_addr().context("failed to listen")?;
        listener.set_nonblocking(true).context("failed to listen")?;
        let keys = ServerKeys { current: private_key, next: None, realm_id };
        let (sender, seen) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let target = Arc::new(Mutex::new(target));
        let restarts = Arc::new(AtomicBool::new(false));
        let host = Host {
            keys,
            target: Arc::clone(&target),
            sender,
            stop: Arc::clone(&stop),
            restarts: Arc::clone(&restarts),
            peer: peer.map(Arc::new),
        };
        thread::spawn(move || host.accept(&listener));
        Ok(Self { address, public_key: public_key(&private_key), realm_id, target, seen, stop, restarts })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The key that devices pin.
    pub fn public_key(&self) -> [u8; 32] {
        self.public_key
    }

    /// The realm.
    pub fn realm_id(&self) -> [u8; 16] {
        self.realm_id
    }

    /// Sets what every device shall run from now on; linked devices are told at once.
    pub fn set_target(&self, target: Application) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }

    /// From now on: whether a stopped application is started again by command, before its back-off is over.
    pub fn restart_at_once(&self, restarts: bool) {
        self.restarts.store(restarts, Ordering::Relaxed);
    }

    /// What was seen since the last call.
    pub fn seen(&self) -> impl Iterator<Item = (Instant, Witness)> {
        self.seen.try_iter()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[derive(Clone)]
struct Host {
    keys: ServerKeys,
    target: Arc<Mutex<Application>>,
    sender: Sender<(Instant, Witness)>,
    stop: Arc<AtomicBool>,
    restarts: Arc<AtomicBool>,
    peer: Option<Arc<Peer>>,
}

impl Host {
    fn accept(&self, listener: &TcpListener) {
        while !self.stopped() {
            match listener.accept() {
                Ok((stream, _)) => {
                    let host = self.clone();
                    thread::spawn(move || host.link(stream));
                }
                Err(_) => thread::sleep(READ_WAIT),
            }
        }
    }

    fn link(&self, stream: TcpStream) {
        if let Err(error) = self.serve(stream)
            && !self.stopped()
        {
            self.tell(Witness::Closed(format!("{error:#}")));
        }
    }

    fn serve(&self, mut stream: TcpStream) -> Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(FIRST_WAIT))?;
        let mut first = [0; FIRST_LEN];
        stream.read_exact(&mut first).context("no first message")?;
        let (answer, session) = ServerHandshake::read(&first, &self.keys)?.accept()?;
        stream.write_all(&answer)?;
        stream.set_read_timeout(Some(READ_WAIT))?;
        self.tell(Witness::Connected);
        let target = self.target();
        let mut link =
            Link { host: self, stream, session, target, out: Vec::new(), welcomed: false, n_commands: 0 };
        link.run()
    }

    fn target(&self) -> Application {
        self.target.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn tell(&self, seen: Witness) {
        // Nobody listens any more when the scene is over.
        let _ = self.sender.send((Instant::now(), seen));
    }
}

struct Link<'h> {
    host: &'h Host,
    stream: TcpStream,
    session: ServerSession,
    target: Application,
    out: Vec<u8>,
    welcomed: bool,
    n_commands: u32,
}

impl Link<'_> {
    fn run(&mut self) -> Result<()> {
        let mut waiting = Vec::new();
        let mut piece = [0; 4096];
        let mut next_ping = Instant::now();
        let mut token = 0;
        while !self.host.stopped() {
            if self.welcomed && Instant::now() >= next_ping {
                next_ping = Instant::now() + PING_EVERY;
                token += 1;
                self.session.seal(&ServerMessage::Ping(Ping { token }), &mut self.out)?;
                self.host.tell(Witness::Ping);
            }
            let target = self.host.target();
            if self.welcomed && target.manifest != self.target.manifest {
                self.target = target;
                self.offer()?;
            }
            self.stream.write_all(&self.out).context("failed to send")?;
            self.out.clear();
            match self.stream.read(&mut piece) {
                Ok(0) => bail!("the device closed the link"),
                Ok(len) => waiting.extend(piece.get(..len).unwrap_or_default()),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(e) => return Err(e).context("failed to receive"),
            }
            while let Some(ciphertext) = frame(&mut waiting)? {
                let mut plaintext = [0; PLAINTEXT_LEN_MAX];
                match self.session.open(&ciphertext, &mut plaintext)? {
                    Frame::Known(message) => self.take(message)?,
                    Frame::Unknown { .. } => {}
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, message: DeviceMessage<'_>) -> Result<()> {
        match message {
            DeviceMessage::Hello(hello) => {
                let (running, application) = (hello.running, hello.application);
                self.host.tell(Witness::Hello { running, application });
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let wall_clock_us = u64::try_from(now.as_micros()).unwrap_or(0);
                let welcome = Welcome { wall_clock_us, keepalive_max_s: 0, log_level: 3 };
                self.session.seal(&ServerMessage::Welcome(welcome), &mut self.out)?;
                self.welcomed = true;
                if let Some(peer) = &self.host.peer {
                    peer.welcome(&mut self.session, &mut self.out)?;
                }
                if running != Some(self.target.manifest) {
                    self.offer()?;
                }
            }
            DeviceMessage::State(state) => {
                self.host.tell(Witness::State { application: state.application, fault: state.fault });
                if state.application == ApplicationState::BackingOff
                    && self.host.restarts.load(Ordering::Relaxed)
                {
                    self.n_commands += 1;
                    let command = Command { id: self.n_commands, kind: CommandKind::RestartApplication };
                    self.session.seal(&ServerMessage::Command(command), &mut self.out)?;
                }
            }
            DeviceMessage::Ping(ping) => self.session.seal(&ServerMessage::Pong(ping), &mut self.out)?,
            DeviceMessage::Pong(_) => self.host.tell(Witness::Pong),
            DeviceMessage::CommandDone(_)
            | DeviceMessage::Wear(_)
            | DeviceMessage::DebugFrame(_)
            | DeviceMessage::DebugClosed(_)
            | DeviceMessage::CrashOffer(_)
            | DeviceMessage::CrashPiece(_) => {}
            DeviceMessage::Message(_)
            | DeviceMessage::MessageWindow(_)
            | DeviceMessage::MessageFinished(_)
            | DeviceMessage::ConfigState(_)
            | DeviceMessage::ConfigFetch(_) => {
                if let Some(peer) = &self.host.peer {
                    peer.answer(&message, &mut self.session, &mut self.out)?;
                }
            }
            DeviceMessage::Fetch(fetch) => self.fetched(&fetch)?,
            DeviceMessage::PlanRequest(request) => {
                // No patches: the device chooses the mode and fetches pages as they are.
                let manifest = request.manifest;
                self.session.seal(&ServerMessage::Unavailable(Unavailable { manifest }), &mut self.out)?;
            }
            DeviceMessage::Progress(progress) => {
                let reason = progress.reason.map(str::to_owned);
                self.host.tell(Witness::Progress(progress.stage, reason));
            }
            DeviceMessage::Log(log) => self.host.tell(Witness::Log(log.text.to_owned())),
        }
        Ok(())
    }

    fn offer(&mut self) -> Result<()> {
        let (manifest, envelope_len) = (self.target.manifest, self.target.envelope_len);
        let offer = Offer { manifest, envelope_len, forced: true, permit_len: None };
        Ok(self.session.seal(&ServerMessage::Offer(offer), &mut self.out)?)
    }

    fn fetched(&mut self, fetch: &Fetch) -> Result<()> {
        let Some(span) = self.target.span(fetch) else {
            let unavailable = Unavailable { manifest: fetch.manifest };
            return Ok(self.session.seal(&ServerMessage::Unavailable(unavailable), &mut self.out)?);
        };
        let mut offset = fetch.offset;
        for bytes in span.chunks(CHUNK_LEN_MAX) {
            let chunk = Chunk { from: fetch.from, area: fetch.area, offset, bytes: bytes.into() };
            self.session.seal(&ServerMessage::Chunk(chunk), &mut self.out)?;
            offset += u32::try_from(bytes.len())?;
        }
        Ok(())
    }
}

/// Takes the first complete frame off `waiting`.
fn frame(waiting: &mut Vec<u8>) -> Result<Option<Vec<u8>>> {
    let Some(prefix) = waiting.first_chunk::<LENGTH_PREFIX_LEN>() else { return Ok(None) };
    let end = LENGTH_PREFIX_LEN + ServerSession::ciphertext_len(*prefix)?;
    if waiting.len() < end {
        return Ok(None);
    }
    let mut frame: Vec<u8> = waiting.drain(..end).collect();
    frame.drain(..LENGTH_PREFIX_LEN);
    Ok(Some(frame))
}
