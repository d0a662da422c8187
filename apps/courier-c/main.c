/* An application that speaks with its owner: it answers each message, and tells its configuration.
 *
 * Messages of topic 9 are refused; of all others it says what they hold and sends the same back, one topic higher.
 * Letters typed on its console: `m` sends a message, `b` sends until the queue is full, `h` leaves messages waiting
 * until the next `h`, `q` tells the queues, `c` tells the configuration, `z` sleeps for half a second, `d` tells what a
 * developer does, `l` tells some limits. */
#include "bh_console.h"
#include "bh_services.h"
#include "bulkhead.h"

#define REFUSED_TOPIC 9u

static char line[BH_LOG_TEXT_LEN_MAX];
static char body[BH_MESSAGE_LEN_MAX + 8];
static uint32_t sent;
static int holding;

static void say(char *end)
{
    *end = 0;
    bh_log_text(2, line);
    bh_console_write(line);
    bh_console_write("\n");
}

static void say_number(const char *what, uint32_t number)
{
    say(bh_text_append_number(bh_text_append(line, what), number));
}

static char *append_bytes(char *to, const char *bytes, uint32_t length)
{
    for (uint32_t i = 0; i < length && i < 80; i++) {
        *to++ = bytes[i] >= ' ' && bytes[i] <= '~' ? bytes[i] : '.';
    }
    return to;
}

static void tell_entry(const struct bh_config_entry *entry)
{
    char key[BH_CONFIG_KEY_LEN_MAX + 1] = {0};
    for (uint32_t i = 0; i < entry->key_length_bytes; i++) {
        key[i] = entry->key[i];
    }
    struct bh_config_value value;
    bh_status status = bh_config_get_wait(key, &value, body, sizeof body);
    char *end = bh_text_append(line, entry->secret ? "secret " : "config ");
    end = bh_text_append(end, key);
    if (status != BH_STATUS_OK) {
        end = bh_text_append(end, " cannot be read: status ");
        say(bh_text_append_number(end, status));
        return;
    }
    uint32_t sum = 0;
    for (uint32_t i = 0; i < value.length_bytes; i++) {
        sum += (unsigned char)body[i];
    }
    if (value.secret) {
        /* Not the secret: its length and the sum of its bytes. */
        end = bh_text_append_number(bh_text_append(end, " length "), value.length_bytes);
        end = bh_text_append_number(bh_text_append(end, " sum "), sum);
    } else {
        end = append_bytes(bh_text_append(end, "="), body, value.length_bytes);
    }
    say(end);
}

static void tell_config(void)
{
    struct bh_config_entry entry = {.version = BH_CONFIG_ENTRY_VERSION};
    bh_status status;
    for (uint32_t index = 0; (status = bh_config_list(index, &entry)) != BH_STATUS_NOT_FOUND; index++) {
        while (status == BH_STATUS_BUSY) {
            __asm volatile("wfi");
            status = bh_config_list(index, &entry);
        }
        if (status != BH_STATUS_OK) {
            break;
        }
        tell_entry(&entry);
    }
    uint32_t revision = 0;
    bh_config_revision_read(&revision);
    say_number("configuration revision ", revision);
}

static void answer(const struct bh_message *message)
{
    char *end = bh_text_append_number(bh_text_append(line, "got topic "), message->topic);
    end = bh_text_append_number(bh_text_append(end, " length "), message->length_bytes);
    say(append_bytes(bh_text_append(end, ": "), body, message->length_bytes));
    if (message->topic == REFUSED_TOPIC) {
        bh_message_finish(message->id, BH_MESSAGE_OUTCOME_REFUSED);
        return;
    }
    bh_status status = bh_message_send(message->topic + 1, body, message->length_bytes, 0);
    if (status == BH_STATUS_OK) {
        bh_message_finish(message->id, BH_MESSAGE_OUTCOME_ACCEPTED);
    }
    /* With a full queue the message stays, and is answered in the next round. */
}

