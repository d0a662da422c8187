//! Errors as RFC 9457 `application/problem+json`, with a stable code and a next step.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Content type of a [`Problem`].
pub const PROBLEM_CONTENT_TYPE: &str = "application/problem+json";

macro_rules! codes {
    ($($variant:ident = $text:literal, $status:literal, $title:literal;)*) => {
        /// Stable codes of problems; a program decides by these, never by the words.
        #[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub enum ProblemCode {
            $(#[doc = $title] #[serde(rename = $text)] $variant,)*
            /// A code of a newer server.
            #[serde(other, rename = "unknown")]
            Unknown,
        }

        impl ProblemCode {
            /// Every code that this version knows.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The code as it stands in JSON.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* Self::Unknown => "unknown" }
            }

            /// HTTP status that travels with the code.
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* Self::Unknown => 500 }
            }

            /// One sentence that names the kind of problem.
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* Self::Unknown => "Something else." }
            }
        }
    };
}

codes! {
    Unauthenticated = "unauthenticated", 401, "No valid token came with the request.";
    TokenExpired = "token-expired", 401, "The token has expired.";
    Forbidden = "forbidden", 403, "The token's roles do not allow this.";
    NotFound = "not-found", 404, "There is nothing of that name.";
    DeviceNotFound = "device-not-found", 404, "There is no such device.";
    BundleNotFound = "bundle-not-found", 404, "There is no such bundle.";
    CrashNotFound = "crash-not-found", 404, "There is no such crash dump.";
    AmbiguousName = "ambiguous-name", 409, "The name fits more than one thing.";
    NameTaken = "name-taken", 409, "The name is in use.";
    MethodNotAllowed = "method-not-allowed", 405, "The path does not know this method.";
    InvalidRequest = "invalid-request", 400, "The request is malformed.";
    RequestTooLarge = "request-too-large", 413, "The body is longer than the server reads.";
    InvalidCursor = "invalid-cursor", 400, "The cursor is not one of this list.";
    AlreadyClaimed = "already-claimed", 409, "The device belongs to an account already.";
    AlreadyRegistered = "already-registered", 409, "The device is registered already.";
    ClaimTokenWrong = "claim-token-wrong", 403, "The claim token is not the device's.";
    NotClaimed = "not-claimed", 409, "The device belongs to no account yet.";
    DeviceRevoked = "device-revoked", 409, "The device was revoked.";
    DeviceOffline = "device-offline", 409, "The device is not connected.";
    NoApplication = "no-application", 409, "The device has no application.";
    DebugHeld = "debug-held", 409, "Somebody else is debugging the device.";
    DebugGone = "debug-gone", 404, "The debug session is over.";
    BundleMalformed = "bundle-malformed", 422, "The file is not a bundle.";
    BundleTruncated = "bundle-truncated", 422, "The file ends before the bundle does.";
    BundleOversized = "bundle-oversized", 422, "Bytes follow the end of the bundle.";
    BundleTooLarge = "bundle-too-large", 413, "The file is longer than a bundle may be.";
    BundleDigestMismatch = "bundle-digest-mismatch", 422, "Bytes of the bundle differ from its manifest.";
    BundleClassMismatch = "bundle-class-mismatch", 409, "The bundle is for another class of devices.";
    BundleBoardMismatch = "bundle-board-mismatch", 409, "The bundle is for other revisions of the board.";
    BundleAbiMismatch = "bundle-abi-mismatch", 409, "The bundle needs another system call ABI.";
    BundleOlder = "bundle-older", 409, "The bundle is older than what the device ran.";
    PermitMismatch = "permit-mismatch", 409, "The permit is not for this device and bundle, or was used.";
    KeySetMalformed = "key-set-malformed", 422, "The file is not a signed key set.";
    KeySetUnsigned = "key-set-unsigned", 422, "Too few roots have signed the key set.";
    KeySetVersionTaken = "key-set-version-taken", 409, "A key set of this or a later version is here.";
    MessageTooLong = "message-too-long", 413, "The body is empty or longer than a message may be.";
    MessageQueueFull = "message-queue-full", 409, "Too many messages wait for the device.";
    IdempotencyMismatch = "idempotency-mismatch", 409, "The idempotency key was used for something else.";
    ConfigurationFull = "configuration-full", 409, "A device would have more keys than it has room for.";
    ValueTooLong = "value-too-long", 413, "The value is longer than a value may be.";
    Internal = "internal", 500, "The server failed.";
}

/// One failure, for programs (`code`) and for people (`detail`, `next_step`).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// URI of the kind of problem: `urn:bulkhead:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem in one sentence.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// Stable code.
    pub code: ProblemCode,
    /// What happened this time.
    pub detail: String,
    /// What to do now.
    pub next_step: String,
}

impl Problem {
    /// A problem of the kind `code`.
    pub fn new(code: ProblemCode, detail: impl Into<String>, next_step: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:bulkhead:problem:{}", code.as_str()),
            title: code.title().into(),
            status: code.status(),
            code,
            detail: detail.into(),
            next_step: next_step.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.detail, self.code.as_str())
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_written_in_json_as_as_str_says() {
        for code in ProblemCode::ALL {
            assert_eq!(serde_json::to_string(code).expect("serialises"), format!("\"{}\"", code.as_str()));
        }
    }

    #[test]
    fn code_of_a_newer_server_is_read_as_unknown() {
        let code: ProblemCode = serde_json::from_str("\"sun-too-bright\"").expect("reads");
        assert_eq!(code, ProblemCode::Unknown);
    }
}
