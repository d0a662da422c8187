//! Who may do what: roles, tokens, accounts.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// What a token allows. A token holds one or more.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Reads everything but tokens and the audit log.
    Viewer,
    /// As viewer; pushes bundles, deploys, restarts.
    Developer,
    /// As viewer; deploys, restarts, claims, renames and revokes devices.
    Operator,
    /// As viewer; debugs devices, where the running bundle names the key.
    Debugger,
    /// Registers new devices, nothing else.
    Factory,
    /// Everything, tokens and the audit log included.
    Admin,
}

/// One thing that a route asks of a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Permission {
    /// Read devices, bundles, updates, logs, events.
    Read,
    /// Push a bundle.
    PushBundle,
    /// Set a device's target.
    Deploy,
    /// Send a command to a device.
    Command,
    /// Claim, rename, revoke devices.
    ManageDevices,
    /// Register a device that a factory made.
    RegisterDevice,
    /// Hold a debug session.
    Debug,
    /// Create, list and revoke tokens; read the audit log.
    Administer,
}

impl Role {
    /// Every role.
    pub const ALL: &[Self] =
        &[Self::Viewer, Self::Developer, Self::Operator, Self::Debugger, Self::Factory, Self::Admin];

    /// Whether the role allows `permission`.
    pub fn allows(self, permission: Permission) -> bool {
        use Permission as P;
        match self {
            Self::Viewer => matches!(permission, P::Read),
            Self::Developer => matches!(permission, P::Read | P::PushBundle | P::Deploy | P::Command),
            Self::Operator => matches!(permission, P::Read | P::Deploy | P::Command | P::ManageDevices),
            Self::Debugger => matches!(permission, P::Read | P::Debug),
            Self::Factory => matches!(permission, P::RegisterDevice),
            Self::Admin => true,
        }
    }

    /// The role as it stands in JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Developer => "developer",
            Self::Operator => "operator",
            Self::Debugger => "debugger",
            Self::Factory => "factory",
            Self::Admin => "admin",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().copied().find(|role| role.as_str() == text);
        found.ok_or_else(|| "roles are viewer, developer, operator, debugger, factory, admin".into())
    }
}

/// A token as lists show it; the secret is not kept anywhere.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Token {
    /// Public part of the token, 16 hexadecimal digits.
    pub id: String,
    /// Account that acts.
    pub account: String,
    /// What it is for.
    pub name: String,
    /// What it allows.
    pub roles: Vec<Role>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working; absent if never.
    pub expires_at: Option<Timestamp>,
}

/// Body that makes a token.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// Account that acts.
    pub account: String,
    /// What it is for.
    pub name: String,
    /// What it allows; at least one role.
    pub roles: Vec<Role>,
    /// Seconds until it stops working; absent for never.
    pub expires_in_s: Option<u32>,
}

/// A token just made. The only moment at which the secret can be read.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreatedToken {
    /// As lists will show it.
    pub token: Token,
    /// `bht_<id>_<secret>`, to be sent as `Authorization: Bearer`.
    pub secret: String,
}

/// Who the caller is.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WhoAmI {
    /// The token that came with the request.
    pub token: Token,
    /// Realm of the server, 32 hexadecimal digits.
    pub realm_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_admin_administers_and_a_factory_cannot_read() {
        for role in Role::ALL {
            assert_eq!(role.allows(Permission::Administer), *role == Role::Admin, "{role:?}");
            assert_eq!(role.allows(Permission::Read), *role != Role::Factory, "{role:?}");
            assert_eq!(role.as_str().parse(), Ok(*role));
        }
        assert!(Role::Debugger.allows(Permission::Debug) && !Role::Developer.allows(Permission::Debug));
        assert!(!Role::Viewer.allows(Permission::Deploy));
        assert!(!Role::Operator.allows(Permission::PushBundle));
        assert!(!Role::Developer.allows(Permission::ManageDevices));
    }
}
