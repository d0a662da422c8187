//! The application's lane: its messages and its configuration, on their way between store and device.

use std::sync::Arc;

use bulkhead_cloud_api::{AppliedConfiguration, MessageState, Timestamp};
use bulkhead_fleet_store::{EffectiveConfiguration, NewDeviceMessage};
use bulkhead_link_protocol::{
    ConfigEntry, ConfigFetch, ConfigOffer, ConfigRefused, ConfigState, MESSAGE_HEADER_LEN, MESSAGE_LEN_MAX,
    MessageDown, MessageEnd, MessageFinished, MessageStored, MessageUp, MessageWindow, ServerMessage,
};
use serde_json::json;
use tokio::time::Instant;

use crate::link::{Due, End, Link};

// The API tells its callers the limits of the link.
const _: () = assert!(bulkhead_cloud_api::MESSAGE_LEN_MAX == MESSAGE_LEN_MAX);
const _: () = assert!(bulkhead_cloud_api::CONFIG_KEY_LEN_MAX == bulkhead_link_protocol::CONFIG_KEY_LEN_MAX);
const _: () =
    assert!(bulkhead_cloud_api::CONFIG_VALUE_LEN_MAX == bulkhead_link_protocol::CONFIG_VALUE_LEN_MAX);
const _: () = assert!(bulkhead_cloud_api::CONFIG_KEYS_MAX == bulkhead_link_protocol::CONFIG_KEYS_MAX);

/// What goes to the application of a device.
#[derive(Debug)]
pub(crate) enum ToApplication {
    /// A message.
    Message { number: u32, topic: u32, bytes: Vec<u8> },
    /// Its messages are stored.
    Stored(MessageStored),
    /// A configuration is to be fetched.
    Offer(ConfigOffer),
    /// An entry of it; without its value if `unchanged`.
    Entry { configuration: Arc<EffectiveConfiguration>, index: usize, unchanged: bool },
}

impl ToApplication {
    /// As it goes into a frame.
    pub(crate) fn message(&self) -> Option<ServerMessage<'_>> {
        Some(match self {
            Self::Message { number, topic, bytes } => ServerMessage::Message(MessageDown {
                number: *number,
                topic: *topic,
                bytes: bytes.as_slice().into(),
            }),
            Self::Stored(stored) => ServerMessage::MessageStored(*stored),
            Self::Offer(offer) => ServerMessage::ConfigOffer(*offer),
            Self::Entry { configuration, index, unchanged } => {
                let entry = configuration.entries.get(*index)?;
                ServerMessage::ConfigEntry(ConfigEntry {
                    revision: configuration.revision,
                    index: u32::try_from(*index).ok()?,
                    key: &entry.key,
                    version: entry.version,
                    secret: entry.secret,
                    value: (!unchanged).then(|| entry.value.as_slice().into()),
                })
            }
        })
    }
}

/// What one link knows of its application's lane.
#[derive(Default)]
pub(crate) struct ApplicationLane {
    /// Room of the device; `None` until it said so, which an older one never does.
    window: Option<MessageWindow>,
    /// Numbers of what was sent on this link and is not finished, and what each takes of the window.
    in_flight: Vec<(u32, usize)>,
    /// Revision that the device said it has.
    has: Option<u32>,
    /// Revision that it refused on this link.
    refused: Option<u32>,
    /// What was offered.
    offered: Option<Arc<EffectiveConfiguration>>,
    /// What it said of its configuration that is not yet written to the store.
    unwritten: Option<AppliedConfiguration>,
    /// Set once the device had more stored than a day allows: until then none of its messages is taken on this link.
    withheld_until: Option<Instant>,
}

