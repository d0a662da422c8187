//! Crash dumps on their way from a device to the store. Their content is sealed: what is read here is the header.

use bulkhead_cloud_api::{Crash, FaultKind, ManifestDigest, Timestamp, to_hex};
use bulkhead_crash_dump::{BLOCK_LEN, ENTRY_LEN, FIXED_LEN, Header, header_len};
use bulkhead_fleet_store::CrashStanding;
use bulkhead_link_protocol::{
    CRASH_LEN_MAX, CRASH_PIECE_LEN_MAX, CrashDone, CrashId, CrashOffer, CrashPiece, CrashWanted,
    ServerMessage,
};
use serde_json::json;

use crate::link::{End, Link};

/// A dump that a device is sending.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incoming {
    crash: CrashId,
    id: i64,
    len: u32,
    received: u32,
}

impl Link {
    /// A device has a dump.
    pub(crate) async fn crash_offered(&mut self, offer: CrashOffer) -> Result<(), End> {
        if offer.len == 0 || offer.len > CRASH_LEN_MAX {
            return Err(End::Protocol("a crash dump is empty or too long"));
        }
        let (shared, crash) = (self.shared.clone(), offer.crash);
        match shared.store.offer_crash(self.id, &crash, offer.len, Timestamp::now()).await? {
            CrashStanding::Whole => self.crash_done(crash, true),
            CrashStanding::TooMany => {
                tracing::warn!(device_id = %self.id, "a device offers more crash dumps than a day allows");
                self.crash_done(crash, false)
            }
            CrashStanding::Partial { id, received } => {
                let incoming = Incoming { crash, id, len: offer.len, received };
                self.crash = Some(incoming);
                if received >= offer.len {
                    return self.crash_complete(incoming).await;
                }
                let wanted = ServerMessage::CrashWanted(CrashWanted { crash, offset: received });
                Ok(self.outbox.push_update(wanted)?)
            }
        }
    }

    /// A piece of a dump. Each is written before the next is looked at, so that a broken link costs one at most.
    pub(crate) async fn crash_piece(&mut self, piece: &CrashPiece<'_>) -> Result<(), End> {
        let Some(incoming) = self.crash.as_mut().filter(|incoming| incoming.crash == piece.crash) else {
            return Ok(());
        };
        let len = u32::try_from(piece.bytes.len()).unwrap_or(u32::MAX);
        let end = incoming.received.saturating_add(len);
        let fits = len > 0 && piece.bytes.len() <= CRASH_PIECE_LEN_MAX && end <= incoming.len;
        if piece.offset != incoming.received || !fits {
            return Err(End::Protocol("a piece of a crash dump is not the next one"));
        }
        self.shared.store.append_crash(incoming.id, piece.offset, piece.bytes).await?;
        incoming.received = end;
        let incoming = *incoming;
        if end == incoming.len { self.crash_complete(incoming).await } else { Ok(()) }
    }

    async fn crash_complete(&mut self, incoming: Incoming) -> Result<(), End> {
        self.crash = None;
        let store = self.shared.store.clone();
        let dump = store.crash_pieces(incoming.id).await?;
        match self.crash_of(incoming, &dump) {
            Some(crash) => {
                store.complete_crash(&crash, &dump).await?;
                let data = json!({
                    "crash": crash.id, "fault": crash.fault, "program_counter": crash.program_counter,
                    "manifest": crash.manifest, "size_bytes": crash.size_bytes,
                });
                self.event("crash", data, crash.received_at).await?;
            }
            // Nobody could open it, here or anywhere: the device need not keep it.
            None => {
                tracing::warn!(device_id = %self.id, "a device sent something else than a crash dump");
                store.forget_crash(incoming.id).await?;
            }
        }
        self.crash_done(incoming.crash, true)
    }

    /// What the header says; `None` if this is no dump of this device.
    fn crash_of(&self, incoming: Incoming, dump: &[u8]) -> Option<Crash> {
        let header = Header::parse(dump).ok()?;
        let blocks = dump.get(header_len(header.recipients)..)?;
        if header.device != self.id.0 || header.id != incoming.crash || blocks.len() < BLOCK_LEN {
            return None;
        }
        let entries = dump.get(FIXED_LEN..header_len(header.recipients))?;
        // What the device's clock says; one that was never set says nothing.
        let happened = i64::try_from(header.wall_us).ok().filter(|at| *at > 0).map(Timestamp);
        Some(Crash {
            id: incoming.id,
            device_id: self.id,
            manifest: ManifestDigest(header.manifest),
            bundle: None,
            fault: FaultKind::of_number(header.reason),
            program_counter: header.program_counter,
            uptime_us: header.uptime_us,
            happened_at: happened.filter(|at| at.is_plausible()),
            received_at: Timestamp::now(),
            fault_count: header.fault_count,
            sequence: header.sequence,
            size_bytes: incoming.len,
            key_names: entries.chunks(ENTRY_LEN).filter_map(|entry| entry.get(..8)).map(to_hex).collect(),
        })
    }

    fn crash_done(&mut self, crash: CrashId, kept: bool) -> Result<(), End> {
        Ok(self.outbox.push_update(ServerMessage::CrashDone(CrashDone { crash, kept }))?)
    }
}
