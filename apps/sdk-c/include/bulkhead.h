/* bulkhead.h: what an application may ask of the hypervisor.
 * Generated from portable/syscall-abi; do not edit. Every call returns a bh_status and never waits.
 * All may be called from interrupt handlers. */
#ifndef BULKHEAD_H
#define BULKHEAD_H

#include <stdint.h>
#include "bh_board.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BH_ABI_VERSION 4u
#define BH_DEVICE_ID_LEN 34u
#define BH_LOG_TEXT_LEN_MAX 256u
#define BH_UPDATE_STATUS_VERSION 2u
#define BH_STORAGE_INFO_VERSION 1u
#define BH_STORAGE_TRANSFER_LEN_MAX 256u
#define BH_LIMITS_VERSION 2u
#define BH_DEBUG_STATE_VERSION 1u
#define BH_MESSAGE_VERSION 1u
#define BH_MESSAGE_QUEUE_VERSION 1u
#define BH_CONFIG_VALUE_VERSION 1u
#define BH_CONFIG_ENTRY_VERSION 1u
#define BH_MESSAGE_LEN_MAX 960u
#define BH_CONFIG_KEY_LEN_MAX 32u
#define BH_CONFIG_VALUE_LEN_MAX 512u
#define BH_RANDOM_LEN_MAX 256u
#define BH_SOCKET_STREAMS_MAX 4u
#define BH_SOCKET_DATAGRAMS_MAX 2u
#define BH_SOCKET_TRANSFER_LEN_MAX 512u
#define BH_SOCKET_DATAGRAM_LEN_MAX 1152u
#define BH_SOCKET_SEND_BUFFER_LEN 768u
#define BH_SOCKET_RECEIVE_BUFFER_LEN 1024u
#define BH_SOCKET_HOST_LEN_MAX 253u
#define BH_SOCKET_LOCAL_PORT_FIRST 1024u
#define BH_SOCKET_LOCAL_PORT_LAST 32767u
#define BH_SOCKET_HANDLE_MASK 16777215u
#define BH_SOCKET_EVENT_SHIFT 24u
#define BH_SOCKET_STATUS_VERSION 1u
#define BH_NETWORK_INFO_VERSION 1u

typedef uint32_t bh_status;
/** Done. */
#define BH_STATUS_OK 0u
/** Caller: a pointer leads outside the application's own memory; nothing was done. */
#define BH_STATUS_POINTER_REFUSED 1u
/** Caller: an argument is outside its range; nothing was done. */
#define BH_STATUS_ARGUMENT_REFUSED 2u
/** Caller: the buffer is shorter than the answer. */
#define BH_STATUS_BUFFER_TOO_SMALL 3u
/** Caller: the struct's version field is not one this hypervisor knows. */
#define BH_STATUS_VERSION_UNKNOWN 4u
/** Caller: this hypervisor is older than the call. */
#define BH_STATUS_CALL_UNKNOWN 5u
/** Hypervisor: not yet. A queue is full, less is ready than was asked for, or what was begun still goes on: try again later. Or an earlier one waits for its result to be read: read it first. */
#define BH_STATUS_BUSY 6u
/** State: there is nothing to fetch or to act on. */
#define BH_STATUS_NOTHING_PENDING 7u
/** State: the value is not known yet, for example the wall clock before the first connect. */
#define BH_STATUS_NOT_YET_KNOWN 8u
/** Caller: the allowed total is used up, for example the longest postponement. */
#define BH_STATUS_LIMIT_REACHED 9u
/** Hardware: flash did not do, or did not keep, what was asked of it; what it holds there is uncertain. */
#define BH_STATUS_HARDWARE_FAILED 10u
/** Caller: bits would have to rise; erase the sector first. Nothing was done. */
#define BH_STATUS_NOT_ERASED 11u
/** State: not while an update is being applied. */
#define BH_STATUS_NOT_NOW 12u
/** State: there is nothing of that key or number. */
#define BH_STATUS_NOT_FOUND 21u
/** Caller: no open socket of its own has this handle. */
#define BH_STATUS_HANDLE_UNKNOWN 24u
/** State: the socket is not connected yet, or not any more; its status says why. */
#define BH_STATUS_NOT_CONNECTED 25u

/** The link came up (value 1) or went down (value 0). */
#define BH_NOTIFICATION_NETWORK_CHANGED 1u
/** The update entered the stage in value. */
#define BH_NOTIFICATION_UPDATE_PROGRESS 2u
/** An update is staged; value is the pages to be written. Apply or postpone. */
#define BH_NOTIFICATION_UPDATE_READY 3u
/** The wall clock became known or was corrected. */
#define BH_NOTIFICATION_CLOCK_SET 4u
/** What was begun on the application's own storage has ended; value is its BH_STATUS_. */
#define BH_NOTIFICATION_STORAGE_DONE 5u
/** Something rose on a socket; value is its handle and, in bits 31 to 24, BH_SOCKET_EVENT_ bits. */
#define BH_NOTIFICATION_SOCKET_CHANGED 6u
/** A message of the owner's has come; value is its id. */
#define BH_NOTIFICATION_MESSAGE_ARRIVED 14u
/** The server has stored the messages up to the id in value. */
#define BH_NOTIFICATION_MESSAGE_STORED 15u
/** Another configuration counts now; value is its revision. */
#define BH_NOTIFICATION_CONFIG_CHANGED 16u
/** What bh_config_read began has ended; value is its BH_STATUS_. */
#define BH_NOTIFICATION_CONFIG_DONE 17u
/** The deadline of bh_power_sleep has come; value is 0. */
#define BH_NOTIFICATION_SLEEP_ENDED 18u