impl Link {
    /// The application sent a message. It is stored before the device hears so.
    pub(crate) async fn message(&mut self, message: &MessageUp<'_>) -> Result<(), End> {
        let bytes: &[u8] = message.bytes;
        if bytes.is_empty() || bytes.len() > MESSAGE_LEN_MAX {
            return Err(End::Protocol("a message is empty or too long"));
        }
        // To store a message says that all before it are stored, so after one that is not none can be.
        if self.application.withheld_until.is_some() {
            return Ok(());
        }
        let (now, limits) = (Timestamp::now(), self.shared.limits);
        let cost = u64::try_from(bytes.len().saturating_add(MESSAGE_HEADER_LEN)).unwrap_or(u64::MAX);
        if !self.shared.directory.book_message(self.id, now.day(), cost, limits.message_bytes_per_day) {
            tracing::warn!(device_id = %self.id, bytes_per_day = limits.message_bytes_per_day,
                "a device sends more messages than a day allows; it keeps the rest until tomorrow");
            self.application.withheld_until = Some(Instant::now() + now.rest_of_day());
            return Ok(());
        }
        let new = NewDeviceMessage {
            device_id: self.id,
            run: message.run,
            number: message.number,
            topic: message.topic,
            bytes: bytes.to_vec(),
            created_at: now.plus_seconds(-i64::from(message.age_s)),
        };
        let store = self.shared.store.clone();
        if let Some(stored) = store.store_device_message(&new, now).await? {
            let data = json!({
                "message": stored.id, "direction": stored.direction, "state": stored.state,
                "topic": stored.topic, "length": bytes.len(),
            });
            self.event("message", data, now).await?;
        }
        let stored = MessageStored { run: message.run, number: message.number };
        Ok(self.outbox.push_application(ToApplication::Stored(stored))?)
    }

    /// When messages that were not taken may be sent again.
    pub(crate) fn messages_withheld_until(&self) -> Option<Instant> {
        self.application.withheld_until
    }

    /// The device said what it has room for.
    pub(crate) async fn message_window(&mut self, window: MessageWindow) -> Result<(), End> {
        // What an older link sent, and may not have ended properly, is this one's to send.
        if self.application.window.replace(window).is_none() {
            self.shared.store.requeue_messages(self.id, Timestamp::now()).await?;
            // On its first link the device holds none; later ones fill its window first, whether they expired or not.
            if self.reported.as_ref().is_some_and(|reported| reported.connect_count == 1) {
                self.shared.store.forget_sent_messages(self.id).await?;
            }
        }
        self.send_messages().await
    }

    /// Sends what waits, as far as the device has room.
    pub(crate) async fn send_messages(&mut self) -> Result<(), End> {
        let Some(window) = self.application.window else { return Ok(()) };
        let store = self.shared.store.clone();
        loop {
            let used: usize = self.application.in_flight.iter().map(|(_, cost)| cost).sum();
            let now = Timestamp::now();
            if self.application.in_flight.len() >= usize::try_from(window.messages).unwrap_or(usize::MAX) {
                return Ok(());
            }
            let Some((message, bytes)) = store.next_message(self.id, now).await? else { return Ok(()) };
            let cost = bytes.len().saturating_add(MESSAGE_HEADER_LEN);
            if used.saturating_add(cost) > usize::try_from(window.bytes).unwrap_or(usize::MAX) {
                return Ok(());
            }
            // It may have expired since, or an older link of the same device may send it.
            if !store.message_sent(message.id, now).await? {
                continue;
            }
            let (number, topic) = (message.number, message.topic);
            self.application.in_flight.push((number, cost));
            self.outbox.push_application(ToApplication::Message { number, topic, bytes })?;
            let data = json!({ "message": message.id, "direction": message.direction, "state": "sent" });
            self.event("message", data, now).await?;
        }
    }

    /// The application is done with a message.
    pub(crate) async fn message_finished(&mut self, finished: MessageFinished) -> Result<(), End> {
        self.application.in_flight.retain(|(number, _)| *number != finished.number);
        let state = match finished.end {
            MessageEnd::Delivered => MessageState::Delivered,
            MessageEnd::Refused => MessageState::Refused,
        };
        let now = Timestamp::now();
        let store = self.shared.store.clone();
        if let Some(message) = store.message_finished(self.id, finished.number, state, now).await? {
            let data = json!({ "message": message.id, "direction": message.direction, "state": state });
            self.event("message", data, now).await?;
        }
        self.send_messages().await
    }

