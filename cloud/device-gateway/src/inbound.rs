//! What a device says, and what follows from it.

use std::sync::Arc;

use bulkhead_cloud_api::{LogLevel, ManifestDigest, StagingMode, Timestamp, UpdateDetails, UpdateStage};
use bulkhead_fleet_store::{Admission, NewLog, NewUpdate, ObjectSpan, ProgressReport};
use bulkhead_link_protocol::{
    Acknowledge, CommandKind, DeviceMessage, Digest, FETCH_LEN_MAX, Fetch, FetchFrom, Frame, Hello, Log,
    Offer, PlanRequest, Progress, ServerMessage, State, Unavailable, Wear, Welcome,
};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::convert;
use crate::link::{Due, End, Link, PROGRESS_PERIOD, REVOKED};
use crate::planner::{Decoding, NoPlan, Patches};
use crate::plans::Answer;

/// Log level asked of every device: information and graver.
const LOG_LEVEL_WANTED: u8 = 2;

impl Link {
    /// Handles one frame.
    pub(crate) async fn receive(&mut self, frame: Frame<DeviceMessage<'_>>) -> Result<(), End> {
        let message = match frame {
            Frame::Known(message) => message,
            Frame::Unknown { lane, kind } => {
                tracing::debug!(device_id = %self.id, lane, kind, "a frame of a newer version was skipped");
                return Ok(());
            }
        };
        if let DeviceMessage::Hello(hello) = &message {
            return self.hello(hello).await;
        }
        if self.reported.is_none() {
            return Err(End::Protocol("something came before hello"));
        }
        match message {
            DeviceMessage::Hello(_) => Ok(()),
            DeviceMessage::State(state) => self.state(&state).await,
            DeviceMessage::Ping(ping) => Ok(self.outbox.push_control(ServerMessage::Pong(ping))?),
            DeviceMessage::Pong(_) => Ok(()),
            DeviceMessage::CommandDone(done) => {
                self.command_done(done.id, done.accepted);
                Ok(())
            }
            DeviceMessage::Wear(wear) => self.wear(&wear).await,
            DeviceMessage::DebugFrame(frame) => {
                self.debug_frame(&frame);
                Ok(())
            }
            DeviceMessage::DebugClosed(closed) => {
                self.debug_closed(closed);
                Ok(())
            }
            DeviceMessage::Message(message) => self.message(&message).await,
            DeviceMessage::MessageWindow(window) => self.message_window(window).await,
            DeviceMessage::MessageFinished(finished) => self.message_finished(finished).await,
            DeviceMessage::ConfigState(state) => self.config_state(state).await,
            DeviceMessage::ConfigFetch(fetch) => self.config_fetch(fetch).await,
            DeviceMessage::Fetch(fetch) => self.fetch(fetch).await,
            DeviceMessage::Progress(progress) => self.progress(&progress).await,
            DeviceMessage::PlanRequest(request) => self.plan_request(request).await,
            DeviceMessage::Log(log) => {
                self.log(&log);
                Ok(())
            }
            DeviceMessage::CrashOffer(offer) => self.crash_offered(offer).await,
            DeviceMessage::CrashPiece(piece) => self.crash_piece(&piece).await,
        }
    }

