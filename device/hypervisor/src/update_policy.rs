//! When a staged update is applied: the application is asked first, the owner decides in the end.

use crate::mailbox::Requests;

/// How long the application may think before the update is applied without its word, in milliseconds.
const GRACE_MS: u64 = 10_000;
/// Total that an application may postpone one update, in seconds.
pub(crate) const POSTPONE_TOTAL_S: u32 = 86_400;

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

/// The state of one staged update.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct UpdatePolicy {
    deadline_ms: Option<u64>,
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
        let Some(deadline_ms) = self.deadline_ms else {
            self.deadline_ms = Some(now_ms.saturating_add(GRACE_MS));
            return Moment::Tell;
        };
        if let Some(seconds) = requests.postpone_s {
            // What it may postpone in all was checked where the call arrived.
            let later = now_ms.saturating_add(u64::from(seconds).saturating_mul(1000));
            self.deadline_ms = Some(deadline_ms.max(later));
            return Moment::Wait;
        }
        if now_ms >= deadline_ms { Moment::Apply } else { Moment::Wait }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Requests = Requests { restart: false, apply_now: false, postpone_s: None, confirm: false };

    #[test]
    fn the_application_is_told_once_and_then_has_the_grace_time() {
        let mut policy = UpdatePolicy::default();
        assert_eq!(policy.judge(true, &NOTHING, 0), Moment::Tell);
        assert_eq!(policy.judge(true, &NOTHING, GRACE_MS - 1), Moment::Wait);
        assert_eq!(policy.judge(true, &NOTHING, GRACE_MS), Moment::Apply);
    }

    #[test]
    fn it_can_hurry_and_postpone_but_not_against_the_owner() {
        let mut policy = UpdatePolicy::default();
        policy.judge(true, &NOTHING, 0);
        let later = Requests { postpone_s: Some(60), ..NOTHING };
        assert_eq!(policy.judge(true, &later, 5_000), Moment::Wait);
        assert_eq!(policy.judge(true, &NOTHING, 64_999), Moment::Wait);
        assert_eq!(policy.judge(true, &Requests { apply_now: true, ..NOTHING }, 6_000), Moment::Apply);
        policy.order();
        assert_eq!(policy.judge(true, &later, 6_000), Moment::Apply);
        assert_eq!(UpdatePolicy::default().judge(false, &NOTHING, 0), Moment::Apply, "nobody to ask");
    }
}
