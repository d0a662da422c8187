//! A device without hardware: the true device end of the link over a blocking socket.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bulkhead_cloud_api::to_hex;
use bulkhead_device_identity::{device_id, public_key};
use bulkhead_link_protocol::*;
use bulkhead_link_session::{Closed, DeviceSession, Event, Keepalive, LinkKeys};
use serde_json::{Value, json};

use super::{CLASS, PATIENCE};

/// More than both ends of a local connection keep of what is not read.
pub(super) const CLOGGING_BYTES: u32 = 7_000_000;

/// What a factory writes into a device.
#[derive(Clone, Copy)]
pub(crate) struct Keys {
    pub(crate) private: [u8; 32],
    pub(crate) server: [u8; 32],
    pub(crate) next_server: [u8; 32],
    pub(crate) realm: [u8; 16],
}

impl Keys {
    pub(crate) const CLAIM_TOKEN: [u8; 16] = [0x77; 16];

    pub(crate) fn id(&self) -> String {
        device_id(&public_key(&self.private)).to_string()
    }

    /// Body that registers the device.
    pub(crate) fn registration(&self) -> Value {
        use sha2::Digest as _;
        let hash = sha2::Sha256::digest(Self::CLAIM_TOKEN);
        json!({ "public_key": to_hex(&public_key(&self.private)), "claim_token_sha256": to_hex(&hash) })
    }

    fn link(&self) -> LinkKeys {
        LinkKeys { device_private_key: self.private, server_public_key: self.server, realm_id: self.realm }
    }
}

/// What a server said, owned.
#[derive(Debug)]
pub(crate) enum Said {
    Established,
    Welcome(Welcome),
    Offer(Offer),
    KeySet(KeySetOffer),
    Chunk {
        from: FetchFrom,
        area: u32,
        offset: u32,
        bytes: Vec<u8>,
    },
    Plan(Plan),
    Message {
        number: u32,
        topic: u32,
        bytes: Vec<u8>,
    },
    Stored(MessageStored),
    ConfigOffer(ConfigOffer),
    ConfigEntry {
        index: u32,
        key: String,
        version: u32,
        secret: bool,
        value: Option<Vec<u8>>,
    },
    Unavailable,
    Acknowledge,
    Command(Command),
    DebugOpen(u32, Vec<u8>),
    DebugFrame(u32, Vec<u8>),
    DebugClose(u32),
    CrashWanted(CrashWanted),
    CrashDone(CrashDone),
    Closed(Closed),
    Other,
    /// The connection ended without a word.
    Gone,
}

pub(crate) struct FakeDevice {
    pub(crate) running: Option<Digest>,
    pub(crate) board_revision: u32,
    pub(crate) connect_count: u32,
    pub(crate) floors: Option<Floors>,
    pub(crate) on_trial: Option<bool>,
    stream: TcpStream,
    session: DeviceSession,
    started: Instant,
    unread: Vec<u8>,
}

impl FakeDevice {
    pub(crate) fn connect(address: SocketAddr, keys: &Keys) -> Self {
        let mut ephemeral = [0; 32];
        getrandom::fill(&mut ephemeral).expect("randomness");
        let stream = TcpStream::connect(address).expect("connects");
        stream.set_read_timeout(Some(Duration::from_millis(20))).expect("sets");
        let session = DeviceSession::new(keys.link(), ephemeral, Keepalive::default(), 0);
        let started = Instant::now();
        Self {
            running: None,
            board_revision: 1,
            connect_count: 1,
            floors: None,
            on_trial: None,
            stream,
            session,
            started,
            unread: Vec::new(),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).expect("short")
    }

    fn flush(&mut self) {
        let mut out = [0; 2048];
        loop {
            let len = self.session.poll_transmit(&mut out);
            if len == 0 {
                return;
            }
            // A server that closed meanwhile is noticed when reading.
            let _ = self.stream.write_all(&out[..len]);
        }
    }

    pub(crate) fn send(&mut self, message: &DeviceMessage<'_>) {
        self.session.send(message).expect("queued");
        self.flush();
    }

