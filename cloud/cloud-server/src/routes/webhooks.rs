//! Webhooks. Whoever makes one can have the server post to any address that it reaches, so administrators do.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use bulkhead_cloud_api::{CreatedWebhook, Delivery, NewWebhook, Page, ProblemCode, Timestamp, Webhook};

use super::{Paging, page};
use crate::caller::{Administer, Caller};
use crate::failure::{Failure, JsonBody, Parameters, PathPart};
use crate::state::AppState;

/// Longest address.
const URL_LEN_MAX: usize = 500;
/// Most webhooks.
const WEBHOOKS_MAX: usize = 20;

/// Webhooks, without their secrets.
#[utoipa::path(get, path = "/webhooks", tag = "webhooks",
    responses((status = 200, body = Vec<Webhook>), (status = 403, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn list(
    State(state): State<AppState>,
    _: Caller<Administer>,
) -> Result<Json<Vec<Webhook>>, Failure> {
    Ok(Json(state.store.webhooks().await?))
}

/// Makes a webhook: from now on messages of devices are posted to its address. Its secret is shown once.
#[utoipa::path(post, path = "/webhooks", tag = "webhooks", request_body = NewWebhook,
    responses((status = 201, body = CreatedWebhook), (status = 400, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn create(
    State(state): State<AppState>,
    caller: Caller<Administer>,
    JsonBody(body): JsonBody<NewWebhook>,
) -> Result<(StatusCode, Json<CreatedWebhook>), Failure> {
    let address = body.url.parse::<Uri>().ok().filter(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    });
    if address.is_none() || body.url.len() > URL_LEN_MAX {
        let next = format!("give an http or https address of at most {URL_LEN_MAX} characters");
        return Err(Failure::of(ProblemCode::InvalidRequest, "the address cannot be posted to", next));
    }
    if state.store.webhooks().await?.len() >= WEBHOOKS_MAX {
        let detail = format!("there are {WEBHOOKS_MAX} webhooks already");
        return Err(Failure::of(ProblemCode::InvalidRequest, detail, "remove one first"));
    }
    let account = &caller.token.account;
    let (webhook, secret) = state.store.create_webhook(&body.url, account, Timestamp::now()).await?;
    state.audit(&caller.token, "create-webhook", &webhook.id.to_string()).await?;
    Ok((StatusCode::CREATED, Json(CreatedWebhook { webhook, secret })))
}

/// Removes a webhook; what is on its way to it is given up.
#[utoipa::path(delete, path = "/webhooks/{webhook}", tag = "webhooks",
    params(("webhook" = i64, Path, description = "Number")),
    responses((status = 204), (status = 404, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn delete(
    State(state): State<AppState>,
    caller: Caller<Administer>,
    PathPart(webhook): PathPart,
) -> Result<StatusCode, Failure> {
    let id = find(&state, &webhook).await?;
    state.store.delete_webhook(id).await?;
    state.audit(&caller.token, "delete-webhook", &id.to_string()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deliveries to a webhook, newest first: how far each is, and what the other side answered.
#[utoipa::path(get, path = "/webhooks/{webhook}/deliveries", tag = "webhooks",
    params(("webhook" = i64, Path, description = "Number"), Paging),
    responses((status = 200, body = Page<Delivery>), (status = 404, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn deliveries(
    State(state): State<AppState>,
    _: Caller<Administer>,
    PathPart(webhook): PathPart,
    Parameters(paging): Parameters<Paging>,
) -> Result<Json<Page<Delivery>>, Failure> {
    let id = find(&state, &webhook).await?;
    let items = state.store.deliveries(id, paging.cursor()?, paging.limit()).await?;
    Ok(Json(page(items, paging.limit(), |delivery: &Delivery| delivery.id.to_string())))
}

async fn find(state: &AppState, webhook: &str) -> Result<i64, Failure> {
    let known = state.store.webhooks().await?;
    let found = known.iter().find(|known| known.id.to_string() == webhook).map(|known| known.id);
    found.ok_or_else(|| {
        let detail = format!("there is no webhook `{}`", webhook.chars().take(20).collect::<String>());
        Failure::of(ProblemCode::NotFound, detail, "list webhooks with `bulkhead webhook ls`")
    })
}
