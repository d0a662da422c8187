//! The owner's key set: who may sign bundles, and who may change that.
//!
//! A set is signed by several root keys at once (COSE_Sign, RFC 9052, section 4.1). A new set is good if enough roots of
//! the present set and enough of its own have signed it, and if its version is higher. Nothing here decides that a set
//! is followed: [`SignedKeySet::count`] says whose signatures are there, one at a time, for each takes long on a device.

use core::fmt;

use crate::cbor::{CborError, CborFault, Major, Reader};
use crate::cose::{
    COSE_SIGN_TAG, HeaderFault, KeyId, PublicKey, SIGN_STRUCTURE_START, key_id, protected_header, signed_by,
};
use crate::refused::Hex;

/// Most root keys of a set.
pub const ROOTS_MAX: usize = 8;

/// Most bundle signers of a set.
pub const SIGNERS_MAX: usize = 8;

/// Most signatures under a set: every root of the present and of the new set.
pub const SET_SIGNATURES_MAX: usize = 2 * ROOTS_MAX;

/// Longest key set in bytes, without signatures.
pub const KEY_SET_LEN_MAX: usize = 704;

/// Longest signed key set in bytes.
pub const SIGNED_KEY_SET_LEN_MAX: usize = 2048;

/// Context string that keeps a signature under a key set from being used for anything else.
pub const KEY_SET_CONTEXT: &[u8] = b"bulkhead/key-set/1";

/// The only format of key sets that this version knows.
const KEY_SET_FORMAT: u64 = 1;

/// Keys that a key set has, all of them.
const KEY_SET_KEYS: u64 = 6;

/// A key that may sign bundles and downgrade permits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BundleSigner {
    /// Its public half.
    pub key: PublicKey,
    /// Last moment at which a device takes something new signed by it, in seconds since 1970; never ends if absent.
    pub not_after_s: Option<u64>,
}

/// What a set says. Canonical and free of contradictions; who signed it, [`SignedKeySet`] says.
#[derive(Clone, Debug, PartialEq)]
pub struct KeySet<'a> {
    /// Rises from set to set, from 1.
    pub version: u32,
    /// When it was made, in seconds since 1970: a device that follows it knows that it is no earlier.
    pub made_at_s: u64,
    /// Roots that have to sign the next set, and had to sign this one.
    pub threshold: u32,
    /// Root keys, rising.
    pub roots: &'a [PublicKey],
    signers: [Option<BundleSigner>; SIGNERS_MAX],
}

/// Why a key set is refused. Always the fault of its maker, or of who changed it since.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeySetRefused {
    /// Longer than [`SIGNED_KEY_SET_LEN_MAX`], or what it says than [`KEY_SET_LEN_MAX`].
    TooLong,
    /// Not CBOR of the prescribed form.
    Malformed(CborError),
    /// Signed with another algorithm than Ed25519.
    Algorithm,
    /// A format of another version; holds that version.
    FormatVersion(u64),
    /// No root or signer, too many, or not in rising order.
    Keys,
    /// The threshold is 0 or above the number of roots.
    Threshold,
    /// The version is 0.
    Version,
    /// The signature of a root that is known does not fit; holds the root's id.
    Signature(KeyId),
}

impl fmt::Display for KeySetRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "the key set is too long"),
            Self::Malformed(e) => write!(f, "the key set is malformed: {e}"),
            Self::Algorithm => write!(f, "the signature algorithm is not Ed25519"),
            Self::FormatVersion(v) => write!(f, "key set format {v} is not known here; format 1 is"),
            Self::Keys => write!(f, "1 to 8 roots and 1 to 8 signers are needed, each in rising order"),
            Self::Threshold => write!(f, "the threshold is 0 or above the number of roots"),
            Self::Version => write!(f, "versions of key sets start at 1"),
            Self::Signature(id) => write!(f, "the signature of root {} is wrong", Hex(id)),
        }
    }
}

impl core::error::Error for KeySetRefused {}

