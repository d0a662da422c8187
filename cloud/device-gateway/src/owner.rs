//! The owner's key sets and permits, on their way to a device; and what a device without an application is given.

use bulkhead_cloud_api::{ManifestDigest, Timestamp};
use bulkhead_fleet_store::NewUpdate;
use bulkhead_link_protocol::{Fetch, FetchFrom, KeySetOffer, ServerMessage};

use crate::link::{End, Link};

impl Link {
    /// Offers the set that follows the one that the device obeys, unless that was offered on this link.
    pub(crate) async fn offer_key_set(&mut self) -> Result<(), End> {
        let Some(reported) = &self.reported else { return Ok(()) };
        let present = reported.key_set_version.unwrap_or(0);
        let Some(next) = self.shared.store.key_set_after(present).await? else { return Ok(()) };
        // The same bytes again would be refused again; more signatures under them make other bytes.
        if self.key_set.as_ref().is_some_and(|offered| *offered == next.signed) {
            return Ok(());
        }
        let len = u32::try_from(next.signed.len()).unwrap_or(u32::MAX);
        self.key_set = Some(next.signed);
        let offer = KeySetOffer { version: next.version, len };
        Ok(self.outbox.push_update(ServerMessage::KeySetOffer(offer))?)
    }

    /// Bytes of what the owner signed beside bundles; `None` if the fetch is for something else.
    pub(crate) async fn owner_span(&self, fetch: &Fetch) -> Result<Option<Option<Vec<u8>>>, End> {
        let object = match fetch.from {
            FetchFrom::KeySet => self.key_set.clone(),
            FetchFrom::Permit => {
                self.shared.store.permit_for(self.id, ManifestDigest(fetch.manifest)).await?
            }
            FetchFrom::Envelope | FetchFrom::Area | FetchFrom::Patch => return Ok(None),
        };
        let start = usize::try_from(fetch.offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(usize::try_from(fetch.len).unwrap_or(usize::MAX));
        Ok(Some(object.and_then(|object| object.get(start..end).map(<[u8]>::to_vec))))
    }

    /// A device that has no application and was never given one gets the factory bundle of its class.
    pub(crate) async fn give_factory_bundle(&mut self) -> Result<(), End> {
        let Some(reported) = self.reported.as_ref().filter(|reported| reported.running.is_none()) else {
            return Ok(());
        };
        let store = self.shared.store.clone();
        if store.latest_update(self.id).await?.is_some() {
            return Ok(());
        }
        let Some(manifest) = store.factory_bundle(&reported.device_class).await? else { return Ok(()) };
        let update = NewUpdate {
            device_id: self.id,
            manifest,
            forced: false,
            account: "server, factory bundle".to_owned(),
            permit: None,
        };
        let now = Timestamp::now();
        if let Some(update) = store.set_target(&update, now).await? {
            let data = serde_json::to_value(&update).unwrap_or_default();
            self.event("update", data, now).await?;
        }
        Ok(())
    }
}
