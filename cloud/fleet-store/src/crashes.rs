//! Crash dumps: pieces as they come, then whole, sealed, and for a bounded time.

use bulkhead_cloud_api::{Crash, DeviceId, Timestamp};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::error::{from_json, to_json};
use crate::{Store, StoreError};

/// Whole dumps of one device that are kept; of more the oldest goes.
pub const CRASHES_PER_DEVICE_MAX: u32 = 64;
/// Dumps of one device that are begun in a day (UTC) at most.
pub const CRASHES_PER_DAY_MAX: u32 = 64;

/// Where a dump stands that a device offers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CrashStanding {
    /// It is here.
    Whole,
    /// So many bytes are here; the number is the dump's.
    Partial {
        /// Number.
        id: i64,
        /// Bytes that are here.
        received: u32,
    },
    /// The device offered too many today.
    TooMany,
}

impl Store {
    /// A device offers a dump.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn offer_crash(
        &self,
        device_id: DeviceId,
        crash: &[u8; 16],
        len: u32,
        now: Timestamp,
    ) -> Result<CrashStanding, StoreError> {
        let mut transaction = self.writer.begin_with(crate::BEGIN).await?;
        let sql = "SELECT id, length, received, dump IS NOT NULL AS whole FROM crashes WHERE device_id = ? AND crash = ?";
        let known = sqlx::query(sql)
            .bind(device_id.0.to_vec())
            .bind(crash.to_vec())
            .fetch_optional(&mut *transaction)
            .await?;
        if let Some(row) = known {
            let id: i64 = row.try_get("id")?;
            if row.try_get::<bool, _>("whole")? {
                return Ok(CrashStanding::Whole);
            }
            if row.try_get::<i64, _>("length")? == i64::from(len) {
                return Ok(CrashStanding::Partial { id, received: number(&row, "received")? });
            }
            // Another length is another dump.
            sqlx::query("DELETE FROM crashes WHERE id = ?").bind(id).execute(&mut *transaction).await?;
        }
        // Counted apart from the dumps, which may turn out to be none and go.
        let sql = "INSERT INTO crashes_begun (device_id, day, count) VALUES (?1, ?2, 1) ON CONFLICT (device_id) \
                   DO UPDATE SET count = iif(day = ?2, count + 1, 1), day = ?2 RETURNING count";
        let today: i64 = sqlx::query(sql)
            .bind(device_id.0.to_vec())
            .bind(now.day())
            .fetch_one(&mut *transaction)
            .await?
            .try_get(0)?;
        if today > i64::from(CRASHES_PER_DAY_MAX) {
            return Ok(CrashStanding::TooMany);
        }
        let sql = "INSERT INTO crashes (device_id, crash, length, begun_at) VALUES (?, ?, ?, ?) RETURNING id";
        let row = sqlx::query(sql)
            .bind(device_id.0.to_vec())
            .bind(crash.to_vec())
            .bind(i64::from(len))
            .bind(now.0)
            .fetch_one(&mut *transaction)
            .await?;
        let id = row.try_get("id")?;
        transaction.commit().await?;
        Ok(CrashStanding::Partial { id, received: 0 })
    }

    /// Keeps the piece of dump `id` at `start`, which is where those before it end.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn append_crash(&self, id: i64, start: u32, bytes: &[u8]) -> Result<(), StoreError> {
        let mut transaction = self.reporter.begin_with(crate::BEGIN).await?;
        sqlx::query("INSERT INTO crash_pieces (crash, start, bytes) VALUES (?, ?, ?)")
            .bind(id)
            .bind(i64::from(start))
            .bind(bytes)
            .execute(&mut *transaction)
            .await?;
        let end = i64::from(start).saturating_add(i64::try_from(bytes.len()).unwrap_or(i64::MAX));
        sqlx::query("UPDATE crashes SET received = ? WHERE id = ?")
            .bind(end)
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }

    /// The pieces of dump `id`, joined.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn crash_pieces(&self, id: i64) -> Result<Vec<u8>, StoreError> {
        let sql = "SELECT bytes FROM crash_pieces WHERE crash = ? ORDER BY start";
        let rows = sqlx::query(sql).bind(id).fetch_all(&self.reader).await?;
        let mut dump = Vec::new();
        for row in &rows {
            dump.extend(row.try_get::<&[u8], _>("bytes")?);
        }
        Ok(dump)
    }

    /// Dump `crash.id` is whole: its pieces become one, and the device's oldest goes if there are too many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn complete_crash(&self, crash: &Crash, dump: &[u8]) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin_with(crate::BEGIN).await?;
        sqlx::query("UPDATE crashes SET document = ?, dump = ? WHERE id = ?")
            .bind(to_json(crash, "crash")?)
            .bind(dump)
            .bind(crash.id)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("DELETE FROM crash_pieces WHERE crash = ?")
            .bind(crash.id)
            .execute(&mut *transaction)
            .await?;
        let sql = "DELETE FROM crashes WHERE device_id = ?1 AND dump IS NOT NULL AND id NOT IN \
                   (SELECT id FROM crashes WHERE device_id = ?1 AND dump IS NOT NULL ORDER BY id DESC LIMIT ?2)";
        sqlx::query(sql)
            .bind(crash.device_id.0.to_vec())
            .bind(i64::from(CRASHES_PER_DEVICE_MAX))
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }

    /// Gives dump `id` up: it is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget_crash(&self, id: i64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM crashes WHERE id = ?").bind(id).execute(&self.writer).await?;
        Ok(())
    }

    /// Whole dumps numbered below `before`, newest first, of one device if given.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn crashes(
        &self,
        before: Option<i64>,
        device_id: Option<DeviceId>,
        limit: u32,
    ) -> Result<Vec<Crash>, StoreError> {
        let sql = "SELECT id, document FROM crashes WHERE dump IS NOT NULL AND id < ?1 \
                   AND (?2 IS NULL OR device_id = ?2) ORDER BY id DESC LIMIT ?3";
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let (mut crashes, mut before) = (Vec::new(), before.unwrap_or(i64::MAX));
        // One that cannot be read takes no place in the page, nor the rest of the list with it.
        while crashes.len() < limit {
            let wanted = limit.saturating_sub(crashes.len());
            let rows = sqlx::query(sql)
                .bind(before)
                .bind(device_id.map(|id| id.0.to_vec()))
                .bind(i64::try_from(wanted).unwrap_or(i64::MAX))
                .fetch_all(&self.reader)
                .await?;
            for row in &rows {
                before = row.try_get("id")?;
                match from_json(row.try_get("document")?, "crash") {
                    Ok(crash) => crashes.push(crash),
                    Err(error) => tracing::error!(%error, crash = before, "a crash dump cannot be listed"),
                }
            }
            if rows.len() < wanted {
                break;
            }
        }
        Ok(crashes)
    }

    /// One whole dump: what is known of it, and its bytes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn crash(&self, id: i64) -> Result<Option<(Crash, Vec<u8>)>, StoreError> {
        let sql = "SELECT document, dump FROM crashes WHERE id = ? AND dump IS NOT NULL";
        let row = sqlx::query(sql).bind(id).fetch_optional(&self.reader).await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some((from_json(row.try_get("document")?, "crash")?, row.try_get("dump")?)))
    }
}

fn number(row: &SqliteRow, column: &str) -> Result<u32, StoreError> {
    u32::try_from(row.try_get::<i64, _>(column)?).map_err(|_| StoreError::Damaged("crash"))
}
