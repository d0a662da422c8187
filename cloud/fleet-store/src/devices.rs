//! Devices and their reported and target state.

use bulkhead_cloud_api::{Device, DeviceId, ManifestDigest, ReportedState, Timestamp, to_hex};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::error::{fixed, from_json, to_json};
use crate::{Store, StoreError};

/// A device to be registered.
#[derive(Clone, Debug)]
pub struct NewDevice {
    /// Certified by the key.
    pub id: DeviceId,
    /// Static X25519 public key.
    pub public_key: [u8; 32],
    /// SHA-256 of its one-time claim token.
    pub claim_token_sha256: Option<[u8; 32]>,
    /// Name, unique.
    pub name: Option<String>,
}

/// What the gateway may do with a device that proved to hold a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Admission {
    /// Known and welcome.
    Known,
    /// Nobody registered it, but somebody asked to claim it: it may show its token.
    MayClaim,
    /// Nobody knows it.
    Unknown,
    /// Known and barred.
    Revoked,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChangeOutcome {
    /// Done.
    Changed,
    /// There is no such device.
    NotFound,
}

/// Which devices a list holds.
#[derive(Clone, Debug, Default)]
pub struct DeviceFilter {
    /// Only devices after this one, in order of id.
    pub after: Option<DeviceId>,
    /// Most devices.
    pub limit: u32,
}

/// Every column of a [`Device`]; bundles are joined for the names a person reads.
const SELECT: &str = "SELECT d.*, r.name AS running_name, r.version AS running_version, \
     t.name AS target_name, t.version AS target_version FROM devices d \
     LEFT JOIN bundles r ON r.manifest = d.running LEFT JOIN bundles t ON t.manifest = d.target ";

impl Store {
    /// Registers a device; `false` if it is registered already.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`]: another device has the name.
    pub async fn register_device(&self, new: &NewDevice, now: Timestamp) -> Result<bool, StoreError> {
        let sql = "INSERT INTO devices (id, public_key, name, registered_at, claim_token_sha256) \
                   VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING";
        let done = sqlx::query(sql)
            .bind(new.id.0.to_vec())
            .bind(new.public_key.to_vec())
            .bind(new.name.as_deref())
            .bind(now.0)
            .bind(new.claim_token_sha256.map(|hash| hash.to_vec()))
            .execute(&self.writer)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// The device, without its link, which only the gateway knows.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn device(&self, id: DeviceId) -> Result<Option<Device>, StoreError> {
        let sql = sqlx::AssertSqlSafe(format!("{SELECT} WHERE d.id = ?"));
        let row = sqlx::query(sql).bind(id.0.to_vec()).fetch_optional(&self.reader).await?;
        let Some(row) = row else { return Ok(None) };
        let mut device = read_device(&row)?;
        device.update = self.latest_update(id).await?;
        Ok(Some(device))
    }

