//! Writing: manifest, envelope, bundle file. Deterministic: equal input gives equal bytes.

use alloc::vec::Vec;

use ed25519_dalek::{Signer as _, SigningKey};
use sha2::{Digest as _, Sha256};

use crate::cbor::{Major, write_head};
use crate::cose::{
    ALGORITHM_EDDSA_ARGUMENT, COSE_SIGN1_TAG, LABEL_ALGORITHM, LABEL_KEY_ID, PublicKey,
    SIGN1_STRUCTURE_START, key_id,
};
use crate::file::{BUNDLE_MAGIC, read_bundle};
use crate::manifest::{
    AreaKind, Confirm, DebugHalt, Manifest, Medium, POLICY_CRASH_MEMORY, POLICY_DEBUG_HALT,
    POLICY_DEBUG_KEYS, POLICY_DEBUG_SILENCE_S, POLICY_GIVES_UP_OWNED, Policy, Revisions, page_digest,
};
use crate::refused::{ManifestFault, Refused};
use crate::{FORMAT_VERSION, PAGE_SIZES, SIGNATURE_CONTEXT, UPDATE_ID_LEN};

/// An area as its maker describes it.
#[derive(Clone, Copy, Debug)]
pub struct AreaImage<'a> {
    /// Number, unique and rising.
    pub id: u32,
    /// Memory.
    pub medium: Medium,
    /// First byte, counted from the start of that memory's application part.
    pub base: u32,
    /// Length in bytes; the image's, if there is one.
    pub length: u32,
    /// Use.
    pub kind: AreaKind,
    /// Bytes of a page.
    pub page_size: u32,
    /// The image; empty for [`AreaKind::ApplicationOwned`].
    pub image: &'a [u8],
}

/// A manifest as its maker describes it.
#[derive(Clone, Copy, Debug)]
pub struct ManifestFields<'a> {
    /// Names the bundle.
    pub update_id: [u8; UPDATE_ID_LEN],
    /// Rises with each release, from 1.
    pub sequence: u64,
    /// Least security counter afterwards.
    pub security_counter: u32,
    /// Devices it is for.
    pub device_class: &'a str,
    /// Board revisions it is for.
    pub board_revisions: Revisions,
    /// ABIs the application works with.
    pub abi: Revisions,
    /// Name for people.
    pub name: &'a str,
    /// Version for people.
    pub version: &'a str,
    /// Areas by rising id.
    pub areas: &'a [AreaImage<'a>],
    /// Policy.
    pub policy: Policy,
}

/// Writes a manifest's payload.
///
/// # Errors
/// [`Refused`]: the fields contradict each other; the same answer that a device would give.
pub fn encode_manifest(fields: &ManifestFields<'_>) -> Result<Vec<u8>, Refused> {
    let mut w = Writer(Vec::new());
    w.head(Major::Map, 11);
    w.pair(0, FORMAT_VERSION);
    w.unsigned(1);
    w.bytes(&fields.update_id);
    w.pair(2, fields.sequence);
    w.pair(3, fields.security_counter.into());
    w.unsigned(4);
    w.text(fields.device_class);
    w.revisions(5, fields.board_revisions);
    w.revisions(6, fields.abi);
    w.unsigned(7);
    w.text(fields.name);
    w.unsigned(8);
    w.text(fields.version);
    w.unsigned(9);
    w.head(Major::Array, fields.areas.len() as u64);
    for area in fields.areas {
        encode_area(&mut w, area)?;
    }
    w.unsigned(10);
    encode_policy(&mut w, &fields.policy);
    Manifest::parse(&w.0)?;
    Ok(w.0)
}

/// What is left to the device's defaults is left out.
fn encode_policy(w: &mut Writer, policy: &Policy) {
    let confirm = (policy.confirm == Confirm::Application).then_some(1);
    let gives_up = policy.gives_up_owned.then_some(1);
    let values = [
        (1, policy.postpone_max_s),
        (2, confirm),
        (3, policy.trial_window_s),
        (4, policy.trial_boots),
        (POLICY_GIVES_UP_OWNED, gives_up),
    ];
    let debug_keys = policy.debug_keys.as_slice();
    let halt = match policy.debug_halt {
        DebugHalt::Allow => None,
        DebugHalt::LogpointsOnly => Some(1),
        DebugHalt::Never => Some(2),
    };
    let debug = [(POLICY_DEBUG_HALT, halt), (POLICY_DEBUG_SILENCE_S, policy.debug_silence_s)];
    let count = values.iter().chain(&debug).filter(|(_, value)| value.is_some()).count() as u64;
    let more = u64::from(!debug_keys.is_empty()) + u64::from(policy.crash_memory.is_some());
    w.head(Major::Map, count.saturating_add(more));
    let write = |w: &mut Writer, values: &[(u64, Option<u32>)]| {
        for (key, value) in values {
            if let Some(value) = value {
                w.pair(*key, u64::from(*value));
            }
        }
    };
    write(w, &values);
    if !debug_keys.is_empty() {
        w.unsigned(POLICY_DEBUG_KEYS);
        w.bytes(debug_keys.as_flattened());
    }
    if let Some(memory) = &policy.crash_memory {
        w.unsigned(POLICY_CRASH_MEMORY);
        let ranges = memory.as_slice().iter();
        let bytes: Vec<u8> = ranges
            .flat_map(|range| [range.address.to_be_bytes(), range.len.to_be_bytes()])
            .flatten()
            .collect();
        w.bytes(&bytes);
    }
    write(w, &debug);
}

