//! The sealed way to a device, and how it is had back when it is lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bulkhead_cloud_api::{DebugSession, DebugStreamEnd, ManifestDigest, OpenDebug, ProblemCode, from_hex};
use bulkhead_cloud_client::{Client, ClientError, DebugRecord, DebugRecords};
use bulkhead_developer_seal::Binding;
use bulkhead_developer_seal::developer::{Tunnel, open};
use bulkhead_device_identity::device_id;
use bulkhead_gdb_server::{Arrived, SendError, ToDevice};

use crate::failure::{ExitCode, Failure};

/// How long a device has to answer the handshake. Key agreement takes an emulated processor a moment.
const HANDSHAKE_MAX: Duration = Duration::from_secs(30);
/// How long a lost link is tried to be had back: the device keeps the session as long.
const AGAIN_MAX: Duration = Duration::from_secs(60);
/// How often.
const AGAIN_PERIOD: Duration = Duration::from_millis(300);

pub(super) const AGAIN: &str =
    "begin again with `bulkhead debug`; the application runs without breakpoints meanwhile";

/// A session that is open now.
struct Open {
    session: u32,
    tunnel: Tunnel,
}

/// The way to one device, shared by who sends and who reads.
pub(super) struct Way {
    client: Client,
    device: String,
    key: [u8; 32],
    manifest: Mutex<ManifestDigest>,
    open: Mutex<Option<Open>>,
    /// Another application is on its way to the device, and the session goes on with it.
    loading: AtomicBool,
}

/// Who sends.
pub(super) struct Sealed(Arc<Way>);

impl ToDevice for Sealed {
    fn send(&mut self, message: &[u8]) -> Result<(), SendError> {
        let mut open = self.0.open();
        // The reader tells of a lost link; what is sent meanwhile is lost with it.
        let Some(Open { session, tunnel }) = open.as_mut() else { return Ok(()) };
        let sealed = tunnel.seal(message).map_err(|error| SendError(error.to_string()))?;
        let session = *session;
        drop(open);
        match self.0.client.send_debug(session, &sealed) {
            Ok(()) => Ok(()),
            Err(error) if may_pass(&error) => Ok(()),
            Err(error) => Err(SendError(error.to_string())),
        }
    }
}

/// Whether a failure may be over in a moment: no answer, or a session that ended, of which the reader hears why.
fn may_pass(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { .. } => true,
        ClientError::Problem(problem) => {
            matches!(problem.code, ProblemCode::DebugGone | ProblemCode::DeviceOffline)
                || problem.status >= 500
        }
        ClientError::Address { .. } | ClientError::Nameless | ClientError::NotBulkhead { .. } => false,
    }
}

/// Whether somebody holds the device: it may be we, if the answer that said so was lost. What nobody reads the server soon
/// gives up.
fn is_held(error: &ClientError) -> bool {
    matches!(error, ClientError::Problem(problem) if problem.code == ProblemCode::DebugHeld)
}

/// A way that is open, and what has to be known of it.
pub(super) struct Connected {
    pub(super) sealed: Sealed,
    pub(super) way: Arc<Way>,
    pub(super) granted: DebugSession,
}

/// Opens a session, shakes hands with the device itself, and begins to read what it says.
pub(super) fn connect(
    client: &Client,
    device: &str,
    key: [u8; 32],
    takeover: bool,
    to_loop: Sender<Arrived>,
) -> Result<Connected, Failure> {
    let granted = client.open_debug(device, &OpenDebug { takeover, continues: None })?;
    let (tunnel, records) = shake_hands(client, &granted, &key)?;
    let way = Arc::new(Way {
        client: client.clone(),
        device: granted.device_id.to_string(),
        key,
        manifest: Mutex::new(granted.manifest),
        open: Mutex::new(Some(Open { session: granted.session, tunnel })),
        loading: AtomicBool::new(false),
    });
    let reader = Arc::clone(&way);
    thread::spawn(move || reader.read(records, &to_loop));
    Ok(Connected { sealed: Sealed(Arc::clone(&way)), way, granted })
}

/// Shakes hands with the device that a session was granted for.
fn shake_hands(
    client: &Client,
    granted: &DebugSession,
    key: &[u8; 32],
) -> Result<(Tunnel, DebugRecords), Failure> {
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
    let mut records = client.debug_records(granted.session)?;
    client.send_debug(granted.session, &first)?;
    let (told, heard) = mpsc::channel();
    thread::spawn(move || {
        let first = records.next();
        // Who waited may have given up.
        let _ = told.send((first, records));
    });
    let Ok((first, records)) = heard.recv_timeout(HANDSHAKE_MAX) else {
        let what = format!("device {id} does not answer");
        let next = "check with `bulkhead device show` that it is online";
        return Err(Failure::new(ExitCode::TimedOut, what, next));
    };
    let answer = match first {
        Some(DebugRecord::Message(answer)) => answer,
        Some(DebugRecord::Ended(why)) => return Err(ended(why)),
        None => return Err(ended(DebugStreamEnd::LinkLost)),
    };
    let answer = answer.as_slice().try_into().ok();
    let tunnel = answer.and_then(|answer| opening.finish(answer).ok());
    let tunnel = tunnel.ok_or_else(|| ended(DebugStreamEnd::Broken))?;
    Ok((tunnel, records))
}

