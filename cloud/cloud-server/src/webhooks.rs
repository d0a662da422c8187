//! Posts messages of devices to webhooks, again and again with growing pauses, and lets old messages expire.
//!
//! A delivery is a row of the store from the commit of its message on, so that neither a crash nor a restart of the
//! server loses one. The other side may see the same delivery twice, and knows it by its number.

use std::time::Duration;

use bulkhead_cloud_api::{DeliveryState, Timestamp, WebhookPost, to_hex};
use bulkhead_fleet_store::{AttemptOutcome, DueDelivery, Store, StoreError};
use hmac::{Hmac, Mac as _};
use serde_json::json;
use sha2::Sha256;
use tokio::task::JoinSet;
use ureq::tls::{RootCerts, TlsConfig};

/// How often due deliveries and expired messages are looked for, if nothing new wakes this task.
const PERIOD: Duration = Duration::from_secs(1);
/// Deliveries that are tried at once.
const BATCH: u32 = 16;
/// Longest time that the other side may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after the first failure in seconds; doubles with each further one.
const PAUSE_FIRST_S: i64 = 1;
/// Longest pause.
const PAUSE_MAX_S: i64 = 3600;
/// Attempts after which a delivery is given up: about nine hours after the first.
const ATTEMPTS_MAX: u32 = 20;
/// Longest text of an error that is kept.
const ERROR_LEN_MAX: usize = 200;

/// Works until it is aborted.
pub(crate) async fn run(store: Store) {
    let mut news = store.subscribe_messages();
    loop {
        if let Err(error) = turn(&store).await {
            tracing::error!(%error, "webhooks or expiry could not be served");
        }
        // A message that was missed here is found in the table all the same.
        let _ = tokio::time::timeout(PERIOD, news.recv()).await;
    }
}

async fn turn(store: &Store) -> Result<(), StoreError> {
    let now = Timestamp::now();
    for message in store.expire_messages(now).await? {
        let data = json!({ "message": message.id, "direction": message.direction, "state": message.state });
        store.append_event("message", Some(message.device_id), data, now).await?;
    }
    loop {
        let due = store.due_deliveries(Timestamp::now(), BATCH).await?;
        if due.is_empty() {
            return Ok(());
        }
        let mut attempts = JoinSet::new();
        for delivery in due {
            attempts.spawn_blocking(move || {
                let answer = post(&delivery, Timestamp::now());
                (delivery, answer)
            });
        }
        while let Some(attempt) = attempts.join_next().await {
            let Ok((delivery, answer)) = attempt else { continue };
            let now = Timestamp::now();
            store.record_attempt(delivery.id, &outcome(&answer, delivery.attempts, now), now).await?;
        }
    }
}

/// One attempt: the status of the answer, or why there was none.
fn post(delivery: &DueDelivery, now: Timestamp) -> Result<u16, String> {
    let post = WebhookPost {
        kind: "message".to_owned(),
        delivery_id: delivery.id,
        message: delivery.message.clone(),
    };
    let body = serde_json::to_vec(&post).map_err(|error| error.to_string())?;
    // The system's certificates, so that a company's own authority is trusted like everywhere else.
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(TIMEOUT))
        // A redirect could lead anywhere; the owner gave one address.
        .max_redirects(0)
        .http_status_as_error(false)
        .build()
        .into();
    let answer = agent
        .post(&delivery.url)
        .header("content-type", "application/json")
        .header("bulkhead-delivery", delivery.id.to_string())
        .header("bulkhead-signature", signature(&delivery.secret, now, &body))
        .send(&body[..]);
    answer.map(|response| response.status().as_u16()).map_err(|error| error.to_string())
}

/// `t=SECONDS,v1=HEX`: HMAC-SHA-256 with the webhook's secret, of the seconds since 1970, a full stop, and the body.
pub(crate) fn signature(secret: &str, now: Timestamp, body: &[u8]) -> String {
    let seconds = now.0.div_euclid(1_000_000);
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return String::new() };
    mac.update(format!("{seconds}.").as_bytes());
    mac.update(body);
    format!("t={seconds},v1={}", to_hex(&mac.finalize().into_bytes()))
}

/// What follows from an answer, after `attempts` that failed before it.
fn outcome(answer: &Result<u16, String>, attempts: u32, now: Timestamp) -> AttemptOutcome {
    let (status, error) = match answer {
        Ok(status) => (Some(*status), None),
        Err(error) => (None, Some(error.chars().take(ERROR_LEN_MAX).collect())),
    };
    let state = match status {
        Some(200..=299) => DeliveryState::Delivered,
        _ if attempts.saturating_add(1) >= ATTEMPTS_MAX => DeliveryState::Failed,
        _ => DeliveryState::Pending,
    };
    let pause_s = PAUSE_FIRST_S.checked_shl(attempts).map_or(PAUSE_MAX_S, |s| s.clamp(1, PAUSE_MAX_S));
    AttemptOutcome { state, next_attempt_at: now.plus_seconds(pause_s), status, error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour_and_the_last_attempt_gives_up() {
        let refused = Err("connection refused".to_owned());
        let now = Timestamp(0);
        for (attempts, pause_s) in [(0, 1), (1, 2), (5, 32), (11, 2048), (12, 3600), (18, 3600)] {
            let outcome = outcome(&refused, attempts, now);
            assert_eq!(
                (outcome.state, outcome.next_attempt_at),
                (DeliveryState::Pending, Timestamp(pause_s * 1_000_000))
            );
        }
        assert_eq!(outcome(&Ok(500), 19, now).state, DeliveryState::Failed);
        for (status, state) in [
            (200, DeliveryState::Delivered),
            (204, DeliveryState::Delivered),
            (301, DeliveryState::Pending),
            (404, DeliveryState::Pending),
        ] {
            assert_eq!(outcome(&Ok(status), 3, now).state, state, "{status}");
        }
    }

    /// Computed with `printf '5.{}' | openssl dgst -sha256 -hmac secret`.
    #[test]
    fn a_signature_is_the_hmac_of_time_and_body() {
        let text = signature("secret", Timestamp(5_000_000), b"{}");
        assert_eq!(text, "t=5,v1=f18d2fcd9a24151471e3e2d71bc7ce901fb7b89b341918a08f95e9ffc497ea26");
    }
}
