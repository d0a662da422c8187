//! From a TCP connection to an admitted device, cheapest checks first.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bulkhead_fleet_store::Admission;
use bulkhead_link_protocol::LINK_VERSION;
use bulkhead_link_session::RefusalReason;
use bulkhead_link_session::server::{FIRST_LEN, ServerHandshake, ServerSession, refusal};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Shared, device_id, link};

/// Pause after the system refused to accept, most likely because all descriptors are in use.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a peer that was sent away has to close its end.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a device that may become welcome soon stays away.
const RETRY_SHORT_S: u32 = 10;
/// How long a device that is not known or barred stays away.
pub(crate) const RETRY_LONG_S: u32 = 60;

pub(crate) async fn run(shared: Arc<Shared>, listener: TcpListener) {
    let pending = Arc::new(Semaphore::new(shared.limits.handshakes_pending_max));
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                // Without a permit there is no time for words: the device comes back by its own back-off.
                let Ok(permit) = pending.clone().try_acquire_owned() else { continue };
                let shared = shared.clone();
                tokio::spawn(async move { connection(shared, stream, address, permit).await });
            }
            Err(error) => {
                tracing::warn!(%error, "a device's connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(
    shared: Arc<Shared>,
    mut stream: TcpStream,
    address: SocketAddr,
    pending: OwnedSemaphorePermit,
) {
    // Frames are small and each is awaited by somebody.
    let _ = stream.set_nodelay(true);
    let timeout = shared.limits.handshake_timeout;
    match tokio::time::timeout(timeout, handshake(&shared, &mut stream)).await {
        Ok(Some((device_key, admission, session))) => {
            drop(pending);
            link::run(shared, stream, session, address, device_key, admission).await;
        }
        Ok(None) => {}
        Err(_) => tracing::debug!(%address, "a connection ended before its handshake did"),
    }
}

async fn handshake(shared: &Shared, stream: &mut TcpStream) -> Option<([u8; 32], Admission, ServerSession)> {
    let mut first = [0; FIRST_LEN];
    let (version, message) = first.split_at_mut(1);
    stream.read_exact(version).await.ok()?;
    if *version != [LINK_VERSION] {
        refuse(stream, RefusalReason::Version, RETRY_LONG_S).await;
        return None;
    }
    if shared.draining.load(Ordering::Relaxed) || shared.directory.len() >= shared.limits.links_max {
        refuse(stream, RefusalReason::Busy, RETRY_SHORT_S).await;
        return None;
    }
    // Before any Diffie-Hellman: a flood of handshakes costs no more than this comparison.
    if let Err(wait) = shared.take_handshake() {
        let wait = u32::try_from(wait.as_secs()).unwrap_or(RETRY_LONG_S);
        refuse(stream, RefusalReason::Busy, RETRY_SHORT_S.saturating_add(wait)).await;
        return None;
    }
    stream.read_exact(message).await.ok()?;
    let asked = match ServerHandshake::read(&first, &shared.keys) {
        Ok(asked) => asked,
        Err(error) => {
            tracing::info!(%error, "a handshake was refused");
            refuse(stream, error.reason(), RETRY_LONG_S).await;
            return None;
        }
    };
    let device_key = *asked.device_public_key();
    let id = device_id(&device_key);
    let admission = match shared.store.admit(id, &device_key).await {
        Ok(admission) => admission,
        Err(error) => {
            tracing::error!(%error, device_id = %id, "admission could not be decided");
            refuse(stream, RefusalReason::Busy, RETRY_SHORT_S).await;
            return None;
        }
    };
    match admission {
        Admission::Known | Admission::MayClaim => {}
        Admission::Unknown => {
            tracing::info!(device_id = %id, "a device that nobody registered was refused");
            refuse(stream, RefusalReason::UnknownDevice, RETRY_LONG_S).await;
            return None;
        }
        Admission::Revoked => {
            tracing::info!(device_id = %id, "a revoked device was refused");
            refuse(stream, RefusalReason::Revoked, RETRY_LONG_S).await;
            return None;
        }
    }
    if let Err(wait) = shared.directory.may_connect(id) {
        tracing::info!(device_id = %id, "a device that connects too often was told to wait");
        let wait = u32::try_from(wait.as_secs()).unwrap_or(RETRY_LONG_S);
        refuse(stream, RefusalReason::Busy, RETRY_SHORT_S.saturating_add(wait)).await;
        return None;
    }
    let (answer, session) = asked.accept().ok()?;
    stream.write_all(&answer).await.ok()?;
    Some((device_key, admission, session))
}

/// Sends a refusal in the clear and ends the connection.
async fn refuse(stream: &mut TcpStream, reason: RefusalReason, retry_in_s: u32) {
    let _ = stream.write_all(&refusal(reason, retry_in_s)).await;
    let _ = stream.shutdown().await;
    read_to_end(stream).await;
}

/// Reads and forgets what a peer still sends, for a moment.
///
/// Closing with unread bytes would reset the connection and could destroy our last word before the peer reads it.
pub(crate) async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) {
    let mut rest = [0; 256];
    let drain = async { while matches!(stream.read(&mut rest).await, Ok(n) if n > 0) {} };
    let _ = tokio::time::timeout(FAREWELL_TIMEOUT, drain).await;
}
