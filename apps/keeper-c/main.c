/* An application that keeps something of its own across updates, and chooses their moment.
 *
 * Its bundle declares the external area 3 as its own. There it writes a line a start, which no update touches; and it
 * postpones each update until somebody types `u` on its console. Other letters: `d` tells where the update stands, `s`
 * erases its area. APP_VERSION tells versions apart. */
#include "bh_console.h"
#include "bh_storage.h"
#include "bulkhead.h"

#ifndef APP_VERSION
#define APP_VERSION 1
#endif

#define AREA 3u
#define LINE_LEN 16u
#define POSTPONE_S 600u

/* 32 KiB that differ from version to version. */
#define ROW(n) (n) * 2654435761u + APP_VERSION
#define ROWS8(n) ROW(n), ROW(n + 1), ROW(n + 2), ROW(n + 3), ROW(n + 4), ROW(n + 5), ROW(n + 6), ROW(n + 7)
#define ROWS64(n) ROWS8(n), ROWS8(n + 8), ROWS8(n + 16), ROWS8(n + 24), ROWS8(n + 32), ROWS8(n + 40), ROWS8(n + 48), ROWS8(n + 56)
#define ROWS512(n) ROWS64(n), ROWS64(n + 64), ROWS64(n + 128), ROWS64(n + 192), ROWS64(n + 256), ROWS64(n + 320), ROWS64(n + 384), ROWS64(n + 448)
#define ROWS4096(n) ROWS512(n), ROWS512(n + 512), ROWS512(n + 1024), ROWS512(n + 1536), ROWS512(n + 2048), ROWS512(n + 2560), ROWS512(n + 3072), ROWS512(n + 3584)
static const uint32_t table[] = {ROWS4096(0u), ROWS4096(4096u)};

static char line[BH_LOG_TEXT_LEN_MAX];

/* A table that is torn between two versions would not add up. */
static int table_is_whole(void)
{
    for (uint32_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (table[i] != i * 2654435761u + APP_VERSION) {
            return 0;
        }
    }
    return 1;
}

static void say(char *end)
{
    *end = 0;
    bh_log_text(2, line);
    bh_console_write(line);
    bh_console_write("\n");
}

static void say_failed(const char *what, bh_status status)
{
    char *end = bh_text_append(line, what);
    end = bh_text_append(end, " failed with status ");
    say(bh_text_append_number(end, status));
}

/* Appends a line behind those that are there, the oldest start first; the whole area holds many thousand. */
static void remember_start(void)
{
    struct bh_storage_info info = {.version = BH_STORAGE_INFO_VERSION};
    bh_status status = bh_storage_info_read(AREA, &info);
    if (status != BH_STATUS_OK) {
        say_failed("the own area", status);
        return;
    }
    char entry[LINE_LEN];
    uint32_t starts = 0;
    for (; starts < info.length_bytes / LINE_LEN; starts++) {
        status = bh_storage_read_all(AREA, starts * LINE_LEN, entry, LINE_LEN);
        if (status != BH_STATUS_OK) {
            say_failed("reading", status);
            return;
        }
        if (entry[0] != 's') {
            break;
        }
    }
    char text[2 * LINE_LEN] = {0};
    char *end = bh_text_append(text, "start ");
    end = bh_text_append_number(end, starts + 1);
    end = bh_text_append(end, " v");
    bh_text_append_number(end, APP_VERSION);
    status = bh_storage_write_all(AREA, starts * LINE_LEN, text, LINE_LEN);
    if (status != BH_STATUS_OK) {
        say_failed("writing", status);
        return;
    }
    end = bh_text_append(line, "keeper v");
    end = bh_text_append_number(end, APP_VERSION);
    end = bh_text_append(end, table_is_whole() ? " remembers " : " IS TORN and remembers ");
    end = bh_text_append_number(end, starts + 1);
    say(bh_text_append(end, " starts"));
}

static void tell_update(void)
{
    struct bh_update_status update = {.version = BH_UPDATE_STATUS_VERSION};
    bh_status status = bh_update_status_read(&update);
    if (status != BH_STATUS_OK) {
        say_failed("asking for the update", status);
        return;
    }
    char *end = bh_text_append(line, "update stage ");
    end = bh_text_append_number(end, update.stage);
    end = bh_text_append(end, ", pages to write ");
    end = bh_text_append_number(end, update.pages_to_write);
    end = bh_text_append(end, ", downtime ");
    end = bh_text_append_number(end, update.downtime_ms);
    end = bh_text_append(end, " ms, can wait for ");
    end = bh_text_append_number(end, update.postpone_left_s);
    say(bh_text_append(end, " s"));
}

static void postpone(void)
{
    bh_status status = bh_update_postpone(POSTPONE_S);
    char *end = bh_text_append(line, "update is ready, postponed with status ");
    say(bh_text_append_number(end, status));
    tell_update();
}

int main(void)
{
    bh_console_start();
    remember_start();
    for (;;) {
        switch (bh_console_read()) {
        case 'u': bh_update_apply_now(); break;
        case 'd': tell_update(); break;
        case 's': {
            bh_status status = bh_storage_erase_wait(AREA, 0);
            if (status != BH_STATUS_OK) {
                say_failed("erasing", status);
            }
            break;
        }
        default: break;
        }
        struct bh_notification notification;
        while (bh_notification_next(&notification) == BH_STATUS_OK) {
            if (notification.kind == BH_NOTIFICATION_UPDATE_READY) {
                postpone();
            } else if (notification.kind == BH_NOTIFICATION_UPDATE_PROGRESS) {
                char *end = bh_text_append(line, "update enters stage ");
                say(bh_text_append_number(end, notification.value));
            }
        }
    }
}
