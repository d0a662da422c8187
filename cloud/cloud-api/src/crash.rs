//! Crash dumps: what is known of one without opening it.

use serde::{Deserialize, Serialize};

use crate::{DeviceId, FaultKind, ManifestDigest, Timestamp};

/// A crash dump. Its content is sealed for the developers whom the bundle names; the server cannot read it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Crash {
    /// Number, rising.
    pub id: i64,
    /// The device.
    pub device_id: DeviceId,
    /// What ran.
    pub manifest: ManifestDigest,
    /// Name and version of what ran, if its bundle is here.
    pub bundle: Option<String>,
    /// What happened; absent for a dump that was ordered.
    pub fault: Option<FaultKind>,
    /// Where the application was, 0 if unknown.
    pub program_counter: u32,
    /// Microseconds since the device's power came on.
    pub uptime_us: u64,
    /// The device's own time of the crash, if it knew it.
    pub happened_at: Option<Timestamp>,
    /// When the server had all of it.
    pub received_at: Timestamp,
    /// Faults since the device's power came on, this one included.
    pub fault_count: u32,
    /// Dumps that the device made before this one.
    pub sequence: u32,
    /// Length of the sealed dump in bytes.
    pub size_bytes: u32,
    /// The keys that open it: first 8 bytes of SHA-256 of each public key, 16 hexadecimal digits.
    pub key_names: Vec<String>,
}
