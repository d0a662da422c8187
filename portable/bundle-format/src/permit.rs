//! A permit to go back: the owner lets one device, once, run one manifest that is older than what it ran.

use core::fmt;

use crate::cbor::{CborError, CborFault, Major, Reader};
use crate::cose::PublicKey;
use crate::envelope::Envelope;
use crate::manifest::Digest;
use crate::refused::Refused;

/// Longest signed permit in bytes.
pub const PERMIT_LEN_MAX: usize = 256;

/// Context string that keeps a permit's signature from being used for anything else.
pub const PERMIT_CONTEXT: &[u8] = b"bulkhead/downgrade-permit/1";

/// The only format of permits that this version knows.
const PERMIT_FORMAT: u64 = 1;

/// What a permit allows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Permit {
    /// The device: first 16 bytes of SHA-256 of its static public key.
    pub device_id: [u8; 16],
    /// What it may run.
    pub manifest: Digest,
    /// Permits that the device has used up before: each permit is good once.
    pub number: u32,
}

/// Why a permit is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PermitRefused {
    /// Envelope or signature.
    Envelope(Refused),
    /// Not CBOR of the prescribed form.
    Malformed(CborError),
    /// A format of another version; holds that version.
    FormatVersion(u64),
}

impl fmt::Display for PermitRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Envelope(e) => write!(f, "{e}"),
            Self::Malformed(e) => write!(f, "malformed: {e}"),
            Self::FormatVersion(v) => write!(f, "format {v} is not known here; format 1 is"),
        }
    }
}

impl core::error::Error for PermitRefused {}

impl From<CborError> for PermitRefused {
    fn from(error: CborError) -> Self {
        Self::Malformed(error)
    }
}

impl Permit {
    /// Checks the signature against `keys`, then reads the permit.
    ///
    /// # Errors
    /// [`PermitRefused`].
    pub fn verify(signed: &[u8], keys: &[PublicKey]) -> Result<Self, PermitRefused> {
        let envelope = Envelope::parse(signed).map_err(PermitRefused::Envelope)?;
        envelope.check_signature(keys, PERMIT_CONTEXT).map_err(PermitRefused::Envelope)?;
        Self::parse(envelope.payload())
    }

    /// Reads a signed permit without asking who signed it: for showing it to people.
    ///
    /// # Errors
    /// [`PermitRefused`].
    pub fn read_unverified(signed: &[u8]) -> Result<Self, PermitRefused> {
        Self::parse(Envelope::parse(signed).map_err(PermitRefused::Envelope)?.payload())
    }

    fn parse(payload: &[u8]) -> Result<Self, PermitRefused> {
        let r = &mut Reader::new(payload);
        let keys = r.expect(Major::Map)?;
        r.key(0)?;
        match r.unsigned()? {
            PERMIT_FORMAT if keys == 4 => {}
            PERMIT_FORMAT => return Err(r.fault(CborFault::WrongKeys).into()),
            newer => return Err(PermitRefused::FormatVersion(newer)),
        }
        r.key(1)?;
        let device_id = *r.byte_array()?;
        r.key(2)?;
        let manifest = *r.byte_array()?;
        r.key(3)?;
        let number = r.u32()?;
        r.end()?;
        Ok(Self { device_id, manifest, number })
    }
}
