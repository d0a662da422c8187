//! Key sets and factory bundles. The server passes on what the owner signed; it can sign nothing of it.

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::StatusCode;
use bulkhead_bundle_format::{KeySetRefused, SignedKeySet, Tally};
use bulkhead_cloud_api::{
    FactoryBundle, KEY_SET_FILE_LEN_MAX, KeySet, KeySetSigner, Page, ProblemCode, SetFactoryBundle,
    Timestamp, to_hex,
};
use bulkhead_fleet_store::StoredKeySet;
use serde_json::json;

use crate::caller::{Administer, Caller, Deploy, Read};
use crate::failure::{Failure, JsonBody};
use crate::state::AppState;

/// Key sets, newest first.
#[utoipa::path(get, path = "/key-sets", tag = "owner",
    responses((status = 200, body = Page<KeySet>), (status = 403, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn key_sets(
    State(state): State<AppState>,
    _: Caller<Read>,
) -> Result<Json<Page<KeySet>>, Failure> {
    let sets = state.store.key_sets().await?;
    let items: Result<Vec<_>, _> = sets.iter().rev().map(described).collect();
    Ok(Json(Page { items: items?, next_cursor: None }))
}

/// Takes a signed key set and offers it to every device that follows the one before it.
///
/// Its form, its own threshold and that of the set before it are checked. The first set is for the roots of each
/// device to judge: the server does not know them. The same version again is taken if it says the same.
#[utoipa::path(post, path = "/key-sets", tag = "owner",
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The signed set"),
    responses((status = 201, body = KeySet), (status = 200, body = KeySet),
              (status = 409, body = bulkhead_cloud_api::Problem), (status = 422, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn push_key_set(
    State(state): State<AppState>,
    caller: Caller<Administer>,
    body: Body,
) -> Result<(StatusCode, Json<KeySet>), Failure> {
    let Ok(signed) = to_bytes(body, KEY_SET_FILE_LEN_MAX).await else {
        return Err(malformed(&KeySetRefused::TooLong));
    };
    let set = SignedKeySet::parse(&signed).map_err(|refused| malformed(&refused))?;
    let version = set.set.version;
    let stored = StoredKeySet {
        version,
        signed: signed.to_vec(),
        pushed_at: Timestamp::now(),
        pushed_by: caller.token.account.clone(),
    };
    let status = state.store.put_key_set(&stored, |known| judge(&set, known)).await??;
    state.audit(&caller.token, "push-key-set", &version.to_string()).await?;
    state.event("key-set-pushed", None, json!({ "version": version })).await?;
    state.gateway.key_sets_changed();
    Ok((status, Json(described(&stored)?)))
}

/// Factory bundles, by class.
#[utoipa::path(get, path = "/factory-bundles", tag = "owner",
    responses((status = 200, body = Page<FactoryBundle>), (status = 403, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn factory_bundles(
    State(state): State<AppState>,
    _: Caller<Read>,
) -> Result<Json<Page<FactoryBundle>>, Failure> {
    Ok(Json(Page { items: state.store.factory_bundles().await?, next_cursor: None }))
}

/// Says what devices of the bundle's class are given that have no application and were never given one.
#[utoipa::path(put, path = "/factory-bundles", tag = "owner", request_body = SetFactoryBundle,
    responses((status = 200, body = FactoryBundle), (status = 404, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn set_factory_bundle(
    State(state): State<AppState>,
    caller: Caller<Deploy>,
    JsonBody(body): JsonBody<SetFactoryBundle>,
) -> Result<Json<FactoryBundle>, Failure> {
    let bundle = state.find_bundle(&body.bundle).await?;
    let (class, account, now) = (&bundle.device_class, &caller.token.account, Timestamp::now());
    state.store.set_factory_bundle(class, bundle.manifest, account, now).await?;
    state.audit(&caller.token, "set-factory-bundle", &format!("{} for {class}", bundle.manifest)).await?;
    Ok(Json(FactoryBundle {
        device_class: class.clone(),
        manifest: bundle.manifest,
        bundle: Some(format!("{} {}", bundle.name, bundle.version)),
        set_at: now,
        set_by: account.clone(),
    }))
}

/// Whether a set may follow those that are `known`, oldest first, or take the place of one that says the same.
fn judge(set: &SignedKeySet<'_>, known: &[StoredKeySet]) -> Result<StatusCode, Failure> {
    let version = set.set.version;
    let mut status = StatusCode::CREATED;
    if let Some(same) = known.iter().find(|known| known.version == version) {
        let before = SignedKeySet::parse(&same.signed).map_err(|error| Failure::internal(&error))?;
        if before.payload() != set.payload() {
            let detail = format!("key set {version} is here already and says something else");
            return Err(taken(detail));
        }
        status = StatusCode::OK;
    } else if let Some(newest) = known.last().filter(|newest| newest.version > version) {
        let detail = format!("key set {} is here already; {version} would come before it", newest.version);
        return Err(taken(detail));
    }
    check_signatures(set, known.iter().rev().find(|known| known.version < version))?;
    Ok(status)
}

/// Enough roots of the set itself and of the one before it.
fn check_signatures(set: &SignedKeySet<'_>, before: Option<&StoredKeySet>) -> Result<(), Failure> {
    let before = before.map(|before| SignedKeySet::parse(&before.signed)).transpose();
    let before = before.map_err(|error| Failure::internal(&error))?;
    let (roots, needed) =
        before.as_ref().map_or((&[][..], 0), |before| (before.set.roots, before.set.threshold));
    let tally: Tally = set.count_all(roots).map_err(|refused| malformed(&refused))?;
    if tally.present() >= needed && tally.new_roots() >= set.set.threshold {
        return Ok(());
    }
    let detail = format!(
        "signed by {} of the {needed} roots needed of the set before and {} of the {} of its own",
        tally.present(),
        tally.new_roots(),
        set.set.threshold
    );
    let next = "have more roots sign it with `bulkhead key set sign`";
    Err(Failure::of(ProblemCode::KeySetUnsigned, detail, next))
}

fn malformed(refused: &KeySetRefused) -> Failure {
    let next = "make it with `bulkhead key set new` and sign it with `bulkhead key set sign`";
    Failure::of(ProblemCode::KeySetMalformed, refused.to_string(), next)
}

fn taken(detail: String) -> Failure {
    let next = "make a set with a higher version; see `bulkhead key set ls`";
    Failure::of(ProblemCode::KeySetVersionTaken, detail, next)
}

fn described(stored: &StoredKeySet) -> Result<KeySet, Failure> {
    let signed = SignedKeySet::parse(&stored.signed).map_err(|error| Failure::internal(&error))?;
    let set = &signed.set;
    let moment = |seconds: u64| Timestamp(0).plus_seconds(i64::try_from(seconds).unwrap_or(i64::MAX));
    Ok(KeySet {
        version: set.version,
        made_at: moment(set.made_at_s),
        threshold: set.threshold,
        roots: set.roots.iter().map(|key| to_hex(key)).collect(),
        signers: set
            .signers()
            .map(|signer| KeySetSigner {
                key: to_hex(&signer.key),
                not_after: signer.not_after_s.map(moment),
            })
            .collect(),
        signed_by: signed.key_ids().map(|id| to_hex(id)).collect(),
        pushed_at: stored.pushed_at,
        pushed_by: stored.pushed_by.clone(),
    })
}
