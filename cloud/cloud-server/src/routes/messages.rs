//! Messages between owner and application.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use bulkhead_cloud_api::{
    DeviceId, IDEMPOTENCY_KEY_LEN_MAX, MESSAGE_EXPIRY_DEFAULT_S, MESSAGE_EXPIRY_MAX_S, MESSAGE_LEN_MAX,
    MESSAGES_WAITING_MAX, Message, MessageDirection, Page, ProblemCode, SendMessage, Timestamp, from_base64,
};
use bulkhead_fleet_store::{MessageFilter, NewMessage, Queued, Store, StoreError};
use serde_json::json;

use super::MessageParameters;
use super::devices::owned;
use super::records::{cursor_of, device_of, limit_of};
use crate::caller::{Caller, Command, Read};
use crate::failure::{Failure, JsonBody, Parameters, PathPart};
use crate::follow::{BACKLOG_ITEMS, Feed, follow, last_event_id};
use crate::standing::Standing;
use crate::state::AppState;

/// Messages of one device, newest page first, each page oldest first.
#[utoipa::path(get, path = "/devices/{device}/messages", tag = "messages",
    params(("device" = String, Path, description = "Id or name"), MessageParameters),
    responses((status = 200, body = Page<Message>), (status = 404, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn list(
    State(state): State<AppState>,
    _: Caller<Read>,
    PathPart(device): PathPart,
    Parameters(wanted): Parameters<MessageParameters>,
) -> Result<Json<Page<Message>>, Failure> {
    let device = state.find_device(&device).await?.id;
    page_of(&state, Some(device), wanted).await
}

/// Messages of all devices, newest page first, each page oldest first.
#[utoipa::path(get, path = "/messages", tag = "messages", params(MessageParameters),
    responses((status = 200, body = Page<Message>), (status = 403, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn all(
    State(state): State<AppState>,
    _: Caller<Read>,
    Parameters(wanted): Parameters<MessageParameters>,
) -> Result<Json<Page<Message>>, Failure> {
    let device = device_of(&state, wanted.device.as_deref()).await?;
    page_of(&state, device, wanted).await
}

async fn page_of(
    state: &AppState,
    device_id: Option<DeviceId>,
    wanted: MessageParameters,
) -> Result<Json<Page<Message>>, Failure> {
    let limit = limit_of(wanted.limit);
    let filter = MessageFilter {
        device_id,
        direction: wanted.direction,
        state: wanted.state,
        after: 0,
        before: cursor_of(wanted.cursor.as_deref())?,
        limit,
        newest: true,
    };
    let items = state.store.messages(&filter).await?;
    let is_full = items.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let next_cursor = if is_full { items.first().map(|message| message.id.to_string()) } else { None };
    Ok(Json(Page { items, next_cursor }))
}

/// Messages of devices from now on, or from after the last id seen, as server-sent events that do not end.
#[utoipa::path(get, path = "/messages/stream", tag = "messages", params(MessageParameters),
    responses((status = 200, content_type = "text/event-stream", body = Message)))]
pub(crate) async fn follow_all(
    State(state): State<AppState>,
    caller: Caller<Read>,
    headers: HeaderMap,
    Parameters(wanted): Parameters<MessageParameters>,
) -> Result<impl IntoResponse, Failure> {
    let device = device_of(&state, wanted.device.as_deref()).await?;
    let live = state.store.subscribe_messages();
    let after = match last_event_id(&headers).or(cursor_of(wanted.cursor.as_deref())?) {
        Some(after) => after,
        None => {
            let newest = MessageFilter { limit: 1, newest: true, ..MessageFilter::default() };
            state.store.messages(&newest).await?.last().map_or(0, |message| message.id)
        }
    };
    let feed = MessageFeed { store: state.store.clone(), device };
    let standing = Standing::of(&state.store, &caller.token).await?;
    Ok(follow(feed, live, state.stopping.clone(), standing, after))
}

/// Queues a message for the application of a device, which may be offline.
///
/// With the header `Idempotency-Key` the same request again, such as after a timeout, is the same message: 200 instead
/// of 201.
#[utoipa::path(post, path = "/devices/{device}/messages", tag = "messages", request_body = SendMessage,
    params(("device" = String, Path, description = "Id or name"),
           ("Idempotency-Key" = Option<String>, Header, description = "1 to 64 printable characters")),
    responses((status = 201, body = Message), (status = 200, body = Message),
              (status = 409, body = bulkhead_cloud_api::Problem), (status = 413, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn send(
    State(state): State<AppState>,
    caller: Caller<Command>,
    PathPart(device): PathPart,
    headers: HeaderMap,
    JsonBody(body): JsonBody<SendMessage>,
) -> Result<(StatusCode, Json<Message>), Failure> {
    let device = owned(state.find_device(&device).await?)?;
    let bytes = bytes_of(body.body.as_deref(), body.text.as_deref(), "body")?;
    if bytes.is_empty() || bytes.len() > MESSAGE_LEN_MAX {
        let detail = format!("the body has {} bytes", bytes.len());
        let next = format!("send 1 to {MESSAGE_LEN_MAX} bytes; split what is longer");
        return Err(Failure::of(ProblemCode::MessageTooLong, detail, next));
    }
    let expires_in_s = body.expires_in_s.unwrap_or(MESSAGE_EXPIRY_DEFAULT_S);
    if expires_in_s == 0 || expires_in_s > MESSAGE_EXPIRY_MAX_S {
        let next = format!("give 1 to {MESSAGE_EXPIRY_MAX_S} seconds");
        let detail = format!("a message cannot expire in {expires_in_s} s");
        return Err(Failure::of(ProblemCode::InvalidRequest, detail, next));
    }
    let now = Timestamp::now();
    let new = NewMessage {
        device_id: device.id,
        topic: body.topic,
        bytes,
        account: caller.token.account.clone(),
        expires_at: now.plus_seconds(i64::from(expires_in_s)),
        idempotency_key: idempotency_key(&headers)?,
    };
    match state.store.queue_message(&new, now).await? {
        Queued::New(message) => {
            let subject = format!("{} message {}", device.id, message.id);
            state.audit(&caller.token, "send-message", &subject).await?;
            let data = json!({
                "message": message.id, "direction": message.direction, "state": message.state,
                "topic": message.topic, "length": new.bytes.len(),
            });
            state.event("message", Some(device.id), data).await?;
            state.gateway.message_queued(device.id);
            Ok((StatusCode::CREATED, Json(*message)))
        }
        Queued::Same(message) => Ok((StatusCode::OK, Json(*message))),
        Queued::Mismatch => {
            let detail = "another message was sent to this device under the same Idempotency-Key";
            Err(Failure::of(ProblemCode::IdempotencyMismatch, detail, "choose a new key for a new message"))
        }
        Queued::Full => {
            let detail = format!("{MESSAGES_WAITING_MAX} messages wait for device {}", device.id);
            let next = "wait until it has taken some, or until they expire";
            Err(Failure::of(ProblemCode::MessageQueueFull, detail, next))
        }
    }
}

/// Bytes that a caller gave in base64 or as text, but not in both.
pub(super) fn bytes_of(encoded: Option<&str>, text: Option<&str>, field: &str) -> Result<Vec<u8>, Failure> {
    let next = format!("give `{field}` in base64, or `text`");
    match (encoded, text) {
        (Some(encoded), None) => from_base64(encoded).ok_or_else(|| {
            Failure::of(ProblemCode::InvalidRequest, format!("`{field}` is no base64 with padding"), next)
        }),
        (None, Some(text)) => Ok(text.as_bytes().to_vec()),
        (None, None) => Err(Failure::of(ProblemCode::InvalidRequest, format!("there is no `{field}`"), next)),
        (Some(_), Some(_)) => {
            let detail = format!("`{field}` and `text` are both there");
            Err(Failure::of(ProblemCode::InvalidRequest, detail, next))
        }
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| (1..=IDEMPOTENCY_KEY_LEN_MAX).contains(&key.len()));
    key.map(|key| Some(key.to_owned())).ok_or_else(|| {
        let next = format!("use 1 to {IDEMPOTENCY_KEY_LEN_MAX} printable characters, such as a UUID");
        Failure::of(ProblemCode::InvalidRequest, "the Idempotency-Key is empty, too long or no text", next)
    })
}

struct MessageFeed {
    store: Store,
    device: Option<DeviceId>,
}

impl Feed for MessageFeed {
    type Item = Message;

    async fn stored_after(&self, id: i64) -> Result<Vec<Message>, StoreError> {
        let filter = MessageFilter {
            device_id: self.device,
            direction: Some(MessageDirection::FromDevice),
            after: id,
            limit: BACKLOG_ITEMS,
            ..MessageFilter::default()
        };
        self.store.messages(&filter).await
    }

    fn wanted(&self, message: &Message) -> bool {
        self.device.is_none_or(|id| id == message.device_id)
    }

    fn id(message: &Message) -> i64 {
        message.id
    }

    fn name(_: &Message) -> &str {
        "message"
    }
}
