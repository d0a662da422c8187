//! All SQL: devices, bundles, targets, tokens, logs, events.
//!
//! SQLite in write-ahead mode. One connection writes, so that writers queue here and never meet `SQLITE_BUSY`;
//! several read. What was committed is published to subscribers afterwards, never before, so that a subscriber
//! who first subscribes and then reads the tables misses nothing.
#![forbid(unsafe_code)]

mod audit;
mod bundles;
mod claims;
mod devices;
mod error;
mod events;
mod logs;
mod schema;
mod tokens;
mod updates;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_cloud_api::{Event, LogRecord};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use tokio::sync::broadcast;

pub use audit::AuditBroken;
pub use bundles::{BundleObjects, ObjectSpan};
pub use claims::ClaimOutcome;
pub use devices::{Admission, ChangeOutcome, DeviceFilter, NewDevice};
pub use error::StoreError;
pub use logs::{LogFilter, NewLog};
pub use tokens::{TokenCheck, TokenRejected};
pub use updates::{NewUpdate, ProgressReport};

/// Connections that read.
const READERS_MAX: u32 = 4;
/// How long a statement waits for another process that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Events and log records that a slow subscriber may fall behind before it misses some.
const SUBSCRIBER_BACKLOG: usize = 1024;

/// Everything that the server remembers. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    writer: SqlitePool,
    reader: SqlitePool,
    events: broadcast::Sender<Arc<Event>>,
    logs: broadcast::Sender<Arc<LogRecord>>,
    log_queue: logs::Queue,
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
            // FULL, so that a token revoked or a target set survives a power cut of the server.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let one_writer = SqlitePoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
        let writer = one_writer.connect_with(options.clone()).await?;
        schema::migrate(&writer).await?;
        let many_readers = SqlitePoolOptions::new().max_connections(READERS_MAX);
        let reader = many_readers.connect_with(options.read_only(true).create_if_missing(false)).await?;
        let (events, _) = broadcast::channel(SUBSCRIBER_BACKLOG);
        let (logs, _) = broadcast::channel(SUBSCRIBER_BACKLOG);
        let log_queue = logs::start_writer(writer.clone(), logs.clone());
        Ok(Self { writer, reader, events, logs, log_queue })
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
        self.writer.close().await;
    }

    /// Events as they are committed from now on.
    pub fn subscribe_events(&self) -> broadcast::Receiver<Arc<Event>> {
        self.events.subscribe()
    }

    /// Log records as they are committed from now on.
    pub fn subscribe_logs(&self) -> broadcast::Receiver<Arc<LogRecord>> {
        self.logs.subscribe()
    }
}

#[cfg(test)]
mod tests;
