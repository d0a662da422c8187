/* Sockets for a task or a program that has nothing else to do meanwhile: these wait, the calls of bulkhead.h do not.
 *
 * Each takes the longest time to wait, in milliseconds. While they wait they call `idle`, or sleep until the next
 * interrupt if it is 0; under an operating system, give it a function that lets other tasks run. None may be called from
 * an interrupt handler. */
#ifndef BH_SOCKET_H
#define BH_SOCKET_H

#include "bulkhead.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What is done while one waits. */
typedef void (*bh_socket_idle)(void);

/** Waits until the socket is connected. BH_STATUS_NOT_CONNECTED: it is closed; *reason, if not 0, says why.
 * BH_STATUS_BUSY: the time is over. */
bh_status bh_socket_wait_connected(uint32_t socket, uint32_t at_most_ms, bh_socket_idle idle, uint32_t *reason);

/** Opens a stream and connects it to a name or an address in dots. A socket that could not connect is closed. */
bh_status bh_socket_dial(uint32_t *socket, const char *host, uint32_t port, uint32_t at_most_ms, bh_socket_idle idle,
                         uint32_t *reason);

/** Sends all of a stream's bytes. BH_STATUS_BUSY: the time is over, and some may be sent. */
bh_status bh_socket_send_all(uint32_t socket, const void *bytes, uint32_t length_bytes, uint32_t at_most_ms,
                             bh_socket_idle idle);

/** Receives what comes next, at least one byte or one datagram. BH_STATUS_NOTHING_PENDING: the time is over. */
bh_status bh_socket_receive_some(uint32_t socket, void *buffer, uint32_t length_bytes, uint32_t *received_bytes,
                                 uint32_t at_most_ms, bh_socket_idle idle);

/** Receives exactly so many bytes of a stream. */
bh_status bh_socket_receive_all(uint32_t socket, void *buffer, uint32_t length_bytes, uint32_t at_most_ms,
                                bh_socket_idle idle);

#ifdef __cplusplus
}
#endif
#endif
