//! When a staged update is applied: the application is asked first, the owner decides in the end.
//!
//! Monotonic time alone counts. What an application was granted in all ends at a time that is fixed when the update
//! becomes ready, less what it was granted before a power cut.

use bulkhead_link_protocol::Digest;

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

/// The application was asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Asked {
    at_ms: u64,
    used_s: u32,
    deadline_ms: u64,
    latest_ms: u64,
}

/// The state of one staged update.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct UpdatePolicy {
    update: Option<Digest>,
    asked: Option<Asked>,
    forced: bool,
    ordered: bool,
}

impl UpdatePolicy {
    /// An update ended.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// An update was offered. One that is offered again, on a new link, is still the same: its time goes on.
    pub(crate) fn offered(&mut self, update: Digest, forced: bool) {
        if self.update != Some(update) {
            *self = Self { update: Some(update), ..Self::default() };
        }
        self.forced = forced;
    }

    /// The owner ordered the update to be applied as soon as it is staged.
    pub(crate) fn order(&mut self) {
        self.ordered = true;
    }

    /// Judges a staged update. `running`: there is an application that could object.
    pub(crate) fn judge(
        &mut self,
        running: bool,
        requests: &Requests,
        patience: Patience,
        now_ms: u64,
    ) -> Moment {
        let impatient = self.forced || self.ordered || patience.total_s == 0;
        if impatient || requests.apply_now || !running {
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
            asked.deadline_ms = asked.deadline_ms.max(until_ms.min(asked.latest_ms));
            return Moment::Postpone;
        }
        if now_ms >= asked.deadline_ms { Moment::Apply } else { Moment::Wait }
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
    use super::*;

    const NOTHING: Requests =
        Requests { restart: false, apply_now: false, postpone_until_ms: None, confirm: false };
    const DAY: Patience = Patience { total_s: POSTPONE_TOTAL_S, used_s: 0 };

    fn until(ms: u64) -> Requests {
        Requests { postpone_until_ms: Some(ms), ..NOTHING }
    }

    #[test]
    fn the_application_is_told_once_and_then_has_the_grace_time() {
        let mut policy = UpdatePolicy::default();
        assert_eq!(policy.judge(true, &NOTHING, DAY, 0), Moment::Tell);
        assert_eq!(policy.judge(true, &NOTHING, DAY, GRACE_MS - 1), Moment::Wait);
        assert_eq!(policy.judge(true, &NOTHING, DAY, GRACE_MS), Moment::Apply);
    }

    #[test]
    fn it_can_hurry_and_postpone_but_not_against_the_owner() {
        let mut policy = UpdatePolicy::default();
        policy.judge(true, &NOTHING, DAY, 0);
        assert_eq!(policy.judge(true, &until(65_000), DAY, 5_000), Moment::Postpone);
        assert_eq!(policy.judge(true, &NOTHING, DAY, 64_999), Moment::Wait);
        assert_eq!(policy.judge(true, &Requests { apply_now: true, ..NOTHING }, DAY, 6_000), Moment::Apply);
        policy.order();
        assert_eq!(policy.judge(true, &until(99_000), DAY, 6_000), Moment::Apply);
        assert_eq!(UpdatePolicy::default().judge(false, &NOTHING, DAY, 0), Moment::Apply, "nobody to ask");
    }

    #[test]
    fn a_bundle_that_grants_no_time_is_not_asked() {
        let none = Patience { total_s: 0, used_s: 0 };
        assert_eq!(UpdatePolicy::default().judge(true, &NOTHING, none, 0), Moment::Apply);
    }

    #[test]
    fn postponements_together_end_where_the_running_bundle_says() {
        let hour = Patience { total_s: 3600, used_s: 0 };
        let mut policy = UpdatePolicy::default();
        policy.judge(true, &NOTHING, hour, 0);
        for now_ms in (0..3_600_000).step_by(60_000) {
            assert_eq!(policy.judge(true, &until(now_ms + 1_800_000), hour, now_ms), Moment::Postpone);
        }
        assert_eq!(policy.judge(true, &NOTHING, hour, 3_599_999), Moment::Wait);
        assert_eq!(policy.judge(true, &NOTHING, hour, 3_600_000), Moment::Apply);
        assert_eq!(policy.granted_s(), 3600);
    }

    /// I20. A link that flaps, or a power cut, does not give an application its time anew.
    #[test]
    fn i20_neither_a_new_offer_nor_a_restart_gives_the_time_anew() {
        let hour = Patience { total_s: 3600, used_s: 0 };
        let mut policy = UpdatePolicy::default();
        policy.offered([1; 32], false);
        policy.judge(true, &NOTHING, hour, 0);
        policy.offered([1; 32], false);
        assert_eq!(policy.latest_ms(), Some(3_600_000));
        policy.offered([2; 32], false);
        assert_eq!(policy.latest_ms(), None, "another update is asked about anew");
        let mut after = UpdatePolicy::default();
        let rest = Patience { total_s: 3600, used_s: 3000 };
        after.judge(true, &NOTHING, rest, 50_000);
        after.judge(true, &until(u64::MAX), rest, 50_000);
        assert_eq!((after.deadline_ms(), after.granted_s()), (Some(650_000), 3600));
        let mut spent = UpdatePolicy::default();
        spent.judge(true, &NOTHING, Patience { total_s: 3600, used_s: 3600 }, 0);
        spent.judge(true, &until(u64::MAX), rest, 0);
        assert_eq!(spent.deadline_ms(), Some(GRACE_MS), "it is told, and that is all");
    }

    #[test]
    fn force_comes_and_goes_with_the_offer() {
        let mut policy = UpdatePolicy::default();
        policy.offered([1; 32], false);
        policy.judge(true, &NOTHING, DAY, 0);
        policy.offered([1; 32], true);
        assert_eq!(policy.judge(true, &NOTHING, DAY, 1), Moment::Apply);
        policy.offered([1; 32], false);
        assert_eq!(policy.judge(true, &NOTHING, DAY, 2), Moment::Wait);
    }
}