impl From<CborError> for KeySetRefused {
    fn from(error: CborError) -> Self {
        Self::Malformed(error)
    }
}

impl<'a> KeySet<'a> {
    /// Reads a set. Says nothing about who signed it.
    ///
    /// # Errors
    /// [`KeySetRefused`].
    pub fn parse(payload: &'a [u8]) -> Result<Self, KeySetRefused> {
        if payload.len() > KEY_SET_LEN_MAX {
            return Err(KeySetRefused::TooLong);
        }
        let r = &mut Reader::new(payload);
        let keys = r.expect(Major::Map)?;
        r.key(0)?;
        match r.unsigned()? {
            KEY_SET_FORMAT if keys == KEY_SET_KEYS => {}
            KEY_SET_FORMAT => return Err(r.fault(CborFault::WrongKeys).into()),
            newer => return Err(KeySetRefused::FormatVersion(newer)),
        }
        r.key(1)?;
        let version = r.u32()?;
        r.key(2)?;
        let made_at_s = r.unsigned()?;
        r.key(3)?;
        let threshold = r.u32()?;
        r.key(4)?;
        let (roots, rest) = r.bytes()?.as_chunks();
        r.key(5)?;
        let signers = signers(r)?;
        r.end()?;
        let count = roots.len();
        if !rest.is_empty() || !(1..=ROOTS_MAX).contains(&count) || !roots.is_sorted_by(|a, b| a < b) {
            return Err(KeySetRefused::Keys);
        }
        if !usize::try_from(threshold).is_ok_and(|needed| (1..=count).contains(&needed)) {
            return Err(KeySetRefused::Threshold);
        }
        if version == 0 {
            return Err(KeySetRefused::Version);
        }
        Ok(Self { version, made_at_s, threshold, roots, signers })
    }

    /// Keys that may sign bundles, rising.
    pub fn signers(&self) -> impl Iterator<Item = &BundleSigner> {
        self.signers.iter().flatten()
    }
}

fn signers(r: &mut Reader<'_>) -> Result<[Option<BundleSigner>; SIGNERS_MAX], KeySetRefused> {
    let mut signers = [None; SIGNERS_MAX];
    let count = usize::try_from(r.expect(Major::Array)?).unwrap_or(usize::MAX);
    let wanted = signers.get_mut(..count).filter(|wanted| !wanted.is_empty()).ok_or(KeySetRefused::Keys)?;
    let mut last: Option<PublicKey> = None;
    for slot in wanted {
        let items = r.expect(Major::Array)?;
        let key = *r.byte_array()?;
        let not_after_s = match items {
            1 => None,
            2 => Some(r.unsigned()?),
            _ => return Err(r.fault(CborFault::WrongKeys).into()),
        };
        if last.is_some_and(|last| key <= last) {
            return Err(KeySetRefused::Keys);
        }
        last = Some(key);
        *slot = Some(BundleSigner { key, not_after_s });
    }
    Ok(signers)
}

/// A set with the signatures under it.
#[derive(Clone, Debug, PartialEq)]
pub struct SignedKeySet<'a> {
    /// What was signed.
    pub set: KeySet<'a>,
    payload: &'a [u8],
    signatures: [Option<SetSignature<'a>>; SET_SIGNATURES_MAX],
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct SetSignature<'a> {
    protected: &'a [u8],
    key_id: &'a KeyId,
    signature: &'a [u8; 64],
}

/// Which roots have signed, of the present set and of the new one: one bit each.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    present: u8,
    new: u8,
}

impl Tally {
    /// Roots of the present set that have signed.
    pub const fn present(self) -> u32 {
        self.present.count_ones()
    }

    /// Roots of the new set that have signed.
    pub const fn new_roots(self) -> u32 {
        self.new.count_ones()
    }
}

