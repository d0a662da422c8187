//! What an application is looked at without being held: its thread stands at a probe, its interrupts are served.
//!
//! A probe that prints, or whose condition does not hold, must not cost the application its deadlines. However long the look
//! takes, its interrupts do not wait for it; they wait while the thread runs the one instruction that stands aside for the
//! probe. Whatever needs the application to stand still (a stop, a picture of its stack, a step or a watch under way) is
//! left to [`crate::Agent::stopped`].

use bulkhead_debug_protocol::{Action, Core, RegisterFile};

use crate::motion::Motion;
use crate::next::{Masks, Next, next};
use crate::probes::{BREAKPOINT, Unpatched};
use crate::target::{DebugTarget, Hop};

/// Threads that were judged and taken away from their probe before they could go on.
const JUDGED_MAX: usize = 4;

/// What a look led to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Glance {
    /// It is to stand still, and to be judged then. Nothing was done.
    Hold,
    /// It went on behind the probe, or does so when its thread comes there again.
    Passes,
}

/// Threads whose probe has done its work already: it does not do it twice when they come across it again.
#[derive(Debug)]
pub(crate) struct Judged {
    threads: [Option<Core>; JUDGED_MAX],
}

impl Judged {
    pub(crate) const fn new() -> Self {
        Self { threads: [None; JUDGED_MAX] }
    }

    pub(crate) fn clear(&mut self) {
        self.threads = [None; JUDGED_MAX];
    }

    fn take(&mut self, core: &Core) -> bool {
        let found = self.threads.iter_mut().find(|thread| thread.as_ref() == Some(core));
        found.is_some_and(|thread| thread.take().is_some())
    }

    /// Of more threads than there is room for, the one that has waited longest is judged again.
    fn keep(&mut self, core: Core) {
        self.threads.rotate_right(1);
        if let Some(first) = self.threads.first_mut() {
            *first = Some(core);
        }
    }
}

impl Motion {
    pub(crate) fn glance(&mut self, target: &mut impl DebugTarget) -> Glance {
        let registers = target.registers();
        let Some(hop) = self.hop_from(&registers, target) else { return Glance::Hold };
        if !target.prepare_hop(&hop) {
            return Glance::Hold;
        }
        if !self.judged.take(&registers.core) && self.is_stopped_by_probe(&registers, target) {
            target.cancel_hop(&hop);
            return Glance::Hold;
        }
        // One that has done enough is taken out of the way.
        let _ = self.probes.plant(None, target);
        if self.probes.original(hop.at).is_none() {
            target.cancel_hop(&hop);
        } else if !target.hop(&hop) {
            self.judged.keep(registers.core);
        }
        Glance::Passes
    }

    /// How the application goes on from a probe at which it need not be held, as far as that can be told beforehand.
    fn hop_from(&self, registers: &RegisterFile, target: &mut impl DebugTarget) -> Option<Hop> {
        let at = registers.pc();
        let original = self.probes.original(at)?;
        let is_free = self.runs_free() && registers.exception() == 0 && !self.watches.any();
        if !is_free || self.probes.action(at) == Some(Action::Snapshot) {
            return None;
        }
        let Ok(Next::Places(found, Masks::Indifferent)) =
            next(registers, &mut Unpatched { target, probes: &self.probes })
        else {
            return None;
        };
        // A loop of one instruction would never leave.
        if found.iter().flatten().any(|place| place.exception != 0 || place.address == at) {
            return None;
        }
        let places = found.map(|place| place.map(|place| place.address));
        Some(Hop { at, original, places, breakpoint: BREAKPOINT })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bulkhead_debug_protocol::Words;

    #[test]
    fn a_thread_is_judged_once_for_each_time_that_it_comes() {
        let mut judged = Judged::new();
        let thread = |n| Words([n; 17]);
        judged.keep(thread(1));
        assert!(!judged.take(&thread(2)));
        assert!(judged.take(&thread(1)));
        assert!(!judged.take(&thread(1)));
        (1..=5).for_each(|n| judged.keep(thread(n)));
        assert_eq!([1, 2, 3, 4, 5].map(|n| judged.take(&thread(n))), [false, true, true, true, true]);
    }
}
