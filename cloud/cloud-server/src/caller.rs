//! Who asks, and whether they may.
//!
//! A handler that takes a [`Caller<P>`] is only reached with a token that allows `P`; one that takes none is open
//! to everybody. So what a route demands stands in its signature and cannot be forgotten inside.

use std::marker::PhantomData;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use bulkhead_cloud_api::{Permission, ProblemCode, Role, Timestamp, Token};
use bulkhead_fleet_store::TokenRejected;

use crate::failure::Failure;
use crate::state::AppState;

/// A permission as a type.
pub(crate) trait Asks: Send + Sync {
    /// The permission; `None` if any token will do.
    const PERMISSION: Option<Permission>;
}

macro_rules! permissions {
    ($($name:ident = $permission:expr;)*) => {
        $(pub(crate) struct $name;
        impl Asks for $name {
            const PERMISSION: Option<Permission> = $permission;
        })*
    };
}

permissions! {
    AnyToken = None;
    Read = Some(Permission::Read);
    PushBundle = Some(Permission::PushBundle);
    Deploy = Some(Permission::Deploy);
    Command = Some(Permission::Command);
    Debug = Some(Permission::Debug);
    ManageDevices = Some(Permission::ManageDevices);
    RegisterDevice = Some(Permission::RegisterDevice);
    Administer = Some(Permission::Administer);
}

/// The token of a request, allowed to do `P`.
pub(crate) struct Caller<P> {
    pub(crate) token: Token,
    permission: PhantomData<P>,
}

impl<P: Asks> FromRequestParts<AppState> for Caller<P> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Failure> {
        let shown = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some(text) = shown.and_then(|value| value.strip_prefix("Bearer ")) else {
            let detail = "the request has no `Authorization: Bearer` header";
            return Err(Failure::of(ProblemCode::Unauthenticated, detail, "log in with `bulkhead login`"));
        };
        let token = match state.store.check_token(text.trim(), Timestamp::now()).await? {
            Ok(token) => token,
            Err(TokenRejected::Unknown) => {
                let detail = "the token is not known here, or was revoked";
                return Err(Failure::of(
                    ProblemCode::Unauthenticated,
                    detail,
                    "log in with `bulkhead login`",
                ));
            }
            Err(TokenRejected::Expired) => {
                let next = "ask an administrator for a new token, then `bulkhead login`";
                return Err(Failure::of(ProblemCode::TokenExpired, "the token has expired", next));
            }
        };
        if let Some(permission) = P::PERMISSION
            && !token.roles.iter().any(|role| role.allows(permission))
        {
            let roles: Vec<_> = token.roles.iter().map(|role| role.as_str()).collect();
            let detail = format!("the token is a {} and may not do this", roles.join(" and "));
            let enough = Role::ALL.iter().copied().filter(|role| role.allows(permission));
            let enough: Vec<_> = enough.map(Role::as_str).collect();
            let next = format!("use a token with one of the roles that may: {}", enough.join(", "));
            return Err(Failure::of(ProblemCode::Forbidden, detail, next));
        }
        Ok(Self { token, permission: PhantomData })
    }
}
