//! A bundle file from anybody: read as the server reads it, and as the device does.
#![no_main]

use bulkhead_bundle_format::{BundleFile, BundleHeader, read_bundle};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let _ = BundleHeader::parse(file);
    if let Ok(bundle) = read_bundle(file) {
        // Whatever is believed after reading must hold together.
        for area in bundle.manifest.areas() {
            if let Some(image) = bundle.image(area.id) {
                assert_eq!(image.len() as u64, u64::from(area.image_len()));
            }
        }
    }
    // Nobody's key: nothing may verify.
    assert!(BundleFile::verify(file, &[]).is_err());
});
