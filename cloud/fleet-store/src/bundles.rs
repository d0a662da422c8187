//! Bundles: what they are and under which digests their bytes lie.

use bulkhead_cloud_api::{Bundle, ManifestDigest, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::error::{from_json, to_json};
use crate::{Store, StoreError};

/// Bytes in the bundle store.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ObjectSpan {
    /// SHA-256, the object's name.
    pub digest: [u8; 32],
    /// Length in bytes.
    pub len: u32,
}

/// Where the bytes of a bundle lie.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct BundleObjects {
    /// The signed envelope.
    pub envelope: ObjectSpan,
    /// Image of each area, by area id.
    pub areas: Vec<(u32, ObjectSpan)>,
}

impl Store {
    /// Remembers a bundle; one of the same manifest is replaced: it was signed anew.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put_bundle(&self, bundle: &Bundle, objects: &BundleObjects) -> Result<(), StoreError> {
        let sql = "INSERT INTO bundles (manifest, name, version, pushed_at, document, objects) \
                   VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (manifest) DO UPDATE SET \
                   pushed_at = excluded.pushed_at, document = excluded.document, objects = excluded.objects";
        sqlx::query(sql)
            .bind(bundle.manifest.0.to_vec())
            .bind(&bundle.name)
            .bind(&bundle.version)
            .bind(bundle.pushed_at.0)
            .bind(to_json(bundle, "bundle")?)
            .bind(to_json(objects, "bundle's objects")?)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// The bundle.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn bundle(&self, manifest: ManifestDigest) -> Result<Option<Bundle>, StoreError> {
        let row = sqlx::query("SELECT document FROM bundles WHERE manifest = ?")
            .bind(manifest.0.to_vec())
            .fetch_optional(&self.reader)
            .await?;
        row.as_ref().map(read_bundle).transpose()
    }

    /// Where the bundle's bytes lie.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn bundle_objects(
        &self,
        manifest: ManifestDigest,
    ) -> Result<Option<BundleObjects>, StoreError> {
        let row = sqlx::query("SELECT objects FROM bundles WHERE manifest = ?")
            .bind(manifest.0.to_vec())
            .fetch_optional(&self.reader)
            .await?;
        let Some(row) = row else { return Ok(None) };
        from_json(row.try_get("objects")?, "bundle's objects").map(Some)
    }

    /// Bundles whose digest begins with `prefix` (hexadecimal), at most two: enough to see ambiguity.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn bundles_with_prefix(&self, prefix: &str) -> Result<Vec<Bundle>, StoreError> {
        let sql = "SELECT document FROM bundles WHERE substr(lower(hex(manifest)), 1, ?) = ? LIMIT 2";
        let len = i64::try_from(prefix.len()).unwrap_or(i64::MAX);
        let rows = sqlx::query(sql).bind(len).bind(prefix.to_lowercase()).fetch_all(&self.reader).await?;
        rows.iter().map(read_bundle).collect()
    }

    /// The bundle of this name pushed last, of this version if given.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn newest_bundle(
        &self,
        name: &str,
        version: Option<&str>,
    ) -> Result<Option<Bundle>, StoreError> {
        let sql = "SELECT document FROM bundles WHERE name = ?1 AND (?2 IS NULL OR version = ?2) \
                   ORDER BY pushed_at DESC LIMIT 1";
        let row = sqlx::query(sql).bind(name).bind(version).fetch_optional(&self.reader).await?;
        row.as_ref().map(read_bundle).transpose()
    }

    /// Bundles pushed before `before`, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn bundles(&self, before: Option<Timestamp>, limit: u32) -> Result<Vec<Bundle>, StoreError> {
        let sql = "SELECT document FROM bundles WHERE pushed_at < ? ORDER BY pushed_at DESC LIMIT ?";
        let before = before.map_or(i64::MAX, |at| at.0);
        let rows = sqlx::query(sql).bind(before).bind(i64::from(limit)).fetch_all(&self.reader).await?;
        rows.iter().map(read_bundle).collect()
    }
}

fn read_bundle(row: &SqliteRow) -> Result<Bundle, StoreError> {
    from_json(row.try_get("document")?, "bundle")
}
