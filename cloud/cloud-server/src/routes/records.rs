//! Events and logs: as pages, and as streams that go on.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use bulkhead_cloud_api::{
    DeviceId, Event, LogLevel, LogRecord, PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX, Page, ProblemCode,
};
use bulkhead_fleet_store::{LogFilter, Store, StoreError};

use super::{EventParameters, LogParameters, page};
use crate::caller::{Caller, Read};
use crate::failure::{Failure, Parameters};
use crate::follow::{BACKLOG_ITEMS, Feed, follow, last_event_id};
use crate::standing::Standing;
use crate::state::AppState;

/// Most log records that a stream repeats from before it began.
const TAIL_MAX: u32 = 1000;

/// Events, oldest first.
#[utoipa::path(get, path = "/events", tag = "events", params(EventParameters),
    responses((status = 200, body = Page<Event>), (status = 403, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn events(
    State(state): State<AppState>,
    _: Caller<Read>,
    Parameters(wanted): Parameters<EventParameters>,
) -> Result<Json<Page<Event>>, Failure> {
    let device = device_of(&state, wanted.device.as_deref()).await?;
    let after = cursor_of(wanted.cursor.as_deref())?.unwrap_or(0);
    let limit = limit_of(wanted.limit);
    let items = state.store.events_after(after, device, limit).await?;
    Ok(Json(page(items, limit, |event| event.id.to_string())))
}

/// Events from now on, or from after the last id seen, as server-sent events that do not end.
#[utoipa::path(get, path = "/events/stream", tag = "events", params(EventParameters),
    responses((status = 200, content_type = "text/event-stream", body = Event)))]
pub(crate) async fn follow_events(
    State(state): State<AppState>,
    caller: Caller<Read>,
    headers: HeaderMap,
    Parameters(wanted): Parameters<EventParameters>,
) -> Result<impl IntoResponse, Failure> {
    let device = device_of(&state, wanted.device.as_deref()).await?;
    let live = state.store.subscribe_events();
    let after = match last_event_id(&headers).or(cursor_of(wanted.cursor.as_deref())?) {
        Some(after) => after,
        None => state.store.newest_event().await?,
    };
    let feed = EventFeed { store: state.store.clone(), device };
    let standing = Standing::of(&state.store, &caller.token).await?;
    Ok(follow(feed, live, state.stopping.clone(), standing, after))
}

/// Log records, newest page first, each page oldest first.
#[utoipa::path(get, path = "/logs", tag = "logs", params(LogParameters),
    responses((status = 200, body = Page<LogRecord>), (status = 403, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn logs(
    State(state): State<AppState>,
    _: Caller<Read>,
    Parameters(wanted): Parameters<LogParameters>,
) -> Result<Json<Page<LogRecord>>, Failure> {
    let limit = limit_of(wanted.limit);
    let filter = LogFilter {
        device_id: device_of(&state, wanted.device.as_deref()).await?,
        level: wanted.level,
        after: 0,
        before: cursor_of(wanted.cursor.as_deref())?,
        limit,
        newest: true,
    };
    let items = state.store.logs(&filter).await?;
    let is_full = items.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let next_cursor = if is_full { items.first().map(|record| record.id.to_string()) } else { None };
    Ok(Json(Page { items, next_cursor }))
}

/// Log records from now on, or from after the last id seen, as server-sent events that do not end.
#[utoipa::path(get, path = "/logs/stream", tag = "logs", params(LogParameters),
    responses((status = 200, content_type = "text/event-stream", body = LogRecord)))]
pub(crate) async fn follow_logs(
    State(state): State<AppState>,
    caller: Caller<Read>,
    headers: HeaderMap,
    Parameters(wanted): Parameters<LogParameters>,
) -> Result<impl IntoResponse, Failure> {
    let device_id = device_of(&state, wanted.device.as_deref()).await?;
    let live = state.store.subscribe_logs();
    let after = match last_event_id(&headers).or(cursor_of(wanted.cursor.as_deref())?) {
        Some(after) => after,
        None => {
            let tail = wanted.tail.unwrap_or(0).min(TAIL_MAX);
            tail_start(&state.store, device_id, wanted.level, tail).await?
        }
    };
    let feed = LogFeed { store: state.store.clone(), device_id, level: wanted.level };
    let standing = Standing::of(&state.store, &caller.token).await?;
    Ok(follow(feed, live, state.stopping.clone(), standing, after))
}

/// The id after which exactly the newest `tail` records that fit follow.
async fn tail_start(
    store: &Store,
    device_id: Option<DeviceId>,
    level: Option<LogLevel>,
    tail: u32,
) -> Result<i64, StoreError> {
    let mut filter = LogFilter { device_id, level, limit: tail, newest: true, ..LogFilter::default() };
    if tail == 0 {
        filter = LogFilter { limit: 1, newest: true, ..LogFilter::default() };
        return Ok(store.logs(&filter).await?.last().map_or(0, |record| record.id));
    }
    Ok(store.logs(&filter).await?.first().map_or(0, |record| record.id - 1))
}

pub(super) async fn device_of(state: &AppState, device: Option<&str>) -> Result<Option<DeviceId>, Failure> {
    let Some(device) = device else { return Ok(None) };
    Ok(Some(state.find_device(device).await?.id))
}

pub(super) fn cursor_of(cursor: Option<&str>) -> Result<Option<i64>, Failure> {
    let Some(text) = cursor else { return Ok(None) };
    text.parse().map(Some).map_err(|_| {
        let next = "take `next_cursor` from the page before, unchanged";
        Failure::of(ProblemCode::InvalidCursor, "the cursor is not one of this list", next)
    })
}

pub(super) fn limit_of(limit: Option<u32>) -> u32 {
    limit.unwrap_or(PAGE_ITEMS_DEFAULT).clamp(1, PAGE_ITEMS_MAX)
}

struct EventFeed {
    store: Store,
    device: Option<DeviceId>,
}

impl Feed for EventFeed {
    type Item = Event;

    async fn stored_after(&self, id: i64) -> Result<Vec<Event>, StoreError> {
        self.store.events_after(id, self.device, BACKLOG_ITEMS).await
    }

    fn wanted(&self, event: &Event) -> bool {
        self.device.is_none() || self.device == event.device_id
    }

    fn id(event: &Event) -> i64 {
        event.id
    }

    fn name(event: &Event) -> &str {
        &event.kind
    }
}

struct LogFeed {
    store: Store,
    device_id: Option<DeviceId>,
    level: Option<LogLevel>,
}

impl Feed for LogFeed {
    type Item = LogRecord;

    async fn stored_after(&self, id: i64) -> Result<Vec<LogRecord>, StoreError> {
        let filter = LogFilter {
            device_id: self.device_id,
            level: self.level,
            after: id,
            limit: BACKLOG_ITEMS,
            ..LogFilter::default()
        };
        self.store.logs(&filter).await
    }

    fn wanted(&self, record: &LogRecord) -> bool {
        self.device_id.is_none_or(|id| id == record.device_id)
            && self.level.is_none_or(|level| record.level <= level)
    }

    fn id(record: &LogRecord) -> i64 {
        record.id
    }

    fn name(_: &LogRecord) -> &str {
        "log"
    }
}
