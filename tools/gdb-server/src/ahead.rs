//! A `next` over a call in one round trip less.
//!
//! GDB steps over a call in three orders: step inside the line, which ends at the function's first instruction; run to
//! where the function returns; step inside the line again. The third is certain when the second is given, so the two are
//! one request, `Through`. The device tells of the return as it passes it; GDB is shown that as a stop, and its third order
//! is answered by what the device did meanwhile.
//!
//! A person who types `finish` at the same place gives the same second order, and is shown the stop. GDB betrays the
//! difference: before it shows a stop, it asks which threads there are.

use bulkhead_debug_protocol::{RefusalReason, StopReason, Through};

use crate::breakpoints::Expressions;
use crate::device::{DeviceError, Order};
use crate::session::running::RANGE_STEPS_MAX;
use crate::session::{Reaction, Session, Stop};
use crate::transfer::pair;

/// A stop with the memory that came along, the window of the stack first.
#[derive(Clone, Debug)]
pub(crate) struct Pushed {
    pub(crate) stop: Stop,
    pub(crate) memory: Vec<(u32, Vec<u8>)>,
}

/// What the device does beyond what GDB was told.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    /// The range that the device stepped in last: all of the line that GDB's range was a part of.
    range: Option<(u32, u32)>,
    /// The device was told to run through a return.
    ordered: Option<(u32, u32)>,
    /// GDB was told of the return, and the device goes on in this range.
    passed: Option<(u32, u32)>,
    /// What came of that.
    behind: Option<Pushed>,
    /// GDB asked for threads since it was told of a stop: it shows the stop to somebody.
    shown: bool,
    /// The device does not know the order.
    unknown: bool,
}

impl Ahead {
    /// GDB asks which threads there are.
    pub(crate) fn shown(&mut self) {
        self.shown = true;
    }

    /// GDB is told of a stop.
    pub(crate) fn told(&mut self) {
        self.shown = false;
    }

    /// The device was asked to run.
    pub(crate) fn ordered(&mut self, range: Option<(u32, u32)>, through: Option<(u32, u32)>) {
        (self.range, self.ordered) = (range, through);
        (self.passed, self.behind) = (None, None);
    }

    /// The device refuses the order.
    pub(crate) fn is_refused(&mut self, reason: RefusalReason) {
        self.forget();
        self.unknown |= reason == RefusalReason::Unknown;
    }

    /// The device tells of the return.
    pub(crate) fn passes(&mut self) {
        self.passed = self.ordered.take();
    }

    /// Takes a stop that GDB is not to hear of yet; gives back one that it is.
    pub(crate) fn keep(&mut self, pushed: Pushed) -> Option<Pushed> {
        if self.passed.is_none() {
            self.ordered = None;
            return Some(pushed);
        }
        self.behind = Some(pushed);
        None
    }

    /// Whether the device went on from the stop that GDB was told of.
    pub(crate) fn is_ahead(&self) -> bool {
        self.passed.is_some()
    }

    /// Nothing of it holds any more.
    pub(crate) fn forget(&mut self) {
        *self = Self { unknown: self.unknown, ..Self::default() };
    }
}

impl Session {
    /// The request that stands for this order of GDB's and the next one.
    pub(crate) fn through(&self, action: &[u8], new: &[(u32, Expressions)]) -> Option<Through> {
        if action.first() != Some(&b'c') || self.ahead.unknown || self.ahead.shown || self.watchpoints.any() {
            return None;
        }
        let (low, high) = self.ahead.range?;
        let stop = self.stop.as_ref().filter(|stop| stop.reason == StopReason::Stepped)?;
        let [(place, expressions)] = new else { return None };
        let returns_to = stop.registers.general(14) & !1;
        let in_range = |address: &u32| (low..high).contains(address);
        let is_call = in_range(place) && !in_range(&stop.registers.pc()) && *place == returns_to;
        let stack_pointer = stop.registers.sp();
        (is_call && *expressions == Expressions::default()).then_some(Through {
            place: *place,
            stack_pointer,
            low,
            high,
            steps_max: Some(RANGE_STEPS_MAX),
        })
    }

    /// GDB's order where the device is ahead of it; `None`: it is not, and the order is to be given.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub(crate) fn catch_up(&mut self, action: &[u8]) -> Result<Option<Reaction>, DeviceError> {
        let Some(range) = self.ahead.passed.take() else { return Ok(None) };
        self.stop = None;
        self.memory.ran();
        // GDB may step in another part of the line now.
        let is_inside = |(low, high)| range.0 <= low && low < high && high <= range.1;
        let foreseen = matches!(action, [b'r', span @ ..] if pair(span, b',').is_some_and(is_inside));
        match self.ahead.behind.take() {
            Some(pushed) => self.show(pushed),
            None if foreseen => {}
            None => {
                // GDB goes another way, from where the device is now: further on in the same line.
                self.ask(&[Order::Halt])?;
                self.await_stop()?;
            }
        }
        let reason = self.stop.as_ref().map(|stop| stop.reason);
        let goes_on = !foreseen && matches!(reason, Some(StopReason::Stepped | StopReason::Halted));
        self.ahead.range = foreseen.then_some(range);
        Ok((!goes_on).then_some(Reaction::Runs))
    }
}
