//! The routes. What each demands of its caller stands in its signature.

mod bundles;
mod configuration;
mod crashes;
mod debug;
mod devices;
mod messages;
mod owner;
mod records;
mod server;
mod updates;
mod webhooks;

use axum::Router;
use axum::routing::get;
use bulkhead_cloud_api::{
    API_PREFIX, LogLevel, MessageDirection, MessageState, PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX, Page,
    ProblemCode,
};
use serde::Deserialize;
use utoipa::{IntoParams, OpenApi as _};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::failure::{Failure, no_such_method, no_such_path};
use crate::openapi::ApiDocument;
use crate::state::AppState;

pub(crate) fn open_api_router() -> OpenApiRouter<AppState> {
    let api = OpenApiRouter::new()
        .routes(routes!(server::info))
        .routes(routes!(server::who_am_i))
        .routes(routes!(server::tokens, server::create_token))
        .routes(routes!(server::revoke_token))
        .routes(routes!(server::audit))
        .routes(routes!(devices::list, devices::register))
        .routes(routes!(devices::show, devices::change))
        .routes(routes!(devices::claim))
        .routes(routes!(devices::command))
        .routes(routes!(debug::open))
        .routes(routes!(debug::frames, debug::send))
        .routes(routes!(messages::list, messages::send))
        .routes(routes!(messages::all))
        .routes(routes!(messages::follow_all))
        .routes(routes!(webhooks::list, webhooks::create))
        .routes(routes!(webhooks::delete))
        .routes(routes!(webhooks::deliveries))
        .routes(routes!(configuration::of_fleet))
        .routes(routes!(configuration::set_for_fleet, configuration::remove_from_fleet))
        .routes(routes!(configuration::of_device))
        .routes(routes!(configuration::set_for_device, configuration::remove_from_device))
        .routes(routes!(updates::set_target))
        .routes(routes!(updates::list))
        .routes(routes!(bundles::list, bundles::push))
        .routes(routes!(bundles::show))
        .routes(routes!(bundles::file))
        .routes(routes!(owner::key_sets, owner::push_key_set))
        .routes(routes!(owner::factory_bundles, owner::set_factory_bundle))
        .routes(routes!(crashes::list))
        .routes(routes!(crashes::show))
        .routes(routes!(crashes::dump))
        .routes(routes!(records::events))
        .routes(routes!(records::follow_events))
        .routes(routes!(records::logs))
        .routes(routes!(records::follow_logs));
    OpenApiRouter::with_openapi(ApiDocument::openapi()).nest(API_PREFIX, api)
}

pub(crate) fn router(state: AppState) -> Router {
    let (router, document) = open_api_router().split_for_parts();
    let document = document.to_pretty_json().unwrap_or_default();
    let json = [("content-type", "application/json")];
    router
        .route(&format!("{API_PREFIX}/openapi.json"), get(move || async move { (json, document) }))
        .route("/healthz", get(server::health))
        .route("/readyz", get(server::readiness))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .with_state(state)
}

/// Which part of a list is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Paging {
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Most items, 1 to 500.
    limit: Option<u32>,
}

impl Paging {
    fn limit(&self) -> u32 {
        self.limit.unwrap_or(PAGE_ITEMS_DEFAULT).clamp(1, PAGE_ITEMS_MAX)
    }

    fn cursor<T: std::str::FromStr>(&self) -> Result<Option<T>, Failure> {
        let Some(text) = &self.cursor else { return Ok(None) };
        text.parse().map(Some).map_err(|_| {
            let next = "take `next_cursor` from the page before, unchanged";
            Failure::of(ProblemCode::InvalidCursor, "the cursor is not one of this list", next)
        })
    }
}

/// Which events are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventParameters {
    /// Id or name of a device.
    device: Option<String>,
    /// `next_cursor` of the page before; for a stream, the last id seen (the header `Last-Event-ID` is stronger).
    cursor: Option<String>,
    /// Most items of a page, 1 to 500.
    limit: Option<u32>,
}

/// Which log records are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogParameters {
    /// Id or name of a device.
    device: Option<String>,
    /// This level and graver ones: `error`, `warning`, `information`, `debug`, `trace`.
    #[param(value_type = Option<String>)]
    level: Option<LogLevel>,
    /// `next_cursor` of the page before; for a stream, the last id seen (the header `Last-Event-ID` is stronger).
    cursor: Option<String>,
    /// Most items of a page, 1 to 500.
    limit: Option<u32>,
    /// For a stream without a last id: how many records from before to repeat first, at most 1000.
    tail: Option<u32>,
}

/// Which messages are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct MessageParameters {
    /// Id or name of a device; not where the path names one.
    device: Option<String>,
    /// `from-device` or `to-device`.
    #[param(value_type = Option<String>)]
    direction: Option<MessageDirection>,
    /// `received`, `queued`, `sent`, `delivered`, `refused`, `expired`.
    #[param(value_type = Option<String>)]
    state: Option<MessageState>,
    /// `next_cursor` of the page before; for a stream, the last id seen (the header `Last-Event-ID` is stronger).
    cursor: Option<String>,
    /// Most items of a page, 1 to 500.
    limit: Option<u32>,
}

/// A page; there is a next one if this one is full.
fn page<T>(items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Page<T> {
    let is_full = items.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let next_cursor = if is_full { items.last().map(cursor) } else { None };
    Page { items, next_cursor }
}