    /// Sends bytes that are no frame.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub(crate) fn hello(&mut self, claim_token: Option<[u8; 16]>) {
        let message = DeviceMessage::Hello(Hello {
            hypervisor: "0.1.0",
            device_class: CLASS,
            board_revision: self.board_revision,
            abi: 1,
            running: self.running,
            boot_reason: BootReason::PowerOn,
            application: ApplicationState::Running,
            connect_count: self.connect_count,
            fault: None,
            epitaph: None,
            claim_token,
            on_trial: self.on_trial,
            key_set_version: None,
            floors: self.floors,
        });
        self.send(&message);
    }

    /// Tells what its application does.
    pub(crate) fn state(&mut self, application: ApplicationState, reason: &str) {
        self.send(&DeviceMessage::State(State {
            application,
            running: None,
            fault: None,
            reason: Some(reason),
            on_trial: None,
            key_set_version: None,
            key_set_refusal: None,
            floors: None,
        }));
    }

    pub(crate) fn progress(
        &mut self,
        manifest: Digest,
        stage: UpdateStage,
        pages_done: u32,
        reason: Option<&str>,
    ) {
        self.tell_progress(manifest, stage, pages_done, reason, None);
    }

    /// Tells that `manifest` failed its trial and that the old version has to be fetched.
    pub(crate) fn wants_back(&mut self, manifest: Digest, old: Digest) {
        self.tell_progress(manifest, UpdateStage::Failed, 0, Some("it crashes"), Some(old));
    }

    fn tell_progress(
        &mut self,
        manifest: Digest,
        stage: UpdateStage,
        pages_done: u32,
        reason: Option<&str>,
        wanted_back: Option<Digest>,
    ) {
        self.send(&DeviceMessage::Progress(Progress {
            manifest,
            stage,
            pages_done,
            pages_total: 6,
            reason,
            code: None,
            mode: None,
            bytes_received: None,
            downtime_ms: None,
            page_erases: None,
            wanted_back,
            apply_in_s: None,
            trial: None,
        }));
    }

    /// Asks for the start of `area` again and again, and reads no answer.
    pub(crate) fn ask_without_reading(&mut self, manifest: Digest, area: u32) {
        let fetch = Fetch { manifest, from: FetchFrom::Area, area, offset: 0, len: FETCH_LEN_MAX };
        for _ in 0..CLOGGING_BYTES / FETCH_LEN_MAX {
            self.send(&DeviceMessage::Fetch(fetch));
        }
    }

    pub(crate) fn plan_request(&mut self, request: PlanRequest) {
        self.send(&DeviceMessage::PlanRequest(request));
    }

    pub(crate) fn log(&mut self, sequence: u32, text: &str) {
        let (source, level) = (LogSource::Application, 2);
        self.send(&DeviceMessage::Log(Log { source, level, uptime_us: 5, sequence, lost: 0, text }));
    }

    /// The next thing that the server says within `patience`.
    pub(crate) fn next_within(&mut self, patience: Duration) -> Option<Said> {
        let deadline = Instant::now() + patience;
        loop {
            let now_ms = self.now_ms();
            while self.session.run_handshake_step(now_ms) {}
            self.flush();
            if let Some(event) = self.session.poll_event(now_ms) {
                return Some(owned(event));
            }
            if !self.unread.is_empty() {
                let taken = self.session.receive(&self.unread, now_ms);
                self.unread.drain(..taken);
                if taken > 0 {
                    continue;
                }
            }
            if Instant::now() >= deadline {
                return None;
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes) {
                Ok(0) => return Some(Said::Gone),
                Ok(len) => self.unread.extend_from_slice(&bytes[..len]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return Some(Said::Gone),
            }
        }
    }

    /// The next thing that is `wanted`; anything else meanwhile is passed over.
    pub(crate) fn expect(&mut self, what: &str, wanted: impl Fn(&Said) -> bool) -> Said {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = self.next_within(deadline.saturating_duration_since(Instant::now()));
            match said {
                Some(said) if wanted(&said) => return said,
                Some(Said::Gone) | None => panic!("{what} did not come; last: {said:?}"),
                Some(_) => {}
            }
        }
    }

    /// Waits for an offer.
    /// Whether none of that kind comes for a while.
    pub(crate) fn hears_nothing_of(&mut self, unwanted: impl Fn(&Said) -> bool) -> bool {
        while let Some(said) = self.next_within(Duration::from_millis(300)) {
            if unwanted(&said) {
                return false;
            }
            if matches!(said, Said::Gone) {
                break;
            }
        }
        true
    }

    pub(crate) fn offer(&mut self) -> Offer {
        match self.expect("offer", |said| matches!(said, Said::Offer(_))) {
            Said::Offer(offer) => offer,
            other => unreachable!("{other:?}"),
        }
    }

    /// Waits for a key set, and fetches it.
    pub(crate) fn key_set(&mut self) -> (u32, Vec<u8>) {
        let said = self.expect("key set", |said| matches!(said, Said::KeySet(_)));
        let Said::KeySet(offer) = said else { unreachable!("{said:?}") };
        (offer.version, self.fetch([0; 32], FetchFrom::KeySet, 0, offer.len).expect("there"))
    }

    /// Tells that the device obeys key set `version`, or why not.
    pub(crate) fn tell_key_set(&mut self, version: Option<u32>, refusal: Option<&str>) {
        self.send(&DeviceMessage::State(State {
            application: ApplicationState::Running,
            running: self.running,
            fault: None,
            reason: None,
            on_trial: None,
            key_set_version: version,
            key_set_refusal: refusal,
            floors: self.floors,
        }));
    }

    /// Waits until the server ends the connection.
    pub(crate) fn wait_for_end(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(Said::Gone | Said::Closed(_)) = self.next_within(Duration::from_millis(100)) {
                return;
            }
        }
        panic!("the server did not end the connection");
    }

    /// Fetches one whole object in spans; `None` if the server says that there is none.
    pub(crate) fn fetch(
        &mut self,
        manifest: Digest,
        from: FetchFrom,
        area: u32,
        len: u32,
    ) -> Option<Vec<u8>> {
        let mut bytes: Vec<u8> = Vec::new();
        while bytes.len() < usize::try_from(len).expect("small") {
            let offset = u32::try_from(bytes.len()).expect("small");
            let span = (len - offset).min(FETCH_LEN_MAX);
            self.send(&DeviceMessage::Fetch(Fetch { manifest, from, area, offset, len: span }));
            let end = offset + span;
            while u32::try_from(bytes.len()).expect("small") < end {
                let wanted = |said: &Said| matches!(said, Said::Chunk { .. } | Said::Unavailable);
                match self.expect("chunk", wanted) {
                    Said::Chunk { from: f, area: a, offset: at, bytes: piece } => {
                        assert_eq!((f, a, at), (from, area, u32::try_from(bytes.len()).expect("small")));
                        bytes.extend(piece);
                    }
                    _ => return None,
                }
            }
        }
        Some(bytes)
    }
}

