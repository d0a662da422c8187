//! Messages between owner and application.
//!
//! A message of a device is stored, with its deliveries to webhooks, in one commit that reached the disk; only then is
//! the device told, which then forgets it. A message to a device keeps its state here until the device reports its end.

use std::sync::Arc;

use bulkhead_cloud_api::{
    DeviceId, MESSAGES_WAITING_MAX, Message, MessageDirection, MessageState, Timestamp, as_text, to_base64,
};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::devices::read_id;
use crate::{Store, StoreError};

/// A message as a device sent it.
#[derive(Clone, Debug)]
pub struct NewDeviceMessage {
    /// The device.
    pub device_id: DeviceId,
    /// Power session of the device.
    pub run: u32,
    /// Number in it.
    pub number: u32,
    /// Topic.
    pub topic: u32,
    /// Body.
    pub bytes: Vec<u8>,
    /// When the application handed it over.
    pub created_at: Timestamp,
}

/// A message for a device.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// The device.
    pub device_id: DeviceId,
    /// Topic.
    pub topic: u32,
    /// Body.
    pub bytes: Vec<u8>,
    /// Account that sends it.
    pub account: String,
    /// When it expires.
    pub expires_at: Timestamp,
    /// The same key again is the same message.
    pub idempotency_key: Option<String>,
}

/// What became of a message for a device.
#[derive(Clone, Debug)]
pub enum Queued {
    /// It waits.
    New(Box<Message>),
    /// It was queued before, under the same key.
    Same(Box<Message>),
    /// Another message was queued under the same key.
    Mismatch,
    /// Too many wait.
    Full,
}

/// Which messages a list holds.
#[derive(Clone, Debug, Default)]
pub struct MessageFilter {
    /// Of this device alone.
    pub device_id: Option<DeviceId>,
    /// Of this direction alone.
    pub direction: Option<MessageDirection>,
    /// In this state alone.
    pub state: Option<MessageState>,
    /// Numbered above this.
    pub after: i64,
    /// Numbered below this.
    pub before: Option<i64>,
    /// Most messages.
    pub limit: u32,
    /// The newest that fit, instead of the oldest.
    pub newest: bool,
}

impl Store {
    /// Stores a message of a device; `None` if it was stored before.
    ///
    /// # Errors
    /// [`StoreError`]; the device must not be told that it is stored.
    pub async fn store_device_message(
        &self,
        new: &NewDeviceMessage,
        now: Timestamp,
    ) -> Result<Option<Message>, StoreError> {
        let _order = self.message_order.lock().await;
        let mut transaction = self.writer.begin_with(crate::BEGIN).await?;
        let sql = "INSERT INTO messages (device_id, direction, run, number, topic, body, state, created_at, \
                   sent_at) VALUES (?, 'from-device', ?, ?, ?, ?, 'received', ?, ?) \
                   ON CONFLICT (device_id, direction, run, number) DO NOTHING RETURNING *";
        let row = sqlx::query(sql)
            .bind(new.device_id.0.to_vec())
            .bind(i64::from(new.run))
            .bind(i64::from(new.number))
            .bind(i64::from(new.topic))
            .bind(&new.bytes)
            .bind(new.created_at.0)
            .bind(now.0)
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let message = read_message(&row)?;
        let sql = "INSERT INTO deliveries (webhook_id, message_id, state, attempts, next_attempt_at, updated_at) \
                   SELECT id, ?1, 'pending', 0, ?2, ?2 FROM webhooks";
        sqlx::query(sql).bind(message.id).bind(now.0).execute(&mut *transaction).await?;
        transaction.commit().await?;
        // Nobody listening is no failure.
        let _ = self.messages.send(Arc::new(message.clone()));
        Ok(Some(message))
    }

