//! Tokens of the API. The secret is hashed with SHA-256: it is random, so there is nothing to slow down.

use bulkhead_cloud_api::{CreatedToken, NewToken, Role, Timestamp, Token, to_hex};
use sha2::{Digest as _, Sha256};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::error::{fixed, from_json, to_json};
use crate::{Store, StoreError};

/// Letters before every token, so that a scanner of source code can find one.
const TOKEN_PREFIX: &str = "bht";

/// Why a token was not accepted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TokenRejected {
    /// Malformed, unknown, revoked, or with another secret. Not told apart, on purpose.
    Unknown,
    /// It was good once.
    Expired,
}

/// Outcome of [`Store::check_token`].
pub type TokenCheck = Result<Token, TokenRejected>;

impl Store {
    /// Makes a token. Its secret is returned once and kept nowhere.
    ///
    /// # Errors
    /// [`StoreError`], also if the system has no randomness to give.
    pub async fn create_token(&self, new: &NewToken, now: Timestamp) -> Result<CreatedToken, StoreError> {
        let (mut id, mut secret) = ([0; 8], [0; 32]);
        getrandom::fill(&mut id).map_err(|_| StoreError::Damaged("random source"))?;
        getrandom::fill(&mut secret).map_err(|_| StoreError::Damaged("random source"))?;
        let (id, secret) = (to_hex(&id), to_hex(&secret));
        let expires_at = new.expires_in_s.map(|seconds| now.plus_seconds(i64::from(seconds)));
        let token = Token {
            id,
            account: new.account.clone(),
            name: new.name.clone(),
            roles: new.roles.clone(),
            created_at: now,
            expires_at,
        };
        let sql = "INSERT INTO tokens (id, secret_sha256, account, name, roles, created_at, expires_at) \
                   VALUES (?, ?, ?, ?, ?, ?, ?)";
        sqlx::query(sql)
            .bind(&token.id)
            .bind(Sha256::digest(secret.as_bytes()).to_vec())
            .bind(&token.account)
            .bind(&token.name)
            .bind(to_json(&token.roles, "roles")?)
            .bind(now.0)
            .bind(expires_at.map(|at| at.0))
            .execute(&self.writer)
            .await?;
        let secret = format!("{TOKEN_PREFIX}_{}_{secret}", token.id);
        Ok(CreatedToken { token, secret })
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn check_token(&self, text: &str, now: Timestamp) -> Result<TokenCheck, StoreError> {
        let mut parts = text.splitn(3, '_');
        let (Some(TOKEN_PREFIX), Some(id), Some(secret)) = (parts.next(), parts.next(), parts.next()) else {
            return Ok(Err(TokenRejected::Unknown));
        };
        let row =
            sqlx::query("SELECT * FROM tokens WHERE id = ?").bind(id).fetch_optional(&self.reader).await?;
        let Some(row) = row else { return Ok(Err(TokenRejected::Unknown)) };
        let expected: [u8; 32] = fixed(row.try_get("secret_sha256")?, "token hash")?;
        let shown: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
        // Hashes of what the caller sent are compared, so the time of comparison tells nothing of the secret.
        if expected != shown {
            return Ok(Err(TokenRejected::Unknown));
        }
        let token = read_token(&row)?;
        if token.expires_at.is_some_and(|at| at <= now) {
            return Ok(Err(TokenRejected::Expired));
        }
        Ok(Ok(token))
    }

    /// Every token, by age.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        let rows = sqlx::query("SELECT * FROM tokens ORDER BY created_at").fetch_all(&self.reader).await?;
        rows.iter().map(read_token).collect()
    }

    /// Ends a token; `false` if there is none of that id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revoke_token(&self, id: &str) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM tokens WHERE id = ?").bind(id).execute(&self.writer).await?;
        let is_gone = done.rows_affected() == 1;
        if is_gone {
            // Nobody listening is no failure.
            let _ = self.revoked_tokens.send(id.to_owned());
        }
        Ok(is_gone)
    }

    /// Whether a token of that id exists, expired or not.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn has_token(&self, id: &str) -> Result<bool, StoreError> {
        let row =
            sqlx::query("SELECT 1 FROM tokens WHERE id = ?").bind(id).fetch_optional(&self.reader).await?;
        Ok(row.is_some())
    }
}

fn read_token(row: &SqliteRow) -> Result<Token, StoreError> {
    let roles: Vec<Role> = from_json(row.try_get("roles")?, "roles")?;
    Ok(Token {
        id: row.try_get("id")?,
        account: row.try_get("account")?,
        name: row.try_get("name")?,
        roles,
        created_at: Timestamp(row.try_get("created_at")?),
        expires_at: row.try_get::<Option<i64>, _>("expires_at")?.map(Timestamp),
    })
}
