//! When a staged update is applied: the application is asked first, the owner decides in the end.
//!
//! Monotonic time alone counts. What an application was granted in all ends at a time that is fixed when the update
//! becomes ready, less what it was granted before a power cut.

use bulkhead_link_protocol::{Digest, UpdateStage};

use crate::mailbox::Requests;

/// How long the application may think before the update is applied without its word, in milliseconds.
pub(crate) const GRACE_MS: u64 = 10_000;
/// Total that an application may postpone one update unless the running bundle says otherwise, in seconds.
pub(crate) const POSTPONE_TOTAL_S: u32 = 86_400;

/// What to do with a staged update now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Moment {
    /// Tell the application that it is ready.
    Tell,
    /// Wait.
    Wait,
    /// It was postponed: wait longer.
    Postpone,
    /// Apply.
    Apply,
}

/// What the running bundle grants, and what of that an earlier power session used up. In seconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Patience {
    pub(crate) total_s: u32,
    pub(crate) used_s: u32,
}

/// Whether there is an application that could object.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Listener {
    /// There is none.
    Nobody,
    /// It runs.
    Runs,
    /// Its developer holds it, so it can neither hear nor answer.
    Held,
}

/// The application was asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Asked {
    at_ms: u64,
    used_s: u32,
    deadline_ms: u64,
    latest_ms: u64,
}

impl Asked {
    fn postpone(&mut self, until_ms: u64) {
        self.deadline_ms = self.deadline_ms.max(until_ms.min(self.latest_ms));
    }

    /// As if it had been asked so much later.
    fn move_on(&mut self, ms: u64) {
        for time_ms in [&mut self.at_ms, &mut self.deadline_ms, &mut self.latest_ms] {
            *time_ms = time_ms.saturating_add(ms);
        }
    }
}

/// The state of one staged update.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct UpdatePolicy {
    update: Option<Digest>,
    asked: Option<Asked>,
    forced: bool,
    ordered: bool,
    /// The application wants it, and was held before that could be judged.
    wanted: bool,
    held_since_ms: Option<u64>,
}

impl UpdatePolicy {
    /// An update ended.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Follows the engine: with an update ends what was said of it, unless another one is ahead by then, whose offer began
    /// anew already.
    pub(crate) fn follow(&mut self, stage: UpdateStage, is_update_ahead: bool) {
        use UpdateStage::{Cancelled, Committed, Failed, Refused, Reverted, Trial};
        let ended = matches!(stage, Refused | Failed | Cancelled | Committed | Trial | Reverted);
        if ended && !is_update_ahead {
            self.reset();
        }
    }

    /// An update was offered. One that is offered again, on a new link, is still the same: its time goes on.
    pub(crate) fn offered(&mut self, update: Digest, forced: bool) {
        self.speak_of(update);
        self.forced = forced;
    }

    /// The owner ordered the update to be applied as soon as it is staged.
    pub(crate) fn order(&mut self) {
        self.ordered = true;
    }

    /// Judges the staged update.
    pub(crate) fn judge(
        &mut self,
        update: Digest,
        listener: Listener,
        requests: &Requests,
        patience: Patience,
        now_ms: u64,
    ) -> Moment {
        self.speak_of(update);
        if self.is_urgent() {
            return Moment::Apply;
        }
        if listener == Listener::Held {
            return self.wait_for_developer(requests, now_ms);
        }
        self.release(now_ms);
        let wanted = self.wanted || requests.apply_now;
        if wanted || listener == Listener::Nobody || patience.total_s == 0 {
            return Moment::Apply;
        }
        let Some(asked) = &mut self.asked else {
            let left_s = patience.total_s.saturating_sub(patience.used_s);
            let grace_ms = GRACE_MS.min(u64::from(patience.total_s).saturating_mul(1000));
            let deadline_ms = now_ms.saturating_add(grace_ms);
            let latest_ms = now_ms.saturating_add(u64::from(left_s).saturating_mul(1000)).max(deadline_ms);
            self.asked = Some(Asked { at_ms: now_ms, used_s: patience.used_s, deadline_ms, latest_ms });
            return Moment::Tell;
        };
        if let Some(until_ms) = requests.postpone_until_ms {
            asked.postpone(until_ms);
            return Moment::Postpone;
        }
        if now_ms >= asked.deadline_ms { Moment::Apply } else { Moment::Wait }
    }

    /// What the application said before it was held counts; the time to say it in stands still with it.
    fn wait_for_developer(&mut self, requests: &Requests, now_ms: u64) -> Moment {
        self.held_since_ms.get_or_insert(now_ms);
        self.wanted |= requests.apply_now;
        match (&mut self.asked, requests.postpone_until_ms) {
            (Some(asked), Some(until_ms)) => {
                asked.postpone(until_ms);
                Moment::Postpone
            }
            _ => Moment::Wait,
        }
    }

    fn release(&mut self, now_ms: u64) {
        let held_ms = self.held_since_ms.take().map_or(0, |since_ms| now_ms.saturating_sub(since_ms));
        if let Some(asked) = &mut self.asked {
            asked.move_on(held_ms);
        }
    }

