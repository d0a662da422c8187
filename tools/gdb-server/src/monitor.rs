//! `monitor`: what GDB has no command for.

use std::collections::BTreeSet;

use bulkhead_debug_protocol::RegionKind;

use crate::breakpoints::Expressions;
use crate::device::{Answered, DeviceError, Order};
use crate::look::ONLY_LOOKS;
use crate::memory::Range;
use crate::session::{Reaction, Session};
use crate::transfer::{hex, unhex};

const HELP: &str = "\
monitor halt              stop the application
monitor reset             restart the application; it runs on
monitor reset halt        restart it and stop before its first instruction
monitor fault             what the last fault was, in words
monitor vcatch [NAME on|off]
                          stop where an exception's handler begins: nmi hard mem bus usage secure
monitor step-irq [on|off] let the application's interrupts in during steps
monitor snapshot [ADDRESS [COUNT]|off]
                          print registers and stack at a place in the code, without a stop
monitor status            what this session took so far
monitor help              this list
";

/// Exceptions that can be caught, by their place in the vector table.
const VECTORS: &[(&str, u32)] =
    &[("nmi", 2), ("hard", 3), ("mem", 4), ("bus", 5), ("usage", 6), ("secure", 7)];

/// Bits of CFSR and what they mean.
const CAUSES: &[(u32, &str)] = &[
    (0, "an instruction was fetched where none may be"),
    (1, "data was read or written where it must not be"),
    (3, "the return from an exception found no stack to read"),
    (4, "the entry of an exception found no stack to write"),
    (8, "the bus refused to fetch an instruction"),
    (9, "the bus refused an access, at the address given"),
    (10, "the bus refused an earlier write"),
    (11, "the return from an exception met a bus error"),
    (12, "the entry of an exception met a bus error"),
    (16, "an undefined instruction"),
    (17, "a branch to an address without bit 0, or out of a broken IT block"),
    (18, "a return from an exception that was not entered"),
    (19, "floating point while it is switched off"),
    (20, "the stack pointer passed its limit"),
    (24, "an unaligned access"),
    (25, "a division by zero"),
];
/// Bits of SFSR.
const SECURE_CAUSES: &[(u32, &str)] = &[
    (0, "a call into the hypervisor that is no gateway"),
    (1, "a return from an exception of the hypervisor's that was forged"),
    (2, "a return from an exception of the hypervisor's that was forged"),
    (3, "memory or a peripheral that is the hypervisor's"),
    (4, "a branch into the hypervisor"),
];

/// Names of exceptions in a row.
pub(crate) fn list(names: &BTreeSet<&str>) -> String {
    names.iter().copied().collect::<Vec<_>>().join(" and ")
}

impl Session {
    /// Answers `qRcmd`. A client that only looks is given what only looks.
    pub(crate) fn monitor(&mut self, digits: &[u8], only_looks: bool) -> Result<Reaction, DeviceError> {
        let command = unhex(digits).and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
        let words: Vec<&str> = command.split_whitespace().collect();
        let said = match words.as_slice() {
            ["fault"] => self.fault_words(),
            ["status"] => self.status(),
            [] | ["help"] => HELP.into(),
            _ if only_looks => ONLY_LOOKS.strip_prefix("E.").unwrap_or(ONLY_LOOKS).to_owned() + "\n",
            ["halt"] => {
                self.stand()?;
                "the application stands still; `maintenance flush register-cache` shows where\n".into()
            }
            ["reset"] => {
                self.restart(false)?;
                "the application is restarted, and runs\n".into()
            }
            ["reset", "halt"] => {
                self.restart(true)?;
                "the application stands before its first instruction; `maintenance flush register-cache` shows it\n"
                    .into()
            }
            ["vcatch", rest @ ..] => self.catch(rest)?,
            ["snapshot", rest @ ..] => self.snapshot_words(rest),
            ["step-irq"] => self.step_words(),
            ["step-irq", "on"] => {
                self.step_interrupts = true;
                self.step_words()
            }
            ["step-irq", "off"] => {
                self.step_interrupts = false;
                self.step_words()
            }
            _ => format!("no command `{}`\n{HELP}", words.join(" ")),
        };
        Ok(Reaction::Answer(hex(said.as_bytes()).into_bytes()))
    }

