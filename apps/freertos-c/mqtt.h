/* As much of MQTT 3.1.1 as a device needs that reports and is told: connect, publish and subscribe with quality 0, ping.
 * No memory but the caller's. Every function waits by letting other tasks run. */
#ifndef MQTT_H
#define MQTT_H

#include <stdint.h>

#define MQTT_PACKET_LEN_MAX 512u

struct mqtt {
    uint32_t socket;
    uint32_t received; /* bytes of `packet` */
    uint8_t packet[MQTT_PACKET_LEN_MAX];
};

/** What ends a conversation, beside the BH_STATUS_ values of the socket. */
#define MQTT_OK 0u
#define MQTT_NOTHING 1000u      /* no message within the time */
#define MQTT_REFUSED 1001u      /* the broker does not let us in */
#define MQTT_TOO_LONG 1002u     /* a packet longer than MQTT_PACKET_LEN_MAX */
#define MQTT_NOT_UNDERSTOOD 1003u /* the broker breaks the protocol */

/** Connects over a socket that is connected already. */
uint32_t mqtt_connect(struct mqtt *mqtt, uint32_t socket, const char *client, uint16_t keep_alive_s);
uint32_t mqtt_publish(struct mqtt *mqtt, const char *topic, const char *text);
uint32_t mqtt_subscribe(struct mqtt *mqtt, const char *topic);
uint32_t mqtt_ping(struct mqtt *mqtt);
/** The next message's payload, which lies in `mqtt` until the next call. */
uint32_t mqtt_next(struct mqtt *mqtt, uint32_t at_most_ms, const uint8_t **payload, uint32_t *length);

#endif
