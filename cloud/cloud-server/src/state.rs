//! What every request handler shares.

use std::sync::Arc;

use bulkhead_bundle_store::BundleStore;
use bulkhead_cloud_api::{
    Bundle, Device, DeviceId, ManifestDigest, NAME_LEN_MAX, Problem, ProblemCode, Timestamp, Token,
};
use bulkhead_device_gateway::Gateway;
use bulkhead_fleet_store::Store;
use tokio::sync::watch;

use crate::debug_desk::DebugDesk;
use crate::failure::Failure;

/// Fewest digits of a digest that name a bundle.
const DIGEST_PREFIX_MIN: usize = 8;

#[derive(Clone)]
pub(crate) struct AppState {
    pub(crate) store: Store,
    pub(crate) bundles: Arc<dyn BundleStore>,
    pub(crate) gateway: Gateway,
    pub(crate) debug: DebugDesk,
    pub(crate) realm_id: Arc<str>,
    pub(crate) server_public_keys: Vec<String>,
    pub(crate) device_endpoint: Arc<str>,
    pub(crate) stopping: watch::Receiver<bool>,
}

impl AppState {
    /// The device with this id or name.
    pub(crate) async fn find_device(&self, id_or_name: &str) -> Result<Device, Failure> {
        let missing = || {
            let detail = format!("no device has the id or name `{id_or_name}`");
            Failure::of(ProblemCode::DeviceNotFound, detail, "list devices with `bulkhead device ls`")
        };
        let id = match id_or_name.parse::<DeviceId>() {
            Ok(id) => id,
            Err(_) => self.store.device_named(id_or_name).await?.ok_or_else(missing)?,
        };
        let device = self.store.device(id).await?.ok_or_else(missing)?;
        Ok(self.with_link(device))
    }

    /// Adds what only the gateway knows.
    ///
    /// A device counts as online once what it said over this link is stored. Until then a script that waited for it
    /// would read beside the new link what the device had said over the one before, perhaps why it started last time.
    pub(crate) fn with_link(&self, mut device: Device) -> Device {
        let told_at = device.reported.as_ref().map(|reported| reported.reported_at);
        device.link = self.gateway.link(device.id).filter(|link| told_at >= Some(link.since));
        device.online = device.link.is_some();
        if let Some(link) = &device.link {
            device.last_seen_at = Some(link.last_heard_at);
        }
        device
    }

    /// The bundle that `reference` names.
    pub(crate) async fn find_bundle(&self, reference: &str) -> Result<Bundle, Failure> {
        let missing = || {
            let detail = format!("no bundle is called `{reference}`");
            Failure::of(
                ProblemCode::BundleNotFound,
                detail,
                "list bundles with `bulkhead app ls`, or push it first",
            )
        };
        if let Ok(manifest) = reference.parse::<ManifestDigest>() {
            return self.store.bundle(manifest).await?.ok_or_else(missing);
        }
        if reference.len() >= DIGEST_PREFIX_MIN && reference.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let mut found = self.store.bundles_with_prefix(reference).await?;
            if found.len() > 1 {
                let detail = format!("more than one digest begins with `{reference}`");
                return Err(Failure::of(ProblemCode::AmbiguousName, detail, "give more digits"));
            }
            if let Some(bundle) = found.pop() {
                return Ok(bundle);
            }
        }
        let (name, version) = match reference.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (reference, None),
        };
        self.store.newest_bundle(name, version).await?.ok_or_else(missing)
    }

    /// Writes to the audit log.
    pub(crate) async fn audit(&self, by: &Token, action: &str, subject: &str) -> Result<(), Failure> {
        Ok(self.store.append_audit(&by.account, &by.id, action, subject, Timestamp::now()).await?)
    }

    /// Writes an event.
    pub(crate) async fn event(
        &self,
        kind: &str,
        device: Option<DeviceId>,
        data: serde_json::Value,
    ) -> Result<(), Failure> {
        Ok(self.store.append_event(kind, device, data, Timestamp::now()).await?)
    }
}

/// Checks a name that a caller chose for a device, account or token.
pub(crate) fn check_name(name: &str) -> Result<(), Failure> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_. ".contains(&byte);
    let fits = (1..=NAME_LEN_MAX).contains(&name.len())
        && name.bytes().all(allowed)
        && name.trim() == name
        // A name that reads as an id could stand for another device.
        && name.parse::<DeviceId>().is_err();
    if fits {
        return Ok(());
    }
    let detail = format!("`{}` is no name", name.chars().take(NAME_LEN_MAX).collect::<String>());
    let next = format!("use 1 to {NAME_LEN_MAX} letters, digits, hyphens, dots, underscores or inner spaces");
    Err(Problem::new(ProblemCode::InvalidRequest, detail, next).into())
}
