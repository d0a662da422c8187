//! What the hostile application can be told to do, and what has to come of it.

use bulkhead_link_protocol::FaultKind;

/// How a crime must end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Containment {
    /// The application is stopped for this reason, and started again later.
    Stopped(FaultKind),
    /// The application is stopped; the processor may name the reason as it likes.
    StoppedSomehow,
    /// Nothing happens: the application prints `refused` and goes on.
    Refused,
}

/// One crime of `apps/hostile-c`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Crime {
    /// The character that asks for it.
    pub letter: char,
    /// What it is, for people.
    pub name: &'static str,
    /// How it must end.
    pub containment: Containment,
}

const fn stopped(letter: char, kind: FaultKind, name: &'static str) -> Crime {
    Crime { letter, name, containment: Containment::Stopped(kind) }
}

const fn refused(letter: char, name: &'static str) -> Crime {
    Crime { letter, name, containment: Containment::Refused }
}

impl Crime {
    /// Touching what belongs to the secure world.
    pub const SECURE_ACCESS: &[Self] = &[
        stopped('a', FaultKind::SecureAccess, "read secure memory"),
        stopped('b', FaultKind::SecureAccess, "write secure memory"),
        stopped('c', FaultKind::SecureAccess, "write to the hypervisor's console"),
        stopped('d', FaultKind::SecureAccess, "write to the hypervisor's console through its other alias"),
        stopped('e', FaultKind::SecureAccess, "read the device's keys in non-volatile memory"),
    ];
    /// Executing where no code of the application is.
    pub const BAD_EXECUTION: &[Self] = &[
        stopped('f', FaultKind::BadExecution, "jump to nowhere"),
        stopped('g', FaultKind::BadExecution, "jump into secure code"),
        stopped('h', FaultKind::BadExecution, "jump behind the entry of a gateway"),
        stopped('s', FaultKind::BadExecution, "forge an exception return"),
    ];
    /// Returning to where nobody came from, so that the processor takes a frame off a secure stack.
    pub const FORGED_RETURNS: &[Self] = &[
        stopped('t', FaultKind::BadExecution, "let a gateway return from an exception"),
        stopped('u', FaultKind::BadExecution, "let a gateway return from a secure function"),
        stopped('v', FaultKind::BadExecution, "let a gateway return from an exception, in a handler"),
        stopped('w', FaultKind::BadExecution, "return from a handler into the secure world"),
        stopped('x', FaultKind::BadExecution, "return from a handler as if it were the hypervisor's"),
        stopped('y', FaultKind::BadExecution, "return from a secure function that was never called"),
    ];
    /// Ruining the stack.
    pub const STACK: &[Self] = &[
        stopped('i', FaultKind::StackOverflow, "recurse forever"),
        stopped('j', FaultKind::StackOverflow, "put the stack into secure memory"),
    ];
    /// Keeping the processor in handlers.
    pub const HANDLERS: &[Self] = &[
        stopped('k', FaultKind::InterruptFlood, "pend an interrupt from its own handler, forever"),
        stopped('l', FaultKind::InterruptFlood, "never leave a handler"),
        stopped('m', FaultKind::SecureAccess, "write secure memory from a handler"),
    ];
    /// Keeping interrupts masked.
    pub const MASKS: &[Self] = &[
        stopped('n', FaultKind::InterruptsMasked, "mask interrupts forever"),
        stopped('o', FaultKind::InterruptsMasked, "mask faults forever"),
    ];
    /// Confusing the processor.
    pub const CONFUSION: &[Self] = &[
        stopped('p', FaultKind::UsageFault, "execute an undefined instruction"),
        stopped('q', FaultKind::Breakpoint, "execute a breakpoint without a debugger"),
        Self {
            letter: 'r',
            name: "put the vector table into secure memory",
            // The fetch of the vector fails; which fault that is depends on the core's revision.
            containment: Containment::StoppedSomehow,
        },
        Self {
            letter: 'z',
            name: "forbid itself all memory",
            // Not even the fault can be stacked.
            containment: Containment::StoppedSomehow,
        },
    ];
    /// Getting at the hypervisor's thread by way of the interrupts that pre-empt it.
    pub const DOOR: &[Self] = &[
        stopped('1', FaultKind::BadExecution, "enter the interrupts' door without an interrupt"),
        stopped('2', FaultKind::BadExecution, "enter the interrupts' door from a handler"),
        stopped('3', FaultKind::SecureAccess, "write the vector table that leads to the door"),
    ];
    /// What is refused without stopping the application.
    pub const REFUSED: &[Self] = &[
        refused('A', "give wild pointers and numbers to every system call"),
        refused('B', "look for secrets in registers after a system call"),
        refused('C', "reset the chip"),
        refused('D', "mask and pend the hypervisor's interrupts"),
        refused('E', "pend NMI and write secure registers"),
        refused('F', "flood the log"),
        refused('G', "name storage that is not its own, by area, offset and pointer"),
        refused('H', "wear out its own storage without a pause"),
        refused('I', "reach through the hypervisor what its own memory protection keeps from it"),
    ];
    /// Every group, in the order in which they are tested.
    pub const ALL: &[&[Self]] = &[
        Self::SECURE_ACCESS,
        Self::BAD_EXECUTION,
        Self::FORGED_RETURNS,
        Self::STACK,
        Self::HANDLERS,
        Self::MASKS,
        Self::CONFUSION,
        Self::DOOR,
        Self::REFUSED,
    ];
}
