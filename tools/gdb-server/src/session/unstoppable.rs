//! An application that nobody may stop: it runs, and GDB is shown a processor that stands, so that it can set logpoints.

use bulkhead_debug_protocol::{RegisterFile, StopReason};

use super::{Reaction, Session, Stop};
use crate::device::{DeviceError, Order};

impl Session {
    /// Begins a session in which the application is not stopped.
    pub(super) fn show_running(&mut self) {
        self.unstoppable = true;
        self.console.extend_from_slice(
            b"the running bundle lets nobody stop its application: it runs on, registers are not known, and what works \
              is dprintf with `set dprintf-style agent`\n",
        );
        self.pretend();
    }

    /// Shows GDB a processor that stands.
    pub(super) fn pretend(&mut self) {
        let registers = RegisterFile::default();
        self.stop = Some(Stop { reason: StopReason::Halted, registers, faults: None, watch: None });
    }

    /// Sends what GDB changed, and lets it wait for a stop that only Ctrl-C brings.
    pub(super) fn go_on_running(&mut self, action: &[u8], orders: &[Order]) -> Result<Reaction, DeviceError> {
        if !matches!(action.first(), Some(b'c' | b'C')) {
            return Ok(Reaction::Answer(b"E0d".into()));
        }
        let sent = self.ask(orders);
        if sent.is_ok() {
            self.breakpoints.agreed(None);
            self.stop = None;
        } else {
            self.breakpoints.forgotten();
        }
        sent.map(|_| Reaction::Runs)
    }
}
