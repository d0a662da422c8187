//! What GDB looks at whenever the application stands still: lines of the stack further up, variables on display.
//!
//! What it read after the last stops the next one brings along, so that it costs no round trip.

use bulkhead_debug_protocol::{ALONG_LEN_MAX, ALONG_MAX};

use crate::device::Order;
use crate::memory::Range;

/// Stops in a row after which what was not looked at any more is forgotten.
const STOPS_UNUSED_MAX: u8 = 2;

/// A range, and how many stops passed since GDB read it.
#[derive(Clone, Copy, Debug)]
struct Habit {
    range: Range,
    unused: u8,
}

/// Ranges, the one read last in front.
#[derive(Debug, Default)]
pub(crate) struct Habits {
    known: Vec<Habit>,
    /// What came along with the stop unasked.
    window: Option<Range>,
    /// The device does not know the order.
    unknown: bool,
}

impl Habits {
    /// The application stands, and `window` of its stack is known.
    pub(crate) fn stopped(&mut self, window: Range) {
        self.window = Some(window);
        self.known.iter_mut().for_each(|habit| habit.unused = habit.unused.saturating_add(1));
        self.known.retain(|habit| habit.unused <= STOPS_UNUSED_MAX);
    }

    /// GDB reads RAM while the application stands.
    pub(crate) fn looked(&mut self, range: Range) {
        let mut range = range.in_grains();
        if self.window.is_some_and(|window| holds(window, range)) {
            return;
        }
        // Neighbours are one range, as long as it is short.
        while let Some(at) = self.known.iter().position(|habit| joined(habit.range, range).is_some()) {
            range = joined(self.known.remove(at).range, range).unwrap_or(range);
        }
        if is_short(range) {
            self.known.insert(0, Habit { range, unused: 0 });
            self.known.truncate(ALONG_MAX);
        }
    }

    /// What the device has to be told before the application runs; what was read last is told first.
    pub(crate) fn orders(&self) -> Vec<Order> {
        let known = if self.unknown { &[][..] } else { &self.known };
        known.iter().map(|habit| Order::Along(habit.range)).collect()
    }

    /// The device is of an earlier version.
    pub(crate) fn unknown(&mut self) {
        self.unknown = true;
    }

    /// Another program may run, or another debugger looks.
    pub(crate) fn forget(&mut self) {
        *self = Self { unknown: self.unknown, ..Self::default() };
    }
}

fn is_short(range: Range) -> bool {
    usize::try_from(range.len).is_ok_and(|len| len <= ALONG_LEN_MAX)
}

fn end(range: Range) -> u64 {
    u64::from(range.address) + u64::from(range.len)
}

fn holds(outer: Range, inner: Range) -> bool {
    outer.address <= inner.address && end(inner) <= end(outer)
}

/// Both in one, if they touch and it stays short, or if one holds the other.
fn joined(a: Range, b: Range) -> Option<Range> {
    let (address, to) = (a.address.min(b.address), end(a).max(end(b)));
    let touch = u64::from(a.address.max(b.address)) <= end(a).min(end(b));
    let range = Range { address, len: u32::try_from(to - u64::from(address)).ok()? };
    (touch && is_short(range)).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(address: u32, len: u32) -> Range {
        Range { address, len }
    }

    fn told(habits: &Habits) -> Vec<Order> {
        habits.orders()
    }

    #[test]
    fn what_is_looked_at_is_told_and_what_is_not_any_more_is_forgotten() {
        let mut habits = Habits::default();
        habits.stopped(range(0x2000_0100, 320));
        habits.looked(range(0x2000_0140, 64));
        assert_eq!(told(&habits), [], "it comes along anyway");
        habits.looked(range(0x2000_0400, 64));
        habits.looked(range(0x2000_0440, 64));
        habits.looked(range(0x2000_0410, 4));
        assert_eq!(told(&habits), [Order::Along(range(0x2000_0400, 128))]);
        habits.stopped(range(0x2000_0100, 320));
        habits.looked(range(0x2000_0404, 4));
        for _ in 0..STOPS_UNUSED_MAX {
            habits.stopped(range(0x2000_0100, 320));
            assert_eq!(told(&habits), [Order::Along(range(0x2000_0400, 128))]);
        }
        habits.stopped(range(0x2000_0100, 320));
        assert_eq!(told(&habits), []);
    }

    #[test]
    fn long_ranges_and_more_than_the_device_takes_are_left_out() {
        let mut habits = Habits::default();
        habits.looked(range(0x2000_0001, 256));
        assert_eq!(told(&habits), []);
        for n in 0..6 {
            habits.looked(range(0x2000_0000 + 0x1000 * n, 4));
        }
        assert_eq!(told(&habits).first(), Some(&Order::Along(range(0x2000_5000, 16))));
        assert_eq!(told(&habits).len(), ALONG_MAX);
        habits.unknown();
        assert_eq!(told(&habits), []);
    }
}
