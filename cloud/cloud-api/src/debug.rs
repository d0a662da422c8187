//! Debug sessions: who holds one, and how its stream is read.

use serde::{Deserialize, Serialize};

use crate::{DeviceId, ManifestDigest};

/// Body that asks for a debug session.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OpenDebug {
    /// End the session of whoever holds the device now.
    #[serde(default)]
    pub takeover: bool,
    /// Number of a session of one's own whose connection was lost, and which this one continues.
    #[serde(default)]
    pub continues: Option<u32>,
}

/// A session that was granted. It is sealed between developer and device: the server carries it and cannot read it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DebugSession {
    /// Its number; both ends of the handshake are bound to it.
    pub session: u32,
    /// The device.
    pub device_id: DeviceId,
    /// The device's static X25519 public key, 64 hexadecimal digits. Its id is a digest of it.
    pub public_key: String,
    /// Manifest that the device last said to run.
    pub manifest: ManifestDigest,
}

/// Length field of a record of the stream that ends it; one byte with a [`DebugStreamEnd`] follows.
pub const DEBUG_STREAM_END: u16 = u16::MAX;

macro_rules! ends {
    ($($number:literal $name:ident $doc:literal;)*) => {
        /// Why the stream of a debug session ended. Numbers are never reused, only added.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        #[repr(u8)]
        pub enum DebugStreamEnd { $(#[doc = $doc] $name = $number),* }

        impl DebugStreamEnd {
            /// The end with this number; [`Self::LinkLost`] for one of a later version.
            pub fn from_number(number: u8) -> Self {
                match number { $($number => Self::$name,)* _ => Self::LinkLost }
            }
        }
    };
}

ends! {
    0 NoKey "The running bundle names no key of a developer.";
    1 OtherKey "It names others than this one.";
    2 Handshake "The handshake was for another device, manifest or session.";
    3 Broken "A message was not authentic, or broke the protocol.";
    4 OtherManifest "Another application runs now.";
    128 LinkLost "The device is no longer connected.";
    129 TakenOver "Another developer took over.";
    130 TooSlow "What the device sent was not read in time.";
    131 Expired "The session was as long as one may be.";
    132 ServerStops "The server stops.";
    133 TooFast "More was sent to the device than it took.";
    134 TokenEnded "The token that opened the session was revoked or has expired.";
}
