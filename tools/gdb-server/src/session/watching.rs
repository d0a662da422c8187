//! Watchpoints: `Z2` to `Z4`, and the stops that they lead to; what probes print.

use bulkhead_debug_protocol::{Keeping, Log, StopReason, WatchKind};

use super::{Reaction, Session};
use crate::device::{Answered, DeviceError, Order};
use crate::watchpoints::Watchpoints;

impl Session {
    /// `Z` and `z` for watchpoints; `None`: the packet is about something else.
    pub(super) fn watchpoint(&mut self, set: bool, rest: &[u8]) -> Option<Result<Reaction, DeviceError>> {
        let kind = match rest.first()? {
            b'2' => WatchKind::Write,
            b'3' => WatchKind::Read,
            b'4' => WatchKind::Access,
            _ => return None,
        };
        let text = |text: &str| Some(Ok(Reaction::Answer(text.into())));
        let Some(watch) = rest.get(2..).and_then(|place| Watchpoints::read(kind, place)) else {
            return text("E01");
        };
        if !set {
            self.watchpoints.clear(&watch);
            return text("OK");
        }
        match self.watchpoints.set(watch, &self.memory) {
            Ok(()) => text("OK"),
            Err(refusal) => text(refusal),
        }
    }

    /// What the device has to hear of watchpoints before the application runs.
    pub(crate) fn watch_orders(&self) -> Vec<Order> {
        let (away, new) = self.watchpoints.difference();
        away.into_iter().map(Order::Unwatch).chain(new.into_iter().map(Order::Watch)).collect()
    }

    /// Says what costs the application its speed.
    pub(super) fn note_watches(&mut self, answers: &[Answered]) {
        if answers.contains(&Answered::Watching(Keeping::Stepped)) {
            self.console.extend_from_slice(
                b"a watchpoint lies on a stack, or the device has no guard left for it: every instruction is stepped\n",
            );
        }
    }

    /// Has GDB print what a probe printed.
    pub(super) fn take_log(&mut self, log: &Log<'_>) {
        if log.lost > 0 {
            let line = format!("[at least {} records were lost: the device prints 100 a second]\n", log.lost);
            self.console.extend_from_slice(line.as_bytes());
        }
        self.console.extend_from_slice(log.text);
    }

    /// Whether a step that GDB orders is done already.
    ///
    /// GDB takes it that an Arm stops before the instruction that hit a watchpoint, takes the watchpoint away and has the
    /// instruction stepped, to see what it did. The device stopped behind it.
    pub(super) fn is_stepped_already(&mut self, action: &[u8]) -> bool {
        let Some(stop) = &mut self.stop else { return false };
        let taken_away = stop.watch.is_some_and(|watch| !self.watchpoints.wants(&watch));
        let is_it = stop.reason == StopReason::Watched && taken_away && action.first() == Some(&b's');
        if is_it {
            (stop.reason, stop.watch) = (StopReason::Stepped, None);
        }
        is_it
    }
}
