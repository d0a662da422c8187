//! When a staged update is applied: the application is asked first, the owner decides in the end.

use crate::mailbox::Requests;

/// How long the application may think before the update is applied without its word, in milliseconds.
const GRACE_MS: u64 = 10_000;
/// Total that an application may postpone one update, in seconds.
pub(crate) const POSTPONE_TOTAL_S: u32 = 86_400;

/// What passes between two looks counts for no more than this, in milliseconds: a clock that leaps, or a core that a
/// debugger held, does not use up the time that the application was promised. Looks come much more often.
const LOOK_MS_MAX: u64 = 1_000;

/// What to do with a staged update now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Moment {
    /// Tell the application that it is ready.
    Tell,
    /// Wait.
    Wait,
    /// Apply.
    Apply,
}

/// The state of one staged update. Time is counted from look to look, so that a clock that jumps neither forces an
/// apply nor blocks one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct UpdatePolicy {
    /// What is left of the time to think, once the application was told.
    left_ms: Option<u64>,
    looked_at_ms: u64,
    ordered: bool,
}

impl UpdatePolicy {
    /// A new update was offered, or the old one ended.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// The owner ordered the update to be applied as soon as it is staged.
    pub(crate) fn order(&mut self) {
        self.ordered = true;
    }

    /// Judges a staged update. `running`: there is an application that could object.
    pub(crate) fn judge(&mut self, running: bool, requests: &Requests, now_ms: u64) -> Moment {
        if self.ordered || requests.apply_now || !running {
            return Moment::Apply;
        }
        let passed_ms = now_ms.saturating_sub(self.looked_at_ms).min(LOOK_MS_MAX);
        self.looked_at_ms = now_ms;
        let Some(left_ms) = self.left_ms else {
            self.left_ms = Some(GRACE_MS);
            return Moment::Tell;
        };
        let mut left_ms = left_ms.saturating_sub(passed_ms);
        if let Some(seconds) = requests.postpone_s {
            // What it may postpone in all was checked where the call arrived.
            left_ms = left_ms.max(u64::from(seconds).saturating_mul(1000));
        }
        self.left_ms = Some(left_ms);
        if left_ms == 0 { Moment::Apply } else { Moment::Wait }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Requests = Requests { restart: false, apply_now: false, postpone_s: None, confirm: false };

    /// Looks every 100 ms from `from_ms` on; returns when the update is applied.
    fn applied_at(policy: &mut UpdatePolicy, from_ms: u64) -> u64 {
        let looks = (1..10_000).map(|n| from_ms + 100 * n);
        looks.into_iter().find(|at| policy.judge(true, &NOTHING, *at) == Moment::Apply).unwrap()
    }

    #[test]
    fn the_application_is_told_once_and_then_has_the_grace_time() {
        let mut policy = UpdatePolicy::default();
        assert_eq!(policy.judge(true, &NOTHING, 0), Moment::Tell);
        assert_eq!(applied_at(&mut policy, 0), GRACE_MS);
    }

    #[test]
    fn it_can_hurry_and_postpone_but_not_against_the_owner() {
        let mut policy = UpdatePolicy::default();
        policy.judge(true, &NOTHING, 0);
        let later = Requests { postpone_s: Some(60), ..NOTHING };
        assert_eq!(policy.judge(true, &later, 1_000), Moment::Wait);
        assert_eq!(policy.judge(true, &Requests { apply_now: true, ..NOTHING }, 1_000), Moment::Apply);
        assert_eq!(applied_at(&mut policy, 1_000), 61_000);
        policy.order();
        assert_eq!(policy.judge(true, &later, 61_000), Moment::Apply);
        assert_eq!(UpdatePolicy::default().judge(false, &NOTHING, 0), Moment::Apply, "nobody to ask");
    }

    #[test]
    fn i20_time_jumps_neither_force_nor_block_an_apply() {
        for jump_ms in [i64::MIN, -86_400_000, -1, 0, 1, 3_600_000, i64::MAX] {
            let mut policy = UpdatePolicy::default();
            let before_ms = 90_000_000;
            assert_eq!(policy.judge(true, &NOTHING, before_ms), Moment::Tell);
            let after_ms = before_ms.saturating_add_signed(jump_ms).min(u64::MAX - 10_000_000);
            assert_eq!(policy.judge(true, &NOTHING, after_ms), Moment::Wait, "{jump_ms}: forced");
            let waited_ms = applied_at(&mut policy, after_ms) - after_ms;
            assert!((GRACE_MS - LOOK_MS_MAX..=GRACE_MS).contains(&waited_ms), "{jump_ms}: {waited_ms} ms");
        }
    }
}
