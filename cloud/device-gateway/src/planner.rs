//! How an update is sent: for each area nothing, a patch, or the pages that differ, whatever is smallest.
//!
//! A patch is made once for each pair of images, by digest, whichever bundles and devices they belong to, and kept in
//! the bundle store. Making one takes seconds and a processor, so few are made at once, off the threads that serve
//! links; who asks meanwhile for the same one waits for it. The server cannot know which content is right: what a
//! patch leads to is judged by the device, page by page, against the owner's digests.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bulkhead_bundle_format::{Area, Envelope, Manifest, Refused, difference, staging_room};
use bulkhead_bundle_store::{BundleStore, BundleStoreError};
use bulkhead_cloud_api::{ManifestDigest, Timestamp};
use bulkhead_delta::{Effort, EncodeOptions, PATCH_VERSION, encode};
use bulkhead_fleet_store::{BundleObjects, ObjectSpan, PatchKey, Store, StoreError};
use bulkhead_link_protocol::{Digest, PatchOffer, PatchOffers, Plan, PlanRequest, StagingMode};
use tokio::sync::Semaphore;

/// Patches that are made at once; each keeps a processor busy.
const MAKERS_MAX: usize = 1;
/// Images up to this length are worth the encoder's full effort, in bytes.
const FULL_EFFORT_LEN_MAX: u32 = 2 * 1024 * 1024;
/// Digest that stands for no old image.
const NO_IMAGE: Digest = [0; 32];

/// Why no plan was made; the device then fetches pages as they are.
#[derive(Debug)]
pub(crate) enum NoPlan {
    /// The bundle is not here any more.
    UnknownBundle,
    /// The device decodes no patches, or those of an older format only.
    PatchVersion(u32),
    /// A stored envelope cannot be read.
    Envelope(Refused),
    /// Bytes could not be read or stored.
    Bytes(BundleStoreError),
    /// The database failed.
    Store(StoreError),
    /// The encoder did not come to its end.
    Encoder,
}

impl fmt::Display for NoPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownBundle => f.write_str("the bundle is not known any more"),
            Self::PatchVersion(version) => write!(f, "the device decodes patches of version {version}"),
            Self::Envelope(refused) => write!(f, "a stored envelope cannot be read: {refused}"),
            Self::Bytes(error) => write!(f, "{error}"),
            Self::Store(error) => write!(f, "{error}"),
            Self::Encoder => f.write_str("the encoder did not come to its end"),
        }
    }
}

impl From<BundleStoreError> for NoPlan {
    fn from(error: BundleStoreError) -> Self {
        Self::Bytes(error)
    }
}

impl From<StoreError> for NoPlan {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The patches from what a device runs to a new manifest.
#[derive(Clone, Debug)]
pub(crate) struct Patches {
    /// What they lead to.
    pub(crate) manifest: Digest,
    /// What they start from; `None`: from nothing.
    base: Option<Digest>,
    /// By area of the new manifest, where each lies.
    areas: Vec<(u32, ObjectSpan)>,
}

impl Patches {
    /// The patch that leads to `area`, if there is one.
    pub(crate) fn of_area(&self, area: u32) -> Option<ObjectSpan> {
        self.areas.iter().find(|(id, _)| *id == area).map(|(_, span)| *span)
    }
}

/// A plan, and where the patches it offers lie.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) plan: Plan,
    pub(crate) patches: Patches,
}

/// Makes plans for all links.
pub(crate) struct Planner {
    store: Store,
    bundles: Arc<dyn BundleStore>,
    makers: Semaphore,
    /// Held while a patch is made, by what it leads from and to.
    making: Mutex<HashMap<PatchKey, Arc<tokio::sync::Mutex<()>>>>,
}

/// A bundle's envelope and where its images lie.
struct Known {
    envelope: Vec<u8>,
    objects: BundleObjects,
}

impl Known {
    fn manifest(&self) -> Result<Manifest<'_>, NoPlan> {
        let envelope = Envelope::parse(&self.envelope).map_err(NoPlan::Envelope)?;
        envelope.manifest_unverified().map_err(NoPlan::Envelope)
    }

    fn image(&self, area: u32) -> Option<ObjectSpan> {
        self.objects.areas.iter().find(|(id, _)| *id == area).map(|(_, span)| *span)
    }
}

impl Planner {
    pub(crate) fn new(store: Store, bundles: Arc<dyn BundleStore>) -> Self {
        Self { store, bundles, makers: Semaphore::new(MAKERS_MAX), making: Mutex::default() }
    }

