//! Ctrl-C during a debug session.
//!
//! A terminal sends it to all that run in it. To GDB it says that the application shall stop, so a server that GDB talks to has
//! to outlive it. A server alone lets the application go before it ends: a device whose developer is merely gone waits for
//! them to come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread;

use bulkhead_gdb_server::Arrived;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::{ExitCode, Failure};

/// Exit code of a program that Ctrl-C ended.
const ENDED_BY_HAND: i32 = 130;

/// Who else hears Ctrl-C.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Company {
    Alone,
    WithGdb,
}

/// From here on Ctrl-C no longer ends this program at once. What comes back tells whether there was one.
pub(super) fn heed(company: Company, to_loop: Sender<Arrived>) -> Result<Arc<AtomicBool>, Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(|error| {
        Failure::new(ExitCode::Machine, format!("cannot wait for Ctrl-C: {error}"), "try again")
    })?;
    let interrupted = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&interrupted);
    thread::spawn(move || {
        for signal in signals.forever() {
            let again = seen.swap(true, Ordering::Relaxed);
            match company {
                // GDB heard it as well, and ends this session when it ends itself.
                Company::WithGdb if signal == SIGINT => {}
                // Whoever insists does not wait for the device.
                Company::Alone if again => std::process::exit(ENDED_BY_HAND),
                Company::Alone | Company::WithGdb => {
                    let _ = to_loop.send(Arrived::Enough);
                }
            }
        }
    });
    Ok(interrupted)
}
