//! Key sets and permits: either they are refused, or what was read can be signed, and is what was read before.
#![no_main]

use bulkhead_bundle_format::{
    BundleSigner, KeySet, KeySetFields, Permit, Signer, SignedKeySet, encode_key_set, sign_key_set, sign_permit,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let signer = Signer::from_secret(&[7; 32]);
    let key = signer.public_key();
    if let Ok(signed) = SignedKeySet::parse(bytes) {
        if let Ok(tally) = signed.count_all(&[key]) {
            assert_eq!(tally.present(), 0, "nobody's key signed this");
        }
        assert!(signed.key_ids().count() <= bytes.len() / 64);
        check(&signed.set);
    }
    if let Ok(set) = KeySet::parse(bytes) {
        check(&set);
        let signers: Vec<BundleSigner> = set.signers().copied().collect();
        let made = encode_key_set(&KeySetFields {
            version: set.version,
            made_at_s: set.made_at_s,
            threshold: set.threshold,
            roots: set.roots,
            signers: &signers,
        })
        .expect("what was read can be written");
        let signed = sign_key_set(&made, &signer).expect("there is room for one signature");
        let read = SignedKeySet::parse(&signed).expect("just written");
        assert_eq!((read.payload(), &read.set), (bytes, &set), "a set has one spelling");
        assert_eq!(read.count_all(&[key]).expect("signed").present(), 1);
    }
    assert!(Permit::verify(bytes, &[key]).is_err(), "nobody's key signed this");
    if let Ok(permit) = Permit::read_unverified(bytes) {
        assert_eq!(Permit::verify(&sign_permit(&permit, &signer), &[key]), Ok(permit));
    }
});

fn check(set: &KeySet<'_>) {
    assert!(set.version > 0 && set.threshold > 0);
    assert!(usize::try_from(set.threshold).is_ok_and(|needed| needed <= set.roots.len()));
    assert!(set.signers().count() > 0);
}
