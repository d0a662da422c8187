//! Bundles as the owner's tool would make them, small.

use bulkhead_bundle_format::{
    AreaImage, AreaKind, ManifestFields, Medium, Policy, Revisions, Signer, encode_manifest,
};
use bulkhead_delta::{Effort, EncodeOptions, SegmentLen, encode};
use bulkhead_link_protocol::{Digest, StagingMode};

use crate::shape::{REAL, SMALL, Shape};

/// Secret key of the owner whom the devices obey.
pub const OWNER: [u8; 32] = [0x42; 32];

/// One area of a bundle.
#[derive(Clone, Debug)]
pub struct AreaOf {
    /// Number.
    pub id: u32,
    /// Memory.
    pub medium: Medium,
    /// Offset from the start of the memory's application part, in bytes.
    pub base: u32,
    /// Use.
    pub kind: AreaKind,
    /// Its bytes; for an application-owned area only their number counts.
    pub image: Vec<u8>,
    /// The device it is for.
    pub shape: &'static Shape,
}

impl AreaOf {
    /// Code on the small die: one page of each of `fills`, at the start.
    pub fn code(fills: &[u8]) -> Self {
        Self::filled(&SMALL, Medium::Die, fills)
    }

    /// Constants in the small external flash: one page of each of `fills`, at the start.
    pub fn constants(fills: &[u8]) -> Self {
        Self::filled(&SMALL, Medium::External, fills)
    }

    /// As [`Self::code`] and [`Self::constants`], on the device of real size.
    pub fn real(code: &[u8], constants: &[u8]) -> [Self; 2] {
        [Self::filled(&REAL, Medium::Die, code), Self::filled(&REAL, Medium::External, constants)]
    }

    /// Code, or constants, on a device of that shape: these bytes, at the start.
    pub fn of_bytes(shape: &'static Shape, medium: Medium, image: Vec<u8>) -> Self {
        Self { image, ..Self::filled(shape, medium, &[]) }
    }

    fn filled(shape: &'static Shape, medium: Medium, fills: &[u8]) -> Self {
        let (id, kind) = match medium {
            Medium::Die => (1, AreaKind::Code),
            Medium::External => (2, AreaKind::Constant),
        };
        let mut area = Self { id, medium, base: 0, kind, image: Vec::new(), shape };
        area.image = fills.iter().flat_map(|fill| vec![*fill; area.page_size() as usize]).collect();
        area
    }

    fn page_size(&self) -> u32 {
        match self.medium {
            Medium::Die => self.shape.die_page,
            Medium::External => self.shape.sector,
        }
    }

    fn as_image(&self) -> AreaImage<'_> {
        let owned = self.kind == AreaKind::ApplicationOwned;
        AreaImage {
            id: self.id,
            medium: self.medium,
            base: self.base,
            length: u32::try_from(self.image.len()).expect("areas are small"),
            kind: self.kind,
            page_size: self.page_size(),
            image: if owned { &[] } else { &self.image },
        }
    }

    /// The pages as they must lie in flash: offset from the start of the application part, and bytes.
    pub fn pages(&self) -> impl Iterator<Item = (u32, Vec<u8>)> {
        let size = self.page_size();
        let written = self.kind != AreaKind::ApplicationOwned;
        self.image.chunks(size as usize).filter(move |_| written).enumerate().map(move |(n, piece)| {
            let mut page = piece.to_vec();
            page.resize(size as usize, 0xFF);
            (self.base + u32::try_from(n).expect("areas are small") * size, page)
        })
    }
}

/// A signed bundle.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// Its name.
    pub digest: Digest,
    /// The signed envelope.
    pub envelope: Vec<u8>,
    /// What it writes.
    pub areas: Vec<AreaOf>,
    /// Whether the server makes patches that lead to it.
    pub is_patched: bool,
    /// How the server plans its staging.
    pub mode: StagingMode,
    /// How far back its patches read, in bytes.
    pub window_len: Option<u32>,
}

impl Bundle {
    /// The same, with a server that makes patches.
    pub fn patched(self) -> Self {
        Self { is_patched: true, ..self }
    }

    /// The same, with a server that makes patches to be applied in place, which read no further back than `window_len`.
    pub fn in_place(self, window_len: Option<u32>) -> Self {
        Self { mode: StagingMode::InPlace, window_len, ..self.patched() }
    }

    /// The patch from `base`, or from nothing, to area `area`.
    pub fn patch(&self, base: Option<&Self>, area: u32) -> Option<Vec<u8>> {
        let image_of =
            |bundle: &Self| bundle.areas.iter().find(|found| found.id == area).map(|a| a.image.clone());
        let old = base.and_then(image_of).unwrap_or_default();
        let segment_len = match self.mode {
            StagingMode::InPlace => SegmentLen::Kib32,
            _ => SegmentLen::default(),
        };
        let options = EncodeOptions {
            effort: Effort::Quick,
            old_window_len: self.window_len,
            segment_len,
            ..EncodeOptions::default()
        };
        image_of(self).map(|new| encode(&old, &new, &options))
    }
}

/// A bundle by the owner with this sequence; `change` may change the manifest before it is signed.
pub fn bundle(sequence: u64, areas: &[AreaOf], change: impl FnOnce(&mut ManifestFields<'_>)) -> Bundle {
    let images: Vec<_> = areas.iter().map(AreaOf::as_image).collect();
    let mut fields = ManifestFields {
        update_id: [u8::try_from(sequence % 256).expect("below 256"); 16],
        sequence,
        security_counter: 1,
        device_class: "tiny",
        board_revisions: Revisions { least: 1, greatest: 2 },
        abi: Revisions { least: 1, greatest: 1 },
        name: "n",
        version: "v",
        areas: &images,
        // More than the cuts of any exploration: whoever works is not taken back for them.
        policy: Policy { trial_boots: Some(9), ..Policy::default() },
    };
    change(&mut fields);
    let payload = encode_manifest(&fields).expect("the fields agree with each other");
    let signer = Signer::from_secret(&OWNER);
    let digest = bulkhead_bundle_format::Manifest::parse(&payload).expect("just encoded").digest();
    let (envelope, mode) = (signer.sign(&payload), StagingMode::RedoAndUndo);
    Bundle { digest, envelope, areas: areas.to_vec(), is_patched: false, mode, window_len: None }
}
