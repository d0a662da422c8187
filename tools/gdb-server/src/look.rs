//! Clients without control: live watches, plots, a colleague who looks on.

use std::time::{Duration, Instant};

use crate::description;
use crate::device::DeviceError;
use crate::memory::Memory;
use crate::serve::Arrived;
use crate::session::{Reaction, Session};

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

    /// Answers a client that only looks: it is shown the application as if it stood still.
    pub(crate) fn dispatch_look(&mut self, packet: &[u8]) -> Result<Reaction, DeviceError> {
        let text = |text: &str| Ok(Reaction::Answer(text.into()));
        match (packet.first(), packet.strip_prefix(b"qRcmd,")) {
            (_, Some(command)) => self.monitor(command, true),
            (Some(b'?'), _) => text("T05thread:1;"),
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
            _ if packet.starts_with(b"vFlash") => text(""),
            _ if packet == b"qfThreadInfo" => text("m1"),
            _ if packet == b"qC" => text("QC1"),
            (Some(b'm' | b'M' | b'X' | b'q' | b'Q' | b'g' | b'p'), _) => self.dispatch(packet),
            // What GDB asks about, and what nobody knows.
            (Some(b'v'), _) if packet == b"vCont?" || packet == b"vMustReplyEmpty" => self.dispatch(packet),
            // An error would leave GDB waiting for a stop.
            (Some(b'c' | b's'), _) => text("T05thread:1;"),
            _ if packet.starts_with(b"vCont;") => text("T05thread:1;"),
            (Some(b'Z' | b'z' | b'v' | b'G' | b'P'), _) => {
                text("E.another debugger has control; this one only looks")
            }
            _ => text(""),
        }
    }
}
