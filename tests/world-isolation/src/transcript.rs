//! What was seen, when, and by whom.

use std::fmt::Write as _;
use std::time::Duration;

use bulkhead_link_protocol::{ApplicationState, Digest, Fault, UpdateStage};

/// What somebody saw.
#[derive(Clone, Debug, PartialEq)]
pub enum Witness {
    /// A line on the hypervisor's console.
    Console(String),
    /// A line on the application's console.
    Application(String),
    /// The server: a device opened a link.
    Connected,
    /// The server: the device says who it is.
    Hello {
        /// What it runs.
        running: Option<Digest>,
        /// What the application does.
        application: ApplicationState,
    },
    /// The server: the reported state.
    State {
        /// What the application does.
        application: ApplicationState,
        /// The last fault.
        fault: Option<Fault>,
    },
    /// The server: a keepalive was sent.
    Ping,
    /// The server: an answer to a keepalive.
    Pong,
    /// The server: a log record's text.
    Log(String),
    /// The server: where the update stands.
    Progress(UpdateStage, Option<String>),
    /// The server: the link is over.
    Closed(String),
}

/// One line of a transcript.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Since the scene began.
    pub at: Duration,
    /// What was seen.
    pub seen: Witness,
}

/// A transcript for people; keepalives and their answers are counted, not listed.
pub fn shown(events: &[Event]) -> String {
    let mut text = String::new();
    let (mut n_pings, mut n_pongs) = (0, 0);
    for event in events {
        let seconds = event.at.as_secs_f32();
        // Writing to a string does not fail.
        let _ = match &event.seen {
            Witness::Ping => {
                n_pings += 1;
                Ok(())
            }
            Witness::Pong => {
                n_pongs += 1;
                Ok(())
            }
            Witness::Console(line) => writeln!(text, "{seconds:8.3} hypervisor   {line}"),
            Witness::Application(line) => writeln!(text, "{seconds:8.3} application  {line}"),
            other => writeln!(text, "{seconds:8.3} server       {other:?}"),
        };
    }
    let _ = writeln!(text, "         server       {n_pongs} answers to {n_pings} keepalives");
    text
}