/** Nothing to do. */
#define BH_UPDATE_STAGE_IDLE 0u
/** The manifest is fetched and checked. */
#define BH_UPDATE_STAGE_CHECKING 1u
/** The bundle was refused. */
#define BH_UPDATE_STAGE_REFUSED 2u
/** Pages are fetched and staged. */
#define BH_UPDATE_STAGE_STAGING 3u
/** Staged and verified. */
#define BH_UPDATE_STAGE_READY 4u
/** Pages are written. */
#define BH_UPDATE_STAGE_APPLYING 5u
/** Applied and committed. */
#define BH_UPDATE_STAGE_COMMITTED 6u
/** The old application is being put back. */
#define BH_UPDATE_STAGE_REVERTING 7u
/** The old application was put back. */
#define BH_UPDATE_STAGE_REVERTED 8u
/** Failed before anything was changed. */
#define BH_UPDATE_STAGE_FAILED 9u
/** Applied and started; not kept yet. */
#define BH_UPDATE_STAGE_TRIAL 10u
/** Given up on the owner's order. */
#define BH_UPDATE_STAGE_CANCELLED 11u

/** Power came on. */
#define BH_WAKE_REASON_POWER_ON 0u
/** An update was applied. */
#define BH_WAKE_REASON_UPDATED 1u
/** The application was stopped by a fault and its back-off is over. */
#define BH_WAKE_REASON_FAULTED 2u
/** The application asked for a restart. */
#define BH_WAKE_REASON_REQUESTED 3u
/** The owner asked for a restart. */
#define BH_WAKE_REASON_COMMANDED 4u
/** An update was undone. */
#define BH_WAKE_REASON_REVERTED 5u
/** The owner had the whole device restarted. */
#define BH_WAKE_REASON_DEVICE_RESTARTED 6u
/** The hypervisor restarted itself after a fault of its own. */
#define BH_WAKE_REASON_HYPERVISOR_FAULT 7u

/** No address yet. */
#define BH_NETWORK_STATUS_OFFLINE 0u
/** Connecting or waiting to retry. */
#define BH_NETWORK_STATUS_CONNECTING 1u
/** The server has answered. */
#define BH_NETWORK_STATUS_ONLINE 2u

/** Policy: the link is kept at all times. */
#define BH_NETWORK_REASON_ALWAYS_CONNECTED 1u
/** The wall clock is not known yet. */
#define BH_NETWORK_REASON_CLOCK_NOT_SET 2u
/** A fault waits to be reported. */
#define BH_NETWORK_REASON_FAULT_TO_REPORT 4u
/** Power came on and the server has not been asked yet. */
#define BH_NETWORK_REASON_COLD_BOOT 8u
/** An update is being fetched. */
#define BH_NETWORK_REASON_FETCHING_UPDATE 16u
/** There is no startable application. */
#define BH_NETWORK_REASON_NO_APPLICATION 32u
/** Offline: the last attempt failed, the next waits for its time. */
#define BH_NETWORK_REASON_BACK_OFF 64u
/** The application asked for the network. */
#define BH_NETWORK_REASON_APPLICATION_ASKED 128u

/** No developer is attached. */
#define BH_DEBUG_NONE 0u
/** A developer is attached and has not held the application since it started. */
#define BH_DEBUG_ATTACHED 1u
/** A developer is attached, and held the application before: clocks ran on meanwhile. */
#define BH_DEBUG_HALTED_LAST 2u

/** Power came on. */
#define BH_BOOT_REASON_POWER_ON 0u
/** The hypervisor restarted itself after a fault of its own. */
#define BH_BOOT_REASON_HYPERVISOR_FAULT 1u
/** The owner ordered it. */
#define BH_BOOT_REASON_COMMANDED 2u

/** Taken: the owner sees it as delivered. */
#define BH_MESSAGE_OUTCOME_ACCEPTED 0u
/** Of no use to this application: the owner sees it as refused. */
#define BH_MESSAGE_OUTCOME_REFUSED 1u

/** The time was over. */
#define BH_WAKE_DEADLINE 0u
/** A notification came. */
#define BH_WAKE_NOTIFICATION 1u

/** TCP. */
#define BH_SOCKET_KIND_STREAM 1u
/** UDP. */
#define BH_SOCKET_KIND_DATAGRAM 2u

/** Opened; a stream waits to be told where to connect, a datagram socket works. */
#define BH_SOCKET_STATE_OPEN 1u
/** The name is being looked up. */
#define BH_SOCKET_STATE_RESOLVING 2u
/** The peer is being asked. */
#define BH_SOCKET_STATE_CONNECTING 3u
/** Bytes can flow. */
#define BH_SOCKET_STATE_CONNECTED 4u
/** The peer has sent all; what it sent can be received, and it can still be sent to. */
#define BH_SOCKET_STATE_PEER_DONE 5u
/** Over; the reason says why. What had arrived can still be received. */
#define BH_SOCKET_STATE_CLOSED 6u