    /// Queues a message for a device.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn queue_message(&self, new: &NewMessage, now: Timestamp) -> Result<Queued, StoreError> {
        let mut transaction = self.writer.begin_with(crate::BEGIN).await?;
        let id = new.device_id.0.to_vec();
        if let Some(key) = &new.idempotency_key {
            let sql = "SELECT * FROM messages WHERE device_id = ? AND idempotency_key = ?";
            let row = sqlx::query(sql).bind(&id).bind(key).fetch_optional(&mut *transaction).await?;
            if let Some(row) = row {
                let same = row.try_get::<Vec<u8>, _>("body")? == new.bytes
                    && row.try_get::<i64, _>("topic")? == i64::from(new.topic);
                let message = Box::new(read_message(&row)?);
                return Ok(if same { Queued::Same(message) } else { Queued::Mismatch });
            }
        }
        let sql = "SELECT count(*) FILTER (WHERE state IN ('queued', 'sent')) AS waiting, \
                   coalesce(max(number), 0) AS newest FROM messages WHERE device_id = ? AND direction = 'to-device'";
        let row = sqlx::query(sql).bind(&id).fetch_one(&mut *transaction).await?;
        let (waiting, newest): (i64, i64) = (row.try_get("waiting")?, row.try_get("newest")?);
        if waiting >= i64::from(MESSAGES_WAITING_MAX) {
            return Ok(Queued::Full);
        }
        // Numbers rise for a device even if this database is lost: they begin with the time.
        let number = newest.saturating_add(1).max(now.0.div_euclid(1_000_000));
        let sql = "INSERT INTO messages (device_id, direction, run, number, topic, body, state, created_at, \
                   created_by, expires_at, idempotency_key) \
                   VALUES (?, 'to-device', 0, ?, ?, ?, 'queued', ?, ?, ?, ?) RETURNING *";
        let row = sqlx::query(sql)
            .bind(&id)
            .bind(number)
            .bind(i64::from(new.topic))
            .bind(&new.bytes)
            .bind(now.0)
            .bind(&new.account)
            .bind(new.expires_at.0)
            .bind(new.idempotency_key.as_deref())
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(Queued::New(Box::new(read_message(&row)?)))
    }

    /// The oldest message for a device, with its body, that waits and has not expired, or that may lie there unfinished.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn next_message(
        &self,
        device_id: DeviceId,
        now: Timestamp,
    ) -> Result<Option<(Message, Vec<u8>)>, StoreError> {
        let sql = "SELECT * FROM messages WHERE device_id = ? AND direction = 'to-device' AND state = 'queued' \
                   AND (expires_at > ? OR sent_at IS NOT NULL) ORDER BY number LIMIT 1";
        let row =
            sqlx::query(sql).bind(device_id.0.to_vec()).bind(now.0).fetch_optional(&self.reader).await?;
        row.map(|row| Ok((read_message(&row)?, row.try_get("body")?))).transpose()
    }

    /// A message is to go to its device now; `false` if it does not wait any more and must not.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn message_sent(&self, id: i64, now: Timestamp) -> Result<bool, StoreError> {
        let sql = "UPDATE messages SET state = 'sent', sent_at = ?, attempts = attempts + 1 \
                   WHERE id = ? AND state = 'queued'";
        let done = sqlx::query(sql).bind(now.0).bind(id).execute(&self.writer).await?;
        Ok(done.rows_affected() == 1)
    }

    /// What was on its way to a device up to `until` waits again: that link ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn requeue_messages(&self, device_id: DeviceId, until: Timestamp) -> Result<(), StoreError> {
        let sql =
            "UPDATE messages SET state = 'queued' WHERE device_id = ? AND state = 'sent' AND sent_at <= ?";
        sqlx::query(sql).bind(device_id.0.to_vec()).bind(until.0).execute(&self.writer).await?;
        Ok(())
    }

    /// A device started anew: nothing lies there of what was sent to it and waits again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget_sent_messages(&self, device_id: DeviceId) -> Result<(), StoreError> {
        let sql = "UPDATE messages SET sent_at = NULL WHERE device_id = ? AND state = 'queued'";
        sqlx::query(sql).bind(device_id.0.to_vec()).execute(&self.writer).await?;
        Ok(())
    }

    /// The application is done with a message; `None` if that was known.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn message_finished(
        &self,
        device_id: DeviceId,
        number: u32,
        state: MessageState,
        now: Timestamp,
    ) -> Result<Option<Message>, StoreError> {
        // One that expired on its way was delivered all the same.
        let sql = "UPDATE messages SET state = ?, settled_at = ? WHERE device_id = ? AND number = ? \
                   AND direction = 'to-device' AND state NOT IN ('delivered', 'refused') RETURNING *";
        let row = sqlx::query(sql)
            .bind(state.as_str())
            .bind(now.0)
            .bind(device_id.0.to_vec())
            .bind(i64::from(number))
            .fetch_optional(&self.writer)
            .await?;
        row.as_ref().map(read_message).transpose()
    }

    /// Ends what waited too long; returns it. What may lie on its device is the device's to end.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn expire_messages(&self, now: Timestamp) -> Result<Vec<Message>, StoreError> {
        let due =
            "SELECT 1 FROM messages WHERE state = 'queued' AND sent_at IS NULL AND expires_at <= ? LIMIT 1";
        if sqlx::query(due).bind(now.0).fetch_optional(&self.reader).await?.is_none() {
            return Ok(Vec::new());
        }
        let sql = "UPDATE messages SET state = 'expired', settled_at = ?1 \
                   WHERE state = 'queued' AND sent_at IS NULL AND expires_at <= ?1 RETURNING *";
        let rows = sqlx::query(sql).bind(now.0).fetch_all(&self.writer).await?;
        rows.iter().map(read_message).collect()
    }

    /// Messages, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn messages(&self, filter: &MessageFilter) -> Result<Vec<Message>, StoreError> {
        const OLDEST: &str = "SELECT * FROM messages WHERE (?1 IS NULL OR device_id = ?1) \
                              AND (?2 IS NULL OR direction = ?2) AND (?3 IS NULL OR state = ?3) \
                              AND id > ?4 AND id < ?5 ORDER BY id LIMIT ?6";
        const NEWEST: &str = "SELECT * FROM messages WHERE (?1 IS NULL OR device_id = ?1) \
                              AND (?2 IS NULL OR direction = ?2) AND (?3 IS NULL OR state = ?3) \
                              AND id > ?4 AND id < ?5 ORDER BY id DESC LIMIT ?6";
        let rows = sqlx::query(if filter.newest { NEWEST } else { OLDEST })
            .bind(filter.device_id.map(|id| id.0.to_vec()))
            .bind(filter.direction.map(MessageDirection::as_str))
            .bind(filter.state.map(MessageState::as_str))
            .bind(filter.after)
            .bind(filter.before.unwrap_or(i64::MAX))
            .bind(i64::from(filter.limit))
            .fetch_all(&self.reader)
            .await?;
        let mut messages = rows.iter().map(read_message).collect::<Result<Vec<_>, _>>()?;
        if filter.newest {
            messages.reverse();
        }
        Ok(messages)
    }
}

