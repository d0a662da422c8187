#include "bh_services.h"

static void idle(void)
{
    __asm volatile("wfi");
}

static uint32_t length_of(const char *text)
{
    uint32_t length = 0;
    while (text[length]) {
        length++;
    }
    return length;
}

bh_status bh_message_take(struct bh_message *message, void *buffer, uint32_t length_bytes)
{
    for (;;) {
        message->version = BH_MESSAGE_VERSION;
        bh_status status = bh_message_receive(message, buffer, length_bytes);
        if (status == BH_STATUS_BUFFER_TOO_SMALL) {
            bh_message_finish(message->id, BH_MESSAGE_OUTCOME_REFUSED);
            continue;
        }
        return status == BH_STATUS_OK ? bh_message_finish(message->id, BH_MESSAGE_OUTCOME_ACCEPTED) : status;
    }
}

bh_status bh_message_send_text(uint32_t topic, const char *text, uint32_t *id)
{
    return bh_message_send(topic, text, length_of(text), id);
}

bh_status bh_config_get_wait(const char *key, struct bh_config_value *value, void *buffer, uint32_t length_bytes)
{
    bh_status status;
    while ((status = bh_config_read(key, length_of(key))) == BH_STATUS_BUSY) {
        idle();
    }
    if (status != BH_STATUS_OK) {
        return status;
    }
    value->version = BH_CONFIG_VALUE_VERSION;
    while ((status = bh_config_result_read(value, buffer, length_bytes)) == BH_STATUS_BUSY) {
        idle();
    }
    if (status == BH_STATUS_BUFFER_TOO_SMALL) {
        /* Nobody else could read before this one is ended. */
        char rest[BH_CONFIG_VALUE_LEN_MAX];
        bh_config_result_read(value, rest, sizeof rest);
    }
    return status;
}

bh_status bh_power_sleep_wait(uint32_t milliseconds, volatile uint32_t *until_interrupt, uint32_t *wake)
{
    bh_status status = bh_power_sleep(milliseconds);
    if (status != BH_STATUS_OK) {
        return status;
    }
    while ((status = bh_power_wake_read(wake)) == BH_STATUS_BUSY) {
        if (until_interrupt && *until_interrupt) {
            bh_power_sleep(0); /* Nobody else knows that there is something to do. */
            return BH_STATUS_BUSY;
        }
        idle();
    }
    return status;
}

bh_status bh_random_fill_wait(void *buffer, uint32_t length_bytes)
{
    uint8_t *at = buffer;
    while (length_bytes > 0) {
        uint32_t piece = length_bytes < BH_RANDOM_LEN_MAX ? length_bytes : BH_RANDOM_LEN_MAX;
        bh_status status = bh_random_read(at, piece);
        if (status == BH_STATUS_OK) {
            at += piece;
            length_bytes -= piece;
        } else if (status != BH_STATUS_BUSY) {
            return status;
        }
    }
    return BH_STATUS_OK;
}
