//! Structs and numbers of what an application is served beside updates and storage.

use crate::record::record;
use crate::structs::numbers;
use crate::{
    ABI_VERSION, CONFIG_KEY_LEN_MAX, CONFIG_KEYS_MAX, CONFIG_VALUE_LEN_MAX, LOG_TEXT_LEN_MAX,
    MESSAGE_LEN_MAX, RANDOM_LEN_MAX, SLEEP_MAX_MS, SOCKET_DATAGRAM_LEN_MAX, SOCKET_DATAGRAMS_MAX,
    SOCKET_HOST_LEN_MAX, SOCKET_LOCAL_PORT_FIRST, SOCKET_LOCAL_PORT_LAST, SOCKET_RECEIVE_BUFFER_LEN,
    SOCKET_SEND_BUFFER_LEN, SOCKET_STREAMS_MAX, SOCKET_TRANSFER_LEN_MAX, STORAGE_TRANSFER_LEN_MAX,
};

/// Version of [`Limits`]. Version 1 ended behind `reserved` and is still filled for who asks for it.
pub const LIMITS_VERSION: u32 = 2;

/// Length of version 1 of [`Limits`] in bytes.
pub const LIMITS_1_LEN: usize = 100;

/// Version of [`DebugState`].
pub const DEBUG_STATE_VERSION: u32 = 1;
/// Version of [`Message`].
pub const MESSAGE_VERSION: u32 = 1;
/// Version of [`MessageQueue`].
pub const MESSAGE_QUEUE_VERSION: u32 = 1;
/// Version of [`ConfigValue`].
pub const CONFIG_VALUE_VERSION: u32 = 1;
/// Version of [`ConfigEntry`].
pub const CONFIG_ENTRY_VERSION: u32 = 1;

record! {
    /// Every bound of a hypervisor.
    Limits "bh_limits" 164 {
        version, "in: BH_LIMITS_VERSION";
        abi_version, "as bh_abi_version_read";
        log_text_len_max, "bytes of one log record";
        log_queue_bytes, "room for log records that wait, headers included";
        notifications_max, "that wait; with more, the oldest is dropped";
        storage_areas_max, "areas of its own that a manifest can declare";
        storage_transfer_len_max, "bytes of one read or write of storage";
        message_len_max, "bytes of one message, either way";
        message_queue_bytes, "room for messages that wait, each way, headers included";
        message_header_bytes, "what a message takes of that room beside its bytes";
        messages_max, "that wait, each way";
        config_keys_max, "keys of the configuration";
        config_key_len_max, "bytes of one key";
        config_value_len_max, "bytes of one value";
        postpone_call_max_s, "longest postponement of an update by one call";
        postpone_total_s, "of all calls together, unless the running bundle says otherwise";
        update_grace_s, "an update that is ready and not answered is applied after it";
        sleep_max_ms, "longest sleep of one call";
        interrupt_lines_max, "lines that a board can give to the application";
        stuck_limit_ms, "in handlers or with interrupts masked for so long, the application is stopped";
        back_off_first_ms, "first wait after a fault; it doubles with each further one";
        back_off_max_ms, "longest wait";
        healthy_after_ms, "without a fault for so long, the waits begin anew";
        slots, "gateways in the page; those without a call answer BH_STATUS_CALL_UNKNOWN";
        reserved, "0";
        socket_streams_max, "stream sockets open at a time";
        socket_datagrams_max, "datagram sockets open at a time";
        socket_transfer_len_max, "bytes of a stream that one call sends or receives";
        socket_datagram_len_max, "bytes of one datagram";
        socket_send_buffer_bytes, "of a stream that wait for the peer";
        socket_receive_buffer_bytes, "of a stream that wait for the application";
        socket_datagrams_waiting_max, "each way on one socket, if they are short";
        socket_host_len_max, "bytes of a host name or address text";
        socket_local_port_first, "that an application can choose";
        socket_local_port_last, "that an application can choose";
        socket_connect_ms, "longest wait for a peer to accept, and for the name before that";
        socket_answer_ms, "longest time in which a peer acknowledges nothing of what waits";
        socket_close_ms, "longest time in which a closed stream sends its rest";
        socket_resolver_ms, "longest wait for one resolver";
        socket_neighbour_ms, "longest time that a datagram waits for its neighbour's address";
        random_len_max, "random bytes of one call";
    }
}

