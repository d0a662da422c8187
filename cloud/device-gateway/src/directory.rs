//! Who holds which device's link.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bulkhead_cloud_api::{DeviceId, LinkStatus, Timestamp};
use bulkhead_link_protocol::{CommandKind, Digest};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use crate::debug::DebugOrder;
use crate::limits::{DayBudget, Limits, TokenBucket};
use crate::planner::{NoPlan, Planned};

/// Messages from the API that may wait for a link's task.
const INBOX_MAX: usize = 32;

/// What the API asks of a link's task.
pub(crate) enum ToLink {
    /// Compare target and reported state again.
    TargetChanged,
    /// The owner pushed a key set.
    KeySetsChanged,
    /// A message waits for the application.
    MessageQueued,
    /// The configuration is another one.
    ConfigurationChanged,
    /// The answer to the device's plan request: why there is none, or the plan.
    Planned { manifest: Digest, planned: Result<Box<Planned>, NoPlan> },
    /// Send a command.
    Command { kind: CommandKind, reply: oneshot::Sender<bool> },
    /// Say farewell and end.
    GoAway { reconnect_in_s: u32, reason: &'static str },
    /// Something of a debug session.
    Debug(DebugOrder),
    /// End at once: the same device has a newer link.
    Replaced,
}

/// Counters that a link's task writes and the API reads.
pub(crate) struct Counters {
    pub(crate) address: String,
    pub(crate) since: Timestamp,
    pub(crate) last_heard_at: AtomicI64,
    pub(crate) frames_in: AtomicU64,
    pub(crate) frames_out: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) frames_throttled: AtomicU64,
}

impl Counters {
    pub(crate) fn new(address: String, now: Timestamp) -> Self {
        Self {
            address,
            since: now,
            last_heard_at: AtomicI64::new(now.0),
            frames_in: AtomicU64::new(0),
            frames_out: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            frames_throttled: AtomicU64::new(0),
        }
    }
}

struct Entry {
    /// Rises with each link of any device; a link's task removes only its own entry.
    epoch: u64,
    inbox: mpsc::Sender<ToLink>,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Inner {
    epoch: u64,
    links: HashMap<DeviceId, Entry>,
    /// Links that left and still write their last words to the store.
    leaving: usize,
    /// Log bytes of the day, kept over reconnections.
    budgets: HashMap<DeviceId, DayBudget>,
    /// Connects of each device that ever proved to be there, so at most one entry a device of the fleet.
    connects: HashMap<DeviceId, TokenBucket>,
}

impl Inner {
    fn is_quiet(&self) -> bool {
        self.links.is_empty() && self.leaving == 0
    }
}

/// Links by device.
#[derive(Default)]
pub(crate) struct Directory {
    inner: Mutex<Inner>,
    emptied: Notify,
}

impl Directory {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a device that connects too often has to stay away.
    ///
    /// Only proven connects count ([`Self::enter`]), so that replayed handshakes cannot lock a device out.
    pub(crate) fn may_connect(&self, id: DeviceId) -> Result<(), Duration> {
        self.lock().connects.get_mut(&id).map_or(Ok(()), |bucket| bucket.peek(Instant::now()))
    }

    /// Enters a link and ends an older one of the same device.
    pub(crate) fn enter(
        &self,
        id: DeviceId,
        counters: Arc<Counters>,
        limits: &Limits,
    ) -> (u64, mpsc::Receiver<ToLink>) {
        let (inbox, receiver) = mpsc::channel(INBOX_MAX);
        let mut inner = self.lock();
        let now = Instant::now();
        let fresh = || TokenBucket::new(limits.connects_per_s, limits.connect_burst, now);
        // Two at once may both have been let in by the last token; the second then costs nothing.
        let _ = inner.connects.entry(id).or_insert_with(fresh).take(now);
        inner.epoch += 1;
        let epoch = inner.epoch;
        if let Some(older) = inner.links.insert(id, Entry { epoch, inbox, counters }) {
            // A full inbox ends the older link as well: its sender is dropped here.
            let _ = older.inbox.try_send(ToLink::Replaced);
        }
        (epoch, receiver)
    }

    /// Removes a link; `false` if a newer one of the same device took its place. [`Self::left`] must follow.
    pub(crate) fn leave(&self, id: DeviceId, epoch: u64) -> bool {
        let mut inner = self.lock();
        inner.leaving += 1;
        let own = inner.links.get(&id).is_some_and(|entry| entry.epoch == epoch);
        if own {
            inner.links.remove(&id);
        }
        own
    }

    /// The last words of a link that left are written.
    pub(crate) fn left(&self) {
        let mut inner = self.lock();
        inner.leaving = inner.leaving.saturating_sub(1);
        if inner.is_quiet() {
            self.emptied.notify_waiters();
        }
    }

    /// Hands a message to a link's task; `false` if there is none or it is overwhelmed.
    pub(crate) fn send(&self, id: DeviceId, message: ToLink) -> bool {
        self.lock().links.get(&id).is_some_and(|entry| entry.inbox.try_send(message).is_ok())
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().links.len()
    }

    pub(crate) fn ids(&self) -> Vec<DeviceId> {
        self.lock().links.keys().copied().collect()
    }

    pub(crate) async fn wait_until_empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.lock().is_quiet() {
                return;
            }
            emptied.await;
        }
    }

    /// Books log bytes of a device; `false` if the day's budget is spent.
    pub(crate) fn book_log(&self, id: DeviceId, day: i64, len: u64, max: u64) -> bool {
        self.lock().budgets.entry(id).or_default().book(day, len, max)
    }

    /// Counts a log record that was dropped for another reason than the budget.
    pub(crate) fn count_dropped_log(&self, id: DeviceId) {
        self.lock().budgets.entry(id).or_default().dropped += 1;
    }

    pub(crate) fn status(&self, id: DeviceId, log_bytes_per_day_max: u64) -> Option<LinkStatus> {
        let inner = self.lock();
        let counters = &inner.links.get(&id)?.counters;
        let budget = inner.budgets.get(&id).copied().unwrap_or_default();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Some(LinkStatus {
            address: counters.address.clone(),
            since: counters.since,
            last_heard_at: Timestamp(counters.last_heard_at.load(Ordering::Relaxed)),
            frames_in: read(&counters.frames_in),
            frames_out: read(&counters.frames_out),
            bytes_in: read(&counters.bytes_in),
            bytes_out: read(&counters.bytes_out),
            frames_throttled: read(&counters.frames_throttled),
            log_bytes_today: budget.used,
            log_bytes_per_day_max,
            log_records_dropped: budget.dropped,
        })
    }
}
