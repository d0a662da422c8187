//! Where the hypervisor and a debug session meet.

use bulkhead_hardware_ports::EthernetController;
use bulkhead_syscall_abi::WakeReason;

use super::{HURRY_MAX_US, Hypervisor, Moments, Outside, STEPS_MAX_US};
use crate::application::Health;
use crate::calls::MailboxAccess;
use crate::lines::FaultLine;

/// What became of the application when it was judged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Judged {
    /// Nothing that hurries.
    Done,
    /// It came across a breakpoint that does not stop it, and waits for nothing but the end of this slice.
    RunsOn,
}

/// What a look at an application led to whose thread stands at a breakpoint, its interrupts served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Glance {
    /// It is to stand still, and to be judged by a slice. Nothing was done.
    Hold,
    /// It goes on, and a slice is due.
    Passes,
    /// It goes on, and will be at the next breakpoint in no time.
    PassesInAHurry,
}

impl<E: EthernetController> Hypervisor<'_, E> {
    /// Looks at an application that stands at a breakpoint, without holding it.
    pub fn glance(&mut self, now_us: u64, outside: &mut impl Outside) -> Glance {
        if self.debug.glance(outside.target()) == bulkhead_debug_agent::Glance::Hold {
            return Glance::Hold;
        }
        if self.hurries(now_us) { Glance::PassesInAHurry } else { Glance::Passes }
    }

    /// Whether an application that comes across breakpoints without end need not wait for a whole slice yet.
    pub(super) fn hurries(&self, now_us: u64) -> bool {
        let at_most_us = if self.debug.is_moving_it() { STEPS_MAX_US } else { HURRY_MAX_US };
        now_us.saturating_sub(self.polled_us) < at_most_us
    }

    /// Judges what the application was found doing. What a developer debugs is theirs to judge.
    #[inline(never)]
    pub(super) fn judge_application(
        &mut self,
        moment: &Moments,
        mailbox: &impl MailboxAccess,
        outside: &mut impl Outside,
    ) -> Judged {
        let now_ms = moment.now_us / 1000;
        self.debug.watch(now_ms);
        let health = if self.debug.is_moving_it() { Health::Held } else { moment.health };
        let stuck = self.application.sample(health, moment.program_counter, now_ms);
        if let Some(offence) = moment.fault.or(stuck) {
            if moment.holdable && self.debug.takes(&offence, outside.target()) {
                self.debug.faulted(&offence, outside.target());
                return if self.debug.is_halted() { Judged::Done } else { Judged::RunsOn };
            }
            let fault = self.application.faulted(offence, now_ms);
            self.state_due = true;
            self.note_crash(Some(offence), moment, mailbox, outside);
            let line = FaultLine(fault);
            self.say(moment.now_us, 0, mailbox, outside, format_args!("{line}"));
        }
        if moment.holdable && self.debug.wants_halt() {
            self.debug.halted(outside.target());
        }
        Judged::Done
    }

    /// Answers the developer, and does what the session asks of others.
    pub(super) fn poll_debug(
        &mut self,
        now_us: u64,
        mailbox: &impl MailboxAccess,
        outside: &mut impl Outside,
    ) {
        if self.debug.is_opening() {
            let policy = self.engine.policy();
            self.debug.shake_hands(self.engine.running().zip(policy.as_ref()), outside.target());
        }
        self.debug.tick(now_us / 1000, outside.target());
        self.debug.poll(&mut self.link, outside.target());
        // Where it is to stop after the restart, the session knows.
        if self.debug.take_restart() {
            self.application.restart(WakeReason::Commanded);
        }
        if let Some(change) = self.debug.take_change() {
            self.say(now_us, 1, mailbox, outside, format_args!("{change}"));
        }
    }

    /// The board is about to start it; its own first instruction is at `entry`.
    pub fn application_started(&mut self, entry: u32, outside: &mut impl Outside) {
        if let Some(manifest) = self.engine.running() {
            self.debug.started(manifest, entry, outside.target());
        }
    }
}