/** It is not closed. */
#define BH_SOCKET_REASON_NONE 0u
/** Both sides have sent all. */
#define BH_SOCKET_REASON_CLOSED_BY_PEER 1u
/** Peer: nothing listens on that port. */
#define BH_SOCKET_REASON_REFUSED_BY_PEER 2u
/** Peer: it broke the connection off. */
#define BH_SOCKET_REASON_RESET_BY_PEER 3u
/** Peer or network: no answer within 20 s to a connect, or within 30 s to what was sent. */
#define BH_SOCKET_REASON_TIMED_OUT 4u
/** Caller: there is no such name, or it has no IPv4 address. */
#define BH_SOCKET_REASON_NAME_UNKNOWN 5u
/** Network: there is no resolver, or none answered. */
#define BH_SOCKET_REASON_RESOLVER_SILENT 6u
/** Network: the address is in another network and there is no router. */
#define BH_SOCKET_REASON_NO_ROUTE 7u
/** Caller: an address that is not the application's to reach; see the sockets page. */
#define BH_SOCKET_REASON_FORBIDDEN 8u
/** Network: the device has no address, or lost it. */
#define BH_SOCKET_REASON_NETWORK_LOST 9u

/** There is something to receive, or the peer has sent all. */
#define BH_SOCKET_EVENT_READABLE 1u
/** There is room to send. */
#define BH_SOCKET_EVENT_WRITABLE 2u
/** It is connected. */
#define BH_SOCKET_EVENT_CONNECTED 4u
/** It is closed; its status says why. */
#define BH_SOCKET_EVENT_CLOSED 8u

struct bh_update_status {
    uint32_t version; /* in: BH_UPDATE_STATUS_VERSION */
    uint32_t stage; /* a BH_UPDATE_STAGE_ value */
    uint32_t pages_done; /* in this stage */
    uint32_t pages_total; /* of this stage */
    uint32_t pages_to_write; /* once it is ready: those that applying it will write */
    uint32_t downtime_ms; /* once it is ready: how long the application will stand still, as an estimate */
    uint32_t apply_in_s; /* once it is ready: unless it is postponed further; else 0xFFFFFFFF */
    uint32_t postpone_left_s; /* once it is ready: no later than so many seconds from now */
};

struct bh_storage_info {
    uint32_t version; /* in: BH_STORAGE_INFO_VERSION */
    uint32_t length_bytes; /* of the area */
    uint32_t erase_bytes; /* that one erase clears; erases start at a multiple of it */
    uint32_t transfer_bytes_max; /* that one call reads or writes */
};

struct bh_notification {
    uint64_t at_us; /* since power came on */
    uint32_t kind; /* a BH_NOTIFICATION_ value */
    uint32_t value; /* what it means depends on the kind */
};

struct bh_limits {
    uint32_t version; /* in: BH_LIMITS_VERSION */
    uint32_t abi_version; /* as bh_abi_version_read */
    uint32_t log_text_len_max; /* bytes of one log record */
    uint32_t log_queue_bytes; /* room for log records that wait, headers included */
    uint32_t notifications_max; /* that wait; with more, the oldest is dropped */
    uint32_t storage_areas_max; /* areas of its own that a manifest can declare */
    uint32_t storage_transfer_len_max; /* bytes of one read or write of storage */
    uint32_t message_len_max; /* bytes of one message, either way */
    uint32_t message_queue_bytes; /* room for messages that wait, each way, headers included */
    uint32_t message_header_bytes; /* what a message takes of that room beside its bytes */
    uint32_t messages_max; /* that wait, each way */
    uint32_t config_keys_max; /* keys of the configuration */
    uint32_t config_key_len_max; /* bytes of one key */
    uint32_t config_value_len_max; /* bytes of one value */
    uint32_t postpone_call_max_s; /* longest postponement of an update by one call */
    uint32_t postpone_total_s; /* of all calls together, unless the running bundle says otherwise */
    uint32_t update_grace_s; /* an update that is ready and not answered is applied after it */
    uint32_t sleep_max_ms; /* longest sleep of one call */
    uint32_t interrupt_lines_max; /* lines that a board can give to the application */
    uint32_t stuck_limit_ms; /* in handlers or with interrupts masked for so long, the application is stopped */
    uint32_t back_off_first_ms; /* first wait after a fault; it doubles with each further one */
    uint32_t back_off_max_ms; /* longest wait */
    uint32_t healthy_after_ms; /* without a fault for so long, the waits begin anew */
    uint32_t slots; /* gateways in the page; those without a call answer BH_STATUS_CALL_UNKNOWN */
    uint32_t reserved; /* 0 */
    uint32_t socket_streams_max; /* stream sockets open at a time */
    uint32_t socket_datagrams_max; /* datagram sockets open at a time */
    uint32_t socket_transfer_len_max; /* bytes of a stream that one call sends or receives */
    uint32_t socket_datagram_len_max; /* bytes of one datagram */
    uint32_t socket_send_buffer_bytes; /* of a stream that wait for the peer */
    uint32_t socket_receive_buffer_bytes; /* of a stream that wait for the application */
    uint32_t socket_datagrams_waiting_max; /* each way on one socket, if they are short */
    uint32_t socket_host_len_max; /* bytes of a host name or address text */
    uint32_t socket_local_port_first; /* that an application can choose */
    uint32_t socket_local_port_last; /* that an application can choose */
    uint32_t socket_connect_ms; /* longest wait for a peer to accept, and for the name before that */
    uint32_t socket_answer_ms; /* longest time in which a peer acknowledges nothing of what waits */
    uint32_t socket_close_ms; /* longest time in which a closed stream sends its rest */
    uint32_t socket_resolver_ms; /* longest wait for one resolver */
    uint32_t socket_neighbour_ms; /* longest time that a datagram waits for its neighbour's address */
    uint32_t random_len_max; /* random bytes of one call */
};

