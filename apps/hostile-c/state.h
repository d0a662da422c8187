/* States of the hypervisor in which a call comes as far as its pointers: something waits for the application. */
#ifndef STATE_H
#define STATE_H

#include <stdint.h>

/* `tests/world-isolation` reads this enumeration, so that no number is written down twice. */
enum state {
    ANY_STATE = 0x0,
    /* The bytes of an own area of storage wait. */
    STORAGE_WAITS = 0x1,
    /* A notification waits. */
    NOTIFICATION_WAITS = 0x2,
    /* A message of the server's waits. */
    MESSAGE_WAITS = 0x3,
    /* A value of the configuration waits. */
    CONFIG_WAITS = 0x4,
    /* What ended a sleep waits. */
    WAKE_WAITS = 0x5,
    /* A datagram socket is connected. */
    DATAGRAM_OPEN = 0x6,
    /* The same, and the peer's datagram waits. */
    DATAGRAM_WAITS = 0x7,
    /* A stream is connected. */
    STREAM_OPEN = 0x8,
    /* The same, and bytes of the peer's wait. */
    STREAM_WAITS = 0x9,
};
#define STATES 10u

/* Brings the hypervisor there, if it is not there; 0 if it did not get there in time. */
int state_set_up(uint32_t state);
/* The socket of the state; 0 if the state is about none. */
uint32_t state_socket(uint32_t state);

#endif