fn encode_area(w: &mut Writer, area: &AreaImage<'_>) -> Result<(), Refused> {
    if !area.page_size.is_power_of_two() || !PAGE_SIZES.contains(&area.page_size) {
        return Err(Refused::Contradiction(ManifestFault::PageSize(area.id)));
    }
    let owned = area.kind == AreaKind::ApplicationOwned;
    let image_len = u32::try_from(area.image.len()).ok();
    if image_len != Some(if owned { 0 } else { area.length }) {
        return Err(Refused::Contradiction(ManifestFault::DigestCount(area.id)));
    }
    w.head(Major::Map, 8);
    w.pair(0, area.id.into());
    w.pair(1, area.medium as u64);
    w.pair(2, area.base.into());
    w.pair(3, area.length.into());
    w.pair(4, area.kind as u64);
    w.pair(5, area.page_size.into());
    w.unsigned(6);
    w.bytes(&if owned { [0; 32] } else { Sha256::digest(area.image).into() });
    w.unsigned(7);
    let page_size = usize::try_from(area.page_size).unwrap_or(usize::MAX);
    let digests: Vec<u8> =
        area.image.chunks(page_size).flat_map(|page| page_digest(page, area.page_size)).collect();
    w.bytes(&digests);
    Ok(())
}

/// Writes a bundle file: the signed envelope, then the images of `areas`, which have to be those of `payload`.
///
/// # Errors
/// [`Refused`]: the envelope is too long, or images and manifest do not fit each other.
pub fn write_bundle(payload: &[u8], areas: &[AreaImage<'_>], signer: &Signer) -> Result<Vec<u8>, Refused> {
    let envelope = signer.sign(payload);
    let len = u32::try_from(envelope.len()).map_err(|_| Refused::EnvelopeTooLong(u64::MAX))?;
    let mut file = Vec::from(BUNDLE_MAGIC);
    file.extend(len.to_be_bytes());
    file.extend(envelope);
    areas.iter().for_each(|area| file.extend(area.image));
    read_bundle(&file)?;
    Ok(file)
}

/// Holds an owner's Ed25519 private key. Zeroed when dropped.
pub struct Signer(SigningKey);

impl Signer {
    /// From the 32 secret bytes of RFC 8032.
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(secret))
    }

    /// The public key.
    pub fn public_key(&self) -> PublicKey {
        self.0.verifying_key().to_bytes()
    }

    /// Wraps `payload` in a signed envelope.
    pub fn sign(&self, payload: &[u8]) -> Vec<u8> {
        self.sign_under(SIGNATURE_CONTEXT, payload)
    }

    /// A COSE_Sign1 around `payload`, good for `context` alone.
    pub(crate) fn sign_under(&self, context: &[u8], payload: &[u8]) -> Vec<u8> {
        let protected = self.protected_header();
        let signature = self.signature_over(SIGN1_STRUCTURE_START, [&protected, context, payload]);
        let mut envelope = Writer(Vec::new());
        envelope.head(Major::Tag, COSE_SIGN1_TAG);
        envelope.head(Major::Array, 4);
        envelope.bytes(&protected);
        envelope.head(Major::Map, 0);
        envelope.bytes(payload);
        envelope.bytes(&signature);
        envelope.0
    }

    pub(crate) fn protected_header(&self) -> Vec<u8> {
        let mut protected = Writer(Vec::new());
        protected.head(Major::Map, 2);
        protected.unsigned(LABEL_ALGORITHM);
        protected.head(Major::Negative, ALGORITHM_EDDSA_ARGUMENT);
        protected.unsigned(LABEL_KEY_ID);
        protected.bytes(&key_id(&self.public_key()));
        protected.0
    }

    pub(crate) fn signature_over(&self, start: &[u8], items: [&[u8]; 3]) -> [u8; 64] {
        let mut signed = Writer(Vec::from(start));
        items.iter().for_each(|item| signed.bytes(item));
        self.0.sign(&signed.0).to_bytes()
    }
}

pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn head(&mut self, major: Major, argument: u64) {
        let mut head = [0; 9];
        let len = write_head(major, argument, &mut head);
        self.0.extend(head.iter().take(len));
    }

    pub(crate) fn unsigned(&mut self, value: u64) {
        self.head(Major::Unsigned, value);
    }

    pub(crate) fn pair(&mut self, key: u64, value: u64) {
        self.unsigned(key);
        self.unsigned(value);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.head(Major::Bytes, bytes.len() as u64);
        self.0.extend(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.head(Major::Text, text.len() as u64);
        self.0.extend(text.as_bytes());
    }

    fn revisions(&mut self, key: u64, revisions: Revisions) {
        self.unsigned(key);
        self.head(Major::Array, 2);
        self.unsigned(revisions.least.into());
        self.unsigned(revisions.greatest.into());
    }
}
