//! The plans that one link asks for: one is made at a time.
//!
//! Making one may take seconds, on a thread that all links share. Of what a device asks for meanwhile only the last
//! counts, so that asking often costs no more than asking once.

use bulkhead_link_protocol::{Digest, PlanRequest};
use tokio::sync::oneshot;

use crate::planner::{NoPlan, Planned};

/// What becomes of a request.
pub(crate) type Answer = Result<Box<Planned>, NoPlan>;

/// Requests of a link.
#[derive(Default)]
pub(crate) struct Plans {
    making: Option<(Digest, oneshot::Receiver<Answer>)>,
    waiting: Option<PlanRequest>,
}

impl Plans {
    /// A device asks. `begin` has a plan made, beside this task.
    pub(crate) fn ask(
        &mut self,
        request: PlanRequest,
        begin: impl FnOnce(PlanRequest) -> oneshot::Receiver<Answer>,
    ) {
        if self.making.is_some() {
            self.waiting = Some(request);
        } else {
            self.making = Some((request.manifest, begin(request)));
        }
    }

    /// The next answer and what it is for; never, while none is made. May be dropped while it waits.
    pub(crate) async fn next(&mut self) -> (Digest, Answer) {
        let Some((manifest, made)) = &mut self.making else { return std::future::pending().await };
        let (manifest, answer) = (*manifest, made.await);
        self.making = None;
        (manifest, answer.unwrap_or(Err(NoPlan::Encoder)))
    }

    /// The request that waited for an answer that came.
    pub(crate) fn take_waiting(&mut self) -> Option<PlanRequest> {
        self.waiting.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(manifest: u8) -> PlanRequest {
        PlanRequest {
            manifest: [manifest; 32],
            base: None,
            staging_len: 0,
            sector_len: 4096,
            patch_version: 1,
        }
    }

    #[tokio::test]
    async fn a_device_that_asks_without_end_has_one_plan_made_and_then_the_one_it_asked_for_last() {
        let mut plans = Plans::default();
        let mut begun = Vec::new();
        for manifest in 0..200 {
            plans.ask(request(manifest), |request| {
                let (done, made) = oneshot::channel();
                begun.push((request.manifest, done));
                made
            });
        }
        assert_eq!(begun.len(), 1, "plans that are made at once");
        let (first, done) = begun.remove(0);
        drop(done);
        let (manifest, answer) = plans.next().await;
        assert!(
            manifest == first && matches!(answer, Err(NoPlan::Encoder)),
            "a plan that came to nothing is none"
        );
        assert_eq!(plans.take_waiting().map(|request| request.manifest), Some([199; 32]));
        assert!(plans.take_waiting().is_none());
    }
}
