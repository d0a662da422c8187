//! Bundles: push, list, show, fetch back.

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bulkhead_bundle_format::{AreaKind, BUNDLE_MAGIC, Confirm, FileFault, Refused, read_bundle};
use bulkhead_cloud_api::{
    BUNDLE_FILE_LEN_MAX, Bundle, BundleArea, BundlePolicy, ManifestDigest, Page, ProblemCode, Timestamp,
    to_hex,
};
use bulkhead_fleet_store::{BundleObjects, ObjectSpan};
use serde_json::json;

use super::{Paging, page};
use crate::caller::{Caller, PushBundle, Read};
use crate::failure::{Failure, Parameters, PathPart};
use crate::state::AppState;

/// Bundles, newest first.
#[utoipa::path(get, path = "/bundles", tag = "bundles", params(Paging),
    responses((status = 200, body = Page<Bundle>), (status = 403, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn list(
    State(state): State<AppState>,
    _: Caller<Read>,
    Parameters(paging): Parameters<Paging>,
) -> Result<Json<Page<Bundle>>, Failure> {
    let bundles = state.store.bundles(paging.cursor::<i64>()?.map(Timestamp), paging.limit()).await?;
    Ok(Json(page(bundles, paging.limit(), |bundle| bundle.pushed_at.0.to_string())))
}

/// Takes a bundle file. Form, length and every digest are checked; the signature is the device's to judge.
///
/// A bundle that is here already is answered with 200. One with the same manifest and another signature takes
/// the place of the one before.
#[utoipa::path(post, path = "/bundles", tag = "bundles",
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The bundle file"),
    responses((status = 201, body = Bundle), (status = 200, body = Bundle),
              (status = 413, body = bulkhead_cloud_api::Problem), (status = 422, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn push(
    State(state): State<AppState>,
    caller: Caller<PushBundle>,
    body: Body,
) -> Result<(StatusCode, Json<Bundle>), Failure> {
    let Ok(file) = to_bytes(body, BUNDLE_FILE_LEN_MAX).await else {
        let detail =
            format!("the file is longer than {BUNDLE_FILE_LEN_MAX} bytes, or its upload was cut short");
        return Err(Failure::of(
            ProblemCode::BundleTooLarge,
            detail,
            "make the bundle smaller, or push it again",
        ));
    };
    // Hashing is work for another thread than those that serve links.
    let account = caller.token.account.clone();
    let read = tokio::task::spawn_blocking(move || take_apart(&file, &account)).await;
    let (bundle, envelope, images) = read.map_err(|error| Failure::internal(&error))??;
    // Bytes first: a bundle that the store knows can always be served.
    let envelope = put(&state, envelope).await?;
    let mut areas = Vec::with_capacity(images.len());
    for (id, image) in images {
        areas.push((id, put(&state, image).await?));
    }
    let objects = BundleObjects { envelope, areas };
    let known = state.store.bundle_objects(bundle.manifest).await?;
    if known.as_ref() == Some(&objects)
        && let Some(known) = state.store.bundle(bundle.manifest).await?
    {
        return Ok((StatusCode::OK, Json(known)));
    }
    // The same manifest under another signature: the one before may have been made with a wrong key.
    state.store.put_bundle(&bundle, &objects).await?;
    state.audit(&caller.token, "push-bundle", &bundle.manifest.to_string()).await?;
    let data = json!({ "manifest": bundle.manifest, "name": bundle.name, "version": bundle.version });
    state.event("bundle-pushed", None, data).await?;
    Ok((StatusCode::CREATED, Json(bundle)))
}

/// One bundle, by digest, first digits of a digest, `name@version` or `name`.
#[utoipa::path(get, path = "/bundles/{bundle}", tag = "bundles",
    params(("bundle" = String, Path, description = "Digest, at least 8 digits of it, `name@version` or `name`")),
    responses((status = 200, body = Bundle), (status = 404, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn show(
    State(state): State<AppState>,
    _: Caller<Read>,
    PathPart(bundle): PathPart,
) -> Result<Json<Bundle>, Failure> {
    Ok(Json(state.find_bundle(&bundle).await?))
}

/// The bundle file, byte for byte as it was pushed.
#[utoipa::path(get, path = "/bundles/{bundle}/file", tag = "bundles",
    params(("bundle" = String, Path, description = "Digest, at least 8 digits of it, `name@version` or `name`")),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>),
              (status = 404, body = bulkhead_cloud_api::Problem)))]
pub(crate) async fn file(
    State(state): State<AppState>,
    _: Caller<Read>,
    PathPart(bundle): PathPart,
) -> Result<Response, Failure> {
    let bundle = state.find_bundle(&bundle).await?;
    let objects = state.store.bundle_objects(bundle.manifest).await?;
    let objects = objects.ok_or_else(|| Failure::internal(&"a bundle's objects are not known"))?;
    let mut file = BUNDLE_MAGIC.to_vec();
    file.extend_from_slice(&objects.envelope.len.to_be_bytes());
    let images = objects.areas.iter().map(|(_, span)| *span);
    for span in std::iter::once(objects.envelope).chain(images) {
        let len = usize::try_from(span.len).unwrap_or(usize::MAX);
        let bytes = state.bundles.read(span.digest, 0, len).await;
        file.extend_from_slice(&bytes.map_err(|error| Failure::internal(&error))?);
    }
    Ok(([("content-type", "application/octet-stream")], file).into_response())
}

async fn put(state: &AppState, bytes: Vec<u8>) -> Result<ObjectSpan, Failure> {
    let len = u32::try_from(bytes.len()).map_err(|error| Failure::internal(&error))?;
    let digest = state.bundles.put(bytes).await.map_err(|error| Failure::internal(&error))?;
    Ok(ObjectSpan { digest, len })
}

/// Bytes of a bundle's images by area id.
type Images = Vec<(u32, Vec<u8>)>;

fn take_apart(file: &[u8], account: &str) -> Result<(Bundle, Vec<u8>, Images), Failure> {
    let read = read_bundle(file).map_err(|refused| refuse(&refused))?;
    let manifest = &read.manifest;
    let images: Images = manifest
        .areas()
        .filter(|area| area.image_len() > 0)
        .map(|area| (area.id, read.image(area.id).unwrap_or_default().to_vec()))
        .collect();
    let areas = manifest.areas().map(|area| BundleArea {
        id: area.id,
        medium: area.medium.name().into(),
        base: area.base,
        length: area.length,
        kind: match area.kind {
            AreaKind::Code => "code".into(),
            AreaKind::Constant => "constant".into(),
            AreaKind::ApplicationOwned => "application-owned".into(),
            AreaKind::Fill => "fill".into(),
        },
        digest: to_hex(area.digest),
    });
    let bundle = Bundle {
        manifest: ManifestDigest(manifest.digest()),
        name: manifest.name.to_owned(),
        version: manifest.version.to_owned(),
        device_class: manifest.device_class.to_owned(),
        board_revision_min: manifest.board_revisions.least,
        board_revision_max: manifest.board_revisions.greatest,
        abi_min: manifest.abi.least,
        abi_max: manifest.abi.greatest,
        sequence: manifest.sequence,
        envelope_len: u32::try_from(read.envelope.len()).map_err(|error| Failure::internal(&error))?,
        size_bytes: manifest.areas().map(|area| u64::from(area.image_len())).sum(),
        areas: areas.collect(),
        policy: BundlePolicy {
            postpone_max_s: manifest.policy.postpone_max_s,
            confirm: manifest.policy.confirm == Confirm::Application,
            trial_window_s: manifest.policy.trial_window_s,
            trial_boots: manifest.policy.trial_boots,
            gives_up_owned: manifest.policy.gives_up_owned,
        },
        pushed_at: Timestamp::now(),
        pushed_by: account.to_owned(),
    };
    let envelope = read.envelope.to_vec();
    Ok((bundle, envelope, images))
}

fn refuse(refused: &Refused) -> Failure {
    let (code, next) = match refused {
        Refused::File(FileFault::Truncated { .. }) => {
            (ProblemCode::BundleTruncated, "push the whole file, or build the bundle again")
        }
        Refused::File(FileFault::Oversized { .. }) => {
            (ProblemCode::BundleOversized, "push the file as `bulkhead app bundle` wrote it")
        }
        Refused::File(FileFault::ImageDigest(_) | FileFault::PageDigest { .. }) => (
            ProblemCode::BundleDigestMismatch,
            "the file was damaged, or put together from several: build the bundle again",
        ),
        _ => (ProblemCode::BundleMalformed, "build the bundle with `bulkhead app bundle`"),
    };
    Failure::of(code, refused.to_string(), next)
}
