//! What is deleted because it is old or too much.
//!
//! Whoever deletes holds the lock that every writer needs. So rows go in batches, each found by an index in a time that
//! does not depend on how much is stored, and between two of them everybody else gets a turn.

use std::time::Duration;

use bulkhead_cloud_api::{DeviceId, Timestamp};
use sqlx::sqlite::SqliteArguments;
use sqlx::{Row, Sqlite};

use crate::devices::read_id;
use crate::{Store, StoreError};

/// Messages kept for one device; of more, the oldest that are settled go.
pub(crate) const KEPT_OF_DEVICE: i64 = 10_000;
/// Events kept, all devices together.
const EVENTS_MAX: u32 = 5_000_000;
/// Rows of one batch.
pub(crate) const BATCH: u32 = 500;
/// Crash dumps of one batch: each may have a mebibyte.
const CRASHES_BATCH: u32 = 16;
/// How long others may write between two batches.
const PAUSE: Duration = Duration::from_millis(20);

/// Settled messages that the server got, or that ended, before a time; but none that a webhook has still to get.
pub(crate) const OLD_MESSAGES: &str = "DELETE FROM messages WHERE id IN (SELECT id FROM messages \
     WHERE state NOT IN ('queued', 'sent') AND coalesce(settled_at, sent_at) < ?1 \
     AND NOT EXISTS (SELECT 1 FROM deliveries WHERE message_id = messages.id AND state = 'pending') LIMIT ?2)";
/// Devices with more than so many messages.
pub(crate) const CROWDED: &str =
    "SELECT device_id FROM messages GROUP BY device_id HAVING count(*) > ?1 ORDER BY device_id";
/// The newest message of a device that is one too many.
pub(crate) const NEWEST_TOO_MANY: &str =
    "SELECT id FROM messages WHERE device_id = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2";
/// Settled messages of a device up to a number, delivered or not: there is no room for more.
pub(crate) const MESSAGES_TOO_MANY: &str = "DELETE FROM messages WHERE id IN (SELECT id FROM messages \
     WHERE device_id = ?1 AND id <= ?2 AND state NOT IN ('queued', 'sent') LIMIT ?3)";
// Events and records are numbered in the order of their times, so the oldest are the first: no index is needed, which
// every insert would have to keep up. If the clock was once wrong, the bounds on numbers still hold.
pub(crate) const OLD_EVENTS: &str = "DELETE FROM events WHERE id IN (SELECT id FROM events ORDER BY id LIMIT ?3) \
     AND (at < ?1 OR id <= (SELECT max(id) FROM events) - ?2)";
pub(crate) const OLD_LOGS: &str = "DELETE FROM logs WHERE id IN (SELECT id FROM logs ORDER BY id LIMIT ?3) \
     AND (received_at < ?1 OR id <= (SELECT max(id) FROM logs) - ?2)";
pub(crate) const OLD_CRASHES: &str =
    "DELETE FROM crashes WHERE id IN (SELECT id FROM crashes WHERE begun_at < ?1 LIMIT ?2)";
pub(crate) const OLD_PARTIAL_CRASHES: &str = "DELETE FROM crashes WHERE id IN (SELECT id FROM crashes \
     WHERE dump IS NULL AND begun_at < ?1 LIMIT ?2)";

type Query = sqlx::query::Query<'static, Sqlite, SqliteArguments>;

impl Store {
    /// Deletes settled messages that the server got, or that ended, before `before`, and those of a device beyond the
    /// newest that are kept. Returns how many went.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn prune_messages(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut gone = self.delete(BATCH, || sqlx::query(OLD_MESSAGES).bind(before.0).bind(BATCH)).await?;
        let crowded = sqlx::query(CROWDED).bind(KEPT_OF_DEVICE).fetch_all(&self.reader).await?;
        for row in &crowded {
            gone += self.prune_messages_of(read_id(row, "device_id")?).await?;
        }
        Ok(gone)
    }

    async fn prune_messages_of(&self, device_id: DeviceId) -> Result<u64, StoreError> {
        let id = || device_id.0.to_vec();
        let newest =
            sqlx::query(NEWEST_TOO_MANY).bind(id()).bind(KEPT_OF_DEVICE).fetch_optional(&self.reader).await?;
        let Some(newest) = newest else { return Ok(0) };
        let newest: i64 = newest.try_get("id")?;
        self.delete(BATCH, || sqlx::query(MESSAGES_TOO_MANY).bind(id()).bind(newest).bind(BATCH)).await
    }

    /// Deletes events and log records from before `before`, and log records beyond the newest `logs_max`.
    /// Returns how many rows went.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn prune(&self, before: Timestamp, logs_max: u32) -> Result<u64, StoreError> {
        let oldest = |sql: &'static str, max: u32| {
            move || sqlx::query(sql).bind(before.0).bind(i64::from(max)).bind(BATCH)
        };
        let events = self.delete(BATCH, oldest(OLD_EVENTS, EVENTS_MAX)).await?;
        Ok(events + self.delete(BATCH, oldest(OLD_LOGS, logs_max)).await?)
    }

    /// Deletes dumps that were begun before `before`, and those begun before `partial_before` that are not whole.
    /// Returns how many went.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn prune_crashes(
        &self,
        before: Timestamp,
        partial_before: Timestamp,
    ) -> Result<u64, StoreError> {
        let old = |sql: &'static str, before: Timestamp| {
            move || sqlx::query(sql).bind(before.0).bind(CRASHES_BATCH)
        };
        let partial = self.delete(CRASHES_BATCH, old(OLD_PARTIAL_CRASHES, partial_before)).await?;
        Ok(partial + self.delete(CRASHES_BATCH, old(OLD_CRASHES, before)).await?)
    }

    /// Repeats `batch`, which deletes up to `len` rows, until it finds fewer.
    async fn delete(&self, len: u32, batch: impl Fn() -> Query) -> Result<u64, StoreError> {
        let mut gone = 0;
        loop {
            let rows = batch().execute(&self.reporter).await?.rows_affected();
            gone += rows;
            if rows < u64::from(len) {
                return Ok(gone);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
