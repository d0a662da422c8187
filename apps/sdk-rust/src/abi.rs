//! Numbers of the system calls. Generated from portable/syscall-abi; do not edit.

/// Done.
pub const BH_STATUS_OK: u32 = 0;
/// Caller: a pointer leads outside the application's own memory; nothing was done.
pub const BH_STATUS_POINTER_REFUSED: u32 = 1;
/// Caller: an argument is outside its range; nothing was done.
pub const BH_STATUS_ARGUMENT_REFUSED: u32 = 2;
/// Caller: the buffer is shorter than the answer.
pub const BH_STATUS_BUFFER_TOO_SMALL: u32 = 3;
/// Caller: the struct's version field is not one this hypervisor knows.
pub const BH_STATUS_VERSION_UNKNOWN: u32 = 4;
/// Caller: this hypervisor is older than the call.
pub const BH_STATUS_CALL_UNKNOWN: u32 = 5;
/// Hypervisor: not yet. A queue is full, less is ready than was asked for, or what was begun still goes on: try again later. Or an earlier one waits for its result to be read: read it first.
pub const BH_STATUS_BUSY: u32 = 6;
/// State: there is nothing to fetch or to act on.
pub const BH_STATUS_NOTHING_PENDING: u32 = 7;
/// State: the value is not known yet, for example the wall clock before the first connect.
pub const BH_STATUS_NOT_YET_KNOWN: u32 = 8;
/// Caller: the allowed total is used up, for example the longest postponement.
pub const BH_STATUS_LIMIT_REACHED: u32 = 9;
/// Hardware: flash did not do, or did not keep, what was asked of it; what it holds there is uncertain.
pub const BH_STATUS_HARDWARE_FAILED: u32 = 10;
/// Caller: bits would have to rise; erase the sector first. Nothing was done.
pub const BH_STATUS_NOT_ERASED: u32 = 11;
/// State: not while an update is being applied.
pub const BH_STATUS_NOT_NOW: u32 = 12;
/// State: there is nothing of that key or number.
pub const BH_STATUS_NOT_FOUND: u32 = 21;
/// Caller: no open socket of its own has this handle.
pub const BH_STATUS_HANDLE_UNKNOWN: u32 = 24;
/// State: the socket is not connected yet, or not any more; its status says why.
pub const BH_STATUS_NOT_CONNECTED: u32 = 25;
/// The link came up (value 1) or went down (value 0).
pub const BH_NOTIFICATION_NETWORK_CHANGED: u32 = 1;
/// The update entered the stage in value.
pub const BH_NOTIFICATION_UPDATE_PROGRESS: u32 = 2;
/// An update is staged; value is the pages to be written. Apply or postpone.
pub const BH_NOTIFICATION_UPDATE_READY: u32 = 3;
/// The wall clock became known or was corrected.
pub const BH_NOTIFICATION_CLOCK_SET: u32 = 4;
/// What was begun on the application's own storage has ended; value is its BH_STATUS_.
pub const BH_NOTIFICATION_STORAGE_DONE: u32 = 5;
/// Something rose on a socket; value is its handle and, in bits 31 to 24, BH_SOCKET_EVENT_ bits.
pub const BH_NOTIFICATION_SOCKET_CHANGED: u32 = 6;
/// A message of the owner's has come; value is its id.
pub const BH_NOTIFICATION_MESSAGE_ARRIVED: u32 = 14;
/// The server has stored the messages up to the id in value.
pub const BH_NOTIFICATION_MESSAGE_STORED: u32 = 15;
/// Another configuration counts now; value is its revision.
pub const BH_NOTIFICATION_CONFIG_CHANGED: u32 = 16;
/// What bh_config_read began has ended; value is its BH_STATUS_.
pub const BH_NOTIFICATION_CONFIG_DONE: u32 = 17;
/// The deadline of bh_power_sleep has come; value is 0.
pub const BH_NOTIFICATION_SLEEP_ENDED: u32 = 18;
/// Nothing to do.
pub const BH_UPDATE_STAGE_IDLE: u32 = 0;
/// The manifest is fetched and checked.
pub const BH_UPDATE_STAGE_CHECKING: u32 = 1;
/// The bundle was refused.
pub const BH_UPDATE_STAGE_REFUSED: u32 = 2;
/// Pages are fetched and staged.
pub const BH_UPDATE_STAGE_STAGING: u32 = 3;
/// Staged and verified.
pub const BH_UPDATE_STAGE_READY: u32 = 4;
/// Pages are written.
pub const BH_UPDATE_STAGE_APPLYING: u32 = 5;
/// Applied and committed.
pub const BH_UPDATE_STAGE_COMMITTED: u32 = 6;
/// The old application is being put back.
pub const BH_UPDATE_STAGE_REVERTING: u32 = 7;
/// The old application was put back.
pub const BH_UPDATE_STAGE_REVERTED: u32 = 8;
/// Failed before anything was changed.
pub const BH_UPDATE_STAGE_FAILED: u32 = 9;
/// Applied and started; not kept yet.
pub const BH_UPDATE_STAGE_TRIAL: u32 = 10;
/// Given up on the owner's order.
pub const BH_UPDATE_STAGE_CANCELLED: u32 = 11;
/// Power came on.
pub const BH_WAKE_REASON_POWER_ON: u32 = 0;
/// An update was applied.
pub const BH_WAKE_REASON_UPDATED: u32 = 1;
/// The application was stopped by a fault and its back-off is over.
pub const BH_WAKE_REASON_FAULTED: u32 = 2;
/// The application asked for a restart.
pub const BH_WAKE_REASON_REQUESTED: u32 = 3;
/// The owner asked for a restart.
pub const BH_WAKE_REASON_COMMANDED: u32 = 4;
/// An update was undone.
pub const BH_WAKE_REASON_REVERTED: u32 = 5;
/// The owner had the whole device restarted.
pub const BH_WAKE_REASON_DEVICE_RESTARTED: u32 = 6;
/// The hypervisor restarted itself after a fault of its own.
pub const BH_WAKE_REASON_HYPERVISOR_FAULT: u32 = 7;
/// No address yet.
pub const BH_NETWORK_STATUS_OFFLINE: u32 = 0;
/// Connecting or waiting to retry.
pub const BH_NETWORK_STATUS_CONNECTING: u32 = 1;
/// The server has answered.
pub const BH_NETWORK_STATUS_ONLINE: u32 = 2;
/// Policy: the link is kept at all times.
pub const BH_NETWORK_REASON_ALWAYS_CONNECTED: u32 = 1;
/// The wall clock is not known yet.
pub const BH_NETWORK_REASON_CLOCK_NOT_SET: u32 = 2;
/// A fault waits to be reported.
pub const BH_NETWORK_REASON_FAULT_TO_REPORT: u32 = 4;
/// Power came on and the server has not been asked yet.
pub const BH_NETWORK_REASON_COLD_BOOT: u32 = 8;
/// An update is being fetched.
pub const BH_NETWORK_REASON_FETCHING_UPDATE: u32 = 16;
/// There is no startable application.
pub const BH_NETWORK_REASON_NO_APPLICATION: u32 = 32;
/// Offline: the last attempt failed, the next waits for its time.
pub const BH_NETWORK_REASON_BACK_OFF: u32 = 64;
/// The application asked for the network.
pub const BH_NETWORK_REASON_APPLICATION_ASKED: u32 = 128;
/// No developer is attached.
pub const BH_DEBUG_NONE: u32 = 0;
/// A developer is attached and has not held the application since it started.
pub const BH_DEBUG_ATTACHED: u32 = 1;
/// A developer is attached, and held the application before: clocks ran on meanwhile.
pub const BH_DEBUG_HALTED_LAST: u32 = 2;
/// Power came on.
pub const BH_BOOT_REASON_POWER_ON: u32 = 0;
/// The hypervisor restarted itself after a fault of its own.
pub const BH_BOOT_REASON_HYPERVISOR_FAULT: u32 = 1;
/// The owner ordered it.
pub const BH_BOOT_REASON_COMMANDED: u32 = 2;
/// Taken: the owner sees it as delivered.
pub const BH_MESSAGE_OUTCOME_ACCEPTED: u32 = 0;
/// Of no use to this application: the owner sees it as refused.
pub const BH_MESSAGE_OUTCOME_REFUSED: u32 = 1;
/// The time was over.
pub const BH_WAKE_DEADLINE: u32 = 0;
/// A notification came.
pub const BH_WAKE_NOTIFICATION: u32 = 1;
/// TCP.
pub const BH_SOCKET_KIND_STREAM: u32 = 1;
/// UDP.
pub const BH_SOCKET_KIND_DATAGRAM: u32 = 2;
/// Opened; a stream waits to be told where to connect, a datagram socket works.
pub const BH_SOCKET_STATE_OPEN: u32 = 1;
/// The name is being looked up.
pub const BH_SOCKET_STATE_RESOLVING: u32 = 2;
/// The peer is being asked.
pub const BH_SOCKET_STATE_CONNECTING: u32 = 3;
/// Bytes can flow.
pub const BH_SOCKET_STATE_CONNECTED: u32 = 4;
/// The peer has sent all; what it sent can be received, and it can still be sent to.
pub const BH_SOCKET_STATE_PEER_DONE: u32 = 5;
/// Over; the reason says why. What had arrived can still be received.
pub const BH_SOCKET_STATE_CLOSED: u32 = 6;
/// It is not closed.
pub const BH_SOCKET_REASON_NONE: u32 = 0;
/// Both sides have sent all.
pub const BH_SOCKET_REASON_CLOSED_BY_PEER: u32 = 1;
/// Peer: nothing listens on that port.
pub const BH_SOCKET_REASON_REFUSED_BY_PEER: u32 = 2;
/// Peer: it broke the connection off.
pub const BH_SOCKET_REASON_RESET_BY_PEER: u32 = 3;
/// Peer or network: no answer within 20 s to a connect, or within 30 s to what was sent.
pub const BH_SOCKET_REASON_TIMED_OUT: u32 = 4;
/// Caller: there is no such name, or it has no IPv4 address.
pub const BH_SOCKET_REASON_NAME_UNKNOWN: u32 = 5;
/// Network: there is no resolver, or none answered.
pub const BH_SOCKET_REASON_RESOLVER_SILENT: u32 = 6;
/// Network: the address is in another network and there is no router.
pub const BH_SOCKET_REASON_NO_ROUTE: u32 = 7;
/// Caller: an address that is not the application's to reach; see the sockets page.
pub const BH_SOCKET_REASON_FORBIDDEN: u32 = 8;
/// Network: the device has no address, or lost it.
pub const BH_SOCKET_REASON_NETWORK_LOST: u32 = 9;
/// There is something to receive, or the peer has sent all.
pub const BH_SOCKET_EVENT_READABLE: u32 = 1;
/// There is room to send.
pub const BH_SOCKET_EVENT_WRITABLE: u32 = 2;
/// It is connected.
pub const BH_SOCKET_EVENT_CONNECTED: u32 = 4;
/// It is closed; its status says why.
pub const BH_SOCKET_EVENT_CLOSED: u32 = 8;
/// Stream sockets that may be open at a time.
pub const BH_SOCKET_STREAMS_MAX: u32 = 4;
/// Datagram sockets that may be open at a time.
pub const BH_SOCKET_DATAGRAMS_MAX: u32 = 2;
/// Most bytes of a stream that one call sends or receives.
pub const BH_SOCKET_TRANSFER_LEN_MAX: u32 = 512;
/// Longest datagram in bytes.
pub const BH_SOCKET_DATAGRAM_LEN_MAX: u32 = 1152;
/// Bytes of a stream that wait for the peer.
pub const BH_SOCKET_SEND_BUFFER_LEN: u32 = 768;
/// Bytes of a stream that wait for the application.
pub const BH_SOCKET_RECEIVE_BUFFER_LEN: u32 = 1024;
/// Longest host name or address text in bytes.
pub const BH_SOCKET_HOST_LEN_MAX: u32 = 253;
/// First local port that an application can choose.
pub const BH_SOCKET_LOCAL_PORT_FIRST: u32 = 1024;
/// Last local port that an application can choose.
pub const BH_SOCKET_LOCAL_PORT_LAST: u32 = 32767;
/// Bits of a notification's value that are the handle.
pub const BH_SOCKET_HANDLE_MASK: u32 = 16777215;
/// Shift of the events in a notification's value.
pub const BH_SOCKET_EVENT_SHIFT: u32 = 24;
/// Version of struct bh_socket_status that this header knows.
pub const BH_SOCKET_STATUS_VERSION: u32 = 1;
/// Version of struct bh_network_info that this header knows.
pub const BH_NETWORK_INFO_VERSION: u32 = 1;
/// As in C.
pub const BH_ABI_VERSION: u32 = 4;
/// As in C.
pub const BH_DEVICE_ID_LEN: u32 = 34;
/// As in C.
pub const BH_LOG_TEXT_LEN_MAX: u32 = 256;
/// As in C.
pub const BH_UPDATE_STATUS_VERSION: u32 = 2;
/// As in C.
pub const BH_STORAGE_INFO_VERSION: u32 = 1;
/// As in C.
pub const BH_STORAGE_TRANSFER_LEN_MAX: u32 = 256;
/// As in C.
pub const BH_LIMITS_VERSION: u32 = 2;
/// As in C.
pub const BH_DEBUG_STATE_VERSION: u32 = 1;
/// As in C.
pub const BH_MESSAGE_VERSION: u32 = 1;
/// As in C.
pub const BH_MESSAGE_QUEUE_VERSION: u32 = 1;
/// As in C.
pub const BH_CONFIG_VALUE_VERSION: u32 = 1;
/// As in C.
pub const BH_CONFIG_ENTRY_VERSION: u32 = 1;
/// As in C.
pub const BH_MESSAGE_LEN_MAX: u32 = 960;
/// As in C.
pub const BH_CONFIG_KEY_LEN_MAX: u32 = 32;
/// As in C.
pub const BH_CONFIG_VALUE_LEN_MAX: u32 = 512;
/// As in C.
pub const BH_RANDOM_LEN_MAX: u32 = 256;
/// Bytes of `struct bh_update_status`.
pub const SIZE_BH_UPDATE_STATUS: usize = 32;
/// Bytes of `struct bh_storage_info`.
pub const SIZE_BH_STORAGE_INFO: usize = 16;
/// Bytes of `struct bh_notification`.
pub const SIZE_BH_NOTIFICATION: usize = 16;
/// Bytes of `struct bh_limits`.
pub const SIZE_BH_LIMITS: usize = 164;
/// Bytes of `struct bh_debug_state`.
pub const SIZE_BH_DEBUG_STATE: usize = 16;
/// Bytes of `struct bh_message`.
pub const SIZE_BH_MESSAGE: usize = 16;
/// Bytes of `struct bh_message_queue`.
pub const SIZE_BH_MESSAGE_QUEUE: usize = 24;
/// Bytes of `struct bh_config_value`.
pub const SIZE_BH_CONFIG_VALUE: usize = 16;
/// Bytes of `struct bh_config_entry`.
pub const SIZE_BH_CONFIG_ENTRY: usize = 52;
/// Bytes of `struct bh_network_info`.
pub const SIZE_BH_NETWORK_INFO: usize = 24;
/// Bytes of `struct bh_socket_address`.
pub const SIZE_BH_SOCKET_ADDRESS: usize = 8;
/// Bytes of `struct bh_socket_status`.
pub const SIZE_BH_SOCKET_STATUS: usize = 32;
/// Slot of `bh_nop`. Does nothing and returns BH_STATUS_OK.
///
/// Answers BH_STATUS_OK.
pub const SLOT_BH_NOP: u32 = 0;
/// Slot of `bh_abi_version_read`. Writes the ABI version of this hypervisor.
///
/// Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED.
pub const SLOT_BH_ABI_VERSION_READ: u32 = 1;
/// Slot of `bh_device_id_read`. Writes the 34 characters of the device id, without a terminating zero.
///
/// Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_BUFFER_TOO_SMALL.
pub const SLOT_BH_DEVICE_ID_READ: u32 = 2;
/// Slot of `bh_clock_monotonic_read_us`. Writes the microseconds since power came on; never goes back.
///
/// Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED.
pub const SLOT_BH_CLOCK_MONOTONIC_READ_US: u32 = 3;
/// Slot of `bh_clock_wall_read_us`. Writes the microseconds since 1970-01-01 UTC. BH_STATUS_NOT_YET_KNOWN until the server told the time; may jump.
///
/// Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_NOT_YET_KNOWN.
pub const SLOT_BH_CLOCK_WALL_READ_US: u32 = 4;
/// Slot of `bh_log_write`. Queues one log record of 1 to 256 bytes; level 0 error to 4 trace. BH_STATUS_BUSY when the queue is full: the record is counted as lost.
///
/// Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_BUSY.
pub const SLOT_BH_LOG_WRITE: u32 = 5;
/// Slot of `bh_application_restart`. Asks the hypervisor to restart the application soon after this call returns.
///
/// Answers BH_STATUS_OK.
pub const SLOT_BH_APPLICATION_RESTART: u32 = 6;
/// Slot of `bh_wake_reason_read`. Writes a BH_WAKE_REASON_ value.
///
/// Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED.
pub const SLOT_BH_WAKE_REASON_READ: u32 = 7;
/// Slot of `bh_network_status_read`. Writes a BH_NETWORK_STATUS_ value.
///
/// Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED.
pub const SLOT_BH_NETWORK_STATUS_READ: u32 = 8;
/// Slot of `bh_network_reasons_read`. Writes the BH_NETWORK_REASON_ bits.
///
/// Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED.
pub const SLOT_BH_NETWORK_REASONS_READ: u32 = 9;
/// Slot of `bh_update_status_read`. Fills the struct whose version field the caller set to BH_UPDATE_STATUS_VERSION.
///
/// Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_VERSION_UNKNOWN.
pub const SLOT_BH_UPDATE_STATUS_READ: u32 = 10;
/// Slot of `bh_update_apply_now`. Applies a staged update now; the application is stopped soon after this call returns. BH_STATUS_NOTHING_PENDING when none is staged.
///
/// Answers BH_STATUS_OK, BH_STATUS_NOTHING_PENDING.
pub const SLOT_BH_UPDATE_APPLY_NOW: u32 = 11;
/// Slot of `bh_update_postpone`. Keeps a staged update waiting for up to 3,600 s from now and, unless the running bundle says otherwise, 86,400 s in all; the owner can override.
///
/// Answers BH_STATUS_OK, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_NOTHING_PENDING, BH_STATUS_LIMIT_REACHED.
pub const SLOT_BH_UPDATE_POSTPONE: u32 = 12;
/// Slot of `bh_update_confirm`. Says that the application works. A bundle may demand this within its trial; it is taken back otherwise.
///
/// Answers BH_STATUS_OK.
pub const SLOT_BH_UPDATE_CONFIRM: u32 = 13;
/// Slot of `bh_notification_enable`. Chooses the interrupt line, one of the application's own, that is pended when a notification arrives; 0xFFFFFFFF for none.
///
/// Answers BH_STATUS_OK, BH_STATUS_ARGUMENT_REFUSED.
pub const SLOT_BH_NOTIFICATION_ENABLE: u32 = 14;
/// Slot of `bh_notification_next`. Takes the oldest notification. BH_STATUS_NOTHING_PENDING when there is none.
///
/// Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_NOTHING_PENDING.
pub const SLOT_BH_NOTIFICATION_NEXT: u32 = 15;
/// Slot of `bh_storage_info_read`. Fills the struct whose version field the caller set to BH_STORAGE_INFO_VERSION. area is the id of an external area that the manifest says is the application's own.
///
/// Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_VERSION_UNKNOWN.
pub const SLOT_BH_STORAGE_INFO_READ: u32 = 16;
/// Slot of `bh_storage_read`. Begins to read 1 to 256 bytes of an own area; bh_storage_result_read fetches them.
///
/// Answers BH_STATUS_OK, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_BUSY, BH_STATUS_NOT_NOW.
pub const SLOT_BH_STORAGE_READ: u32 = 17;
/// Slot of `bh_storage_write`. Begins to program 1 to 256 bytes of an own area; bits only fall.
///
/// Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_BUSY, BH_STATUS_NOT_NOW.
pub const SLOT_BH_STORAGE_WRITE: u32 = 18;
/// Slot of `bh_storage_erase`. Begins to erase the sector of an own area that starts at offset, to 0xFF.
///
/// Answers BH_STATUS_OK, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_BUSY, BH_STATUS_NOT_NOW.
pub const SLOT_BH_STORAGE_ERASE: u32 = 19;
/// Slot of `bh_storage_result_read`. Ends what one of the three began: its outcome, and into buffer what was read. BH_STATUS_BUSY while it goes on, BH_STATUS_NOTHING_PENDING when nothing was begun.
///
/// Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_BUFFER_TOO_SMALL, BH_STATUS_BUSY, BH_STATUS_NOTHING_PENDING, BH_STATUS_HARDWARE_FAILED, BH_STATUS_NOT_ERASED, BH_STATUS_NOT_NOW.
pub const SLOT_BH_STORAGE_RESULT_READ: u32 = 20;
/// Slot of `bh_limits_read`. Fills the struct whose version field the caller set to BH_LIMITS_VERSION: every bound of this hypervisor.
///
/// Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_VERSION_UNKNOWN.
pub const SLOT_BH_LIMITS_READ: u32 = 21;
/// Slot of `bh_debug_state_read`. Fills the struct whose version field the caller set to BH_DEBUG_STATE_VERSION: whether a developer is attached, and how long the application was held.
///
/// Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_VERSION_UNKNOWN.
pub const SLOT_BH_DEBUG_STATE_READ: u32 = 22;
/// Slot of `bh_boot_reason_read`. Writes a BH_BOOT_REASON_ value: why the device itself started.
///
/// Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED.
pub const SLOT_BH_BOOT_REASON_READ: u32 = 23;
/// Slot of `bh_message_send`. Queues 1 to 960 bytes for the owner's server and, unless id is null, writes the message's id. BH_STATUS_BUSY when the queue is full.
///
/// Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_BUSY.
pub const SLOT_BH_MESSAGE_SEND: u32 = 24;
/// Slot of `bh_message_receive`. Fills the struct whose version field the caller set to BH_MESSAGE_VERSION and the buffer with the oldest message, which stays until bh_message_finish. BH_STATUS_NOTHING_PENDING when there is none; BH_STATUS_BUFFER_TOO_SMALL fills the struct alone.
///
/// Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_BUFFER_TOO_SMALL, BH_STATUS_VERSION_UNKNOWN, BH_STATUS_NOTHING_PENDING.
pub const SLOT_BH_MESSAGE_RECEIVE: u32 = 25;
/// Slot of `bh_message_finish`. Ends the oldest message, whose id bh_message_receive told, with a BH_MESSAGE_OUTCOME_; the owner sees it. BH_STATUS_NOT_FOUND when the oldest has another id.
///
/// Answers BH_STATUS_OK, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_NOT_FOUND.
pub const SLOT_BH_MESSAGE_FINISH: u32 = 26;
/// Slot of `bh_message_queue_read`. Fills the struct whose version field the caller set to BH_MESSAGE_QUEUE_VERSION: what waits, either way.
///
/// Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_VERSION_UNKNOWN.
pub const SLOT_BH_MESSAGE_QUEUE_READ: u32 = 27;
/// Slot of `bh_config_read`. Begins to read the value of a key of 1 to 32 bytes; bh_config_result_read fetches it. BH_STATUS_NOT_FOUND when there is no such key, BH_STATUS_BUSY when an earlier read was not ended.
///
/// Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_BUSY, BH_STATUS_NOT_FOUND.
pub const SLOT_BH_CONFIG_READ: u32 = 28;
/// Slot of `bh_config_result_read`. Ends what bh_config_read began: fills the struct whose version field the caller set to BH_CONFIG_VALUE_VERSION, and the buffer. BH_STATUS_BUSY while it goes on, BH_STATUS_NOTHING_PENDING when nothing was begun.
///
/// Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_BUFFER_TOO_SMALL, BH_STATUS_VERSION_UNKNOWN, BH_STATUS_BUSY, BH_STATUS_NOTHING_PENDING, BH_STATUS_HARDWARE_FAILED, BH_STATUS_NOT_FOUND.
pub const SLOT_BH_CONFIG_RESULT_READ: u32 = 29;
/// Slot of `bh_config_list`. Fills the struct whose version field the caller set to BH_CONFIG_ENTRY_VERSION with entry number index, from 0, in the order of keys. BH_STATUS_NOT_FOUND behind the last.
///
/// Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_VERSION_UNKNOWN, BH_STATUS_BUSY, BH_STATUS_NOT_FOUND.
pub const SLOT_BH_CONFIG_LIST: u32 = 30;
/// Slot of `bh_config_revision_read`. Writes the revision of the configuration that counts; 0 when the owner never set one.
///
/// Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED.
pub const SLOT_BH_CONFIG_REVISION_READ: u32 = 31;
/// Slot of `bh_power_sleep`. Says that the application has nothing to do for 1 to 86,400,000 ms, unless a notification comes. 0 ends such a sleep, for example when an interrupt of its own gave it something to do. Returns at once: wait with WFI.
///
/// Answers BH_STATUS_OK, BH_STATUS_ARGUMENT_REFUSED.
pub const SLOT_BH_POWER_SLEEP: u32 = 32;
/// Slot of `bh_power_wake_read`. Writes the BH_WAKE_ value that ended the sleep. BH_STATUS_BUSY while it goes on, BH_STATUS_NOTHING_PENDING when none was begun.
///
/// Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_BUSY, BH_STATUS_NOTHING_PENDING.
pub const SLOT_BH_POWER_WAKE_READ: u32 = 33;
/// Slot of `bh_network_request`. Says that the application wants the network: kept as a reason to be online until it is released or the application ends.
///
/// Answers BH_STATUS_OK.
pub const SLOT_BH_NETWORK_REQUEST: u32 = 40;
/// Slot of `bh_network_release`. Takes bh_network_request back. BH_STATUS_NOTHING_PENDING when nothing was requested.
///
/// Answers BH_STATUS_OK, BH_STATUS_NOTHING_PENDING.
pub const SLOT_BH_NETWORK_RELEASE: u32 = 41;
/// Slot of `bh_network_info_read`. Fills the struct whose version field the caller set to BH_NETWORK_INFO_VERSION. BH_STATUS_NOT_YET_KNOWN without an address.
///
/// Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_VERSION_UNKNOWN, BH_STATUS_NOT_YET_KNOWN.
pub const SLOT_BH_NETWORK_INFO_READ: u32 = 42;
/// Slot of `bh_socket_open`. Opens a socket of a BH_SOCKET_KIND_ and writes its handle, which is never 0. BH_STATUS_LIMIT_REACHED when all of the kind are in use.
///
/// Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_LIMIT_REACHED.
pub const SLOT_BH_SOCKET_OPEN: u32 = 43;
/// Slot of `bh_socket_connect`. Begins to connect to an IPv4 address in dots or a name. A datagram socket then sends to and hears that peer alone. BH_STATUS_BUSY while another name waits for its turn.
///
/// Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_BUSY, BH_STATUS_HANDLE_UNKNOWN.
pub const SLOT_BH_SOCKET_CONNECT: u32 = 44;
/// Slot of `bh_socket_bind`. Gives a datagram socket that was not used yet a local port from BH_SOCKET_LOCAL_PORT_FIRST to BH_SOCKET_LOCAL_PORT_LAST.
///
/// Answers BH_STATUS_OK, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_HANDLE_UNKNOWN.
pub const SLOT_BH_SOCKET_BIND: u32 = 45;
/// Slot of `bh_socket_send`. Takes as many bytes as there is room for, or one whole datagram, and writes how many. BH_STATUS_BUSY when there is no room.
///
/// Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_BUSY, BH_STATUS_HANDLE_UNKNOWN, BH_STATUS_NOT_CONNECTED.
pub const SLOT_BH_SOCKET_SEND: u32 = 46;
/// Slot of `bh_socket_receive`. Brings what has arrived, or one whole datagram. BH_STATUS_NOTHING_PENDING when nothing has, BH_STATUS_NOT_CONNECTED when nothing more will.
///
/// Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_BUFFER_TOO_SMALL, BH_STATUS_BUSY, BH_STATUS_NOTHING_PENDING, BH_STATUS_HANDLE_UNKNOWN, BH_STATUS_NOT_CONNECTED.
pub const SLOT_BH_SOCKET_RECEIVE: u32 = 47;
/// Slot of `bh_socket_send_to`. Sends one datagram to an address. BH_STATUS_BUSY when there is no room.
///
/// Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_BUSY, BH_STATUS_HANDLE_UNKNOWN, BH_STATUS_NOT_CONNECTED.
pub const SLOT_BH_SOCKET_SEND_TO: u32 = 48;
/// Slot of `bh_socket_receive_from`. Brings one datagram and who sent it; length_bytes holds the buffer's length before and the datagram's after. BH_STATUS_BUFFER_TOO_SMALL leaves it waiting.
///
/// Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_BUFFER_TOO_SMALL, BH_STATUS_BUSY, BH_STATUS_NOTHING_PENDING, BH_STATUS_HANDLE_UNKNOWN, BH_STATUS_NOT_CONNECTED.
pub const SLOT_BH_SOCKET_RECEIVE_FROM: u32 = 49;
/// Slot of `bh_socket_shutdown`. Says to a stream's peer that all was sent, once it was; receiving goes on.
///
/// Answers BH_STATUS_OK, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_HANDLE_UNKNOWN, BH_STATUS_NOT_CONNECTED.
pub const SLOT_BH_SOCKET_SHUTDOWN: u32 = 50;
/// Slot of `bh_socket_close`. Gives the handle back at once. What a stream was given to send is still sent, for 5 s at most.
///
/// Answers BH_STATUS_OK, BH_STATUS_HANDLE_UNKNOWN.
pub const SLOT_BH_SOCKET_CLOSE: u32 = 51;
/// Slot of `bh_socket_status_read`. Fills the struct whose version field the caller set to BH_SOCKET_STATUS_VERSION.
///
/// Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_VERSION_UNKNOWN, BH_STATUS_HANDLE_UNKNOWN.
pub const SLOT_BH_SOCKET_STATUS_READ: u32 = 52;
/// Slot of `bh_random_read`. Brings 1 to 256 random bytes, fit for keys. BH_STATUS_BUSY when fewer are ready: ask again, with time for the hypervisor to draw more.
///
/// Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_BUSY.
pub const SLOT_BH_RANDOM_READ: u32 = 53;
