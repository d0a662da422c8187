//! How long a silent link may be left alone before it has to prove that it lives.

/// First guess for a network that nothing is known about: 4 minutes.
const START_MS: u64 = 4 * 60_000;

/// Shortest interval: 30 seconds.
const LEAST_MS: u64 = 30_000;

/// Longest interval: 110 minutes, below the two hours that careful middleboxes keep TCP.
const GREATEST_MS: u64 = 110 * 60_000;

/// Answers in a row at the ceiling after which it is forgotten: what died may have been the server, not the network.
const ANSWERS_AT_CEILING: u8 = 8;

/// Adaptive interval of keepalives. Outlives a session: keep one a network.
///
/// Each answered ping after a full silent interval lets it grow by half, each death in silence steps back, and grows
/// no further than what last died, until it held there for long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Keepalive {
    interval_ms: u64,
    ceiling_ms: u64,
    server_limit_ms: u64,
    answers_at_ceiling: u8,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self {
            interval_ms: START_MS,
            ceiling_ms: GREATEST_MS,
            server_limit_ms: GREATEST_MS,
            answers_at_ceiling: 0,
        }
    }
}

impl Keepalive {
    /// Silence after which a ping is due, in milliseconds.
    pub fn interval_ms(&self) -> u64 {
        self.interval_ms.min(self.server_limit_ms)
    }

    /// The longest silence that the server accepts, in seconds; 0 leaves it to the device.
    pub fn limit(&mut self, keepalive_max_s: u32) {
        let limit = u64::from(keepalive_max_s).saturating_mul(1000);
        self.server_limit_ms = if limit == 0 { GREATEST_MS } else { limit.clamp(LEAST_MS, GREATEST_MS) };
    }

    /// A ping after a full interval was answered.
    pub fn answered(&mut self) {
        // What the server's limit kept from being tried proves nothing about a longer silence.
        if self.interval_ms > self.server_limit_ms {
            return;
        }
        if self.interval_ms == self.ceiling_ms {
            self.answers_at_ceiling = self.answers_at_ceiling.saturating_add(1);
            if self.answers_at_ceiling >= ANSWERS_AT_CEILING {
                self.ceiling_ms = GREATEST_MS;
                self.answers_at_ceiling = 0;
            }
        }
        self.interval_ms = (self.interval_ms + self.interval_ms / 2).min(self.ceiling_ms);
    }

    /// A ping after a full interval was not answered.
    pub fn died(&mut self) {
        let died_at = self.interval_ms();
        self.interval_ms = (died_at * 2 / 3).max(LEAST_MS);
        self.ceiling_ms = (died_at * 5 / 6).max(LEAST_MS);
        self.answers_at_ceiling = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_grows_to_its_cap_and_not_beyond() {
        let mut keepalive = Keepalive::default();
        let mut last = keepalive.interval_ms();
        assert_eq!(last, 240_000);
        for _ in 0..20 {
            keepalive.answered();
            assert!(keepalive.interval_ms() >= last);
            last = keepalive.interval_ms();
        }
        assert_eq!(last, GREATEST_MS);
    }

    #[test]
    fn a_death_steps_back_and_is_only_forgotten_after_long_success() {
        let mut keepalive = Keepalive::default();
        keepalive.answered();
        let died_at = keepalive.interval_ms();
        keepalive.died();
        assert!(keepalive.interval_ms() < died_at);
        (0..8).for_each(|_| keepalive.answered());
        assert!(keepalive.interval_ms() < died_at, "tried again too soon");
        (0..20).for_each(|_| keepalive.answered());
        assert_eq!(keepalive.interval_ms(), GREATEST_MS, "one outage costs data for ever");
    }

    #[test]
    fn deaths_in_a_row_end_at_the_least_interval() {
        let mut keepalive = Keepalive::default();
        (0..50).for_each(|_| keepalive.died());
        assert_eq!(keepalive.interval_ms(), LEAST_MS);
    }

    #[test]
    fn the_server_can_shorten_but_not_to_nothing() {
        let mut keepalive = Keepalive::default();
        keepalive.limit(60);
        assert_eq!(keepalive.interval_ms(), 60_000);
        keepalive.limit(1);
        assert_eq!(keepalive.interval_ms(), LEAST_MS);
        keepalive.limit(0);
        assert_eq!(keepalive.interval_ms(), START_MS);
        keepalive.limit(u32::MAX);
        assert_eq!(keepalive.interval_ms(), START_MS);
    }
}
