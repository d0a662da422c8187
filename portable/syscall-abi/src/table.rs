//! The table of system calls.

use crate::Status;

/// One argument in C.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Argument {
    /// C type.
    pub c_type: &'static str,
    /// Name.
    pub name: &'static str,
}

/// One system call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Call {
    /// Slot in the gateway page.
    pub slot: u32,
    /// C name.
    pub name: &'static str,
    /// Arguments, at most four.
    pub arguments: &'static [Argument],
    /// What it answers beside `Status::Ok`, in order of value. A hypervisor that is older answers `Status::CallUnknown`.
    pub statuses: &'static [Status],
    /// What it does, its units and errors.
    pub doc: &'static str,
}

impl Call {
    /// Whether a hypervisor that has the call may answer it with `status`.
    pub fn may_answer(&self, status: u32) -> bool {
        status == Status::Ok as u32 || self.statuses.iter().any(|stated| *stated as u32 == status)
    }
}

/// The name of the call of `slot`, if `status` is no answer of it. A slot without a call answers `Status::CallUnknown` alone.
pub fn unstated(slot: u32, status: u32) -> Option<&'static str> {
    match SYSTEM_CALLS.iter().find(|call| call.slot == slot) {
        Some(call) => (!call.may_answer(status)).then_some(call.name),
        None => (status != Status::CallUnknown as u32).then_some("a slot without a call"),
    }
}

