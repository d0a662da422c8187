//! What every signed object of an owner shares: COSE's headers and what a signature is over (RFC 9052).

use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha256};

use crate::cbor::{CborError, CborFault, Major, Reader, write_head};

/// An owner's Ed25519 public key.
pub type PublicKey = [u8; 32];

/// Length of a key id in bytes.
pub const KEY_ID_LEN: usize = 8;

/// First bytes of SHA-256 of a public key: tells which key signed, proves nothing.
pub type KeyId = [u8; KEY_ID_LEN];

/// CBOR tag of COSE_Sign1: one signature.
pub(crate) const COSE_SIGN1_TAG: u64 = 18;

/// CBOR tag of COSE_Sign: several signatures.
pub(crate) const COSE_SIGN_TAG: u64 = 98;

/// COSE header label of the algorithm.
pub(crate) const LABEL_ALGORITHM: u64 = 1;

/// COSE header label of the key id.
pub(crate) const LABEL_KEY_ID: u64 = 4;

/// COSE's number of EdDSA is -8; CBOR writes -1-n.
pub(crate) const ALGORITHM_EDDSA_ARGUMENT: u64 = 7;

/// Start of COSE's `Sig_structure` of a COSE_Sign1: an array of four whose first item is the text `Signature1`.
pub(crate) const SIGN1_STRUCTURE_START: &[u8] = b"\x84\x6aSignature1";

/// Start of COSE's `Sig_structure` of a COSE_Sign whose body has no protected header: an array of five whose first items
/// are the text `Signature` and no bytes.
pub(crate) const SIGN_STRUCTURE_START: &[u8] = b"\x85\x69Signature\x40";

/// The id of a key.
pub fn key_id(key: &PublicKey) -> KeyId {
    let digest: [u8; 32] = Sha256::digest(key).into();
    let (id, _) = digest.split_first_chunk().unwrap_or((&[0; KEY_ID_LEN], &[]));
    *id
}

/// Why a protected header is not the prescribed one.
pub(crate) enum HeaderFault {
    Cbor(CborError),
    Algorithm,
}

impl From<CborError> for HeaderFault {
    fn from(error: CborError) -> Self {
        Self::Cbor(error)
    }
}

/// Reads `{ 1: -8, 4: key id }`.
pub(crate) fn protected_header(protected: &[u8]) -> Result<&KeyId, HeaderFault> {
    let r = &mut Reader::new(protected);
    r.counted(Major::Map, 2)?;
    r.key(LABEL_ALGORITHM)?;
    match r.expect(Major::Negative) {
        Ok(ALGORITHM_EDDSA_ARGUMENT) => {}
        Ok(_) | Err(CborError { fault: CborFault::UnexpectedType, .. }) => {
            return Err(HeaderFault::Algorithm);
        }
        Err(error) => return Err(error.into()),
    }
    r.key(LABEL_KEY_ID)?;
    let key_id = r.byte_array()?;
    r.end()?;
    Ok(key_id)
}

/// Whether `key` made `signature` over `start`, then each of `items` as a byte string.
///
/// Same answer as `VerifyingKey::verify_strict` over the joined `Sig_structure`, without joining it: a test holds the
/// two against each other.
pub(crate) fn signed_by(key: &PublicKey, signature: &[u8; 64], start: &[u8], items: [&[u8]; 3]) -> bool {
    let signature = Signature::from_bytes(signature);
    let Ok(verifying_key) = VerifyingKey::from_bytes(key) else { return false };
    // Small-order keys and commitments would fit many messages at once. A commitment is a point like a key.
    let Ok(commitment) = VerifyingKey::from_bytes(signature.r_bytes()) else { return false };
    if verifying_key.is_weak() || commitment.is_weak() {
        return false;
    }
    let Ok(mut verifier) = verifying_key.verify_stream(&signature) else { return false };
    let mut head = [0; 9];
    verifier.update(start);
    for item in items {
        let len = u64::try_from(item.len()).unwrap_or(u64::MAX);
        let head_len = write_head(Major::Bytes, len, &mut head);
        verifier.update(head.get(..head_len).unwrap_or_default());
        verifier.update(item);
    }
    verifier.finalize_and_verify().is_ok()
}
