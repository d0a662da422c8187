//! How much of the application's time the worker may take, and what it is owed. Times are cycles.

/// Share of the time, in parts of [`SHARES`], that the worker gets whatever the application does.
const OWED_SHARE: u32 = 5;
const SHARES: u32 = 1000;
/// Part of a tick that the worker must be owed before it takes a whole one.
const OWED_TICKS_DIVISOR: i32 = 10;
/// Longest time that is settled at once: products stay in 32 bits.
const SETTLED_MAX: u32 = 1 << 20;

/// What the application would lose.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Moment {
    /// Nothing: its thread sleeps.
    Asleep,
    /// Time alone: its thread computes.
    Computing,
    /// Latency: it is in a handler, or masks its interrupts.
    Hurrying,
}

/// The accounts of one worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    tick: i32,
    percent: u32,
    /// What the worker may still use of the application's time.
    left: i32,
    /// What it is short of its least share.
    owed: i32,
    /// The slice that runs is charged to nobody.
    is_free: bool,
}

impl Share {
    /// At most `percent` of the time of an application that does not sleep; a tick lasts `tick` cycles.
    pub(crate) const fn new(percent: u32, tick: u32) -> Self {
        Self { tick: signed(tick), percent, left: 0, owed: 0, is_free: false }
    }

    /// Settles `elapsed` cycles, of which the worker used `used`. `wants`: it had something to do.
    pub(crate) fn settle(&mut self, elapsed: u32, used: u32, wants: Wants) {
        let elapsed = elapsed.min(SETTLED_MAX);
        let earned = signed(elapsed.wrapping_mul(self.percent) / 100);
        let charged = if self.is_free { 0 } else { signed(used) };
        self.left = self
            .left
            .saturating_add(earned)
            .saturating_sub(charged)
            .clamp(self.tick.wrapping_neg(), self.tick);
        self.owed = match wants {
            Wants::Nothing => 0,
            Wants::ToRun => {
                let owed = signed(elapsed.wrapping_mul(OWED_SHARE) / SHARES);
                self.owed.saturating_add(owed).saturating_sub(signed(used)).clamp(0, self.tick)
            }
        };
    }

    /// What a worker that wants to run gets now.
    pub(crate) fn takes(&mut self, moment: Moment) -> Slice {
        self.is_free = moment == Moment::Asleep;
        match moment {
            _ if self.owed >= self.tick / OWED_TICKS_DIVISOR => Slice::Alone,
            Moment::Asleep => Slice::Sleep,
            Moment::Computing if self.left > 0 => Slice::Shared,
            Moment::Computing | Moment::Hurrying => Slice::Nothing,
        }
    }
}

/// What the worker gets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Slice {
    /// Nothing.
    Nothing,
    /// The time in which the application sleeps, until an interrupt wakes it.
    Sleep,
    /// A tick of the application's time, less what its interrupts take.
    Shared,
    /// The processor, with the application's interrupts held back.
    Alone,
}

/// Whether the worker has something to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wants {
    /// No.
    Nothing,
    /// Yes.
    ToRun,
}

const fn signed(cycles: u32) -> i32 {
    if cycles > i32::MAX.cast_unsigned() { i32::MAX } else { cycles.cast_signed() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: u32 = 20_000;
    const PERCENT: u32 = 8;

    /// Ticks that the worker gets of `ticks`, when it runs for a whole one or not at all.
    fn ticks_taken(share: &mut Share, moment: Moment, ticks: u32) -> u32 {
        let mut taken = 0;
        let mut runs = false;
        for _ in 0..ticks {
            share.settle(TICK, if runs { TICK } else { 0 }, Wants::ToRun);
            runs = share.takes(moment) != Slice::Nothing;
            taken += u32::from(runs);
        }
        taken
    }

    #[test]
    fn an_application_that_computes_keeps_all_but_the_share() {
        let taken = ticks_taken(&mut Share::new(PERCENT, TICK), Moment::Computing, 10_000);
        assert!((780..=802).contains(&taken), "{taken} of 10,000");
    }

    #[test]
    fn an_application_that_hurries_for_ever_gives_one_tick_in_twenty_one() {
        let taken = ticks_taken(&mut Share::new(PERCENT, TICK), Moment::Hurrying, 2_100);
        assert!((95..=105).contains(&taken), "{taken} of 2,100");
    }

    #[test]
    fn sleep_is_free_and_costs_nothing_afterwards() {
        let mut share = Share::new(PERCENT, TICK);
        assert_eq!(ticks_taken(&mut share, Moment::Asleep, 1_000), 1_000);
        share.settle(TICK, TICK, Wants::ToRun);
        assert_eq!(share.takes(Moment::Computing), Slice::Shared);
    }

    #[test]
    fn an_interrupt_every_ten_microseconds_is_no_reason_to_hold_it_back() {
        let mut share = Share::new(PERCENT, TICK);
        for _ in 0..10_000 {
            // The worker gets half a period of each tick, then the door closes behind it.
            share.settle(TICK, TICK / 200, Wants::ToRun);
            assert_eq!(share.takes(Moment::Computing), Slice::Shared);
        }
    }

    #[test]
    fn interrupts_that_never_let_go_are_held_back_for_a_tick() {
        let mut share = Share::new(PERCENT, TICK);
        let mut alone = 0;
        let mut used = 0;
        for _ in 0..2_100 {
            share.settle(TICK, used, Wants::ToRun);
            let slice = share.takes(Moment::Computing);
            alone += u32::from(slice == Slice::Alone);
            used = if slice == Slice::Alone { TICK } else { 0 };
        }
        assert!((95..=105).contains(&alone), "{alone} of 2,100");
    }

    #[test]
    fn a_worker_without_work_is_owed_nothing() {
        let mut share = Share::new(PERCENT, TICK);
        for _ in 0..1_000 {
            share.settle(5 * TICK, 0, Wants::Nothing);
        }
        assert_eq!(share.takes(Moment::Hurrying), Slice::Nothing);
    }
}