    async fn hello(&mut self, hello: &Hello<'_>) -> Result<(), End> {
        if self.reported.is_some() {
            return Err(End::Protocol("hello came twice"));
        }
        let now = self.now();
        let store = self.shared.store.clone();
        if self.admission == Admission::MayClaim {
            let claimed = match hello.claim_token {
                Some(token) => store.confirm_claim(self.id, &self.device_key, &token, now).await?,
                None => None,
            };
            let Some(account) = claimed else {
                return Err(End::Protocol(
                    "device is not registered and shows no token that anybody claimed",
                ));
            };
            self.admission = Admission::Known;
            let data = json!({ "account": account, "by": "token of the device" });
            self.event("device-claimed", data, now).await?;
        }
        self.enter_directory();
        // Its first word over this link: what came before the link was entered would be of an older one.
        let now = self.now();
        // It was admitted before its handshake, and may have been barred since. Who is barred from now on is found in
        // the directory.
        if store.admit(self.id, &self.device_key).await? != Admission::Known {
            return Err(End::SentAway(REVOKED));
        }
        let reported = convert::reported(hello, now);
        if !store.record_reported(self.id, &reported, self.newest()).await? {
            return Err(End::Replaced);
        }
        let data = json!({
            "boot_reason": reported.boot_reason, "application": reported.application,
            "running": reported.running, "on_trial": reported.on_trial, "hypervisor": reported.hypervisor, "fault": reported.fault,
            "connect_count": reported.connect_count, "epitaph": reported.epitaph,
        });
        self.event("device-online", data, now).await?;
        self.reported = Some(reported);
        let keepalive_max_s = u32::try_from(self.shared.limits.keepalive.as_secs()).unwrap_or(u32::MAX);
        self.outbox.push_control(ServerMessage::Welcome(Welcome {
            wall_clock_us: u64::try_from(now.0).unwrap_or_default(),
            keepalive_max_s,
            log_level: LOG_LEVEL_WANTED,
        }))?;
        self.settle_if_target_runs().await?;
        if !self.order_revert_again().await? {
            self.acknowledge_trial()?;
        }
        // Whose manifests count is settled before a manifest is offered.
        self.offer_key_set().await?;
        self.give_factory_bundle().await?;
        self.offer_target().await
    }

    /// Tells a device with a new version on trial that it was seen here, over its own link.
    fn acknowledge_trial(&mut self) -> Result<(), End> {
        let on_trial = self.reported.as_ref().filter(|reported| reported.on_trial);
        let Some(manifest) = on_trial.and_then(|reported| reported.running) else { return Ok(()) };
        let acknowledge = Acknowledge { manifest: manifest.0 };
        Ok(self.outbox.push_control(ServerMessage::Acknowledge(acknowledge))?)
    }

    /// Repeats the order to take back what runs on trial, if it was given and not carried out.
    async fn order_revert_again(&mut self) -> Result<bool, End> {
        let on_trial = self.reported.as_ref().filter(|reported| reported.on_trial);
        let Some(manifest) = on_trial.and_then(|reported| reported.running) else { return Ok(false) };
        let ordered = self.shared.store.revert_is_ordered(self.id, manifest).await?;
        if ordered {
            self.order(CommandKind::RevertUpdate)?;
        }
        Ok(ordered)
    }

    async fn state(&mut self, state: &State<'_>) -> Result<(), End> {
        let now = self.now();
        let Some(reported) = &mut self.reported else { return Ok(()) };
        reported.application = convert::application(state.application);
        reported.running = state.running.map(ManifestDigest);
        reported.on_trial = state.on_trial.unwrap_or_default();
        if let Some(fault) = state.fault {
            reported.fault = Some(convert::fault(fault));
        }
        reported.reason = state.reason.map(str::to_owned);
        let before = std::mem::replace(&mut reported.key_set_version, state.key_set_version);
        reported.key_set_refusal = state.key_set_refusal.map(str::to_owned);
        reported.floors = state.floors.map(convert::floors);
        reported.reported_at = now;
        self.state_changed = true;
        self.acknowledge_trial()?;
        if before != state.key_set_version {
            self.offer_key_set().await?;
        }
        self.flush(Due::IfAllowed).await
    }

    async fn wear(&mut self, wear: &Wear) -> Result<(), End> {
        let Some(reported) = &mut self.reported else { return Ok(()) };
        reported.wear = Some(convert::wear(wear));
        self.state_changed = true;
        self.flush(Due::IfAllowed).await
    }

