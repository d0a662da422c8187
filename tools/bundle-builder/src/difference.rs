//! What an update from one bundle to another sends: what a server would plan, without a server.

use bulkhead_bundle_format::{difference, differing_len, read_bundle};
use bulkhead_delta::{EncodeOptions, encode};

use crate::BuildError;

/// How one area of the new bundle is sent. Lengths are in bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AreaDifference {
    /// Id of the area.
    pub area: u32,
    /// Length of its image.
    pub image_len: u32,
    /// Its pages.
    pub pages: u32,
    /// Those that are not in the old bundle at the same place.
    pub pages_differ: u32,
    /// What is sent if those pages go as they are.
    pub pages_len: u64,
    /// The patch; absent if no page differs.
    pub patch: Option<Vec<u8>>,
}

impl AreaDifference {
    /// What is sent: the patch or the pages, whatever is shorter.
    pub fn sent_len(&self) -> u64 {
        let patch = self.patch.as_ref().and_then(|patch| u64::try_from(patch.len()).ok());
        patch.map_or(self.pages_len, |patch| patch.min(self.pages_len))
    }
}

/// Compares two bundle files, area by area; without an old one, with an empty device.
///
/// # Errors
/// [`BuildError::Refused`]: one of the files is no bundle, or is damaged. Who signed them is not asked.
pub fn compare(old: Option<&[u8]>, new: &[u8]) -> Result<Vec<AreaDifference>, BuildError> {
    let new = read_bundle(new)?;
    let old = old.map(read_bundle).transpose()?;
    let from = old.as_ref().map(|old| &old.manifest);
    let areas = new.manifest.areas().filter(|area| area.image_len() > 0).map(|area| {
        let pages_len = differing_len(from, &new.manifest, area);
        let differing = difference(from, &new.manifest).filter(|change| change.area == area.id).count();
        let image = |bundle: Option<&bulkhead_bundle_format::BundleFile<'_>>| {
            bundle.and_then(|bundle| bundle.image(area.id)).unwrap_or_default().to_vec()
        };
        let patch = (pages_len > 0)
            .then(|| encode(&image(old.as_ref()), &image(Some(&new)), &EncodeOptions::default()));
        AreaDifference {
            area: area.id,
            image_len: area.image_len(),
            pages: area.page_count(),
            pages_differ: u32::try_from(differing).unwrap_or(u32::MAX),
            pages_len,
            patch,
        }
    });
    Ok(areas.collect())
}
