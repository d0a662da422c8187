//! One attack, and what has to come of it.

use std::fmt;
use std::time::Duration;

use bulkhead_link_protocol::FaultKind;

/// Where the numbers of operations, states and arguments stand.
const HEADERS: [&str; 2] =
    [include_str!("../../../../apps/hostile-c/matrix.h"), include_str!("../../../../apps/hostile-c/state.h")];

/// A row is over within this time unless it says otherwise.
pub(crate) const LONGEST: Duration = Duration::from_secs(5);

/// A kind of attack.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Class {
    /// Loads from what is not the application's.
    Read,
    /// Stores to it.
    Write,
    /// Executing it.
    Execute,
    /// Jumps into the middle of gateways.
    Gateways,
    /// Stacks, limits and vector tables put there.
    Stacks,
    /// Returns to where nobody came from.
    Returns,
    /// Frames left on secure stacks, gateways entered from handlers of gateways.
    SecureStacks,
    /// Handlers that find the hypervisor at work.
    Entries,
    /// System registers.
    Registers,
    /// Wild arguments of system calls, and what they leave in registers.
    Calls,
    /// Memory that changes during a call.
    Races,
    /// Interrupts without end.
    Floods,
}

impl Class {
    /// All, in the order of the table.
    pub const ALL: &[Self] = &[
        Self::Read,
        Self::Write,
        Self::Execute,
        Self::Gateways,
        Self::Stacks,
        Self::Returns,
        Self::SecureStacks,
        Self::Entries,
        Self::Registers,
        Self::Calls,
        Self::Races,
        Self::Floods,
    ];
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Read => "reading",
            Self::Write => "writing",
            Self::Execute => "executing",
            Self::Gateways => "gateways, entered in the middle",
            Self::Stacks => "stacks and vector tables",
            Self::Returns => "forged returns",
            Self::SecureStacks => "frames left on secure stacks",
            Self::Entries => "registers as handlers find them",
            Self::Registers => "system registers",
            Self::Calls => "arguments of system calls",
            Self::Races => "memory changed during a call",
            Self::Floods => "interrupts without end",
        })
    }
}

/// From where the application attacks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// Its thread.
    Thread,
    /// A handler of an interrupt of its own.
    Handler,
    /// Its thread, without privileges.
    Unprivileged,
    /// Its thread, on the process stack.
    ProcessStack,
}

impl Place {
    /// All.
    pub const ALL: [Self; 4] = [Self::Thread, Self::Handler, Self::Unprivileged, Self::ProcessStack];

    fn number(self) -> u32 {
        match self {
            Self::Thread => 0,
            Self::Handler => 1,
            Self::Unprivileged => 2,
            Self::ProcessStack => 3,
        }
    }
}

/// What the two numbers that a row comes back with must be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Back {
    /// Anything: that it came back is all.
    Anything,
    /// Both 0.
    Zeros,
    /// A register before and after: these bits are as they were.
    Unchanged(u32),
    /// A register before and after: 0 in both.
    ReadsZero,
    /// A status that is not `BH_STATUS_OK`, and no register with anything in it.
    Refused,
    /// `BH_STATUS_POINTER_REFUSED`, and no register with anything in it.
    PointerRefused,
    /// Any status, and no register with anything in it.
    Clean,
    /// Something was looked at, so often, and no register had anything in it.
    SeenClean,
}

/// How a row must end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Expected {
    /// Stopped for one of these reasons.
    Stopped {
        /// Which; none named means any.
        kinds: &'static [FaultKind],
        /// First and last address, one of which must be reported.
        touched: Option<(u32, u32)>,
    },
    /// It comes back with this, and is not stopped.
    Returned(Back),
    /// Either of the two: the architecture leaves it open, or chance decides.
    StoppedOrReturned(Back),
    /// It comes back with this, or the application starts anew because it asked for it.
    ReturnedOrRestarted(Back),
}

/// A row of the matrix.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its kind.
    pub class: Class,
    /// What it is, for people.
    pub name: String,
    pub(super) operation: u32,
    place: Place,
    pub(super) parameters: Vec<u32>,
    /// How it must end.
    pub expected: Expected,
    /// When it must have ended.
    pub longest: Duration,
    /// The application asks to be started anew: only then is it over.
    pub(crate) restarts: bool,
}

impl Row {
    /// A row; `operation` is one of `apps/hostile-c/matrix.h`.
    pub(crate) fn new(
        class: Class,
        operation: &str,
        place: Place,
        parameters: &[u32],
        on: &str,
        expected: Expected,
    ) -> Self {
        let shown: Vec<String> = parameters.iter().map(|value| format!("{value:#010x}")).collect();
        let place_shown = match place {
            Place::Thread => "",
            Place::Handler => " in a handler",
            Place::Unprivileged => " without privileges",
            Place::ProcessStack => " on the process stack",
        };
        Self {
            class,
            name: format!("{operation} {} ({on}){place_shown}", shown.join(" ")),
            operation: number(operation),
            place,
            parameters: parameters.to_vec(),
            expected,
            longest: LONGEST,
            restarts: false,
        }
    }

    /// The same, that may take `longest`.
    pub(crate) fn within(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    /// The same, at whose end the application is started anew.
    pub(crate) fn that_restarts(mut self) -> Self {
        self.restarts = true;
        self
    }

    /// What is typed to the application.
    pub fn line(&self, number: u32) -> String {
        let head = [number, self.operation, self.place.number()];
        let words: Vec<String> =
            head.iter().chain(&self.parameters).map(|word| format!("{word:x}")).collect();
        format!("!{}\n", words.join(" "))
    }
}

/// The number of an operation, a state, or what stands for an argument.
pub(crate) fn number(operation: &str) -> u32 {
    let found = HEADERS.iter().flat_map(|header| header.lines()).find_map(|line| {
        let (name, number) = line.trim().split_once(" = 0x")?;
        if name == operation { u32::from_str_radix(number.trim_end_matches(','), 16).ok() } else { None }
    });
    // 0 is no operation: the row would do nothing and come back. A test sees to it that there is none such.
    found.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_read_from_the_applications_header() {
        assert_eq!(number("LDRB"), 1);
        assert_eq!(number("FLOOD_SYSTEM"), 0x92);
        assert_eq!(number("STREAM_WAITS"), 9);
        assert_eq!(number("NO_SUCH"), 0);
    }

    #[test]
    fn a_row_is_typed_as_hexadecimal_words() {
        let row = Row::new(
            Class::Read,
            "LDR",
            Place::Handler,
            &[0x3800_0000],
            "memory",
            Expected::Returned(Back::Anything),
        );
        assert_eq!(row.line(18), "!12 3 1 38000000\n");
    }
}