    /// Writes what waits: progress first, since it led to the state.
    pub(crate) async fn flush(&mut self, due: Due) -> Result<(), End> {
        self.flush_progress(due).await?;
        self.flush_configuration(due).await?;
        if !self.state_changed || !self.may_store(due) {
            return Ok(());
        }
        self.state_changed = false;
        let Some(reported) = self.reported.clone() else { return Ok(()) };
        let store = self.shared.store.clone();
        if !store.record_reported(self.id, &reported, self.newest()).await? {
            return Ok(());
        }
        let data = json!({
            "application": reported.application, "running": reported.running, "on_trial": reported.on_trial,
            "fault": reported.fault, "reason": reported.reason,
            "key_set_version": reported.key_set_version, "key_set_refusal": reported.key_set_refusal,
        });
        self.event("device-state", data, Timestamp::now()).await?;
        self.settle_if_target_runs().await
    }

    pub(crate) fn may_store(&mut self, due: Due) -> bool {
        due == Due::Now || self.stored_changes.take(Instant::now()).is_ok()
    }

    /// A device that runs its target has ended its update, whatever messages were lost on the way.
    async fn settle_if_target_runs(&mut self) -> Result<(), End> {
        // What is on trial may still be taken back.
        let settled = self.reported.as_ref().filter(|reported| !reported.on_trial);
        let Some(running) = settled.and_then(|reported| reported.running) else { return Ok(()) };
        let store = self.shared.store.clone();
        let Some(update) = store.latest_update(self.id).await? else { return Ok(()) };
        if update.manifest != running || update.stage == UpdateStage::Committed {
            return Ok(());
        }
        self.flush_progress(Due::Now).await?;
        let total = update.pages_total;
        self.progress = Some(ProgressReport {
            manifest: running,
            stage: UpdateStage::Committed,
            pages_done: total,
            pages_total: total,
            reason: None,
            details: UpdateDetails::default(),
            bytes_sent: 0,
        });
        self.flush_progress(Due::Now).await
    }

    /// Offers the target if the device runs something else and has not finally refused it.
    pub(crate) async fn offer_target(&mut self) -> Result<(), End> {
        let Some(reported) = &self.reported else { return Ok(()) };
        let running = reported.running;
        let store = self.shared.store.clone();
        let Some(update) = store.latest_update(self.id).await? else { return Ok(()) };
        let settled =
            matches!(update.stage, UpdateStage::Refused | UpdateStage::Reverted | UpdateStage::Cancelled);
        if Some(update.manifest) == running || settled {
            return Ok(());
        }
        let Some(objects) = store.bundle_objects(update.manifest).await? else {
            tracing::error!(device_id = %self.id, manifest = %update.manifest, "target's bundle is not known");
            return Ok(());
        };
        // A device remembers what it turned down and tries it again only by force. Whoever deploys the same
        // manifest once more, perhaps signed anew, means just that.
        let forced = update.forced || store.was_turned_down(self.id, update.manifest, update.id).await?;
        if self.offered != Some(update.manifest.0) {
            self.outbox.clear_spans();
        }
        self.offered = Some(update.manifest.0);
        let envelope_len = objects.envelope.len;
        let permit = store.permit(update.id).await?;
        let permit_len = permit.and_then(|permit| u32::try_from(permit.len()).ok());
        self.bundle = Some((update.manifest.0, Arc::new(objects)));
        self.outbox.push_update(ServerMessage::Offer(Offer {
            manifest: update.manifest.0,
            envelope_len,
            forced,
            permit_len,
        }))?;
        Ok(())
    }

    async fn fetch(&mut self, fetch: Fetch) -> Result<(), End> {
        if fetch.len == 0 || fetch.len > FETCH_LEN_MAX {
            return Err(End::Protocol("a fetch is empty or too long"));
        }
        if let Some(bytes) = self.span(&fetch).await? {
            self.bytes_sent = self.bytes_sent.saturating_add(u64::from(fetch.len));
            self.outbox.push_span(fetch, bytes);
        } else {
            let unavailable = ServerMessage::Unavailable(Unavailable { manifest: fetch.manifest });
            self.outbox.push_update(unavailable)?;
        }
        Ok(())
    }

