//! A link that is lost and comes back.
//!
//! The device keeps what was set for a while, and says so when its developer is back: then the session goes on, and what
//! was asked meanwhile is asked again. If it does not say so, it was restarted, and is given the breakpoints again.

use std::time::{Duration, Instant};

use bulkhead_debug_protocol::Region;

use crate::device::{Answered, DeviceError, Order};
use crate::lines::Lines;
use crate::memory::Memory;
use crate::serve::Arrived;
use crate::session::Session;

/// How long an application that was loaded has to be reached.
const LOADED_MAX: Duration = Duration::from_secs(60);

/// What became of the session while the link was lost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Rejoined {
    /// It goes on.
    Same,
    /// The application was restarted; breakpoints are in place again.
    Restarted,
}

/// What a device says to `Hello`.
#[derive(Debug, Default)]
pub(crate) struct Hailed {
    pub(crate) halted: bool,
    pub(crate) kept: Option<u32>,
    pub(crate) watches_max: usize,
    pub(crate) regions: Vec<Region>,
}

impl Session {
    pub(crate) fn hello(&mut self, more: &[Order]) -> Result<Hailed, DeviceError> {
        let orders: Vec<Order> = [Order::Hello].into_iter().chain(more.iter().cloned()).collect();
        let mut hailed = Hailed::default();
        // Writes that wait are for a session that has begun.
        let waiting = std::mem::take(&mut self.pending);
        let answers = self.ask(&orders);
        self.pending = waiting;
        for answer in answers? {
            match answer {
                Answered::Welcome { halted, probes_max, watches_max, manifest } => {
                    (hailed.halted, self.probes_max) = (halted, probes_max);
                    hailed.watches_max = watches_max;
                    self.manifest = manifest;
                }
                Answered::Kept(stops) => hailed.kept = Some(stops),
                Answered::Region(region) => hailed.regions.push(region),
                _ => {}
            }
        }
        if hailed.kept.is_none() {
            self.heard = 0;
        }
        Ok(hailed)
    }

    /// The link is lost, and may come back.
    pub(crate) fn lost(&mut self) {
        self.away = true;
    }

    /// A session that ends now is not the last: see [`crate::Loader`].
    pub(crate) fn expect_loss(&mut self) {
        self.away = true;
        self.later.retain(|arrived| !matches!(arrived, Arrived::Device(_)));
    }

    /// Takes hold of an application that was just loaded, before its first instruction.
    pub(crate) fn begin_again(&mut self) -> Result<(), DeviceError> {
        self.await_back(LOADED_MAX)?;
        self.breakpoints.lost();
        self.watchpoints.forgotten();
        (self.stop, self.threads) = (None, None);
        let hello = self.hello(&[Order::Reset { halt: true }])?;
        self.memory = Memory::new(hello.regions);
        self.lines = Lines::default();
        self.habits.forget();
        self.await_stop()
    }

    /// Waits for a lost link to come back.
    pub(crate) fn await_back(&mut self, at_most: Duration) -> Result<(), DeviceError> {
        let until = Instant::now() + at_most;
        if let Some(at) = self.later.iter().position(|arrived| matches!(arrived, Arrived::DeviceBack)) {
            self.later.remove(at);
            self.away = false;
            return Ok(());
        }
        loop {
            match self.arrived.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Arrived::DeviceBack) => {
                    self.away = false;
                    return Ok(());
                }
                Ok(Arrived::DeviceGone(why)) => return Err(DeviceError::Gone(why)),
                // Of the tunnel before.
                Ok(Arrived::DeviceAway(_)) => {}
                Ok(other) => self.later.push_back(other),
                Err(_) => return Err(DeviceError::Away),
            }
        }
    }

    /// Goes on where the lost link left the session.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub(crate) fn rejoin(&mut self) -> Result<Rejoined, DeviceError> {
        self.away = false;
        let unsure = std::mem::take(&mut self.unsure);
        let awaits_stop = self.stop.is_none();
        let hello = self.hello(&[])?;
        let Some(stops) = hello.kept else {
            return self.replace(awaits_stop);
        };
        if !hello.halted {
            self.heard = stops;
            return Ok(Rejoined::Same);
        }
        // The device tells of its last stop once more.
        let (missed, before) = (stops != self.heard, self.stop.take());
        self.heard = stops.wrapping_sub(1);
        self.await_stop()?;
        if !missed && awaits_stop {
            // It never heard that it is to run.
            self.stop = None;
            self.ask(&unsure)?;
        } else if !awaits_stop {
            // What GDB wrote to registers since then is still to be sent.
            self.stop = before.or(self.stop.take());
        }
        Ok(Rejoined::Same)
    }

    /// Puts everything in place in an application that was restarted behind our back.
    fn replace(&mut self, awaits_stop: bool) -> Result<Rejoined, DeviceError> {
        self.memory.ran();
        self.pending.clear();
        self.ahead.forget();
        self.threads = None;
        self.breakpoints.lost();
        self.watchpoints.forgotten();
        let mut orders = self.placing_breakpoints();
        self.stop = None;
        if !awaits_stop {
            orders.push(Order::Halt);
        }
        self.ask(&orders)?;
        self.breakpoints.agreed(None);
        if !awaits_stop {
            self.await_stop()?;
        }
        Ok(Rejoined::Restarted)
    }

    /// Orders after which the device has the breakpoints that are wanted.
    pub(crate) fn placing_breakpoints(&self) -> Vec<Order> {
        let (away, new) = self.breakpoints.difference();
        let mut orders: Vec<_> = away.into_iter().map(Order::Clear).collect();
        orders.extend(new.into_iter().map(|(address, expressions)| Order::Set { address, expressions }));
        orders
    }

    /// Orders after which it has the watchpoints as well; the application has to stand still.
    pub(crate) fn placing(&self) -> Vec<Order> {
        let mut orders = self.placing_breakpoints();
        orders.extend(self.watch_orders());
        orders
    }

    /// The link is back, and nobody is attached.
    pub(crate) fn back(&mut self) {
        self.away = false;
    }
}
