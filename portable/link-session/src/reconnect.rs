//! When to try again, and with which of the server's keys.

use crate::closed::{Closed, REFUSAL_RETRY_MAX_S};

/// Shortest delay in milliseconds.
const LEAST_MS: u64 = 1_000;

/// Longest delay that the device chooses by itself: 10 minutes.
const GREATEST_MS: u64 = 600_000;

/// Longest stay-away that an authenticated `GoAway` can ask for: one day.
const GO_AWAY_MAX_S: u32 = 86_400;

/// Longest delay after power-up in milliseconds.
const POWER_UP_SPREAD_MS: u64 = 60_000;

/// Failed handshakes after which the other server key is tried.
const FAILURES_A_KEY: u32 = 2;

/// Which of the pinned server keys to use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ServerKey {
    /// The current one.
    Current,
    /// The next one; the current one where none is pinned.
    Next,
}

/// Back-off between links: exponential with full jitter, 1 s to 10 min.
#[derive(Clone, Debug)]
pub struct Reconnect {
    random: u64,
    attempts: u32,
    failed_handshakes: u32,
}

impl Reconnect {
    /// `seed` should differ between devices and boots, so that a fleet does not come back in step.
    pub const fn new(seed: u64) -> Self {
        Self { random: seed, attempts: 0, failed_handshakes: 0 }
    }

    /// Delay after power-up in milliseconds, 0 to 60 s, the same at each boot of a device: a street whose power
    /// returns does not connect at once.
    pub fn power_up_delay_ms(device_id: &[u8; 16]) -> u64 {
        let (first, _) = device_id.split_first_chunk().unwrap_or((&[0; 8], &[]));
        mix(u64::from_be_bytes(*first)) % (POWER_UP_SPREAD_MS + 1)
    }

    /// The link reached the server and works: the next delay starts small again.
    pub fn established(&mut self) {
        self.attempts = 0;
        self.failed_handshakes = 0;
    }

    /// The server was not reached at all. Returns the delay in milliseconds.
    pub fn unreachable(&mut self) -> u64 {
        self.back_off()
    }

    /// A session ended. Returns the delay in milliseconds before the next.
    pub fn closed(&mut self, closed: &Closed) -> u64 {
        if closed.is_failed_handshake() {
            self.failed_handshakes = self.failed_handshakes.saturating_add(1);
        }
        let asked_s = match closed {
            Closed::Refused { retry_in_s, .. } => (*retry_in_s).min(REFUSAL_RETRY_MAX_S),
            Closed::GoAway { reconnect_in_s } => (*reconnect_in_s).min(GO_AWAY_MAX_S),
            _ => 0,
        };
        // Jitter on top of what was asked: a server that sends all away must not get all back at once.
        (u64::from(asked_s) * 1000).saturating_add(self.back_off())
    }

    /// The server key for the next attempt: after every two failed handshakes, the other one.
    pub const fn server_key(&self) -> ServerKey {
        if (self.failed_handshakes / FAILURES_A_KEY).is_multiple_of(2) {
            ServerKey::Current
        } else {
            ServerKey::Next
        }
    }

    fn back_off(&mut self) -> u64 {
        let ceiling = LEAST_MS.checked_shl(self.attempts.saturating_add(1)).unwrap_or(GREATEST_MS);
        let ceiling = ceiling.clamp(LEAST_MS, GREATEST_MS);
        // 10 doublings pass the cap, so the count need not grow without end.
        self.attempts = (self.attempts + 1).min(10);
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        LEAST_MS + mix(self.random) % (ceiling - LEAST_MS + 1)
    }
}

/// The output function of SplitMix64 (Steele, Lea, Flood 2014). Spreads devices in time; no secret depends on it.
const fn mix(value: u64) -> u64 {
    let value = (value ^ value >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ value >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RefusalReason;

    #[test]
    fn delays_stay_between_one_second_and_ten_minutes() {
        let (mut least, mut greatest) = (u64::MAX, 0);
        for seed in 0..200 {
            let mut reconnect = Reconnect::new(seed);
            for attempt in 0..50_u32 {
                let delay = reconnect.unreachable();
                let ceiling = (1000_u64 << (attempt + 1).min(20)).min(600_000);
                assert!((1000..=ceiling).contains(&delay), "seed {seed}, attempt {attempt}: {delay}");
                least = least.min(delay);
                greatest = greatest.max(delay);
            }
        }
        assert!(least < 1100 && greatest > 590_000, "{least} to {greatest} is not full jitter");
    }

    #[test]
    fn success_resets_the_delay() {
        let mut reconnect = Reconnect::new(7);
        (0..20).for_each(|_| _ = reconnect.unreachable());
        reconnect.established();
        assert!(reconnect.unreachable() <= 2000);
    }

    #[test]
    fn what_the_server_asks_is_kept_within_bounds() {
        let refused = |retry_in_s| Closed::Refused { reason: RefusalReason::Busy, retry_in_s };
        let delay = |closed: Closed| Reconnect::new(1).closed(&closed);
        assert!((30_000..=32_000 + 1000).contains(&delay(refused(30))));
        assert!(delay(refused(u32::MAX)) <= 3_603_000, "a forged refusal must not silence a device");
        assert!((120_000..=123_000).contains(&delay(Closed::GoAway { reconnect_in_s: 120 })));
        assert!(delay(Closed::GoAway { reconnect_in_s: u32::MAX }) <= 86_403_000);
    }

    #[test]
    fn the_keys_alternate_after_two_failed_handshakes() {
        use ServerKey::{Current, Next};
        let mut reconnect = Reconnect::new(1);
        let mut keys = [Current; 6];
        for key in &mut keys {
            *key = reconnect.server_key();
            reconnect.closed(&Closed::HandshakeFailed);
        }
        assert_eq!(keys, [Current, Current, Next, Next, Current, Current]);
        reconnect.established();
        for closed in [Closed::Silent, Closed::FrameForged, Closed::ConnectionLost { established: true }] {
            (0..3).for_each(|_| _ = reconnect.closed(&closed));
            assert_eq!(reconnect.server_key(), Current, "{closed:?}");
        }
    }

    #[test]
    fn devices_power_up_spread_over_a_minute() {
        let mut seconds = [0_u32; 61];
        for n in 0..6000_u32 {
            let mut id = [0; 16];
            id.first_chunk_mut().unwrap().clone_from(&n.to_be_bytes());
            let delay = Reconnect::power_up_delay_ms(&id);
            assert!(delay <= 60_000);
            *seconds.get_mut(usize::try_from(delay / 1000).unwrap()).unwrap() += 1;
        }
        assert!(seconds.iter().take(60).all(|n| (50..200).contains(n)), "{seconds:?}");
    }
}