    /// A device may read what it was offered, and nothing else: bundles of others are not its business.
    async fn may_read(&self, manifest: Digest) -> Result<bool, End> {
        if self.offered == Some(manifest) {
            return Ok(true);
        }
        let target = self.shared.store.latest_update(self.id).await?;
        Ok(target.is_some_and(|update| update.manifest.0 == manifest))
    }

    /// Has a plan made beside this link, which goes on meanwhile.
    async fn plan_request(&mut self, request: PlanRequest) -> Result<(), End> {
        if !self.may_read(request.manifest).await? {
            return self.planned(request.manifest, Err(NoPlan::UnknownBundle));
        }
        self.begin_plan(request);
        Ok(())
    }

    fn begin_plan(&mut self, request: PlanRequest) {
        let shared = self.shared.clone();
        self.plans.ask(request, |request| {
            let (done, made) = oneshot::channel();
            tokio::spawn(async move {
                let planned = shared.planner.plan(&request).await.map(Box::new);
                // A device that has left asks again when it comes back; the patches are made by then.
                let _ = done.send(planned);
            });
            made
        });
    }

    /// Sends the answer to a plan request.
    pub(crate) fn planned(&mut self, manifest: Digest, planned: Answer) -> Result<(), End> {
        if let Some(waiting) = self.plans.take_waiting() {
            self.begin_plan(waiting);
        }
        let message = match planned {
            Ok(planned) => {
                self.patches = Some(planned.patches);
                ServerMessage::Plan(planned.plan)
            }
            Err(why) => {
                tracing::info!(device_id = %self.id, reason = %why, "an update goes without patches");
                ServerMessage::Unavailable(Unavailable { manifest })
            }
        };
        Ok(self.outbox.push_update(message)?)
    }

    /// The patch that leads to `area` from what the device runs.
    ///
    /// A plan outlives the link on which it was asked for, so a new link finds the same patches again.
    async fn patch(&mut self, manifest: Digest, area: u32) -> Option<ObjectSpan> {
        if self.patches.as_ref().is_none_or(|patches| patches.manifest != manifest) {
            self.patches = self.find_patches(manifest).await;
        }
        self.patches.as_ref()?.of_area(area)
    }

    async fn find_patches(&self, manifest: Digest) -> Option<Patches> {
        let update = match self.shared.store.latest_update(self.id).await {
            Ok(update) => update?,
            Err(error) => {
                tracing::error!(%error, device_id = %self.id, "the update could not be read");
                return None;
            }
        };
        let base = self.reported.as_ref().and_then(|reported| reported.running).map(|running| running.0);
        let decoding = match update.details.mode {
            Some(StagingMode::InPlace) => Decoding::InPlace,
            Some(StagingMode::RedoAndUndo | StagingMode::Redo | StagingMode::Refused) | None => {
                Decoding::Staged
            }
        };
        let found = self.shared.planner.patches(base, manifest, decoding).await;
        found
            .inspect_err(|error| {
                tracing::warn!(%error, device_id = %self.id, "patches could not be found again");
            })
            .ok()
    }

