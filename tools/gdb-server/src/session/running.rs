//! How GDB lets the application run.

use bulkhead_debug_protocol::{RefusalReason, Resume, Run, StopReason};

use super::{Reaction, Session};
use crate::device::{DeviceError, Order};
use crate::transfer::pair;

/// Most instructions of one step inside a line: with Ctrl-C it ends earlier, and without it GDB would order the same again.
pub(crate) const RANGE_STEPS_MAX: u32 = 1 << 24;

impl Session {
    /// Whether a run ends where it begins.
    ///
    /// Ctrl-C came when the application had just stopped for a reason of GDB's own; or GDB lets it run from an instruction
    /// with a breakpoint, which it takes away where it wants to go past it.
    fn stops_at_once(&mut self) -> bool {
        let Some(stop) = &mut self.stop else { return false };
        let pc = stop.registers.pc();
        if self.interrupted && !self.ahead.is_ahead() {
            stop.reason = StopReason::Halted;
        } else if self.breakpoints.stops_at(pc) && !self.catches.contains_key(&pc) {
            stop.reason = StopReason::Breakpoint;
        } else {
            return false;
        }
        (stop.faults, stop.watch) = (None, None);
        true
    }

    /// Lets the application run; breakpoints that changed travel in the same request.
    pub(super) fn resume(&mut self, action: &[u8]) -> Result<Reaction, DeviceError> {
        if self.is_stepped_already(action) || self.stops_at_once() {
            return Ok(Reaction::Runs);
        }
        let interrupts = self.step_interrupts.then_some(true);
        let plain = |run| Resume { run, low: None, high: None, steps_max: None, interrupts };
        let order = match action {
            [b'c' | b'C', ..] => plain(Run::Continue),
            [b's' | b'S', ..] => plain(Run::Step),
            [b'r', span @ ..] => match pair(span, b',') {
                Some((low, high)) => {
                    let (low, high) = self.lines.around(low, high);
                    let steps_max = Some(RANGE_STEPS_MAX);
                    Resume { low: Some(low), high: Some(high), steps_max, ..plain(Run::Range) }
                }
                None => return Ok(Reaction::Answer(b"E01".into())),
            },
            _ => return Ok(Reaction::Answer(b"E01".into())),
        };
        if let Some(reaction) = self.catch_up(action)? {
            return Ok(reaction);
        }
        if self.unstoppable {
            let orders = self.placing();
            return self.go_on_running(action, &orders);
        }
        let (_, new) = self.breakpoints.difference();
        let through = self.through(action, &new);
        let mut orders = self.placing();
        let along = self.habits.orders();
        orders.extend(along.iter().cloned());
        if let Some(through) = through {
            orders.retain(|order| !matches!(order, Order::Set { .. }));
            orders.push(Order::Through(through));
        } else {
            orders.push(Order::Resume(order));
        }
        let before = self.stop.take();
        self.ahead.ordered(order.low.zip(order.high), through.map(|through| (through.low, through.high)));
        self.threads = None;
        match self.ask(&orders) {
            Err(DeviceError::Refused(RefusalReason::Unknown)) if !along.is_empty() => {
                // An older device: nothing was done that cannot be done twice.
                self.stop = before;
                self.breakpoints.forgotten();
                self.watchpoints.forgotten();
                self.habits.unknown();
                self.ahead.forget();
                return self.resume(action);
            }
            Err(DeviceError::Refused(reason)) if through.is_some() => {
                // An older device, or a place that it has other plans with; GDB's own order is as good.
                self.stop = before;
                self.breakpoints.forgotten();
                self.ahead.is_refused(reason);
                return self.resume(action);
            }
            Err(DeviceError::Away) => {
                // Whether it runs is seen when the link is back.
                self.breakpoints.forgotten();
                self.watchpoints.forgotten();
                self.ahead.forget();
                let orders =
                    orders.into_iter().filter(|order| !matches!(order, Order::Through(_) | Order::Along(_)));
                self.unsure = orders.collect();
                if through.is_some() {
                    self.unsure = self.placing();
                    self.unsure.push(Order::Resume(plain(Run::Continue)));
                }
            }
            // What the device refuses leaves the application where it was.
            Err(error) => {
                self.stop = before;
                self.breakpoints.forgotten();
                self.watchpoints.forgotten();
                return Err(error);
            }
            Ok(answers) => {
                self.note_watches(&answers);
                self.breakpoints.agreed(through.map(|through| through.place));
                self.watchpoints.agreed();
            }
        }
        self.memory.ran();
        Ok(Reaction::Runs)
    }
}
