/* The smallest application that does something: it counts seconds into the log. APP_VERSION tells its versions
 * apart; a table of constants makes it as large as a small product, so that an update has pages to write. */
#include "bh_console.h"
#include "bulkhead.h"

#ifndef APP_VERSION
#define APP_VERSION 1
#endif

#define CYCLES_PER_TICK (BH_BOARD_CLOCK_HZ / 100u)
#define SYSTICK_CONTROL (*(volatile uint32_t *)0xE000E010)
#define SYSTICK_RELOAD (*(volatile uint32_t *)0xE000E014)
#define SYSTICK_VALUE (*(volatile uint32_t *)0xE000E018)

#define NVIC_ENABLE(line) (((volatile uint32_t *)0xE000E100)[(line) / 32] = 1u << ((line) % 32))
#define NOTIFICATION_LINE BH_BOARD_SOFTWARE_INTERRUPT_0

static volatile uint32_t ticks;
static volatile uint32_t news;

/* 96 KiB that differ from version to version, as fonts or tables of a product would. */
#define ROW(n) (n) * 2654435761u + APP_VERSION
#define ROWS8(n) ROW(n), ROW(n + 1), ROW(n + 2), ROW(n + 3), ROW(n + 4), ROW(n + 5), ROW(n + 6), ROW(n + 7)
#define ROWS64(n) ROWS8(n), ROWS8(n + 8), ROWS8(n + 16), ROWS8(n + 24), ROWS8(n + 32), ROWS8(n + 40), ROWS8(n + 48), ROWS8(n + 56)
#define ROWS512(n) ROWS64(n), ROWS64(n + 64), ROWS64(n + 128), ROWS64(n + 192), ROWS64(n + 256), ROWS64(n + 320), ROWS64(n + 384), ROWS64(n + 448)
#define ROWS4096(n) ROWS512(n), ROWS512(n + 512), ROWS512(n + 1024), ROWS512(n + 1536), ROWS512(n + 2048), ROWS512(n + 2560), ROWS512(n + 3072), ROWS512(n + 3584)
static const uint32_t table[] = {ROWS4096(0u), ROWS4096(4096u), ROWS4096(8192u), ROWS4096(12288u), ROWS4096(16384u), ROWS4096(20480u)};

/* The same in every version: never sent again, never written again. */
__attribute__((section(".external"), used)) static const char licence[] =
    "This text lies in external flash and is part of every version of hello-c.";

void systick_handler(void)
{
    ticks++;
}

/* The hypervisor pends this line when it has news. */
void software0_handler(void)
{
    news = 1;
}

/* Takes what there is to hear. What comes meanwhile raises the line again. */
static void listen(void)
{
    news = 0;
    struct bh_notification notification;
    while (bh_notification_next(&notification) == BH_STATUS_OK) {
        if (notification.kind == BH_NOTIFICATION_UPDATE_READY) {
            char line[BH_LOG_TEXT_LEN_MAX];
            char *end = bh_text_append(line, "hello v");
            end = bh_text_append_number(end, APP_VERSION);
            end = bh_text_append(end, ": update is staged, applying it now");
            *end = 0;
            bh_log_text(2, line);
            bh_update_apply_now();
        }
    }
}

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

int main(void)
{
    bh_console_start();
    SYSTICK_RELOAD = CYCLES_PER_TICK - 1;
    SYSTICK_VALUE = 0;
    SYSTICK_CONTROL = 7;
    bh_notification_enable(NOTIFICATION_LINE);
    NVIC_ENABLE(NOTIFICATION_LINE);

    char line[BH_LOG_TEXT_LEN_MAX];
    uint32_t reason = 0;
    bh_wake_reason_read(&reason);
    char *end = bh_text_append(line, "hello v");
    end = bh_text_append_number(end, APP_VERSION);
    end = bh_text_append(end, table_is_whole() ? " starts, wake reason " : " IS TORN, wake reason ");
    end = bh_text_append_number(end, reason);
    *end = 0;
    bh_log_text(2, line);
    bh_console_write(line);
    bh_console_write("\n");

    for (uint32_t second = 0;; second++) {
        uint32_t until = ticks + 100;
        while ((int32_t)(ticks - until) < 0) {
            __asm volatile("wfi");
            if (news) {
                listen();
            }
        }
        end = bh_text_append(line, "hello v");
        end = bh_text_append_number(end, APP_VERSION);
        end = bh_text_append(end, " second ");
        end = bh_text_append_number(end, second);
        *end = 0;
        bh_log_text(2, line);
    }
}
