//! Where the hypervisor and a crash dump meet.

use bulkhead_bundle_format::DebugHalt;
use bulkhead_debug_agent::{DebugTarget as _, Interrupts, Memory as _};
use bulkhead_debug_protocol::RegisterFile;
use bulkhead_hardware_ports::{Entropy, EthernetController};
use bulkhead_link_protocol::ApplicationState;
use bulkhead_nor_flash::NorFlash;
use bulkhead_update_engine::Memory;

use super::{Hypervisor, Moments, Outside};
use crate::application::Offence;
use crate::calls::MailboxAccess;
use crate::crash::Scene;
use crate::wear::Counted;

/// How long a dump that was ordered waits for the application to leave a system call, in milliseconds.
const ORDER_MAX_MS: u64 = 1_000;

impl<E: EthernetController> Hypervisor<'_, E> {
    /// Takes down what an offence left behind, before the application's context is thrown away.
    #[inline(never)]
    pub(super) fn note_crash(
        &mut self,
        offence: Option<Offence>,
        moment: &Moments,
        mailbox: &impl MailboxAccess,
        outside: &mut impl Outside,
    ) {
        let Some(scene) = self.scene(offence, moment, mailbox, outside) else { return };
        match offence {
            Some(_) => self.crash.begin(&scene),
            None => self.crash.begin_held(&scene, outside.target()),
        }
    }

    fn scene(
        &self,
        offence: Option<Offence>,
        moment: &Moments,
        mailbox: &impl MailboxAccess,
        outside: &mut impl Outside,
    ) -> Option<Scene> {
        let policy = self.engine.policy()?;
        let part = self.engine.layout().die_application;
        let entry = self.engine.entry();
        let code = entry.and_then(|entry| Some((part.start.plus(entry.base)?, entry.length)));
        Some(Scene {
            offence,
            fault_count: self.application.fault_count(),
            now_us: moment.now_us,
            wall_us: mailbox.with(|m| m.wall_offset_us).map(|offset| offset.saturating_add(moment.now_us)),
            manifest: self.engine.running()?,
            registers: moment.holdable.then(|| {
                let float = outside.target().float();
                RegisterFile { float, ..outside.target().registers() }
            }),
            vectors: outside.target().vector_table(),
            code,
            code_address: self.facts.die_address.wrapping_add(entry.map_or(0, |entry| entry.base)),
            keys: policy.debug_keys,
            memory: policy.crash_memory,
        })
    }

    /// Whether a dump of the running application may be ordered.
    pub(super) fn may_take_crash(&self) -> bool {
        // An application that must not be halted for a debugger must not be for this.
        let named = self
            .engine
            .policy()
            .is_some_and(|policy| !policy.debug_keys.is_empty() && policy.debug_halt == DebugHalt::Allow);
        let runs = self.application.reported() == ApplicationState::Running;
        named && runs && !self.debug.is_attached() && !self.crash.is_capturing()
    }

    /// Makes dumps and hands them to the server.
    #[inline(never)]
    pub(super) fn poll_crash<D: NorFlash, X: NorFlash>(
        &mut self,
        moment: &Moments,
        memory: &mut Memory<'_, D, X>,
        mailbox: &impl MailboxAccess,
        entropy: &mut impl Entropy,
        outside: &mut impl Outside,
    ) {
        let now_ms = moment.now_us / 1000;
        if let Some(ordered_ms) = self.crash_ordered_ms {
            let expired = now_ms.saturating_sub(ordered_ms) > ORDER_MAX_MS;
            if moment.holdable && self.may_take_crash() {
                self.note_crash(None, moment, mailbox, outside);
                self.crash_ordered_ms = None;
            } else if expired || !self.may_take_crash() {
                self.crash_ordered_ms = None;
            }
        }
        let link = if self.welcomed { Some(&mut self.link) } else { None };
        let mut external = Counted::whole(&mut *memory.external);
        let flash = (&mut *memory.die, &mut external);
        let release = self.crash.poll(now_ms, flash, outside.target(), entropy, link);
        self.ledger.add(external.all(), |wear| &mut wear.crashes);
        if release && !self.debug.is_moving_it() {
            outside.target().run(Interrupts::Allowed);
        }
        if let Some(told) = self.crash.take_told() {
            (self.wear_due, self.ledger_due) = (true, true);
            self.say(moment.now_us, 2, mailbox, outside, format_args!("{told}"));
        }
    }
}
