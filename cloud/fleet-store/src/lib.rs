//! All SQL: devices, bundles, targets, tokens, logs, events.
//!
//! SQLite in write-ahead mode. Two connections write, each with a queue here: one for what somebody decided
//! (tokens, claims, targets, bundles, audit), which is on disk before the answer leaves; one for what devices report
//! (state, progress, events, logs), which a power cut of the server may take back by some moments, because devices
//! report anew. Several connections read. What was committed is published to subscribers afterwards, never before, so that a subscriber
//! who first subscribes and then reads the tables misses nothing.
#![forbid(unsafe_code)]

mod audit;
mod bundles;
mod claims;
mod configuration;
mod crashes;
mod devices;
mod error;
mod events;
mod logs;
mod messages;
mod owner;
mod patches;
mod pruning;
mod schema;
mod tokens;
mod updates;
mod webhooks;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_cloud_api::{Event, LogRecord, Message};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use tokio::sync::{Mutex, broadcast};

pub use audit::AuditBroken;
pub use bundles::{BundleObjects, ObjectSpan};
pub use claims::ClaimOutcome;
pub use configuration::{ConfigOutcome, EffectiveConfiguration, StoredConfig};
pub use crashes::{CRASHES_PER_DAY_MAX, CRASHES_PER_DEVICE_MAX, CrashStanding};
pub use devices::{Admission, ChangeOutcome, DeviceFilter, NewDevice};
pub use error::StoreError;
pub use logs::{LogFilter, NewLog};
pub use messages::{MessageFilter, NewDeviceMessage, NewMessage, Queued};
pub use owner::StoredKeySet;
pub use patches::PatchKey;
pub use tokens::{TokenCheck, TokenRejected};
pub use updates::{NewUpdate, ProgressReport};
pub use webhooks::{AttemptOutcome, DueDelivery};

/// Connections that read.
const READERS_MAX: u32 = 4;
/// How long a statement waits for the other connection, or another process, that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a write waits for those before it; when all devices connect at once that takes a while.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(60);
/// Starts a transaction that writes. One that began by reading could not wait for the other writer.
pub(crate) const BEGIN: &str = "BEGIN IMMEDIATE";
/// Events and log records that a slow subscriber may fall behind before it misses some.
const SUBSCRIBER_BACKLOG: usize = 1024;

/// Everything that the server remembers. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    /// For decisions: each commit reaches the disk.
    writer: SqlitePool,
    /// For reports: commits reach the disk together, a little later.
    reporter: SqlitePool,
    reader: SqlitePool,
    events: broadcast::Sender<Arc<Event>>,
    /// Held from an event's commit to its publication, so that subscribers see events in the order of their numbers.
    event_order: Arc<Mutex<()>>,
    logs: broadcast::Sender<Arc<LogRecord>>,
    log_queue: logs::Queue,
    messages: broadcast::Sender<Arc<Message>>,
    /// As `event_order`, for messages.
    message_order: Arc<Mutex<()>>,
    revoked_tokens: broadcast::Sender<String>,
}

impl Store {
    /// Opens the file at `path`, made and brought to the newest schema if need be.
    ///
    /// # Errors
    /// [`StoreError`]: the file cannot be opened, is of a newer server, or is damaged.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let one = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(QUEUE_TIMEOUT)
            .acquire_slow_threshold(QUEUE_TIMEOUT);
        let durable = options.clone().synchronous(SqliteSynchronous::Full);
        let writer = one.clone().connect_with(durable).await?;
        schema::migrate(&writer).await?;
        let reporter = one.connect_with(options.clone().synchronous(SqliteSynchronous::Normal)).await?;
        let many_readers = SqlitePoolOptions::new().max_connections(READERS_MAX);
        let reader = many_readers.connect_with(options.read_only(true).create_if_missing(false)).await?;
        let (events, _) = broadcast::channel(SUBSCRIBER_BACKLOG);
        let (logs, _) = broadcast::channel(SUBSCRIBER_BACKLOG);
        let (messages, _) = broadcast::channel(SUBSCRIBER_BACKLOG);
        let (revoked_tokens, _) = broadcast::channel(SUBSCRIBER_BACKLOG);
        let log_queue = logs::start_writer(reporter.clone(), logs.clone());
        let (event_order, message_order) = (Arc::default(), Arc::default());
        Ok(Self {
            writer,
            reporter,
            reader,
            events,
            event_order,
            logs,
            log_queue,
            messages,
            message_order,
            revoked_tokens,
        })
    }

    /// Whether the tables answer.
    ///
    /// # Errors
    /// [`StoreError`]: they do not.
    pub async fn check(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.reader).await?;
        Ok(())
    }

    /// Writes what is queued and closes the file.
    pub async fn close(&self) {
        self.flush_logs().await;
        self.reader.close().await;
        self.reporter.close().await;
        self.writer.close().await;
    }

    /// Events as they are committed from now on.
    pub fn subscribe_events(&self) -> broadcast::Receiver<Arc<Event>> {
        self.events.subscribe()
    }

    /// Messages of devices as they are committed from now on.
    pub fn subscribe_messages(&self) -> broadcast::Receiver<Arc<Message>> {
        self.messages.subscribe()
    }

    /// Ids of tokens that are revoked from now on.
    pub fn subscribe_revoked_tokens(&self) -> broadcast::Receiver<String> {
        self.revoked_tokens.subscribe()
    }

    /// Log records as they are committed from now on.
    pub fn subscribe_logs(&self) -> broadcast::Receiver<Arc<LogRecord>> {
        self.logs.subscribe()
    }
}

#[cfg(test)]
mod tests;
