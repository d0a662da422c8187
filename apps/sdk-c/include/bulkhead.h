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

#define BH_ABI_VERSION 2u
#define BH_DEVICE_ID_LEN 34u
#define BH_LOG_TEXT_LEN_MAX 256u
#define BH_UPDATE_STATUS_VERSION 2u
#define BH_STORAGE_INFO_VERSION 1u
#define BH_STORAGE_TRANSFER_LEN_MAX 256u

typedef uint32_t bh_status;
/** Done. */
#define BH_STATUS_OK 0u
/** Caller: a pointer leads outside the application's own memory or is misaligned; nothing was done. */
#define BH_STATUS_POINTER_REFUSED 1u
/** Caller: an argument is outside its range; nothing was done. */
#define BH_STATUS_ARGUMENT_REFUSED 2u
/** Caller: the buffer is shorter than the answer. */
#define BH_STATUS_BUFFER_TOO_SMALL 3u
/** Caller: the struct's version field is not one this hypervisor knows. */
#define BH_STATUS_VERSION_UNKNOWN 4u
/** Caller: this hypervisor is older than the call. */
#define BH_STATUS_CALL_UNKNOWN 5u
/** Hypervisor: a queue is full; try again later. */
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

/** Power came on or the whole device restarted. */
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

struct bh_update_status {
    uint32_t version; /* in: BH_UPDATE_STATUS_VERSION */
    uint32_t stage;
    uint32_t pages_done;
    uint32_t pages_total;
    uint32_t pages_to_write;  /* once it is ready */
    uint32_t downtime_ms;     /* once it is ready: how long the application will stand still */
    uint32_t apply_in_s;      /* once it is ready: unless it is postponed further; else 0xFFFFFFFF */
    uint32_t postpone_left_s; /* once it is ready: no later than so many seconds from now */
};

struct bh_storage_info {
    uint32_t version; /* in: BH_STORAGE_INFO_VERSION */
    uint32_t length_bytes;
    uint32_t erase_bytes;
    uint32_t transfer_bytes_max;
};

struct bh_notification {
    uint64_t at_us;
    uint32_t kind;
    uint32_t value;
};

#define BH_GATEWAY(slot) (BH_BOARD_GATEWAYS + (slot) * 8u + 1u)

/** Does nothing and returns BH_STATUS_OK. */
static inline bh_status bh_nop(
    void)
{
    return ((bh_status (*)(void))BH_GATEWAY(0u))();
}

/** Writes the ABI version of this hypervisor. */
static inline bh_status bh_abi_version_read(
    uint32_t *version)
{
    return ((bh_status (*)(uint32_t *))BH_GATEWAY(1u))(version);
}

/** Writes the 34 characters of the device id, without a terminating zero. */
static inline bh_status bh_device_id_read(
    char *buffer, uint32_t length_bytes)
{
    return ((bh_status (*)(char *, uint32_t))BH_GATEWAY(2u))(buffer, length_bytes);
}

/** Writes the microseconds since power came on; never goes back. */
static inline bh_status bh_clock_monotonic_read_us(
    uint64_t *now_us)
{
    return ((bh_status (*)(uint64_t *))BH_GATEWAY(3u))(now_us);
}

/** Writes the microseconds since 1970-01-01 UTC. BH_STATUS_NOT_YET_KNOWN until the server told the time; may jump. */
static inline bh_status bh_clock_wall_read_us(
    uint64_t *now_us)
{
    return ((bh_status (*)(uint64_t *))BH_GATEWAY(4u))(now_us);
}

/** Queues one log record of at most 256 bytes; level 0 error to 4 trace. BH_STATUS_BUSY when the queue is full: the record is counted as lost. */
static inline bh_status bh_log_write(
    uint32_t level, const char *text, uint32_t length_bytes)
{
    return ((bh_status (*)(uint32_t, const char *, uint32_t))BH_GATEWAY(5u))(level, text, length_bytes);
}

/** Asks the hypervisor to restart the application soon after this call returns. */
static inline bh_status bh_application_restart(
    void)
{
    return ((bh_status (*)(void))BH_GATEWAY(6u))();
}

