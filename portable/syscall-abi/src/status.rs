//! The result of every system call.

macro_rules! statuses {
    ($($name:ident = $value:literal, $c:literal, $doc:literal;)*) => {
        /// The result of every system call. The text says whose fault it was.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        #[repr(u32)]
        pub enum Status { $(#[doc = $doc] $name = $value),* }

        impl Status {
            /// Each status with its C name and meaning, in order of value.
            pub const ALL: &'static [(Self, &'static str, &'static str)] = &[$((Self::$name, $c, $doc)),*];

            /// Its C name.
            pub const fn c_name(self) -> &'static str {
                match self { $(Self::$name => $c),* }
            }
        }
    };
}

statuses! {
    Ok = 0, "BH_STATUS_OK", "Done.";
    PointerRefused = 1, "BH_STATUS_POINTER_REFUSED",
        "Caller: a pointer leads outside the application's own memory; nothing was done.";
    ArgumentRefused = 2, "BH_STATUS_ARGUMENT_REFUSED", "Caller: an argument is outside its range; nothing was done.";
    BufferTooSmall = 3, "BH_STATUS_BUFFER_TOO_SMALL", "Caller: the buffer is shorter than the answer.";
    VersionUnknown = 4, "BH_STATUS_VERSION_UNKNOWN", "Caller: the struct's version field is not one this hypervisor knows.";
    CallUnknown = 5, "BH_STATUS_CALL_UNKNOWN", "Caller: this hypervisor is older than the call.";
    Busy = 6, "BH_STATUS_BUSY",
        "Hypervisor: not yet. A queue is full, less is ready than was asked for, or what was begun still goes on: try again later. Or an earlier one waits for its result to be read: read it first.";
    NothingPending = 7, "BH_STATUS_NOTHING_PENDING", "State: there is nothing to fetch or to act on.";
    NotYetKnown = 8, "BH_STATUS_NOT_YET_KNOWN", "State: the value is not known yet, for example the wall clock before the first connect.";
    LimitReached = 9, "BH_STATUS_LIMIT_REACHED", "Caller: the allowed total is used up, for example the longest postponement.";
    HardwareFailed = 10, "BH_STATUS_HARDWARE_FAILED", "Hardware: flash did not do, or did not keep, what was asked of it; what it holds there is uncertain.";
    NotErased = 11, "BH_STATUS_NOT_ERASED", "Caller: bits would have to rise; erase the sector first. Nothing was done.";
    NotNow = 12, "BH_STATUS_NOT_NOW", "State: not while an update is being applied.";
    NotFound = 21, "BH_STATUS_NOT_FOUND", "State: there is nothing of that key or number.";
    HandleUnknown = 24, "BH_STATUS_HANDLE_UNKNOWN", "Caller: no open socket of its own has this handle.";
    NotConnected = 25, "BH_STATUS_NOT_CONNECTED", "State: the socket is not connected yet, or not any more; its status says why.";
}
