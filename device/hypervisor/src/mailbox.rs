//! What gateways and executor tell each other.

use bulkhead_link_protocol::LogSource;
use bulkhead_syscall_abi::{
    BootReasonNumber, DebugState, Notification, NotificationKind, SOCKET_EVENT_SHIFT, SOCKET_HANDLE_MASK,
    UpdateStatus, WakeReason,
};

use crate::configuration::Desk;
use crate::log_ring::{LogRing, NotLogged, StoredRecord};
use crate::messages::Messages;
use crate::random::Pool;
use crate::sleep::Sleep;
use crate::sockets::{Rose, Sockets};
use crate::storage::Storage;

/// Notifications that may wait; with more, the oldest is dropped.
pub(crate) const NOTIFICATIONS_MAX: usize = 16;

/// What the application asked for since the executor last looked.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Requests {
    /// `bh_application_restart`.
    pub restart: bool,
    /// `bh_update_apply_now`.
    pub apply_now: bool,
    /// `bh_update_postpone`: until when, in milliseconds of monotonic time.
    pub postpone_until_ms: Option<u64>,
    /// `bh_update_confirm`.
    pub confirm: bool,
}

/// The shared state. Every method is short: it runs with interrupts masked.
pub struct Mailbox {
    log: LogRing,
    notifications: heapless::Deque<Notification, NOTIFICATIONS_MAX>,
    /// The youngest of them, which are not to be seen yet.
    n_hidden: usize,
    /// Something was announced since the last [`Mailbox::reveal`].
    is_news: bool,
    notification_line: Option<u8>,
    requests: Requests,
    /// Wall clock minus monotonic clock in microseconds, once known.
    pub wall_offset_us: Option<u64>,
    /// A `NetworkStatus` value.
    pub network_status: u32,
    /// `NetworkReason` bits.
    pub network_reasons: u32,
    /// The update as the application sees it.
    pub update: UpdateStatus,
    /// Until when the application may postpone a ready update, in milliseconds of monotonic time.
    pub postpone_latest_ms: Option<u64>,
    /// The application's own areas of external flash.
    pub(crate) storage: Storage,
    /// Messages, either way.
    pub(crate) messages: Messages,
    /// The application's configuration.
    pub(crate) configuration: Desk,
    /// The application's sleep.
    pub(crate) sleep: Sleep,
    /// Random bytes for the application.
    pub(crate) random: Pool,
    /// What a developer does with the application.
    pub debug: DebugState,
    /// Why the device started.
    pub boot_reason: BootReasonNumber,
    /// The application's sockets.
    pub(crate) sockets: Sockets,
    /// Why the application runs.
    pub wake_reason: WakeReason,
    /// The device id as text.
    pub device_id: [u8; 34],
}

impl Mailbox {
    /// An empty mailbox.
    pub const fn new() -> Self {
        Self {
            log: LogRing::new(),
            notifications: heapless::Deque::new(),
            n_hidden: 0,
            is_news: false,
            notification_line: None,
            requests: Requests { restart: false, apply_now: false, postpone_until_ms: None, confirm: false },
            wall_offset_us: None,
            network_status: 0,
            network_reasons: 0,
            update: UpdateStatus {
                version: 0,
                stage: 0,
                pages_done: 0,
                pages_total: 0,
                pages_to_write: 0,
                downtime_ms: 0,
                apply_in_s: 0,
                postpone_left_s: 0,
            },
            postpone_latest_ms: None,
            storage: Storage::new(),
            messages: Messages::new(),
            configuration: Desk::new(),
            sleep: Sleep::new(),
            random: Pool::new(),
            debug: DebugState { version: 0, state: 0, halts: 0, held_ms: 0 },
            boot_reason: BootReasonNumber::PowerOn,
            sockets: Sockets::new(),
            wake_reason: WakeReason::PowerOn,
            device_id: [0; 34],
        }
    }

    /// Queues a log record; `false` when the queue is full.
    pub fn log(&mut self, source: LogSource, level: u8, now_us: u64, text: &[u8]) -> bool {
        self.log.push(source, level, now_us, text)
    }