/** Writes a BH_WAKE_REASON_ value. */
static inline bh_status bh_wake_reason_read(
    uint32_t *reason)
{
    return ((bh_status (*)(uint32_t *))BH_GATEWAY(7u))(reason);
}

/** Writes a BH_NETWORK_STATUS_ value. */
static inline bh_status bh_network_status_read(
    uint32_t *status)
{
    return ((bh_status (*)(uint32_t *))BH_GATEWAY(8u))(status);
}

/** Writes the BH_NETWORK_REASON_ bits. */
static inline bh_status bh_network_reasons_read(
    uint32_t *reasons)
{
    return ((bh_status (*)(uint32_t *))BH_GATEWAY(9u))(reasons);
}

/** Fills the struct whose version field the caller set to BH_UPDATE_STATUS_VERSION. */
static inline bh_status bh_update_status_read(
    struct bh_update_status *status)
{
    return ((bh_status (*)(struct bh_update_status *))BH_GATEWAY(10u))(status);
}

/** Applies a staged update now; the application is stopped soon after this call returns. BH_STATUS_NOTHING_PENDING when none is staged. */
static inline bh_status bh_update_apply_now(
    void)
{
    return ((bh_status (*)(void))BH_GATEWAY(11u))();
}

/** Keeps a staged update waiting for up to 3,600 s from now and, unless the running bundle says otherwise, 86,400 s in all; the owner can override. */
static inline bh_status bh_update_postpone(
    uint32_t seconds)
{
    return ((bh_status (*)(uint32_t))BH_GATEWAY(12u))(seconds);
}

/** Says that the application works. A bundle may demand this within its trial; it is taken back otherwise. */
static inline bh_status bh_update_confirm(
    void)
{
    return ((bh_status (*)(void))BH_GATEWAY(13u))();
}

/** Chooses the interrupt line, one of the application's own, that is pended when a notification arrives; 0xFFFFFFFF for none. */
static inline bh_status bh_notification_enable(
    uint32_t interrupt)
{
    return ((bh_status (*)(uint32_t))BH_GATEWAY(14u))(interrupt);
}

/** Takes the oldest notification. BH_STATUS_NOTHING_PENDING when there is none. */
static inline bh_status bh_notification_next(
    struct bh_notification *notification)
{
    return ((bh_status (*)(struct bh_notification *))BH_GATEWAY(15u))(notification);
}

/** Fills the struct whose version field the caller set to BH_STORAGE_INFO_VERSION. area is the id of an external area that the manifest says is the application's own. */
static inline bh_status bh_storage_info_read(
    uint32_t area, struct bh_storage_info *info)
{
    return ((bh_status (*)(uint32_t, struct bh_storage_info *))BH_GATEWAY(16u))(area, info);
}

/** Begins to read 1 to 256 bytes of an own area; bh_storage_result_read fetches them. */
static inline bh_status bh_storage_read(
    uint32_t area, uint32_t offset, uint32_t length_bytes)
{
    return ((bh_status (*)(uint32_t, uint32_t, uint32_t))BH_GATEWAY(17u))(area, offset, length_bytes);
}

/** Begins to program 1 to 256 bytes of an own area; bits only fall. */
static inline bh_status bh_storage_write(
    uint32_t area, uint32_t offset, const void *bytes, uint32_t length_bytes)
{
    return ((bh_status (*)(uint32_t, uint32_t, const void *, uint32_t))BH_GATEWAY(18u))(area, offset, bytes, length_bytes);
}

/** Begins to erase the sector of an own area that starts at offset, to 0xFF. */
static inline bh_status bh_storage_erase(
    uint32_t area, uint32_t offset)
{
    return ((bh_status (*)(uint32_t, uint32_t))BH_GATEWAY(19u))(area, offset);
}

/** Ends what one of the three began: its outcome, and into buffer what was read. BH_STATUS_BUSY while it goes on, BH_STATUS_NOTHING_PENDING when nothing was begun. */
static inline bh_status bh_storage_result_read(
    void *buffer, uint32_t length_bytes)
{
    return ((bh_status (*)(void *, uint32_t))BH_GATEWAY(20u))(buffer, length_bytes);
}

#ifdef __cplusplus
}
#endif
#endif
