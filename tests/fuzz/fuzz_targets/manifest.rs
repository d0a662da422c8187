//! An envelope and the manifest in it, and a bare manifest, compared with itself and with nothing.
#![no_main]

use bulkhead_bundle_format::{Envelope, Manifest, difference};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(envelope) = Envelope::parse(bytes) {
        assert!(envelope.verify(&[]).is_err(), "nobody's key signed this");
        if let Ok(manifest) = envelope.manifest_unverified() {
            check(&manifest);
        }
    }
    if let Ok(manifest) = Manifest::parse(bytes) {
        check(&manifest);
    }
});

fn check(manifest: &Manifest<'_>) {
    for area in manifest.areas() {
        for page in 0..area.page_count() {
            assert!(area.page_offset(page).is_some() && area.page_len(page).is_some_and(|len| len > 0));
        }
        assert!(area.page_digest(area.page_count()).is_none());
    }
    let _ = manifest.compatible("mps2-an505", 1, 1);
    assert_eq!(difference(Some(manifest), manifest).count(), 0, "a manifest does not differ from itself");
    let _ = difference(None, manifest).count();
}
