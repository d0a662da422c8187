//! Whether a new version works: no fault for a while, the application's own word, and the server's.

use bulkhead_bundle_format::{Confirm, Policy};
use bulkhead_update_engine::Trial;

use crate::application::Health;

/// Time without a fault that a trial takes at least unless the manifest says otherwise, in seconds.
const WINDOW_S: u32 = 10;
/// An application that has to confirm gets so many windows for it, and never less than [`CONFIRM_LEAST_MS`].
const CONFIRM_WINDOWS: u64 = 10;
/// Least time to confirm in, in milliseconds.
const CONFIRM_LEAST_MS: u64 = 60_000;

/// What the engine is to be told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// Nothing yet.
    Wait,
    /// It works as far as the device can tell.
    Healthy,
    /// The server saw it too: keep it.
    Keep,
    /// It faulted within its window.
    Faulted,
    /// It did not confirm in time.
    Unconfirmed,
}

/// The watch over one trial. Monotonic time alone counts: a wall clock that jumps changes nothing. And of that only what the
/// new version ran: one that is stopped, or that a developer holds, shows nothing and can confirm nothing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct TrialWatch {
    ran_ms: u64,
    looked_ms: u64,
    faults_before: u32,
    confirmed: bool,
    acknowledged: bool,
}

impl TrialWatch {
    /// The new version is started; `faults` happened before.
    pub(crate) fn begin(&mut self, faults: u32, now_ms: u64) {
        *self = Self { looked_ms: now_ms, faults_before: faults, ..Self::default() };
    }

    /// The application was found so: the time since the last look counts if it runs.
    pub(crate) fn look(&mut self, health: Health, now_ms: u64) {
        let passed_ms = now_ms.saturating_sub(self.looked_ms);
        self.looked_ms = now_ms;
        match health {
            Health::Sound | Health::InHandler | Health::Masked => {
                self.ran_ms = self.ran_ms.saturating_add(passed_ms);
            }
            Health::Stopped | Health::Held => {}
        }
    }

    /// The application said that it works.
    pub(crate) fn confirm(&mut self) {
        self.confirmed = true;
    }

    /// The server saw it run. Being offline never counts against a version: the trial waits.
    pub(crate) fn acknowledge(&mut self) {
        self.acknowledged = true;
    }

    /// Judges. `faults` is the number since power came on.
    pub(crate) fn judge(&self, trial: Trial, policy: &Policy, faults: u32) -> Verdict {
        if trial.healthy {
            return if self.acknowledged { Verdict::Keep } else { Verdict::Wait };
        }
        if faults != self.faults_before {
            return Verdict::Faulted;
        }
        let window_ms = u64::from(policy.trial_window_s.unwrap_or(WINDOW_S)).saturating_mul(1000);
        if self.ran_ms < window_ms {
            return Verdict::Wait;
        }
        if policy.confirm == Confirm::Auto || self.confirmed {
            return Verdict::Healthy;
        }
        let longest_ms = window_ms.saturating_mul(CONFIRM_WINDOWS).max(CONFIRM_LEAST_MS);
        if self.ran_ms < longest_ms { Verdict::Wait } else { Verdict::Unconfirmed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: Trial = Trial { boots: 1, boots_max: 3, healthy: false };
    const HEALTHY: Trial = Trial { healthy: true, ..NEW };

    /// Started after seven faults, one second after power came on.
    fn watch() -> TrialWatch {
        let mut watch = TrialWatch::default();
        watch.begin(7, 1_000);
        watch
    }

    #[test]
    fn a_version_that_runs_for_its_window_is_healthy_and_kept_once_the_server_saw_it() {
        let (mut watch, policy) = (watch(), Policy::default());
        watch.look(Health::Sound, 10_999);
        assert_eq!(watch.judge(NEW, &policy, 7), Verdict::Wait);
        watch.look(Health::InHandler, 11_000);
        assert_eq!(watch.judge(NEW, &policy, 7), Verdict::Healthy);
        watch.look(Health::Sound, u64::MAX);
        assert_eq!(watch.judge(HEALTHY, &policy, 7), Verdict::Wait, "offline for ever");
        watch.acknowledge();
        assert_eq!(watch.judge(HEALTHY, &policy, 7), Verdict::Keep);
    }

    #[test]
    fn a_fault_counts_until_it_was_found_healthy_and_not_after() {
        let (watch, policy) = (watch(), Policy::default());
        assert_eq!(watch.judge(NEW, &policy, 8), Verdict::Faulted);
        assert_eq!(watch.judge(HEALTHY, &policy, 8), Verdict::Wait);
    }

    #[test]
    fn who_has_to_confirm_and_does_not_is_taken_back() {
        let policy = Policy { confirm: Confirm::Application, trial_window_s: Some(2), ..Policy::default() };
        let (mut silent, mut watch) = (watch(), watch());
        silent.look(Health::Sound, 60_999);
        assert_eq!(silent.judge(NEW, &policy, 7), Verdict::Wait);
        silent.look(Health::Masked, 61_000);
        assert_eq!(silent.judge(NEW, &policy, 7), Verdict::Unconfirmed);
        watch.confirm();
        watch.look(Health::Sound, 2_999);
        assert_eq!(watch.judge(NEW, &policy, 7), Verdict::Wait, "the window comes first");
        watch.look(Health::Sound, 3_000);
        assert_eq!(watch.judge(NEW, &policy, 7), Verdict::Healthy);
    }

    #[test]
    fn who_stands_still_is_neither_taken_back_nor_found_healthy() {
        let confirms = Policy { confirm: Confirm::Application, ..Policy::default() };
        for still in [Health::Held, Health::Stopped] {
            let mut watch = watch();
            watch.look(Health::Sound, 2_000);
            watch.look(still, 1_000_000);
            for policy in [Policy::default(), confirms] {
                assert_eq!(watch.judge(NEW, &policy, 7), Verdict::Wait, "{still:?}");
            }
            watch.look(Health::Sound, 1_009_000);
            assert_eq!(watch.judge(NEW, &Policy::default(), 7), Verdict::Healthy, "it ran for ten seconds");
            assert_eq!(watch.judge(NEW, &confirms, 7), Verdict::Wait);
        }
    }
}
