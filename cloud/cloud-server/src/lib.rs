//! The Bulkhead server: REST API and device gateway in one process.
//!
//! [`Server::start`] is what the binary runs and what tests start on port 0. Everything lives in the data
//! directory; nothing has to be configured. The API is plain HTTP: before it is reachable from elsewhere it
//! belongs behind a proxy that speaks TLS. The device link needs none, it is sealed by itself.
#![forbid(unsafe_code)]

mod caller;
mod data_directory;
mod debug_desk;
mod failure;
mod follow;
mod openapi;
mod routes;
mod standing;
mod state;
mod webhooks;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt as _;
use bulkhead_bundle_store::Directory;
use bulkhead_cloud_api::{CreatedToken, NewToken, Role, Timestamp, to_hex};
use bulkhead_device_gateway::{Gateway, Limits};
use bulkhead_device_identity::public_key;
use bulkhead_fleet_store::{Store, StoreError};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::data_directory::{DataDirectory, database_below};
use crate::debug_desk::DebugDesk;
use crate::state::AppState;

pub use openapi::document as openapi_document;

/// Account of the first token.
const FIRST_ACCOUNT: &str = "admin";
/// How long requests in flight may take to end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
/// How much longer each link may take to be sent away.
const SHUTDOWN_TIMEOUT_PER_LINK: Duration = Duration::from_millis(4);
/// Seconds that devices stay away while the server restarts.
const RECONNECT_IN_S: u32 = 5;
/// How often old logs and events are deleted.
const PRUNE_PERIOD: Duration = Duration::from_secs(3600);
/// Days for which logs and events are kept.
const KEPT_DAYS: i64 = 30;
/// Days for which crash dumps are kept.
const CRASHES_KEPT_DAYS: i64 = 180;
/// Days in which a device has to have sent all of a crash dump.
const PARTIAL_CRASHES_KEPT_DAYS: i64 = 1;
/// Most log records that are kept, all devices together.
const LOG_RECORDS_MAX: u32 = 5_000_000;

/// How to start a server.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Address of the API; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Address of the device gateway; port 0 takes a free one.
    pub device_listen: SocketAddr,
    /// Limits of the gateway.
    pub limits: Limits,
}

/// Why a server did not start.
#[derive(Debug)]
pub enum StartError {
    /// The data directory cannot be used.
    DataDirectory(io::Error),
    /// The database cannot be used.
    Store(StoreError),
    /// An address cannot be listened on.
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DataDirectory(error) => write!(f, "data directory: {error}"),
            Self::Store(error) => write!(f, "{error}"),
            Self::Listen { address, error } => {
                write!(
                    f,
                    "cannot listen on {address}: {error}; choose another with --listen or --device-listen"
                )
            }
        }
    }
}

impl std::error::Error for StartError {}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A running server.
pub struct Server {
    /// Address of the API.
    pub api_address: SocketAddr,
    /// Address of the device gateway.
    pub device_address: SocketAddr,
    /// The first token, on the first start alone.
    pub first_token: Option<CreatedToken>,
    gateway: Gateway,
    store: Store,
    stop: watch::Sender<bool>,
    api: JoinHandle<()>,
    devices: JoinHandle<()>,
    pruning: JoinHandle<()>,
    posting: JoinHandle<()>,
    data: DataDirectory,
}

impl Server {
    /// Starts a server. To be called within a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`]: nothing runs then.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let data = DataDirectory::open(&config.data_dir).map_err(StartError::DataDirectory)?;
        let keys = data.keys().map_err(StartError::DataDirectory)?;
        let store = Store::open(&data.database()).await?;
        let bundles = Directory::open(&data.bundles())
            .map_err(|error| StartError::DataDirectory(io::Error::other(error.to_string())))?;
        let bundles = Arc::new(bundles);
        let (api_listener, api_address) = listen(config.listen).await?;
        let (device_listener, device_address) = listen(config.device_listen).await?;
        let first_token =
            if store.tokens().await?.is_empty() { Some(admin_token(&store).await?) } else { None };

