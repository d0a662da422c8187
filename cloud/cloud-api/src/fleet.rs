//! Everything of the API that is not one device: server, bundles, events, logs, audit.

use serde::{Deserialize, Serialize};

use crate::{DeviceId, ManifestDigest, Timestamp};

/// What anybody may know of a server; enough to provision a device for it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServerInfo {
    /// Version of the server.
    pub version: String,
    /// Realm, 32 hexadecimal digits; part of every device link's prologue.
    pub realm_id: String,
    /// Static X25519 public keys, 64 hexadecimal digits each: the current and, while one is planned, the next.
    pub server_public_keys: Vec<String>,
    /// Host and port on which the gateway listens for devices, as the server sees itself.
    pub device_endpoint: String,
    /// Time of the server.
    pub time: Timestamp,
}

/// A page of a list.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Value for `cursor` that fetches what follows; absent on the last page.
    pub next_cursor: Option<String>,
}

/// An area of a bundle.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BundleArea {
    /// Number of the area in its manifest.
    pub id: u32,
    /// `die` or `external`.
    pub medium: String,
    /// First address or offset, as the manifest has it.
    pub base: u32,
    /// Length in bytes.
    pub length: u32,
    /// `code`, `constant`, `application-owned` or `fill`.
    #[serde(default)]
    pub kind: String,
    /// SHA-256 of the image, 64 hexadecimal digits.
    pub digest: String,
}

/// What a bundle lays down about running and updating its application. What is absent is left to the device.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct BundlePolicy {
    /// Longest time that the application may postpone an update, in seconds; 0 for not at all.
    pub postpone_max_s: Option<u32>,
    /// Whether the application has to confirm that a new version works.
    pub confirm: bool,
    /// Time without a fault that a trial takes at least, in seconds.
    pub trial_window_s: Option<u32>,
    /// Starts of the device that a trial survives unconfirmed.
    pub trial_boots: Option<u32>,
    /// Whether areas that the application before it owns may be moved, cut or dropped.
    pub gives_up_owned: bool,
}

/// A bundle.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Bundle {
    /// SHA-256 of the manifest's payload.
    pub manifest: ManifestDigest,
    /// Name of the application.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Class of devices it is for.
    pub device_class: String,
    /// Lowest revision of the board.
    pub board_revision_min: u32,
    /// Highest revision of the board.
    pub board_revision_max: u32,
    /// Lowest system call ABI it runs on.
    pub abi_min: u32,
    /// Highest system call ABI it runs on.
    pub abi_max: u32,
    /// Rises with every bundle of an owner.
    pub sequence: u64,
    /// Length of the signed envelope in bytes.
    pub envelope_len: u32,
    /// Bytes of all areas.
    pub size_bytes: u64,
    /// The areas.
    pub areas: Vec<BundleArea>,
    /// The policy.
    #[serde(default)]
    pub policy: BundlePolicy,
    /// When it was pushed.
    pub pushed_at: Timestamp,
    /// By which account.
    pub pushed_by: String,
}

/// Something that happened; numbered without gaps that matter, in order.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event {
    /// Number, rising; the id of the server-sent event.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// What: `device-online`, `device-offline`, `device-state`, `device-claimed`, `device-registered`,
    /// `device-changed`, `update`, `command`, `bundle-pushed`, `message`, `configuration`. More may be added.
    pub kind: String,
    /// The device concerned.
    pub device_id: Option<DeviceId>,
    /// Details, by kind.
    pub data: serde_json::Value,
}

/// Who wrote a log record.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LogSource {
    /// The application.
    Application,
    /// The hypervisor.
    Hypervisor,
}

/// Level of a log record.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something is odd.
    Warning,
    /// Something happened.
    Information,
    /// For the developer.
    Debug,
    /// For the developer, in detail.
    Trace,
}

impl LogLevel {
    /// The level with this number on the link; numbers above 4 are trace.
    pub fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Error,
            1 => Self::Warning,
            2 => Self::Information,
            3 => Self::Debug,
            _ => Self::Trace,
        }
    }

    /// Number on the link, 0 to 4.
    pub fn number(self) -> u8 {
        match self {
            Self::Error => 0,
            Self::Warning => 1,
            Self::Information => 2,
            Self::Debug => 3,
            Self::Trace => 4,
        }
    }

    /// The level as it stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Information => "information",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// One log record of a device.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LogRecord {
    /// Number, rising; the id of the server-sent event.
    pub id: i64,
    /// The device.
    pub device_id: DeviceId,
    /// When the server received it.
    pub received_at: Timestamp,
    /// Who wrote it.
    pub source: LogSource,
    /// Level.
    pub level: LogLevel,
    /// Microseconds since the device's power came on.
    pub uptime_us: u64,
    /// Running number since the device's power came on.
    pub sequence: u32,
    /// Records that the device lost before this one.
    pub lost: u32,
    /// The text.
    pub text: String,
}

/// One entry of the audit log. Each holds the hash of the one before, so that none can vanish unseen.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditEntry {
    /// Number, rising by one.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// Account that acted.
    pub account: String,
    /// Token it used.
    pub token_id: String,
    /// What it did.
    pub action: String,
    /// To what.
    pub subject: String,
    /// SHA-256 over the previous hash and this entry, 64 hexadecimal digits.
    pub hash: String,
}