    fn status(&self) -> String {
        format!(
            "{} round trips, {} bytes sent, {} of {} breakpoints\n",
            self.round_trips(),
            self.bytes_sent(),
            self.breakpoints.count(),
            self.probes_max
        )
    }

    fn step_words(&self) -> String {
        let how = if self.step_interrupts { "let in" } else { "held back" };
        format!("during steps the application's interrupts are {how}\n")
    }

    /// Restarts the application.
    fn restart(&mut self, halt: bool) -> Result<(), DeviceError> {
        self.pending.clear();
        self.ahead.forget();
        self.threads = None;
        // The device has to have the breakpoints that GDB believes to be in place. A restart ends watches.
        let mut orders = self.placing_breakpoints();
        orders.push(Order::Reset { halt });
        self.stop = None;
        self.ask(&orders)?;
        self.breakpoints.agreed(None);
        self.memory.ran();
        if halt { self.await_stop() } else { Ok(()) }
    }

    /// Stops the application where it is.
    fn stand(&mut self) -> Result<(), DeviceError> {
        if self.stop.is_some() {
            return Ok(());
        }
        self.ask(&[Order::Halt])?;
        self.await_stop()
    }

    /// What the last fault was.
    pub(crate) fn fault_words(&self) -> String {
        let Some(faults) = self.stop.as_ref().and_then(|stop| stop.faults) else {
            return "the application did not stop by a fault\n".into();
        };
        let mut lines = Vec::new();
        for (value, names) in [(faults.cfsr, CAUSES), (faults.sfsr, SECURE_CAUSES)] {
            lines.extend(names.iter().filter(|(bit, _)| value >> bit & 1 == 1).map(|(_, words)| *words));
        }
        if lines.is_empty() {
            lines.push("the processor says no more");
        }
        format!(
            "fault: {} (CFSR {:#010x}, SFSR {:#010x}, address {:#010x})\n",
            lines.join("; "),
            faults.cfsr,
            faults.sfsr,
            faults.bfar
        )
    }

    /// Sets, clears or lists the exceptions that are caught: a breakpoint at the first instruction of a handler.
    fn catch(&mut self, words: &[&str]) -> Result<String, DeviceError> {
        let names = || VECTORS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let (name, on) = match words {
            [] => return Ok(self.caught()),
            [name, "on"] => (*name, true),
            [name, "off"] => (*name, false),
            _ => return Ok(format!("say which and whether: NAME on|off, NAME of {}\n", names())),
        };
        let Some((name, index)) = VECTORS.iter().find(|(known, _)| *known == name) else {
            return Ok(format!("no exception `{name}`; there are {}\n", names()));
        };
        if on {
            let code = self.memory.regions().iter().find(|region| region.kind == RegionKind::Code);
            // An application that moves its vectors elsewhere has the same handlers, as a rule.
            let Some(table) = code.map(|region| region.address) else { return Ok("no code\n".into()) };
            let place = Range { address: table + 4 * index, len: 4 };
            let answers = self.ask(&[Order::Read(place)])?;
            let handler = answers.iter().find_map(|answer| match answer {
                Answered::Memory { bytes, .. } => bytes.first_chunk().map(|word| u32::from_le_bytes(*word)),
                _ => None,
            });
            let handler = handler.unwrap_or_default() & !1;
            if self.memory.region(handler, 2).is_none() {
                return Ok(format!("the application has no handler for `{name}`\n"));
            }
            // One handler may serve several exceptions.
            self.catches.entry(handler).or_default().insert(name);
            self.breakpoints.set(handler, Expressions::default());
        } else {
            for names in self.catches.values_mut() {
                names.remove(name);
            }
            for (handler, _) in self.catches.extract_if(.., |_, names| names.is_empty()) {
                self.breakpoints.clear(handler);
            }
        }
        Ok(self.caught())
    }

    fn caught(&self) -> String {
        let catch = |(at, names): (&u32, &BTreeSet<&str>)| format!("{} at {at:#x}", list(names));
        let names: Vec<_> = self.catches.iter().map(catch).collect();
        if names.is_empty() {
            "nothing is caught\n".into()
        } else {
            format!("caught: {}\n", names.join(", "))
        }
    }
}
