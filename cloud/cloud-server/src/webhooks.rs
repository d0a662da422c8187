//! Posts messages of devices to webhooks, again and again with growing pauses, and lets old messages expire.
//!
//! A delivery is a row of the store from the commit of its message on, so that neither a crash nor a restart of the
//! server loses one. The other side may see the same delivery twice, and knows it by its number.

use std::collections::HashMap;
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
/// Deliveries to one webhook that are tried at once. None waits for those to another.
const AT_ONCE: u32 = 4;
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
    run_with(store, post).await;
}

async fn run_with(store: Store, post: impl Post) {
    // Each has a clock of its own: what is posted may take its time.
    tokio::join!(deliver(&store, post), expire(&store));
}

/// Makes an attempt.
trait Post: Fn(&DueDelivery, Timestamp) -> Result<u16, String> + Clone + Send + 'static {}

impl<P: Fn(&DueDelivery, Timestamp) -> Result<u16, String> + Clone + Send + 'static> Post for P {}

async fn expire(store: &Store) {
    loop {
        if let Err(error) = expire_now(store).await {
            tracing::error!(%error, "messages that waited too long could not be ended");
        }
        tokio::time::sleep(PERIOD).await;
    }
}

async fn expire_now(store: &Store) -> Result<(), StoreError> {
    let now = Timestamp::now();
    for message in store.expire_messages(now).await? {
        let data = json!({ "message": message.id, "direction": message.direction, "state": message.state });
        store.append_event("message", Some(message.device_id), data, now).await?;
    }
    Ok(())
}

async fn deliver(store: &Store, post: impl Post) {
    let mut news = store.subscribe_messages();
    let mut attempts = Attempts::default();
    loop {
        if let Err(error) = attempts.begin(store, &post).await {
            tracing::error!(%error, "deliveries to webhooks could not be read");
        }
        tokio::select! {
            Some(ended) = attempts.running.join_next() => {
                if let Ok(ended) = ended && let Err(error) = attempts.end(store, ended).await {
                    tracing::error!(%error, "what came of a delivery could not be written");
                    // It is due as before, and would be tried at once.
                    tokio::time::sleep(PERIOD).await;
                }
            }
            // A message that was missed here is found in the table all the same.
            _ = tokio::time::timeout(PERIOD, news.recv()) => {}
        }
    }
}

/// An attempt that came to an end, and how.
type Ended = (DueDelivery, Result<u16, String>);

/// Attempts under way.
#[derive(Default)]
struct Attempts {
    running: JoinSet<Ended>,
    /// By delivery, the webhook.
    webhooks: HashMap<i64, i64>,
}

impl Attempts {
    /// Begins as many as there may be.
    async fn begin(&mut self, store: &Store, post: &impl Post) -> Result<(), StoreError> {
        for webhook in store.webhooks().await? {
            let mut room = AT_ONCE.saturating_sub(self.count(webhook.id));
            if room == 0 {
                continue;
            }
            // Those under way are due as well until they have come to an end.
            for delivery in store.due_deliveries(webhook.id, Timestamp::now(), AT_ONCE).await? {
                if room > 0 && !self.webhooks.contains_key(&delivery.id) {
                    room -= 1;
                    self.webhooks.insert(delivery.id, webhook.id);
                    self.running.spawn(attempt(delivery, post.clone()));
                }
            }
        }
        Ok(())
    }

