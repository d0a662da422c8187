#include "bh_socket.h"

static uint64_t now_ms(void)
{
    uint64_t now_us = 0;
    bh_clock_monotonic_read_us(&now_us);
    return now_us / 1000u;
}

/* Whether there is time left; if there is, something else is done first. */
static int patience(uint64_t until_ms, bh_socket_idle idle)
{
    if (now_ms() >= until_ms) {
        return 0;
    }
    if (idle) {
        idle();
    } else {
        __asm volatile("wfi");
    }
    return 1;
}

bh_status bh_socket_wait_connected(uint32_t socket, uint32_t at_most_ms, bh_socket_idle idle, uint32_t *reason)
{
    uint64_t until_ms = now_ms() + at_most_ms;
    struct bh_socket_status status;
    do {
        status.version = BH_SOCKET_STATUS_VERSION;
        bh_status read = bh_socket_status_read(socket, &status);
        if (read != BH_STATUS_OK) {
            return read;
        }
        if (reason) {
            *reason = status.reason;
        }
        if (status.state == BH_SOCKET_STATE_CONNECTED || status.state == BH_SOCKET_STATE_PEER_DONE) {
            return BH_STATUS_OK;
        }
        if (status.state == BH_SOCKET_STATE_CLOSED) {
            return BH_STATUS_NOT_CONNECTED;
        }
    } while (patience(until_ms, idle));
    return BH_STATUS_BUSY;
}

bh_status bh_socket_dial(uint32_t *socket, const char *host, uint32_t port, uint32_t at_most_ms, bh_socket_idle idle,
                         uint32_t *reason)
{
    uint64_t until_ms = now_ms() + at_most_ms;
    uint32_t length = 0;
    while (host[length]) {
        length++;
    }
    bh_status status = bh_socket_open(BH_SOCKET_KIND_STREAM, socket);
    if (status != BH_STATUS_OK) {
        return status;
    }
    do {
        status = bh_socket_connect(*socket, host, length, port);
    } while (status == BH_STATUS_BUSY && patience(until_ms, idle));
    if (status == BH_STATUS_OK) {
        uint64_t now = now_ms();
        uint32_t left_ms = now < until_ms ? (uint32_t)(until_ms - now) : 0;
        status = bh_socket_wait_connected(*socket, left_ms, idle, reason);
    }
    if (status != BH_STATUS_OK) {
        bh_socket_close(*socket);
        *socket = 0;
    }
    return status;
}

bh_status bh_socket_send_all(uint32_t socket, const void *bytes, uint32_t length_bytes, uint32_t at_most_ms,
                             bh_socket_idle idle)
{
    uint64_t until_ms = now_ms() + at_most_ms;
    const char *at = bytes;
    while (length_bytes > 0) {
        uint32_t sent = 0;
        bh_status status = bh_socket_send(socket, at, length_bytes, &sent);
        if (status == BH_STATUS_BUSY) {
            if (!patience(until_ms, idle)) {
                return status;
            }
        } else if (status != BH_STATUS_OK) {
            return status;
        }
        at += sent;
        length_bytes -= sent;
    }
    return BH_STATUS_OK;
}

bh_status bh_socket_receive_some(uint32_t socket, void *buffer, uint32_t length_bytes, uint32_t *received_bytes,
                                 uint32_t at_most_ms, bh_socket_idle idle)
{
    uint64_t until_ms = now_ms() + at_most_ms;
    bh_status status;
    do {
        status = bh_socket_receive(socket, buffer, length_bytes, received_bytes);
    } while (status == BH_STATUS_NOTHING_PENDING && patience(until_ms, idle));
    return status;
}

bh_status bh_socket_receive_all(uint32_t socket, void *buffer, uint32_t length_bytes, uint32_t at_most_ms,
                                bh_socket_idle idle)
{
    uint64_t until_ms = now_ms() + at_most_ms;
    char *at = buffer;
    while (length_bytes > 0) {
        uint64_t now = now_ms();
        uint32_t left_ms = now < until_ms ? (uint32_t)(until_ms - now) : 0;
        uint32_t received = 0;
        bh_status status = bh_socket_receive_some(socket, at, length_bytes, &received, left_ms, idle);
        if (status != BH_STATUS_OK) {
            return status;
        }
        at += received;
        length_bytes -= received;
    }
    return BH_STATUS_OK;
}