    /// The bytes that a fetch asks for; `None` if there are none.
    async fn span(&mut self, fetch: &Fetch) -> Result<Option<Vec<u8>>, End> {
        if let Some(bytes) = self.owner_span(fetch).await? {
            return Ok(bytes);
        }
        if !self.may_read(fetch.manifest).await? {
            return Ok(None);
        }
        if self.bundle.as_ref().is_none_or(|(manifest, _)| *manifest != fetch.manifest) {
            let found = self.shared.store.bundle_objects(ManifestDigest(fetch.manifest)).await?;
            self.bundle = found.map(|objects| (fetch.manifest, Arc::new(objects)));
        }
        let Some((_, objects)) = &self.bundle else { return Ok(None) };
        let object = match fetch.from {
            FetchFrom::Envelope => Some(objects.envelope),
            FetchFrom::Area => objects.areas.iter().find(|(id, _)| *id == fetch.area).map(|(_, span)| *span),
            FetchFrom::Patch => self.patch(fetch.manifest, fetch.area).await,
            FetchFrom::Permit | FetchFrom::KeySet => None,
        };
        let Some(object) = object else { return Ok(None) };
        let len = usize::try_from(fetch.len).unwrap_or_default();
        match self.shared.bundles.read(object.digest, u64::from(fetch.offset), len).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) => {
                tracing::warn!(%error, device_id = %self.id, area = fetch.area, offset = fetch.offset,
                    len = fetch.len, "a span could not be read");
                Ok(None)
            }
        }
    }

    async fn progress(&mut self, progress: &Progress<'_>) -> Result<(), End> {
        let Some(stage) = convert::stage(progress.stage) else { return Ok(()) };
        let report = ProgressReport {
            manifest: ManifestDigest(progress.manifest),
            stage,
            pages_done: progress.pages_done,
            pages_total: progress.pages_total,
            reason: progress.reason.map(str::to_owned),
            details: convert::details(progress, Timestamp::now()),
            bytes_sent: 0,
        };
        // Pages within a stage are many and cheap to forget; what a stage came to is written before the next.
        let same_stage = self.progress.as_ref().is_none_or(|last| last.stage == stage);
        if !same_stage {
            self.flush_progress(Due::IfAllowed).await?;
        }
        let within = matches!(stage, UpdateStage::Staging | UpdateStage::Applying) && report.pages_done > 0;
        self.progress = Some(report);
        if within && self.progress_written_at.elapsed() < PROGRESS_PERIOD {
            return Ok(());
        }
        self.flush_progress(Due::IfAllowed).await?;
        match progress.wanted_back.filter(|_| stage == UpdateStage::Failed) {
            Some(wanted) => self.go_back(ManifestDigest(progress.manifest), ManifestDigest(wanted)).await,
            None => Ok(()),
        }
    }

    /// A new version failed its trial and the device no longer holds the old one: that becomes the target again.
    async fn go_back(&mut self, failed: ManifestDigest, manifest: ManifestDigest) -> Result<(), End> {
        self.flush_progress(Due::Now).await?;
        let store = self.shared.store.clone();
        if store.bundle_objects(manifest).await?.is_none() {
            return Ok(());
        }
        let update = NewUpdate {
            device_id: self.id,
            manifest,
            forced: true,
            account: "server, after a failed trial".to_owned(),
            permit: None,
        };
        match store.go_back(&update, failed, Timestamp::now()).await? {
            Some(_) => self.offer_target().await,
            None => Ok(()),
        }
    }

    /// Writes waiting progress if its time has come.
    async fn flush_progress(&mut self, due: Due) -> Result<(), End> {
        if self.progress.is_none() || !self.may_store(due) {
            return Ok(());
        }
        let Some(mut report) = self.progress.take() else { return Ok(()) };
        report.bytes_sent = std::mem::take(&mut self.bytes_sent);
        self.progress_written_at = Instant::now();
        let now = Timestamp::now();
        let store = self.shared.store.clone();
        if let Some(update) = store.record_progress(self.id, &report, now, self.newest()).await? {
            let data = serde_json::to_value(&update).unwrap_or_default();
            self.event("update", data, now).await?;
        }
        Ok(())
    }

    fn log(&self, log: &Log<'_>) {
        let now = Timestamp::now();
        let limits = &self.shared.limits;
        let len = u64::try_from(log.text.len()).unwrap_or(u64::MAX);
        if !self.shared.directory.book_log(self.id, now.day(), len, limits.log_bytes_per_day) {
            return;
        }
        let taken = self.shared.store.append_log(NewLog {
            device_id: self.id,
            received_at: now,
            source: convert::source(log.source),
            level: LogLevel::from_number(log.level),
            uptime_us: log.uptime_us,
            sequence: log.sequence,
            lost: log.lost,
            text: log.text.to_owned(),
        });
        if !taken {
            self.shared.directory.count_dropped_log(self.id);
        }
    }
}