macro_rules! calls {
    ($(
        $slot:literal $constant:ident $name:literal ($($c_type:literal $argument:literal),*) [$($status:ident),*] $doc:literal;
    )*) => {
        /// Every system call in order of slot.
        pub const SYSTEM_CALLS: &[Call] = &[$(Call {
            slot: $slot,
            name: $name,
            arguments: &[$(Argument { c_type: $c_type, name: $argument }),*],
            statuses: &[$(Status::$status),*],
            doc: $doc,
        }),*];

        /// Slot numbers.
        pub mod slot {
            $(#[doc = $doc] pub const $constant: u32 = $slot;)*
        }
    };
}

calls! {
    0 NOP "bh_nop" () [] "Does nothing and returns BH_STATUS_OK.";
    1 ABI_VERSION_READ "bh_abi_version_read" ("uint32_t *" "version") [PointerRefused]
        "Writes the ABI version of this hypervisor.";
    2 DEVICE_ID_READ "bh_device_id_read" ("char *" "buffer", "uint32_t" "length_bytes") [PointerRefused, BufferTooSmall]
        "Writes the 34 characters of the device id, without a terminating zero.";
    3 CLOCK_MONOTONIC_READ_US "bh_clock_monotonic_read_us" ("uint64_t *" "now_us") [PointerRefused]
        "Writes the microseconds since power came on; never goes back.";
    4 CLOCK_WALL_READ_US "bh_clock_wall_read_us" ("uint64_t *" "now_us") [PointerRefused, NotYetKnown]
        "Writes the microseconds since 1970-01-01 UTC. BH_STATUS_NOT_YET_KNOWN until the server told the time; may jump.";
    5 LOG_WRITE "bh_log_write" ("uint32_t" "level", "const char *" "text", "uint32_t" "length_bytes")
        [PointerRefused, ArgumentRefused, Busy]
        "Queues one log record of 1 to 256 bytes; level 0 error to 4 trace. BH_STATUS_BUSY when the queue is full: the record is counted as lost.";
    6 APPLICATION_RESTART "bh_application_restart" () []
        "Asks the hypervisor to restart the application soon after this call returns.";
    7 WAKE_REASON_READ "bh_wake_reason_read" ("uint32_t *" "reason") [PointerRefused] "Writes a BH_WAKE_REASON_ value.";
    8 NETWORK_STATUS_READ "bh_network_status_read" ("uint32_t *" "status") [PointerRefused]
        "Writes a BH_NETWORK_STATUS_ value.";
    9 NETWORK_REASONS_READ "bh_network_reasons_read" ("uint32_t *" "reasons") [PointerRefused]
        "Writes the BH_NETWORK_REASON_ bits.";
    10 UPDATE_STATUS_READ "bh_update_status_read" ("struct bh_update_status *" "status")
        [PointerRefused, VersionUnknown]
        "Fills the struct whose version field the caller set to BH_UPDATE_STATUS_VERSION.";
    11 UPDATE_APPLY_NOW "bh_update_apply_now" () [NothingPending]
        "Applies a staged update now; the application is stopped soon after this call returns. BH_STATUS_NOTHING_PENDING when none is staged.";
    12 UPDATE_POSTPONE "bh_update_postpone" ("uint32_t" "seconds") [ArgumentRefused, NothingPending, LimitReached]
        "Keeps a staged update waiting for up to 3,600 s from now and, unless the running bundle says otherwise, 86,400 s in all; the owner can override.";
    13 UPDATE_CONFIRM "bh_update_confirm" () []
        "Says that the application works. A bundle may demand this within its trial; it is taken back otherwise.";
    14 NOTIFICATION_ENABLE "bh_notification_enable" ("uint32_t" "interrupt") [ArgumentRefused]
        "Chooses the interrupt line, one of the application's own, that is pended when a notification arrives; 0xFFFFFFFF for none.";
    15 NOTIFICATION_NEXT "bh_notification_next" ("struct bh_notification *" "notification")
        [PointerRefused, NothingPending]
        "Takes the oldest notification. BH_STATUS_NOTHING_PENDING when there is none.";
    16 STORAGE_INFO_READ "bh_storage_info_read" ("uint32_t" "area", "struct bh_storage_info *" "info")
        [PointerRefused, ArgumentRefused, VersionUnknown]
        "Fills the struct whose version field the caller set to BH_STORAGE_INFO_VERSION. area is the id of an external area that the manifest says is the application's own.";
    17 STORAGE_READ "bh_storage_read" ("uint32_t" "area", "uint32_t" "offset", "uint32_t" "length_bytes")
        [ArgumentRefused, Busy, NotNow]
        "Begins to read 1 to 256 bytes of an own area; bh_storage_result_read fetches them.";
    18 STORAGE_WRITE "bh_storage_write" ("uint32_t" "area", "uint32_t" "offset", "const void *" "bytes", "uint32_t" "length_bytes")
        [PointerRefused, ArgumentRefused, Busy, NotNow]
        "Begins to program 1 to 256 bytes of an own area; bits only fall.";
    19 STORAGE_ERASE "bh_storage_erase" ("uint32_t" "area", "uint32_t" "offset") [ArgumentRefused, Busy, NotNow]
        "Begins to erase the sector of an own area that starts at offset, to 0xFF.";
    20 STORAGE_RESULT_READ "bh_storage_result_read" ("void *" "buffer", "uint32_t" "length_bytes")
        [PointerRefused, BufferTooSmall, Busy, NothingPending, HardwareFailed, NotErased, NotNow]
        "Ends what one of the three began: its outcome, and into buffer what was read. BH_STATUS_BUSY while it goes on, BH_STATUS_NOTHING_PENDING when nothing was begun.";
    21 LIMITS_READ "bh_limits_read" ("struct bh_limits *" "limits") [PointerRefused, VersionUnknown]
        "Fills the struct whose version field the caller set to BH_LIMITS_VERSION: every bound of this hypervisor.";
    22 DEBUG_STATE_READ "bh_debug_state_read" ("struct bh_debug_state *" "state") [PointerRefused, VersionUnknown]
        "Fills the struct whose version field the caller set to BH_DEBUG_STATE_VERSION: whether a developer is attached, and how long the application was held.";
    23 BOOT_REASON_READ "bh_boot_reason_read" ("uint32_t *" "reason") [PointerRefused]
        "Writes a BH_BOOT_REASON_ value: why the device itself started.";
    24 MESSAGE_SEND "bh_message_send" ("uint32_t" "topic", "const void *" "bytes", "uint32_t" "length_bytes", "uint32_t *" "id")
        [PointerRefused, ArgumentRefused, Busy]
        "Queues 1 to 960 bytes for the owner's server and, unless id is null, writes the message's id. BH_STATUS_BUSY when the queue is full.";
    25 MESSAGE_RECEIVE "bh_message_receive" ("struct bh_message *" "message", "void *" "buffer", "uint32_t" "length_bytes")
        [PointerRefused, BufferTooSmall, VersionUnknown, NothingPending]
        "Fills the struct whose version field the caller set to BH_MESSAGE_VERSION and the buffer with the oldest message, which stays until bh_message_finish. BH_STATUS_NOTHING_PENDING when there is none; BH_STATUS_BUFFER_TOO_SMALL fills the struct alone.";
    26 MESSAGE_FINISH "bh_message_finish" ("uint32_t" "id", "uint32_t" "outcome") [ArgumentRefused, NotFound]
        "Ends the oldest message, whose id bh_message_receive told, with a BH_MESSAGE_OUTCOME_; the owner sees it. BH_STATUS_NOT_FOUND when the oldest has another id.";
    27 MESSAGE_QUEUE_READ "bh_message_queue_read" ("struct bh_message_queue *" "queue") [PointerRefused, VersionUnknown]
        "Fills the struct whose version field the caller set to BH_MESSAGE_QUEUE_VERSION: what waits, either way.";
    28 CONFIG_READ "bh_config_read" ("const char *" "key", "uint32_t" "length_bytes")
        [PointerRefused, ArgumentRefused, Busy, NotFound]
        "Begins to read the value of a key of 1 to 32 bytes; bh_config_result_read fetches it. BH_STATUS_NOT_FOUND when there is no such key, BH_STATUS_BUSY when an earlier read was not ended.";
    29 CONFIG_RESULT_READ "bh_config_result_read" ("struct bh_config_value *" "value", "void *" "buffer", "uint32_t" "length_bytes")
        [PointerRefused, BufferTooSmall, VersionUnknown, Busy, NothingPending, HardwareFailed, NotFound]
        "Ends what bh_config_read began: fills the struct whose version field the caller set to BH_CONFIG_VALUE_VERSION, and the buffer. BH_STATUS_BUSY while it goes on, BH_STATUS_NOTHING_PENDING when nothing was begun.";
    30 CONFIG_LIST "bh_config_list" ("uint32_t" "index", "struct bh_config_entry *" "entry")
        [PointerRefused, VersionUnknown, Busy, NotFound]
        "Fills the struct whose version field the caller set to BH_CONFIG_ENTRY_VERSION with entry number index, from 0, in the order of keys. BH_STATUS_NOT_FOUND behind the last.";
    31 CONFIG_REVISION_READ "bh_config_revision_read" ("uint32_t *" "revision") [PointerRefused]
        "Writes the revision of the configuration that counts; 0 when the owner never set one.";
    32 POWER_SLEEP "bh_power_sleep" ("uint32_t" "milliseconds") [ArgumentRefused]
        "Says that the application has nothing to do for 1 to 86,400,000 ms, unless a notification comes. 0 ends such a sleep, for example when an interrupt of its own gave it something to do. Returns at once: wait with WFI.";
    33 POWER_WAKE_READ "bh_power_wake_read" ("uint32_t *" "wake") [PointerRefused, Busy, NothingPending]
        "Writes the BH_WAKE_ value that ended the sleep. BH_STATUS_BUSY while it goes on, BH_STATUS_NOTHING_PENDING when none was begun.";
    40 NETWORK_REQUEST "bh_network_request" () []
        "Says that the application wants the network: kept as a reason to be online until it is released or the application ends.";
    41 NETWORK_RELEASE "bh_network_release" () [NothingPending]
        "Takes bh_network_request back. BH_STATUS_NOTHING_PENDING when nothing was requested.";
    42 NETWORK_INFO_READ "bh_network_info_read" ("struct bh_network_info *" "info")
        [PointerRefused, VersionUnknown, NotYetKnown]
        "Fills the struct whose version field the caller set to BH_NETWORK_INFO_VERSION. BH_STATUS_NOT_YET_KNOWN without an address.";
    43 SOCKET_OPEN "bh_socket_open" ("uint32_t" "kind", "uint32_t *" "socket")
        [PointerRefused, ArgumentRefused, LimitReached]
        "Opens a socket of a BH_SOCKET_KIND_ and writes its handle, which is never 0. BH_STATUS_LIMIT_REACHED when all of the kind are in use.";
    44 SOCKET_CONNECT "bh_socket_connect" ("uint32_t" "socket", "const char *" "host", "uint32_t" "length_bytes", "uint32_t" "port")
        [PointerRefused, ArgumentRefused, Busy, HandleUnknown]
        "Begins to connect to an IPv4 address in dots or a name. A datagram socket then sends to and hears that peer alone. BH_STATUS_BUSY while another name waits for its turn.";
    45 SOCKET_BIND "bh_socket_bind" ("uint32_t" "socket", "uint32_t" "port") [ArgumentRefused, HandleUnknown]
        "Gives a datagram socket that was not used yet a local port from BH_SOCKET_LOCAL_PORT_FIRST to BH_SOCKET_LOCAL_PORT_LAST.";
    46 SOCKET_SEND "bh_socket_send" ("uint32_t" "socket", "const void *" "bytes", "uint32_t" "length_bytes", "uint32_t *" "sent_bytes")
        [PointerRefused, ArgumentRefused, Busy, HandleUnknown, NotConnected]
        "Takes as many bytes as there is room for, or one whole datagram, and writes how many. BH_STATUS_BUSY when there is no room.";
    47 SOCKET_RECEIVE "bh_socket_receive" ("uint32_t" "socket", "void *" "buffer", "uint32_t" "length_bytes", "uint32_t *" "received_bytes")
        [PointerRefused, ArgumentRefused, BufferTooSmall, Busy, NothingPending, HandleUnknown, NotConnected]
        "Brings what has arrived, or one whole datagram. BH_STATUS_NOTHING_PENDING when nothing has, BH_STATUS_NOT_CONNECTED when nothing more will.";
    48 SOCKET_SEND_TO "bh_socket_send_to" ("uint32_t" "socket", "const struct bh_socket_address *" "to", "const void *" "bytes", "uint32_t" "length_bytes")
        [PointerRefused, ArgumentRefused, Busy, HandleUnknown, NotConnected]
        "Sends one datagram to an address. BH_STATUS_BUSY when there is no room.";
    49 SOCKET_RECEIVE_FROM "bh_socket_receive_from" ("uint32_t" "socket", "struct bh_socket_address *" "from", "void *" "buffer", "uint32_t *" "length_bytes")
        [PointerRefused, ArgumentRefused, BufferTooSmall, Busy, NothingPending, HandleUnknown, NotConnected]
        "Brings one datagram and who sent it; length_bytes holds the buffer's length before and the datagram's after. BH_STATUS_BUFFER_TOO_SMALL leaves it waiting.";
    50 SOCKET_SHUTDOWN "bh_socket_shutdown" ("uint32_t" "socket") [ArgumentRefused, HandleUnknown, NotConnected]
        "Says to a stream's peer that all was sent, once it was; receiving goes on.";
    51 SOCKET_CLOSE "bh_socket_close" ("uint32_t" "socket") [HandleUnknown]
        "Gives the handle back at once. What a stream was given to send is still sent, for 5 s at most.";
    52 SOCKET_STATUS_READ "bh_socket_status_read" ("uint32_t" "socket", "struct bh_socket_status *" "status")
        [PointerRefused, VersionUnknown, HandleUnknown]
        "Fills the struct whose version field the caller set to BH_SOCKET_STATUS_VERSION.";
    53 RANDOM_READ "bh_random_read" ("void *" "buffer", "uint32_t" "length_bytes")
        [PointerRefused, ArgumentRefused, Busy]
        "Brings 1 to 256 random bytes, fit for keys. BH_STATUS_BUSY when fewer are ready: ask again, with time for the hypervisor to draw more.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::RECORDS;

    /// Slots below the last one that have no call.
    const HOLES: &[core::ops::RangeInclusive<u32>] = &[34..=39];

    #[test]
    fn slots_are_in_order_without_repeats_and_take_at_most_four_arguments() {
        let mut next = 0;
        for call in SYSTEM_CALLS {
            while let Some(hole) = HOLES.iter().find(|hole| hole.contains(&next)) {
                next = hole.end() + 1;
            }
            assert_eq!(call.slot, next, "{}: a hole is to be named in HOLES", call.name);
            assert!(call.arguments.len() <= 4, "{}", call.name);
            next += 1;
        }
    }

    #[test]
    fn statuses_are_in_order_without_repeats_and_leave_out_what_any_call_answers() {
        for call in SYSTEM_CALLS {
            assert!(
                call.statuses.iter().map(|status| *status as u32).is_sorted_by(|a, b| a < b),
                "{}",
                call.name
            );
            assert!(!call.statuses.contains(&Status::Ok), "{}", call.name);
            assert!(!call.statuses.contains(&Status::CallUnknown), "{}", call.name);
        }
        for (status, name, _) in Status::ALL {
            let of_any = matches!(status, Status::Ok | Status::CallUnknown);
            let stated = SYSTEM_CALLS.iter().any(|call| call.statuses.contains(status));
            assert!(stated != of_any, "{name} is answered by no call");
        }
    }

    /// What the index of the specification says of all calls.
    #[test]
    fn pointers_may_be_refused_and_versions_unknown_where_there_are_some_and_only_there() {
        let has_version = |argument: &Argument| {
            let name = argument.c_type.strip_prefix("struct ").and_then(|name| name.strip_suffix(" *"));
            let record = RECORDS.iter().find(|(record, ..)| name == Some(record));
            record.is_some_and(|(_, fields, _)| fields.iter().any(|(_, field, ..)| *field == "version"))
        };
        for call in SYSTEM_CALLS {
            let has_pointer = call.arguments.iter().any(|argument| argument.c_type.ends_with('*'));
            assert_eq!(call.statuses.contains(&Status::PointerRefused), has_pointer, "{}", call.name);
            let has_version = call.arguments.iter().any(has_version);
            assert_eq!(call.statuses.contains(&Status::VersionUnknown), has_version, "{}", call.name);
        }
    }

    #[test]
    fn what_the_words_of_a_call_name_is_stated() {
        for call in SYSTEM_CALLS {
            for word in call.doc.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
                let named = Status::ALL.iter().find(|(_, name, _)| *name == word);
                assert!(
                    named.is_none_or(|(status, ..)| call.may_answer(*status as u32)),
                    "{}: {word}",
                    call.name
                );
                assert!(named.is_some() || !word.starts_with("BH_STATUS_"), "{}: {word}", call.name);
            }
        }
    }

    #[test]
    fn a_status_that_is_not_stated_is_noticed() {
        let send = SYSTEM_CALLS.iter().find(|call| call.slot == slot::MESSAGE_SEND).unwrap();
        for (status, expected) in [
            (Status::Ok, true),
            (Status::Busy, true),
            (Status::NotFound, false),
            (Status::CallUnknown, false),
        ] {
            assert_eq!(send.may_answer(status as u32), expected, "{status:?}");
        }
        assert!(!send.may_answer(u32::MAX));
    }
}
