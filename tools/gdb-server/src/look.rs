//! Clients without control: live watches, plots, a colleague who looks on.

use std::time::{Duration, Instant};

use crate::description;
use crate::device::DeviceError;
use crate::memory::Memory;
use crate::serve::{Arrived, begins_packet};
use crate::session::{Reaction, Session};

/// What a client without control is told when it wants more than to look. GDB prints it behind `warning:` when it attaches, as the
/// answer to a question that it asks then, because it keeps to itself why memory or a breakpoint was refused.
pub(crate) const ONLY_LOOKS: &str =
    "E.another debugger has control and this one only looks; attach again once the other has left";
/// What it is told when it wants to let the application run.
const NOTHING_RUNS: &str = "another debugger has control and this one only looks: nothing was continued, and breakpoints are \
                            not set; attach again once the other has left\n";
/// For GDB it stands still, for no reason that would be printed.
const STANDS: &str = "T05thread:1;";

impl Session {
    /// Looks without stopping the application.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub(crate) fn look(&mut self) -> Result<(), DeviceError> {
        let hello = self.hello(&[])?;
        self.memory = Memory::new(hello.regions);
        Ok(())
    }

    /// Whether client `number` is seen to end within a moment; what else arrives is kept.
    pub(crate) fn ends_within(&mut self, number: u64, at_most: Duration) -> bool {
        let until = Instant::now() + at_most;
        let is_end = |arrived: &Arrived| matches!(arrived, Arrived::GdbGone(gone) if *gone == number);
        loop {
            if let Some(at) = self.later.iter().position(is_end) {
                self.later.remove(at);
                return true;
            }
            match self.arrived.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(arrived) => self.later.push_back(arrived),
                Err(_) => return false,
            }
        }
    }

    /// Whether client `number` has sent another packet meanwhile; it is kept.
    pub(crate) fn has_asked_again(&mut self, number: u64) -> bool {
        self.later.extend(self.arrived.try_iter());
        self.later.iter().any(|arrived| match arrived {
            Arrived::Gdb(from, bytes) => *from == number && begins_packet(bytes),
            _ => false,
        })
    }

    /// Answers a client that only looks: it is shown the application as if it stood still.
    pub(crate) fn dispatch_look(&mut self, packet: &[u8]) -> Result<Reaction, DeviceError> {
        let text = |text: &str| Ok(Reaction::Answer(text.into()));
        match (packet.first(), packet.strip_prefix(b"qRcmd,")) {
            (_, Some(command)) => self.monitor(command, true),
            (Some(b'?'), _) => text(STANDS),
            // GDB 13 does not attach to who says that registers are not known.
            (Some(b'g'), _) if self.stop.is_none() => {
                let len: usize = description::registers(self.has_float()).map(|named| 2 * named.len()).sum();
                text(&"0".repeat(len))
            }
            (Some(b'p'), _) if self.stop.is_none() => text("00000000"),
            (Some(b'D'), _) => Ok(Reaction::Leaves(b"OK".into())),
            (Some(b'k'), _) => Ok(Reaction::Leaves(Vec::new())),
            (Some(b'H'), _) => text("OK"),
            (Some(b'T'), _) => text("OK"),
            // Threads are told of in `qSupported`, so there has to be one.
            _ if packet.starts_with(b"qXfer:threads") => text("l<threads><thread id=\"1\"/></threads>"),
            _ if packet == b"qfThreadInfo" => text("m1"),
            _ if packet == b"qC" => text("QC1"),
            _ if packet == b"qOffsets" => text(ONLY_LOOKS),
            (Some(b'm' | b'q' | b'Q' | b'g' | b'p'), _) => self.dispatch(packet),
            // What GDB asks about, and what nobody knows.
            (Some(b'v'), _) if packet == b"vCont?" || packet == b"vMustReplyEmpty" => self.dispatch(packet),
            // An error would leave GDB waiting for a stop.
            (Some(b'c' | b's' | b'C' | b'S'), _) => Ok(Reaction::Told(NOTHING_RUNS, STANDS.into())),
            _ if packet.starts_with(b"vCont;") => Ok(Reaction::Told(NOTHING_RUNS, STANDS.into())),
            // GDB sets breakpoints when it is about to let the application run. Refused, it would say no more than that it
            // cannot; so it goes on, and is told why it cannot.
            (Some(b'Z' | b'z'), _) => text("OK"),
            (Some(b'v' | b'G' | b'P' | b'M' | b'X'), _) => text(ONLY_LOOKS),
            _ => text(""),
        }
    }
}
