//! The envelope: COSE_Sign1 (RFC 9052, section 4.2) with Ed25519 around a manifest.

use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha256};

use crate::cbor::{CborError, CborFault, Major, Reader, write_head};
use crate::manifest::Manifest;
use crate::refused::Refused;
use crate::{ENVELOPE_LEN_MAX, SIGNATURE_CONTEXT};

/// An owner's Ed25519 public key.
pub type PublicKey = [u8; 32];

/// Length of a key id in bytes.
pub const KEY_ID_LEN: usize = 8;

/// First bytes of SHA-256 of a public key: tells which key signed, proves nothing.
pub type KeyId = [u8; KEY_ID_LEN];

/// CBOR tag of COSE_Sign1.
pub(crate) const COSE_SIGN1_TAG: u64 = 18;

/// COSE header label of the algorithm.
pub(crate) const LABEL_ALGORITHM: u64 = 1;

/// COSE header label of the key id.
pub(crate) const LABEL_KEY_ID: u64 = 4;

/// COSE's number of EdDSA is -8; CBOR writes -1-n.
pub(crate) const ALGORITHM_EDDSA_ARGUMENT: u64 = 7;

/// Start of COSE's `Sig_structure`: an array of four whose first item is the text `Signature1`.
pub(crate) const SIG_STRUCTURE_START: &[u8; 12] = b"\x84\x6aSignature1";

/// The id of a key.
pub fn key_id(key: &PublicKey) -> KeyId {
    let digest: [u8; 32] = Sha256::digest(key).into();
    let (id, _) = digest.split_first_chunk().unwrap_or((&[0; KEY_ID_LEN], &[]));
    *id
}

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
        // Two keys may share an id, by accident or malice, so each of them is tried.
        let mut candidates = keys.iter().filter(|key| key_id(key) == *self.key_id).peekable();
        if candidates.peek().is_none() {
            return Err(Refused::UnknownKey(*self.key_id));
        }
        if !candidates.any(|key| self.signed_by(key)) {
            return Err(Refused::Signature);
        }
        Manifest::parse_at(self.payload, self.payload_offset)
    }

    /// Reads the manifest without asking who signed it: for showing it to people, never for running it.
    ///
    /// # Errors
    /// [`Refused`]: wrong inside.
    pub fn manifest_unverified(&self) -> Result<Manifest<'a>, Refused> {
        Manifest::parse_at(self.payload, self.payload_offset)
    }

    /// Same answer as `VerifyingKey::verify_strict` over the joined `Sig_structure`, without joining it: a test
    /// holds the two against each other.
    fn signed_by(&self, key: &PublicKey) -> bool {
        let signature = Signature::from_bytes(self.signature);
        let Ok(verifying_key) = VerifyingKey::from_bytes(key) else { return false };
        // Small-order keys and commitments would fit many messages at once. A commitment is a point like a key.
        let Ok(commitment) = VerifyingKey::from_bytes(signature.r_bytes()) else { return false };
        if verifying_key.is_weak() || commitment.is_weak() {
            return false;
        }
        let Ok(mut verifier) = verifying_key.verify_stream(&signature) else { return false };
        let mut head = [0; 9];
        verifier.update(SIG_STRUCTURE_START);
        for item in [self.protected, SIGNATURE_CONTEXT.as_slice(), self.payload] {
            let len = u64::try_from(item.len()).unwrap_or(u64::MAX);
            let head_len = write_head(Major::Bytes, len, &mut head);
            verifier.update(head.get(..head_len).unwrap_or_default());
            verifier.update(item);
        }
        verifier.finalize_and_verify().is_ok()
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
    let key_id = protected_header(protected)?;
    r.counted(Major::Map, 0)?;
    let payload = r.bytes()?;
    let payload_offset = r.position().saturating_sub(payload.len());
    let signature = r.byte_array()?;
    r.end()?;
    Ok(Envelope { protected, key_id, payload, payload_offset, signature })
}

fn protected_header(protected: &[u8]) -> Result<&KeyId, Refused> {
    let r = &mut Reader::new(protected);
    r.counted(Major::Map, 2)?;
    r.key(LABEL_ALGORITHM)?;
    match r.expect(Major::Negative) {
        Ok(ALGORITHM_EDDSA_ARGUMENT) => {}
        Ok(_) | Err(CborError { fault: CborFault::UnexpectedType, .. }) => return Err(Refused::Algorithm),
        Err(error) => return Err(error.into()),
    }
    r.key(LABEL_KEY_ID)?;
    let key_id = r.byte_array()?;
    r.end()?;
    Ok(key_id)
}
