//! What happened, in order.

use std::sync::Arc;

use bulkhead_cloud_api::{DeviceId, Event, Timestamp};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::error::{fixed, from_json, to_json};
use crate::{Store, StoreError};

impl Store {
    /// Writes an event and tells the subscribers.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn append_event(
        &self,
        kind: &str,
        device_id: Option<DeviceId>,
        data: serde_json::Value,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let _order = self.event_order.lock().await;
        let row =
            sqlx::query("INSERT INTO events (at, kind, device_id, data) VALUES (?, ?, ?, ?) RETURNING id")
                .bind(at.0)
                .bind(kind)
                .bind(device_id.map(|id| id.0.to_vec()))
                .bind(to_json(&data, "event")?)
                .fetch_one(&self.reporter)
                .await?;
        let event = Event { id: row.try_get("id")?, at, kind: kind.to_owned(), device_id, data };
        // Nobody listening is no failure.
        let _ = self.events.send(Arc::new(event));
        Ok(())
    }

    /// Events numbered above `after`, oldest first, of one device if given.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn events_after(
        &self,
        after: i64,
        device_id: Option<DeviceId>,
        limit: u32,
    ) -> Result<Vec<Event>, StoreError> {
        let sql =
            "SELECT * FROM events WHERE id > ?1 AND (?2 IS NULL OR device_id = ?2) ORDER BY id LIMIT ?3";
        let rows = sqlx::query(sql)
            .bind(after)
            .bind(device_id.map(|id| id.0.to_vec()))
            .bind(i64::from(limit))
            .fetch_all(&self.reader)
            .await?;
        rows.iter().map(read_event).collect()
    }

    /// Number of the newest event, 0 if there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn newest_event(&self) -> Result<i64, StoreError> {
        let row = sqlx::query("SELECT coalesce(max(id), 0) FROM events").fetch_one(&self.reader).await?;
        Ok(row.try_get(0)?)
    }
}

fn read_event(row: &SqliteRow) -> Result<Event, StoreError> {
    let device_id: Option<Vec<u8>> = row.try_get("device_id")?;
    Ok(Event {
        id: row.try_get("id")?,
        at: Timestamp(row.try_get("at")?),
        kind: row.try_get("kind")?,
        device_id: device_id.map(|bytes| fixed(bytes, "device id").map(DeviceId)).transpose()?,
        data: from_json(row.try_get("data")?, "event")?,
    })
}
