//! Devices: list, show, register, claim, change, command.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use bulkhead_cloud_api::{
    ChangeDevice, ClaimDevice, CommandOutcome, CommandResult, Device, DeviceCommand, DeviceId, Page,
    ProblemCode, RegisterDevice, SendCommand, Timestamp, from_hex,
};
use bulkhead_device_gateway::device_id;
use bulkhead_fleet_store::{ClaimOutcome, DeviceFilter, NewDevice};
use serde_json::json;

use super::{Paging, page};
use crate::caller::{Caller, Command, ManageDevices, Read, RegisterDevice as MayRegister};
use crate::failure::{Failure, JsonBody, Parameters, PathPart};
use crate::state::{AppState, check_name};

/// Devices in order of id.
#[utoipa::path(get, path = "/devices", tag = "devices", params(Paging),
    responses((status = 200, body = Page<Device>), (status = 403, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn list(
    State(state): State<AppState>,
    _: Caller<Read>,
    Parameters(paging): Parameters<Paging>,
) -> Result<Json<Page<Device>>, Failure> {
    let filter = DeviceFilter { after: paging.cursor()?, limit: paging.limit() };
    let devices = state.store.devices(&filter).await?;
    let devices = devices.into_iter().map(|device| state.with_link(device)).collect();
    Ok(Json(page(devices, paging.limit(), |device: &Device| device.id.to_string())))
}

/// Registers a device that a factory made: its public key, and the hash of its claim token.
#[utoipa::path(post, path = "/devices", tag = "devices", request_body = RegisterDevice,
    responses((status = 201, body = Device), (status = 409, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn register(
    State(state): State<AppState>,
    caller: Caller<MayRegister>,
    JsonBody(body): JsonBody<RegisterDevice>,
) -> Result<(StatusCode, Json<Device>), Failure> {
    let public_key = key(&body.public_key, "public_key")?;
    let claim_token_sha256 =
        body.claim_token_sha256.as_deref().map(|text| key(text, "claim_token_sha256")).transpose()?;
    if let Some(name) = &body.name {
        check_name(name)?;
    }
    let id = device_id(&public_key);
    let new = NewDevice { id, public_key, claim_token_sha256, name: body.name };
    if !state.store.register_device(&new, Timestamp::now()).await? {
        let detail = format!("device {id} is registered already");
        return Err(Failure::of(ProblemCode::AlreadyRegistered, detail, "claim it, or make another device"));
    }
    state.audit(&caller.token, "register-device", &id.to_string()).await?;
    state.event("device-registered", Some(id), json!({ "name": new.name })).await?;
    Ok((StatusCode::CREATED, Json(state.find_device(&id.to_string()).await?)))
}

/// One device, by id or name.
#[utoipa::path(get, path = "/devices/{device}", tag = "devices",
    params(("device" = String, Path, description = "Id or name")),
    responses((status = 200, body = Device), (status = 404, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn show(
    State(state): State<AppState>,
    _: Caller<Read>,
    PathPart(device): PathPart,
) -> Result<Json<Device>, Failure> {
    Ok(Json(state.find_device(&device).await?))
}

/// Renames, bars or re-admits a device.
#[utoipa::path(patch, path = "/devices/{device}", tag = "devices", request_body = ChangeDevice,
    params(("device" = String, Path, description = "Id or name")),
    responses((status = 200, body = Device), (status = 409, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn change(
    State(state): State<AppState>,
    caller: Caller<ManageDevices>,
    PathPart(device): PathPart,
    JsonBody(body): JsonBody<ChangeDevice>,
) -> Result<Json<Device>, Failure> {
    if let Some(name) = &body.name {
        check_name(name)?;
    }
    let id = state.find_device(&device).await?.id;
    state.store.change_device(id, body.name.as_deref(), body.revoked).await?;
    if body.revoked == Some(true) {
        state.gateway.disconnect(id);
    }
    state.audit(&caller.token, "change-device", &id.to_string()).await?;
    state.event("device-changed", Some(id), json!({ "name": body.name, "revoked": body.revoked })).await?;
    Ok(Json(state.find_device(&id.to_string()).await?))
}

/// Binds a device to the caller's account by its one-time token.
///
/// A device that nobody registered is claimed once it connects and shows the same token: 202, and an event
/// `device-claimed` follows.
#[utoipa::path(post, path = "/devices/{device}/claim", tag = "devices", request_body = ClaimDevice,
    params(("device" = String, Path, description = "Id, or the name given at registration")),
    responses((status = 200, body = Device), (status = 202, description = "Waits for the device"),
              (status = 403, body = bulkhead_cloud_api::Problem), (status = 409, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn claim(
    State(state): State<AppState>,
    caller: Caller<ManageDevices>,
    PathPart(device): PathPart,
    JsonBody(body): JsonBody<ClaimDevice>,
) -> Result<(StatusCode, Json<Option<Device>>), Failure> {
    let token: [u8; 16] = from_hex(&body.claim_token).map_err(|error| {
        Failure::of(ProblemCode::InvalidRequest, format!("claim_token: {error}"), SEE_TOKEN)
    })?;
    if let Some(name) = &body.name {
        check_name(name)?;
    }
    let id = match device.parse::<DeviceId>() {
        Ok(id) => id,
        Err(_) => state.find_device(&device).await?.id,
    };
    let (account, name) = (&caller.token.account, body.name.as_deref());
    let outcome = state.store.claim_device(id, &token, account, name, Timestamp::now()).await?;
    // Attempts that failed are what an audit is for.
    state.audit(&caller.token, &format!("claim-device: {outcome:?}"), &id.to_string()).await?;
    match outcome {
        ClaimOutcome::Claimed => {
            state.event("device-claimed", Some(id), json!({ "account": account, "by": "request" })).await?;
            Ok((StatusCode::OK, Json(Some(state.find_device(&id.to_string()).await?))))
        }
        ClaimOutcome::WaitsForDevice => Ok((StatusCode::ACCEPTED, Json(None))),
        ClaimOutcome::WrongToken => {
            let detail = format!("the token is not that of device {id}");
            Err(Failure::of(ProblemCode::ClaimTokenWrong, detail, SEE_TOKEN))
        }
        ClaimOutcome::AlreadyClaimed => {
            let detail = format!("device {id} belongs to an account already");
            Err(Failure::of(ProblemCode::AlreadyClaimed, detail, "ask that account's owner"))
        }
    }
}

const SEE_TOKEN: &str =
    "use the 32 hexadecimal digits that came with the device, or that `bulkhead device new` printed";

/// Asks a connected device to do something now, and waits for its answer.
///
/// To take back what is on trial, and to apply what is under way, is remembered and said again at each connect until it is
/// done; for a device that is not connected the outcome is `kept`.
#[utoipa::path(post, path = "/devices/{device}/commands", tag = "devices", request_body = SendCommand,
    params(("device" = String, Path, description = "Id or name")),
    responses((status = 200, body = CommandResult), (status = 409, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn command(
    State(state): State<AppState>,
    caller: Caller<Command>,
    PathPart(device): PathPart,
    JsonBody(body): JsonBody<SendCommand>,
) -> Result<Json<CommandResult>, Failure> {
    let device = owned(state.find_device(&device).await?)?;
    state.audit(&caller.token, &format!("command: {:?}", body.command), &device.id.to_string()).await?;
    // Written down first: a device that loses power before it obeys is told again.
    let kept = body.command == DeviceCommand::RevertUpdate && state.store.order_revert(device.id).await?;
    let sent = state.gateway.command(device.id, body.command).await;
    let kept = match (body.command, sent) {
        // A device forgets it with its power: each offer says it from now on.
        (DeviceCommand::ApplyNow, None | Some(CommandOutcome::Accepted)) => {
            state.store.order_apply(device.id).await?
        }
        _ => kept,
    };
    let Some(outcome) = sent.or(kept.then_some(CommandOutcome::Kept)) else {
        let detail = format!("device {} is not connected", device.id);
        let next = "try again once `bulkhead device show` says that it is online";
        return Err(Failure::of(ProblemCode::DeviceOffline, detail, next));
    };
    state.event("command", Some(device.id), json!({ "command": body.command, "outcome": outcome })).await?;
    Ok(Json(CommandResult { outcome }))
}

/// A device that somebody claimed and nobody barred.
pub(super) fn owned(device: Device) -> Result<Device, Failure> {
    if device.claimed_by.is_none() {
        let detail = format!("device {} belongs to no account yet", device.id);
        return Err(Failure::of(ProblemCode::NotClaimed, detail, "claim it with `bulkhead device claim`"));
    }
    if device.revoked {
        let detail = format!("device {} was revoked", device.id);
        return Err(Failure::of(ProblemCode::DeviceRevoked, detail, "re-admit it first, or choose another"));
    }
    Ok(device)
}

fn key(text: &str, field: &str) -> Result<[u8; 32], Failure> {
    from_hex(text).map_err(|error| {
        Failure::of(ProblemCode::InvalidRequest, format!("{field}: {error}"), "see docs/spec/rest-api.md")
    })
}
