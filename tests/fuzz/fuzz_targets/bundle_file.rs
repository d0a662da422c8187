//! A bundle file from anybody: read as the server reads it, and as the device does.
#![no_main]

use bulkhead_bundle_format::{BundleFile, BundleHeader, read_bundle};
use bulkhead_fuzz::check_manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let _ = BundleHeader::parse(file);
    if let Ok(bundle) = read_bundle(file) {
        // Whatever is believed after reading must hold together.
        check_manifest(&bundle.manifest, bundle.envelope);
        let header = BundleHeader::parse(file).expect("the file was read");
        for area in bundle.manifest.areas().filter(|area| area.image_len() > 0) {
            let start = header.image_start(&bundle.manifest, area.id).expect("it has an image") as usize;
            assert_eq!(bundle.image(area.id), Some(&file[start..start + area.image_len() as usize]));
        }
        assert_eq!(header.file_len(&bundle.manifest), file.len() as u64);
    }
    // Nobody's key: nothing may verify.
    assert!(BundleFile::verify(file, &[]).is_err());
});