    /// As [`Self::log`], of `len` bytes that `fill` writes; see [`LogRing::push_from`].
    ///
    /// # Errors
    /// See [`NotLogged`].
    pub fn log_from(
        &mut self,
        level: u8,
        now_us: u64,
        len: usize,
        fill: impl FnMut(&mut [u8]) -> bool,
    ) -> Result<(), NotLogged> {
        self.log.push_from(LogSource::Application, level, now_us, len, fill)
    }

    /// Takes the oldest log record.
    pub fn take_log(&mut self, into: &mut StoredRecord) -> bool {
        self.log.pop(into)
    }

    /// Whether a log record waits.
    pub const fn has_log(&self) -> bool {
        !self.log.is_empty()
    }

    /// Tells the application something at the next [`Self::reveal`]: together with the state that it is about.
    pub fn announce(&mut self, at_us: u64, kind: NotificationKind, value: u32) {
        if self.notifications.is_full() {
            self.notifications.pop_front();
        }
        let _ = self.notifications.push_back(Notification { at_us, kind: kind as u32, value });
        self.n_hidden = self.n_hidden.saturating_add(1).min(NOTIFICATIONS_MAX);
        self.is_news = true;
    }

    /// Shows what was announced; returns the line to pend, if something was and the application chose one. A sleep ends
    /// here and not before: it may have begun since, by an application that saw nothing yet.
    pub fn reveal(&mut self) -> Option<u8> {
        self.n_hidden = 0;
        let is_news = core::mem::take(&mut self.is_news);
        if is_news {
            self.sleep.notified();
        }
        self.notification_line.filter(|_| is_news)
    }

    /// Announces what rose on a socket; what is still to be told of the same socket is told with it, so that sockets can
    /// never push out more than one notification each. What was announced before stays as hidden as it was.
    pub(crate) fn announce_socket(&mut self, at_us: u64, rose: Rose) {
        let kind = NotificationKind::SocketChanged;
        let events = rose.events << SOCKET_EVENT_SHIFT;
        let same = |waiting: &&mut Notification| {
            waiting.kind == kind as u32 && waiting.value & SOCKET_HANDLE_MASK == rose.handle
        };
        if let Some(waiting) = self.notifications.iter_mut().find(same) {
            waiting.value |= events;
            self.is_news = true;
            return;
        }
        self.announce(at_us, kind, events | rose.handle);
    }

    /// The oldest notification, left in place.
    pub fn peek_notification(&self) -> Option<Notification> {
        self.notifications.front().copied().filter(|_| self.notifications.len() > self.n_hidden)
    }

    /// Drops the notification that [`Self::peek_notification`] shows.
    pub fn drop_notification(&mut self) {
        if self.notifications.len() > self.n_hidden {
            self.notifications.pop_front();
        }
    }

    /// Chooses the line that is pended with each notification.
    pub fn set_notification_line(&mut self, line: Option<u8>) {
        self.notification_line = line;
    }

    /// What a gateway adds to the requests.
    pub fn request(&mut self, change: impl FnOnce(&mut Requests)) {
        change(&mut self.requests);
    }

    /// Takes all requests.
    pub fn take_requests(&mut self) -> Requests {
        core::mem::take(&mut self.requests)
    }

    /// Forgets what belonged to the instance of the application that ended.
    pub fn application_ended(&mut self) {
        self.notifications.clear();
        self.n_hidden = 0;
        self.is_news = false;
        self.notification_line = None;
        self.requests = Requests::default();
        self.storage.forget();
        self.sockets.forget();
        self.configuration.forget();
        self.sleep = Sleep::new();
    }

    /// Whether the application has nothing to do.
    pub fn is_asleep(&self) -> bool {
        self.sleep.is_asleep()
    }

    /// Whether a gateway left something for the executor to do.
    pub fn waits(&self) -> bool {
        let fetched = self.configuration.is_waiting() || self.messages.fresh;
        self.storage.is_waiting() || self.sockets.wait() || self.random.is_short() || fetched
    }
}

impl Default for Mailbox {
    fn default() -> Self {
        Self::new()
    }
}