struct bh_debug_state {
    uint32_t version; /* in: BH_DEBUG_STATE_VERSION */
    uint32_t state; /* a BH_DEBUG_ value */
    uint32_t halts; /* times that it was held since it started */
    uint32_t held_ms; /* how long it was held in all since it started */
};

struct bh_message {
    uint32_t version; /* in: BH_MESSAGE_VERSION */
    uint32_t id; /* for bh_message_finish; the same message again has the same id */
    uint32_t topic; /* chosen by the sender */
    uint32_t length_bytes; /* of its body */
};

struct bh_message_queue {
    uint32_t version; /* in: BH_MESSAGE_QUEUE_VERSION */
    uint32_t outgoing; /* messages that the server has not stored yet */
    uint32_t outgoing_free_bytes; /* longest message that bh_message_send would take now */
    uint32_t outgoing_stored_id; /* id up to which the server has stored messages; 0 for none */
    uint32_t incoming; /* messages that wait for the application */
    uint32_t incoming_free_bytes; /* longest message that could arrive now */
};

struct bh_config_value {
    uint32_t version; /* in: BH_CONFIG_VALUE_VERSION */
    uint32_t value_version; /* rises each time the owner sets this key */
    uint32_t length_bytes; /* of the value */
    uint32_t secret; /* 1 if the owner said that it is a secret; 0 if not */
};

struct bh_config_entry {
    uint32_t version; /* in: BH_CONFIG_ENTRY_VERSION */
    uint32_t value_version; /* rises each time the owner sets this key */
    uint32_t length_bytes; /* of the value */
    uint32_t secret; /* 1 if the owner said that it is a secret; 0 if not */
    uint32_t key_length_bytes; /* of the key */
    char key[BH_CONFIG_KEY_LEN_MAX]; /* zeros behind it; none if it is of the greatest length */
};

struct bh_network_info {
    uint32_t version; /* in: BH_NETWORK_INFO_VERSION */
    uint8_t address[4]; /* the device's own */
    uint32_t prefix_len; /* in bits */
    uint8_t router[4]; /* 0.0.0.0: none */
    uint8_t resolvers[2][4]; /* 0.0.0.0: none */
};

struct bh_socket_address {
    uint8_t address[4]; /* in the order in which it is written */
    uint16_t port; /* of TCP or UDP */
    uint16_t reserved; /* 0 */
};

struct bh_socket_status {
    uint32_t version; /* in: BH_SOCKET_STATUS_VERSION */
    uint32_t state; /* a BH_SOCKET_STATE_ value */
    uint32_t reason; /* a BH_SOCKET_REASON_ value: why it is closed */
    uint32_t readable_bytes; /* what bh_socket_receive would bring now */
    uint32_t writable_bytes; /* what bh_socket_send would take now */
    uint32_t local_port; /* 0: none yet */
    struct bh_socket_address peer; /* whom it is connected to, or will be */
};

#define BH_GATEWAY(slot) (BH_BOARD_GATEWAYS + (slot) * 8u + 1u)

/* Enters a gateway. r12 holds the caller's stack pointer: by it the hypervisor tells tasks apart that an operating
 * system switches in the middle of a call. */
