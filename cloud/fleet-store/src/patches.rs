//! Patches: by the images they lead from and to, and where their bytes lie.

use bulkhead_cloud_api::Timestamp;
use sqlx::Row;

use crate::{ObjectSpan, Store, StoreError};

/// What a patch leads from and to, and in which format.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct PatchKey {
    /// SHA-256 of the old image; zeros for none.
    pub old: [u8; 32],
    /// SHA-256 of the new image.
    pub new: [u8; 32],
    /// Version and limits of the format.
    pub format: String,
}

impl Store {
    /// Remembers where a patch lies.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put_patch(
        &self,
        key: &PatchKey,
        object: ObjectSpan,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO patches (old, new, format, object, length, made_at) \
                   VALUES (?, ?, ?, ?, ?, ?)";
        sqlx::query(sql)
            .bind(key.old.to_vec())
            .bind(key.new.to_vec())
            .bind(&key.format)
            .bind(object.digest.to_vec())
            .bind(i64::from(object.len))
            .bind(now.0)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Where the patch lies, if one was made.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn patch(&self, key: &PatchKey) -> Result<Option<ObjectSpan>, StoreError> {
        let row = sqlx::query("SELECT object, length FROM patches WHERE old = ? AND new = ? AND format = ?")
            .bind(key.old.to_vec())
            .bind(key.new.to_vec())
            .bind(&key.format)
            .fetch_optional(&self.reader)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let object: Vec<u8> = row.try_get("object")?;
        let digest = object.try_into().map_err(|_| StoreError::Damaged("digest of a patch"))?;
        let len = u32::try_from(row.try_get::<i64, _>("length")?)
            .map_err(|_| StoreError::Damaged("length of a patch"))?;
        Ok(Some(ObjectSpan { digest, len }))
    }
}