impl Limits {
    /// What this crate alone knows; the hypervisor adds the rest.
    pub const KNOWN: Self = Self {
        version: LIMITS_VERSION,
        abi_version: ABI_VERSION,
        log_text_len_max: LOG_TEXT_LEN_MAX,
        log_queue_bytes: 0,
        notifications_max: 0,
        storage_areas_max: 0,
        storage_transfer_len_max: STORAGE_TRANSFER_LEN_MAX,
        message_len_max: MESSAGE_LEN_MAX,
        message_queue_bytes: 0,
        message_header_bytes: 0,
        messages_max: 0,
        config_keys_max: CONFIG_KEYS_MAX,
        config_key_len_max: CONFIG_KEY_LEN_MAX,
        config_value_len_max: CONFIG_VALUE_LEN_MAX,
        postpone_call_max_s: 0,
        postpone_total_s: 0,
        update_grace_s: 0,
        sleep_max_ms: SLEEP_MAX_MS,
        interrupt_lines_max: 16,
        stuck_limit_ms: 0,
        back_off_first_ms: 0,
        back_off_max_ms: 0,
        healthy_after_ms: 0,
        slots: 64,
        reserved: 0,
        socket_streams_max: SOCKET_STREAMS_MAX,
        socket_datagrams_max: SOCKET_DATAGRAMS_MAX,
        socket_transfer_len_max: SOCKET_TRANSFER_LEN_MAX,
        socket_datagram_len_max: SOCKET_DATAGRAM_LEN_MAX,
        socket_send_buffer_bytes: SOCKET_SEND_BUFFER_LEN,
        socket_receive_buffer_bytes: SOCKET_RECEIVE_BUFFER_LEN,
        socket_datagrams_waiting_max: 0,
        socket_host_len_max: SOCKET_HOST_LEN_MAX,
        socket_local_port_first: SOCKET_LOCAL_PORT_FIRST,
        socket_local_port_last: SOCKET_LOCAL_PORT_LAST,
        socket_connect_ms: 0,
        socket_answer_ms: 0,
        socket_close_ms: 0,
        socket_resolver_ms: 0,
        socket_neighbour_ms: 0,
        random_len_max: RANDOM_LEN_MAX,
    };
}

record! {
    /// What a developer does with the application.
    DebugState "bh_debug_state" 16 {
        version, "in: BH_DEBUG_STATE_VERSION";
        state, "a BH_DEBUG_ value";
        halts, "times that it was held since it started";
        held_ms, "how long it was held in all since it started";
    }
}

record! {
    /// A message that waits for the application.
    Message "bh_message" 16 {
        version, "in: BH_MESSAGE_VERSION";
        id, "for bh_message_finish; the same message again has the same id";
        topic, "chosen by the sender";
        length_bytes, "of its body";
    }
}

record! {
    /// What waits, either way.
    MessageQueue "bh_message_queue" 24 {
        version, "in: BH_MESSAGE_QUEUE_VERSION";
        outgoing, "messages that the server has not stored yet";
        outgoing_free_bytes, "longest message that bh_message_send would take now";
        outgoing_stored_id, "id up to which the server has stored messages; 0 for none";
        incoming, "messages that wait for the application";
        incoming_free_bytes, "longest message that could arrive now";
    }
}

record! {
    /// A value of the configuration.
    ConfigValue "bh_config_value" 16 {
        version, "in: BH_CONFIG_VALUE_VERSION";
        value_version, "rises each time the owner sets this key";
        length_bytes, "of the value";
        secret, "1 if the owner said that it is a secret; 0 if not";
    }
}

record! {
    /// An entry of the configuration.
    ConfigEntry "bh_config_entry" 52 {
        version, "in: BH_CONFIG_ENTRY_VERSION";
        value_version, "rises each time the owner sets this key";
        length_bytes, "of the value";
        secret, "1 if the owner said that it is a secret; 0 if not";
        key_length_bytes, "of the key";
        key: [u8; CONFIG_KEY_LEN_MAX as usize], "zeros behind it; none if it is of the greatest length";
    }
}

numbers! {
    /// What a developer does with the application.
    DebugAttachment "BH_DEBUG_" {
        None = 0, "NONE", "No developer is attached.";
        Attached = 1, "ATTACHED", "A developer is attached and has not held the application since it started.";
        HaltedLast = 2, "HALTED_LAST", "A developer is attached, and held the application before: clocks ran on meanwhile.";
    }
}

numbers! {
    /// Why the device itself started.
    BootReasonNumber "BH_BOOT_REASON_" {
        PowerOn = 0, "POWER_ON", "Power came on.";
        HypervisorFault = 1, "HYPERVISOR_FAULT", "The hypervisor restarted itself after a fault of its own.";
        Commanded = 2, "COMMANDED", "The owner ordered it.";
    }
}

numbers! {
    /// How the application ended a message.
    MessageOutcome "BH_MESSAGE_OUTCOME_" {
        Accepted = 0, "ACCEPTED", "Taken: the owner sees it as delivered.";
        Refused = 1, "REFUSED", "Of no use to this application: the owner sees it as refused.";
    }
}

numbers! {
    /// What ended a sleep.
    Wake "BH_WAKE_" {
        Deadline = 0, "DEADLINE", "The time was over.";
        Notification = 1, "NOTIFICATION", "A notification came.";
    }
}