    /// Id of the device called `name`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn device_named(&self, name: &str) -> Result<Option<DeviceId>, StoreError> {
        let row = sqlx::query("SELECT id FROM devices WHERE name = ?")
            .bind(name)
            .fetch_optional(&self.reader)
            .await?;
        row.map(|row| read_id(&row, "id")).transpose()
    }

    /// Devices in order of id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn devices(&self, filter: &DeviceFilter) -> Result<Vec<Device>, StoreError> {
        let after = filter.after.map_or_else(Vec::new, |id| id.0.to_vec());
        let sql = sqlx::AssertSqlSafe(format!("{SELECT} WHERE d.id > ? ORDER BY d.id LIMIT ?"));
        let rows = sqlx::query(sql).bind(after).bind(i64::from(filter.limit)).fetch_all(&self.reader).await?;
        let mut devices = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut device = read_device(row)?;
            device.update = self.latest_update(device.id).await?;
            devices.push(device);
        }
        Ok(devices)
    }

    /// Whether a device that proved to hold `public_key` may keep its link.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn admit(&self, id: DeviceId, public_key: &[u8; 32]) -> Result<Admission, StoreError> {
        let row = sqlx::query("SELECT public_key, revoked FROM devices WHERE id = ?")
            .bind(id.0.to_vec())
            .fetch_optional(&self.reader)
            .await?;
        if let Some(row) = row {
            let known: [u8; 32] = fixed(row.try_get("public_key")?, "public key")?;
            let revoked: bool = row.try_get("revoked")?;
            // The id is half of a hash; the whole key decides.
            return Ok(match (&known == public_key, revoked) {
                (true, false) => Admission::Known,
                (true, true) => Admission::Revoked,
                (false, _) => Admission::Unknown,
            });
        }
        let asked = sqlx::query("SELECT 1 FROM claim_requests WHERE device_id = ? LIMIT 1")
            .bind(id.0.to_vec())
            .fetch_optional(&self.reader)
            .await?;
        Ok(if asked.is_some() { Admission::MayClaim } else { Admission::Unknown })
    }

    /// Remembers what a device said of itself, unless it said it on a link that has a newer one; `false` then.
    ///
    /// `is_newest` is asked when it is this writer's turn. As there is one connection for reports, whatever a newer
    /// link has to say is written later.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn record_reported(
        &self,
        id: DeviceId,
        reported: &ReportedState,
        is_newest: impl FnOnce() -> bool,
    ) -> Result<bool, StoreError> {
        let mut turn = self.reporter.acquire().await?;
        if !is_newest() {
            return Ok(false);
        }
        sqlx::query("UPDATE devices SET reported = ?, running = ?, last_seen_at = ? WHERE id = ?")
            .bind(to_json(reported, "reported state")?)
            .bind(reported.running.map(|digest| digest.0.to_vec()))
            .bind(reported.reported_at.0)
            .bind(id.0.to_vec())
            .execute(&mut *turn)
            .await?;
        Ok(true)
    }

    /// Remembers when a device was last heard; called when its link ends, not for each keepalive.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn record_last_seen(&self, id: DeviceId, at: Timestamp) -> Result<(), StoreError> {
        sqlx::query("UPDATE devices SET last_seen_at = ? WHERE id = ?")
            .bind(at.0)
            .bind(id.0.to_vec())
            .execute(&self.reporter)
            .await?;
        Ok(())
    }

    /// Renames, bars or re-admits a device; `None` leaves as it is.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`]: another device has the name.
    pub async fn change_device(
        &self,
        id: DeviceId,
        name: Option<&str>,
        revoked: Option<bool>,
    ) -> Result<ChangeOutcome, StoreError> {
        let sql = "UPDATE devices SET name = coalesce(?, name), revoked = coalesce(?, revoked) WHERE id = ?";
        let done =
            sqlx::query(sql).bind(name).bind(revoked).bind(id.0.to_vec()).execute(&self.writer).await?;
        Ok(if done.rows_affected() == 1 { ChangeOutcome::Changed } else { ChangeOutcome::NotFound })
    }
}

pub(crate) fn read_id(row: &SqliteRow, column: &str) -> Result<DeviceId, StoreError> {
    fixed(row.try_get(column)?, "device id").map(DeviceId)
}

pub(crate) fn read_digest(row: &SqliteRow, column: &str) -> Result<Option<ManifestDigest>, StoreError> {
    let bytes: Option<Vec<u8>> = row.try_get(column)?;
    bytes.map(|bytes| fixed(bytes, "manifest digest").map(ManifestDigest)).transpose()
}

fn read_bundle_name(row: &SqliteRow, name: &str, version: &str) -> Result<Option<String>, StoreError> {
    let (name, version): (Option<String>, Option<String>) = (row.try_get(name)?, row.try_get(version)?);
    Ok(name.zip(version).map(|(name, version)| format!("{name} {version}")))
}

fn read_device(row: &SqliteRow) -> Result<Device, StoreError> {
    let public_key: Vec<u8> = row.try_get("public_key")?;
    let reported: Option<String> = row.try_get("reported")?;
    Ok(Device {
        id: read_id(row, "id")?,
        name: row.try_get("name")?,
        public_key: Some(to_hex(&public_key)),
        registered_at: Timestamp(row.try_get("registered_at")?),
        claimed_by: row.try_get("claimed_by")?,
        claimed_at: row.try_get::<Option<i64>, _>("claimed_at")?.map(Timestamp),
        revoked: row.try_get("revoked")?,
        online: false,
        last_seen_at: row.try_get::<Option<i64>, _>("last_seen_at")?.map(Timestamp),
        link: None,
        reported: reported.map(|text| from_json(&text, "reported state")).transpose()?,
        running_bundle: read_bundle_name(row, "running_name", "running_version")?,
        target: read_digest(row, "target")?,
        target_bundle: read_bundle_name(row, "target_name", "target_version")?,
        update: None,
    })
}
