//! From failures to `application/problem+json`.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Json, Path, Query, Request};
use axum::http::{HeaderValue, StatusCode, header, request::Parts};
use axum::response::{IntoResponse, Response};
use bulkhead_cloud_api::{PROBLEM_CONTENT_TYPE, Problem, ProblemCode};
use bulkhead_fleet_store::StoreError;
use serde::de::DeserializeOwned;

/// A problem on its way to the caller.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) Box<Problem>);

impl Failure {
    pub(crate) fn of(code: ProblemCode, detail: impl Into<String>, next_step: impl Into<String>) -> Self {
        Problem::new(code, detail, next_step).into()
    }

    /// Our own failure: logged in full here, told in one sentence.
    pub(crate) fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed by our own fault");
        Self::of(
            ProblemCode::Internal,
            "the server could not do this",
            "try again; the server's log says more",
        )
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NameTaken => {
                Self::of(ProblemCode::NameTaken, "another device has this name", "choose another name")
            }
            other => Self::internal(&other),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response = (status, Body::from(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_CONTENT_TYPE));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

fn malformed(detail: impl Into<String>) -> Failure {
    Failure::of(ProblemCode::InvalidRequest, detail, "see the schema in docs/spec/rest-api.md")
}

/// What is wrong with a body that could not be read.
fn unread(status: StatusCode, detail: String) -> Failure {
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        let detail = "the body of the request is longer than this server reads";
        return Failure::of(ProblemCode::RequestTooLarge, detail, "send less at once");
    }
    malformed(detail)
}

/// Bytes as they came, whose faults are problems.
pub(crate) struct RawBody(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        match Bytes::from_request(request, state).await {
            Ok(bytes) => Ok(Self(bytes)),
            Err(rejection) => Err(unread(rejection.status(), rejection.body_text())),
        }
    }
}

/// A JSON body whose faults are problems.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(unread(rejection.status(), rejection.body_text())),
        }
    }
}

/// A path parameter whose faults are problems.
pub(crate) struct PathPart<T = String>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for PathPart<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Path(part) = Path::<T>::from_request_parts(parts, state)
            .await
            .map_err(|error| malformed(error.body_text()))?;
        Ok(Self(part))
    }
}

/// Two path parameters whose faults are problems.
pub(crate) struct PathPair(pub(crate) String, pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for PathPair {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Path((first, second)) = Path::<(String, String)>::from_request_parts(parts, state)
            .await
            .map_err(|error| malformed(error.body_text()))?;
        Ok(Self(first, second))
    }
}

/// Query parameters whose faults are problems.
pub(crate) struct Parameters<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Query(value) = Query::<T>::from_request_parts(parts, state)
            .await
            .map_err(|error| malformed(error.body_text()))?;
        Ok(Self(value))
    }
}

pub(crate) async fn no_such_path() -> Failure {
    Failure::of(ProblemCode::NotFound, "there is nothing under this path", "see /api/v1/openapi.json")
}

pub(crate) async fn no_such_method() -> Failure {
    Failure::of(
        ProblemCode::MethodNotAllowed,
        "this path does not know this method",
        "see /api/v1/openapi.json",
    )
}
