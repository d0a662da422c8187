//! What the owner decides beside bundles: key sets, factory bundles.

use serde::{Deserialize, Serialize};

use crate::{BundleReference, ManifestDigest, Timestamp};

/// Longest signed key set in bytes.
pub const KEY_SET_FILE_LEN_MAX: usize = 2048;

/// A key that may sign bundles and permits.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeySetSigner {
    /// Ed25519 public key, 64 hexadecimal digits.
    pub key: String,
    /// Last moment at which devices take something new signed by it; absent if it does not end.
    pub not_after: Option<Timestamp>,
}

/// A set of the owner's keys, signed by root keys that the server does not hold.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeySet {
    /// Rises from set to set.
    pub version: u32,
    /// When it was made, as its maker says.
    pub made_at: Timestamp,
    /// Roots that have to sign the next set.
    pub threshold: u32,
    /// Root keys, 64 hexadecimal digits each.
    pub roots: Vec<String>,
    /// Keys that may sign bundles and permits.
    pub signers: Vec<KeySetSigner>,
    /// Ids of the keys that signed it, 16 hexadecimal digits each.
    pub signed_by: Vec<String>,
    /// When it was pushed.
    pub pushed_at: Timestamp,
    /// Account that pushed it.
    pub pushed_by: String,
}

/// What a device has behind it for good.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Floors {
    /// Highest sequence ever committed; only a permit leads below it.
    pub sequence: u64,
    /// Highest security counter ever committed; nothing leads below it.
    pub security_counter: u32,
    /// Permits used up: the number that the next one must have.
    pub permits: u32,
}

/// What devices of a class are given that have no application and were never given one.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FactoryBundle {
    /// Class that manifests name.
    pub device_class: String,
    /// The bundle.
    pub manifest: ManifestDigest,
    /// Its name and version.
    pub bundle: Option<String>,
    /// When it was set.
    pub set_at: Timestamp,
    /// Account that set it.
    pub set_by: String,
}

/// Body that sets the factory bundle of the class that the bundle is for.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SetFactoryBundle {
    /// Digest of the manifest, at least eight first digits of it, `name@version`, or `name` for the newest.
    pub bundle: BundleReference,
}
