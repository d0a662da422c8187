//! Debug sessions: granted here, sealed elsewhere.
//!
//! A session is a stream of what the device says and a request for each message to it. This server can neither read
//! nor write what is inside: the developer's key and the device's decide.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bulkhead_cloud_api::{DEBUG_STREAM_END, DebugSession, DebugStreamEnd, OpenDebug, ProblemCode, Timestamp};
use bulkhead_device_gateway::{DebugEnded, DebugEvent};
use futures_util::stream::unfold;
use serde_json::json;
use tokio::time::timeout;

use super::devices::owned;
use crate::caller::{Caller, Debug};
use crate::debug_desk::{Passage, Reading};
use crate::failure::{Failure, JsonBody, PathPart, RawBody};
use crate::standing::Standing;
use crate::state::AppState;

/// Longest message in bytes: what a frame of the link carries.
const MESSAGE_LEN_MAX: usize = 1008;
/// How often an empty record shows that the server lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Grants a debug session: one at a time on a device.
#[utoipa::path(post, path = "/devices/{device}/debug", tag = "debug", request_body = OpenDebug,
    params(("device" = String, Path, description = "Id or name")),
    responses((status = 201, body = DebugSession), (status = 409, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn open(
    State(state): State<AppState>,
    caller: Caller<Debug>,
    PathPart(device): PathPart,
    JsonBody(body): JsonBody<OpenDebug>,
) -> Result<(StatusCode, Json<DebugSession>), Failure> {
    let device = owned(state.find_device(&device).await?)?;
    let running = device.reported.as_ref().and_then(|reported| reported.running);
    let (true, Some(public_key)) = (device.online, device.public_key) else {
        let detail = format!("device {} is not connected", device.id);
        let next = "try again once `bulkhead device show` says that it is online";
        return Err(Failure::of(ProblemCode::DeviceOffline, detail, next));
    };
    let Some(manifest) = running else {
        let detail = format!("device {} has no application", device.id);
        return Err(Failure::of(ProblemCode::NoApplication, detail, "deploy one with `bulkhead deploy`"));
    };
    let session = number()?;
    let by = (caller.token.account.as_str(), caller.token.id.as_str());
    if let Err(holder) = state.debug.grant(session, device.id, by, body.takeover, body.continues) {
        let detail = format!("{holder} is debugging device {}", device.id);
        let next = format!("ask {holder}, or end that session with --takeover");
        return Err(Failure::of(ProblemCode::DebugHeld, detail, next));
    }
    let action = if body.takeover { "open-debug: takeover" } else { "open-debug" };
    state.audit(&caller.token, action, &device.id.to_string()).await?;
    state.event("debug-opened", Some(device.id), json!({ "account": by.0, "session": session })).await?;
    Ok((StatusCode::CREATED, Json(DebugSession { session, device_id: device.id, public_key, manifest })))
}

/// What the device says, as records that do not end: a length of two bytes, big-endian, then as many bytes. A length of
/// 0 is a sign of life; 65535 and one byte, which says why, end the stream.
#[utoipa::path(get, path = "/debug/{session}/frames", tag = "debug",
    params(("session" = u32, Path, description = "Number of the session")),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>),
              (status = 404, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn frames(
    State(state): State<AppState>,
    caller: Caller<Debug>,
    PathPart(session): PathPart<u32>,
) -> Result<Response, Failure> {
    let standing = Standing::of(&state.store, &caller.token).await?;
    let reading = state.debug.read(session, &caller.token.id).ok_or_else(gone)?;
    let stream = Stream { reading, standing, last: Last { state, session }, over: false };
    let records = unfold(stream, |mut stream| async move {
        let record = stream.next().await?;
        Some((Ok::<_, Infallible>(record), stream))
    });
    let headers = [(header::CONTENT_TYPE, "application/octet-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(records)).into_response())
}

/// Hands a message to the device.
#[utoipa::path(post, path = "/debug/{session}/frames", tag = "debug",
    params(("session" = u32, Path, description = "Number of the session")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 204), (status = 404, body = bulkhead_cloud_api::Problem),
              (status = 413, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn send(
    State(state): State<AppState>,
    caller: Caller<Debug>,
    PathPart(session): PathPart<u32>,
    RawBody(message): RawBody,
) -> Result<StatusCode, Failure> {
    if message.is_empty() || message.len() > MESSAGE_LEN_MAX {
        let detail = format!("a message has 1 to {MESSAGE_LEN_MAX} bytes, not {}", message.len());
        return Err(Failure::of(ProblemCode::MessageTooLong, detail, "use a `bulkhead` of this generation"));
    }
    let bytes = message.to_vec();
    let passage = state.debug.pass(session, &caller.token.id, bytes.len()).ok_or_else(gone)?;
    let sent = match passage {
        Passage::First(device, events) => state.gateway.open_debug(device, session, bytes, events),
        Passage::Later(device) => state.gateway.send_debug(device, session, bytes),
    };
    if sent { Ok(StatusCode::NO_CONTENT) } else { Err(gone()) }
}

fn gone() -> Failure {
    let detail = "there is no such debug session, or it is over";
    Failure::of(ProblemCode::DebugGone, detail, "begin another with `bulkhead debug`")
}

/// A number that no other session has, nor had in living memory.
fn number() -> Result<u32, Failure> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(|error| Failure::internal(&error))?;
    Ok(u32::from_be_bytes(bytes))
}

/// Takes the session off when its stream ends, however it does.
struct Last {
    state: AppState,
    session: u32,
}

impl Drop for Last {
    fn drop(&mut self) {
        let Some(ended) = self.state.debug.end(self.session) else { return };
        self.state.gateway.close_debug(ended.device, self.session);
        let store = self.state.store.clone();
        tokio::spawn(async move {
            let what = format!("close-debug: {} s, {} bytes", ended.lasted.as_secs(), ended.bytes_to_device);
            let subject = ended.device.to_string();
            let (account, token_id) = (&ended.account, &ended.token_id);
            let now = Timestamp::now();
            if let Err(error) = store.append_audit(account, token_id, &what, &subject, now).await {
                tracing::error!(%error, "the end of a debug session could not be audited");
            }
        });
    }
}

struct Stream {
    reading: Reading,
    standing: Standing,
    last: Last,
    over: bool,
}

impl Stream {
    async fn next(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        let mut stopping = self.last.state.stopping.clone();
        let Reading { events, end, until, .. } = &mut self.reading;
        let ended = tokio::select! {
            event = timeout(KEEP_ALIVE, events.recv()) => match event {
                Err(_) => return Some(Bytes::from_static(&[0, 0])),
                Ok(Some(DebugEvent::Frame(bytes))) => return Some(record(&bytes)),
                Ok(Some(DebugEvent::Ended(why))) => said(why),
                Ok(None) => DebugStreamEnd::LinkLost,
            },
            why = end => why.unwrap_or(DebugStreamEnd::TakenOver),
            () = tokio::time::sleep_until(*until) => DebugStreamEnd::Expired,
            () = self.standing.over() => DebugStreamEnd::TokenEnded,
            _ = stopping.wait_for(|stop| *stop) => DebugStreamEnd::ServerStops,
        };
        self.over = true;
        let [high, low] = DEBUG_STREAM_END.to_be_bytes();
        Some(Bytes::from(vec![high, low, ended as u8]))
    }
}

fn record(bytes: &[u8]) -> Bytes {
    let len = u16::try_from(bytes.len()).unwrap_or_default();
    [&len.to_be_bytes(), bytes].concat().into()
}

fn said(why: DebugEnded) -> DebugStreamEnd {
    use bulkhead_link_protocol::DebugEnd as D;
    match why {
        DebugEnded::ByDevice(D::NoKey) => DebugStreamEnd::NoKey,
        DebugEnded::ByDevice(D::OtherKey) => DebugStreamEnd::OtherKey,
        DebugEnded::ByDevice(D::Handshake) => DebugStreamEnd::Handshake,
        DebugEnded::ByDevice(D::Broken) => DebugStreamEnd::Broken,
        DebugEnded::ByDevice(D::OtherManifest) => DebugStreamEnd::OtherManifest,
        DebugEnded::TakenOver => DebugStreamEnd::TakenOver,
        DebugEnded::TooSlow => DebugStreamEnd::TooSlow,
        DebugEnded::TooFast => DebugStreamEnd::TooFast,
    }
}
