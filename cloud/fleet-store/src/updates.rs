//! Targets and the updates that lead to them.

use bulkhead_cloud_api::{
    DeviceId, ManifestDigest, StageReached, Timestamp, Update, UpdateDetails, UpdateStage,
};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use crate::devices::{read_digest, read_id};
use crate::error::{from_json, to_json};
use crate::{Store, StoreError};

/// Most stages that one update remembers; later ones replace the last. A device may loop, the row may not grow.
const STAGES_MAX: usize = 64;

/// A target to be set.
#[derive(Clone, Debug)]
pub struct NewUpdate {
    /// The device.
    pub device_id: DeviceId,
    /// What it shall run.
    pub manifest: ManifestDigest,
    /// Apply even if the application postpones.
    pub forced: bool,
    /// Account that deploys.
    pub account: String,
    /// Permit by which the device may go back, signed by the owner.
    pub permit: Option<Vec<u8>>,
}

/// What a device said of its update.
#[derive(Clone, Debug)]
pub struct ProgressReport {
    /// The bundle.
    pub manifest: ManifestDigest,
    /// Stage.
    pub stage: UpdateStage,
    /// Pages done in this stage.
    pub pages_done: u32,
    /// Pages of this stage.
    pub pages_total: u32,
    /// Why.
    pub reason: Option<String>,
    /// What it told besides.
    pub details: UpdateDetails,
    /// Bytes sent for the update since the last report.
    pub bytes_sent: u64,
}

const SELECT: &str = "SELECT u.*, b.name, b.version, json_extract(b.document, '$.size_bytes') AS image_bytes FROM updates u LEFT JOIN bundles b ON b.manifest = u.manifest ";

