//! An envelope and the manifest in it, and a bare manifest, on its own and signed: either they are refused, or all that
//! a manifest promises holds.
#![no_main]

use bulkhead_bundle_format::{Envelope, Manifest, Signer, verify};
use bulkhead_fuzz::check_manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(envelope) = Envelope::parse(bytes) {
        assert!(envelope.verify(&[]).is_err(), "nobody's key signed this");
        if let Ok(manifest) = envelope.manifest_unverified() {
            check_manifest(&manifest, bytes);
            let _ = manifest.compatible("mps2-an505", 1, 1);
        }
    }
    if let Ok(manifest) = Manifest::parse(bytes) {
        check_manifest(&manifest, bytes);
        // A payload that reads well, signed, is accepted with the same content.
        let signer = Signer::from_secret(&[7; 32]);
        let envelope = signer.sign(bytes);
        if let Ok(signed) = verify(&envelope, &[signer.public_key()]) {
            check_manifest(&signed, &envelope);
            assert_eq!(signed.digest(), manifest.digest());
        }
    }
});