        let gateway = Gateway::new(keys.clone(), config.limits, store.clone(), bundles.clone());
        let (stop, stopping) = watch::channel(false);
        let state = AppState {
            store: store.clone(),
            bundles,
            gateway: gateway.clone(),
            debug: DebugDesk::default(),
            realm_id: to_hex(&keys.realm_id).into(),
            server_public_keys: [Some(keys.current), keys.next]
                .iter()
                .flatten()
                .map(|key| to_hex(&public_key(key)))
                .collect(),
            device_endpoint: device_address.to_string().into(),
            stopping: stopping.clone(),
        };
        let api = tokio::spawn(serve_api(api_listener, state, stopping));
        let devices = tokio::spawn({
            let gateway = gateway.clone();
            async move { gateway.serve(device_listener).await }
        });
        let pruning = tokio::spawn(prune(store.clone()));
        let posting = tokio::spawn(webhooks::run(store.clone()));
        let endpoints = serde_json::json!({
            "api": format!("http://{api_address}"),
            "devices": device_address.to_string(),
            "process_id": std::process::id(),
        });
        data.write(&data.endpoints(), format!("{endpoints}\n").as_bytes())
            .map_err(StartError::DataDirectory)?;
        Ok(Self {
            api_address,
            device_address,
            first_token,
            gateway,
            store,
            stop,
            api,
            devices,
            pruning,
            posting,
            data,
        })
    }

    /// Sends devices away, ends requests, writes what is queued.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        let draining = async {
            self.gateway.drain(RECONNECT_IN_S).await;
            let _ = (&mut self.api).await;
        };
        let links = u32::try_from(self.gateway.link_count()).unwrap_or(u32::MAX);
        let timeout = SHUTDOWN_TIMEOUT + SHUTDOWN_TIMEOUT_PER_LINK * links;
        if tokio::time::timeout(timeout, draining).await.is_err() {
            tracing::warn!("requests or links did not end in time; they are cut off");
        }
        self.devices.abort();
        self.pruning.abort();
        self.posting.abort();
        self.api.abort();
        let _ = std::fs::remove_file(self.data.endpoints());
        self.store.close().await;
    }
}

/// Makes another admin token in the data directory `root`, for an owner who lost the first. The server may run.
///
/// # Errors
/// [`StartError`]: there is no server's data in `root`.
pub async fn make_admin_token(root: &Path) -> Result<CreatedToken, StartError> {
    let database = database_below(root);
    if !database.exists() {
        let text = format!("{} holds no server's data; give its --data-dir", root.display());
        return Err(StartError::DataDirectory(io::Error::new(io::ErrorKind::NotFound, text)));
    }
    let store = Store::open(&database).await?;
    let made = admin_token(&store).await?;
    let id = &made.token.id;
    store.append_audit("server", "-", "make-admin-token", id, Timestamp::now()).await?;
    store.close().await;
    Ok(made)
}

async fn admin_token(store: &Store) -> Result<CreatedToken, StoreError> {
    let new = NewToken {
        account: FIRST_ACCOUNT.into(),
        name: "made by the server itself".into(),
        roles: vec![Role::Admin],
        expires_in_s: None,
    };
    store.create_token(&new, Timestamp::now()).await
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let wrap = |error| StartError::Listen { address, error };
    let listener = TcpListener::bind(address).await.map_err(wrap)?;
    let real = listener.local_addr().map_err(wrap)?;
    Ok((listener, real))
}

async fn serve_api(listener: TcpListener, state: AppState, mut stopping: watch::Receiver<bool>) {
    let router = routes::router(state);
    // Debug sessions are small messages that somebody waits for.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let stopped = async move {
        let _ = stopping.wait_for(|stop| *stop).await;
    };
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
        tracing::error!(%error, "the API ended");
    }
}

async fn prune(store: Store) {
    let mut period = tokio::time::interval(PRUNE_PERIOD);
    loop {
        period.tick().await;
        let before = Timestamp::now().plus_seconds(-KEPT_DAYS * 86_400);
        if let Err(error) = store.prune_messages(before).await {
            tracing::error!(%error, "old messages could not be deleted");
        }
        match store.prune(before, LOG_RECORDS_MAX).await {
            Ok(0) => {}
            Ok(row_count) => tracing::info!(row_count, "old logs and events were deleted"),
            Err(error) => tracing::error!(%error, "old logs and events could not be deleted"),
        }
        let days_ago = |days: i64| Timestamp::now().plus_seconds(-days * 86_400);
        match store.prune_crashes(days_ago(CRASHES_KEPT_DAYS), days_ago(PARTIAL_CRASHES_KEPT_DAYS)).await {
            Ok(0) => {}
            Ok(dump_count) => tracing::info!(dump_count, "old crash dumps were deleted"),
            Err(error) => tracing::error!(%error, "old crash dumps could not be deleted"),
        }
    }
}
