//! How an update is to be staged: the device says what it has room for, the server what it prepared.

use bulkhead_keyed_cbor::{Decode, Encode, Reader, Writer, choice, record};

use crate::message::Digest;

/// Most patches of one plan: one for each area that a manifest can have.
pub const PATCHES_MAX: usize = 8;

record! { Map
/// Asks how to stage `manifest`; sent once its envelope was checked. Answered with a [`Plan`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PlanRequest {
    /// The bundle, by manifest digest.
    #[n(0)]
    pub manifest: Digest,
    /// What is whole in flash now, and may serve as the base of patches.
    #[n(1)]
    pub base: Option<Digest>,
    /// Room for staging in bytes.
    #[n(2)]
    pub staging_len: u32,
    /// Erase size of staging in bytes.
    #[n(3)]
    pub sector_len: u32,
    /// Newest version of the patch format that this device decodes; 0 for none.
    #[n(4)]
    pub patch_version: u32,
}
}

choice! {
/// What is kept in external flash during an update.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StagingMode {
    /// New and old pages: the device can go back by itself.
    #[n(0)]
    RedoAndUndo,
    /// New pages: going back means fetching.
    #[n(1)]
    Redo,
    /// A ring of old pages: the patch is decoded in place. Going back means fetching.
    #[n(2)]
    InPlace,
    /// Nothing fits; the plan's reason says by how much.
    #[n(3)]
    Refused,
}
}

/// One patch object that the server has ready.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PatchOffer {
    /// Area id of the new manifest.
    pub area: u32,
    /// Length of the patch in bytes, at least 1.
    pub len: u32,
}

/// At most [`PATCHES_MAX`] patch offers, on the wire an array of pairs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PatchOffers {
    items: [PatchOffer; PATCHES_MAX],
    count: usize,
}

impl PatchOffers {
    /// The offers in `items`, or `None` if there are too many.
    pub fn new(items: &[PatchOffer]) -> Option<Self> {
        let mut offers = Self::default();
        offers.items.get_mut(..items.len())?.copy_from_slice(items);
        offers.count = items.len();
        Some(offers)
    }

    /// The offers.
    pub fn as_slice(&self) -> &[PatchOffer] {
        self.items.get(..self.count).unwrap_or_default()
    }

    /// Length of the patch for `area`, if there is one.
    pub fn len_of(&self, area: u32) -> Option<u32> {
        self.as_slice().iter().find(|offer| offer.area == area).map(|offer| offer.len)
    }
}

impl Encode for PatchOffers {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.array(u64::try_from(self.count).unwrap_or_default());
        for offer in self.as_slice() {
            writer.array(2);
            writer.number(offer.area.into());
            writer.number(offer.len.into());
        }
    }
}

impl<'b> Decode<'b> for PatchOffers {
    fn decode(reader: &mut Reader<'b>) -> Option<Self> {
        let count = usize::try_from(reader.array()?).ok()?;
        let mut offers = Self::default();
        for offer in offers.items.get_mut(..count)? {
            if reader.array()? != 2 {
                return None;
            }
            *offer = PatchOffer { area: u32::decode(reader)?, len: u32::decode(reader)? };
            if offer.len == 0 {
                return None;
            }
        }
        offers.count = count;
        Some(offers)
    }
}

record! { Map
/// The server's answer to a [`PlanRequest`].
///
/// Areas that differ and have no patch are fetched as they are, page by page.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Plan {
    /// The bundle, by manifest digest.
    #[n(0)]
    pub manifest: Digest,
    /// The base of the patches, as it was asked for.
    #[n(1)]
    pub base: Option<Digest>,
    /// What is kept in external flash. The device checks that it fits.
    #[n(2)]
    pub mode: StagingMode,
    /// The patches.
    #[n(3)]
    pub patches: PatchOffers,
    /// Room that the mode takes in bytes; if nothing fits, what the most frugal one would take.
    #[n(4)]
    pub needed_len: u32,
}
}
