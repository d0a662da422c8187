//! What a device shall run, and how far it got.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use bulkhead_bundle_format::{PERMIT_LEN_MAX, Permit};
use bulkhead_cloud_api::{Bundle, Device, Page, ProblemCode, SetTarget, Timestamp, Update};
use bulkhead_fleet_store::NewUpdate;

use super::devices::owned;
use super::{Paging, page};
use crate::caller::{Caller, Deploy, Read};
use crate::failure::{Failure, JsonBody, Parameters, PathPart};
use crate::state::AppState;

/// Sets what a device shall run and begins an update.
///
/// Class, board revision and ABI are compared with what the device reported. Whether the owner signed the
/// bundle only the device can say: a refusal appears as stage `refused` with the device's reason.
#[utoipa::path(put, path = "/devices/{device}/target", tag = "updates", request_body = SetTarget,
    params(("device" = String, Path, description = "Id or name")),
    responses((status = 202, body = Update), (status = 409, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn set_target(
    State(state): State<AppState>,
    caller: Caller<Deploy>,
    PathPart(device): PathPart,
    JsonBody(body): JsonBody<SetTarget>,
) -> Result<(StatusCode, Json<Update>), Failure> {
    let device = owned(state.find_device(&device).await?)?;
    let bundle = state.find_bundle(&body.bundle).await?;
    check_fit(&device, &bundle)?;
    let permit = body.permit.as_deref().map(|text| read_permit(text, &device, &bundle)).transpose()?;
    if permit.is_none() {
        check_age(&device, &bundle)?;
    }
    let new = NewUpdate {
        device_id: device.id,
        manifest: bundle.manifest,
        forced: body.forced,
        account: caller.token.account.clone(),
        permit,
    };
    let now = Timestamp::now();
    let Some(update) = state.store.set_target(&new, now).await? else {
        return Err(Failure::internal(&"a device vanished while its target was set"));
    };
    let subject = format!("{} on {}", bundle.manifest, device.id);
    state.audit(&caller.token, "deploy", &subject).await?;
    state.event("update", Some(device.id), serde_json::to_value(&update).unwrap_or_default()).await?;
    state.gateway.target_changed(device.id);
    Ok((StatusCode::ACCEPTED, Json(update)))
}

/// Updates of a device, newest first.
#[utoipa::path(get, path = "/devices/{device}/updates", tag = "updates",
    params(("device" = String, Path, description = "Id or name"), Paging),
    responses((status = 200, body = Page<Update>), (status = 404, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn list(
    State(state): State<AppState>,
    _: Caller<Read>,
    PathPart(device): PathPart,
    Parameters(paging): Parameters<Paging>,
) -> Result<Json<Page<Update>>, Failure> {
    let device = state.find_device(&device).await?;
    let updates = state.store.updates(device.id, paging.cursor()?, paging.limit()).await?;
    Ok(Json(page(updates, paging.limit(), |update| update.id.to_string())))
}

/// Refuses early what the device would refuse for its age. What it runs is never too old for it.
fn check_age(device: &Device, bundle: &Bundle) -> Result<(), Failure> {
    let Some(reported) = &device.reported else { return Ok(()) };
    let Some(floors) = reported.floors.filter(|floors| bundle.sequence < floors.sequence) else {
        return Ok(());
    };
    if reported.running == Some(bundle.manifest) {
        return Ok(());
    }
    let (bundle, device) = (bundle.sequence, floors.sequence);
    let detail = format!("the bundle has sequence {bundle}, the device committed to {device} before");
    let next = "sign a permit with `bulkhead key permit` and deploy with --permit, or sign a newer bundle";
    Err(Failure::of(ProblemCode::BundleOlder, detail, next))
}

/// Reads a permit and refuses early what the device would refuse. Whether the owner signed it the device decides.
fn read_permit(text: &str, device: &Device, bundle: &Bundle) -> Result<Vec<u8>, Failure> {
    let next = "make one with `bulkhead key permit` for this device and bundle";
    let mismatch = |detail: String| Failure::of(ProblemCode::PermitMismatch, detail, next);
    let bytes = bytes_of_hex(text).filter(|bytes| bytes.len() <= PERMIT_LEN_MAX);
    let bytes = bytes.ok_or_else(|| mismatch("the permit is not hexadecimal digits, or too long".into()))?;
    let permit = Permit::read_unverified(&bytes)
        .map_err(|refused| mismatch(format!("this is no permit: {refused}")))?;
    if permit.device_id != device.id.0 {
        return Err(mismatch("the permit is for another device".into()));
    }
    if permit.manifest != bundle.manifest.0 {
        return Err(mismatch("the permit is for another bundle".into()));
    }
    let floors = device.reported.as_ref().and_then(|reported| reported.floors);
    if let Some(floors) = floors.filter(|floors| floors.permits != permit.number) {
        let (number, wanted) = (permit.number, floors.permits);
        return Err(mismatch(format!("the permit has number {number}, the device takes number {wanted}")));
    }
    Ok(bytes)
}

fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    if rest.is_empty() { bytes } else { None }
}

/// Refuses early what the device would refuse. A device that has not yet connected decides by itself later.
fn check_fit(device: &Device, bundle: &Bundle) -> Result<(), Failure> {
    let Some(reported) = &device.reported else { return Ok(()) };
    if reported.device_class != bundle.device_class {
        let detail = format!(
            "the bundle is for class `{}`, the device is a `{}`",
            bundle.device_class, reported.device_class
        );
        let next = "choose a bundle of the device's class";
        return Err(Failure::of(ProblemCode::BundleClassMismatch, detail, next));
    }
    let revisions = bundle.board_revision_min..=bundle.board_revision_max;
    if !revisions.contains(&reported.board_revision) {
        let detail = format!(
            "the bundle is for board revisions {} to {}, the device has {}",
            bundle.board_revision_min, bundle.board_revision_max, reported.board_revision
        );
        let next = "build the bundle for this revision";
        return Err(Failure::of(ProblemCode::BundleBoardMismatch, detail, next));
    }
    if !(bundle.abi_min..=bundle.abi_max).contains(&reported.abi) {
        let detail = format!(
            "the bundle needs system call ABI {} to {}, the device's hypervisor {} offers {}",
            bundle.abi_min, bundle.abi_max, reported.hypervisor, reported.abi
        );
        let next = "build the application against the device's ABI";
        return Err(Failure::of(ProblemCode::BundleAbiMismatch, detail, next));
    }
    Ok(())
}