static void take_messages(void)
{
    struct bh_message message = {.version = BH_MESSAGE_VERSION};
    if (!holding && bh_message_receive(&message, body, sizeof body) == BH_STATUS_OK) {
        answer(&message);
    }
}

static void send_one(void)
{
    char *end = bh_text_append_number(bh_text_append(body, "hello "), ++sent);
    bh_status status = bh_message_send(1, body, (uint32_t)(end - body), 0);
    say_number("sent with status ", status);
}

static void send_burst(void)
{
    uint32_t taken = 0;
    while (bh_message_send(2, body, 100, 0) == BH_STATUS_OK) {
        taken++;
    }
    say_number("burst of ", taken);
}

static void tell_queues(void)
{
    struct bh_message_queue queue = {.version = BH_MESSAGE_QUEUE_VERSION};
    bh_message_queue_read(&queue);
    char *end = bh_text_append_number(bh_text_append(line, "outgoing "), queue.outgoing);
    end = bh_text_append_number(bh_text_append(end, " stored up to "), queue.outgoing_stored_id);
    say(bh_text_append_number(bh_text_append(end, " incoming "), queue.incoming));
}

static void sleep_a_while(void)
{
    uint32_t wake = 0;
    uint64_t before = 0, after = 0;
    bh_clock_monotonic_read_us(&before);
    struct bh_notification old;
    while (bh_notification_next(&old) == BH_STATUS_OK) {
    }
    bh_status status = bh_power_sleep_wait(500, 0, &wake);
    bh_clock_monotonic_read_us(&after);
    char *end = bh_text_append_number(bh_text_append(line, "slept with status "), status);
    end = bh_text_append_number(bh_text_append(end, " wake "), wake);
    say(bh_text_append_number(bh_text_append(end, " ms "), (uint32_t)(after - before) / 1000));
}

static void tell_debug(void)
{
    struct bh_debug_state state = {.version = BH_DEBUG_STATE_VERSION};
    bh_debug_state_read(&state);
    char *end = bh_text_append_number(bh_text_append(line, "debug state "), state.state);
    end = bh_text_append_number(bh_text_append(end, " halts "), state.halts);
    say(bh_text_append_number(bh_text_append(end, " held ms "), state.held_ms));
}

static void tell_limits(void)
{
    struct bh_limits limits = {.version = BH_LIMITS_VERSION};
    bh_limits_read(&limits);
    char *end = bh_text_append_number(bh_text_append(line, "limits: abi "), limits.abi_version);
    end = bh_text_append_number(bh_text_append(end, ", message "), limits.message_len_max);
    end = bh_text_append_number(bh_text_append(end, ", keys "), limits.config_keys_max);
    say(bh_text_append_number(bh_text_append(end, ", value "), limits.config_value_len_max));
}

static void obey(int letter)
{
    switch (letter) {
    case 'm': send_one(); break;
    case 'b': send_burst(); break;
    case 'h': holding = !holding; say_number("holding ", (uint32_t)holding); break;
    case 'q': tell_queues(); break;
    case 'c': tell_config(); break;
    case 'z': sleep_a_while(); break;
    case 'd': tell_debug(); break;
    case 'l': tell_limits(); break;
    default: break;
    }
}

int main(void)
{
    bh_console_start();
    uint32_t boot = 0, wake = 0;
    bh_boot_reason_read(&boot);
    bh_wake_reason_read(&wake);
    char *end = bh_text_append_number(bh_text_append(line, "courier starts, boot reason "), boot);
    say(bh_text_append_number(bh_text_append(end, " wake reason "), wake));
    tell_config();
    for (;;) {
        obey(bh_console_read());
        struct bh_notification notification;
        while (bh_notification_next(&notification) == BH_STATUS_OK) {
            if (notification.kind == BH_NOTIFICATION_CONFIG_CHANGED) {
                tell_config();
            } else if (notification.kind == BH_NOTIFICATION_MESSAGE_STORED) {
                say_number("stored up to ", notification.value);
            }
        }
        take_messages();
    }
}
