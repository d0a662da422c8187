//! Configurations: what is set for every device, what for one, and what a device said that it has.

use bulkhead_cloud_api::{AppliedConfiguration, CONFIG_KEYS_MAX, DeviceId, Timestamp};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use crate::error::{from_json, to_json};
use crate::{Store, StoreError};

/// A value as it is stored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredConfig {
    /// Key.
    pub key: String,
    /// Whether it is for one device, before what is for every device.
    pub of_device: bool,
    /// Value.
    pub value: Vec<u8>,
    /// Whether it is a secret.
    pub secret: bool,
    /// Rises over all keys.
    pub version: u32,
    /// When it was set.
    pub set_at: Timestamp,
    /// By which account.
    pub set_by: String,
}

/// What a device shall have.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct EffectiveConfiguration {
    /// Another for each set; 0 if nothing was ever set.
    pub revision: u32,
    /// In the order of keys.
    pub entries: Vec<StoredConfig>,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ConfigOutcome {
    /// Done.
    Changed,
    /// There was nothing to remove.
    NothingToRemove,
    /// A device would have more keys than it has room for.
    TooMany,
}

fn scope_bytes(device: Option<DeviceId>) -> Vec<u8> {
    device.map(|id| id.0.to_vec()).unwrap_or_default()
}

impl Store {
    /// Sets a value for one device, or for every device; `None` removes it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_config(
        &self,
        device: Option<DeviceId>,
        key: &str,
        value: Option<(&[u8], bool)>,
        account: &str,
        now: Timestamp,
    ) -> Result<ConfigOutcome, StoreError> {
        let mut transaction = self.writer.begin_with(crate::BEGIN).await?;
        let scope = scope_bytes(device);
        let before = sqlx::query("SELECT value, secret FROM configuration WHERE scope = ? AND key = ?")
            .bind(&scope)
            .bind(key)
            .fetch_optional(&mut *transaction)
            .await?;
        let was_there = match &before {
            Some(row) => row.try_get::<Option<Vec<u8>>, _>("value")?.is_some(),
            None => false,
        };
        let was_secret = match &before {
            Some(row) => was_there && row.try_get::<i64, _>("secret")? != 0,
            None => false,
        };
        if value.is_none() && !was_there {
            return Ok(ConfigOutcome::NothingToRemove);
        }
        if value.is_some() && !was_there && !has_room(&mut transaction, device, key).await? {
            return Ok(ConfigOutcome::TooMany);
        }
        let newest: i64 = sqlx::query("SELECT coalesce(max(version), 0) FROM configuration")
            .fetch_one(&mut *transaction)
            .await?
            .try_get(0)?;
        // Versions rise for a device even if this database is lost: they begin with the time.
        let version = newest.saturating_add(1).max(now.0.div_euclid(1_000_000));
        sqlx::query("DELETE FROM configuration WHERE scope = ? AND key = ?")
            .bind(&scope)
            .bind(key)
            .execute(&mut *transaction)
            .await?;
        let sql = "INSERT INTO configuration (version, scope, key, value, secret, set_at, set_by) \
                   VALUES (?, ?, ?, ?, ?, ?, ?)";
        sqlx::query(sql)
            .bind(version)
            .bind(&scope)
            .bind(key)
            .bind(value.map(|(value, _)| value.to_vec()))
            .bind(i64::from(value.is_some_and(|(_, secret)| secret || was_secret)))
            .bind(now.0)
            .bind(account)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(ConfigOutcome::Changed)
    }

    /// What is set for every device, or for one alone, in the order of keys.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn config_of(&self, device: Option<DeviceId>) -> Result<Vec<StoredConfig>, StoreError> {
        let sql = "SELECT * FROM configuration WHERE scope = ? AND value IS NOT NULL ORDER BY key";
        let rows = sqlx::query(sql).bind(scope_bytes(device)).fetch_all(&self.reader).await?;
        rows.iter().map(read_config).collect()
    }

    /// What a device shall have: its own values before those for every device.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn effective_config(&self, device: DeviceId) -> Result<EffectiveConfiguration, StoreError> {
        let sql = "SELECT * FROM configuration WHERE scope IN (x'', ?) ORDER BY key, length(scope) DESC";
        let rows = sqlx::query(sql).bind(device.0.to_vec()).fetch_all(&self.reader).await?;
        let mut effective = EffectiveConfiguration::default();
        for row in &rows {
            let version: i64 = row.try_get("version")?;
            let version =
                u32::try_from(version).map_err(|_| StoreError::Damaged("version of a configuration"))?;
            effective.revision = effective.revision.max(version);
            if row.try_get::<Option<Vec<u8>>, _>("value")?.is_none() {
                continue;
            }
            let config = read_config(row)?;
            if effective.entries.last().is_none_or(|last| last.key != config.key) {
                effective.entries.push(config);
            }
        }
        effective.entries.sort_by(|one, other| one.key.as_bytes().cmp(other.key.as_bytes()));
        Ok(effective)
    }

    /// Keeps what a device said of its configuration, unless on a link that has a newer one; `false` then
    /// (see [`Self::record_reported`]).
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn record_config_state(
        &self,
        device: DeviceId,
        state: &AppliedConfiguration,
        is_newest: impl FnOnce() -> bool,
    ) -> Result<bool, StoreError> {
        let mut turn = self.reporter.acquire().await?;
        if !is_newest() {
            return Ok(false);
        }
        let sql = "INSERT INTO configuration_states (device_id, state) VALUES (?, ?) \
                   ON CONFLICT (device_id) DO UPDATE SET state = excluded.state";
        sqlx::query(sql)
            .bind(device.0.to_vec())
            .bind(to_json(state, "configuration")?)
            .execute(&mut *turn)
            .await?;
        Ok(true)
    }

    /// What a device said last of its configuration.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn config_state(&self, device: DeviceId) -> Result<Option<AppliedConfiguration>, StoreError> {
        let row = sqlx::query("SELECT state FROM configuration_states WHERE device_id = ?")
            .bind(device.0.to_vec())
            .fetch_optional(&self.reader)
            .await?;
        row.map(|row| from_json(row.try_get("state")?, "configuration")).transpose()
    }
}