static inline bh_status bh_call_0(uint32_t slot)
{
    register uint32_t r0 __asm("r0");
    register uint32_t r1 __asm("r1");
    register uint32_t r2 __asm("r2");
    register uint32_t r3 __asm("r3");
    __asm volatile("mov r12, sp\n\tblx %[gateway]"
                   : "=r"(r0), "=r"(r1), "=r"(r2), "=r"(r3)
                   : [gateway] "r"(BH_GATEWAY(slot))
                   : "r12", "lr", "cc", "memory");
    return r0;
}
static inline bh_status bh_call_1(uint32_t slot, uint32_t argument_0)
{
    register uint32_t r0 __asm("r0") = argument_0;
    register uint32_t r1 __asm("r1");
    register uint32_t r2 __asm("r2");
    register uint32_t r3 __asm("r3");
    __asm volatile("mov r12, sp\n\tblx %[gateway]"
                   : "+r"(r0), "=r"(r1), "=r"(r2), "=r"(r3)
                   : [gateway] "r"(BH_GATEWAY(slot))
                   : "r12", "lr", "cc", "memory");
    return r0;
}
static inline bh_status bh_call_2(uint32_t slot, uint32_t argument_0, uint32_t argument_1)
{
    register uint32_t r0 __asm("r0") = argument_0;
    register uint32_t r1 __asm("r1") = argument_1;
    register uint32_t r2 __asm("r2");
    register uint32_t r3 __asm("r3");
    __asm volatile("mov r12, sp\n\tblx %[gateway]"
                   : "+r"(r0), "+r"(r1), "=r"(r2), "=r"(r3)
                   : [gateway] "r"(BH_GATEWAY(slot))
                   : "r12", "lr", "cc", "memory");
    return r0;
}
static inline bh_status bh_call_3(uint32_t slot, uint32_t argument_0, uint32_t argument_1, uint32_t argument_2)
{
    register uint32_t r0 __asm("r0") = argument_0;
    register uint32_t r1 __asm("r1") = argument_1;
    register uint32_t r2 __asm("r2") = argument_2;
    register uint32_t r3 __asm("r3");
    __asm volatile("mov r12, sp\n\tblx %[gateway]"
                   : "+r"(r0), "+r"(r1), "+r"(r2), "=r"(r3)
                   : [gateway] "r"(BH_GATEWAY(slot))
                   : "r12", "lr", "cc", "memory");
    return r0;
}
static inline bh_status bh_call_4(uint32_t slot, uint32_t argument_0, uint32_t argument_1, uint32_t argument_2, uint32_t argument_3)
{
    register uint32_t r0 __asm("r0") = argument_0;
    register uint32_t r1 __asm("r1") = argument_1;
    register uint32_t r2 __asm("r2") = argument_2;
    register uint32_t r3 __asm("r3") = argument_3;
    __asm volatile("mov r12, sp\n\tblx %[gateway]"
                   : "+r"(r0), "+r"(r1), "+r"(r2), "+r"(r3)
                   : [gateway] "r"(BH_GATEWAY(slot))
                   : "r12", "lr", "cc", "memory");
    return r0;
}

/** Does nothing and returns BH_STATUS_OK.
 *  Answers BH_STATUS_OK. */
static inline bh_status bh_nop(void)
{
    return bh_call_0(0u);
}

/** Writes the ABI version of this hypervisor.
 *  Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED. */
static inline bh_status bh_abi_version_read(uint32_t *version)
{
    return bh_call_1(1u, (uint32_t)(uintptr_t)version);
}

/** Writes the 34 characters of the device id, without a terminating zero.
 *  Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_BUFFER_TOO_SMALL. */
static inline bh_status bh_device_id_read(char *buffer, uint32_t length_bytes)
{
    return bh_call_2(2u, (uint32_t)(uintptr_t)buffer, (uint32_t)length_bytes);
}

/** Writes the microseconds since power came on; never goes back.
 *  Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED. */
static inline bh_status bh_clock_monotonic_read_us(uint64_t *now_us)
{
    return bh_call_1(3u, (uint32_t)(uintptr_t)now_us);
}

/** Writes the microseconds since 1970-01-01 UTC. BH_STATUS_NOT_YET_KNOWN until the server told the time; may jump.
 *  Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_NOT_YET_KNOWN. */
static inline bh_status bh_clock_wall_read_us(uint64_t *now_us)
{
    return bh_call_1(4u, (uint32_t)(uintptr_t)now_us);
}

/** Queues one log record of 1 to 256 bytes; level 0 error to 4 trace. BH_STATUS_BUSY when the queue is full: the record is counted as lost.
 *  Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_BUSY. */
static inline bh_status bh_log_write(uint32_t level, const char *text, uint32_t length_bytes)
{
    return bh_call_3(5u, (uint32_t)level, (uint32_t)(uintptr_t)text, (uint32_t)length_bytes);
}

/** Asks the hypervisor to restart the application soon after this call returns.
 *  Answers BH_STATUS_OK. */
static inline bh_status bh_application_restart(void)
{
    return bh_call_0(6u);
}

/** Writes a BH_WAKE_REASON_ value.
 *  Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED. */
static inline bh_status bh_wake_reason_read(uint32_t *reason)
{
    return bh_call_1(7u, (uint32_t)(uintptr_t)reason);
}

/** Writes a BH_NETWORK_STATUS_ value.
 *  Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED. */
static inline bh_status bh_network_status_read(uint32_t *status)
{
    return bh_call_1(8u, (uint32_t)(uintptr_t)status);
}

/** Writes the BH_NETWORK_REASON_ bits.
 *  Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED. */
static inline bh_status bh_network_reasons_read(uint32_t *reasons)
{
    return bh_call_1(9u, (uint32_t)(uintptr_t)reasons);
}

/** Fills the struct whose version field the caller set to BH_UPDATE_STATUS_VERSION.
 *  Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_VERSION_UNKNOWN. */
static inline bh_status bh_update_status_read(struct bh_update_status *status)
{
    return bh_call_1(10u, (uint32_t)(uintptr_t)status);
}

/** Applies a staged update now; the application is stopped soon after this call returns. BH_STATUS_NOTHING_PENDING when none is staged.
 *  Answers BH_STATUS_OK, BH_STATUS_NOTHING_PENDING. */
static inline bh_status bh_update_apply_now(void)
{
    return bh_call_0(11u);
}

/** Keeps a staged update waiting for up to 3,600 s from now and, unless the running bundle says otherwise, 86,400 s in all; the owner can override.
 *  Answers BH_STATUS_OK, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_NOTHING_PENDING, BH_STATUS_LIMIT_REACHED. */
