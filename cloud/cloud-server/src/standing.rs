//! Whether a token still stands: what it opened ends with it, at once.

use std::time::Duration;

use bulkhead_cloud_api::{ProblemCode, Timestamp, Token};
use bulkhead_fleet_store::Store;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use crate::failure::Failure;

/// Watches a token for as long as something lasts that it opened.
pub(crate) struct Standing {
    revoked: Receiver<String>,
    token_id: String,
    expires_at: Option<Timestamp>,
}

impl Standing {
    /// # Errors
    /// The token was revoked since the request was let in.
    pub(crate) async fn of(store: &Store, token: &Token) -> Result<Self, Failure> {
        // Watched first and looked up then: no moment between the two is missed.
        let revoked = store.subscribe_revoked_tokens();
        if !store.has_token(&token.id).await? {
            let detail = "the token was revoked";
            return Err(Failure::of(ProblemCode::Unauthenticated, detail, "log in with `bulkhead login`"));
        }
        Ok(Self { revoked, token_id: token.id.clone(), expires_at: token.expires_at })
    }

    /// Whether the token has ended.
    pub(crate) fn is_over(&mut self) -> bool {
        let left = self.left();
        loop {
            match self.revoked.try_recv() {
                Ok(id) if id == self.token_id => return true,
                Ok(_) => {}
                Err(TryRecvError::Empty) => return left.is_some_and(|left| left.is_zero()),
                // Whoever was revoked among those that were missed: this one comes back if it may.
                Err(TryRecvError::Lagged(_) | TryRecvError::Closed) => return true,
            }
        }
    }

    /// Waits until the token ends. May be dropped while it waits.
    pub(crate) async fn over(&mut self) {
        let left = self.left();
        let expired = async {
            match left {
                Some(left) => tokio::time::sleep(left).await,
                None => std::future::pending().await,
            }
        };
        let revoked = async {
            loop {
                match self.revoked.recv().await {
                    Ok(id) if id != self.token_id => {}
                    Ok(_) | Err(RecvError::Lagged(_) | RecvError::Closed) => return,
                }
            }
        };
        tokio::select! {
            () = expired => {}
            () = revoked => {}
        }
    }

    /// How long until it expires.
    fn left(&self) -> Option<Duration> {
        let left_us = self.expires_at?.0.saturating_sub(Timestamp::now().0);
        Some(Duration::from_micros(u64::try_from(left_us).unwrap_or(0)))
    }
}