    /// All that is remembered is of this update. What the owner ordered before its name was known is of it too.
    fn speak_of(&mut self, update: Digest) {
        if self.update.is_some_and(|known| known != update) {
            self.reset();
        }
        self.update = Some(update);
    }

    /// Whether the owner does not wait for the application's word.
    pub(crate) fn is_urgent(&self) -> bool {
        self.forced || self.ordered
    }

    /// Until when the application may postpone at most, in milliseconds of monotonic time; `None` before it was asked.
    pub(crate) fn latest_ms(&self) -> Option<u64> {
        self.asked.map(|asked| asked.latest_ms)
    }

    /// When the update is applied unless something happens.
    pub(crate) fn deadline_ms(&self) -> Option<u64> {
        self.asked.map(|asked| asked.deadline_ms)
    }

    /// Seconds that were granted in all, those before a power cut included.
    pub(crate) fn granted_s(&self) -> u32 {
        self.asked.map_or(0, |asked| {
            let granted_s = asked.deadline_ms.saturating_sub(asked.at_ms).div_ceil(1000);
            u32::try_from(granted_s).unwrap_or(u32::MAX).saturating_add(asked.used_s)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Listener::{Held, Nobody, Runs};
    use super::*;

    const A: Digest = [1; 32];
    const B: Digest = [2; 32];
    const NOTHING: Requests =
        Requests { restart: false, apply_now: false, postpone_until_ms: None, confirm: false };
    const DAY: Patience = Patience { total_s: POSTPONE_TOTAL_S, used_s: 0 };

    fn until(ms: u64) -> Requests {
        Requests { postpone_until_ms: Some(ms), ..NOTHING }
    }

    #[test]
    fn the_application_is_told_once_and_then_has_the_grace_time() {
        let mut policy = UpdatePolicy::default();
        assert_eq!(policy.judge(A, Runs, &NOTHING, DAY, 0), Moment::Tell);
        assert_eq!(policy.judge(A, Runs, &NOTHING, DAY, GRACE_MS - 1), Moment::Wait);
        assert_eq!(policy.judge(A, Runs, &NOTHING, DAY, GRACE_MS), Moment::Apply);
    }

    #[test]
    fn it_can_hurry_and_postpone_but_not_against_the_owner() {
        let mut policy = UpdatePolicy::default();
        policy.judge(A, Runs, &NOTHING, DAY, 0);
        assert_eq!(policy.judge(A, Runs, &until(65_000), DAY, 5_000), Moment::Postpone);
        assert_eq!(policy.judge(A, Runs, &NOTHING, DAY, 64_999), Moment::Wait);
        assert_eq!(
            policy.judge(A, Runs, &Requests { apply_now: true, ..NOTHING }, DAY, 6_000),
            Moment::Apply
        );
        policy.order();
        assert_eq!(policy.judge(A, Runs, &until(99_000), DAY, 6_000), Moment::Apply);
        assert_eq!(
            UpdatePolicy::default().judge(A, Nobody, &NOTHING, DAY, 0),
            Moment::Apply,
            "nobody to ask"
        );
    }

    #[test]
    fn a_bundle_that_grants_no_time_is_not_asked() {
        let none = Patience { total_s: 0, used_s: 0 };
        assert_eq!(UpdatePolicy::default().judge(A, Runs, &NOTHING, none, 0), Moment::Apply);
    }

    #[test]
    fn postponements_together_end_where_the_running_bundle_says() {
        let hour = Patience { total_s: 3600, used_s: 0 };
        let mut policy = UpdatePolicy::default();
        policy.judge(A, Runs, &NOTHING, hour, 0);
        for now_ms in (0..3_600_000).step_by(60_000) {
            assert_eq!(policy.judge(A, Runs, &until(now_ms + 1_800_000), hour, now_ms), Moment::Postpone);
        }
        assert_eq!(policy.judge(A, Runs, &NOTHING, hour, 3_599_999), Moment::Wait);
        assert_eq!(policy.judge(A, Runs, &NOTHING, hour, 3_600_000), Moment::Apply);
        assert_eq!(policy.granted_s(), 3600);
    }

    /// I20. A link that flaps, or a power cut, does not give an application its time anew.
    #[test]
    fn i20_neither_a_new_offer_nor_a_restart_gives_the_time_anew() {
        let hour = Patience { total_s: 3600, used_s: 0 };
        let mut policy = UpdatePolicy::default();
        policy.offered(A, false);
        policy.judge(A, Runs, &NOTHING, hour, 0);
        policy.offered(A, false);
        assert_eq!(policy.latest_ms(), Some(3_600_000));
        policy.offered(B, false);
        assert_eq!(policy.latest_ms(), None, "another update is asked about anew");
        let mut after = UpdatePolicy::default();
        let rest = Patience { total_s: 3600, used_s: 3000 };
        after.judge(A, Runs, &NOTHING, rest, 50_000);
        after.judge(A, Runs, &until(u64::MAX), rest, 50_000);
        assert_eq!((after.deadline_ms(), after.granted_s()), (Some(650_000), 3600));
        let mut spent = UpdatePolicy::default();
        spent.judge(A, Runs, &NOTHING, Patience { total_s: 3600, used_s: 3600 }, 0);
        spent.judge(A, Runs, &until(u64::MAX), rest, 0);
        assert_eq!(spent.deadline_ms(), Some(GRACE_MS), "it is told, and that is all");
    }

    #[test]
    fn force_comes_and_goes_with_the_offer() {
        let mut policy = UpdatePolicy::default();
        policy.offered(A, false);
        policy.judge(A, Runs, &NOTHING, DAY, 0);
        policy.offered(A, true);
        assert_eq!(policy.judge(A, Runs, &NOTHING, DAY, 1), Moment::Apply);
        policy.offered(A, false);
        assert_eq!(policy.judge(A, Runs, &NOTHING, DAY, 2), Moment::Wait);
    }

    /// I20. Who heard of an update is not asked again because a link came back, whether or not it was offered before.
    #[test]
    fn i20_an_update_that_was_judged_before_its_offer_is_still_the_same() {
        let mut policy = UpdatePolicy::default();
        assert_eq!(policy.judge(A, Runs, &NOTHING, DAY, 0), Moment::Tell);
        assert_eq!(policy.judge(A, Runs, &until(3_600_000), DAY, 1), Moment::Postpone);
        policy.offered(A, false);
        assert_eq!(policy.judge(A, Runs, &NOTHING, DAY, 20_000), Moment::Wait, "neither told nor applied");
        assert_eq!(policy.deadline_ms(), Some(3_600_000));
        assert_eq!(policy.judge(B, Runs, &NOTHING, DAY, 20_001), Moment::Tell, "another one is told");
    }

    #[test]
    fn what_was_said_of_an_update_ends_with_it_and_not_with_the_one_before() {
        use UpdateStage as S;
        let said = || {
            let mut policy = UpdatePolicy::default();
            policy.judge(A, Runs, &NOTHING, DAY, 0);
            policy.order();
            policy
        };
        for ended in [S::Refused, S::Failed, S::Cancelled, S::Committed, S::Trial, S::Reverted] {
            let (mut last, mut offered_meanwhile) = (said(), said());
            last.follow(ended, false);
            assert_eq!(last, UpdatePolicy::default(), "{ended:?}");
            offered_meanwhile.follow(ended, true);
            assert_eq!(offered_meanwhile, said(), "{ended:?}");
            last.offered(A, false);
            assert_eq!(last.judge(A, Runs, &NOTHING, DAY, GRACE_MS), Moment::Tell, "deployed again");
        }
        // While pages are looked at again after a return to staging, nothing is ahead, and nothing has ended.
        for goes_on in [S::Idle, S::Checking, S::Staging, S::Ready, S::Applying, S::Reverting] {
            let mut policy = said();
            policy.follow(goes_on, false);
            assert_eq!(policy, said(), "{goes_on:?}");
        }
    }

    #[test]
    fn an_application_that_its_developer_holds_keeps_its_word_and_its_time() {
        let mut policy = UpdatePolicy::default();
        assert_eq!(policy.judge(A, Held, &NOTHING, DAY, 0), Moment::Wait, "it could not hear");
        assert_eq!(policy.judge(A, Runs, &NOTHING, DAY, 100_000), Moment::Tell);
        assert_eq!(policy.judge(A, Held, &NOTHING, DAY, 104_000), Moment::Wait);
        assert_eq!(policy.judge(A, Held, &NOTHING, DAY, 900_000), Moment::Wait, "past its time to answer");
        assert_eq!(policy.judge(A, Runs, &NOTHING, DAY, 904_000), Moment::Wait);
        assert_eq!(policy.deadline_ms(), Some(910_000), "six of ten seconds are left");
        assert_eq!(policy.granted_s(), 10, "what a developer takes is not what the application was granted");
        // It postpones, and comes across a breakpoint in the same slice.
        assert_eq!(policy.judge(A, Held, &until(965_000), DAY, 905_000), Moment::Postpone);
        assert_eq!(policy.judge(A, Runs, &NOTHING, DAY, 906_000), Moment::Wait);
        assert_eq!(policy.deadline_ms(), Some(966_000));
        assert_eq!(policy.latest_ms().map(|ms| ms - 801_000), Some(100_000 + 86_400_000));
        let hurries = Requests { apply_now: true, ..NOTHING };
        assert_eq!(policy.judge(A, Held, &hurries, DAY, 907_000), Moment::Wait);
        let mut owner = policy;
        assert_eq!(policy.judge(A, Runs, &NOTHING, DAY, 908_000), Moment::Apply);
        owner.offered(A, true);
        assert_eq!(owner.judge(A, Held, &NOTHING, DAY, 908_000), Moment::Apply, "the owner does not wait");
    }
}
