//! What arrives over the link, and what follows from it.

use bulkhead_hardware_ports::{Entropy, EthernetController};
use bulkhead_link_protocol::{
    ApplicationState, Command, CommandDone, CommandKind, DeviceMessage, Hello, Offer, ServerMessage, Welcome,
};
use bulkhead_link_session::{Closed, Event};
use bulkhead_syscall_abi::{ABI_VERSION, NotificationKind, WakeReason};
use bulkhead_update_engine::Cancelled;

use super::messaging::message_arrived;
use super::{Hypervisor, Outside};
use crate::calls::MailboxAccess;
use crate::lines::Short;

/// Time for the answer to a restart command to leave, in milliseconds.
const RESTART_DELAY_MS: u64 = 500;
/// Events of the link taken in one slice.
const EVENTS_PER_SLICE: usize = 16;

impl<E: EthernetController> Hypervisor<'_, E> {
    #[inline(never)]
    pub(super) fn poll_link(
        &mut self,
        now_us: u64,
        mailbox: &impl MailboxAccess,
        entropy: &mut impl Entropy,
        outside: &mut impl Outside,
    ) {
        let now_ms = now_us / 1000;
        let Some(network) = &mut self.network else { return };
        network.poll(now_ms);
        self.link.poll(network, entropy, now_ms);
        for _ in 0..EVENTS_PER_SLICE {
            let Some(network) = &mut self.network else { return };
            let fed = self.link.feed(network, now_ms);
            match self.link.poll_event(now_ms) {
                None if fed => {}
                None => break,
                // A chunk lies in the session's buffer: it goes to the engine from there, uncopied.
                Some(Event::Message(ServerMessage::Chunk(chunk))) => {
                    self.engine.chunk(chunk.from, chunk.area, chunk.offset, chunk.bytes);
                    self.engine_busy = true;
                }
                Some(Event::Established) => self.link_up(outside),
                Some(Event::Closed(closed)) => self.link_down(closed, now_us, mailbox, outside),
                Some(Event::Message(ServerMessage::Welcome(m))) => self.welcome(m, now_us, mailbox, outside),
                Some(Event::Message(ServerMessage::Offer(m))) => {
                    self.tell_time(now_us, mailbox);
                    self.offered(m, outside);
                }
                Some(Event::Message(ServerMessage::Command(m))) => self.command(m, now_us, mailbox, outside),
                Some(Event::Message(ServerMessage::Unavailable(m))) => {
                    self.engine.unavailable(m.manifest);
                    self.engine_busy = true;
                }
                Some(Event::Message(ServerMessage::DebugOpen(frame))) => {
                    let mut ephemeral = [0; 32];
                    entropy.fill(&mut ephemeral);
                    self.debug.open(&frame, ephemeral, outside.target());
                }
                Some(Event::Message(ServerMessage::DebugFrame(frame))) => {
                    self.debug.frame(&frame, outside.target());
                }
                Some(Event::Message(ServerMessage::DebugClose(close))) => {
                    self.debug.close(close.session, outside.target());
                }
                // The session deals with these itself.
                Some(Event::Message(
                    ServerMessage::Ping(_) | ServerMessage::Pong(_) | ServerMessage::GoAway(_),
                )) => {}
                Some(Event::Message(ServerMessage::Acknowledge(m))) => {
                    if self.engine.running() == Some(m.manifest) {
                        self.trial.acknowledge();
                    }
                }
                Some(Event::Message(ServerMessage::Plan(m))) => {
                    self.engine.plan(&m);
                    self.engine_busy = true;
                }
                Some(Event::Message(ServerMessage::Message(m))) => {
                    if let Some(number) = message_arrived(&m, now_us, mailbox) {
                        self.notify(now_us, NotificationKind::MessageArrived, number, mailbox, outside);
                    }
                }
                Some(Event::Message(ServerMessage::MessageStored(m))) => {
                    self.message_stored(m, now_us, mailbox, outside);
                }
                Some(Event::Message(ServerMessage::ConfigOffer(m))) => self.configuration.offered(m),
                Some(Event::Message(ServerMessage::ConfigEntry(m))) => self.configuration.entry(&m),
                Some(Event::Message(ServerMessage::KeySetOffer(m))) => self.key_set = Some(m),
                Some(Event::Message(ServerMessage::CrashWanted(m))) => self.crash.wanted(&m),
                Some(Event::Message(ServerMessage::CrashDone(m))) => self.crash.done(&m),
            }
        }
    }

    pub(super) fn link_up(&mut self, outside: &mut impl Outside) {
        self.welcomed = false;
        self.connect_count = self.connect_count.saturating_add(1);
        self.reported_stage = None;
        self.state_due = false;
        let hello = Hello {
            hypervisor: self.facts.version,
            device_class: self.facts.device_class,
            board_revision: self.facts.board_revision,
            abi: ABI_VERSION,
            running: self.engine.running(),
            boot_reason: self.facts.boot_reason,
            application: self.application.reported(),
            connect_count: self.connect_count,
            fault: self.application.fault(),
            epitaph: self.facts.epitaph,
            claim_token: (!self.claimed).then_some(self.facts.claim_token),
            on_trial: self.engine.trial().map(|_| true),
            key_set_version: self.engine.key_set().version,
            floors: Some(self.floors()),
        };
        self.link.send(&DeviceMessage::Hello(hello));
        outside.console(format_args!("link up, connect {}", self.connect_count));
    }

    pub(super) fn link_down(
        &mut self,
        closed: Closed,
        now_us: u64,
        mailbox: &impl MailboxAccess,
        outside: &mut impl Outside,
    ) {
        if self.welcomed {
            self.notify(now_us, NotificationKind::NetworkChanged, 0, mailbox, outside);
        }
        self.welcomed = false;
        // A command's number means nothing on the next link.
        self.pending_done.clear();
        self.pending_fetch = None;
        self.pending_plan = None;
        self.engine.link_lost();
        self.courier.link_lost();
        mailbox.with(|m| m.messages.link_lost());
        self.configuration.link_lost();
        self.debug.link_lost(outside.target());
        self.crash.link_lost();
        self.link.closed(closed, self.network.as_deref_mut(), now_us / 1000);
        outside.console(format_args!("link down: {closed}"));
    }

    pub(super) fn welcome(
        &mut self,
        welcome: Welcome,
        now_us: u64,
        mailbox: &impl MailboxAccess,
        outside: &mut impl Outside,
    ) {
        self.link.established();
        self.welcomed = true;
        self.claimed = true;
        self.wear_due = true;
        self.courier.link_lost();
        self.configuration.welcomed();
        self.log_level = welcome.log_level;
        // Last words are told once.
        self.facts.epitaph = None;
        mailbox.with(|m| m.wall_offset_us = Some(welcome.wall_clock_us.saturating_sub(now_us)));
        self.notify(now_us, NotificationKind::ClockSet, 0, mailbox, outside);
        self.notify(now_us, NotificationKind::NetworkChanged, 1, mailbox, outside);
        outside.console(format_args!("online"));
    }

    pub(super) fn offered(&mut self, offer: Offer, outside: &mut impl Outside) {
        outside.console(format_args!("offered {}", Short(&offer.manifest)));
        self.engine.offer_with_permit(offer.manifest, offer.envelope_len, offer.forced, offer.permit_len);
        self.engine_busy = true;
        // An offer that changes nothing, of what was refused before, is answered with the old outcome.
        self.reported_stage = None;
        self.policy.offered(offer.manifest, offer.forced);
    }

    pub(super) fn command(
        &mut self,
        command: Command,
        now_us: u64,
        mailbox: &impl MailboxAccess,
        outside: &mut impl Outside,
    ) {
        if self.pending_done.is_full() {
            let text = format_args!("command refused: too many wait for their answer");
            return self.say(now_us, 1, mailbox, outside, text);
        }
        let has_application = self.application.reported() != ApplicationState::None;
        let refused = match command.kind {
            CommandKind::RestartApplication if has_application => {
                self.application.restart(WakeReason::Commanded);
                None
            }
            CommandKind::StopApplication if has_application => {
                self.application.hold();
                None
            }
            CommandKind::ApplyNow if self.engine.is_update_ahead() => {
                self.policy.order();
                None
            }
            CommandKind::RestartDevice => {
                self.restart_at_ms = Some((now_us / 1000).saturating_add(RESTART_DELAY_MS));
                None
            }
            CommandKind::CancelUpdate => {
                self.engine_busy = true;
                match self.engine.cancel() {
                    Cancelled::Done => {
                        // The same one may be offered again before it is seen that it ended.
                        self.policy.reset();
                        None
                    }
                    Cancelled::Nothing => Some("there is no update"),
                    Cancelled::TooLate => Some("what is being written is finished first"),
                }
            }
            CommandKind::RevertUpdate if self.engine.trial().is_some() => {
                self.engine.fail_trial("the owner ordered to go back");
                self.engine_busy = true;
                None
            }
            CommandKind::TakeCrash if self.may_take_crash() => {
                self.crash_ordered_ms = Some(now_us / 1000);
                None
            }
            CommandKind::RestartApplication | CommandKind::StopApplication => Some("there is no application"),
            CommandKind::ApplyNow => Some("there is no update to apply"),
            CommandKind::RevertUpdate => Some("no new version is on trial; deploy the old one instead"),
            CommandKind::TakeCrash => {
                Some("nothing runs whose bundle names a debug key, or it is being debugged")
            }
        };
        if let Some(why) = refused {
            self.say(now_us, 1, mailbox, outside, format_args!("command refused: {why}"));
        }
        self.state_due = true;
        // There was room before it was carried out.
        let _ = self.pending_done.push_back(CommandDone { id: command.id, accepted: refused.is_none() });
    }
}
