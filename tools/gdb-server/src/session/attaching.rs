//! How a session begins.

use bulkhead_debug_protocol::RefusalReason;

use super::Session;
use crate::breakpoints::Breakpoints;
use crate::device::{Answered, DeviceError, Order};
use crate::elf::{Elf, crc};
use crate::lines::Lines;
use crate::memory::{Memory, Range};
use crate::reunion::Hailed;
use crate::threads::Kernel;
use crate::watchpoints::Watchpoints;

impl Session {
    /// Begins the session on the device and stops the application.
    ///
    /// Returns whether the device holds what `elf` says, if there is one.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub fn attach(&mut self, elf: Option<&Elf>) -> Result<Option<bool>, DeviceError> {
        let hello = match self.hello(&[Order::Halt]) {
            // It stopped by a fault, and waits to be started again: that is where one wants to look.
            Err(DeviceError::Refused(RefusalReason::NoApplication)) => {
                let hello = self.hello(&[])?;
                self.ask(&[Order::Reset { halt: true }])?;
                hello
            }
            Err(DeviceError::Refused(RefusalReason::NotAllowed)) => {
                let hello = self.hello(&[])?;
                self.begin(&hello, elf)?;
                self.show_running();
                return elf.map(|elf| self.compare(elf)).transpose();
            }
            other => other?,
        };
        self.begin(&hello, elf)?;
        if hello.halted {
            self.read_registers()?;
        } else {
            self.stop = None;
            self.await_stop()?;
        }
        elf.map(|elf| self.compare(elf)).transpose()
    }

    /// Takes what the device said of itself; nothing is left of an earlier session.
    fn begin(&mut self, hello: &Hailed, elf: Option<&Elf>) -> Result<(), DeviceError> {
        if let Some(stops) = hello.kept {
            // What an earlier debugger of ours left behind is not ours; where it left the application is.
            self.ask(&[Order::Forget])?;
            // The device tells of its last stop once more.
            self.heard = stops.wrapping_sub(u32::from(hello.halted));
        }
        (self.attached, self.unstoppable) = (true, false);
        self.memory = Memory::new(hello.regions.clone());
        self.habits.forget();
        self.lines = Lines::default();
        self.watchpoints = Watchpoints::new(hello.watches_max);
        self.breakpoints = Breakpoints::default();
        self.kernel = elf.and_then(Kernel::of);
        (self.selected, self.step_interrupts) = (0, false);
        self.catches.clear();
        Ok(())
    }

    /// Compares the device's memory with a program, once, by checksums; what is equal is never asked for again.
    fn compare(&mut self, elf: &Elf) -> Result<bool, DeviceError> {
        let span = |address, bytes: &Vec<u8>| {
            let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            Range { address, len }
        };
        let orders: Vec<_> =
            elf.spans.iter().map(|part| Order::Crc(span(part.address, &part.bytes))).collect();
        let answers = self.ask(&orders)?;
        let mut all_equal = true;
        for (part, answer) in elf.spans.iter().zip(answers) {
            if answer == Answered::Checksum(crc(&part.bytes)) {
                self.memory.proved(part.clone());
            } else {
                all_equal = false;
            }
        }
        if all_equal {
            self.lines = elf.lines.clone();
        }
        Ok(all_equal)
    }
}