impl Store {
    /// Sets what a device shall run and begins an update. `None`: there is no such device.
    ///
    /// An unfinished update to another target is superseded. A device that runs the target already ends the
    /// update at once.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_target(&self, new: &NewUpdate, now: Timestamp) -> Result<Option<Update>, StoreError> {
        let mut transaction = self.writer.begin_with(crate::BEGIN).await?;
        let update = begin_update(&mut transaction, new, now).await?;
        transaction.commit().await?;
        Ok(update)
    }

    /// As [`Self::set_target`], for a device that wants `new.manifest` back because `failed` failed its trial.
    ///
    /// `None` also if somebody chose another target meanwhile, or if the device never ran what it wants: it may not
    /// choose among the bundles of others.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn go_back(
        &self,
        new: &NewUpdate,
        failed: ManifestDigest,
        now: Timestamp,
    ) -> Result<Option<Update>, StoreError> {
        let mut transaction = self.writer.begin_with(crate::BEGIN).await?;
        let newest = latest(&mut transaction, new.device_id).await?;
        let Some(newest) = newest.filter(|newest| newest.manifest == failed && failed != new.manifest) else {
            return Ok(None);
        };
        let sql = "SELECT 1 FROM updates AS u, json_each(u.stages) AS reached \
                   WHERE u.device_id = ? AND u.id < ? AND u.manifest = ? \
                   AND reached.value ->> 'stage' IN ('applying', 'trial', 'committed') LIMIT 1";
        let ran = sqlx::query(sql)
            .bind(new.device_id.0.to_vec())
            .bind(newest.id)
            .bind(new.manifest.0.to_vec())
            .fetch_optional(&mut *transaction)
            .await?;
        if ran.is_none() {
            return Ok(None);
        }
        let update = begin_update(&mut transaction, new, now).await?;
        transaction.commit().await?;
        Ok(update)
    }

    /// Takes a device's word on the newest update to a bundle. `None`: there was no such update, or nothing new, or the
    /// device said it on a link that has a newer one (see [`Self::record_reported`]).
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn record_progress(
        &self,
        device_id: DeviceId,
        report: &ProgressReport,
        now: Timestamp,
        is_newest: impl FnOnce() -> bool,
    ) -> Result<Option<Update>, StoreError> {
        let mut transaction = self.reporter.begin_with(crate::BEGIN).await?;
        if !is_newest() {
            return Ok(None);
        }
        let Some(mut update) = latest(&mut transaction, device_id).await? else { return Ok(None) };
        if update.manifest != report.manifest || update.stage == UpdateStage::Superseded {
            return Ok(None);
        }
        let mut details = update.details.clone();
        details.learn(report.details.clone());
        let same = update.stage == report.stage
            && update.pages_done == report.pages_done
            && update.pages_total == report.pages_total
            && report.bytes_sent == 0
            && update.details == details;
        if same {
            return Ok(None);
        }
        update.details = details;
        update.pages_done = report.pages_done;
        update.pages_total = report.pages_total;
        update.bytes_sent = update.bytes_sent.saturating_add(report.bytes_sent);
        if update.stage == report.stage {
            update.updated_at = now;
        } else {
            reach(&mut update, report.stage, report.reason.clone(), now);
        }
        write(&mut transaction, &update).await?;
        transaction.commit().await?;
        Ok(Some(update))
    }

    /// Whether the device refused or took back `manifest` in an update before number `before`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn was_turned_down(
        &self,
        device_id: DeviceId,
        manifest: ManifestDigest,
        before: i64,
    ) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM updates WHERE device_id = ? AND manifest = ? AND id < ? \
                   AND stage IN ('refused', 'reverted') LIMIT 1";
        let row = sqlx::query(sql)
            .bind(device_id.0.to_vec())
            .bind(manifest.0.to_vec())
            .bind(before)
            .fetch_optional(&self.reader)
            .await?;
        Ok(row.is_some())
    }

    /// Remembers that the newest update shall be applied whatever the application says; `false` if it is applied already,
    /// or has ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn order_apply(&self, device_id: DeviceId) -> Result<bool, StoreError> {
        let sql = "UPDATE updates SET forced = 1 WHERE stage IN ('pending', 'checking', 'staging', 'ready') \
                   AND id = (SELECT max(id) FROM updates WHERE device_id = ?)";
        let done = sqlx::query(sql).bind(device_id.0.to_vec()).execute(&self.writer).await?;
        Ok(done.rows_affected() > 0)
    }

    /// Remembers that the newest update shall be taken back; `false` if it is not on trial.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn order_revert(&self, device_id: DeviceId) -> Result<bool, StoreError> {
        let sql = "UPDATE updates SET revert_ordered = 1 WHERE stage IN ('trial', 'reverting') \
                   AND id = (SELECT max(id) FROM updates WHERE device_id = ?)";
        let done = sqlx::query(sql).bind(device_id.0.to_vec()).execute(&self.writer).await?;
        Ok(done.rows_affected() > 0)
    }

    /// Whether the newest update leads to `manifest` and shall be taken back.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revert_is_ordered(
        &self,
        device_id: DeviceId,
        manifest: ManifestDigest,
    ) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM updates WHERE id = (SELECT max(id) FROM updates WHERE device_id = ?) \
                   AND manifest = ? AND revert_ordered = 1";
        let row = sqlx::query(sql)
            .bind(device_id.0.to_vec())
            .bind(manifest.0.to_vec())
            .fetch_optional(&self.reader)
            .await?;
        Ok(row.is_some())
    }

    /// The newest update of a device.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn latest_update(&self, device_id: DeviceId) -> Result<Option<Update>, StoreError> {
        Ok(self.updates(device_id, None, 1).await?.pop())
    }

    /// Updates of a device numbered below `before`, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn updates(
        &self,
        device_id: DeviceId,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Update>, StoreError> {
        let sql = format!("{SELECT} WHERE u.device_id = ? AND u.id < ? ORDER BY u.id DESC LIMIT ?");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(device_id.0.to_vec())
            .bind(before.unwrap_or(i64::MAX))
            .bind(i64::from(limit))
            .fetch_all(&self.reader)
            .await?;
        rows.iter().map(read_update).collect()
    }
}

