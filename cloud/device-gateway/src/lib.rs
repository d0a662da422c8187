//! Noise gateway: one task a device link.
//!
//! A device connects, proves who it is by its static key, and is told what it shall run; the gateway records what
//! it says and serves the bytes it asks for. The store alone decides what a device's target is: every message
//! towards a device is a hint, and a lost one costs nothing, because target and reported state are compared
//! anew on each connection.
#![forbid(unsafe_code)]

mod accept;
mod application;
mod convert;
mod crash;
mod debug;
mod directory;
mod inbound;
mod inbox;
mod limits;
mod link;
mod outbox;
mod owner;
mod pipe;
mod planner;
mod plans;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bulkhead_bundle_store::BundleStore;
use bulkhead_cloud_api::{CommandOutcome, DeviceCommand, DeviceId, LinkStatus};
use bulkhead_fleet_store::Store;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::directory::Directory;
use crate::inbox::{Change, Order};
use crate::limits::TokenBucket;
use crate::planner::Planner;

pub use bulkhead_link_session::server::ServerKeys;
pub use debug::{DebugEnded, DebugEvent, debug_channel};
pub use limits::Limits;

/// The gateway. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) keys: ServerKeys,
    pub(crate) limits: Limits,
    pub(crate) store: Store,
    pub(crate) bundles: Arc<dyn BundleStore>,
    pub(crate) planner: Planner,
    pub(crate) directory: Directory,
    pub(crate) handshakes: Mutex<TokenBucket>,
    pub(crate) draining: AtomicBool,
}

/// The id that a static public key certifies.
pub fn device_id(public_key: &[u8; 32]) -> DeviceId {
    DeviceId::from_key_hash(&Sha256::digest(public_key).into())
}

impl Gateway {
    /// A gateway that is not yet listening. To be called within a tokio runtime.
    pub fn new(keys: ServerKeys, limits: Limits, store: Store, bundles: Arc<dyn BundleStore>) -> Self {
        let handshakes =
            Mutex::new(TokenBucket::new(limits.handshakes_per_s, limits.handshake_burst, Instant::now()));
        let shared = Shared {
            keys,
            limits,
            planner: Planner::new(store.clone(), bundles.clone()),
            store,
            bundles,
            directory: Directory::default(),
            handshakes,
            draining: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Accepts devices until the future is dropped.
    pub async fn serve(&self, listener: TcpListener) {
        accept::run(self.shared.clone(), listener).await;
    }

    /// The link of a device that is connected now.
    pub fn link(&self, id: DeviceId) -> Option<LinkStatus> {
        self.shared.directory.status(id, self.shared.limits.log_bytes_per_day)
    }

    /// Links at this moment.
    pub fn link_count(&self) -> usize {
        self.shared.directory.len()
    }

    /// Tells a connected device that its target changed. A device that is not connected learns it on connecting.
    pub fn target_changed(&self, id: DeviceId) {
        self.shared.directory.changed(id, Change::Target);
    }

    /// Tells every connected device of a new key set. The others learn of it on connecting.
    pub fn key_sets_changed(&self) {
        for id in self.shared.directory.ids() {
            self.shared.directory.changed(id, Change::KeySets);
        }
    }

    /// Tells a connected device that a message waits for it.
    pub fn message_queued(&self, id: DeviceId) {
        self.shared.directory.changed(id, Change::Messages);
    }

    /// Tells a connected device, or every one, that its configuration changed. The others learn it on connecting.
    pub fn configuration_changed(&self, id: Option<DeviceId>) {
        let ids = id.map_or_else(|| self.shared.directory.ids(), |id| vec![id]);
        for id in ids {
            self.shared.directory.changed(id, Change::Configuration);
        }
    }

    /// Ends the link of a device, if any: it was revoked.
    pub fn disconnect(&self, id: DeviceId) {
        self.shared.directory.send_away(id, accept::RETRY_LONG_S, link::REVOKED);
    }

    /// Sends a command and waits for its outcome. `None`: the device is not connected.
    pub async fn command(&self, id: DeviceId, command: DeviceCommand) -> Option<CommandOutcome> {
        let (reply, answer) = oneshot::channel();
        if !self.shared.directory.order(id, Order::Command { kind: convert::command(command), reply }) {
            return None;
        }
        Some(match tokio::time::timeout(self.shared.limits.command_timeout, answer).await {
            Ok(Ok(true)) => CommandOutcome::Accepted,
            Ok(Ok(false)) => CommandOutcome::Declined,
            Ok(Err(_)) | Err(_) => CommandOutcome::Unanswered,
        })
    }

    /// Sends every device away, at the rate of the limits, and waits until all links are gone.
    pub async fn drain(&self, reconnect_in_s: u32) {
        self.shared.draining.store(true, Ordering::Relaxed);
        let pause = Duration::from_secs(1) / self.shared.limits.drain_per_s.max(1);
        for id in self.shared.directory.ids() {
            self.shared.directory.send_away(id, reconnect_in_s, "server drains");
            tokio::time::sleep(pause).await;
        }
        self.shared.directory.wait_until_empty().await;
    }
}

impl Shared {
    pub(crate) fn take_handshake(&self) -> Result<(), Duration> {
        self.handshakes.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now())
    }
}
