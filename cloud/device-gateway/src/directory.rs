//! Who holds which device's link.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bulkhead_cloud_api::{DeviceId, LinkStatus, Timestamp};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::inbox::{Change, Farewell, Inbox, Order, Outside, inbox};
use crate::limits::{DayBudget, Limits, TokenBucket};

/// Counters that a link's task writes and the API reads.
pub(crate) struct Counters {
    pub(crate) address: String,
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
    task: Outside,
    counters: Arc<Counters>,
    since: Timestamp,
}

/// A link's own end of its entry.
pub(crate) struct Entered {
    pub(crate) epoch: u64,
    pub(crate) inbox: Inbox,
    /// When it was entered.
    pub(crate) since: Timestamp,
}

/// What one device had written today.
#[derive(Clone, Copy, Default)]
struct Budgets {
    log_bytes: DayBudget,
    message_bytes: DayBudget,
    events: DayBudget,
}

#[derive(Default)]
struct Inner {
    epoch: u64,
    links: HashMap<DeviceId, Entry>,
    /// Links that left and still write their last words to the store.
    leaving: usize,
    /// What each device may have written in a day, kept over reconnections.
    budgets: HashMap<DeviceId, Budgets>,
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
    ///
    /// The link is since now, not since its handshake: whatever the older one has the store keep, it has heard before.
    pub(crate) fn enter(&self, id: DeviceId, counters: Arc<Counters>, limits: &Limits) -> Entered {
        let (task, inbox) = inbox();
        let mut inner = self.lock();
        let now = Instant::now();
        let fresh = || TokenBucket::new(limits.connects_per_s, limits.connect_burst, now);
        // Two at once may both have been let in by the last token; the second then costs nothing.
        let _ = inner.connects.entry(id).or_insert_with(fresh).take(now);
        inner.epoch += 1;
        // Read under the lock, which [`Self::is_newest`] takes as well.
        let (epoch, since) = (inner.epoch, Timestamp::now());
        if let Some(older) = inner.links.insert(id, Entry { epoch, task, counters, since }) {
            older.task.say_farewell(Farewell::Replaced);
        }
        Entered { epoch, inbox, since }
    }

    /// Whether a device has this link and no newer one.
    pub(crate) fn is_newest(&self, id: DeviceId, epoch: Option<u64>) -> bool {
        self.lock().links.get(&id).is_some_and(|entry| Some(entry.epoch) == epoch)
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

    /// Tells a link's task, if there is one, what changed.
    pub(crate) fn changed(&self, id: DeviceId, change: Change) {
        if let Some(entry) = self.lock().links.get(&id) {
            entry.task.changed(change);
        }
    }

    /// Has a link's task, if there is one, send its device away.
    pub(crate) fn send_away(&self, id: DeviceId, reconnect_in_s: u32, reason: &'static str) {
        if let Some(entry) = self.lock().links.get(&id) {
            entry.task.say_farewell(Farewell::GoAway { reconnect_in_s, reason });
        }
    }

    /// Hands an order to a link's task; `false` if there is none or it is overwhelmed.
    pub(crate) fn order(&self, id: DeviceId, order: Order) -> bool {
        self.lock().links.get(&id).is_some_and(|entry| entry.task.order(order))
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
        self.lock().budgets.entry(id).or_default().log_bytes.book(day, len, max)
    }

    /// Books bytes of a message of a device; `false` if the day's budget is spent.
    pub(crate) fn book_message(&self, id: DeviceId, day: i64, len: u64, max: u64) -> bool {
        self.lock().budgets.entry(id).or_default().message_bytes.book(day, len, max)
    }

    /// Books an event of a device; if the day's budget is spent, how many it had too many.
    pub(crate) fn book_event(&self, id: DeviceId, day: i64, max: u64) -> Result<(), u64> {
        let mut inner = self.lock();
        let events = &mut inner.budgets.entry(id).or_default().events;
        if events.book(day, 1, max) { Ok(()) } else { Err(events.dropped) }
    }

    /// Counts a log record that was dropped for another reason than the budget.
    pub(crate) fn count_dropped_log(&self, id: DeviceId) {
        self.lock().budgets.entry(id).or_default().log_bytes.dropped += 1;
    }

    pub(crate) fn status(&self, id: DeviceId, log_bytes_per_day_max: u64) -> Option<LinkStatus> {
        let inner = self.lock();
        let Entry { counters, since, .. } = inner.links.get(&id)?;
        let budget = inner.budgets.get(&id).copied().unwrap_or_default().log_bytes;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Some(LinkStatus {
            address: counters.address.clone(),
            since: *since,
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
