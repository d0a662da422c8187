//! From a TCP connection to an admitted device, cheapest checks first.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bulkhead_fleet_store::Admission;
use bulkhead_link_protocol::{HANDSHAKE_1_LEN, LINK_VERSION};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::noise::{Asked, Session};
use crate::{Shared, device_id, link};

/// Pause after the system refused to accept, most likely because all descriptors are in use.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a device that may become welcome soon stays away.
const RETRY_SHORT_S: u32 = 10;
/// How long a device that is not known or barred stays away.
pub(crate) const RETRY_LONG_S: u32 = 60;

/// Why a device is refused before the second handshake message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u16)]
enum Refusal {
    /// Too many handshakes or links.
    Busy = 1,
    /// The server does not know the device.
    Unknown = 2,
    /// The device was revoked.
    Revoked = 3,
    /// A version of the link that the server does not speak.
    Version = 4,
}

pub(crate) async fn run(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                let shared = shared.clone();
                tokio::spawn(async move { connection(shared, stream, address).await });
            }
            Err(error) => {
                tracing::warn!(%error, "a device's connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(shared: Arc<Shared>, mut stream: TcpStream, address: SocketAddr) {
    // Frames are small and each is awaited by somebody.
    let _ = stream.set_nodelay(true);
    let timeout = shared.limits.handshake_timeout;
    match tokio::time::timeout(timeout, handshake(&shared, &mut stream)).await {
        Ok(Some((device_key, admission, session))) => {
            link::run(shared, stream, session, address, device_key, admission).await;
        }
        Ok(None) => {}
        Err(_) => tracing::debug!(%address, "a connection ended before its handshake did"),
    }
}

async fn handshake(shared: &Shared, stream: &mut TcpStream) -> Option<([u8; 32], Admission, Session)> {
    let mut first = [0; 1 + HANDSHAKE_1_LEN];
    stream.read_exact(&mut first[..1]).await.ok()?;
    if first[0] != LINK_VERSION {
        refuse(stream, Refusal::Version, RETRY_LONG_S).await;
        return None;
    }
    if shared.draining.load(Ordering::Relaxed) || shared.directory.len() >= shared.limits.links_max {
        refuse(stream, Refusal::Busy, RETRY_SHORT_S).await;
        return None;
    }
    // Before any Diffie-Hellman: a flood of handshakes costs no more than this comparison.
    if let Err(wait) = shared.take_handshake() {
        let wait = u32::try_from(wait.as_secs()).unwrap_or(RETRY_LONG_S);
        refuse(stream, Refusal::Busy, RETRY_SHORT_S.saturating_add(wait)).await;
        return None;
    }
    stream.read_exact(&mut first[1..]).await.ok()?;
    let realm = &shared.identity.realm_id;
    let asked = shared.identity.private_keys.iter().find_map(|key| Asked::read(key, realm, &first[1..]).ok());
    let Some(asked) = asked else {
        tracing::info!("a handshake was not meant for this server's keys or realm");
        return None;
    };
    let device_key = asked.device_key;
    let id = device_id(&device_key);
    let admission = match shared.store.admit(id, &device_key).await {
        Ok(admission) => admission,
        Err(error) => {
            tracing::error!(%error, device_id = %id, "admission could not be decided");
            refuse(stream, Refusal::Busy, RETRY_SHORT_S).await;
            return None;
        }
    };
    match admission {
        Admission::Known | Admission::MayClaim => {}
        Admission::Unknown => {
            tracing::info!(device_id = %id, "a device that nobody registered was refused");
            refuse(stream, Refusal::Unknown, RETRY_LONG_S).await;
            return None;
        }
        Admission::Revoked => {
            tracing::info!(device_id = %id, "a revoked device was refused");
            refuse(stream, Refusal::Revoked, RETRY_LONG_S).await;
            return None;
        }
    }
    let (answer, session) = asked.answer().ok()?;
    stream.write_all(&answer).await.ok()?;
    Some((device_key, admission, session))
}

/// Sends `0x0000 | reason | retry_in_s` in the clear and ends the connection.
async fn refuse(stream: &mut TcpStream, refusal: Refusal, retry_in_s: u32) {
    let mut bytes = vec![0, 0];
    bytes.extend_from_slice(&(refusal as u16).to_be_bytes());
    bytes.extend_from_slice(&retry_in_s.to_be_bytes());
    let _ = stream.write_all(&bytes).await;
    let _ = stream.shutdown().await;
    // What the device sent meanwhile is read and forgotten: closing with unread bytes would reset the
    // connection and could destroy the refusal before the device reads it.
    let mut rest = [0; 256];
    let drain = async { while matches!(stream.read(&mut rest).await, Ok(n) if n > 0) {} };
    let _ = tokio::time::timeout(Duration::from_secs(2), drain).await;
}
