//! Binding a device to an account by its one-time token.

use bulkhead_cloud_api::{DeviceId, Timestamp};
use sha2::{Digest as _, Sha256};
use sqlx::Row;

use crate::error::fixed;
use crate::{Store, StoreError};

/// What became of a claim.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClaimOutcome {
    /// The device belongs to the account.
    Claimed,
    /// Nobody registered the device; it is claimed once it connects and shows the same token.
    WaitsForDevice,
    /// The token is not the device's.
    WrongToken,
    /// It belongs to an account already.
    AlreadyClaimed,
}

/// Most unconfirmed claims that one device id may gather, so that guessing fills no disk.
const CLAIM_REQUESTS_MAX: i64 = 16;

impl Store {
    /// Binds a device to `account` if `token` is its one-time token.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`]: another device has the name.
    pub async fn claim_device(
        &self,
        id: DeviceId,
        token: &[u8; 16],
        account: &str,
        name: Option<&str>,
        now: Timestamp,
    ) -> Result<ClaimOutcome, StoreError> {
        let hash: [u8; 32] = Sha256::digest(token).into();
        let row = sqlx::query("SELECT claim_token_sha256, claimed_by FROM devices WHERE id = ?")
            .bind(id.0.to_vec())
            .fetch_optional(&self.reader)
            .await?;
        let Some(row) = row else { return self.request_claim(id, hash, account, name, now).await };
        if row.try_get::<Option<String>, _>("claimed_by")?.is_some() {
            return Ok(ClaimOutcome::AlreadyClaimed);
        }
        let expected: Option<Vec<u8>> = row.try_get("claim_token_sha256")?;
        let expected = expected.map(|bytes| fixed::<32>(bytes, "claim token hash")).transpose()?;
        if expected != Some(hash) {
            return Ok(ClaimOutcome::WrongToken);
        }
        self.bind_device(id, account, name, now).await
    }

    /// Registers and binds a device that nobody registered, if somebody claimed it with the token it shows.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn confirm_claim(
        &self,
        id: DeviceId,
        public_key: &[u8; 32],
        token: &[u8; 16],
        now: Timestamp,
    ) -> Result<Option<String>, StoreError> {
        let hash: [u8; 32] = Sha256::digest(token).into();
        let sql = "SELECT account, name FROM claim_requests WHERE device_id = ? AND claim_token_sha256 = ?";
        let row =
            sqlx::query(sql).bind(id.0.to_vec()).bind(hash.to_vec()).fetch_optional(&self.reader).await?;
        let Some(row) = row else { return Ok(None) };
        let (account, name): (String, Option<String>) = (row.try_get("account")?, row.try_get("name")?);
        let mut new = crate::NewDevice { id, public_key: *public_key, claim_token_sha256: Some(hash), name };
        match self.register_device(&new, now).await {
            Ok(_) => {}
            // The name was given away while the device was on its way; the device matters more.
            Err(StoreError::NameTaken) => {
                new.name = None;
                self.register_device(&new, now).await?;
            }
            Err(error) => return Err(error),
        }
        let outcome = self.bind_device(id, &account, None, now).await?;
        sqlx::query("DELETE FROM claim_requests WHERE device_id = ?")
            .bind(id.0.to_vec())
            .execute(&self.writer)
            .await?;
        Ok((outcome == ClaimOutcome::Claimed).then_some(account))
    }

    async fn bind_device(
        &self,
        id: DeviceId,
        account: &str,
        name: Option<&str>,
        now: Timestamp,
    ) -> Result<ClaimOutcome, StoreError> {
        // The condition makes two claims at once end with one owner; the hash goes, the token is spent.
        let sql = "UPDATE devices SET claimed_by = ?, claimed_at = ?, name = coalesce(?, name), \
                   claim_token_sha256 = NULL WHERE id = ? AND claimed_by IS NULL";
        let done = sqlx::query(sql)
            .bind(account)
            .bind(now.0)
            .bind(name)
            .bind(id.0.to_vec())
            .execute(&self.writer)
            .await?;
        Ok(if done.rows_affected() == 1 { ClaimOutcome::Claimed } else { ClaimOutcome::AlreadyClaimed })
    }

    async fn request_claim(
        &self,
        id: DeviceId,
        hash: [u8; 32],
        account: &str,
        name: Option<&str>,
        now: Timestamp,
    ) -> Result<ClaimOutcome, StoreError> {
        let mut transaction = self.writer.begin_with(crate::BEGIN).await?;
        let sql = "INSERT INTO claim_requests (device_id, claim_token_sha256, account, name, requested_at) \
                   VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET requested_at = excluded.requested_at";
        sqlx::query(sql)
            .bind(id.0.to_vec())
            .bind(hash.to_vec())
            .bind(account)
            .bind(name)
            .bind(now.0)
            .execute(&mut *transaction)
            .await?;
        let sql = "DELETE FROM claim_requests WHERE device_id = ?1 AND claim_token_sha256 NOT IN \
                   (SELECT claim_token_sha256 FROM claim_requests WHERE device_id = ?1 \
                    ORDER BY requested_at DESC LIMIT ?2)";
        sqlx::query(sql).bind(id.0.to_vec()).bind(CLAIM_REQUESTS_MAX).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(ClaimOutcome::WaitsForDevice)
    }
}
