//! Configuration and secrets. A secret goes in and never comes out.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use bulkhead_cloud_api::{
    CONFIG_KEYS_MAX, CONFIG_VALUE_LEN_MAX, ConfigItem, ConfigScope, DeviceConfiguration, DeviceId,
    ProblemCode, SetConfig, Timestamp, as_text, check_config_key, to_base64,
};
use bulkhead_fleet_store::{ConfigOutcome, StoredConfig};
use serde_json::json;

use super::devices::owned;
use super::messages::bytes_of;
use crate::caller::{Caller, Deploy, Read};
use crate::failure::{Failure, JsonBody, PathPair, PathPart};
use crate::state::AppState;

/// What is set for every device.
#[utoipa::path(get, path = "/configuration", tag = "configuration",
    responses((status = 200, body = Vec<ConfigItem>), (status = 403, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn of_fleet(
    State(state): State<AppState>,
    _: Caller<Read>,
) -> Result<Json<Vec<ConfigItem>>, Failure> {
    Ok(Json(state.store.config_of(None).await?.iter().map(shown).collect()))
}

/// What counts for a device: its own values before those for every device, and whether it has them.
#[utoipa::path(get, path = "/devices/{device}/configuration", tag = "configuration",
    params(("device" = String, Path, description = "Id or name")),
    responses((status = 200, body = DeviceConfiguration), (status = 404, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn of_device(
    State(state): State<AppState>,
    _: Caller<Read>,
    PathPart(device): PathPart,
) -> Result<Json<DeviceConfiguration>, Failure> {
    let device = state.find_device(&device).await?;
    let effective = state.store.effective_config(device.id).await?;
    let applied = state.store.config_state(device.id).await?;
    let in_sync = effective.revision == 0
        || applied.as_ref().is_some_and(|applied| applied.revision == effective.revision);
    let items = effective.entries.iter().map(shown).collect();
    Ok(Json(DeviceConfiguration { revision: effective.revision, in_sync, items, applied }))
}

/// Sets a value for every device.
#[utoipa::path(put, path = "/configuration/{key}", tag = "configuration", request_body = SetConfig,
    params(("key" = String, Path, description = "1 to 32 printable ASCII characters")),
    responses((status = 200, body = ConfigItem), (status = 409, body = bulkhead_cloud_api::Problem),
              (status = 413, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn set_for_fleet(
    State(state): State<AppState>,
    caller: Caller<Deploy>,
    PathPart(key): PathPart,
    JsonBody(body): JsonBody<SetConfig>,
) -> Result<Json<ConfigItem>, Failure> {
    set(&state, &caller, None, &key, &body).await
}

/// Sets a value for one device, before what is set for every device.
#[utoipa::path(put, path = "/devices/{device}/configuration/{key}", tag = "configuration",
    request_body = SetConfig,
    params(("device" = String, Path, description = "Id or name"),
           ("key" = String, Path, description = "1 to 32 printable ASCII characters")),
    responses((status = 200, body = ConfigItem), (status = 409, body = bulkhead_cloud_api::Problem),
              (status = 413, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn set_for_device(
    State(state): State<AppState>,
    caller: Caller<Deploy>,
    PathPair(device, key): PathPair,
    JsonBody(body): JsonBody<SetConfig>,
) -> Result<Json<ConfigItem>, Failure> {
    let device = owned(state.find_device(&device).await?)?;
    set(&state, &caller, Some(device.id), &key, &body).await
}

/// Removes a value for every device.
#[utoipa::path(delete, path = "/configuration/{key}", tag = "configuration",
    params(("key" = String, Path, description = "The key")),
    responses((status = 204), (status = 404, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn remove_from_fleet(
    State(state): State<AppState>,
    caller: Caller<Deploy>,
    PathPart(key): PathPart,
) -> Result<StatusCode, Failure> {
    remove(&state, &caller, None, &key).await
}

/// Removes a value of one device; what is set for every device counts again.
#[utoipa::path(delete, path = "/devices/{device}/configuration/{key}", tag = "configuration",
    params(("device" = String, Path, description = "Id or name"),
           ("key" = String, Path, description = "The key")),
    responses((status = 204), (status = 404, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn remove_from_device(
    State(state): State<AppState>,
    caller: Caller<Deploy>,
    PathPair(device, key): PathPair,
) -> Result<StatusCode, Failure> {
    let device = owned(state.find_device(&device).await?)?;
    remove(&state, &caller, Some(device.id), &key).await
}

async fn set(
    state: &AppState,
    caller: &Caller<Deploy>,
    device: Option<DeviceId>,
    key: &str,
    body: &SetConfig,
) -> Result<Json<ConfigItem>, Failure> {
    check_config_key(key).map_err(|(code, detail)| {
        Failure::of(code, detail, "use 1 to 32 printable ASCII characters without spaces")
    })?;
    let value = bytes_of(body.value.as_deref(), body.text.as_deref(), "value")?;
    if value.len() > CONFIG_VALUE_LEN_MAX {
        let detail = format!("the value of `{key}` has {} bytes", value.len());
        let next = format!("keep it within {CONFIG_VALUE_LEN_MAX} bytes; split it over several keys");
        return Err(Failure::of(ProblemCode::ValueTooLong, detail, next));
    }
    let (account, now) = (&caller.token.account, Timestamp::now());
    let value = Some((value.as_slice(), body.secret));
    if state.store.set_config(device, key, value, account, now).await? == ConfigOutcome::TooMany {
        // Said to whoever sets one too many, not to the device.
        let detail = format!("a device would have more than {CONFIG_KEYS_MAX} keys with `{key}`");
        let next = "remove keys with `bulkhead config rm` first";
        return Err(Failure::of(ProblemCode::ConfigurationFull, detail, next));
    }
    tell(state, caller, device, key, "set-configuration").await?;
    let items = state.store.config_of(device).await?;
    let item = items.iter().find(|item| item.key == key).map(shown);
    item.map(Json).ok_or_else(|| Failure::internal(&"a value that was just set is gone"))
}

async fn remove(
    state: &AppState,
    caller: &Caller<Deploy>,
    device: Option<DeviceId>,
    key: &str,
) -> Result<StatusCode, Failure> {
    let account = &caller.token.account;
    let outcome = state.store.set_config(device, key, None, account, Timestamp::now()).await?;
    if outcome == ConfigOutcome::NothingToRemove {
        let shown: String = key.chars().take(40).collect();
        let detail = format!("`{shown}` is not set here");
        return Err(Failure::of(ProblemCode::NotFound, detail, "see what is with `bulkhead config ls`"));
    }
    tell(state, caller, device, key, "remove-configuration").await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn tell(
    state: &AppState,
    caller: &Caller<Deploy>,
    device: Option<DeviceId>,
    key: &str,
    action: &str,
) -> Result<(), Failure> {
    let whose = device.map_or_else(|| "every device".to_owned(), |id| id.to_string());
    state.audit(&caller.token, action, &format!("{whose} {key}")).await?;
    state.event("configuration", device, json!({ "action": action, "key": key })).await?;
    state.gateway.configuration_changed(device);
    Ok(())
}

/// A value as the API tells it: never the value of a secret.
fn shown(stored: &StoredConfig) -> ConfigItem {
    let open = (!stored.secret).then_some(&stored.value);
    ConfigItem {
        key: stored.key.clone(),
        scope: if stored.of_device { ConfigScope::Device } else { ConfigScope::Fleet },
        value: open.map(|value| to_base64(value)),
        text: open.and_then(|value| as_text(value)),
        secret: stored.secret,
        length: u32::try_from(stored.value.len()).unwrap_or(u32::MAX),
        version: stored.version,
        set_at: stored.set_at,
        set_by: stored.set_by.clone(),
    }
}
