//! What the owner signs beside bundles, as bytes: key sets, permits. And the bundles of devices without an application.

use bulkhead_cloud_api::{DeviceId, FactoryBundle, ManifestDigest, Timestamp};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::devices::read_digest;
use crate::{Store, StoreError};

const KEY_SETS: &str = "SELECT * FROM key_sets ORDER BY version";

/// A key set as it was pushed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredKeySet {
    /// Version.
    pub version: u32,
    /// The signed set.
    pub signed: Vec<u8>,
    /// When.
    pub pushed_at: Timestamp,
    /// By which account.
    pub pushed_by: String,
}

impl Store {
    /// Keeps a key set, in the place of one of the same version, if `judge` allows it beside those that are known,
    /// oldest first. Nobody else puts one meanwhile.
    ///
    /// # Errors
    /// [`StoreError`]; within, what `judge` says.
    pub async fn put_key_set<T, E>(
        &self,
        set: &StoredKeySet,
        judge: impl FnOnce(&[StoredKeySet]) -> Result<T, E>,
    ) -> Result<Result<T, E>, StoreError> {
        let mut transaction = self.writer.begin_with(crate::BEGIN).await?;
        let rows = sqlx::query(KEY_SETS).fetch_all(&mut *transaction).await?;
        let known = rows.iter().map(read_key_set).collect::<Result<Vec<_>, _>>()?;
        let allowed = match judge(&known) {
            Ok(allowed) => allowed,
            Err(refused) => return Ok(Err(refused)),
        };
        let sql = "INSERT INTO key_sets (version, signed, pushed_at, pushed_by) VALUES (?, ?, ?, ?) \
                   ON CONFLICT (version) DO UPDATE SET signed = excluded.signed";
        sqlx::query(sql)
            .bind(i64::from(set.version))
            .bind(&set.signed)
            .bind(set.pushed_at.0)
            .bind(&set.pushed_by)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(Ok(allowed))
    }

    /// Every key set, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn key_sets(&self) -> Result<Vec<StoredKeySet>, StoreError> {
        let rows = sqlx::query(KEY_SETS).fetch_all(&self.reader).await?;
        rows.iter().map(read_key_set).collect()
    }

    /// The key set that follows version `present`: each is signed by the roots of the one before it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn key_set_after(&self, present: u32) -> Result<Option<StoredKeySet>, StoreError> {
        let row = sqlx::query("SELECT * FROM key_sets WHERE version > ? ORDER BY version LIMIT 1")
            .bind(i64::from(present))
            .fetch_optional(&self.reader)
            .await?;
        row.as_ref().map(read_key_set).transpose()
    }

    /// The permit that came with update number `update`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn permit(&self, update: i64) -> Result<Option<Vec<u8>>, StoreError> {
        let row = sqlx::query("SELECT permit FROM updates WHERE id = ?")
            .bind(update)
            .fetch_optional(&self.reader)
            .await?;
        Ok(row.map(|row| row.try_get("permit")).transpose()?.flatten())
    }

    /// The permit that came with the newest update of a device, if that leads to `manifest`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn permit_for(
        &self,
        device_id: DeviceId,
        manifest: ManifestDigest,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        match self.latest_update(device_id).await? {
            Some(update) if update.manifest == manifest => self.permit(update.id).await,
            _ => Ok(None),
        }
    }

    /// Says what devices of a class are given that have no application and were never given one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_factory_bundle(
        &self,
        device_class: &str,
        manifest: ManifestDigest,
        account: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO factory_bundles (device_class, manifest, set_at, set_by) VALUES (?, ?, ?, ?) \
                   ON CONFLICT (device_class) DO UPDATE SET manifest = excluded.manifest, \
                   set_at = excluded.set_at, set_by = excluded.set_by";
        sqlx::query(sql)
            .bind(device_class)
            .bind(manifest.0.to_vec())
            .bind(now.0)
            .bind(account)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// The factory bundle of each class that has one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn factory_bundles(&self) -> Result<Vec<FactoryBundle>, StoreError> {
        let sql = "SELECT f.*, b.name, b.version FROM factory_bundles f \
                   LEFT JOIN bundles b ON b.manifest = f.manifest ORDER BY f.device_class";
        let rows = sqlx::query(sql).fetch_all(&self.reader).await?;
        rows.iter().map(read_factory_bundle).collect()
    }

    /// The factory bundle of one class.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn factory_bundle(&self, device_class: &str) -> Result<Option<ManifestDigest>, StoreError> {
        let row = sqlx::query("SELECT manifest FROM factory_bundles WHERE device_class = ?")
            .bind(device_class)
            .fetch_optional(&self.reader)
            .await?;
        Ok(row.map(|row| read_digest(&row, "manifest")).transpose()?.flatten())
    }
}

fn read_key_set(row: &SqliteRow) -> Result<StoredKeySet, StoreError> {
    let version: i64 = row.try_get("version")?;
    Ok(StoredKeySet {
        version: u32::try_from(version).map_err(|_| StoreError::Damaged("version of a key set"))?,
        signed: row.try_get("signed")?,
        pushed_at: Timestamp(row.try_get("pushed_at")?),
        pushed_by: row.try_get("pushed_by")?,
    })
}

fn read_factory_bundle(row: &SqliteRow) -> Result<FactoryBundle, StoreError> {
    let (name, version): (Option<String>, Option<String>) = (row.try_get("name")?, row.try_get("version")?);
    Ok(FactoryBundle {
        device_class: row.try_get("device_class")?,
        manifest: read_digest(row, "manifest")?.ok_or(StoreError::Damaged("manifest digest"))?,
        bundle: name.zip(version).map(|(name, version)| format!("{name} {version}")),
        set_at: Timestamp(row.try_get("set_at")?),
        set_by: row.try_get("set_by")?,
    })
}