static inline bh_status bh_update_postpone(uint32_t seconds)
{
    return bh_call_1(12u, (uint32_t)seconds);
}

/** Says that the application works. A bundle may demand this within its trial; it is taken back otherwise.
 *  Answers BH_STATUS_OK. */
static inline bh_status bh_update_confirm(void)
{
    return bh_call_0(13u);
}

/** Chooses the interrupt line, one of the application's own, that is pended when a notification arrives; 0xFFFFFFFF for none.
 *  Answers BH_STATUS_OK, BH_STATUS_ARGUMENT_REFUSED. */
static inline bh_status bh_notification_enable(uint32_t interrupt)
{
    return bh_call_1(14u, (uint32_t)interrupt);
}

/** Takes the oldest notification. BH_STATUS_NOTHING_PENDING when there is none.
 *  Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_NOTHING_PENDING. */
static inline bh_status bh_notification_next(struct bh_notification *notification)
{
    return bh_call_1(15u, (uint32_t)(uintptr_t)notification);
}

/** Fills the struct whose version field the caller set to BH_STORAGE_INFO_VERSION. area is the id of an external area that the manifest says is the application's own.
 *  Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_VERSION_UNKNOWN. */
static inline bh_status bh_storage_info_read(uint32_t area, struct bh_storage_info *info)
{
    return bh_call_2(16u, (uint32_t)area, (uint32_t)(uintptr_t)info);
}

/** Begins to read 1 to 256 bytes of an own area; bh_storage_result_read fetches them.
 *  Answers BH_STATUS_OK, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_BUSY, BH_STATUS_NOT_NOW. */
static inline bh_status bh_storage_read(uint32_t area, uint32_t offset, uint32_t length_bytes)
{
    return bh_call_3(17u, (uint32_t)area, (uint32_t)offset, (uint32_t)length_bytes);
}

/** Begins to program 1 to 256 bytes of an own area; bits only fall.
 *  Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_BUSY, BH_STATUS_NOT_NOW. */
static inline bh_status bh_storage_write(uint32_t area, uint32_t offset, const void *bytes, uint32_t length_bytes)
{
    return bh_call_4(18u, (uint32_t)area, (uint32_t)offset, (uint32_t)(uintptr_t)bytes, (uint32_t)length_bytes);
}

/** Begins to erase the sector of an own area that starts at offset, to 0xFF.
 *  Answers BH_STATUS_OK, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_BUSY, BH_STATUS_NOT_NOW. */
static inline bh_status bh_storage_erase(uint32_t area, uint32_t offset)
{
    return bh_call_2(19u, (uint32_t)area, (uint32_t)offset);
}

/** Ends what one of the three began: its outcome, and into buffer what was read. BH_STATUS_BUSY while it goes on, BH_STATUS_NOTHING_PENDING when nothing was begun.
 *  Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_BUFFER_TOO_SMALL, BH_STATUS_BUSY, BH_STATUS_NOTHING_PENDING, BH_STATUS_HARDWARE_FAILED, BH_STATUS_NOT_ERASED, BH_STATUS_NOT_NOW. */
static inline bh_status bh_storage_result_read(void *buffer, uint32_t length_bytes)
{
    return bh_call_2(20u, (uint32_t)(uintptr_t)buffer, (uint32_t)length_bytes);
}

/** Fills the struct whose version field the caller set to BH_LIMITS_VERSION: every bound of this hypervisor.
 *  Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_VERSION_UNKNOWN. */
static inline bh_status bh_limits_read(struct bh_limits *limits)
{
    return bh_call_1(21u, (uint32_t)(uintptr_t)limits);
}

/** Fills the struct whose version field the caller set to BH_DEBUG_STATE_VERSION: whether a developer is attached, and how long the application was held.
 *  Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_VERSION_UNKNOWN. */
static inline bh_status bh_debug_state_read(struct bh_debug_state *state)
{
    return bh_call_1(22u, (uint32_t)(uintptr_t)state);
}

/** Writes a BH_BOOT_REASON_ value: why the device itself started.
 *  Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED. */
static inline bh_status bh_boot_reason_read(uint32_t *reason)
{
    return bh_call_1(23u, (uint32_t)(uintptr_t)reason);
}

/** Queues 1 to 960 bytes for the owner's server and, unless id is null, writes the message's id. BH_STATUS_BUSY when the queue is full.
 *  Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_BUSY. */
static inline bh_status bh_message_send(uint32_t topic, const void *bytes, uint32_t length_bytes, uint32_t *id)
{
    return bh_call_4(24u, (uint32_t)topic, (uint32_t)(uintptr_t)bytes, (uint32_t)length_bytes, (uint32_t)(uintptr_t)id);
}

/** Fills the struct whose version field the caller set to BH_MESSAGE_VERSION and the buffer with the oldest message, which stays until bh_message_finish. BH_STATUS_NOTHING_PENDING when there is none; BH_STATUS_BUFFER_TOO_SMALL fills the struct alone.
 *  Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_BUFFER_TOO_SMALL, BH_STATUS_VERSION_UNKNOWN, BH_STATUS_NOTHING_PENDING. */