fn owned(event: Event<'_>) -> Said {
    match event {
        Event::Established => Said::Established,
        Event::Closed(closed) => Said::Closed(closed),
        Event::Message(ServerMessage::Welcome(welcome)) => Said::Welcome(welcome),
        Event::Message(ServerMessage::Offer(offer)) => Said::Offer(offer),
        Event::Message(ServerMessage::KeySetOffer(offer)) => Said::KeySet(offer),
        Event::Message(ServerMessage::Command(command)) => Said::Command(command),
        Event::Message(ServerMessage::CrashWanted(wanted)) => Said::CrashWanted(wanted),
        Event::Message(ServerMessage::CrashDone(done)) => Said::CrashDone(done),
        Event::Message(ServerMessage::Unavailable(_)) => Said::Unavailable,
        Event::Message(ServerMessage::Plan(plan)) => Said::Plan(plan),
        Event::Message(ServerMessage::Message(message)) => {
            Said::Message { number: message.number, topic: message.topic, bytes: message.bytes.to_vec() }
        }
        Event::Message(ServerMessage::MessageStored(stored)) => Said::Stored(stored),
        Event::Message(ServerMessage::ConfigOffer(offer)) => Said::ConfigOffer(offer),
        Event::Message(ServerMessage::ConfigEntry(entry)) => Said::ConfigEntry {
            index: entry.index,
            key: entry.key.to_owned(),
            version: entry.version,
            secret: entry.secret,
            value: entry.value.map(|value| value.to_vec()),
        },
        Event::Message(ServerMessage::DebugOpen(frame)) => {
            Said::DebugOpen(frame.session, frame.bytes.to_vec())
        }
        Event::Message(ServerMessage::DebugFrame(frame)) => {
            Said::DebugFrame(frame.session, frame.bytes.to_vec())
        }
        Event::Message(ServerMessage::DebugClose(close)) => Said::DebugClose(close.session),
        Event::Message(ServerMessage::Chunk(chunk)) => Said::Chunk {
            from: chunk.from,
            area: chunk.area,
            offset: chunk.offset,
            bytes: chunk.bytes.to_vec(),
        },
        Event::Message(ServerMessage::Acknowledge(_)) => Said::Acknowledge,
        Event::Message(_) => Said::Other,
    }
}
