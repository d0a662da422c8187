//! The server itself, tokens, audit.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use bulkhead_cloud_api::{
    AuditEntry, CreatedToken, NewToken, Page, ProblemCode, ServerInfo, Timestamp, Token, WhoAmI,
};

use super::{Paging, page};
use crate::caller::{Administer, AnyToken, Caller};
use crate::failure::{Failure, JsonBody, Parameters, PathPart};
use crate::state::{AppState, check_name};

/// What anybody may know of this server.
#[utoipa::path(get, path = "/info", tag = "server", security(()), responses((status = 200, body = ServerInfo)))]
pub(crate) async fn info(State(state): State<AppState>) -> Json<ServerInfo> {
    Json(ServerInfo {
        version: env!("CARGO_PKG_VERSION").into(),
        realm_id: state.realm_id.to_string(),
        server_public_keys: state.server_public_keys.clone(),
        device_endpoint: state.device_endpoint.to_string(),
        time: Timestamp::now(),
    })
}

/// Who the caller is.
#[utoipa::path(get, path = "/whoami", tag = "tokens",
    responses((status = 200, body = WhoAmI), (status = 401, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn who_am_i(State(state): State<AppState>, caller: Caller<AnyToken>) -> Json<WhoAmI> {
    Json(WhoAmI { token: caller.token, realm_id: state.realm_id.to_string() })
}

/// Every token, without secrets.
#[utoipa::path(get, path = "/tokens", tag = "tokens",
    responses((status = 200, body = Vec<Token>), (status = 403, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn tokens(
    State(state): State<AppState>,
    _: Caller<Administer>,
) -> Result<Json<Vec<Token>>, Failure> {
    Ok(Json(state.store.tokens().await?))
}

/// Makes a token. Its secret is in this answer and nowhere else.
#[utoipa::path(post, path = "/tokens", tag = "tokens", request_body = NewToken,
    responses((status = 201, body = CreatedToken), (status = 403, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn create_token(
    State(state): State<AppState>,
    caller: Caller<Administer>,
    JsonBody(new): JsonBody<NewToken>,
) -> Result<(StatusCode, Json<CreatedToken>), Failure> {
    check_name(&new.account)?;
    check_name(&new.name)?;
    if new.roles.is_empty() {
        let next = "give at least one of viewer, developer, operator, factory, admin";
        return Err(Failure::of(ProblemCode::InvalidRequest, "a token needs a role", next));
    }
    let made = state.store.create_token(&new, Timestamp::now()).await?;
    state.audit(&caller.token, "create-token", &made.token.id).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Ends a token at once.
#[utoipa::path(delete, path = "/tokens/{id}", tag = "tokens", params(("id" = String, Path, description = "Id of the token")),
    responses((status = 204), (status = 404, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn revoke_token(
    State(state): State<AppState>,
    caller: Caller<Administer>,
    PathPart(id): PathPart,
) -> Result<StatusCode, Failure> {
    if !state.store.revoke_token(&id).await? {
        return Err(Failure::of(ProblemCode::NotFound, "no token has this id", "list tokens first"));
    }
    state.audit(&caller.token, "revoke-token", &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The audit log, newest first. Each entry's hash covers the one before.
#[utoipa::path(get, path = "/audit", tag = "audit", params(Paging),
    responses((status = 200, body = Page<AuditEntry>), (status = 403, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn audit(
    State(state): State<AppState>,
    _: Caller<Administer>,
    Parameters(paging): Parameters<Paging>,
) -> Result<Json<Page<AuditEntry>>, Failure> {
    let entries = state.store.audit(paging.cursor()?, paging.limit()).await?;
    Ok(Json(page(entries, paging.limit(), |entry| entry.id.to_string())))
}

/// The process lives.
pub(crate) async fn health() -> &'static str {
    "ok\n"
}

/// The process can serve: the database answers and no shutdown is under way.
pub(crate) async fn readiness(
    State(state): State<AppState>,
) -> Result<&'static str, (StatusCode, &'static str)> {
    if *state.stopping.borrow() {
        return Err((StatusCode::SERVICE_UNAVAILABLE, "stopping\n"));
    }
    match state.store.check().await {
        Ok(()) => Ok("ok\n"),
        Err(error) => {
            tracing::error!(%error, "not ready");
            Err((StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n"))
        }
    }
}
