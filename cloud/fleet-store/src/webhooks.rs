//! Where messages of devices are posted to, and how far each post is.

use bulkhead_cloud_api::{Delivery, DeliveryState, Message, Timestamp, Webhook, to_hex};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::messages::read_message;
use crate::{Store, StoreError};

/// Start of every secret, so that one is recognised where it does not belong.
const SECRET_PREFIX: &str = "whs_";

/// A delivery whose time has come, with all that its post needs.
#[derive(Clone, Debug)]
pub struct DueDelivery {
    /// Its number.
    pub id: i64,
    /// How often it was tried.
    pub attempts: u32,
    /// Where it goes.
    pub url: String,
    /// Key of its signature.
    pub secret: String,
    /// What it tells.
    pub message: Message,
}

/// What came of an attempt.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AttemptOutcome {
    /// How far the delivery is.
    pub state: DeliveryState,
    /// When it is tried next, if it is pending.
    pub next_attempt_at: Timestamp,
    /// Status of the answer.
    pub status: Option<u16>,
    /// Why there was none.
    pub error: Option<String>,
}

impl Store {
    /// Makes a webhook; returns it and its secret.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn create_webhook(
        &self,
        url: &str,
        account: &str,
        now: Timestamp,
    ) -> Result<(Webhook, String), StoreError> {
        let mut random = [0; 24];
        getrandom::fill(&mut random).map_err(|_| StoreError::Damaged("random source of this machine"))?;
        let secret = format!("{SECRET_PREFIX}{}", to_hex(&random));
        let sql =
            "INSERT INTO webhooks (url, secret, created_at, created_by) VALUES (?, ?, ?, ?) RETURNING *";
        let row = sqlx::query(sql)
            .bind(url)
            .bind(&secret)
            .bind(now.0)
            .bind(account)
            .fetch_one(&self.writer)
            .await?;
        Ok((read_webhook(&row)?, secret))
    }

    /// Every webhook.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn webhooks(&self) -> Result<Vec<Webhook>, StoreError> {
        let rows = sqlx::query("SELECT * FROM webhooks ORDER BY id").fetch_all(&self.reader).await?;
        rows.iter().map(read_webhook).collect()
    }

    /// Removes a webhook and what is on its way to it; `false` if there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete_webhook(&self, id: i64) -> Result<bool, StoreError> {
        let gone = sqlx::query("DELETE FROM webhooks WHERE id = ?").bind(id).execute(&self.writer).await?;
        Ok(gone.rows_affected() > 0)
    }

    /// Deliveries to a webhook whose time has come, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn due_deliveries(
        &self,
        webhook: i64,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<DueDelivery>, StoreError> {
        let sql = "SELECT m.*, d.id AS delivery_id, d.attempts AS delivery_attempts, w.url, w.secret \
                   FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id JOIN messages m ON m.id = d.message_id \
                   WHERE d.webhook_id = ? AND d.state = 'pending' AND d.next_attempt_at <= ? \
                   ORDER BY d.next_attempt_at, d.id LIMIT ?";
        let rows =
            sqlx::query(sql).bind(webhook).bind(now.0).bind(i64::from(limit)).fetch_all(&self.reader).await?;
        rows.iter()
            .map(|row| {
                Ok(DueDelivery {
                    id: row.try_get("delivery_id")?,
                    attempts: count(row, "delivery_attempts")?,
                    url: row.try_get("url")?,
                    secret: row.try_get("secret")?,
                    message: read_message(row)?,
                })
            })
            .collect()
    }

    /// Writes down what came of an attempt.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn record_attempt(
        &self,
        delivery: i64,
        outcome: &AttemptOutcome,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE deliveries SET state = ?, attempts = attempts + 1, next_attempt_at = ?, \
                   last_status = ?, last_error = ?, updated_at = ? WHERE id = ?";
        sqlx::query(sql)
            .bind(state_text(outcome.state))
            .bind(outcome.next_attempt_at.0)
            .bind(outcome.status.map(i64::from))
            .bind(outcome.error.as_deref())
            .bind(now.0)
            .bind(delivery)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Deliveries to a webhook numbered below `before`, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn deliveries(
        &self,
        webhook: i64,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        // In the order of numbers: the index would have all deliveries of the webhook sorted for one page.
        let sql =
            "SELECT * FROM deliveries NOT INDEXED WHERE webhook_id = ? AND id < ? ORDER BY id DESC LIMIT ?";
        let rows = sqlx::query(sql)
            .bind(webhook)
            .bind(before.unwrap_or(i64::MAX))
            .bind(i64::from(limit))
            .fetch_all(&self.reader)
            .await?;
        rows.iter().map(read_delivery).collect()
    }
}

fn state_text(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Pending => "pending",
        DeliveryState::Delivered => "delivered",
        DeliveryState::Failed => "failed",
    }
}

fn count(row: &SqliteRow, column: &str) -> Result<u32, StoreError> {
    u32::try_from(row.try_get::<i64, _>(column)?).map_err(|_| StoreError::Damaged("delivery"))
}

fn read_webhook(row: &SqliteRow) -> Result<Webhook, StoreError> {
    Ok(Webhook {
        id: row.try_get("id")?,
        url: row.try_get("url")?,
        created_at: Timestamp(row.try_get("created_at")?),
        created_by: row.try_get("created_by")?,
    })
}

fn read_delivery(row: &SqliteRow) -> Result<Delivery, StoreError> {
    let state: String = row.try_get("state")?;
    let all = [DeliveryState::Pending, DeliveryState::Delivered, DeliveryState::Failed];
    let state = all.into_iter().find(|known| state_text(*known) == state);
    let state = state.ok_or(StoreError::Damaged("delivery"))?;
    let next = Timestamp(row.try_get("next_attempt_at")?);
    let status: Option<i64> = row.try_get("last_status")?;
    Ok(Delivery {
        id: row.try_get("id")?,
        webhook_id: row.try_get("webhook_id")?,
        message_id: row.try_get("message_id")?,
        state,
        attempts: count(row, "attempts")?,
        next_attempt_at: (state == DeliveryState::Pending).then_some(next),
        last_status: status.and_then(|status| u16::try_from(status).ok()),
        last_error: row.try_get("last_error")?,
        updated_at: Timestamp(row.try_get("updated_at")?),
    })
}
