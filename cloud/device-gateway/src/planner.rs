//! How an update is sent: for each area nothing, a patch, or the pages that differ, whatever is smallest.
//!
//! A patch is made once for each pair of images, by digest, whichever bundles and devices they belong to, and kept in
//! the bundle store. Making one takes seconds and a processor, so few are made at once, off the threads that serve
//! links; who asks meanwhile for the same one waits for it. The server cannot know which content is right: what a
//! patch leads to is judged by the device, page by page, against the owner's digests.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bulkhead_bundle_format::{
    Envelope, Manifest, Refused, StagingFit, differing_len, in_place_window, staging_room,
};
use bulkhead_bundle_store::{BundleStore, BundleStoreError};
use bulkhead_cloud_api::{ManifestDigest, Timestamp};
use bulkhead_delta::{Effort, EncodeOptions, PATCH_VERSION, SegmentLen, encode};
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

/// Where a device decodes patches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Decoding {
    /// Into staging, while all of the old image is there.
    Staged,
    /// Over the old image, of which only a window is kept.
    InPlace,
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
        let staged = self.patches(request.base, request.manifest, Decoding::Staged).await?;
        match self.fit(&staged, request).await? {
            (StagingFit::InPlace, _) => {}
            (fit, needed) => return Ok(planned(staged, fit, needed)),
        }
        // Patches that are decoded in place are a little longer, so it is asked again whether they fit.
        let in_place = self.patches(request.base, request.manifest, Decoding::InPlace).await?;
        let (fit, needed) = self.fit(&in_place, request).await?;
        Ok(planned(in_place, fit, needed))
    }

    /// The mode that fits the device with these patches, and the bytes it takes.
    async fn fit(&self, patches: &Patches, request: &PlanRequest) -> Result<(StagingFit, u64), NoPlan> {
        let new = self.known(Some(patches.manifest)).await?.ok_or(NoPlan::UnknownBundle)?;
        let old = self.known(patches.base).await?;
        let from = old.as_ref().map(Known::manifest).transpose()?;
        let lens = patches.areas.iter().map(|(_, patch)| patch.len);
        let room = staging_room(from.as_ref(), &new.manifest()?, lens, request.sector_len);
        Ok(room.fit(request.staging_len, request.sector_len))
    }

    /// The patches from `base` to `manifest`; made if need be.
    ///
    /// An area goes without one if its pages that differ are shorter; but in place there is no other way.
    pub(crate) async fn patches(
        &self,
        base: Option<Digest>,
        manifest: Digest,
        decoding: Decoding,
    ) -> Result<Patches, NoPlan> {
        let new = self.known(Some(manifest)).await?.ok_or(NoPlan::UnknownBundle)?;
        // A device may run what was never pushed here, or what was deleted: patches then start from nothing.
        let old = self.known(base).await?;
        let (to_manifest, from_manifest) = (new.manifest()?, old.as_ref().map(Known::manifest).transpose()?);
        let mut areas = Vec::new();
        for area in to_manifest.areas() {
            let pages_len = differing_len(from_manifest.as_ref(), &to_manifest, area);
            let Some(to) = new.image(area.id).filter(|_| pages_len > 0) else { continue };
            let from = old.as_ref().and_then(|old| old.image(area.id));
            let window = (decoding == Decoding::InPlace).then(|| in_place_window(area.page_size));
            let patch = self.patch(from, to, window).await?;
            if u64::from(patch.len) < pages_len || decoding == Decoding::InPlace {
                areas.push((area.id, patch));
            }
        }
        Ok(Patches { manifest, base: base.filter(|_| old.is_some()), areas })
    }

    async fn known(&self, manifest: Option<Digest>) -> Result<Option<Known>, NoPlan> {
        let Some(manifest) = manifest else { return Ok(None) };
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
    ///
    /// `window`: how many bytes behind the place that is written it may read, if it is decoded in place.
    async fn patch(
        &self,
        from: Option<ObjectSpan>,
        to: ObjectSpan,
        window: Option<u32>,
    ) -> Result<ObjectSpan, NoPlan> {
        let format = match window {
            None => PATCH_VERSION.to_string(),
            Some(window) => format!("{PATCH_VERSION}, in place, {window}"),
        };
        let key = PatchKey { old: from.map_or(NO_IMAGE, |image| image.digest), new: to.digest, format };
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
        let segment_len = if window.is_some() { SegmentLen::Kib32 } else { SegmentLen::Kib64 };
        let options =
            EncodeOptions { effort, segment_len, old_window_len: window, ..EncodeOptions::default() };
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

/// The message that says so.
fn planned(patches: Patches, fit: StagingFit, needed: u64) -> Planned {
    let offers: Vec<_> =
        patches.areas.iter().map(|(area, patch)| PatchOffer { area: *area, len: patch.len }).collect();
    let plan = Plan {
        manifest: patches.manifest,
        base: patches.base,
        mode: match fit {
            StagingFit::RedoAndUndo => StagingMode::RedoAndUndo,
            StagingFit::Redo => StagingMode::Redo,
            StagingFit::InPlace => StagingMode::InPlace,
            StagingFit::Nothing => StagingMode::Refused,
        },
        patches: PatchOffers::new(&offers).unwrap_or_default(),
        needed_len: u32::try_from(needed).unwrap_or(u32::MAX),
    };
    Planned { plan, patches }
}
