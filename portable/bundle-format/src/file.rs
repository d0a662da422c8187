//! The bundle file: magic, envelope, then the images of the areas in manifest order.

use sha2::{Digest as _, Sha256};

use crate::ENVELOPE_LEN_MAX;
use crate::cose::PublicKey;
use crate::envelope::Envelope;
use crate::manifest::{Area, AreaKind, Manifest, page_digest};
use crate::refused::{FileFault, Refused};

/// First bytes of a bundle file.
pub const BUNDLE_MAGIC: &[u8; 8] = b"BHBUNDLE";

/// Bytes before the envelope: magic and `envelope length: u32`, big-endian.
pub const BUNDLE_HEADER_LEN: usize = 12;

/// The first bytes of a bundle file, for readers that do not hold the whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BundleHeader {
    /// Length of the envelope in bytes, at most [`ENVELOPE_LEN_MAX`].
    pub envelope_len: u32,
}

impl BundleHeader {
    /// Reads the header from the start of a file.
    ///
    /// # Errors
    /// [`FileFault::Magic`], [`FileFault::Truncated`], [`Refused::EnvelopeTooLong`].
    pub fn parse(file: &[u8]) -> Result<Self, Refused> {
        let (magic, rest) = file.split_at_checked(BUNDLE_MAGIC.len()).unwrap_or((file, &[]));
        if !BUNDLE_MAGIC.starts_with(magic) || magic.is_empty() {
            return Err(Refused::File(FileFault::Magic));
        }
        let Some((len, _)) = rest.split_first_chunk() else {
            return Err(truncated(BUNDLE_HEADER_LEN as u64, file.len()));
        };
        let envelope_len = u32::from_be_bytes(*len);
        if u64::from(envelope_len) > ENVELOPE_LEN_MAX as u64 {
            return Err(Refused::EnvelopeTooLong(envelope_len.into()));
        }
        Ok(Self { envelope_len })
    }

    /// Where the first image starts, in bytes from the start of the file.
    pub fn images_start(self) -> u64 {
        BUNDLE_HEADER_LEN as u64 + u64::from(self.envelope_len)
    }

    /// Where the image of area `id` starts, in bytes from the start of the file; `None` without such an image.
    pub fn image_start(self, manifest: &Manifest<'_>, id: u32) -> Option<u64> {
        manifest.area(id).filter(|area| area.image_len() > 0)?;
        let before = manifest.areas().take_while(|area| area.id != id);
        Some(self.images_start() + before.map(|area| u64::from(area.image_len())).sum::<u64>())
    }

    /// Length that the whole file has to have, in bytes.
    pub fn file_len(self, manifest: &Manifest<'_>) -> u64 {
        self.images_start() + manifest.areas().map(|area| u64::from(area.image_len())).sum::<u64>()
    }
}

/// A whole bundle in memory, all digests checked.
#[derive(Clone, Debug, PartialEq)]
pub struct BundleFile<'a> {
    /// The signed envelope.
    pub envelope: &'a [u8],
    /// What is inside it.
    pub manifest: Manifest<'a>,
    images: &'a [u8],
}

impl<'a> BundleFile<'a> {
    /// Reads a bundle signed by one of the owner's `keys` and checks every digest.
    ///
    /// # Errors
    /// [`Refused`]: first what the signature says, then length, then digests.
    pub fn verify(file: &'a [u8], keys: &[PublicKey]) -> Result<Self, Refused> {
        let (envelope, images) = split(file)?;
        let manifest = Envelope::parse(envelope)?.verify(keys)?;
        Self::checked(file, envelope, manifest, images)
    }

    /// The image of area `id`; `None` without such an area, empty for an application-owned one.
    pub fn image(&self, id: u32) -> Option<&'a [u8]> {
        images(&self.manifest, self.images).find(|(area, _)| area.id == id)?.1
    }

    fn checked(
        file: &[u8],
        envelope: &'a [u8],
        manifest: Manifest<'a>,
        image_bytes: &'a [u8],
    ) -> Result<Self, Refused> {
        let header = BundleHeader::parse(file)?;
        let (expected, found) = (header.file_len(&manifest), len_u64(file));
        if found < expected {
            return Err(Refused::File(FileFault::Truncated { expected, found }));
        }
        if found > expected {
            return Err(Refused::File(FileFault::Oversized { expected, found }));
        }
        for (area, image) in images(&manifest, image_bytes) {
            check_image(area, image.ok_or(Refused::File(FileFault::ImageDigest(area.id)))?)?;
        }
        Ok(Self { envelope, manifest, images: image_bytes })
    }
}

/// Reads a bundle without asking who signed it, and checks every digest: for showing and storing it.
///
/// # Errors
/// [`Refused`]: form, length, then digests.
pub fn read_bundle(file: &[u8]) -> Result<BundleFile<'_>, Refused> {
    let (envelope, images) = split(file)?;
    let manifest = Envelope::parse(envelope)?.manifest_unverified()?;
    BundleFile::checked(file, envelope, manifest, images)
}

fn split(file: &[u8]) -> Result<(&[u8], &[u8]), Refused> {
    let header = BundleHeader::parse(file)?;
    let len = usize::try_from(header.envelope_len).unwrap_or(usize::MAX);
    let body = file.get(BUNDLE_HEADER_LEN..).unwrap_or_default();
    body.split_at_checked(len).ok_or_else(|| truncated(header.images_start(), file.len()))
}

/// Each area with its image; `None` where the bytes end too early.
fn images<'m, 'a>(
    manifest: &'m Manifest<'a>,
    mut rest: &'a [u8],
) -> impl Iterator<Item = (&'m Area<'a>, Option<&'a [u8]>)> {
    manifest.areas().map(move |area| {
        let len = usize::try_from(area.image_len()).unwrap_or(usize::MAX);
        let image = rest.split_at_checked(len).map(|(image, after)| {
            rest = after;
            image
        });
        (area, image)
    })
}

fn check_image(area: &Area<'_>, image: &[u8]) -> Result<(), Refused> {
    if area.image_len() == 0 {
        return Ok(());
    }
    let page_size = usize::try_from(area.page_size).unwrap_or(usize::MAX);
    for (page, bytes) in (0..).zip(image.chunks(page_size)) {
        if area.page_digest(page) != Some(&page_digest(bytes, area.page_size)) {
            return Err(Refused::File(FileFault::PageDigest { area: area.id, page }));
        }
    }
    if area.kind == AreaKind::Fill && image.iter().any(|byte| *byte != 0xFF) {
        return Err(Refused::File(FileFault::NotErased(area.id)));
    }
    let digest: [u8; 32] = Sha256::digest(image).into();
    if digest != *area.digest {
        return Err(Refused::File(FileFault::ImageDigest(area.id)));
    }
    Ok(())
}

fn len_u64(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn truncated(expected: u64, found: usize) -> Refused {
    Refused::File(FileFault::Truncated { expected, found: u64::try_from(found).unwrap_or(u64::MAX) })
}