static inline bh_status bh_message_receive(struct bh_message *message, void *buffer, uint32_t length_bytes)
{
    return bh_call_3(25u, (uint32_t)(uintptr_t)message, (uint32_t)(uintptr_t)buffer, (uint32_t)length_bytes);
}

/** Ends the oldest message, whose id bh_message_receive told, with a BH_MESSAGE_OUTCOME_; the owner sees it. BH_STATUS_NOT_FOUND when the oldest has another id.
 *  Answers BH_STATUS_OK, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_NOT_FOUND. */
static inline bh_status bh_message_finish(uint32_t id, uint32_t outcome)
{
    return bh_call_2(26u, (uint32_t)id, (uint32_t)outcome);
}

/** Fills the struct whose version field the caller set to BH_MESSAGE_QUEUE_VERSION: what waits, either way.
 *  Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_VERSION_UNKNOWN. */
static inline bh_status bh_message_queue_read(struct bh_message_queue *queue)
{
    return bh_call_1(27u, (uint32_t)(uintptr_t)queue);
}

/** Begins to read the value of a key of 1 to 32 bytes; bh_config_result_read fetches it. BH_STATUS_NOT_FOUND when there is no such key, BH_STATUS_BUSY when an earlier read was not ended.
 *  Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_BUSY, BH_STATUS_NOT_FOUND. */
static inline bh_status bh_config_read(const char *key, uint32_t length_bytes)
{
    return bh_call_2(28u, (uint32_t)(uintptr_t)key, (uint32_t)length_bytes);
}

/** Ends what bh_config_read began: fills the struct whose version field the caller set to BH_CONFIG_VALUE_VERSION, and the buffer. BH_STATUS_BUSY while it goes on, BH_STATUS_NOTHING_PENDING when nothing was begun.
 *  Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_BUFFER_TOO_SMALL, BH_STATUS_VERSION_UNKNOWN, BH_STATUS_BUSY, BH_STATUS_NOTHING_PENDING, BH_STATUS_HARDWARE_FAILED, BH_STATUS_NOT_FOUND. */
static inline bh_status bh_config_result_read(struct bh_config_value *value, void *buffer, uint32_t length_bytes)
{
    return bh_call_3(29u, (uint32_t)(uintptr_t)value, (uint32_t)(uintptr_t)buffer, (uint32_t)length_bytes);
}

/** Fills the struct whose version field the caller set to BH_CONFIG_ENTRY_VERSION with entry number index, from 0, in the order of keys. BH_STATUS_NOT_FOUND behind the last.
 *  Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_VERSION_UNKNOWN, BH_STATUS_BUSY, BH_STATUS_NOT_FOUND. */
static inline bh_status bh_config_list(uint32_t index, struct bh_config_entry *entry)
{
    return bh_call_2(30u, (uint32_t)index, (uint32_t)(uintptr_t)entry);
}

/** Writes the revision of the configuration that counts; 0 when the owner never set one.
 *  Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED. */
static inline bh_status bh_config_revision_read(uint32_t *revision)
{
    return bh_call_1(31u, (uint32_t)(uintptr_t)revision);
}

/** Says that the application has nothing to do for 1 to 86,400,000 ms, unless a notification comes. 0 ends such a sleep, for example when an interrupt of its own gave it something to do. Returns at once: wait with WFI.
 *  Answers BH_STATUS_OK, BH_STATUS_ARGUMENT_REFUSED. */
static inline bh_status bh_power_sleep(uint32_t milliseconds)
{
    return bh_call_1(32u, (uint32_t)milliseconds);
}

/** Writes the BH_WAKE_ value that ended the sleep. BH_STATUS_BUSY while it goes on, BH_STATUS_NOTHING_PENDING when none was begun.
 *  Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_BUSY, BH_STATUS_NOTHING_PENDING. */
static inline bh_status bh_power_wake_read(uint32_t *wake)
{
    return bh_call_1(33u, (uint32_t)(uintptr_t)wake);
}

/** Says that the application wants the network: kept as a reason to be online until it is released or the application ends.
 *  Answers BH_STATUS_OK. */
static inline bh_status bh_network_request(void)
{
    return bh_call_0(40u);
}

/** Takes bh_network_request back. BH_STATUS_NOTHING_PENDING when nothing was requested.
 *  Answers BH_STATUS_OK, BH_STATUS_NOTHING_PENDING. */
static inline bh_status bh_network_release(void)
{
    return bh_call_0(41u);
}

/** Fills the struct whose version field the caller set to BH_NETWORK_INFO_VERSION. BH_STATUS_NOT_YET_KNOWN without an address.
 *  Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_VERSION_UNKNOWN, BH_STATUS_NOT_YET_KNOWN. */
static inline bh_status bh_network_info_read(struct bh_network_info *info)
{
    return bh_call_1(42u, (uint32_t)(uintptr_t)info);
}

/** Opens a socket of a BH_SOCKET_KIND_ and writes its handle, which is never 0. BH_STATUS_LIMIT_REACHED when all of the kind are in use.
 *  Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_LIMIT_REACHED. */
static inline bh_status bh_socket_open(uint32_t kind, uint32_t *socket)
{
    return bh_call_2(43u, (uint32_t)kind, (uint32_t)(uintptr_t)socket);
}

