//! Limits of the gateway, and the two counters that enforce them.

use std::time::Duration;

use tokio::time::Instant;

/// What the gateway allows. Every number is visible to operators through the API or the guide.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Handshakes a second, all devices together, in the long run.
    pub handshakes_per_s: u32,
    /// Handshakes at once before the rate above counts.
    pub handshake_burst: u32,
    /// Links at once.
    pub links_max: usize,
    /// Connections at once whose handshake has not ended.
    pub handshakes_pending_max: usize,
    /// Connects a second of one device in the long run; further ones are told to come back.
    pub connects_per_s: u32,
    /// Connects of one device at once before the rate above counts.
    pub connect_burst: u32,
    /// Changes of state and progress of one device that are stored in a second; of faster ones only the last is.
    pub stored_changes_per_s: u32,
    /// Changes stored at once before the rate above counts.
    pub stored_change_burst: u32,
    /// Longest time from accepting a connection to its `Hello`.
    pub handshake_timeout: Duration,
    /// Frames a second of one device in the long run; faster ones wait.
    pub frames_per_s: u32,
    /// Frames of one device at once before the rate above counts.
    pub frame_burst: u32,
    /// Log bytes of one device that are kept in a day (UTC).
    pub log_bytes_per_day: u64,
    /// Bytes of messages of one device that are stored in a day (UTC); the device keeps what is more.
    pub message_bytes_per_day: u64,
    /// Events that one device may cause in a day (UTC); of more nobody is told.
    pub events_per_day: u64,
    /// Longest silence of a device, told to it in `Welcome`.
    pub keepalive: Duration,
    /// How long a device has to answer the server's own ping once it was silent that long.
    pub pong_timeout: Duration,
    /// `GoAway` messages a second while draining.
    pub drain_per_s: u32,
    /// Longest time in which a device may keep the server's bytes from leaving.
    pub write_timeout: Duration,
    /// How long a device that is sent away has to take the server's last word.
    pub farewell_timeout: Duration,
    /// Longest time to wait for a device's answer to a command.
    pub command_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshakes_per_s: 200,
            handshake_burst: 400,
            links_max: 50_000,
            handshakes_pending_max: 2_000,
            connects_per_s: 1,
            connect_burst: 60,
            stored_changes_per_s: 4,
            stored_change_burst: 32,
            handshake_timeout: Duration::from_secs(15),
            frames_per_s: 500,
            frame_burst: 1000,
            log_bytes_per_day: 8 * 1024 * 1024,
            message_bytes_per_day: 32 * 1024 * 1024,
            events_per_day: 20_000,
            // Twice an hour: an idle month then stays below 0.4 MB, and a device that died in silence is noticed the same hour.
            keepalive: Duration::from_secs(1800),
            pong_timeout: Duration::from_secs(30),
            drain_per_s: 500,
            write_timeout: Duration::from_secs(60),
            farewell_timeout: Duration::from_secs(5),
            command_timeout: Duration::from_secs(15),
        }
    }
}

/// Refills steadily, empties by use.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    per_s: f64,
    capacity: f64,
    level: f64,
    at: Instant,
}

impl TokenBucket {
    pub(crate) fn new(per_s: u32, burst: u32, now: Instant) -> Self {
        let capacity = f64::from(burst.max(1));
        Self { per_s: f64::from(per_s.max(1)), capacity, level: capacity, at: now }
    }

    /// Takes one token, or says how long until there is one.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        self.peek(now)?;
        self.level -= 1.0;
        Ok(())
    }

    /// Whether there is a token to take; if not, how long until there is one.
    pub(crate) fn peek(&mut self, now: Instant) -> Result<(), Duration> {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + passed * self.per_s).min(self.capacity);
        self.at = now;
        if self.level >= 1.0 { Ok(()) } else { Err(Duration::from_secs_f64((1.0 - self.level) / self.per_s)) }
    }
}

/// So much a day; starts anew at midnight UTC.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DayBudget {
    day: i64,
    pub(crate) used: u64,
    pub(crate) dropped: u64,
}

impl DayBudget {
    /// Books `len` on `day`; `false` if they would exceed `max`, and counts the refusal.
    pub(crate) fn book(&mut self, day: i64, len: u64, max: u64) -> bool {
        if self.day != day {
            *self = Self { day, ..Self::default() };
        }
        let fits = self.used.saturating_add(len) <= max;
        if fits {
            self.used += len;
        } else {
            self.dropped += 1;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_allows_the_burst_then_the_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(10, 3, start);
        assert!((0..3).all(|_| bucket.take(start).is_ok()));
        let wait = bucket.take(start).expect_err("empty");
        assert!(wait <= Duration::from_millis(100), "{wait:?}");
        assert!(bucket.take(start + Duration::from_millis(101)).is_ok());
        assert!(bucket.take(start + Duration::from_millis(102)).is_err());
    }

    #[test]
    fn budget_ends_with_the_day() {
        let mut budget = DayBudget::default();
        assert!(budget.book(1, 60, 100));
        assert!(!budget.book(1, 60, 100));
        assert_eq!((budget.used, budget.dropped), (60, 1));
        assert!(budget.book(2, 60, 100));
        assert_eq!((budget.used, budget.dropped), (60, 0));
    }
}