/// Whether a device with `key` set, or each one with `key` set for all, has no more keys than it has room for.
async fn has_room(
    transaction: &mut Transaction<'_, Sqlite>,
    device: Option<DeviceId>,
    key: &str,
) -> Result<bool, StoreError> {
    // Those for every device, and of a device's own those of other names.
    const OF_FLEET: &str =
        "SELECT count(*) FROM configuration WHERE scope = x'' AND value IS NOT NULL AND key <> ?1";
    const OWN: &str = "SELECT coalesce(max(own), 0) FROM (SELECT count(*) AS own FROM configuration AS c \
         WHERE scope <> x'' AND (?2 IS NULL OR scope = ?2) AND value IS NOT NULL AND key <> ?1 \
         AND NOT EXISTS (SELECT 1 FROM configuration AS f \
         WHERE f.scope = x'' AND f.key = c.key AND f.value IS NOT NULL) GROUP BY scope)";
    let of_fleet: i64 = sqlx::query(OF_FLEET).bind(key).fetch_one(&mut **transaction).await?.try_get(0)?;
    let device = device.map(|id| id.0.to_vec());
    let own: i64 = sqlx::query(OWN).bind(key).bind(device).fetch_one(&mut **transaction).await?.try_get(0)?;
    let others = usize::try_from(of_fleet.saturating_add(own)).unwrap_or(usize::MAX);
    Ok(others < CONFIG_KEYS_MAX)
}

fn read_config(row: &SqliteRow) -> Result<StoredConfig, StoreError> {
    let version: i64 = row.try_get("version")?;
    Ok(StoredConfig {
        key: row.try_get("key")?,
        of_device: !row.try_get::<Vec<u8>, _>("scope")?.is_empty(),
        value: row.try_get::<Option<Vec<u8>>, _>("value")?.unwrap_or_default(),
        secret: row.try_get::<i64, _>("secret")? != 0,
        version: u32::try_from(version).map_err(|_| StoreError::Damaged("version of a configuration"))?,
        set_at: Timestamp(row.try_get("set_at")?),
        set_by: row.try_get("set_by")?,
    })
}
