//! What every manifest that was read promises.

use bulkhead_bundle_format::{Manifest, difference};

/// Panics where a manifest breaks a promise. `within` is what it was read from.
pub fn check_manifest(manifest: &Manifest<'_>, within: &[u8]) {
    let mut pages = 0;
    for area in manifest.areas() {
        let count = area.page_count();
        let digests = &within[area.page_digests_range()];
        assert_eq!(digests.len(), 32 * count as usize);
        let mut len = 0_u64;
        for page in 0..count {
            assert_eq!(
                area.page_digest(page).map(|d| &d[..]),
                digests.get(32 * page as usize..).map(|d| &d[..32])
            );
            let offset = area.page_offset(page).expect("a page has an offset");
            let page_len = area.page_len(page).expect("a page has a length");
            assert!(page_len > 0 && page_len <= area.page_size);
            assert!(u64::from(offset) + u64::from(area.page_size) <= area.pages_end());
            len += u64::from(page_len);
        }
        assert_eq!(len, u64::from(area.image_len()));
        assert_eq!(
            (area.page_digest(count), area.page_offset(count), area.page_len(count)),
            (None, None, None)
        );
        for other in manifest.areas().filter(|other| other.id != area.id && other.medium == area.medium) {
            assert!(area.pages_end() <= other.base.into() || other.pages_end() <= area.base.into());
        }
        pages += count as usize;
    }
    assert_eq!(difference(None, manifest).count(), pages);
    assert_eq!(difference(Some(manifest), manifest).count(), 0);
}
