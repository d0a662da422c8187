//! What an update owes to the application: areas of its own, and word of how much will be written.

use bulkhead_bundle_format::{AreaKind, Manifest as Signed, Medium};
use bulkhead_nor_flash::NorFlash;

use crate::api::{Changes, OwnedArea};
use crate::engine::Engine;
use crate::layout::{Layout, Memory};
use crate::manifest::{Area, Manifest};
use crate::refusal::Refusal;
use crate::rules::Rules;

impl<R: Rules> Engine<'_, R> {
    /// Where things lie.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Areas that the running application owns; none without an application.
    pub fn owned_areas(&self) -> impl Iterator<Item = OwnedArea> {
        let manifest = self.committed.as_ref().filter(|_| self.startable);
        manifest.into_iter().flat_map(|manifest| manifest.owned()).map(outlined)
    }

    /// Counts the pages in which `target` and the running manifest differ: from their digests alone, no page is read.
    #[inline(never)]
    pub(crate) fn count_changes<D: NorFlash, E: NorFlash>(
        &self,
        mem: &mut Memory<'_, D, E>,
        target: &Manifest,
    ) -> Changes {
        let mut changes = Changes::default();
        for page in 0..target.pages {
            let Some(place) = target.place(page) else { break };
            let wanted = target.page_digest(mem.die, &self.layout, page);
            let old = self.committed.and_then(|old| {
                let page = old.page_at(&place)?;
                old.page_digest(mem.die, &self.layout, page)
            });
            let count = match place.area.medium {
                Medium::Die => &mut changes.die,
                Medium::External => &mut changes.external,
            };
            count.all = count.all.saturating_add(1);
            count.changing = count.changing.saturating_add(u32::from(old.is_none() || old != wanted));
        }
        changes
    }
}

const fn outlined(area: &Area) -> OwnedArea {
    OwnedArea { id: area.id, medium: area.medium, base: area.base, length: area.length }
}

/// Refuses a manifest that takes from the running application what is its own, unless its owner signed just that.
pub(crate) fn judge_owned(running: &Manifest, signed: &Signed<'_>) -> Result<(), Refusal> {
    if signed.policy.gives_up_owned {
        return Ok(());
    }
    let stays = |owned: &Area| {
        signed.areas().any(|area| {
            area.kind == AreaKind::ApplicationOwned && area.holds(owned.medium, owned.base, owned.length)
        })
    };
    match running.owned().find(|owned| !stays(owned)) {
        Some(lost) => Err(Refusal::OwnedAreaLost(outlined(lost))),
        None => Ok(()),
    }
}