/// How a stream came to its end.
enum Lost {
    /// It may be had back.
    ForNow(String),
    /// It may not.
    ForGood(String),
}

impl Way {
    fn open(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another application is on its way, or is there.
    pub(super) fn loads(&self, loads: bool) {
        self.loading.store(loads, Ordering::SeqCst);
    }

    /// Hands on what the device says, through as many tunnels as it takes.
    fn read(&self, mut records: DebugRecords, to_loop: &Sender<Arrived>) {
        loop {
            let lost = self.read_one(&mut records, to_loop);
            let session = self.open().take().map(|open| open.session);
            let (told, back) = match lost {
                Lost::ForGood(why) => (Arrived::DeviceGone(why), None),
                Lost::ForNow(why) => {
                    if to_loop.send(Arrived::DeviceAway(why)).is_err() {
                        return;
                    }
                    match self.again(session) {
                        Ok(records) => (Arrived::DeviceBack, Some(records)),
                        Err(why) => (Arrived::DeviceGone(why), None),
                    }
                }
            };
            if to_loop.send(told).is_err() {
                return;
            }
            let Some(next) = back else { return };
            records = next;
        }
    }

    fn read_one(&self, records: &mut DebugRecords, to_loop: &Sender<Arrived>) -> Lost {
        loop {
            let sealed = match records.next() {
                Some(DebugRecord::Message(sealed)) => sealed,
                Some(DebugRecord::Ended(why)) => return self.judge(why),
                None => return Lost::ForNow("the server's connection broke".into()),
            };
            let message = match self.open().as_mut() {
                Some(open) => open.tunnel.open(&sealed),
                None => return Lost::ForNow("the session is over".into()),
            };
            match message {
                Ok(message) => {
                    if to_loop.send(Arrived::Device(message)).is_err() {
                        return Lost::ForGood("nobody listens".into());
                    }
                }
                Err(error) => return Lost::ForGood(error.to_string()),
            }
        }
    }

    fn judge(&self, why: DebugStreamEnd) -> Lost {
        use DebugStreamEnd as E;
        let text = words(why).0.to_owned();
        match why {
            E::LinkLost | E::TooSlow | E::TooFast | E::Expired | E::ServerStops => Lost::ForNow(text),
            E::OtherManifest if self.loading.load(Ordering::SeqCst) => Lost::ForNow(text),
            E::NoKey
            | E::OtherKey
            | E::Handshake
            | E::Broken
            | E::OtherManifest
            | E::TakenOver
            | E::TokenEnded => Lost::ForGood(text),
        }
    }

    /// Opens the session anew, for as long as the device keeps it.
    fn again(&self, session: Option<u32>) -> Result<DebugRecords, String> {
        let until = Instant::now() + AGAIN_MAX;
        let mut continues = session;
        loop {
            match self.try_again(&mut continues) {
                Ok(records) => return Ok(records),
                Err(Lost::ForGood(why)) => return Err(why),
                Err(Lost::ForNow(why)) if Instant::now() > until => {
                    return Err(format!("the link was not had back within {} s: {why}", AGAIN_MAX.as_secs()));
                }
                Err(Lost::ForNow(_)) => thread::sleep(AGAIN_PERIOD),
            }
        }
    }

    fn try_again(&self, continues: &mut Option<u32>) -> Result<DebugRecords, Lost> {
        let asked =
            self.client.open_debug(&self.device, &OpenDebug { takeover: false, continues: *continues });
        let granted = asked.map_err(|error| {
            let text = error.to_string();
            if may_pass(&error) || is_held(&error) { Lost::ForNow(text) } else { Lost::ForGood(text) }
        })?;
        *continues = Some(granted.session);
        let mut manifest = self.manifest.lock().unwrap_or_else(PoisonError::into_inner);
        if granted.manifest != *manifest && !self.loading.load(Ordering::SeqCst) {
            return Err(Lost::ForGood(words(DebugStreamEnd::OtherManifest).0.into()));
        }
        // What failed may be the server's word on what runs, which is a moment old, or a link that is lost again.
        let hands = shake_hands(&self.client, &granted, &self.key);
        let (tunnel, records) = hands.map_err(|failure| Lost::ForNow(failure.what))?;
        *manifest = granted.manifest;
        *self.open() = Some(Open { session: granted.session, tunnel });
        Ok(records)
    }
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
        DebugStreamEnd::TooFast => ("more was sent to the device than it took", AGAIN),
        DebugStreamEnd::TokenEnded => {
            ("your token was revoked or has expired", "log in with `bulkhead login`")
        }
    }
}