    /// Answers a device; may take seconds.
    pub(crate) async fn plan(&self, request: &PlanRequest) -> Result<Planned, NoPlan> {
        if request.patch_version != PATCH_VERSION {
            return Err(NoPlan::PatchVersion(request.patch_version));
        }
        let patches = self.patches(request.base, request.manifest).await?;
        let new = self.known(request.manifest).await?.ok_or(NoPlan::UnknownBundle)?;
        let lens = patches.areas.iter().map(|(_, patch)| patch.len);
        // The engine keeps a place for each page, whether or not it changes.
        let room = staging_room(None, &new.manifest()?, lens, request.sector_len);
        let there = u64::from(request.staging_len.checked_div(request.sector_len).unwrap_or(0));
        let mode = if room.redo_and_undo() <= there {
            StagingMode::RedoAndUndo
        } else if room.redo() <= there {
            StagingMode::Redo
        } else {
            StagingMode::Refused
        };
        let offers: Vec<_> =
            patches.areas.iter().map(|(area, patch)| PatchOffer { area: *area, len: patch.len }).collect();
        let needed_len = room.redo_and_undo().saturating_mul(u64::from(request.sector_len));
        let plan = Plan {
            manifest: request.manifest,
            base: patches.base,
            mode,
            patches: PatchOffers::new(&offers).unwrap_or_default(),
            needed_len: u32::try_from(needed_len).unwrap_or(u32::MAX),
        };
        Ok(Planned { plan, patches })
    }

    /// The patches from `base` to `manifest` that are smaller than the pages that differ; made if need be.
    pub(crate) async fn patches(&self, base: Option<Digest>, manifest: Digest) -> Result<Patches, NoPlan> {
        let new = self.known(manifest).await?.ok_or(NoPlan::UnknownBundle)?;
        // A device may run what was never pushed here, or what was deleted: patches then start from nothing.
        let old = match base {
            Some(base) => self.known(base).await?,
            None => None,
        };
        let (to_manifest, from_manifest) = (new.manifest()?, old.as_ref().map(Known::manifest).transpose()?);
        let mut areas = Vec::new();
        for area in to_manifest.areas() {
            let raw = raw_len(from_manifest.as_ref(), &to_manifest, area);
            let Some(to) = new.image(area.id).filter(|_| raw > 0) else { continue };
            let from = old.as_ref().and_then(|old| old.image(area.id));
            let patch = self.patch(from, to).await?;
            if u64::from(patch.len) < raw {
                areas.push((area.id, patch));
            }
        }
        Ok(Patches { manifest, base: base.filter(|_| old.is_some()), areas })
    }

    async fn known(&self, manifest: Digest) -> Result<Option<Known>, NoPlan> {
        let Some(objects) = self.store.bundle_objects(ManifestDigest(manifest)).await? else {
            return Ok(None);
        };
        let envelope = self.bytes(objects.envelope).await?;
        Ok(Some(Known { envelope, objects }))
    }

    async fn bytes(&self, object: ObjectSpan) -> Result<Vec<u8>, NoPlan> {
        let len = usize::try_from(object.len).unwrap_or(usize::MAX);
        Ok(self.bundles.read(object.digest, 0, len).await?)
    }

    /// The patch from one image, or from nothing, to another: from the cache, or made now.
    async fn patch(&self, from: Option<ObjectSpan>, to: ObjectSpan) -> Result<ObjectSpan, NoPlan> {
        let key = PatchKey {
            old: from.map_or(NO_IMAGE, |image| image.digest),
            new: to.digest,
            format: PATCH_VERSION.to_string(),
        };
        let making = self.making(&key);
        let _alone = making.lock().await;
        let found = self.store.patch(&key).await?;
        if let Some(found) = found
            && self.bundles.len(found.digest).await.is_ok()
        {
            return Ok(found);
        }
        let old = match from {
            Some(image) => self.bytes(image).await?,
            None => Vec::new(),
        };
        let new = self.bytes(to).await?;
        let effort = if to.len <= FULL_EFFORT_LEN_MAX { Effort::Full } else { Effort::Quick };
        let options = EncodeOptions { effort, ..EncodeOptions::default() };
        let _turn = self.makers.acquire().await.map_err(|_| NoPlan::Encoder)?;
        let made = tokio::task::spawn_blocking(move || encode(&old, &new, &options)).await;
        let patch = made.map_err(|_| NoPlan::Encoder)?;
        let len = u32::try_from(patch.len()).map_err(|_| NoPlan::Encoder)?;
        let object = ObjectSpan { digest: self.bundles.put(patch).await?, len };
        self.store.put_patch(&key, object, Timestamp::now()).await?;
        tracing::info!(
            old_bytes = from.map_or(0, |image| image.len),
            new_bytes = to.len,
            patch_bytes = len,
            "a patch was made"
        );
        Ok(object)
    }

    /// The lock of `key`; those that nobody holds any more are forgotten.
    fn making(&self, key: &PatchKey) -> Arc<tokio::sync::Mutex<()>> {
        let mut making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        making.retain(|_, lock| Arc::strong_count(lock) > 1);
        making.entry(key.clone()).or_default().clone()
    }
}

/// Bytes of an area that are sent when its pages are fetched as they are.
fn raw_len(old: Option<&Manifest<'_>>, new: &Manifest<'_>, area: &Area<'_>) -> u64 {
    difference(old, new)
        .filter(|change| change.area == area.id)
        .map(|change| {
            let start = change.page.saturating_mul(area.page_size);
            u64::from(area.image_len().saturating_sub(start).min(area.page_size))
        })
        .sum()
}
