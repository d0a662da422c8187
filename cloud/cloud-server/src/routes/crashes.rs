//! Crash dumps: list, show, fetch. They are opened elsewhere, by whoever holds a key that the bundle named.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bulkhead_cloud_api::{Crash, Page, ProblemCode};

use super::{EventParameters, page};
use crate::caller::{Caller, Debug, Read};
use crate::failure::{Failure, Parameters, PathPart};
use crate::state::AppState;

/// Crash dumps, newest first.
#[utoipa::path(get, path = "/crashes", tag = "crashes", params(EventParameters),
    responses((status = 200, body = Page<Crash>), (status = 403, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn list(
    State(state): State<AppState>,
    _: Caller<Read>,
    Parameters(wanted): Parameters<EventParameters>,
) -> Result<Json<Page<Crash>>, Failure> {
    let device = super::records::device_of(&state, wanted.device.as_deref()).await?;
    let before = super::records::cursor_of(wanted.cursor.as_deref())?;
    let limit = super::records::limit_of(wanted.limit);
    let mut crashes = state.store.crashes(before, device, limit).await?;
    for crash in &mut crashes {
        name_bundle(&state, crash).await?;
    }
    Ok(Json(page(crashes, limit, |crash| crash.id.to_string())))
}

/// What is known of one crash dump without opening it.
#[utoipa::path(get, path = "/crashes/{crash}", tag = "crashes",
    params(("crash" = String, Path, description = "Number")),
    responses((status = 200, body = Crash), (status = 404, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn show(
    State(state): State<AppState>,
    _: Caller<Read>,
    PathPart(crash): PathPart,
) -> Result<Json<Crash>, Failure> {
    let (mut crash, _) = find(&state, &crash).await?;
    name_bundle(&state, &mut crash).await?;
    Ok(Json(crash))
}

/// The sealed dump, byte for byte as the device made it.
#[utoipa::path(get, path = "/crashes/{crash}/dump", tag = "crashes",
    params(("crash" = String, Path, description = "Number")),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>),
              (status = 404, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn dump(
    State(state): State<AppState>,
    caller: Caller<Debug>,
    PathPart(crash): PathPart,
) -> Result<Response, Failure> {
    let (crash, dump) = find(&state, &crash).await?;
    state.audit(&caller.token, "fetch-crash", &format!("{} of {}", crash.id, crash.device_id)).await?;
    Ok(([("content-type", "application/octet-stream")], dump).into_response())
}

async fn find(state: &AppState, id: &str) -> Result<(Crash, Vec<u8>), Failure> {
    let missing = || {
        let detail = format!("there is no crash dump of number `{id}`");
        Failure::of(ProblemCode::CrashNotFound, detail, "list crash dumps with `bulkhead crash ls`")
    };
    let number = id.parse::<i64>().map_err(|_| missing())?;
    state.store.crash(number).await?.ok_or_else(missing)
}

async fn name_bundle(state: &AppState, crash: &mut Crash) -> Result<(), Failure> {
    let bundle = state.store.bundle(crash.manifest).await?;
    crash.bundle = bundle.map(|bundle| format!("{} {}", bundle.name, bundle.version));
    Ok(())
}