    fn count(&self, webhook: i64) -> u32 {
        let count = self.webhooks.values().filter(|known| **known == webhook).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    async fn end(&mut self, store: &Store, (delivery, answer): Ended) -> Result<(), StoreError> {
        self.webhooks.remove(&delivery.id);
        let now = Timestamp::now();
        store.record_attempt(delivery.id, &outcome(&answer, delivery.attempts, now), now).await
    }
}

async fn attempt(delivery: DueDelivery, post: impl Post) -> Ended {
    let posted = delivery.clone();
    let answer = tokio::task::spawn_blocking(move || post(&posted, Timestamp::now())).await;
    // One that ended in a panic has failed like any other, or it would be tried without a pause.
    (delivery, answer.unwrap_or_else(|_| Err("the server failed to post it; see its log".to_owned())))
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
    use std::path::PathBuf;
    use std::sync::{Arc, Mutex, mpsc};

    use bulkhead_cloud_api::{Delivery, DeviceId, MessageState};
    use bulkhead_fleet_store::{MessageFilter, NewDeviceMessage, NewMessage};

    use super::*;

    /// Longest wait for what takes a moment.
    const PATIENCE: Duration = Duration::from_secs(60);

    struct Scratch {
        directory: PathBuf,
        store: Store,
    }

    impl Scratch {
        async fn new() -> Self {
            let mut random = [0; 8];
            getrandom::fill(&mut random).expect("randomness");
            let directory = std::env::temp_dir().join(format!("bulkhead-webhooks-{}", to_hex(&random)));
            std::fs::create_dir(&directory).expect("a directory");
            let store = Store::open(&directory.join("fleet.sqlite")).await.expect("opens");
            Self { directory, store }
        }

        async fn webhook(&self, url: &str) -> i64 {
            self.store.create_webhook(url, "ada", Timestamp(1)).await.expect("makes").0.id
        }

        async fn receive(&self, count: u32) {
            for number in 0..count {
                let (device_id, bytes, now) = (DeviceId([1; 16]), vec![1], Timestamp::now());
                let new = NewDeviceMessage { device_id, run: 1, number, topic: 0, bytes, created_at: now };
                self.store.store_device_message(&new, now).await.expect("stores").expect("is new");
            }
        }

        /// The deliveries of a webhook, as soon as `good` likes them.
        async fn wait_for(&self, webhook: i64, good: impl Fn(&[Delivery]) -> bool) -> Vec<Delivery> {
            let until = tokio::time::Instant::now() + PATIENCE;
            loop {
                let deliveries = self.store.deliveries(webhook, None, 500).await.expect("lists");
                if good(&deliveries) {
                    return deliveries;
                }
                assert!(tokio::time::Instant::now() < until, "{deliveries:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }

    #[tokio::test]
    async fn a_webhook_that_does_not_answer_holds_up_neither_another_one_nor_expiry() {
        let scratch = Scratch::new().await;
        let store = scratch.store.clone();
        let (dead, live) = (scratch.webhook("http://dead").await, scratch.webhook("http://live").await);
        scratch.receive(40).await;
        let late = NewMessage {
            device_id: DeviceId([1; 16]),
            topic: 0,
            bytes: vec![1],
            account: "ada".into(),
            expires_at: Timestamp::now(),
            idempotency_key: None,
        };
        store.queue_message(&late, Timestamp(1)).await.expect("queues");
        // Ends the attempts that hang when the test does.
        let (hang, hung) = mpsc::channel::<()>();
        let hung = Arc::new(Mutex::new(hung));
        let tried = Arc::new(Mutex::new(Vec::new()));
        let seen = tried.clone();
        let post = move |delivery: &DueDelivery, _: Timestamp| {
            seen.lock().expect("whole").push(delivery.url.clone());
            if delivery.url == "http://dead" {
                let _ = hung.lock().expect("whole").recv();
            }
            Ok(200)
        };
        let running = tokio::spawn(run_with(store.clone(), post));
        let all = |deliveries: &[Delivery]| deliveries.iter().all(|d| d.state == DeliveryState::Delivered);
        assert_eq!(scratch.wait_for(live, all).await.len(), 40);
        let untried = |deliveries: &[Delivery]| deliveries.iter().all(|d| d.attempts == 0);
        scratch.wait_for(dead, untried).await;
        let to_dead = tried.lock().expect("whole").iter().filter(|url| *url == "http://dead").count();
        assert_eq!(to_dead, 4, "attempts that hang");
        let until = tokio::time::Instant::now() + PATIENCE;
        let expired =
            MessageFilter { state: Some(MessageState::Expired), limit: 9, ..MessageFilter::default() };
        while store.messages(&expired).await.expect("lists").is_empty() {
            assert!(tokio::time::Instant::now() < until, "a message that waited too long waits on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        running.abort();
        drop(hang);
    }

    #[tokio::test]
    async fn an_attempt_that_ends_in_a_panic_is_one_that_failed_and_is_tried_again_after_a_pause() {
        let scratch = Scratch::new().await;
        let webhook = scratch.webhook("http://worse").await;
        scratch.receive(1).await;
        let post = |_: &DueDelivery, _: Timestamp| -> Result<u16, String> { panic!("a bug") };
        let running = tokio::spawn(run_with(scratch.store.clone(), post));
        let failed = scratch.wait_for(webhook, |deliveries| deliveries[0].attempts > 0).await;
        running.abort();
        assert!(failed[0].last_error.as_deref().is_some_and(|why| why.contains("see its log")), "{failed:?}");
        assert!(failed[0].next_attempt_at > Some(Timestamp::now()) || failed[0].attempts > 1, "{failed:?}");
    }

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
