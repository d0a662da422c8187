/* UART 1 of the virtual board, the application's own console. */
#ifndef BH_CONSOLE_H
#define BH_CONSOLE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Switches the console on. */
void bh_console_start(void);
/** Writes a text that ends in zero. */
void bh_console_write(const char *text);
/** Writes eight hexadecimal digits. */
void bh_console_write_hex(uint32_t value);
/** Returns the next character received, or -1. */
int bh_console_read(void);
/** Queues a log record of the given level (0 error to 4 trace) and returns its status. */
uint32_t bh_log_text(uint32_t level, const char *text);

/** Copies a text without its terminating zero to `to`; returns the place behind it. */
char *bh_text_append(char *to, const char *text);
/** Writes a number in decimal digits to `to`, at most ten; returns the place behind it. */
char *bh_text_append_number(char *to, uint32_t value);

#ifdef __cplusplus
}
#endif

#endif
