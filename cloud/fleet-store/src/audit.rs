//! The audit log: append-only, each entry hashed together with the hash before it.

use bulkhead_cloud_api::{AuditEntry, Timestamp, to_hex};
use sha2::{Digest as _, Sha256};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::error::fixed;
use crate::{Store, StoreError};

/// Hash before the first entry.
const GENESIS: [u8; 32] = [0; 32];

/// The first entry that does not follow from the one before it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AuditBroken {
    /// Its number.
    pub id: i64,
}

impl Store {
    /// Appends an entry.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn append_audit(
        &self,
        account: &str,
        token_id: &str,
        action: &str,
        subject: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin_with(crate::BEGIN).await?;
        let last = sqlx::query("SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1")
            .fetch_optional(&mut *transaction)
            .await?;
        let (id, previous) = match last {
            Some(row) => (row.try_get::<i64, _>("id")? + 1, fixed(row.try_get("hash")?, "audit hash")?),
            None => (1, GENESIS),
        };
        let hash = entry_hash(&previous, id, at, [account, token_id, action, subject]);
        let sql = "INSERT INTO audit (id, at, account, token_id, action, subject, hash) VALUES (?, ?, ?, ?, ?, ?, ?)";
        sqlx::query(sql)
            .bind(id)
            .bind(at.0)
            .bind(account)
            .bind(token_id)
            .bind(action)
            .bind(subject)
            .bind(hash.to_vec())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Entries numbered below `before`, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn audit(&self, before: Option<i64>, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        let rows = sqlx::query("SELECT * FROM audit WHERE id < ? ORDER BY id DESC LIMIT ?")
            .bind(before.unwrap_or(i64::MAX))
            .bind(i64::from(limit))
            .fetch_all(&self.reader)
            .await?;
        rows.iter().map(read_entry).collect()
    }

    /// Recomputes the whole chain.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn verify_audit(&self) -> Result<Result<(), AuditBroken>, StoreError> {
        let (mut previous, mut expected_id) = (GENESIS, 1);
        loop {
            let rows = sqlx::query("SELECT * FROM audit WHERE id >= ? ORDER BY id LIMIT 1000")
                .bind(expected_id)
                .fetch_all(&self.reader)
                .await?;
            if rows.is_empty() {
                return Ok(Ok(()));
            }
            for row in &rows {
                let entry = read_entry(row)?;
                let texts = [&*entry.account, &*entry.token_id, &*entry.action, &*entry.subject];
                let hash = entry_hash(&previous, entry.id, entry.at, texts);
                if entry.id != expected_id || to_hex(&hash) != entry.hash {
                    return Ok(Err(AuditBroken { id: entry.id }));
                }
                (previous, expected_id) = (hash, expected_id + 1);
            }
        }
    }
}

/// SHA-256 over the previous hash, the numbers, and each text behind its length.
fn entry_hash(previous: &[u8; 32], id: i64, at: Timestamp, texts: [&str; 4]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(previous);
    hash.update(id.to_be_bytes());
    hash.update(at.0.to_be_bytes());
    for text in texts {
        hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(text);
    }
    hash.finalize().into()
}

fn read_entry(row: &SqliteRow) -> Result<AuditEntry, StoreError> {
    let hash: Vec<u8> = row.try_get("hash")?;
    Ok(AuditEntry {
        id: row.try_get("id")?,
        at: Timestamp(row.try_get("at")?),
        account: row.try_get("account")?,
        token_id: row.try_get("token_id")?,
        action: row.try_get("action")?,
        subject: row.try_get("subject")?,
        hash: to_hex(&hash),
    })
}
