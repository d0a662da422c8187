//! Whose next hop is asked for when more than one is unknown.
//!
//! smoltcp asks for one neighbour a second, for whoever comes first, and a socket whose frame found another's question
//! under way says nothing for a second itself: one neighbour that never answers would keep all others unknown. So, once
//! a frame was withheld like that, a question goes round among all who may need one; whoever is answered, smoltcp
//! learns of it and lets the frame go.

use smoltcp::wire::Ipv4Address;

use crate::network::RESOLVERS_MAX;

/// Between two questions, in milliseconds: the network is not flooded with what every host has to read, and all have
/// had their turn well before a datagram is given up.
const QUESTION_EVERY_MS: u64 = 100;

/// A round of questions among `SLOTS` sockets and the resolvers.
pub(crate) struct Round<const SLOTS: usize> {
    next: usize,
    /// How many have not had their turn.
    left: usize,
    asked_ms: u64,
}

impl<const SLOTS: usize> Round<SLOTS> {
    const ALL: usize = SLOTS + RESOLVERS_MAX;

    pub(crate) const fn new() -> Self {
        Self { next: 0, left: 0, asked_ms: 0 }
    }

    /// A frame was withheld: everybody gets a turn from now on.
    pub(crate) const fn begin(&mut self) {
        self.left = Self::ALL;
    }

    /// Whom to ask for now. `hop_of` tells what a socket needs, and behind the sockets a resolver.
    pub(crate) fn turn(
        &mut self,
        now_ms: u64,
        hop_of: impl Fn(usize) -> Option<Ipv4Address>,
    ) -> Option<Ipv4Address> {
        if now_ms.saturating_sub(self.asked_ms) < QUESTION_EVERY_MS {
            return None;
        }
        while let Some(left) = self.left.checked_sub(1) {
            let index = self.next;
            self.left = left;
            self.next = (self.next + 1) % Self::ALL;
            if let Some(hop) = hop_of(index) {
                self.asked_ms = now_ms;
                return Some(hop);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::vec::Vec;

    #[test]
    fn each_who_needs_a_hop_gets_one_question_a_round_wherever_the_last_one_ended() {
        let mut round = Round::<6>::new();
        let hop_of = |index: usize| {
            let last = u8::try_from(index).ok()?;
            [0, 3, 7].contains(&index).then_some(Ipv4Address::new(10, 0, 2, last))
        };
        for start in 0..2_u64 {
            let asked = |round: &mut Round<6>| {
                (1..2_000)
                    .filter_map(|ms| {
                        let hop = round.turn(start * 2_000 + ms, hop_of)?;
                        Some((ms, hop.octets()[3]))
                    })
                    .collect::<Vec<_>>()
            };
            assert_eq!(asked(&mut round), [], "nothing was withheld");
            round.begin();
            let asked = asked(&mut round);
            assert_eq!(asked.iter().map(|(_, last)| *last).collect::<Vec<_>>(), [0, 3, 7]);
            assert!(asked.is_sorted_by(|(one, _), (next, _)| next - one >= QUESTION_EVERY_MS), "{asked:?}");
        }
    }
}
