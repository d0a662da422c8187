//! Configuration and secrets of applications.

use serde::{Deserialize, Serialize};

use crate::{ProblemCode, Timestamp};

/// Longest key in bytes.
pub const CONFIG_KEY_LEN_MAX: usize = 32;

/// Longest value in bytes.
pub const CONFIG_VALUE_LEN_MAX: usize = 512;

/// Keys that one device can have, those for every device included.
pub const CONFIG_KEYS_MAX: usize = 24;

/// Whom a value is for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ConfigScope {
    /// Every device.
    Fleet,
    /// One device, before what is for every device.
    Device,
}

/// A value of a configuration.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConfigItem {
    /// The key.
    pub key: String,
    /// Whom it is for.
    pub scope: ConfigScope,
    /// The value in base64; absent if it is a secret, which the API takes and never tells.
    pub value: Option<String>,
    /// The value as text, where it is text and no secret.
    pub text: Option<String>,
    /// Whether it is a secret.
    pub secret: bool,
    /// Length of the value in bytes.
    pub length: u32,
    /// Rises each time the key is set.
    pub version: u32,
    /// When it was set.
    pub set_at: Timestamp,
    /// Account that set it.
    pub set_by: String,
}

/// Body that sets a value. One of `value` and `text` has to be there.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SetConfig {
    /// At most 512 bytes in base64.
    pub value: Option<String>,
    /// At most 512 bytes of text.
    pub text: Option<String>,
    /// Whether it is a secret, which can be set and never read here. A secret stays one until it is removed.
    #[serde(default)]
    pub secret: bool,
}

/// What a device said of its configuration.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AppliedConfiguration {
    /// Revision that it has; 0 for none.
    pub revision: u32,
    /// Its entries.
    pub entries: u32,
    /// Revision that it refused.
    pub refused: Option<u32>,
    /// Why: `too-many`, `malformed`, `flash-failed`.
    pub reason: Option<String>,
    /// When it said so.
    pub reported_at: Timestamp,
}

/// The configuration of one device.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeviceConfiguration {
    /// Revision that the device shall have; 0 if nothing was ever set.
    pub revision: u32,
    /// Whether the device has it.
    pub in_sync: bool,
    /// What counts for the device, in the order of keys.
    pub items: Vec<ConfigItem>,
    /// What the device said last.
    pub applied: Option<AppliedConfiguration>,
}

/// Whether `key` is one: 1 to 32 printable ASCII characters, no space.
///
/// # Errors
/// A sentence that says what is wrong, with the code of the problem.
pub fn check_config_key(key: &str) -> Result<(), (ProblemCode, String)> {
    let fits =
        (1..=CONFIG_KEY_LEN_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if fits {
        return Ok(());
    }
    let shown: String = key.chars().take(CONFIG_KEY_LEN_MAX).collect();
    Err((ProblemCode::InvalidRequest, format!("`{shown}` is no key")))
}
