//! Writing what an owner signs beside bundles: key sets and permits.

use alloc::vec::Vec;

use crate::cbor::Major;
use crate::cose::{COSE_SIGN_TAG, PublicKey, SIGN_STRUCTURE_START, key_id};
use crate::encode::{Signer, Writer};
use crate::key_set::{BundleSigner, KEY_SET_CONTEXT, KeySet, KeySetRefused, SignedKeySet};
use crate::permit::{PERMIT_CONTEXT, Permit};

/// A key set as its maker describes it.
#[derive(Clone, Copy, Debug)]
pub struct KeySetFields<'a> {
    /// Rises from set to set, from 1.
    pub version: u32,
    /// When it was made, in seconds since 1970.
    pub made_at_s: u64,
    /// Roots that have to sign.
    pub threshold: u32,
    /// Root keys, in any order.
    pub roots: &'a [PublicKey],
    /// Keys that may sign bundles, in any order.
    pub signers: &'a [BundleSigner],
}

/// Writes a key set that nobody has signed yet.
///
/// # Errors
/// [`KeySetRefused`]: the fields contradict each other; the same answer that a device would give.
pub fn encode_key_set(fields: &KeySetFields<'_>) -> Result<Vec<u8>, KeySetRefused> {
    let mut roots = fields.roots.to_vec();
    roots.sort_unstable();
    let mut signers = fields.signers.to_vec();
    signers.sort_unstable_by_key(|signer| signer.key);
    let mut w = Writer(Vec::new());
    w.head(Major::Map, 6);
    w.pair(0, 1);
    w.pair(1, fields.version.into());
    w.pair(2, fields.made_at_s);
    w.pair(3, fields.threshold.into());
    w.unsigned(4);
    w.bytes(roots.as_flattened());
    w.unsigned(5);
    w.head(Major::Array, signers.len() as u64);
    for signer in &signers {
        w.head(Major::Array, if signer.not_after_s.is_some() { 2 } else { 1 });
        w.bytes(&signer.key);
        if let Some(not_after_s) = signer.not_after_s {
            w.unsigned(not_after_s);
        }
    }
    KeySet::parse(&w.0)?;
    Ok(signed(&w.0, &[]))
}

/// Adds the signature of `signer` to a signed or unsigned set, in the place of one that the same key made before.
///
/// # Errors
/// [`KeySetRefused`]: `set` is none, or has no room for another signature.
pub fn sign_key_set(set: &[u8], signer: &Signer) -> Result<Vec<u8>, KeySetRefused> {
    let read = SignedKeySet::parse(set)?;
    let id = key_id(&signer.public_key());
    let mut signatures: Vec<(Vec<u8>, [u8; 64])> = read
        .signatures()
        .filter(|(_, key_id, _)| **key_id != id)
        .map(|(protected, _, signature)| (protected.to_vec(), *signature))
        .collect();
    let protected = signer.protected_header();
    let signature =
        signer.signature_over(SIGN_STRUCTURE_START, [&protected, KEY_SET_CONTEXT, read.payload()]);
    signatures.push((protected, signature));
    // In the order of their ids, so that it does not matter who signed first.
    signatures.sort_unstable();
    let written = signed(read.payload(), &signatures);
    SignedKeySet::parse(&written)?;
    Ok(written)
}

fn signed(payload: &[u8], signatures: &[(Vec<u8>, [u8; 64])]) -> Vec<u8> {
    let mut w = Writer(Vec::new());
    w.head(Major::Tag, COSE_SIGN_TAG);
    w.head(Major::Array, 4);
    w.bytes(&[]);
    w.head(Major::Map, 0);
    w.bytes(payload);
    w.head(Major::Array, signatures.len() as u64);
    for (protected, signature) in signatures {
        w.head(Major::Array, 3);
        w.bytes(protected);
        w.head(Major::Map, 0);
        w.bytes(signature);
    }
    w.0
}

/// Writes and signs a permit.
pub fn sign_permit(permit: &Permit, signer: &Signer) -> Vec<u8> {
    let mut w = Writer(Vec::new());
    w.head(Major::Map, 4);
    w.pair(0, 1);
    w.unsigned(1);
    w.bytes(&permit.device_id);
    w.unsigned(2);
    w.bytes(&permit.manifest);
    w.pair(3, permit.number.into());
    signer.sign_under(PERMIT_CONTEXT, &w.0)
}