    /// The link ends: what the application may not have taken is sent again on the next one.
    pub(crate) async fn requeue_messages(&mut self, until: Timestamp) -> Result<(), End> {
        if self.application.in_flight.is_empty() {
            return Ok(());
        }
        Ok(self.shared.store.requeue_messages(self.id, until).await?)
    }

    /// The device said which configuration it has.
    pub(crate) async fn config_state(&mut self, state: ConfigState) -> Result<(), End> {
        let now = Timestamp::now();
        let reason = state.reason.map(|reason| match reason {
            ConfigRefused::TooMany => "too-many",
            ConfigRefused::Malformed => "malformed",
            ConfigRefused::FlashFailed => "flash-failed",
        });
        let applied = AppliedConfiguration {
            revision: state.revision,
            entries: state.entries,
            refused: state.refused,
            reason: reason.map(str::to_owned),
            reported_at: now,
        };
        self.application.has = Some(state.revision);
        self.application.refused = state.refused;
        self.application.unwritten = Some(applied);
        self.flush_configuration(Due::IfAllowed).await?;
        self.offer_configuration().await
    }

    pub(crate) fn has_configuration_to_write(&self) -> bool {
        self.application.unwritten.is_some()
    }

    /// Writes what the device said of its configuration, if it is news and its time has come.
    pub(crate) async fn flush_configuration(&mut self, due: Due) -> Result<(), End> {
        let Some(applied) = self.application.unwritten.take() else { return Ok(()) };
        let store = self.shared.store.clone();
        let before = store.config_state(self.id).await?;
        // A device that repeats itself costs nothing.
        if before
            .is_some_and(|before| (before.revision, before.refused) == (applied.revision, applied.refused))
        {
            return Ok(());
        }
        if !self.may_store(due) {
            self.application.unwritten = Some(applied);
            return Ok(());
        }
        if store.record_config_state(self.id, &applied, self.newest()).await? {
            let data = serde_json::to_value(&applied).unwrap_or_default();
            self.event("configuration", data, applied.reported_at).await?;
        }
        Ok(())
    }

    /// Offers the configuration that the device shall have, if it has another and did not refuse that one.
    pub(crate) async fn offer_configuration(&mut self) -> Result<(), End> {
        let Some(has) = self.application.has else { return Ok(()) };
        let effective = self.shared.store.effective_config(self.id).await?;
        let revision = effective.revision;
        // One that was never set is none of a server that lost its memory to take away.
        if revision == 0 || revision == has || self.application.refused == Some(revision) {
            return Ok(());
        }
        let entries = u32::try_from(effective.entries.len()).unwrap_or(u32::MAX);
        self.application.offered = Some(Arc::new(effective));
        Ok(self.outbox.push_application(ToApplication::Offer(ConfigOffer { revision, entries }))?)
    }

    /// The device asks for an entry.
    pub(crate) async fn config_fetch(&mut self, fetch: ConfigFetch) -> Result<(), End> {
        let offered = self.application.offered.clone();
        let Some(configuration) = offered.filter(|offered| offered.revision == fetch.revision) else {
            // It asks for what was offered before; what is offered now is on its way to it.
            return Ok(());
        };
        let index = usize::try_from(fetch.index).unwrap_or(usize::MAX);
        let Some(entry) = configuration.entries.get(index) else {
            return Err(End::Protocol("an entry was asked for that was not offered"));
        };
        let unchanged = entry.version <= fetch.have;
        let entry = ToApplication::Entry { configuration: configuration.clone(), index, unchanged };
        Ok(self.outbox.push_application(entry)?)
    }
}
