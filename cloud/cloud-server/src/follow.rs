//! Server-sent events: what is stored after an id, then what comes, without a gap between the two.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future, ready};
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use bulkhead_fleet_store::StoreError;
use futures_util::stream::{once, unfold};
use futures_util::{Stream, StreamExt as _};
use serde::Serialize;
use tokio::sync::{broadcast, watch};

use crate::standing::Standing;

/// Items read from the store at once.
pub(crate) const BACKLOG_ITEMS: u32 = 500;
/// How often a comment keeps an idle stream open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A stored and broadcast sequence of numbered items.
pub(crate) trait Feed: Send + 'static {
    /// One item.
    type Item: Serialize + Send + Sync + 'static;
    /// Items after `id`, oldest first, at most [`BACKLOG_ITEMS`].
    fn stored_after(&self, id: i64) -> impl Future<Output = Result<Vec<Self::Item>, StoreError>> + Send;
    /// Whether the caller asked for this item.
    fn wanted(&self, item: &Self::Item) -> bool;
    /// Number of the item.
    fn id(item: &Self::Item) -> i64;
    /// Name of the server-sent event.
    fn name(item: &Self::Item) -> &str;
}

/// The id after which a returning client wants to go on.
pub(crate) fn last_event_id(headers: &HeaderMap) -> Option<i64> {
    headers.get("last-event-id")?.to_str().ok()?.trim().parse().ok()
}

struct State<F: Feed> {
    feed: F,
    live: broadcast::Receiver<Arc<F::Item>>,
    stopping: watch::Receiver<bool>,
    standing: Standing,
    last: i64,
    /// Whether the store may hold items after `last` that will not come live.
    behind: bool,
    waiting: VecDeque<SseEvent>,
}

/// Streams a feed from after `last` until the server stops or the caller's token ends. `live` must have been subscribed before `last` was determined.
pub(crate) fn follow<F: Feed>(
    feed: F,
    live: broadcast::Receiver<Arc<F::Item>>,
    stopping: watch::Receiver<bool>,
    standing: Standing,
    last: i64,
) -> Sse<impl Stream<Item = Result<SseEvent, Infallible>>> {
    let state = State { feed, live, stopping, standing, last, behind: true, waiting: VecDeque::new() };
    let stream = unfold(state, |mut state| async move { state.next().await.map(|event| (Ok(event), state)) });
    // Who loses the stream before anything came knows where to go on as well.
    let place = once(ready(Ok(SseEvent::default().id(last.to_string()))));
    Sse::new(place.chain(stream)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

impl<F: Feed> State<F> {
    async fn next(&mut self) -> Option<SseEvent> {
        loop {
            if self.standing.is_over() {
                return None;
            }
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            if self.behind {
                match self.feed.stored_after(self.last).await {
                    Ok(items) if items.is_empty() => self.behind = false,
                    Ok(items) => items.iter().for_each(|item| self.take(item)),
                    Err(error) => {
                        // The client comes back with its last id and misses nothing.
                        tracing::error!(%error, "a stream ended because the store did not answer");
                        return None;
                    }
                }
                continue;
            }
            let item = tokio::select! {
                _ = self.stopping.wait_for(|stop| *stop) => return None,
                () = self.standing.over() => return None,
                item = self.live.recv() => item,
            };
            match item {
                Ok(item) if F::id(&item) > self.last && self.feed.wanted(&item) => self.take(&item),
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => self.behind = true,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    fn take(&mut self, item: &F::Item) {
        self.last = F::id(item);
        let data = serde_json::to_string(item).unwrap_or_default();
        self.waiting.push_back(SseEvent::default().id(self.last.to_string()).event(F::name(item)).data(data));
    }
}
