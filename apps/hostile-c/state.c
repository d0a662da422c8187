/* Brings the hypervisor into a state. The server of tests/world-isolation plays along: a message of its always waits, and
 * the value `peer` of the configuration names ports, UDP and TCP, that send back what they are sent. */
#include "state.h"

#include "bulkhead.h"

#define LONGEST_US 3000000u
#define AGAIN_US 100000u
#define AREA 3u
#define HOST "10.0.2.2"

static uint32_t datagram, stream;

static uint64_t now_us(void)
{
    uint64_t now = 0;
    bh_clock_monotonic_read_us(&now);
    return now;
}

static int storage_waits(void)
{
    switch (bh_storage_result_read(0, 0)) {
    case BH_STATUS_BUFFER_TOO_SMALL: return 1; /* Bytes wait, and no room was offered. */
    case BH_STATUS_NOTHING_PENDING: bh_storage_read(AREA, 0, 64); return 0;
    default: return 0;
    }
}

/* A notification that waits ends a sleep at once. */
static int notification_waits(void)
{
    static uint8_t read[64];
    uint32_t wake = BH_WAKE_DEADLINE;
    bh_power_sleep(1);
    while (bh_power_wake_read(&wake) == BH_STATUS_BUSY) {
    }
    if (wake == BH_WAKE_NOTIFICATION) {
        return 1;
    }
    if (storage_waits()) {
        bh_storage_result_read(read, sizeof read);
    }
    return 0;
}

static int message_waits(void)
{
    struct bh_message message = {.version = BH_MESSAGE_VERSION};
    return bh_message_receive(&message, 0, 0) == BH_STATUS_BUFFER_TOO_SMALL;
}

static int config_waits(void)
{
    struct bh_config_value value = {.version = BH_CONFIG_VALUE_VERSION};
    switch (bh_config_result_read(&value, 0, 0)) {
    case BH_STATUS_BUFFER_TOO_SMALL: return 1;
    case BH_STATUS_NOTHING_PENDING: bh_config_read("peer", 4); return 0;
    default: return 0;
    }
}

static int wake_waits(void)
{
    bh_power_sleep(1);
    uint64_t end = now_us() + 2000u;
    while (now_us() < end) {
    }
    return 1;
}

static int peer(uint16_t ports[2])
{
    struct bh_config_value value = {.version = BH_CONFIG_VALUE_VERSION};
    return config_waits() && bh_config_result_read(&value, ports, 4) == BH_STATUS_OK && value.length_bytes == 4;
}

static int open(uint32_t *socket, uint32_t kind)
{
    struct bh_socket_status status = {.version = BH_SOCKET_STATUS_VERSION};
    if (bh_socket_status_read(*socket, &status) == BH_STATUS_OK) {
        if (status.state == BH_SOCKET_STATE_CONNECTED) {
            return 1;
        }
        if (status.state != BH_SOCKET_STATE_OPEN && status.state != BH_SOCKET_STATE_PEER_DONE
            && status.state != BH_SOCKET_STATE_CLOSED) {
            return 0;
        }
        bh_socket_close(*socket);
    }
    uint16_t ports[2];
    if (peer(ports) && bh_socket_open(kind, socket) == BH_STATUS_OK) {
        bh_socket_connect(*socket, HOST, sizeof HOST - 1, ports[kind == BH_SOCKET_KIND_STREAM]);
    }
    return 0;
}

static int arrived(uint32_t *socket, uint32_t kind)
{
    static uint64_t asked_at;
    struct bh_socket_status status = {.version = BH_SOCKET_STATUS_VERSION};
    uint32_t sent = 0;
    if (!open(socket, kind) || bh_socket_status_read(*socket, &status) != BH_STATUS_OK) {
        return 0;
    }
    if (status.readable_bytes == 0 && now_us() > asked_at + AGAIN_US) {
        asked_at = now_us();
        bh_socket_send(*socket, "hello peer, send this back as is", 32, &sent);
    }
    return status.readable_bytes != 0;
}

static int reached(uint32_t state)
{
    switch (state) {
    case STORAGE_WAITS: return storage_waits();
    case NOTIFICATION_WAITS: return notification_waits();
    case MESSAGE_WAITS: return message_waits();
    case CONFIG_WAITS: return config_waits();
    case WAKE_WAITS: return wake_waits();
    case DATAGRAM_OPEN: return open(&datagram, BH_SOCKET_KIND_DATAGRAM);
    case DATAGRAM_WAITS: return arrived(&datagram, BH_SOCKET_KIND_DATAGRAM);
    case STREAM_OPEN: return open(&stream, BH_SOCKET_KIND_STREAM);
    case STREAM_WAITS: return arrived(&stream, BH_SOCKET_KIND_STREAM);
    default: return 1;
    }
}

int state_set_up(uint32_t state)
{
    uint64_t end = now_us() + LONGEST_US;
    while (!reached(state)) {
        if (now_us() > end) {
            return 0;
        }
    }
    return 1;
}

uint32_t state_socket(uint32_t state)
{
    switch (state) {
    case DATAGRAM_OPEN:
    case DATAGRAM_WAITS: return datagram;
    case STREAM_OPEN:
    case STREAM_WAITS: return stream;
    default: return 0;
    }
}
