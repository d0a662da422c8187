#include "bh_console.h"
#include "bulkhead.h"

struct uart {
    volatile uint32_t data;
    volatile uint32_t state;
    volatile uint32_t control;
    volatile uint32_t interrupt;
    volatile uint32_t divider;
};

#define UART ((struct uart *)BH_BOARD_UART1_BASE)
#define STATE_TRANSMIT_FULL 1u
#define STATE_RECEIVE_FULL 2u

void bh_console_start(void)
{
    UART->divider = 174; /* 115,200 baud at 20 MHz */
    UART->control = 3;   /* transmit and receive */
}

static void put(char c)
{
    while (UART->state & STATE_TRANSMIT_FULL) {
    }
    UART->data = (uint32_t)c;
}

void bh_console_write(const char *text)
{
    while (*text) {
        put(*text++);
    }
}

void bh_console_write_hex(uint32_t value)
{
    for (int shift = 28; shift >= 0; shift -= 4) {
        put("0123456789abcdef"[(value >> shift) & 15]);
    }
}

int bh_console_read(void)
{
    return UART->state & STATE_RECEIVE_FULL ? (int)(UART->data & 0xFF) : -1;
}

uint32_t bh_log_text(uint32_t level, const char *text)
{
    uint32_t length = 0;
    while (text[length]) {
        length++;
    }
    return bh_log_write(level, text, length);
}

char *bh_text_append(char *to, const char *text)
{
    while (*text) {
        *to++ = *text++;
    }
    return to;
}

char *bh_text_append_number(char *to, uint32_t value)
{
    char digits[10];
    int n = 0;
    do {
        digits[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    while (n) {
        *to++ = digits[--n];
    }
    return to;
}
