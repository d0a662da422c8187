#include "mqtt.h"

#include <FreeRTOS.h>
#include <task.h>

#include "bh_socket.h"

#define CONNECT 0x10u
#define CONNECT_ANSWER 0x20u
#define PUBLISH 0x30u
#define SUBSCRIBE 0x82u
#define SUBSCRIBE_ANSWER 0x90u
#define PING 0xC0u
#define ANSWER_MS 10000u
#define LENGTH_BYTES_MAX 4u

static void idle(void)
{
    vTaskDelay(1);
}

struct writer {
    uint8_t *bytes;
    uint32_t at;
};

static void put(struct writer *to, uint32_t byte)
{
    if (to->at < MQTT_PACKET_LEN_MAX) {
        to->bytes[to->at] = (uint8_t)byte;
    }
    to->at++;
}

static void put_text(struct writer *to, const char *text)
{
    uint32_t length = 0;
    while (text[length]) {
        length++;
    }
    put(to, length >> 8);
    put(to, length);
    for (uint32_t i = 0; i < length; i++) {
        put(to, (uint8_t)text[i]);
    }
}

/* Room for the type and a length of two bytes is kept before the body. */
static struct writer begin(struct mqtt *mqtt)
{
    struct writer writer = {mqtt->packet, 3};
    return writer;
}

static uint32_t finish(struct mqtt *mqtt, struct writer *writer, uint32_t type)
{
    uint32_t body = writer->at - 3u;
    if (writer->at > MQTT_PACKET_LEN_MAX) {
        return MQTT_TOO_LONG;
    }
    mqtt->packet[0] = (uint8_t)type;
    mqtt->packet[1] = (uint8_t)(0x80u | (body & 0x7Fu));
    mqtt->packet[2] = (uint8_t)(body >> 7);
    return bh_socket_send_all(mqtt->socket, mqtt->packet, writer->at, ANSWER_MS, idle);
}

/* One packet: its type, and its body from the start of `packet` on. */
static uint32_t read_packet(struct mqtt *mqtt, uint32_t at_most_ms, uint32_t *type)
{
    uint8_t byte = 0;
    uint32_t status = bh_socket_receive_all(mqtt->socket, &byte, 1, at_most_ms, idle);
    if (status != BH_STATUS_OK) {
        return status == BH_STATUS_NOTHING_PENDING ? MQTT_NOTHING : status;
    }
    *type = byte;
    uint32_t length = 0, digits = 0;
    do {
        status = bh_socket_receive_all(mqtt->socket, &byte, 1, ANSWER_MS, idle);
        if (status != BH_STATUS_OK) {
            return status;
        }
        if (digits == LENGTH_BYTES_MAX) {
            return MQTT_NOT_UNDERSTOOD;
        }
        length |= (uint32_t)(byte & 0x7Fu) << (7u * digits++);
    } while (byte & 0x80u);
    if (length > MQTT_PACKET_LEN_MAX) {
        return MQTT_TOO_LONG;
    }
    mqtt->received = length;
    return bh_socket_receive_all(mqtt->socket, mqtt->packet, length, ANSWER_MS, idle);
}

uint32_t mqtt_connect(struct mqtt *mqtt, uint32_t socket, const char *client, uint16_t keep_alive_s)
{
    mqtt->socket = socket;
    struct writer writer = begin(mqtt);
    put_text(&writer, "MQTT");
    put(&writer, 4); /* 3.1.1 */
    put(&writer, 2); /* a clean session */
    put(&writer, keep_alive_s >> 8);
    put(&writer, keep_alive_s);
    put_text(&writer, client);
    uint32_t type = 0, status = finish(mqtt, &writer, CONNECT);
    if (status == MQTT_OK) {
        status = read_packet(mqtt, ANSWER_MS, &type);
    }
    if (status != MQTT_OK) {
        return status;
    }
    if (type != CONNECT_ANSWER || mqtt->received != 2) {
        return MQTT_NOT_UNDERSTOOD;
    }
    return mqtt->packet[1] == 0 ? MQTT_OK : MQTT_REFUSED;
}

uint32_t mqtt_publish(struct mqtt *mqtt, const char *topic, const char *text)
{
    struct writer writer = begin(mqtt);
    put_text(&writer, topic);
    while (*text) {
        put(&writer, (uint8_t)*text++);
    }
    return finish(mqtt, &writer, PUBLISH);
}

uint32_t mqtt_subscribe(struct mqtt *mqtt, const char *topic)
{
    struct writer writer = begin(mqtt);
    put(&writer, 0);
    put(&writer, 1); /* packet identifier */
    put_text(&writer, topic);
    put(&writer, 0); /* quality */
    uint32_t type = 0, status = finish(mqtt, &writer, SUBSCRIBE);
    if (status == MQTT_OK) {
        status = read_packet(mqtt, ANSWER_MS, &type);
    }
    if (status != MQTT_OK) {
        return status;
    }
    if (type != SUBSCRIBE_ANSWER || mqtt->received != 3) {
        return MQTT_NOT_UNDERSTOOD;
    }
    return mqtt->packet[2] == 0 ? MQTT_OK : MQTT_REFUSED;
}

uint32_t mqtt_ping(struct mqtt *mqtt)
{
    struct writer writer = begin(mqtt);
    return finish(mqtt, &writer, PING);
}

uint32_t mqtt_next(struct mqtt *mqtt, uint32_t at_most_ms, const uint8_t **payload, uint32_t *length)
{
    uint32_t type = 0, status = read_packet(mqtt, at_most_ms, &type);
    if (status != MQTT_OK) {
        return status;
    }
    if ((type & 0xF0u) != PUBLISH) {
        return MQTT_NOTHING; /* the answer to a ping */
    }
    uint32_t topic = mqtt->received < 2 ? MQTT_PACKET_LEN_MAX : ((uint32_t)mqtt->packet[0] << 8 | mqtt->packet[1]);
    if (topic + 2u > mqtt->received || (type & 0x06u)) {
        return MQTT_NOT_UNDERSTOOD; /* we asked for quality 0, so no identifier stands before the payload */
    }
    *payload = mqtt->packet + 2u + topic;
    *length = mqtt->received - 2u - topic;
    return MQTT_OK;
}