/// Sets the target and begins an update. `None`: there is no such device.
async fn begin_update(
    transaction: &mut Transaction<'_, Sqlite>,
    new: &NewUpdate,
    now: Timestamp,
) -> Result<Option<Update>, StoreError> {
    let device = sqlx::query("UPDATE devices SET target = ? WHERE id = ? RETURNING running")
        .bind(new.manifest.0.to_vec())
        .bind(new.device_id.0.to_vec())
        .fetch_optional(&mut **transaction)
        .await?;
    let Some(device) = device else { return Ok(None) };
    if let Some(mut last) = latest(transaction, new.device_id).await?
        && !last.stage.is_final()
    {
        let reason = Some("a newer target was set".to_owned());
        reach(&mut last, UpdateStage::Superseded, reason, now);
        write(transaction, &last).await?;
    }
    let stage = if read_digest(&device, "running")? == Some(new.manifest) {
        UpdateStage::Committed
    } else {
        UpdateStage::Pending
    };
    let stages = [StageReached { stage, at: now, reason: None }];
    let sql = "INSERT INTO updates (device_id, manifest, forced, created_by, created_at, stage, pages_done, \
               pages_total, updated_at, stages, permit) VALUES (?, ?, ?, ?, ?, ?, 0, 0, ?, ?, ?)";
    sqlx::query(sql)
        .bind(new.device_id.0.to_vec())
        .bind(new.manifest.0.to_vec())
        .bind(new.forced)
        .bind(&new.account)
        .bind(now.0)
        .bind(stage.as_str())
        .bind(now.0)
        .bind(to_json(&stages, "stages")?)
        .bind(new.permit.as_deref())
        .execute(&mut **transaction)
        .await?;
    latest(transaction, new.device_id).await
}

/// Moves an update to a stage.
fn reach(update: &mut Update, stage: UpdateStage, reason: Option<String>, now: Timestamp) {
    let reached = StageReached { stage, at: now, reason: reason.clone() };
    if update.stages.len() >= STAGES_MAX {
        update.stages.pop();
    }
    update.stages.push(reached);
    update.stage = stage;
    update.reason = reason;
    update.updated_at = now;
}

async fn latest(
    transaction: &mut Transaction<'_, Sqlite>,
    device_id: DeviceId,
) -> Result<Option<Update>, StoreError> {
    let sql = format!("{SELECT} WHERE u.device_id = ? ORDER BY u.id DESC LIMIT 1");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(device_id.0.to_vec())
        .fetch_optional(&mut **transaction)
        .await?;
    row.as_ref().map(read_update).transpose()
}

async fn write(transaction: &mut Transaction<'_, Sqlite>, update: &Update) -> Result<(), StoreError> {
    let sql = "UPDATE updates SET stage = ?, pages_done = ?, pages_total = ?, reason = ?, updated_at = ?, \
               stages = ?, details = ?, bytes_sent = ? WHERE id = ?";
    sqlx::query(sql)
        .bind(update.stage.as_str())
        .bind(i64::from(update.pages_done))
        .bind(i64::from(update.pages_total))
        .bind(update.reason.as_deref())
        .bind(update.updated_at.0)
        .bind(to_json(&update.stages, "stages")?)
        .bind(to_json(&update.details, "details")?)
        .bind(i64::try_from(update.bytes_sent).unwrap_or(i64::MAX))
        .bind(update.id)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

fn read_update(row: &SqliteRow) -> Result<Update, StoreError> {
    let stage: String = row.try_get("stage")?;
    let (name, version): (Option<String>, Option<String>) = (row.try_get("name")?, row.try_get("version")?);
    let pages = |column: &str| -> Result<u32, StoreError> {
        u32::try_from(row.try_get::<i64, _>(column)?).map_err(|_| StoreError::Damaged("page count"))
    };
    let bytes = |count: i64| u64::try_from(count).map_err(|_| StoreError::Damaged("byte count"));
    Ok(Update {
        id: row.try_get("id")?,
        device_id: read_id(row, "device_id")?,
        manifest: read_digest(row, "manifest")?.ok_or(StoreError::Damaged("manifest digest"))?,
        bundle: name.zip(version).map(|(name, version)| format!("{name} {version}")),
        forced: row.try_get("forced")?,
        created_by: row.try_get("created_by")?,
        created_at: Timestamp(row.try_get("created_at")?),
        stage: from_json(&format!("\"{stage}\""), "stage")?,
        pages_done: pages("pages_done")?,
        pages_total: pages("pages_total")?,
        reason: row.try_get("reason")?,
        details: from_json(row.try_get("details")?, "details")?,
        bytes_sent: bytes(row.try_get("bytes_sent")?)?,
        image_bytes: row.try_get::<Option<i64>, _>("image_bytes")?.map(bytes).transpose()?,
        updated_at: Timestamp(row.try_get("updated_at")?),
        stages: from_json(row.try_get("stages")?, "stages")?,
    })
}