pub(crate) fn read_message(row: &SqliteRow) -> Result<Message, StoreError> {
    let number = |column: &str| -> Result<u32, StoreError> {
        u32::try_from(row.try_get::<i64, _>(column)?).map_err(|_| StoreError::Damaged("message"))
    };
    let time = |column: &str| -> Result<Option<Timestamp>, StoreError> {
        Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp))
    };
    let (direction, state): (String, String) = (row.try_get("direction")?, row.try_get("state")?);
    let state = MessageState::ALL.iter().copied().find(|known| known.as_str() == state);
    let body: Vec<u8> = row.try_get("body")?;
    Ok(Message {
        id: row.try_get("id")?,
        device_id: read_id(row, "device_id")?,
        direction: if direction == "from-device" {
            MessageDirection::FromDevice
        } else {
            MessageDirection::ToDevice
        },
        number: number("number")?,
        topic: number("topic")?,
        body: to_base64(&body),
        text: as_text(&body),
        state: state.ok_or(StoreError::Damaged("message"))?,
        created_at: Timestamp(row.try_get("created_at")?),
        created_by: row.try_get("created_by")?,
        sent_at: time("sent_at")?,
        settled_at: time("settled_at")?,
        expires_at: time("expires_at")?,
        attempts: number("attempts")?,
    })
}
