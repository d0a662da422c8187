//! How things read in a line for a person.

use bulkhead_link_protocol::{Digest, Fault};

/// The first bytes of a digest: enough for a person.
pub(crate) struct Short<'d>(pub(crate) &'d Digest);

impl core::fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().take(6).try_for_each(|b| write!(f, "{b:02x}"))
    }
}

/// A fault in one line.
pub(crate) struct FaultLine(pub(crate) Fault);

impl core::fmt::Display for FaultLine {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let fault = &self.0;
        write!(f, "application stopped: {:?} at pc {:#010x}", fault.kind, fault.program_counter)?;
        if let Some(address) = fault.address {
            write!(f, ", address {address:#010x}")?;
        }
        match fault.restart_in_s {
            Some(seconds) => write!(f, ", restart in {seconds} s"),
            None => Ok(()),
        }
    }
}
