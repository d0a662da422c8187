//! Who holds a debug session on which device: one at a time, for a limited time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bulkhead_cloud_api::{DebugStreamEnd, DeviceId};
use bulkhead_device_gateway::{DebugEvent, debug_channel};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Longest session.
pub(crate) const SESSION_MAX: Duration = Duration::from_secs(12 * 3600);
/// How long a session may be held without its stream being read.
const UNREAD_MAX: Duration = Duration::from_secs(30);

struct Held {
    device: DeviceId,
    account: String,
    token_id: String,
    since: Instant,
    /// Until the session begins: the device's link has it then, and with it goes the stream's end.
    events: Option<mpsc::Sender<DebugEvent>>,
    /// Until the stream is read.
    unread: Option<mpsc::Receiver<DebugEvent>>,
    /// Ends the stream.
    end: Option<oneshot::Sender<DebugStreamEnd>>,
    bytes_to_device: u64,
}

/// What a stream reads.
pub(crate) struct Reading {
    pub(crate) events: mpsc::Receiver<DebugEvent>,
    pub(crate) end: oneshot::Receiver<DebugStreamEnd>,
    pub(crate) until: Instant,
}

/// How a message is to be handed on.
pub(crate) enum Passage {
    /// It begins the session; what the device says goes to the sender.
    First(DeviceId, mpsc::Sender<DebugEvent>),
    /// It is a later one.
    Later(DeviceId),
}

/// A session that ended, for the audit log.
pub(crate) struct Ended {
    pub(crate) device: DeviceId,
    pub(crate) account: String,
    pub(crate) token_id: String,
    pub(crate) bytes_to_device: u64,
    pub(crate) lasted: Duration,
}

/// All sessions of this server, by number.
#[derive(Clone, Default)]
pub(crate) struct DebugDesk {
    sessions: Arc<Mutex<HashMap<u32, Held>>>,
}

impl DebugDesk {
    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Held>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Grants session `number` on `device`; ends the one that is there if `takeover`, or if it is the session of the
    /// same token that this one `continues`.
    ///
    /// # Errors
    /// The account that holds the device.
    pub(crate) fn grant(
        &self,
        number: u32,
        device: DeviceId,
        (account, token_id): (&str, &str),
        takeover: bool,
        continues: Option<u32>,
    ) -> Result<(), String> {
        let mut sessions = self.lock();
        let now = Instant::now();
        let is_live = |held: &Held| held.unread.is_none() || now < held.since + UNREAD_MAX;
        let held = sessions.iter().find(|(_, held)| held.device == device && is_live(held));
        let own = |number: u32, held: &Held| continues == Some(number) && held.token_id == token_id;
        if let Some((_, held)) = held.filter(|(number, held)| !takeover && !own(**number, held)) {
            return Err(held.account.clone());
        }
        sessions.retain(|_, held| {
            if held.device == device
                && let Some(end) = held.end.take()
            {
                // Its stream may have ended by itself.
                let _ = end.send(DebugStreamEnd::TakenOver);
            }
            // A session whose stream is read is taken off by that stream, when it has told its reader.
            held.device != device || held.unread.is_none()
        });
        let (events, unread) = debug_channel();
        let held = Held {
            device,
            account: account.to_owned(),
            token_id: token_id.to_owned(),
            since: now,
            events: Some(events),
            unread: Some(unread),
            end: None,
            bytes_to_device: 0,
        };
        sessions.insert(number, held);
        Ok(())
    }

    /// Begins to read session `number`, which the token was granted; once.
    pub(crate) fn read(&self, number: u32, token_id: &str) -> Option<Reading> {
        let mut sessions = self.lock();
        let held = sessions.get_mut(&number).filter(|held| held.token_id == token_id)?;
        let events = held.unread.take()?;
        let (sender, end) = oneshot::channel();
        held.end = Some(sender);
        Some(Reading { events, end, until: held.since + SESSION_MAX })
    }

    /// Where a message of session `number` is to go.
    pub(crate) fn pass(&self, number: u32, token_id: &str, len: usize) -> Option<Passage> {
        let mut sessions = self.lock();
        let held = sessions.get_mut(&number).filter(|held| held.token_id == token_id)?;
        held.bytes_to_device += u64::try_from(len).unwrap_or(u64::MAX);
        Some(match held.events.take() {
            Some(events) => Passage::First(held.device, events),
            None => Passage::Later(held.device),
        })
    }

    /// Takes session `number` off.
    pub(crate) fn end(&self, number: u32) -> Option<Ended> {
        let held = self.lock().remove(&number)?;
        Some(Ended {
            device: held.device,
            account: held.account,
            token_id: held.token_id,
            bytes_to_device: held.bytes_to_device,
            lasted: held.since.elapsed(),
        })
    }
}
