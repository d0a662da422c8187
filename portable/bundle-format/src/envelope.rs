//! The envelope: COSE_Sign1 (RFC 9052, section 4.2) with Ed25519 around a manifest.

use crate::cbor::{Major, Reader};
use crate::cose::{
    COSE_SIGN1_TAG, HeaderFault, KeyId, PublicKey, SIGN1_STRUCTURE_START, key_id, protected_header, signed_by,
};
use crate::manifest::Manifest;
use crate::refused::Refused;
use crate::{ENVELOPE_LEN_MAX, SIGNATURE_CONTEXT};

/// An envelope whose outer form is right. Nothing inside is to be believed before [`Self::verify`].
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope<'a> {
    protected: &'a [u8],
    key_id: &'a KeyId,
    payload: &'a [u8],
    payload_offset: usize,
    signature: &'a [u8; 64],
}

impl<'a> Envelope<'a> {
    /// Takes an envelope apart: length, form, algorithm.
    ///
    /// # Errors
    /// [`Refused`]: the maker's fault.
    pub fn parse(envelope: &'a [u8]) -> Result<Self, Refused> {
        if envelope.len() > ENVELOPE_LEN_MAX {
            let len = u64::try_from(envelope.len()).unwrap_or(u64::MAX);
            return Err(Refused::EnvelopeTooLong(len));
        }
        let r = &mut Reader::new(envelope);
        let parts = parts(r);
        if let Err(Refused::Manifest(error)) = parts { Err(Refused::Envelope(error)) } else { parts }
    }

    /// Id of the key that claims to have signed.
    pub fn key_id(&self) -> &'a KeyId {
        self.key_id
    }

    /// The manifest's bytes, not yet to be believed.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Where the payload starts, in bytes from the start of the envelope.
    pub fn payload_offset(&self) -> usize {
        self.payload_offset
    }

    /// Checks the signature against the owner's `keys`, then reads the manifest.
    ///
    /// # Errors
    /// [`Refused`]: signed by nobody that the owner listed, changed since, or wrong inside.
    pub fn verify(&self, keys: &[PublicKey]) -> Result<Manifest<'a>, Refused> {
        self.check_signature(keys, SIGNATURE_CONTEXT)?;
        Manifest::parse_at(self.payload, self.payload_offset)
    }

    /// Whether one of `keys` signed this under `context`.
    pub(crate) fn check_signature(&self, keys: &[PublicKey], context: &[u8]) -> Result<(), Refused> {
        // Two keys may share an id, by accident or malice, so each of them is tried.
        let mut candidates = keys.iter().filter(|key| key_id(key) == *self.key_id).peekable();
        if candidates.peek().is_none() {
            return Err(Refused::UnknownKey(*self.key_id));
        }
        let items = [self.protected, context, self.payload];
        if candidates.any(|key| signed_by(key, self.signature, SIGN1_STRUCTURE_START, items)) {
            Ok(())
        } else {
            Err(Refused::Signature)
        }
    }

    /// Reads the manifest without asking who signed it: for showing it to people, never for running it.
    ///
    /// # Errors
    /// [`Refused`]: wrong inside.
    pub fn manifest_unverified(&self) -> Result<Manifest<'a>, Refused> {
        Manifest::parse_at(self.payload, self.payload_offset)
    }
}

/// Checks an envelope's signature against the owner's `keys`, then reads its manifest.
///
/// Nothing inside is believed before the signature fits. Offsets of [`crate::Area::page_digests_range`] count from
/// the start of `envelope`.
///
/// # Errors
/// [`Refused`] says why; always the fault of the bundle's maker or of who changed it.
pub fn verify<'a>(envelope: &'a [u8], keys: &[PublicKey]) -> Result<Manifest<'a>, Refused> {
    Envelope::parse(envelope)?.verify(keys)
}

fn parts<'a>(r: &mut Reader<'a>) -> Result<Envelope<'a>, Refused> {
    r.counted(Major::Tag, COSE_SIGN1_TAG)?;
    r.counted(Major::Array, 4)?;
    let protected = r.bytes()?;
    let key_id = protected_header(protected).map_err(|fault| match fault {
        HeaderFault::Cbor(error) => error.into(),
        HeaderFault::Algorithm => Refused::Algorithm,
    })?;
    r.counted(Major::Map, 0)?;
    let payload = r.bytes()?;
    let payload_offset = r.position().saturating_sub(payload.len());
    let signature = r.byte_array()?;
    r.end()?;
    Ok(Envelope { protected, key_id, payload, payload_offset, signature })
}