impl<'a> SignedKeySet<'a> {
    /// Takes a signed set apart. Nothing inside is to be followed before its signatures were counted.
    ///
    /// # Errors
    /// [`KeySetRefused`].
    pub fn parse(signed: &'a [u8]) -> Result<Self, KeySetRefused> {
        if signed.len() > SIGNED_KEY_SET_LEN_MAX {
            return Err(KeySetRefused::TooLong);
        }
        let r = &mut Reader::new(signed);
        r.counted(Major::Tag, COSE_SIGN_TAG)?;
        r.counted(Major::Array, 4)?;
        if !r.bytes()?.is_empty() {
            return Err(r.fault(CborFault::OutOfRange).into());
        }
        r.counted(Major::Map, 0)?;
        let payload = r.bytes()?;
        let mut signatures = [None; SET_SIGNATURES_MAX];
        let count = usize::try_from(r.expect(Major::Array)?).unwrap_or(usize::MAX);
        let wanted = signatures.get_mut(..count).ok_or(r.fault(CborFault::OutOfRange))?;
        for slot in wanted {
            r.counted(Major::Array, 3)?;
            let protected = r.bytes()?;
            let key_id = protected_header(protected).map_err(|fault| match fault {
                HeaderFault::Cbor(error) => error.into(),
                HeaderFault::Algorithm => KeySetRefused::Algorithm,
            })?;
            r.counted(Major::Map, 0)?;
            *slot = Some(SetSignature { protected, key_id, signature: r.byte_array()? });
        }
        r.end()?;
        Ok(Self { set: KeySet::parse(payload)?, payload, signatures })
    }

    /// The set's bytes.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Ids of the keys that claim to have signed.
    pub fn key_ids(&self) -> impl Iterator<Item = &'a KeyId> {
        self.signatures.iter().flatten().map(|signature| signature.key_id)
    }

    /// Header, key id and signature of each.
    #[cfg(feature = "encode")]
    pub(crate) fn signatures(&self) -> impl Iterator<Item = (&'a [u8], &'a KeyId, &'a [u8; 64])> {
        self.signatures.iter().flatten().map(|one| (one.protected, one.key_id, one.signature))
    }

    /// Checks signature `n` and notes in `tally` whose it is; `present` are the roots of the present set. Returns whether
    /// there is such a signature. One by a key that is in neither set counts for nothing.
    ///
    /// # Errors
    /// [`KeySetRefused::Signature`].
    pub fn count(&self, n: usize, present: &[PublicKey], tally: &mut Tally) -> Result<bool, KeySetRefused> {
        let Some(signature) = self.signatures.get(n).copied().flatten() else { return Ok(false) };
        let mut is_known = false;
        for key in present.iter().take(ROOTS_MAX).chain(self.set.roots) {
            if key_id(key) != *signature.key_id {
                continue;
            }
            is_known = true;
            let items = [signature.protected, KEY_SET_CONTEXT, self.payload];
            if signed_by(key, signature.signature, SIGN_STRUCTURE_START, items) {
                tally.present |= bits(present, key);
                tally.new |= bits(self.set.roots, key);
                return Ok(true);
            }
        }
        if is_known { Err(KeySetRefused::Signature(*signature.key_id)) } else { Ok(true) }
    }

    /// Counts every signature.
    ///
    /// # Errors
    /// [`KeySetRefused::Signature`].
    pub fn count_all(&self, present: &[PublicKey]) -> Result<Tally, KeySetRefused> {
        let mut tally = Tally::default();
        for n in 0..SET_SIGNATURES_MAX {
            self.count(n, present, &mut tally)?;
        }
        Ok(tally)
    }
}

/// The bit of `key` in `keys`.
fn bits(keys: &[PublicKey], key: &PublicKey) -> u8 {
    let place = keys.iter().position(|other| other == key).and_then(|place| u32::try_from(place).ok());
    place.and_then(|place| 1u8.checked_shl(place)).unwrap_or(0)
}

/// Roots of a device without a key set that have to sign its first one: more than half of the keys that it was
/// provisioned with.
pub fn majority(keys: &[PublicKey]) -> u32 {
    u32::try_from(keys.len() / 2).unwrap_or(u32::MAX).saturating_add(1)
}