/** Begins to connect to an IPv4 address in dots or a name. A datagram socket then sends to and hears that peer alone. BH_STATUS_BUSY while another name waits for its turn.
 *  Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_BUSY, BH_STATUS_HANDLE_UNKNOWN. */
static inline bh_status bh_socket_connect(uint32_t socket, const char *host, uint32_t length_bytes, uint32_t port)
{
    return bh_call_4(44u, (uint32_t)socket, (uint32_t)(uintptr_t)host, (uint32_t)length_bytes, (uint32_t)port);
}

/** Gives a datagram socket that was not used yet a local port from BH_SOCKET_LOCAL_PORT_FIRST to BH_SOCKET_LOCAL_PORT_LAST.
 *  Answers BH_STATUS_OK, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_HANDLE_UNKNOWN. */
static inline bh_status bh_socket_bind(uint32_t socket, uint32_t port)
{
    return bh_call_2(45u, (uint32_t)socket, (uint32_t)port);
}

/** Takes as many bytes as there is room for, or one whole datagram, and writes how many. BH_STATUS_BUSY when there is no room.
 *  Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_BUSY, BH_STATUS_HANDLE_UNKNOWN, BH_STATUS_NOT_CONNECTED. */
static inline bh_status bh_socket_send(uint32_t socket, const void *bytes, uint32_t length_bytes, uint32_t *sent_bytes)
{
    return bh_call_4(46u, (uint32_t)socket, (uint32_t)(uintptr_t)bytes, (uint32_t)length_bytes, (uint32_t)(uintptr_t)sent_bytes);
}

/** Brings what has arrived, or one whole datagram. BH_STATUS_NOTHING_PENDING when nothing has, BH_STATUS_NOT_CONNECTED when nothing more will.
 *  Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_BUFFER_TOO_SMALL, BH_STATUS_BUSY, BH_STATUS_NOTHING_PENDING, BH_STATUS_HANDLE_UNKNOWN, BH_STATUS_NOT_CONNECTED. */
static inline bh_status bh_socket_receive(uint32_t socket, void *buffer, uint32_t length_bytes, uint32_t *received_bytes)
{
    return bh_call_4(47u, (uint32_t)socket, (uint32_t)(uintptr_t)buffer, (uint32_t)length_bytes, (uint32_t)(uintptr_t)received_bytes);
}

/** Sends one datagram to an address. BH_STATUS_BUSY when there is no room.
 *  Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_BUSY, BH_STATUS_HANDLE_UNKNOWN, BH_STATUS_NOT_CONNECTED. */
static inline bh_status bh_socket_send_to(uint32_t socket, const struct bh_socket_address *to, const void *bytes, uint32_t length_bytes)
{
    return bh_call_4(48u, (uint32_t)socket, (uint32_t)(uintptr_t)to, (uint32_t)(uintptr_t)bytes, (uint32_t)length_bytes);
}

/** Brings one datagram and who sent it; length_bytes holds the buffer's length before and the datagram's after. BH_STATUS_BUFFER_TOO_SMALL leaves it waiting.
 *  Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_BUFFER_TOO_SMALL, BH_STATUS_BUSY, BH_STATUS_NOTHING_PENDING, BH_STATUS_HANDLE_UNKNOWN, BH_STATUS_NOT_CONNECTED. */
static inline bh_status bh_socket_receive_from(uint32_t socket, struct bh_socket_address *from, void *buffer, uint32_t *length_bytes)
{
    return bh_call_4(49u, (uint32_t)socket, (uint32_t)(uintptr_t)from, (uint32_t)(uintptr_t)buffer, (uint32_t)(uintptr_t)length_bytes);
}

/** Says to a stream's peer that all was sent, once it was; receiving goes on.
 *  Answers BH_STATUS_OK, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_HANDLE_UNKNOWN, BH_STATUS_NOT_CONNECTED. */
static inline bh_status bh_socket_shutdown(uint32_t socket)
{
    return bh_call_1(50u, (uint32_t)socket);
}

/** Gives the handle back at once. What a stream was given to send is still sent, for 5 s at most.
 *  Answers BH_STATUS_OK, BH_STATUS_HANDLE_UNKNOWN. */
static inline bh_status bh_socket_close(uint32_t socket)
{
    return bh_call_1(51u, (uint32_t)socket);
}

/** Fills the struct whose version field the caller set to BH_SOCKET_STATUS_VERSION.
 *  Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_VERSION_UNKNOWN, BH_STATUS_HANDLE_UNKNOWN. */
static inline bh_status bh_socket_status_read(uint32_t socket, struct bh_socket_status *status)
{
    return bh_call_2(52u, (uint32_t)socket, (uint32_t)(uintptr_t)status);
}

/** Brings 1 to 256 random bytes, fit for keys. BH_STATUS_BUSY when fewer are ready: ask again, with time for the hypervisor to draw more.
 *  Answers BH_STATUS_OK, BH_STATUS_POINTER_REFUSED, BH_STATUS_ARGUMENT_REFUSED, BH_STATUS_BUSY. */
static inline bh_status bh_random_read(void *buffer, uint32_t length_bytes)
{
    return bh_call_2(53u, (uint32_t)(uintptr_t)buffer, (uint32_t)length_bytes);
}

#ifdef __cplusplus
}
#endif
#endif
